"""Insertion and deletion, against torchcam's own metric and cases worked out by hand."""

from functools import partial

import numpy as np
import pytest
import torch
from helpers import make_photo
from torchcam.metrics import DeletionInsertionMetric

from cbam_viz.evaluation.deletion import Curve, deletion_curves, passes
from cbam_viz.explain.explainer import Explainer
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import ResNetCBAM

PHOTO = make_photo(128, 64)


class Fixed:
    """What torchcam's metric takes for an extractor, of one map."""

    def __init__(self, model, cam):
        self.model, self.cam = model, cam

    def __call__(self, *args, **kwargs):
        return [self.cam]

    def fuse_cams(self, cams):
        return cams[0]

    def _hooks_off(self):
        return torch.no_grad()


@pytest.mark.parametrize("steps", [32, 8, 1])
def test_the_areas_are_torchcams(explainer, steps):
    """Every patch has a value of its own, so that its pixels go together there too."""
    values = np.random.default_rng(0).permutation(32).reshape(4, 8).astype(np.float32)
    per_pixel = values.repeat(16, 0).repeat(16, 1)
    found = deletion_curves(explainer, PHOTO, {"one": (per_pixel, 1)}, 2, steps=steps)
    metric = DeletionInsertionMetric(
        Fixed(explainer.model, torch.from_numpy(per_pixel)[None]),
        partial(torch.softmax, dim=-1),
        steps=steps,
    )
    metric.update(explainer.input(PHOTO).tensor, 2)
    expected = metric.summary()
    one = found.orders["one"]
    assert one.deletion_area == pytest.approx(expected["deletion_auc"], abs=1e-5)
    assert one.insertion_area == pytest.approx(expected["insertion_auc"], abs=1e-5)
    assert (found.index, found.label) == (2, "class 2")
    assert len(one.deletion) == steps + 1


class OnePatch(torch.nn.Module):
    """Says class 1 as far as the patch at row 1, column 6 is there."""

    def forward(self, x):
        there = (x[:, :, 16:32, 96:112] != 0).float().mean((1, 2, 3))
        return torch.stack([torch.zeros_like(there), 8 * there - 4], 1)


@pytest.fixture
def knows_one_patch() -> Explainer:
    model = ResNetCBAM("basic", [1, 1, 1, 1], num_classes=2)
    explainer = Explainer(model, preprocessing=Preprocessing(size=64))
    explainer.serving = OnePatch()
    return explainer


def test_a_map_that_knows_beats_every_rival(knows_one_patch):
    right = np.zeros((4, 8), np.float32)
    right[1, 6] = 1
    wrong = -right
    per_pixel = {
        name: (m.repeat(16, 0).repeat(16, 1), 1) for name, m in (("right", right), ("wrong", wrong))
    }
    found = deletion_curves(knows_one_patch, PHOTO, per_pixel, 1, steps=32)
    high, low = 1 / (1 + np.exp(-4)), 1 / (1 + np.exp(4))
    assert found.orders["right"].deletion == pytest.approx([high] + [low] * 32, abs=1e-3)
    assert found.orders["right"].insertion == pytest.approx([low] + [high] * 32, abs=1e-3)
    assert found.orders["wrong"].deletion == pytest.approx([high] * 32 + [low], abs=1e-3)
    assert list(found.orders) == ["right", "wrong", "centre", "random"]
    for rival in ("centre", "random"):
        curve = found.orders[rival]
        assert curve.deletion_area > found.orders["right"].deletion_area + 0.1
        assert curve.deletion_area < found.orders["wrong"].deletion_area
        assert curve.insertion_area < found.orders["right"].insertion_area - 0.1
    # Eight patches are nearer the middle in shares of the sides, and three are as near.
    centre = np.array(found.orders["centre"].deletion)
    assert 9 <= np.argmax(centre < 0.5) <= 12


def test_a_map_lies_on_the_input_as_on_the_photo(knows_one_patch):
    """A gate of stride 32: its cell at row 1, column 3 is centred on pixel (96, 32)."""
    cells = np.zeros((2, 4), np.float32)
    cells[1, 3] = 1
    found = deletion_curves(knows_one_patch, PHOTO, {"gate": (cells, 32)}, 1, steps=32)
    # Four patches meet there, the one that counts among them.
    gone = np.argmax(np.array(found.orders["gate"].deletion) < 0.5)
    assert gone <= 6


def test_random_is_a_mean_over_draws_that_the_seed_tells(explainer):
    def drawn(draws, seed=0):
        found = deletion_curves(explainer, PHOTO, {}, 0, steps=4, draws=draws, seed=seed)
        return np.array(found.orders["random"].deletion)

    assert np.array_equal(drawn(2), drawn(2))
    assert not np.allclose(drawn(1), drawn(1, seed=1), atol=1e-6)
    chance = np.random.default_rng(0)
    orders = [chance.permutation(32).reshape(4, 8).astype(np.float32) for _ in range(2)]
    maps = {str(i): (-o.repeat(16, 0).repeat(16, 1), 1) for i, o in enumerate(orders)}
    each = deletion_curves(explainer, PHOTO, maps, 0, steps=4).orders
    expected = np.mean([each["0"].deletion, each["1"].deletion], axis=0)
    assert drawn(2) == pytest.approx(expected, abs=1e-6)


def test_the_cost_is_known_before_and_told_on_the_way(explainer):
    told = []
    maps = {"flat": (np.ones((2, 4), np.float32), 32)}
    deletion_curves(explainer, PHOTO, maps, 0, steps=6, draws=2, progress=told.append)
    assert told[-1] == passes(1, steps=6, draws=2)
    assert told == sorted(told) and len(told) > 1

    def enough(passed: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        deletion_curves(explainer, PHOTO, maps, 0, progress=enough)


def test_the_predicted_class_if_none_is_asked_for(explainer):
    explanation = explainer.explain(PHOTO)
    found = deletion_curves(explainer, explanation, {}, steps=2)
    assert found.index == explanation.predictions[0].index
    first = found.orders["centre"].deletion[0]
    assert first == pytest.approx(explanation.predictions[0].probability, abs=1e-5)


def test_photos_whose_sides_are_no_whole_patches(explainer):
    photo = make_photo(101, 64)
    found = deletion_curves(explainer, photo, {"a": (np.eye(2, 4, dtype=np.float32), 32)}, 0)
    for curve in found.orders.values():
        assert curve.deletion[0] == curve.insertion[-1]
        assert curve.deletion[-1] == curve.insertion[0]
        assert all(0 <= p <= 1 for p in curve.deletion)


def test_area_of_a_straight_line():
    curve = Curve((1.0, 0.5, 0.0), (0.0, 1.0))
    assert (curve.deletion_area, curve.insertion_area) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("maps", "options", "words"),
    [
        ({"random": (np.ones((2, 4)), 32)}, {}, "rival"),
        ({"a": (np.full((2, 4), np.nan), 32)}, {}, "not finite"),
        ({}, {"steps": 0}, "at least 1"),
        ({}, {"draws": 0}, "at least 1"),
        ({}, {"target": "nothing of it"}, "no class"),
    ],
)
def test_what_cannot_be_done_is_said(explainer, maps, options, words):
    with pytest.raises(ValueError, match=words):
        deletion_curves(explainer, PHOTO, maps, **options)
