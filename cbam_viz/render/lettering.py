"""Words on pictures: the font that comes with matplotlib, and room for every label."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import ImageFont

# Colours of words and lines on a white ground, shared by all that is drawn.
INK, SOFT, LINE, TRACK = "#1b1f24", "#5b6470", "#cfd5dc", "#eceff3"
AMBER, PALE_AMBER, DARK_AMBER = "#ffb000", "#fff0c7", "#704400"

UNTRAINED = "Untrained gates: this means nothing"


@lru_cache
def font(px: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans. Characters it has not come out as boxes."""
    file = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", file), px)


def fitted(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """The text on one line, cut short with an ellipsis where it is longer than ``width`` px."""
    text = " ".join(text.split())
    if face.getlength(text) <= width:
        return text
    # Halving: names of any length may come, and measuring one takes time in its length.
    short, long = 0, len(text)
    while short < long:
        middle = (short + long + 1) // 2
        if face.getlength(text[:middle].rstrip() + "…") <= width:
            short = middle
        else:
            long = middle - 1
    return text[:short].rstrip() + "…" if short else ""


def spread(
    centres: Sequence[float], widths: Sequence[float], low: float, high: float, gap: float = 0
) -> np.ndarray:
    """Where to put labels in a row so that none overlap and each is close to where it belongs.

    Args:
        centres: where their middles belong, in ascending order.
        widths: their widths.
        low, high: what the row has room for. If all together are wider, they run over ``high``.
        gap: least distance between two neighbours.

    Returns:
        float64 [labels]: their middles, with the least sum of squared shifts (before the ends of
        the row are kept).
    """
    wide = np.asarray(widths, np.float64)
    offsets = np.zeros(len(wide))
    offsets[1:] = np.cumsum((wide[1:] + wide[:-1]) / 2 + gap)
    # Less their offsets, the middles must only not descend: an isotonic regression, solved by
    # pooling neighbours that are the wrong way round into their mean.
    pools: list[tuple[float, int]] = []
    for wanted in np.asarray(centres, np.float64) - offsets:
        pools.append((wanted, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, n), (b, m) = pools.pop(-2), pools.pop()
            pools.append(((a * n + b * m) / (n + m), n + m))
    found = np.repeat([mean for mean, _ in pools], [count for _, count in pools])
    first, last = low + wide[0] / 2, high - wide[-1] / 2 - offsets[-1]
    return np.clip(found, first, max(first, last)) + offsets
