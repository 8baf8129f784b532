"""What strangers try on a started server: every function, by every way in, with any argument."""

import asyncio
import base64
import json
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from gradio_client import Client, handle_file
from helpers import EXAMPLES
from PIL import Image

from cbam_viz.models.sources import HUB_ID

COFFEE = EXAMPLES / "coffee.jpg"
META = {"_type": "gradio.FileData"}
#: No other picture here has this size: an answer that says it has read the secret one.
SECRET_SIZE = 371, 283


@pytest.fixture(scope="module")
def secret(tmp_path_factory) -> Path:
    """A picture of the server's that is nobody's business."""
    path = tmp_path_factory.mktemp("private") / "secret.png"
    Image.effect_noise(SECRET_SIZE, 60).save(path)
    return path


@pytest.fixture(scope="module")
def http(address):
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def config(http) -> dict:
    return http.get("/config").json()


@pytest.fixture(scope="module")
def functions(config) -> dict[str, int]:
    """What runs on the server: the index of one function of each name."""
    found = {}
    for fn in config["dependencies"]:
        if fn["backend_fn"]:
            found.setdefault(re.sub(r"_\d+$", "", fn["api_name"]), fn)
    return {name: (fn["id"], len(fn["inputs"])) for name, fn in found.items()}


@pytest.fixture(scope="module")
def uploads(http) -> list[str]:
    """A photo that was uploaded, by its path on the server."""
    return http.post("/gradio_api/upload", files={"files": COFFEE.read_bytes()}).json()


def finished(http, stream: str, seconds: float = 120) -> str:
    """Everything that is said until the call is done: the stream ends then."""
    end, said = time.monotonic() + seconds, ""
    with http.stream("GET", stream) as answer:
        for text in answer.iter_text():  # something comes every 15 s, if only to say it goes on
            said += text
            assert time.monotonic() < end, f"not done after {seconds} s: {said!r:.500}"
    return said


def by_index(http, index: int, data: list, session: str | None = None, **more) -> str:
    """As the page calls a function."""
    session = session or uuid.uuid4().hex
    body = {"data": data, "fn_index": index, "session_hash": session} | more
    # Not httpx's own JSON: what Python's reader takes is more than JSON has.
    sent = {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}
    joined = http.post("/gradio_api/queue/join", **sent)
    if joined.status_code != 200:
        return f"HTTP {joined.status_code}"
    return finished(http, f"/gradio_api/queue/data?session_hash={session}")


def by_name(http, name: str, data: list) -> str:
    """As an HTTP client calls one."""
    called = http.post(f"/gradio_api/call/{name}", json={"data": data})
    if called.status_code != 200:
        return f"HTTP {called.status_code}"
    return finished(http, f"/gradio_api/call/{name}/{called.json()['event_id']}")


