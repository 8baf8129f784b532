"""Outlines as masks, the centre prior, and the crops in which an object is off the centre."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cbam_viz.evaluation.attention import centre_prior, object_mask, off_centre_crop


def test_masks():
    box = [np.array([[0.25, 0.5], [0.75, 0.5], [0.75, 1], [0.25, 1]])]
    expected = np.zeros((4, 8), bool)
    expected[2:, 2:6] = True
    assert np.array_equal(object_mask(box, (8, 4)), expected)
    draw = np.random.default_rng(0)
    for _ in range(20):
        polygons = [draw.uniform(-0.1, 1.1, (3, 2)) for _ in range(2)]
        mask = object_mask(polygons, (300, 200))
        picture = Image.new("1", (300, 200))
        for polygon in polygons:
            corners = [tuple(point) for point in polygon * (300, 200) - 0.5]
            ImageDraw.Draw(picture).polygon(corners, fill=1)
        assert (mask != np.asarray(picture)).mean() < 0.02  # Pillow draws the edges too


def test_the_prior_is_a_gaussian_in_the_middle():
    prior = centre_prior(81, 41)
    assert prior.shape == (41, 81)
    assert prior.dtype == np.float32
    assert prior.max() == prior[20, 40] == 1
    assert np.array_equal(prior, prior[::-1, ::-1])
    # One deviation, a quarter of a side, off the centre along one axis.
    assert prior[20, 40 + 20] == pytest.approx(np.exp(-0.5), abs=0.02)
    assert prior[20 + 10, 40] == pytest.approx(np.exp(-0.5), abs=0.02)


def test_crops_are_as_they_should_be():
    """The conditions, on the pixels themselves, for many objects."""
    found = 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        height, width = draw.integers(20, 90, 2)
        mask = np.zeros((height, width), bool)
        for _ in range(draw.integers(1, 4)):
            top, bottom = sorted(draw.integers(0, height + 1, 2))
            left, right = sorted(draw.integers(0, width + 1, 2))
            mask[top:bottom, left:right] = True
        crop = off_centre_crop(mask, draw)
        if crop is None:
            continue
        found += 1
        left, top, right, bottom = crop
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert right - left == round(0.6 * width)
        assert bottom - top == round(0.6 * height)
        inside = mask[top:bottom, left:right]
        assert inside.sum() >= 0.5 * mask.sum()
        assert 0.01 <= inside.mean() <= 0.5
        rows, columns = np.nonzero(inside)
        x = (columns.mean() + 0.5) / (right - left) - 0.5
        y = (rows.mean() + 0.5) / (bottom - top) - 0.5
        assert max(abs(x), abs(y)) >= 0.18 - 1e-9
        assert np.hypot(x, y) >= 0.18 - 1e-9
    assert found > 150


def test_no_crop_is_overlooked():
    """Against trying every place; and each place is drawn equally often."""
    for seed in range(20):
        draw = np.random.default_rng(seed)
        mask = np.zeros((15, 20), bool)
        top, left = draw.integers(0, 11), draw.integers(0, 16)
        mask[top : top + draw.integers(2, 12), left : left + draw.integers(2, 16)] = True
        places = set()
        for y in range(15 - 9 + 1):
            for x in range(20 - 12 + 1):
                inside = mask[y : y + 9, x : x + 12]
                rows, columns = np.nonzero(inside)
                if len(rows) < mask.sum() / 2 or not 0.01 <= inside.mean() <= 0.5:
                    continue
                off = abs((columns.mean() + 0.5) / 12 - 0.5), abs((rows.mean() + 0.5) / 9 - 0.5)
                if max(off) >= 0.18:
                    places.add((x, y, x + 12, y + 9))
        drawn = [off_centre_crop(mask, draw) for _ in range(400)]
        assert set(drawn) == (places or {None})


def test_an_empty_mask_has_no_crop():
    assert off_centre_crop(np.zeros((30, 30), bool), np.random.default_rng(0)) is None
    assert off_centre_crop(np.ones((1, 1), bool), np.random.default_rng(0)) is None
