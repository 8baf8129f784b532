"""The example photos and the network they are chosen for."""

import os
import subprocess
import sys

import numpy as np
import pytest

from cbam_viz import Explainer
from cbam_viz.evaluation.metrics import pixel_auc
from cbam_viz.ui.examples import EXAMPLE_FILES

MODEL = "resnet50-cbam-imagenet"
#: What the photos show, as ImageNet calls it; galaxies and a dahlia have no class.
SHOWN = {
    "coffee": "espresso",
    "corner": "espresso",
    "table": "espresso",
    "sneakers": "running shoe",
    "tripod": "tripod",
    "barn": "barn",
    "admiral": "military uniform",
    "alps": "alp",
}


#: Where the objects are: left, top, right, bottom as shares of the photo.
PLACES = {
    "coffee": (0.12, 0.04, 0.80, 0.96),
    "corner": (0.05, 0.52, 0.40, 0.93),
    "barn": (0.51, 0.28, 0.97, 0.62),
    "dahlia": (0.27, 0.19, 0.70, 0.82),
}


@pytest.fixture(scope="module")
def explainer():
    return Explainer.from_pretrained(MODEL)


def test_it_is_the_default_where_no_other_is_asked_for():
    code = "from cbam_viz.models.sources import DEFAULT; print(DEFAULT)"
    env = {k: v for k, v in os.environ.items() if k != "CBAM_VIZ_MODEL"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout.strip() == MODEL, done.stderr


@pytest.mark.parametrize("name", PLACES)
def test_the_block_that_it_opens_at_lights_the_object(explainer, name):
    explanation = explainer.explain(EXAMPLE_FILES[name])
    attention = explanation.spatial_on_image(explainer.open_at)
    height, width = attention.shape
    left, top, right, bottom = PLACES[name]
    on_object = np.zeros(attention.shape, bool)
    rows = slice(round(top * height), round(bottom * height))
    on_object[rows, round(left * width) : round(right * width)] = True
    assert pixel_auc(attention, on_object) > 0.8


def test_every_class_has_a_name_in_both_languages(explainer):
    assert len(explainer.classes) == len(explainer.classes_zh) == 1000
    shown = explainer.explain(EXAMPLE_FILES["coffee"]).predictions[0]
    assert (shown.label, shown.label_zh) == ("espresso", "浓缩咖啡")


def test_each_photo_shows_a_class_or_is_said_not_to():
    assert set(EXAMPLE_FILES) == {*SHOWN, "galaxies", "dahlia"}


def test_the_network_names_what_they_show(explainer):
    for name, label in SHOWN.items():
        assert explainer.explain(EXAMPLE_FILES[name]).predictions[0].label == label, name
