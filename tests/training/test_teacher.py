"""The teacher is the real one, on the example photos."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from helpers import EXAMPLES
from PIL import Image
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2

from cbam_viz.training.data import Photos, PhotoSet, training_crop
from cbam_viz.training.recipe import Recipe
from cbam_viz.training.teacher import (
    CELLS,
    CLASSES,
    LabelMaps,
    dense_logits,
    label_maps,
    load_teacher,
)

NAMES = ResNet18_Weights.DEFAULT.meta["categories"]
WHOLE = (0.0, 0.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def teacher():
    return load_teacher()


@pytest.fixture(scope="module")
def photos():
    paths = [str(EXAMPLES / f"{name}.jpg") for name in ("barn", "coffee", "tripod")]
    return Photos(paths, [0, 1, 2], ("barn", "coffee", "tripod"))


@pytest.fixture(scope="module")
def lessons(photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "teacher.npy"
    return label_maps(photos, path, Accelerator(), 0)


def test_the_mean_over_the_cells_is_the_networks_own_answer(teacher):
    photos = torch.randint(0, 256, (2, 3, 224, 224), generator=torch.Generator().manual_seed(0))
    photos = photos.to(torch.uint8)
    with torch.no_grad():
        dense = dense_logits(teacher, photos)
        expected = teacher((photos.float() - 127) / 128)
    assert dense.shape == (2, CLASSES, CELLS, CELLS)
    assert torch.allclose(dense.mean((2, 3)), expected, atol=1e-4)


def test_it_knows_what_it_sees(lessons):
    told = [NAMES[lessons.of(i, WHOLE).argmax()] for i in range(3)]
    assert told[0] == "barn"
    assert told[1] in ("espresso", "cup", "coffee mug", "eggnog")
    assert told[2] == "tripod"


def test_a_part_is_the_mean_over_the_cells_it_covers(tmp_path):
    maps = np.random.default_rng(0).normal(size=(2, CLASSES, CELLS, CELLS)).astype(np.float16)
    np.save(tmp_path / "teacher.npy", maps)
    lessons = LabelMaps(tmp_path / "teacher.npy")
    assert np.allclose(lessons.of(1, WHOLE), maps[1].mean((1, 2), dtype=np.float32), atol=1e-5)
    # Columns 2 and 3, and of rows 4, 5 and 6 the last half of the first.
    box = (2 / 7, 4.5 / 7, 4 / 7, 1.0)
    rows = np.average(maps[1, :, 4:], axis=1, weights=(0.5, 1, 1))
    assert np.allclose(lessons.of(1, box), rows[:, 2:4].mean(1), atol=1e-5)
    assert np.allclose(lessons.of(0, (0.3, 0.3, 0.4, 0.4)), maps[0, :, 2, 2], atol=1e-5)


class Asked:
    """Lessons that only remember what they were asked."""

    def __init__(self):
        self.boxes = []

    def of(self, index, box):
        self.boxes.append((index, box))
        return torch.zeros(CLASSES)


def test_it_is_asked_about_the_part_that_was_cut():
    photo = Image.open(EXAMPLES / "coffee.jpg").convert("RGB")
    photos = Photos([str(EXAMPLES / "coffee.jpg")] * 4, [0] * 4, ("coffee",))
    asked = Asked()
    crop = training_crop(Recipe(crop_scale=0.1), 64)
    torch.manual_seed(0)
    views = [PhotoSet(photos, v2.PILToTensor(), crop, asked)[i] for i in range(4)]
    w, h = photo.size
    for (index, (left, top, right, bottom)), (view, _, taught, _) in zip(
        asked.boxes, views, strict=True
    ):
        part = photo.crop((round(left * w), round(top * h), round(right * w), round(bottom * h)))
        assert part.width * part.height < 0.99 * w * h or index
        expected = v2.functional.pil_to_tensor(part.resize((64, 64), Image.Resampling.BILINEAR))
        assert (view.int() - expected.int()).abs().max() <= 1
        assert taught.shape == (CLASSES,)
    assert [index for index, _ in asked.boxes] == [0, 1, 2, 3]
    assert len({box for _, box in asked.boxes}) == 4


def test_it_is_asked_once(photos, lessons, monkeypatch):
    monkeypatch.setattr("cbam_viz.training.teacher.load_teacher", None)  # would fail if called
    assert label_maps(photos, lessons.path, Accelerator(), 0) == lessons


def test_maps_of_other_photos_are_refused(photos, lessons):
    fewer = replace(photos, paths=photos.paths[:2])
    with pytest.raises(ValueError, match="on 3 photos, but there are 2; remove it"):
        label_maps(fewer, lessons.path, Accelerator(), 0)


def test_a_stopped_teacher_leaves_nothing_behind(photos, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cbam_viz.training.teacher.dense_logits", stop)
    with pytest.raises(KeyboardInterrupt):
        label_maps(photos, tmp_path / "teacher.npy", Accelerator(), 0)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing_behind(photos, tmp_path, full_disk):
    full_disk(100_000)
    with pytest.raises(OSError, match="teacher.npy cannot be saved .*Make room and run the same"):
        label_maps(photos, tmp_path / "teacher.npy", Accelerator(), 0)
    assert not list(tmp_path.iterdir())
