"""Other people's names for the weights of a ResNet-CBAM, and ours.

CBAM was never one file: the authors, pytorchcv, timm, luuuyi/CBAM.PyTorch and the article each
have key names of their own, and small options (biases, a batch norm, the order of two planes).
Converted, all of them are the same function. `FAMILIES` is the table of what they call things;
`recognise` reads a state dict by it, and everything else about the network off the shapes.

What no name and no shape tells, and nobody can check here: dilation, pools that blur (timm's
``aa_layer``), the activation, the epsilon of the norms, and where in the block the gates sit. They
are taken to be torchvision's and the authors', as they are in every family below.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .resnet import ResNetCBAM


class WeightsError(ValueError):
    """Weights that cannot be a ResNet-CBAM of ours; says what was found and what was expected."""


# The modules of the two gates as `ResNetCBAM` calls them.
_FC1 = "channel_attention.fc1"
_FC2 = "channel_attention.fc2"
_CONV = "spatial_attention.conv"
_NORM = "spatial_attention.norm"

_BLOCK = re.compile(r"layer(\d+)\.(\d+)\.(.+)")


@dataclass(frozen=True)
class Trunk:
    """What a family calls everything but the gates.

    Attributes:
        title: whose names they are.
        block: the path of a residual block, with places for the numbers of its stage and unit.
        first: the number of a stage's first unit.
        outside: modules outside the blocks, by their name -> torchvision's.
        inside: modules of a block, likewise.
    """

    title: str
    block: str
    first: int
    outside: Mapping[str, str]
    inside: Mapping[str, str]

    def path(self, stage: int, unit: int) -> str:
        """Their path of a block that torchvision calls ``layer{stage}.{unit}``."""
        return self.block.format(stage, unit + self.first)

    def ours(self, key: str, gates: Mapping[str, str] | None = None) -> str | None:
        """Our name for one of their keys, or None; ``gates`` are more modules of a block."""
        module, _, parameter = key.rpartition(".")
        # Four digits bound what a hostile file can make of a number; ResNet-152 needs two.
        pattern = self.block.replace(".", r"\.").replace("{}", r"(\d{1,4})") + r"\.(.+)"
        if block := re.fullmatch(pattern, module):
            stage, unit, rest = block.groups()
            name = {**self.inside, **(gates or {})}.get(rest)
            name = name and f"layer{int(stage)}.{int(unit) - self.first}.{name}"
        else:
            name = self.outside.get(module)
        return name and f"{name}.{parameter}"


_TORCHVISION = Trunk(
    title="torchvision",
    block="layer{}.{}",
    first=0,
    outside={name: name for name in ("conv1", "bn1", "fc")},
    inside={
        **{f"{kind}{k}": f"{kind}{k}" for k in (1, 2, 3) for kind in ("conv", "bn")},
        "downsample.0": "downsample.0",
        "downsample.1": "downsample.1",
    },
)
_PYTORCHCV = Trunk(
    title="pytorchcv",
    block="features.stage{}.unit{}",
    first=1,
    outside={
        "features.init_block.conv.conv": "conv1",
        "features.init_block.conv.bn": "bn1",
        "output": "fc",
    },
    inside={
        **{f"body.conv{k}.{kind}": f"{kind}{k}" for k in (1, 2, 3) for kind in ("conv", "bn")},
        "identity_conv.conv": "downsample.0",
        "identity_conv.bn": "downsample.1",
    },
)
_TRUNKS = (_TORCHVISION, _PYTORCHCV)


@dataclass(frozen=True)
class Family:
    """One public layout of weights.

    Attributes:
        title: its name in a sentence.
        gates: the modules of a block's two gates, by their name -> ours.
        mean_first: the spatial convolution sees [mean, max] instead of [max, mean].
        trunk: the names of the rest.
    """

    title: str
    gates: Mapping[str, str]
    mean_first: bool = False
    trunk: Trunk = _TORCHVISION

    def ours(self, key: str) -> str | None:
        """Our name for one of their keys, None for a key that is not of this family."""
        return self.trunk.ours(key, self.gates)

    def theirs(self, name: str) -> str:
        """Their key for one of our names, to say in their words what is missing."""
        module, _, parameter = name.rpartition(".")
        if block := _BLOCK.match(module):
            stage, unit, module = block.groups()
            path, table = f"{self.trunk.path(stage, int(unit))}.", self.trunk.inside | self.gates
        else:
            path, table = "", self.trunk.outside
        return path + next(their for their, our in table.items() if our == module) + f".{parameter}"

    def has_gate(self, key: str) -> bool:
        """Whether the key is of a gate of this family, inside a residual block."""
        block = _BLOCK.match((self.ours(key) or "").rpartition(".")[0])
        return block is not None and block[3] in self.gates.values()


#: Every family we read, by its name.
FAMILIES = {
    "cbam-viz": Family(
        title="CBAM Viz",
        gates={name: name for name in (_FC1, _FC2, _CONV, _NORM)},
    ),
    "authors": Family(
        title="the authors (Jongchan/attention-module)",
        gates={
            "cbam.ChannelGate.mlp.1": _FC1,
            "cbam.ChannelGate.mlp.3": _FC2,
            "cbam.SpatialGate.spatial.conv": _CONV,
            "cbam.SpatialGate.spatial.bn": _NORM,
        },
    ),
    "pytorchcv": Family(
        title="pytorchcv",
        gates={
            "cbam.ch_gate.mlp.fc1": _FC1,
            "cbam.ch_gate.mlp.fc2": _FC2,
            "cbam.sp_gate.conv.conv": _CONV,
            "cbam.sp_gate.conv.bn": _NORM,
        },
        trunk=_PYTORCHCV,
    ),
    "timm": Family(
        title="timm",
        gates={
            "se.channel.fc1": _FC1,
            "se.channel.fc2": _FC2,
            "se.spatial.conv.conv": _CONV,
            "se.spatial.conv.bn": _NORM,
        },
        mean_first=True,
    ),
    "luuuyi": Family(
        title="luuuyi/CBAM.PyTorch",
        gates={
            "ca.fc.0": _FC1,
            "ca.fc.2": _FC2,
            "sa.conv1": _CONV,
            # The spelling before it used nn.Sequential; copied far and wide.
            "ca.fc1": _FC1,
            "ca.fc2": _FC2,
        },
        mean_first=True,
    ),
    "article": Family(
        title="the article",
        gates={
            "channel_atten.fc.0": _FC1,
            "channel_atten.fc.2": _FC2,
            "spatial_atten.conv1": _CONV,
        },
    ),
}

#: Keys of other attentions, and what the network is or has then; the first row that fits speaks.
_OTHER_ATTENTION = {
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
#: Keys of ResNets whose trunk is not torchvision's, likewise.
_OTHER_TRUNK = {
    r"^conv1\.\d": "has a stem of several convolutions (ResNet-C and -D) instead of one 7x7",
    r"\.downsample\.2\.": "has an average pool in its shortcuts (ResNet-D)",
    r"^(fc|output)\.\d": "has a head of several layers instead of one linear layer",
}
#: What a wrong shape of these means.
_OTHER_SHAPES = {
    "conv1.weight": "The stem has to be one 7x7 convolution over three colour planes, as in "
    "ImageNet networks (the authors' CIFAR networks have 3x3).",
    f"layer1.0.{_CONV}.weight": "The spatial convolution has to see two planes, maximum and mean "
    "(timm's light CBAM sees one).",
}

#: Where training scripts put the weights. Averaged copies first: wherever one was kept it is what
#: was evaluated and published, and what timm's own loader takes.
_WRAPPERS = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema"),
    *("state_dict", "model_state_dict", "model", "net", "network", "weights", "params"),
)
#: What DataParallel, Lightning and torch.compile put before every key, in any order.
_PREFIXES = ("module.", "model.", "net.", "_orig_mod.")

_COUNTER = "num_batches_tracked"
_WANTED = "Expected is a ResNet with CBAM in every residual block"


@dataclass(frozen=True)
class Network:
    """A recognised network, ready to be built.

    ``ResNetCBAM(**network.config).load_state_dict(network.state_dict, strict=True)`` is all there
    is to do. Wherever nothing had to be converted the tensors are the given ones, not copies.

    Attributes:
        family: a name in `FAMILIES`.
        config: the arguments of `ResNetCBAM` that names and shapes tell: all but dilation.
        state_dict: the weights under our names, in our model's order.
    """

    family: str
    config: dict
    state_dict: dict[str, Tensor]


def recognise(weights: Mapping) -> Network:
    """Say which ResNet-CBAM these weights are, and convert them to ours.

    Wrappers (``state_dict``, ``model``, ``module.`` and their like) are looked through, and what
    lies beside them (optimizers, epochs) is left alone. Of several copies the most complete is
    taken, and among equals the averaged (EMA) one. Every weight is used exactly once.

    Args:
        weights: what ``torch.load(..., weights_only=True)`` or safetensors gave.

    Raises:
        WeightsError: if it is no state dict, no ResNet, has no CBAM or another attention, mixes
            families, or if any key is missing, left over, of a wrong shape or not finite.
    """
    theirs = _unwrap(weights)
    name = _family_of(theirs)
    family = FAMILIES[name]
    keys, unknown = _rename(theirs, family)
    layers = _count_blocks(keys, family)
    if "fc.weight" not in keys:
        beside = f"; not understood: {_few(unknown)}" if unknown else ""
        raise WeightsError(
            f"There is no classifier to predict with: {family.theirs('fc.weight')} is "
            f"missing{beside}. Expected is one linear layer. Save the whole network."
        )
    state = {our: _convert(our, theirs[key], family) for our, key in keys.items()}
    config = _read_config(state, layers, family)
    return Network(name, config, _complete(state, config, family, keys, unknown))


def why_untrained(weights: nn.Module | Mapping[str, Tensor]) -> str | None:
    """Say why this network's maps mean nothing yet; None if nothing tells so.

    Sound, not complete: it speaks up only at values that training does not leave behind.

    - Every spatial gate, or every channel gate, is exactly one half whatever the photo. So the
      authors initialise (norm weight 0), and so does `ResNetCBAM.neutralise_gates`.
    - No spatial norm has ever seen a batch: mean 0, variance 1, no batch counted, *and* a scale of
      exactly 1 (or 0) and a shift of 0. Frozen norms in a trained network have learnt scales, and
      a norm that was made up to stand for none has sqrt(1 + eps); both pass. Where there are no
      spatial norms, the trunk's are asked.

    It cannot tell random gates without a norm on a trained trunk, which is what luuuyi's
    ``pretrained=True`` makes: drawn numbers look like learnt ones.

    Args:
        weights: a `ResNetCBAM`, or its state dict (that of a `Network`).
    """
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    end = f"{_CONV}.weight"
    paths = [key.removesuffix(end) for key in state if key.endswith(end)]
    if not paths:
        return "there are no gates in it"

    def zero(*keys: str) -> bool:
        return not any(state[key].any() for key in keys if key in state)

    def half_map(path: str) -> bool:
        if f"{path}{_NORM}.weight" not in state:
            return zero(path + end)
        flat = zero(f"{path}{_NORM}.weight") or zero(path + end, f"{path}{_NORM}.running_mean")
        return flat and zero(f"{path}{_NORM}.bias")

    def unseen(norm: str) -> bool:
        scale, variance = state[f"{norm}.weight"], state[f"{norm}.running_var"]
        return (
            zero(f"{norm}.running_mean", f"{norm}.bias", f"{norm}.{_COUNTER}")
            and bool((variance == 1).all())
            and bool(((scale == 1) | (scale == 0)).all())
        )

    if all(half_map(path) for path in paths):
        return "every spatial gate is exactly one half, whatever the photo"
    if all(zero(f"{path}{_FC2}.weight", f"{path}{_FC2}.bias") for path in paths):
        return "every channel gate is exactly one half, whatever the photo"
    norms = [key.removesuffix(".running_var") for key in state if key.endswith(".running_var")]
    norms = [norm for norm in norms if norm.endswith(_NORM)] or norms
    if norms and all(unseen(norm) for norm in norms):
        return "its batch norms have never seen a photo"
    return None


def _few(names: Iterable[str], most: int = 4) -> str:
    """The first few names, and how many more there are; none of them endless."""
    names = [name if len(name) <= 90 else f"{name[:87]}..." for name in names]
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _told(table: Mapping[str, str], keys: Iterable[str]) -> str | None:
    """The first row of a table of other networks that one of the keys fits, as a message."""
    for pattern, words in table.items():
        if key := next((key for key in keys if re.search(pattern, key)), None):
            return f"This network {words} (found {_few([key])}). {_WANTED}."
    return None


def _unwrap(weights: object) -> dict[str, Tensor]:
    """The state dict in a checkpoint, its keys without prefixes."""
    if isinstance(weights, Mapping):
        if tensors := _tensors(weights):
            return tensors
        modules = [key for key, value in weights.items() if isinstance(value, nn.Module)]
        if not modules:
            raise WeightsError(
                f"No weights in this file: found {_few(map(str, weights)) or 'nothing at all'}. "
                f"Expected is a state dict, bare or under {_few(_WRAPPERS, len(_WRAPPERS))}. "
                "Save model.state_dict()."
            )
        found = f"a whole pickled module (under {_few(map(str, modules))})"
    elif isinstance(weights, nn.Module):
        found = f"a whole pickled module ({type(weights).__name__})"
    else:
        found = f"a {type(weights).__name__}"
    raise WeightsError(
        f"This is {found}. Expected is a state dict: names, and the tensors they stand for. "
        "Save model.state_dict()."
    )


def _tensors(weights: Mapping, depth: int = 4) -> dict[str, Tensor]:
    """The named tensors of a mapping, or of the best copy that lies wrapped in it."""
    if depth:
        copies = [weights[key] for key in _WRAPPERS if isinstance(weights.get(key), Mapping)]
        # The most complete: an average of the parameters alone, without the norms' statistics,
        # is no network. Among equals max() keeps the first, which is the averaged one.
        if best := max((_tensors(copy, depth - 1) for copy in copies), key=len, default=None):
            return best
    tensors = {
        key: value.detach()
        for key, value in weights.items()
        # A lone number on top is the trainer's: an epoch, or how many were averaged.
        if isinstance(key, str) and isinstance(value, Tensor) and ("." in key or value.ndim)
    }
    while tensors:
        shared = (p for p in _PREFIXES if all(key.startswith(p) for key in tensors))
        prefix = next(shared, None)
        if prefix is None:
            break
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _family_of(theirs: Mapping[str, Tensor]) -> str:
    """The name of the family whose gates are in there."""
    examples = {}
    for name, family in FAMILIES.items():
        if gate := next((key for key in theirs if family.has_gate(key)), None):
            examples[name] = gate
    if not examples:
        raise WeightsError(_without_gates(theirs))
    if len(examples) > 1:
        found = " and ".join(f"{FAMILIES[name].title} ({key})" for name, key in examples.items())
        raise WeightsError(
            f"Two families of weights are mixed in this file: {found}. "
            "Expected are the names of one. Save each network in a file of its own."
        )
    return next(iter(examples))


def _without_gates(theirs: Mapping[str, Tensor]) -> str:
    """What to say of weights without a gate that we know."""
    if other := _told(_OTHER_ATTENTION, theirs):
        return other
    for trunk in _TRUNKS:
        if any(_BLOCK.match(trunk.ours(key) or "") for key in theirs):
            strange = [key for key in theirs if not trunk.ours(key)]
            strange = [key for key in strange if not _told(_OTHER_TRUNK, [key])]
            if not strange:
                return (
                    "This network has no CBAM; its attention would be noise. It is a plain "
                    f"ResNet, without a gate in any block. {_WANTED}; bring one."
                )
            return (
                "This is a ResNet, but if it has gates, their names are not known: "
                f"{_few(strange)}. {_WANTED}, named as one of these name theirs: "
                f"{_few((family.title for family in FAMILIES.values()), len(FAMILIES))}."
            )
    return f"This is not a ResNet: found {_few(theirs)}. {_WANTED}."


def _rename(theirs: Mapping[str, Tensor], family: Family) -> tuple[dict[str, str], list[str]]:
    """Our name -> their key, and the keys that have no name with us."""
    keys: dict[str, str] = {}
    unknown = []
    for key in theirs:
        our = family.ours(key)
        if our is None:
            unknown.append(key)
        elif our in keys:
            raise WeightsError(
                f"Two keys of this file are the same weight: {keys[our]} and {key}. "
                "Expected is every weight once."
            )
        else:
            keys[our] = key
    if other := _told(_OTHER_ATTENTION, unknown) or _told(_OTHER_TRUNK, unknown):
        raise WeightsError(other)
    for trunk in _TRUNKS:
        if key := next((key for key in unknown if trunk.ours(key)), None):
            raise WeightsError(
                "Two families of weights are mixed in this file: the gates are named by "
                f"{family.title}, but {key} by {trunk.title}. Expected are the names of one."
            )
    return keys, unknown


def _count_blocks(names: Iterable[str], family: Family) -> list[int]:
    """The blocks of each stage, once they are all there and have both gates."""
    names = set(names)
    stages: dict[int, set[int]] = {stage: set() for stage in (1, 2, 3, 4)}
    for name in names:
        if (block := _BLOCK.match(name)) and int(block[1]) in stages:
            stages[int(block[1])].add(int(block[2]))
    for stage, units in stages.items():
        gap = next(unit for unit in range(len(units) + 1) if unit not in units)
        if gap < len(units) or not units:
            raise WeightsError(
                f"The block {family.trunk.path(stage, gap)} is missing"
                + ("." if units else ", and all of its stage.")
                + " Expected are four stages of blocks without a gap. Save the whole network."
            )

    blocks = [(stage, unit) for stage, units in stages.items() for unit in sorted(units)]
    lacking = {}
    for kind, module in (("channel", _FC1), ("spatial", _CONV)):
        lacking[kind] = [(s, u) for s, u in blocks if f"layer{s}.{u}.{module}.weight" not in names]
    for kind, other in (("channel", "spatial"), ("spatial", "channel")):
        if lacking[kind] == blocks:
            raise WeightsError(
                f"This network has {other} gates only and no {kind} gate in any block. "
                f"{_WANTED}, with both gates."
            )
    if either := sorted({*lacking["channel"], *lacking["spatial"]}):
        paths = (family.trunk.path(*block) for block in either)
        raise WeightsError(
            f"{len(either)} of {len(blocks)} blocks lack a gate: {_few(paths)}. "
            f"{_WANTED}, with both gates."
        )
    return [len(units) for units in stages.values()]


def _convert(name: str, tensor: Tensor, family: Family) -> Tensor:
    """One of their tensors as ours; a view of it wherever that is enough."""
    if tensor.ndim == 4:
        if name.endswith((f"{_FC1}.weight", f"{_FC2}.weight")):
            return tensor.flatten(1)  # a 1x1 convolution over one cell is a linear layer
        if name.endswith(f"{_CONV}.weight") and family.mean_first:
            return tensor.flip(1)
    return tensor


def _read_config(state: Mapping[str, Tensor], layers: list[int], family: Family) -> dict:
    """The arguments of `ResNetCBAM`, read off names and shapes; `_complete` proves them."""

    def shape(name: str, dims: int) -> list[int]:
        if name not in state:
            raise WeightsError(f"{family.theirs(name)} is missing. {_WANTED}.")
        found = list(state[name].shape)
        if len(found) != dims or 0 in found:
            raise WeightsError(
                f"{family.theirs(name)} has the shape {found}. Expected are {dims} dimensions, "
                "none of them empty."
            )
        return found

    # A perceptron of h hidden units for C channels has C // r == h for r from C // (h + 1) + 1
    # to C // h. One r has to do for every block. The largest is the paper's 16 wherever 16 does,
    # as every C is a multiple of 16.
    low, high = 1, 2**31
    for name in state:
        if name.endswith(f"{_FC1}.weight"):
            hidden, channels = shape(name, 2)
            low, high = max(low, channels // (hidden + 1) + 1), min(high, channels // hidden)
    if low > high:
        raise WeightsError(
            "The hidden widths of the channel perceptrons fit no one reduction (C // r in every "
            f"block), e.g. {family.theirs(f'layer1.0.{_FC1}.weight')} has the shape "
            f"{shape(f'layer1.0.{_FC1}.weight', 2)}. Expected is r = 16, or another for all."
        )

    config = {
        "block": "basic",
        "layers": layers,
        "num_classes": shape("fc.weight", 2)[0],
        "reduction": high,
        "kernel_size": shape(f"layer1.0.{_CONV}.weight", 4)[-1],
        "mlp_bias": any(name.endswith(f"{_FC1}.bias") for name in state),
        "spatial_norm": any(name.endswith(f"{_NORM}.weight") for name in state),
        "groups": 1,
        "width_per_group": 64,
    }
    if any(name.endswith(".conv3.weight") for name in state):
        # torchvision: width = planes * width_per_group / 64 * groups, and conv3 gives 4 * planes.
        width, per_group, *_ = shape("layer1.0.conv2.weight", 4)
        planes = max(shape("layer1.0.conv3.weight", 4)[0] // 4, 1)
        groups = max(width // per_group, 1)
        config |= {
            "block": "bottleneck",
            "groups": groups,
            "width_per_group": round(64 * width / (planes * groups)),
        }
    return config


def _complete(
    state: Mapping[str, Tensor],
    config: dict,
    family: Family,
    keys: Mapping[str, str],
    unknown: list[str],
) -> dict[str, Tensor]:
    """The state dict in our order, proven against the model that the config builds."""
    try:
        with torch.device("meta"):  # shapes only: nothing is allocated
            expected = ResNetCBAM(**config).state_dict()
    except ValueError as error:
        raise WeightsError(f"No ResNet-CBAM can be built from these weights: {error}.") from error

    # Files older than PyTorch 0.4.1 have no counters. Evaluation does not need them.
    counters = {n: torch.tensor(0) for n in expected if n.endswith(_COUNTER)}
    state = counters | dict(state)

    missing = [family.theirs(name) for name in expected if name not in state]
    left = [keys[name] for name in state if name not in expected] + unknown
    if missing or left:
        parts = [f"Missing keys ({len(missing)}): {_few(missing)}."] if missing else []
        parts += [f"Keys without a place in it ({len(left)}): {_few(left)}."] if left else []
        raise WeightsError(
            f"These weights of {family.title} are almost a ResNet-CBAM. {' '.join(parts)} "
            "Expected is every key once."
        )

    wrong = [name for name, like in expected.items() if state[name].shape != like.shape]
    if wrong:
        shapes = (
            f"{keys[name]} is {list(state[name].shape)} instead of {list(expected[name].shape)}"
            for name in wrong
        )
        hints = [words for name, words in _OTHER_SHAPES.items() if name in wrong]
        raise WeightsError(" ".join([f"Wrong shapes ({len(wrong)}): {_few(shapes)}.", *hints]))

    for name, like in expected.items():
        if like.is_floating_point():
            if not state[name].is_floating_point():
                raise WeightsError(
                    f"{keys[name]} holds {state[name].dtype}. Expected are floating-point "
                    "weights; save the network before it is quantised."
                )
            # One that is not finite spoils the sum, which is far quicker to have than a look at
            # each; only a sum that overflows by itself needs the look.
            if not state[name].sum().isfinite() and not state[name].isfinite().all():
                raise WeightsError(
                    f"{keys[name]} holds values that are not finite. The training may have "
                    "diverged, or the file may be damaged."
                )
    return {name: state[name] for name in expected}
