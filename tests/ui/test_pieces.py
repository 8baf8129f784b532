"""What the page says of a photo, as HTML."""

from dataclasses import replace

import pytest
from helpers import make_explanation

from cbam_viz.ui.pieces import summary
from cbam_viz.ui.words import words


@pytest.mark.parametrize(
    "level, unsure", [(None, False), (0.0, False), (0.5, False), (0.51, True), (1.0, True)]
)
def test_doubt_is_said_below_the_networks_level(level, unsure):
    explanation = make_explanation()
    assert explanation.predictions[0].probability == 0.5
    facts = replace(explanation.model, unsure_below=level)
    said = summary(replace(explanation, model=facts), ["made-up"], 5)
    assert ("cv-unsure" in said) is unsure
    for strings in words().values():
        told = strings["unsure"].format(level=f"{100 * (level or 0):.0f}")
        assert (told in said) is unsure
