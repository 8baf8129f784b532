"""The training run: from a recipe and photos to a model's folder.

Mixed precision, several GPUs and several machines are `accelerate launch`'s: what it is told holds
here. A recipe's batch is divided among the processes, so that it makes the same model however many
there are.
"""

import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor
from torch.utils.data import DataLoader

from ..broken import BrokenPhotos
from ..models.checkpoints import Checkpoint, assemble, read_weights, save_checkpoint
from ..models.preprocessing import Preprocessing
from ..models.resnet import skeleton
from ..models.untrained import why_untrained
from .data import (
    Batch,
    EpochSampler,
    Normalise,
    Photos,
    find_imagenet_photos,
    find_labelled_photos,
    training_loader,
    validation_loader,
)
from .initialisation import build, initial, load_plain_state
from .learner import Learner
from .progress import RunLog
from .recipe import Recipe, imagenet_classes_zh
from .saving import save_whole
from .teacher import label_maps

# In a run's folder: what it goes on from, its model, the teachers' soft labels of its photos.
LAST, MODEL, SOFT = "last.pt", "model", "teacher.npy"
SAVE_EVERY_S = 120
REPORT_EVERY = 20  # steps: a report waits for what the device is doing


def train(
    recipe: Recipe,
    data: str | Path,
    out: Path,
    workers: int | None = None,
    stop_at: int | None = None,
) -> Path:
    """Train, or go on where a stopped run of the same folder was.

    Args:
        recipe: what to do.
        data: as `find_labelled_photos` takes it, or `find_imagenet_photos` where the recipe's
            classes are ImageNet's.
        out: folder for ``last.pt`` (everything needed to go on), ``log.csv``, TensorBoard's
            curves and the model.
        workers: processes that decode photos; one for each core if not given.
        stop_at: stop at this step of the schedule, as if interrupted there.

    Returns:
        The folder of the model, ``out / "model"``, for `Explainer.from_pretrained` and
        `load_checkpoint`: the averaged weights in half precision.

    Raises:
        ValueError: the photos or the recipe cannot be used, more than 1 % of the photos are
            broken, a batch needs too much memory, the loss is no number any more, or ``out``
            holds a run of another recipe. The message says what to do.
        OSError: something cannot be read or saved; what was saved before stays whole.
    """
    run = Run(recipe, data, out, workers)
    stop = run.learner.steps if stop_at is None else min(stop_at, run.learner.steps)
    with RunLog(out, run.learner.step, run.learner.steps, run.rows, run.writes) as log:
        while run.learner.step < stop:
            run.epoch(stop, log)
    run.export(out / MODEL)
    run.accelerator.wait_for_everyone()
    run.accelerator.end_training()
    return out / MODEL


