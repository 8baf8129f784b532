"""The form for serving computes what the model computes."""

import copy

import pytest
import torch
from helpers import lively
from torch import nn

from cbam_viz.explain.recorder import recorded
from cbam_viz.models.resnet import resnet18_cbam, resnet50_cbam
from cbam_viz.models.serving import for_serving


@pytest.mark.parametrize(
    "make",
    [
        resnet18_cbam,
        resnet50_cbam,
        lambda: resnet18_cbam(mlp_bias=False, spatial_norm=False),
    ],
)
@torch.inference_mode()
def test_logits_and_gates_are_equal(make):
    torch.manual_seed(0)
    model = lively(make())
    before = copy.deepcopy(model.state_dict())
    serving = for_serving(model)
    x = torch.randn(2, 3, 96, 64)
    with recorded(model) as a:
        expected = model(x)
    with recorded(serving) as b:
        got = serving(x)
    assert (got - expected).norm() / expected.norm() < 1e-4
    for name, gates in a.items():
        assert torch.allclose(b[name].channel, gates.channel, atol=1e-4)
        assert torch.allclose(b[name].spatial, gates.spatial, atol=1e-4)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in serving.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} of the original was changed"
