"""Attention laid over the photo: one block, one block with its numbers, all blocks at a glance.

What is drawn are the gate's own numbers. Nothing is smoothed but for the linear interpolation
between cells, nothing is squared or divided by its maximum, and a stretched scale prints the true
range beside it.
"""

from dataclasses import dataclass
from functools import lru_cache

import matplotlib
import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from ..explain.explainer import BlockAttention, Explanation
from ..explain.view import View
from .lettering import (
    AMBER,
    DARK_AMBER,
    INK,
    LINE,
    PALE_AMBER,
    SOFT,
    TRACK,
    UNTRAINED,
    fitted,
    font,
    spread,
)

MODES = ("heat", "multiply", "contour", "cells")
#: Perceptually even tables first; turbo and jet for habit.
COLOURS = ("magma", "viridis", "inferno", "cividis", "turbo", "jet")
SCALES = ("absolute", "stretched")

#: Cells get visible edges from this many px on; smaller ones would be all edge.
EDGES_FROM = 12

# The contact sheet, in px.
WIDTH, MARGIN, GAP, HEAD = 1760, 48, 20, 308


@dataclass(frozen=True)
class Look:
    """How attention is drawn. Changes no number.

    Attributes:
        mode: "heat" blends colours over the photo; "multiply" is photo x attention; "contour"
            outlines the smallest area that holds ``keep`` of the attention and dims the rest;
            "cells" is heat without smoothing, the map's true grid.
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

    mode: str = "heat"
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
    explanation: Explanation, name: str, look: Look = DEFAULT, size: tuple[int, int] | None = None
) -> Image.Image:
    """A block's spatial attention laid over the photo.

    What the model did not see, outside the evaluation crop, is grey. Gates that were not trained
    are marked with a banner on the picture.

    Args:
        explanation: of the photo.
        name: of the block.
        look: how to draw it.
        size: (width, height) to draw at, for a smaller picture; the photo's size if not given.

    Returns:
        RGB image of that size.

    Raises:
        ValueError: there is no such block; the message lists those there are.
    """
    return _laid_over(_photo(explanation, size), explanation, explanation.block(name), look)


def _photo(explanation: Explanation, size: tuple[int, int] | None) -> Image.Image:
    photo = explanation.image
    if size is None or tuple(size) == photo.size:
        return photo
    return photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)


def _laid_over(
    photo: Image.Image, explanation: Explanation, block: BlockAttention, look: Look
) -> Image.Image:
    """`overlay` on a photo that has its final size."""
    values = _values(explanation, block, look, photo.size)
    unseen = np.isnan(values)
    if look.mode == "contour":
        picture = _outlined(photo, smallest_area(values, look.keep), look.opacity)
    else:
        if unseen.any():
            values[unseen] = 0
        values *= 255
        values += 0.5
        levels = values.astype(np.uint8)
        if look.mode == "multiply":
            picture = ImageChops.multiply(photo, Image.fromarray(levels).convert("RGB"))
        else:
            painted = _painted(levels, colour_table(look.colours))
            if look.mode == "cells":
                painted = _with_edges(painted, levels, explanation.view, block, look)
            picture = Image.blend(photo, painted, look.opacity)
    if unseen.any():
        grey = Image.blend(photo.convert("L"), Image.new("L", photo.size, 235), 0.6)
        picture.paste(grey.convert("RGB"), mask=Image.fromarray(unseen.astype(np.uint8) * 255))
    if explanation.model.untrained:
        _put_banner(picture)
    return picture


def _values(
    explanation: Explanation, block: BlockAttention, look: Look, size: tuple[int, int]
) -> np.ndarray:
    """The map on the look's scale over a picture of ``size``: float32 [height, width] in 0..1."""
    cells = block.spatial
    if look.scale == "stretched":
        low, high = cells.min(), cells.max()
        cells = (cells - low) / (high - low) if high > low else np.full_like(cells, 0.5)
    smooth = look.mode != "cells"
    return explanation.view.on_photo(cells, block.stride, smooth=smooth, size=size)


def _painted(levels: np.ndarray, table: np.ndarray) -> Image.Image:
    """uint8 [H, W] through a colour table. Pillow's palettes do it faster than numpy's indices."""
    image = Image.fromarray(levels)
    image.putpalette(table.tobytes())
    return image.convert("RGB")