class Run:
    """A recipe at work on photos, with its state in a folder. The arguments are `train`'s."""

    def __init__(self, recipe: Recipe, data: str | Path, out: Path, workers: int | None = None):
        self.recipe = recipe
        self.accelerator = Accelerator(
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            kwargs_handlers=[
                DistributedDataParallelKwargs(
                    find_unused_parameters=any(p.learns != ("all",) for p in recipe.phases)
                )
            ],
        )
        self.writes = self.accelerator.is_main_process
        if workers is None:
            workers = len(os.sched_getaffinity(0)) // self.accelerator.num_processes
        self.workers = workers
        with self.accelerator.main_process_first():  # it downloads, the others find it there
            find = find_imagenet_photos if recipe.classes == "imagenet" else find_labelled_photos
            self.photos, self.validation = find(data)
        self.sampler = EpochSampler(self.photos.groups, recipe.class_balance, recipe.seed)
        self.broken = BrokenPhotos(len(self.photos.paths) + len(self.validation.paths))
        self.last = out / LAST
        out.mkdir(parents=True, exist_ok=True)
        self.learner, self.rows = _begin(recipe, self.photos, self.last, self.accelerator)
        self.soft = None
        if recipe.teachers:  # last, as it can take hours
            with self.accelerator.local_main_process_first():  # it asks, the others read
                self.soft = label_maps(self.photos, out / SOFT, recipe, self.accelerator, workers)
        self.saved = time.monotonic()

    def epoch(self, stop: int, log: RunLog) -> None:
        """Go on to the end of the epoch, or to the step ``stop`` if that comes first."""
        began, learner = time.monotonic(), self.learner
        epoch, done = divmod(learner.step, learner.per_epoch)
        _, size = self.recipe.phase(epoch).sides
        log.bar.set_description(f"epoch {epoch + 1}/{self.recipe.epochs}")
        self.sampler.set_position(epoch, done * self.recipe.batch_size)
        learner.begin_epoch(epoch)
        tally = torch.zeros(3, device=self.accelerator.device)  # sum of losses, correct, seen
        for batch in islice(self.batches(size), stop - learner.step):
            tally += self._learn(batch)
            log.bar.update()
            if learner.step % REPORT_EVERY == 0:
                loss, accuracy = self._means(tally)
                log.report(learner.step, loss=loss, accuracy=accuracy)
            ended = learner.step % learner.per_epoch == 0
            if not ended and time.monotonic() - self.saved > SAVE_EVERY_S:
                self.save()
        if ended:
            loss, accuracy = self._means(self.accelerator.reduce(tally))
            log.report(learner.step, loss=loss, accuracy=accuracy)
            row = {"epoch": epoch, "size": size}
            row |= {"loss": round(loss, 4), "accuracy": round(accuracy, 4)}
            every = self.recipe.val_every
            if every and ((epoch + 1) % every == 0 or learner.step == learner.steps):
                row["val_top1"] = round(self.validate(), 4)
                log.report(learner.step, val_top1=row["val_top1"])
            row |= {"broken": len(self.broken.names), "seconds": round(time.monotonic() - began)}
            self.rows.append(row)
            log.table()
        self.save()

    def batches(self, size: int) -> Iterator[Batch]:
        """What is left of the sampler's epoch, as `Learner.learn` takes it; size x size px."""
        return self._watched(
            training_loader(self.photos, self.recipe, self.sampler, size, self.workers, self.soft)
        )

    def validate(self) -> float:
        """Top-1 of the averaged weights on the validation photos, 0 to 1."""
        pre = preprocessing(self.recipe)
        return self.learner.validate(
            self._watched(validation_loader(self.validation, self.recipe, pre, self.workers))
        )

    def save(self) -> None:
        """Save all that is needed to go on from here."""
        if self.writes:
            run = {"classes": list(self.photos.classes), "rows": self.rows}
            save_whole(self.learner.state_dict() | run, self.last)
        self.saved = time.monotonic()

    def export(self, folder: Path) -> Path:
        """Write the averaged weights as a model's folder; a plain network under neutral gates."""
        state = self.learner.finished()
        state |= {k: state[k] / self.recipe.temperature for k in ("fc.weight", "fc.bias")}
        if self.recipe.plain:
            model = build(replace(self.recipe, plain=False), len(self.photos.classes))
            load_plain_state(model, state)
        else:
            model = assemble(skeleton(**self.learner.model._hub_mixin_config), state)
        imagenet = self.recipe.classes == "imagenet"
        if self.writes:
            save_checkpoint(
                Checkpoint(
                    folder.name,
                    model,
                    self.photos.classes,
                    preprocessing(self.recipe),
                    untrained=why_untrained(model),
                    classes_zh=imagenet_classes_zh() if imagenet else None,
                    open_at=self.recipe.open_at or None,
                ),
                folder,
            )
        return folder

    def _learn(self, batch: Batch) -> Tensor:
        try:
            loss, correct = self.learner.learn(batch)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            raise ValueError(
                f"too little memory for a batch of {self.recipe.batch_size} photos of "
                f"{batch.photos.shape[-1]} px; lower `batch_size` in the recipe, the learning "
                "rates in proportion, or the `sides` of its phases"
            ) from error
        n = len(batch.labels)
        return torch.stack([loss * n, correct, torch.full_like(correct, n)])

    def _means(self, tally: Tensor) -> tuple[float, float]:
        """Loss and accuracy."""
        losses, correct, seen = tally.tolist()
        if not math.isfinite(losses):
            raise ValueError(
                f"the loss is {losses} at step {self.learner.step}; lower the learning rates in "
                "the recipe, or warm up for longer"
            )
        return losses / seen, correct / seen

    def _watched(self, loader: DataLoader) -> Iterator[Batch]:
        """A loader's batches, on the device; broken photos are named, and too many end the run."""
        for batch, broken in self.accelerator.prepare(loader):
            for path in broken:
                self.broken.add(path)
            yield batch


def _begin(
    recipe: Recipe, photos: Photos, last: Path, accelerator: Accelerator
) -> tuple[Learner, list[dict]]:
    """The learner, and the rows of its log: at the start, or where a stopped run was."""
    per_epoch = len(photos.paths) // recipe.batch_size
    if not per_epoch:
        raise ValueError(
            f"a batch of {recipe.batch_size} is more than the {len(photos.paths)} photos there "
            "are; lower `batch_size` in the recipe"
        )
    torch.manual_seed(recipe.seed)
    state = None
    if last.exists():
        state, _ = read_weights(last)
        _check_same(last, state, recipe, photos, per_epoch)
        model = build(recipe, len(photos.classes), **state["options"])
        pretrained = set(state["pretrained"])
    else:
        model, pretrained = initial(recipe, photos.classes, lambda: _some(photos, recipe))
    learner = Learner(recipe, model, pretrained, len(photos.classes), per_epoch, accelerator)
    if state:
        learner.load_state_dict(state)
    return learner, state["rows"] if state else []


def _check_same(last: Path, state: Mapping, recipe: Recipe, photos: Photos, per_epoch: int) -> None:
    """See to it that a stopped run goes on as what it was.

    Raises:
        ValueError: it was of another recipe, other classes or another number of photos.
    """
    theirs, ours = state["recipe"], asdict(recipe)
    other = sorted(k for k in theirs.keys() | ours.keys() if theirs.get(k) != ours.get(k))
    if tuple(state["classes"]) != photos.classes:
        other.append("classes")
    if not other and state["steps"] != recipe.epochs * per_epoch:
        other.append("number of photos")
    if other:
        raise ValueError(
            f"{last} is of a run with another {', '.join(other)}; go on with the same recipe and "
            "photos, or give another folder"
        )


def _some(photos: Photos, recipe: Recipe) -> Tensor:
    """Eight batches of model input of the finished model's size."""
    sampler = EpochSampler(photos.groups, 0, recipe.seed)
    loader = training_loader(photos, recipe, sampler, preprocessing(recipe).size, 0)
    return Normalise()(torch.cat([batch.photos for batch, _ in islice(loader, 8)]))


def preprocessing(recipe: Recipe) -> Preprocessing:
    """How the finished model wants its photos; the crop is cut as usual, 224 of 256."""
    size = recipe.view_size or recipe.phases[-1].sides[1]
    return Preprocessing(size=size, crop_resize=round(size * 8 / 7))
