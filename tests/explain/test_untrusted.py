"""Photos of strangers: what they may ask for, and what becomes of one that asks for more."""

import io
import os
import struct
import threading
import time
import zlib
from contextlib import suppress

import numpy as np
import pytest
from helpers import EXAMPLES
from PIL import Image

from cbam_viz.explain import decoder, untrusted
from cbam_viz.explain.decoder import Left, UntrustedPhoto
from cbam_viz.explain.photo import Photo
from cbam_viz.explain.photo_errors import PhotoError
from cbam_viz.explain.photo_formats import FORMATS
from cbam_viz.explain.untrusted import Excessive, check
from cbam_viz.explain.view import ModelInput, View
from cbam_viz.models.preprocessing import Preprocessing


def encode(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, extra: bytes = b"", behind: bytes = b"") -> bytes:
    """A black PNG; of any size it is small."""
    packer = zlib.compressobj(1)
    pixels = b"".join(packer.compress(bytes(1 + 3 * width)) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels + packer.flush()) + behind
    return b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b"")


def scans(count: int, size: tuple[int, int]) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    contents = encode(Image.new("RGB", size), "JPEG", progressive=True, quality=20)
    last, end = contents.rindex(b"\xff\xda"), contents.rindex(b"\xff\xd9")
    return contents[:end] + contents[last:end] * count + contents[end:]


def gif(comment: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x80, 0, 0) + bytes(6)
    blocks = (b"\xff" + b"x" * 255) * (comment // 255)
    frame = b",\0\0\0\0\x08\0\x08\0\0\x02\x02\x44\x01\0;"
    return head + b"\x21\xfe" + blocks + b"\0" + frame


def tiff(*entries: tuple[int, int, int, int], data: bytes = b"", order: str = "<") -> bytes:
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    tags = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return head + struct.pack(order + "H", len(entries)) + tags + bytes(4) + data


def webp(width: int, height: int) -> bytes:
    contents = bytearray(encode(Image.new("RGB", (8, 8)), "WEBP", lossless=True))
    bits = int.from_bytes(contents[21:25], "little") >> 28 << 28
    contents[21:25] = (bits | width - 1 | height - 1 << 14).to_bytes(4, "little")
    return bytes(contents)


def bmp_in_runs(width: int, height: int) -> bytes:
    sizes = struct.pack("<IHHI", 1082, 0, 0, 1078)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 2, 0, 0, 256, 0)
    return b"BM" + sizes + header + bytes(1024) + b"\0\1"


EXCESSIVE = {
    "scans": lambda: scans(900, (64, 64)),
    "scans of many px": lambda: scans(90, (3000, 3000)),
    "a JPEG's px": lambda: (
        b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, 6000, 9000, 1) + bytes(9)
    ),
    "chunks": lambda: png(8, 8, chunk(b"tEXt", b"a\0") * 30_000),
    "a comment": lambda: gif(3_000_000),
    "strips": lambda: tiff((273, 4, 1_000_000, 8), data=bytes(4_000_000)),
    "strips, the other order": lambda: tiff((273, 4, 80_000, 8), data=bytes(400_000), order=">"),
    "a tile": lambda: tiff((322, 4, 1, 30_000), (323, 4, 1, 30_000)),
    "tags over each other": lambda: tiff(*[(40_000, 7, 10_000, 9)] * 900, data=bytes(10_000)),
    "a WebP's px": lambda: webp(16383, 3051),
    "runs": lambda: bmp_in_runs(8000, 6000),
    "tiles": lambda: (
        b"\xff\x4f\xff\x51\0\x29\0\0" + struct.pack(">8I", *[3000, 3000, 0, 0, 2, 2], 0, 0)
    ),
    "bytes": lambda: bytes(untrusted.MAX_BYTES + 1),
}


