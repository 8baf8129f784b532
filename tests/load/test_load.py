"""The load script, briefly: how fast, whether rightly, and that memory levels off."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server():
    with load.served(CBAM_VIZ_MODEL="resnet18-cbam-everyday117") as found:
        yield found


def test_five_visitors_are_told_what_one_is(server):
    right = load.rights(server[0])
    told, _ = load.crowd(server[0], 5, 5, right)
    assert len(told.seconds) >= 5
    assert (told.wrong, told.lost, told.refused) == (0, 0, 0)


def test_twenty_are_served_as_fast_as_one_and_nobody_waits_much_longer(server):
    right = load.rights(server[0])
    _, before = load.crowd(server[0], 1, 6, right)
    told, rate = load.crowd(server[0], 20, 12, right)
    _, after = load.crowd(server[0], 1, 6, right)
    assert (told.wrong, told.lost, told.refused) == (0, 0, 0)
    assert rate >= 0.9 * (before + after) / 2
    assert told.p95 <= 2 * told.mean


def test_memory_levels_off(server):
    used = dict(load.memory(*server, clients=40, requests=80))
    # Until every pool has its size it grows; then a session is some 0.2 MB.
    assert used[80] - used[40] < 50


def test_a_full_queue_answers_at_once(server):
    visitor = load.Visitor(server[0], {})
    files = {"files": load.PHOTOS[0].read_bytes()}
    (path,) = visitor.http.post("/gradio_api/upload", files=files).json()
    photo = {"path": path, "meta": {"_type": "gradio.FileData"}}

    def join(_) -> tuple[int, float]:
        began = time.monotonic()
        called = httpx.post(
            f"{server[0]}/gradio_api/call/explain",
            json={"data": [photo, "", 1]},
            timeout=120,
            trust_env=False,
        )
        return called.status_code, time.monotonic() - began

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(join, range(150)))
    refused = [seconds for status, seconds in answers if status != 200]
    assert refused and len(refused) < 100
    assert max(refused) < 20
