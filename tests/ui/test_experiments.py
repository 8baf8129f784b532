"""The experiments: what the browser shows is what one call in Python gives."""

import dataclasses
import time
from contextlib import nullcontext

import numpy as np
import pytest
from helpers import EXAMPLES, as_trained, visit_of

from cbam_viz import Explainer
from cbam_viz.evaluation.drawn import box_outline, judge_drawn
from cbam_viz.evaluation.randomised import randomise
from cbam_viz.explain.changes import change_photo
from cbam_viz.explain.class_maps import class_map
from cbam_viz.explain.interventions import gate_effects, what_if
from cbam_viz.explain.variants import variants
from cbam_viz.models.resnet import ResNetCBAM
from cbam_viz.ui import experiments
from cbam_viz.ui.visit import Desk, Visit

COFFEE, BARN = EXAMPLES / "coffee.jpg", EXAMPLES / "barn.jpg"


@pytest.fixture(scope="module")
def explainer():
    return Explainer.from_pretrained()


@pytest.fixture(scope="module")
def visit(explainer):
    return visit_of(explainer, explainer.explain(COFFEE, 10))


def ask(visit: Visit, need: str, **more) -> dict:
    asked = {"id": "7", "need": need, "key": experiments.key_of(visit.explanation)} | more
    return experiments.answered(Desk(visit), asked, nullcontext())[need]


def test_gates_answer_what_python_says(explainer, visit):
    gates = {"layer4.1.spatial": "shut", "layer3.0.channel": 0.25}
    answer = ask(visit, "gates", gates=gates)
    found = what_if(explainer, COFFEE, gates)
    assert answer["id"] == "7"
    assert [c["index"] for c in answer["classes"]] == [c.index for c in found.classes]
    for said, change in zip(answer["classes"], found.classes, strict=True):
        expected = change.probability_before, change.probability_after
        assert said["probability"] == pytest.approx(expected, abs=1e-5)
        assert said["logit"] == pytest.approx((change.logit_before, change.logit_after), abs=1e-4)
    for said, change in zip(answer["blocks"], found.blocks, strict=True):
        assert said["name"] == change.name
        assert said["changes"]["spatial"] == pytest.approx(change.spatial, abs=1e-5)


def test_the_second_photos_gate(explainer, visit):
    gates = {"layer4.1.spatial": "second"}
    assert "there is no second photo" in ask(visit, "gates", gates=gates)["fault"]
    both = dataclasses.replace(visit, beside=explainer.explain(BARN))
    answer = ask(both, "gates", gates=gates)
    found = what_if(explainer, COFFEE, {"layer4.1.spatial": both.beside})
    assert answer["classes"][0]["logit"][1] == pytest.approx(found.classes[0].logit_after, abs=1e-4)


@pytest.mark.parametrize(
    "gates, words",
    [
        ({"layer9.0.spatial": "open"}, "no gate 'layer9.0.spatial'"),
        ({"layer4.1.spatial": [[0.5]]}, r"got values \[1, 1\]"),
        ({"layer4.1.spatial": {"path": "/etc/passwd"}}, "cannot be set to"),
        ("open", "gates must be an object"),
        (None, "gates must be an object"),
    ],
)
def test_settings_that_are_none_are_told(visit, gates, words):
    import re

    fault = ask(visit, "gates", gates=gates)["fault"]
    assert re.search(words, fault), fault


def test_what_was_painted_on_another_photo_is_refused(explainer, visit):
    other = visit_of(explainer, explainer.explain(BARN, 10))
    key = experiments.key_of(other.explanation)
    assert "another photo or model" in ask(visit, "gates", key=key, gates={})["fault"]
    assert "another photo or model" in ask(visit, "gates", key=None, gates={})["fault"]


