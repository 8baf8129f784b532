"""Hooks: that they record the gates, only their own thread's, and that none is left behind."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from helpers import hooks

from cbam_viz.explain.recorder import recorded
from cbam_viz.models.resnet import resnet18_cbam, resnet50_cbam


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return resnet18_cbam(num_classes=7).eval()


def test_hooks_are_there_inside_and_gone_after(model):
    assert hooks(model) == 0
    with recorded(model):
        assert hooks(model) == 2 * 8
    assert hooks(model) == 0


def test_nothing_is_left_after_an_exception(model):
    with pytest.raises(RuntimeError), recorded(model):
        model(torch.rand(1, 4, 64, 64))
    assert hooks(model) == 0


def test_nothing_is_left_after_a_thousand(model):
    for _ in range(1000):
        with recorded(model):
            pass
    assert hooks(model) == 0


@torch.inference_mode()
def test_the_gates_are_those_that_were_multiplied_with(model):
    """Found again without hooks: by dividing a block's product by its factor."""
    x = torch.rand(2, 64, 24, 16)
    block = model.layer1[0]
    factor = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
    with recorded(model) as found:
        product = block.attend(factor)
    gates = found["layer1.0"]
    assert gates.channel.shape == (2, 64, 1, 1)
    assert gates.spatial.shape == (2, 1, 24, 16)
    clear = factor.abs() > 1e-2
    found = (product / factor)[clear]
    assert torch.allclose(found, (gates.channel * gates.spatial)[clear], rtol=1e-4)


@torch.inference_mode()
def test_map_sizes_of_resnet50_at_224():
    model = resnet50_cbam().eval()
    with recorded(model) as found:
        model(torch.rand(1, 3, 224, 224))
    sizes = [g.spatial.shape[-1] for g in found.values()]
    assert sizes == [56] * 3 + [28] * 4 + [14] * 6 + [7] * 3
    channels = [g.channel.shape[1] for g in found.values()]
    assert channels == [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3


def test_forty_threads_get_each_their_own(model):
    photos = [torch.rand(1, 3, 64, 64 + 32 * (i % 3)) for i in range(40)]

    def record(x):
        with torch.inference_mode(), recorded(model) as found:
            model(x)
        return found

    expected = [record(x) for x in photos]
    with ThreadPoolExecutor(40) as pool:
        for _ in range(3):
            for got, want in zip(pool.map(record, photos), expected, strict=True):
                for name, gates in want.items():
                    assert torch.allclose(got[name].channel, gates.channel, atol=1e-6)
                    assert torch.allclose(got[name].spatial, gates.spatial, atol=1e-6)
    assert hooks(model) == 0
