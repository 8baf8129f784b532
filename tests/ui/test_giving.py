"""The ways by which photos come onto the page, in a real browser."""

import base64
from pathlib import Path

import numpy as np
import pytest
from helpers import EXAMPLES
from PIL import Image

from cbam_viz import Explainer
from cbam_viz.ui.page import photo_input

COFFEE = EXAMPLES / "coffee.jpg"

#: Hands a file over as the system does: dropped on an element, or pasted.
HAND_OVER = """([how, selector, name, type, content]) => {
  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type }));
  const target = document.querySelector(selector);
  const options = { bubbles: true, cancelable: true };
  if (how === "paste") {
    target.dispatchEvent(new ClipboardEvent("paste", { ...options, clipboardData: data }));
  } else {
    for (const kind of ["dragover", "drop"]) {
      target.dispatchEvent(new DragEvent(kind, { ...options, dataTransfer: data }));
    }
  }
}"""


@pytest.fixture
def open_page(browser, address):
    """Opens the page; fails if the browser had anything to complain about."""
    contexts, complaints = [], []

    def open_page(hash="", width=1280, height=900):
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address + hash)
        page.wait_for_selector("#cv-viewer .cv-map", state="attached")
        page.wait_for_selector("#cv-photo input[type=file]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def hand_over(page, how: str, file: Path, selector: str = "#cv-viewer", kind: str = "") -> None:
    content = base64.b64encode(file.read_bytes()).decode()
    page.evaluate(HAND_OVER, [how, selector, file.name, kind, content])


def is_explained(page, photo: Path, size: str) -> None:
    """Wait for the photo's size among the facts, and compare the first prediction."""
    page.locator(".cv-status", has_text=size).wait_for()
    expected = Explainer.from_pretrained().explain(photo).predictions[0].label
    assert page.locator("#cv-summary li span").first.inner_text().strip() == expected


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_photo_comes_from_anywhere_on_the_page(open_page, how):
    page = open_page()
    hand_over(page, how, COFFEE, kind="image/jpeg")
    is_explained(page, COFFEE, "600 × 400")
    assert not page.locator(".cv-dropping").count()


@pytest.mark.parametrize("suffix", ["tif", "jp2"])
def test_a_file_that_no_browser_shows_is_taken_and_shown_decoded(open_page, suffix, tmp_path):
    """Of an unknown type too, as systems have it that do not know the suffix."""
    with Image.open(COFFEE) as image:
        image.resize((360, 240)).save(tmp_path / f"cup.{suffix}")
    page = open_page()
    hand_over(page, "drop", tmp_path / f"cup.{suffix}", "#cv-photo")
    is_explained(page, tmp_path / f"cup.{suffix}", "360 × 240")
    page.wait_for_function("document.querySelector('#cv-photo img')?.naturalWidth > 100")
    accept = page.locator("#cv-photo input[type=file]").get_attribute("accept")
    assert {"image/*", f".{suffix}"} <= set(accept.split(","))


def test_what_is_no_photo_is_refused_in_words_wherever_it_is_dropped(open_page, tmp_path):
    (tmp_path / "notes.txt").write_text("no photo")
    page = open_page()
    hand_over(page, "drop", tmp_path / "notes.txt", "body", "text/plain")
    page.get_by_role("alert").filter(has_text="cannot be shown").wait_for()
    assert page.locator("#cv-viewer .cv-map").count()  # what was there stays


def test_words_are_pasted_into_fields_as_ever(open_page):
    page = open_page()
    page.get_by_text("Another model").click()
    page.locator("#cv-model input").focus()
    page.evaluate("""() => {
      const clipboardData = new DataTransfer();
      clipboardData.setData("text/plain", "user/repo");
      const paste = new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData });
      window.left = document.activeElement.dispatchEvent(paste);
    }""")
    assert page.evaluate("window.left")


def test_what_is_dropped_on_the_second_box_is_the_second_photo(open_page):
    page = open_page()
    page.get_by_text("A second photo").click()
    page.wait_for_selector("#cv-second input[type=file]", state="attached")
    hand_over(page, "drop", COFFEE, "#cv-second", "image/jpeg")
    page.locator(".cv-map").nth(1).wait_for()
    assert "600 × 400" not in page.locator(".cv-status").inner_text()


def test_one_photo_after_the_other_arrives_as_it_was_sent(open_page, tmp_path):
    """16 bit a channel: Gradio's own decoding makes them white."""
    page = open_page()
    for width in (240, 250):
        file = tmp_path / f"{width}.png"
        levels = np.linspace(0, 65535, width * 160).reshape(160, width)
        Image.fromarray(levels.astype(np.uint16)).save(file)
        page.set_input_files("#cv-photo input[type=file]", file)
        is_explained(page, file, f"{width} × 160")


def test_a_camera_shows_people_as_the_world_sees_them():
    """A mirrored photo is another photo to a network, and shows writing the wrong way round."""
    assert photo_input().webcam_options.mirror is False


def test_on_the_phone_the_result_comes_into_view(open_page):
    page = open_page(width=390, height=844)
    top = "document.querySelector('#cv-shown').getBoundingClientRect().top"
    assert page.evaluate(top) > 844
    page.wait_for_timeout(1500)
    assert page.evaluate("scrollY") == 0  # the example that comes with the page moves nothing
    page.set_input_files("#cv-photo input[type=file]", COFFEE)
    page.wait_for_function(f"Math.abs({top}) < 100")


def test_the_second_photo_and_the_pin_are_in_the_link(open_page):
    page = open_page()
    page.get_by_text("A second photo").click()
    page.locator("#cv-second-examples").get_by_role("button").nth(2).click()
    page.locator(".cv-map").nth(1).wait_for()
    page.locator(".cv-surface").first.click(position={"x": 60, "y": 40})
    page.wait_for_function("location.hash.includes('pin=') && location.hash.includes('second=')")
    pinned = page.locator(".cv-read-pinned").inner_text()
    opened = open_page(page.evaluate("location.hash"))
    opened.locator(".cv-map").nth(1).wait_for()
    assert opened.locator(".cv-read-pinned").inner_text() == pinned
    # "Back" leads to the view with one photo.
    page.go_back()
    page.locator(".cv-map").nth(1).wait_for(state="hidden")


def test_a_link_shows_nothing_of_the_example_that_the_page_comes_with(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("""
      window.seen = new Set();
      const look = () => {
        const photo = document.querySelector("#cv-viewer .cv-map");
        const said = document.querySelector(".cv-status");
        const visible = photo && getComputedStyle(photo).visibility === "visible";
        if (visible && photo.width) window.seen.add(photo.width / photo.height > 1);
        if (said && getComputedStyle(said).visibility === "visible") {
          window.seen.add(said.innerText.includes("600"));
        }
        requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    """)
    page.goto(f"{address}#photo=coffee")
    page.locator(".cv-status", has_text="600 × 400").wait_for()
    page.wait_for_function("window.seen.size")
    page.wait_for_timeout(1500)
    # The opening example stands upright and has another size.
    assert page.evaluate("[...window.seen]") == [True]
    # A link to nothing shows the example all the same.
    page = context.new_page()
    page.goto(f"{address}#photo=nosuch")
    page.locator("#cv-viewer .cv-map").first.wait_for()
    context.close()
