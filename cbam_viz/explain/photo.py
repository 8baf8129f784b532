"""Any image to an upright RGB photo, or one clear error.

What a viewer of photos shows is not what lies in the file: the camera's turn, the colour profile,
transparency, more than 8 bits a channel. All of it is settled here, once, so that everything after
it sees plain sRGB pixels the right way up.
"""

import io
import itertools
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms

PhotoSource = str | os.PathLike | bytes | BinaryIO | Image.Image | np.ndarray

#: More pixels than this are refused from the header alone, before anything is decoded.
MAX_PIXELS = 50_000_000
#: No file of `MAX_PIXELS` is bigger: four float32 channels, uncompressed.
MAX_BYTES = 16 * MAX_PIXELS

#: A photo is reduced on the way only while it stays this many times as large as is enough: resizing
#: it from there is, by Pillow's account, nearly what resizing it from the full size is.
GAP = 3
#: Pixels that are converted at a time; photos of no more of them are not reduced, and kept.
BAND = 4_000_000

#: Pillow's raster formats, by its names for them. Left out on purpose: EPS and WMF (drawings, run
#: by another program), the stubs that only name a file (BUFR, GRIB, HDF5, MPEG), and IPTC and BLP,
#: which hold another file of unknown kind or size. Those without a signature come last.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "HEIF", "JPEG2000", "ICO", "ICNS"),
    "PPM",
    *("PSD", "QOI", "DDS", "SGI", "SUN", "FITS", "XBM", "XPM", "MSP", "GBR", "FTEX", "PIXAR"),
    *("MCIDAS", "XVTHUMB", "FLI", "CUR", "DCX", "PCX", "DIB", "PCD", "IM", "IMT", "SPIDER", "TGA"),
)

ACCEPTED = (
    "Accepted are a path, bytes, a file object, a PIL image or a uint8 array [H, W, 3]; files of "
    "JPEG, PNG, WebP, AVIF, GIF, TIFF, BMP or another raster format that Pillow reads; "
    f"up to {MAX_PIXELS // 10**6} megapixels."
)

#: Formats of which Pillow decodes a large file at a fraction of its size; MPO is several JPEGs.
REDUCED_BY_DECODER = ("JPEG", "MPO")
#: Formats whose fourth channel is often left at 0 by programs that know of no transparency.
ALPHA_UNUSED = ("BMP", "DIB", "TGA", "DDS", "ICO", "CUR", "SGI")

