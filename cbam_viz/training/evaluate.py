"""Judging a model: is it right, does it know when it is, and does its attention find the object."""

import io
import json
import math
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
from PIL import Image
from tqdm import tqdm

from ..explain.compare import centre_prior, class_maps
from ..explain.explainer import Explainer
from ..explain.metrics import (
    calibration_error,
    gate_spread,
    mass_on_object,
    pixel_auc,
    pointing_game,
)
from ..explain.photo import Photo, PhotoError
from ..explain.recorder import Recorder
from ..explain.view import View
from ..models.checkpoints import Checkpoint, Preprocessing
from ..models.serving import for_serving
from .data import PhotoFolder

#: More photos than this share that cannot be read stop the run.
MOST_BROKEN = 0.01
CALIBRATION_BINS = 15
CONFUSIONS = 20
BATCH = 16

# An off-centre crop: its sides, the least of the object it keeps, the object's least and largest
# share of it, and how far off its centre the object's is, in sides.
CROP = 0.6
KEEPS = 0.5
COVERS = (0.01, 0.5)
OFF_CENTRE = 0.18

# Of Okabe and Ito's palette, which every kind of colour vision tells apart.
_BLUE, _VERMILION = "#0072b2", "#d55e00"

#: Photos of ImageNet's own validation set, which no network trained on ImageNet has seen.
UNSEEN = "ILSVRC2012_val_"


@dataclass(frozen=True)
class Sample:
    """A photo of the folder: its file, its key "<class>/<file name>", its class in the model."""

    path: Path
    key: str
    label: int


def evaluate(
    model: Explainer | Checkpoint, data: Path, annotations: Path | None = None, seed: int = 0
) -> dict:
    """Judge a model on a folder of photos.

    Accuracy is that of the whole photo, as the page shows it. Where the attention lies is judged
    on off-centre crops of the annotated photos, one a photo: on whole photos a centre prior
    alone scores well, and nothing is learnt. Grad-CAM is that of the true class.

    Args:
        model: what to judge.
        data: folder of class folders, or a folder that has one as its ``val``. Class folders
            carry the names of the model's classes; the model may have more.
        annotations: JSON object, by "<class>/<file name>": ``contour``, the object's outline as
            a polygon [[x, y], ...], or ``boxes``, a list of [x0, y0, x1, y1]; all as fractions
            of the photo's width and height. The contour counts if there are both.
        seed: of the draw of crops. A photo's crop depends on seed and key alone.

    Returns:
        Plain values, as `save` writes them and `table` prints them. Shares are in 0..1. Of the
        attention maps, ``mass_ratio`` is the mean share of attention on the object over the
        object's mean share of the crop: 1 is what no attention at all would reach.

    Raises:
        ValueError: no photos, classes that the model does not have, more than 1 % broken photos,
            annotations that cannot be understood or match no photo. Says what was found.
        OSError: a file or folder that is not there or cannot be read.
    """
    explainer = model if isinstance(model, Explainer) else Explainer.from_checkpoint(model)
    began = time.perf_counter()
    samples = find_samples(Path(data), explainer.classes)
    outlines, unmatched = {}, 0
    if annotations:
        outlines = read_annotations(Path(annotations))
        known = {s.key for s in samples}
        unmatched = len(set(outlines) - known)
        if unmatched == len(outlines):
            raise ValueError(
                f"none of the {len(outlines)} annotations in {annotations} matches a photo in "
                f"{data}; expected are keys like {samples[0].key!r}"
            )
    broken = Broken(len(samples))
    result = {
        "model": explainer.facts.name,
        "sha256": explainer.facts.sha256,
        "short_side": explainer.preprocessing.size,
    }
    result |= judge_predictions(explainer, samples, broken)
    if annotations:
        annotated = [s for s in samples if s.key in outlines and s.key not in broken.keys]
        attention = judge_attention(explainer, annotated, outlines, seed)
        result["attention"] = {"annotations_without_photo": unmatched} | attention
    return result | {"broken": broken.keys, "seconds": round(time.perf_counter() - began, 1)}


