"""ResNet-CBAM: torchvision's ResNet with a CBAM in every residual block.

The module sits where the authors put it: on the output of the block's last normalisation,
before the shortcut is added and before the final ReLU (figure 3 of the paper).
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision.models import get_model_weights
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from .attention import ChannelAttention, SpatialAttention


class _Attends:
    """What the two kinds of block share. The gates are hung in by `ResNetCBAM`."""

    # None in a block without gates, which `ResNetCBAM.blocks` leaves out.
    channel_attention: ChannelAttention
    spatial_attention: SpatialAttention

    @property
    def last_norm(self) -> nn.Module:
        """The normalisation whose output the gates act on."""
        return self.bn3 if isinstance(self, Bottleneck) else self.bn2

    def attend(self, x: Tensor) -> Tensor:
        """F' = channel(F) * F, F'' = spatial(F') * F' (equation 1); F where there are no gates."""
        if self.channel_attention is None:
            return x
        x = self.channel_attention(x) * x
        return self.spatial_attention(x) * x

    def joined(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """The block's output: its residual branch through the gates, plus the shortcut."""
        return self.relu(self.attend(x) + shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return self.joined(*self.branches(x))


class BasicBlockCBAM(_Attends, BasicBlock):
    """torchvision's two-convolution block with CBAM."""

    def branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """F, the features that the gates act on, and the shortcut past them."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x)), shortcut


class BottleneckCBAM(_Attends, Bottleneck):
    """torchvision's three-convolution block with CBAM."""

    def branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """F, the features that the gates act on, and the shortcut past them."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x)), shortcut


BLOCKS = {"basic": BasicBlockCBAM, "bottleneck": BottleneckCBAM}


class ResNetCBAM(
    ResNet,
    PyTorchModelHubMixin,
    library_name="cbam-viz",
    tags=["cbam", "attention", "explainability"],
    pipeline_tag="image-classification",
):
    """A torchvision ResNet whose blocks have channel and spatial attention.

    Takes [N, 3, H, W] of any size from 32 px up and gives logits [N, num_classes]. All arguments
    are plain values, so that they are the model's ``config.json``.

    Args:
        block: "basic" (ResNet-18 and -34) or "bottleneck" (50 and deeper).
        layers: number of blocks in each of the four stages.
        num_classes: width of the classifier.
        reduction: of the channel attention's perceptron; or four, one for each stage.
        kernel_size: of the spatial attention's convolution.
        mlp_bias: biases in the channel perceptron. True in the authors' code, False in the
            1x1-convolution ports.
        spatial_norm: batch norm after the spatial convolution. True in the authors' code.
        groups, width_per_group, replace_stride_with_dilation: torchvision's own options
            (ResNeXt, Wide-ResNet, dilated stages; bottleneck only).
        gated: the blocks that have gates, by name; all if None. CBAM as published gates them all.

    Raises:
        ValueError: for a block kind there is not, a block that is not there, a number of reductions
            that is not four, or options torchvision refuses.
    """

    def __init__(
        self,
        block: str = "basic",
        layers: Sequence[int] = (2, 2, 2, 2),
        num_classes: int = 1000,
        reduction: int | Sequence[int] = 16,
        kernel_size: int = 7,
        mlp_bias: bool = True,
        spatial_norm: bool = True,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        gated: Sequence[str] | None = None,
    ):
        if block not in BLOCKS:
            raise ValueError(f"block must be one of {', '.join(BLOCKS)}, not {block!r}")
        super().__init__(
            BLOCKS[block],
            list(layers),
            num_classes=num_classes,
            groups=groups,
            width_per_group=width_per_group,
            replace_stride_with_dilation=replace_stride_with_dilation,
        )
        blocks = self.residual_blocks()
        if gated is not None and (unknown := set(gated) - set(blocks)):
            raise ValueError(
                f"gated names blocks that are not there: {', '.join(sorted(unknown))}; "
                f"there are: {', '.join(blocks)}"
            )
        reductions = [reduction] * 4 if isinstance(reduction, int) else list(reduction)
        if len(reductions) != 4:
            raise ValueError(f"reduction must be one number or four, not {reduction!r}")
        for name, b in blocks.items():
            b.channel_attention = b.spatial_attention = None
            if gated is None or name in gated:
                channels = b.last_norm.num_features
                b.channel_attention = ChannelAttention(
                    channels, reductions[int(name[5]) - 1], mlp_bias
                )
                b.spatial_attention = SpatialAttention(kernel_size, spatial_norm)

    def stem(self, x: Tensor) -> Tensor:
        """What comes before the first block: [N, 3, H, W] to [N, 64, H / 4, W / 4]."""
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def head(self, x: Tensor) -> Tensor:
        """What comes after the last block: [N, C, rows, columns] to logits [N, num_classes]."""
        return self.fc(self.avgpool(x).flatten(1))

    def blocks(self) -> dict[str, BasicBlockCBAM | BottleneckCBAM]:
        """Every block that has gates, by torchvision's path of it ("layer4.1"), input to output."""
        return {
            name: b for name, b in self.residual_blocks().items() if b.channel_attention is not None
        }

    def residual_blocks(self) -> dict[str, BasicBlockCBAM | BottleneckCBAM]:
        """Every residual block, with gates or without, likewise."""
        return {
            f"layer{stage}.{i}": b
            for stage in range(1, 5)
            for i, b in enumerate(getattr(self, f"layer{stage}"))
        }

    def strides(self) -> dict[str, int]:
        """By residual block: how many input px lie between neighbouring cells of its maps."""
        strides, stride = {}, 4  # the stem's convolution and its pooling halve the size each
        for name, b in self.residual_blocks().items():
            stride *= b.stride
            strides[name] = stride
        return strides

    def load_plain(self, state: Mapping[str, Tensor]) -> None:
        """Take a plain ResNet's weights; the network then computes exactly what the plain one does.

        Args:
            state: under torchvision's names; what is missing (the classifier, say) stays as it is.
        """
        self.load_state_dict(self.state_dict() | dict(state))
        self.neutralise_gates()

    @torch.no_grad()
    def neutralise_gates(self) -> None:
        """Set every gate to exactly one half and make up for it, so that the gates change nothing.

        Meant for a network whose trunk was just given plain ResNet weights: the last
        normalisation of each block is scaled by 4, for two gates of one half, and the network
        computes what the plain one does. Both gates still get gradients from the first step on.
        """
        for b in self.blocks().values():
            nn.init.zeros_(b.channel_attention.fc2.weight)
            if b.channel_attention.fc2.bias is not None:
                nn.init.zeros_(b.channel_attention.fc2.bias)
            norm = b.spatial_attention.norm
            if isinstance(norm, nn.Identity):
                nn.init.zeros_(b.spatial_attention.conv.weight)
            else:
                nn.init.zeros_(norm.weight)
                nn.init.zeros_(norm.bias)
            b.last_norm.weight *= 4
            b.last_norm.bias *= 4

    @torch.no_grad()
    def plain_state(self) -> dict[str, Tensor] | None:
        """The weights that `load_plain` would make this network of, bit for bit.

        Returns:
            Under torchvision's names; None if the gates are not as `neutralise_gates` sets them.
        """
        twin = deepcopy(self)
        twin.neutralise_gates()
        neutral = twin.state_dict()
        if any("attention" in k and (v != neutral[k]).any() for k, v in self.state_dict().items()):
            return None
        for b in twin.blocks().values():  # now scaled twice
            b.last_norm.weight /= 16
            b.last_norm.bias /= 16
        return {k: v for k, v in neutral.items() if "attention" not in k}


def plain_weights(name: str) -> dict[str, Tensor]:
    """torchvision's own ImageNet weights of a plain ResNet, from its cache or its address.

    Raises:
        OSError: they are not there and cannot be downloaded.
    """
    return dict(get_model_weights(name).DEFAULT.get_state_dict(check_hash=True))


class _Unfilled(TorchFunctionMode):
    """Tensors are made on the meta device, and no initial values are put into them."""

    makes = (torch.empty, torch.zeros, torch.ones, torch.tensor)
    fills = (Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in self.fills:
            return args[0]
        if getattr(func, "__module__", None) == nn.init.__name__:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if func in self.makes:
            kwargs = kwargs | {"device": "meta"}
        return func(*args, **kwargs)


def skeleton(**options) -> ResNetCBAM:
    """A network of shapes alone, on the meta device, for tensors that are there already.

    Args:
        options: `ResNetCBAM`'s.
    """
    # One mode for both, not torch.device("meta") beside it: each is asked of every tensor.
    with _Unfilled():
        return ResNetCBAM(**options)


def _make(plain: str, block: str, layers: list[int], init: str | None, options: dict):
    """A model; with ``init="torchvision"`` on the weights of torchvision's network ``plain``."""
    if init not in (None, "torchvision"):
        raise ValueError(f'init must be "torchvision" or None, not {init!r}')
    model = ResNetCBAM(block, layers, **options)
    if init:
        weights = plain_weights(plain)
        if model.fc.out_features != len(weights["fc.bias"]):
            weights = {k: v for k, v in weights.items() if not k.startswith("fc.")}
        model.load_plain(weights)
    return model


def resnet18_cbam(init: str | None = None, **options) -> ResNetCBAM:
    """ResNet-18-CBAM: 8 blocks; 11,779,392 parameters at 1000 classes in the authors' form.

    Args:
        init: None, or "torchvision" for its ImageNet weights under neutral gates: the network
            then computes exactly what torchvision's plain one does, and its gates count as
            untrained. The classifier is taken where it has 1000 classes.
        options: of `ResNetCBAM`, but for ``block`` and ``layers``.

    Raises:
        ValueError: there is no such init.
        OSError: the weights cannot be downloaded.
    """
    return _make("resnet18", "basic", [2, 2, 2, 2], init, options)


def resnet34_cbam(init: str | None = None, **options) -> ResNetCBAM:
    """ResNet-34-CBAM: 16 blocks; 21,960,468 parameters. Arguments as for `resnet18_cbam`."""
    return _make("resnet34", "basic", [3, 4, 6, 3], init, options)


def resnet50_cbam(init: str | None = None, **options) -> ResNetCBAM:
    """ResNet-50-CBAM: 16 blocks; 28,089,624 parameters. Arguments as for `resnet18_cbam`."""
    return _make("resnet50", "bottleneck", [3, 4, 6, 3], init, options)


def resnet101_cbam(init: str | None = None, **options) -> ResNetCBAM:
    """ResNet-101-CBAM: 33 blocks; 49,330,172 parameters. Arguments as for `resnet18_cbam`."""
    return _make("resnet101", "bottleneck", [3, 4, 23, 3], init, options)


def resnet152_cbam(init: str | None = None, **options) -> ResNetCBAM:
    """ResNet-152-CBAM: 50 blocks; 66,826,848 parameters. Arguments as for `resnet18_cbam`."""
    return _make("resnet152", "bottleneck", [3, 8, 36, 3], init, options)


def resnext50_32x4d_cbam(init: str | None = None, **options) -> ResNetCBAM:
    """ResNeXt-50 32x4d with CBAM. Arguments as for `resnet18_cbam`."""
    options = {"groups": 32, "width_per_group": 4} | options
    return _make("resnext50_32x4d", "bottleneck", [3, 4, 6, 3], init, options)


def wide_resnet50_2_cbam(init: str | None = None, **options) -> ResNetCBAM:
    """Wide-ResNet-50-2 with CBAM. Arguments as for `resnet18_cbam`."""
    options = {"width_per_group": 128} | options
    return _make("wide_resnet50_2", "bottleneck", [3, 4, 6, 3], init, options)


#: Every constructor by its name.
CONSTRUCTORS = {
    f.__name__: f
    for f in (
        resnet18_cbam,
        resnet34_cbam,
        resnet50_cbam,
        resnet101_cbam,
        resnet152_cbam,
        resnext50_32x4d_cbam,
        wide_resnet50_2_cbam,
    )
}
