"""Results in a notebook: one short line as text, the viewer or pictures as HTML."""

import base64
import html
import io
import re

import numpy as np
import pytest
from helpers import make_explanation
from PIL import Image


def test_results_print_in_one_short_line():
    explanation = make_explanation()
    assert repr(explanation) == "Explanation(made-up, 320 x 240 px: tabby cat 50.0%, 8 blocks)"
    for result in (explanation, *explanation.blocks):
        assert len(repr(result)) < 100 and "\n" not in repr(result)
    last = explanation.blocks[-1]
    low, high = last.spatial.min(), last.spatial.max()
    assert repr(last).startswith(
        f"BlockAttention(layer4.1: spatial 10 x 7 in {low:.3f}..{high:.3f}"
    )


def test_no_name_leaves_the_frame():
    name = '"><script>alert(1)</script>'
    shown = make_explanation(labels=(name, "sundial"))._repr_html_()
    assert re.fullmatch(r'<iframe srcdoc="[^"<>]*" sandbox="allow-scripts"[^<>]*></iframe>', shown)
    page = html.unescape(re.search(r'srcdoc="([^"]*)"', shown)[1])
    assert page.startswith("<!") and "<script>alert" not in page


def test_a_block_shows_both_gates():
    gate = np.linspace(0, 1, 70, dtype=np.float32).reshape(7, 10)
    shown = make_explanation(spatial={"layer4.1": gate}).block("layer4.1")._repr_html_()
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(data)))
        for data in re.findall(r"data:image/png;base64,([^\"]+)", shown)
    ]
    assert len(pictures) == 2
    cells = np.asarray(pictures[0]).astype(int).sum(2)
    assert cells[0, 0] == cells.min() and cells[-1, -1] == cells.max()  # magma: dark to light
    assert re.findall(r'alt="(.*?)"', shown) == [
        "Spatial gate of layer4.1",
        "Channel gate of layer4.1",
    ]


def test_the_viewer_runs_in_its_frame(browser):
    page = browser.new_page()
    page.set_content(make_explanation()._repr_html_())
    page.frame_locator("iframe").locator(".cv-surface canvas, canvas").first.wait_for()
    page.close()


@pytest.mark.parametrize("blocks", [8, 50])
def test_deep_networks_print_no_longer(blocks):
    assert len(repr(make_explanation(blocks=blocks))) < 100
