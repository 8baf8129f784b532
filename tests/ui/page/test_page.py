"""The page in a real browser: a visit from the first look on, on every screen."""

import numpy as np
import pytest
from helpers import EXAMPLES, at_rest
from paging import COFFEE, choose, give, likeliest, predicted
from PIL import Image
from playwright.sync_api import expect

from cbam_viz import Explainer
from cbam_viz.ui.handlers import TABS


def test_a_photo_goes_all_the_way_through(tab):
    assert "Convolutional Block Attention Module" in tab.title()
    give(tab, COFFEE)
    expected = Explainer.from_pretrained().explain(COFFEE)
    assert predicted(tab) == expected.predictions[0].label
    shown = tab.locator("#cv-viewer").inner_text()
    for block in expected.blocks:
        assert block.name in shown
    status = tab.locator(".cv-status").inner_text()
    assert "resnet18-cbam-everyday117" in status
    assert "600 × 400" in status


def test_a_first_visit_shows_an_example_and_shows_around(tab):
    tab.wait_for_selector("#cv-viewer .cv-map")
    expected = Explainer.from_pretrained().explain(EXAMPLES / "sneakers.jpg")
    assert predicted(tab) == expected.predictions[0].label
    around = tab.get_by_role("region", name="Shown around")
    assert expected.predictions[0].label in around.inner_text()
    for _ in range(2):
        around.get_by_role("button", name="Next").click()
    tab.wait_for_function("document.querySelector('#cv-viewer input[value=multiply]').checked")
    around.get_by_role("button", name="Got it").click()
    assert around.count() == 0
    # All of it is there: features, the inside, downloads.
    tab.get_by_role("button", name="Show their feature maps").click()
    tab.wait_for_selector("#cv-viewer .cv-extremes canvas")
    tab.get_by_role("tab", name="Inside a block").click()
    tab.wait_for_selector("#cv-inside canvas")
    tab.reload()  # once is enough; the link opens the inside again, over the viewer
    tab.wait_for_selector("#cv-viewer .cv-map", state="attached")
    assert around.count() == 0
    tab.get_by_text("It knows 117 classes").click()
    assert tab.locator(".cv-known li").first.is_visible()


@pytest.mark.parametrize("leave", ["photo", "Skip", "reload"])
def test_the_tour_takes_its_look_away_with_it(tab, leave):
    """It stretches the scale, to be plain at the first glance; nobody else chose that."""
    around = tab.get_by_role("region", name="Shown around")
    around.get_by_role("button", name="Next").click()
    stretched = tab.get_by_role("radio", name="Stretched", exact=True)
    expect(stretched).to_be_checked()
    if leave == "photo":
        give(tab, COFFEE)
    elif leave == "reload":
        tab.wait_for_function("location.hash.includes('block=')")
        tab.wait_for_timeout(2000)  # requests that are cut off are complained of
        tab.reload()
    else:
        around.get_by_role("button", name=leave).click()
    expect(tab.get_by_role("radio", name="0 to 1", exact=True)).to_be_checked()
    expect(tab.get_by_role("radio", name="Multiply", exact=True)).to_be_checked()
    assert around.count() == 0


def test_what_the_visitor_chose_meanwhile_outlives_the_tour(tab):
    tab.get_by_role("region", name="Shown around").wait_for()
    choose(tab.get_by_role("radio", name="Cells", exact=True))
    choose(tab.get_by_role("radio", name="All blocks", exact=True))
    give(tab, COFFEE)
    assert tab.get_by_role("radio", name="Cells", exact=True).is_checked()
    assert tab.get_by_role("radio", name="All blocks", exact=True).is_checked()


def test_the_footer_has_no_gaps(tab):
    """Gradio makes buttons of the links of any footer, and ends its own with a dot."""
    link = tab.locator("#cv-footer a:visible")
    assert link.evaluate("link => getComputedStyle(link).padding") == "0px"
    own = tab.locator("footer:not(#cv-footer)")
    assert not own.inner_text().rstrip().endswith("·")


def test_words_of_the_field_are_explained_where_they_stand(tab):
    word = tab.get_by_role("button", name="stride", exact=True).first
    word.hover()
    assert "neighbouring cells" in tab.get_by_role("tooltip").inner_text()
    tab.keyboard.press("Escape")
    tab.mouse.move(5, 5)
    assert tab.get_by_role("tooltip").count() == 0
    word.focus()
    assert tab.get_by_role("tooltip").is_visible()


