"""A network that tests of evaluation share, unless they have one of their own."""

import pytest
import torch
from helpers import lively

from cbam_viz.explain.explainer import Explainer
from cbam_viz.models.preprocessing import Preprocessing
from cbam_viz.models.resnet import ResNetCBAM


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    torch.manual_seed(1)
    model = lively(ResNetCBAM("basic", [1, 1, 1, 1], num_classes=5))
    return Explainer(model, preprocessing=Preprocessing(size=64, crop_resize=70))
