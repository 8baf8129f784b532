"""Where the experiments have no answer: why, in the page's language, and how to go on."""

import json
import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from helpers import EXAMPLES, visit_of

from cbam_viz import Explainer
from cbam_viz.evaluation.drawn import box_outline
from cbam_viz.models.errors import WeightsError
from cbam_viz.ui import bundle, experiments
from cbam_viz.ui.hub import Fetching
from cbam_viz.ui.visit import Desk

STRINGS = Path(bundle.__file__).parent / "web" / "experiments" / "strings.json"
WORDS = json.loads(STRINGS.read_text("utf-8"))


@pytest.fixture(scope="module")
def visit():
    explainer = Explainer.from_pretrained()
    return visit_of(explainer, explainer.explain(EXAMPLES / "coffee.jpg", 10))


def ask(visit, need: str, **more) -> dict:
    asked = {"id": "7", "need": need, "key": experiments.key_of(visit.explanation)} | more
    return experiments.answered(Desk(visit), asked, nullcontext())[need]


@pytest.mark.parametrize(
    ("need", "more", "kind"),
    [
        (
            "classMap",
            {"target": "unicorn of no class", "method": "grad-cam", "block": "layer4.1"},
            "class",
        ),
        ("classMap", {"target": "chai", "method": "grad-cam", "block": "layer4.1"}, "likeClass"),
        ("gates", {"gates": {}, "key": "another"}, "gone"),
        ("drawn", {"outline": box_outline((0, 0, 1, 1))}, "drawn"),
        ("drawn", {"outline": [[0.5, 0.5]] * 3}, "drawn"),
        ("drawn", {"outline": [[0.5, 0.5], [1.5, 0.5], [0.5, 0.9]]}, "drawn"),
        # Not what a visitor does who uses the page: the cause itself is told.
        ("drawn", {"outline": [[0.5, 0.5]]}, None),
        ("drawn", {"outline": [[0.5, 0.5]] * 100_000}, None),
        ("change", {"change": {"kind": "melt", "numbers": []}}, None),
    ],
)
def test_a_fault_is_of_the_kind_of_its_cause(visit, need, more, kind):
    answer = ask(visit, need, **more)
    assert answer["fault"] and answer.get("kind") == kind
    for words in WORDS.values():
        placeholders = re.findall(r"\{(\w+)\}", words[f"fault_{kind}" if kind else "fault"])
        assert set(placeholders) <= answer.keys()


def test_a_model_that_is_on_its_way_is_no_wrong_name():
    assert experiments.fault(WeightsError("no such model"))["kind"] == "rival"
    assert experiments.fault(Fetching("it is being fetched")) == {"fault": "it is being fetched"}


def test_a_part_that_was_lost_is_fetched_again(browser, address):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.wait_for_selector("#cv-viewer .cv-map")
    for part in ("**/experiments.js*", "**/experiments.css*"):
        page.route(part, lambda route: route.abort())
    page.get_by_role("tab", name="Experiments").click()
    alert = page.locator("#cv-experiments [role=alert]")
    alert.wait_for()
    page.unroute("**/experiments.js*")  # without its style sheet it does what it can
    page.locator("#cv-experiments").get_by_role("button", name="Try again").click()
    page.wait_for_selector("#cv-experiments .ce-gates[data-answered]")
    assert alert.count() == 0
    page.close()


def test_a_server_that_is_gone_is_said_to_be_within_seconds(browser):
    from cbam_viz.ui.launch import build, launch_options

    served = build()
    _, url, _ = served.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(url)
    page.wait_for_selector("#cv-viewer .cv-map")
    page.get_by_role("tab", name="Experiments").click()
    page.wait_for_selector("#cv-experiments .ce-gates[data-answered]")
    served.close()
    page.locator("#cv-experiments input[value=shut]").check(force=True)
    said = page.locator("#cv-experiments .ce-gates").get_by_text("there was no answer")
    said.wait_for(timeout=60_000)  # not after the three minutes that a long measurement may take
    page.close()
