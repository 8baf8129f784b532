"""The photo changed: where its content goes, and whether maps that follow are told to."""

import dataclasses

import numpy as np
import pytest
from helpers import EXAMPLES, make_explanation, make_photo
from PIL import Image, ImageDraw

from cbam_viz import Explainer
from cbam_viz.explain.changes import Change, Changed, change_photo
from cbam_viz.explain.explanation import BlockAttention

COFFEE = EXAMPLES / "coffee.jpg"
CHANGES = [
    Change("flip"),
    Change("move", (0.1, -0.2)),
    Change("move", (-0.25, 0.05)),
    Change("turn", (90,)),
    Change("turn", (-30,)),
    Change("blur", (0.02,)),
    Change("cover", (0, 0, 0.2, 0.2)),
]
SIZE = 320, 240


@pytest.fixture(scope="module")
def explainer():
    return Explainer.from_pretrained()


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_content_is_found_where_it_is_said_to_have_gone(change):
    """A dot on the photo, looked for in the changed one."""
    at = 120.5, 130.5
    photo = Image.new("RGB", SIZE, "black")
    ImageDraw.Draw(photo).ellipse((116, 126, 124, 134), "white")
    changed = np.asarray(change.applied(photo).convert("L"), float)
    assert changed.shape == SIZE[::-1]
    changed[changed < changed.max() / 2] = 0
    rows, columns = np.indices(changed.shape) + 0.5
    found = (changed * columns).sum() / changed.sum(), (changed * rows).sum() / changed.sum()
    assert change.origin(SIZE) @ [*found, 1] == pytest.approx(at, abs=0.6)


def test_what_comes_in_has_the_mean_colour():
    photo = make_photo(*SIZE)
    mean = np.asarray(photo, float).mean((0, 1))
    for change, box in (
        (Change("cover", (0.25, 0.5, 0.5, 0.75)), (80, 120, 160, 180)),
        (Change("move", (0.25, 0)), (0, 0, 80, 240)),
    ):
        patch = np.asarray(change.applied(photo).crop(box), float)
        assert np.abs(patch - mean).max() <= 0.5
    covered = np.asarray(Change("cover", (0.25, 0.5, 0.5, 0.75)).applied(photo))
    assert np.array_equal(covered[:120], np.asarray(photo)[:120])


def smooth(x, y) -> np.ndarray:
    """A map's value at a place of the input, not alike anywhere."""
    return 0.5 + 0.3 * np.sin(x / 40) * np.cos(y / 55) + 0.1 * np.sin(x / 90 + y / 70)


@pytest.mark.parametrize("change", CHANGES, ids=str)
@pytest.mark.parametrize("stride", [4, 16])
def test_a_map_that_follows_is_told_to(change, stride):
    """A map made by the places that content came from; and one that stays."""
    before = make_explanation(SIZE)
    view = before.view
    rows, columns = view.cells(stride)
    y, x = np.mgrid[:rows, :columns] * stride + 0.5
    place = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    came_from = (change.origin(view.size) @ place).reshape(2, rows, columns)

    def with_map(spatial):
        block = BlockAttention("layer1.0", stride, np.ones(4), spatial.astype(np.float32))
        return dataclasses.replace(before, blocks=(block,))

    first = with_map(smooth(x, y))
    (followed,) = Changed(first, with_map(smooth(*came_from)), change=change).followed
    assert followed.correlation > 0.98
    assert followed.difference < 0.02
    assert 0.5 < followed.cells <= 1
    if change.kind in ("flip", "turn"):
        (stayed,) = Changed(first, first, change=change).followed
        assert stayed.correlation < 0.9


def test_a_map_that_is_constant_has_no_correlation():
    before = make_explanation(SIZE, spatial={"layer4.1": np.full((7, 10), 0.5, np.float32)})
    followed = Changed(before, before, change=Change("flip")).followed
    assert followed[-1].correlation is None
    assert followed[-1].difference == 0
    assert followed[0].correlation is not None


def test_moved_out_of_sight_nothing_is_left(explainer):
    found = change_photo(explainer, COFFEE, {"kind": "move", "numbers": [1, 0]})
    deep = found.followed[-1]
    assert deep.cells == 0
    assert deep.correlation is deep.difference is None
    assert found.to_dict()["blocks"][-1] == {
        "name": "layer4.1", "correlation": None, "difference": None, "cells": 0
    }  # fmt: skip


@pytest.mark.parametrize("view", ["whole", "crop"])
def test_no_change_is_none(explainer, view):
    """Moved by nothing, the network is shown the very same input."""
    before = explainer.explain(COFFEE, view=view)
    found = change_photo(explainer, before, Change("move", (0, 0)))
    assert found.before is before
    assert np.allclose(found.after.logits, before.logits, atol=1e-4)
    assert all(f.correlation == pytest.approx(1) for f in found.followed)
    assert all(f.cells == 1 for f in found.followed)


def test_the_bundled_network_follows_a_flip_and_says_the_same(explainer):
    found = change_photo(explainer, COFFEE, Change("flip"))
    assert found.after.image.size == found.before.view.size
    assert found.classes[0].probability_after > 0.3
    assert found.followed[1].correlation > 0.8  # layer1.1; later ones know left from right
    said = found.to_dict()
    assert said["change"] == {"kind": "flip", "numbers": []}
    assert [b["name"] for b in said["blocks"]] == [b.name for b in found.before.blocks]


@pytest.mark.parametrize(
    "said, words",
    [
        ({"kind": "melt"}, "no change 'melt'; there are: cover, blur, move, flip, turn"),
        ({"kind": 3}, "no change 3"),
        ({"kind": "flip", "numbers": [1]}, "flip takes no numbers; got"),
        ({"kind": "move", "numbers": [0.1]}, r"move takes right in -1..1, down in -1..1; got \[0"),
        ({"kind": "move", "numbers": [0.1, 2]}, "move takes"),
        ({"kind": "turn", "numbers": [float("nan")]}, "turn takes degrees in -180..180"),
        ({"kind": "turn", "numbers": ["9"]}, "turn takes"),
        ({"kind": "blur", "numbers": 0.1}, "blur takes radius in 0..0.5; got 0.1"),
        ({"kind": "cover", "numbers": [0.5, 0.2, 0.5, 0.4]}, "has no area"),
        ({"kind": "cover", "numbers": [0.5, 0.2, 0.7, 1.4]}, "cover takes left in 0..1"),
        ({"type": "flip"}, "a change is written as"),
        ("flip", "a change is written as"),
        (None, "a change is written as"),
    ],
)
def test_what_is_no_change(explainer, said, words):
    with pytest.raises(ValueError, match=words):
        change_photo(explainer, COFFEE, said)
