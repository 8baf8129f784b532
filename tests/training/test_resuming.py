"""Runs that are stopped or killed, and go on."""

import os
import resource
import subprocess
import sys
from dataclasses import replace

import pytest
from helpers import ROOT
from small_runs import (
    PER_EPOCH,
    RECIPE,
    as_toml,
    killed_once,
    last,
    make_photos,
    rows,
    same,
    watching,
)

from cbam_viz.training.recipe import load_recipe
from cbam_viz.training.schedule import learning_rate_scale
from cbam_viz.training.train import train

pytestmark = pytest.mark.usefixtures("small_network")


def test_resumed_between_epochs_it_ends_bit_for_bit_the_same(finished, data, tmp_path):
    train(RECIPE, data, tmp_path, workers=0, stop_at=PER_EPOCH)
    train(RECIPE, data, tmp_path, workers=0)
    ours, whole = last(tmp_path), last(finished[0])
    assert same(ours["model"], whole["model"]) and same(ours["ema"], whole["ema"])
    timeless = [[{**r, "seconds": 0} for r in rows(out)] for out in (tmp_path, finished[0])]
    assert timeless[0] == timeless[1]


def test_resumed_within_an_epoch_it_ends_with_the_same_schedule(finished, data, tmp_path):
    with watching() as steps:
        train(RECIPE, data, tmp_path, workers=0, stop_at=PER_EPOCH + 2)
        train(RECIPE, data, tmp_path, workers=0, stop_at=PER_EPOCH + 3)
        train(RECIPE, data, tmp_path, workers=0)
    assert steps == finished[2]  # numbers, learning rates, sides, and which photos come


@pytest.mark.slow
def test_killed_at_any_moment(data, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from cbam_viz.models.resnet import CONSTRUCTORS, ResNetCBAM\n"
        "from cbam_viz.training import recipe, train\n"
        "CONSTRUCTORS['resnet18_cbam'] = lambda **o: ResNetCBAM('basic', [1, 1, 1, 1], **o)\n"
        "train.SAVE_EVERY_S = 0\n"
        "r = recipe.load_recipe(sys.argv[1])\n"
        "train.train(r, sys.argv[2], Path(sys.argv[3]), workers=1)\n"
    )
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(as_toml(RECIPE))
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(recipe), str(data), str(out)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # While it saves: one checkpoint is there, the next is half written.
    files = (out / "last.pt", out / "last.pt.part")
    killed_once(lambda: all(file.exists() for file in files), process)
    done = last(out)["step"]
    assert 0 < done < 3 * PER_EPOCH
    with watching() as steps:
        train(load_recipe(str(recipe)), data, out, workers=0)
    assert [step for step, *_ in steps] == list(range(done, 3 * PER_EPOCH))
    for step, rates, *_ in steps:
        assert max(rates) == pytest.approx(
            RECIPE.spatial_gate_lr * learning_rate_scale(step, 3 * PER_EPOCH, PER_EPOCH)
        )
    assert last(out)["step"] == 3 * PER_EPOCH
    assert [r["epoch"] for r in rows(out)] == ["0", "1", "2"]
    assert not list(out.glob("*.part"))


def test_a_run_on_a_full_disk_can_go_on_later(data, tmp_path, full_disk):
    train(RECIPE, data, tmp_path, workers=0, stop_at=2)
    full_disk(1_000_000)
    with pytest.raises(OSError, match="cannot be saved"):
        train(RECIPE, data, tmp_path, workers=0, stop_at=4)
    assert last(tmp_path)["step"] == 2
    full_disk(resource.RLIM_INFINITY)
    train(RECIPE, data, tmp_path, workers=0, stop_at=4)
    assert last(tmp_path)["step"] == 4


def test_a_folder_with_another_run_in_it(data, tmp_path):
    train(RECIPE, data, tmp_path / "out", workers=0, stop_at=1)
    with pytest.raises(ValueError, match="run with another ema, lr; go on with the same recipe"):
        train(replace(RECIPE, lr=0.5, ema=0.5), data, tmp_path / "out", workers=0)
    fewer = make_photos(tmp_path / "fewer", 12)
    with pytest.raises(ValueError, match="another number of photos"):
        train(RECIPE, fewer, tmp_path / "out", workers=0)
    (fewer / "train" / "red").rename(fewer / "train" / "pink")
    (fewer / "val" / "red").rename(fewer / "val" / "pink")
    with pytest.raises(ValueError, match="another classes"):
        train(RECIPE, fewer, tmp_path / "out", workers=0)
    (tmp_path / "out" / "last.pt").write_bytes(b"PK half a file")
    with pytest.raises(ValueError, match="last.pt is truncated or no PyTorch file|no plain"):
        train(RECIPE, data, tmp_path / "out", workers=0)
