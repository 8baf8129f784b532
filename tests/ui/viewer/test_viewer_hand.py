"""The viewer by mouse, keyboard and touch; two photos or blocks at once."""

import re

import numpy as np
import pytest
from helpers import at_rest, make_explanation, pixels
from viewing import drawn, expect, on_page, read_canvas, sent_photo, set_state, state_of

from cbam_viz.ui.viewer import payload


def test_the_pointer_reads_the_gate(explanation, show):
    page = show(explanation)
    for name, cells in {
        "layer1.0": [(0, 0), (10, 20), (35, 53), (12, 3)],
        "layer4.1": [(0, 1), (2, 3), (6, 9)],
    }.items():
        set_state(page, block=name)
        page.locator(".cv-surface").first.scroll_into_view_if_needed()
        for row, column in cells:
            page.mouse.move(*on_page(page, explanation, name, row, column))
            words = page.locator(".cv-frame .cv-tag").first.inner_text()
            value, shown_row, shown_column = re.findall(r"[\d.]+", words)
            assert (int(shown_row), int(shown_column)) == (row, column)
            gate = explanation.block(name).spatial[row, column]
            assert float(value) == pytest.approx(gate, abs=6e-5)


def test_the_outlines_are_the_cell_and_its_receptive_field(explanation, show):
    page = show(explanation, "#block=layer3.0")
    page.mouse.move(*on_page(page, explanation, "layer3.0", 6, 9))

    def box(kind):
        shape = page.locator(f".cv-outlines .{kind}").first
        return [float(shape.get_attribute(a)) for a in ("x", "y", "width", "height")]

    assert box("cv-cell-box") == [136.5, 88.5, 16, 16]  # around input px 16 * 9 and 16 * 6
    assert box("cv-field-box") == [144.5 - 30.5, 96.5 - 30.5, 61, 61]
    assert "61 × 61 px" in page.locator(".cv-readout").inner_text()


def test_a_click_pins_a_place_through_all_blocks(explanation, show):
    page = show(explanation)
    at = on_page(page, explanation, "layer4.1", 2, 3)
    page.mouse.click(*at)
    page.mouse.move(5, 5)
    drawn(page)
    pinned = page.locator(".cv-read-pinned")
    assert "row 2, column 3" in pinned.inner_text()
    page.locator(".cv-thumb").first.click()
    drawn(page)
    row, column = re.search(r"row (\d+), column (\d+)", pinned.inner_text()).groups()
    gate = explanation.block("layer1.0").spatial[int(row), int(column)]
    assert float(pinned.locator("b").inner_text()) == pytest.approx(gate, abs=6e-5)
    page.locator(".cv-surface").first.scroll_into_view_if_needed()
    page.mouse.click(*on_page(page, explanation, "layer4.1", 2, 3))
    page.mouse.move(5, 5)
    drawn(page)
    assert pinned.count() == 0


def test_a_tap_pins(explanation, show):
    page = show(explanation, has_touch=True, viewport={"width": 390, "height": 844})
    page.locator(".cv-surface").first.scroll_into_view_if_needed()
    page.touchscreen.tap(*on_page(page, explanation, "layer4.1", 4, 5))
    drawn(page)
    assert "row 4, column 5" in page.locator(".cv-read-pinned").inner_text()
    page.get_by_label("By channel").check()
    assert state_of(page)["order"] == "channel"


def test_everything_by_keyboard(explanation, show):
    page = show(explanation)
    page.locator(".cv-thumb[aria-selected=true]").focus()
    for key, name in [
        ("ArrowLeft", "layer4.0"),
        ("Home", "layer1.0"),
        ("ArrowDown", "layer1.1"),
        ("End", "layer4.1"),
        ("ArrowRight", "layer4.1"),
    ]:
        page.keyboard.press(key)
        drawn(page)
        chosen = page.locator(".cv-thumb[aria-selected=true]")
        assert chosen.locator(".cv-name").inner_text() == name
        assert chosen.evaluate("e => e === document.activeElement")

    page.locator(".cv-surface").first.focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowRight", "Enter"):  # the first only shows where it is
        page.keyboard.press(key)
    drawn(page)
    assert "row 2, column 6" in page.locator(".cv-read-pinned").inner_text()
    page.keyboard.press("Escape")
    drawn(page)
    assert page.locator(".cv-read-pinned").count() == 0

    page.get_by_label("Depth").focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_label("Multiply", exact=True).focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_label("Opacity").focus()
    page.locator(".cv-chart").focus()
    page.keyboard.press("End")
    state = state_of(page)
    assert (state["block"], state["mode"]) == ("layer4.0", "heat")
    weights = explanation.block("layer4.0").channel
    assert int(state["channel"]) == int(weights.argmin())


