"""The viewer's figures, channels and feature maps."""

import base64
import json
import re
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from helpers import make_explanation, make_photo
from viewing import read_canvas, state_of

from cbam_viz.explain.anatomy import Anatomy, dissect
from cbam_viz.ui import viewer
from cbam_viz.ui.viewer import payload


@pytest.mark.parametrize("width", [8, 64, 256])
@pytest.mark.parametrize("order", ["sorted", "channel"])
def test_the_chart_names_the_channel_under_the_pointer(show, width, order):
    explanation = make_explanation(width=width)
    page = show(explanation, f"#order={order}")
    weights = explanation.block("layer4.1").channel
    chart = page.locator(".cv-chart")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    for x, y in [(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)]:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        words = chart.locator(".cv-tag").inner_text()
        channel, value, rank, count = map(float, re.findall(r"[\d.]+", words))
        assert value == pytest.approx(weights[int(channel)], abs=6e-5)
        assert rank == (weights > weights[int(channel)]).sum() + 1
        assert count == len(weights) == 8 * width


def test_the_strongest_and_weakest_six_are_named(explanation, show):
    page = show(explanation)
    falling = np.argsort(-explanation.block("layer4.1").channel)
    named = [f"#{c}" for c in [*falling[:6], *falling[:-7:-1]]]
    assert page.locator(".cv-chip span").all_inner_texts() == named
    page.locator(".cv-chip").nth(2).click()
    assert int(state_of(page)["channel"]) == falling[2]


def test_the_figures_are_the_gates_and_nearly_constant_is_said(explanation, show):
    page = show(explanation, "#block=layer2.1")
    block = explanation.block("layer2.1")
    numbers = page.locator(".cv-gate dd").all_inner_texts()
    expected = [
        f"{value:.3f}"
        for f in (block.spatial_figures, block.channel_figures)
        for value in (f.min, f.mean, f.max, f.deviation)
    ]
    assert numbers == expected
    spatial, channel = page.locator(".cv-gate").all_inner_texts()
    assert "nearly constant" in spatial and "span only" in spatial
    assert "nearly constant" not in channel
    alt = page.locator(".cv-thumb").nth(3).get_attribute("aria-label")
    assert alt == "layer2.1: attention nearly constant, 0.48 to 0.52"


def test_alternative_texts_say_where_attention_is_highest(show):
    map_ = np.full((7, 7), 0.31, np.float32)
    map_[3, 0] = 0.74
    page = show(make_explanation((224, 224), spatial={"layer4.1": map_}))
    words = page.locator(".cv-surface").first.get_attribute("aria-label")
    assert words.startswith("layer4.1: attention highest at centre left, 0.31 to 0.74.")


def test_untrained_gates_are_marked(show):
    page = show(make_explanation(untrained="no such weights"))
    assert "mean nothing: no such weights" in page.locator(".cv-warning").inner_text()


def like(anatomy: Anatomy, gate: list[float]) -> Anatomy:
    """The block with another channel gate, and with as many of its features."""
    gate = np.array(gate, np.float32)
    return replace(anatomy, channel_gate=gate, features=anatomy.features[: len(gate)])


def with_features(page) -> None:
    """Mount the viewer anew, as a page does that has a server to ask for feature maps."""
    page.evaluate(
        """() => {
            viewer.destroy();
            window.asked = [];
            const onFeatures = (block) => asked.push(block);
            window.served = CbamViz.mountViewer(root, payload, { onFeatures });
            return served.ready;
        }"""
    )


def answer(page, *anatomies: Anatomy) -> None:
    answers = [viewer.features(anatomy) for anatomy in anatomies]
    page.evaluate("answers => { answers.forEach(served.setFeatures); served.draw(); }", answers)


def test_feature_maps_are_on_one_scale(explainer, explained):
    anatomy = dissect(explainer, explained, "layer3.0")
    sent = viewer.features(anatomy)
    assert json.loads(json.dumps(sent)) == sent
    assert sent["answer"] != viewer.features(anatomy)["answer"]
    assert (sent["block"], sent["rows"], sent["columns"]) == ("layer3.0", 6, 8)
    gates = [c["gate"] for c in sent["channels"]]
    assert gates[:6] == sorted(gates, reverse=True)[:6]
    assert gates[6:] == sorted(gates)[:6]
    features = anatomy.features[[c["channel"] for c in sent["channels"]]]
    assert (sent["low"], sent["high"]) == (features.min(), features.max())
    step = (sent["high"] - sent["low"]) / 255
    for channel, map_ in zip(sent["channels"], features, strict=True):
        assert channel["gate"] == anatomy.channel_gate[channel["channel"]]
        assert (channel["min"], channel["max"]) == (map_.min(), map_.max())
        levels = np.frombuffer(base64.b64decode(channel["levels"]), np.uint8)
        drawn = sent["low"] + step * levels.reshape(map_.shape)
        assert np.abs(drawn - map_).max() <= 0.501 * step


