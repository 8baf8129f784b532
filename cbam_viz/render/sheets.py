"""All blocks of an explanation at a glance."""

import numpy as np
from PIL import Image, ImageDraw

from ..explain.explanation import BlockAttention, Explanation
from ..explain.view import View
from .lettering import AMBER, DARK_AMBER, INK, LINE, SOFT, TRACK, UNTRAINED, fitted, font, legible
from .overlay import DEFAULT, Look, colour_table, overlay, resized

# The contact sheet, in px.
WIDTH, MARGIN, GAP, HEAD = 1760, 48, 20, 308


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


def contact_sheet(
    explanation: Explanation, look: Look = DEFAULT, photo: Image.Image | None = None
) -> Image.Image:
    """All blocks at a glance, by stage, under the photo and its predictions.

    Args:
        explanation: of the photo.
        look: how to draw each block.
        photo: the photo, in any size, where it is decoded already.

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
    whole, view = photo or explanation.image, explanation.view
    photo = resized(whole, _within(view.resized, (tile, round(1.25 * tile))))
    untrained = explanation.model.untrained is not None
    step = photo.height + 78
    heights = [52 + step * -(-max(map(len, line)) // columns) for line in lines]
    canvas = Image.new("RGB", (WIDTH, HEAD + sum(heights) + MARGIN // 2), "white")
    draw = ImageDraw.Draw(canvas)
    _put_head(canvas, draw, whole, explanation, look)
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
                drawn = overlay(photo, block.spatial, block.stride, view, look, untrained)
                canvas.paste(drawn, (x, y))
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
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    photo: Image.Image,
    explanation: Explanation,
    look: Look,
) -> None:
    """Photo, model, predictions, and what the colours stand for."""
    view, plain = explanation.view, font(15)
    photo = resized(photo, _within(view.resized, (380, HEAD - MARGIN - 52)))
    canvas.paste(photo, (MARGIN, MARGIN))
    _put_frame(draw, (MARGIN, MARGIN), photo)
    left, right = MARGIN + photo.width + 36, WIDTH - MARGIN
    draw.text((left, MARGIN + 20), "Spatial attention", INK, font(26, bold=True), anchor="ls")
    name, face = legible(explanation.model.name, "model", 15)
    draw.text((left, MARGIN + 46), fitted(name, face, right - left), SOFT, face, anchor="ls")

    legend, bars = right - 420, left + 320
    for i, prediction in enumerate(explanation.predictions[:5]):
        y = MARGIN + 92 + 28 * i
        label, face = legible(prediction.label, f"class {prediction.index}", 15)
        draw.text((left, y), fitted(label, face, bars - 16 - left), INK, face, anchor="ls")
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
        ends = (
            ("0", "0.5 undecided", "1") if look.scale == "absolute" else ("least", "", "greatest")
        )
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
