"""Any image to an upright RGB photo, or one clear error."""

import io
import itertools
import math
import os
import re
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from .photo_errors import MAX_BYTES, PhotoSource, Refused, check_size, explained
from .photo_formats import FORMATS, REDUCED_BY_DECODER, identify
from .photo_pixels import BAND, reduction, upright, upright_size

CHUNK = 2**20  # bytes read from a file object at a time

#: One slash is what a path leaves of two; a single letter is a disk's.
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/|data:", re.IGNORECASE)


def load(source: PhotoSource, enough: int | None = None, draft: bool = True) -> Image.Image:
    """Any image to an upright RGB photo.

    - The EXIF turn is carried out; a broken one is ignored.
    - An embedded colour profile is converted to sRGB; one that is broken, or not of the image's
      colour space, is ignored.
    - Transparency is laid over white; in formats where it is often left unused, an alpha that is
      0 throughout is taken for none.
    - 16-bit integers are scaled from their whole range, 0..65535. Pillow's 32-bit mode "I" most
      often holds such values too and is then scaled alike; with values outside of 0..65535 it is
      scaled by its own range. One that stays within 0..255 is taken as it is, if it comes from no
      file or from one of 32 bits.
    - Float images are scaled by the range of their finite values; what is not a number becomes
      black, and so does an image of one single value.
    - Of an animation, or of several pages, the first is taken.

    The source is neither closed nor changed: a file object is read from its start and left at the
    position it had; a PIL image that was opened lazily is loaded, at the frame it stands at.

    Args:
        source: path, file contents, binary file object, PIL image, or uint8 array [H, W, 3],
            [H, W, 4], [H, W, 1] or [H, W]. Arrays of other types are refused: whether their
            white is 1, 255 or 65535 cannot be known.
        enough: px that the photo's short side should at least have. A photo of more than `BAND`
            px may then come averaged down to `GAP` times what is enough. Without it the photo
            comes at full size.
        draft: whether a JPEG file, if there is an ``enough``, may be decoded at 1/2, 1/4 or 1/8 of
            its size, the smallest that is enough, in a fraction of the time. Good to look at; a
            network's gates differ by up to 0.1 from those of the full photo.

    Returns:
        A photo of mode "RGB" in sRGB, of its own memory and without the file's metadata.

    Raises:
        PhotoError: for whatever cannot be read, is empty, damaged or cut off, or has more than
            `MAX_PIXELS` pixels (refused before decoding).
        ValueError: if ``enough`` is below 1.
    """
    if enough is not None and enough < 1:
        raise ValueError(f"enough must be at least 1 px, not {enough}")
    with explained(source) as what:
        if isinstance(source, Image.Image):
            return upright(_loaded(source), enough)
        if isinstance(source, np.ndarray):
            return upright(_from_array(source), enough)
        with _open(source) as file:
            size = file.seek(0, os.SEEK_END)
            what.append(f"({size:,} bytes)")
            if size == 0:
                raise Refused("it is empty")
            if size > MAX_BYTES:
                raise Refused("it is bigger than any photo that is accepted")
            return decode(file, [enough], draft=draft)[0]


def decode(
    file: BinaryIO,
    enough: Sequence[int | None],
    formats: Sequence[str] = FORMATS,
    draft: bool = False,
) -> list[Image.Image]:
    """What `load` gives for each of several sizes, decoded no oftener than needed.

    Args:
        file: a photo.
        enough: of each copy, as for `load`.
        formats: that are read, by Pillow's names.
        draft: as for `load`.

    Raises:
        Exception: of any kind; `explained` makes a `PhotoError` of it.
    """
    image = identify(file, formats)
    if draft and image.format in REDUCED_BY_DECODER:
        return [upright(_loaded(identify(file, formats), e), e) for e in enough]
    image = _loaded(image)
    return [upright(image, e) for e in enough]


def _open(source: Any) -> BinaryIO:
    """A path, file contents or file object as a binary file that is ours to close."""
    if isinstance(source, str | os.PathLike):
        if ADDRESS.match(os.fsdecode(source)) and not os.path.exists(source):
            raise Refused("an address is not fetched; download it first and give the file")
        if os.path.isdir(source):
            raise Refused("it is a folder; give a file in it")
        if not os.path.exists(source):
            raise Refused("there is no such file")
        if not os.path.isfile(source):  # reading from a device or a pipe might never end
            raise Refused("it is not a regular file")
        try:
            return open(source, "rb")
        except OSError as error:
            raise Refused(f"it cannot be opened ({error.strerror})") from error
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    if hasattr(source, "read"):
        return io.BytesIO(_read(source))
    raise Refused("it is no kind of photo")


