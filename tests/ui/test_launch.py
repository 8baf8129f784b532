"""Starting and stopping the server, as a host does it."""

import json
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


@pytest.mark.parametrize("folder", ["/dev/null/x", "{tmp}/file", "{tmp}/file/below"])
def test_nowhere_to_keep_uploads_is_said(folder, tmp_path):
    (tmp_path / "file").touch()
    process = started(free_port(), GRADIO_TEMP_DIR=folder.format(tmp=tmp_path))
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "set GRADIO_TEMP_DIR to a folder" in output
    assert "Traceback" not in output


PROXIES = {
    "ALL_PROXY": "socks5://127.0.0.1:9",  # without the package for it
    "all_proxy": "socks4://127.0.0.1:9",
    "HTTP_PROXY": ":::",
    "https_proxy": "http://127.0.0.1:port",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "*.example.org, ,10.0.0.0/8",
}


def test_proxies_that_cannot_be_used_are_left_out_and_said():
    """Gradio makes a client of httpx when it is imported, and it raises over any of them."""
    code = (
        "import os, json; from cbam_viz.ui import without_proxies as said\n"
        f"left = [n for n in {list(PROXIES)} if n in os.environ]\n"
        "import gradio, httpx; httpx.Client(); print(json.dumps([left, said]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | PROXIES, capture_output=True
    )
    left, said = json.loads(done.stdout.splitlines()[-1])
    assert left == ["HTTPS_PROXY", "NO_PROXY"]
    assert len(said) == 4 and all("cannot be used" in sentence for sentence in said)
    assert any("httpx[socks]" in sentence for sentence in said)


@pytest.mark.parametrize(
    "surroundings",
    [
        {"GRADIO_SERVER_NAME": "::1"},
        {"GRADIO_SERVER_NAME": "[::1]"},
        {"GRADIO_SERVER_NAME": "::"},
        {"GRADIO_DEBUG": "1"},  # Gradio waits within its own launch then, and hears no signal
        {"PYTHONOPTIMIZE": "2", "TMPDIR": "/nonexistent"},
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
def test_it_starts_and_ends_whatever_it_is_told_by_the_environment(surroundings):
    port, host = free_port(), "127.0.0.1"
    if "GRADIO_SERVER_NAME" in surroundings:
        host = "[::1]"
        try:
            with socket.socket(socket.AF_INET6) as s:
                s.bind(("::1", port))
        except OSError:
            pytest.skip("this machine has no IPv6")
    process = started(port, **surroundings)
    try:
        wait_for(process, f"http://{host}:{port}")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        assert "Traceback" not in output
    finally:
        process.kill()


def test_it_starts_behind_proxies_and_beside_another_users_cache_and_ends_in_order(tmp_path):
    """Terminated, it finishes what runs."""
    (tmp_path / "cbam-viz").write_text("no folder of ours")
    proxies = {f"{kind}_PROXY": "http://127.0.0.1:9" for kind in ("HTTP", "HTTPS")}
    proxies |= {"all_proxy": "socks5://127.0.0.1:9"}
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
        log = [json.loads(line) for line in process.stdout if line.startswith("{")]
        assert [entry["what"] for entry in log].count("explain") == 4 - answers.count(503)
    finally:
        process.kill()
    # Each that was taken is answered, the others were told at once.
    assert answers.count(503) + sum("event: complete" in str(a) for a in answers) == 4
    assert answers.count(503) < 4