def test_which_gate_matters_bit_by_bit(explainer, visit):
    key = experiments.key_of(visit.explanation)
    answers = [
        a["effects"] for a in experiments.steps(Desk(visit), {"need": "effects", "key": key})
    ]
    assert [len(a["effects"]) for a in answers] == list(range(1, 17))
    for said, effect in zip(answers[-1]["effects"], gate_effects(explainer, COFFEE), strict=True):
        assert said["name"] == effect.name
        assert said["change"] == pytest.approx(effect.change, abs=1e-4)
    assert answers[0]["logit"] == pytest.approx(
        float(explainer.explain(COFFEE).logits.max()), abs=1e-4
    )


def test_a_photo_that_changes_meanwhile_ends_the_run(explainer, visit):
    desk = Desk(visit)
    key = experiments.key_of(visit.explanation)
    answers = experiments.steps(desk, {"need": "effects", "key": key})
    next(answers)
    desk.change(lambda v: dataclasses.replace(v, explanation=explainer.explain(BARN, 10)))
    assert list(answers) == []
    (answer,) = experiments.steps(desk, {"need": "effects", "key": key})
    assert "another photo" in answer["effects"]["fault"]


def test_one_block_and_one_class():
    model = as_trained(ResNetCBAM("basic", num_classes=1, gated=["layer3.0"]))
    explainer = Explainer(model)
    visit = visit_of(explainer, explainer.explain(COFFEE, 10))
    assert len(ask(visit, "gates", gates={"layer3.0.spatial": "open"})["classes"]) == 1
    key = experiments.key_of(visit.explanation)
    *_, last = experiments.steps(Desk(visit), {"need": "effects", "key": key})
    assert len(last["effects"]["effects"]) == last["effects"]["total"] == 2


