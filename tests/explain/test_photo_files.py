"""Which files are photos, and folders' names that no file system takes for the same."""

import random
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from cbam_viz.explain.photo_files import find_photos, folder_names, is_photo


def same(name: str) -> str:
    return unicodedata.normalize("NFD", name).casefold()


@pytest.mark.parametrize(
    "names",
    [
        ["IMG_1.jpg", "IMG_1.png", "IMG_1-2.jpg"],
        ["a-2.jpg", "a.jpg", "a.png", "a.gif", "a-3.bmp", "A-2.png"],
        ["Straße.jpg", "STRASSE.jpg", "strasse.png"],
        ["caf\u00e9.jpg", "cafe\u0301.jpg", "CAFÉ.png"],
        ["x..jpg", "x.jpg", "x .jpg"],
        [".jpg", "photo.jpg", "photo.png"],
        ["one/IMG.jpg", "two/IMG.jpg", "two/IMG-2.jpg"],
        [f"{random.Random(i).choice('aAbB')}{i % 7}{'-2' * (i % 3)}.{i}" for i in range(1000)],
    ],
    ids=lambda names: f"{names[0]} and {len(names) - 1} more",
)
def test_every_photo_gets_a_folder_of_its_own(names):
    photos = [Path(name) for name in names]
    folders = folder_names(photos)
    assert list(folders) == photos
    assert len({same(name) for name in folders.values()}) == len(photos)
    assert all(folder and not folder.endswith((".", " ")) for folder in folders.values())
    # Whoever is alone with its name keeps it, whatever the others are called.
    own = {path: path.stem.rstrip(". ") for path in photos}
    all_own = [same(name) for name in own.values()]
    alone = [path for path in photos if path.suffix and all_own.count(same(own[path])) == 1]
    assert all(folders[path] == own[path] for path in alone)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000", "PPM"])
def test_a_photo_is_known_by_its_content(kind, tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.without", kind)
    assert is_photo(tmp_path / "photo.without")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a", b"\0\0\0\x18ftypheic"),
        ("b", b"FUJIFILMCCD-RAW 0201"),
        ("c", bytes(128) + b"DICM"),
        ("d", b"\0\0\0\x0cJXL \r\n\x87\n"),
        ("e.NEF", b"anything"),
        ("f.jpg", b""),
    ],
)
def test_a_photo_that_is_not_read_is_not_passed_over(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert find_photos([str(tmp_path)]) == [tmp_path / name]


def test_names_that_a_shell_left_alone_find_photos_only(tmp_path):
    for name in ("a.jpg", "b.txt", "c[1].png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "d.jpg").mkdir()
    assert find_photos([str(tmp_path / "*")]) == [tmp_path / "a.jpg", tmp_path / "c[1].png"]
    assert find_photos([str(tmp_path / "c[1].png")]) == [tmp_path / "c[1].png"]
    assert find_photos([str(tmp_path / "b.txt")]) == [tmp_path / "b.txt"], "named: an error later"
