"""What is read of a file that a stranger sent: fewer formats than `photo` reads, within bounds.

A small file can ask for anything: a JPEG of 1 MB for minutes, a WebP of 34 bytes for a gigabyte.
What it will cost is looked up in its structure before a decoder sees it. Whatever slips through
ends with the process that decodes it, see `decoder`.
"""

import itertools
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

from .photo_errors import Refused

#: By Pillow's names, the formats that are read, with the most px of each: about what can be decoded
#: in 2 s of one core and 400 MB.
MAX_PIXELS = {
    "JPEG": 50_000_000,
    "PNG": 50_000_000,
    "TIFF": 50_000_000,
    "BMP": 50_000_000,
    "HEIF": 50_000_000,
    "GIF": 25_000_000,
    "WEBP": 18_000_000,
    "AVIF": 25_000_000,
    "JPEG2000": 8_000_000,
}
FORMATS = tuple(MAX_PIXELS)
#: Most px of more than 16 bits, which take several times the work.
MAX_DEEP = 25_000_000

#: A photo of a stranger's has at most this many bytes.
MAX_BYTES = 64_000_000

MAX_SCANS = 100  # of a JPEG file, and of 50 megapixels as many full ones at most:
MAX_SCANNED = 750_000_000  # px in all scans together
MAX_CHUNKS = 20_000  # of a PNG file; one of 50 megapixels with chunks of 8 kB has 19,000 at most
MAX_COMMENTS = 100_000  # bytes of a GIF file before its first frame
MAX_STRIPS = 70_000  # of a TIFF file: one for each row of the longest photo that is read
MAX_TILE = 16_000_000  # px of a TIFF file's tile
MAX_TAGS = 1000  # of a TIFF file's directory
MAX_TILES = 1000  # of a JPEG 2000 file
MAX_RUN_LENGTH = 2_000_000  # px of a BMP file in runs, which Pillow reads one by one


ACCEPTED = (
    "Accepted are JPEG, PNG, WebP, AVIF, GIF, TIFF, BMP and JPEG 2000 files of up to "
    f"{MAX_BYTES // 10**6} MB and {max(MAX_PIXELS.values()) // 10**6} megapixels; of some formats "
    "fewer."
)


class Excessive(Refused):
    """The file asks for more than a photo needs. Says of what."""

    def __init__(self, what: str):
        super().__init__(f"it asks for too much: {what}")


def check_size(kind: str, size: tuple[int, int], mode: str = "") -> None:
    """Refuse more px than are decoded of this kind, one of `FORMATS`, and of Pillow's mode."""
    most = min(MAX_PIXELS[kind], MAX_DEEP) if mode in ("I", "F") else MAX_PIXELS[kind]
    if size[0] * size[1] > most:
        raise Excessive(f"{size[0]:,} x {size[1]:,} px, of such {kind} at most {most:,} are read")


def check(contents: bytes) -> None:
    """Look at a file's structure for what it would cost, before any decoder sees it.

    Raises:
        Excessive: it is too much. A file that is damaged is not refused for that.
    """
    if not contents:
        raise Refused("it is empty")
    if len(contents) > MAX_BYTES:
        raise Excessive(f"more than {MAX_BYTES:,} bytes")
    for beginning, look in _LOOKS.items():
        if contents.startswith(beginning):
            with suppress(struct.error, IndexError):  # cut off: the decoder says so
                look(memoryview(contents))


def _jpeg(contents: memoryview) -> None:
    """Each scan of a progressive file passes over all of its pixels."""
    scans, pixels, at = 0, 0, 2
    while True:
        if contents[at] != 0xFF:
            return  # damaged
        marker = contents[at + 1]
        if marker == 0xFF:  # filling
            at += 1
            continue
        if marker == 0xD9:
            return
        if marker in FRAMES:
            height, width = struct.unpack_from(">HH", contents, at + 5)
            check_size("JPEG", (width, height))
            pixels = width * height
        if marker == 0xDA:
            scans += 1
            if scans > MAX_SCANS or scans * pixels > MAX_SCANNED:
                raise Excessive(f"more than {scans - 1} scans of {pixels:,} px each")
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        at += 2 + int.from_bytes(contents[at + 2 : at + 4])
        if marker == 0xDA:  # its data end at the next marker
            found = _MARKER.search(contents, at)
            if not found:
                return
            at = found.start()


FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the markers that say a size
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _png(contents: memoryview) -> None:
    """Each chunk is read by itself."""
    if sum(1 for _ in itertools.islice(_chunks(contents), MAX_CHUNKS + 1)) > MAX_CHUNKS:
        raise Excessive(f"more than {MAX_CHUNKS:,} chunks")


