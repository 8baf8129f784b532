import io
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from cbam_viz.render import lettering
from cbam_viz.render.lettering import fitted, font, legible, spread


def test_text_that_fits_is_left_alone():
    assert fitted("sundial", font(13), 200) == "sundial"


def test_long_text_is_cut_to_what_fits():
    words = fitted("a label that is far longer than there is room for", font(13), 100)
    assert words.endswith("…") and words[:-1] == "a label that is far longer"[: len(words) - 1]
    assert 80 < font(13).getlength(words) <= 100


def test_text_without_any_room_is_left_out():
    assert fitted("sundial", font(13), 0) == ""


@pytest.mark.parametrize("text", ["猫\n狗", "\t", "", "\U0001f63a cat", "x" * 100_000])
def test_no_text_is_a_problem(text):
    assert "\n" not in fitted(text, font(13), 100)


def test_labels_with_room_stay_where_they_belong():
    assert spread([20, 100, 180], [20, 20, 20], 0, 200, gap=5).tolist() == [20, 100, 180]


def test_labels_on_one_spot_go_evenly_to_both_sides():
    assert spread([50, 50, 50], [10, 20, 10], 0, 100, gap=2).tolist() == [33, 50, 67]


def test_labels_stay_within_the_row():
    assert spread([0, 0], [10, 10], 0, 100).tolist() == [5, 15]
    assert spread([100, 100], [10, 10], 0, 100).tolist() == [85, 95]


def test_labels_never_overlap_and_keep_their_order():
    draw = np.random.default_rng(0)
    for _ in range(200):
        count = draw.integers(1, 12)
        widths = draw.uniform(1, 30, count)
        middles = spread(np.sort(draw.uniform(0, 500, count)), widths, 0, 500, gap=3)
        between = np.diff(middles) - (widths[1:] + widths[:-1]) / 2
        assert (between > 3 - 1e-9).all()
        assert middles[0] - widths[0] / 2 > -1e-9
        assert middles[-1] + widths[-1] / 2 < 500 + 1e-9


def drawn(text: str, face) -> bytes:
    image = Image.new("L", (400, 40), 0)
    ImageDraw.Draw(image).text((5, 5), text, 255, face)
    return image.tobytes()


@pytest.mark.parametrize(
    "text", ["tabby cat", "Größe", "猫", "ネコ", "고양이", "กขค", "नमस्ते", "🐈", "cat 猫", "\ue000"]
)
@pytest.mark.parametrize("fonts", ["this system's", "none"])
def test_no_class_name_is_drawn_as_boxes(text, fonts, monkeypatch):
    if fonts == "none":
        monkeypatch.setattr(lettering, "_fonts_with_cjk", lambda: [])
    words, face = legible(text, "class 17", 20)
    assert words in (text, "class 17")
    boxes = {drawn(c, face) for c in "\ufff0\U0010fff0"}  # what a font draws for what it has not
    assert not any(drawn(c, face) in boxes for c in words if not c.isspace())
    if text.isascii() or text == "Größe":
        assert words == text
    elif fonts == "none":
        assert words == "class 17"


@pytest.mark.parametrize("name", ["猫", "$5 to $10", "$x^$", "new\nline", "नमस्ते", "tabby cat"])
def test_the_names_of_a_chart_are_neither_boxes_nor_formulas(name, monkeypatch):
    """matplotlib warns of what a font has not; and writes its ticks anew whenever it draws."""
    monkeypatch.setattr(lettering, "_fonts_with_cjk", lambda: [])
    figure = Figure()
    axes = figure.add_subplot()
    lettering.tick_names(axes, ["dog", name], ["class 0", "class 1"], 7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO())
    first, second = (label.get_text() for label in axes.get_yticklabels())
    assert first == "dog"
    assert second == (" ".join(name.split()) if name.isascii() else "class 1")


def test_chinese_is_drawn_where_the_system_has_a_font_for_it():
    if not lettering._fonts_with_cjk():
        pytest.skip("no font with Chinese on this system")
    assert legible("摩托车", "class 72", 15)[0] == "摩托车"
