"""Opening models: what is in the catalogue, what is not, and files that are broken."""

import json
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import ROOT
from PIL import Image
from safetensors.torch import save_file

from cbam_viz import Explainer, WeightsError, list_checkpoints, load_model
from cbam_viz.models import sources
from cbam_viz.models.checkpoints import (
    Checkpoint,
    Preprocessing,
    load_checkpoint,
    read_weights,
    save_checkpoint,
)
from cbam_viz.models.resnet import ResNetCBAM, resnet18_cbam

WEIGHTS = ROOT / "weights"
BUNDLED = [entry.name for entry in sources.catalogue() if entry.origin == "bundled"]


@pytest.fixture(scope="module")
def trained() -> ResNetCBAM:
    """A small model whose gates look as if they had been trained."""
    torch.manual_seed(0)
    model = resnet18_cbam(num_classes=4).eval()
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
    return model


@pytest.fixture
def folder(trained, tmp_path) -> Path:
    pre = Preprocessing(size=64, crop_resize=72)
    save_checkpoint(Checkpoint("mine", trained, ("a", "b", "c", "d"), pre), tmp_path / "mine")
    return tmp_path / "mine"


@pytest.mark.parametrize("name", BUNDLED)
def test_every_bundled_model_is_whole_small_and_documented(name):
    checkpoint = load_checkpoint(name)
    assert checkpoint.untrained is None
    assert not checkpoint.model.training
    assert len(set(checkpoint.classes)) == checkpoint.model.fc.out_features
    assert 0 < checkpoint.figures["top1"] <= 1
    assert (WEIGHTS / name / "model.safetensors").stat().st_size <= 60_000_000
    card = (WEIGHTS / name / "README.md").read_text("utf-8")
    assert card.startswith("---\n")
    assert f"{100 * checkpoint.figures['top1']:.1f} %" in card


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_models_open_with_the_hubs_own_mixin(name):
    """The folder is what `push_to_hub` would make: the Hub's loader gives the same network."""
    theirs = ResNetCBAM.from_pretrained(WEIGHTS / name).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(theirs(x), load_model(name)(x), atol=1e-5)


def test_the_default_comes_first():
    assert list_checkpoints()[0] == sources.DEFAULT
    assert load_checkpoint().name == sources.DEFAULT


