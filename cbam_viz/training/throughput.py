"""Whether training waits for its photos."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from .data import Batch
from .recipe import Phase, Recipe
from .train import Run


def throughput(
    recipe: Recipe, data: str | Path, steps: int = 20, rounds: int = 3, workers: int | None = None
) -> tuple[float, float, float]:
    """How fast training is on photos, and how fast it could be if these cost nothing.

    Both are measured in turn, round after round, at the greatest side of the recipe's last size
    and with nothing frozen: training steps as `train` takes them, from files to averaged weights;
    and bare passes, forward and backward, on one batch of random numbers. Weights make no
    difference, so none are fetched, and no teachers are asked: they are, once, before training.

    Args:
        recipe: says what a step is.
        data: as `find_labelled_photos` takes it.
        steps: of each kind in a round.
        rounds: of which the medians are given.
        workers: as in `train`.

    Returns:
        Photos/s of training, photos/s of the bare passes, and the first over the second: medians
        over the rounds each, so that the third is of ratios taken in turn.
    """
    side = recipe.phases[-1].sides[1]
    recipe = replace(
        recipe,
        init="scratch",
        classes="folders",
        phases=(Phase(10_000, sides=(side, side)),),  # more epochs than steps are taken
        teachers=(),
        evidence=0.0,
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Run(recipe, data, Path(folder), workers)
    learner, n = run.learner, recipe.batch_size
    learner.begin_epoch(0)
    x = torch.randn(n, 3, side, side, device=run.accelerator.device)
    x = x.to(memory_format=torch.channels_last)
    y = torch.randint(len(run.photos.classes), (n,), device=x.device)

    def bare() -> Tensor:
        loss = F.cross_entropy(learner.parallel(x), y)
        learner.optimizer.zero_grad()
        run.accelerator.backward(loss)
        return loss

    def batches() -> Iterator[Batch]:
        while True:
            yield from run.batches(side)

    def rate(step: Callable[[], Tensor], warmup: int) -> float:
        for _ in range(warmup):
            step()
        began = time.perf_counter()
        for _ in range(steps):
            loss = step()
        loss.item()  # waits for the device
        return n * steps / (time.perf_counter() - began)

    fed, unfed = [], []
    for _ in range(rounds):
        unfed.append(rate(bare, 1))
        source = batches()
        # Each worker makes two batches ahead: those that were made before the clock starts are
        # not counted.
        warmup = 1 + 2 * run.workers
        fed.append(rate(lambda source=source: learner.learn(next(source))[0], warmup))
        source.close()
    ratios = (a / b for a, b in zip(fed, unfed, strict=True))
    return statistics.median(fed), statistics.median(unfed), statistics.median(ratios)
