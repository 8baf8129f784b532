"""The viewer inside a Gradio page."""

import numpy as np
from helpers import make_explanation
from viewing import expect, state_of

from cbam_viz.explain.anatomy import dissect
from cbam_viz.ui import bundle, viewer
from cbam_viz.ui.viewer import payload


def serve(blocks) -> str:
    """Start a Gradio page; gives its address. To be closed by whoever asked for it."""
    return blocks.launch(prevent_thread_lock=True, quiet=True, head=bundle.head())[1]


def opened(browser, url: str):
    """A Gradio page with the events that the viewer sent in it, and the errors that it reported."""
    page = browser.new_page(locale="en")
    page.reported = []
    page.on("pageerror", lambda error: page.reported.append(str(error)))
    page.add_init_script(
        """window.views = [];
        document.addEventListener("cbam-view", ({ detail: { block, pin, channel } }) =>
            views.push({ block, pin, channel }));"""
    )
    page.goto(url)
    return page


def test_inside_a_gradio_page(browser, explanation):
    import gradio as gr

    other = payload(make_explanation((300, 400)))
    with gr.Blocks(analytics_enabled=False) as blocks:
        shown = viewer.component(value=payload(explanation))
        gr.Button("second").click(lambda: gr.HTML(second=other), None, shown)
        gr.Button("alone").click(lambda: gr.HTML(second=None), None, shown)
        gr.Button("none").click(lambda: None, None, shown)
    url = serve(blocks)
    try:
        page = opened(browser, url)
        page.locator(".cv-thumb").nth(7).wait_for()
        page.get_by_role("button", name="second").click()
        expect(page.get_by_label("Photos")).to_be_checked()
        page.get_by_role("button", name="alone").click()
        expect(page.get_by_label("Photos")).to_have_count(0)
        expect(page.get_by_label("Off")).to_be_checked()
        page.get_by_role("button", name="none").click()
        page.locator(".cbam-viewer .cv-empty").wait_for()
        assert page.reported == []
        page.close()
    finally:
        blocks.close()


def test_a_gradio_page_answers_with_feature_maps(browser, explainer, explained):
    import gradio as gr

    asked = []

    def features(event: gr.EventData):
        asked.append(event.block)
        return gr.HTML(features=viewer.features(dissect(explainer, explained, event.block)))

    with gr.Blocks(analytics_enabled=False) as blocks:
        shown = viewer.component(value=payload(explained))
        hidden = {"show_progress": "hidden", "api_visibility": "private"}
        shown.select(features, None, shown, trigger_mode="multiple", **hidden)
        gr.Button("second").click(lambda: gr.HTML(second=payload(explained)), None, shown)
    url = serve(blocks)
    try:
        page = opened(browser, url)
        maps = page.locator(".cv-chip canvas")
        button = page.get_by_role("button", name="Show their feature maps")
        for name in ("layer4.1", "layer1.0"):
            page.locator(".cv-thumb", has_text=name).click()
            button.click()
            expect(maps).to_have_count(12)
            falling = np.argsort(-explained.block(name).channel)
            named = [f"#{c}" for c in [*falling[:6], *falling[:-7:-1]]]
            assert page.locator(".cv-chip span").all_inner_texts() == named
        # Two at once, and one that was answered before: each comes.
        page.get_by_role("button", name="second").click()
        expect(page.get_by_label("Photos")).to_be_checked()
        for name in ("layer2.1", "layer1.0"):
            page.locator(".cv-thumb", has_text=name).click()
            button.click()
        expect(maps).to_have_count(12)
        page.locator(".cv-thumb", has_text="layer2.1").click()
        expect(maps).to_have_count(12)
        assert asked == ["layer4.1", "layer1.0", "layer2.1", "layer1.0"]
        assert page.reported == []
        page.close()
    finally:
        blocks.close()


def test_a_page_whose_browser_cannot_run_the_script_shows_the_photo(browser, explanation):
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as blocks:
        shown = viewer.component()
        gr.Button("photo").click(lambda: payload(explanation), None, shown)
        gr.Button("none").click(lambda: None, None, shown)
    url = serve(blocks)
    try:
        page = browser.new_page()
        page.add_init_script("Object.defineProperty(window, 'CbamViz', { value: undefined })")
        page.goto(url)
        page.get_by_role("button", name="photo").click()
        still = page.locator(".cv-still")
        still.wait_for()
        for lang in ("en", "zh"):
            assert bundle.strings("viewer")[lang]["broken"] in still.inner_text()
        expect(still.locator("img")).to_have_js_property("naturalWidth", explanation.photo.size[0])
        page.get_by_role("button", name="none").click()
        expect(still).to_be_hidden()
        page.close()
    finally:
        blocks.close()


def test_page_and_viewer_tell_each_other_what_is_in_view(browser, explanation):
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as blocks:
        viewer.component(value=payload(explanation))
    url = serve(blocks)

    def look(patch: dict) -> list[dict]:
        """What the viewer says when the page asks for something; everything is said once."""
        return page.evaluate(
            """(detail) => {
                const said = views.length;
                document.dispatchEvent(new CustomEvent("cbam-look", { detail }));
                return views.slice(said);
            }""",
            patch,
        )

    try:
        page = opened(browser, f"{url}#photo=dahlia&tab=inside&lang=zh")
        page.locator(".cv-thumb").nth(7).wait_for()
        assert page.evaluate("views") == [{"block": "layer4.1", "pin": None, "channel": None}]
        view = {"block": "layer3.1", "pin": [0.25, 0.5], "channel": 7}
        assert look(view) == [view]
        for same in ({}, view, {"block": "layer9.9"}, {"pin": [0.25, 0.5]}):
            assert look(same) == []
        assert look({"pin": None}) == [view | {"pin": None}]
        chosen = page.locator(".cv-thumb[aria-selected=true] .cv-name")
        expect(chosen).to_have_text("layer3.1")
        page.locator(".cv-thumb").first.click()
        assert page.evaluate("views.at(-1).block") == "layer1.0"
        # The page's own keys stay as they are.
        state = {"photo": "dahlia", "tab": "inside", "lang": "zh"}
        assert state_of(page) == state | {"block": "layer1.0", "channel": "7"}
        # The page's switch of the language.
        assert page.locator(".cv-tools button").count() == 1
        for lang, words in (("zh", "复制链接"), ("en", "Copy link")):
            page.evaluate(
                "detail => document.dispatchEvent(new CustomEvent('cbam-lang', { detail }))", lang
            )
            expect(page.locator(".cv-tools button")).to_have_text(words)
        assert state_of(page)["lang"] == "zh"
        assert page.reported == []
        page.close()
    finally:
        blocks.close()