def test_a_folder_there_and_back(folder, trained):
    checkpoint = load_checkpoint(folder)
    assert checkpoint.name == "mine"
    assert checkpoint.classes == ("a", "b", "c", "d")
    assert checkpoint.preprocessing == Preprocessing(size=64, crop_resize=72)
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected, got = trained(x), checkpoint.model(x)
    assert (expected - got).norm() / expected.norm() < 5e-3  # half precision on disk
    assert got.dtype == torch.float32


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pth.tar", ".safetensors"])
def test_a_single_file(trained, tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    if suffix == ".safetensors":
        save_file(trained.state_dict(), path)
    else:
        torch.save({"state_dict": trained.state_dict(), "epoch": 3}, path)
    checkpoint = load_checkpoint(str(path))
    assert checkpoint.classes == ("class 0", "class 1", "class 2", "class 3")
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(checkpoint.model(x), trained(x), atol=1e-5)


def test_imagenets_names_for_a_thousand_outputs(tmp_path):
    torch.save(resnet18_cbam().state_dict(), tmp_path / "net.pth")
    assert load_checkpoint(tmp_path / "net.pth").classes[285] == "Egyptian cat"


def test_class_names_come_from_what_lies_beside(trained, tmp_path):
    torch.save(trained.state_dict(), tmp_path / "net.pth")
    (tmp_path / "classes.txt").write_text("ant\nbee\ncat\ndog\n\n")
    assert load_checkpoint(tmp_path / "net.pth").classes == ("ant", "bee", "cat", "dog")
    assert load_checkpoint(tmp_path).classes == ("ant", "bee", "cat", "dog")
    labels = {"id2label": {"3": "k", "2": "c", "1": "b", "0": "a"}}
    (tmp_path / "config.json").write_text(json.dumps(labels))
    assert load_checkpoint(tmp_path).classes == ("a", "b", "c", "k")
    (tmp_path / "mine.txt").write_text("w\nx\ny\nz", encoding="utf-8-sig")
    assert load_checkpoint(tmp_path, tmp_path / "mine.txt").classes == ("w", "x", "y", "z")
    (tmp_path / "mine.txt").write_text("w\nx")
    with pytest.raises(WeightsError, match="2 class names are given .* 4 outputs"):
        load_checkpoint(tmp_path, tmp_path / "mine.txt")
    with pytest.raises(WeightsError, match="absent.txt cannot be read"):
        load_checkpoint(tmp_path, tmp_path / "absent.txt")


def test_chinese_class_names_go_with_their_classes(folder, tmp_path):
    checkpoint = load_checkpoint(folder)
    assert checkpoint.classes_zh is None
    zh = ("蚂蚁", "蜜蜂", "猫", "狗")
    save_checkpoint(replace(checkpoint, classes_zh=zh), tmp_path / "named")
    assert load_checkpoint(tmp_path / "named").classes_zh == zh
    explainer = Explainer.from_pretrained(tmp_path / "named")
    for p in explainer.explain(Image.new("RGB", (64, 64)), 4).predictions:
        assert p.label_zh == zh[p.index]
    (tmp_path / "mine.txt").write_text("w\nx\ny\nz")  # they would name other things
    assert load_checkpoint(tmp_path / "named", tmp_path / "mine.txt").classes_zh is None


def test_fresh_gates_are_marked(tmp_path):
    torch.save(resnet18_cbam(num_classes=4).state_dict(), tmp_path / "net.pth")
    assert load_checkpoint(tmp_path / "net.pth").untrained
    assert Explainer.from_pretrained(tmp_path / "net.pth").facts.untrained


def test_a_config_can_say_that_gates_are_untrained(folder):
    config = json.loads((folder / "config.json").read_text())
    config["gates_trained"] = False
    (folder / "config.json").write_text(json.dumps(config))
    assert "config.json" in load_checkpoint(folder).untrained


class Harm:
    """A pickle that would make a file when it is opened."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_pickle_with_code_in_it_is_refused_before_anything_runs(trained, tmp_path, how):
    mark, path = tmp_path / "was-run", tmp_path / "net.pth"
    content = {"state_dict": trained.state_dict(), "extra": Harm(mark)}
    if how == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match="not opened"):
        load_checkpoint(path)
    assert not mark.exists()


def test_files_that_are_no_weights(trained, tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    (tmp_path / "pointer.pth").write_text(pointer)
    (tmp_path / "pointer.safetensors").write_text(pointer)
    (tmp_path / "empty.pth").touch()
    (tmp_path / "note.pth").write_text("no weights at all")
    (tmp_path / "note.safetensors").write_text("no weights at all")
    (tmp_path / "net.onnx").write_text("something")
    for name, words in {
        "pointer.pth": "Git-LFS pointer.*git lfs pull",
        "pointer.safetensors": "Git-LFS pointer",
        "empty.pth": "empty",
        "note.pth": "damaged|no PyTorch file",
        "note.safetensors": "truncated or no safetensors",
        "net.onnx": r"\.safetensors, \.pth",
        "absent.pth": "neither a file or folder.*everyday117",
    }.items():
        with pytest.raises(WeightsError, match=words):
            load_checkpoint(tmp_path / name)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_truncated_files(trained, tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(trained.state_dict(), path)
    else:
        save_file(trained.state_dict(), path)
    whole = path.read_bytes()
    for share in (0.0001, 0.1, 0.5, 0.9, 0.9999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(WeightsError, match="fetch it again|damaged"):
            read_weights(path)


def test_a_config_that_disagrees(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for change, words in [
        ({"classes": ["a", "b"]}, "2 class names are given .* the model has 4 outputs"),
        ({"classes_zh": ["蚂蚁"]}, "1 class names are given .* the model has 4 outputs"),
        ({"layers": [3, 4, 6, 3]}, r"layers = \[3, 4, 6, 3\].*\[2, 2, 2, 2\]"),
        ({"num_classes": 5}, "num_classes = 5.*with 4"),
        ({"input": {"side": 3}}, "unknown input settings: side"),
    ]:
        path.write_text(json.dumps(config | change))
        with pytest.raises(WeightsError, match=words):
            load_checkpoint(folder)
    path.write_text("{")
    with pytest.raises(WeightsError, match="not valid JSON"):
        load_checkpoint(folder)
    path.write_text("[]")
    with pytest.raises(WeightsError, match="holds no object but list"):
        load_checkpoint(folder)


def test_a_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="has no weights in it; expected is model.safetensors"):
        load_checkpoint(folder)


def test_a_plain_resnet_is_refused(tmp_path):
    from torchvision.models import resnet18

    torch.save(resnet18().state_dict(), tmp_path / "plain.pth")
    with pytest.raises(WeightsError, match="no CBAM"):
        load_checkpoint(tmp_path / "plain.pth")


def test_the_hash_is_the_files(folder, tmp_path):
    import hashlib

    expected = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert load_checkpoint(folder).sha256 == expected
    shutil.copy(folder / "model.safetensors", tmp_path / "copy.safetensors")
    assert load_checkpoint(tmp_path / "copy.safetensors").sha256 == expected


def test_the_block_to_open_at_is_kept_and_checked(tmp_path):
    checkpoint = load_checkpoint()
    save_checkpoint(replace(checkpoint, open_at="layer3.1"), tmp_path)
    assert load_checkpoint(tmp_path).open_at == "layer3.1"
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"open_at": "layer5.0"}))
    with pytest.raises(WeightsError, match="open_at = 'layer5.0'; its blocks are: layer1.0, "):
        load_checkpoint(tmp_path)


def test_the_level_of_doubt_is_kept_and_checked(tmp_path):
    checkpoint = load_checkpoint()
    save_checkpoint(replace(checkpoint, unsure_below=0.0), tmp_path)
    assert load_checkpoint(tmp_path).unsure_below == 0
    save_checkpoint(replace(checkpoint, unsure_below=0.37), tmp_path)
    assert load_checkpoint(tmp_path).unsure_below == 0.37
    assert Explainer.from_pretrained(tmp_path).facts.unsure_below == 0.37
    config = json.loads((tmp_path / "config.json").read_text())
    for wrong in (37, -0.1, "0.37", [0.37]):
        (tmp_path / "config.json").write_text(json.dumps(config | {"unsure_below": wrong}))
        with pytest.raises(
            WeightsError, match=f"unsure_below = {re.escape(repr(wrong))}; expected"
        ):
            load_checkpoint(tmp_path)
