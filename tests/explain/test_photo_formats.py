"""Files: which formats are read, what is refused, and damage."""

import contextlib
import io
import os
import re
import site
import struct
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import SHARED
from photo_samples import LOSSLESS, assert_near, encode, pixels, png_of, refused
from PIL import EpsImagePlugin, Image, features

from cbam_viz.explain import photo, photo_errors
from cbam_viz.explain.photo import load
from cbam_viz.explain.photo_errors import MAX_PIXELS, PhotoError
from cbam_viz.explain.photo_formats import FORMATS

VAL = SHARED / "val-0.tar"


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_very_pixels(kind, colours):
    assert_near(load(encode(colours, kind, **LOSSLESS[kind])), colours)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "GIF", "MPO"])
def test_lossy_formats(kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    y, x = np.mgrid[:64, :96]
    smooth = np.stack([x + 80, y + 100, 255 - x - y], 2).astype(np.uint8)
    assert np.abs(pixels(load(encode(smooth, kind))) - smooth).mean() < 6


def test_every_raster_format_that_pillow_writes_is_read(colours):
    Image.init()
    left_out = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "BLP"}
    for kind in (set(Image.SAVE) & set(Image.OPEN)) - left_out:
        mode = "1" if kind in ("XBM", "MSP") else "RGB"
        load(encode(Image.fromarray(colours).convert(mode), kind))
    assert not left_out & set(FORMATS)
    assert set(FORMATS) <= set(Image.OPEN)


def test_files_of_the_installed_packages():
    """Every image file that some package ships: made by others, for their own use."""
    suffixes = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ico"}
    files = [
        Path(folder, name)
        for package in site.getsitepackages()
        for folder, _, names in os.walk(package)
        for name in names
        if Path(name).suffix.lower() in suffixes
    ]
    assert any("matplotlib" in file.parts for file in files)
    for file in files:
        with Image.open(file) as image:
            size = image.size
        assert sorted(load(file).size) == sorted(size), file
        assert min(load(file, enough=32).size) >= min(32, *size), file


@pytest.mark.skipif(not VAL.exists(), reason="the training photos are not here")
def test_photos_of_the_data():
    with tarfile.open(VAL) as archive:
        photos = (member for member in archive if member.name.endswith(".jpg"))
        for member, _ in zip(photos, range(40), strict=False):
            assert min(load(archive.extractfile(member)).size) >= 100


# ---------------------------------------------------------------- what is refused


def test_what_is_no_image(tmp_path):
    (tmp_path / "notes.txt").write_text("dear diary")
    refused(tmp_path / "notes.txt", "notes.txt", "10 bytes", "not an image")
    assert str(tmp_path) not in refused(str(tmp_path / "notes.txt"))
    (tmp_path / "empty.jpg").touch()
    refused(tmp_path / "empty.jpg", "empty.jpg", "0 bytes", "empty")
    with open(tmp_path / "empty.jpg", "rb") as file:
        (tmp_path / "empty.jpg").unlink()
        assert str(tmp_path) not in refused(file, "empty.jpg", "empty")
    refused(b"", "bytes", "empty")
    refused(io.BytesIO(), "BytesIO", "empty")
    refused(tmp_path, tmp_path.name, "folder")
    refused(str(tmp_path), "folder")
    refused(tmp_path / "cat.jpg", "cat.jpg", "no such file")
    refused("", "no such file")
    refused("a\0b.jpg", "no such file")
    refused("x" * 100_000, "no such file")
    refused(Image.new("RGB", (0, 5)), "PIL image", "RGB", "0 x 5", "no pixels")


def test_a_device_is_not_read():
    if not os.path.exists(os.devnull) or os.name != "posix":
        pytest.skip("no device files here")
    refused(os.devnull, "not a regular file")


@pytest.mark.parametrize("source", [None, 5, 0.5, ["a.jpg"], {}, object(), Image, ("a", "b")])
def test_unsupported_objects(source):
    refused(source, type(source).__name__)


