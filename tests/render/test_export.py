import json
import os
import platform
import zipfile

import numpy as np
import PIL
import pytest
import torch
import torchvision
from helpers import make_explanation, overlay_of
from PIL import Image

import cbam_viz
from cbam_viz.render import export
from cbam_viz.render.export import save, zipping
from cbam_viz.render.overlay import Look, overlay, resized
from cbam_viz.render.sheets import contact_sheet

NAMES = [f"layer{stage}.{i}" for stage in (1, 2, 3, 4) for i in (0, 1)]
EXPECTED = {
    "overview.png",
    "attention.npz",
    "explanation.json",
    *(f"{name}-{what}.png" for name in NAMES for what in ("multiply", "channels")),
}


@pytest.fixture(scope="module")
def explanation():
    return make_explanation((64, 48), labels=("虎斑貓", "sundial"))


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_everything_is_there_and_nothing_else(explanation, tmp_path):
    assert save(explanation, tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert names(tmp_path / "a" / "b") == EXPECTED


def test_pictures_are_what_is_drawn(explanation, tmp_path):
    look = Look("cells", "viridis")
    save(explanation, tmp_path, look, ["layer3.0"])
    for file, drawn in {
        "overview.png": contact_sheet(explanation, look),
        "layer3.0-cells.png": overlay_of(explanation, "layer3.0", look),
    }.items():
        with Image.open(tmp_path / file) as image:
            assert image.format == "PNG" and image.convert("RGB") == drawn


def test_only_the_blocks_asked_for_are_drawn(explanation, tmp_path):
    save(explanation, str(tmp_path), blocks=iter(["layer1.0", "layer4.1"]))
    drawn = {name for name in names(tmp_path) if name.startswith("layer")}
    assert drawn == {
        f"layer{name}-{what}.png" for name in ("1.0", "4.1") for what in ("multiply", "channels")
    }
    with np.load(tmp_path / "attention.npz") as arrays:
        assert len(arrays.files) == 16


def test_gates_are_saved_exactly(explanation, tmp_path):
    with np.load(save(explanation, tmp_path, blocks=[]) / "attention.npz") as arrays:
        assert arrays.files == [f"{n}.{kind}" for n in NAMES for kind in ("channel", "spatial")]
        for block in explanation.blocks:
            for kind in ("channel", "spatial"):
                array = arrays[f"{block.name}.{kind}"]
                assert array.dtype == np.float32
                assert np.array_equal(array, getattr(block, kind))


def test_json_holds_what_it_takes_to_make_it_again(explanation, tmp_path):
    look = Look("contour", keep=0.3, scale="stretched")
    path = save(explanation, tmp_path, look, []) / "explanation.json"
    text = path.read_text("utf-8")
    record = json.loads(text, parse_constant=pytest.fail)
    answer = explanation.to_dict()
    assert {key: record[key] for key in ("model", "image_size", "predictions")} == {
        key: answer[key] for key in ("model", "image_size", "predictions")
    }
    assert "虎斑貓" in text
    for saved, told, block in zip(
        record["blocks"], answer["blocks"], explanation.blocks, strict=True
    ):
        assert told.items() <= saved.items()
        for kind in ("channel", "spatial"):
            gate, figures = getattr(block, kind).astype(np.float64), saved[f"{kind}_figures"]
            for name, value in {
                "min": gate.min(),
                "mean": gate.mean(),
                "max": gate.max(),
                "deviation": gate.std(),
            }.items():
                assert figures[name] == pytest.approx(value, abs=1e-5)
            assert figures["nearly_constant"] is False
    assert record["model_sha256"] == "0" * 64 and record["untrained"] is None
    assert record["seconds"] == 0.25
    assert record["view"] == {
        "photo_size": [64, 48],
        "resized": [299, 224],
        "offset": [0, 0],
        "size": [299, 224],
        "squeezed": False,
    }
    assert Look(**record["look"]) == look
    assert record["versions"] == {
        "cbam_viz": cbam_viz.__version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "python": platform.python_version(),
    }


def test_zip_holds_the_same_files(explanation, tmp_path):
    folder = save(explanation, tmp_path / "folder", Look("multiply"))
    shares = [*zipping(explanation, tmp_path / "all.zip", Look("multiply"))]
    assert len(shares) == len(EXPECTED)
    assert shares == sorted(shares) and shares[0] > 0 and shares[-1] == 1
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == names(folder)
        for name in archive.namelist():
            assert archive.read(name) == (folder / name).read_bytes()
    assert names(tmp_path) == {"folder", "all.zip"}


def test_pictures_of_a_bounded_side_are_small_files(tmp_path):
    explanation = make_explanation((640, 480))
    for side, size in ((320, (320, 240)), (5000, (640, 480))):
        for _ in zipping(explanation, tmp_path / "all.zip", Look("cells"), side):
            pass
        with zipfile.ZipFile(tmp_path / "all.zip") as archive:
            pictures = [name for name in archive.namelist() if "-cells." in name]
            assert pictures == [f"{name}-cells.jpg" for name in NAMES]
            for name in NAMES:
                with archive.open(f"{name}-cells.jpg") as file, Image.open(file) as picture:
                    b = explanation.block(name)
                    photo = resized(explanation.image, size)
                    drawn = overlay(photo, b.spatial, b.stride, explanation.view, Look("cells"))
                    off = np.asarray(picture.convert("RGB"), int) - np.asarray(drawn, int)
                    assert picture.size == size and np.abs(off).mean() < 10


def test_a_zip_that_is_given_up_leaves_the_older_one(explanation, tmp_path):
    path = tmp_path / "all.zip"
    path.write_bytes(b"older")
    steps = zipping(explanation, path)
    next(steps)
    steps.close()
    assert path.read_bytes() == b"older" and names(tmp_path) == {"all.zip"}


def test_untrained_gates_are_marked_in_every_picture(tmp_path):
    save(make_explanation((320, 240), untrained="made up"), tmp_path)
    assert json.loads((tmp_path / "explanation.json").read_text())["untrained"] == "made up"
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as image:
            assert (np.asarray(image.convert("RGB")) == (255, 176, 0)).all(2).sum() > 1000, path


def test_an_unknown_block_is_refused_before_anything_is_written(explanation, tmp_path):
    with pytest.raises(ValueError, match=r"layer9\.9.*layer1\.0.*layer4\.1"):
        save(explanation, tmp_path / "new", blocks=["layer1.0", "layer9.9"])
    assert names(tmp_path) == set()


def fail_at(monkeypatch, nth: int) -> None:
    """Let the disk be full after half of the nth file's contents were written."""
    whole, count = export.written_whole, 0

    class Full:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, contents):
            self.file.write(contents[: len(contents) // 2])
            raise OSError(28, "No space left on device")

    class Whole:
        def __init__(self, path):
            self.context = whole(path)

        def __enter__(self):
            nonlocal count
            count += 1
            file = self.context.__enter__()
            return Full(file) if count == nth else file

        def __exit__(self, *exception):
            return self.context.__exit__(*exception)

    monkeypatch.setattr(export, "written_whole", Whole)


@pytest.mark.parametrize("nth", [1, 2, 18, 19])
def test_a_full_disk_leaves_older_files_whole_and_no_rest(nth, explanation, tmp_path, monkeypatch):
    save(explanation, tmp_path)
    older = {name: (tmp_path / name).read_bytes() for name in EXPECTED}
    fail_at(monkeypatch, nth)
    with pytest.raises(OSError, match="No space"):
        save(make_explanation((64, 48), seed=1), tmp_path)
    assert names(tmp_path) == EXPECTED
    now = {name: (tmp_path / name).read_bytes() for name in EXPECTED}
    assert sum(now[name] != older[name] for name in EXPECTED) == nth - 1
    for name in EXPECTED:
        if name.endswith(".png"):
            with Image.open(tmp_path / name) as image:
                image.load()
        elif name.endswith(".npz"):
            with np.load(tmp_path / name) as arrays:
                assert len(arrays.files) == 16
        else:
            json.loads((tmp_path / name).read_text())


def test_a_zip_that_fails_leaves_the_older_one(explanation, tmp_path, monkeypatch):
    path = tmp_path / "all.zip"
    assert [*zipping(explanation, path)]
    older = path.read_bytes()

    def broken(*arguments, **named):
        raise RuntimeError("drawing failed")

    monkeypatch.setattr(export, "channel_chart", broken)
    with pytest.raises(RuntimeError, match="drawing failed"):
        list(zipping(explanation, path))
    assert path.read_bytes() == older and names(tmp_path) == {"all.zip"}


def test_a_replacement_that_fails_leaves_no_rest(explanation, tmp_path, monkeypatch):
    def refused(*arguments):
        raise PermissionError("may not replace")

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(PermissionError):
        save(explanation, tmp_path)
    assert names(tmp_path) == set()


def test_files_are_as_readable_as_any_other(explanation, tmp_path):
    save(explanation, tmp_path, blocks=[])
    (tmp_path / "plain").touch()
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1
