"""The camera: what is shown of a frame is what Python says, and a stop stops."""

import base64
import io
import shutil
from contextlib import nullcontext

import pytest
from helpers import EXAMPLES, at_rest, make_photo, visit_of
from PIL import Image

from cbam_viz import Explainer
from cbam_viz.ui import experiments
from cbam_viz.ui.live import HEAD
from cbam_viz.ui.visit import Desk

BLOCK = "layer4.0"


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer.from_pretrained()


@pytest.fixture(scope="module")
def desk(explainer) -> Desk:
    return Desk(visit_of(explainer, explainer.explain(make_photo(90, 60))))


def asked(desk: Desk, frame: object, block: object = BLOCK) -> dict:
    key = experiments.key_of(desk.visit.explanation)
    said = {"id": "1", "need": "frame", "key": key, "frame": frame, "block": block}
    return experiments.answered(desk, said, nullcontext())["frame"]


def test_a_frame_is_explained_as_any_photo(desk, explainer):
    with Image.open(EXAMPLES / "coffee.jpg") as photo:
        file = io.BytesIO()
        photo.convert("RGB").resize((320, 240)).save(file, "JPEG", quality=90)
    frame = HEAD + base64.b64encode(file.getvalue()).decode()
    answer = asked(desk, frame)
    found = explainer.explain(file.getvalue(), 3)
    assert [p["label"] for p in answer["predictions"]] == [p.label for p in found.predictions]
    assert answer["predictions"][0]["probability"] == pytest.approx(
        found.predictions[0].probability, abs=1e-3
    )
    assert answer["map"]["greatest"] == pytest.approx(
        float(found.block(BLOCK).spatial.max()), abs=1e-3
    )


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (None, "a frame is a JPEG"),
        ("data:image/png;base64,AAAA", "a frame is a JPEG"),
        (HEAD + "A" * 400_000, "of at most"),
        (HEAD + "A*A", "not valid"),
        (HEAD + "AAAA", "frame.jpg' (3 bytes): it is not an image"),
    ],
)
def test_what_is_no_frame_gets_a_sentence(desk, frame, words):
    assert words in asked(desk, frame)["fault"]


def test_there_is_such_a_block(desk):
    assert "no block" in asked(desk, HEAD, "layer9")["fault"]


def test_the_camera_runs_until_it_is_stopped(browser, address):
    fake = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    filming = browser.browser_type.launch(executable_path=shutil.which("chromium"), args=fake)
    page = filming.new_page(viewport={"width": 1280, "height": 900})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#cv-viewer .cv-map")
    page.get_by_role("tab", name="Experiments").click()
    page.wait_for_selector("#cv-experiments .ce-gates[data-answered]")
    page.locator("#cv-experiments input[value=camera]").check(force=True)
    page.get_by_role("button", name="Start the camera").click()
    first = "#cv-experiments .ce-camera[data-answered]"
    page.wait_for_selector(first)
    seen = page.get_attribute(first, "data-answered")
    page.wait_for_selector(f"{first}:not([data-answered='{seen}'])")
    assert "frames a second" in page.locator("#cv-experiments .ce-camera").inner_text()
    assert page.locator("#cv-experiments .ce-likely li").count() == 3
    live = "document.querySelector('#cv-experiments .ce-camera')?.dataset.answered"
    page.get_by_role("button", name="Stop the camera").click()
    at_rest(page, 500)
    last = page.evaluate(live)
    page.wait_for_timeout(1500)
    assert page.evaluate(live) == last
    page.get_by_role("button", name="Start the camera").click()
    page.wait_for_selector(f"{first}:not([data-answered='{last}'])")
    # Whoever turns to something else has turned the camera off.
    page.locator("#cv-experiments input[value=gates]").check(force=True)
    page.wait_for_selector("#cv-experiments .ce-gates[data-answered]")
    filming.close()
    assert complaints == []
