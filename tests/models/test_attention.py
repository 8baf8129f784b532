"""The gates against the paper's formulas, written out in numpy and float64."""

import numpy as np
import pytest
import torch

from cbam_viz.models.attention import ChannelAttention, SpatialAttention


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def channel_gate(x, w1, b1, w2, b2):
    """Equation 2: sigmoid(W2 relu(W1 avg) + W2 relu(W1 max)), [N, C, H, W] to [N, C]."""
    total = 0
    for pooled in (x.sum((2, 3)) / (x.shape[2] * x.shape[3]), x.max((2, 3))):
        hidden = np.maximum((pooled[:, None, :] * w1).sum(2) + b1, 0)
        total = total + (hidden[:, None, :] * w2).sum(2) + b2
    return sigmoid(total)


def spatial_logits(x, kernel):
    """The convolution of equation 3, [N, C, H, W] to [N, H, W]: the kernel over [max, mean]."""
    n, c, h, w = x.shape
    size = kernel.shape[-1]
    reach = size // 2
    padded = np.zeros((n, 2, h + 2 * reach, w + 2 * reach))
    padded[:, 0, reach : reach + h, reach : reach + w] = x.max(1)
    padded[:, 1, reach : reach + h, reach : reach + w] = x.sum(1) / c
    logits = np.zeros((n, h, w))
    for plane in range(2):
        for i in range(size):
            for j in range(size):
                logits += kernel[plane, i, j] * padded[:, plane, i : i + h, j : j + w]
    return logits


def randomised(module):
    """The module in float64 and eval mode, nothing in it zero or one any more."""
    generator = torch.Generator().manual_seed(0)
    module = module.double().eval()
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=generator, dtype=value.dtype))
                if name.endswith("running_var"):
                    value.abs_().add_(0.1)
    return module


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 32, 9, 6, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("reduction", [2, 16, 32])
def test_channel_gate_is_the_formula(x, reduction, bias):
    module = randomised(ChannelAttention(32, reduction, bias))
    w1, w2 = (layer.weight.detach().numpy() for layer in (module.fc1, module.fc2))
    assert w1.shape == (32 // reduction, 32) and w2.shape == (32, 32 // reduction)
    b1, b2 = (
        layer.bias.detach().numpy() if bias else np.zeros(len(layer.weight))
        for layer in (module.fc1, module.fc2)
    )
    gate = module(x)
    assert gate.shape == (3, 32, 1, 1)
    expected = channel_gate(x.numpy(), w1, b1, w2, b2)
    assert np.abs(gate.detach().numpy()[:, :, 0, 0] - expected).max() < 1e-6
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_spatial_gate_is_the_formula(x, kernel_size, norm):
    module = randomised(SpatialAttention(kernel_size, norm))
    kernel = module.conv.weight.detach().numpy()[0]
    assert kernel.shape == (2, kernel_size, kernel_size) and module.conv.bias is None
    logits = spatial_logits(x.numpy(), kernel)
    if norm:
        n = {name: value.item() for name, value in module.norm.state_dict().items()}
        deviation = np.sqrt(n["running_var"] + 1e-5)
        logits = (logits - n["running_mean"]) / deviation * n["weight"] + n["bias"]
    gate = module(x)
    assert gate.shape == (3, 1, 9, 6)
    expected = sigmoid(logits)
    assert np.abs(gate.detach().numpy()[:, 0] - expected).max() < 1e-6
    assert np.ptp(expected) > 0.01


def test_channel_attention_pools_globally(x):
    """It knows how much there is of a channel and not where: what a 1x1 window cannot do."""
    module = randomised(ChannelAttention(32, 2))
    gate = module(x)
    order = torch.randperm(9 * 6, generator=torch.Generator().manual_seed(2))
    shuffled = x.flatten(2)[:, :, order].reshape(x.shape)
    torch.testing.assert_close(module(shuffled), gate)
    # One strong cell anywhere moves the whole gate, by the maximum and by the mean.
    spike = x.clone()
    spike[:, 5, 8, 5] += 10
    assert (module(spike) - gate).abs().amax((1, 2, 3)).min() > 1e-3
    # The maximum is looked at apart from the mean: same means, other maxima.
    pair = x.clone()
    pair[:, 5, 8, 5] += 10
    pair[:, 5, 0, 0] -= 10
    assert (module(pair) - gate).abs().amax((1, 2, 3)).min() > 1e-3


def test_spatial_attention_moves_with_the_map(x):
    module = randomised(SpatialAttention())
    wide = torch.zeros(1, 32, 24, 24, dtype=torch.float64)
    wide[:, :, 8:14, 8:12] = x[:1, :, :6, :4]
    moved = wide.roll((2, 3), (2, 3))
    inner = slice(6, 18)
    found = module(moved).roll((-2, -3), (2, 3))
    torch.testing.assert_close(found[..., inner, inner], module(wide)[..., inner, inner])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 7), (56, 3)])
def test_any_map_size(size):
    x = torch.randn(2, 64, *size)
    channel, spatial = ChannelAttention(64)(x), SpatialAttention()(x)
    assert channel.shape == (2, 64, 1, 1) and spatial.shape == (2, 1, *size)
    for gate in (channel, spatial):
        assert gate.isfinite().all() and (gate > 0).all() and (gate < 1).all()


def test_parameters():
    def count(module):
        return sum(p.numel() for p in module.parameters())

    assert count(ChannelAttention(64)) == 64 * 4 + 4 + 4 * 64 + 64
    assert count(ChannelAttention(64, bias=False)) == 2 * 64 * 4
    assert count(SpatialAttention()) == 2 * 7 * 7 + 2
    assert count(SpatialAttention(3, norm=False)) == 2 * 3 * 3


def test_bad_arguments():
    with pytest.raises(ValueError, match="16 leaves no hidden unit for 8 channels"):
        ChannelAttention(8)
    assert ChannelAttention(8, 8).fc1.out_features == 1
    for kernel_size in (0, 2, 6, -1, -7):
        with pytest.raises(ValueError, match=f"odd and positive, not {kernel_size}"):
            SpatialAttention(kernel_size)
