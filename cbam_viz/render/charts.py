"""A block's channel attention as a chart.

Drawn straight into pixels: a figure of matplotlib's takes longer than the network does. What has
straight sides is covered exactly, the rest is drawn larger and made smaller, so that no edge is
jagged.
"""

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from ..explain.explanation import GateFigures
from .lettering import AMBER, DARK_AMBER, INK, LINE, PALE_AMBER, SOFT, UNTRAINED, font, spread

ORDERS = ("channel", "sorted")

#: How many of the strongest, and of the weakest, channels are labelled.
LABELLED = 6
MIN_WIDTH = 390

# Vermilion and blue of Okabe and Ito's palette, which every kind of colour vision tells apart;
# lighter on the dark ground.
_LIGHT = {"ground": "white", "ink": INK, "soft": SOFT, "line": LINE}
_LIGHT |= {"strong": "#d55e00", "weak": "#0072b2"}
_DARK = {"ground": "#0b0f19", "ink": "#f1f3f5", "soft": "#a5adb8", "line": "#384252"}
_DARK |= {"strong": "#ff8f3d", "weak": "#5ab4f0"}

# In px: the plot's distance from the left and right edge, its top and bottom, the whole height.
_SIDE, _TOP, _BOTTOM, _HEIGHT = 104, 126, 326, 412
_BANNER = 30
#: How much larger slanted and round things are drawn.
_FINER = 4


def channel_chart(
    weights: np.ndarray,
    name: str,
    order: str = "channel",
    width_px: int = 960,
    dark: bool = False,
    untrained: bool = False,
) -> Image.Image:
    """All weights of a channel gate, as bars upwards or downwards from 0.5, an undecided gate's.

    The strongest and the weakest channels are labelled with their number and weight.

    Args:
        weights: float32 [C], in (0, 1): a channel gate.
        name: of its block.
        order: "channel" (as in the network) or "sorted" (strongest first).
        width_px: of the picture, at least `MIN_WIDTH`.
        dark: light words on a dark ground.
        untrained: whether to mark the gates as untrained, with a banner.

    Returns:
        RGB image, ``width_px`` wide.

    Raises:
        ValueError: there is no such order, or no room for the labels in such a width.
    """
    if order not in ORDERS:
        raise ValueError(f"no order {order!r}; there are: {', '.join(ORDERS)}")
    if width_px < MIN_WIDTH:
        raise ValueError(f"width_px must be at least {MIN_WIDTH}, not {width_px}")
    page = _Page(width_px, _DARK if dark else _LIGHT, _BANNER if untrained else 0)
    figures = GateFigures.of(weights)
    _put_title(page, name, len(weights), figures)
    _put_weights(page, weights, figures.mean, order)
    if untrained:
        page.fill(AMBER, 0, width_px, -_BANNER, 0)
        page.write(width_px / 2, -10, UNTRAINED, INK, 13, "m", bold=True)
    return page.picture


class _Page:
    """A picture to draw on, in px; y is counted from below the banner.

    Args:
        width: of the picture.
        colours: by what they are for.
        above: height of the banner.
    """

    def __init__(self, width: int, colours: dict[str, str], above: int):
        self.width, self.colours, self.above = width, colours, above
        self.picture = Image.new("RGB", (width, _HEIGHT + above), colours["ground"])
        self.draw = ImageDraw.Draw(self.picture)

    def write(
        self, x: float, y: float, words: str, colour: str, px=11, align="l", bold=False
    ) -> None:
        """Words on a line at y, with x their left ("l"), middle ("m") or right ("r")."""
        face = font(px, bold)
        self.draw.text((x, y + self.above), words, colour, face, anchor=f"{align}s")

    def fill(
        self, colour: str, left: ArrayLike, right: ArrayLike, top: ArrayLike, bottom: ArrayLike
    ) -> None:
        """Rectangles that do not overlap; their sides may lie anywhere between the pixels."""
        sides = np.broadcast_arrays(*np.atleast_1d(left, right, top, bottom))
        x, y = int(sides[0].min()), int(np.floor(sides[2].min()))
        across = _covered(sides[0] - x, sides[1] - x)
        down = _covered(sides[2] - y, sides[3] - y)
        mask = np.rint(255 * np.minimum(down.T @ across, 1)).astype(np.uint8)
        self._paint(colour, Image.fromarray(mask), x, y)

    def leader(self, colour: str, corners: ArrayLike) -> None:
        """A thin line from corner to corner, [corners, 2]."""
        corners = np.asarray(corners)
        x, y = np.floor(corners.min(0)).astype(int) - 1
        width, height = np.ceil(corners.max(0)).astype(int) - (x, y) + 1
        mask = Image.new("L", (_FINER * width, _FINER * height))
        way = (_FINER * (corners - (x, y))).ravel().tolist()
        ImageDraw.Draw(mask).line(way, 255, round(0.7 * _FINER))
        self._paint(colour, mask.reduce(_FINER), x, y)

    def dot(self, colour: str, x: float, y: float, radius: float) -> None:
        """A disc around (x, y)."""
        left, top = int(x - radius), int(y - radius)
        px = np.arange(int(2 * radius) + 3) + 0.5
        away = np.hypot(px + left - x, px[:, None] + top - y)
        mask = np.rint(255 * np.clip(radius + 0.5 - away, 0, 1)).astype(np.uint8)
        self._paint(colour, Image.fromarray(mask), left, top)

    def pill(self, colour: str, left: float, top: float, width: float, height: float) -> None:
        """A rectangle with round ends."""
        mask = Image.new("L", (round(_FINER * width), round(_FINER * height)))
        box = (0, 0, mask.width - 1, mask.height - 1)
        ImageDraw.Draw(mask).rounded_rectangle(box, mask.height / 2, 255)
        self._paint(colour, mask.reduce(_FINER), round(left), round(top))

    def _paint(self, colour: str, mask: Image.Image, left: int, top: int) -> None:
        self.picture.paste(colour, (int(left), int(top) + self.above), mask)


