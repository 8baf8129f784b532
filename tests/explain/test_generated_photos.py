"""Photos of every kind, drawn by hypothesis, and what becomes of them when they are damaged."""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cbam_viz.explain.decoder import UntrustedPhoto
from cbam_viz.explain.photo_errors import PhotoError

#: How each format is written: the modes it takes, and options that change its structure.
WRITTEN = {
    "JPEG": (
        ["L", "RGB", "CMYK"],
        {"progressive": [False, True], "quality": [1, 60, 100], "optimize": [False, True]},
    ),
    "PNG": (["1", "L", "LA", "P", "RGB", "RGBA", "I;16"], {"compress_level": [0, 1, 9]}),
    "WEBP": (["RGB", "RGBA"], {"lossless": [False, True], "method": [0]}),
    "GIF": (["L", "P", "RGB"], {"interlace": [0, 1]}),
    "TIFF": (
        ["1", "L", "RGB", "RGBA", "CMYK", "I;16", "F"],
        {"compression": [None, "tiff_lzw", "tiff_deflate", "packbits"]},
    ),
    "BMP": (["1", "L", "P", "RGB"], {}),
    "JPEG2000": (["L", "RGB", "RGBA"], {"irreversible": [False, True]}),
}
#: What decoders are chosen by.
BEGINNINGS = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"BM",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"\0\0\0\x18ftypavif",
    b"\0\0\0\x18ftypheic",
]
#: Each photo is drawn and damaged anew every time; the machine may be busy.
DRAWN = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)


@st.composite
def files(draw) -> tuple[bytes, tuple[int, int]]:
    """A file, and the size of its picture."""
    kind = draw(st.sampled_from(sorted(WRITTEN)))
    modes, options = WRITTEN[kind]
    mode = draw(st.sampled_from(modes))
    width, height = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    seed = draw(st.integers(0, 2**32 - 1))
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    image = Image.fromarray(noise)
    if mode in ("I;16", "F"):
        image = Image.fromarray(
            noise.view("<u2")[..., 0].astype("<u2" if mode == "I;16" else "<f4")
        )
    else:
        image = image.convert("RGB").convert(mode) if mode != "RGBA" else image
    file = io.BytesIO()
    image.save(file, kind, **{name: draw(st.sampled_from(v)) for name, v in options.items()})
    return file.getvalue(), (width, height)


def looked_at(content: bytes) -> UntrustedPhoto | None:
    """The photo, decoded as a network is shown it; None if it is refused in words."""
    descriptor, name = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "wb") as f:
            f.write(content)
        photo = UntrustedPhoto(name)
        assert photo.resized(32, 24).size == (32, 24)
        assert photo.image.size == photo.size
        return photo
    except PhotoError as error:
        assert str(error) and str(Path(name).parent) not in str(error)
        return None
    finally:
        os.unlink(name)


@DRAWN
@given(files())
def test_what_pillow_writes_is_read_in_its_size(file):
    content, size = file
    photo = looked_at(content)
    assert photo is not None and photo.size == size


@DRAWN
@given(files(), st.data())
def test_a_damaged_file_is_a_photo_or_an_error_in_words(file, data):
    content = bytearray(file[0])
    for _ in range(data.draw(st.integers(1, 8), "bytes that change")):
        place = data.draw(st.integers(0, len(content) - 1), "place")
        content[place] = data.draw(st.integers(0, 255), "value")
    if data.draw(st.booleans(), "cut off"):
        del content[data.draw(st.integers(0, len(content)), "after") :]
    looked_at(bytes(content))


@DRAWN
@given(st.sampled_from(BEGINNINGS), st.binary(max_size=300))
def test_anything_at_all_is_no_foreign_error(beginning, content):
    looked_at(beginning + content)
