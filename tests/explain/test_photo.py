"""Where a photo may come from, its sizes, and what is kept of it."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from photo_samples import (
    RED,
    assert_near,
    encode,
    exif_of,
    grey,
    jpeg_bytes,
    pixels,
    refused,
    srgb_profile,
)
from PIL import Image

from cbam_viz.explain.photo import Photo, load
from cbam_viz.explain.photo_errors import PhotoError

# ---------------------------------------------------------------- where a photo may come from


class Stream(io.RawIOBase):
    """A stream that cannot go back and gives a few bytes at a time."""

    def __init__(self, contents):
        self.rest = contents

    def read(self, size=-1):
        size = min(size, 100) if size >= 0 else 100
        given, self.rest = self.rest[:size], self.rest[size:]
        return given

    def tell(self):
        raise io.UnsupportedOperation("tell")


def test_every_kind_of_source(colours, tmp_path):
    contents = encode(colours, "PNG")
    path = tmp_path / "photo.png"
    path.write_bytes(contents)
    sources = [
        str(path),
        path,
        contents,
        bytearray(contents),
        memoryview(contents),
        io.BytesIO(contents),
        Stream(contents),
        Image.fromarray(colours),
        Image.open(path),
        colours,
        colours[::-1][::-1],
    ]
    for source in sources:
        assert_near(load(source), colours)
    with open(path, "rb", buffering=0) as file:
        assert_near(load(file), colours)


def test_arrays(colours):
    assert_near(load(colours[:, :, 0]), grey(colours[:, :, 0]))
    assert_near(load(colours[:, :, :1]), grey(colours[:, :, 0]))
    alpha = np.full((40, 60, 1), 255, np.uint8)
    alpha[:20] = 0
    expected = np.where(alpha == 0, 255, colours)
    assert_near(load(np.concatenate([colours, alpha], 2)), expected)
    assert_near(load(np.asfortranarray(colours)), colours)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 5, 3), np.float32),
        np.zeros((4, 5, 3), np.uint16),
        np.zeros((4, 5), bool),
        np.zeros((4, 5, 3), object),
        np.zeros((3, 4, 5), np.uint8),
        np.zeros((4, 5, 2), np.uint8),
        np.zeros((1, 4, 5, 3), np.uint8),
        np.zeros(5, np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 0), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_arrays_refused(array):
    refused(array, str(array.dtype), str(list(array.shape)))


def test_the_source_stays_as_it_was(colours, tmp_path):
    contents = encode(colours, "JPEG", exif=exif_of(6))
    file = io.BytesIO(contents)
    file.seek(7)
    load(file, enough=8)
    assert file.tell() == 7 and not file.closed

    path = tmp_path / "photo.tif"
    path.write_bytes(encode(colours, "TIFF", compression="tiff_lzw"))
    with open(path, "rb") as file:
        file.read(5)
        load(file)
        assert file.tell() == 5 and file.read() == path.read_bytes()[5:]

    with open(path, "rb") as file, pytest.raises(PhotoError):
        file.seek(3)
        load(io.BufferedReader(io.BytesIO(b"no image")))

    for image in (Image.fromarray(colours), Image.open(io.BytesIO(contents))):
        image.info["note"] = "mine"
        size, mode, info = image.size, image.mode, dict(image.info)
        before = image.tobytes()
        result = load(image, enough=8)
        assert (image.size, image.mode, image.info) == (size, mode, info)
        result.paste((1, 2, 3), (0, 0, *result.size))
        assert image.tobytes() == before

    for array in (colours.copy(), colours[:, :, 0].copy()):
        before = array.copy()
        load(array).paste((1, 2, 3), (0, 0, 60, 40))
        assert (array == before).all()


def test_nothing_of_the_metadata_stays(colours):
    contents = encode(colours, "JPEG", exif=exif_of(3), icc_profile=srgb_profile(), comment=b"me")
    result = load(contents)
    assert result.info == {} and not result.getexif()
    again = Image.open(io.BytesIO(encode(result, "PNG")))
    assert "icc_profile" not in again.info and not again.getexif()
    assert load(result).tobytes() == result.tobytes()


# ---------------------------------------------------------------- large photos, at the size enough


@pytest.fixture(scope="module")
def large():
    """A JPEG file of 4000 x 3000 px with a ramp in each direction, and its pixels."""
    y, x = np.mgrid[:3000, :4000]
    ramps = np.stack([x // 16, y // 12, np.full(x.shape, 90)], 2).astype(np.uint8)
    return encode(ramps, "JPEG", quality=95, subsampling=0), ramps


@pytest.mark.parametrize(
    "enough, size",
    [
        (1, (500, 375)),
        (224, (500, 375)),
        (375, (500, 375)),
        (376, (1000, 750)),
        (1000, (2000, 1500)),
        (1501, (4000, 3000)),
        (5000, (4000, 3000)),
        (None, (4000, 3000)),
    ],
)
def test_large_jpegs_decode_at_the_size_that_is_enough(large, enough, size):
    contents, ramps = large
    result = load(contents, enough)
    assert result.size == size
    scale = 4000 // size[0]
    found = np.asarray(result)[::25, ::25].astype(int)
    assert np.abs(found - ramps[:: 25 * scale, :: 25 * scale]).max() <= 4


def test_enough_is_the_short_side_however_the_photo_is_turned(tmp_path):
    contents = encode(Image.new("RGB", (900, 300)), "JPEG", exif=exif_of(6))
    (tmp_path / "turned.jpg").write_bytes(contents)
    for source in (contents, io.BytesIO(contents), tmp_path / "turned.jpg"):
        assert load(source, 150).size == (150, 450)
        assert load(source, 151).size == (300, 900)
        assert load(source).size == (300, 900)
    for mode in ("L", "CMYK"):
        assert load(encode(Image.new(mode, (900, 300)), "JPEG"), 150).size == (450, 150)
    assert load(encode(Image.new("RGB", (900, 300)), "PNG"), 10).size == (900, 300)
    assert load(Image.open(io.BytesIO(contents)), 10).size == (300, 900)


@pytest.mark.parametrize("enough", [0, -1])
def test_enough_must_be_positive(enough, colours):
    with pytest.raises(ValueError, match="enough") as caught:
        load(colours, enough)
    assert not isinstance(caught.value, PhotoError)


@pytest.mark.parametrize("size", [(1, 1), (5000, 10), (10, 5000), (1, 3), (2, 1)])
def test_extreme_sizes(size):
    image = Image.new("RGB", size, RED)
    for kind in ("PNG", "JPEG", "WEBP"):
        assert load(encode(image, kind), 224).size == size
        assert load(encode(image, kind)).size == size
    assert (pixels(load(image)) == RED).all()


class OneWay(io.BytesIO):
    """A stream: it can be read once and cannot go back."""

    def seekable(self):
        return False

    def seek(self, *_):
        raise OSError("a stream cannot seek")

    tell = seek


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_knows_its_upright_size_before_it_is_decoded(orientation):
    photo = Photo(jpeg_bytes((2400, 1800), orientation))
    assert photo.size == ((2400, 1800) if orientation < 5 else (1800, 2400))
    assert photo.image.size == photo.size


def test_what_a_photo_gives_does_not_depend_on_what_was_asked_before():
    for size, reduced in (((1600, 1200), False), ((2400, 1800), True)):
        photo, other = Photo(jpeg_bytes(size)), Photo(jpeg_bytes(size))
        shown = photo.at_least(200, 200)
        assert (200 <= min(shown.size) < min(size)) == reduced
        assert shown.size[0] * size[1] == shown.size[1] * size[0]
        assert other.image == photo.image == load(jpeg_bytes(size))
        assert other.at_least(200, 200) == shown == photo.at_least(200, 200)
        assert (photo.image is photo.image) != reduced  # a large one is not kept


def test_a_photo_outlives_its_file(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes((640, 480)))
    photo = Photo(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").unlink()
    assert photo.image.size == (640, 480)


def test_a_photo_from_a_stream_that_cannot_go_back():
    assert Photo(OneWay(jpeg_bytes((640, 480)))).image.size == (640, 480)
    with pytest.raises(PhotoError, match="not an image"):
        Photo(OneWay(b"no photo at all"))


def test_errors_name_the_file_also_when_it_is_decoded_later(tmp_path):
    (tmp_path / "half.jpg").write_bytes(jpeg_bytes((2400, 1800))[:6000])
    photo = Photo(tmp_path / "half.jpg")
    with pytest.raises(PhotoError, match=r"half\.jpg"):
        photo.at_least(100, 100)
    with pytest.raises(PhotoError, match=r"half\.jpg"):
        _ = photo.image
    with pytest.raises(PhotoError, match=r"absent\.jpg.*no such file"):
        Photo(tmp_path / "absent.jpg")


def test_one_photo_in_many_threads():
    photo = Photo(jpeg_bytes((2400, 1800)))
    expected = load(jpeg_bytes((2400, 1800)), 200).tobytes()
    with ThreadPoolExecutor(16) as pool:
        for got in pool.map(lambda _: photo.at_least(200, 200).tobytes(), range(64)):
            assert got == expected
