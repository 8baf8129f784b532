"""The teachers are real networks, the first with its real weights, on the example photos."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from helpers import EXAMPLES, as_trained, folded
from PIL import Image, ImageOps
from torchvision.models import get_model
from torchvision.transforms import v2

from cbam_viz.training.data import (
    IMAGENET_CLASSES,
    CropLabels,
    Normalise,
    Photos,
    PhotoSet,
    training_crop,
)
from cbam_viz.training.recipe import Recipe
from cbam_viz.training.teacher import (
    CELLS,
    CLASSES,
    EVIDENCE_CELLS,
    EVIDENCE_RANGE,
    LabelMaps,
    evidence,
    label_maps,
    load,
)

WHOLE = (0.0, 0.0, 1.0, 1.0)
ONE = Recipe(teachers=["efficientnet-lite2"])


@pytest.fixture(scope="module")
def teacher():
    return load(ONE)[0]


@pytest.fixture(scope="module")
def photos():
    paths = [str(EXAMPLES / f"{name}.jpg") for name in ("barn", "coffee", "tripod")]
    return Photos(paths, [0, 1, 2], ("barn", "coffee", "tripod"))


@pytest.fixture(scope="module")
def asked(photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "teacher.npy"
    return label_maps(photos, path, ONE, Accelerator(), 0)


@pytest.fixture(scope="module")
def init(tmp_path_factory):
    """A folded ResNet-18, and what it was before."""
    plain = as_trained(get_model("resnet18"))
    path = tmp_path_factory.mktemp("init") / "whole.npz"
    np.savez(path, **folded(plain))
    return str(path), plain


def noise(count, side):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator).to(torch.uint8)


def test_the_mean_over_the_cells_is_the_networks_own_answer(teacher):
    with torch.no_grad():
        dense = teacher(noise(2, 224))
        expected = teacher.network((noise(2, 224).float() - 127) / 128)
    assert dense.shape == (2, CLASSES, 7, 7)
    assert torch.allclose(dense.mean((2, 3)), expected, atol=1e-4)


def test_so_it_is_of_the_network_that_training_starts_from(init, tmp_path, monkeypatch):
    path, plain = init
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(plain.state_dict(), tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
    with torch.no_grad():
        expected = plain(Normalise()(noise(2, 96)))
        for start in (path, "torchvision"):
            dense = load(Recipe(init=start, teachers=["init"]))[0](noise(2, 96))
            assert dense.shape == (2, CLASSES, 3, 3)
            assert (dense.mean((2, 3)) - expected).norm() < 1e-4 * expected.norm()


def test_it_knows_what_it_sees(asked):
    told = [IMAGENET_CLASSES[asked.of(i, WHOLE).logits.argmax()] for i in range(3)]
    assert told[0] == "barn"
    assert told[1] in ("espresso", "cup", "coffee mug", "eggnog")
    assert told[2] == "tripod"


def test_of_several_the_mean_counts(photos, asked, init, tmp_path):
    def maps(*names):
        recipe = Recipe(init=init[0], teachers=names)
        found = label_maps(photos, tmp_path / f"{'+'.join(names)}.npy", recipe, Accelerator(), 0)
        return np.load(found.path).astype(np.float32)

    first, second = np.load(asked.path).astype(np.float32), maps("init")
    assert first.shape == second.shape == (3, CLASSES, CELLS, CELLS)
    both = maps("efficientnet-lite2", "init")
    assert np.allclose(both, (first + second) / 2, rtol=2e-3, atol=2e-3)  # halves are rounded
    assert np.abs(both - first).max() > 0.1 < np.abs(both - second).max()


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"teachers": ["resnet"]}, "no teacher 'resnet'; there are: efficientnet-lite2, init"),
        ({"teachers": ["init"], "init": "scratch"}, '"init" is a plain network: .* not .scratch'),
        ({"teachers": ["init"], "init": "authors-resnet50-cbam"}, "not 'authors-resnet50-cbam'"),
    ],
)
def test_there_is_no_such_teacher(fields, words):
    with pytest.raises(ValueError, match=words):
        load(Recipe(**fields))


def test_a_part_is_the_mean_over_the_cells_it_covers(tmp_path):
    maps = np.random.default_rng(0).normal(size=(2, CLASSES, CELLS, CELLS)).astype(np.float16)
    np.save(tmp_path / "teacher.npy", maps)
    asked = LabelMaps(tmp_path / "teacher.npy")

    def logits(index, box):
        return asked.of(index, box).logits

    assert np.allclose(logits(1, WHOLE), maps[1].mean((1, 2), dtype=np.float32), atol=1e-5)
    # Columns 2 and 3, and of rows 4 to 7 the last half of the first.
    box = (2 / 8, 4.5 / 8, 4 / 8, 1.0)
    rows = np.average(maps[1, :, 4:], axis=1, weights=(0.5, 1, 1, 1))
    assert np.allclose(logits(1, box), rows[:, 2:4].mean(1), atol=1e-5)
    assert np.allclose(logits(0, (0.26, 0.26, 0.36, 0.36)), maps[0, :, 2, 2], atol=1e-5)


# ---------------------------------------------------------------- evidence


def seen_at(*cells):
    """Maps of teachers that see classes 1, 2 and 3 in these cells (row, column), nothing else."""
    maps = torch.zeros(CLASSES, CELLS, CELLS)
    for row, column in cells:
        maps[1:4, row, column] = 8
    return maps


def place(shown):
    """Row and column of a map's highest value, as fractions of its height and width."""
    row, column = divmod(int(shown.argmax()), shown.shape[1])
    return (row + 0.5) / shown.shape[0], (column + 0.5) / shown.shape[1]