@pytest.fixture
def tab(browser, address):
    """The page with the experiments open; fails if the browser had anything to complain about."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("#cv-viewer .cv-map")
    yield page
    page.close()
    assert complaints == []


def fetched(page) -> list[str]:
    names = page.evaluate("performance.getEntriesByType('resource').map((e) => e.name)")
    return [name for name in names if "/experiments/" in name]


def answered(page, part: str, before: str | None = None) -> str:
    """Wait for an answer other than the one before; back with what it is called."""
    shown = f"#cv-experiments .{part}[data-answered]"
    if before:
        shown += f":not([data-answered='{before}'])"
    page.wait_for_selector(shown)
    return page.get_attribute(shown, "data-answered")


def numbers(page, cells: str) -> list[float]:
    texts = page.locator(cells).all_inner_texts()
    return [float(t.replace("−", "-").rstrip("% ")) for t in texts]


def give(page, photo) -> None:
    """Give a photo while the experiments are open; back when they are about it."""
    key = page.evaluate("document.querySelector('#cv-experiments .ce-gates').dataset.answered")
    page.set_input_files("#cv-photo input[type=file]", photo)
    answered(page, "ce-gates", key)


def test_a_gate_is_shut_on_a_photo_of_ones_own(tab, explainer, tmp_path):
    """All by the browser: what it shows is what Python says, on a photo that is no example."""
    from PIL import Image, ImageOps

    own = tmp_path / "own.png"
    with Image.open(COFFEE) as photo:
        ImageOps.mirror(photo.convert("RGB")).resize((450, 300)).save(own)
    assert fetched(tab) == []  # the first page's load has nothing of it
    tab.get_by_role("tab", name="Experiments").click()
    answered(tab, "ce-gates")
    assert len(fetched(tab)) == 2
    give(tab, own)
    first = answered(tab, "ce-gates")
    tab.locator("#cv-experiments input[value=shut]").check(force=True)
    second = answered(tab, "ce-gates", first)
    found = what_if(explainer, own, {"layer4.0.spatial": "shut"})
    rows = "#cv-experiments .ce-answer tbody tr"
    assert tab.locator(f"{rows} th").all_inner_texts() == [c.label for c in found.classes]
    after = [round(100 * c.probability_after, 1) for c in found.classes]
    assert numbers(tab, f"{rows} td:nth-of-type(2)") == pytest.approx(after, abs=0.11)
    changes = [c.logit_after - c.logit_before for c in found.classes]
    assert numbers(tab, f"{rows} td:nth-of-type(5)") == pytest.approx(changes, abs=0.011)
    assert "layer4.0.spatial: shut" in tab.locator("#cv-experiments .ce-chosen").inner_text()
    # Painted from there: another gate, until all is as it was.
    tab.locator("#cv-experiments input[value=painted]").check(force=True)
    answered(tab, "ce-gates", second)
    canvas = tab.locator("#cv-experiments .ce-paintable")
    box = canvas.bounding_box()
    before = answered(tab, "ce-gates")
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] / 2 + 20, box["y"] + box["height"] / 2)
    tab.mouse.up()
    last = answered(tab, "ce-gates", before)
    assert numbers(tab, f"{rows} td:nth-of-type(5)")[0] != 0
    tab.get_by_role("button", name="All as they were").click()
    answered(tab, "ce-gates", last)
    assert numbers(tab, f"{rows} td:nth-of-type(5)") == [0] * len(
        tab.locator(f"{rows} td:nth-of-type(5)").all()
    )


def test_which_gate_matters_in_the_browser(tab, explainer):
    tab.get_by_role("tab", name="Experiments").click()
    answered(tab, "ce-gates")
    tab.locator("#cv-experiments input[value=effects]").check(force=True)
    tab.get_by_role("button", name="Find out").click()
    answered(tab, "ce-which")
    effects = list(gate_effects(explainer, EXAMPLES / "sneakers.jpg"))
    shown = numbers(tab, "#cv-experiments .ce-effects td b")
    assert shown == pytest.approx([e.change for e in effects], abs=0.011)
    greatest = max(effects, key=lambda e: abs(e.change))
    assert greatest.name in tab.locator("#cv-experiments .ce-said").inner_text()


def test_the_photo_is_changed(explainer, visit):
    change = {"kind": "move", "numbers": [0.2, 0]}
    answer = ask(visit, "change", change=change)
    found = change_photo(explainer, COFFEE, change)
    for said, followed in zip(answer["followed"], found.followed, strict=True):
        assert said["correlation"] == pytest.approx(followed.correlation, abs=1e-3)
        assert said["cells"] == pytest.approx(followed.cells)
    assert (
        "has no area"
        in ask(visit, "change", change={"kind": "cover", "numbers": [0.5, 0.5, 0.5, 0.9]})["fault"]
    )


def test_attention_built_otherwise(explainer, visit):
    asked = {"need": "ablation", "key": experiments.key_of(visit.explanation)}
    *_, last = experiments.steps(Desk(visit), asked)
    rows = last["ablation"]["rows"]
    for said, (name, found) in zip(rows, variants(explainer, COFFEE), strict=True):
        assert said["name"] == name
        assert said["classes"][0]["logit"][1] == pytest.approx(
            found.classes[0].logit_after, abs=1e-3
        )


#: Of each other experiment: what shows that it was answered, and how it is asked.
OTHERS = {
    "photo": None,
    "variants": "Find out",
    "classMap": "Show the class's map",
    "models": "Compare",
    "randomised": "Draw the weights anew",
    "deletion": "Find out",
}


def test_every_other_experiment_answers_on_a_photo_of_ones_own(tab, explainer, tmp_path):
    from PIL import Image

    own = tmp_path / "own.png"
    with Image.open(BARN) as photo:
        photo.convert("RGB").crop((20, 0, 420, 300)).save(own)
    tab.get_by_role("tab", name="Experiments").click()
    answered(tab, "ce-gates")
    give(tab, own)
    answered(tab, "ce-gates")
    shown = {}
    for part, button in OTHERS.items():
        tab.locator(f"#cv-experiments .ce-parts input[value={part}]").check(force=True)
        if part == "models":
            tab.get_by_label("The other model").fill("resnet18-cbam-everyday117")
        if button:
            tab.get_by_role("button", name=button, exact=True).click()
        tab.wait_for_selector("#cv-experiments section[data-answered]")
        shown[part] = tab.locator("#cv-experiments section").inner_text().replace("−", "-")
    found = change_photo(explainer, own, {"kind": "flip"})
    assert all(f"{f.correlation:.3f}" in shown["photo"] for f in found.followed if f.correlation)
    first = explainer.explain(own).predictions[0]
    none = dict(variants(explainer, own))["none"]
    assert f"{none.classes[0].logit_after:.2f}" in shown["variants"]
    cam = class_map(explainer, own)
    assert f"whose logit is {cam.logit:.2f}" in shown["classMap"]
    assert shown["models"].count(f"{first.label}\t{100 * first.probability:.1f} %") == 2
    rho = randomise(explainer, own).correlations(explainer.open_at)[-1]
    assert f"ρ = {rho:.2f}" in shown["randomised"]
    assert f"Probability of {first.label}" in shown["deletion"]

    tab.locator("#cv-experiments .ce-parts input[value=drawn]").check(force=True)
    tab.get_by_text("By numbers").click()
    for label, value in (("left", 20), ("top", 10), ("right", 70), ("bottom", 90)):
        tab.locator("#cv-experiments").get_by_label(label, exact=True).fill(str(value))
    tab.get_by_role("button", name="Take this box").click()
    answered(tab, "ce-drawn")
    drawn = judge_drawn(explainer.explain(own), box_outline((0.2, 0.1, 0.7, 0.9)))
    aucs = numbers(tab, "#cv-experiments .ce-drawn tbody td:nth-of-type(1)")
    assert aucs[:8] == pytest.approx([f.auc for f in drawn.blocks.values()], abs=6e-4)

    # A long one is stopped, and the next one is answered.
    tab.locator("#cv-experiments .ce-parts input[value=several]").check(force=True)
    tab.get_by_role("button", name="Find out", exact=True).click()
    tab.get_by_role("button", name="Stop", exact=True).click()
    tab.get_by_text("Stopped.").wait_for()
    tab.locator("#cv-experiments .ce-parts input[value=gates]").check(force=True)
    answered(tab, "ce-gates")


@pytest.mark.parametrize("end", ["stop", "leave"])
def test_nothing_runs_on_for_nobody(browser, address, monkeypatch, end):
    """The server stops when the visitor stops it, or is gone."""
    told: list[int] = []

    def slow(visit: Visit, said: dict):
        for done in range(300):
            told.append(done)
            time.sleep(0.1)
            yield {"done": done, "total": 300, "effects": []}

    monkeypatch.setitem(experiments.STEPS, "effects", slow)
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector("#cv-viewer .cv-map")
    page.get_by_role("tab", name="Experiments").click()
    answered(page, "ce-gates")
    page.locator("#cv-experiments input[value=effects]").check(force=True)
    page.get_by_role("button", name="Find out").click()
    page.wait_for_function("document.querySelector('#cv-experiments progress').value > 3")
    if end == "stop":
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_text("Stopped.").wait_for()
    else:
        page.close()
    last, since = len(told), time.monotonic()
    while time.monotonic() < since + 3 and len(told) < 290:
        time.sleep(0.1)
        if len(told) > last:
            last, since = len(told), time.monotonic()
    assert len(told) < 290
    if end == "stop":
        page.close()


def test_the_experiments_speak_chinese(tab):
    tab.get_by_role("tab", name="Experiments").click()
    answered(tab, "ce-gates")
    tab.locator("#cv-header button[lang=zh]").click()
    tab.wait_for_selector("#cv-experiments[lang=zh], #cv-experiments .cbam-experiments[lang=zh]")
    text = tab.locator("#cv-experiments").inner_text()
    assert "空间门控" in text and "之后" in text
    assert not np.any([word in text for word in ("Before", "Block", "Gate")])
