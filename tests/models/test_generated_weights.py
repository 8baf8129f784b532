"""State dicts of every kind, drawn by hypothesis, and what becomes of files that are damaged."""

import io
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from cbam_viz import WeightsError
from cbam_viz.models.reading import read_weights
from cbam_viz.models.recognition import recognise
from cbam_viz.models.resnet import ResNetCBAM

DRAWN = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
TYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


@pytest.fixture(scope="module")
def state():
    """Of the smallest network that there is."""
    return ResNetCBAM(layers=(1, 1, 1, 1), num_classes=2).half().state_dict()


@pytest.fixture(scope="module")
def contents(state) -> dict[str, bytes]:
    """Its file in each format, by suffix."""
    return {
        ".pth": pickled(state),
        ".old.pth": pickled(state, old=True),
        ".safetensors": save(state),
    }


@st.composite
def values(draw, depth: int = 2):
    """What people put into files of weights, and what they do not."""
    kinds = ["tensor", "number", "text", "none"] + ["dict", "list"] * (depth > 0)
    kind = draw(st.sampled_from(kinds))
    if kind == "tensor":
        shape = draw(st.lists(st.integers(0, 5), max_size=4))
        tensor = torch.zeros(shape, dtype=draw(st.sampled_from(TYPES)))
        return tensor.t() if tensor.dim() == 2 and draw(st.booleans()) else tensor
    if kind == "dict":
        return draw(st.dictionaries(names(), values(depth - 1), max_size=5))
    if kind == "list":
        return draw(st.lists(values(depth - 1), max_size=4))
    return draw(
        {"number": st.floats() | st.integers(), "text": st.text(max_size=20)}.get(kind, st.none())
    )


def names():
    """Names as networks have them, and any."""
    part = st.sampled_from(
        [
            "layer1",
            "0",
            "conv1",
            "ca",
            "sa",
            "fc1",
            "module",
            "state_dict",
            "model",
            "weight",
            "bn1",
        ]
    )
    return st.lists(part, min_size=1, max_size=6).map(".".join) | st.text(max_size=12)


def opened(content: bytes, suffix: str):
    """The file, read and recognised; None if that is refused in words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"net{suffix}")
        path.write_bytes(content)
        try:
            return recognise(read_weights(path)[0])
        except WeightsError as error:
            assert str(error)
            return None


def pickled(value, old: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=not old)
    return file.getvalue()


@DRAWN
@given(values(), st.booleans())
def test_whatever_is_saved_is_refused_in_words(value, old):
    assert opened(pickled(value, old), ".pth") is None


@DRAWN
@given(st.data())
def test_a_network_of_which_something_is_changed_is_read_or_refused_in_words(state, data):
    state = dict(state)
    for key in data.draw(st.lists(st.sampled_from(sorted(state)), max_size=3), "keys"):
        change = data.draw(st.sampled_from(["gone", "renamed", "other"]), "change")
        tensor = state.pop(key, None)
        if change == "renamed":
            state[data.draw(names())] = tensor
        elif change == "other":
            state[key] = data.draw(values(1))
    wrapped = data.draw(st.sampled_from([lambda s: s, lambda s: {"state_dict": s, "epoch": 3}]))
    opened(pickled(wrapped(state)), ".pth")


def test_the_network_itself_is_read(contents):
    for suffix, content in contents.items():
        assert opened(content, suffix).config["layers"] == [1, 1, 1, 1]


@DRAWN
@given(st.data())
def test_a_damaged_file_is_read_or_refused_in_words(contents, data):
    suffix = data.draw(st.sampled_from(sorted(contents)))
    content = bytearray(contents[suffix])
    ends = st.integers(0, 4000) | st.integers(len(content) - 4000, len(content) - 1)
    for _ in range(data.draw(st.integers(1, 8), "bytes that change")):
        content[data.draw(ends, "place")] = data.draw(st.integers(0, 255), "value")
    if data.draw(st.booleans(), "cut off"):
        del content[data.draw(ends, "after") :]
    opened(bytes(content), suffix)
