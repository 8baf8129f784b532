"""What the page gives to take home."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gradio.utils import get_upload_folder
from paging import COFFEE, choose, download, give
from PIL import Image

from cbam_viz import Explainer


def test_everything_comes_as_one_zip(tab, tmp_path):
    give(tab, COFFEE)
    with zipfile.ZipFile(download(tab, "Download everything", tmp_path / "all.zip")) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len([n for n in names if n.endswith("-multiply.jpg")]) == 8
        with archive.open("attention.npz") as file:
            gates = np.load(file)
            expected = Explainer.from_pretrained().explain(COFFEE)
            for b in expected.blocks:
                assert gates[f"{b.name}.spatial"] == pytest.approx(b.spatial, abs=1e-5)


def test_the_zip_says_how_far_it_is_and_has_pictures_of_a_sensible_size(tab, tmp_path):
    with Image.open(COFFEE) as image:
        image.resize((2400, 1600)).save(tmp_path / "my photo.jpg")
    give(tab, tmp_path / "my photo.jpg")
    tab.evaluate("""() => {
      window.shares = [];
      const note = () => {
        const bar = document.querySelector("progress");
        if (bar) window.shares.push(bar.value);
      };
      const watch = { childList: true, subtree: true, attributes: true };
      new MutationObserver(note).observe(document.body, watch);
    }""")
    for file, size in (("bounded.zip", (1600, 1067)), ("whole.zip", (2400, 1600))):
        path = download(tab, "Download everything", tmp_path / file, "my photo-cbam-viz")
        with zipfile.ZipFile(path) as archive, archive.open("layer4.1-multiply.jpg") as picture:
            assert Image.open(picture).size == size
        tab.get_by_label("full size").check()
    shares = tab.evaluate("window.shares")
    assert min(shares) == 0 and max(shares) > 0.5
    tab.wait_for_function("!document.querySelector('progress')")


def test_a_download_leaves_one_file_that_is_cleared_away_with_the_rest(tab, tmp_path):
    """A copy that Gradio knows nothing of would stay on the server for good."""
    cache = Path(get_upload_folder())
    before = set(cache.rglob("coffee-cbam-viz.*"))
    give(tab, COFFEE)
    download(tab, "Download as one HTML file", tmp_path / "viewer.html")
    assert len(set(cache.rglob("coffee-cbam-viz.*")) - before) == 1


def test_the_viewer_comes_as_one_file_that_works_offline(tab, browser, tmp_path):
    give(tab, COFFEE)
    path = download(tab, "Download as one HTML file", tmp_path / "viewer.html")
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("canvas")
    assert "layer4.1" in page.locator(".cbam-viewer").first.inner_text()
    context.close()


def test_the_offline_file_keeps_the_view_and_has_the_insides(tab, browser, tmp_path):
    give(tab, COFFEE)
    tab.locator(".cv-thumb", has_text="layer2.0").click()
    choose(tab.get_by_role("radio", name="Contour", exact=True))
    tab.locator(".cv-surface:visible").first.click(position={"x": 60, "y": 40})
    tab.wait_for_function("location.hash.includes('pin=')")
    pinned = tab.locator(".cv-read-pinned").inner_text()
    path = download(tab, "Download as one HTML file", tmp_path / "viewer.html")
    context = browser.new_context(offline=True)
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector(".cbam-inside canvas")
    assert page.locator(".cv-thumb[aria-selected=true]").inner_text().startswith("layer2.0")
    assert page.get_by_role("radio", name="Contour").is_checked()
    assert page.locator(".cv-read-pinned").inner_text() == pinned
    # Inside, the same block and the same cell; both follow one another.
    row, column = re.search(r"row (\d+), column (\d+)", pinned).groups()
    cell = page.locator("#ci-step-4 .ci-detail-title")
    assert f"row {row}, column {column}:" in cell.inner_text()
    page.locator(".cv-thumb", has_text="layer4.0").click()
    page.get_by_role("heading", name="Inside layer4.0").wait_for()
    page.locator(".cbam-inside .ci-grid canvas").first.click(position={"x": 3, "y": 3})
    page.wait_for_function("document.querySelector('.cv-read-pinned').innerText.includes('row 0')")
    page.get_by_role("button", name="Show their feature maps").click()
    page.wait_for_selector(".cv-extremes canvas")
    assert complaints == []
    context.close()


@pytest.mark.parametrize("link", ["", "&block=layer1.0", "&photo=barn&block=layer3.1"])
def test_the_inside_of_a_block_prints_on_two_pages(browser, address, link):
    page = browser.new_page()
    page.goto(f"{address}#tab=inside{link}")
    page.wait_for_selector("#cv-inside canvas")
    if "photo" in link:
        page.wait_for_function("location.hash.includes('model=')")
        page.wait_for_selector("#cv-summary >> text=church")
    pages = re.findall(rb"/Type\s*/Page\b(?!s)", page.pdf(format="A4", print_background=True))
    assert len(pages) == 2
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_print_is_one_white_page_with_nothing_to_press(tab, scheme):
    tab.emulate_media(color_scheme=scheme)
    give(tab, COFFEE)
    pages = re.findall(rb"/Type\s*/Page\b(?!s)", tab.pdf(format="A4"))
    assert len(pages) == 1
    assert tab.locator("body.dark").count() == (scheme == "dark")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print", color_scheme=scheme)
    assert tab.locator("body.dark").count() == 0
    for name in ("button", "tab", "slider", "textbox", "combobox"):
        pressed = [e for e in tab.get_by_role(name).all() if e.is_visible()]
        words = [e.inner_text() for e in pressed]
        # What is left belongs to the picture: words with a tip, the map, the strip, channels.
        assert not {"Present", "Download everything (zip)", "Copy link"} & set(words)
        assert name not in ("textbox", "combobox") or not pressed
    assert tab.locator("#cv-photo").is_hidden() and tab.locator("#cv-footer").is_hidden()
    assert tab.locator("#cv-summary li").first.is_visible()
    assert tab.locator("#cv-viewer .cv-map").first.is_visible()
