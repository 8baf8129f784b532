"""The viewer's links and its print; every language, width, theme, shape and fault."""

import re
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from helpers import at_rest, make_explanation
from viewing import difference, expect, on_page, read_canvas, sent_photo, set_state, state_of

from cbam_viz.ui import bundle
from cbam_viz.ui.standalone import standalone_html
from cbam_viz.ui.viewer import payload


def test_a_link_restores_the_view(explanation, show):
    page = show(explanation)
    page.locator(".cv-thumb").nth(5).click()
    page.get_by_label("Cells").check()
    page.get_by_label("Stretched").check()
    page.get_by_label("Colours").select_option("cividis")
    page.get_by_label("Before/after").check()
    page.mouse.click(*on_page(page, explanation, "layer3.1", 5, 3))
    state_of(page)
    link = page.evaluate("location.hash")
    other = show(explanation, link)
    assert np.array_equal(read_canvas(page), read_canvas(other))
    assert other.get_by_label("Before/after").is_checked()
    assert other.locator(".cv-read-pinned").inner_text() == (
        page.locator(".cv-read-pinned").inner_text()
    )
    # Another link in the same page leaves nothing of the last one.
    other.evaluate("location.hash = '#block=layer1.0'")
    at_rest(other, 100)
    assert other.get_by_label("Multiply", exact=True).is_checked()
    assert other.get_by_label("Off").is_checked()
    assert other.locator(".cv-read-pinned").count() == 0


@pytest.mark.parametrize("granted", [True, False])
def test_what_a_link_does_not_hold_is_said(explanation, show, granted):
    permissions = ["clipboard-read", "clipboard-write"] if granted else []
    narrow = {"width": 390, "height": 844}
    page = show(explanation, "#theirs=1", permissions=permissions, viewport=narrow)
    if not granted:
        page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    copy = page.locator(".cv-tools button").first
    where = "Link copied" if granted else "Copy the link from the field"
    set_state(page, block="layer2.0")
    copy.click()
    expect(copy).to_have_text(where)
    if granted:
        link = page.evaluate("navigator.clipboard.readText()")
        assert link.endswith("#theirs=1&block=layer2.0")
    else:
        field = page.get_by_role("textbox", name="Link")
        assert field.input_value() == page.url
        assert page.evaluate("getSelection().toString()") == page.url
        field.blur()
        assert field.is_hidden()
    expect(copy).to_have_text("Copy link")
    page.evaluate("payload.photo.linked = false; viewer.setPayload(payload)")
    copy.click()
    expect(copy).to_have_text(f"{where}. It does not hold your photo.")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_nonsense_in_a_link_is_ignored(explanation, show):
    page = show(
        explanation,
        "#block=layer9.9&mode=x&opacity=abc&keep=7&pin=3,a&channel=99999&wipe=-1&compare=photo"
        "&colours=__proto__&lang=xx&theirs=1",
    )
    assert page.locator(".cv-thumb[aria-selected=true] .cv-name").inner_text() == "layer4.1"
    page.get_by_label("Contour").check()
    state = state_of(page)
    assert state["theirs"] == "1"
    assert state["block"] == "layer4.1"
    assert page.get_by_label("Attention inside the outline").input_value() == "0.95"


def test_the_hand_out_is_one_page(explanation, show):
    page = show(explanation, "#block=layer3.0&pin=0.5,0.5", color_scheme="dark")
    sheet = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", sheet)) == 1


@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
@pytest.mark.parametrize("locale", ["en", "zh-CN"])
def test_nothing_scrolls_sideways(show, width, locale):
    explanation = make_explanation((800, 600), blocks=16, width=256)
    page = show(explanation, viewport={"width": width, "height": 900}, locale=locale)
    for compare in ("off", "wipe", "block"):
        set_state(page, compare=compare, order="channel", pin=[0.99, 0.5])
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_chinese_follows_the_browser_and_can_be_switched(explanation, show):
    page = show(explanation, locale="zh-CN")
    words = bundle.strings("viewer")
    assert page.locator(".cbam-viewer").get_attribute("lang") == "zh"
    assert page.get_by_label(words["zh"]["multiply"], exact=True).is_checked()
    page.get_by_role("button", name="English").click()
    at_rest(page, 100)
    assert page.get_by_label(words["en"]["multiply"], exact=True).is_checked()
    assert state_of(page)["lang"] == "en"


def test_a_page_can_change_the_language_itself(explanation, show):
    page = show(explanation, "#lang=zh&block=layer3.0")
    page.evaluate(
        """() => {
            viewer.destroy();
            window.pages = CbamViz.mountViewer(root, payload, { lang: "en-GB", switchable: false });
            return pages.ready;
        }"""
    )

    def change(**state):
        page.evaluate("state => { pages.setState(state); pages.draw(); }", state)

    element = page.locator(".cbam-viewer")
    assert element.get_attribute("lang") == "en"
    assert page.locator(".cv-tools button").all_inner_texts() == ["Copy link"]
    change(lang="zh")
    assert element.get_attribute("lang") == "zh"
    assert page.locator(".cv-tools button").all_inner_texts() == ["复制链接"]
    # What the address says of the language is the page's: neither written nor taken out.
    assert state_of(page) == {"lang": "zh", "block": "layer3.0"}
    change(lang="en", block="layer2.0")
    assert state_of(page) == {"lang": "zh", "block": "layer2.0"}
    change(lang="xx")
    assert element.get_attribute("lang") == "en"


def test_dark_follows_the_system(explanation, show):
    def ground(scheme):
        page = show(explanation, color_scheme=scheme)
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert ground("light") == "rgb(255, 255, 255)"
    assert ground("dark") == "rgb(21, 24, 31)"


