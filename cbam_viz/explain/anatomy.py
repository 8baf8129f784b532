"""Inside one block: every number between its features and its output.

Recorded only when asked for, with hooks of its own: an explanation stays as fast as it is. The
steps are those of section 3 of the paper, see `cbam_viz.models.attention`.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from ..models.attention import ChannelAttention, SpatialAttention
from .explainer import Explainer
from .explanation import Explanation
from .photo import Photo
from .photo_errors import PhotoSource
from .recorder import hooked


@dataclass(frozen=True, eq=False)
class CellSum:
    """How one cell's spatial gate comes about (section 3, equation 3).

    Attributes:
        row, column: of the cell.
        products: float32 [2, K, K], kernel times what lies under it: first the max map's, then
            the mean map's. 0 where the kernel hangs over the border, for the padding is 0.
        total: their sum.
        logit: the sum after the norm; the sum itself where there is none.
        gate: the logit's sigmoid, in (0, 1).
    """

    row: int
    column: int
    products: np.ndarray
    total: float
    logit: float
    gate: float


@dataclass(frozen=True, eq=False)
class ChannelSum:
    """How one channel's gate comes about: its way through the shared perceptron (equation 2).

    Attributes:
        channel: index of the channel.
        average, maximum: the channel's own two pooled values.
        from_average, from_maximum: float32 [hidden], what each hidden unit adds to the channel's
            logit: the unit's activation times its weight to the channel.
        bias: of the channel in the second layer, 0 where there is none. It counts twice, for
            both pooled vectors go through the whole perceptron.
        logit: sum of both rows and twice the bias.
        gate: the logit's sigmoid, in (0, 1).
    """

    channel: int
    average: float
    maximum: float
    from_average: np.ndarray
    from_maximum: np.ndarray
    bias: float
    logit: float
    gate: float


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One block on one photo, step by step. All arrays are float32 and read-only.

    F is the paper's name of the features, F' that of the channel-refined and F'' that of the
    refined ones. Weights are the network's own, as they were loaded.

    Attributes:
        name: torchvision's path of the block.
        stride: input px between neighbouring cells of the maps.
        features: F [C, H, W], the output of the block's last normalisation.
        shortcut: [C, H, W], what is added after the gates; they do not act on it.
        average, maximum: [C], F pooled over its height and width.
        hidden_average, hidden_maximum: [hidden], the perceptron's activations after the ReLU.
        logits_average, logits_maximum: [C], what the perceptron makes of either vector.
        hidden_weight, hidden_bias: of the first layer, [hidden, C] and [hidden]; a bias that the
            network does not have is None.
        out_weight, out_bias: of the second layer, [C, hidden] and [C] or None.
        channel_gate: [C], in (0, 1).
        max_map, mean_map: [H, W], F' summarised over the channels.
        kernel: [2, K, K], the convolution's: for the max map, then for the mean map.
        convolution: [H, W], its output.
        norm: (scale, shift) of the batch norm after it, running statistics included; None where
            there is no norm.
        spatial_gate: [H, W], in (0, 1).
    """

    name: str
    stride: int
    features: np.ndarray = field(repr=False)
    shortcut: np.ndarray = field(repr=False)
    average: np.ndarray = field(repr=False)
    maximum: np.ndarray = field(repr=False)
    hidden_average: np.ndarray = field(repr=False)
    hidden_maximum: np.ndarray = field(repr=False)
    logits_average: np.ndarray = field(repr=False)
    logits_maximum: np.ndarray = field(repr=False)
    hidden_weight: np.ndarray = field(repr=False)
    hidden_bias: np.ndarray | None = field(repr=False)
    out_weight: np.ndarray = field(repr=False)
    out_bias: np.ndarray | None = field(repr=False)
    channel_gate: np.ndarray = field(repr=False)
    max_map: np.ndarray = field(repr=False)
    mean_map: np.ndarray = field(repr=False)
    kernel: np.ndarray = field(repr=False)
    convolution: np.ndarray = field(repr=False)
    norm: tuple[float, float] | None
    spatial_gate: np.ndarray = field(repr=False)

    @property
    def channel_logits(self) -> np.ndarray:
        """[C]: the two results of the perceptron, added."""
        return self.logits_average + self.logits_maximum

    @property
    def channel_refined(self) -> np.ndarray:
        """F' [C, H, W]: the features times the channel gate."""
        return self.features * self.channel_gate[:, None, None]

    @property
    def spatial_logits(self) -> np.ndarray:
        """[H, W]: the convolution's output after the norm, if there is one."""
        scale, shift = self.norm or (1.0, 0.0)
        return self.convolution * np.float32(scale) + np.float32(shift)

    @property
    def refined(self) -> np.ndarray:
        """F'' [C, H, W]: F' times the spatial gate. The residual branch, as it is added."""
        return self.channel_refined * self.spatial_gate

    @property
    def total(self) -> np.ndarray:
        """[C, H, W]: F'' plus the shortcut."""
        return self.refined + self.shortcut

    @property
    def output(self) -> np.ndarray:
        """[C, H, W]: what the block hands on, the sum after the ReLU."""
        return np.maximum(self.total, 0)

    @cached_property
    def sizes(self) -> dict[str, float]:
        """Frobenius norms of "features" (F), "refined" (F''), "shortcut" and "output"."""
        return {
            name: float(np.linalg.norm(getattr(self, name)))
            for name in ("features", "refined", "shortcut", "output")
        }

    @cached_property
    def reach(self) -> float:
        """The share of the block's output that the attention could touch at all, in 0..1.

        Gates lie between 0 and 1. With all of them shut the block gives ReLU(shortcut), with all
        of them open ReLU(F + shortcut); what it gives under any other gates lies between these
        two, value by value. The distance of the two, summed over all values, is what the
        attention has in its hands; the lesser of the two passes whatever the gates say. The share
        is the distance over the sum of the greater ones: 0 where the gates can change nothing,
        1 where nothing passes without them. It says what *any* gates could do to these features,
        not what this block's gates did; and it is about this block alone: the shortcut has been
        through the gates of the blocks before it.
        """
        shut = np.maximum(self.shortcut, 0)
        open_ = np.maximum(self.features + self.shortcut, 0)
        most = float(np.maximum(shut, open_).sum(dtype=np.float64))
        return float(np.abs(open_ - shut).sum(dtype=np.float64)) / most if most else 0.0

    def cell(self, row: int, column: int) -> CellSum:
        """How the gate of one cell comes about.

        Raises:
            IndexError: there is no such cell.
        """
        rows, columns = self.spatial_gate.shape
        if not (0 <= row < rows and 0 <= column < columns):
            raise IndexError(
                f"no cell at row {row}, column {column}: the map has {rows} rows and "
                f"{columns} columns, counted from 0"
            )
        side = self.kernel.shape[1]
        maps = np.pad(np.stack([self.max_map, self.mean_map]), ((0, 0), *[(side // 2,) * 2] * 2))
        products = self.kernel * maps[:, row : row + side, column : column + side]
        total = float(products.sum(dtype=np.float64))
        scale, shift = self.norm or (1.0, 0.0)
        logit = total * scale + shift
        return CellSum(row, column, products, total, logit, _sigmoid(logit))

    def channel(self, index: int) -> ChannelSum:
        """How the gate of one channel comes about.

        Raises:
            IndexError: there is no such channel.
        """
        count = len(self.channel_gate)
        if not 0 <= index < count:
            raise IndexError(f"no channel {index}: the block has {count}, counted from 0")
        weight = self.out_weight[index]
        from_average, from_maximum = weight * self.hidden_average, weight * self.hidden_maximum
        bias = 0.0 if self.out_bias is None else float(self.out_bias[index])
        logit = float(np.concatenate([from_average, from_maximum]).sum(dtype=np.float64)) + 2 * bias
        return ChannelSum(
            index,
            float(self.average[index]),
            float(self.maximum[index]),
            from_average,
            from_maximum,
            bias,
            logit,
            _sigmoid(logit),
        )


def _sigmoid(logit: float) -> float:
    # By tanh: exp would overflow for a logit far below 0.
    return float(0.5 + 0.5 * np.tanh(logit / 2))


def dissect(
    explainer: Explainer,
    photo: PhotoSource | Photo | Explanation,
    block: str,
    view: str = "whole",
) -> Anatomy:
    """Look inside one block. The model runs once.

    May be called from many threads at once, beside `Explainer.explain`. The features come from the
    same form of the network that explains, so the gates are those of `explain` up to rounding; all
    after the features is computed with the weights as they were loaded, nothing folded into them.

    Args:
        explainer: with the model.
        photo: as for `Explainer.input`.
        block: its name, "layer4.1".
        view: "whole" or "crop"; of no effect for an explanation.

    Raises:
        PhotoError: not a photo that can be read.
        ValueError: there is no such block or view, or the explanation is of another model.
    """
    blocks = explainer.model.blocks()
    if block not in blocks:
        raise ValueError(f"no block {block!r}; this model has: {', '.join(blocks)}")
    tensor = explainer.input(photo, view).tensor
    serving_block = explainer.serving.blocks()[block]
    heard: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(module: nn.Module, args: tuple[Tensor]) -> None:
            heard[name] = args[0]

        return hook

    with torch.inference_mode():
        with hooked(
            (serving_block.register_forward_pre_hook, keep("input")),
            (serving_block.channel_attention.register_forward_pre_hook, keep("features")),
        ):
            explainer.serving(tensor)
        shortcut = heard["input"]
        if serving_block.downsample is not None:
            shortcut = serving_block.downsample(shortcut)
        loaded = blocks[block]
        parts = _parts(loaded.channel_attention, loaded.spatial_attention, heard["features"])
    return Anatomy(
        name=block,
        stride=explainer.model.strides()[block],
        shortcut=_array(shortcut[0]),
        **parts,
    )


def _parts(channel: ChannelAttention, spatial: SpatialAttention, features: Tensor) -> dict:
    """Every part of both branches, computed as `models.attention` does.

    Args:
        channel, spatial: the block's, of the model as it was loaded.
        features: F [1, C, H, W].
    """
    pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))])
    hidden = channel.fc1(pooled).relu()
    logits = channel.fc2(hidden)
    channel_gate = logits.sum(0).sigmoid()
    refined = channel_gate[:, None, None] * features
    maps = torch.cat([refined.amax(1, keepdim=True), refined.mean(1, keepdim=True)], 1)
    convolution = spatial.conv(maps)
    spatial_gate = spatial.norm(convolution).sigmoid()
    arrays = {
        "features": features[0],
        "average": pooled[0],
        "maximum": pooled[1],
        "hidden_average": hidden[0],
        "hidden_maximum": hidden[1],
        "logits_average": logits[0],
        "logits_maximum": logits[1],
        "hidden_weight": channel.fc1.weight,
        "hidden_bias": channel.fc1.bias,
        "out_weight": channel.fc2.weight,
        "out_bias": channel.fc2.bias,
        "channel_gate": channel_gate,
        "max_map": maps[0, 0],
        "mean_map": maps[0, 1],
        "kernel": spatial.conv.weight[0],
        "convolution": convolution[0, 0],
        "spatial_gate": spatial_gate[0, 0],
    }
    parts = {name: None if t is None else _array(t) for name, t in arrays.items()}
    return parts | {"norm": _scale_and_shift(spatial.norm)}


def _scale_and_shift(norm: nn.BatchNorm2d | nn.Identity) -> tuple[float, float] | None:
    """What a batch norm of one channel does in eval mode: x * scale + shift."""
    if isinstance(norm, nn.Identity):
        return None
    assert norm.running_var is not None and norm.running_mean is not None  # it is no other norm
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - norm.running_mean.double() * scale
    return scale.item(), shift.item()


def _array(tensor: Tensor) -> np.ndarray:
    """A read-only copy, channels first: nothing of the network can be changed through it."""
    array = np.array(tensor.detach().numpy(), np.float32, order="C")
    array.flags.writeable = False
    return array
