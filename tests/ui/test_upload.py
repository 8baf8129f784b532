"""Uploads: what is taken, what is refused while it comes, and that nothing of it stays."""

import os
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import httpx
import pytest
from gradio.utils import get_upload_folder
from helpers import EXAMPLES

from cbam_viz.ui import storage, upload

COFFEE = EXAMPLES / "coffee.jpg"


@pytest.fixture(scope="module")
def http(address):
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


def parts() -> set[Path]:
    """Uploads that are not finished, or left behind."""
    folder = Path(get_upload_folder())
    return {f for f in folder.iterdir() if f.is_file()} if folder.exists() else set()


def send(http, *files: tuple[str, bytes]) -> httpx.Response:
    before = parts()
    answer = http.post("/gradio_api/upload", files=[("files", file) for file in files])
    assert parts() == before
    return answer


def test_photos_weights_and_texts_are_taken(http):
    sent = [("a.jpg", COFFEE.read_bytes()), ("b.pth", bytes(1000)), ("c.txt", b"cat\ndog")]
    answer = send(http, *sent)
    assert [Path(path).read_bytes() for path in answer.json()] == [content for _, content in sent]


@pytest.mark.parametrize(
    "name, most",
    [
        ("photo.jpg", "MAX_BYTES"),
        ("no name at all", "MAX_BYTES"),
        ("WEIGHTS.PTH", "MAX_WEIGHTS"),
        ("names.txt", "MAX_TEXT"),
    ],
)
def test_each_kind_of_file_has_its_limit(name, most, http, monkeypatch):
    monkeypatch.setattr(upload.untrusted if most == "MAX_BYTES" else upload, most, 100_000)
    assert send(http, (name, bytes(100_000))).status_code == 200
    refused = send(http, ("small.jpg", b"1"), (name, bytes(100_001)))
    assert refused.status_code == 413
    assert "too large" in refused.text and "文件太大" in refused.text


def test_a_photo_may_be_smaller_than_weights():
    assert upload.most_of("a.jpg") < upload.most_of("a.safetensors")


def test_so_many_files_and_no_more(http):
    files = [(f"{i}.txt", b"x") for i in range(upload.MAX_FILES + 1)]
    assert send(http, *files[1:]).status_code == 200
    refused = send(http, *files)
    assert refused.status_code == 400
    assert f"More than {upload.MAX_FILES} files" in refused.text


def test_what_is_no_file_is_bounded(http):
    answer = http.post(
        "/gradio_api/upload", data={"x": "y" * 50_000}, files={"files": COFFEE.read_bytes()}
    )
    assert answer.status_code == 413


def begin(address: str, length: int = 10_000_000) -> socket.socket:
    """An upload of which the first part is sent."""
    head = '--m\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    host = urlsplit(address)
    connection = socket.create_connection((host.hostname, host.port), timeout=60)
    connection.sendall(
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Length: {length}\r\n"
        f"Content-Type: multipart/form-data; boundary=m\r\n\r\n{head}".encode()
        + bytes(300_000)
    )
    return connection


def wait_until(condition, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_what_is_broken_off_is_deleted_at_once(address):
    before = parts()
    connections = [begin(address) for _ in range(5)]
    assert wait_until(lambda: len(parts() - before) == 5)
    for connection in connections:
        connection.close()
    assert wait_until(lambda: parts() == before)


def test_what_stands_still_is_ended(address, monkeypatch):
    monkeypatch.setattr(upload, "STILL", 1)
    before = parts()
    with begin(address) as connection:
        assert b"400" in connection.recv(1000)
    assert wait_until(lambda: parts() == before)


def test_where_the_disk_fills_up_it_is_said(http, monkeypatch):
    free = iter([False] * 2)
    monkeypatch.setattr(storage, "is_full", lambda *_: next(free, True))
    answer = send(http, ("a.pth", bytes(5_000_000)))
    assert answer.status_code == 400
    assert "no room" in answer.text


def test_a_disk_that_is_full_is_said(http, full_disk):
    full_disk(100_000)
    answer = http.post("/gradio_api/upload", files={"files": ("a.pth", bytes(1_000_000))})
    full_disk(-1)
    assert answer.status_code == 503
    assert "disk is full" in answer.text
    assert http.post("/gradio_api/upload", files={"files": b"1"}).status_code == 200


def test_no_room_no_upload(http, monkeypatch):
    monkeypatch.setattr(storage, "QUOTA", 1000)
    answer = send(http, ("a.jpg", COFFEE.read_bytes()))
    assert answer.status_code == 503
    assert "no room" in answer.text


def test_each_address_has_its_share(http, monkeypatch):
    monkeypatch.setattr(storage, "storage", storage.Storage())
    monkeypatch.setattr(storage, "QUOTA_EACH", 250_000)
    assert send(http, ("a.jpg", bytes(100_000))).status_code == 200
    assert send(http, ("a.jpg", bytes(100_000))).status_code == 200
    refused = send(http, ("a.jpg", bytes(100_000)))
    assert refused.status_code == 503
    assert "from your address" in refused.text


def test_the_share_is_of_an_hour_and_of_one_address(monkeypatch):
    monkeypatch.setattr(storage, "QUOTA_EACH", 1000)
    kept = storage.Storage()

    def take(address):
        with kept.taking(600, address):
            pass

    take("10.0.0.1")
    take("10.0.0.2")
    take("2001:db8::1")
    with pytest.raises(storage.NoRoom):
        take("2001:db8::2")  # the same network, so the same visitor
    with pytest.raises(storage.NoRoom):
        take("10.0.0.1")
    later = time.monotonic() + storage.HOUR + 1
    # The name in that module, not the clock: the event loops of servers go by it.
    monkeypatch.setattr(storage, "time", SimpleNamespace(monotonic=lambda: later))
    take("10.0.0.1")


def test_a_sweep_deletes_what_is_old_and_counts_the_rest(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    ages = {
        "a1/photo.jpg": storage.HELD + 60,
        "a2/photo.jpg": storage.HELD - 60,
        "a3/example.jpg": storage.HELD + 60,
        "a4/coffee-cbam-viz.zip": storage.FETCHED + 60,
        "a5/coffee-cbam-viz.zip": storage.FETCHED - 60,
        "tmpbroken": storage.BROKEN_OFF + 60,
        "tmpcoming": storage.BROKEN_OFF - 60,
    }
    for name, age in ages.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(1000))
        os.utime(path, (time.time() - age,) * 2)
    kept = storage.Storage()
    kept.sweep({str(tmp_path / "a3/example.jpg")})
    left = {str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()}
    assert left == {"a2/photo.jpg", "a3/example.jpg", "a5/coffee-cbam-viz.zip", "tmpcoming"}
    monkeypatch.setattr(storage, "QUOTA", 5000)
    with kept.taking(1000, ""):
        kept.sweep({str(tmp_path / "a3/example.jpg")})
        with pytest.raises(storage.NoRoom), kept.taking(1, ""):  # 4000 lie there, 1000 come
            pass
