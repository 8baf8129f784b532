"""What tests of the course share: its parts and words, and going through it."""

import json

from cbam_viz.explain.slips import SLIPS
from cbam_viz.ui import bundle

FOLDER = bundle.WEB / "course"


STRINGS = [json.loads((FOLDER / f).read_text("utf-8")) for f in ("strings.json", "teacher.json")]


WORDS = {lang: {k: v for words in STRINGS for k, v in words[lang].items()} for lang in ("en", "zh")}


LINKED = json.loads((FOLDER / "links.json").read_text("utf-8"))


STEPS = ["map", "mlp", "gate", "planes", "window", "spatial", "block", "photo", "cam", "paper"]


BUGS = [f"bug{i + 1}" for i in range(len(SLIPS))]


QUESTIONS = ["block", "cam", "shut", "look"]


PARTS = [*STEPS, *BUGS, "quiz"]


ALL = [*PARTS, "teacher"]


def open_course(browser, address, photo=None, hash_="", **options):
    """The page with the course open, on a photo of one's own if one is given."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
    page = context.new_page()
    page.complaints, page.asked = [], []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(f"{address}#{hash_}" if hash_ else address)
    # A link to the course hides the viewer before or after its map is there.
    page.wait_for_selector("#cv-viewer .cv-map", state="attached")
    if photo:
        page.evaluate("() => (window.before = document.querySelector('#cv-viewer .cv-map'))")
        page.set_input_files("#cv-photo input[type=file]", photo)
        page.wait_for_function(
            "![null, window.before].includes(document.querySelector('#cv-viewer .cv-map'))",
        )
    return page


def go(page, key: str) -> None:
    page.locator(f".cc-stop[data-step={key}]").click()
    page.wait_for_selector(f".cc-step[data-key={key}]")


def said(page) -> str:
    return page.locator(".cc-said").inner_text().replace("−", "-")


def chip(page, symbol: str) -> str:
    text = page.locator(f".cc-symbols [data-s={symbol}] b").inner_text()
    return text.removeprefix("= ").replace("−", "-")


def set_slider(page, value: int | float) -> None:
    page.locator(".cc-step input[type=range]").evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }",
        value,
    )


def choose(place, name: str) -> None:
    """Click a choice's words, as people do."""
    radio = place.get_by_role("radio", name=name, exact=True)
    radio.locator("xpath=..").click()
    assert radio.is_checked()


def done(page) -> set[str]:
    return set(page.eval_on_selector_all(".cc-done", "all => all.map((e) => e.dataset.step)"))
