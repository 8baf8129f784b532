"""Attention laid over the photo.

What is drawn are the gate's own numbers. Nothing is smoothed but for the linear interpolation
between cells, nothing is squared or divided by its maximum, and a stretched scale prints the true
range beside it.
"""

from dataclasses import dataclass
from functools import lru_cache

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..explain.explanation import NEARLY_CONSTANT
from ..explain.view import View
from .lettering import AMBER, INK, UNTRAINED, font

MODES = ("heat", "multiply", "contour", "cells")
#: Perceptually even tables first; turbo and jet for habit.
COLOURS = ("magma", "viridis", "inferno", "cividis", "turbo", "jet")
SCALES = ("absolute", "stretched")

#: Cells get visible edges from this many px on; smaller ones would be all edge.
EDGES_FROM = 12


@dataclass(frozen=True)
class Look:
    """How attention is drawn. Changes no number.

    Attributes:
        mode: "multiply" is photo x attention, as the network multiplies its features; "heat"
            blends colours over the photo; "contour" outlines the smallest area that holds ``keep``
            of the attention and dims the rest, unless the map is nearly constant, where that area
            says nothing; "cells" is heat without smoothing, the map's true grid.
        colours: name of the colour table, one of `COLOURS`. Heat and cells only.
        opacity: of the colours, or of contour's dimming, in 0..1. At 0 the photo is as it was.
            Multiply has none: it is the plain product.
        scale: what 0 and 1 of the drawing stand for: "absolute" for 0 and 1, "stretched" for the
            map's own least and greatest value (a constant map is then drawn as 0.5).
        keep: contour only: share of the attention, above 0 and below 1.

    Raises:
        ValueError: there is no such mode, colour table or scale, or a number is out of range; the
            message says what there is.
    """

    mode: str = "multiply"
    colours: str = "magma"
    opacity: float = 0.55
    scale: str = "absolute"
    keep: float = 0.5

    def __post_init__(self):
        for what, given, known in (
            ("mode", self.mode, MODES),
            ("colour table", self.colours, COLOURS),
            ("scale", self.scale, SCALES),
        ):
            if given not in known:
                raise ValueError(f"no {what} {given!r}; there are: {', '.join(known)}")
        if not 0 <= self.opacity <= 1:
            raise ValueError(f"opacity must be from 0 to 1, not {self.opacity}")
        if not 0 < self.keep < 1:
            raise ValueError(f"keep must be above 0 and below 1, not {self.keep}")


DEFAULT = Look()


@lru_cache
def colour_table(name: str) -> np.ndarray:
    """A colour table of matplotlib's.

    Returns:
        uint8 [256, 3], read-only: the colours of 0 to 1 in equal steps.

    Raises:
        ValueError: not one of `COLOURS`.
    """
    Look(colours=name)
    table = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3].copy()
    table.flags.writeable = False
    return table


def smallest_area(values: np.ndarray, share: float) -> np.ndarray:
    """The smallest area that holds a share of all attention.

    Args:
        values: [H, W], not negative; NaN is no part of it.
        share: above 0 and below 1.

    Returns:
        bool [H, W]: true from some value up. Equal values are in or out together.
    """
    falling = np.sort(values[~np.isnan(values)])[::-1]
    held = np.cumsum(falling, dtype=np.float64)
    last = np.searchsorted(held, share * held[-1])
    return values >= falling[last]


def overlay(
    photo: Image.Image,
    cells: np.ndarray,
    stride: int,
    view: View,
    look: Look = DEFAULT,
    untrained: bool = False,
) -> Image.Image:
    """A map laid over a photo.

    What the model did not see, outside the evaluation crop, is grey.

    Args:
        photo: RGB, in the size to draw at; ``view.photo_size`` or another of its shape.
        cells: float32 [rows, columns], in 0..1: a spatial gate.
        stride: input px between neighbouring cells.
        view: the geometry between photo and model input.
        look: how to draw it.
        untrained: whether to mark the picture, with a banner, as that of untrained gates.

    Returns:
        RGB image of the photo's size.
    """
    shown = cells
    if look.scale == "stretched":
        low, high = cells.min(), cells.max()
        shown = (cells - low) / (high - low) if high > low else np.full_like(cells, 0.5)
    across, down = (
        view.map_positions(cells.shape[1 - axis], stride, axis, photo.size[axis]) for axis in (0, 1)
    )
    unseen = None
    if np.isnan(down).any() or np.isnan(across).any():
        unseen = np.isnan(down)[:, None] | np.isnan(across)
    if look.mode == "multiply":
        picture = _multiplied(photo, shown, across, down)
    elif look.mode == "contour" and cells.max() - cells.min() < NEARLY_CONSTANT:
        picture = photo.copy()
    else:
        values = view.on_photo(shown, stride, smooth=look.mode != "cells", size=photo.size)
        if look.mode == "contour":
            picture = _outlined(photo, smallest_area(values, look.keep), look.opacity)
        else:
            values *= 255
            values += 0.5
            if unseen is not None:
                values[unseen] = 0
            levels = values.astype(np.uint8)
            painted = _painted(levels, colour_table(look.colours))
            if look.mode == "cells":
                painted = _with_edges(painted, levels, cells.shape, stride, view, look)
            picture = Image.blend(photo, painted, look.opacity)
    if unseen is not None:
        grey = Image.blend(photo.convert("L"), Image.new("L", photo.size, 235), 0.6)
        picture.paste(grey.convert("RGB"), mask=Image.fromarray(unseen.astype(np.uint8) * 255))
    if untrained:
        _put_banner(picture)
    return picture


