"""Is the model right, does it know when it is, and do its gates say anything: whole photos."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from ..explain.explainer import Explainer
from ..explain.photo import Photo, PhotoError
from ..explain.recorder import Recorder
from ..explain.view import View
from ..models.checkpoints import Preprocessing
from ..models.serving import for_serving
from .metrics import calibration_error, gate_spread
from .photos import Broken, Sample

CALIBRATION_BINS = 15
CONFUSIONS = 20
BATCH = 16

#: Photos of ImageNet's own validation set, which no network trained on ImageNet has seen.
UNSEEN = "ILSVRC2012_val_"


@dataclass(frozen=True)
class Accuracy:
    """Share of some photos, in 0..1, whose class is the most likely or among the five most."""

    photos: int
    top1: float
    top5: float


@dataclass(frozen=True)
class Confusion:
    """So many photos of one class were taken for another; and their share of that class's."""

    true: str
    predicted: str
    photos: int
    share_of_true: float


@dataclass(frozen=True)
class Spread:
    """How far a gate is from constant: means over photos of maximum minus minimum, and of the
    standard deviation over the gate's values."""

    range: float
    deviation: float


@dataclass(frozen=True)
class GateSpreads:
    """Of both gates of a block."""

    spatial: Spread
    channel: Spread


@dataclass(frozen=True)
class Predictions:
    """What a model says of whole photos.

    Attributes:
        photos, top1, top5: of all photos, as in `Accuracy`.
        calibration_error: expected calibration error over `CALIBRATION_BINS` bins, in 0..1.
        sources: by what the file names begin with, up to the first underscore; and of the photos
            that are `UNSEEN`.
        classes: by class name, of the classes that have photos.
        confusions: the most frequent ones, at most `CONFUSIONS`.
        gates: by block name, from input to output.
    """

    photos: int
    top1: float
    top5: float
    calibration_error: float
    sources: dict[str, Accuracy]
    classes: dict[str, Accuracy]
    confusions: list[Confusion]
    gates: dict[str, GateSpreads]


def judge_predictions(
    explainer: Explainer, samples: Sequence[Sample], broken: Broken
) -> Predictions:
    """Accuracy, calibration, confusions, and how constant the gates are, on whole photos."""
    model = for_serving(explainer.model)
    names = _distinct(explainer.classes)
    top = min(5, len(names))
    judged: list[Sample] = []
    likely, confidence = [], []
    spreads = {
        kind: {name: [] for name in model.blocks()} for kind in ("spatial", "channel")
    }  # [range, deviation] of every photo
    with (
        torch.inference_mode(),
        Recorder(model) as recorder,
        tqdm(total=len(samples), desc="photos", unit="photo", disable=None) as bar,
    ):
        for batch, inputs in _batches(explainer.preprocessing, samples, broken):
            probabilities, indices = model(inputs).softmax(1).topk(top)
            judged += batch
            likely.append(indices.numpy())
            confidence.append(probabilities[:, 0].numpy())
            for name, gates in recorder.gates.items():
                spreads["spatial"][name].append(gate_spread(gates.spatial.numpy()))
                spreads["channel"][name].append(gate_spread(gates.channel.numpy()))
            bar.update(len(batch))
    likely, confidence = np.concatenate(likely), np.concatenate(confidence)
    labels = np.array([s.label for s in judged])
    found = likely == labels[:, None]
    sources = np.array([_source(s) for s in judged])
    groups = {name: sources == name for name in sorted(set(sources))}
    groups[UNSEEN] = np.array([UNSEEN in s.path.name for s in judged])
    all_ = _accuracy(found)
    return Predictions(
        photos=all_.photos,
        top1=all_.top1,
        top5=all_.top5,
        calibration_error=round(calibration_error(confidence, found[:, 0], CALIBRATION_BINS), 4),
        sources={name: _accuracy(found[g]) for name, g in groups.items() if g.any()},
        classes={names[i]: _accuracy(found[labels == i]) for i in np.unique(labels)},
        confusions=_confusions(labels, likely[:, 0], names),
        gates={
            name: GateSpreads(*(_spread(by_block[name]) for by_block in spreads.values()))
            for name in model.blocks()
        },
    )


def _batches(
    pre: Preprocessing, samples: Sequence[Sample], broken: Broken
) -> Iterator[tuple[list[Sample], torch.Tensor]]:
    """Photos that make inputs of one size, with these, float32 [N, 3, H, W]."""
    by_size: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:  # only the files' headers are looked at
        try:
            size = View.whole(Photo(sample.path).size, pre).size
        except PhotoError as error:
            broken.add(sample, error)
        else:
            by_size.setdefault(size, []).append(sample)
    for group in by_size.values():
        for first in range(0, len(group), BATCH):
            batch, inputs = [], []
            for sample in group[first : first + BATCH]:
                try:
                    photo = Photo(sample.path)
                    view = View.whole(photo.size, pre)
                    inputs.append(view.input_tensor(photo.at_least(*view.resized), pre))
                    batch.append(sample)
                except PhotoError as error:
                    broken.add(sample, error)
            if batch:
                yield batch, torch.cat(inputs)


def _distinct(classes: Sequence[str]) -> list[str]:
    """Class names, with the index where several share one: ImageNet has two cranes."""
    times = Counter(classes)
    return [name if times[name] == 1 else f"{name} ({i})" for i, name in enumerate(classes)]


def _source(sample: Sample) -> str:
    prefix, underscore, _ = sample.path.stem.partition("_")
    return prefix if underscore else "unnamed"


def _accuracy(found: np.ndarray) -> Accuracy:
    """Of bool [N, k]: is the i-th most likely class the right one."""
    return Accuracy(len(found), mean(found[:, 0]), mean(found.any(1)))


def _spread(batches: list[tuple[np.ndarray, np.ndarray]]) -> Spread:
    """Of (ranges, deviations), a photo each."""
    ranges, deviations = np.hstack(batches)
    return Spread(mean(ranges), mean(deviations))


def _confusions(labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> list[Confusion]:
    """The most frequent pairs of a true and a predicted class that are not the same."""
    photos = Counter(labels.tolist())
    pairs = Counter((t, p) for t, p in zip(labels.tolist(), predicted.tolist(), strict=True))
    wrong = sorted((-n, t, p) for (t, p), n in pairs.items() if t != p)
    return [
        Confusion(names[t], names[p], -n, round(-n / photos[t], 4))
        for n, t, p in wrong[:CONFUSIONS]
    ]


def mean(values) -> float:
    """Rounded to what a report shows."""
    return round(float(np.mean(values)), 4)
