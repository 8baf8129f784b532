"""A drawn object: the figures are those of `evaluate`, and what is no outline is said."""

import numpy as np
import pytest
from helpers import make_explanation, make_photo

from cbam_viz.evaluation.attention import centre_prior
from cbam_viz.evaluation.drawn import box_outline, judge_drawn
from cbam_viz.evaluation.metrics import mass_on_object, pixel_auc, pointing_game

BOX = (0.25, 0.5, 0.75, 1.0)


def test_every_block_and_the_rivals_by_hand():
    explanation = make_explanation((320, 240))
    mask = np.zeros((240, 320), bool)
    mask[120:, 80:240] = True
    found = judge_drawn(explanation, box_outline(BOX))
    assert found.area == 0.25
    assert list(found.blocks) == [b.name for b in explanation.blocks]
    gates = {name: explanation.spatial_on_image(name) for name in found.blocks}
    rows = [(gates[name], row) for name, row in found.blocks.items()]
    rows += [(np.mean(list(gates.values()), axis=0), found.mean_over_blocks)]
    rows += [(centre_prior(320, 240), found.centre_prior)]
    for values, row in rows:
        measures = pixel_auc, pointing_game, mass_on_object
        assert row == tuple(measure(values, mask) for measure in measures)


def test_a_gate_that_knows_the_object_and_one_that_knows_nothing():
    sharp = np.full((14, 19), 0.01, np.float32)
    sharp[7:, 5:14] = 0.99
    maps = {"layer3.0": sharp, "layer3.1": np.full((14, 19), 0.5, np.float32)}
    found = judge_drawn(make_explanation((320, 240), spatial=maps), box_outline(BOX))
    good, flat = found.blocks["layer3.0"], found.blocks["layer3.1"]
    assert good.auc > 0.95 and good.mass > 3 * found.area
    assert (flat.auc, flat.pointing) == (0.5, 0.25)
    assert flat.mass == pytest.approx(0.25)


def test_a_line_round_the_object_is_an_outline_too():
    """A triangle that holds half of the box's pixels."""
    explanation = make_explanation((200, 200))
    found = judge_drawn(explanation, [(0, 0), (1, 0), (0, 1)])
    assert found.area == pytest.approx(0.5, abs=0.01)


def test_large_photos_are_judged_small():
    small, large = (make_explanation(make_photo(w, w * 3 // 4)) for w in (500, 2500))
    few, many = (judge_drawn(e, box_outline(BOX)) for e in (small, large))
    for name, row in few.blocks.items():
        assert row == pytest.approx(many.blocks[name], abs=5e-3)


def test_what_the_crop_left_out_does_not_count():
    """Of a photo twice as wide as high the crop sees the middle: an object at its left edge."""
    explanation = make_explanation((400, 200), view="crop")
    seen = ~np.isnan(explanation.spatial_on_image("layer1.0"))
    left = np.flatnonzero(seen.any(0))[0]
    found = judge_drawn(explanation, box_outline((0, 0, 0.5, 1)))
    expected = (200 - left) / seen.any(0).sum()
    assert found.area == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="no area on what the model saw"):
        judge_drawn(explanation, box_outline((0, 0, 0.05, 1)))


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((0.5, 0.2, 0.5, 0.8), "no area"),
        ((0.6, 0.2, 0.5, 0.8), "no area"),
        ((0.1, 0.2, 0.5), "four numbers"),
        ((0.1, 0.2, float("nan"), 0.5), "four numbers"),
        ((-0.1, 0.2, 0.5, 0.8), "leaves the photo"),
        ((0.1, 0.2, 0.5, 80), "leaves the photo"),
        ((0.5, 0.5, 0.5001, 0.5001), "no area on what the model saw"),
        ((0, 0, 1, 1), "something beside"),
    ],
)
def test_what_is_no_box_is_said(box, words):
    with pytest.raises(ValueError, match=words):
        judge_drawn(make_explanation(), box_outline(box))


@pytest.mark.parametrize(
    ("outline", "words"),
    [
        ([], "three points"),
        ([(0.1, 0.1), (0.9, 0.9)], "three points"),
        ([(0.1, 0.1, 0.2)] * 3, "three points"),
        ([(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)], "no area"),
        ([(0.1, 0.1), (0.5, float("nan")), (0.9, 0.9)], "leaves the photo"),
        ([(0.1, 0.1), (0.5,), (0.9, 0.9)], "numbers"),
        ([("a", "b"), ("c", "d"), ("e", "f")], "numbers"),
        ([(10**400, 0), (0, 1), (1, 1)], "numbers"),
        ([(0.1, 0.1), (0.9, 0.1), (0.5, 0.9)] * 700, "at most 2000"),
        (None, "three points"),
    ],
)
def test_what_is_no_outline_is_said(outline, words):
    with pytest.raises(ValueError, match=words):
        judge_drawn(make_explanation(), outline)
