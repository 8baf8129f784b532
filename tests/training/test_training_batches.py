"""From photos to batches: reading, transforms, mixing, sampling."""

import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import SHARED
from PIL import Image, ImageOps
from torchvision.transforms import v2

from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.training.data import (
    CropLabels,
    EpochSampler,
    Normalise,
    Photos,
    PhotoSet,
    batch_transform,
    find_labelled_photos,
    training_crop,
    training_loader,
    training_transform,
    validation_loader,
)
from cbam_viz.training.recipe import Recipe


def test_photos_are_upright_and_rgb(tmp_path):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 5, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    photo.save(tmp_path / "turned.png", exif=exif)
    photo.convert("L").save(tmp_path / "grey.png")
    photo.convert("P").save(tmp_path / "palette.png")
    paths = [str(tmp_path / f"{name}.png") for name in ("turned", "grey", "palette")]
    seen = [
        batch.photos
        for batch, _ in map(
            PhotoSet(Photos(paths, [0] * 3, ("a",)), v2.PILToTensor()).__getitem__, range(3)
        )
    ]
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "turned.png"))
    assert upright.size == (8, 5)
    assert torch.equal(seen[0], v2.functional.pil_to_tensor(upright))
    assert [tuple(x.shape) for x in seen] == [(3, 5, 8), (3, 8, 5), (3, 8, 5)]


def test_the_next_photo_stands_in_for_a_broken_one(tree):
    train, _ = find_labelled_photos(tree)
    good = Path(train.paths[1]).read_bytes()
    Path(train.paths[0]).write_bytes(good[: len(good) // 2])
    Path(train.paths[5]).write_text("no photo at all")
    Path(train.paths[4]).unlink()
    photos = PhotoSet(train, v2.PILToTensor())
    for index, instead in ((0, 1), (5, 1), (4, 1)):
        batch, broken = photos[index]
        assert torch.equal(batch.photos, photos[instead][0].photos)
        assert batch.labels == train.labels[instead] and batch.soft is None
        assert broken == train.paths[index]
    assert photos[2][1] is None
    loader = training_loader(train, Recipe(batch_size=6), range(6), 32, 0)
    _, broken = next(iter(loader))
    assert sorted(broken) == sorted(train.paths[i] for i in (0, 4, 5))


def test_a_folder_of_anything_but_photos(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(20):
            (tmp_path / name / f"{i}.png").write_text("text")
    train, _ = find_labelled_photos(tmp_path)
    with pytest.raises(ValueError, match="20 photos in a row cannot be read, the first is .*0.png"):
        PhotoSet(train, v2.PILToTensor())[0]


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 90, 3), np.uint8))


def test_training_crops(photo):
    recipe = Recipe(trivial_augment=False, erasing=0, crop_scale=0.5)
    crop = training_crop(recipe, 48)
    assert crop.scale == (0.5, 1)
    ratios = []
    for _ in range(200):
        params = crop.make_params([photo])
        ratios.append(params["width"] / params["height"])
        assert 0.45 < params["width"] * params["height"] / (60 * 90) <= 1
    assert 0.7 < min(ratios) < 0.85 and 1.2 < max(ratios) < 1.4
    out = training_transform(Recipe())(crop(photo))
    assert out.shape == (3, 48, 48) and out.dtype == torch.uint8


class Ramp:
    """Teachers that see a photo's right."""

    def of(self, index, box):
        return CropLabels(torch.arange(1000.0), torch.linspace(0.1, 0.9, 14).expand(14, 14))


def test_half_of_the_photos_are_mirrored_and_their_evidence_with_them(tmp_path):
    ramp = np.tile(np.arange(40, dtype=np.uint8) * 6, (40, 1))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    recipe = Recipe(trivial_augment=False, erasing=0)
    crop, transform = training_crop(recipe, 32), training_transform(recipe)
    photos = PhotoSet(Photos([str(tmp_path / "ramp.png")], [0], ("a",)), transform, crop, Ramp())
    torch.manual_seed(0)
    mirrored = 0
    for batch, _ in (photos[0] for _ in range(200)):
        turned = bool(batch.photos[0, 0, 0] > batch.photos[0, 0, -1])
        assert bool(batch.soft.evidence[0, 0] > batch.soft.evidence[0, -1]) == turned
        assert torch.equal(batch.soft.logits, torch.arange(1000.0))
        mirrored += turned
    assert 75 < mirrored < 125
    # Without a crop, as for validation, it is left as it is.
    photos = PhotoSet(photos.photos, v2.PILToTensor())
    assert all(torch.equal(photos[0][0].photos[0], torch.from_numpy(ramp)) for _ in range(20))


def test_augmentation_and_erasing_are_the_recipes(photo):
    def kinds(**fields):
        return [type(t) for t in training_transform(Recipe(**fields)).transforms]

    assert v2.TrivialAugmentWide in kinds() and v2.RandomErasing in kinds()
    assert v2.TrivialAugmentWide not in kinds(trivial_augment=False)
    assert v2.RandomErasing not in kinds(erasing=0)
    always = training_transform(Recipe(erasing=1, trivial_augment=False))
    torch.manual_seed(0)
    grey = (always(Image.new("RGB", (60, 60))) == 127).all(0).float().mean()
    assert 0.02 <= grey <= 0.34  # torchvision's usual shares of the area


