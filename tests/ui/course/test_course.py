"""The course as a whole: what it loads, its words and symbols, who follows what, what is kept."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from helpers import at_rest, visit_of
from teaching import (
    ALL,
    BUGS,
    FOLDER,
    PARTS,
    STEPS,
    STRINGS,
    WORDS,
    choose,
    done,
    go,
    open_course,
    said,
)

from cbam_viz.ui import bundle, course
from cbam_viz.ui.visitors import Refused


def test_nothing_of_the_course_is_loaded_before_it_is_opened(browser, address):
    page = open_course(browser, address)
    page.wait_for_timeout(1500)
    first = [url for url in page.asked if "/course/" in url]
    html = page.evaluate("fetch(location.pathname).then((answer) => answer.text())")
    known = bundle.script() + bundle.style() + html
    page.get_by_role("tab", name="Course").click()
    page.wait_for_selector(".cc-step")
    later = [url for url in page.asked if "/course/" in url]
    page.context.close()
    assert first == []
    assert {re.search(r"course\.(js|css)", url)[1] for url in later} == {"js", "css"}
    for words in WORDS.values():
        assert [key for key in ALL if words[f"{key}_text"] in known] == []
    assert "cc-stop" not in known


def test_the_parts_say_where_they_are(page):
    assert page.eval_on_selector_all(".cc-stop", "a => a.map((e) => e.dataset.step)") == ALL
    for key in ALL:
        go(page, key)
        step = page.locator(".cc-step")
        assert "On your photo" in step.inner_text()
        assert "layer4.0" in step.inner_text()
        assert "{" not in step.inner_text()
        assert page.locator(".cc-stop[aria-current]").get_attribute("data-step") == key
        assert f"step={key}" in page.url
        assert page.evaluate("document.activeElement.className") == "cc-title"


def test_a_symbol_is_explained_and_lights_up_where_it_stands(page):
    go(page, "window")
    page.locator(".cc-symbols [data-s=z]").focus()
    assert page.locator(".cc-explained").inner_text() == WORDS["en"]["sym_z"]
    lit = page.locator(".cc-lit")
    assert set(lit.evaluate_all("all => all.map((e) => e.dataset.s)")) == {"z"}
    assert lit.count() == 3  # in the formula, its chip, its picture
    page.locator(".cc-formula [data-s=f]").hover()
    assert page.locator(".cc-explained").inner_text() == WORDS["en"]["sym_f"]


def test_every_symbol_of_every_formula_is_explained(page):
    for key in STEPS[:-1]:
        go(page, key)
        page.wait_for_function(
            "![...document.querySelectorAll('.cc-symbols b')].some((e) => !e.innerText)",
        )
        written = page.eval_on_selector_all(".cc-formula [data-s]", "a => a.map(e => e.dataset.s)")
        listed = page.eval_on_selector_all(".cc-symbols [data-s]", "a => a.map(e => e.dataset.s)")
        assert set(written) <= set(listed)
        assert all(f"sym_{symbol}" in WORDS["en"] for symbol in listed)


def test_going_through_asks_the_server_nothing_but_grad_cam(page):
    page.asked.clear()
    for key in STEPS[:8]:
        go(page, key)
    at_rest(page, 300)
    assert [
        u for u in page.asked if not u.startswith(("data:", "blob:")) and "heartbeat" not in u
    ] == []


def test_progress_is_kept_in_the_browser(browser, address):
    page = open_course(browser, address, hash_="tab=course&step=mlp")
    page.wait_for_selector(".cc-step[data-key=mlp]")
    assert done(page) == set()
    choose(page.locator(".cc-step"), "Max-pooled")
    assert done(page) == {"mlp"}
    page.reload()
    page.wait_for_selector(".cc-step[data-key=mlp]")
    assert done(page) == {"mlp"}
    assert f"1 of {len(PARTS)}" in page.locator(".cc-count").inner_text()
    page.evaluate("localStorage.setItem('cbam-viz-course', '{nonsense')")
    page.reload()
    page.wait_for_selector(".cc-step[data-key=mlp]")
    assert done(page) == set()
    page.context.close()


def test_another_photo_and_another_block_are_followed(browser, address, photo):
    page = open_course(browser, address, hash_="tab=course&step=spatial")
    page.wait_for_selector(".cc-step")
    before = said(page)
    assert "example photo" in page.locator(".cc-where").inner_text()
    page.set_input_files("#cv-photo input[type=file]", photo)
    page.wait_for_function("document.querySelector('.cc-where')?.innerText.includes('your photo')")
    assert said(page) != before
    page.get_by_role("tab", name="Every block").click()
    page.locator(".cv-thumb", has_text="layer2.0").click()
    page.get_by_role("tab", name="Course").click()
    page.wait_for_function("document.querySelector('.cc-where')?.innerText.includes('layer2.0')")
    assert page.complaints == []
    page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "scheme", "locale"), [(1280, "light", "en"), (390, "dark", "zh-CN")]
)
def test_every_step_is_clean_for_axe_and_keeps_to_the_page(browser, address, width, scheme, locale):
    from axe_playwright_python.sync_playwright import Axe

    page = open_course(
        browser,
        address,
        hash_="tab=course",
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        locale=locale,
    )
    page.wait_for_selector(".cc-step")
    for key in ALL:
        go(page, key)
        if key in BUGS:
            page.locator(".cc-tools button").last.click()
        at_rest(page, 300)
        found = Axe().run(page, context="#cv-course").response["violations"]
        assert [(key, v["id"], n["target"]) for v in found for n in v["nodes"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if locale == "zh-CN":
            text = page.locator(".cc-text").inner_text()
            assert re.search(r"[\u4e00-\u9fff]", text) and "您" not in text
    page.context.close()


def test_every_word_is_there_in_both_languages_and_none_is_left_over():
    sources = "".join(f.read_text() for f in FOLDER.rglob("*.js*") if f.parts[-1] != "strings.json")
    made = r"^(sym|plan|link|exercise|handout|{})_".format("|".join(ALL))
    assert not STRINGS[0]["en"].keys() & STRINGS[1]["en"].keys()
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    for key, text in WORDS["en"].items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", WORDS["zh"][key])), key
        ending = key.rsplit("_", 1)[-1]
        assert re.match(made, key) or f'"{key}"' in sources, key
        assert ending in sources, key


def test_what_the_course_may_ask_for(visit):
    answer = course.answered(visit, {"id": "7", "need": "lesson", "block": "no such block"})
    assert (answer["id"], answer["block"]["name"]) == ("7", visit.explainer.open_at)
    assert len(json.dumps(answer)) < 2_000_000
    assert len({one["channel"] for one in answer["more"]}) == 2 * course.MORE
    winners = np.frombuffer(base64.b64decode(answer["winners"]), "<u2")
    assert winners.size == answer["block"]["rows"] * answer["block"]["columns"]
    for asked in (None, [], "lesson", {"need": "all"}, {"need": ["lesson"]}):
        with pytest.raises(Refused, match="the course needs one of lesson, cam"):
            course.answered(visit, asked)
    for index in (None, -1, "1", 117, 1.5):
        with pytest.raises(Refused, match="a class is a number up to 116"):
            course.answered(visit, {"need": "cam", "index": index})
    for need in ("slip", "slipped"):
        for name in (None, "typo", ["no-sigmoid"], 3):
            with pytest.raises(Refused, match="a slip is one of no-sigmoid, two-"):
                course.answered(visit, {"need": need, "name": name})
    for of in (None, "layer9.0", ["layer4.1"]):
        with pytest.raises(Refused, match="no block"):
            course.answered(visit, {"need": "shut", "of": of})


def test_the_inside_of_a_block_is_computed_once_for_all_that_ask(visit, monkeypatch):
    own = visit_of(visit.explainer, visit.explanation)
    first = own.anatomy("layer4.1")
    assert own.anatomy("layer4.1") is first
    assert own.anatomy("layer4.0").name == "layer4.0"
    assert replace(own, name="other").anatomy("layer4.1") is not first
