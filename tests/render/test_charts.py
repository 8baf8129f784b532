from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from cbam_viz.render.charts import MIN_WIDTH, channel_chart

STRONG, WEAK, AMBER = (213, 94, 0), (0, 114, 178), (255, 176, 0)


def chart(weights, *options, **named) -> Image.Image:
    return channel_chart(np.asarray(weights, np.float32), "layer4.1", *options, **named)


def drawn_weights(count: int, seed: int = 0) -> np.ndarray:
    return 1 / (1 + np.exp(-np.random.default_rng(seed).normal(-0.3, 1, count)))


@pytest.fixture
def texts(monkeypatch) -> list:
    """The words on the chart that was drawn last, each with the px it covers."""
    found = []
    write = ImageDraw.ImageDraw.text

    def record(draw, xy, text, fill=None, font=None, anchor=None):
        found.append((text, draw.textbbox(xy, text, font, anchor)))
        write(draw, xy, text, fill, font, anchor)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    return found


EXTREMES = {
    "one": [0.7],
    "two": [0.7, 0.2],
    "all low": np.full(512, 0.001),
    "all high": np.full(512, 0.999),
    "all neutral": np.full(64, 0.5),
    "nearly constant": 0.5 + 0.01 * drawn_weights(256),
    "saturated": np.random.default_rng(0).choice([0.0, 1.0], 512),
    "neighbours": np.r_[np.full(6, 0.9), np.full(2036, 0.5), np.full(6, 0.1)],
    **{str(count): drawn_weights(count) for count in (12, 64, 256, 512, 2048)},
}


@pytest.mark.parametrize("order", ["channel", "sorted"])
@pytest.mark.parametrize("width", [MIN_WIDTH, 960])
@pytest.mark.parametrize("weights", EXTREMES.values(), ids=EXTREMES)
def test_no_words_overlap_and_all_are_on_the_picture(weights, width, order, texts):
    picture = chart(weights, order, width, untrained=True)
    assert picture.mode == "RGB" and picture.width == width
    for i, (words, (x0, y0, x1, y1)) in enumerate(texts):
        assert x0 >= 0 and x1 <= width and y0 >= 0 and y1 <= picture.height, words
        for other, (left, top, right, bottom) in texts[:i]:
            assert max(x0 - right, left - x1, y0 - bottom, top - y1) > -1, (words, other)


@pytest.mark.parametrize("order", ["channel", "sorted"])
@pytest.mark.parametrize("count", [12, 64, 2048])
def test_strongest_and_weakest_are_labelled_with_number_and_weight(count, order, texts):
    weights = drawn_weights(count)
    chart(weights, order)
    words = [word for word, _ in texts]
    ranked = sorted(range(count), key=lambda channel: weights[channel])
    labelled = [words[i : i + 2] for i, word in enumerate(words) if word.startswith("#")]
    expected = [[f"#{c}", f"{np.float32(weights[c]):.3f}"] for c in ranked[:6] + ranked[-6:]]
    assert sorted(labelled) == sorted(expected)


def test_few_channels_are_labelled_once(texts):
    chart([0.9, 0.2, 0.4])
    assert sorted(word for word, _ in texts if word.startswith("#")) == ["#0", "#1"]


def test_weights_that_are_all_alike_have_no_strongest(texts):
    chart(np.full(64, 0.3))
    words = [word for word, _ in texts]
    assert "nearly constant" in words
    assert not any(word.startswith("#") or word == "strongest" for word in words)


def test_figures_axis_mean_and_neutral_are_named(texts):
    chart([0.2, 0.4, 0.9])
    words = [" ".join(word.split()) for word, _ in texts]
    assert {"0", "0.25", "undecided 0.5", "0.75", "1", "mean 0.500"} <= set(words)
    assert "min 0.200 mean 0.500 max 0.900 deviation 0.294" in words
    assert {"layer4.1", "3 channel weights", "channel 0", "channel 2"} <= set(words)
    assert "nearly constant" not in words


def bar_ends(picture, count: int) -> np.ndarray:
    """The weight at which each bar ends, read off the picture in the middle of the bar."""
    rows = np.asarray(picture)[126:327]
    ends = []
    for i in range(count):
        column = rows[:, int(92 + (i + 0.5) * (960 - 2 * 92) / count)]
        strong, weak = ((column == colour).all(1).nonzero()[0] for colour in (STRONG, WEAK))
        edge = strong.min() if len(strong) else weak.max() + 1
        ends.append((200 - edge) / 200)
    return np.array(ends)


@pytest.mark.parametrize("order", ["channel", "sorted"])
def test_bars_go_from_neutral_to_the_weight(order):
    weights = np.r_[0.1, 0.9, 0.3, 0.7, 0.05, 0.95, 0.2, 0.8]
    ends = bar_ends(chart(weights, order), 8)
    expected = weights if order == "channel" else np.sort(weights)[::-1]
    assert np.abs(ends - expected).max() < 0.03  # a dot of 4 px sits on some of the ends


def test_lifted_and_held_down_differ_in_colour():
    def share(weights, colour):
        return (np.asarray(chart(weights)) == colour).all(2).mean()

    high, low = np.full(2048, 0.999), np.full(2048, 0.001)
    assert share(high, STRONG) > 0.15 and share(high, WEAK) == 0
    assert share(low, WEAK) > 0.15 and share(low, STRONG) == 0


def test_dark_ground():
    picture = np.asarray(chart(drawn_weights(64), dark=True))
    assert np.median(picture) < 30


def test_untrained_gates_are_marked(texts):
    def amber(**options):
        picture = chart(drawn_weights(64), **options)
        return (np.asarray(picture) == AMBER).all(2).mean()

    assert amber() == 0 and not any("means nothing" in word for word, _ in texts)
    assert amber(untrained=True) > 0.04 and any("means nothing" in word for word, _ in texts)


def test_an_order_or_width_there_is_not():
    with pytest.raises(ValueError, match="alphabet.*channel, sorted"):
        chart([0.5], "alphabet")
    with pytest.raises(ValueError, match=f"{MIN_WIDTH}.*100"):
        chart([0.5], width_px=100)


def test_threads_do_not_mix_their_charts():
    gates = [drawn_weights(64, seed) for seed in range(12)]
    expected = [chart(g) for g in gates]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(chart, gates)) == expected


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_drawn_as_by_matplotlib(dark):
    """Bars, axis and mean of a figure of the same measures, but for what lies on one px's edge."""
    weights = drawn_weights(64)
    ground, strong, weak = (
        ("#0b0f19", "#ff8f3d", "#5ab4f0") if dark else ("w", "#d55e00", "#0072b2")
    )
    figure = Figure((960 / 72, 412 / 72), dpi=72, facecolor=ground)
    canvas, axes = FigureCanvasAgg(figure), figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set(xlim=(0, 960), ylim=(412, 0))
    pitch = (960 - 2 * 104) / 64
    axes.bar(
        104 + pitch * (np.arange(64) + 0.5),
        -200 * (weights - 0.5),
        0.76 * pitch,
        226,
        color=np.where(weights > 0.5, strong, weak),
    )
    canvas.draw()
    expected = np.asarray(canvas.buffer_rgba(), int)[:, :, :3]
    got = np.asarray(chart(weights, dark=dark), int)
    # Between the lines of the axis and the mean, the leaders and the dots at the ends of some.
    rows = [*range(140, 170), *range(180, 220), *range(245, 270), *range(280, 320)]
    differs = np.abs(got - expected)[rows, 104:856].max(2) > 40
    assert differs.mean() < 0.03
