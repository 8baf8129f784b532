"""A survey from beginning to end: stopped, gone on with, refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import duckdb
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from helpers import ROOT, make_photo

from cbam_viz.survey import output
from cbam_viz.survey.report import report
from cbam_viz.survey.survey import survey


def photos_of(folder: Path) -> list[str]:
    return sorted(pd.read_parquet(folder / output.ROWS)["photo"])


def test_what_is_told_and_what_is_done_again(network, tree, tmp_path, at_once):
    out = tmp_path / "out"
    done = survey([tree], out, network)
    assert (done.photos, done.errors, done.new) == (21, 0, 21)
    again = survey([tree], out, network)
    assert (again.photos, again.new) == (21, 0)
    manifest = json.loads((out / "survey.json").read_text())
    assert manifest["model"] == "small" and manifest["model_sha256"] == "0" * 64
    assert manifest["blocks"]["layer4.0"] == 32
    files = str(out / "rows" / "*.parquet")
    cell = pd.read_parquet(out / "rows")["layer2_0_spatial"][0][3]
    assert polars.read_parquet(files)["layer2_0_spatial"][0][3] == pytest.approx(float(cell))
    ((got,),) = duckdb.sql(f"select layer2_0_spatial[4] from '{files}' limit 1").fetchall()
    assert got == pytest.approx(float(cell))


def test_a_file_of_rows_that_is_missing_is_made_again(
    network, tree, tmp_path, at_once, monkeypatch
):
    monkeypatch.setattr("cbam_viz.survey.pieces.PIECE", 5)
    out = tmp_path / "out"
    survey([tree], out, network)
    whole = photos_of(out)
    files = sorted((out / "rows").iterdir())
    assert len(files) == 5
    files[1].unlink()
    (out / "rows" / (files[1].name + ".1-ab.part")).write_bytes(b"PAR1 half")
    done = survey([tree], out, network)
    assert (done.photos, done.new) == (21, 5)
    assert photos_of(out) == whole and len(set(whole)) == 21
    assert sorted((out / "rows").iterdir()) == files


@pytest.mark.parametrize("left", [0, 300])
def test_a_file_of_rows_that_a_power_cut_left_is_made_again(
    network, tree, tmp_path, at_once, monkeypatch, left
):
    monkeypatch.setattr("cbam_viz.survey.pieces.PIECE", 5)
    out = tmp_path / "out"
    survey([tree], out, network)
    whole = photos_of(out)
    os.truncate(sorted((out / "rows").iterdir())[2], left)
    with pytest.raises(ValueError, match="rows-0000002.parquet is damaged .* makes it anew"):
        report(out)
    done = survey([tree], out, network)
    assert (done.photos, done.new) == (21, 5)
    assert photos_of(out) == whole


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_sha256": "1" * 64}, "weights"),
        ({"cbam_viz": "0.0.1"}, "version"),
        ({"top_k": 3}, "top-k: 3 then, 5 now"),
        ({"digest": "1" * 64}, "the list of photos"),
        ({"schema": 99}, "columns of version 99"),
        ({"model": None}, "the model's name"),
    ],
)
def test_another_survey_is_not_gone_on_with(network, tree, tmp_path, at_once, change, words):
    out = tmp_path / "out"
    survey([tree], out, network)
    file = out / "survey.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    before = {f: f.stat().st_mtime_ns for f in (out / "rows").iterdir()}
    with pytest.raises(ValueError, match=words):
        survey([tree], out, network)
    assert {f: f.stat().st_mtime_ns for f in (out / "rows").iterdir()} == before


def test_a_folder_that_is_in_use_or_is_something_else(network, tree, tmp_path, at_once):
    out = tmp_path / "out"
    (out / "rows").mkdir(parents=True)
    with pytest.raises(ValueError, match="no survey.json"):
        survey([tree], out, network)
    shutil.rmtree(out)
    survey([tree], out, network)
    with FileLock(out / output.LOCK), pytest.raises(ValueError, match="another survey is being"):
        survey([tree], out, network)
    with pytest.raises(ValueError, match="out/survey.json is a file where a folder is wanted"):
        survey([tree], out / "survey.json", network)
    with pytest.raises(ValueError, match="out/survey.json is a file where a folder is wanted"):
        survey([tree], out / "survey.json" / "below", network)
    (out / "survey.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match="not that of a survey"):
        survey([tree], out, network)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"view": "glance"}, "no view 'glance'"),
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"workers": 0}, "workers must be at least 1"),
    ],
)
def test_wrong_options_are_told_before_anything_is_written(network, tree, tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        survey([tree], tmp_path / "out", network, **options)
    assert not (tmp_path / "out").exists()


def test_classes_that_disagree(network, tree, tmp_path, at_once):
    photos = tmp_path / "set"
    shutil.copytree(tree, photos)
    (photos / "owl").rename(photos / "eagle owl")
    with pytest.raises(ValueError, match="1 of the 3 classes .* none of the model's 3: eagle owl"):
        survey([photos], tmp_path / "out", network)
    assert not (tmp_path / "out").exists()
    others = replace(network, classes=("a", "b", "c"))
    survey([photos], tmp_path / "others", others)
    rows = pd.read_parquet(tmp_path / "others" / "rows")
    assert rows["right"].isna().all() and set(rows["class"]) == {"cat", "dog", "eagle owl"}


def test_a_shard_that_cannot_be_read_at_all(network, tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="no Parquet file"):
        survey([tmp_path / "a.parquet"], tmp_path / "out", network)
    make_photo(40, 40).save(tmp_path / "a.jpg")
    table = pa.table({"jpg": [(tmp_path / "a.jpg").read_bytes()]})
    pq.write_table(table, tmp_path / "b.parquet")
    data = bytearray((tmp_path / "b.parquet").read_bytes())
    data[4:400] = bytes(396)
    (tmp_path / "b.parquet").write_bytes(data)
    for broken in ("b.parquet", "*.parquet"):
        (tmp_path / "a.parquet").unlink(missing_ok=True)
        with pytest.raises(ValueError, match=r"no shard has a photo .*b.parquet#0: the table is"):
            survey([tmp_path / broken], tmp_path / "out", network)
    (tmp_path / "empty.tar").write_bytes(bytes(10240))
    with pytest.raises(ValueError, match="no shard has a photo that can be read: all are empty"):
        survey([tmp_path / "empty.tar"], tmp_path / "out", network)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def many(tmp_path) -> Path:
    """1,600 photos in four pieces, two of them broken."""
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(1600):
        make_photo(32 + 8 * (i % 3), 32, seed=i).save(folder / f"{i:04d}.jpg", quality=50)
    for i in (7, 1111):
        (folder / f"{i:04d}.jpg").write_bytes(b"\xff\xd8\xff no photo")
    return folder


@pytest.mark.slow
def test_killed_at_any_time_it_goes_on(many, tmp_path, network):
    """No photo twice, none lost, whole files at every moment, and no process stays behind."""
    from cbam_viz.models.checkpoints import save_checkpoint

    save_checkpoint(network, tmp_path / "small")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "cbam_viz", "survey", many, "--out", out, "--workers", "2",
               "--model", tmp_path / "small"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def begin():
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def written():
        return sorted((out / "rows").glob("*.parquet"))

    for enough in (1, 2):
        run = begin()
        deadline = time.monotonic() + 240
        while len(written()) < enough and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert run.poll() is None, run.communicate()[1]
        run.send_signal(signal.SIGKILL)
        run.wait()
        for file in written():
            assert pq.read_metadata(file).num_rows == 512
    run = begin()
    told, errors = run.communicate(timeout=500)
    assert run.returncode == 0, errors
    assert "1600 photos in" in told and "2 could not be looked at" in told
    photos = photos_of(out)
    assert len(photos) == len(set(photos)) == 1600
    assert not list((out / "rows").glob("*.part"))
