"""Runs on ImageNet's classes, in phases, with evidence."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import ROOT, as_trained, folded
from small_runs import (
    IMAGENET,
    as_toml,
    killed_once,
    last,
    make_photos,
    rows,
    small,
    small_plain,
    watching,
)

from cbam_viz.models.checkpoints import load_checkpoint
from cbam_viz.training.data import IMAGENET_CLASSES
from cbam_viz.training.learner import Learner, at_cells, evidence_loss
from cbam_viz.training.train import train

pytestmark = pytest.mark.usefixtures("small_network")


STEPS = 4  # in each of its phases


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """Noise of ImageNet's classes; of the photos to train on one folder has labels."""
    root = make_photos(tmp_path_factory.mktemp("imagenet"), 6, 2)
    (root / "train" / "red").rename(root / "train" / "more")
    for split, labels in (("train", [1]), ("val", [2, 3, 999])):
        folders = sorted((root / split).iterdir())
        for folder, label in zip(folders, labels, strict=False):
            names = [f.name for f in folder.iterdir()]
            (folder / "labels.json").write_text(json.dumps(dict.fromkeys(names, label)))
    return root


@pytest.fixture(scope="module")
def folded_start(tmp_path_factory):
    """A folded ResNet-10 of ImageNet's classes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("start") / "whole.npz"
    np.savez(path, **folded(as_trained(small_plain())))
    return path


@pytest.fixture
def recipe(folded_start, monkeypatch):
    monkeypatch.setattr("cbam_viz.training.initialisation.get_model", small_plain)
    return replace(IMAGENET, init=str(folded_start))


def test_stopped_and_resumed_inside_each_phase(imagenet, recipe, tmp_path):
    states, steps = [], []
    for stop in (1, 3, 5, 9, 10):
        with watching() as seen:
            train(recipe, imagenet, tmp_path, workers=0, stop_at=stop)
        states.append(last(tmp_path)["model"])
        steps += seen
    asked = (tmp_path / "teacher.npy").stat()
    with watching() as seen:
        folder = train(recipe, imagenet, tmp_path, workers=0)
    assert [step for step, *_ in steps + seen] == list(range(3 * STEPS))
    assert (tmp_path / "teacher.npy").stat() == asked
    log = rows(tmp_path)
    assert [r["epoch"] + " " + r["size"] for r in log] == ["0 32", "1 48", "2 48"]
    assert log[-1]["val_top1"]

    def moved(before, after):
        return {k for k, v in after.items() if not torch.equal(v, before[k])}

    parameters = {k for k, _ in small().named_parameters()}
    norms = {k for k in parameters if ("bn" in k or "downsample.1" in k)}
    gates = {k for k in parameters if "attention" in k}
    first, second, third = (moved(states[i], states[j]) for i, j in ((0, 1), (1, 2), (3, 4)))
    assert first <= norms | gates and first & norms and first & gates
    assert {"conv1.weight", "fc.weight", "layer2.0.conv1.weight"} <= second <= parameters
    assert third == {k for k in parameters if k.startswith(("layer4", "fc"))}
    checkpoint = load_checkpoint(folder)
    assert checkpoint.classes == IMAGENET_CLASSES and len(checkpoint.classes_zh) == 1000
    assert checkpoint.untrained is None
    assert last(tmp_path)["model"]["fc.weight"].shape == (1000, 512)  # no outputs but its own


def test_its_loss_is_the_teachers_divergence_and_what_the_gates_lack(
    imagenet, recipe, tmp_path, monkeypatch
):
    steps = []
    learn = Learner.learn

    def spy(self, batch):
        parts = [self.model, *(self.model.get_submodule(b) for b in recipe.evidence_blocks)]
        parts[1:] = [block.spatial_attention for block in parts[1:]]
        seen = []
        handles = [m.register_forward_hook(lambda _, x, y: seen.append((x[0], y))) for m in parts]
        loss, right = learn(self, batch)
        for handle in handles:
            handle.remove()
        # The network's own hook comes last.
        steps.append((loss, right, [y.detach().double() for _, y in seen], seen[-1][0], batch.soft))
        return loss, right

    monkeypatch.setattr(Learner, "learn", spy)
    train(recipe, imagenet, tmp_path, workers=0, stop_at=2)
    for loss, right, (*gates, outputs), x, soft in steps:
        p = soft.logits.double().softmax(1)
        expected = (p * (p / outputs.softmax(1)).log()).sum(1).mean()
        for gate, stride in zip(gates, (16, 32), strict=True):
            shown = at_cells(soft.evidence, gate.shape[2:], x.shape[2:]).double()
            assert gate.shape[2:] == (-(-x.shape[2] // stride), -(-x.shape[3] // stride))
            gate = gate[:, 0]
            cross = -(shown * gate.log() + (1 - shown) * (1 - gate).log())
            expected += 2 * cross.mean() / 2
        assert loss.item() == pytest.approx(expected.item(), rel=1e-3)
        assert right == (outputs.argmax(1) == p.argmax(1)).sum()


@pytest.mark.slow
def test_killed_inside_each_phase(imagenet, recipe, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from torchvision.models.resnet import BasicBlock, ResNet\n"
        "from cbam_viz.models.resnet import CONSTRUCTORS, ResNetCBAM\n"
        "from cbam_viz.training import initialisation, recipe, train\n"
        "small = [1, 1, 1, 1]\n"
        "CONSTRUCTORS['resnet18_cbam'] = lambda **o: ResNetCBAM('basic', small, **o)\n"
        "initialisation.get_model = lambda name, **o: ResNet(BasicBlock, small, **o)\n"
        "train.SAVE_EVERY_S = 0\n"
        "r = recipe.load_recipe(sys.argv[1])\n"
        "train.train(r, sys.argv[2], Path(sys.argv[3]), workers=1)\n"
    )
    (tmp_path / "recipe.toml").write_text(as_toml(recipe))
    out = tmp_path / "out"
    file = out / "last.pt"
    for phase in range(3):
        begins, ends = STEPS * phase, STEPS * (phase + 1)
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "recipe.toml"), str(imagenet), str(out)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        killed_once(lambda at=begins: file.exists() and last(out)["step"] > at, process)
        assert begins < last(out)["step"] < ends
        done = last(out)["step"]
    with watching() as steps:
        train(recipe, imagenet, out, workers=0)
    assert [step for step, *_ in steps] == list(range(done, 3 * STEPS))
    assert [r["epoch"] for r in rows(out)] == ["0", "1", "2"]
    assert not list(out.glob("*.part"))


@pytest.mark.parametrize("side, cells", [(64, 4), (112, 4), (112, 7), (176, 6), (32, 1), (48, 12)])
def test_evidence_is_read_off_where_cells_are_centred(side, cells):
    """A cell lies at as many px as its number times the stride, be the side a multiple or not."""
    stride = next(s for s in (4, 8, 16, 32) if -(-side // s) == cells)
    at = torch.arange(96.0) + 100 * torch.arange(side).view(-1, 1)
    expected = at[::stride, ::8]
    assert torch.allclose(at_cells(at[None], (cells, 12), (side, 96))[0], expected, atol=0.01)


def test_evidence_is_read_off_a_coarser_map_at_the_same_places():
    at = torch.arange(112.0) + 100 * torch.arange(112).view(-1, 1)
    coarse = at.unfold(0, 8, 8).unfold(1, 8, 8).mean((2, 3))  # means over its 14 x 14 cells
    got = at_cells(coarse[None], (7, 7), (112, 112))[0]
    assert torch.allclose(got[1:, 1:], at[16::16, 16::16], atol=0.01)


def test_a_gate_is_judged_by_what_it_was_shown():
    shown = torch.full((2, 14, 14), 0.9)
    gates = {"a": torch.full((2, 1, 4, 4), 0.9), "b": torch.full((2, 1, 2, 2), 0.2)}
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    other = -(0.9 * np.log(0.2) + 0.1 * np.log(0.8))
    assert evidence_loss(gates, shown, (64, 64)) == pytest.approx((entropy + other) / 2, rel=1e-4)
    closed = {"a": torch.zeros(2, 1, 4, 4)}
    assert torch.isfinite(evidence_loss(closed, shown, (64, 64)))
