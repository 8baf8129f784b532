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


@pytest.fixture
def album(tmp_path) -> Path:
    """Two photos, one of them in a folder below, and a text."""
    folder = tmp_path / "album"
    (folder / "2024").mkdir(parents=True)
    for name in ("a.jpg", "2024/b.jpg", "notes.txt"):
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize("out", [".", "..", "out", "2024", "../elsewhere", "2024/out/deep", "link"])
def test_wherever_is_written_every_photo_is_found_and_no_picture(out, album, tmp_path):
    """Into the photos' own folder, above it, below it, through a link."""
    (tmp_path / "link").symlink_to(album / "2024" / "shown")
    out = tmp_path / "link" if out == "link" else album / out
    expected = [album / "2024" / "b.jpg", album / "a.jpg"]
    assert find_photos([str(album)], out) == expected
    for photo in expected:
        folder = out.resolve() / photo.stem
        folder.mkdir(parents=True)
        for name in ("explanation.json", "attention.npz", "layer4.png"):
            (folder / name).write_bytes(b"x")
    assert find_photos([str(album)], out) == expected
    assert find_photos([f"{album}/**/*.jpg"], out) == expected
    (out.resolve() / "broken off").mkdir()  # without an explanation yet
    (out.resolve() / "broken off" / "layer4.png").write_bytes(b"x")
    if album.resolve() in out.resolve().parents:
        assert find_photos([str(album)], out) == expected


def test_a_photo_named_twice_is_found_once(album, monkeypatch):
    monkeypatch.chdir(album)
    names = ["a.jpg", "./a.jpg", "../album/a.jpg", str(album / "a.jpg"), "2024/../a.jpg", "*.jpg"]
    assert find_photos(names) == [Path("a.jpg")]


def test_folders_that_are_links_are_walked_through_once(album, tmp_path):
    elsewhere = tmp_path / "disk"
    elsewhere.mkdir()
    (elsewhere / "c.jpg").write_bytes(b"x")
    (album / "cats").symlink_to(elsewhere)
    (album / "self").symlink_to(album)
    (elsewhere / "back").symlink_to(album)
    assert [f.name for f in find_photos([str(album)])] == ["b.jpg", "a.jpg", "c.jpg"]


def test_a_link_that_leads_nowhere_is_not_passed_over(album):
    (album / "lost.jpg").symlink_to(album / "gone.jpg")
    (album / "lost").symlink_to(album / "gone")
    assert album / "lost.jpg" in find_photos([str(album)])
    assert album / "lost" not in find_photos([str(album)])


@pytest.mark.parametrize(
    "name",
    [
        *("con.jpg", "NUL.png", "aux.tar.jpg", "Com1.jpg", "lpt\u00b9.jpg", "a:b.jpg"),
        *('a"b<c>d|e?f*g.jpg', "back\\slash.jpg", "new\nline.jpg", "\x1b[31mred.jpg"),
        *("caf\udce9.jpg", "x" * 255, "\u732b" * 85, " .jpg", "....jpg"),
    ],
)
def test_every_file_system_has_room_for_every_name(name):
    """Windows keeps some names and signs for itself, macOS has no bytes that are no text."""
    photos = [Path("one", name), Path("two", name)]
    first, second = folder_names(photos).values()
    assert same(first) != same(second)
    for folder in (first, second):
        assert 0 < len(folder.encode("utf-8")) <= 255
        assert not set(folder) & set('<>:"/\\|?*') and folder.isprintable()
        assert folder.split(".")[0].upper() not in {"CON", "NUL", "AUX", "COM1", "LPT\u00b9"}
        assert folder[-1] not in " ."