@pytest.mark.parametrize("what", EXCESSIVE)
def test_what_costs_too_much_is_refused_before_it_is_decoded(what):
    with pytest.raises(Excessive, match="asks for too much"):
        check(EXCESSIVE[what]())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "JPEG2000", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_ordinary_files_pass_and_give_what_anybody_gets(kind, mode, tmp_path):
    contents = encode(Image.effect_noise((640, 480), 60).convert(mode), kind)
    check(contents)
    (tmp_path / "photo").write_bytes(contents)
    photo = UntrustedPhoto(tmp_path / "photo")
    assert photo.size == (640, 480)
    assert np.array_equal(photo.image, Photo(contents).image)


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"comment": b"x"}])
def test_jpegs_of_every_kind_pass(options):
    check(encode(Image.effect_noise((800, 600), 60).convert("RGB"), "JPEG", **options))


def test_the_examples_pass():
    for path in EXAMPLES.glob("*.jpg"):
        check(path.read_bytes())


def test_damaged_files_are_not_refused_for_it():
    draw = np.random.default_rng(0)
    for make in (
        lambda: encode(Image.new("RGB", (64, 64)), "JPEG", progressive=True),
        lambda: gif(255),
        lambda: webp(8, 8),
        lambda: png(8, 8),
        lambda: encode(Image.new("RGB", (8, 8)), "TIFF"),
        lambda: bmp_in_runs(8, 8),
    ):
        contents = make()
        for length in range(1, len(contents), 1 + len(contents) // 200):
            check(contents[:length])
        for _ in range(200):
            broken = bytearray(contents)
            broken[draw.integers(len(broken))] ^= 1 << draw.integers(8)
            with suppress(Excessive):
                check(bytes(broken))


@pytest.mark.parametrize("size", [(2400, 1800), (300, 200), (3000, 90)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_network_sees_what_it_sees_in_the_package(kind, size, tmp_path):
    pre = Preprocessing()
    options = {"compress_level": 1} if kind == "PNG" else {}
    noise = Image.effect_noise(size, 60).convert("RGB")
    (tmp_path / "photo").write_bytes(encode(noise, kind, **options))
    theirs, ours = UntrustedPhoto(tmp_path / "photo"), Photo(tmp_path / "photo")
    assert theirs.size == ours.size
    assert ModelInput.of(theirs, pre).tensor.equal(ModelInput.of(ours, pre).tensor)
    # Nor does it depend on what was shown before.
    again = UntrustedPhoto(tmp_path / "photo")
    again.at_least(*View.whole(ours.size, pre).resized)
    assert ModelInput.of(again, pre).tensor.equal(ModelInput.of(ours, pre).tensor)


def test_the_turn_of_a_png_is_known_wherever_it_is_said(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turn = chunk(b"eXIf", exif.tobytes()[6:])
    for name, contents in {"before": png(30, 20, turn), "behind": png(30, 20, b"", turn)}.items():
        (tmp_path / name).write_bytes(contents)
        assert UntrustedPhoto(tmp_path / name).size == (20, 30)


def test_a_photo_of_fifty_megapixels_is_read_within_the_bounds(tmp_path):
    (tmp_path / "large.png").write_bytes(png(8160, 6120))
    photo = UntrustedPhoto(tmp_path / "large.png")
    assert photo.resized(299, 224).size == (299, 224)
    kept = [copy for (file, _), copy in decoder._copies._kept.items() if "large.png" in file[0]]
    assert sum(copy.width * copy.height for copy in kept) < 2_000_000


def test_copies_are_bounded_together_and_go_with_their_files(tmp_path, monkeypatch):
    monkeypatch.setattr(decoder, "COPIES", 1_000_000)
    photos = []
    for i in range(8):
        (tmp_path / f"{i}.png").write_bytes(png(400 + i, 300))
        photos.append(UntrustedPhoto(tmp_path / f"{i}.png"))
        assert photos[i].resized(100 + i, 75).size == (100 + i, 75)
        assert decoder._copies.size <= 1_000_000
    assert photos[7].resized(107, 75) is photos[7].resized(107, 75)
    first = photos[0].resized(100, 75)  # it had to go, and is decoded again
    assert np.array_equal(first, Photo(tmp_path / "0.png").resized(100, 75))
    for i in range(8):
        (tmp_path / f"{i}.png").unlink()
    decoder.drop_gone()
    assert not any(str(tmp_path) in key[0][0] for key in decoder._copies._kept)


def test_a_file_that_changed_is_decoded_anew(tmp_path):
    path = tmp_path / "photo.png"
    for i, size in enumerate([(40, 30), (30, 40)]):
        path.write_bytes(png(*size))
        os.utime(path, ns=(i, i))
        assert UntrustedPhoto(path).resized(12, 12).size == (12, 12)
    assert len({key for key in decoder._copies._kept if key[0][0] == str(path)}) == 4


def test_formats_that_only_the_package_reads(tmp_path):
    for kind in set(FORMATS) - set(untrusted.FORMATS):
        try:
            contents = encode(Image.new("RGB", (40, 30)), kind)
        except (KeyError, OSError, ValueError):
            continue
        (tmp_path / kind).write_bytes(contents)
        with pytest.raises(PhotoError, match="Accepted are JPEG, PNG"):
            UntrustedPhoto(tmp_path / kind)


def test_a_file_that_is_gone_is_said(tmp_path):
    with pytest.raises(PhotoError, match="upload it again"):
        UntrustedPhoto(tmp_path / "absent.jpg")


@pytest.fixture
def decoders(monkeypatch):
    """Decoder processes of the test's own, to be started with other bounds."""
    own = [decoder._Decoder() for _ in range(decoder.PROCESSES)]
    monkeypatch.setattr(decoder, "_decoders", own)
    yield own
    for process in own:
        process.stop()


@pytest.mark.skipif(os.name == "nt", reason="has no such bounds")
@pytest.mark.parametrize("bound", [{"SECONDS": 0.2}, {"MEMORY": 80 * 2**20}])
def test_a_decoder_that_overruns_is_ended_and_the_next_photo_is_read(
    bound, decoders, monkeypatch, tmp_path
):
    (tmp_path / "large.png").write_bytes(png(6000, 5000))
    for name, value in bound.items():
        monkeypatch.setattr(decoder, name, value)
    photo = UntrustedPhoto(tmp_path / "large.png")
    with pytest.raises(PhotoError, match="takes more"):
        photo.at_least(299, 224)
    assert UntrustedPhoto(EXAMPLES / "coffee.jpg").size == (600, 400)


def test_a_decoder_that_hangs_is_ended(decoders, monkeypatch, tmp_path):
    monkeypatch.setattr(decoder, "PATIENCE", 1.0)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PhotoError, match="takes more"):
        UntrustedPhoto(tmp_path / "pipe")


def test_a_decoding_ends_when_nobody_waits_for_it(decoders, monkeypatch, tmp_path):
    os.mkfifo(tmp_path / "pipe")  # takes for ever
    left = threading.Event()
    waiting = decoder.wanted.set(lambda: not left.is_set())
    threading.Timer(0.5, left.set).start()
    try:
        began = time.monotonic()
        with pytest.raises(Left):
            UntrustedPhoto(tmp_path / "pipe")
        assert time.monotonic() - began < 10
        with pytest.raises(Left):  # nor does another begin
            UntrustedPhoto(EXAMPLES / "coffee.jpg")
    finally:
        decoder.wanted.reset(waiting)
    assert UntrustedPhoto(EXAMPLES / "coffee.jpg").size == (600, 400)


def test_a_decoder_that_died_is_replaced(decoders):
    assert UntrustedPhoto(EXAMPLES / "coffee.jpg").size == (600, 400)
    for process in decoders:
        if process._process:
            process._process.kill()
            process._process.wait()
    assert UntrustedPhoto(EXAMPLES / "coffee.jpg").size == (600, 400)


def test_many_at_once_each_get_their_own(tmp_path):
    sizes = [(40 + i, 30) for i in range(24)]
    for width, height in sizes:
        (tmp_path / f"{width}.png").write_bytes(png(width, height))
    seen = {}

    def look(size):
        photo = UntrustedPhoto(tmp_path / f"{size[0]}.png")
        seen[size] = photo.image.size

    threads = [threading.Thread(target=look, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {size: size for size in sizes}
