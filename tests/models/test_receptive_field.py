"""Receptive fields, against published figures and against what gradients show."""

import pytest
import torch
from torch import nn

from cbam_viz.models.receptive_field import receptive_fields
from cbam_viz.models.resnet import BLOCKS, ResNetCBAM, resnet18_cbam, resnet50_cbam


@pytest.mark.parametrize(
    ("make", "published"),
    [(resnet18_cbam, [43, 99, 211, 435]), (resnet50_cbam, [35, 91, 267, 427])],
)
def test_stages_end_at_the_published_figures(make, published):
    fields = receptive_fields(make(num_classes=2))
    last = {name[5]: field for name, field in fields.items()}
    assert list(last.values()) == published
    assert list(fields.values()) == sorted(fields.values())


@pytest.mark.parametrize(
    ("block", "options"),
    [
        ("basic", {}),
        ("bottleneck", {}),
        ("bottleneck", {"replace_stride_with_dilation": (False, True, True)}),
    ],
)
def test_gradients_reach_exactly_that_far(block, options, monkeypatch):
    model = ResNetCBAM(block, (1, 1, 1, 1), num_classes=2, **options).double().eval()
    # All weights positive and the mean in place of the maximum: nothing hides a path. Without the
    # gates, whose pooling sees everything.
    monkeypatch.setattr(BLOCKS[block], "attend", lambda self, x: x)
    model.maxpool = nn.AvgPool2d(3, 2, 1)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1e-3)
    expected = receptive_fields(ResNetCBAM(block, (1, 1, 1, 1), num_classes=2, **options))

    features = {}
    for name, module in model.blocks().items():
        module.register_forward_hook(lambda _, __, y, name=name: features.update({name: y}))
    side = 224
    x = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    model(x)
    for name, stride in model.strides().items():
        cell = side // stride // 2
        reached = features[name][0, 0, cell, cell]
        (gradient,) = torch.autograd.grad(reached, x, retain_graph=True)
        seen = gradient[0].abs().sum(0).nonzero()
        field, centre = expected[name], cell * stride
        assert seen.min(0).values.tolist() == [max(0, centre - field // 2)] * 2, name
        assert seen.max(0).values.tolist() == [min(side - 1, centre + field // 2)] * 2, name