def test_nothing_is_asked_of_anyone_during_fifty_interactions(explanation, show):
    page = show(explanation)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    actions: list[Callable] = [
        lambda i: page.locator(".cv-thumb").nth(i % 8).click(),
        lambda i: page.get_by_label(("Cells", "Contour", "Multiply")[i % 3]).check(),
        lambda i: page.mouse.click(*on_page(page, explanation, "layer4.1", i % 7, i % 10)),
        lambda i: page.get_by_label(("Stretched", "All blocks")[i % 2], exact=True).check(),
        lambda i: page.get_by_label(("Blocks", "Off")[i % 2], exact=True).check(),
    ]
    for i in range(50):
        actions[i % len(actions)](i)
    assert asked == []


def test_the_last_photo_wins_and_nothing_mixes(explanation, show):
    page = show(explanation)
    large, small = make_explanation((1024, 1024), seed=2), make_explanation((520, 520), seed=3)
    page.evaluate(
        "([a, b]) => Promise.all([viewer.setPayload(a), viewer.setPayload(b)])",
        [payload(large), payload(small)],
    )
    assert difference(page, small, "layer4.1") <= 2
    page.evaluate("viewer.setPayload(null)")
    assert "Give a photo" in page.locator(".cbam-viewer").inner_text()


def test_another_model_while_one_is_on_screen(explanation, show):
    page = show(explanation, "#block=layer4.1&compare=block&other=layer3.1&channel=500")
    deep = make_explanation((640, 480), blocks=16, seed=4, width=16)
    page.evaluate("other => viewer.setPayload(other)", payload(deep))
    expect(page.locator(".cv-thumb")).to_have_count(16)
    assert page.locator(".cv-thumb[aria-selected=true] .cv-name").inner_text() == "layer4.1"
    assert page.locator(".cv-chart .cv-tag").is_hidden()


@pytest.mark.parametrize("size", [(5000, 10), (10, 5000), (1, 1)])
def test_photos_of_any_shape(show, size):
    explanation = make_explanation(size)
    page = show(explanation)
    box = page.locator(".cv-frame").first.bounding_box()
    assert min(box["width"], box["height"]) >= 150
    assert max(read_canvas(page).shape) >= 512
    assert ("squeezed" in page.locator(".cbam-viewer").inner_text()) == explanation.view.squeezed


def test_an_error_leaves_the_photo_and_a_sentence(explanation, show):
    page = show(explanation)
    broken = payload(explanation)
    broken["blocks"][3]["spatial"] = "%%%"
    page.evaluate("broken => viewer.setPayload(broken)", broken)
    still = page.locator(".cv-still")
    assert "cannot run here" in still.inner_text()
    assert still.locator("img").evaluate("e => e.naturalWidth") == sent_photo(broken).width
    assert len(page.expected_errors) == 1
    page.expected_errors.clear()
    # It stays, in the page's language, whatever is asked of it; and ends with the next photo.
    set_state(page, block="layer1.0", lang="zh")
    assert bundle.strings("viewer")["zh"]["broken"] in still.inner_text()
    page.evaluate("viewer.setPayload(payload)")
    assert page.locator(".cv-thumb").count() == 8


def test_an_error_while_drawing_leaves_the_photo_and_a_sentence(explanation, show):
    page = show(explanation)
    page.evaluate(
        """() => {
            const { prototype } = CanvasRenderingContext2D;
            prototype.intact = prototype.putImageData;
            prototype.putImageData = () => { throw new Error("no pixels"); };
        }"""
    )
    page.locator(".cv-thumb").first.click()
    still = page.locator(".cv-still")
    expect(still).to_contain_text("cannot run here")
    assert still.locator("img").bounding_box()["width"] > 300
    # Nothing is done any more that was still to be done, and nothing drawn that is not there.
    page.set_viewport_size({"width": 800, "height": 700})
    page.emulate_media(media="print")
    at_rest(page, 400)
    assert len(page.expected_errors) == 1 and "no pixels" in page.expected_errors.pop()
    page.emulate_media(media="screen")
    page.evaluate(
        "() => { const p = CanvasRenderingContext2D.prototype; p.putImageData = p.intact; }"
    )
    other = make_explanation((640, 480), seed=7)
    page.evaluate("other => viewer.setPayload(other)", payload(other))
    assert page.locator(".cv-thumb").count() == 8
    set_state(page, block="layer4.1", opacity=0.55)
    assert difference(page, other, "layer4.1") <= 2


def test_it_draws_without_webgl(browser, explanation, tmp_path):
    (tmp_path / "viewer.html").write_text(standalone_html(explanation), "utf-8")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-webgl", "--disable-3d-apis"]
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    plain = browser.browser_type.launch(executable_path=executable, args=flags)
    try:
        page = plain.new_page(locale="en")
        page.goto((tmp_path / "viewer.html").as_uri())
        page.evaluate("viewer.ready")
        assert page.evaluate("document.createElement('canvas').getContext('webgl') === null")
        assert difference(page, explanation, "layer4.1") <= 2
    finally:
        plain.close()


def test_without_javascript_the_photo_and_a_sentence_stay(explanation, show):
    page = show(explanation, java_script_enabled=False)
    still = page.locator(".cv-still")
    assert bundle.strings("viewer")["en"]["broken"] in still.inner_text()
    assert still.locator("img").bounding_box()["width"] > 300


def test_destroy_leaves_nothing(explanation, show):
    page = show(explanation)
    page.evaluate("viewer.destroy()")
    assert page.locator(".cbam-viewer *").count() == 0
    page.evaluate("location.hash = '#block=layer1.0'")
    at_rest(page, 400)
    assert page.locator(".cbam-viewer *").count() == 0
