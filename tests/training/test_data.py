import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import SHARED
from PIL import Image, ImageOps
from torchvision import datasets
from torchvision.transforms import v2

from cbam_viz.models.checkpoints import Preprocessing
from cbam_viz.training.data import (
    IMAGENET_CLASSES,
    LABELS_FILE,
    UNLABELLED,
    CropLabels,
    EpochSampler,
    Normalise,
    Photos,
    PhotoSet,
    batch_transform,
    find_imagenet_photos,
    find_photos,
    read_labels,
    training_crop,
    training_loader,
    training_transform,
    validation_loader,
)
from cbam_viz.training.recipe import Recipe


def put(folder, *names, size=(12, 10)):
    """Tiny photos, each of its own colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        colour = tuple(np.random.default_rng(len(name)).integers(0, 256, 3).tolist())
        Image.new("RGB", size, colour).save(folder / name)


@pytest.fixture
def tree(tmp_path):
    put(tmp_path / "train" / "bee", "1.png", "2.png")
    put(tmp_path / "train" / "Ant", "1.png")
    put(tmp_path / "train" / "cat", "1.png", "2.jpg", "3.png")
    put(tmp_path / "val" / "cat", "1.png", "2.png")
    put(tmp_path / "val" / "Ant", "1.png")
    return tmp_path


# ---------------------------------------------------------------- where photos are


def test_classes_are_in_order_without_regard_to_case(tree):
    train, val = find_photos(tree)
    assert train.classes == val.classes == ("Ant", "bee", "cat")
    assert [Path(p).parent.name for p in train.paths] == [train.classes[y] for y in train.labels]
    assert Counter(train.labels) == {0: 1, 1: 2, 2: 3}


def test_val_may_lack_classes_and_keeps_the_labels_of_train(tree):
    _, val = find_photos(str(tree))
    assert [(Path(p).parent.name, y) for p, y in zip(val.paths, val.labels, strict=True)] == [
        ("Ant", 0),
        ("cat", 2),
        ("cat", 2),
    ]


def test_one_folder_is_split_the_same_way_each_time(tmp_path):
    put(tmp_path / "many", *(f"{i}.png" for i in range(40)))
    put(tmp_path / "few", "1.png", "2.png", "3.png")
    put(tmp_path / "single", "1.png")
    train, val = find_photos(tmp_path)
    assert (train, val) == find_photos(tmp_path)
    assert not set(train.paths) & set(val.paths)
    assert train.classes == val.classes == ("few", "many", "single")
    assert Counter(train.labels) == {0: 2, 1: 36, 2: 1}
    assert Counter(val.labels) == {0: 1, 1: 4}


def test_a_folder_with_train_alone_is_split_too(tmp_path):
    for name in ("a", "b"):
        put(tmp_path / "train" / name, *(f"{i}.png" for i in range(10)))
    train, val = find_photos(tmp_path)
    assert (len(train.paths), len(val.paths)) == (18, 2)


def test_folders_that_cannot_be_used(tree, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder 'nowhere'.*imagenette, flowers102, ox"):
        find_photos("nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="any class folder in .*empty"):
        find_photos(tmp_path / "empty")
    put(tmp_path / "lonely" / "cat", "1.png")
    with pytest.raises(ValueError, match="one class only, 'cat'; .* two classes or more"):
        find_photos(tmp_path / "lonely")
    put(tmp_path / "singles" / "cat", "1.png")
    put(tmp_path / "singles" / "dog", "1.png")
    with pytest.raises(ValueError, match="one photo only"):
        find_photos(tmp_path / "singles")
    put(tree / "val" / "dog", "1.png")
    put(tree / "val" / "emu", "1.png")
    with pytest.raises(ValueError, match="classes that train lacks: dog, emu; .*Remove them"):
        find_photos(tree)
    (tree / "train" / "dog").mkdir()
    with pytest.raises(FileNotFoundError, match="no valid file for the classes dog"):
        find_photos(tree)


# ---------------------------------------------------------------- photos of ImageNet's classes


@pytest.fixture
def imagenet(tmp_path):
    put(tmp_path / "train" / "a", "1.png", "2.png", "3.jpg")
    put(tmp_path / "train" / "b" / "deep", "1.png", "2.JPEG")
    put(tmp_path / "val", "1.png", "2.png")
    label(tmp_path / "train" / "a", {"1.png": 281, "3.jpg": 999})
    label(tmp_path / "val", {"1.png": 0, "2.png": 5})
    return tmp_path


def label(folder, labels):
    (folder / LABELS_FILE).write_text(labels if isinstance(labels, str) else json.dumps(labels))


def test_imagenet_photos_are_found_at_any_depth_with_labels_or_without(imagenet):
    (imagenet / "train" / "a" / "about.txt").write_text("no photo")
    elsewhere = imagenet / "elsewhere"
    put(elsewhere, "1.png")
    (imagenet / "train" / "c").symlink_to(elsewhere)
    train, val = find_imagenet_photos(str(imagenet))
    assert train.classes == val.classes == IMAGENET_CLASSES and len(IMAGENET_CLASSES) == 1000
    found = [str(Path(p).relative_to(imagenet / "train")) for p in train.paths]
    assert found == ["a/1.png", "a/2.png", "a/3.jpg", "b/deep/1.png", "b/deep/2.JPEG", "c/1.png"]
    assert train.labels == [281, UNLABELLED, 999, UNLABELLED, UNLABELLED, UNLABELLED]
    assert [Path(p).name for p in val.paths] == ["1.png", "2.png"] and val.labels == [0, 5]
    # Photos without a label are drawn by the folder that they lie in.
    first, second, third, *deep, linked = train.groups
    assert (first, third) == (281, 999) and deep[0] == deep[1]
    assert len({*range(1000), second, deep[0], linked}) == 1003


def test_photos_of_known_classes_are_drawn_by_class(tree):
    train, _ = find_photos(tree)
    assert train.groups == train.labels


def test_imagenet_folders_that_cannot_be_used(imagenet, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder 'imagenette/train'; give one with trai"):
        find_imagenet_photos("imagenette")
    (imagenet / "val" / "3.png").write_bytes((imagenet / "val" / "1.png").read_bytes())
    with pytest.raises(
        ValueError, match="(?s)1 photos in .*val have no label, .*3.png is one; .*9"
    ):
        find_imagenet_photos(imagenet)
    (imagenet / "val" / LABELS_FILE).unlink()
    with pytest.raises(ValueError, match="3 photos in .*val have no label, .*a labels.json"):
        find_imagenet_photos(imagenet)
    for photo in (imagenet / "val").iterdir():
        photo.unlink()
    with pytest.raises(FileNotFoundError, match="no photos in .*val or below it"):
        find_imagenet_photos(imagenet)
    (imagenet / "val").rmdir()
    with pytest.raises(FileNotFoundError, match="no folder .*val'; give one with train and val"):
        find_imagenet_photos(imagenet)


@pytest.mark.parametrize(
    "labels, words",
    [
        ("{", "is not valid JSON"),
        ("[0, 1]", "must hold an object with a class, 0 to 999, for each"),
        ({"1.png": 1000}, "must hold .*, 0 to 999, for"),
        ({"1.png": -1}, "must hold .*, 0 to 999, for"),
        ({"1.png": 1.0}, "must hold .*, 0 to 999, for"),
        ({"1.png": True}, "must hold .*, 0 to 999, for"),
        ({"1.png": "cat"}, "must hold .*, 0 to 999, for"),
        ({"1.png": 1, "7.png": 1, "8.png": 1}, "names 2 photos that are not .*'7.png' is one"),
    ],
)
def test_labels_that_cannot_be(imagenet, labels, words):
    label(imagenet / "train" / "a", labels)
    with pytest.raises(ValueError, match=f"train/a/labels.json {words}"):
        find_imagenet_photos(imagenet)


def test_no_labels_are_none(tmp_path):
    assert read_labels(tmp_path / LABELS_FILE, ["1.png"]) == {}
    (tmp_path / LABELS_FILE).write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match="labels.json is not valid JSON"):
        read_labels(tmp_path / LABELS_FILE, ["1.png"])


# ---------------------------------------------------------------- torchvision's data sets


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "datasets"


def test_imagenette_by_name(torch_home):
    for split, photos in (("train", ("1.JPEG", "2.JPEG")), ("val", ("3.JPEG",))):
        for wnid in ("n01440764", "n02102040"):
            put(torch_home / "imagenette2-320" / split / wnid, *photos)
    train, val = find_photos("imagenette")
    assert train.classes == ("tench", "English springer")
    assert train.labels == [0, 0, 1, 1] and val.labels == [0, 1]
    assert "train/n01440764" in train.paths[0] and "val/n02102040" in val.paths[1]


def test_oxford_pets_by_name(torch_home):
    folder = torch_home / "oxford-iiit-pet"
    put(folder / "images", "Abyssinian_1.jpg", "great_pyrenees_5.jpg", "Abyssinian_2.jpg")
    (folder / "annotations").mkdir()
    (folder / "annotations" / "trainval.txt").write_text(
        "Abyssinian_1 1 1 1\ngreat_pyrenees_5 2 2 1\n"
    )
    (folder / "annotations" / "test.txt").write_text("Abyssinian_2 1 1 1\n")
    train, val = find_photos("OxfordIIITPet")
    assert train.classes == ("Abyssinian", "Great Pyrenees")
    assert train.labels == [0, 1] and val.labels == [0]
    assert val.paths == [str(folder / "images" / "Abyssinian_2.jpg")]


def test_flowers_by_name(torch_home, monkeypatch):
    savemat = pytest.importorskip("scipy.io").savemat
    folder = torch_home / "flowers-102"
    put(folder / "jpg", *(f"image_{i:05d}.jpg" for i in (1, 2, 3)))
    savemat(folder / "imagelabels.mat", {"labels": [[77, 1, 77]]})
    savemat(folder / "setid.mat", {"trnid": [[1, 2]], "valid": [[3, 3]], "tstid": [[2, 2]]})
    monkeypatch.setattr(datasets.Flowers102, "_check_integrity", lambda self: True)
    train, val = find_photos("Flowers102")
    assert len(train.classes) == 102
    assert train.labels == [76, 0] and val.labels == [76, 76]
    assert train.paths[0] == str(folder / "jpg" / "image_00001.jpg")


def test_a_download_that_fails(torch_home, monkeypatch):
    def fails(*_):
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(datasets.Imagenette, "_download", fails)
    with pytest.raises(OSError, match="imagenette cannot be downloaded: File not found"):
        find_photos("imagenette")


# ---------------------------------------------------------------- reading photos


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
    train, _ = find_photos(tree)
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
    train, _ = find_photos(tmp_path)
    with pytest.raises(ValueError, match="20 photos in a row cannot be read, the first is .*0.png"):
        PhotoSet(train, v2.PILToTensor())[0]


# ---------------------------------------------------------------- transforms


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


# ---------------------------------------------------------------- sampling


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


# ---------------------------------------------------------------- real photos


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
    train, val = find_photos(tmp_path)
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
    held = list(validation_loader(val, Recipe(), Preprocessing(64, 73), 0))
    assert sum(len(batch.labels) for batch, _ in held) == len(val.paths)
    assert held[0][0].photos.shape[1:] == (3, 64, 64)
