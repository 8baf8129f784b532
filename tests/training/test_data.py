"""Where photos are found, and their classes."""

import json
from collections import Counter
from pathlib import Path

import pytest
from photo_trees import put
from torchvision import datasets

from cbam_viz.training.data import (
    IMAGENET_CLASSES,
    LABELS_FILE,
    UNLABELLED,
    find_imagenet_photos,
    find_labelled_photos,
    read_labels,
)


def test_classes_are_in_order_without_regard_to_case(tree):
    train, val = find_labelled_photos(tree)
    assert train.classes == val.classes == ("Ant", "bee", "cat")
    assert [Path(p).parent.name for p in train.paths] == [train.classes[y] for y in train.labels]
    assert Counter(train.labels) == {0: 1, 1: 2, 2: 3}


def test_val_may_lack_classes_and_keeps_the_labels_of_train(tree):
    _, val = find_labelled_photos(str(tree))
    assert [(Path(p).parent.name, y) for p, y in zip(val.paths, val.labels, strict=True)] == [
        ("Ant", 0),
        ("cat", 2),
        ("cat", 2),
    ]


def test_one_folder_is_split_the_same_way_each_time(tmp_path):
    put(tmp_path / "many", *(f"{i}.png" for i in range(40)))
    put(tmp_path / "few", "1.png", "2.png", "3.png")
    put(tmp_path / "single", "1.png")
    train, val = find_labelled_photos(tmp_path)
    assert (train, val) == find_labelled_photos(tmp_path)
    assert not set(train.paths) & set(val.paths)
    assert train.classes == val.classes == ("few", "many", "single")
    assert Counter(train.labels) == {0: 2, 1: 36, 2: 1}
    assert Counter(val.labels) == {0: 1, 1: 4}


def test_a_folder_with_train_alone_is_split_too(tmp_path):
    for name in ("a", "b"):
        put(tmp_path / "train" / name, *(f"{i}.png" for i in range(10)))
    train, val = find_labelled_photos(tmp_path)
    assert (len(train.paths), len(val.paths)) == (18, 2)


def test_folders_that_cannot_be_used(tree, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder 'nowhere'.*imagenette, flowers102, ox"):
        find_labelled_photos("nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="any class folder in .*empty"):
        find_labelled_photos(tmp_path / "empty")
    put(tmp_path / "lonely" / "cat", "1.png")
    with pytest.raises(ValueError, match="one class only, 'cat'; .* two classes or more"):
        find_labelled_photos(tmp_path / "lonely")
    put(tmp_path / "singles" / "cat", "1.png")
    put(tmp_path / "singles" / "dog", "1.png")
    with pytest.raises(ValueError, match="one photo only"):
        find_labelled_photos(tmp_path / "singles")
    put(tree / "val" / "dog", "1.png")
    put(tree / "val" / "emu", "1.png")
    with pytest.raises(ValueError, match="classes that train lacks: dog, emu; .*Remove them"):
        find_labelled_photos(tree)
    (tree / "train" / "dog").mkdir()
    with pytest.raises(FileNotFoundError, match="no valid file for the classes dog"):
        find_labelled_photos(tree)


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
    train, _ = find_labelled_photos(tree)
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


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "datasets"


def test_imagenette_by_name(torch_home):
    for split, photos in (("train", ("1.JPEG", "2.JPEG")), ("val", ("3.JPEG",))):
        for wnid in ("n01440764", "n02102040"):
            put(torch_home / "imagenette2-320" / split / wnid, *photos)
    train, val = find_labelled_photos("imagenette")
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
    train, val = find_labelled_photos("OxfordIIITPet")
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
    train, val = find_labelled_photos("Flowers102")
    assert len(train.classes) == 102
    assert train.labels == [76, 0] and val.labels == [76, 76]
    assert train.paths[0] == str(folder / "jpg" / "image_00001.jpg")


def test_a_download_that_fails(torch_home, monkeypatch):
    def fails(*_):
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(datasets.Imagenette, "_download", fails)
    with pytest.raises(OSError, match="imagenette cannot be downloaded: File not found"):
        find_labelled_photos("imagenette")
