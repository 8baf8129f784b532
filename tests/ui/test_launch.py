"""Starting and stopping the server, as a host does it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
COFFEE = ROOT / "assets" / "examples" / "coffee.jpg"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def started(port: int, command: tuple[str, ...] = ("app.py",), **environment: str):
    names = {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"} | environment
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | names,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(process, url: str) -> None:
    for _ in range(600):
        assert process.poll() is None, process.stdout.read()
        try:
            httpx.get(f"{url}/config", timeout=5, trust_env=False)
            return
        except httpx.HTTPError:
            time.sleep(0.5)
    pytest.fail("did not start")


@pytest.mark.parametrize("command", [("app.py",), ("-m", "cbam_viz", "serve")])
def test_a_taken_port_is_said(command):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        process = started(s.getsockname()[1], command)
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "cannot be listened on" in output
    assert "Traceback" not in output


def test_it_starts_behind_proxies_and_beside_another_users_cache_and_ends_in_order(tmp_path):
    """Terminated, it finishes what runs."""
    (tmp_path / "gradio").write_text("no folder of ours")
    proxies = {f"{kind}_PROXY": "http://127.0.0.1:9" for kind in ("HTTP", "HTTPS", "ALL")}
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = started(port, ("-m", "cbam_viz", "serve"), TMPDIR=str(tmp_path), **proxies)
    try:
        wait_for(process, url)
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
            path = client.post("/gradio_api/upload", files={"files": COFFEE.read_bytes()}).json()[0]
            photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
            answers = []

            def ask():
                call = client.post("/gradio_api/call/explain", json={"data": [photo, "", 5]})
                if call.status_code == 503:
                    answers.append(503)
                    return
                event = call.json()["event_id"]
                answers.append(client.get(f"/gradio_api/call/explain/{event}").text)

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(2)
            process.send_signal(signal.SIGTERM)
            for thread in threads:
                thread.join()
        assert process.wait(300) == 0
    finally:
        process.kill()
    # Each that was taken is answered, the others were told at once.
    assert answers.count(503) + sum("event: complete" in str(a) for a in answers) == 4
    assert answers.count(503) < 4
