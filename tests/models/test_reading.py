"""Files of weights as training scripts leave them: told by content, and no code in them is run."""

import argparse
import datetime
import decimal
import os
import pickle
import re
import sys
import types
import zipfile
from collections import Counter, OrderedDict, defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cbam_viz.models.errors import WeightsError
from cbam_viz.models.reading import read_weights
from cbam_viz.models.recognition import recognise
from cbam_viz.models.resnet import ResNetCBAM


def small() -> ResNetCBAM:
    torch.manual_seed(0)
    return ResNetCBAM("basic", (1, 1, 1, 1), num_classes=3).eval()


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return small().state_dict()


def read(path: Path) -> dict[str, torch.Tensor]:
    return recognise(read_weights(path)[0]).state_dict


def same(found: dict, state: dict) -> bool:
    return list(found) == list(state) and all(torch.equal(found[k], state[k]) for k in state)


def of_lightning() -> object:
    """Lightning's mapping of hyperparameters, under its own name; it is not installed here."""
    kind = type("AttributeDict", (dict,), {"__module__": "lightning.fabric.utilities.data"})
    return kind(lr=0.1, class_names=["a", "b", "c"])


BESIDE = {
    "a NumPy score": lambda: np.float64(0.76),
    "a NumPy array": lambda: np.arange(6.0).reshape(2, 3),
    "NumPy's random state": lambda: np.random.default_rng(0).bit_generator.state,
    "arguments": lambda: argparse.Namespace(lr=0.1, layers=[2, 2]),
    "paths": lambda: [Path("/data"), PurePosixPath("a/b")],
    "a date": lambda: datetime.datetime(2024, 5, 6, tzinfo=datetime.UTC),
    "a decimal": lambda: decimal.Decimal("0.1"),
    "a defaultdict": lambda: defaultdict(list, loss=[1.0, 0.5]),
    "a deque": lambda: deque([1, 2, 3], maxlen=5),
    "a counter": lambda: Counter("abc"),
    "a namespace": lambda: types.SimpleNamespace(a=1),
    "an OrderedDict": lambda: OrderedDict(a=1),
    "sets": lambda: {frozenset({1}), frozenset({2})},
    "a loss": lambda: nn.CrossEntropyLoss(weight=torch.ones(3)),
    "an optimizer": lambda: torch.optim.SGD([torch.ones(1, requires_grad=True)], 0.1),
    "a version": lambda: torch.__version__,
    "Lightning's settings": of_lightning,
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before PyTorch 1.6"])
@pytest.mark.parametrize("what", BESIDE)
def test_mere_data_beside_the_weights_is_no_hindrance(what, legacy, state, tmp_path, monkeypatch):
    thing = BESIDE[what]()
    if what == "Lightning's settings":  # pickle looks the class up
        path = ["lightning", "fabric", "utilities", "data"]
        for n in range(1, 5):
            module = types.ModuleType(".".join(path[:n]))
            monkeypatch.setitem(sys.modules, module.__name__, module)
        module.AttributeDict = type(thing)
    if what == "a loss" and legacy:
        pytest.skip("its class's source lies in such a file")
    path = tmp_path / "net.pth"
    beside = {"epoch": 3, "extra": {"inner": thing}}
    torch.save(beside | {"state_dict": state}, path, _use_new_zipfile_serialization=not legacy)
    assert same(read(path), state)


def test_many_files_at_once_do_not_take_each_others_permissions(state, tmp_path):
    for i, what in enumerate(BESIDE):
        if what != "Lightning's settings":
            torch.save({"model": state, "extra": BESIDE[what]()}, tmp_path / f"{i}.pth")
    paths = sorted(tmp_path.iterdir()) * 3
    with ThreadPoolExecutor(8) as pool:
        assert all(same(found, state) for found in pool.map(read, paths))


class Meter:
    """A class of the user's own."""

    def __init__(self):
        self.value = 0.5


class Harm:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class Attribute:
    def __reduce__(self):
        return getattr, (Path("."), "touch")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before PyTorch 1.6"])
@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (lambda _: Meter(), r"Meter \(at 'meter'\)"),
        (lambda mark: Harm(f"touch {mark}"), r"(posix|nt)\.system \(at 'meter'\)"),
        (lambda _: Attribute(), r"builtins\.getattr \(at 'meter'\)"),
        (lambda _: eval, r"builtins\.eval \(at 'meter'\)"),
        (lambda _: nn.Linear(2, 2).eval(), r"a whole model.*torch\.nn\.modules"),
        (lambda _: small(), r"a whole model.*cbam_viz\.models\.resnet\.ResNetCBAM"),
    ],
)
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_what_stopped_it_and_what_to_do_is_said(thing, words, legacy, state, tmp_path):
    mark, path = tmp_path / "was-run", tmp_path / "net.pth"
    content = {"state_dict": state, "meter": thing(mark)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        WeightsError, match=f"{words}.*not opened.*save `model.state_dict"
    ) as caught:
        read_weights(path)
    assert len(str(caught.value)) < 900
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [4, 5])
def test_another_pickle_protocol_is_named(protocol, state, tmp_path):
    torch.save({"state_dict": state}, tmp_path / "net.pth", pickle_protocol=protocol)
    with pytest.raises(WeightsError, match=f"pickle_protocol={protocol}.*default protocol"):
        read_weights(tmp_path / "net.pth")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"state_dict": state}, protocol))
    with pytest.raises(WeightsError, match="written by pickle itself.*save `model.state_dict"):
        read_weights(tmp_path / "plain.pkl")


