"""Does the attention find the object: off-centre crops of annotated photos.

On whole photos a map that looks at nothing and prefers the middle already scores well; on crops
that do not have the object in their middle it does not.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.path import Path as Outline
from PIL import Image
from tqdm import tqdm

from ..broken import BrokenPhotos
from ..explain.class_maps import class_maps
from ..explain.explainer import Explainer
from ..explain.photo import Photo
from ..explain.photo_errors import PhotoError
from ..explain.view import ModelInput
from ..models.preprocessing import Preprocessing
from .metrics import OnObject
from .photos import Sample
from .predictions import mean

# An off-centre crop: its sides, the least of the object it keeps, the object's least and largest
# share of it, and how far off its centre the object's is, in sides.
CROP = 0.6
KEEPS = 0.5
COVERS = (0.01, 0.5)
OFF_CENTRE = 0.18


@dataclass(frozen=True)
class MapFigures:
    """How well a map finds the object: means over crops.

    Attributes:
        auc: pixel AUC, in 0..1; 0.5 is chance.
        auc_standard_error: of the mean; what differs by less than two of these may not differ at
            all.
        pointing: pointing game, in 0..1.
        mass: share of the attention that is on the object, in 0..1.
        mass_ratio: the mean mass over the object's mean share of the crop: 1 is what no attention
            at all would reach.
    """

    auc: float
    auc_standard_error: float
    pointing: float
    mass: float
    mass_ratio: float


@dataclass(frozen=True)
class Maps:
    """The figures of all maps.

    Attributes:
        blocks: of the spatial gates, by block name, from input to output.
        mean_over_blocks: of their mean.
        centre_prior: of `centre_prior`.
        grad_cam: of Grad-CAM, by block name, the last block of every stage.
    """

    blocks: dict[str, MapFigures]
    mean_over_blocks: MapFigures
    centre_prior: MapFigures
    grad_cam: dict[str, MapFigures]


@dataclass(frozen=True)
class Attention:
    """Where the attention lies.

    Attributes:
        annotations_without_photo: how many match no photo.
        annotated: photos with an annotation.
        crops: of them, those that have an off-centre crop; what is judged.
        without_crop: those that have none.
        seed: of the draw of crops.
        grad_cam_class: whose evidence Grad-CAM shows, the photo's "true" class or the "predicted".
        area: the object's mean share of the crop, in 0..1; None without crops.
        maps: None without crops.
    """

    annotations_without_photo: int
    annotated: int
    crops: int
    without_crop: int
    seed: int
    grad_cam_class: str
    area: float | None
    maps: Maps | None


def judge_attention(
    explainer: Explainer,
    samples: Sequence[Sample],
    outlines: dict[str, list[np.ndarray]],
    seed: int,
    broken: BrokenPhotos,
) -> Attention:
    """Where the attention lies, over an off-centre crop of each annotated photo.

    Args:
        explainer: of the model to judge.
        samples: photos with outlines. Grad-CAM is that of their labels; if one of them has no
            label, that of the predicted class for them all.
        outlines: by the samples' keys; those of other photos are counted, no more.
        seed: of the draw of crops. A photo's crop depends on seed and key alone.
        broken: takes the photos that cannot be read.
    """
    blocks = list(explainer.model.blocks())
    strides = explainer.model.strides()
    # The last block is Grad-CAM's usual place; earlier ones tell what is owed to finer cells.
    looked_at = [
        b for b, after in zip(blocks, blocks[1:] + [""], strict=True) if b[:6] != after[:6]
    ]
    labelled = all(s.label is not None for s in samples)
    names = [*blocks, "mean", "prior", *(f"Grad-CAM {b}" for b in looked_at)]
    figures: dict[str, list[OnObject]] = {name: [] for name in names}
    areas, annotated = [], 0
    for sample in tqdm(samples, desc="attention", unit="photo", disable=None):
        try:
            photo = _large_enough(Photo(sample.path).image, explainer.preprocessing)
        except PhotoError as error:
            broken.add(sample.key, error)
            continue
        annotated += 1
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
        inputs = ModelInput.of(explanation.photo, explainer.preprocessing, view).tensor
        label = [sample.label] if labelled else None
        _, cams = class_maps(explainer.model, inputs, looked_at, label)
        gates = [explanation.spatial_on_image(b) for b in blocks]
        drawn = [
            *gates,
            np.mean(gates, axis=0),
            centre_prior(*photo.size),
            *(view.on_photo(cams[b][0], strides[b]) for b in looked_at),
        ]
        for name, values in zip(names, drawn, strict=True):
            figures[name].append(OnObject.of(values, mask))
    area = maps = None
    if areas:
        area = float(np.mean(areas))
        of = {name: _figures(rows, area) for name, rows in figures.items()}
        by_stage = {b: of[f"Grad-CAM {b}"] for b in looked_at}
        maps = Maps({b: of[b] for b in blocks}, of["mean"], of["prior"], by_stage)
        area = round(area, 4)
    return Attention(
        annotations_without_photo=len(set(outlines) - {s.key for s in samples}),
        annotated=annotated,
        crops=len(areas),
        without_crop=annotated - len(areas),
        seed=seed,
        grad_cam_class="true" if labelled else "predicted",
        area=area,
        maps=maps,
    )


def _figures(rows: list[OnObject], area: float) -> MapFigures:
    """Of one map's figures, a crop each."""
    aucs, points, masses = np.array(rows).T
    return MapFigures(
        auc=mean(aucs),
        auc_standard_error=round(float(aucs.std() / math.sqrt(len(aucs))), 4),
        pointing=mean(points),
        mass=mean(masses),
        mass_ratio=round(float(masses.mean() / area), 4),
    )


def _large_enough(image: Image.Image, pre: Preprocessing) -> Image.Image:
    """A photo of which a crop fills the model's input, and that is not much larger."""
    factor = min(image.size) // math.ceil(pre.size / CROP)
    return image.reduce(factor) if factor > 1 else image


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


def centre_prior(width: int, height: int) -> np.ndarray:
    """A map that only knows that photographers put things in the middle.

    A Gaussian as wide and high in proportion as the picture, with a deviation of a quarter of
    each side: the "center" baseline of Judd, Durand, Torralba: "A Benchmark of Computational
    Models of Saliency to Predict Human Fixations", 2012. How wide it is matters to the attention
    mass alone.

    Returns:
        float32 [height, width], at the pixels' centres, in (0, 1].
    """
    x = (np.arange(width) + 0.5) / width - 0.5
    y = (np.arange(height) + 0.5) / height - 0.5
    return np.exp(-8 * (x**2 + y[:, None] ** 2)).astype(np.float32)
