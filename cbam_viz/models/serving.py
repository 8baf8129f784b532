"""The fastest form of a model that computes the same."""

import copy
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .resnet import ResNetCBAM


def for_serving(model: ResNetCBAM) -> ResNetCBAM:
    """A copy whose batch norms are folded into the convolutions, in channels-last memory.

    In eval mode a batch norm is a scale and a shift of the convolution before it. The weights of
    the trunk's 3x3 convolutions lie as the processor wants them, see `_Packed`. The copy's
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
    model = model.to(memory_format=torch.channels_last)
    if _can_pack():
        for owner in (model, *model.residual_blocks().values()):
            for name, module in list(owner.named_children()):
                # What a 1x1 convolution wants depends on the photo's size; as it is, it is fast.
                if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
                    setattr(owner, name, _Packed.of(module))
    return model


class _Packed(nn.Module):
    """A convolution whose weights are laid out once, not anew in each pass.

    torch hands oneDNN the weights as they lie, and for one photo laying them out takes a fifth of
    the time. These are the operators that torch's own compiler puts in the place of a convolution
    with constant weights; they are not documented, so `_can_pack` tries them first.

    Args:
        weight, bias: of the convolution; float32, on the CPU.
        geometry: its padding, stride, dilation and groups.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, geometry: tuple):
        super().__init__()
        self.bias, self.geometry = bias, geometry
        # No buffer: such a tensor cannot be moved or saved as others are.
        self.packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *geometry, None)

    @classmethod
    def of(cls, conv: nn.Conv2d) -> "_Packed":
        geometry = conv.padding, conv.stride, conv.dilation, conv.groups
        return cls(conv.weight.detach(), conv.bias, geometry)

    def __reduce__(self) -> tuple:
        """Copied and pickled as it was."""
        return _Packed, (self.packed.to_dense(), self.bias, self.geometry)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.packed, self.bias, *self.geometry, "none", [], ""
        )


@cache
def _can_pack() -> bool:
    """Whether this torch has the operators, on this processor, and they do what is expected."""
    generator = torch.Generator().manual_seed(0)
    conv = nn.utils.skip_init(nn.Conv2d, 8, 8, 3, padding=1).requires_grad_(False)
    for parameter in conv.parameters():
        parameter.normal_(generator=generator)
    x = torch.randn(1, 8, 12, 12, generator=generator)
    try:
        return torch.allclose(_Packed.of(conv)(x), conv(x), atol=1e-4)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
