"""Pictures for the tests of photos, and what is expected of what comes of them."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from cbam_viz.explain.photo import load
from cbam_viz.explain.photo_errors import PhotoError

WHITE, RED, GREEN, BLUE = (255, 255, 255), (220, 30, 40), (20, 200, 60), (30, 50, 210)
INKS = [[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 40], [0, 0, 255, 0], [30, 90, 180, 60]]
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


def jpeg_bytes(size: tuple[int, int], orientation: int = 1) -> bytes:
    """A JPEG of smooth noise, turned by the camera as its EXIF block says."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", exif=exif)
    return file.getvalue()


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png_of(width, height, depth, colour, rows, chunks=()):
    """A PNG file by hand: for depths that Pillow does not write, and for lies."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def patches_of(values):
    """16 px squares side by side, so that no JPEG block has two colours."""
    return np.repeat(np.repeat(np.array([values], np.uint8), 16, 0), 16, 1)


def palette_image():
    """4 x 6 px of the palette white, red, green, blue, column by column; and what it shows."""
    image = Image.new("P", (6, 4))
    image.putpalette([value for colour in (WHITE, RED, GREEN, BLUE) for value in colour])
    indices = np.tile(np.array([0, 1, 2, 3, 2, 1], np.uint8), (4, 1))
    image.putdata(indices.ravel().tolist())
    return image, np.array([WHITE, RED, GREEN, BLUE])[indices]


def from_cmyk(cmyk):
    """[..., 4] in 0..255 to RGB: what is left when inks and black have taken their share."""
    cmyk = np.asarray(cmyk) / 255
    return 255 * (1 - cmyk[..., :3]) * (1 - cmyk[..., 3:])


def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
