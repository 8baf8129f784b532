"""What lies under photos' names, or looks like a photo, and is none that can be shown as it is."""

import io
import struct

import numpy as np
import pytest
from photo_samples import assert_near, encode, grey, pixels, refused

from cbam_viz.explain.photo import load


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"<!DOCTYPE html><html><body>Not Found</body></html>", "web page"),
        (b"\n  <html lang=en><head>", "web page"),
        (b'\xef\xbb\xbf<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"PK\x03\x04" + bytes(60), "unpack it"),
        (b"\x1f\x8b\x08\0" + bytes(60), "unpack it"),
        (b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ", "AppleDouble"),
    ],
)
def test_what_lies_under_a_photos_name_is_named(contents, words, tmp_path):
    (tmp_path / "cat.jpg").write_bytes(contents)
    refused(tmp_path / "cat.jpg", "cat.jpg", words)


@pytest.mark.parametrize(
    ("kind", "contents"),
    [
        ("video", b"\0\0\0\x18ftypMSNV" + bytes(100)),
        ("video", b"\0\0\0\x18ftypdash" + bytes(100)),
        ("video", b"\0\0\0\x08wide\0\0\0\0mdat" + bytes(100)),
        ("video", b"\0\0\x01\xba" + bytes(100)),
        ("drawing of Windows", b"\xd7\xcd\xc6\x9a" + bytes(100)),
        ("camera's raw", b"IIII\0\0" + bytes(100)),  # Phase One and Leaf
        ("camera's raw", b"MMOR\0\0\0\x08" + bytes(100)),  # older ORF
        ("camera's raw", b"FOVb\0\0" + bytes(100)),  # X3F
        ("camera's raw", b"\0\0\0\x10RED1" + bytes(100)),
    ],
)
def test_what_else_is_known_and_not_read(kind, contents):
    refused(contents, kind, "export it as JPEG or PNG")


def tiff(pages: list[dict], inner: list[dict] = ()) -> bytes:
    """A TIFF file by hand: its pages' tags, one after the other, and pages within the first.

    A tag's value is one number or several of them; under "pixels" a page has its bytes.
    """
    out = bytearray(b"II*\0\0\0\0\0")

    def put(tags: dict, within: tuple = ()) -> int:
        tags = dict(tags)
        if pixels := tags.pop("pixels", None):
            tags |= {273: len(out), 279: len(pixels)}
            out.extend(pixels)
        if within:
            tags[330] = within
        entries = b""
        for tag, value in sorted(tags.items()):
            values = value if isinstance(value, tuple) else (value,)
            data = struct.pack(f"<{len(values)}I", *values)
            if len(values) > 1:
                at = len(out)
                out.extend(data)
                data = struct.pack("<I", at)
            entries += struct.pack("<HHI", tag, 4, len(values)) + data
        at = len(out)
        out.extend(struct.pack("<H", len(tags)) + entries + bytes(4))
        return at

    within = tuple(put(tags) for tags in inner)
    offsets = [put(tags, within if i == 0 else ()) for i, tags in enumerate(pages)]
    out[4:8] = struct.pack("<I", offsets[0])
    for at, following in zip(offsets, offsets[1:], strict=False):
        end = at + 2 + 12 * struct.unpack_from("<H", out, at)[0]
        out[end : end + 4] = struct.pack("<I", following)
    return bytes(out)


def page(width: int, height: int, **more) -> dict:
    return {
        256: width, 257: height, 258: (8, 8, 8), 259: 1, 262: 2, 277: 3, 278: height,
        "pixels": bytes(range(256)) * (width * height * 3 // 256) + bytes(width * height * 3 % 256),
    } | {int(name[1:]): value for name, value in more.items()}  # fmt: skip


SENSOR = {256: 6000, 257: 4000, 262: 32803}
LINEAR = {256: 6000, 257: 4000, 262: 34892}
NEF_LIKE = {
    "no mark of a preview (PEF, SRW)": tiff([page(160, 120)], [SENSOR]),
    "a second preview before it (NEF, ERF)": tiff([page(160, 120)], [page(32, 24), SENSOR]),
    "linear values (ProRAW)": tiff([page(160, 120)], [LINEAR]),
    "three of them (3FR)": tiff([page(160, 120)], [{256: 9, 257: 9}, page(8, 8), SENSOR]),
}


@pytest.mark.parametrize("contents", NEF_LIKE.values(), ids=NEF_LIKE)
def test_the_preview_of_a_sensors_values_is_not_taken_for_the_photo(contents):
    refused(contents, "camera's raw", "preview")


def test_pages_within_that_are_pictures_leave_the_photo_alone():
    """Smaller copies, as maps and slides of microscopes have them; or what leads nowhere."""
    for inner in ([page(80, 60)], [page(80, 60), page(40, 30)]):
        assert load(tiff([page(160, 120)], inner)).size == (160, 120)
    lost = tiff([page(160, 120, t330=10**9)])
    assert load(lost).size == (160, 120)


def test_a_preview_alone_is_no_photo():
    for kinds in ((1,), (1, 1), (1, 3)):
        contents = tiff([page(16 * (i + 1), 12, t254=kind) for i, kind in enumerate(kinds)])
        refused(contents, "small preview", "without the photo")
    assert load(tiff([page(16, 12, t254=1), page(32, 12), page(64, 12, t254=1)])).size == (32, 12)


@pytest.mark.parametrize("bits", [16, 12, 32])
def test_colours_in_planes_of_more_than_8_bits_are_not_misread(bits):
    """Pillow takes the first plane's bytes for pixels and says nothing."""
    size = 8 * 6 * (2 if bits < 32 else 4)
    contents = tiff(
        [page(8, 6, t258=(bits,) * 3, t284=2, t273=(8,) * 3, t279=(size,) * 3) | {"pixels": b""}]
    )
    message = refused(contents)
    assert "planes of more than 8 bits" in message or "of a kind unknown here" in message


def test_32_bits_of_small_values_are_no_black_sheet():
    values = np.arange(48, dtype=np.int32).reshape(6, 8) * 5
    assert_near(load(encode(values, "TIFF")), grey(values))


def test_a_channel_of_photoshops_that_was_never_used_is_no_transparency():
    colours = np.full((6, 8, 3), (200, 30, 40), np.uint8)
    planes = np.dstack([colours, np.zeros((6, 8), np.uint8)]).transpose(2, 0, 1)
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 4, 6, 8, 8, 3) + bytes(12) + b"\0\0"
    assert (pixels(load(head + planes.tobytes())) == colours).all()


def test_every_kind_of_source_gets_the_same_sentence(tmp_path):
    """A file object, bytes and a path are read alike."""
    contents = NEF_LIKE["linear values (ProRAW)"]
    (tmp_path / "a.jpg").write_bytes(contents)
    for source in (contents, io.BytesIO(contents), tmp_path / "a.jpg"):
        refused(source, "camera's raw")
