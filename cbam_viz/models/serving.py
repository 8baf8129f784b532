"""The fastest form of a model that computes the same."""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .resnet import ResNetCBAM


def for_serving(model: ResNetCBAM) -> ResNetCBAM:
    """A copy whose batch norms are folded into the convolutions, in channels-last memory.

    In eval mode a batch norm is a scale and a shift of the convolution before it. The copy's
    logits and gates equal the model's to about 1e-5 relative; it cannot be trained any more. The
    model itself is left as it was.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    pairs = [("conv1", "bn1", model)]
    for block in model.residual_blocks().values():
        pairs += [(f"conv{k}", f"bn{k}", block) for k in (1, 2, 3) if hasattr(block, f"conv{k}")]
        if block.downsample is not None:
            pairs.append(("0", "1", block.downsample))
    for block in model.blocks().values():
        if not isinstance(block.spatial_attention.norm, nn.Identity):
            pairs.append(("conv", "norm", block.spatial_attention))
    with torch.no_grad():
        for conv, norm, owner in pairs:
            fused = fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm))
            setattr(owner, conv, fused.requires_grad_(False))
            setattr(owner, norm, nn.Identity())
    return model.to(memory_format=torch.channels_last)
