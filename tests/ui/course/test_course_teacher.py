"""The teacher's page: plan, exercises, hand-out, projector and ready links."""

import itertools
import re

import numpy as np
import pytest
from helpers import EXAMPLES
from teaching import LINKED, PARTS, WORDS, go

from cbam_viz import Explainer


def test_the_plan_takes_45_minutes_and_leads_to_every_part(page):
    go(page, "teacher")
    rows = page.locator(".cc-table tbody tr")
    spans = [row.split("–") for row in rows.locator("th").all_inner_texts()]
    assert spans[0][0] == "0" and spans[-1][1] == "45"
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    links = rows.locator("a")
    assert links.evaluate_all("all => all.map((a) => a.hash)") == [
        a for a in links.evaluate_all("all => all.map((a) => a.hash)") if "tab=course" in a
    ]
    led = [re.search(r"step=(\w+)", a.get_attribute("href"))[1] for a in links.all()]
    assert sorted(led) == sorted(PARTS)
    rows.get_by_role("link", name="Channel gate").click()
    page.wait_for_selector(".cc-step[data-key=gate]")
    assert "On your photo" in page.locator(".cc-where").inner_text()
    page.go_back()
    page.wait_for_selector(".cc-step[data-key=teacher]")


def test_exercises_ask_for_the_numbers_of_this_block(page, anatomy):
    go(page, "teacher")
    exercises = page.locator(".cc-exercises > li")
    assert exercises.count() == 6
    for exercise in exercises.all():
        answer = exercise.locator("details p")
        assert not answer.is_visible()
        exercise.locator("summary").press("Enter")
        assert answer.is_visible()
    weights = anatomy.hidden_weight.size + anatomy.out_weight.size
    assert exercises.nth(1).locator("details p").inner_text().endswith(f"= {weights}.")
    rows, columns = anatomy.spatial_gate.shape
    side = anatomy.kernel.shape[1]
    around = np.pad(np.ones((rows, columns)), side // 2)[:side, :side]
    products = f"= {2 * around.size}. In a corner of this block's map {int(2 * (1 - around).sum())}"
    assert products in exercises.nth(3).locator("details p").inner_text()


@pytest.mark.parametrize(("lang", "paper"), [("en", "Letter"), ("zh", "A4")])
def test_the_hand_out_has_two_pages_in_the_language_of_the_page(page, lang, paper):
    go(page, "teacher")
    page.evaluate("() => (window.print = () => (window.printed = true))")
    if lang == "zh":
        page.locator("#cv-header button[lang=zh]:visible").click()
        page.wait_for_selector("html[lang|=zh]")
    try:
        page.locator(".cc-teacher .cv-primary").first.click()
        page.wait_for_function("window.printed")
        sheet = page.locator(".cc-handout")
        text = sheet.text_content()
        assert not sheet.is_visible()  # on the screen nothing changes
        assert WORDS[lang]["handout_title"] in text and "{" not in text
        assert sheet.locator("li").count() == 16
        assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format=paper))) == 2
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert sheet.count() == 0
    finally:
        page.evaluate("delete window.printed")
        if lang == "zh":
            page.locator("#cv-header button[lang=en]:visible").click()
            page.wait_for_selector("html[lang=en]")


def test_the_projector_shows_the_course_alone_and_a_presenter_leads_on(page):
    go(page, "teacher")
    page.get_by_role("button", name="Projector mode").click()
    assert not page.locator("#cv-given").is_visible()
    go(page, "gate")
    for key, part in (("PageDown", "planes"), ("PageDown", "window"), ("PageUp", "planes")):
        page.keyboard.press(key)
        page.wait_for_selector(f".cc-step[data-key={part}]")
    slider = page.get_by_role("slider", name="Cell. Arrow keys")
    slider.press("PageDown")  # a slider's own key
    assert page.locator(".cc-step[data-key=planes]").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("#cv-given").is_visible()
    page.locator(".cc-title").press("PageDown")
    assert page.locator(".cc-step[data-key=planes]").count() == 1


def test_each_ready_link_shows_what_it_promises():
    explainer = Explainer.from_pretrained(LINKED["model"])
    shown = {}
    for link in LINKED["links"]:
        explanation = explainer.explain(EXAMPLES / f"{link['photo']}.jpg", 3)
        shown[link["key"]] = explanation, explanation.block(link["block"]).spatial_figures
    assert list(shown) == ["one", "two", "corner", "none", "wrong", "flat"]
    cup = {"espresso", "cup", "coffee mug"}
    for key in ("one", "two", "corner"):
        assert shown[key][0].predictions[0].label in cup
    assert all("galaxy" not in label and "dahlia" not in label for label in explainer.classes)
    assert shown["none"][0].predictions[0].probability < 0.5  # it is not sure
    assert [key for key, (_, gate) in shown.items() if gate.nearly_constant] == ["flat"]


def test_a_ready_link_opens_its_view_and_leaves_the_lesson_alone(page):
    go(page, "teacher")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="A flat gate").click()
    view = opened.value
    view.wait_for_selector("html:not(.cv-following) #cv-viewer .cv-map")
    view.wait_for_function("CbamPage.block() === 'layer2.0'")
    assert "photo=sneakers" in view.url and LINKED["model"] in view.url
    view.close()
    assert "On your photo" in page.locator(".cc-where").inner_text()
