"""Which ResNet-CBAM a file of weights is.

A state dict is read by the families' key names, and everything else about the network off the
shapes. Gates under names of no family are told by their shapes: in every block a perceptron
C -> C/r -> C and a convolution of two planes to one. Only the order of these two planes leaves no
trace in any shape; where no family's names tell it, it is assumed, said, and can be chosen.

What no name and no shape tells, and nobody can check here: dilation, pools that blur (timm's
``aa_layer``), the activation, the epsilon of the norms, and where in the block the gates sit. They
are taken to be torchvision's and the authors', as they are in every family of `key_names`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from .conversion import bias_to_norm, complete, config_of, converted
from .errors import WANTED, WeightsError, few
from .key_names import BLOCK, CONV, FAMILIES, FC1, FC2, NORM, PLANES, TRUNKS, Family
from .nesting import Place, places
from .other_networks import (
    HEAD_OF_SEVERAL,
    OTHER_ATTENTION,
    OTHER_TRUNK,
    largest,
    told,
    without_gates,
)
from .resnet import ResNetCBAM

#: Any trunk's first layer of any block; what stands before it is where the network lies.
_FIRST_LAYER = re.compile(
    r"(?P<path>(?:.+\.)?)((layer\d{1,4}|[4-7])\.\d{1,4}\.conv1|features\.stage\d{1,4}\.unit\d{1,4}\.body\.conv1\.conv)"
    r"\.weight"
)
#: Keys that belong to training, wherever they lie.
_OF_TRAINING = re.compile(
    r"(criterion|loss(es)?|\w+_loss(es)?|loss_\w+|\w*metrics?|\w*accuracy|\w+_acc|\w*auroc)(_\w+)?\."
)
#: What a classifier is usually called when it is not in the trunk; and what is none, whatever it
#: takes.
_HEAD = re.compile(
    r"(.+\.)?(fc|head|cls|cls_head|classifier|classification_head|output|out|linear|last_linear"
    r"|logits?|predictor|prediction|clf|fc_\w+|\w+_(head|classifier|fc))(\.\w+)*"
)
_NO_HEAD = re.compile(r"(.+\.)?\w*(proj|embed|margin|decoder|query|bottleneck|neck)\w*(\..+)?")

_ASSUMED_PLANES = (
    "Nothing tells in which order its spatial attention sees the two planes: maximum, then mean, "
    "is assumed. If it is torch.cat([mean, max]), choose --planes mean-max."
)

#: `nn.Sequential(*resnet.children())` numbers what torchvision names; 2, 3 and 8 have no weights.
_CHILDREN = {"0": "conv1", "1": "bn1", "9": "fc"} | {str(3 + s): f"layer{s}" for s in (1, 2, 3, 4)}


@dataclass(frozen=True)
class Network:
    """A recognised network, ready to be built.

    ``ResNetCBAM(**network.config).load_state_dict(network.state_dict, strict=True)`` is all there
    is to do. Wherever nothing had to be converted the tensors are the given ones, not copies.

    Attributes:
        family: a name in `FAMILIES`.
        config: the arguments of `ResNetCBAM` that names and shapes tell: all but dilation.
        skeleton: the model of these arguments, of shapes alone.
        state_dict: the weights under our names, in our model's order.
        notes: what was assumed, and what was left alone; a sentence each.
        beside: names of what lies beside the network and was left alone.
    """

    family: str
    config: dict
    skeleton: ResNetCBAM
    state_dict: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def recognise(weights: Mapping | Sequence, planes: str | None = None) -> Network:
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
    candidates = (
        places(weights, _FIRST_LAYER) if isinstance(weights, Mapping | list | tuple) else []
    )
    if not candidates:
        raise WeightsError(without_gates(largest(weights)))
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
        notes.append(f"Of several copies of the network, {taken} is taken, not {few(others)}.")
    return replace(network, notes=tuple(notes))


def _meant(networks: list[tuple[Place, Network]]) -> tuple[Place, Network]:
    """The one network of a file, or the one of several copies that is meant."""
    ranked = [(place.rank, i) for i, (place, _) in enumerate(networks) if place.rank]
    if ranked:
        return networks[min(ranked)[1]]
    if len(networks) > 1:
        paths = [place.path for place, _ in networks]
        raise WeightsError(
            f"{len(networks)} networks lie in this file, under {few(paths)}, and nothing tells "
            "which one is meant. Expected is one. Save each network in a file of its own."
        )
    return networks[0]


def _recognise_at(place: Place, planes: str | None) -> Network:
    """The network that lies at one place."""
    theirs = {key: value for key, value in place.tensors.items() if not _OF_TRAINING.match(key)}
    theirs, numbered = _named(theirs)
    beside = [key for key in place.tensors if _OF_TRAINING.match(key)] + list(place.beside)
    name, family, notes = _family_of(theirs)
    theirs, family, head = _with_head(theirs, place.beside, family)
    beside = [key for key in beside if key not in head]
    keys, unknown = _rename(theirs, family)
    layers, gated = _count_blocks(keys, family)
    if "fc.weight" not in keys:
        unknown += [keys[our] for our in keys if our.startswith("fc.")]  # in pieces, perhaps
        beside = f"; not understood: {few([*unknown, *beside])}" if unknown or beside else ""
        raise WeightsError(
            f"There is no classifier to predict with: {family.theirs('fc.weight')} is "
            f"missing{beside}. Expected is one linear layer. Save the whole network."
        )
    if planes:
        family = replace(family, mean_first=PLANES[planes])
        notes = [note for note in notes if note != _ASSUMED_PLANES]
    state = {our: converted(our, theirs[key], family) for our, key in keys.items()}
    notes += numbered + bias_to_norm(state, keys)
    config = config_of(state, layers, family)
    if gated:
        config["gated"] = gated
        notes.append(f"{len(gated)} of {sum(layers)} blocks have gates: {few(gated, 8)}.")
    skeleton, state = complete(state, config, family, keys, unknown)
    if family.head:
        taken = "" if _HEAD.fullmatch(family.head) else ", by its shape"
        notes.append(f"Its classifier is {family.head}{taken}.")
    strange = [key for key in beside if not _OF_TRAINING.match(key)]
    # One number a colour is a normalisation's.
    if strange and (
        head or any(place.beside[k].numel() == 3 for k in strange if k in place.beside)
    ):
        notes.append(f"If photos pass through {few(strange)} too, its predictions are not these.")
    if beside:
        where = (
            f"The network lies under {place.path}" if place.path else "The network is at the top"
        )
        notes.append(f"{where}; left alone beside it: {few(beside)}.")
    return Network(name, config, skeleton, state, tuple(notes), tuple(beside))


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
    if gates and not told(OTHER_ATTENTION, theirs):
        trunk = next(t for t in TRUNKS if any(BLOCK.match(t.ours(key) or "") for key in theirs))
        modules = ", ".join(gates[0])
        family = Family(f"no family known here ({modules})", gates[0], trunk=trunk, linear=gates[1])
        note = f"Its gates ({modules}) are taken for CBAM's by their shapes."
        return "unnamed", family, [note, _ASSUMED_PLANES]
    if not examples:
        raise WeightsError(without_gates(theirs))
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
    trunk = next((t for t in TRUNKS if any(BLOCK.match(t.ours(k) or "") for k in theirs)), None)
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
    fc1 = next(module for module, our in table.items() if our == FC1)
    return table, next(iter(blocks.values()))[fc1]["weight"].ndim == 2


def _roles(modules: Mapping[str, Mapping[str, Tensor]]) -> dict[str, str] | None:
    """Which module of one block is what of a CBAM, if together they are one."""
    roles: dict[str, str] = {}
    layers = []
    for name, parameters in modules.items():
        shape = list(parameters["weight"].shape) if "weight" in parameters else []
        if len(shape) == 4 and shape[:2] == [1, 2] and shape[2] > 1:
            role = CONV
        elif "running_var" in parameters and shape == [1]:
            role = NORM
        elif len(shape) == 2 or (len(shape) == 4 and shape[2:] == [1, 1]):
            layers.append((name, shape))
            continue
        else:
            return None
        if role in roles.values():
            return None
        roles[name] = role
    if len(layers) != 2 or CONV not in roles.values():
        return None
    # The first narrows, the second widens; of two squares the names' order is all there is.
    (first, a), (second, b) = sorted(layers, key=lambda layer: layer[1][0])
    if a[:2] != b[1::-1] or len(a) != len(b):
        return None
    return {**roles, first: FC1, second: FC2}


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
                f"This network {HEAD_OF_SEVERAL}: {few(on_top)} beside it takes what {fc} gives. "
                f"{WANTED}."
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
            shape = list(value.shape)
            fits = parameter == "weight" and len(shape) in (2, 4) and shape[1:2] == [width]
            if fits and shape[2:] in ([], [1, 1]) and not _OF_TRAINING.match(key):
                heads.append((module, keys))
    heads = [head for head in heads if not _NO_HEAD.fullmatch(head[0])]
    if len(heads) > 1:
        heads = [head for head in heads if _HEAD.fullmatch(head[0])]  # the only one of that name
    if len(heads) != 1:
        return theirs, family, []
    (module, keys), *_ = heads
    own = (f"{module}.weight", f"{module}.bias")
    root = module.rpartition(".")[0]
    more = [key for key in keys if key.startswith(f"{root}.") and key not in own]
    # fc.0 and fc.3, head.norm and head.fc; by any name, if they are numbered
    if more and root and (_HEAD.fullmatch(root) or module.rpartition(".")[2].isdigit()):
        raise WeightsError(
            f"This network {HEAD_OF_SEVERAL} (found {few([own[0], *more])}). {WANTED}."
        )
    found = {key: keys[key] for key in own if key in keys}
    return theirs | found, replace(family, head=module), list(found) if keys is beside else []


def _named(theirs: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The weights with torchvision's names for parts that are numbered, and what to say of it."""
    if not {"0.weight", "4.0.conv1.weight"} <= theirs.keys():
        return theirs, []
    named = {}
    for key, value in theirs.items():
        part, dot, rest = key.partition(".")
        named[_CHILDREN.get(part, part) + dot + rest] = value
    note = "Its parts are numbered; they are taken for those of nn.Sequential(*resnet.children())."
    return named, [note]


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
    if other := told(OTHER_ATTENTION, unknown) or told(OTHER_TRUNK, unknown):
        raise WeightsError(other)
    for trunk in TRUNKS:
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
        if (block := BLOCK.match(name)) and int(block[1]) in stages:
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
    for kind, module in (("channel", FC1), ("spatial", CONV)):
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
            f"{len(either)} of {len(blocks)} blocks lack a gate: {few(paths)}. "
            "Expected is a ResNet whose residual blocks have both gates, or none of them."
        )
    gated = [f"layer{s}.{u}" for s, u in blocks if (s, u) not in lacking["channel"]]
    return [len(units) for units in stages.values()], gated if lacking["channel"] else None
