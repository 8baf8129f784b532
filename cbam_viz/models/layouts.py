"""Other people's names for the weights of a ResNet-CBAM, and ours.

CBAM was never one file: the authors, pytorchcv, timm, luuuyi/CBAM.PyTorch and the article each
have key names of their own, and small options (biases, a batch norm, the order of two planes).
Converted, all of them are the same function. `FAMILIES` is the table of what they call things;
`recognise` reads a state dict by it, and everything else about the network off the shapes.

Gates under names of no family are told by their shapes: in every block a perceptron C -> C/r -> C
and a convolution of two planes to one. Only the order of these two planes leaves no trace in any
shape; where no family's names tell it, it is assumed, said, and can be chosen.

What no name and no shape tells, and nobody can check here: dilation, pools that blur (timm's
``aa_layer``), the activation, the epsilon of the norms, and where in the block the gates sit. They
are taken to be torchvision's and the authors', as they are in every family below.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from .nesting import Place, mappings, places
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
        if block := self.split(module):
            stage, unit, rest = block
            name = {**self.inside, **(gates or {})}.get(rest)
            name = name and f"layer{stage}.{unit - self.first}.{name}"
        else:
            name = self.outside.get(module)
        return name and f"{name}.{parameter}"

    def split(self, module: str) -> tuple[int, int, str] | None:
        """The numbers of stage and unit as they count them, and the path within that block."""
        # Four digits bound what a hostile file can make of a number; ResNet-152 needs two.
        pattern = self.block.replace(".", r"\.").replace("{}", r"(\d{1,4})") + r"\.(.+)"
        if block := re.fullmatch(pattern, module):
            return int(block[1]), int(block[2]), block[3]
        return None


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
        linear: the perceptrons are linear layers (True) or 1x1 convolutions (False). The same
            names with the other kind of layer are somebody else's.
        head: what the classifier is called, if not as in the trunk.
    """

    title: str
    gates: Mapping[str, str]
    mean_first: bool = False
    trunk: Trunk = _TORCHVISION
    linear: bool = True
    head: str | None = None

    def ours(self, key: str) -> str | None:
        """Our name for one of their keys, None for a key that is not of this family."""
        if self.head and key.rpartition(".")[0] == self.head:
            return f"fc.{key.rpartition('.')[2]}"
        return self.trunk.ours(key, self.gates)

    def theirs(self, name: str) -> str:
        """Their key for one of our names, to say in their words what is missing."""
        module, _, parameter = name.rpartition(".")
        if block := _BLOCK.match(module):
            stage, unit, module = block.groups()
            path, table = f"{self.trunk.path(stage, int(unit))}.", self.trunk.inside | self.gates
        else:
            # Their own name of the classifier first.
            path, table = "", ({self.head: "fc"} if self.head else {}) | self.trunk.outside
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
        linear=False,
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
        linear=False,
    ),
    "article": Family(
        title="the article",
        gates={
            "channel_atten.fc.0": _FC1,
            "channel_atten.fc.2": _FC2,
            "spatial_atten.conv1": _CONV,
        },
        linear=False,
    ),
}

#: The two orders of the planes that the spatial convolution may see, and whether the mean is first.
PLANES = {"max-mean": False, "mean-max": True}

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
_HEAD_OF_SEVERAL = "has a head of several layers instead of one linear layer"
#: Keys of ResNets whose trunk is not torchvision's, likewise.
_OTHER_TRUNK = {
    r"^conv1\.\d": "has a stem of several convolutions (ResNet-C and -D) instead of one 7x7",
    r"\.downsample\.2\.": "has an average pool in its shortcuts (ResNet-D)",
    r"^(fc|output)\.\d": _HEAD_OF_SEVERAL,
}
#: What a wrong shape of these means.
_OTHER_SHAPES = {
    "conv1.weight": "The stem has to be one 7x7 convolution over three colour planes, as in "
    "ImageNet networks (the authors' CIFAR networks have 3x3).",
    f"layer1.0.{_CONV}.weight": "The spatial convolution has to see two planes, maximum and mean "
    "(timm's light CBAM sees one).",
}

