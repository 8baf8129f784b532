"""Files of weights that ask for much: refused in words, before much is spent on them."""

import io
import os
import pickle
import resource
import struct
import sys
import time
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from cbam_viz.models import bounds
from cbam_viz.models.bounds import check_network, check_read, check_zip
from cbam_viz.models.checkpoints import load_checkpoint
from cbam_viz.models.errors import WeightsError
from cbam_viz.models.reading import read_weights
from cbam_viz.models.resnet import resnet18_cbam


@pytest.fixture(scope="module")
def state():
    return resnet18_cbam(num_classes=3).state_dict()


def saved(value, **options) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def repacked(contents: bytes, compression: int, more: dict[str, bytes] | None = None) -> bytes:
    """The same records in a zip of another making."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(contents)) as old,
        zipfile.ZipFile(out, "w", compression) as new,
    ):
        for record in old.infolist():
            new.writestr(record.filename, (more or {}).get(record.filename, old.read(record)))
    return out.getvalue()


def calls(function: str, argument: int) -> bytes:
    """A pickle that calls a function that torch's reader allows."""
    module, _, name = function.rpartition(".")
    return (
        b"\x80\x02}X\x01\0\0\0ac" + f"{module}\n{name}\n".encode()
        + b"\x8a\x08" + struct.pack("<q", argument) + b"\x85Rs."
    )  # fmt: skip


def overlapping(contents: bytes, copies: int) -> bytes:
    """A zip whose list names one record many times over."""
    at = contents.rindex(b"PK\x05\x06")
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        start = archive.start_dir
        largest = max(archive.infolist(), key=lambda r: r.file_size)
    directory = contents[start:].partition(b"PK\x06\x06")[0].partition(b"PK\x05\x06")[0]
    entries = [b"PK\x01\x02" + e for e in directory.split(b"PK\x01\x02")[1:]]
    entry = next(e for e in entries if largest.filename.encode() in e)
    directory += entry * copies
    count = len(entries) + copies
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), start, 0)
    assert at > start
    return contents[:start] + directory + end


def narrow() -> dict[str, torch.Tensor]:
    """The keys of a network at next to no size."""
    return {
        k: v.flatten()[:1].clone() for k, v in resnet18_cbam(num_classes=3).state_dict().items()
    }


def small(**more) -> bytes:
    return saved({"conv1.weight": torch.ones(64, 3, 7, 7)} | more)


def pickled(contents: bytes) -> bytes:
    """A file whose pickle is another one."""
    return repacked(small(), zipfile.ZIP_STORED, {"archive/data.pkl": contents})


def aliases() -> dict[str, torch.Tensor]:
    storage = torch.ones(64, 512, 3, 3)
    return {f"layer1.{i}.conv1.weight": storage[: 64 - i] for i in range(60)}


# By what they do: what makes the contents of a file.
HOSTILE = {
    "strides of 0": lambda: small(**{"fc.weight": torch.ones(1).expand(10**5, 10**4)}),
    "100 million classes": lambda: saved(
        narrow() | {"fc.weight": torch.ones(1).expand(10**8, 512)}
    ),
    "deflated records": lambda: repacked(small(a=torch.zeros(10**6)), zipfile.ZIP_DEFLATED),
    "records in bzip2": lambda: repacked(small(), zipfile.ZIP_BZIP2),
    "records over each other": lambda: overlapping(small(), 500),
    "a bytearray": lambda: pickled(calls("__builtin__.bytearray", 10**11)),
    "a bytearray by its new name": lambda: pickled(calls("builtins.bytearray", 10**11)),
    "4000 blocks": lambda: saved(
        {f"layer1.{i}.bn{j}.weight": torch.ones(1) for i in range(4000) for j in range(2)}
    ),
    "a long name": lambda: saved({"module." * 10_000 + k: v for k, v in narrow().items()}),
    "one storage under many names": lambda: saved(aliases()),
    "many values": lambda: small(a=[[] for _ in range(210_000)]),
    "many operations": lambda: pickled(b"\x80\x02" + b"N0" * 600_000 + b"N."),
    "a sparse tensor": lambda: small(a=torch.eye(3, 512).to_sparse()),
    "a tensor without memory": lambda: small(a=torch.ones(3, 512, device="meta")),
    "a quantised tensor": lambda: small(
        a=torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    ),
    "an old file with strides of 0": lambda: saved(
        {"conv1.weight": torch.ones(1).expand(64, 3, 7, 10**6)},
        _use_new_zipfile_serialization=False,
    ),
    "deep": lambda: pickled(b"\x80\x02" + b"]" * 10_000 + b"a" * 9_999 + b"."),
    "a safetensors header": lambda: struct.pack("<Q", 90_000_000) + b"{" + b" " * 1000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_asks_for_much_is_refused_and_costs_little(kind, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(HOSTILE[kind]())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(path)
    assert time.process_time() - began < 10
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 400_000_000
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.complex64])
def test_types_that_cannot_be_computed_with_are_named(dtype, state, tmp_path):
    save_file(state | {"fc.weight": state["fc.weight"].to(dtype)}, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=str(dtype).removeprefix("torch.")):
        load_checkpoint(tmp_path / "a.safetensors")


def test_what_people_have_is_read(state, tmp_path):
    """Averages, the optimizer's state and the same weights twice lie beside the weights."""
    net = resnet18_cbam(num_classes=3)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.zeros(2, 3, 64, 64)).sum().backward()
    optimizer.step()
    weights = net.state_dict()
    whole = {"state_dict": weights, "best": weights, "optimizer": optimizer.state_dict()}
    whole |= {"epoch": 3, "rng": torch.get_rng_state()}
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        (tmp_path / "a.pth").write_bytes(saved(whole, **options))
        assert len(load_checkpoint(tmp_path / "a.pth").classes) == 3


def test_weights_stay_what_they_are_when_the_file_changes(state, tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(state, path)
    weights, _ = read_weights(path)
    size = path.stat().st_size
    with path.open("r+b") as file:  # in place
        file.seek(size // 2)
        file.write(b"\xff" * (size // 2))
    assert all(torch.equal(weights[key], value) for key, value in state.items())
    os.truncate(path, 0)
    assert all(torch.equal(weights[key], value) for key, value in state.items())


def test_too_many_parameters(monkeypatch, state):
    check_network(state)
    monkeypatch.setattr(bounds, "MAX_PARAMETERS", 1_000_000)
    with pytest.raises(WeightsError, match="parameters"):
        check_network(state)


def test_a_value_that_holds_itself_is_looked_through_once(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(100))
    loop: dict = {}
    loop["loop"] = loop
    check_read(path, loop)


def test_a_long_list_of_records_is_not_parsed(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        for i in range(60_000):
            archive.writestr(f"archive/data/{i:0>60}", b"")
    began = time.process_time()
    with pytest.raises(WeightsError, match="a list of records"):
        check_zip(tmp_path / "a.pth")
    assert time.process_time() - began < 0.5


def test_nothing_but_plain_pickles_of_torch(tmp_path):
    (tmp_path / "a.pth").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(WeightsError, match="pickle"):
        load_checkpoint(tmp_path / "a.pth")
