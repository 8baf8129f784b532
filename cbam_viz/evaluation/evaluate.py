"""Judging a model: is it right, does it know when it is, and does its attention find the object."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ..broken import BrokenPhotos
from ..explain.explainer import Explainer
from ..models.checkpoints import Checkpoint
from .attention import Attention, judge_attention
from .photos import (
    read_annotations,
    samples_by_file,
    samples_by_folder,
    samples_with_objects,
)
from .predictions import Predictions, judge_predictions


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found. Shares are in 0..1.

    Attributes:
        model, sha256: which network, as in `ModelFacts`.
        short_side: of the model's input, in px.
        predictions: on whole photos.
        attention: on off-centre crops of annotated photos; None without annotations.
        broken: keys of the photos that cannot be read.
        seconds: how long it took.
    """

    model: str
    sha256: str | None
    short_side: int
    predictions: Predictions
    attention: Attention | None
    broken: list[str]
    seconds: float

    def to_dict(self) -> dict:
        """Plain values, as ``evaluation.json`` holds them; what there is not is left out."""
        values = asdict(self)
        result = {name: values[name] for name in ("model", "sha256", "short_side")}
        result |= values["predictions"]
        if attention := values["attention"]:
            maps = attention.pop("maps")
            result["attention"] = {k: v for k, v in attention.items() if v is not None}
            result["attention"] |= maps or {}
        return result | {name: values[name] for name in ("broken", "seconds")}


def evaluate(
    model: Explainer | Checkpoint,
    data: Path,
    labels: Path | None = None,
    annotations: Path | None = None,
    objects: Path | None = None,
    seed: int = 0,
) -> Evaluation:
    """Judge a model on a folder of photos.

    Accuracy is that of the whole photo, as the page shows it. Where the attention lies is judged
    on off-centre crops of the annotated photos, one a photo: on whole photos a centre prior
    alone scores well, and nothing is learnt. Grad-CAM is that of the true class; of the predicted
    one where the annotated photos have no class of the model's, that is with ``objects``.

    Args:
        model: what to judge.
        data: the photos. Without ``labels``, a folder of class folders, or a folder that has one
            as its ``val``; class folders carry the names of the model's classes, of which there
            may be more.
        labels: JSON object, by a photo's path below ``data``: the index of its class, 0 to N - 1.
            Only the photos that it names are judged.
        annotations: JSON object, by "<class>/<file name>": ``contour``, the object's outline as
            a polygon [[x, y], ...], or ``boxes``, a list of [x0, y0, x1, y1]; all as fractions
            of the photo's width and height. The contour counts if there are both.
        objects: the folder of the annotated photos, if that is not ``data``, or one that has it
            as its ``val``. Their classes need not be the model's.
        seed: of the draw of crops. A photo's crop depends on seed and key alone.

    Raises:
        ValueError: no photos, photos without a label, classes that the model does not have,
            labels of photos that are not there, more than 1 % broken photos, annotations that
            cannot be understood or match no photo. Says what was found.
        OSError: a file or folder that is not there or cannot be read.
    """
    explainer = model if isinstance(model, Explainer) else Explainer.from_checkpoint(model)
    began = time.perf_counter()
    data = Path(data)
    if objects and not annotations:
        raise ValueError(f"nothing is known of the objects in {objects}; give their annotations")
    if labels:
        samples = samples_by_file(data, Path(labels), len(explainer.classes))
    else:
        samples = samples_by_folder(data, explainer.classes)
    outlines = read_annotations(Path(annotations)) if annotations else {}
    annotated = [s for s in samples if s.key in outlines]
    if objects:
        annotated = samples_with_objects(Path(objects), outlines)
    if annotations and not annotated:
        raise ValueError(
            f"none of the {len(outlines)} annotations in {annotations} matches a photo in "
            f"{objects or data}, as {next(iter(outlines))!r} does not; the photos that it is of "
            "may be in a folder of their own (--objects)"
        )
    broken = BrokenPhotos(len({s.path for s in samples + annotated}))
    predictions = judge_predictions(explainer, samples, broken)
    attention = None
    if annotations:
        attention = judge_attention(explainer, annotated, outlines, seed, broken)
    return Evaluation(
        explainer.facts.name,
        explainer.facts.sha256,
        explainer.preprocessing.size,
        predictions,
        attention,
        broken.names,
        round(time.perf_counter() - began, 1),
    )
