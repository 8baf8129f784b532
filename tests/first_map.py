"""How soon there is something to see: `PYTHONPATH=. python tests/first_map.py`.

A fresh visitor's first map, from the start of the page's load, beside an empty page of Gradio's;
and a photo's first map, from the end of its upload, beside the bare call `/explain`. Each pair is
timed in one Chromium, in turn.
"""

import shutil
import statistics
from pathlib import Path

import gradio as gr
from playwright.sync_api import Browser, Page, sync_playwright

from cbam_viz.ui.launch import build, launch_options

PHOTOS = sorted((Path(__file__).parents[1] / "assets" / "examples").glob("*.jpg"))
ROUNDS = 4
VISITS = 9

#: Notes, in ms since the load began, when an element is there: of a canvas, drawn.
ARRIVAL = """
const look = () => {
  const found = document.querySelector('#cv-viewer .cv-map, #empty');
  const pixels = found?.getContext?.('2d').getImageData(0, 0, found.width || 1, found.height || 1);
  if (found && (!pixels || pixels.data.some((level) => level))) {
    requestAnimationFrame(() => setTimeout(() => (window.arrived = performance.now())));
  } else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""

#: Notes when the map of a new photo is drawn: the frame after its canvas has come.
WATCH = """() => {
  performance.setResourceTimingBufferSize(10000);
  new MutationObserver((changes) => {
    const nodes = changes.flatMap((change) => [...change.addedNodes]);
    if (nodes.some((node) => node.querySelector?.('.cv-map'))) {
      requestAnimationFrame(() => setTimeout(() => (window.drawn = performance.now())));
    }
  }).observe(document.body, { childList: true, subtree: true });
}"""

SINCE_UPLOAD = """() => {
  const uploads = performance.getEntriesByType('resource').filter((e) => /upload/.test(e.name));
  return window.drawn - Math.max(...uploads.map((e) => e.responseEnd));
}"""

#: The bare call, as the page's own client makes it: ask, then read the answer's stream.
CALL = """async (bytes) => {
  const form = new FormData();
  form.append('files', new Blob([new Uint8Array(bytes)]), 'photo.jpg');
  const [path] = await (await fetch('gradio_api/upload', { method: 'POST', body: form })).json();
  const began = performance.now();
  const data = [{ path, meta: { _type: 'gradio.FileData' } }, '', 5];
  const headers = { 'Content-Type': 'application/json' };
  const asked = { method: 'POST', headers, body: JSON.stringify({ data }) };
  const { event_id } = await (await fetch('gradio_api/call/explain', asked)).json();
  const answer = await (await fetch(`gradio_api/call/explain/${event_id}`)).text();
  if (!answer.includes('complete')) throw new Error(answer);
  return performance.now() - began;
}"""


def first_map(page: Page, photo: Path) -> float:
    """ms from the end of the upload to the first map."""
    page.evaluate("() => (window.drawn = null)")
    page.set_input_files("#cv-photo input[type=file]", photo)
    page.wait_for_function("() => window.drawn", timeout=60_000)
    page.wait_for_timeout(300)
    return page.evaluate(SINCE_UPLOAD)


def arrival(browser: Browser, url: str) -> float:
    """ms from the start of a fresh visitor's load to what there is to see."""
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(ARRIVAL)
    page.goto(url)
    page.wait_for_function("() => window.arrived", timeout=60_000)
    took = page.evaluate("() => window.arrived")
    context.close()
    return took


def first_visits(browser: Browser, url: str) -> None:
    """Print how long fresh visitors wait, beside those of an empty page."""
    with gr.Blocks(analytics_enabled=False) as empty:
        gr.HTML("<p>Nothing</p>", elem_id="empty")
    _, bare, _ = empty.launch(prevent_thread_lock=True, quiet=True)
    ours, theirs = [], []
    for _ in range(VISITS):
        theirs.append(arrival(browser, bare))
        ours.append(arrival(browser, url))
    empty.close()
    more = statistics.median(o - t for o, t in zip(ours, theirs, strict=True))
    print(
        f"first visit {statistics.median(ours):.0f} ms, empty page "
        f"{statistics.median(theirs):.0f} ms: {more:.0f} ms more (median of {VISITS} pairs)"
    )


def main() -> None:
    served = build()
    _, url, _ = served.launch(**launch_options(), prevent_thread_lock=True, quiet=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        first_visits(browser, url)
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("#cv-photo input[type=file]", state="attached")
        page.evaluate(WATCH)
        first_map(page, PHOTOS[-1])  # once to warm up; the same photo twice would be no change
        page.evaluate(CALL, list(PHOTOS[0].read_bytes()))
        maps, calls = [], []
        for photo in ROUNDS * PHOTOS:
            maps.append(first_map(page, photo))
            calls.append(page.evaluate(CALL, list(photo.read_bytes())))
        browser.close()
    served.close()
    ratio = statistics.median(m / c for m, c in zip(maps, calls, strict=True))
    print(
        f"first map {statistics.median(maps):.0f} ms, /explain {statistics.median(calls):.0f} ms: "
        f"{ratio:.2f} x (median of {len(maps)} pairs)"
    )


if __name__ == "__main__":
    main()
