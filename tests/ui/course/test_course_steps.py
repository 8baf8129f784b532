"""The ten steps, on a photo that is no example, against the numbers of the network."""

import re

import numpy as np
import pytest
from teaching import chip, choose, done, go, open_course, said, set_slider

from cbam_viz.explain.class_maps import class_maps
from cbam_viz.explain.view import ModelInput
from cbam_viz.ui import course


def test_a_feature_map_and_its_two_poolings(page, anatomy):
    go(page, "map")
    for place in (0, 5, 15):
        set_slider(page, place)
        channel, average, most, row, column = map(
            float, re.findall(r"-?\d+\.?\d*", said(page)[:-1])
        )
        map_ = anatomy.features[int(channel)]
        assert average == pytest.approx(map_.mean(), abs=6e-4)
        assert most == pytest.approx(map_.max(), abs=6e-4)
        assert map_[int(row), int(column)] == map_.max()
        assert float(chip(page, "avg")) == average
        assert page.locator(".cc-step output").inner_text() == f"#{int(channel)}"
    before = said(page)
    page.locator(".cc-dot").nth(2).click()
    assert said(page) != before
    assert "map" in done(page)


def test_one_perceptron_for_both_vectors(page, anatomy):
    go(page, "mlp")
    choose(page.locator(".cc-step"), "Max-pooled")
    awake, units, alone, one, two = map(int, re.findall(r"\d+", said(page)))
    assert units == len(anatomy.hidden_maximum)
    assert awake == (anatomy.hidden_maximum > 0).sum()
    assert alone == ((anatomy.hidden_maximum > 0) & (anatomy.hidden_average == 0)).sum()
    assert one == anatomy.hidden_weight.size + anatomy.out_weight.size == two / 2
    assert "mlp" in done(page)


def test_the_channel_gate_comes_near_0_and_1_and_reaches_neither(page, anatomy):
    go(page, "gate")
    channel, _, gate, own = map(float, re.findall(r"-?\d+\.?\d*", said(page)[:-1]))
    assert gate == pytest.approx(anatomy.channel_gate[int(channel)], abs=0.03)
    assert own == pytest.approx(anatomy.channel_gate[int(channel)], abs=6e-4)
    for sum_ in (-6, 0, 6):
        set_slider(page, sum_)
        assert float(chip(page, "Mc")) == pytest.approx(1 / (1 + np.exp(-sum_)), abs=6e-4)
    page.get_by_role("button", name="Back to the network's own sum").click()
    assert float(chip(page, "Mc")) == pytest.approx(own, abs=0.03)
    assert "gate" in done(page)


def test_all_channels_become_two_maps(page, anatomy):
    go(page, "planes")
    grid = page.get_by_role("slider", name="Cell. Arrow keys")
    for key in ("ArrowUp", "ArrowLeft", "ArrowLeft"):
        grid.press(key)
    row, column, winner, most, channels, mean, winners = map(
        float, re.findall(r"-?\d+\.?\d*", said(page)[:-1])
    )
    at = int(row), int(column)
    refined = anatomy.channel_refined
    assert most == pytest.approx(refined[:, *at].max(), abs=6e-4)
    assert mean == pytest.approx(refined[:, *at].mean(), abs=6e-4)
    assert winner == refined[:, *at].argmax()
    assert channels == len(refined)
    assert winners == len(np.unique(refined.argmax(0)))
    assert "planes" in done(page)