def _read(file: BinaryIO) -> bytes:
    """All of a file object, which is left at the position it had."""
    try:
        position = file.tell()
        file.seek(0)
    except (AttributeError, OSError, ValueError):
        position = None  # a stream: what is left of it
    try:
        # A raw stream gives what it has, less than asked for; and one may never end.
        chunks = iter(lambda: file.read(CHUNK), b"")
        return b"".join(itertools.islice(chunks, MAX_BYTES // CHUNK + 1))
    except TypeError as error:
        raise Refused("it does not give bytes; open it in binary mode") from error
    except (OSError, ValueError) as error:
        raise Refused(f"it cannot be read ({error})") from error
    finally:
        if position is not None:
            file.seek(position)


def _loaded(image: Image.Image, enough: int | None = None) -> Image.Image:
    """The same image, decoded."""
    check_size(*image.size)
    if image.format == "EPS":  # a PIL image that was opened lazily: loading would run the program
        raise Refused("a PostScript file is not read; export it as JPEG or PNG first")
    if enough is not None:
        # Draft takes the smallest size with both sides at least as long as asked for. The same
        # number for both makes it the short side, whichever way the photo is turned.
        image.draft(None, (enough, enough))
    image.load()
    return image


def _from_array(array: np.ndarray) -> Image.Image:
    """uint8 array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] as a PIL image."""
    if array.dtype != np.uint8:
        raise Refused("an array must be of uint8, 0 to 255; scale and convert it first")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise Refused("an array must be [H, W, 3], [H, W, 4], [H, W, 1] or [H, W]")
    check_size(array.shape[1], array.shape[0])
    return Image.fromarray(array)


class _Contents(io.BytesIO):
    """A file's contents, under the name that errors call it by."""

    def __init__(self, contents: bytes, name: str | os.PathLike | None):
        super().__init__(contents)
        if name:
            self.name = name


class Photo:
    """A photo that is decoded when it is needed.

    The size is read from a JPEG's header. Its pixels are decoded the first time that somebody
    wants them; those of a large photo are not kept, and a copy to show comes from a reduced
    decode, in a fraction of the time. A network is always shown the full photo made smaller.

    Args:
        source: as for `load`. A file is read at once and may then go away.

    Raises:
        PhotoError: as from `load`. Damage to a JPEG file may show only when it is decoded.

    Attributes:
        size: (width, height) of the upright photo in px.
    """

    def __init__(self, source: PhotoSource):
        self._full: Image.Image | None = None
        self._jpeg: bytes | None = None
        self._name: str | os.PathLike | None = None
        if not isinstance(source, Image.Image | np.ndarray):
            self._name = source if isinstance(source, str | os.PathLike) else None
            self._name = self._name or getattr(source, "name", None)
            try:
                with _open(source) as file:
                    contents = file.read(MAX_BYTES + 1)
                source = _Contents(contents, self._name)
                image = identify(io.BytesIO(contents))
                if image.format in REDUCED_BY_DECODER:
                    self.size = upright_size(image)
                    self._jpeg = contents
            except Exception:
                pass  # `load` meets the same fault below, and says what it is
        if self._jpeg is None:
            self._full = load(source)
            self.size = self._full.size

    @classmethod
    def of(cls, source: "PhotoSource | Photo") -> "Photo":
        """The same photo, if it is one already."""
        return source if isinstance(source, Photo) else cls(source)

    @property
    def image(self) -> Image.Image:
        """The photo in full, mode "RGB"; kept if it has at most `BAND` px."""
        if self._full is not None:
            return self._full
        image = load(_Contents(self._jpeg, self._name))
        if not self._large_jpeg:
            self._full = image
        return image

    def resized(self, width: int, height: int) -> Image.Image:
        """The photo at this very size, as a network is shown it."""
        enough = self.enough(width, height)
        if self._large_jpeg:
            image = load(_Contents(self._jpeg, self._name), enough, draft=False)
        else:
            image = self._averaged(enough)
        if image.size == (width, height):
            return image
        return image.resize((width, height), Image.Resampling.BILINEAR)

    def at_least(self, width: int, height: int) -> Image.Image:
        """A photo to show, no smaller than this where the full photo is not; perhaps larger."""
        enough = self.enough(width, height)
        if self._large_jpeg:
            return load(_Contents(self._jpeg, self._name), enough)
        return self._averaged(enough)

    @property
    def _large_jpeg(self) -> bool:
        return self._jpeg is not None and self.size[0] * self.size[1] > BAND

    def _averaged(self, enough: int) -> Image.Image:
        factor = reduction(self.size, enough)
        return self.image.reduce(factor) if factor > 1 else self.image

    def enough(self, width: int, height: int) -> int:
        """What the short side should at least have, for a photo of at least this size."""
        # One bound for both sides: the least reduced that either of them asks for.
        share = max(width / self.size[0], height / self.size[1])
        return max(1, math.ceil(share * min(self.size)))
