"""Whole networks whose attention is put together otherwise: the paper's ablation, on one photo.

Woo and others trained each of these anew (section 4.1, tables 1 to 3). Here the weights stay those
of the network as it is, **and were not trained for it**: what is told is what the network makes of
the change, not how good such a network would be.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from ..models.attention import ChannelAttention, SpatialAttention
from ..models.resnet import BasicBlockCBAM, BottleneckCBAM
from .explanation import Explanation
from .interventions import Comparison, Hook, explained_input, gate_hooks, gate_names
from .photo import Photo
from .photo_errors import PhotoSource

if TYPE_CHECKING:
    from .explainer import Explainer

Block = BasicBlockCBAM | BottleneckCBAM


def _average_pool(block: Block) -> list[Hook]:
    def hook(module: ChannelAttention, args: tuple[Tensor], output: Tensor) -> Tensor:
        return module.mlp(args[0].mean((2, 3))).sigmoid()[:, :, None, None]

    return [(block.channel_attention.register_forward_hook, hook)]


def _max_pool(block: Block) -> list[Hook]:
    def hook(module: ChannelAttention, args: tuple[Tensor], output: Tensor) -> Tensor:
        return module.mlp(args[0].amax((2, 3))).sigmoid()[:, :, None, None]

    return [(block.channel_attention.register_forward_hook, hook)]


def _parallel(block: Block, channel_of: Callable[[Tensor], Tensor] | None = None) -> list[Hook]:
    """The spatial gate is computed from F, and the channel gate as told, or from F too."""
    heard: list[Tensor] = []

    def channel(module: ChannelAttention, args: tuple[Tensor], output: Tensor) -> Tensor | None:
        heard[:] = args
        return channel_of(args[0]) if channel_of else None

    def spatial(module: SpatialAttention, args: tuple[Tensor]) -> Tensor:
        return heard.pop()

    return [
        (block.channel_attention.register_forward_hook, channel),
        (block.spatial_attention.register_forward_pre_hook, spatial),
    ]


def _spatial_first(block: Block) -> list[Hook]:
    # `forward` alone: a module that is called would call these hooks again.
    spatial, channel = block.spatial_attention.forward, block.channel_attention.forward
    return _parallel(block, lambda features: channel(spatial(features) * features))


def _softmax(block: Block) -> list[Hook]:
    def hook(module: SpatialAttention, args: tuple[Tensor], output: Tensor) -> Tensor:
        return module.logits(args[0]).flatten(1).softmax(1).reshape(output.shape)

    return [(block.spatial_attention.register_forward_hook, hook)]


#: What each variant does to a block.
_OF_BLOCK: dict[str, Callable[[Block], list[Hook]]] = {
    "average-pool": _average_pool,
    "max-pool": _max_pool,
    "spatial-first": _spatial_first,
    "parallel": _parallel,
    "softmax": _softmax,
}
#: The variants there are, by name:
#:
#: - "average-pool", "max-pool": the channel gate sees one of its two pooled vectors (table 1);
#: - "spatial-first": the spatial gate comes from F, the channel gate from what it leaves (table 3);
#: - "parallel": both gates come from F, and F is multiplied with both (table 3);
#: - "softmax": the spatial gate is a softmax over its cells, which adds up to 1, so that each cell
#:   gets little: the form for branches that compete;
#: - "none": no attention, every gate at 1.
VARIANTS = (*_OF_BLOCK, "none")


def variants(
    explainer: "Explainer", photo: PhotoSource | Photo | Explanation, top_k: int = 5
) -> Iterator[tuple[str, Comparison]]:
    """Every variant's answer on one photo, beside the network's own; one pass each.

    Args:
        explainer: with the model.
        photo: as for `interventions.what_if`.
        top_k: number of predictions.

    Returns:
        Pairs of a variant's name and what it changes, in the order of `VARIANTS`; stop asking to
        stop.

    Raises:
        PhotoError: not a photo that can be read.
        ValueError: the explanation is of another model.
    """
    before, given = explained_input(explainer, photo, top_k)
    return (
        (name, Comparison(before, explainer.look(given, top_k, _hooks(explainer, name, before))))
        for name in VARIANTS
    )


def _hooks(explainer: "Explainer", name: str, explanation: Explanation) -> list[Hook]:
    model = explainer.serving
    if name == "none":
        return gate_hooks(model, dict.fromkeys(gate_names(model), "open"), explanation.view)
    return [hook for block in model.blocks().values() for hook in _OF_BLOCK[name](block)]