#: Any trunk's first layer of any block; what stands before it is where the network lies.
_FIRST_LAYER = re.compile(
    r"(?P<path>(?:.+\.)?)(layer\d{1,4}\.\d{1,4}\.conv1|features\.stage\d{1,4}\.unit\d{1,4}\.body\.conv1\.conv)"
    r"\.weight"
)
#: Keys that belong to training, wherever they lie.
_OF_TRAINING = re.compile(
    r"(criterion|loss(es)?|\w+_loss(es)?|loss_\w+|\w*metrics?|\w*accuracy|\w+_acc|\w*auroc)(_\w+)?\."
)
#: What a classifier is called when it is not in the trunk.
_HEAD = re.compile(
    r"(.+\.)?(fc|head|cls|cls_head|classifier|classification_head|output|out|linear|last_linear"
    r"|logits?|predictor|prediction|clf|fc_\w+|\w+_(head|classifier|fc))(\.\w+)*"
)

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
        notes: what was assumed, and what was left alone; a sentence each.
        beside: names of what lies beside the network and was left alone.
    """

    family: str
    config: dict
    state_dict: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def recognise(weights: Mapping, planes: str | None = None) -> Network:
    """Say which ResNet-CBAM these weights are, and convert them to ours.

    The network is looked for under every path (``state_dict``, ``model.``, ``module.``,
    ``backbone.``, any): the one under which a whole network lies is taken, and what lies beside it
    (a criterion, an optimizer) is left alone and listed. Of several copies the averaged (EMA) one
    is taken. Inside the network every weight is used exactly once.

    Args:
        weights: what ``torch.load(..., weights_only=True)`` or safetensors gave.
        planes: "max-mean" or "mean-max", what the spatial convolutions see; if None, as the names
            tell, and "max-mean" where they tell nothing.

    Raises:
        WeightsError: if it is no state dict, no ResNet, has no CBAM or another attention, mixes
            families, holds several networks, or if any key is missing, left over, of a wrong
            shape or not finite.
        ValueError: there is no such order of the planes.
    """
    if planes not in (None, *PLANES):
        raise ValueError(f"planes must be {' or '.join(PLANES)}, not {planes!r}")
    candidates = places(weights, _FIRST_LAYER) if isinstance(weights, Mapping) else []
    if not candidates:
        raise WeightsError(_without_gates(_largest(weights)))
    networks: list[tuple[Place, Network]] = []
    errors: list[tuple[int, WeightsError]] = []
    for place in candidates:
        try:
            networks.append((place, _recognise_at(place, planes)))
        except WeightsError as error:
            errors.append((len(place.tensors), error))
    if not networks:
        raise max(errors, key=lambda pair: pair[0])[1]
    place, network = _meant(networks)
    notes = list(network.notes)
    if others := [other.path or "the top level" for other, _ in networks if other is not place]:
        taken = place.path or "the top level"
        notes.append(f"Of several copies of the network, {taken} is taken, not {_few(others)}.")
    return replace(network, notes=tuple(notes))


def _meant(networks: list[tuple[Place, Network]]) -> tuple[Place, Network]:
    """The one network of a file, or the one of several copies that is meant."""
    ranked = [(place.rank, i) for i, (place, _) in enumerate(networks) if place.rank]
    if ranked:
        return networks[min(ranked)[1]]
    if len(networks) > 1:
        paths = [place.path for place, _ in networks]
        raise WeightsError(
            f"{len(networks)} networks lie in this file, under {_few(paths)}, and nothing tells "
            "which one is meant. Expected is one. Save each network in a file of its own."
        )
    return networks[0]


def _recognise_at(place: Place, planes: str | None) -> Network:
    """The network that lies at one place."""
    theirs = {key: value for key, value in place.tensors.items() if not _OF_TRAINING.match(key)}
    beside = [key for key in place.tensors if key not in theirs] + list(place.beside)
    name, family, notes = _family_of(theirs)
    theirs, family, head = _with_head(theirs, place.beside, family)
    beside = [key for key in beside if key not in head]
    keys, unknown = _rename(theirs, family)
    layers, gated = _count_blocks(keys, family)
    if "fc.weight" not in keys:
        beside = f"; not understood: {_few([*unknown, *beside])}" if unknown or beside else ""
        raise WeightsError(
            f"There is no classifier to predict with: {family.theirs('fc.weight')} is "
            f"missing{beside}. Expected is one linear layer. Save the whole network."
        )
    if planes:
        family = replace(family, mean_first=PLANES[planes])
        notes = [note for note in notes if note != _ASSUMED_PLANES]
    state = {our: _convert(our, theirs[key], family) for our, key in keys.items()}
    config = _read_config(state, layers, family)
    if gated:
        config["gated"] = gated
        notes.append(f"{len(gated)} of {sum(layers)} blocks have gates: {_few(gated, 8)}.")
    state = _complete(state, config, family, keys, unknown)
    if family.head:
        notes.append(f"Its classifier is {family.head}.")
    strange = [key for key in beside if not _OF_TRAINING.match(key)]
    if strange and head:
        notes.append(f"If photos pass through {_few(strange)} too, its predictions are not these.")
    if beside:
        where = (
            f"The network lies under {place.path}" if place.path else "The network is at the top"
        )
        notes.append(f"{where}; left alone beside it: {_few(beside)}.")
    return Network(name, config, state, tuple(notes), tuple(beside))


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


def _largest(weights: object) -> dict[str, Tensor]:
    """The most named tensors that lie together in a file without any network, to say what it is.

    Raises:
        WeightsError: there are none.
    """
    if isinstance(weights, Mapping):
        if found := max((tensors for _, tensors in mappings(weights)), key=len, default=None):
            return found
        modules = [key for key, value in weights.items() if isinstance(value, nn.Module)]
        if not modules:
            raise WeightsError(
                f"No weights in this file: found {_few(map(str, weights)) or 'nothing at all'}. "
                "Expected is a state dict, names and the tensors they stand for, bare or within "
                "other mappings. Save model.state_dict()."
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


_ASSUMED_PLANES = (
    "Nothing tells in which order its spatial attention sees the two planes: maximum, then mean, "
    "is assumed. If it is torch.cat([mean, max]), choose --planes mean-max."
)


def _family_of(theirs: Mapping[str, Tensor]) -> tuple[str, Family, list[str]]:
    """The family whose gates are in there, its name, and what had to be assumed."""
    examples = {}
    for name, family in FAMILIES.items():
        if gate := next((key for key in theirs if family.has_gate(key)), None):
            examples[name] = gate
    gates = _gates_by_shape(theirs)
    if len(examples) == 1:
        name = next(iter(examples))
        family = FAMILIES[name]
        # The same names over another kind of layer are somebody else's.
        if not gates or (gates[0].items() <= family.gates.items() and gates[1] == family.linear):
            return name, family, []
    if gates and not _told(_OTHER_ATTENTION, theirs):
        trunk = next(t for t in _TRUNKS if any(_BLOCK.match(t.ours(key) or "") for key in theirs))
        modules = ", ".join(gates[0])
        family = Family(f"no family known here ({modules})", gates[0], trunk=trunk, linear=gates[1])
        told = f"Its gates ({modules}) are taken for CBAM's by their shapes."
        return "unnamed", family, [told, _ASSUMED_PLANES]
    if not examples:
        raise WeightsError(_without_gates(theirs))
    if len(examples) > 1:
        found = " and ".join(f"{FAMILIES[name].title} ({key})" for name, key in examples.items())
        raise WeightsError(
            f"Two families of weights are mixed in this file: {found}. "
            "Expected are the names of one. Save each network in a file of its own."
        )
    name = next(iter(examples))
    return name, FAMILIES[name], []


def _gates_by_shape(theirs: Mapping[str, Tensor]) -> tuple[dict[str, str], bool] | None:
    """The modules of a block's gates, by their name -> ours, told by shapes alone.

    Returns:
        The table, and whether the perceptrons are linear layers; None unless all blocks that have
        more than a trunk's layers have the same, and these are a CBAM's.
    """
    trunk = next((t for t in _TRUNKS if any(_BLOCK.match(t.ours(k) or "") for k in theirs)), None)
    if trunk is None:
        return None
    blocks: dict[tuple[int, int], dict[str, dict[str, Tensor]]] = {}
    for key, tensor in theirs.items():
        path, _, parameter = key.rpartition(".")
        if (block := trunk.split(path)) and not trunk.ours(key):
            stage, unit, module = block
            blocks.setdefault((stage, unit), {}).setdefault(module, {})[parameter] = tensor
    tables = {tuple(sorted((_roles(modules) or {}).items())) for modules in blocks.values()}
    if len(tables) != 1 or not (table := dict(tables.pop())):
        return None
    fc1 = next(module for module, our in table.items() if our == _FC1)
    return table, next(iter(blocks.values()))[fc1]["weight"].ndim == 2


def _roles(modules: Mapping[str, Mapping[str, Tensor]]) -> dict[str, str] | None:
    """Which module of one block is what of a CBAM, if together they are one."""
    roles: dict[str, str] = {}
    layers = []
    for name, parameters in modules.items():
        shape = list(parameters["weight"].shape) if "weight" in parameters else []
        if len(shape) == 4 and shape[:2] == [1, 2] and shape[2] > 1:
            role = _CONV
        elif "running_var" in parameters and shape == [1]:
            role = _NORM
        elif len(shape) == 2 or (len(shape) == 4 and shape[2:] == [1, 1]):
            layers.append((name, shape))
            continue
        else:
            return None
        if role in roles.values():
            return None
        roles[name] = role
    if len(layers) != 2 or _CONV not in roles.values():
        return None
    # The first narrows, the second widens; of two squares the names' order is all there is.
    (first, a), (second, b) = sorted(layers, key=lambda layer: layer[1][0])
    if a[:2] != b[1::-1] or len(a) != len(b):
        return None
    return {**roles, first: _FC1, second: _FC2}


def _with_head(
    theirs: dict[str, Tensor], beside: Mapping[str, Tensor], family: Family
) -> tuple[dict[str, Tensor], Family, list[str]]:
    """The weights with their classifier, where it is not at the trunk's own place.

    A dropout before it makes ``fc`` into ``fc.1``; a backbone's classifier lies beside it.

    Returns:
        The weights, the family with the classifier's name, and which names of ``beside`` it took.
    """
    fc = next(their for their, our in family.trunk.outside.items() if our == "fc")
    if f"{fc}.weight" in theirs:
        width = len(theirs[f"{fc}.weight"])
        on_top = [
            key
            for key, value in beside.items()
            if key.endswith(".weight")
            and _HEAD.fullmatch(key.rpartition(".")[0])
            and value.ndim == 2
            and value.shape[1] == width
            and not _OF_TRAINING.match(key)
        ]
        if on_top:
            raise WeightsError(
                f"This network {_HEAD_OF_SEVERAL}: {_few(on_top)} beside it takes what {fc} gives. "
                f"{_WANTED}."
            )
        return theirs, family, []
    # The last block's width: what the classifier takes.
    norms = [k for k in theirs if re.fullmatch(r"layer4\.\d+\.bn\d\.weight", family.ours(k) or "")]
    width = len(theirs[max(norms, key=lambda k: (len(k), k))]) if norms else None
    rest = {k: v for k, v in theirs.items() if not family.ours(k)}
    heads = []
    for keys in (rest, beside):
        for key, value in keys.items():
            module, _, parameter = key.rpartition(".")
            fits = value.ndim == 2 and value.shape[1] == width and f"{module}.bias" in keys
            if parameter == "weight" and fits and _HEAD.fullmatch(module):
                heads.append((module, keys))
    if len(heads) != 1:
        return theirs, family, []
    (module, keys), *_ = heads
    own = (f"{module}.weight", f"{module}.bias")
    root = module.rpartition(".")[0]
    more = [key for key in keys if key.startswith(f"{root}.") and key not in own]
    if more and _HEAD.fullmatch(root):  # fc.0 and fc.3, head.norm and head.fc
        raise WeightsError(
            f"This network {_HEAD_OF_SEVERAL} (found {_few([own[0], *more])}). {_WANTED}."
        )
    found = {key: keys[key] for key in own}
    return theirs | found, replace(family, head=module), list(found) if keys is beside else []


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


def _count_blocks(names: Iterable[str], family: Family) -> tuple[list[int], list[str] | None]:
    """The blocks of each stage, once they are all there; and those with gates, unless all have."""
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
        lacking[kind] = {(s, u) for s, u in blocks if f"layer{s}.{u}.{module}.weight" not in names}
    for kind, other in (("channel", "spatial"), ("spatial", "channel")):
        if lacking[kind] == set(blocks):
            raise WeightsError(
                f"This network has {other} gates only and no {kind} gate in any block. "
                f"Expected is a ResNet with CBAM in its residual blocks, with both gates."
            )
    if lacking["channel"] != lacking["spatial"]:
        either = sorted(lacking["channel"] | lacking["spatial"])
        paths = (family.trunk.path(*block) for block in either)
        raise WeightsError(
            f"{len(either)} of {len(blocks)} blocks lack a gate: {_few(paths)}. "
            "Expected is a ResNet whose residual blocks have both gates, or none of them."
        )
    gated = [f"layer{s}.{u}" for s, u in blocks if (s, u) not in lacking["channel"]]
    return [len(units) for units in stages.values()], gated if lacking["channel"] else None


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
    first = next(name for name in state if name.endswith(f"{_CONV}.weight")).removesuffix(
        f"{_CONV}.weight"
    )
    for name in state:
        if name.endswith(f"{_FC1}.weight"):
            hidden, channels = shape(name, 2)
            low, high = max(low, channels // (hidden + 1) + 1), min(high, channels // hidden)
    if low > high:
        raise WeightsError(
            "The hidden widths of the channel perceptrons fit no one reduction (C // r in every "
            f"block), e.g. {family.theirs(f'{first}{_FC1}.weight')} has the shape "
            f"{shape(f'{first}{_FC1}.weight', 2)}. Expected is r = 16, or another for all."
        )

    config = {
        "block": "basic",
        "layers": layers,
        "num_classes": shape("fc.weight", 2)[0],
        "reduction": high,
        "kernel_size": shape(f"{first}{_CONV}.weight", 4)[-1],
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
