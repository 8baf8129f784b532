"""The contact sheet: what it says is recorded as it is drawn, what it shows is read back."""

import dataclasses

import numpy as np
import pytest
from helpers import make_explanation, pixels
from PIL import Image, ImageDraw

from cbam_viz.render.overlay import MODES, Look, colour_table
from cbam_viz.render.sheets import contact_sheet

AMBER = (255, 176, 0)
RGB_CODE = (65536, 256, 1)


@pytest.fixture
def words(monkeypatch) -> list[str]:
    """All that is written on pictures."""
    written = []
    text = ImageDraw.ImageDraw.text

    def record(self, xy, text_, *arguments, **named):
        written.append(text_)
        return text(self, xy, text_, *arguments, **named)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    return written


ALIKE = np.linspace(0.49, 0.51, 70, dtype=np.float32).reshape(7, 10)


@pytest.mark.parametrize("blocks", [8, 16, 33, 50])
@pytest.mark.parametrize("size", [(320, 240), (200, 600), (900, 200)])
def test_contact_sheet_shows_every_block_once(blocks, size):
    # Each block a map of one value, so that each tile has one colour of its own.
    levels = {}
    for i, block in enumerate(make_explanation(size, blocks).blocks):
        levels[block.name] = np.full(block.spatial.shape, (20 + 4 * i) / 255, np.float32)
    explanation = make_explanation(Image.new("RGB", size), blocks, spatial=levels)
    sheet = pixels(contact_sheet(explanation, Look("heat", "viridis", opacity=1))) @ RGB_CODE
    assert sheet.shape[1] == 1760
    sheet[:300] = 0  # the legend has these colours, too
    codes = colour_table("viridis").astype(int) @ RGB_CODE
    areas = []
    for i in range(blocks):
        y, x = np.nonzero(sheet == codes[20 + 4 * i])
        areas.append(len(y))
        assert areas[-1] == (np.ptp(y) + 1) * (np.ptp(x) + 1)  # whole, with nothing on it
    assert len(set(areas)) == 1 and areas[0] > 190 * 45


@pytest.mark.parametrize("blocks", [8, 50])
def test_contact_sheet_has_a_size_and_a_range_for_every_block(blocks, words):
    explanation = make_explanation(blocks=blocks, spatial={"layer4.1": ALIKE})
    contact_sheet(explanation)
    for block in explanation.blocks:
        at = words.index(block.name)
        rows, columns = block.spatial.shape
        low, high = block.spatial.min(), block.spatial.max()
        assert words[at + 1] == f"{columns} × {rows}"
        assert words[at + 2] == f"{low:.3f} – {high:.3f}"
        assert (words[at + 3] == "nearly constant") == (block.name == "layer4.1")
    assert {"made-up", "tabby cat", "50.0%", "sundial", "25.0%"} <= set(words)
    assert [word for word in words if word.startswith("Stage")] == [
        f"Stage {i}" for i in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize("mode", MODES)
def test_contact_sheet_of_untrained_gates_says_so(mode, words):
    contact_sheet(make_explanation(untrained="made up"), Look(mode))
    assert sum("means nothing" in word for word in words) == 1 + 8


def test_contact_sheet_says_how_the_photo_was_seen(words):
    contact_sheet(make_explanation((5000, 10)))
    assert any("squeezed" in word for word in words)
    contact_sheet(make_explanation((400, 200), view="crop"))
    assert any("outside the evaluation crop" in word for word in words)


@pytest.mark.parametrize(
    ("look", "note"),
    [
        (Look(scale="stretched"), "Stretched"),
        (Look("contour", keep=0.6), "Outlined: the smallest area with 60%"),
        (Look("multiply"), "Photo × attention"),
    ],
)
def test_contact_sheet_says_what_its_pictures_stand_for(look, note, words):
    contact_sheet(make_explanation(), look)
    assert any(word.startswith(note) for word in words)


def test_contact_sheet_takes_any_label_and_any_photo():
    labels = ("虎斑貓", "two\nlines", "a label " * 100, "\U0001f63a", "")
    for size in ((1, 1), (5000, 10), (10, 5000)):
        contact_sheet(make_explanation(size, labels=labels))
    plain = make_explanation()
    unnamed = dataclasses.replace(plain.model, name="x" * 5000)
    contact_sheet(dataclasses.replace(plain, model=unnamed))
