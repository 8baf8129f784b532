import contextlib
import io
import os
import re
import site
import struct
import tarfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers import SHARED
from PIL import EpsImagePlugin, Image, ImageCms, ImageSequence, features

from cbam_viz.explain import photo
from cbam_viz.explain.photo import FORMATS, MAX_PIXELS, Photo, PhotoError, load

WHITE, RED, GREEN, BLUE = (255, 255, 255), (220, 30, 40), (20, 200, 60), (30, 50, 210)
LOSSLESS = {
    "PNG": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
    "BMP": {},
    "PPM": {},
    "TGA": {},
    "JPEG2000": {},
    "QOI": {},
    "SGI": {},
    "DDS": {},
    "IM": {},
    "PCX": {},
}
VAL = SHARED / "val-0.tar"


def encode(image, kind, **options):
    """A PIL image or array as the bytes of a file."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(photo):
    """The photo as an array of int, to calculate with."""
    assert type(photo) is Image.Image and photo.mode == "RGB"
    return np.asarray(photo).astype(int)


def assert_near(photo, expected, tolerance=0):
    found = pixels(photo)
    assert found.shape == np.shape(expected)
    assert np.abs(found - expected).max() <= tolerance


def grey(values):
    """[H, W] to the [H, W, 3] that is expected of a grey photo."""
    return np.repeat(np.asarray(values)[:, :, None], 3, 2)


def refused(source, *words):
    """The one error that `load` gives for this source; it holds all of these words."""
    with pytest.raises(PhotoError) as caught:
        load(source)
    message = str(caught.value)
    assert "Accepted are" in message and "\n" not in message and len(message) < 1000
    for word in words:
        assert word in message
    return message


@pytest.fixture
def colours():
    """40 x 60 px: two ramps and a corner of noise."""
    y, x = np.mgrid[:40, :60]
    colours = np.stack([x * 4, y * 6, (x + y) * 2], 2).astype(np.uint8)
    colours[5:15, 5:15] = np.random.default_rng(0).integers(0, 256, (10, 10, 3))
    return colours


@pytest.fixture
def quadrants():
    """32 x 48 px: white and red above, green and blue below."""
    above = np.concatenate([np.full((16, 24, 3), c) for c in (WHITE, RED)], 1)
    below = np.concatenate([np.full((16, 24, 3), c) for c in (GREEN, BLUE)], 1)
    return np.concatenate([above, below]).astype(np.uint8)


# ---------------------------------------------------------------- where a photo may come from


class Stream(io.RawIOBase):
    """A stream that cannot go back and gives a few bytes at a time."""

    def __init__(self, contents):
        self.rest = contents

    def read(self, size=-1):
        size = min(size, 100) if size >= 0 else 100
        given, self.rest = self.rest[:size], self.rest[size:]
        return given

    def tell(self):
        raise io.UnsupportedOperation("tell")


def test_every_kind_of_source(colours, tmp_path):
    contents = encode(colours, "PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(contents)
    sources = [
        str(path),
        path,
        contents,
        bytearray(contents),
        memoryview(contents),
        io.BytesIO(contents),
        Stream(contents),
        Image.fromarray(colours),
        Image.open(path),
        colours,
        colours[::-1][::-1],
    ]
    for source in sources:
        assert_near(load(source), colours)
    with open(path, "rb", buffering=0) as file:
        assert_near(load(file), colours)


def test_arrays(colours):
    assert_near(load(colours[:, :, 0]), grey(colours[:, :, 0]))
    assert_near(load(colours[:, :, :1]), grey(colours[:, :, 0]))
    alpha = np.full((40, 60, 1), 255, np.uint8)
    alpha[:20] = 0
    expected = np.where(alpha == 0, 255, colours)
    assert_near(load(np.concatenate([colours, alpha], 2)), expected)
    assert_near(load(np.asfortranarray(colours)), colours)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 5, 3), np.float32),
        np.zeros((4, 5, 3), np.uint16),
        np.zeros((4, 5), bool),
        np.zeros((4, 5, 3), object),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((4, 5, 2), np.uint8),
        np.zeros((1, 4, 5, 3), np.uint8),
        np.zeros(5, np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 0), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_arrays_refused(array):
    refused(array, str(array.dtype), str(list(array.shape)))


def test_the_source_stays_as_it_was(colours, tmp_path):
    contents = encode(colours, "JPEG", exif=_exif(6))
    file = io.BytesIO(contents)
    file.seek(7)
    load(file, enough=8)
    assert file.tell() == 7 and not file.closed

    path = tmp_path / "photo.tif"
    path.write_bytes(encode(colours, "TIFF", compression="tiff_lzw"))
    with open(path, "rb") as file:
        file.read(5)
        load(file)
        assert file.tell() == 5 and file.read() == path.read_bytes()[5:]

    with open(path, "rb") as file, pytest.raises(PhotoError):
        file.seek(3)
        load(io.BufferedReader(io.BytesIO(b"no image")))

    for image in (Image.fromarray(colours), Image.open(io.BytesIO(contents))):
        image.info["note"] = "mine"
        size, mode, info = image.size, image.mode, dict(image.info)
        before = image.tobytes()
        result = load(image, enough=8)
        assert (image.size, image.mode, image.info) == (size, mode, info)
        result.paste((1, 2, 3), (0, 0, *result.size))
        assert image.tobytes() == before

    for array in (colours.copy(), colours[:, :, 0].copy()):
        before = array.copy()
        load(array).paste((1, 2, 3), (0, 0, 60, 40))
        assert (array == before).all()


def test_nothing_of_the_metadata_stays(colours):
    contents = encode(colours, "JPEG", exif=_exif(3), icc_profile=_srgb(), comment=b"me")
    result = load(contents)
    assert result.info == {} and not result.getexif()
    again = Image.open(io.BytesIO(encode(result, "PNG")))
    assert "icc_profile" not in again.info and not again.getexif()
    assert load(result).tobytes() == result.tobytes()


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


# ---------------------------------------------------------------- upright


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _stored(upright, orientation):
    """The upright array as a camera stores it, from the standard's table.

    "The 0th row is the visual top, the 0th column the visual left-hand side" and so on: for each
    orientation which upright pixel lies at the stored row r and column c.
    """
    height, width = upright.shape[:2]
    bottom, right = height - 1, width - 1
    rows, columns = (height, width) if orientation <= 4 else (width, height)
    r, c = np.mgrid[:rows, :columns]
    y, x = {
        1: (r, c),
        2: (r, right - c),
        3: (bottom - r, right - c),
        4: (bottom - r, c),
        5: (c, r),
        6: (c, right - r),
        7: (bottom - c, right - r),
        8: (bottom - c, r),
    }[orientation]
    return np.ascontiguousarray(upright[y, x])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_upright(orientation, quadrants):
    stored, exif = _stored(quadrants, orientation), _exif(orientation)
    for kind in ("PNG", "TIFF", "WEBP"):
        assert_near(load(encode(stored, kind, exif=exif, **LOSSLESS[kind])), quadrants)
    assert_near(load(encode(stored, "TIFF", exif=exif, compression="tiff_lzw")), quadrants)
    for kind in ("JPEG", "MPO"):
        contents = encode(stored, kind, exif=exif, quality=95, subsampling=0)
        assert_near(load(contents), quadrants, 6)
        assert_near(load(Image.open(io.BytesIO(contents))), quadrants, 6)
        reduced = load(contents, enough=16)
        assert reduced.size == (24, 16)
        assert_near(reduced, quadrants[::2, ::2], 6)
    if features.check("avif"):
        contents = encode(stored, "AVIF", exif=exif, quality=95, subsampling="4:4:4")
        assert np.abs(pixels(load(contents)) - quadrants).mean() < 8


def test_turn_together_with_transparency(quadrants):
    layered = np.dstack([quadrants, np.full((32, 48), 255, np.uint8)])
    layered[16:, 24:, 3] = 0
    expected = quadrants.copy()
    expected[16:, 24:] = 255
    assert_near(load(encode(_stored(layered, 6), "PNG", exif=_exif(6))), expected)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\0\0no such thing", b"Exif\0\0II*\0\xff\xff\xff\xff", b""])
def test_a_broken_exif_block_is_ignored(exif, quadrants):
    assert_near(load(encode(quadrants, "PNG", exif=exif)), quadrants)
    assert load(encode(quadrants, "JPEG", exif=exif)).size == (48, 32)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_is_ignored(orientation, quadrants):
    assert_near(load(encode(quadrants, "PNG", exif=_exif(orientation))), quadrants)


# ---------------------------------------------------------------- modes


def test_grey_and_two_colours(colours):
    values = colours[:, :, 0]
    assert_near(load(encode(values, "PNG")), grey(values))
    black_white = values > 100
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        contents = encode(Image.fromarray(black_white), kind)
        assert_near(load(contents), grey(black_white * 255))
    contents = encode(Image.fromarray(black_white), "TIFF", compression="group4")
    assert_near(load(contents), grey(black_white * 255))


def _palette_image():
    """4 x 6 px of the palette white, red, green, blue, column by column; and what it shows."""
    image = Image.new("P", (6, 4))
    image.putpalette([value for colour in (WHITE, RED, GREEN, BLUE) for value in colour])
    indices = np.tile(np.array([0, 1, 2, 3, 2, 1], np.uint8), (4, 1))
    image.putdata(indices.ravel().tolist())
    return image, np.array([WHITE, RED, GREEN, BLUE])[indices]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_palette(kind):
    image, shown = _palette_image()
    assert_near(load(encode(image, kind)), shown)
    assert_near(load(image), shown)


def test_palette_with_transparency():
    image, shown = _palette_image()
    expected = np.where((shown == GREEN).all(2, keepdims=True), 255, shown)
    for kind in ("PNG", "GIF"):
        assert_near(load(encode(image, kind, transparency=2)), expected)
    # One alpha for each entry of the palette.
    alphas = np.array([255, 255, 51, 0])
    indices = np.asarray(image)
    weight = alphas[indices][:, :, None] / 255
    contents = encode(image, "PNG", transparency=bytes(alphas.tolist()))
    assert_near(load(contents), shown * weight + 255 * (1 - weight), 1)
    rgba = Image.new("P", (2, 1))
    rgba.putpalette([*RED, 255, *BLUE, 0], "RGBA")
    rgba.putdata([0, 1])
    assert_near(load(rgba), [[RED, WHITE]])


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_transparency_lies_over_white(kind, colours):
    alpha = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (40, 1))
    weight = alpha[:, :, None] / 255
    options = {"exact": True, **LOSSLESS[kind]} if kind == "WEBP" else {}
    expected = colours * weight + 255 * (1 - weight)
    assert_near(load(encode(np.dstack([colours, alpha]), kind, **options)), expected, 1)
    if kind != "WEBP":
        values = colours[:, :, 0]
        layered = Image.merge("LA", (Image.fromarray(values), Image.fromarray(alpha)))
        expected = values * weight[:, :, 0] + 255 * (1 - weight[:, :, 0])
        assert_near(load(encode(layered, kind)), grey(expected), 1)


def test_one_transparent_colour():
    values = np.array([[0, 10, 200, 255]], np.uint8)
    contents = encode(values, "PNG", transparency=10)
    assert_near(load(contents), grey([[0, 255, 200, 255]]))
    colours = np.array([[RED, GREEN, BLUE]], np.uint8)
    assert_near(load(encode(colours, "PNG", transparency=GREEN)), [[RED, WHITE, BLUE]])
    deep = np.array([[0, 2570, 65535]], np.uint16)
    assert_near(load(encode(deep, "PNG", transparency=2570)), grey([[0, 255, 255]]))


def test_premultiplied_and_palette_alpha():
    layered = Image.new("RGBA", (2, 2), (*RED, 128))
    expected = np.array(RED) * 128 / 255 + 255 * 127 / 255
    assert_near(load(layered.convert("RGBa")), np.tile(expected, (2, 2, 1)), 2)
    assert_near(load(layered.convert("PA")), np.tile(expected, (2, 2, 1)), 12)


def _from_cmyk(cmyk):
    """[..., 4] in 0..255 to RGB: what is left when inks and black have taken their share."""
    cmyk = np.asarray(cmyk) / 255
    return 255 * (1 - cmyk[..., :3]) * (1 - cmyk[..., 3:])


INKS = [[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 40], [0, 0, 255, 0], [30, 90, 180, 60]]


def _patches(values):
    """16 px squares side by side, so that no JPEG block has two colours."""
    return np.repeat(np.repeat(np.array([values], np.uint8), 16, 0), 16, 1)


def test_cmyk():
    cmyk = _patches(INKS)
    image = Image.fromarray(cmyk, "CMYK")
    assert_near(load(image), _from_cmyk(cmyk), 1)
    assert_near(load(encode(image, "TIFF")), _from_cmyk(cmyk), 1)


def test_cmyk_jpeg_of_adobe_is_inverted():
    cmyk = _patches(INKS)
    contents = encode(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=100)
    assert b"Adobe" in contents
    assert_near(load(contents), _from_cmyk(cmyk), 3)


def test_ycck_jpeg():
    # The four planes of a YCCK file: inverted inks as if they were RGB, in YCbCr, and inverted
    # black. Written as CMYK, then renamed by the transform byte of the Adobe marker.
    cmyk = _patches(INKS).astype(float)
    r, g, b = np.moveaxis(cmyk[..., :3], 2, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    cb = 128 + (b - y) / 1.772
    cr = 128 + (r - y) / 1.402
    planes = np.stack([y, cb, cr, 255 - cmyk[..., 3]], 2).round().clip(0, 255).astype(np.uint8)
    # Pillow inverts what it writes, too.
    contents = bytearray(encode(Image.fromarray(255 - planes, "CMYK"), "JPEG", quality=100))
    marker = contents.index(b"Adobe")
    assert contents[marker + 11] == 0
    contents[marker + 11] = 2
    assert_near(load(bytes(contents)), _from_cmyk(cmyk), 5)


def test_lab_and_ycbcr(quadrants):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.fromarray(quadrants), srgb, lab, outputMode="LAB")
    assert_near(load(encode(image, "TIFF")), quadrants, 4)
    assert_near(load(Image.fromarray(quadrants).convert("YCbCr")), quadrants, 3)


# ---------------------------------------------------------------- more than 8 bits

RAMP = np.arange(65536).reshape(256, 256)


def _tiff(values, photometric=1, sample_format=1, order="<"):
    """An uncompressed grey TIFF file of any type and byte order, written by hand."""
    values = np.asarray(values)
    values = values.astype(values.dtype.newbyteorder(order))
    height, width = values.shape
    tags = {
        256: width,
        257: height,
        258: 8 * values.itemsize,
        259: 1,
        262: photometric,
        273: 8,
        277: 1,
        278: height,
        279: values.nbytes,
        339: sample_format,
    }
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8 + values.nbytes)
    body = struct.pack(order + "H", len(tags))
    for tag, value in tags.items():
        body += struct.pack(order + "HHII", tag, 4, 1, value)
    return head + values.tobytes() + body + bytes(4)


def test_16_bits_are_scaled_not_clipped():
    expected = grey(RAMP / 257)
    deep = RAMP.astype(np.uint16)
    sources = [
        encode(deep, "PNG"),
        encode(deep, "TIFF"),
        encode(deep, "TIFF", compression="tiff_lzw"),
        encode(deep, "JPEG2000"),
        encode(deep, "PPM"),
        _tiff(deep),
        _tiff(deep, order=">"),
        Image.fromarray(deep),
        Image.fromarray(RAMP.astype(np.int32)),
    ]
    for source in sources:
        assert_near(load(source), expected, 0.5)
    assert Image.open(io.BytesIO(_tiff(deep, order=">"))).mode == "I;16B"
    assert_near(load(_tiff(deep, photometric=0)), 255 - expected, 0.5)


def test_16_bits_that_use_a_part_of_the_range_stay_dark():
    dark = np.array([[0, 100, 4095]], np.uint16)
    assert_near(load(encode(dark, "PNG")), grey([[0, 0, 16]]))
    assert_near(load(encode(dark, "PPM")), grey([[0, 0, 16]]))
    assert_near(load(encode(dark % 200, "PPM")), grey([[0, 0, 0]]))


def test_32_bit_integers():
    wide = np.array([[-(2**31), 0, 2**31 - 1]], np.int32)
    expected = grey([[0, 127.5, 255]])
    assert_near(load(_tiff(wide, sample_format=2)), expected, 0.5)
    assert_near(load(Image.fromarray(wide)), expected, 0.5)
    signed = np.array([[-100, 0, 300]], np.int16)
    assert_near(load(_tiff(signed, sample_format=2)), grey([[0, 63.75, 255]]), 0.5)
    # As an array of ints from 0 to 255 becomes a PIL image.
    small = np.array([[0, 7, 128, 255]], np.int32)
    assert_near(load(Image.fromarray(small)), grey(small))


def _png(width, height, depth, colour, rows, chunks=()):
    """A PNG file by hand: for depths that Pillow does not write, and for lies."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def test_16_bit_colours():
    values = np.random.default_rng(1).integers(0, 65536, (5, 7, 4))
    values[0, :, 3] = 65535

    def rows(array):
        return b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)

    assert_near(load(_png(7, 5, 16, 2, rows(values[..., :3]))), values[..., :3] / 257, 1)
    weight = values[..., 3:] / 65535
    expected = values[..., :3] / 257 * weight + 255 * (1 - weight)
    assert_near(load(_png(7, 5, 16, 6, rows(values))), expected, 2)
    expected = values[..., 0] / 257 * weight[..., 0] + 255 * (1 - weight[..., 0])
    assert_near(load(_png(7, 5, 16, 4, rows(values[..., [0, 3]]))), grey(expected), 2)
    # One transparent colour; the first pixel has its low bytes as high bytes.
    row = np.array([[[0x3000, 0x4000, 0x5000], [0x1030, 0x2040, 0x3050]]])
    key = (b"tRNS", struct.pack(">HHH", 0x1030, 0x2040, 0x3050))
    contents = _png(2, 1, 16, 2, rows(row), [key])
    assert_near(load(contents), [[[0x30, 0x40, 0x50], WHITE]])


