"""Speed and memory on this machine: everything in turn, one after the other, round after round.

Ratios of figures from one run mean something on a noisy machine; the milliseconds alone do not.
"""

import gc
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.models import resnet18, resnet50

from .explain.explainer import Explainer
from .explain.explanation import BlockAttention
from .explain.grad_cam import grad_cam
from .explain.photo import Photo
from .explain.recorder import recorded
from .explain.view import ModelInput
from .models.checkpoints import load_checkpoint
from .models.resnet import resnet50_cbam
from .render.charts import channel_chart
from .render.overlay import overlay

#: Size of the photo, as a phone's messenger sends it, and of the picture on the page.
PHOTO, PAGE = (1024, 768), (1024, 768)

#: What training is measured on, if there are photos.
RECIPE = "resnet18-cbam-everyday117"


def run(rounds: int, memory: int, data: str | None = None) -> None:
    """Print a table of medians in ms for both depths, and what else is asked for.

    Args:
        rounds: of everything in the table.
        memory: over so many explanations its growth is told; 0 for none.
        data: photos on which the speed of training is told, as `find_photos` takes them.
    """
    torch.manual_seed(0)
    bundled = load_checkpoint()
    random50 = Explainer(resnet50_cbam(), name="resnet50-cbam, random weights")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {rounds} rounds")
    if data:  # first: what is wrong with the photos is better known at once
        _training(data)
    for explainer, plain in (
        (Explainer.from_checkpoint(bundled), resnet18()),
        (random50, resnet50()),
    ):
        _table(explainer, plain.eval(), rounds)
    _opening()
    if memory:
        _memory(Explainer.from_checkpoint(bundled), memory)


def _photo(seed: int = 0) -> bytes:
    """A JPEG with something in it: smooth noise, so that decoding costs what a photo's does."""
    rng = np.random.default_rng(seed)
    rough = Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8))
    file = io.BytesIO()
    rough.resize(PHOTO, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def _table(explainer: Explainer, plain: torch.nn.Module, rounds: int) -> None:
    jpeg = _photo()
    explanation = explainer.explain(jpeg)
    photo, view, serving = explanation.photo, explanation.view, explainer.serving
    x = ModelInput.of(photo, explainer.preprocessing, view).tensor
    last = explanation.blocks[-1]

    def forward(model: torch.nn.Module) -> Callable[[], object]:
        def run():
            with torch.inference_mode():
                return model(x)

        return run

    def with_gates():
        with torch.inference_mode(), recorded(serving):
            return serving(x)

    page = explanation.image.resize(PAGE)

    def draw(block: BlockAttention) -> Image.Image:
        return overlay(page, block.spatial, block.stride, view)

    jobs: dict[str, Callable[[], object]] = {
        "plain ResNet of torchvision, forward": forward(plain),
        "our ResNet-CBAM as loaded, forward": forward(explainer.model),
        "our ResNet-CBAM for serving, forward": forward(serving),
        "the same, gates recorded": with_gates,
        "explain, from JPEG bytes": lambda: explainer.explain(jpeg),
        "the photo in full, for the page": lambda: Photo(jpeg).image,
        "redraw one block for the page": lambda: draw(last),
        "overlays of all blocks": lambda: [draw(b) for b in explanation.blocks],
        "channel chart of one block": lambda: channel_chart(last.channel, last.name),
        "Grad-CAM of the last block": lambda: grad_cam(explainer.model, x, [last.name]),
    }
    times: dict[str, list[float]] = {job: [] for job in jobs}
    for turn in range(rounds + 2):
        for job, work in jobs.items():
            began = time.perf_counter()
            work()
            if turn >= 2:  # the first two warm up
                times[job].append(1000 * (time.perf_counter() - began))
    base = statistics.median(times["plain ResNet of torchvision, forward"])
    bare = statistics.median(times["our ResNet-CBAM for serving, forward"])
    print(f"\n{explanation.model.name}: photo {photo.size[0]} x {photo.size[1]}, input "
          f"{view.size[0]} x {view.size[1]} px")  # fmt: skip
    print(f"{'':40}{'median ms':>10}{'x plain':>9}")
    for job, values in times.items():
        median = statistics.median(values)
        print(f"{job:40}{median:10.1f}{median / base:9.2f}")
    pairs = zip(
        times["the same, gates recorded"],
        times["our ResNet-CBAM for serving, forward"],
        strict=True,
    )
    added = statistics.median(a - b for a, b in pairs) / bare
    print(f"recording adds {added:.1%} (median of the differences in turn)")


def _opening() -> None:
    """How long a file of 112 MB takes to open beside bare `torch.load`, and the bundled model."""

    def median(work: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "peer.pth"
        torch.save(
            {"state_dict": {f"module.{k}": v for k, v in resnet50_cbam().state_dict().items()}},
            path,
        )
        size = path.stat().st_size / 1e6
        bare = median(lambda: torch.load(path, map_location="cpu", weights_only=True))
        ours = median(lambda: load_checkpoint(path))
        print(f"\nopening a .pth of {size:.0f} MB: torch.load {bare:.3f} s, load_checkpoint "
              f"{ours:.3f} s, {ours / bare:.2f} x")  # fmt: skip
        code = (
            "import re, sys; from cbam_viz.models.checkpoints import load_checkpoint\n"
            "load_checkpoint(); open('/proc/self/clear_refs', 'w').write('5')\n"  # peak from here
            "status = lambda: open('/proc/self/status').read()\n"
            "kb = lambda key: int(re.search(key + r':\\s+(\\d+)', status())[1])\n"
            "before = kb('VmRSS'); c = load_checkpoint(sys.argv[1])\n"
            "print((kb('VmHWM') - before) / 1e3)"
        )
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True)
        peak = float(done.stdout)
        print(f"its peak memory: {peak:.0f} MB, {peak / size:.2f} x the file")
    print(f"opening the bundled model: {median(load_checkpoint):.3f} s")


def _training(data: str) -> None:
    """How fast training is on photos beside bare passes on random numbers of the same size."""
    from .training.recipe import load_recipe
    from .training.throughput import throughput

    recipe = load_recipe(RECIPE)
    side = recipe.phases[-1].sides[1]
    fed, bare, ratio = throughput(recipe, data)
    print(f"\ntraining by {RECIPE}, {recipe.batch_size} photos of {side} x {side} px a step: "
          f"{fed:.1f} photos/s,\nbare passes forward and backward {bare:.1f} photos/s, "
          f"{ratio:.2f} x (median of the ratios in turn)")  # fmt: skip


def _memory(explainer: Explainer, photos: int) -> None:
    jpegs = [_photo(seed) for seed in range(8)]

    def resident() -> float:
        """MB of this process in memory now."""
        gc.collect()
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def explain(n: int) -> None:
        for i in range(n):
            explanation = explainer.explain(jpegs[i % len(jpegs)])
            block = explanation.blocks[i % len(explanation.blocks)]
            explanation.overlay(block.name)
            if i % 10 == 0:
                channel_chart(block.channel, block.name)

    explain(100)  # until every pool has its size
    before = resident()
    explain(photos)
    print(f"\nmemory after {photos} explanations: {before:.0f} MB to {resident():.0f} MB "
          f"({resident() - before:+.1f} MB)")  # fmt: skip
