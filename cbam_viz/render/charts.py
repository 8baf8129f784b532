"""A block's channel attention as a chart.

Drawn with `matplotlib.figure.Figure` alone: pyplot keeps every figure until it is told to close
it, which a server never does.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch
from PIL import Image

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
    colours = _DARK if dark else _LIGHT
    above = _BANNER if untrained else 0
    size = width_px, _HEIGHT + above
    drawing = Figure((size[0] / 72, size[1] / 72), dpi=72, facecolor=colours["ground"])
    canvas = FigureCanvasAgg(drawing)
    # One pair of axes over all of it, in px: labels and leaders need no second coordinates.
    page = drawing.add_axes((0, 0, 1, 1))
    page.axis("off")
    page.set(xlim=(0, width_px), ylim=(_HEIGHT, -above))
    figures = GateFigures.of(weights)
    _put_title(page, name, len(weights), figures, width_px, colours)
    _put_weights(page, weights, figures.mean, order, width_px - _SIDE, colours)
    if untrained:
        page.add_patch(Rectangle((0, -above), width_px, above, facecolor=AMBER))
        _write(page, width_px / 2, -10, UNTRAINED, INK, 13, "center", weight="bold")
    canvas.draw()
    return Image.frombuffer("RGBA", size, canvas.buffer_rgba(), "raw", "RGBA", 0, 1).convert("RGB")


def _write(
    page: Axes, x: float, y: float, words: str, colour: str, px=11, align="left", **style
) -> None:
    page.text(x, y, words, color=colour, size=px, ha=align, family="DejaVu Sans", **style)


def _put_title(
    page: Axes, name: str, count: int, figures: GateFigures, width: int, colours: dict[str, str]
) -> None:
    _write(page, 16, 34, name, colours["ink"], 17, weight="bold")
    x = 28 + font(17, bold=True).getlength(name)
    _write(page, x, 34, f"{count} channel weights", colours["soft"], 12)
    if figures.nearly_constant:
        pill = {"boxstyle": "round,pad=0.45,rounding_size=0.9", "fc": PALE_AMBER, "ec": "none"}
        _write(page, width - 22, 34, "nearly constant", DARK_AMBER, align="right", bbox=pill)
    words = (
        f"min {figures.min:.3f}    mean {figures.mean:.3f}    max {figures.max:.3f}    "
        f"deviation {figures.deviation:.3f}"
    )
    _write(page, 16, 58, words, colours["soft"])


def _put_weights(
    page: Axes,
    weights: np.ndarray,
    mean: float,
    order: str,
    right: int,
    colours: dict[str, str],
) -> None:
    """The plot from `_SIDE` to ``right``, with everything that belongs to single weights."""
    count = len(weights)
    falling = np.argsort(-weights, kind="stable")
    shown = falling if order == "sorted" else np.arange(count)
    soft, ink = colours["soft"], colours["ink"]
    pitch = (right - _SIDE) / count

    def height(value):
        return _BOTTOM - value * (_BOTTOM - _TOP)

    for tick in (0, 0.25, 0.5, 0.75, 1):
        page.hlines(height(tick), _SIDE, right, colours["line"], linewidth=0.8, zorder=0)
        words = "undecided  0.5" if tick == 0.5 else f"{tick:g}"
        _write(
            page, _SIDE - 8, height(tick) + 4, words, ink if tick == 0.5 else soft, align="right"
        )

    # A bar for each weight, upwards or downwards from 0.5, with gaps where there is room.
    edges, steps = np.arange(count + 1.0), weights[shown]
    if pitch >= 4:
        edges = np.stack([edges[:-1] + 0.12, edges[1:] - 0.12], 1).ravel()
        steps = np.insert(steps, np.arange(1, count), 0.5)
    edges = _SIDE + pitch * edges
    for side, clip in (("strong", np.maximum), ("weak", np.minimum)):
        bars = StepPatch(height(clip(steps, 0.5)), edges, baseline=height(0.5))
        bars.set(facecolor=colours[side], linewidth=0, zorder=1)
        page.add_artist(bars)  # stairs() would also work out their bounds, for longer than drawing
    page.hlines(height(0.5), _SIDE, right, soft, linewidth=1, zorder=2)
    page.hlines(height(mean), _SIDE, right, ink, linewidth=1.2, linestyle=(0, (5, 3)), zorder=3)
    _write(page, right + 8, height(mean) + 4, f"mean  {mean:.3f}", ink)

    ends = (
        ("strongest first", "weakest last")
        if order == "sorted"
        else ("channel 0", f"channel {count - 1}")
    )
    _write(page, _SIDE, _BOTTOM + 72, ends[0], soft)
    _write(page, right, _BOTTOM + 72, ends[1], soft, align="right")

    if weights.min() == weights.max():
        return  # none is stronger than another
    most = min(LABELLED, count // 2)
    places = np.empty(count, int)
    places[shown] = np.arange(count)
    for side, channels, edge, away in (
        ("strong", falling[:most], _TOP, -1),
        ("weak", falling[count - most :], _BOTTOM, 1),
    ):
        colour = colours[side]
        channels = channels[np.argsort(places[channels])]
        words = [(f"#{channel}", f"{weights[channel]:.3f}") for channel in channels]
        widths = [max(font(11, bold=True).getlength(word) for word in pair) for pair in words]
        tips = _SIDE + pitch * (places[channels] + 0.5)
        middles = spread(tips, widths, _SIDE, right + _SIDE - 12, gap=6)
        line = edge + (-32 if away < 0 else 31)
        _write(page, _SIDE - 8, line + 6, side + "est", colour, align="right")
        for (number, value), channel, tip, middle in zip(
            words, channels, tips, middles, strict=True
        ):
            y = height(weights[channel])
            page.plot(
                [tip, tip, middle],
                [y, edge + 2 * away, edge + 14 * away],
                color=colour,
                linewidth=0.7,
                zorder=4,
            )
            page.plot(
                tip,
                y,
                "o",
                color=colour,
                markersize=4.5,
                markeredgecolor=colours["ground"],
                markeredgewidth=0.8,
                zorder=5,
            )
            _write(page, middle, line, number, ink, align="center", weight="bold")
            _write(page, middle, line + 13, value, ink, align="center")