def test_normalise_is_its_formula():
    batch = torch.arange(2 * 3 * 2 * 2, dtype=torch.uint8).reshape(2, 3, 2, 2) * 10
    x = Normalise((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))(batch)
    assert x.is_contiguous(memory_format=torch.channels_last)
    expected = (batch[1, 2, 0, 1] / 255 - 0.3) / 0.7
    assert x[1, 2, 0, 1] == pytest.approx(float(expected), abs=1e-6)


def test_no_mixing_leaves_the_batch_alone():
    photos, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    assert batch_transform(Recipe(), 3)(photos, labels) == (photos, labels)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_photos_and_labels_are_mixed_in_the_same_shares(kind):
    # Each photo is a plane of its label's number, so the mixture's mean must be the labels'.
    labels = torch.tensor([0, 1, 2, 3])
    photos = labels.float().view(4, 1, 1, 1).expand(4, 3, 20, 20)
    mix = batch_transform(Recipe(**{kind: 1.0}), 4)
    torch.manual_seed(0)
    shares = set()
    for _ in range(20):
        mixed, targets = mix(photos, labels)
        assert torch.allclose(targets.sum(1), torch.ones(4))
        assert torch.allclose(mixed.mean((1, 2, 3)), targets @ torch.arange(4.0), atol=1e-4)
        assert (len(mixed[0].unique()) == 1) == (kind == "mixup") or targets.max() == 1
        shares.add(round(float(targets[0].max()), 3))
    assert len(shares) > 10


def test_with_both_each_batch_gets_one_of_the_two():
    labels = torch.tensor([0, 1])
    photos = labels.float().view(2, 1, 1, 1).expand(2, 3, 20, 20)
    mix = batch_transform(Recipe(mixup=1.0, cutmix=1.0), 2)
    torch.manual_seed(0)
    uniform = sum(len(mix(photos, labels)[0][0].unique()) == 1 for _ in range(60))
    assert 15 < uniform < 50


LABELS = [0] * 400 + [1] * 100 + [2] * 25


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_classes_come_as_often_as_the_balance_says(balance):
    sampler = EpochSampler(LABELS, balance, seed=0)
    drawn = Counter()
    for epoch in range(20):
        sampler.set_position(epoch)
        drawn.update(LABELS[i] for i in sampler)
    total = sum(n ** (1 - balance) for n in (400, 100, 25))
    for label, n in enumerate((400, 100, 25)):
        expected = n ** (1 - balance) / total
        deviation = (expected * (1 - expected) / drawn.total()) ** 0.5
        assert abs(drawn[label] / drawn.total() - expected) < 4 * deviation


def test_the_draw_is_that_of_seed_and_epoch_and_can_be_entered_in_the_middle():
    sampler = EpochSampler(LABELS, 0.5, seed=7)
    sampler.set_position(3)
    whole = list(sampler)
    assert len(whole) == len(sampler) == len(LABELS)
    again = EpochSampler(LABELS, 0.5, seed=7)
    again.set_position(3, skip=200)
    assert list(again) == whole[200:] and len(again) == len(LABELS) - 200
    again.set_position(4)
    assert list(again) != whole
    other = EpochSampler(LABELS, 0.5, seed=8)
    other.set_position(3)
    assert list(other) != whole


@pytest.mark.skipif(not (SHARED / "val-0.tar").exists(), reason="the photos are not here")
def test_batches_of_real_photos(tmp_path):
    classes = json.loads((SHARED / "classes.json").read_text())
    wanted = Counter()
    with tarfile.open(SHARED / "val-0.tar") as tar:
        for member in tar:
            name = Path(member.name).parent.name
            if member.isfile() and name in classes[:4] and wanted[name] < 6:
                wanted[name] += 1
                path = tmp_path / name / Path(member.name).name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(tar.extractfile(member).read())
    train, val = find_labelled_photos(tmp_path)
    assert train.classes == tuple(classes[:4])
    sampler = EpochSampler(train.labels, 0.5, 0)
    loader = training_loader(train, Recipe(batch_size=8), sampler, 64, 2)
    batches = list(loader)
    assert len(batches) == len(train.paths) // 8
    for batch, broken in batches:
        assert batch.photos.shape == (8, 3, 64, 64) and batch.photos.dtype == torch.uint8
        assert batch.labels.shape == (8,) and batch.soft is None and broken == []
    loader = training_loader(train, Recipe(batch_size=8), sampler, 64, 2, Ramp())
    batch, _ = next(iter(loader))
    assert batch.soft.logits.shape == (8, 1000) and batch.soft.evidence.shape == (8, 14, 14)
    batches = list(validation_loader(val, Recipe(), Preprocessing(64, 73), 0))
    assert sum(len(batch.labels) for batch, _ in batches) == len(val.paths)
    assert batches[0][0].photos.shape[1:] == (3, 64, 64)