def test_file_objects_that_cannot_be_read(tmp_path):
    refused(io.StringIO("text"), "binary mode")
    (tmp_path / "photo.png").write_text("text")
    with open(tmp_path / "photo.png") as file:
        refused(file, "photo.png", "binary mode")
    refused(file, "closed")
    closed = io.BytesIO(b"x")
    closed.close()
    refused(closed, "closed")

    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise OSError("the line is dead")

    refused(Broken(), "the line is dead")
    closed = Image.open(io.BytesIO(encode(Image.new("RGB", (9, 9)), "PNG")))
    closed.close()
    refused(closed, "PIL image")


@pytest.mark.parametrize(
    "address",
    ["https://example.org/cat.jpg", "http://a/b", "FTP://x", "file:///cat.jpg", "data:image/png;,"],
)
def test_an_address_is_not_fetched(address):
    refused(address, "download it first")


@pytest.mark.parametrize(
    "kind, contents",
    [
        ("SVG", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        ("SVG", b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- made by hand -->\n<svg width="1"></svg>'),
        ("SVG", b'<?xml?><!DOCTYPE svg PUBLIC "a" "b" [ <!ENTITY a "b"> ]>\n<svg></svg>'),
        ("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
        ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"),
        ("JPEG XL", b"\xff\x0a" + bytes(100)),
        ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100)),
        ("JPEG XR", b"II\xbc\x01" + bytes(100)),
        ("camera's raw", b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom" + bytes(100)),  # CR3
        ("camera's raw", b"FUJIFILMCCD-RAW 0201FF383501" + bytes(100)),  # RAF
        ("camera's raw", b"II*\0\x10\0\0\0CR\x02\0" + bytes(100)),  # CR2
        ("camera's raw", b"IIRO\x08\0\0\0" + bytes(100)),  # ORF
        ("camera's raw", b"IIU\0\x18\0\0\0" + bytes(100)),  # RW2
        ("DICOM", bytes(128) + b"DICM\x02\0\0\0UL" + bytes(100)),
        ("OpenEXR", b"v/1\x01\x02\0\0\0" + bytes(100)),
        ("Radiance", b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n" + bytes(100)),
        ("GIMP", b"gimp xcf v011\0" + bytes(100)),
        ("video", b"\0\0\0\x20ftypisom\0\0\x02\0" + bytes(100)),
        ("video", b"\0\0\0\x14ftypqt  \0\0\x02\0" + bytes(100)),  # a live photo's
        ("video", b"\x1a\x45\xdf\xa3" + bytes(100)),
    ],
)
def test_what_is_known_and_not_read(kind, contents):
    refused(contents, kind, "export it as JPEG or PNG")


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"hevc"])
def test_heic_says_what_reads_it(brand, monkeypatch):
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    contents = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(100)
    refused(contents, "HEIC", "pillow-heif", "export it as JPEG or PNG")


def test_heic_is_read_where_its_plug_in_is():
    pytest.importorskip("pillow_heif")
    image = Image.new("RGB", (64, 48), (200, 30, 30))
    image.paste((30, 30, 200), (0, 0, 32, 48))
    assert_near(load(encode(image, "HEIF", quality=95)), pixels(image), 12)


@pytest.mark.parametrize("kind", ["BMP", "TGA", "DDS", "SGI", "ICO"])
def test_an_alpha_that_was_never_used_is_none(kind, colours):
    """Many programs leave the fourth byte at 0: the photo is no white sheet."""
    image = Image.fromarray(colours).convert("RGBA").resize((32, 32))
    image.putalpha(0)
    options = {"bitmap_format": "bmp"} if kind == "ICO" else {}
    contents = bytearray(encode(image, kind, **options))
    photo = load(bytes(contents))
    if kind == "ICO":  # Pillow makes its mask of the alpha, so the colours are kept as well
        assert photo.size == (32, 32)
    else:
        assert_near(photo, pixels(image.convert("RGB")))
    if kind == "BMP":  # as Pillow writes it, it says nothing of an alpha
        return
    image.putpixel((0, 0), (1, 2, 3, 255))  # used: then it counts
    assert pixels(load(encode(image, kind, **options)))[-1, -1].tolist() == [255, 255, 255]


def test_an_alpha_of_a_format_that_knows_what_it_is_counts(colours):
    image = Image.fromarray(colours).convert("RGBA")
    image.putalpha(0)
    for kind in ("PNG", "WEBP", "TIFF"):
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        assert pixels(load(encode(image, kind, **options))).min() == 255


def _tagged(image, **tags):
    """A TIFF page with more tags."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    info = ImageFileDirectory_v2()
    for number, value in tags.items():
        info[int(number[1:])] = value
    return encode(image, "TIFF", tiffinfo=info)


def test_a_raw_photos_preview_is_not_taken_for_it():
    preview = Image.new("RGB", (160, 120), "red")
    for contents in (
        _tagged(preview, t50706=bytes([1, 4, 0, 0])),  # DNG
        _tagged(preview, t254=1, t330=8),  # NEF, ARW: its pages are within the first
    ):
        refused(contents, "camera's raw", "preview", "export it as JPEG or PNG")


def test_of_a_tiff_that_begins_with_a_preview_the_largest_page_is_the_photo():
    pages = [Image.new("RGB", size, c) for size, c in (((16, 12), "red"), ((64, 48), "blue"))]
    file = io.BytesIO()
    pages[1].encoderinfo = {"tiffinfo": {254: 0}}  # else it is marked as the first one is
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:], tiffinfo={254: 1})
    assert load(file.getvalue()).size == (64, 48)
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    assert load(file.getvalue()).size == (16, 12)


def test_postscript_never_reaches_its_interpreter(monkeypatch, tmp_path):
    def run(*_, **__):
        raise AssertionError("the interpreter was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    contents = encode(Image.new("RGB", (9, 9)), "EPS")
    (tmp_path / "drawing.jpg").write_bytes(contents)
    refused(contents, "PostScript")
    refused(tmp_path / "drawing.jpg", "drawing.jpg", "PostScript")
    refused(Image.open(io.BytesIO(contents)), "PostScript")


# Width and height as a file may claim them, without the pixels.


def _png_claim(width, height):
    return png_of(width, height, 8, 2, bytes(1000))


def _jpeg_claim(width, height):
    contents = bytearray(encode(Image.new("RGB", (16, 16)), "JPEG"))
    frame = contents.index(b"\xff\xc0")
    contents[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(contents)


def _gif_claim(width, height, screen=None):
    head = b"GIF89a" + struct.pack("<HH", *(screen or (width, height))) + b"\x80\0\0" + bytes(6)
    return head + b"," + struct.pack("<HHHH", 0, 0, width, height) + b"\0\x02\x00;"


def _bmp_claim(width, height):
    contents = bytearray(encode(Image.new("RGB", (4, 4)), "BMP"))
    contents[18:26] = struct.pack("<ii", width, height)
    return bytes(contents)


def _ico_claim(width, height):
    png = _png_claim(width, height)
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(png), 22) + png


def _icns_claim(width, height):
    png = _png_claim(width, height)
    head = b"icns" + struct.pack(">I", 16 + len(png))
    return head + b"ic10" + struct.pack(">I", 8 + len(png)) + png


CLAIMS = {
    "PNG": _png_claim,
    "JPEG": _jpeg_claim,
    "GIF": _gif_claim,
    "BMP": _bmp_claim,
    "ICO": _ico_claim,
    "ICNS": _icns_claim,
    "PPM": lambda width, height: b"P6 %d %d 255\n" % (width, height),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(60_000, 60_000), (10_000, 10_000), (8_000, 7_000)])
@pytest.mark.parametrize("kind", CLAIMS)
def test_bombs_are_refused_by_their_header(kind, size, monkeypatch):
    monkeypatch.setattr(Image.core, "new", None)  # no memory for pixels is asked for
    before = Image.MAX_IMAGE_PIXELS
    started = time.perf_counter()
    refused(CLAIMS[kind](*size), f"{MAX_PIXELS:,}")
    assert time.perf_counter() - started < 0.5
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_gif_frame_beyond_its_screen_is_refused():
    refused(_gif_claim(60_000, 60_000, screen=(10, 10)), f"{MAX_PIXELS:,}")
    refused(_gif_claim(8_000, 8_000, screen=(10, 10)), f"{MAX_PIXELS:,}")


def test_large_images_in_memory_are_refused():
    refused(np.broadcast_to(np.uint8(0), (8_000, 7_000, 3)), "8,000")
    lazy = Image.open(io.BytesIO(_png_claim(8_000, 7_000)))
    refused(lazy, "8,000")


def test_the_limit_itself_is_accepted(monkeypatch):
    monkeypatch.setattr(photo_errors, "MAX_PIXELS", 600)
    for size, fine in (((30, 20), True), ((601, 1), False)):
        image = Image.new("RGB", size)
        for source in (image, np.asarray(image), encode(image, "PNG"), encode(image, "JPEG")):
            if fine:
                assert load(source).size == size
            else:
                refused(source, "601 x 1 px")


def test_a_stream_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(photo, "MAX_BYTES", 2**22)

    class Endless(io.RawIOBase):
        def read(self, size=-1):
            return bytes(size)

        def seek(self, *_):
            raise io.UnsupportedOperation

    refused(Endless(), "bigger")
    refused(bytes(2**22 + 1), "bigger")


# ---------------------------------------------------------------- damage

DAMAGED = {
    "jpeg": ("JPEG", {}),
    "jpeg, progressive": ("JPEG", {"progressive": True}),
    "jpeg, cmyk": ("JPEG", {"mode": "CMYK"}),
    "webp": ("WEBP", {}),
    "webp, lossless": ("WEBP", {"lossless": True}),
    "jpeg 2000": ("JPEG2000", {}),
    "bmp": ("BMP", {}),
    "ppm": ("PPM", {}),
    "tiff": ("TIFF", {}),
    "tiff, lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff, float": ("TIFF", {"mode": "F"}),
    "sgi": ("SGI", {}),
    "png": ("PNG", {}),
    "png, palette": ("PNG", {"mode": "P"}),
    "png, 16 bits": ("PNG", {"mode": "I;16"}),
    "gif": ("GIF", {}),
    "ico": ("ICO", {}),
    "tga": ("TGA", {}),
}
#: These end with something that is not needed for any pixel (check sums, end markers).
TAILS = {"png": 24, "png, palette": 24, "png, 16 bits": 24, "gif": 4, "ico": 24, "tga": 26}


def _damaged(name):
    """A small file of this kind with noise in it, so that every byte of it counts."""
    kind, options = DAMAGED[name]
    options = dict(options)
    random = np.random.default_rng(4)
    mode = options.pop("mode", "RGB")
    if mode == "I;16":
        return encode(random.integers(0, 65536, (24, 32)).astype(np.uint16), kind, **options)
    noise = random.integers(0, 256, (24, 32, 3)).astype(np.uint8)
    return encode(Image.fromarray(noise).convert(mode), kind, **options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DAMAGED)
def test_truncated_anywhere(name):
    contents = _damaged(name)
    whole = load(contents)
    tail = len(contents) - TAILS.get(name, 0)
    cuts = {*range(0, tail, max(1, tail // 60)), *range(max(0, tail - 12), tail), *range(20)}
    for cut in sorted(cuts):
        refused(contents[:cut])
    for cut in range(tail, len(contents)):
        with contextlib.suppress(PhotoError):
            assert load(contents[:cut]).tobytes() == whole.tobytes()


def test_a_truncated_file_is_named(tmp_path):
    contents = _damaged("jpeg")
    (tmp_path / "half.jpg").write_bytes(contents[:-100])
    refused(tmp_path / "half.jpg", "half.jpg", f"{len(contents) - 100:,} bytes", "cut off")
    refused(Image.open(tmp_path / "half.jpg"), "PIL image", "cut off")
    refused(png_of(0, 5, 8, 2, b""), "PNG")


@pytest.mark.filterwarnings("ignore")
def test_random_bytes_are_refused():
    random = np.random.default_rng(5)
    for _ in range(400):
        refused(random.bytes(int(random.integers(0, 3000))))
    # Behind a signature that is right.
    for name in DAMAGED:
        start = _damaged(name)[:16]
        for _ in range(15):
            refused(start + random.bytes(500))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DAMAGED)
def test_flipped_bytes_give_a_photo_or_the_error(name):
    random = np.random.default_rng(6)
    contents = _damaged(name)
    for _ in range(60):
        changed = bytearray(contents)
        for _ in range(int(random.integers(1, 6))):
            place = int(random.integers(0, min(len(changed), int(random.choice([40, 400, 4000])))))
            changed[place] = int(random.integers(0, 256))
        try:
            assert load(bytes(changed)).mode == "RGB"
        except PhotoError as error:
            assert re.match(r"bytes \([\d,]+ bytes\): .+\. Accepted are", str(error))