def test_for_a_projector_the_result_is_alone(tab):
    tab.wait_for_selector("#cv-viewer .cv-map")
    tab.get_by_role("button", name="Present").click()
    assert tab.locator("#cv-given").is_hidden()
    assert tab.locator("#cv-viewer .cv-predictions").is_visible()
    tab.keyboard.press("Escape")
    assert tab.locator("#cv-given").is_visible()


def test_fifty_interactions_ask_the_server_nothing(tab):
    give(tab, COFFEE)
    tab.wait_for_timeout(1500)
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    done = 0
    strip = tab.locator(".cv-strip")
    for key in ("Home", *7 * ["ArrowRight"], *3 * ["ArrowLeft"]):
        strip.locator("[aria-selected=true]").press(key)
        done += 1
    for mode in ("Multiply", "Contour", "Cells", "Heat"):
        choose(tab.get_by_role("radio", name=mode, exact=True))
        done += 1
    for scale in ("Stretched", "All blocks", "0 to 1"):
        choose(tab.get_by_role("radio", name=scale, exact=True))
        done += 1
    for compare in ("Before/after", "Blocks", "Off"):
        choose(tab.get_by_role("radio", name=compare, exact=True))
        done += 1
    for order in ("By channel", "Sorted"):
        choose(tab.get_by_role("radio", name=order, exact=True))
        done += 1
    for name in ("Opacity", "Depth"):
        slider = tab.get_by_role("slider", name=name)
        for key in 6 * ["ArrowLeft"] + 2 * ["ArrowRight"]:
            slider.press(key)
            done += 1
    surface = tab.locator(".cv-surface:visible").first
    for i in range(9):
        surface.hover(position={"x": 20 + 30 * i, "y": 30 + 15 * i})
        done += 1
    surface.click(position={"x": 100, "y": 100})
    tab.locator(".cv-chart").press("ArrowRight")
    at_rest(tab, 500)
    assert done + 2 >= 50
    assert "pin=" in tab.url
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == []


def test_the_last_photo_wins(tab):
    """A second photo before the first is done."""
    for words in ("dahlia", "thin object", "Nothing the network knows", "One clear object"):
        tab.locator("#cv-examples").get_by_role("button", name=words).click()
    tab.wait_for_function("document.querySelector('.cv-status')?.innerText.includes('600 × 400')")
    tab.wait_for_timeout(2000)
    assert "600 × 400" in tab.locator(".cv-status").inner_text()
    assert predicted(tab) == Explainer.from_pretrained().explain(COFFEE).predictions[0].label


def test_the_inside_of_a_block_is_shown_when_its_tab_is_opened(tab):
    give(tab, COFFEE)
    tab.get_by_role("tab", name="Inside a block").click()
    tab.wait_for_selector("#cv-inside canvas")
    assert "layer4.0" in tab.locator("#cv-inside").inner_text()


@pytest.mark.parametrize(
    "width, scheme",
    [(1920, "light"), (1280, "dark"), (1024, "light"), (390, "light"), (360, "dark")],
)
def test_nothing_runs_over_the_side(browser, address, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#cv-photo input[type=file]", state="attached")
    give(page, COFFEE)
    for tab in page.locator("#cv-shown [role=tab]:visible").all():
        tab.click()
        page.wait_for_timeout(1500)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab.inner_text()
    context.close()


def test_nothing_is_fetched_from_elsewhere(browser, address):
    context = browser.new_context()
    page = context.new_page()
    foreign = []
    page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:"))
            else foreign.append(r.url))  # fmt: skip
    page.goto(address)
    page.wait_for_selector("#cv-photo input[type=file]", state="attached")
    give(page, COFFEE)
    context.close()
    assert foreign == []


def test_both_tabs_show_one_block_and_one_cell(tab):
    give(tab, COFFEE)
    tab.locator(".cv-thumb", has_text="layer2.0").click()
    tab.get_by_role("tab", name="Inside a block").click()
    tab.wait_for_function(
        "document.querySelector('#cv-inside')?.innerText.includes('Inside layer2.0')"
    )
    tab.locator("#cv-inside .ci-grid canvas").first.click(position={"x": 3, "y": 3})
    tab.wait_for_function("location.hash.includes('pin=')")
    tab.get_by_role("tab", name="Every block").click()
    assert "row 0, column 0" in tab.locator("#cv-viewer").inner_text()