@pytest.mark.parametrize("box", [WHOLE, (0.5, 0.25, 1.0, 0.75), (0.4, 0.1, 0.9, 0.8)])
def test_evidence_is_highest_where_the_class_is_seen(box):
    maps = seen_at((2, 5))
    shown = evidence(maps, maps.mean((1, 2)), box)
    assert shown.shape == (EVIDENCE_CELLS, EVIDENCE_CELLS)
    assert (shown.min(), shown.max()) == pytest.approx(EVIDENCE_RANGE)
    left, top, right, bottom = box
    row, column = place(shown)
    assert top + row * (bottom - top) == pytest.approx(2.5 / 8, abs=0.06)
    assert left + column * (right - left) == pytest.approx(5.5 / 8, abs=0.06)


def test_evidence_is_of_what_the_part_shows():
    """What is seen elsewhere in the photo does not count."""
    maps = seen_at((6, 1))
    maps[7:10, 1, 6] = 5
    box = (0.5, 0.0, 1.0, 0.5)
    logits = maps[:, :4, 4:].mean((1, 2))
    row, column = place(evidence(maps, logits, box))
    assert (row * 4, column * 4) == pytest.approx((1.5, 2.5), abs=0.25)


def test_no_evidence_anywhere_is_none():
    shown = evidence(torch.zeros(CLASSES, CELLS, CELLS), torch.zeros(CLASSES), WHOLE)
    assert torch.allclose(shown, torch.full_like(shown, EVIDENCE_RANGE[0]))


def test_evidence_turns_with_the_photo():
    maps = torch.randn(CLASSES, CELLS, CELLS, generator=torch.Generator().manual_seed(0))
    box, turned = (0.1, 0.2, 0.7, 0.9), (0.3, 0.2, 0.9, 0.9)
    logits = torch.randn(CLASSES, generator=torch.Generator().manual_seed(1))
    expected = evidence(maps, logits, box).flip(1)
    assert torch.allclose(evidence(maps.flip(2), logits, turned), expected, atol=1e-4)


def test_a_real_teachers_evidence_lies_on_the_object(teacher, tmp_path):
    cup = Image.open(EXAMPLES / "coffee.jpg").convert("RGB").resize((200, 200))
    paths = []
    for i, corner in enumerate([(0, 0), (200, 0), (0, 200), (200, 200)]):
        photo = Image.new("RGB", (400, 400), (120, 120, 120))
        photo.paste(cup, corner)
        paths.append(str(tmp_path / f"{i}.png"))
        photo.save(paths[-1])
    photos = Photos(paths, [967] * 4, IMAGENET_CLASSES)
    asked = label_maps(photos, tmp_path / "teacher.npy", ONE, Accelerator(), 0)
    for i in range(4):
        shown = asked.of(i, WHOLE).evidence
        quarters = shown.unfold(0, 7, 7).unfold(1, 7, 7).mean((2, 3)).flatten()
        assert quarters.argmax() == i
        assert (place(shown)[0] > 0.5, place(shown)[1] > 0.5) == (i > 1, i % 2 == 1)