def test_the_window_moves_and_the_result_grows(page, anatomy):
    go(page, "window")
    set_slider(page, 0)
    row, column, terms, beyond, most, mean, logit = map(
        float, re.findall(r"-?\d+\.?\d*", said(page)[:-1])
    )
    cell = anatomy.cell(0, 0)
    assert (row, column, terms) == (0, 0, cell.products.size)
    side = cell.products.shape[1]
    assert beyond == 2 * (side**2 - (side // 2 + 1) ** 2)
    assert most == pytest.approx(cell.products[0].sum(), abs=6e-4)
    assert mean == pytest.approx(cell.products[1].sum(), abs=6e-4)
    assert logit == pytest.approx(cell.logit, abs=6e-4)
    drawn = "() => { const c = [...document.querySelectorAll('.cc-step canvas')].at(-1);"
    drawn += "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
    drawn += "return d.filter((v, i) => i % 4 === 3 && v > 0).length; }"
    assert page.evaluate(drawn) == 1  # where the window has not been, nothing is known
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Stop").wait_for()
    page.get_by_role("button", name="Play").wait_for()
    assert page.evaluate(drawn) == anatomy.spatial_gate.size
    assert "window" in done(page)


def test_who_wants_nothing_to_move_gets_the_end_at_once(browser, address):
    page = open_course(browser, address, hash_="tab=course&step=window", reduced_motion="reduce")
    page.wait_for_selector(".cc-step[data-key=window]")
    place = page.locator(".cc-step output")
    at, count = place.inner_text().split(" / ")
    assert at != count
    page.get_by_role("button", name="Play").click()
    assert place.inner_text() == f"{count} / {count}"
    page.context.close()


def test_the_spatial_gate_keeps_its_numbers_in_both_colours(page, anatomy):
    go(page, "spatial")
    gate = anatomy.spatial_gate
    expected = [gate.min(), gate.max(), gate.mean()]
    for choice in ("stretched", "0 to 1"):
        choose(page.locator(".cc-step"), choice)
        assert page.locator(f".cc-onphoto[data-drawn='{choice}']").count() == 1
        numbers = [float(n) for n in re.findall(r"\d+\.\d+", said(page))]
        assert numbers == pytest.approx(expected, abs=6e-4)
    assert "spatial" in done(page)


def test_the_shortcut_limits_what_the_gates_can_do(page, anatomy):
    go(page, "block")
    assert f"{round(100 * anatomy.reach)} %" in said(page)
    for place, opening in enumerate(course.OPENINGS):
        set_slider(page, place)
        mean = np.maximum(opening * anatomy.features + anatomy.shortcut, 0).mean(0)
        shown = page.locator(".cc-figure [data-s=out], .cc-figure[data-s=out]").inner_text()
        low, high = map(float, re.findall(r"-?\d+\.\d{3}", shown.replace("−", "-"))[-2:])
        assert (low, high) == pytest.approx((mean.min(), mean.max()), abs=6e-4)
    assert "block" in done(page)


def test_photo_times_gate_for_every_block(page, visit):
    go(page, "photo")
    for place, block in enumerate(visit.explanation.blocks):
        set_slider(page, place)
        assert said(page).startswith(f"{block.name}: gates from {block.spatial.min():.2f}")
        assert f"{round(100 * block.spatial.mean())} %" in said(page)
    assert "photo" in done(page)


def test_grad_cam_changes_with_the_class(page, visit, anatomy):
    go(page, "cam")
    tensor = ModelInput.of(
        visit.explanation.photo, visit.explainer.preprocessing, visit.explanation.view
    ).tensor
    for prediction in visit.explanation.predictions[:2]:
        choose(page.locator(".cc-step"), prediction.label)
        page.wait_for_function(
            "(label) => document.querySelector('.cc-said').innerText.includes(label)",
            arg=f"“{prediction.label}”",
        )
        block = visit.explainer.open_at
        _, maps = class_maps(visit.explainer.model, tensor, [block], [prediction.index])
        cam = maps[block][0]
        if cam.max() > 0:
            alike = np.corrcoef(cam.ravel(), anatomy.spatial_gate.ravel())[0, 1]
            assert f"correlation of {alike:.2f}" in said(page)
    assert "cam" in done(page)


def test_the_papers_claims_are_judged(page, visit):
    go(page, "paper")
    cards = page.locator(".cc-card")
    weights = course.learnt(visit.explainer.model)
    assert f"{weights['gates']:,} of {weights['all']:,}" in cards.nth(3).inner_text()
    for i, answer in enumerate(("no", "yes", "no", "yes")):
        choose(cards.nth(i), answer)
    replies = page.locator(".cc-reply").all_inner_texts()
    assert [reply.split(".")[0] for reply in replies] == ["Right", "Not quite", "Right", "Right"]
    assert said(page).startswith("4 of 4 judged")
    assert "paper" in done(page)


def test_a_click_on_the_photo_looks_at_the_cell_whose_centre_is_nearest(page, anatomy):
    go(page, "quiz")
    card = page.locator(".cc-card[data-question=look]")
    grid = card.get_by_role("slider")
    box = grid.bounding_box()
    grid.click(position={"x": box["width"] - 2, "y": 2})
    columns = anatomy.spatial_gate.shape[1]
    assert grid.get_attribute("aria-valuetext") == f"row 0, column {columns - 1}"
