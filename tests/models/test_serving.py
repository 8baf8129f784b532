"""The form for serving computes what the model computes."""

import copy
import pickle

import pytest
import torch
from helpers import lively
from torch import nn

from cbam_viz.explain.recorder import recorded
from cbam_viz.models import serving as serving_module
from cbam_viz.models.resnet import resnet18_cbam, resnet50_cbam
from cbam_viz.models.serving import _Packed, for_serving


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


@torch.inference_mode()
def test_packed_convolutions_give_what_plain_ones_do(monkeypatch):
    """For any size of photo, and for several at once; where they cannot be packed, it serves."""
    torch.manual_seed(0)
    model = lively(resnet18_cbam())
    packed = for_serving(model)
    monkeypatch.setattr(serving_module, "_can_pack", lambda: False)
    plain = for_serving(model)
    trunk = {
        name
        for name, m in plain.named_modules()
        if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1) and m.out_channels > 1
    }
    assert trunk == {name for name, m in packed.named_modules() if isinstance(m, _Packed)}
    assert len(trunk) == 17  # the stem's, and two of each of eight blocks
    for shape in ((1, 3, 32, 32), (1, 3, 160, 213), (3, 3, 100, 64), (1, 3, 32, 32)):
        for form in (torch.channels_last, torch.contiguous_format):
            x = torch.randn(shape).contiguous(memory_format=form)
            expected = plain(x)
            assert (packed(x) - expected).norm() / expected.norm() < 1e-5


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@torch.inference_mode()
def test_weights_lie_as_the_processor_wants_them_whatever_the_size(threads, capfd):
    """The processor's library tells what it does: in a second pass it lays out no 3x3 weights."""
    torch.manual_seed(0)
    serving = for_serving(resnet18_cbam(num_classes=3))
    for side, count in ((32, 1), (64, 1), (224, 1), (97, 1), (224, 2)):
        threads(count)
        x = torch.randn(1, 3, side, side)
        expected = serving(x)
        capfd.readouterr()
        with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
            assert torch.equal(serving(x), expected)
        told = capfd.readouterr().out.splitlines()
        assert any("convolution" in line and "kh3" in line for line in told), told
        assert not [line for line in told if ",reorder," in line and "x3x3," in line]


@torch.inference_mode()
def test_it_can_be_copied_and_pickled():
    torch.manual_seed(0)
    serving = for_serving(lively(resnet18_cbam(num_classes=3)))
    x = torch.rand(1, 3, 64, 64)
    for again in (copy.deepcopy(serving), pickle.loads(pickle.dumps(serving))):
        assert torch.equal(again(x), serving(x))
