"""The fastest form of a model that computes the same."""

import copy
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .resnet import ResNetCBAM


def for_serving(model: ResNetCBAM) -> ResNetCBAM:
    """A copy whose batch norms are folded into the convolutions, in channels-last memory.

    In eval mode a batch norm is a scale and a shift of the convolution before it. The trunk's 3x3
    convolutions keep their weights as the processor wants them, see `_Packed`. The copy's
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
                # To pack 1x1 ones too takes twice the memory, and a few hundredths off the time.
                if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
                    setattr(owner, name, _Packed(module))
    return model


class _Packed(nn.Module):
    """A convolution that lays its weights out once for photos of one size, not in each pass.

    torch hands oneDNN the weights as they lie, and for one photo laying them out takes a tenth
    (AVX2) to a fifth (AVX-512) of a ResNet-18's pass. Which layout is wanted depends on the
    processor, the size of the input and the threads, and weights in the layout of another size are
    put right, in each pass, by code that takes ten times as long as all the rest. So that of the
    last size is kept, for one photo at a time; among several it does not show.

    These are the operators that torch's own compiler puts in the place of a convolution with
    constant weights; they are not documented, so `_can_pack` tries them first.

    Args:
        conv: float32, on the CPU.
    """

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.conv = conv
        self._last: tuple[tuple, Tensor | None] = ((), None)

    def __getstate__(self) -> dict:
        """To be copied and pickled: weights that are laid out can be neither."""
        return self.__dict__ | {"_last": ((), None)}

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        if len(x) != 1:
            return conv(x)
        geometry = conv.padding, conv.stride, conv.dilation, conv.groups
        wanted = x.shape, torch.get_num_threads()
        last, weight = self._last  # both at once: another thread may put others there
        if last != wanted:
            weight = torch.ops.mkldnn._reorder_convolution_weight(
                conv.weight, *geometry, list(x.shape)
            )
            self._last = wanted, weight
        return torch.ops.mkldnn._convolution_pointwise(
            x, weight, conv.bias, *geometry, "none", [], ""
        )


@cache
def _can_pack() -> bool:
    """Whether this torch has the operators, on this processor, and they do what is expected."""
    generator = torch.Generator().manual_seed(0)
    conv = nn.utils.skip_init(nn.Conv2d, 8, 8, 3, padding=1).requires_grad_(False)
    for parameter in conv.parameters():
        parameter.normal_(generator=generator)
    x = torch.randn(1, 8, 12, 12, generator=generator)
    packed = _Packed(conv)
    try:
        return all(torch.allclose(packed(x), conv(x), atol=1e-4) for _ in range(2))
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