def resized(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A photo in another size, or itself in its own."""
    if tuple(size) == photo.size:
        return photo
    return photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)


def _multiplied(
    photo: Image.Image, cells: np.ndarray, across: np.ndarray, down: np.ndarray
) -> Image.Image:
    """Photo x attention, the attention in 256 levels.

    Levels bear an error of the last digit, unlike colours, which jump from one to the next: two
    products of matrices give them in half the time that the interpolation takes.

    Args:
        photo: RGB.
        cells: [rows, columns], in 0..1.
        across, down: where its columns and rows of px lie on the map, see `View.map_positions`.
    """
    # A little more than half a level: what lies on the border of two stays on its upper side.
    levels = _shares(down, cells.shape[0]) @ (255 * cells + np.float32(0.5001))
    levels = (levels @ _shares(across, cells.shape[1]).T).astype(np.uint8)
    picture = Image.new("RGB", photo.size)
    picture.paste(photo, mask=Image.fromarray(levels))
    return picture


def _shares(positions: np.ndarray, cells: int) -> np.ndarray:
    """How much each cell counts at each px between them, float32 [px, cells]; 0 where it is NaN."""
    away = np.abs(positions.astype(np.float32)[:, None] - np.arange(cells, dtype=np.float32))
    return np.fmax(1 - away, 0)


def _painted(levels: np.ndarray, table: np.ndarray) -> Image.Image:
    """uint8 [H, W] through a colour table. Pillow's palettes do it faster than numpy's indices."""
    image = Image.fromarray(levels)
    image.putpalette(table.tobytes())
    return image.convert("RGB")


def _with_edges(
    painted: Image.Image,
    levels: np.ndarray,
    shape: tuple[int, int],
    stride: int,
    view: View,
    look: Look,
) -> Image.Image:
    """Thin lines between the cells, each pixel of them a shade of the cell it lies on."""
    cell = [stride * p / r for p, r in zip(painted.size, view.resized, strict=True)]
    if min(cell) < EDGES_FROM:
        return painted
    table = colour_table(look.colours).astype(np.float32)
    light = table @ np.array([0.299, 0.587, 0.114], np.float32) > 128
    table = np.where(light[:, None], table * 0.72, table + (255 - table) * 0.28).astype(np.uint8)
    thick = max(1, round(min(cell) / 64))
    pixels = np.array(painted)
    for axis in (0, 1):
        cells, length = shape[1 - axis], painted.size[axis]
        nearest = np.floor(view.map_positions(cells, stride, axis, length) + 0.5)
        first = np.flatnonzero(np.diff(nearest) > 0) + 1 - thick // 2
        lines = np.unique(np.clip(first[:, None] + np.arange(thick), 0, length - 1))
        where = (slice(None), lines) if axis == 0 else (lines,)
        pixels[where] = table[levels[where]]
    return Image.fromarray(pixels)


def _outlined(photo: Image.Image, kept: np.ndarray, opacity: float) -> Image.Image:
    """The photo with an area outlined and all else dimmed."""
    area = Image.fromarray(kept.astype(np.uint8) * 255)
    dimmed = Image.blend(photo, Image.new("RGB", photo.size), opacity)
    picture = Image.composite(photo, dimmed, area)
    # Blurred, the area is at 0.5 on its outline and falls off evenly to both sides: how far it is
    # from 0.5 says how far a pixel is from the line. White in a dark rim shows on any photo.
    blurred = area.filter(ImageFilter.BoxBlur(max(1.6, min(photo.size) / 170)))
    away = np.abs(np.arange(256) / 255 - 0.5)
    for colour, reach, strength in (("black", 0.5, 0.6), ("white", 0.34, 1)):
        cover = np.clip((reach - away) / 0.12, 0, 1) * 255 * strength
        picture.paste(colour, (0, 0, *photo.size), blurred.point(cover.astype(np.uint8).tolist()))
    return picture


def _put_banner(picture: Image.Image) -> None:
    """Mark a picture of gates that were not trained, along its lower edge."""
    width, height = picture.size
    tall = max(1, min(round(max(22, min(picture.size) * 0.06)), height // 3))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, height - tall, width, height), fill=AMBER)
    face = font(max(9, round(tall * 0.55)))
    for words in (UNTRAINED, "Untrained gates", "Untrained"):
        if tall >= 11 and face.getlength(words) < width - tall / 2:
            draw.text((width / 2, height - tall / 2), words, INK, face, anchor="mm")
            break
