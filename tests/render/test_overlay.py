import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from helpers import ROOT, make_explanation, make_photo, overlay_of, pixels
from PIL import Image

from cbam_viz.render.overlay import (
    COLOURS,
    MODES,
    SCALES,
    Look,
    colour_table,
    overlay,
    smallest_area,
)

AMBER = (255, 176, 0)
RGB_CODE = (65536, 256, 1)


def value_at(x: int, y: int, gate: np.ndarray, stride: int, photo_size, input_size) -> float:
    """The gate under a pixel's centre, written out: bilinear between centres at s*i + 0.5."""
    position = []
    for pixel, side, seen, cells in zip(
        (y, x), photo_size[::-1], input_size[::-1], gate.shape, strict=True
    ):
        on_input = (pixel + 0.5) / side * seen
        position.append(min(max((on_input - 0.5) / stride, 0), cells - 1))
    row, column = position
    r, c = min(int(row), gate.shape[0] - 2), min(int(column), gate.shape[1] - 2)
    a, b = row - r, column - c
    return (
        gate[r, c] * (1 - a) * (1 - b)
        + gate[r, c + 1] * (1 - a) * b
        + gate[r + 1, c] * a * (1 - b)
        + gate[r + 1, c + 1] * a * b
    )


# 320 x 240 px become 299 x 224; the last maps have 10 x 7 cells.
POINTS = [(0, 0), (319, 239), (17, 200), (160, 120), (301, 3), (111, 57), (240, 199)]


@pytest.mark.parametrize("name, stride", [("layer1.0", 4), ("layer3.1", 16), ("layer4.1", 32)])
@pytest.mark.parametrize("colours, opacity", [("magma", 0.55), ("turbo", 1.0)])
def test_heat_is_the_blend_of_photo_and_colour(name, stride, colours, opacity):
    explanation = make_explanation()
    drawn = pixels(overlay_of(explanation, name, Look("heat", colours, opacity)))
    photo = pixels(explanation.image)
    for x, y in POINTS:
        value = value_at(x, y, explanation.block(name).spatial, stride, (320, 240), (299, 224))
        colour = 255 * np.array(matplotlib.colormaps[colours](value)[:3])
        expected = (1 - opacity) * photo[y, x] + opacity * colour
        # A step of the colour table is up to 9 of 255 in turbo, 3 in magma.
        assert np.abs(drawn[y, x] - expected).max() <= (10 if colours == "turbo" else 4)


@pytest.mark.parametrize("name, stride", [("layer1.0", 4), ("layer4.1", 32)])
def test_multiply_is_photo_times_attention(name, stride):
    explanation = make_explanation()
    drawn = pixels(overlay_of(explanation, name, Look(mode="multiply")))
    photo = pixels(explanation.image)
    for x, y in POINTS:
        value = value_at(x, y, explanation.block(name).spatial, stride, (320, 240), (299, 224))
        # Half a level of the map, and the product is rounded.
        assert np.abs(drawn[y, x] - value * photo[y, x]).max() < 1.01


@pytest.mark.parametrize("value", [0, 0.5, 1 / 3, 1])
def test_a_map_of_one_value_is_of_one_grey(value):
    """Whatever the sums of floats between its cells come to: 0.5 is on the border of two levels."""
    explanation = make_explanation(Image.new("RGB", (320, 240), "white"))
    cells = np.full((7, 10), value, np.float32)
    drawn = pixels(overlay(explanation.image, cells, 32, explanation.view, Look("multiply")))
    assert (drawn == np.floor(255 * value + 0.5)).all()


def nearest_cells(photo_side: int, input_side: int, stride: int, cells: int) -> np.ndarray:
    """For each pixel along an axis, the cell whose receptive field's centre is nearest."""
    centres = (np.arange(cells) * stride + 0.5) * photo_side / input_side
    return np.abs(np.arange(photo_side)[:, None] + 0.5 - centres).argmin(1)


def test_cells_are_coloured_by_the_nearest_centre():
    explanation = make_explanation()
    gate = explanation.block("layer1.0").spatial
    drawn = pixels(overlay_of(explanation, "layer1.0", Look(mode="cells", opacity=1)))
    rows, columns = nearest_cells(240, 224, 4, 56), nearest_cells(320, 299, 4, 75)
    levels = np.floor(gate * 255 + 0.5).astype(int)
    assert (drawn == colour_table("magma")[levels[rows][:, columns]]).all()


