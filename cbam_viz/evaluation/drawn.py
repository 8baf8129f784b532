"""Does the attention find what somebody drew a line round: one photo, every block at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..explain.explanation import Explanation
from .attention import centre_prior, object_mask
from .metrics import OnObject

#: Most px of the long side at which maps and outline are compared: finer than any map's cells.
DRAWN = 512
#: Most points of an outline.
POINTS = 2000


@dataclass(frozen=True)
class OnDrawn:
    """How well every block's spatial gate finds a drawn object on one photo.

    Attributes:
        area: the object's share of what the model saw, in 0..1: the mass that a map which prefers
            nothing has on it.
        blocks: by block name, from input to output.
        mean_over_blocks: of the gates' mean.
        centre_prior: of a map that knows no photo, `attention.centre_prior`.
    """

    area: float
    blocks: dict[str, OnObject]
    mean_over_blocks: OnObject
    centre_prior: OnObject


def box_outline(box: Sequence[float]) -> list[tuple[float, float]]:
    """The corners of a box.

    Args:
        box: left, top, right, bottom, in fractions of the photo's width and height.

    Raises:
        ValueError: not four numbers, outside of the photo, or without an area.
    """
    if len(box) != 4 or not np.isfinite(box).all():
        raise ValueError(f"a box is four numbers, left, top, right, bottom, not {list(box)}")
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        raise ValueError(
            f"the box {list(box)} has no area; left must be less than right, top less than bottom"
        )
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


class OutlineError(ValueError):
    """An outline that has no inside or no outside on what the model saw."""


def judge_drawn(explanation: Explanation, outline: Sequence[Sequence[float]]) -> OnDrawn:
    """The figures of `evaluate`, of one photo and one object on it; nothing runs.

    Pixels whose centres lie inside the outline are the object's. One photo says little about a
    model: the figures of its card are means over many.

    Args:
        explanation: of the photo.
        outline: (x, y) of at least three points, in fractions of the photo's width and height;
            the last is joined to the first. `box_outline` makes one of a box.

    Raises:
        OutlineError: a point outside of the photo, or an object of no area, of the whole photo, or
            outside of what the model saw.
        ValueError: not an outline.
    """
    try:
        points = np.asarray(outline, np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError("an outline is a list of points [x, y] of numbers") from error
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise ValueError(f"an outline is at least three points [x, y], not {list(points.shape)}")
    if len(points) > POINTS:
        raise ValueError(f"an outline of {len(points)} points; at most {POINTS} are taken")
    if not ((points >= 0) & (points <= 1)).all():
        raise OutlineError(
            "the outline leaves the photo; its points are fractions of width and height, 0 to 1"
        )
    shrink = min(1, DRAWN / max(explanation.photo.size))
    width, height = (max(1, round(side * shrink)) for side in explanation.photo.size)
    view = explanation.view
    gates = [view.on_photo(b.spatial, b.stride, size=(width, height)) for b in explanation.blocks]
    seen = ~np.isnan(gates[0])
    mask = object_mask([points], (width, height))[seen]
    if not mask.any():
        raise OutlineError(
            "the outline has no area on what the model saw; draw it round the object"
        )
    if mask.all():
        raise OutlineError("the outline holds all that the model saw; leave something beside it")
    found = [OnObject.of(gate[seen], mask) for gate in gates]
    return OnDrawn(
        area=float(mask.mean()),
        blocks={b.name: f for b, f in zip(explanation.blocks, found, strict=True)},
        mean_over_blocks=OnObject.of(np.mean(gates, axis=0)[seen], mask),
        centre_prior=OnObject.of(centre_prior(width, height)[seen], mask),
    )