@pytest.mark.parametrize(
    "gate",
    [
        [0.5] * 8,
        [0.9],
        [0.2, 0.8, 0.5],
        [0.5, 0.5, 0.7, 0.7, 0.7],
        [0.3 + 0.1 * (i % 3) for i in range(20)],
        [0.5 + 1e-6 * (i % 5) for i in range(16)],  # less apart than what is sent
    ],
    ids=["constant", "one", "three", "five", "ties", "close"],
)
def test_the_feature_maps_are_of_the_channels_that_are_named(explainer, explained, show, gate):
    anatomy = like(dissect(explainer, explained, "layer4.1"), gate)
    *others, last = explained.blocks
    blocks = (*others, replace(last, channel=anatomy.channel_gate))
    page = show(replace(explained, blocks=blocks))
    with_features(page)
    named = [f"#{c['channel']}" for c in viewer.features(anatomy)["channels"]]
    assert page.locator(".cv-chip span").all_inner_texts() == named
    answer(page, anatomy)
    assert page.locator(".cv-chip canvas").count() == len(named)
    assert page.locator(".cv-features > button").is_hidden()


def test_feature_maps_are_shown_when_asked_for(explainer, explained, show):
    page = show(explained)
    assert page.locator(".cv-features > button").is_hidden()  # there is no server to ask
    with_features(page)
    button = page.get_by_role("button", name="Show their feature maps")
    maps = page.locator(".cv-chip canvas")
    anatomy = {name: dissect(explainer, explained, name) for name in ("layer4.0", "layer4.1")}

    button.click()
    waiting = page.get_by_role("button", name="Computing…")
    assert waiting.get_attribute("aria-busy") == "true"
    waiting.click()
    assert page.evaluate("asked") == ["layer4.1"]
    answer(page, anatomy["layer4.0"])  # of another block: kept, not shown
    assert maps.count() == 0 and waiting.is_visible()
    answer(page, anatomy["layer4.1"])
    assert maps.count() == 12 and button.is_hidden()
    words = page.locator(".cv-features p.cv-small")
    assert "one scale for all 12" in words.inner_text()
    assert words.evaluate("e => e === document.activeElement")

    sent = viewer.features(anatomy["layer4.1"])
    # The colours of the inside of a block: white at 0, equally far to both sides.
    features = anatomy["layer4.1"].features
    most = np.abs(features[[c["channel"] for c in sent["channels"]]]).max()
    assert sent["most"] == pytest.approx(most)
    table = matplotlib.colormaps["RdBu_r"](np.arange(256), bytes=True)[:, :3].astype(np.int64)
    for i, channel in enumerate(sent["channels"]):
        values = features[channel["channel"]]
        expected = table[np.rint(255 * (values / most + 1) / 2).astype(int)]
        assert np.abs(read_canvas(page, ".cv-chip canvas", i) - expected).max() <= 6
        most_said = f"up to {channel['max']:.2f}".replace("-", "−")
        assert most_said in maps.nth(i).locator("xpath=..").inner_text()
        said = maps.nth(i).get_attribute("aria-label").replace("−", "-")
        low, high = re.search(r"([-\d.]+) to ([-\d.]+)$", said).groups()
        assert said.startswith(f"Feature map of channel {channel['channel']}: highest at ")
        assert (low, high) == (f"{channel['min']:.2f}", f"{channel['max']:.2f}")
    ticks = page.locator(".cv-features .cv-bar-ticks span").all_inner_texts()
    ends = [float(tick.replace("−", "-")) for tick in (ticks[0], ticks[-1])]
    assert ends == pytest.approx([-most, most], abs=0.0051)
    maps.nth(3).click()
    page.evaluate("served.draw()")
    chosen = page.locator(".cv-chip[aria-pressed=true] span")
    assert chosen.inner_text() == f"#{sent['channels'][3]['channel']}"
    assert maps.count() == 12

    def show_block(name: str) -> None:
        page.evaluate("block => { served.setState({ block }); served.draw(); }", name)

    show_block("layer4.0")
    assert maps.count() == 12  # was kept
    show_block("layer3.0")
    assert maps.count() == 0 and button.is_visible()
    page.evaluate("served.setState({ block: 'layer4.1', lang: 'zh' }); served.draw()")
    assert maps.count() == 12 and "12 幅图共用一个标度" in words.inner_text()

    # Of another photo nothing is kept, and what comes too late is not taken for it.
    other = explainer.explain(make_photo(200, 150, seed=1))
    page.evaluate("other => served.setPayload(other)", payload(other))
    answer(page, anatomy["layer4.1"])
    assert maps.count() == 0
    answer(page, dissect(explainer, other, "layer4.1"))
    assert maps.count() == 12


def test_feature_maps_that_do_not_come_can_be_asked_for_again(explained, show):
    page = show(explained)
    page.clock.install()
    with_features(page)
    page.get_by_role("button", name="Show their feature maps").click()
    page.get_by_role("button", name="Computing…").wait_for()
    page.clock.fast_forward(31_000)
    page.get_by_role("button", name="Show their feature maps").click()
    assert page.evaluate("asked") == ["layer4.1", "layer4.1"]
