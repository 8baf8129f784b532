"""The photo changed: does the attention follow?

A photo is covered in part, blurred, moved, flipped or turned, and explained anew. Where each point
of the changed photo came from is known, so the map of before can be laid where its content has
gone, and held against the map of after: *equivariance*, told as the correlation of the two.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from .explanation import BlockAttention, Explanation
from .interventions import Comparison, correlation, explained_input
from .photo import Photo
from .photo_errors import PhotoSource
from .view import View

if TYPE_CHECKING:
    from .explainer import Explainer


@dataclass(frozen=True)
class Change:
    """What is done to a photo, by the kind's name and its numbers.

    Attributes:
        kind: one of `Change.KINDS`:

            - "cover": a patch, (left, top, right, bottom) in shares of the photo's width and
              height, gets the photo's mean colour;
            - "blur": Gaussian, (radius,) in shares of the short side, up to 0.5;
            - "move": (right, down) in shares of width and height, -1 to 1 each; what comes in at
              the edge has the mean colour;
            - "flip": left becomes right, ();
            - "turn": about the centre, (degrees,) clockwise, -180 to 180; corners likewise.
        numbers: as many as the kind takes.

    Raises:
        ValueError: there is no such kind, or the numbers are not as above.
    """

    kind: str
    numbers: tuple[float, ...] = ()

    #: Names of the numbers of each kind, with the least and the greatest each can be.
    KINDS: ClassVar[dict[str, dict[str, tuple[float, float]]]] = {
        "cover": {"left": (0, 1), "top": (0, 1), "right": (0, 1), "bottom": (0, 1)},
        "blur": {"radius": (0, 0.5)},
        "move": {"right": (-1, 1), "down": (-1, 1)},
        "flip": {},
        "turn": {"degrees": (-180, 180)},
    }

    def __post_init__(self):
        if self.kind not in self.KINDS:
            raise ValueError(f"no change {self.kind!r:.40}; there are: {', '.join(self.KINDS)}")
        wanted = self.KINDS[self.kind]
        words = ", ".join(f"{name} in {low:g}..{high:g}" for name, (low, high) in wanted.items())
        numbers = self.numbers if isinstance(self.numbers, list | tuple) else ()
        given = [v for v in numbers if isinstance(v, int | float) and not isinstance(v, bool)]
        bounds = list(wanted.values())
        if (
            len(given) != len(wanted)
            or len(numbers) != len(wanted)
            or not all(low <= v <= high for v, (low, high) in zip(given, bounds, strict=True))
        ):
            raise ValueError(f"{self.kind} takes {words or 'no numbers'}; got {self.numbers!r:.60}")
        object.__setattr__(self, "numbers", tuple(float(v) for v in given))
        if self.kind == "cover":
            left, top, right, bottom = self.numbers
            if not (left < right and top < bottom):
                raise ValueError(
                    f"a patch from {left:g}, {top:g} to {right:g}, {bottom:g} has no area; "
                    "left must be below right, and top below bottom"
                )

    @classmethod
    def of(cls, said: "Change | Mapping") -> "Change":
        """From plain values, ``{"kind": "move", "numbers": [0.1, 0]}``.

        Raises:
            ValueError: it is nothing of the kind.
        """
        if isinstance(said, Change):
            return said
        if not isinstance(said, Mapping) or not said.keys() <= {"kind", "numbers"}:
            raise ValueError(
                f'a change is written as {{"kind": "move", "numbers": [0.1, 0]}}, not {said!r:.60}'
            )
        kind, numbers = said.get("kind"), said.get("numbers", ())
        if not isinstance(kind, str):
            raise ValueError(f"no change {kind!r:.40}; there are: {', '.join(cls.KINDS)}")
        return cls(kind, numbers)

    def applied(self, photo: Image.Image) -> Image.Image:
        """The changed photo, of the same size.

        Args:
            photo: mode "RGB".
        """
        width, height = photo.size
        mean = tuple(np.asarray(photo, np.float32).mean((0, 1)).round().astype(int).tolist())
        if self.kind == "cover":
            left, top, right, bottom = self.numbers
            changed = photo.copy()
            corners = round(left * width), round(top * height)
            changed.paste(mean, (*corners, round(right * width), round(bottom * height)))
            return changed
        if self.kind == "blur":
            return photo.filter(ImageFilter.GaussianBlur(self.numbers[0] * min(photo.size)))
        if self.kind == "flip":
            return ImageOps.mirror(photo)
        matrix = self.origin(photo.size)
        # Pillow asks for each px where it came from, and takes its centre itself.
        return photo.transform(
            photo.size,
            Image.Transform.AFFINE,
            tuple(matrix.ravel()),
            Image.Resampling.BILINEAR,
            fillcolor=mean,
        )

    def origin(self, size: tuple[int, int]) -> np.ndarray:
        """Where the points of the changed photo came from: float64 [2, 3], affine, in px.

        Args:
            size: (width, height) of the photo.
        """
        width, height = size
        if self.kind == "flip":
            return np.array([[-1.0, 0, width], [0, 1, 0]])
        if self.kind == "move":
            right, down = self.numbers
            # By whole px: nothing is blurred on the way.
            return np.array([[1.0, 0, -round(right * width)], [0, 1, -round(down * height)]])
        if self.kind == "turn":
            angle = math.radians(self.numbers[0])
            turn = np.array(
                [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
            )
            centre = np.array([width / 2, height / 2])
            return np.column_stack([turn, centre - turn @ centre])
        return np.array([[1.0, 0, 0], [0, 1, 0]])

    def kept(self, x: np.ndarray, y: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Which points of the changed photo show something of the photo: bool.

        Args:
            x, y: where they came from, in px.
            size: (width, height) of the photo.
        """
        width, height = size
        inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
        if self.kind == "cover":
            left, top, right, bottom = self.numbers
            across = (x >= left * width) & (x <= right * width)
            inside &= ~(across & (y >= top * height) & (y <= bottom * height))
        return inside


