"""A survey on a cluster of two machines, which are two of Ray's nodes on this one."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
from helpers import ROOT, make_photo

pytest.importorskip("ray")

from ray.cluster_utils import Cluster

from cbam_viz.survey.survey import survey

pytestmark = pytest.mark.slow

PHOTOS = 1600


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """In four pieces, two of them broken."""
    folder = tmp_path_factory.mktemp("many")
    for i in range(PHOTOS):
        make_photo(32 + 8 * (i % 3), 32, seed=i).save(folder / f"{i:04d}.jpg", quality=50)
    for i in (7, 1111):
        (folder / f"{i:04d}.jpg").write_bytes(b"\xff\xd8\xff no photo")
    return folder


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory) -> Path:
    from cbam_viz.models.checkpoints import save_checkpoint

    folder = tmp_path_factory.mktemp("weights") / "small"
    save_checkpoint(network, folder)
    return folder


@pytest.fixture
def cluster():
    """The machine that the survey is started on, which has no core to lend."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "env_vars": {"PYTHONPATH": str(ROOT)}},
    )
    yield cluster
    cluster.shutdown()


def add_node(cluster, path: Path = ROOT):
    return cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"})


def begin(cluster, photos, weights, out):
    """The command, in a folder without the package: Ray hands on where it was started."""
    command = [sys.executable, "-m", "cbam_viz", "survey", photos, "--out", out,
               "--model", weights, "--address", cluster.address]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=photos.parent, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def check(run, out):
    told, errors = run.communicate(timeout=900)
    assert run.returncode == 0, errors
    assert f"{PHOTOS} photos in" in told and "2 could not be looked at" in told
    rows = pd.read_parquet(out / "rows")
    assert len(rows) == rows["photo"].nunique() == PHOTOS
    assert rows["error"].notna().sum() == 2


def test_a_machine_that_dies_costs_nothing_but_time(cluster, photos, weights, tmp_path):
    nodes = {node.all_processes["raylet"][0].process.pid: node
             for node in (add_node(cluster), add_node(cluster))}  # fmt: skip
    out = tmp_path / "out"
    run = begin(cluster, photos, weights, out)
    # The one that is in the middle of a piece: the file tells whose process writes it.
    dying = None
    while dying is None:
        assert run.poll() is None, run.communicate()[1]
        for part in (out / "rows").glob("*.part"):
            with suppress(psutil.NoSuchProcess):
                above = psutil.Process(int(part.name.split(".")[2].split("-")[0])).parents()
                dying = next((p.pid for p in above if p.pid in nodes), None)
        time.sleep(0.01)
    cluster.remove_node(nodes[dying], allow_graceful=False)
    check(run, out)
    assert not list((out / "rows").glob("*.part"))


def test_two_versions_and_machines_without_the_package(cluster, photos, weights, tmp_path):
    other, nothing = tmp_path / "other", tmp_path / "nothing"
    (other / "cbam_viz").mkdir(parents=True)
    (other / "cbam_viz" / "__init__.py").write_text("__version__ = '0.0.9'\n")
    (nothing / "cbam_viz").mkdir(parents=True)
    (nothing / "cbam_viz" / "__init__.py").write_text("raise ImportError('no such package')\n")
    add_node(cluster)
    add_node(cluster, other)
    add_node(cluster, nothing)
    out = tmp_path / "out"
    _, errors = (run := begin(cluster, photos, weights, out)).communicate(timeout=600)
    assert run.returncode == 1 and not out.exists()
    assert "has cbam-viz 0.0.9, this is" in errors and "none (no such package)" in errors
    assert "Traceback" not in errors and errors.count("cbam-viz 0.0.9") == 1


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
        ("127.0.0.1:99999", "no Ray cluster answers at"),
        ("auto", "no Ray cluster can be joined at auto"),
    ],
)
def test_no_cluster_answers(network, photos, tmp_path, address, words, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))  # no other one's that happens to run
    with pytest.raises(ValueError, match=words):
        survey([photos], tmp_path / "out", network, address=address)
    assert not (tmp_path / "out").exists()
