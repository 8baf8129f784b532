"""Which models stay in memory."""

import shutil
from pathlib import Path

import pytest
import torch

from cbam_viz import WeightsError
from cbam_viz.models.resnet import resnet18_cbam
from cbam_viz.ui import opened
from cbam_viz.ui.opened import OwnModels


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[tuple[str]]:
    """One model in four uploads."""
    folder = tmp_path_factory.mktemp("uploads")
    torch.save(resnet18_cbam(num_classes=2).half().state_dict(), folder / "0.pth")
    for i in range(1, 4):
        shutil.copy(folder / "0.pth", folder / f"{i}.pth")
    return [(str(folder / f"{i}.pth"),) for i in range(4)]


def test_own_models_are_bounded_together_and_come_back(files, monkeypatch):
    models = OwnModels()
    first = models.get(files[0])
    assert models.get(files[0]) is first
    monkeypatch.setattr(opened, "OWN_BYTES", 2.5 * models.size)
    for file in files:
        models.get(file)
    assert models.size <= opened.OWN_BYTES
    assert models.get(files[3]) is models.get(files[3])
    assert models.get(files[0]) is not first  # it had to go, and is opened again


def test_a_single_model_is_kept_whatever_its_size(files, monkeypatch):
    monkeypatch.setattr(opened, "OWN_BYTES", 1)
    models = OwnModels()
    assert models.get(files[0]) is models.get(files[0])


def test_one_whose_upload_is_cleared_away_is_an_error_in_words(files, monkeypatch):
    monkeypatch.setattr(opened, "OWN_BYTES", 1)
    models = OwnModels()
    models.get(files[2])
    models.get(files[1])
    Path(files[2][0]).unlink()
    with pytest.raises(WeightsError, match="upload it again"):
        models.get(files[2])