def find_samples(data: Path, classes: Sequence[str]) -> list[Sample]:
    """The photos of a folder, their classes matched to the model's by name.

    Raises:
        ValueError: no photos, or classes that the model does not have (or has twice).
        OSError: there is no such folder.
    """
    if not data.is_dir():
        raise FileNotFoundError(f"{data} is no folder; expected is a folder of class folders")
    if (data / "val").is_dir() and any(f.is_dir() for f in (data / "val").iterdir()):
        data = data / "val"
    try:
        folder = PhotoFolder(str(data), allow_empty=True)
    except FileNotFoundError as error:  # torchvision's word for a folder without folders
        raise ValueError(f"{data} has no class folders; expected is <class>/<photo>") from error
    if not folder.samples:
        raise ValueError(f"{data} has class folders, but no photos in them")
    times = Counter(classes)
    if strange := [name for name in folder.classes if times[name] != 1]:
        more = ", ..." if len(strange) > 10 else ""
        raise ValueError(
            f"{len(strange)} of the {len(folder.classes)} class folders in {data} do not stand "
            f"for exactly one of the model's {len(classes)} classes: {', '.join(strange[:10])}"
            f"{more}. Folders must carry the names of the classes, as in: {', '.join(classes[:5])}"
        )
    index = {name: i for i, name in enumerate(classes)}
    paths = ((Path(file), folder.classes[target]) for file, target in folder.samples)
    return [Sample(p, p.relative_to(data).as_posix(), index[name]) for p, name in paths]


class Broken:
    """Photos that cannot be read: each is named, and too many of them end the run.

    Args:
        photos: how many there are, the broken ones included.
    """

    def __init__(self, photos: int):
        self.keys: list[str] = []
        self._photos = photos

    def add(self, sample: Sample, error: PhotoError) -> None:
        """Note a photo.

        Raises:
            ValueError: these are more than `MOST_BROKEN`.
        """
        self.keys.append(sample.key)
        tqdm.write(f"skipped {sample.key}: {error}", file=sys.stderr)
        if len(self.keys) > MOST_BROKEN * self._photos:
            raise ValueError(
                f"more than {MOST_BROKEN:.0%} of {self._photos} photos cannot be read, among them "
                f"{', '.join(self.keys[-5:])}; mend or remove them first"
            )


def judge_predictions(explainer: Explainer, samples: Sequence[Sample], broken: Broken) -> dict:
    """Accuracy, calibration, confusions, and how constant the gates are, on whole photos."""
    model = for_serving(explainer.model)
    top = min(5, len(explainer.classes))
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
    classes = {explainer.classes[i]: labels == i for i in np.unique(labels)}
    return {
        "photos": len(judged),
        "top1": _mean(found[:, 0]),
        "top5": _mean(found.any(1)),
        "calibration_error": round(calibration_error(confidence, found[:, 0], CALIBRATION_BINS), 4),
        "sources": {name: _accuracy(found[g]) for name, g in groups.items() if g.any()},
        "classes": {name: _accuracy(found[g]) for name, g in classes.items()},
        "confusions": _confusions(labels, likely[:, 0], explainer.classes),
        "gates": {
            name: {
                kind: dict(
                    zip(("range", "deviation"), map(_mean, np.hstack(by_block[name])), strict=True)
                )
                for kind, by_block in spreads.items()
            }
            for name in model.blocks()
        },
    }


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


def _source(sample: Sample) -> str:
    prefix, underscore, _ = sample.path.stem.partition("_")
    return prefix if underscore else "unnamed"


def _mean(values) -> float:
    return round(float(np.mean(values)), 4)


def _accuracy(found: np.ndarray) -> dict:
    """Of bool [N, k]: is the i-th most likely class the right one."""
    return {"photos": len(found), "top1": _mean(found[:, 0]), "top5": _mean(found.any(1))}


def _confusions(labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> list[dict]:
    """The most frequent pairs of a true and a predicted class that are not the same."""
    photos = Counter(labels.tolist())
    pairs = Counter((t, p) for t, p in zip(labels.tolist(), predicted.tolist(), strict=True))
    wrong = sorted((-n, t, p) for (t, p), n in pairs.items() if t != p)
    return [
        {
            "true": classes[t],
            "predicted": classes[p],
            "photos": -n,
            "share_of_true": round(-n / photos[t], 4),
        }
        for n, t, p in wrong[:CONFUSIONS]
    ]


def read_annotations(path: Path) -> dict[str, list[np.ndarray]]:
    """Outlines of objects by key: polygons, float64 [points, (x, y)] in fractions of the photo.

    Raises:
        ValueError: the file is no such JSON; names the first entry that is wrong.
        OSError: there is no such file.
    """
    try:
        entries = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error})") from error
    if not isinstance(entries, dict) or not entries:
        raise ValueError(f"{path} must hold an object with an entry for each annotated photo")
    return {key: _polygons(entry, f"{path}, {key!r}") for key, entry in entries.items()}


