"""The tab that opens a survey's report: in the browser alone, and fenced in."""

import pytest

MARK = '<meta name="generator" content="CBAM Viz survey" />'


@pytest.fixture
def page(browser, address):
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.sent = []
    page.on("request", lambda r: page.sent.append(r) if r.method == "POST" else None)
    page.goto(f"{address}#tab=survey")
    page.get_by_role("tab", name="Survey").click()
    page.wait_for_selector(".cv-report input")
    yield page
    context.close()


def choose(page, name, contents):
    file = {"name": name, "mimeType": "text/html", "buffer": contents.encode()}
    page.set_input_files(".cv-report input", file)


def test_a_report_is_opened_without_being_sent_and_reaches_nothing(page, address):
    asked = f"{address}gradio_api/info"
    script = f"""
      const say = (what, words) => (document.getElementById(what).textContent = words);
      try {{ say("above", parent.document.title); }} catch {{ say("above", "fenced in"); }}
      try {{ say("kept", String(localStorage.length)); }} catch {{ say("kept", "nothing"); }}
      fetch("{asked}").then((r) => r.text()).then((t) => say("asked", t), () => say("asked", "no"));
    """
    before = len(page.sent)
    choose(
        page,
        "report.html",
        f"<!doctype html><html><head>{MARK}</head><body><h1>Of 21 photos</h1>"
        "<p id='above'></p><p id='kept'></p><p id='asked'></p>"
        f"<script>{script}</script></body></html>",
    )
    frame = page.frame_locator(".cv-report iframe")
    assert frame.locator("h1").inner_text() == "Of 21 photos"
    frame.locator("#asked", has_text="no").wait_for()
    assert frame.locator("#above").inner_text() == "fenced in"
    assert frame.locator("#kept").inner_text() == "nothing"
    assert not any("Of 21 photos" in (r.post_data or "") for r in page.sent[before:])
    assert not any("upload" in r.url for r in page.sent[before:])


def test_another_file_is_refused_and_a_report_after_it_is_not(page):
    choose(page, "other.html", "<script>document.title = 'taken'</script>")
    assert page.locator(".cv-report [role=alert]").inner_text().startswith("This file is no report")
    assert not page.locator(".cv-report iframe").is_visible()
    choose(page, "report.html", f"<html><head>{MARK}</head><body>well</body></html>")
    assert page.frame_locator(".cv-report iframe").locator("body").inner_text() == "well"
    assert not page.locator(".cv-report [role=alert]").is_visible()


def test_every_report_has_the_mark_that_the_page_looks_for():
    from importlib.resources import files

    assert MARK in (files("cbam_viz.survey") / "report.html").read_text("utf-8")
    source = files("cbam_viz.ui") / "web" / "page" / "report.js"
    assert MARK in source.read_text("utf-8")
