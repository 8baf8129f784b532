"""Small photos, and a finished run on them."""

import pytest
from photo_trees import put
from small_runs import RECIPE, make_photos, small, watching

from cbam_viz.models.resnet import CONSTRUCTORS
from cbam_viz.training.train import train


@pytest.fixture
def small_network(monkeypatch):
    monkeypatch.setitem(CONSTRUCTORS, "resnet18_cbam", small)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="session")
def finished(data, tmp_path_factory):
    """A run from end to end: its folder, the model's, and its steps."""
    out = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch, watching() as steps:
        patch.setitem(CONSTRUCTORS, "resnet18_cbam", small)
        return out, train(RECIPE, data, out, workers=0), steps


@pytest.fixture(scope="session")
def other(data, tmp_path_factory):
    """Two of the classes, under other names."""
    folder = tmp_path_factory.mktemp("other")
    for split in ("train", "val"):
        (folder / split).mkdir()
        for old, new in (("blue", "a"), ("red", "b")):
            (folder / split / new).symlink_to(data / split / old)
    return folder


@pytest.fixture
def tree(tmp_path):
    put(tmp_path / "train" / "bee", "1.png", "2.png")
    put(tmp_path / "train" / "Ant", "1.png")
    put(tmp_path / "train" / "cat", "1.png", "2.jpg", "3.png")
    put(tmp_path / "val" / "cat", "1.png", "2.png")
    put(tmp_path / "val" / "Ant", "1.png")
    return tmp_path
