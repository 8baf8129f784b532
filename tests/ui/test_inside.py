"""A block's inside in the browser: what it says is what the network computed."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from helpers import at_rest, lively, make_photo
from PIL import Image

from cbam_viz.explain.anatomy import Anatomy, dissect
from cbam_viz.explain.explainer import Explainer
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import resnet18_cbam, resnet50_cbam
from cbam_viz.ui import bundle, inside

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>inside</title>
<style>{style}</style><main class="cbam-viewer cbam-inside"></main><script>{script}</script>
<script>
const root = document.querySelector("main");
window.inside = CbamViz.mountInside(root, {payload}, {{ lang: "en" }});
</script></html>"""


def explainer_of(make, **options) -> Explainer:
    torch.manual_seed(3)
    small = Preprocessing(size=96, crop_resize=110)
    return Explainer(lively(make(num_classes=5, **options)), preprocessing=small)


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return explainer_of(resnet18_cbam)


def opened(browser, anatomy: Anatomy, explanation, width: int = 1280, **context):
    """The component in a bare page; every error and warning of the browser's is kept."""
    page = browser.new_page(viewport={"width": width, "height": 900}, **context)
    page.errors = []
    page.on("console", lambda message: page.errors.append(message.text))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    payload = json.dumps(inside.payload(anatomy, explanation))
    page.set_content(PAGE.format(style=bundle.style(), script=bundle.script(), payload=payload))
    return page


def numbers(page, selector: str) -> np.ndarray:
    texts = page.locator(selector).all_text_contents()
    return np.array([float(text.replace("−", "-")) for text in texts])


def part(page, name: str) -> float:
    return float(numbers(page, f'[data-part="{name}"]')[0])


def says(page, anatomy: Anatomy, row: int, column: int) -> None:
    """The 98 numbers, their sums, the logit and the gate on the page are the network's."""
    cell = anatomy.cell(row, column)
    assert (
        f"row {row}, column {column}:" in page.locator("#ci-step-4 .ci-detail-title").inner_text()
    )
    shown = numbers(page, ".ci-products td").reshape(cell.products.shape)
    assert np.abs(shown - cell.products).max() <= 0.00051
    for plane, name in enumerate(("max", "mean")):
        assert part(page, name) == pytest.approx(cell.products[plane].sum(), abs=1e-4)
    assert part(page, "total") == pytest.approx(cell.total, abs=1e-4)
    if anatomy.norm:
        assert part(page, "logit") == pytest.approx(cell.logit, abs=1e-4)
    else:
        assert page.locator('[data-part="logit"]').count() == 0
    assert part(page, "gate") == pytest.approx(anatomy.spatial_gate[row, column], abs=6e-5)


@pytest.mark.parametrize("own", [True, False], ids=["authors", "article"])
def test_a_clicked_cell_shows_the_98_products_of_the_network(browser, own):
    explainer = explainer_of(resnet18_cbam, mlp_bias=own, spatial_norm=own)
    explanation = explainer.explain(make_photo(200, 150))
    anatomy = dissect(explainer, explanation, "layer3.1")
    page = opened(browser, anatomy, explanation)
    rows, columns = anatomy.spatial_gate.shape
    says(page, anatomy, *np.unravel_index(anatomy.spatial_gate.argmax(), (rows, columns)))

    grid = page.get_by_role("slider", name="Spatial gate of layer3.1")
    for row, column in ((0, 0), (2, 3), (rows - 1, columns - 1)):
        grid.scroll_into_view_if_needed()
        box = grid.bounding_box()
        x = box["width"] * (column + 0.5) / columns
        grid.click(position={"x": x, "y": box["height"] * (row + 0.5) / rows})
        says(page, anatomy, row, column)
    grid.press("ArrowUp")
    grid.press("ArrowLeft")
    says(page, anatomy, rows - 2, columns - 2)
    gate = f"{anatomy.spatial_gate[rows - 2, columns - 2]:.4f}"
    assert gate in grid.get_attribute("aria-valuetext")
    # Arrow keys within the table say what a product is made of.
    page.locator(".ci-products td[tabindex='0']").first.press("ArrowRight")
    cell = anatomy.cell(rows - 2, columns - 2)
    said = page.locator(".ci-hint").inner_text().replace("−", "-")
    assert said.startswith(f"Row {rows - 2}, column {columns - 1} of the map")
    assert float(said.split("=")[1]) == pytest.approx(cell.products[0, 3, 4], abs=6e-5)
    assert page.errors == []


