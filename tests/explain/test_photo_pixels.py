"""Pixels: upright, of every mode and depth, the first of many."""

import io
import struct

import numpy as np
import pytest
from photo_samples import (
    BLUE,
    GREEN,
    INKS,
    LOSSLESS,
    RED,
    WHITE,
    assert_near,
    encode,
    exif_of,
    from_cmyk,
    grey,
    palette_image,
    patches_of,
    pixels,
    png_of,
)
from PIL import Image, ImageCms, ImageSequence, features

from cbam_viz.explain.photo import load

# ---------------------------------------------------------------- upright


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
    stored, exif = _stored(quadrants, orientation), exif_of(orientation)
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
    assert_near(load(encode(_stored(layered, 6), "PNG", exif=exif_of(6))), expected)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\0\0no such thing", b"Exif\0\0II*\0\xff\xff\xff\xff", b""])
def test_a_broken_exif_block_is_ignored(exif, quadrants):
    assert_near(load(encode(quadrants, "PNG", exif=exif)), quadrants)
    assert load(encode(quadrants, "JPEG", exif=exif)).size == (48, 32)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_is_ignored(orientation, quadrants):
    assert_near(load(encode(quadrants, "PNG", exif=exif_of(orientation))), quadrants)


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


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_palette(kind):
    image, shown = palette_image()
    assert_near(load(encode(image, kind)), shown)
    assert_near(load(image), shown)


def test_palette_with_transparency():
    image, shown = palette_image()
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


def test_cmyk():
    cmyk = patches_of(INKS)
    image = Image.fromarray(cmyk, "CMYK")
    assert_near(load(image), from_cmyk(cmyk), 1)
    assert_near(load(encode(image, "TIFF")), from_cmyk(cmyk), 1)


def test_cmyk_jpeg_of_adobe_is_inverted():
    cmyk = patches_of(INKS)
    contents = encode(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=100)
    assert b"Adobe" in contents
    assert_near(load(contents), from_cmyk(cmyk), 3)


def test_ycck_jpeg():
    # The four planes of a YCCK file: inverted inks as if they were RGB, in YCbCr, and inverted
    # black. Written as CMYK, then renamed by the transform byte of the Adobe marker.
    cmyk = patches_of(INKS).astype(float)
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
    assert_near(load(bytes(contents)), from_cmyk(cmyk), 5)


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


def test_16_bit_colours():
    values = np.random.default_rng(1).integers(0, 65536, (5, 7, 4))
    values[0, :, 3] = 65535

    def rows(array):
        return b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)

    assert_near(load(png_of(7, 5, 16, 2, rows(values[..., :3]))), values[..., :3] / 257, 1)
    weight = values[..., 3:] / 65535
    expected = values[..., :3] / 257 * weight + 255 * (1 - weight)
    assert_near(load(png_of(7, 5, 16, 6, rows(values))), expected, 2)
    expected = values[..., 0] / 257 * weight[..., 0] + 255 * (1 - weight[..., 0])
    assert_near(load(png_of(7, 5, 16, 4, rows(values[..., [0, 3]]))), grey(expected), 2)
    # One transparent colour; the first pixel has its low bytes as high bytes.
    row = np.array([[[0x3000, 0x4000, 0x5000], [0x1030, 0x2040, 0x3050]]])
    key = (b"tRNS", struct.pack(">HHH", 0x1030, 0x2040, 0x3050))
    contents = png_of(2, 1, 16, 2, rows(row), [key])
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