@pytest.mark.parametrize("low, high", [(0, 1), (-3.5, 12), (0, 255), (1e-30, 3e-30), (-3e38, 3e38)])
def test_float_images_are_scaled_by_their_own_range(low, high):
    share = np.linspace(0, 1, 256).reshape(16, 16)
    values = (low * (1 - share) + high * share).astype(np.float32)
    sources = [
        Image.fromarray(values),
        encode(values, "TIFF"),
        _tiff(values, sample_format=3),
        _tiff(values, sample_format=3, order=">"),
    ]
    for source in sources:
        assert_near(load(source), grey(share * 255), 0.51)


def test_float_images_with_gaps():
    nan, inf = float("nan"), float("inf")
    values = np.array([[nan, 0, 5, 10, inf, -inf]], np.float32)
    assert_near(load(encode(values, "TIFF")), grey([[0, 0, 128, 255, 255, 0]]), 0.51)
    for constant in (7, nan, inf):
        values = np.full((2, 3), constant, np.float32)
        assert_near(load(encode(values, "TIFF")), grey(np.zeros((2, 3))))


# ---------------------------------------------------------------- animations and pages


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_of_many(kind, quadrants):
    frames = [Image.fromarray(quadrants), Image.new("RGB", (48, 32), BLUE)]
    options = LOSSLESS.get(kind, {}) if kind != "GIF" else {}
    contents = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(contents)).n_frames == 2
    assert_near(load(contents), quadrants)


