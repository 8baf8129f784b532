"""What is accepted as a photo, and the one error that says what was not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

PhotoSource = str | os.PathLike | bytes | BinaryIO | Image.Image | np.ndarray

#: More pixels than this are refused from the header alone, before anything is decoded.
MAX_PIXELS = 50_000_000
#: No file of `MAX_PIXELS` is bigger: four float32 channels, uncompressed.
MAX_BYTES = 16 * MAX_PIXELS

ACCEPTED = (
    "Accepted are a path, bytes, a file object, a PIL image or a uint8 array [H, W, 3]; files of "
    "JPEG, PNG, WebP, AVIF, GIF, TIFF, BMP or another raster format that Pillow reads; "
    f"up to {MAX_PIXELS // 10**6} megapixels."
)


class PhotoError(ValueError):
    """A photo cannot be used. Says what was given, what is wrong with it and what is accepted."""


class Refused(Exception):
    """The reason alone; `explained` makes the sentence of it."""


@contextmanager
def explained(source: PhotoSource, accepted: str = ACCEPTED) -> Iterator[list[str]]:
    """Whatever goes wrong with a photo inside becomes a `PhotoError` that says what is accepted.

    Gives the words that call the photo by what it is; more can be added.
    """
    what = [_describe(source)]
    try:
        yield what
    except PhotoError:
        raise
    except Refused as error:
        raise PhotoError(f"{' '.join(what)}: {error}. {accepted}") from error.__cause__
    except Exception as error:
        # Pillow's decoders raise nearly everything there is when a file is damaged.
        reason = f"it cannot be decoded and may be damaged or cut off ({error!r:.200})"
        if isinstance(error, MemoryError):
            reason = "decoding it takes more memory than there is"
        raise PhotoError(f"{' '.join(what)}: {reason}. {accepted}") from error


def _describe(source: Any) -> str:
    """What was given, in a few words."""
    if isinstance(source, Image.Image):
        return f"PIL image of mode {source.mode}, {source.width} x {source.height} px"
    if isinstance(source, np.ndarray):
        return f"{source.dtype} array {list(source.shape)}"
    is_path = isinstance(source, str | os.PathLike)
    name = source if is_path else getattr(source, "name", None)
    if isinstance(name, str | os.PathLike):
        name = os.fsdecode(name)
        if not is_path or os.path.isfile(name):
            # The name alone: on a server the folder is a temporary one and nobody's business.
            name = os.path.basename(name)
        return repr(name if len(name) <= 200 else name[:199] + "…")
    return type(source).__name__


def check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise Refused("it has no pixels")
    if width * height > MAX_PIXELS:
        raise Refused(f"{width:,} x {height:,} px are more than {MAX_PIXELS:,}")
