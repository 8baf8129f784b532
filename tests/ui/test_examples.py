"""The example photos and the network they are chosen for."""

import pytest

from cbam_viz import Explainer, list_checkpoints
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


def test_each_photo_shows_a_class_or_is_said_not_to():
    assert set(EXAMPLE_FILES) == {*SHOWN, "galaxies", "dahlia"}


@pytest.mark.skipif(MODEL not in list_checkpoints(), reason="its weights are not here")
def test_the_network_names_what_they_show():
    explainer = Explainer.from_pretrained(MODEL)
    for name, label in SHOWN.items():
        assert explainer.explain(EXAMPLE_FILES[name]).predictions[0].label == label, name