def _with_edges(
    painted: Image.Image, levels: np.ndarray, view: View, block: BlockAttention, look: Look
) -> Image.Image:
    """Thin lines between the cells, each pixel of them a shade of the cell it lies on."""
    cell = [block.stride * p / r for p, r in zip(painted.size, view.resized, strict=True)]
    if min(cell) < EDGES_FROM:
        return painted
    table = colour_table(look.colours).astype(np.float32)
    light = table @ np.float32([0.299, 0.587, 0.114]) > 128
    table = np.where(light[:, None], table * 0.72, table + (255 - table) * 0.28).astype(np.uint8)
    thick = max(1, round(min(cell) / 64))
    pixels = np.array(painted)
    for axis in (0, 1):
        cells, length = block.spatial.shape[1 - axis], painted.size[axis]
        nearest = np.floor(view.map_positions(cells, block.stride, axis, length) + 0.5)
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


def figure(
    explanation: Explanation, name: str, look: Look = DEFAULT, size: tuple[int, int] | None = None
) -> Image.Image:
    """An overlay with its numbers below it: block, size and stride of the map, colour bar.

    Args:
        explanation, name, look: as for `overlay`.
        size: (width, height) of the overlay; the photo's size if not given, or for a photo
            smaller than the model's input, that of the input.

    Returns:
        RGB image, larger than ``size``.

    Raises:
        ValueError: there is no such block; the message lists those there are.
    """
    block = explanation.block(name)
    figures, view = block.spatial_figures, explanation.view
    if size is None and min(view.photo_size) < min(view.resized):
        size = view.resized
    photo = _photo(explanation, size)
    picture = _laid_over(photo, explanation, block, look)
    unit = max(1.0, (photo.width * photo.height) ** 0.5 / 700)  # words grow with the picture

    def px(length: float) -> int:
        return round(length * unit)

    low, high = (0.0, 1.0) if look.scale == "absolute" else (figures.min, figures.max)
    ramp, notes = _ramp(look), []
    if look.scale == "stretched":
        notes.append("Stretched: the scale is this map's own range.")
        if low == high:
            ramp = ramp[[128] * 256]
    if look.mode == "contour":
        values = _values(explanation, block, look, photo.size)
        kept = smallest_area(values, look.keep)
        area = kept.sum() / np.isfinite(values).sum()
        held = values[kept].sum(dtype=np.float64) / np.nansum(values, dtype=np.float64)
        level = values[kept].min()
        ramp = np.where(np.arange(256)[:, None] < 255 * level, [[126, 133, 142]], [[255] * 3])
        notes.append(
            f"Outlined: {held:.0%} of the attention, in {area:.0%} of the area; "
            f"values from {low + level * (high - low):.3f} up."
        )
    notes += _about_view(view)
    reason = explanation.model.untrained
    warnings = [f"{UNTRAINED}; {reason}."] if reason else []

    margin, width = px(20), max(picture.width, px(500))
    height = picture.height + px(122 + 22 * len(notes + warnings))
    canvas = Image.new("RGB", (width + 2 * margin, height + 2 * margin), "white")
    draw = ImageDraw.Draw(canvas)
    corner = margin + (width - picture.width) // 2, margin
    canvas.paste(picture, corner)
    _put_frame(draw, corner, picture)
    left, right, top = margin, margin + width, margin + picture.height
    bold, plain = font(px(18), bold=True), font(px(13))

    title = top + px(36)
    draw.text((left, title), block.name, INK, bold, anchor="ls")
    rows, columns = block.spatial.shape
    about = f"{columns} × {rows} cells, stride {block.stride} px"
    draw.text((left + bold.getlength(block.name) + px(12), title), about, SOFT, plain, anchor="ls")
    if figures.nearly_constant:
        _put_pill(draw, right, title, "nearly constant", plain)

    def on_bar(value: float) -> float:
        return left + width * ((value - low) / (high - low) if high > low else 0.5)

    bar = top + px(86)
    strip = Image.fromarray(ramp.astype(np.uint8)[None]).resize((width, px(14)))
    canvas.paste(strip, (left, bar))
    draw.rectangle((left, bar, right - 1, bar + px(14) - 1), outline=LINE)
    marks = [("min", figures.min), ("mean", figures.mean), ("max", figures.max)]
    words = [f"{mark} {value:.3f}" for mark, value in marks]
    places = [on_bar(value) for _, value in marks]
    lengths = [plain.getlength(word) for word in words]
    for word, place, middle in zip(
        words, places, spread(places, lengths, left, right, px(12)), strict=True
    ):
        draw.text((middle, bar - px(18)), word, INK, plain, anchor="ms")
        draw.line((middle, bar - px(14), place, bar - px(5)), SOFT, px(1))
        draw.line((place, bar - px(5), place, bar - 1), SOFT, px(1))
    ticks = {0: "0", 0.25: "0.25", 0.5: "0.5 neutral", 0.75: "0.75", 1: "1"}
    if look.scale == "stretched":
        ticks = {tick: f"{tick:.3f}" for tick in sorted({low, (low + high) / 2, high})}
    lengths = [plain.getlength(word) for word in ticks.values()]
    middles = spread([on_bar(tick) for tick in ticks], lengths, left, right)
    for word, middle in zip(ticks.values(), middles, strict=True):
        draw.text((middle, bar + px(32)), word, SOFT, plain, anchor="ms")
    for i, note in enumerate(notes + warnings):
        colour = DARK_AMBER if note in warnings else SOFT
        at = (left, bar + px(58 + 22 * i))
        draw.text(at, fitted(note, plain, width), colour, plain, anchor="ls")
    return canvas


