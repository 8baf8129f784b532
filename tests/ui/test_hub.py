"""Models of the Hub for visitors: nobody waits for others' fetches, and the disk is bounded."""

import os
import subprocess
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from helpers import ROOT, as_trained
from played_hub import Hub as Played

from cbam_viz import WeightsError
from cbam_viz.explain import decoder
from cbam_viz.models.resnet import resnet18_cbam
from cbam_viz.models.sources import Located
from cbam_viz.ui import hub
from cbam_viz.ui.hub import Hub
from cbam_viz.ui.opened import Explainers


@pytest.fixture
def slow(monkeypatch, tmp_path):
    """A Hub whose fetches take until the event is set."""
    ready = threading.Event()

    def fetch(name, cache, make_room):
        assert ready.wait(60)
        return Located(tmp_path / name, name)

    monkeypatch.setattr(hub, "from_hub", fetch)
    monkeypatch.setattr(hub, "PATIENCE", 1)
    yield ready
    ready.set()


def test_a_slow_fetch_goes_on_and_whoever_asks_again_finds_it(slow, tmp_path):
    models = Hub()
    began = time.monotonic()
    with pytest.raises(WeightsError, match="a/b is being fetched"):
        models.folder("a/b")
    assert time.monotonic() - began < 10
    slow.set()
    assert models.folder("a/b") == tmp_path / "a/b"


def test_more_fetches_are_refused_at_once_and_the_bundled_models_open(slow):
    models = Explainers(["resnet18-cbam-everyday117"])
    for i in range(hub.FETCHES):
        with pytest.raises(WeightsError, match="is being fetched"):
            models.get(f"a/{i}")
    began = time.monotonic()
    with pytest.raises(WeightsError, match="Other models are being fetched"):
        models.get("a/b")
    assert time.monotonic() - began < 0.5
    assert models.get("resnet18-cbam-everyday117").classes


def test_few_wait_for_one_that_is_slow(slow, monkeypatch):
    monkeypatch.setattr(hub, "PATIENCE", 3)
    models, refused = Hub(), []

    def ask():
        began = time.monotonic()
        with pytest.raises(WeightsError, match="is being fetched"):
            models.folder("a/b")
        refused.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask) for _ in range(hub.WAITING + 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(seconds < 2 for seconds in refused) == 3


def test_who_left_does_not_wait(slow, monkeypatch):
    monkeypatch.setattr(hub, "PATIENCE", 30)
    waiting = decoder.wanted.set(lambda: False)
    try:
        began = time.monotonic()
        with pytest.raises(WeightsError):
            Hub().folder("a/b")
        assert time.monotonic() - began < 10
    finally:
        decoder.wanted.reset(waiting)


def test_where_the_home_cannot_be_written_there_is_another_place(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(hub.constants, "HF_HOME", str(tmp_path / "file"))
    assert os.access(Hub().cache, os.W_OK)


def test_the_disk_is_bounded_and_the_hosts_cache_is_left_alone(tmp_path):
    """Three repositories of which two have room; the Hub is played by a server."""
    torch.manual_seed(0)
    weights = tmp_path / "net.pth"
    torch.save(as_trained(resnet18_cbam(num_classes=3)).half().state_dict(), weights)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Played)
    server.fetched, server.half = [], False
    server.repos = {f"somebody/{n}": {f"{n}.pth": weights.read_bytes()} for n in "abc"}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = """
import os, sys
from cbam_viz.models.sources import locate
from cbam_viz.ui import hub
from cbam_viz.ui.opened import Explainers
locate("somebody/a")  # the host's own
hub.QUOTA = 2.5 * os.path.getsize(sys.argv[1])
models = Explainers([])
for name in "abc":
    print(models.get(f"somebody/{name}").facts.name)
print(sorted(repo.repo_id for repo in hub.scan_cache_dir(models._hub.cache).repos))
print(sorted(repo.repo_id for repo in hub.scan_cache_dir().repos))
hub.QUOTA = 1
try: models._hub._make_room(2)
except ValueError as error: print(error)
"""
    env = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_DISABLE_XET": "1"}
    env |= {"HF_HOME": str(tmp_path / "home"), "GRADIO_TEMP_DIR": str(tmp_path / "uploads")}
    done = subprocess.run(
        [sys.executable, "-c", code, weights],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | env,
    )
    server.shutdown()
    assert done.stdout.splitlines()[:5] == [
        *("somebody/a", "somebody/b", "somebody/c"),
        "['somebody/b', 'somebody/c']",
        "['somebody/a']",
    ], done.stderr
    assert "no room" in done.stdout
    assert Path(tmp_path / "home" / "cbam-viz-visitors").is_dir()
