"""Whole-network variants: each is what a block that is written so would compute."""

import copy

import numpy as np
import pytest
import torch
from helpers import EXAMPLES, as_trained, hooks

from cbam_viz import Explainer
from cbam_viz.explain.variants import VARIANTS, variants
from cbam_viz.explain.view import ModelInput
from cbam_viz.models.checkpoints import Preprocessing
from cbam_viz.models.resnet import BasicBlockCBAM, resnet18_cbam, resnet50_cbam

COFFEE = EXAMPLES / "coffee.jpg"
SMALL = Preprocessing(size=96, crop_resize=110)


def logits_of(block: BasicBlockCBAM, x: torch.Tensor) -> torch.Tensor:
    planes = torch.stack([x.max(1).values, x.mean(1)], 1)
    return block.spatial_attention.norm(block.spatial_attention.conv(planes))


def channel_gate(block, *pooled: torch.Tensor) -> torch.Tensor:
    a = block.channel_attention
    return sum(a.fc2(torch.relu(a.fc1(p))) for p in pooled).sigmoid()[..., None, None]


def average(x):
    return torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)


def maximum(x):
    return torch.nn.functional.adaptive_max_pool2d(x, 1).flatten(1)


def both(block, x):
    return channel_gate(block, average(x), maximum(x))


def one_pooled(pool):
    def attend(block, x):
        x = channel_gate(block, pool(x)) * x
        return logits_of(block, x).sigmoid() * x

    return attend


def spatial_first(block, x):
    x = logits_of(block, x).sigmoid() * x
    return both(block, x) * x


def parallel(block, x):
    return both(block, x) * logits_of(block, x).sigmoid() * x


def softmax(block, x):
    x = both(block, x) * x
    e = logits_of(block, x).exp()
    return e / e.sum((2, 3), keepdim=True) * x


#: Each variant's way of attending, written out.
WRITTEN = {
    "average-pool": one_pooled(average),
    "max-pool": one_pooled(maximum),
    "spatial-first": spatial_first,
    "parallel": parallel,
    "softmax": softmax,
    "none": lambda block, x: x,
}


@pytest.mark.parametrize("make", [resnet18_cbam, resnet50_cbam])
@torch.inference_mode()
def test_a_variant_computes_what_is_written(make):
    torch.manual_seed(1)
    explainer = Explainer(as_trained(make(num_classes=7)), preprocessing=SMALL)
    before = explainer.explain(COFFEE, top_k=7)
    x = ModelInput.of(COFFEE, SMALL).tensor
    found = dict(variants(explainer, before, top_k=7))
    assert list(found) == list(WRITTEN) == list(VARIANTS)
    for name, comparison in found.items():
        model = copy.deepcopy(explainer.model)
        for block in model.blocks().values():
            block.attend = lambda x, b=block, name=name: WRITTEN[name](b, x)
        expected = model(x)[0].numpy()
        assert np.allclose(comparison.after.logits, expected, atol=2e-4, rtol=1e-3), name
        assert comparison.before is before
        assert not np.allclose(comparison.after.logits, before.logits, atol=1e-5), name
    assert hooks(explainer.serving) == 0


def test_the_gates_of_a_variant_are_those_that_were_used():
    explainer = Explainer.from_pretrained()
    found = dict(variants(explainer, COFFEE))
    for block in found["softmax"].after.blocks:
        assert block.spatial.sum() == pytest.approx(1, abs=1e-4)
    for block in found["none"].after.blocks:
        assert block.spatial.min() == block.channel.min() == 1
    again = explainer.explain(COFFEE)
    assert np.array_equal(again.logits, found["none"].before.logits)
