"""Spot the bug, and the quiz, answered and checked against the network."""

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from helpers import overlay_of, pixels
from PIL import Image
from teaching import BUGS, QUESTIONS, WORDS, choose, done, go, said

from cbam_viz.explain.slips import SLIPS, slip_up, with_slip
from cbam_viz.render.overlay import Look
from cbam_viz.ui import course


@pytest.mark.parametrize(("key", "name"), list(zip(BUGS, SLIPS, strict=True)))
def test_a_bug_is_found_and_its_numbers_are_the_networks(page, visit, anatomy, key, name):
    go(page, key)
    lines = page.locator("ol.cc-code li")
    lines.first.wait_for()
    slip, made = SLIPS[name], slip_up(visit.explainer, anatomy, name)
    assert lines.all_inner_texts() == slip.code
    shown = page.locator(".cc-step").inner_text().replace("−", "-")
    assert "strict=False does" not in shown or key == "bug6"
    if made.wrong.ndim < 3:
        assert f"Right form: {made.right.min():.3f} … {made.right.max():.3f}" in shown
        assert f"This code: {made.wrong.min():.3f} … {made.wrong.max():.3f}" in shown
    right_line = next(i for i in range(len(slip.code) - 1) if i not in slip.lines)
    answer = page.locator(".cc-answer")
    lines.nth(1 + right_line).get_by_role("button").click()
    assert page.locator(".cc-verdict").inner_text().startswith("Not this line")
    page.get_by_role("button", name="Hint", exact=True).click()
    assert WORDS["en"][f"{key}_hint"] in page.locator(".cc-step").inner_text()
    assert not answer.is_visible()
    assert key not in done(page)
    if slip.lines[0] == 0:  # found, or given up
        page.get_by_role("button", name="Answer", exact=True).click()
    else:
        lines.nth(1 + slip.lines[0]).get_by_role("button").press("Enter")
        assert page.locator(".cc-verdict").inner_text().startswith("Found")
    assert page.locator(".cc-code .cc-found").count() == len(slip.lines)
    assert [line.strip() for line in slip.mended] == answer.locator("pre").inner_text().split("\n")
    cells = answer.locator("td").all_inner_texts()
    for cell, measured in zip(cells, (made.right_measure, made.wrong_measure), strict=True):
        numbers = [float(n) for n in cell.replace("−", "-").split(",")]
        assert numbers == pytest.approx(measured, abs=6e-5)
    after = with_slip(visit.explainer, visit.explanation, name).predictions[0]
    expected = f"“{after.label}”, {round(100 * after.probability)} %."
    page.wait_for_function(
        "(text) => document.querySelector('.cc-answer').innerText.includes(text)",
        arg=f"in every block: {expected}",
    )
    assert key in done(page)


def test_a_network_that_a_bug_leaves_without_numbers_gives_no_answer(visit, monkeypatch):
    wild = with_slip(visit.explainer, visit.explanation, "no-sigmoid")
    logits = np.full_like(wild.logits, np.nan)
    first = replace(wild.predictions[0], probability=float("nan"))
    none = replace(wild, logits=logits, predictions=(first,))
    monkeypatch.setattr(course, "with_slip", lambda *_: none)
    answer = course.answered(visit, {"need": "slipped", "name": "no-sigmoid"})
    assert answer["left"] is None and answer["after"]["probability"] is None
    json.dumps(answer, allow_nan=False)


def drawn_block(card, explanation, names: list[str]) -> str:
    """Whose spatial gate a quiz's picture shows, among some blocks: as it would be drawn here."""
    url = card.locator("canvas").evaluate("(canvas) => canvas.toDataURL()")
    shown = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")
    look = Look(mode="cells", scale="stretched", opacity=0.6)

    def far(name: str) -> float:
        expected = pixels(overlay_of(explanation, name, look, shown.size))
        return float(np.abs(pixels(shown) - expected).mean())

    return min(names, key=far)