@dataclass(frozen=True)
class Followed:
    """How well one block's map followed a change.

    Attributes:
        name: of the block.
        correlation: Pearson's, of the map of before, laid where its content has gone, and the map
            of after, over the cells whose content is still there: 1 where the map follows
            exactly. None where one of the two is constant, or no cell is left.
        difference: mean absolute difference of the two, in 0..1; None where no cell is left.
        cells: share of the map's cells whose content is still there, in 0..1.
    """

    name: str
    correlation: float | None
    difference: float | None
    cells: float


@dataclass(frozen=True, eq=False)
class Changed(Comparison):
    """A photo explained as it was and as it became, both as the network saw it.

    Attributes:
        change: what was done.
    """

    change: Change = field(kw_only=True)

    @cached_property
    def followed(self) -> tuple[Followed, ...]:
        """How well each block's map followed, from input to output."""
        pairs = zip(self.before.blocks, self.after.blocks, strict=True)
        return tuple(_followed(self.change, self.after.view, a, b) for a, b in pairs)

    def to_dict(self) -> dict:
        """As `Comparison.to_dict`; the blocks tell how well they followed."""
        return super().to_dict() | {
            "change": {"kind": self.change.kind, "numbers": list(self.change.numbers)},
            "blocks": [
                {
                    "name": f.name,
                    "correlation": None if f.correlation is None else round(f.correlation, 4),
                    "difference": None if f.difference is None else round(f.difference, 4),
                    "cells": round(f.cells, 4),
                }
                for f in self.followed
            ],
        }


def change_photo(
    explainer: "Explainer",
    photo: PhotoSource | Photo | Explanation,
    change: Change | Mapping,
    top_k: int = 5,
) -> Changed:
    """Explain a photo, and the same photo changed.

    What is changed is the photo as the network saw it, at its input's size: nothing but the change
    is between the two.

    Args:
        explainer: with the model.
        photo: as for `interventions.what_if`.
        change: what to do to it, see `Change.of`.
        top_k: number of predictions.

    Raises:
        PhotoError: not a photo that can be read.
        ValueError: the change is none, or the explanation is of another model.
    """
    change = Change.of(change)
    before, given = explained_input(explainer, photo, top_k)
    view = given.view
    (x, y), (width, height) = view.offset, view.size
    seen = given.photo.resized(*view.resized).crop((x, y, x + width, y + height))
    after = explainer.explain(change.applied(seen), top_k)
    return Changed(before, after, change=change)


def _followed(change: Change, view: View, a: BlockAttention, b: BlockAttention) -> Followed:
    rows, columns = b.spatial.shape
    y, x = np.mgrid[:rows, :columns] * b.stride + 0.5
    source = change.origin(view.size) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    kept = change.kept(*source, view.size)
    moved = _sampled(a.spatial, *((source - 0.5) / b.stride))[kept]
    after = b.spatial.ravel()[kept]
    return Followed(
        b.name,
        correlation(moved, after),
        float(np.abs(moved - after).mean()) if kept.any() else None,
        float(kept.mean()),
    )


def _sampled(cells: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A map between its cells, bilinear; beyond the outermost centres, as these are."""
    x, y = (np.clip(at, 0, n - 1) for at, n in ((x, cells.shape[1]), (y, cells.shape[0])))
    left, top = x.astype(int), y.astype(int)
    right, bottom = (
        np.minimum(i + 1, n - 1) for i, n in ((left, cells.shape[1]), (top, cells.shape[0]))
    )
    across, down = x - left, y - top
    above = cells[top, left] * (1 - across) + cells[top, right] * across
    below = cells[bottom, left] * (1 - across) + cells[bottom, right] * across
    return above * (1 - down) + below * down