def _polygons(entry: dict, where: str) -> list[np.ndarray]:
    try:
        if entry.get("contour"):
            polygons = [np.array(entry["contour"], np.float64)]
        else:
            corners = [(0, 1), (2, 1), (2, 3), (0, 3)]
            polygons = [
                np.array([(box[i], box[j]) for i, j in corners], np.float64)
                for box in entry["boxes"]
            ]
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        polygons = []
    good = (
        p.ndim == 2 and p.shape[1] == 2 and len(p) > 2 and np.isfinite(p).all() for p in polygons
    )
    if not polygons or not all(good):
        raise ValueError(
            f"{where}: expected is a contour [[x, y], ...] of three points or more, or boxes "
            "[[x0, y0, x1, y1], ...], as fractions of the photo's width and height"
        )
    return polygons


def object_mask(polygons: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Which pixels' centres lie inside any of some polygons.

    Args:
        polygons: [points, (x, y)] in fractions of width and height.
        size: (width, height) of the picture.

    Returns:
        bool [height, width].
    """
    width, height = size
    y, x = np.mgrid[:height, :width]
    centres = np.column_stack([x.ravel() + 0.5, y.ravel() + 0.5])
    mask = np.zeros(width * height, bool)
    for polygon in polygons:
        mask |= Outline(polygon * size, closed=False).contains_points(centres)
    return mask.reshape(height, width)


def off_centre_crop(
    on_object: np.ndarray, draw: np.random.Generator
) -> tuple[int, int, int, int] | None:
    """A crop that does not have the object in its middle, drawn evenly from all there are.

    It is `CROP` of the photo's width and height, keeps at least `KEEPS` of the object, is covered
    by it to a share within `COVERS`, and the centroid of what it keeps is at least `OFF_CENTRE`
    of the crop's width or of its height away from its centre. (Along one axis: a distance taken
    across both is then at least as long.)

    Args:
        on_object: bool [height, width].
        draw: where chance comes from.

    Returns:
        (left, top, right, bottom) in px; None if there is no such crop.
    """
    height, width = on_object.shape
    h, w = max(1, round(CROP * height)), max(1, round(CROP * width))

    def within(values: np.ndarray) -> np.ndarray:
        """Sum over the crop, for every [top, left] it can have."""
        sums = np.pad(values.cumsum(0, np.int64).cumsum(1), ((1, 0), (1, 0)))
        return sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]

    rows, columns = np.arange(height)[:, None], np.arange(width)
    kept = within(on_object)
    some = np.maximum(kept, 1)
    # The object's centroid from the crop's centre, in sides of the crop.
    left, top = np.arange(width - w + 1), np.arange(height - h + 1)[:, None]
    x = (within(on_object * columns) / some + 0.5 - left) / w - 0.5
    y = (within(on_object * rows) / some + 0.5 - top) / h - 0.5
    good = (
        (kept > 0)
        & (kept >= KEEPS * on_object.sum())
        & (kept >= COVERS[0] * w * h)
        & (kept <= COVERS[1] * w * h)
        & (np.maximum(np.abs(x), np.abs(y)) >= OFF_CENTRE)
    )
    places = np.argwhere(good)
    if not len(places):
        return None
    y0, x0 = places[draw.integers(len(places))].tolist()
    return x0, y0, x0 + w, y0 + h


def judge_attention(
    explainer: Explainer,
    samples: Sequence[Sample],
    outlines: dict[str, list[np.ndarray]],
    seed: int,
) -> dict:
    """Where the attention lies, over an off-centre crop of each annotated photo."""
    blocks = list(explainer.model.blocks())
    # The last block is Grad-CAM's usual place; earlier ones tell what is owed to finer cells.
    looked_at = [
        b for b, after in zip(blocks, blocks[1:] + [""], strict=True) if b[:6] != after[:6]
    ]
    figures: dict[tuple[str, ...], list[tuple[float, float, float]]] = {}
    areas = []
    for sample in tqdm(samples, desc="attention", unit="photo", disable=None):
        photo = _large_enough(sample.path, explainer.preprocessing)
        mask = object_mask(outlines[sample.key], photo.size)
        draw = np.random.default_rng([seed, zlib.crc32(sample.key.encode())])
        box = off_centre_crop(mask, draw)
        if box is None:
            continue
        left, top, right, bottom = box
        mask, photo = mask[top:bottom, left:right], photo.crop(box)
        areas.append(mask.mean())
        explanation = explainer.explain(photo, top_k=1)
        view = explanation.view
        gates = {("blocks", b): explanation.spatial_on_image(b) for b in blocks}
        inputs = view.input_tensor(photo, explainer.preprocessing)
        _, cams = class_maps(explainer, inputs, looked_at, [sample.label])
        strides = explainer.model.strides()
        maps = gates | {
            ("mean_over_blocks",): np.mean(list(gates.values()), axis=0),
            ("centre_prior",): centre_prior(*photo.size),
        }
        maps |= {("grad_cam", b): view.on_photo(cams[b][0], strides[b]) for b in looked_at}
        for key, values in maps.items():
            three = (f(values, mask) for f in (pixel_auc, pointing_game, mass_on_object))
            figures.setdefault(key, []).append(tuple(three))
    result = {
        "annotated": len(samples),
        "crops": len(areas),
        "without_crop": len(samples) - len(areas),
        "seed": seed,
    }
    if not areas:
        return result
    result["area"] = _mean(areas)
    for key, rows in figures.items():
        aucs, points, masses = np.array(rows).T
        place = result
        for part in key[:-1]:
            place = place.setdefault(part, {})
        place[key[-1]] = {
            "auc": _mean(aucs),
            # Of the mean; what differs by less than two of these may not differ at all.
            "auc_standard_error": round(float(aucs.std() / math.sqrt(len(aucs))), 4),
            "pointing": _mean(points),
            "mass": _mean(masses),
            "mass_ratio": round(float(masses.mean() / np.mean(areas)), 4),
        }
    return result


def _large_enough(path: Path, pre: Preprocessing) -> Image.Image:
    """A photo of which a crop fills the model's input, and that is not much larger."""
    photo = Photo(path)
    enough = math.ceil(pre.size / CROP)
    image = photo.at_least(*View.whole(photo.size, replace(pre, size=enough)).resized)
    factor = min(image.size) // enough
    return image.reduce(factor) if factor > 1 else image


