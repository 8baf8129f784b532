"""What is remembered of visitors: little of each, and for a while."""

import datetime
import uuid

import httpx
import pytest
from gradio.state_holder import StateHolder

from cbam_viz.ui import sessions
from cbam_viz.ui.opened import OwnModels
from cbam_viz.ui.page import build
from cbam_viz.ui.visit import Desk


@pytest.fixture(scope="module")
def page():
    return build()


@pytest.fixture
def holder(page) -> StateHolder:
    page.state_session_capacity = 3
    holder = StateHolder()
    holder.set_blocks(page)
    return holder


def test_nothing_is_kept_of_what_was_sent(holder, page):
    session = holder["a"]
    for key, block in page.blocks.items():
        session._update_value_in_config(key, "x" * 1000)
        session[key] = block
    assert not session.config_values and list(session.components) == []


def test_sessions_are_bounded_and_end(holder):
    for key in "abcd":
        holder[key]
    assert list(holder.session_data) == ["b", "c", "d"]
    long_ago = datetime.datetime.now() - datetime.timedelta(seconds=sessions.KEPT + 1)
    holder.time_last_used["c"] = long_ago
    sessions.end_idle(holder)
    assert list(holder.session_data) == ["b", "d"]
    assert set(holder.time_last_used) == {"b", "d"}


def test_a_desk_holds_neither_pixels_nor_weights(page):
    """All that can be reached from a visitor's desk, but for what the package itself is."""
    import gc

    import torch
    from PIL import Image

    desk = next(b.value for b in page.blocks.values() if isinstance(getattr(b, "value", 0), Desk))
    visit = desk.visit
    assert visit.model == "resnet18-cbam-everyday117"
    explanation = visit.explanation
    seen, waiting = (
        set(),
        [explanation.blocks, explanation.predictions, explanation.view, visit.model],
    )
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type):
            continue
        seen.add(id(thing))
        assert not isinstance(thing, torch.Tensor | Image.Image), thing
        waiting += gc.get_referents(thing)


def test_own_weights_that_had_to_go_are_opened_again(address, tmp_path, monkeypatch):
    """As a visitor sees it: the inside of a block, after others' models came."""
    import json

    import torch

    from cbam_viz.models.resnet import resnet18_cbam

    torch.save(resnet18_cbam(num_classes=2).state_dict(), tmp_path / "mine.pth")
    opened = []
    get = OwnModels.get

    def counted(self, files):
        self._opened.clear()
        opened.append(files)
        return get(self, files)

    monkeypatch.setattr(OwnModels, "get", counted)
    with httpx.Client(base_url=address, timeout=120) as http:
        functions = {f["api_name"]: f["id"] for f in http.get("/config").json()["dependencies"]}
        files = {"files": ("mine.pth", (tmp_path / "mine.pth").read_bytes())}
        (path,) = http.post("/gradio_api/upload", files=files).json()
        session = uuid.uuid4().hex

        def call(name: str, data: list, **more) -> dict:
            body = {"data": data, "fn_index": functions[name], "session_hash": session} | more
            http.post("/gradio_api/queue/join", json=body)
            said = http.get(f"/gradio_api/queue/data?session_hash={session}").text
            messages = [
                json.loads(line[6:]) for line in said.splitlines() if line.startswith("data")
            ]
            return next(m for m in messages if m["msg"] == "process_completed")

        file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "mine.pth"}
        assert call("take_weights", [[file], None, "layer4.1", 5])["success"]
        before = len(opened)
        features = call("features", [None], event_data={"block": "layer4.1"})
        assert features["success"] and len(opened) > before
        assert "layer4.1" in json.dumps(features["output"])