#: What people offer that is no photo file for us, and how it begins.
UNREAD = {
    "an SVG drawing": re.compile(rb"\A(\xef\xbb\xbf)?\s*(<[?!][^>]*>[\s\]>]*)*<svg\b", re.I),
    "a PDF document": re.compile(rb"%PDF-"),
    "a PostScript file": re.compile(rb"\A(%!PS|\xc5\xd0\xd3\xc6)"),
    "a JPEG XL photo": re.compile(rb"\A(\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n)"),
    "a JPEG XR photo": re.compile(rb"\AII\xbc"),
    "a camera's raw photo": re.compile(
        rb"\A(II\*\0.{4}CR|.{4}ftypcrx |FUJIFILMCCD-RAW|II(U\0|R[OS])|MMOR|FOVb|\0MRM"
        rb"|.{6}HEAPCCDR)",
        re.DOTALL,
    ),
    "a DICOM image": re.compile(rb"\A.{128}DICM", re.DOTALL),
    "an OpenEXR or Radiance image": re.compile(rb"\A(v/1\x01|#\?(RADIANCE|RGBE))"),
    "a drawing of GIMP's": re.compile(rb"\Agimp xcf"),
    "a video": re.compile(
        rb"\A(.{4}ftyp(isom|iso\d|mp4\d|avc1|qt  |M4V |3g\w\w)|\x1a\x45\xdf\xa3|RIFF.{4}AVI )",
        re.DOTALL,
    ),
}
#: HEIC, which phones make, is read where pillow-heif is installed.
HEIC = re.compile(rb"\A.{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)
with suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()
HEAD = 4096  # bytes in which those beginnings are looked for
CHUNK = 2**20  # bytes read from a file object at a time

#: Width and height as PNG and JPEG 2000 headers say them.
EMBEDDED_SIZE = re.compile(rb"(?:IHDR|ihdr)(.{4})(.{4})", re.DOTALL)

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|data:", re.IGNORECASE)

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
#: What a page is (a reduced copy, for one), pages within it, and the mark of Adobe's raw files.
TIFF_KIND, REDUCED, TIFF_INNER, TIFF_DNG = 254, 1, 330, 50706
MAX_PAGES = 16


class PhotoError(ValueError):
    """A photo cannot be used. Says what was given, what is wrong with it and what is accepted."""


class Refused(Exception):
    """The reason alone; `explained` makes the sentence of it."""


def load(source: PhotoSource, enough: int | None = None, draft: bool = True) -> Image.Image:
    """Any image to an upright RGB photo.

    - The EXIF turn is carried out; a broken one is ignored.
    - An embedded colour profile is converted to sRGB; one that is broken, or not of the image's
      colour space, is ignored.
    - Transparency is laid over white; in formats where it is often left unused, an alpha that is
      0 throughout is taken for none.
    - 16-bit integers are scaled from their whole range, 0..65535. Pillow's 32-bit mode "I" most
      often holds such values too and is then scaled alike; with values outside of 0..65535 it is
      scaled by its own range. One that comes from no file and stays within 0..255 is taken as it
      is.
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
            return _photo(_loaded(source), enough)
        if isinstance(source, np.ndarray):
            return _photo(_from_array(source), enough)
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
        return [_photo(_loaded(identify(file, formats), e), e) for e in enough]
    image = _loaded(image)
    return [_photo(image, e) for e in enough]


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


def _open(source: Any) -> BinaryIO:
    """A path, file contents or file object as a binary file that is ours to close."""
    if isinstance(source, str | os.PathLike):
        if ADDRESS.match(os.fsdecode(source)):
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


def identify(file: BinaryIO, formats: Sequence[str] = FORMATS) -> Image.Image:
    """The file as a PIL image whose header is read and whose pixels are not.

    What ``Image.open`` does, without its warning for large images: that can only be silenced for
    all threads of the process at once, and we have a limit of our own.
    """
    Image.init()
    file.seek(0)
    head = file.read(HEAD)
    damaged = None
    for kind, beginning in UNREAD.items():
        if beginning.search(head):
            raise Refused(f"{kind} is not read; export it as JPEG or PNG first")
    for name in formats:
        factory, accept = Image.OPEN.get(name, (None, None))
        if factory is None:
            continue
        if name in ("ICO", "ICNS") and accept(head[:16]):
            # They hold whole files, which Pillow decodes while it opens them.
            file.seek(0)
            for width, height in EMBEDDED_SIZE.findall(file.read()):
                _check_size(int.from_bytes(width), int.from_bytes(height))
        file.seek(0)
        try:
            accepted = accept is None or accept(head[:16])
            # A string says that this Pillow was built without the format.
            if accepted and not isinstance(accepted, str):
                image = factory(file, "")
                return _main_page(image) if name == "TIFF" else image
        except Refused:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise Refused(f"it has more than {MAX_PIXELS:,} px") from error
        except Exception as error:
            if accept is not None:
                damaged = damaged or (name, error)
    if HEIC.search(head) and "HEIF" not in Image.OPEN:
        raise Refused(
            "a HEIC photo is read only where pillow-heif is installed (`pip install .[heic]`); "
            "export it as JPEG or PNG first"
        )
    if damaged:
        name, error = damaged
        reason = f"it begins like a {name} file, but is damaged, cut off or of a kind unknown here"
        raise Refused(reason) from error
    raise Refused("it is not an image")


def _main_page(image: Image.Image) -> Image.Image:
    """A TIFF file at the page that is the photo, where the first one says it is a preview.

    Raises:
        Refused: the photo is a camera's raw data, which only its preview shows.
    """
    tags = image.tag_v2
    if TIFF_DNG in tags or (tags.get(TIFF_KIND, 0) & REDUCED and TIFF_INNER in tags):
        raise Refused(
            "a camera's raw photo (DNG, NEF, ARW and others) is not read, and its small preview "
            "is not the photo; export it as JPEG or PNG first"
        )
    if tags.get(TIFF_KIND, 0) & REDUCED:
        sizes = []
        for page in range(min(image.n_frames, MAX_PAGES)):
            image.seek(page)
            sizes.append((image.width * image.height, -page))
        image.seek(-max(sizes)[1])
    return image


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise Refused("it has no pixels")
    if width * height > MAX_PIXELS:
        raise Refused(f"{width:,} x {height:,} px are more than {MAX_PIXELS:,}")


def _loaded(image: Image.Image, enough: int | None = None) -> Image.Image:
    """The same image, decoded."""
    _check_size(*image.size)
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
    _check_size(array.shape[1], array.shape[0])
    return Image.fromarray(array)


def _photo(image: Image.Image, enough: int | None = None) -> Image.Image:
    """A loaded image of any mode as an upright RGB photo of its own memory.

    Band by band: of a large image no second copy is made on the way.
    """
    factor = _factor(image.size, enough)
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


def _factor(size: tuple[int, int], enough: int | None) -> int:
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
        return _Levels(0, 255 if image.format is None and high <= 255 else 65535, inverted)
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
    _check_size(*image.size)
    return image.size[::-1] if _orientation(image) >= 5 else image.size  # those are on their side


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it cannot be read."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the EXIF block is broken, the photo need not be
        return 1


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
        factor = _factor(self.size, enough)
        return self.image.reduce(factor) if factor > 1 else self.image

    def enough(self, width: int, height: int) -> int:
        """What the short side should at least have, for a photo of at least this size."""
        # One bound for both sides: the least reduced that either of them asks for.
        share = max(width / self.size[0], height / self.size[1])
        return max(1, math.ceil(share * min(self.size)))
