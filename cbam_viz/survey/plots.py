"""The plots of a survey's report, each from `Findings` alone, in either language."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from scipy.cluster.hierarchy import leaves_list, linkage

from ..render.lettering import legible, tick_names
from .findings import Findings
from .rows import KINDS

#: More classes than this are drawn without their names, and clustered without turning branches.
NAMED = 150
#: Maps of so many classes are drawn: those with the most photos.
MAPS = 120

# Of Okabe and Ito's palette, which every kind of colour vision tells apart.
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"


#: The words of one language, by their names in ``strings.json``.
Words = Mapping[str, str]


def class_order(found: Findings) -> np.ndarray:
    """Classes so that those with like mean channel gates are neighbours.

    Average linkage of correlations between classes' means over all channels of all blocks, each
    channel at its own scale.

    Returns:
        int [classes].
    """
    if len(found.classes) < 3:
        return np.arange(len(found.classes))
    return _like(np.hstack([c.means for c in found.channels.values()]))


def _like(means: np.ndarray) -> np.ndarray:
    """Rows of a matrix in an order that puts those next to each other that are alike."""
    scaled = means - means.mean(0)
    deviation = scaled.std(0)
    scaled = scaled[:, deviation > 0] / deviation[deviation > 0]
    length = np.sqrt(np.square(scaled).sum(1, keepdims=True))
    if scaled.shape[1] == 0 or len(means) < 3:
        return np.arange(len(means))
    # Between vectors of length one, Euclidean distances rank as correlations do; none is 0 / 0.
    scaled = scaled / np.where(length > 0, length, 1)
    return leaves_list(linkage(scaled, "average", optimal_ordering=len(means) <= 2 * NAMED))


def plot_blocks(found: Findings, order: np.ndarray, words: Words) -> Figure:
    """Mean of the channel gate, and of the spatial gate, by class and block."""
    blocks = list(found.channels)
    channel = np.stack([c.means.mean(1) for c in found.channels.values()], 1)
    spatial = np.stack([m.mean((1, 2)) for m in found.maps.values()], 1)
    figure = _tall(found, 2 * (1.2 + 0.34 * len(blocks)))
    for axes, values, kind in zip(figure.subplots(1, 2), (channel, spatial), KINDS, strict=True):
        image = axes.imshow(values[order], aspect="auto", cmap="magma", vmin=0, vmax=1,
                            interpolation="nearest")  # fmt: skip
        axes.set_title(words[f"plot_{kind}_gates"], fontsize=9)
        axes.set_xticks(range(len(blocks)), blocks, rotation=90, fontsize=7)
        if axes.get_subplotspec().is_first_col():
            _name_classes(axes, found, order, words)
        else:
            axes.set_yticks([])
    _bar_above(figure, image, figure.axes)
    return figure


def plot_channels(found: Findings, block: str, order: np.ndarray, words: Words) -> Figure:
    """Mean channel gate of one block by class, as its difference from the mean of all classes."""
    means = found.channels[block].means
    differences = (means - means.mean(0))[order]
    differences = differences[:, _like(means.T)]
    most = max(np.quantile(np.abs(differences), 0.995), 1e-6)
    figure = _tall(found, 11)
    axes = figure.add_subplot()
    image = axes.imshow(differences, aspect="auto", cmap="RdBu_r", vmin=-most, vmax=most,
                        interpolation="antialiased")  # fmt: skip
    axes.set_xticks([])
    axes.set_xlabel(words["plot_alike"].format(channels=means.shape[1]), fontsize=8)
    _name_classes(axes, found, order, words)
    _bar_above(figure, image, [axes], words["plot_differences"].format(block=block))
    return figure


def plot_explained(found: Findings, words: Words) -> Figure:
    """How much of each channel's variance the classes explain, block by block."""
    figure = Figure((8, 3.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    colours = _stages(found)
    for (block, channels), (colour, style) in zip(found.channels.items(), colours, strict=True):
        moves = ~np.isnan(channels.explained)
        if not moves.any():
            continue
        values = np.sort(channels.explained[moves])[::-1]
        places = 100 * (np.arange(len(values)) + 0.5) / len(moves)
        axes.plot(places, values, style, color=colour, label=block)
    axes.set_xlabel(words["plot_shares"], fontsize=8)
    axes.set_ylabel(words["plot_explained"], fontsize=8)
    axes.set(xlim=(0, 100), ylim=(-0.05, 1))
    _clean(axes)
    if axes.lines:
        figure.legend(loc="outside right center", fontsize=7, frameon=False)
    return figure


def plot_maps(found: Findings, block: str, order: np.ndarray, words: Words) -> Figure:
    """Mean spatial map of one block by class."""
    most = set(np.argsort(-found.counts, kind="stable")[:MAPS].tolist())
    shown = [i for i in order.tolist() if i in most]
    columns = min(13, len(shown))
    rows = -(-len(shown) // columns)
    maps = found.maps[block][shown]
    low, high = float(maps.min()), float(maps.max())
    figure = Figure((0.95 * columns + 0.6, 1.12 * rows + 0.9), dpi=100, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, i, cells in zip(grid, shown, maps, strict=False):
        image = axes.imshow(cells, cmap="magma", vmin=low, vmax=high)
        name = found.classes[i]
        name = name if len(name) < 18 else name[:16] + "…"
        text, font = legible(name, f"class {i}", 6)
        axes.set_title(text, fontproperties=FontProperties(fname=str(font.path), size=6), pad=2,
                       parse_math=False)  # fmt: skip
    title = words["plot_maps"].format(block=block, low=f"{low:.2f}", high=f"{high:.2f}")
    _bar_above(figure, image, grid.tolist(), title)
    return figure


def plot_mean_maps(found: Findings, words: Words) -> Figure:
    """Mean spatial map of every block over all photos, from 0 to 1."""
    blocks = list(found.maps)
    columns = min(8, len(blocks))
    rows = -(-len(blocks) // columns)
    weights = found.counts / found.counts.sum()
    figure = Figure((1.3 * columns, 1.55 * rows + 0.5), dpi=100, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, block in zip(grid, blocks, strict=False):
        mean = np.tensordot(weights, found.maps[block], 1)
        image = axes.imshow(mean, cmap="magma", vmin=0, vmax=1)
        ends = {"low": f"{mean.min():.2f}", "high": f"{mean.max():.2f}"}
        axes.set_title(f"{block}\n{words['plot_from_to'].format(**ends)}", fontsize=7, pad=2)
    bar = figure.colorbar(image, ax=grid.tolist(), location="bottom", shrink=0.4, aspect=40)
    bar.ax.tick_params(labelsize=7)
    return figure


def plot_movement(found: Findings, words: Words) -> Figure:
    """How far gates move: each channel over all photos, each map over its cells."""
    blocks = list(found.channels)
    figure = Figure((8.5, 3.4), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    spans = [c.high - c.low for c in found.channels.values()]
    maps = [found.photos[f"{b.replace('.', '_')}_spatial_span"].to_numpy() for b in blocks]
    for axes, values, title in (
        (left, spans, words["plot_channel_span"]),
        (right, maps, words["plot_spatial_span"]),
    ):
        axes.boxplot(values, whis=(1, 99), showfliers=False, widths=0.6,
                     medianprops={"color": VERMILION})  # fmt: skip
        axes.set_xticks(range(1, len(blocks) + 1), blocks, rotation=90, fontsize=7)
        axes.set_title(title, fontsize=8)
        axes.set_ylim(0, 1)
        _clean(axes)
    return figure


def plot_right_and_wrong(differences: dict[str, dict[str, float]], words: Words) -> Figure:
    """Differences between photos answered wrong and right, by block; see `report.right_wrong`."""
    names = ("spatial_mean", "spatial_span", "channel_mean", "agreement")
    blocks = list(differences)
    figure = Figure((8, 3.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    colours = (BLUE, VERMILION, GREEN, "black")
    for k, (name, colour) in enumerate(zip(names, colours, strict=True)):
        places = np.arange(len(blocks)) + 0.2 * (k - 1.5)
        values = [differences[block][name] for block in blocks]
        axes.bar(places, values, 0.18, color=colour, label=words[f"column_{name}"])
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(blocks)), blocks, rotation=90, fontsize=7)
    axes.set_ylabel(words["plot_wrong_less_right"], fontsize=8)
    _clean(axes)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _stages(found: Findings) -> list[tuple[str, str]]:
    """Colour and line for each block: the colour is its stage's, the line tells it in the stage."""
    colours = {"1": "#999999", "2": GREEN, "3": BLUE, "4": VERMILION}
    styles, seen = ("-", "--", ":", "-."), {}
    result = []
    for block in found.channels:
        stage = block[5]
        n = seen[stage] = seen.get(stage, -1) + 1
        result.append((colours[stage], styles[n % len(styles)]))
    return result


def _tall(found: Findings, width: float) -> Figure:
    """A figure with a line for every class, if they can be named."""
    named = len(found.classes) <= NAMED
    height = 1.6 + 0.125 * len(found.classes) if named else 9
    return Figure((width, max(3, height)), dpi=100, layout="constrained")


def _bar_above(figure: Figure, image: AxesImage, axes: list[Axes], title: str = "") -> None:
    """A colour bar of one thickness, however tall the figure is."""
    height = figure.get_figheight()
    bar = figure.colorbar(image, ax=axes, location="top", fraction=0.3 / height, pad=0.15 / height,
                          shrink=0.5, aspect=40)  # fmt: skip
    bar.set_label(title, fontsize=9)
    bar.ax.tick_params(labelsize=7)


def _name_classes(axes: Axes, found: Findings, order: np.ndarray, words: Words) -> None:
    if len(order) > NAMED:
        axes.set_yticks([])
        axes.set_ylabel(words["plot_classes_alike"].format(classes=len(order)), fontsize=8)
        return
    tick_names(axes, [found.classes[i] for i in order], [f"class {i}" for i in order], 6)
    axes.tick_params(axis="y", length=0)


def _clean(axes: Axes) -> None:
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7)