@pytest.mark.parametrize("name", ["weights", "net.tar", "net.bin", "net.onnx", "模型.dat"])
@pytest.mark.parametrize("kind", ["safetensors", "torch", "legacy"])
def test_the_content_tells_not_the_name(name, kind, state, tmp_path):
    path = tmp_path / name
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "torch")
    assert same(read(path), state)
    wrong = path.rename(tmp_path / ("net.pth" if kind == "safetensors" else "net.safetensors"))
    assert same(read(wrong), state)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("how", ["traced", "traced in a sequence", "scripted"])
def test_torchscript_is_read_for_its_weights_alone(how, state, tmp_path):
    import timm

    net, prefix = small(), ""
    if how == "scripted":  # timm's own network: ours has a hub mixin, which cannot be scripted
        net = timm.create_model("resnet18", block_args={"attn_layer": "cbam"}, num_classes=3)
        archive = torch.jit.script(net.eval())
    else:
        if how != "traced":
            net, prefix = nn.Sequential(nn.Identity(), net), "1."
        archive = torch.jit.trace(net, torch.rand(1, 3, 64, 64))
    torch.jit.save(archive, tmp_path / "net.pt")
    found = read_weights(tmp_path / "net.pt")[0]
    assert found.keys() == net.state_dict().keys()
    assert all(torch.equal(found[k], v) for k, v in net.state_dict().items())
    if how != "scripted":
        assert same(recognise(found).state_dict, state)
        assert all(key.startswith(prefix) for key in found)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_frozen_torchscript_has_no_names_and_says_so(tmp_path):
    frozen = torch.jit.freeze(torch.jit.trace(small(), torch.rand(1, 3, 64, 64)))
    torch.jit.save(frozen, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match="frozen TorchScript.*save `model.state_dict"):
        read_weights(tmp_path / "net.pt")


OTHERS = {
    "a web page": b"<!DOCTYPE html><html><title>Google Drive - Virus scan warning</title>",
    "JSON": b'{"error": "Entry not found"}',
    "a compressed archive": b"\x1f\x8b\x08\x00" + bytes(60),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(60),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(60),
    "text": "nicht gefunden: schön\n".encode(),
    "ONNX": b"\x08\x08\x12\x07pytorch\x1a\x052.1.0",
    "no kind known": bytes(range(256)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_files_are_named_for_what_they_are(what, tmp_path):
    (tmp_path / "net.pth").write_bytes(OTHERS[what])
    with pytest.raises(WeightsError, match=f"{what}.*Expected is what torch.save or safetensors"):
        read_weights(tmp_path / "net.pth")


def test_other_zip_archives_are_named(state, tmp_path):
    with zipfile.ZipFile(tmp_path / "net.zip", "w") as archive:
        archive.writestr("model.pth", b"inside")
    np.savez(tmp_path / "net.npz", **{k: v.numpy() for k, v in state.items()})
    program = torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),))
    torch.export.save(program, tmp_path / "net.pt2")
    for name, words in {
        "net.zip": "another zip archive; unpack it",
        "net.npz": "NumPy arrays",
        "net.pt2": "a program of torch.export",
    }.items():
        with pytest.raises(WeightsError, match=words):
            read_weights(tmp_path / name)


def test_an_old_file_whose_storages_have_other_names(state, tmp_path):
    """Found by fuzzing: torch's reader asserts that they are there."""
    path = tmp_path / "old.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    at = content.rindex(b"\x80\x02]")  # the pickled list of them
    path.write_bytes(content[:at] + re.sub(rb"\d{6}", b"000000", content[at:], count=1))
    with pytest.raises(WeightsError, match="truncated or no PyTorch file"):
        read_weights(path)
