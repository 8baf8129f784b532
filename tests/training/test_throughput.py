"""How fast training is."""

from dataclasses import replace

import pytest
from small_runs import IMAGENET, PER_EPOCH, SHIPPED

from cbam_viz import bench
from cbam_viz.training.recipe import Phase, load_recipe
from cbam_viz.training.throughput import throughput

pytestmark = pytest.mark.usefixtures("small_network")


def test_throughput_is_measured(data):
    # More steps than an epoch has, a start that is not made for it, and no teachers.
    recipe = replace(
        IMAGENET, init="no such model", phases=(Phase(learns=("gates",)), Phase(sides=(32, 48)))
    )
    recipe = replace(recipe, batch_size=8)
    fed, bare, ratio = throughput(recipe, data, steps=PER_EPOCH + 2, rounds=1, workers=1)
    assert 0 < fed < 10 * bare
    assert ratio == fed / bare


def test_bench_tells_how_fast_training_is(data, monkeypatch, capsys):
    asked = []

    def measured(recipe, data):
        asked.append((recipe, data))
        return 90.04, 100.0, 0.91

    monkeypatch.setattr("cbam_viz.training.throughput.throughput", measured)
    bench._training(data)
    assert asked == [(load_recipe(SHIPPED), data)]
    told = capsys.readouterr().out
    assert "64 photos of 176 x 176 px a step: 90.0 photos/s" in told
    assert "100.0 photos/s, 0.91 x" in told