def table(result: dict) -> str:
    """The figures as plain text."""
    lines = [
        f"{result['model']}: {result['photos']} whole photos, short side {result['short_side']} px,"
        f" {len(result['broken'])} broken, {result['seconds']:.0f} s",
        "",
        *_aligned(
            ["", "photos", "top-1", "top-5"],
            [["all", *_cells(result)], *([n, *_cells(r)] for n, r in result["sources"].items())],
        ),
        "",
        f"calibration error ({CALIBRATION_BINS} bins): {result['calibration_error']:.3f}",
    ]
    classes = sorted(result["classes"].items(), key=lambda item: (item[1]["top1"], item[0]))
    columns = 3
    deep = -(-len(classes) // columns)
    rows = []
    for i in range(deep):
        row = [[name, *_cells(r)[:2]] for name, r in classes[i::deep]]
        rows.append(sum(row + [["", "", ""]] * (columns - len(row)), []))
    lines += [
        "",
        "Classes, the worst first",
        *_aligned(["class", "photos", "top-1"] * columns, rows),
    ]
    if result["confusions"]:
        rows = [
            [f"{c['true']} -> {c['predicted']}", str(c["photos"]), f"{c['share_of_true']:.1%}"]
            for c in result["confusions"]
        ]
        lines += [
            "",
            "Taken for another",
            *_aligned(["true -> predicted", "photos", "share"], rows),
        ]
    rows = [
        [name, *(f"{gates[kind][f]:.3f}" for kind in gates for f in ("range", "deviation"))]
        for name, gates in result["gates"].items()
    ]
    heads = ["block", "spatial range", "deviation", "channel range", "deviation"]
    lines += ["", "Gates, how far from constant (means over photos)", *_aligned(heads, rows)]
    if attention := result.get("attention"):
        lines += [
            "",
            f"Attention on the object: {attention['crops']} off-centre crops of "
            f"{attention['annotated']} annotated photos "
            f"({attention['without_crop']} have no such crop), seed {attention['seed']}",
        ]
        if attention["crops"]:
            rows = [
                [name, f"{m['auc']:.3f} +- {m['auc_standard_error']:.3f}"]
                + [f"{m[f]:.3f}" for f in ("pointing", "mass", "mass_ratio")]
                for name, m in _named_maps(attention)
            ]
            heads = ["map", "pixel AUC", "pointing", "mass", "mass / area"]
            lines += [f"The object covers {attention['area']:.1%}.", *_aligned(heads, rows)]
    return "\n".join(lines)


def _cells(row: dict) -> list[str]:
    return [str(row["photos"]), f"{row['top1']:.1%}", f"{row['top5']:.1%}"]


def _named_maps(attention: dict) -> list[tuple[str, dict]]:
    return [
        *attention["blocks"].items(),
        ("mean over blocks", attention["mean_over_blocks"]),
        ("centre prior", attention["centre_prior"]),
        *((f"Grad-CAM {block}", m) for block, m in attention["grad_cam"].items()),
    ]


def _aligned(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines with numbers to the right of their columns and all else to the left."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    numbers = [c[:1].isdigit() or not c for c in rows[0]]
    return [
        "  ".join(
            cell.rjust(w) if number else cell.ljust(w)
            for cell, w, number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in [head, *rows]
    ]


def save(result: dict, folder: Path) -> list[Path]:
    """Write ``evaluation.json`` and the plots for the model card.

    Returns:
        The files: the JSON, ``accuracy.png`` (a bar for every class) and, if attention was judged,
        ``attention.png`` (pixel AUC of every block, beside Grad-CAM's and the centre prior's).
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "evaluation.json"]
    files[0].write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")
    plots = {"accuracy.png": _plot_classes(result)}
    if result.get("attention", {}).get("crops"):
        plots["attention.png"] = _plot_attention(result["attention"])
    for name, figure in plots.items():
        files.append(folder / name)
        drawn = io.BytesIO()
        figure.savefig(drawn)
        # A few colours are enough, at a third of the size.
        Image.open(drawn).convert("RGB").quantize(64).save(files[-1], optimize=True)
    return files


def _plot_classes(result: dict) -> Figure:
    """A bar for every class, the best first, down one column after the other."""
    classes = sorted(result["classes"].items(), key=lambda item: (-item[1]["top1"], item[0]))
    columns = min(3, -(-len(classes) // 40))  # more would be wider than a page
    deep = -(-len(classes) // columns)
    figure = Figure((max(5, 3.6 * columns), 1.2 + 0.17 * deep), dpi=120, layout="constrained")
    figure.suptitle(
        f"Top-1 accuracy of each class (its photos)\nThe line: {result['top1']:.1%} of all "
        f"{result['photos']:,} photos",
        fontsize=10,
    )
    for i, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        some = classes[i * deep : (i + 1) * deep]
        places = range(len(some))
        axes.barh(places, [r["top1"] for _, r in some], color=_BLUE)
        for place, (_, r) in zip(places, some, strict=True):  # beside all bars: clear of the line
            axes.text(1.17, place, f"{r['top1']:.0%}", fontsize=7, ha="right", va="center_baseline")
        axes.axvline(result["top1"], color=_VERMILION, linewidth=1)
        axes.set_yticks(places, [f"{name} ({r['photos']})" for name, r in some], fontsize=7)
        axes.tick_params(axis="y", length=0)
        axes.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"], fontsize=7)
        axes.set(xlim=(0, 1.2), ylim=(deep - 0.4, -0.6))  # the last column may be shorter
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _plot_attention(attention: dict) -> Figure:
    """The pixel AUC of every block's gate, beside all that it has to be better than."""
    blocks, cams = attention["blocks"], attention["grad_cam"]
    figure = Figure((max(7, 1.5 + 0.36 * len(blocks)), 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    gates = axes.errorbar(
        list(blocks),
        [b["auc"] for b in blocks.values()],
        [2 * b["auc_standard_error"] for b in blocks.values()],
        fmt="o-",
        color=_BLUE,
        linewidth=1,
        capsize=3,
        label="spatial gate (2 standard errors)",
    )
    (grad_cam,) = axes.plot(
        list(cams),
        [c["auc"] for c in cams.values()],
        "D",
        color=_VERMILION,
        label="Grad-CAM of the block, true class",
    )
    lines = [
        axes.axhline(auc, color=colour, linestyle=style, linewidth=1, label=f"{name}, {auc:.3f}")
        for name, auc, colour, style in (
            ("mean over blocks", attention["mean_over_blocks"]["auc"], _BLUE, "-."),
            ("centre prior", attention["centre_prior"]["auc"], "black", "--"),
            ("chance", 0.5, "grey", ":"),
        )
    ]
    axes.set_xticks(
        range(len(blocks)), list(blocks), rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set(ylabel="pixel AUC", title=f"Attention on the object, {attention['crops']:,} crops")
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        handles=[gates, grad_cam, *lines], loc="outside lower center", ncols=3, fontsize=8
    )
    return figure
