"""Is the model right, does it know when it is, and do its gates say anything: whole photos."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ..broken import BrokenPhotos
from ..explain.explainer import Explainer
from ..explain.explanation import GateFigures
from ..explain.photo import Photo
from ..explain.photo_errors import PhotoError
from ..explain.view import View
from ..models.preprocessing import Preprocessing
from .metrics import calibration_error, calibration_error_by_chance, unsure_below
from .photos import Sample

CALIBRATION_BINS = 15
CONFUSIONS = 20
MOST_LIKELY = 5
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
class Chance:
    """A figure that chance alone gives: on average, and in 95 % of all cases at most."""

    mean: float
    most: float


@dataclass(frozen=True)
class Predictions:
    """What a model says of whole photos.

    Attributes:
        photos, top1, top5: of all photos, as in `Accuracy`.
        calibration_error: expected calibration error over `CALIBRATION_BINS` bins, in 0..1.
        calibration_error_by_chance: what it would be on so few photos if the model were perfectly
            calibrated.
        unsure_below: the probability of the likeliest class below which it was wrong more often
            than right, in 0..1; what ``config.json`` calls so.
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
    calibration_error_by_chance: Chance
    unsure_below: float
    sources: dict[str, Accuracy]
    classes: dict[str, Accuracy]
    confusions: list[Confusion]
    gates: dict[str, GateSpreads]


def judge_predictions(
    explainer: Explainer, samples: Sequence[Sample], broken: BrokenPhotos
) -> Predictions:
    """Accuracy, calibration, confusions, and how constant the gates are, on whole photos."""
    names = _distinct(explainer.classes)
    judged: list[Sample] = []
    likely: list[list[int]] = []
    confidence: list[float] = []
    spatial, channel = ({name: [] for name in explainer.model.blocks()} for _ in range(2))
    with tqdm(total=len(samples), desc="photos", unit="photo", disable=None) as bar:
        for batch, photos in _batches(explainer.preprocessing, samples, broken):
            judged += batch
            for explanation in explainer.explain_batch(photos, MOST_LIKELY, batch_size=BATCH):
                likely.append([p.index for p in explanation.predictions])
                confidence.append(explanation.predictions[0].probability)
                for block in explanation.blocks:
                    spatial[block.name].append(block.spatial_figures)
                    channel[block.name].append(block.channel_figures)
            bar.update(len(batch))
    labels = np.array([s.label for s in judged])
    found = np.array(likely) == labels[:, None]
    sources = np.array([_source(s) for s in judged])
    groups = {name: sources == name for name in sorted(set(sources))}
    groups[UNSEEN] = np.array([UNSEEN in s.path.name for s in judged])
    all_ = _accuracy(found)
    usual, most = calibration_error_by_chance(np.array(confidence), CALIBRATION_BINS)
    return Predictions(
        photos=all_.photos,
        top1=all_.top1,
        top5=all_.top5,
        calibration_error=round(
            calibration_error(np.array(confidence), found[:, 0], CALIBRATION_BINS), 4
        ),
        calibration_error_by_chance=Chance(round(usual, 4), round(most, 4)),
        unsure_below=round(unsure_below(np.array(confidence), found[:, 0]), 2),
        sources={name: _accuracy(found[g]) for name, g in groups.items() if g.any()},
        classes={names[i]: _accuracy(found[labels == i]) for i in np.unique(labels)},
        confusions=_confusions(labels, np.array(likely)[:, 0], names),
        gates={
            name: GateSpreads(_spread(spatial[name]), _spread(channel[name])) for name in spatial
        },
    )


def _batches(
    pre: Preprocessing, samples: Sequence[Sample], broken: BrokenPhotos
) -> Iterator[tuple[list[Sample], list[Photo]]]:
    """Photos that make inputs of one size, decoded; at most `BATCH` of them."""
    by_size: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:  # only the files' headers are looked at
        try:
            size = View.whole(Photo(sample.path).size, pre).size
        except PhotoError as error:
            broken.add(sample.key, error)
        else:
            by_size.setdefault(size, []).append(sample)
    for group in by_size.values():
        for first in range(0, len(group), BATCH):
            batch, photos = [], []
            for sample in group[first : first + BATCH]:
                try:
                    photo = Photo(sample.path)
                    _ = photo.image  # decoded here: one that is damaged must not stop the others
                except PhotoError as error:
                    broken.add(sample.key, error)
                else:
                    batch.append(sample)
                    photos.append(photo)
            if batch:
                yield batch, photos


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


def _spread(figures: list[GateFigures]) -> Spread:
    """Of a gate, a photo each."""
    return Spread(mean([f.max - f.min for f in figures]), mean([f.deviation for f in figures]))


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
