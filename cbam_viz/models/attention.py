"""The two gates of the Convolutional Block Attention Module.

Woo, Park, Lee, Kweon: "CBAM: Convolutional Block Attention Module", ECCV 2018,
https://arxiv.org/abs/1807.06521, section 3.

Each module returns its *gate*; the block that owns it multiplies. So the output that a plain
forward hook sees is the gate itself, and nothing has to be recomputed to look at it.
"""

import torch
from torch import Tensor, nn


class ChannelAttention(nn.Module):
    """Which channels matter: one weight in (0, 1) for each channel (section 3, equation 2).

    The map is pooled over *all* of its height and width, once by average and once by maximum,
    both vectors go through the same two-layer perceptron, and the sigmoid of their sum is the
    gate. Some listings pool with ``MaxPool2d(1)`` and ``AvgPool2d(1)``: a 1x1 window is the
    identity, both branches then see the map itself and the "channel" gate becomes a full
    [N, C, H, W] tensor. The paper's text, its figure 2 and its equation pool globally.

    Args:
        channels: C, the number of channels of the map.
        reduction: the perceptron's hidden width is C // reduction, without a lower bound.
        bias: whether its two layers have a bias (the authors' code does, many ports do not).

    Raises:
        ValueError: if C // reduction is 0.
    """

    def __init__(self, channels: int, reduction: int = 16, bias: bool = True):
        super().__init__()
        hidden = channels // reduction
        if hidden < 1:
            raise ValueError(
                f"reduction {reduction} leaves no hidden unit for {channels} channels; "
                f"it can be {channels} at most"
            )
        self.fc1 = nn.Linear(channels, hidden, bias=bias)
        self.fc2 = nn.Linear(hidden, channels, bias=bias)

    def mlp(self, pooled: Tensor) -> Tensor:
        """The shared perceptron: pooled features [N, C] to logits [N, C]."""
        return self.fc2(self.fc1(pooled).relu())

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to gate [N, C, 1, 1], in (0, 1)."""
        logits = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        return logits.sigmoid()[:, :, None, None]


class SpatialAttention(nn.Module):
    """Where to look: one weight in (0, 1) for each cell of the map (section 3, equation 3).

    The channels are summarised by their maximum and their mean, in this order; one convolution
    makes one plane of the two, and its sigmoid is the gate.

    Args:
        kernel_size: side of the convolution's square kernel, odd (the paper settles on 7).
        norm: whether a batch norm follows the convolution (in the authors' code, though not in
            the paper's equation).

    Raises:
        ValueError: if ``kernel_size`` is not odd, or below 1.
    """

    def __init__(self, kernel_size: int = 7, norm: bool = True):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, not {kernel_size}")
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(1) if norm else nn.Identity()

    def logits(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to logits [N, 1, H, W]."""
        summary = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return self.norm(self.conv(summary))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to gate [N, 1, H, W], in (0, 1)."""
        return self.logits(x).sigmoid()