def _ramp(look: Look) -> np.ndarray:
    """The colours of 0 to 1 in a look: uint8 [256, 3]."""
    if look.mode in ("heat", "cells"):
        return colour_table(look.colours)
    return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)


def _about_view(view: View) -> list[str]:
    """What to know of how the model saw the photo, if anything."""
    notes = []
    if view.size != view.resized:
        notes.append("Grey: outside the evaluation crop, not seen by the model.")
    if view.squeezed:
        notes.append("The photo is very long; the model saw it squeezed.")
    return notes


def _put_frame(draw: ImageDraw.ImageDraw, corner: tuple[int, int], picture: Image.Image) -> None:
    """A hairline around a picture: a white photo would have no edge on a white ground."""
    (x, y), (width, height) = corner, picture.size
    draw.rectangle((x - 1, y - 1, x + width, y + height), outline=LINE)


def _put_pill(
    draw: ImageDraw.ImageDraw, right: float, base: float, words: str, face: ImageFont.FreeTypeFont
) -> None:
    """Words on a rounded amber ground that ends at ``right``, on the base line ``base``."""
    em = face.size
    box = (right - face.getlength(words) - 1.2 * em, base - 1.25 * em, right, base + 0.55 * em)
    draw.rounded_rectangle(box, em * 0.9, PALE_AMBER)
    draw.text((right - 0.6 * em, base), words, DARK_AMBER, face, anchor="rs")


