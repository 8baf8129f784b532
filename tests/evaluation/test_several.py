"""Means over photos: of what each photo gave, by hand."""

import numpy as np
import pytest
from helpers import make_photo

from cbam_viz.evaluation.deletion import deletion_curves
from cbam_viz.evaluation.randomised import randomise
from cbam_viz.evaluation.several import over_photos
from cbam_viz.explain.class_maps import class_map

PHOTOS = [make_photo(64 + 16 * i, 64, seed=i) for i in range(3)]


def test_the_means_are_those_of_each_photo(explainer):
    block = "layer3.0"
    found = over_photos(explainer, PHOTOS, block, "layer-cam")
    deletion, survival, wins = [], [], 0
    for photo in PHOTOS:
        gate = explainer.explain(photo).block(block)
        cam = class_map(explainer, photo, method="layer-cam")
        assert cam.block == "layer4.0"
        maps = {"gate": (gate.spatial, gate.stride), "class map": (cam.values, cam.stride)}
        orders = deletion_curves(explainer, photo, maps, steps=8, draws=2).orders
        deletion.append([curve.deletion_area for curve in orders.values()])
        survival.append(randomise(explainer, photo).correlations(block))
        wins += orders["gate"].deletion_area < orders["random"].deletion_area
    assert found.photos == 3
    assert list(found.deletion) == ["gate", "class map", "centre", "random"]
    means = [m.mean for m in found.deletion.values()]
    assert means == pytest.approx(np.mean(deletion, 0), abs=1e-6)
    errors = [m.standard_error for m in found.deletion.values()]
    assert errors == pytest.approx(np.std(deletion, 0) / np.sqrt(3), abs=1e-6)
    assert [m.mean for m in found.survival["gates"]] == pytest.approx(np.mean(survival, 0))
    assert [m.mean for m in found.strength["gates"]] == pytest.approx(np.abs(survival).mean(0))
    assert len(found.survival["grad_cams"]) == len(found.strength["grad_cams"]) == 6
    assert found.better["gate"] == wins
    assert found.better["random"] == 0


def test_what_cannot_be_measured_is_said(explainer):
    with pytest.raises(ValueError, match="at least one"):
        over_photos(explainer, [], "layer3.0")
    with pytest.raises(ValueError, match="layer4.0"):
        over_photos(explainer, PHOTOS, "layer3.5")
    with pytest.raises(ValueError, match="occlusion"):
        over_photos(explainer, PHOTOS, "layer3.0", "cam")