def test_a_choice_stays_chosen_whatever_is_done_on_the_other_tab(tab):
    """The radio groups of both parts had the same names, and unchecked one another."""
    give(tab, COFFEE)
    tab.get_by_role("tab", name="Inside a block").click()
    for name in ("layer3.0", "layer2.0"):
        choose(tab.locator("#cv-inside").get_by_role("radio", name="By channel"))
        tab.get_by_label("Block", exact=True).first.click()
        tab.get_by_role("option", name=name).click()
        tab.get_by_role("heading", name=f"Inside {name}").wait_for()
    tab.get_by_role("tab", name="Every block").click()
    names = tab.eval_on_selector_all("input[type=radio][name^=cv-]", "all => all.map(e => e.name)")
    checked = tab.eval_on_selector_all("input[type=radio]:checked", "all => all.map(e => e.name)")
    assert sorted(set(names)) == sorted(name for name in checked if name.startswith("cv-"))
    assert tab.get_by_role("radio", name="Multiply", exact=True).is_checked()


def test_a_second_photo_is_shown_beside_the_first(tab):
    give(tab, COFFEE)
    tab.get_by_text("A second photo to compare with").click()
    tab.set_input_files("#cv-second input[type=file]", EXAMPLES / "tripod.jpg")
    tab.wait_for_function(
        "document.querySelector('#cv-viewer')?.innerText.includes('Second photo · layer4.0')"
    )
    assert tab.locator(".cv-pane:visible").count() == 2


def test_16_bit_files_arrive_as_they_are_on_the_page_too(tab, tmp_path):
    """Also after an example: Gradio's own way with examples would bring its decoding back."""
    ramp = np.linspace(0, 65535, 200 * 300).reshape(200, 300).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    tab.locator(".gallery-item").first.click()
    tab.wait_for_selector("#cv-viewer canvas")
    tab.set_input_files("#cv-photo input[type=file]", tmp_path / "deep.png")
    tab.wait_for_function("document.querySelector('.cv-status')?.innerText.includes('300 × 200')")
    expected = Explainer.from_pretrained().explain(tmp_path / "deep.png").predictions[0]
    expect(likeliest(tab)).to_have_text(expected.label, use_inner_text=True)
    share = tab.locator("#cv-summary li b").first.inner_text()
    assert float(share.removesuffix("%")) == pytest.approx(100 * expected.probability, abs=0.06)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_no_serious_fault(browser, address, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#cv-examples button[aria-label]")

    def faults() -> list:
        found = Axe().run(page).response["violations"]
        return [
            (v["id"], n["target"], n["failureSummary"])
            for v in found
            if v["impact"] in ("serious", "critical")
            for n in v["nodes"]
        ]

    assert faults() == []
    give(page, COFFEE)
    for words in ("Figures of every block", "A second photo to compare with", "Another model"):
        page.get_by_text(words).click()
    page.get_by_role("button", name="Show their feature maps").click()
    page.wait_for_selector("#cv-viewer .cv-extremes canvas")
    at_rest(page, 500)
    assert faults() == []
    page.get_by_role("tab", name="Inside a block").click()
    page.wait_for_selector("#cv-inside canvas")
    assert faults() == []
    context.close()


def test_a_photo_of_5000_by_10(tab, tmp_path):
    Image.effect_noise((5000, 10), 60).convert("RGB").save(tmp_path / "ribbon.png")
    give(tab, tmp_path / "ribbon.png")
    shown = tab.locator("#cv-viewer").inner_text()
    assert "squeezed" in shown
    assert "layer4.1" in shown
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1280


def test_on_a_phone_every_tab_is_in_reach(browser, address):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    for language in ("en", "zh"):
        page.goto(f"{address}#lang={language}")
        page.reload()
        page.wait_for_selector("#cv-viewer .cv-map", state="attached")
        tabs = page.locator("#cv-shown [role=tab]:visible")
        expect(tabs).to_have_count(len(TABS))
        for box in (tab.bounding_box() for tab in tabs.all()):
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    context.close()