def test_large_cells_have_edges_and_nothing_else_has():
    explanation = make_explanation()
    gate = explanation.block("layer4.1").spatial
    drawn = pixels(overlay_of(explanation, "layer4.1", Look(mode="cells", opacity=1)))
    rows, columns = nearest_cells(240, 224, 32, 7), nearest_cells(320, 299, 32, 10)
    levels = np.floor(gate * 255 + 0.5).astype(int)
    differs = (drawn != colour_table("magma")[levels[rows][:, columns]]).any(2)
    first_of_a_cell = np.zeros((240, 320), bool)
    first_of_a_cell[1:] |= (np.diff(rows) > 0)[:, None]
    first_of_a_cell[:, 1:] |= np.diff(columns) > 0
    assert (differs == first_of_a_cell).all()


def test_smallest_area_agrees_with_trying_every_area():
    draw = np.random.default_rng(3)
    for share in (0.05, 0.5, 0.8, 0.99):
        values = draw.uniform(0, 1, (5, 7))
        values[1, 2:4] = np.nan
        area = smallest_area(values, share)
        enough = share * np.nansum(values)
        candidates = [values >= level for level in values[~np.isnan(values)]]
        holding = [c for c in candidates if values[c].sum() >= enough]
        assert (area == min(holding, key=np.sum)).all()


def test_smallest_area_keeps_equal_values_together():
    assert smallest_area(np.full((3, 3), 0.5), 0.1).all()
    assert smallest_area(np.zeros((3, 3)), 0.1).all()


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_contour_dims_all_but_the_smallest_area(keep):
    explanation = make_explanation(Image.new("RGB", (320, 240), (200, 150, 100)))
    drawn = pixels(overlay_of(explanation, "layer4.1", Look("contour", opacity=1, keep=keep)))
    gate = explanation.block("layer4.1").spatial
    values = np.array(
        [[value_at(x, y, gate, 32, (320, 240), (299, 224)) for x in range(320)] for y in range(240)]
    )
    falling = np.sort(values.ravel())[::-1]
    count = 1 + int(np.argmax(np.cumsum(falling) >= keep * values.sum()))
    kept = values >= falling[count - 1]
    as_it_was, black = (drawn == (200, 150, 100)).all(2), (drawn == 0).all(2)
    line = ~as_it_was & ~black
    assert 0 < line.mean() < 0.35
    assert (as_it_was | line)[kept].mean() > 0.9999
    assert (black | line)[~kept].mean() > 0.9999
    # The line lies on the border: each of its pixels has both kinds within 5 px.
    for y, x in np.argwhere(line)[::40]:
        around = kept[max(0, y - 5) : y + 6, max(0, x - 5) : x + 6]
        assert around.any() and not around.all()


@pytest.mark.parametrize("mode", ["heat", "cells"])
def test_without_opacity_there_is_only_the_photo(mode):
    explanation = make_explanation()
    assert overlay_of(explanation, "layer4.1", Look(mode, opacity=0)) == explanation.image


def test_an_overlay_is_never_the_photo_itself():
    explanation = make_explanation()
    before = explanation.image.copy()
    for mode in MODES:
        overlay_of(explanation, "layer4.1", Look(mode, opacity=0)).paste("red", (0, 0, 320, 240))
    assert explanation.image == before


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(600, 200), (200, 600), (1, 1), (5000, 10), (10, 5000), (2, 3)])
def test_overlay_has_the_size_of_the_photo(mode, size):
    explanation = make_explanation(size, untrained="made up")
    assert overlay_of(explanation, "layer4.1", Look(mode)).size == size
    assert overlay_of(explanation, "layer1.0", Look(mode, scale="stretched")).size == size


@pytest.mark.parametrize("mode", ["heat", "multiply", "cells"])
def test_thumbnail_is_the_overlay_made_small(mode):
    photo = make_photo(8, 6).resize((640, 480), Image.Resampling.BICUBIC)
    explanation = make_explanation(photo)
    small = overlay_of(explanation, "layer4.1", Look(mode), size=(160, 120))
    assert small.size == (160, 120)
    large = overlay_of(explanation, "layer4.1", Look(mode)).resize((160, 120), Image.Resampling.BOX)
    assert np.abs(pixels(small) - pixels(large)).mean() < 5


@pytest.mark.parametrize("mode", MODES)
def test_outside_the_evaluation_crop_there_is_no_colour(mode):
    # 400 x 200 px become 512 x 256; the crop of 224 px is from 144 and 16 on, in photo px from
    # 112.5 to 287.5 and from 12.5 to 187.5.
    explanation = make_explanation((400, 200), view="crop")
    assert explanation.view.offset == (144, 16)
    drawn = pixels(overlay_of(explanation, "layer4.1", Look(mode)))
    grey = drawn.max(2) == drawn.min(2)
    outside = np.ones((200, 400), bool)
    outside[12:188, 112:288] = False
    assert grey[outside].all()
    if mode != "contour":
        assert grey[13:187, 113:287].mean() < 0.05


