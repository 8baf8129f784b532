"""What to say of weights that are no ResNet-CBAM: what they are, by their keys."""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from .errors import WANTED, WeightsError, few
from .key_names import BLOCK, CONV, FAMILIES, TRUNKS
from .nesting import mappings

#: Keys of other attentions, and what the network is or has then; the first row that fits speaks.
OTHER_ATTENTION = {
    r"(^|\.)(cls_token|class_token|pos_embed|pos_embedding|patch_embed|position_embeddings)\b"
    r"|relative_position_bias_table|\battn\.qkv\b|\bencoder\.layers?\.": (
        "is a vision transformer: it attends between patches and has no convolutional blocks"
    ),
    r"(^|\.)bam\d*\.": (
        "has BAM, the Bottleneck Attention Module: one gate between stages, where CBAM has two "
        "inside every block"
    ),
    r"\.(conv_attn|paths|bn0)\.": (
        "has another attention (global context, selective kernels or split attention)"
    ),
    r"\.(se|eca|eca_layer)\.conv\.": (
        "has ECA, efficient channel attention: it gates channels only and has no spatial map"
    ),
    r"\.(se|se_module|se_layer)\.(fc|conv|reduce|expand)": (
        "has SE, squeeze-and-excitation: it gates channels only and has no spatial map"
    ),
    r"^(ca|sa|cbam|channel_att\w*|spatial_att\w*)\d*\.": (
        "has attention outside the residual blocks; CBAM as published sits inside every one of them"
    ),
}
HEAD_OF_SEVERAL = "has a head of several layers instead of one linear layer"
#: Keys of ResNets whose trunk is not torchvision's, likewise.
OTHER_TRUNK = {
    r"^conv1\.\d": "has a stem of several convolutions (ResNet-C and -D) instead of one 7x7",
    r"\.downsample\.2\.": "has an average pool in its shortcuts (ResNet-D)",
    r"^(fc|output)\.\d": HEAD_OF_SEVERAL,
}
#: What a wrong shape of these means.
OTHER_SHAPES = {
    "conv1.weight": "The stem has to be one 7x7 convolution over three colour planes, as in "
    "ImageNet networks (the authors' CIFAR networks have 3x3).",
    f"layer1.0.{CONV}.weight": "The spatial convolution has to see two planes, maximum and mean "
    "(timm's light CBAM sees one).",
}


def told(table: Mapping[str, str], keys: Iterable[str]) -> str | None:
    """The first row of a table of other networks that one of the keys fits, as a message."""
    for pattern, words in table.items():
        if key := next((key for key in keys if re.search(pattern, key)), None):
            return f"This network {words} (found {few([key])}). {WANTED}."
    return None


def largest(weights: object) -> dict[str, Tensor]:
    """The most named tensors that lie together in a file without any network, to say what it is.

    Raises:
        WeightsError: there are none.
    """
    among = mappings(weights) if isinstance(weights, Mapping | list | tuple) else ()
    if found := max((tensors for _, tensors in among), key=len, default=None):
        return found
    if isinstance(weights, Mapping):
        modules = [key for key, value in weights.items() if isinstance(value, nn.Module)]
        if not modules:
            raise WeightsError(
                f"No weights in this file: found {few(map(str, weights)) or 'nothing at all'}, and "
                "no named tensors. Expected is a state dict, names and the tensors they stand for, "
                "bare or within other mappings. Save model.state_dict()."
            )
        found = f"a whole pickled module (under {few(map(str, modules))})"
    elif isinstance(weights, nn.Module):
        found = f"a whole pickled module ({type(weights).__name__})"
    else:
        found = f"a {type(weights).__name__}"
    raise WeightsError(
        f"This is {found}. Expected is a state dict: names, and the tensors they stand for. "
        "Save model.state_dict()."
    )


def without_gates(theirs: Mapping[str, Tensor]) -> str:
    """What to say of weights without a gate that we know."""
    if other := told(OTHER_ATTENTION, theirs):
        return other
    for trunk in TRUNKS:
        if any(BLOCK.match(trunk.ours(key) or "") for key in theirs):
            strange = [key for key in theirs if not trunk.ours(key)]
            strange = [key for key in strange if not told(OTHER_TRUNK, [key])]
            if not strange:
                return (
                    "This network has no CBAM; its attention would be noise. It is a plain "
                    f"ResNet, without a gate in any block. {WANTED}; bring one."
                )
            return (
                "This is a ResNet, but if it has gates, their names are not known: "
                f"{few(strange)}. {WANTED}, named as one of these name theirs: "
                f"{few((family.title for family in FAMILIES.values()), len(FAMILIES))}."
            )
    return f"This is not a ResNet: found {few(theirs)}. {WANTED}."
