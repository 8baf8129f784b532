"""A block's inside in the browser: what it says is what the network computed."""

import base64
import json

import numpy as np
import pytest
import torch
from helpers import lively, make_photo

from cbam_viz.explain.anatomy import Anatomy, dissect
from cbam_viz.explain.explainer import Explainer
from cbam_viz.models.checkpoints import Preprocessing
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


def opened(browser, anatomy: Anatomy, explanation, width: int = 1280):
    """The component in a bare page; every error and warning of the browser's is kept."""
    page = browser.new_page(viewport={"width": width, "height": 900})
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