def right_letter(card, visit) -> str:
    """Which picture is Grad-CAM: the only one that another class makes another one."""
    before = card.locator("figcaption").all_inner_texts()
    choose(card, visit.explanation.predictions[1].label)
    card.page.wait_for_function(
        "(before) => [...document.querySelectorAll('[data-question=cam] figcaption')]"
        ".some((e, i) => e.innerText !== before[i])",
        arg=before,
    )
    after = card.locator("figcaption").all_inner_texts()
    (changed,) = (a for a, b in zip(after, before, strict=True) if a != b)
    return changed[0]


@pytest.mark.parametrize("right", [True, False])
def test_a_quiz_is_answered_and_checked_against_the_network(page, visit, anatomy, right):
    go(page, "quiz")
    if not right:
        page.get_by_role("button", name="New questions").click()
    cards = {key: page.locator(f".cc-card[data-question={key}]") for key in QUESTIONS}
    cards["look"].wait_for()
    page.wait_for_function("document.querySelectorAll('.cc-card [data-drawn]').length === 4")
    explanation = visit.explanation

    offered = cards["block"].get_by_role("button").all_inner_texts()
    assert len({explanation.block(name).stride for name in offered}) == len(offered) == 4
    shown = explanation.block(drawn_block(cards["block"], explanation, offered))
    answers = {"block": shown.name, "cam": right_letter(cards["cam"], visit)}

    question = cards["shut"].locator("h3").inner_text()
    of = re.search(r"gate of (\S+) is shut", question)[1]
    gates = {f"{of}.{kind}": "shut" for kind in ("channel", "spatial")}
    after = visit.explainer.explain(explanation.photo, gates=gates)
    first, now = explanation.predictions[0], after.predictions[0]
    answers["shut"] = "same" if now.index == first.index else "other"
    for key, answer in answers.items():
        pick = f"[data-value='{answer}']" if right else f"[data-value]:not([data-value='{answer}'])"
        cards[key].locator(pick).first.click()
        cards[key].locator(f".cc-found[data-value='{answer}']").wait_for()
        cards[key].locator(pick).last.click(force=True)  # only the first answer counts

    gate = anatomy.spatial_gate
    at = np.unravel_index(gate.argmax() if right else gate.argmin(), gate.shape)
    grid = cards["look"].get_by_role("slider")
    start = gate.shape[0] // 2, gate.shape[1] // 2
    for keys, way in ((("ArrowUp", "ArrowDown"), 0), (("ArrowLeft", "ArrowRight"), 1)):
        for _ in range(abs(int(at[way]) - start[way])):
            grid.press(keys[int(at[way] > start[way])])
    cards["look"].get_by_role("button", name="Look here").click()

    verdicts = [cards[key].get_attribute("data-right") for key in QUESTIONS]
    assert verdicts == [str(right).lower()] * 4
    replies = {key: cards[key].locator(".cc-reply").inner_text() for key in QUESTIONS}
    rows, columns = shown.spatial.shape
    cells = f"{shown.name}: {rows} × {columns} cells, one for every {shown.stride} px"
    assert cells in replies["block"]
    left = after.probabilities[first.index]
    assert f"has {round(100 * left)} % now; the answer is “{now.label}”" in replies["shut"]
    higher = round(100 * (gate > gate[at]).mean())
    assert f"your cell is {gate[at]:.3f}; {higher} % of all" in replies["look"]
    assert all(r.startswith("Right." if right else "Not quite.") for r in replies.values())
    assert said(page) == f"{4 * right} right of 4 answered; 4 questions."
    assert "quiz" in done(page)


def test_shutting_a_gate_is_the_networks_own_doing(visit):
    answer = course.answered(visit, {"need": "shut", "of": "layer2.0"})
    after = visit.explainer.explain(
        visit.explanation.photo,
        gates={"layer2.0.spatial": np.zeros(visit.explanation.block("layer2.0").spatial.shape)},
    )
    first = visit.explanation.predictions[0]
    assert answer["before"]["label"] == first.label
    assert answer["after"]["label"] == after.predictions[0].label
    assert answer["left"] == pytest.approx(after.probabilities[first.index], abs=1e-5)
