"""Speed and memory on this machine: everything in turn, one after the other, round after round.

Ratios of figures from one run mean something on a noisy machine; the milliseconds alone do not.
"""

import gc
import io
import operator
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torchvision.models import resnet18, resnet50

from .explain.class_maps import class_maps
from .explain.explainer import Explainer
from .explain.explanation import BlockAttention
from .explain.photo import Photo
from .explain.recorder import recorded
from .explain.view import ModelInput
from .models.checkpoints import load_checkpoint
from .models.resnet import resnet50_cbam
from .models.sources import catalogue
from .render.charts import channel_chart
from .render.overlay import overlay

if TYPE_CHECKING:
    from .survey.pieces import Files

#: Size of the photo, as a phone's messenger sends it, and of the picture on the page.
PHOTO, PAGE = (1024, 768), (1024, 768)

#: What training is measured on, if there are photos.
RECIPE = "resnet18-cbam-everyday117"
#: How often a survey is measured, on a piece of its own size each time.
TURNS = 3
#: Pieces, and photos of each, that a survey is measured on with and without a cluster.
PIECES, PER_PIECE = 12, 64


def run(rounds: int, memory: int, data: str | None = None) -> None:
    """Print a table of medians in ms for both depths, and what else is asked for.

    Args:
        rounds: of everything in the table.
        memory: over so many explanations its growth is told; 0 for none.
        data: photos on which the speed of training and of a survey is told, as
            `find_labelled_photos` takes them.
    """
    torch.manual_seed(0)
    bundled = load_checkpoint(RECIPE)  # a ResNet-18, as the plain one beside it
    random50 = Explainer(resnet50_cbam(), name="resnet50-cbam, random weights")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {rounds} rounds")
    if data:  # first: what is wrong with the photos is better known at once
        _training(data)
        for entry in catalogue():
            if entry.origin == "bundled":  # nothing is fetched to be measured
                _survey(data, entry.name)
        if find_spec("ray"):
            _cluster(data)
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
        "Grad-CAM of the last block": lambda: class_maps(explainer.model, x, [last.name]),
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
    print(f"{'':40}{'median ms':>10}{'x plain':>9}{'x serving':>11}")
    for job, values in times.items():
        median = statistics.median(values)
        print(f"{job:40}{median:10.1f}{median / base:9.2f}{median / bare:11.2f}")

    def in_turn(compare: Callable[[float, float], float], one: str, other: str) -> float:
        return statistics.median(map(compare, times[one], times[other]))

    recording = "the same, gates recorded"
    added = in_turn(operator.sub, recording, "our ResNet-CBAM for serving, forward") / bare
    share = in_turn(operator.truediv, recording, "Grad-CAM of the last block")
    print(f"recording adds {added:.1%}; all gates of all blocks take {share:.2f} x Grad-CAM of one "
          "layer (medians in turn)")  # fmt: skip


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


def _survey(data: str, model: str) -> None:
    """How fast one core surveys photos, files in and rows out, beside bare forward passes of the
    same network over the same batches from memory. In seconds of processor time, which other
    work on the machine does not lengthen."""
    from .explain.batches import by_shape
    from .survey.output import ROWS
    from .survey.pieces import PIECE
    from .survey.surveyor import BATCH, WAITING, Surveyor

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ratios, rates, sizes = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        (out / ROWS).mkdir()
        surveyor = Surveyor(load_checkpoint(model), out, "whole", 5)
        for turn, piece in enumerate(_pieces(data, TURNS + 1, PIECE)):
            began = time.process_time()
            done, broken = surveyor.survey(turn, piece)
            surveyed = (time.process_time() - began) / (done - broken)
            ready = surveyor.prepared(piece, [])
            batches = [
                torch.cat([one.tensor for one in batch])
                for batch in by_shape(ready, lambda one: one.tensor.shape, BATCH, WAITING)
            ]
            began = time.process_time()
            with torch.inference_mode():
                for batch in batches:
                    surveyor.explainer.serving(batch)
            bare = (time.process_time() - began) / (done - broken)
            if turn:  # the first warms up
                ratios.append(bare / surveyed)
                rates.append(1 / surveyed)
                sizes += [f.stat().st_size / done for f in (out / ROWS).glob(f"*{turn}.parquet")]
    torch.set_num_threads(threads)
    print(f"\nsurvey by {model}: {statistics.median(rates):.1f} photos a second of one core, "
          f"{statistics.median(ratios):.2f} x bare forward passes,\n"
          f"{statistics.median(sizes) / 1e3:.1f} kB a row (medians of {TURNS})")  # fmt: skip


def _pieces(data: str, count: int, photos: int) -> "list[Files]":
    """Pieces of photos that are spread over all there are."""
    from .survey.pieces import Files, find_pieces

    paths = [p for piece in find_pieces([data], Path(data, "out")) if isinstance(piece, Files)
             for p in piece.paths]  # fmt: skip
    step = max(1, len(paths) // (photos * count))
    some = [tuple(paths[i::step][:photos]) for i in range(count)]
    return [Files(paths, (None,) * len(paths)) for paths in some]


def _cluster(data: str) -> None:
    """What it costs to spread a survey: two of Ray's nodes of one core each, on this machine,
    beside one of two cores, and beside two processes without Ray. From the first piece that is
    done to the last, so that how long processes take to start does not count; that is told beside
    it."""
    from ray.cluster_utils import Cluster

    from .survey.cluster import connected, on_cluster
    from .survey.output import ROWS
    from .survey.survey import _in_processes

    root = str(Path(__file__).parents[1])  # Ray's processes start in folders of their own
    pieces = list(enumerate(_pieces(data, PIECES, PER_PIECE)))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / ROWS).mkdir()
        settings = pickle.dumps((load_checkpoint(RECIPE), Path(folder), "whole", 5))

        def measured(begin: Callable[[], Generator[tuple[int, int]]]) -> tuple[float, float]:
            """Photos a second, and seconds until the first piece was done, by when the files of
            rows were written: Ray holds back what it yields."""
            began = time.time()
            with closing(begin()) as done:
                sum(1 for _ in done)
            times = sorted(f.stat().st_mtime for f in (Path(folder) / ROWS).iterdir())
            return PER_PIECE * (len(times) - 1) / (times[-1] - times[0]), times[0] - began

        def nodes(*cores: int) -> tuple[float, float]:
            cluster = Cluster()
            try:
                for count in cores:
                    cluster.add_node(num_cpus=count, env_vars={"PYTHONPATH": root})
                with connected(cluster.address):
                    return measured(lambda: on_cluster(settings, pieces, 2))
            finally:
                cluster.shutdown()

        def processes() -> tuple[float, float]:
            return measured(lambda: _in_processes(settings, pieces, 2))

        turns = [(nodes(1, 1), nodes(2), processes()) for _ in range(TURNS)]

    def ratio(other: int) -> float:
        return statistics.median(turn[0][0] / turn[other][0] for turn in turns)

    starts = [statistics.median(start for _, start in side) for side in zip(*turns, strict=True)]
    print(
        f"\nsurvey on two Ray nodes of one core each: {ratio(1):.2f} x one of two cores,\n"
        f"{ratio(2):.2f} x two processes without Ray (medians of {TURNS} in turn, from the first "
        f"{PER_PIECE} photos on,\nwhich were done after "
        f"{', '.join(f'{start:.0f}' for start in starts)} s)"
    )


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