def _covered(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How much of each px from 0 on a stretch covers: float32 [stretches, px], in 0..1."""
    px = np.arange(np.ceil(high.max()), dtype=np.float32)
    low, high = low[:, None].astype(np.float32), high[:, None].astype(np.float32)
    covered = np.minimum(px + 1, high)
    covered -= np.maximum(px, low)
    return covered.clip(0, out=covered)


def _put_title(page: _Page, name: str, count: int, figures: GateFigures) -> None:
    ink, soft = page.colours["ink"], page.colours["soft"]
    page.write(16, 34, name, ink, 17, bold=True)
    x = 28 + font(17, bold=True).getlength(name)
    page.write(x, 34, f"{count} channel weights", soft, 12)
    if figures.nearly_constant:
        words, right = "nearly constant", page.width - 22
        wide = font(11).getlength(words)
        page.pill(PALE_AMBER, right - wide - 8, 20, wide + 16, 20)
        page.write(right, 34, words, DARK_AMBER, align="r")
    words = (
        f"min {figures.min:.3f}    mean {figures.mean:.3f}    max {figures.max:.3f}    "
        f"deviation {figures.deviation:.3f}"
    )
    page.write(16, 58, words, soft)


def _put_weights(page: _Page, weights: np.ndarray, mean: float, order: str) -> None:
    """The plot and everything that belongs to single weights."""
    count, right = len(weights), page.width - _SIDE
    falling = np.argsort(-weights, kind="stable")
    shown = falling if order == "sorted" else np.arange(count)
    soft, ink = page.colours["soft"], page.colours["ink"]
    pitch = (right - _SIDE) / count

    def height(value):
        return _BOTTOM - value * (_BOTTOM - _TOP)

    for tick in (0, 0.25, 0.5, 0.75, 1):
        y = height(tick)
        page.fill(page.colours["line"], _SIDE, right, y, y + 1)
        words = "undecided  0.5" if tick == 0.5 else f"{tick:g}"
        page.write(_SIDE - 8, y + 4, words, ink if tick == 0.5 else soft, align="r")

    # A bar for each weight, upwards or downwards from 0.5, with gaps where there is room.
    starts = _SIDE + pitch * np.arange(count)
    stops = starts + pitch
    if pitch >= 4:
        starts, stops = np.round(starts + 0.12 * pitch), np.round(stops - 0.12 * pitch)
    tips, middle = height(weights[shown]), height(0.5)
    for side, up, bars in (("strong", True, tips < middle), ("weak", False, tips > middle)):
        if bars.any():
            ends = (tips[bars], middle) if up else (middle, tips[bars])
            page.fill(page.colours[side], starts[bars], stops[bars], *ends)
    page.fill(soft, _SIDE, right, middle, middle + 1)
    # One px, where it lies best: on two it would be a blur.
    at = np.round(height(mean) - 0.5)
    dashes = np.arange(_SIDE, right, 10)
    page.fill(ink, dashes, np.minimum(dashes + 6, right), at, at + 1)
    page.write(right + 8, height(mean) + 4, f"mean  {mean:.3f}", ink)

    ends = (
        ("strongest first", "weakest last")
        if order == "sorted"
        else ("channel 0", f"channel {count - 1}")
    )
    page.write(_SIDE, _BOTTOM + 72, ends[0], soft)
    page.write(right, _BOTTOM + 72, ends[1], soft, align="r")

    if weights.min() == weights.max():
        return  # none is stronger than another
    most = min(LABELLED, count // 2)
    places = np.empty(count, int)
    places[shown] = np.arange(count)
    for side, channels, edge, away in (
        ("strong", falling[:most], _TOP, -1),
        ("weak", falling[count - most :], _BOTTOM, 1),
    ):
        colour = page.colours[side]
        channels = channels[np.argsort(places[channels])]
        words = [(f"#{channel}", f"{weights[channel]:.3f}") for channel in channels]
        widths = [max(font(11, bold=True).getlength(word) for word in pair) for pair in words]
        tips = _SIDE + pitch * (places[channels] + 0.5)
        middles = spread(tips, widths, _SIDE, right + _SIDE - 12, gap=6)
        line = edge + (-32 if away < 0 else 31)
        page.write(_SIDE - 8, line + 6, side + "est", colour, align="r")
        points = height(weights[channels])
        bend, end = edge + 2 * away, edge + 14 * away
        for tip, point, middle in zip(tips, points, middles, strict=True):
            page.leader(colour, [(tip, point), (tip, bend), (middle, end)])
        for tip, point in zip(tips, points, strict=True):
            page.dot(page.colours["ground"], tip, point, 2.65)
            page.dot(colour, tip, point, 1.85)
        for (number, value), middle in zip(words, middles, strict=True):
            page.write(middle, line, number, ink, align="m", bold=True)
            page.write(middle, line + 13, value, ink, align="m")
