"""What tests of whole runs share: a small network, small photos, a short recipe."""

import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock

from cbam_viz.models.resnet import ResNetCBAM
from cbam_viz.training.learner import Learner
from cbam_viz.training.recipe import Phase, Recipe

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
    del values["kept"]  # a table
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


def small_plain(name="", **options):
    """The plain twin of `small`."""
    return ResNet(BasicBlock, [1, 1, 1, 1], **options)