def by_mcp(address: str, arguments: dict) -> str:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def ask():
        async with (
            streamable_http_client(f"{address.rstrip('/')}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await session.call_tool("explain", arguments)

    with ThreadPoolExecutor(1) as pool:  # this thread has the browser's event loop
        return pool.submit(asyncio.run, ask()).result().model_dump_json()


def attacks(path: Path) -> dict[str, object]:
    """Ways to name a file of the server."""
    upload = base64.b64encode(path.read_bytes()).decode()
    return {
        "no meta": {"path": str(path)},
        "meta": {"path": str(path), "meta": META},
        "wrong meta": {"path": str(path), "meta": {"_type": "x"}},
        "meta of another kind": {"path": str(path), "meta": "x"},
        "url": {"url": path.as_uri(), "meta": META},
        "url alone": {"url": path.as_uri()},
        "path and url": {"path": None, "url": str(path), "meta": META},
        "stream": {"path": str(path), "meta": META, "is_stream": True},
        "data url": {"url": f"data:image/png;base64,{upload}"},
        "file url": {"path": path.as_uri(), "meta": META},
        "address": {"path": "http://127.0.0.1:9/x.png", "meta": META},
        "own address": {"path": f"http://x/gradio_api/file={path}", "meta": META},
        "relative address": {"path": f"/gradio_api/file={path}", "meta": META},
        "climbing": {"path": f"/tmp/gradio/../..{path}", "meta": META},
        "climbing address": {"path": f"http://x/gradio_api/file=/tmp/gradio/..%2f..{path}"},
        "text": str(path),
        "list": [str(path)],
        "list of files": [{"path": str(path)}],
        "nested": {"path": {"path": str(path)}},
        "gallery": [{"image": {"path": str(path)}, "caption": None}],
        "value": {"value": {"path": str(path)}, "__type__": "update"},
    }


def is_secret_told(answer: str, own: str = "") -> bool:
    """Whether an answer has the secret's size, or a picture that is not in ``own``, another one."""
    w, h = SECRET_SIZE
    shown = re.findall(r"data:image[^\"\\]*", answer)
    return bool(re.search(rf"\b{w}\W+{h}\b", answer)) or any(s not in own for s in shown)


@pytest.mark.parametrize("attack", attacks(COFFEE))
def test_no_file_of_the_server_is_read_by_any_function(attack, http, functions, secret):
    there = attacks(secret)[attack]
    for name, (index, inputs) in functions.items():
        answers = [by_index(http, index, [there] * inputs), by_name(http, name, [there] * inputs)]
        own = by_index(http, index, [None] * inputs)  # what the page shows before any photo
        assert [a for a in answers if is_secret_told(a, own)] == [], name


@pytest.mark.parametrize("attack", attacks(COFFEE))
def test_nobody_learns_which_files_there_are(attack, http, secret):
    if attack == "data url":
        pytest.skip("names no file")
    answers = []
    for path in (secret, secret.with_name("absent")):
        there = attacks(secret)[attack]
        there = json.loads(json.dumps(there).replace(str(secret), str(path)))
        answers.append(by_name(http, "explain", [there, "", 5]).replace(str(path), "PATH"))
    assert answers[0] == answers[1]
    assert "event: error" in answers[0]
    assert not is_secret_told(answers[0])


def test_a_link_in_the_upload_folder_leads_nowhere(http, uploads, secret):
    link = Path(uploads[0]).with_name("link.png")
    link.symlink_to(secret)
    try:
        answer = by_name(http, "explain", [{"path": str(link), "meta": META}, "", 5])
    finally:
        link.unlink()
    assert "not uploaded here" in answer


def test_an_upload_is_explained_by_path_and_by_address(http, address, uploads):
    for path in (uploads[0], f"{address}gradio_api/file={uploads[0]}"):
        answer = by_name(http, "explain", [{"path": path, "meta": META}, "", 1])
        assert '"image_size": [600, 400]' in answer


def test_own_weights_are_read_from_uploads_alone(http, config, tmp_path):
    import torch

    from cbam_viz.models.resnet import resnet18_cbam

    torch.save(resnet18_cbam(num_classes=2).state_dict(), tmp_path / "secret.pth")
    index = next(f["id"] for f in config["dependencies"] if f["api_name"] == "take_weights")
    for there in attacks(tmp_path / "secret.pth").values():
        for data in ([there], [[there]], [{"files": [there]}]):
            answer = by_index(http, index, data)
            assert "was opened" not in answer and "2 classes" not in answer
            assert "secret" not in answer or '"success":false' in answer.replace(" ", "")


def test_through_mcp_no_file_of_the_server_is_read(address, secret):
    own = f"{address}gradio_api/file={secret}"
    for there in (*attacks(secret).values(), secret.as_uri(), "http://127.0.0.1:9/x.png", own):
        answer = by_mcp(address, {"photo": there})
        assert '"isError":true' in answer
        refusals = "photo is no text but", "not uploaded", "not fetched"
        assert any(words in answer for words in refusals), answer


#: What is no photo, name or number, and what Python takes for one only at the second glance.
JUNK = [None, True, -1, 1e400, "x" * 5000, "\ud800", "\0", [], [[]], {}, {"a": 1}, {"value": None}]


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk)[:12])
def test_any_argument_gets_an_answer_and_no_fault(junk, http, functions, caplog):
    for name, (index, inputs) in functions.items():
        for data in ([junk] * inputs, [junk], []):
            answer = by_index(http, index, data, event_data=junk, trigger_id=7)
            assert '"error":null' not in answer.replace(" ", ""), name
    assert [r.message for r in caplog.records if r.name.startswith("cbam_viz")] == []


def test_what_can_be_called(functions):
    """A function that is added has to be safe with any argument, and is named here."""
    assert set(functions) == {
        *("explain", "look_inside", "features", "follow", "tab_names", "summarise"),
        *("take_photo", "take_second", "second_box", "take_model", "take_weights", "take_link"),
        *("study", "pack", "bind", "get", "lambda"),
        *("experiment", "experiment_steps", "what_if"),
    }


