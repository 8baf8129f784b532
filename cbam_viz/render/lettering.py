"""Words on pictures: a font that has every character of them, and room for every label."""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findSystemFonts
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

# Colours of words and lines on a white ground, shared by all that is drawn.
INK, SOFT, LINE, TRACK = "#1b1f24", "#5b6470", "#cfd5dc", "#eceff3"
AMBER, PALE_AMBER, DARK_AMBER = "#ffb000", "#fff0c7", "#704400"

UNTRAINED = "Untrained gates: this means nothing"


# Fonts with Chinese, Japanese and Korean that systems come with, by their files' names: Linux's,
# macOS's and Windows'.
_CJK = re.compile(
    r"(noto|source).*(cjk|han).*(regular|medium)|noto.*cjk|wqy|droidsansfallback|arphic|uming|ukai"
    r"|pingfang|hiragino|stheiti|heiti|songti|applesdgothic|arial unicode"
    r"|msyh|deng|simhei|simsun|msjh|mingliu|yugoth|meiryo|msgothic|malgun|gulim",
    re.IGNORECASE,
)


@lru_cache
def font(px: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib. Characters it has not come out as boxes."""
    return ImageFont.truetype(_dejavu(bold), px)


def legible(
    text: str, instead: str, px: int, bold: bool = False
) -> tuple[str, ImageFont.FreeTypeFont]:
    """A text from elsewhere, a class's name say, and a font that has all of its characters.

    Args:
        text: any text.
        instead: what to write where no font of this system has them all; in Latin letters.
        px: the font's size.
        bold: where the font has it.

    Returns:
        The text, or what to write instead, and the font for it.
    """
    needed = {ord(c) for c in text if not c.isspace()}
    if needed <= _characters(_dejavu(bold)):
        return text, font(px, bold)
    for file in _fonts_with_cjk():
        if needed <= _characters(file):
            return text, ImageFont.truetype(file, px)
    return instead, font(px, bold)


def tick_names(axes: Axes, names: Sequence[str], instead: Sequence[str], size: float) -> None:
    """Names along a chart's vertical axis, one at each whole number, none of them a formula.

    Args:
        axes: changed.
        names, instead: as for `legible`, of each.
        size: of the letters, in pt.
    """
    # Chosen before they are set: a chart writes its ticks anew each time it is drawn.
    pairs = zip(names, instead, strict=True)
    chosen = [legible(" ".join(name.split()), other, round(size)) for name, other in pairs]
    axes.set_yticks(range(len(chosen)), [words for words, _ in chosen], parse_math=False)
    for label, (_, face) in zip(axes.get_yticklabels(), chosen, strict=True):
        label.set_fontproperties(FontProperties(fname=str(face.path), size=size))


def has_chinese() -> bool:
    """Whether there is a font with Chinese on this system."""
    return chinese_font() is not None


def chinese_font() -> str | None:
    """The file of a font with Chinese, if this system has one."""
    return next((file for file in _fonts_with_cjk() if ord("块") in _characters(file)), None)


def _dejavu(bold: bool) -> str:
    file = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", file))


@cache
def _fonts_with_cjk() -> list[str]:
    """Files of the system's fonts that may have Chinese."""
    return sorted(file for file in findSystemFonts() if _CJK.match(Path(file).name))


@cache
def _characters(file: str) -> frozenset[int]:
    """The characters that a font has; none for one that cannot be read."""
    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


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
