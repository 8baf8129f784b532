"""Colour profiles."""

import struct

import numpy as np
from photo_samples import (
    BLUE,
    GREEN,
    INKS,
    LOSSLESS,
    RED,
    assert_near,
    encode,
    from_cmyk,
    grey,
    palette_image,
    patches_of,
    pixels,
    srgb_profile,
)
from PIL import Image

from cbam_viz.explain.photo import load

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
    patches = patches_of([RED, GREEN, BLUE, (100, 100, 100)])
    contents = encode(patches, "JPEG", quality=100, subsampling=0, icc_profile=profile)
    assert_near(load(contents), _adobe_to_srgb(patches), 4)
    assert_near(load(contents, enough=8), _adobe_to_srgb(patches[::2, ::2]), 4)
    image, shown = palette_image()
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
    assert_near(load(encode(colours, "PNG", icc_profile=srgb_profile())), colours, 1)


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
    inks = patches_of([[0, 9, 200, 30], [60, 0, 0, 0], [128, 255, 0, 80], [255, 0, 0, 0]])
    lightness = 100 * (1 - inks[..., 0] / 255)
    f = (lightness + 16) / 116
    luminance = np.where(lightness > 8, f**3, lightness / 903.3)
    expected = grey(_srgb_encoded(luminance))
    assert np.abs(expected - from_cmyk(inks)).max() > 100
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
    cmyk = patches_of(INKS)
    contents = encode(Image.fromarray(cmyk, "CMYK"), "TIFF", icc_profile=good)
    assert_near(load(contents), from_cmyk(cmyk), 1)
