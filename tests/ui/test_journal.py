"""The log: a line a request, and nothing in it that is anybody's."""

import json
import logging
import time
import uuid

import httpx
import pytest
from gradio.utils import get_upload_folder
from helpers import EXAMPLES

from cbam_viz.ui import journal, launch, storage, upload
from cbam_viz.ui.handlers import Handlers

COFFEE = EXAMPLES / "coffee.jpg"
NAME = "holiday of somebody.jpg"


@pytest.fixture
def lines():
    """What is logged while the test runs."""
    found = []

    class Kept(logging.Handler):
        def emit(self, record):
            found.append(record.getMessage())

    handler, level = Kept(), journal.log.level
    journal.log.setLevel(logging.INFO)
    journal.log.addHandler(handler)
    yield found
    journal.log.removeHandler(handler)
    journal.log.setLevel(level)


@pytest.fixture(scope="module")
def http(address):
    with httpx.Client(base_url=address, timeout=120) as client:
        yield client


def send(http, content: bytes) -> dict:
    (path,) = http.post("/gradio_api/upload", files={"files": (NAME, content)}).json()
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def explain(http, photo: dict) -> str:
    event = http.post("/gradio_api/call/explain", json={"data": [photo, "", 5]}).json()["event_id"]
    return http.get(f"/gradio_api/call/explain/{event}").text


def told(lines: list[str], expected: int) -> list[tuple[str, str]]:
    """What was done and how it ended. A line is written after its answer is sent."""
    for _ in range(100):
        if len(lines) >= expected:
            break
        time.sleep(0.1)
    for line in lines:
        assert set(json.loads(line)) == {"time", "what", "seconds", "bytes", "outcome"}
        assert "holiday" not in line and "127.0.0.1" not in line
        assert get_upload_folder() not in line
    return [(json.loads(line)["what"], json.loads(line)["outcome"]) for line in lines]


def test_what_was_done_and_how_large_and_how_long(http, lines):
    explain(http, send(http, COFFEE.read_bytes()))
    assert told(lines, 2) == [("upload", "done"), ("explain", "done")]
    _, explained = map(json.loads, lines)
    assert explained["bytes"] == COFFEE.stat().st_size
    assert 0 < explained["seconds"] < 100


def test_what_was_refused(http, lines, monkeypatch):
    photo = send(http, b"no photo")
    explain(http, photo)
    functions = {f["api_name"]: f["id"] for f in http.get("/config").json()["dependencies"]}
    session = uuid.uuid4().hex
    body = {"data": [photo, None, "layer4.1", 5], "fn_index": functions["take_photo"]}
    http.post("/gradio_api/queue/join", json=body | {"session_hash": session})
    said = http.get(f"/gradio_api/queue/data?session_hash={session}").text
    assert "cv-fault" in said, said
    monkeypatch.setattr(upload.untrusted, "MAX_BYTES", 10)
    http.post("/gradio_api/upload", files={"files": (NAME, bytes(1000))})
    monkeypatch.setattr(storage, "QUOTA", 10)
    http.post("/gradio_api/upload", files={"files": (NAME, bytes(1000))})
    assert told(lines, 5) == [
        ("upload", "done"),
        ("explain", "refused"),
        ("take_photo", "refused"),
        ("upload", "refused"),
        ("upload", "refused"),
    ]


def test_what_failed(http, lines, monkeypatch):
    def fault(*_):
        raise RuntimeError("a fault of ours")

    photo = send(http, COFFEE.read_bytes())
    monkeypatch.setattr(Handlers, "explained", fault)
    assert "event: error" in explain(http, photo)
    assert told(lines, 2)[-1] == ("explain", "failed")


def test_a_full_disk_is_said(http, lines, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    photo = send(http, COFFEE.read_bytes())
    monkeypatch.setattr(Handlers, "explained", full)
    assert "disk is full" in explain(http, photo)
    assert told(lines, 2)[-1] == ("explain", "refused")


def test_who_left(lines):
    from cbam_viz.explain.decoder import Left
    from cbam_viz.ui.visitors import Refused

    for error in (Left("gone"), KeyboardInterrupt()):
        with pytest.raises(type(error)), journal.entry("explain"):
            raise error
    with pytest.raises(Refused), journal.entry("explain"):
        raise Refused("gone") from Left("gone")
    assert told(lines, 3) == [("explain", "left")] * 3


class Event:
    """As Gradio's queue has one for each request."""


@pytest.mark.parametrize("ended", [True, False])
def test_what_is_answered_bit_by_bit_is_one_request(ended, lines):
    event = Event()
    for step in range(3):
        with journal.entry("pack", event=event) as entry:
            entry.goes_on = step < 2 or not ended
    assert len(lines) == ended
    del event, entry
    assert told(lines, 1) == [("pack", "done" if ended else "left")]


def test_a_zip_is_one_request(http, lines):
    functions = {f["api_name"]: f["id"] for f in http.get("/config").json()["dependencies"]}
    session = uuid.uuid4().hex
    body = {"data": [None, False], "fn_index": functions["pack"], "session_hash": session}
    http.post("/gradio_api/queue/join", json=body)
    assert "cbam-viz.zip" in http.get(f"/gradio_api/queue/data?session_hash={session}").text
    assert told(lines, 1) == [("pack", "done")]


def test_health(http, monkeypatch):
    assert http.get("/health").json() == {"status": "ok"}
    monkeypatch.setattr(launch.door.traffic, "closing", True)
    stopping = http.get("/health")
    assert stopping.status_code == 503 and stopping.json() == {"status": "stopping"}


def test_what_a_machine_lacks_is_said(monkeypatch):
    monkeypatch.setattr(launch.Image, "OPEN", {})
    monkeypatch.setattr(storage, "SPARE", 10**18)
    monkeypatch.setattr(launch.lettering, "_fonts_with_cjk", lambda: [])
    said = " ".join(launch.missing())
    assert "HEIC photos are refused" in said and "uploads are refused" in said
    assert "no font of this system has Chinese" in said