@pytest.mark.parametrize("span, outlined", [(0.049, False), (0.051, True)])
def test_contour_outlines_no_nearly_constant_map(span, outlined):
    """Where a map hardly tells places apart, an outline would follow chance."""
    photo = Image.new("RGB", (320, 240), (200, 150, 100))
    explanation = make_explanation(photo)
    block = explanation.block("layer4.1")
    cells = np.linspace(0.4, 0.4 + span, block.spatial.size, dtype=np.float32)
    cells = cells.reshape(block.spatial.shape)
    drawn = overlay(photo, cells, block.stride, explanation.view, Look("contour"))
    assert (drawn.tobytes() != photo.tobytes()) is outlined


def test_contour_counts_only_what_was_seen():
    values = np.full((4, 4), np.nan)
    values[1:3, 1:3] = [[4, 3], [2, 1]]
    assert np.argwhere(smallest_area(values, 0.5)).tolist() == [[1, 1], [1, 2]]


def test_absolute_scale_shows_a_nearly_constant_map_as_flat():
    gate = np.random.default_rng(0).uniform(0.5, 0.51, (7, 10)).astype(np.float32)
    explanation = make_explanation(Image.new("RGB", (320, 240)), spatial={"layer4.1": gate})
    flat = pixels(overlay_of(explanation, "layer4.1", Look("heat", opacity=1)))
    assert np.ptp(flat, (0, 1)).max() <= 10
    stretched = pixels(
        overlay_of(explanation, "layer4.1", Look("heat", opacity=1, scale="stretched"))
    )
    assert np.ptp(stretched, (0, 1)).max() > 200


def test_stretched_scale_uses_the_whole_table():
    explanation = make_explanation()
    gate = explanation.block("layer1.0").spatial
    drawn = pixels(overlay_of(explanation, "layer1.0", Look("cells", opacity=1, scale="stretched")))
    rows, columns = nearest_cells(240, 224, 4, 56), nearest_cells(320, 299, 4, 75)
    over = gate[rows][:, columns]
    assert (drawn[over == gate.min()] == colour_table("magma")[0]).all()
    assert (drawn[over == gate.max()] == colour_table("magma")[255]).all()


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.filterwarnings("error")
def test_stretching_a_constant_map_gives_the_neutral_colour(value):
    constant = np.full((7, 10), value, np.float32)
    explanation = make_explanation(spatial={"layer4.1": constant})
    drawn = pixels(overlay_of(explanation, "layer4.1", Look("heat", opacity=1, scale="stretched")))
    assert (drawn == colour_table("magma")[128]).all()
    for mode in MODES:
        overlay_of(explanation, "layer4.1", Look(mode, scale="stretched"))


@pytest.mark.parametrize("name", COLOURS)
def test_colour_table_is_matplotlibs(name):
    table = colour_table(name)
    expected = [matplotlib.colormaps[name](i / 255)[:3] for i in range(256)]
    assert table.shape == (256, 3) and table.dtype == np.uint8
    assert np.abs(table - 255 * np.array(expected)).max() < 1
    with pytest.raises(ValueError):
        table[0] = 0


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"mode": "fog"}, MODES),
        ({"colours": "rainbow"}, COLOURS),
        ({"scale": "log"}, SCALES),
        ({"opacity": 1.1}, ("0", "1")),
        ({"opacity": float("nan")}, ("0", "1")),
        ({"keep": 0}, ("0", "1")),
        ({"keep": 1}, ("0", "1")),
    ],
)
def test_a_look_there_is_not(wrong, named):
    with pytest.raises(ValueError) as error:
        Look(**wrong)
    assert all(name in str(error.value) for name in (*named, str(*wrong.values())))


def test_unknown_names_list_what_there_is():
    with pytest.raises(ValueError, match=r"layer9\.9.*layer1\.0.*layer4\.1"):
        make_explanation().overlay("layer9.9")
    with pytest.raises(ValueError, match=r"rainbow.*magma.*jet"):
        colour_table("rainbow")


@pytest.mark.parametrize("size", [(320, 240), (90, 60), (5000, 10)])
def test_untrained_gates_are_marked_on_the_picture(size):
    def amber(explanation):
        return (pixels(overlay_of(explanation, "layer4.1")) == AMBER).all(2).mean()

    black = Image.new("RGB", size)
    assert amber(make_explanation(black, untrained="made up")) > 0.04
    assert amber(make_explanation(black)) == 0


def test_drawing_never_imports_pyplot():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from helpers import make_explanation\n"
        "from cbam_viz.render import charts, export, sheets\n"
        "e = make_explanation()\n"
        "e.overlay('layer4.1'); sheets.contact_sheet(e)\n"
        "charts.channel_chart(e.blocks[0].channel, 'layer1.0')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    tests = ROOT / "tests"
    subprocess.run([sys.executable, "-c", code, tests], check=True, cwd=tests.parent)
