"""Explanations of known gates, and the viewer opened on one from disk, offline."""

import numpy as np
import pytest
import torch
from helpers import EXAMPLES, lively, make_explanation, make_photo
from PIL import Image
from viewing import FIELDS

from cbam_viz.explain.explainer import Explainer
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import resnet18_cbam
from cbam_viz.ui.standalone import standalone_html


@pytest.fixture(scope="module")
def explanation():
    """Eight blocks on a photo that the viewer draws at its own size; one is nearly constant."""
    constant = np.random.default_rng(1).uniform(0.48, 0.52, (28, 38)).astype(np.float32)
    photo = Image.open(EXAMPLES / "dahlia.jpg")
    return make_explanation(photo, spatial={"layer2.1": constant})


@pytest.fixture(scope="module")
def explainer():
    """A small network whose gates differ from channel to channel."""
    torch.manual_seed(3)
    small = Preprocessing(size=96, crop_resize=110)
    return Explainer(lively(resnet18_cbam(num_classes=5)), preprocessing=small)


@pytest.fixture(scope="module")
def explained(explainer):
    return explainer.explain(make_photo(200, 150))


@pytest.fixture
def show(browser, tmp_path):
    """Open an explanation from disk, with no network; fails on any error the page reports."""
    contexts, errors = [], []

    def show(explanation, hash_: str = "", **options):
        options = {"viewport": {"width": 1280, "height": 900}, "locale": "en"} | options
        context = browser.new_context(**options)
        context.set_offline(True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: m.type == "error" and errors.append(m.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.expected_errors = errors
        file = tmp_path / f"explanation-{len(contexts)}.html"
        file.write_text(standalone_html(explanation, FIELDS), "utf-8")
        page.goto(f"{file.as_uri()}{hash_}")
        if options.get("java_script_enabled", True):
            page.evaluate("viewer.ready")
        return page

    yield show
    for context in contexts:
        context.close()
    assert not errors