def test_the_queue_has_no_back_door(http, config):
    for fn in config["dependencies"]:
        for way in ("run", "api"):
            for name in (fn["api_name"], "x"):
                body = {"data": [], "fn_index": fn["id"]}
                assert http.post(f"/gradio_api/{way}/{name}", json=body).status_code == 404


def test_what_gradio_has_beside_the_page_is_not_there():
    """Of all routes those are open that `door.OPEN` lists, and no others."""
    from gradio.routes import App

    from cbam_viz.ui.door import is_open
    from cbam_viz.ui.page import build

    shut, routes = set(), list(App.create_app(build()).routes)
    for route in routes:
        routes += getattr(getattr(route, "original_router", None), "routes", ())
        path = re.sub(r"\{(\w+):path\}", "x", getattr(route, "path", ""))
        path = re.sub(r"\{\w+\}", "1", path)
        for method in getattr(route, "methods", None) or ():
            if not is_open(method, path):
                shut.add(path.rstrip("/"))
    for path in ("run/1", "api/1", "component_server", "process_recording", "proxy=x"):
        assert f"/gradio_api/{path}" in shut
    assert {"/monitoring", "/monitoring/summary", "/gradio_api/vibe-edit"} <= shut


@pytest.mark.parametrize(
    "path",
    [
        *("/monitoring", "/monitoring/summary", "/gradio_api/runs", "/docs", "/openapi.json"),
        *("/gradio_api/file=http://127.0.0.1:9/x", "/gradio_api/proxy=http://127.0.0.1:9/x"),
        *("/gradio_api/deep_link?session_hash=x", "/gradio_api/vibe-code", "/login"),
    ],
)
def test_closed_addresses(path, http):
    assert http.get(path).status_code == 404


def test_a_request_that_is_too_large_is_not_read(address):
    def status(path: str, name: str, value: str) -> int:
        connection = HTTPConnection(urlsplit(address).netloc, timeout=60)
        connection.putrequest("POST", path)
        connection.putheader(name, value)  # and nothing of what it says
        connection.endheaders()
        return connection.getresponse().status

    assert status("/gradio_api/upload", "Transfer-Encoding", "chunked") == 411
    assert status("/gradio_api/upload", "Content-Length", "300000000") == 413
    assert status("/gradio_api/queue/join", "Content-Length", "5000000") == 413
    assert status("/gradio_api/mcp/", "Content-Length", "95000000") == 413


def test_headers(http):
    for path in ("/", "/config", "/monitoring"):
        headers = http.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "Referrer-Policy" in headers


@pytest.mark.parametrize(
    "message, told",
    [
        ("/tmp/gradio/0a1b/mine.pth is empty", "mine.pth is empty"),
        ("what lies in '/home/x/.cache/hub/a.pth' and /b/c.txt", "what lies in 'a.pth' and c.txt"),
        (r"C:\Users\x\a.pth is empty", "a.pth is empty"),
        ("user/repo@refs/pr/1, https://hf.co/a/b", "user/repo@refs/pr/1, https://hf.co/a/b"),
        ("<b>bold</b> and layer4.1", "<b>bold</b> and layer4.1"),
    ],
)  # fmt: skip
def test_messages_name_no_folders(message, told):
    from cbam_viz.ui.visitors import without_folders

    assert without_folders(message) == told


def test_files_are_given_out_only_of_uploads(http, uploads, secret):
    assert http.get(f"/gradio_api/file={uploads[0]}").status_code == 200
    for path in (secret, Path(__file__), f"{uploads[0]}/../../../..{secret}"):
        assert http.get(f"/gradio_api/file={path}").status_code in (403, 404)


@pytest.mark.parametrize("revision", ["/etc", "../x", "a/../b", "a//b", "a/", ".", "..", "a..b"])
def test_a_revision_is_no_path(revision):
    assert not HUB_ID.fullmatch(f"user/repo@{revision}")


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/3", "0123456789abcdef"])
def test_a_revision_is_one(revision):
    assert HUB_ID.fullmatch(f"user/repo@{revision}")


def test_the_hubs_cache_opens_no_folder_of_this_machine(http, secret, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = secret.parent
    for name in (f"q/w@{folder}", f"q/w@..{folder}", f"q/w@../../..{folder}", str(folder)):
        answer = by_name(http, "explain", [{"path": str(secret)}, name, 1])
        assert "event: error" in answer


def test_gradios_own_client_works(address):
    answer = Client(address, verbose=False).predict(handle_file(COFFEE), api_name="/explain")
    assert answer["image_size"] == [600, 400]