def _chunks(contents: memoryview) -> Iterator[bytes]:
    """The kinds of a PNG file's chunks."""
    at, kind = 8, b""
    while at < len(contents) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", contents, at)
        yield kind
        at += 12 + length


def turned_late(contents: bytes) -> bool:
    """Whether a PNG file may say behind its pixels how the photo is turned."""
    with suppress(struct.error):
        kinds = itertools.dropwhile(lambda kind: kind != b"IDAT", _chunks(memoryview(contents)))
        return not {b"eXIf", b"iTXt", b"tEXt", b"zTXt"}.isdisjoint(kinds)
    return False


def _gif(contents: memoryview) -> None:
    """Comments are put together piece by piece."""
    flags = contents[10]
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    start = at
    while contents[at] == 0x21:  # an extension, in blocks of up to 255 bytes
        at += 2
        while length := contents[at]:
            at += 1 + length
            if at - start > MAX_COMMENTS:
                raise Excessive(f"more than {MAX_COMMENTS:,} bytes before its first frame")
        at += 1


def _tiff(contents: memoryview) -> None:
    """Strips and tiles are taken one by one, tags are read whether they are needed or not."""
    order = "<" if bytes(contents[:2]) == b"II" else ">"
    big = struct.unpack_from(order + "H", contents, 2)[0] == 43
    if big:
        count_of, entry, step, inline = "Q", "HHQ", 20, 8
        at = struct.unpack_from(order + "Q", contents, 8)[0]
    else:
        count_of, entry, step, inline = "H", "HHI", 12, 4
        at = struct.unpack_from(order + "I", contents, 4)[0]
    tags = struct.unpack_from(order + count_of, contents, at)[0]
    if tags > MAX_TAGS:
        raise Excessive(f"{tags:,} tags")
    at += struct.calcsize(order + count_of)
    total, tile = 0, {}
    for i in range(tags):
        tag, kind, count = struct.unpack_from(order + entry, contents, at + i * step)
        value = at + i * step + struct.calcsize(order + entry)
        total += count * TIFF_BYTES.get(kind, 1)
        if total > len(contents) + MAX_TAGS * inline:
            raise Excessive("tags of more bytes than the file has")
        if tag in STRIP_TAGS and count > MAX_STRIPS:
            raise Excessive(f"{count:,} strips or tiles")
        if tag in TILE_TAGS and kind in (3, 4):
            tile[tag] = struct.unpack_from(order + {3: "H", 4: "I"}[kind], contents, value)[0]
    if len(tile) == 2:
        width, height = tile.values()
        if width * height > MAX_TILE:
            raise Excessive(f"tiles of {width:,} x {height:,} px")


TIFF_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
STRIP_TAGS = (273, 279, 324, 325)  # offsets and lengths
TILE_TAGS = (322, 323)


def _bmp(contents: memoryview) -> None:
    """Runs are read one by one."""
    width, height, compression = struct.unpack_from("<ii4xI", contents, 18)
    pixels = abs(width * height)
    if compression in (1, 2) and pixels > MAX_RUN_LENGTH:
        raise Excessive(f"{pixels:,} px in runs; at most {MAX_RUN_LENGTH:,} are read")


def _webp(contents: memoryview) -> None:
    """Two canvases are made of the size that it claims, when it is opened."""
    kind = bytes(contents[12:16])
    if kind == b"VP8X":
        width = 1 + int.from_bytes(contents[24:27], "little")
        height = 1 + int.from_bytes(contents[27:30], "little")
    elif kind == b"VP8L":
        bits = int.from_bytes(contents[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", contents, 26))
    check_size("WEBP", (width, height))


def _jpeg2000(contents: memoryview) -> None:
    """Each tile is decoded by itself, however small it is."""
    siz = re.search(rb"\xff\x4f\xff\x51.{4}(.{32})", contents, re.DOTALL)
    if not siz:
        return
    width, height, left, top, tile_width, tile_height, *_ = struct.unpack(">8I", siz[1])
    if not tile_width or not tile_height:
        return
    tiles = -(-(width - left) // tile_width) * -(-(height - top) // tile_height)
    if tiles > MAX_TILES:
        raise Excessive(f"{tiles:,} tiles")


_LOOKS: dict[bytes, Callable[[memoryview], None]] = {
    b"\xff\xd8\xff": _jpeg,
    b"\x89PNG": _png,
    b"GIF8": _gif,
    b"II": _tiff,
    b"MM": _tiff,
    b"BM": _bmp,
    b"RIFF": _webp,
    b"\xff\x4f\xff\x51": _jpeg2000,
    b"\0\0\0\x0cjP  \r\n\x87\n": _jpeg2000,
}