def test_a_pil_image_is_taken_at_its_frame(quadrants):
    frames = [Image.fromarray(quadrants), Image.new("RGB", (48, 32), BLUE)]
    animation = Image.open(
        io.BytesIO(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    )
    shown = [pixels(load(frame)) for frame in ImageSequence.Iterator(animation)]
    assert (shown[0] == quadrants).all() and (shown[1] == BLUE).all()
    assert animation.tell() == 1


# ---------------------------------------------------------------- colour profiles

SRGB_COLORANTS = [
    [0.43607, 0.22249, 0.01392],
    [0.38515, 0.71687, 0.09708],
    [0.14307, 0.06061, 0.71410],
]
ADOBE_COLORANTS = [
    [0.60974, 0.31111, 0.01947],
    [0.20528, 0.62567, 0.06087],
    [0.14919, 0.06322, 0.74457],
]


def _srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _fixed(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _icc(space, tags, connection=b"XYZ ", kind=b"mntr"):
    """A colour profile of version 2 (ICC.1:2001-04), written by hand."""
    white = _fixed(0.9642, 1, 0.8249)
    tags = {b"wtpt": b"XYZ \0\0\0\0" + white, **tags}
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, start + len(data), len(tag))
        data += tag + bytes(-len(tag) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(data), b"", 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + white + bytes(48)
    assert len(head) == 128
    return head + table + data


def _gamma(value):
    return b"curv" + struct.pack(">IIH", 0, 1, round(value * 256))


def _rgb_profile(colorants, gamma):
    tags = {}
    for channel, colorant in zip("rgb", colorants, strict=True):
        tags[f"{channel}XYZ".encode()] = b"XYZ \0\0\0\0" + _fixed(*colorant)
        tags[f"{channel}TRC".encode()] = _gamma(gamma)
    return _icc(b"RGB ", tags)


def _srgb_encoded(linear):
    """IEC 61966-2-1: light in 0..1 to values in 0..255."""
    linear = np.clip(linear, 0, 1)
    low = linear * 12.92
    return 255 * np.where(linear <= 0.0031308, low, 1.055 * linear ** (1 / 2.4) - 0.055)


def _adobe_to_srgb(values):
    light = (np.asarray(values) / 255) ** 2.2
    xyz = light @ np.array(ADOBE_COLORANTS)
    return _srgb_encoded(xyz @ np.linalg.inv(SRGB_COLORANTS))


def test_a_wide_gamut_is_converted():
    values = np.random.default_rng(2).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    profile = _rgb_profile(ADOBE_COLORANTS, 2.2)
    expected = _adobe_to_srgb(values)
    assert np.abs(expected - values).max() > 40
    for kind in ("PNG", "TIFF", "WEBP"):
        assert_near(load(encode(values, kind, icc_profile=profile, **LOSSLESS[kind])), expected, 2)
    image = Image.fromarray(values)
    image.info["icc_profile"] = profile
    assert_near(load(image), expected, 2)


def test_a_profile_reaches_jpeg_palette_and_transparency():
    profile = _rgb_profile(ADOBE_COLORANTS, 2.2)
    patches = _patches([RED, GREEN, BLUE, (100, 100, 100)])
    contents = encode(patches, "JPEG", quality=100, subsampling=0, icc_profile=profile)
    assert_near(load(contents), _adobe_to_srgb(patches), 4)
    assert_near(load(contents, enough=8), _adobe_to_srgb(patches[::2, ::2]), 4)
    image, shown = _palette_image()
    assert_near(load(encode(image, "PNG", icc_profile=profile)), _adobe_to_srgb(shown), 2)
    # White stays white: it is laid under the photo after the conversion.
    layered = np.dstack([patches, np.full(patches.shape[:2], 51, np.uint8)])
    expected = _adobe_to_srgb(patches) * 0.2 + 255 * 0.8
    assert_near(load(encode(layered, "PNG", icc_profile=profile)), expected, 2)


def test_swapped_primaries_swap_the_channels(colours):
    red, green, blue = SRGB_COLORANTS
    swapped = load(encode(colours, "PNG", icc_profile=_rgb_profile([green, red, blue], 2.2)))
    plain = load(encode(colours, "PNG", icc_profile=_rgb_profile([red, green, blue], 2.2)))
    assert_near(swapped, pixels(plain)[:, :, [1, 0, 2]], 1)


def test_an_srgb_profile_changes_nothing(colours):
    assert_near(load(encode(colours, "PNG", icc_profile=_srgb())), colours, 1)


def test_grey_profiles():
    values = np.tile(np.arange(256, dtype=np.uint8), (2, 1))
    profile = _icc(b"GRAY", {b"kTRC": _gamma(1.5)})
    expected = grey(_srgb_encoded((values / 255) ** 1.5))
    assert np.abs(expected[:, :, 0] - values).max() > 30
    assert_near(load(encode(values, "PNG", icc_profile=profile)), expected, 2)
    deep = values.astype(np.uint16) * 257
    assert_near(load(encode(deep, "PNG", icc_profile=profile)), expected, 2)
    layered = Image.merge("LA", [Image.fromarray(values)] * 2)
    weight = grey(values / 255)
    contents = encode(layered, "PNG", icc_profile=profile)
    assert_near(load(contents), expected * weight + 255 * (1 - weight), 2)
    # Some programs leave the profile of the colours in the grey copy.
    contents = encode(values, "PNG", icc_profile=_rgb_profile(SRGB_COLORANTS, 1.5))
    assert_near(load(contents), expected, 2)


def _cmyk_profile():
    """A press whose lightness (CIE L*) is 100 - cyan, whatever the other inks do."""
    identity = bytes(range(256))
    corners = b"".join(bytes([0 if c else 255, 128, 128]) for c in (0, 1) for _ in range(8))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut += identity * 4 + corners + identity * 3
    return _icc(b"CMYK", {b"A2B0": lut}, b"Lab ", b"prtr")


def test_a_cmyk_profile_is_used():
    inks = _patches([[0, 9, 200, 30], [60, 0, 0, 0], [128, 255, 0, 80], [255, 0, 0, 0]])
    lightness = 100 * (1 - inks[..., 0] / 255)
    f = (lightness + 16) / 116
    luminance = np.where(lightness > 8, f**3, lightness / 903.3)
    expected = grey(_srgb_encoded(luminance))
    assert np.abs(expected - _from_cmyk(inks)).max() > 100
    image = Image.fromarray(inks, "CMYK")
    assert_near(load(encode(image, "TIFF", icc_profile=_cmyk_profile())), expected, 3)
    contents = encode(image, "JPEG", quality=100, icc_profile=_cmyk_profile())
    assert_near(load(contents), expected, 4)


def test_profiles_that_do_not_fit_or_are_broken_are_ignored(colours):
    good = _rgb_profile(ADOBE_COLORANTS, 2.2)
    useless = [
        b"",
        b"no profile",
        good[:100],
        good[:200],
        good[:128] + bytes(200),
        _icc(b"RGB ", {}),
        _icc(b"GRAY", {b"kTRC": _gamma(1)}),
        _cmyk_profile(),
        np.random.default_rng(3).bytes(3000),
    ]
    for profile in useless:
        assert_near(load(encode(colours, "TIFF", icc_profile=profile)), colours)
        image = Image.fromarray(colours)
        image.info["icc_profile"] = profile
        assert_near(load(image), colours)
    cmyk = _patches(INKS)
    contents = encode(Image.fromarray(cmyk, "CMYK"), "TIFF", icc_profile=good)
    assert_near(load(contents), _from_cmyk(cmyk), 1)


# ---------------------------------------------------------------- large photos, at the size enough


@pytest.fixture(scope="module")
def large():
    """A JPEG file of 4000 x 3000 px with a ramp in each direction, and its pixels."""
    y, x = np.mgrid[:3000, :4000]
    ramps = np.stack([x // 16, y // 12, np.full(x.shape, 90)], 2).astype(np.uint8)
    return encode(ramps, "JPEG", quality=95, subsampling=0), ramps


@pytest.mark.parametrize(
    "enough, size",
    [
        (1, (500, 375)),
        (224, (500, 375)),
        (375, (500, 375)),
        (376, (1000, 750)),
        (1000, (2000, 1500)),
        (1501, (4000, 3000)),
        (5000, (4000, 3000)),
        (None, (4000, 3000)),
    ],
)
def test_large_jpegs_decode_at_the_size_that_is_enough(large, enough, size):
    contents, ramps = large
    result = load(contents, enough)
    assert result.size == size
    scale = 4000 // size[0]
    found = np.asarray(result)[::25, ::25].astype(int)
    assert np.abs(found - ramps[:: 25 * scale, :: 25 * scale]).max() <= 4


def test_enough_is_the_short_side_however_the_photo_is_turned(tmp_path):
    contents = encode(Image.new("RGB", (900, 300)), "JPEG", exif=_exif(6))
    (tmp_path / "turned.jpg").write_bytes(contents)
    for source in (contents, io.BytesIO(contents), tmp_path / "turned.jpg"):
        assert load(source, 150).size == (150, 450)
        assert load(source, 151).size == (300, 900)
        assert load(source).size == (300, 900)
    for mode in ("L", "CMYK"):
        assert load(encode(Image.new(mode, (900, 300)), "JPEG"), 150).size == (450, 150)
    assert load(encode(Image.new("RGB", (900, 300)), "PNG"), 10).size == (900, 300)
    assert load(Image.open(io.BytesIO(contents)), 10).size == (300, 900)


@pytest.mark.parametrize("enough", [0, -1])
def test_enough_must_be_positive(enough, colours):
    with pytest.raises(ValueError, match="enough") as caught:
        load(colours, enough)
    assert not isinstance(caught.value, PhotoError)


@pytest.mark.parametrize("size", [(1, 1), (5000, 10), (10, 5000), (1, 3), (2, 1)])
def test_extreme_sizes(size):
    image = Image.new("RGB", size, RED)
    for kind in ("PNG", "JPEG", "WEBP"):
        assert load(encode(image, kind), 224).size == size
        assert load(encode(image, kind)).size == size
    assert (pixels(load(image)) == RED).all()


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
    return _png(width, height, 8, 2, bytes(1000))


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
    monkeypatch.setattr(photo, "MAX_PIXELS", 600)
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
    refused(_png(0, 5, 8, 2, b""), "PNG")


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


def jpeg_bytes(size: tuple[int, int], orientation: int = 1) -> bytes:
    """A JPEG of smooth noise, turned by the camera as its EXIF block says."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", exif=exif)
    return file.getvalue()


class OneWay(io.BytesIO):
    """A stream: it can be read once and cannot go back."""

    def seekable(self):
        return False

    def seek(self, *_):
        raise OSError("a stream cannot seek")

    tell = seek


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_knows_its_upright_size_before_it_is_decoded(orientation):
    photo = Photo(jpeg_bytes((2400, 1800), orientation))
    assert photo.size == ((2400, 1800) if orientation < 5 else (1800, 2400))
    assert photo.image.size == photo.size


def test_what_a_photo_gives_does_not_depend_on_what_was_asked_before():
    for size, reduced in (((1600, 1200), False), ((2400, 1800), True)):
        photo, other = Photo(jpeg_bytes(size)), Photo(jpeg_bytes(size))
        shown = photo.at_least(200, 200)
        assert (200 <= min(shown.size) < min(size)) == reduced
        assert shown.size[0] * size[1] == shown.size[1] * size[0]
        assert other.image == photo.image == load(jpeg_bytes(size))
        assert other.at_least(200, 200) == shown == photo.at_least(200, 200)
        assert (photo.image is photo.image) != reduced  # a large one is not kept


def test_a_photo_outlives_its_file(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes((640, 480)))
    photo = Photo(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").unlink()
    assert photo.image.size == (640, 480)


def test_a_photo_from_a_stream_that_cannot_go_back():
    assert Photo(OneWay(jpeg_bytes((640, 480)))).image.size == (640, 480)
    with pytest.raises(PhotoError, match="not an image"):
        Photo(OneWay(b"no photo at all"))


def test_errors_name_the_file_also_when_it_is_decoded_later(tmp_path):
    (tmp_path / "half.jpg").write_bytes(jpeg_bytes((2400, 1800))[:6000])
    photo = Photo(tmp_path / "half.jpg")
    with pytest.raises(PhotoError, match=r"half\.jpg"):
        photo.at_least(100, 100)
    with pytest.raises(PhotoError, match=r"half\.jpg"):
        _ = photo.image
    with pytest.raises(PhotoError, match=r"absent\.jpg.*no such file"):
        Photo(tmp_path / "absent.jpg")


def test_one_photo_in_many_threads():
    photo = Photo(jpeg_bytes((2400, 1800)))
    expected = load(jpeg_bytes((2400, 1800)), 200).tobytes()
    with ThreadPoolExecutor(16) as pool:
        for got in pool.map(lambda _: photo.at_least(200, 200).tobytes(), range(64)):
            assert got == expected
