"""A small network and photos that it is quick with."""

import pickle
from pathlib import Path

import pytest
import torch
from helpers import lively, make_photo

from cbam_viz.models.checkpoints import Checkpoint
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import ResNetCBAM
from cbam_viz.survey import survey as module
from cbam_viz.survey.output import ROWS, Manifest
from cbam_viz.survey.pieces import find_pieces
from cbam_viz.survey.surveyor import Surveyor

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(scope="session")
def network() -> Checkpoint:
    """Four blocks, three classes, photos of 32 px."""
    torch.manual_seed(0)
    model = lively(ResNetCBAM("basic", (1, 1, 1, 1), num_classes=3))
    return Checkpoint("small", model, CLASSES, Preprocessing(size=32, crop_resize=36), "0" * 64)


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    """Class folders of photos of three shapes."""
    root = tmp_path_factory.mktemp("tree")
    for n, name in enumerate(CLASSES):
        (root / name).mkdir()
        for i in range(7):
            size = ((48, 48), (64, 40), (40, 64))[i % 3]
            make_photo(*size, seed=10 * n + i).save(root / name / f"{i}.jpg")
    return root


@pytest.fixture(scope="session")
def surveyed():
    """Survey photos into a folder, in this process."""

    def make(network: Checkpoint, out: Path, *sources: Path) -> Path:
        names = [str(s) for s in sources]
        pieces = find_pieces(names, out)
        (out / ROWS).mkdir(parents=True)
        Manifest.of(network, names, pieces, "whole", 5).write(out)
        surveyor = Surveyor(network, out, "whole", 5)
        for number, piece in enumerate(pieces):
            surveyor.survey(number, piece)
        return out

    return make


@pytest.fixture
def at_once(monkeypatch):
    """Pieces done in this process: what is asked here has nothing to do with processes."""

    def here(settings, left, workers):
        surveyor = module.Surveyor(*pickle.loads(settings))
        for number, piece in left:
            yield surveyor.survey(number, piece)

    monkeypatch.setattr(module, "_in_processes", here)
