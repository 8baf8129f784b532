"""The plots of an evaluation, of figures made up."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cbam_viz.evaluation.attention import Attention, MapFigures, Maps
from cbam_viz.evaluation.evaluate import Evaluation
from cbam_viz.evaluation.predictions import Accuracy, Chance, Predictions
from cbam_viz.evaluation.report import save


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Saves the plots of some figures; gives the plots, drawn, and checks the files."""
    plots = []
    savefig = Figure.savefig

    def spy(figure, *args, **options):
        savefig(figure, *args, **options)
        plots.append(figure)

    monkeypatch.setattr(Figure, "savefig", spy)

    def draw(result):
        _, *files = save(result, tmp_path)
        for file in files:
            assert Image.open(file).format == "PNG"
            assert file.stat().st_size < 120_000
        for figure in plots:
            whole, used = figure.bbox_inches, figure.get_tightbbox()
            assert whole.x0 <= used.x0 and used.x1 <= whole.x1
            assert whole.y0 <= used.y0 and used.y1 <= whole.y1
        return plots

    return draw


def judged(classes: int) -> Evaluation:
    """As `evaluate` gives it, as far as plots need it."""
    draw = np.random.default_rng(0)
    top1 = draw.uniform(0.2, 1, classes).round(4).tolist()
    rows = {f"long-sleeve thing {i}": Accuracy(9, t, 1.0) for i, t in enumerate(top1)}
    blocks = {f"layer{s}.{i}": 0.3 + 0.1 * s + 0.02 * i for s in (1, 2, 3, 4) for i in (0, 1)}
    named = blocks | {"mean": 0.65, "prior": 0.56}
    of = {n: MapFigures(auc, 0.01, 0.5, 0.5, 1.0) for n, auc in named.items()}
    maps = Maps(
        {b: of[b] for b in blocks},
        of["mean"],
        of["prior"],
        {b: of[b] for b in blocks if b.endswith("1")},
    )
    attention = Attention(0, 700, 682, 18, 0, "true", 0.2, maps)
    predictions = Predictions(5289, 0.9, 1.0, 0.01, Chance(0.01, 0.02), 0.5, {}, rows, [], {})
    return Evaluation("made up", None, 224, predictions, attention, [], 1.0)


@pytest.mark.parametrize(("classes", "columns"), [(1, 1), (40, 1), (41, 2), (117, 3), (200, 3)])
def test_the_plot_of_the_classes(drawn, classes, columns):
    result = judged(classes)
    figure = drawn(result)[0]
    assert len(figure.axes) == columns
    names = [t.get_text() for axes in figure.axes for t in axes.get_yticklabels()]
    lengths = [bar.get_width() for axes in figure.axes for bar in axes.patches]
    by_name = {f"{name} (9)": r.top1 for name, r in result.predictions.classes.items()}
    assert lengths == sorted(by_name.values(), reverse=True)
    assert [by_name[name] for name in names] == lengths
    assert [t.get_text() for axes in figure.axes for t in axes.texts] == [
        f"{length:.0%}" for length in lengths
    ]
    for axes in figure.axes:
        boxes = [t.get_window_extent() for t in axes.get_yticklabels()]
        assert all(a.y0 > b.y1 for a, b in zip(boxes, boxes[1:], strict=False))
        assert list(axes.lines[0].get_xdata()) == [0.9, 0.9]


def test_the_plot_of_the_blocks(drawn):
    maps = judged(3).attention.maps
    _, figure = drawn(judged(3))
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_xticklabels()] == list(maps.blocks)
    gate, cam = (line for line in axes.lines if line.get_marker() in ("o", "D"))
    assert list(gate.get_ydata()) == [b.auc for b in maps.blocks.values()]
    assert list(cam.get_ydata()) == [c.auc for c in maps.grad_cam.values()]
    assert [round(x) for x in axes.convert_xunits(cam.get_xdata())] == [1, 3, 5, 7]
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == [
        "spatial gate (2 standard errors)",
        "Grad-CAM of the block, true class",
        "mean over blocks, 0.650",
        "centre prior, 0.560",
        "chance, 0.500",
    ]
    assert legend.get_window_extent().y1 < axes.get_window_extent().y0