def test_all_that_can_be_focused_shows_it(explanation, show):
    page = show(explanation, "#compare=wipe")
    seen = 0
    for _ in range(60):
        page.keyboard.press("Tab")
        ring = page.evaluate(
            """() => {
                const e = document.activeElement;
                if (!e || e === document.body) return null;
                const shown = e.type === 'radio' ? e.nextElementSibling : e;
                return getComputedStyle(shown).outlineStyle;
            }"""
        )
        if ring is None:
            break
        assert ring != "none"
        seen += 1
    assert seen > 20


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_play_runs_to_the_end_and_stops(explanation, show, motion):
    page = show(explanation, "#block=layer3.1", reduced_motion=motion)
    page.get_by_role("button", name="Play through the blocks").click()
    assert page.get_by_role("button", name="Pause").count() == 1
    step = 2000 if motion == "reduce" else 900
    page.wait_for_timeout(step - 300)
    name = page.locator(".cv-thumb[aria-selected=true] .cv-name")
    assert name.inner_text() == "layer3.1"
    expect(name).to_have_text("layer4.1")
    assert page.get_by_role("button", name="Play through the blocks").count() == 1


def test_a_choice_stops_playing(explanation, show):
    page = show(explanation, "#block=layer1.0")
    page.get_by_role("button", name="Play through the blocks").click()
    page.locator(".cv-thumb").nth(3).click()
    assert page.get_by_role("button", name="Pause").count() == 0


def test_before_and_after(explanation, show):
    page = show(explanation)
    page.get_by_label("Before/after").check()
    drawn(page)
    handle = page.get_by_role("slider", name="Before and after: share of the plain photo")
    plain = page.locator(".cv-plain").first
    assert np.array_equal(read_canvas(page, ".cv-plain"), pixels(sent_photo(payload(explanation))))
    box = page.locator(".cv-frame").first.bounding_box()
    handle.hover()
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 20)
    page.mouse.up()
    drawn(page)
    assert handle.get_attribute("aria-valuenow") == "25"
    handle.focus()
    page.keyboard.press("End")
    drawn(page)
    assert "inset(0px 0%" in plain.evaluate("e => getComputedStyle(e).clipPath")
    page.get_by_label("Off").check()
    drawn(page)
    assert plain.is_hidden()


def test_two_blocks_share_scale_and_pointer(explanation, show):
    page = show(explanation, "#block=layer4.1&scale=stretched")
    page.get_by_label("Blocks", exact=True).check()
    drawn(page)
    page.get_by_label("Second block").select_option("layer2.1")
    drawn(page)
    shown = [explanation.block(name).spatial_figures for name in ("layer4.1", "layer2.1")]
    ends = [f"{min(f.min for f in shown):.3f}", f"{max(f.max for f in shown):.3f}"]
    ticks = page.locator(".cv-bar-ticks span").all_inner_texts()
    assert [ticks[0], ticks[-1]] == ends
    page.mouse.move(*on_page(page, explanation, "layer4.1", 3, 4))
    lines = page.locator(".cv-read-pointer p").all_inner_texts()
    assert len(lines) == 2 and "layer4.1" in lines[0] and "layer2.1" in lines[1]
    assert page.locator(".cv-figures h2").all_inner_texts() == ["layer4.1", "layer2.1"]


def test_two_photos_beside_each_other(explanation, show):
    page = show(explanation, "#scale=stretched")
    other = make_explanation((400, 600), seed=5)
    page.evaluate("other => viewer.setPayload(payload, other)", payload(other))
    assert page.get_by_label("Photos").is_checked()
    page.get_by_label("Depth").focus()
    page.keyboard.press("Home")
    at_rest(page, 100)
    titles = page.locator(".cv-pane figcaption strong").all_inner_texts()
    assert titles == ["First photo · layer1.0", "Second photo · layer1.0"]
    shown = [e.block("layer1.0").spatial_figures for e in (explanation, other)]
    ticks = page.locator(".cv-bar-ticks span").all_inner_texts()
    assert ticks[0] == f"{min(f.min for f in shown):.3f}"
    assert ticks[-1] == f"{max(f.max for f in shown):.3f}"
    # Shown once, when it arrives; afterwards the visitor's choice stays, whatever the first is.
    page.get_by_label("Off").check()
    page.evaluate("other => viewer.setPayload(other, payload)", payload(other))
    assert page.get_by_label("Off").is_checked()
    page.get_by_label("Photos").check()
    page.evaluate("viewer.setPayload(payload)")
    expect(page.locator(".cv-pane").nth(1)).to_be_hidden()
    assert page.get_by_label("Photos").count() == 0
    assert page.get_by_label("Off").is_checked()
