"""An image of any mode to the upright RGB photo that a viewer of photos would show.

The camera's turn, the colour profile, transparency, more than 8 bits a channel: all of it is
settled here, once, so that everything after it sees plain sRGB pixels the right way up.
"""

import io
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import ExifTags, Image, ImageCms

from .photo_errors import check_size

#: A photo is reduced on the way only while it stays this many times as large as is enough: resizing
#: it from there is, by Pillow's account, nearly what resizing it from the full size is.
GAP = 3
#: Pixels that are converted at a time; photos of no more of them are not reduced, and kept.
BAND = 4_000_000

#: Formats whose fourth channel is often left at 0 by programs that know of no transparency.
ALPHA_UNUSED = ("BMP", "DIB", "TGA", "DDS", "ICO", "CUR", "SGI", "PSD")

#: What makes a photo of each EXIF orientation upright (1 is upright already).
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

TIFF_BITS, TIFF_PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0


def upright(image: Image.Image, enough: int | None = None) -> Image.Image:
    """A loaded image of any mode as an upright RGB photo of its own memory.

    Band by band: of a large image no second copy is made on the way.
    """
    factor = reduction(image.size, enough)
    levels = _levels(image) if image.mode.startswith(("I", "F")) else None
    opaque = image.mode == "RGBA" and image.format in ALPHA_UNUSED and not _any_alpha(image)
    to_srgb = _converter(image.info.get("icc_profile"))
    width, height = image.size
    photo = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = max(1, BAND // (width * factor)) * factor
    for top in range(0, height, rows):
        band = image
        if rows < height:
            band = image.crop((0, top, width, min(top + rows, height)))
        band = _plain(band, levels)
        if opaque:
            band = band.convert("RGB")
        if factor > 1:
            band = band.reduce(factor)
        photo.paste(_over_white(band, to_srgb), (0, top // factor))
    turn = TURNS.get(_orientation(image))
    return photo if turn is None else photo.transpose(turn)


def reduction(size: tuple[int, int], enough: int | None) -> int:
    """How many px of a side may be averaged into one."""
    if enough is None or size[0] * size[1] <= BAND:  # there is nothing to gain
        return 1
    return max(1, min(size) // (GAP * enough))


def _any_alpha(image: Image.Image) -> bool:
    return image.getextrema()[3][1] > 0


def _plain(image: Image.Image, levels: "_Levels | None") -> Image.Image:
    """An image of mode "L", "RGB" or "CMYK", or with alpha "LA" or "RGBA"."""
    key = image.info.get("transparency")
    if levels:
        grey = levels.scaled(image)
        if isinstance(key, int):
            alpha = np.where(np.asarray(image) == key, 0, 255).astype(np.uint8)
            grey.putalpha(Image.fromarray(alpha))
        return grey
    grey = image.mode in ("1", "L", "LA", "La")
    if not image.has_transparency_data:
        return image if image.mode == "CMYK" else image.convert("L" if grey else "RGB")
    if isinstance(key, tuple) and max(key) > 255:
        # The colour that stands for transparent, of a 16-bit PNG: Pillow has made the pixels
        # 8-bit, not the colour.
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return image.convert("LA" if grey else "RGBA")


def _over_white(image: Image.Image, to_srgb: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """What `_plain` gives as RGB in sRGB."""
    if image.mode not in ("LA", "RGBA"):
        return to_srgb(image)
    photo = to_srgb(image.convert(image.mode[:-1]))
    white = Image.new("RGB", photo.size, "white")
    return Image.composite(photo, white, image.getchannel("A"))


@dataclass(frozen=True)
class _Levels:
    """The range of a grey image of mode "I;16", "I" or "F" that is scaled to 0..255."""

    low: float
    high: float
    inverted: bool

    def scaled(self, image: Image.Image) -> Image.Image:
        values = np.asarray(image).astype(np.float64)
        if image.mode == "F":
            low, high = self.low, self.high
            values = np.nan_to_num(values, copy=False, nan=low, posinf=high, neginf=low)
        values -= self.low
        values *= 255 / (self.high - self.low) if self.high > self.low else 0
        if self.inverted:
            np.subtract(255, values, out=values)
        return Image.fromarray(np.rint(values, out=values).astype(np.uint8))


def _levels(image: Image.Image) -> _Levels:
    """What `load` says of the range of grey images with more than 8 bits."""
    tags = getattr(image, "tag_v2", {})  # of a TIFF file
    # Pillow sees to it up to 8 bits only.
    inverted = tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO
    if image.mode not in ("F", "I"):
        return _Levels(0, 2 ** tags.get(TIFF_BITS, (16,))[0] - 1, inverted)
    if image.mode == "I":
        low, high = image.getextrema()
        if low < 0 or high > 65535:
            return _Levels(low, high, inverted)
        # Files of 32 bits may hold values of any range; Pillow's other "I" is of 16 bits.
        any_range = image.format is None or tags.get(TIFF_BITS, (16,))[0] == 32
        return _Levels(0, 255 if any_range and high <= 255 else 65535, inverted)
    low, high = math.inf, -math.inf
    rows = max(1, BAND // image.width)
    for top in range(0, image.height, rows):
        values = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))
        values = values[np.isfinite(values)].astype(np.float64)
        if values.size:
            low, high = min(low, values.min()), max(high, values.max())
    return _Levels(low, high, inverted) if low <= high else _Levels(0, 0, inverted)


def _converter(profile: bytes | None) -> Callable[[Image.Image], Image.Image]:
    """What turns mode "L", "RGB" or "CMYK" into RGB in sRGB, through a profile if there is one."""
    source = mode = None
    try:
        if profile:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space)
    except Exception:  # a broken profile is no reason to refuse the photo
        pass

    @cache
    def transform() -> ImageCms.ImageCmsTransform:
        srgb = ImageCms.createProfile("sRGB")
        # The finer table costs nothing and halves the error of grey profiles.
        flags = ImageCms.Flags.HIGHRESPRECALC
        return ImageCms.buildTransform(source, srgb, mode, "RGB", flags=flags)

    def to_srgb(colours: Image.Image) -> Image.Image:
        if mode == "RGB" and colours.mode == "L":
            colours = colours.convert("RGB")
        if colours.mode == mode:
            with suppress(Exception):  # as above
                return ImageCms.applyTransform(colours, transform())
        return colours.convert("RGB")

    return to_srgb


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of the photo that `load` makes of an image."""
    check_size(*image.size)
    return image.size[::-1] if _orientation(image) >= 5 else image.size  # those are on their side


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it cannot be read."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the EXIF block is broken, the photo need not be
        return 1