def contact_sheet(explanation: Explanation, look: Look = DEFAULT) -> Image.Image:
    """All blocks at a glance, by stage, under the photo and its predictions.

    Args:
        explanation: of the photo.
        look: how to draw each block.

    Returns:
        RGB image, 1760 px wide; its height depends on the number of blocks.
    """
    stages = {}
    for block in explanation.blocks:
        stages.setdefault(block.stage, []).append(block)
    columns = min(max(4, *map(len, stages.values())), 8)
    lines = [[]]  # a stage goes beside the one before it where it fits whole
    for blocks in stages.values():
        if lines[-1] and sum(map(len, lines[-1])) + len(blocks) > columns:
            lines.append([])
        lines[-1].append(blocks)

    tile = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) // columns
    # The shape that the model looked at: an extreme photo is as squeezed here as it was there.
    photo = _photo(explanation, _within(explanation.view.resized, (tile, round(1.25 * tile))))
    step = photo.height + 78
    heights = [52 + step * -(-max(map(len, line)) // columns) for line in lines]
    canvas = Image.new("RGB", (WIDTH, HEAD + sum(heights) + MARGIN // 2), "white")
    draw = ImageDraw.Draw(canvas)
    _put_head(canvas, draw, explanation, look)
    bold, plain = font(15, bold=True), font(13)
    top = HEAD
    for line, height in zip(lines, heights, strict=True):
        column = 0
        for blocks in line:
            left = MARGIN + column * (tile + GAP)
            across = min(len(blocks), columns) * (tile + GAP) - GAP
            draw.line((left, top, left + across, top), LINE)
            words = f"Stage {blocks[0].stage}"
            draw.text((left, top + 26), words, INK, bold, anchor="ls")
            about = f"stride {blocks[0].stride} px"
            at = (left + bold.getlength(words) + 10, top + 26)
            draw.text(at, about, SOFT, plain, anchor="ls")
            for i, block in enumerate(blocks):
                x, y = left + i % columns * (tile + GAP), top + 40 + i // columns * step
                canvas.paste(_laid_over(photo, explanation, block, look), (x, y))
                _put_figures(draw, (x, y + photo.height), tile, block)
            column += len(blocks)
        top += height
    return canvas


def _within(size: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """The greatest size of the same shape that has room."""
    shrink = min(r / s for r, s in zip(room, size, strict=True))
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


def _put_figures(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], width: int, block: BlockAttention
) -> None:
    """A block's name, the size of its map and where in 0 to 1 its values lie."""
    (left, top), right = corner, corner[0] + width
    figures, bold, plain = block.spatial_figures, font(13, bold=True), font(12)
    draw.text((left, top + 21), block.name, INK, bold, anchor="ls")
    rows, columns = block.spatial.shape
    draw.text((right, top + 21), f"{columns} × {rows}", SOFT, plain, anchor="rs")
    y = top + 29
    draw.rectangle((left, y, right - 1, y + 4), fill=TRACK)
    low, mean, high = (left + v * (width - 3) for v in (figures.min, figures.mean, figures.max))
    draw.rectangle((low, y, high + 2, y + 4), fill="#8b95a1")
    draw.rectangle((mean, y - 2, mean + 2, y + 6), fill=INK)
    words = f"{figures.min:.3f} – {figures.max:.3f}"
    draw.text((left, top + 53), words, INK, plain, anchor="ls")
    if figures.nearly_constant:
        draw.text((right, top + 53), "nearly constant", DARK_AMBER, plain, anchor="rs")
    else:
        draw.text((right, top + 53), f"mean {figures.mean:.3f}", SOFT, plain, anchor="rs")


def _put_head(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, explanation: Explanation, look: Look
) -> None:
    """Photo, model, predictions, and what the colours stand for."""
    view, plain = explanation.view, font(15)
    photo = _photo(explanation, _within(view.resized, (380, HEAD - MARGIN - 52)))
    canvas.paste(photo, (MARGIN, MARGIN))
    _put_frame(draw, (MARGIN, MARGIN), photo)
    left, right = MARGIN + photo.width + 36, WIDTH - MARGIN
    draw.text((left, MARGIN + 20), "Spatial attention", INK, font(26, bold=True), anchor="ls")
    name = fitted(explanation.model.name, plain, right - left)
    draw.text((left, MARGIN + 46), name, SOFT, plain, anchor="ls")

    legend, bars = right - 420, left + 320
    for i, prediction in enumerate(explanation.predictions[:5]):
        y = MARGIN + 92 + 28 * i
        label = fitted(prediction.label, plain, bars - 16 - left)
        draw.text((left, y), label, INK, plain, anchor="ls")
        draw.rectangle((bars, y - 11, bars + 220, y), fill=TRACK)
        draw.rectangle((bars, y - 11, bars + 220 * prediction.probability, y), fill="#3b6ea5")
        share = f"{prediction.probability:.1%}"
        draw.text((bars + 220 + 62, y), share, INK, plain, anchor="rs")

    y, small = MARGIN + 80, font(13)
    notes = []
    if look.mode == "contour":
        notes.append(f"Outlined: the smallest area with {look.keep:.0%} of the attention.")
    else:
        canvas.paste(Image.fromarray(_ramp(look)[None]).resize((420, 14)), (legend, y))
        draw.rectangle((legend, y, right - 1, y + 13), outline=LINE)
        ends = ("0", "0.5 neutral", "1") if look.scale == "absolute" else ("least", "", "greatest")
        for words, x, anchor in zip(
            ends, (legend, legend + 210, right), ("ls", "ms", "rs"), strict=True
        ):
            draw.text((x, y + 31), words, SOFT, small, anchor=anchor)
        y += 58
    if look.mode == "multiply":
        notes.append("Photo × attention.")
    if look.scale == "stretched":
        notes.append("Stretched: each map on a scale of its own, see its numbers.")
    notes += _about_view(view)
    notes.append("Below each map: its range and mean on a scale of 0 to 1.")
    for i, note in enumerate(notes):
        draw.text((legend, y + 22 * i), note, SOFT, small, anchor="ls")
    if explanation.model.untrained:
        draw.rectangle((0, 0, WIDTH, 34), fill=AMBER)
        draw.text((WIDTH / 2, 17), UNTRAINED, INK, font(16, bold=True), anchor="mm")