# ---------------------------------------------------------------- asking


class Asked:
    """Teachers that only remember what they were asked."""

    def __init__(self):
        self.boxes = []

    def of(self, index, box):
        self.boxes.append((index, box))
        return CropLabels(torch.zeros(CLASSES), torch.arange(14.0).expand(14, 14))


def test_they_are_asked_about_the_part_that_was_cut():
    photo = Image.open(EXAMPLES / "coffee.jpg").convert("RGB")
    photos = Photos([str(EXAMPLES / "coffee.jpg")] * 8, [0] * 8, ("coffee",))
    asked = Asked()
    crop = training_crop(Recipe(crop_scale=0.1), 64)
    torch.manual_seed(0)
    views = [PhotoSet(photos, v2.PILToTensor(), crop, asked)[i] for i in range(8)]
    w, h = photo.size
    mirrored = []
    for (index, (left, top, right, bottom)), (view, _) in zip(asked.boxes, views, strict=True):
        part = photo.crop((round(left * w), round(top * h), round(right * w), round(bottom * h)))
        assert part.width * part.height < 0.99 * w * h or index
        part = part.resize((64, 64), Image.Resampling.BILINEAR)
        mirrored.append(bool(view.soft.evidence[0, 0]))
        expected = v2.functional.pil_to_tensor(ImageOps.mirror(part) if mirrored[-1] else part)
        assert (view.photos.int() - expected.int()).abs().max() <= 1
    assert set(mirrored) == {True, False}
    assert [index for index, _ in asked.boxes] == list(range(8))
    assert len({box for _, box in asked.boxes}) == 8


def test_they_are_asked_once(photos, asked, monkeypatch):
    monkeypatch.setattr("cbam_viz.training.teacher.load", None)  # would fail if called
    assert label_maps(photos, asked.path, ONE, Accelerator(), 0) == asked


@pytest.mark.parametrize(
    ("paths", "fields", "what"),
    [
        (lambda paths: paths[:2], {}, "photos"),
        (lambda paths: paths[::-1], {}, "photos"),
        (lambda paths: paths, {"teachers": ("init",), "init": "other.npz"}, "teachers"),
        (lambda paths: paths[:1], {"teachers": ("efficientnet-lite2", "init")}, "photos and teach"),
    ],
)
def test_maps_of_other_photos_or_teachers_are_refused(photos, asked, paths, fields, what):
    other = replace(photos, paths=paths(photos.paths))
    with pytest.raises(ValueError, match=f"soft labels of other {what}.*remove it"):
        label_maps(other, asked.path, replace(ONE, **fields), Accelerator(), 0)


def test_a_start_that_is_not_asked_does_not_matter(photos, asked):
    assert label_maps(photos, asked.path, replace(ONE, init="scratch"), Accelerator(), 0) == asked


def test_maps_that_do_not_say_what_they_are_of_are_refused(photos, asked, tmp_path):
    (tmp_path / "teacher.npy").write_bytes(asked.path.read_bytes())
    with pytest.raises(ValueError, match="other photos and teachers"):
        label_maps(photos, tmp_path / "teacher.npy", ONE, Accelerator(), 0)


def test_a_stopped_teacher_leaves_nothing_behind(photos, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cbam_viz.training.teacher.DenseEfficientNet.forward", stop)
    with pytest.raises(KeyboardInterrupt):
        label_maps(photos, tmp_path / "teacher.npy", ONE, Accelerator(), 0)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing_behind(photos, tmp_path, full_disk):
    full_disk(100_000)
    with pytest.raises(OSError, match="teacher.npy cannot be saved .*Make room and run the same"):
        label_maps(photos, tmp_path / "teacher.npy", ONE, Accelerator(), 0)
    assert not list(tmp_path.iterdir())
