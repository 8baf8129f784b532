"""Which format a photo's file is of: told by its content, never by its name."""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from .photo_errors import MAX_PIXELS, Refused, check_size

#: Pillow's raster formats, by its names for them. Left out on purpose: EPS and WMF (drawings, run
#: by another program), the stubs that only name a file (BUFR, GRIB, HDF5, MPEG), and IPTC and BLP,
#: which hold another file of unknown kind or size. Those without a signature come last.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "HEIF", "JPEG2000", "ICO", "ICNS"),
    "PPM",
    *("PSD", "QOI", "DDS", "SGI", "SUN", "FITS", "XBM", "XPM", "MSP", "GBR", "FTEX", "PIXAR"),
    *("MCIDAS", "XVTHUMB", "FLI", "CUR", "DCX", "PCX", "DIB", "PCD", "IM", "IMT", "SPIDER", "TGA"),
)

#: Formats of which Pillow decodes a large file at a fraction of its size; MPO is several JPEGs.
REDUCED_BY_DECODER = ("JPEG", "MPO")

#: What people offer that is no photo file for us, and how it begins.
UNREAD = {
    "an SVG drawing": re.compile(rb"\A(\xef\xbb\xbf)?\s*(<[?!][^>]*>[\s\]>]*)*<svg\b", re.I),
    "a PDF document": re.compile(rb"%PDF-"),
    "a PostScript file": re.compile(rb"\A(%!PS|\xc5\xd0\xd3\xc6)"),
    "a JPEG XL photo": re.compile(rb"\A(\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n)"),
    "a JPEG XR photo": re.compile(rb"\AII\xbc"),
    "a camera's raw photo": re.compile(
        rb"\A(II\*\0.{4}CR|.{4}ftypcrx |FUJIFILMCCD-RAW|II(U\0|R[OS]|II)|MMOR|FOVb|\0MRM"
        rb"|.{6}HEAPCCDR|ARRI|.{4}RED[12])",
        re.DOTALL,
    ),
    "a DICOM image": re.compile(rb"\A.{128}DICM", re.DOTALL),
    "an OpenEXR or Radiance image": re.compile(rb"\A(v/1\x01|#\?(RADIANCE|RGBE))"),
    "a drawing of GIMP's": re.compile(rb"\Agimp xcf"),
    "a drawing of Windows'": re.compile(rb"\A(\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF)", re.DOTALL),
    "a video": re.compile(
        # Of any brand that no photo has.
        rb"\A(.{4}(ftyp(?!avi[fs]|hei|hev|mi[af]|msf|avc[is]|jpeg|jxl |crx )|moov|mdat|wide)"
        rb"|\x1a\x45\xdf\xa3|RIFF.{4}AVI |\0\0\x01[\xba\xb3]|FLV\x01|\x30\x26\xb2\x75)",
        re.DOTALL,
    ),
}
#: What lies under a photo's name and is none, how it begins, and what to do.
MISTAKEN = (
    (
        re.compile(rb"\A(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body|\?xml)", re.I),
        "it is a web page or an answer of a server; open the photo's own address and save that",
    ),
    (
        re.compile(rb"\Aversion https://git-lfs"),
        "it is a Git-LFS pointer, not the photo itself; fetch it with `git lfs pull`",
    ),
    (
        re.compile(rb"\A(PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf)"),
        "it is a compressed archive or document; unpack it, and give the photo in it",
    ),
    (
        re.compile(rb"\A\0\x05\x16\x07"),
        "it is what macOS leaves beside a file (AppleDouble), not the photo itself",
    ),
)
#: HEIC, which phones make, is read where pillow-heif is installed.
HEIC = re.compile(rb"\A.{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)
with suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()
HEAD = 4096  # bytes in which those beginnings are looked for

#: Width and height as PNG and JPEG 2000 headers say them.
EMBEDDED_SIZE = re.compile(rb"(?:IHDR|ihdr)(.{4})(.{4})", re.DOTALL)

#: What a page is (a reduced copy, for one), pages within it, and the mark of Adobe's raw files.
TIFF_KIND, REDUCED, TIFF_INNER, TIFF_DNG = 254, 1, 330, 50706
#: What a page's values are, of which these are a sensor's; their bits; and how they lie.
TIFF_PHOTOMETRIC, SENSOR, TIFF_BITS, TIFF_PLANES = 262, (32803, 34892), 258, 284
MAX_PAGES = 16


def identify(file: BinaryIO, formats: Sequence[str] = FORMATS) -> Image.Image:
    """The file as a PIL image whose header is read and whose pixels are not.

    What ``Image.open`` does, without its warning for large images: that can only be silenced for
    all threads of the process at once, and we have a limit of our own.
    """
    Image.init()
    file.seek(0)
    head = file.read(HEAD)
    damaged = None
    for beginning, words in MISTAKEN:
        if beginning.search(head) and not UNREAD["an SVG drawing"].search(head):
            raise Refused(words)
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
                check_size(int.from_bytes(width), int.from_bytes(height))
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
        reason = f"it begins like {name}, but is damaged, cut off or of a kind unknown here"
        raise Refused(reason) from error
    raise Refused("it is not an image")


def _main_page(image: Image.Image) -> Image.Image:
    """A TIFF file at the page that is the photo, where the first one says it is a preview.

    Raises:
        Refused: the photo is a camera's raw data, which only its preview shows; or its samples
            lie as Pillow does not read them.
    """
    tags = image.tag_v2
    reduced = tags.get(TIFF_KIND, 0) & REDUCED
    if TIFF_DNG in tags or (reduced and TIFF_INNER in tags) or _has_sensor_data(image):
        raise Refused(
            "a camera's raw photo (DNG, NEF, ARW and others) is not read, and its small preview "
            "is not the photo; export it as JPEG or PNG first"
        )
    if reduced:
        sizes = []
        for page in range(min(image.n_frames, MAX_PAGES)):
            image.seek(page)
            if not image.tag_v2.get(TIFF_KIND, 0) & REDUCED:
                sizes.append((image.width * image.height, -page))
        if not sizes:
            raise Refused("it is the small preview of a photo, without the photo itself")
        image.seek(-max(sizes)[1])
    tags = image.tag_v2
    if tags.get(TIFF_PLANES) == 2 and max(tags.get(TIFF_BITS, (8,))) > 8:
        # Pillow takes the first plane's bytes for pixels.
        raise Refused("its colours lie in planes of more than 8 bits; save it anew, interleaved")
    return image


def _has_sensor_data(image: Image.Image) -> bool:
    """Whether a page within the first one of a TIFF file holds what a sensor saw."""
    file, tags = image.fp, image.tag_v2
    inner = tags.get(TIFF_INNER, ())
    offsets = inner if isinstance(inner, tuple) else (inner,)
    position = file.tell()
    try:
        file.seek(0)
        header = file.read(16)
        for offset in offsets[:MAX_PAGES]:
            page = ImageFileDirectory_v2(header[:8])
            file.seek(offset)
            page.load(file)
            if page.get(TIFF_PHOTOMETRIC) in SENSOR:
                return True
    except Exception:  # the pages within are broken, the photo need not be
        return False
    finally:
        file.seek(position)
    return False