# At 1366 and at 1024 px the page leaves the inside about so much.
@pytest.mark.parametrize("width, height", [(1280, 900), (980, 768), (610, 768)])
@pytest.mark.parametrize("size", [(200, 150), (150, 200)])
def test_a_clicked_cells_products_are_beside_the_map_and_in_view(
    browser, explainer, size, width, height
):
    explanation = explainer.explain(make_photo(*size))
    anatomy = dissect(explainer, explanation, "layer3.1")
    page = opened(browser, anatomy, explanation, width, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": height})
    gate = page.get_by_role("slider", name="Spatial gate of layer3.1")
    gate.evaluate("gate => gate.scrollIntoView({ block: 'end' })")
    gate.click(position={"x": 9, "y": 9})
    detail = page.locator("#ci-step-4 .ci-detail")
    box, picture = detail.bounding_box(), gate.bounding_box()
    assert box["x"] >= picture["x"] + picture["width"]
    assert box["y"] >= 0 and box["y"] + box["height"] <= height
    # No number runs over its cell.
    over = "all => all.filter((e) => e.scrollWidth > e.clientWidth + 1).length"
    assert page.locator(".ci-products td").evaluate_all(over) == 0
    assert page.locator(".ci-numbers span").evaluate_all(over) == 0
    assert page.errors == []


def test_the_mark_of_a_cell_stays_on_the_photo(browser, explainer):
    """A cell of the first row is centred on the photo's edge."""
    explanation = explainer.explain(make_photo(200, 150))
    page = opened(browser, dissect(explainer, explanation, "layer4.0"), explanation)
    page.evaluate("inside.pickCell(0, 1)")
    box = page.locator(".ci-photo").bounding_box()
    above = {"x": box["x"], "y": box["y"] - 8, "width": box["width"], "height": 7}
    shot = Image.open(io.BytesIO(page.screenshot(clip=above, full_page=True)))
    assert shot.convert("RGB").getcolors() == [(shot.width * shot.height, (255, 255, 255))]


def test_the_window_goes_over_the_map_product_by_product(browser, explainer):
    explanation = explainer.explain(make_photo(200, 150))
    anatomy = dissect(explainer, explanation, "layer3.1")
    page = opened(browser, anatomy, explanation)
    page.evaluate("inside.pickCell(0, 1)")
    products = anatomy.cell(0, 1).products.reshape(-1)
    one = page.get_by_role("button", name="Next product")
    said = page.locator(".ci-player output")
    now = page.locator(".ci-products .ci-now")

    def sum_so_far() -> float:
        return float(said.inner_text().split()[-1].replace("−", "-"))

    for count in (1, 2, 3):
        one.click()
        assert said.inner_text().startswith(f"{count} of {len(products)}")
        assert sum_so_far() == pytest.approx(products[:count].sum(), abs=6e-5)
        shown = float(now.inner_text().replace("−", "-"))
        assert shown == pytest.approx(products[count - 1], abs=6e-4)
        assert page.locator(".ci-later").count() == len(products) - count
    # Row 0, column 1, third product: row -3, column 0 lies in the padding, above the map.
    assert "padding" in page.locator(".ci-hint").inner_text()
    assert page.locator(".ci-term:visible").count() == 1
    one.evaluate(f"button => {{ for (let i = 3; i < {len(products)}; i++) button.click(); }}")
    assert sum_so_far() == pytest.approx(products.sum(), abs=6e-5)
    one.click()  # on to the next cell
    title = page.locator("#ci-step-4 .ci-detail-title")
    assert "row 0, column 2:" in title.inner_text()
    assert sum_so_far() == pytest.approx(anatomy.cell(0, 2).products[0, 0, 0], abs=6e-5)
    assert page.errors == []


def test_the_window_plays_by_itself_until_it_is_paused(browser, explainer):
    explanation = explainer.explain(make_photo(200, 150))
    page = opened(browser, dissect(explainer, explanation, "layer4.1"), explanation)
    page.get_by_role("button", name="Play the window").click()
    page.wait_for_function("parseInt(document.querySelector('.ci-player output').innerText) >= 3")
    page.get_by_role("button", name="Pause the window").click()
    said = page.locator(".ci-player output").inner_text()
    at_rest(page, 600)
    assert page.locator(".ci-player output").inner_text() == said
    # Another cell begins anew; where it can't be seen, it stops by itself.
    page.evaluate("inside.pickCell(1, 1)")
    assert page.locator(".ci-player output").inner_text() == ""
    page.get_by_role("button", name="Play the window").click()
    page.evaluate("document.querySelector('main').hidden = true")
    at_rest(page, 400)
    page.evaluate("document.querySelector('main').hidden = false")
    assert page.get_by_role("button", name="Play the window").is_visible()
    assert page.errors == []


def test_a_second_photo_is_looked_inside_too(browser, explainer):
    first, second = (explainer.explain(make_photo(*size)) for size in ((200, 150), (150, 200)))
    both = [dissect(explainer, explanation, "layer3.1") for explanation in (first, second)]
    page = opened(browser, both[0], first)
    assert page.get_by_role("radio", name="Second photo").count() == 0
    payloads = [inside.payload(a, e) for a, e in zip(both, (first, second), strict=True)]
    page.evaluate("([first, second]) => inside.setPayload(first, {}, second)", payloads)
    for explanation, anatomy, name in ((second, both[1], "Second"), (first, both[0], "First")):
        choice = page.get_by_role("radio", name=f"{name} photo")
        choice.locator("xpath=..").click()
        assert choice.is_checked()
        assert choice.evaluate("radio => radio === document.activeElement")
        page.evaluate("inside.pickCell(2, 3)")
        says(page, anatomy, 2, 3)
        likeliest = explanation.predictions[0]
        assert f"{likeliest.label} " in page.locator(".ci-says").inner_text()
    # It is taken away while it is shown.
    page.get_by_role("radio", name="Second photo").check(force=True)
    page.evaluate("first => inside.setPayload(first, {}, null)", payloads[0])
    assert page.get_by_role("radio", name="Second photo").count() == 0
    page.evaluate("inside.pickCell(2, 3)")
    says(page, both[0], 2, 3)
    assert page.errors == []


def test_on_a_phone_there_is_one_step_a_screen(browser, explainer):
    explanation = explainer.explain(make_photo(200, 150))
    anatomy = dissect(explainer, explanation, "layer4.1")
    page = opened(browser, anatomy, explanation, width=390)
    steps = page.locator(".ci-step")
    for number in range(1, 6):
        assert [step.is_visible() for step in steps.all()] == [n == number for n in range(1, 6)]
        assert f"{number} / 5" in page.locator(".ci-pager").inner_text()
        if number < 5:
            page.get_by_role("button", name="Next", exact=True).click()
    assert page.get_by_role("button", name="Next", exact=True).is_disabled()
    page.get_by_role("button", name="Back", exact=True).click()
    # Another block is shown at the same step; another cell leaves it.
    page.evaluate("payload => inside.setPayload(payload, {})", inside.payload(anatomy, explanation))
    page.evaluate("inside.pickCell(1, 1)")
    assert page.locator("#ci-step-4").is_visible() and page.locator("#ci-step-5").is_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.set_viewport_size({"width": 1280, "height": 900})
    assert all(step.is_visible() for step in steps.all())
    assert page.errors == []


@pytest.mark.parametrize("bias", [True, False])
def test_a_picked_channel_adds_up(browser, bias):
    explainer = explainer_of(resnet18_cbam, mlp_bias=bias)
    explanation = explainer.explain(make_photo(200, 150))
    anatomy = dissect(explainer, explanation, "layer4.1")
    page = opened(browser, anatomy, explanation)
    falling = np.argsort(-anatomy.channel_gate, kind="stable")

    def check(channel: int) -> None:
        way = anatomy.channel(int(channel))
        title = page.locator("#ci-step-2 .ci-detail-title").inner_text()
        assert title.startswith(f"Channel {channel}:")
        assert part(page, "channel-logit") == pytest.approx(way.logit, abs=2e-4)
        assert part(page, "channel-gate") == pytest.approx(way.gate, abs=1e-4)
        for table, terms in enumerate((way.from_average, way.from_maximum)):
            rows = page.locator(".ci-table").nth(table).locator("tbody tr")
            adds = [
                float(t.replace("−", "-")) for t in rows.locator("td:last-child").all_inner_texts()
            ]
            *shown, total = adds
            assert sum(shown) == pytest.approx(total, abs=1e-3)
            assert total == pytest.approx(terms.sum() + way.bias, abs=1e-4)

    check(falling[0])
    slider = page.get_by_role("slider", name="Channel.")
    slider.press("ArrowRight")
    check(falling[1])
    slider.press("End")
    check(falling[-1])
    page.get_by_role("button", name=f"channel {falling[-2]}:").first.click()
    check(falling[-2])
    page.get_by_role("radio", name="By channel").check()
    slider = page.get_by_role("slider", name="Channel.")
    slider.press("Home")
    check(0)
    assert page.errors == []


def test_words_in_both_languages_and_a_narrow_page(browser, explainer):
    explanation = explainer.explain(make_photo(150, 200))
    page = opened(browser, dissect(explainer, explanation, "layer2.0"), explanation, width=390)
    assert page.get_by_role("heading", name="Inside layer2.0").is_visible()
    page.evaluate("inside.setLang('zh')")
    assert page.get_by_role("heading", name="layer2.0 的内部").is_visible()
    page.evaluate("inside.pickCell(3, 1)")
    assert "第 3 行第 1 列" in page.locator("#ci-step-4 .ci-detail-title").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert "{" not in page.locator("main").inner_text()
    for picture in page.locator("main [role=img], main img").all():
        assert picture.get_attribute("aria-label") or picture.get_attribute("alt")
    page.evaluate("inside.setPayload(null)")
    assert page.locator("main").inner_text().startswith("提供一张照片")
    assert page.errors == []


def test_a_broken_payload_leaves_a_sentence(browser, explainer):
    explanation = explainer.explain(make_photo(200, 150))
    page = opened(browser, dissect(explainer, explanation, "layer4.1"), explanation)
    page.evaluate("inside.setPayload({ maps: {} })")
    assert bundle.strings("viewer")["en"]["broken"] in page.get_by_role("alert").inner_text()


def test_the_languages_have_the_same_words():
    words = bundle.strings("inside")
    assert words["en"].keys() == words["zh"].keys()
    for key, text in words["en"].items():
        places = {part.split("}")[0] for part in text.split("{")[1:]}
        assert places == {part.split("}")[0] for part in words["zh"][key].split("{")[1:]}, key


def test_a_payload_stays_small_and_its_weights_exact():
    """The widest block of a ResNet-50, and the largest map, of the longest photo."""
    torch.manual_seed(0)
    explainer = Explainer(lively(resnet50_cbam(num_classes=5)))
    explanation = explainer.explain(make_photo(640, 160))
    for name in ("layer1.0", "layer4.2"):
        anatomy = dissect(explainer, explanation, name)
        payload = inside.payload(anatomy, explanation)
        assert len(json.dumps(payload)) < 1_500_000
    shares = np.frombuffer(base64.b64decode(payload["weights"]["shares"]), "<i2")
    largest = np.frombuffer(base64.b64decode(payload["weights"]["largest"]), "<f4")
    weights = shares.reshape(anatomy.out_weight.shape) * (largest / 32767)[:, None]
    for hidden in (anatomy.hidden_average, anatomy.hidden_maximum):
        assert np.abs(weights @ hidden - anatomy.out_weight @ hidden).max() < 1e-4
