"""Weights of any family as ours: the tensors, and the arguments of the model that has them."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from .errors import WANTED, WeightsError, few
from .key_names import CONV, COUNTER, FC1, FC2, NORM, Family
from .other_networks import OTHER_SHAPES
from .resnet import ResNetCBAM, skeleton

_EPSILON = nn.BatchNorm2d(1).eps


def converted(name: str, tensor: Tensor, family: Family) -> Tensor:
    """One of their tensors as ours; a view of it wherever that is enough."""
    if tensor.ndim == 4:
        if name.endswith((f"{FC1}.weight", f"{FC2}.weight")):
            return tensor.flatten(1)  # a 1x1 convolution over one cell is a linear layer
        if name.endswith(f"{CONV}.weight") and family.mean_first:
            return tensor.flip(1)
        if name == "fc.weight" and tensor.shape[2:] == (1, 1):
            return tensor.flatten(1)  # likewise, of the pooled map
    return tensor


def bias_to_norm(state: dict[str, Tensor], keys: dict[str, str]) -> list[str]:
    """Spatial convolutions' biases, which ours have not, as their norms': the same function.

    A norm of mean 0 and variance 1 - epsilon that shifts by the bias is made where there is none.

    Args:
        state: the weights under our names; changed.
        keys: our names -> their keys; changed likewise.

    Returns:
        What to say of it.
    """
    biases = [name for name in state if name.endswith(f"{CONV}.bias")]
    if len(biases) < sum(name.endswith(f"{CONV}.weight") for name in state):
        return []  # some have none: an odd file, and `complete` says what is left over
    for name in biases:
        norm = name.replace(f"{CONV}.bias", NORM)
        bias, key = state.pop(name), keys.pop(name)
        if f"{norm}.running_mean" in state:
            state[f"{norm}.running_mean"] = state[f"{norm}.running_mean"] - bias
            continue
        one, zero = torch.ones_like(bias), torch.zeros_like(bias)
        made = {"weight": one, "bias": bias, "running_mean": zero, "running_var": one - _EPSILON}
        for parameter, value in made.items():
            state[f"{norm}.{parameter}"], keys[f"{norm}.{parameter}"] = value, key
    return ["Its spatial convolutions have a bias, which is kept in their norm."] if biases else []


def config_of(state: Mapping[str, Tensor], layers: list[int], family: Family) -> dict:
    """The arguments of `ResNetCBAM`, read off names and shapes; `complete` proves them."""

    def shape(name: str, dims: int) -> list[int]:
        if name not in state:
            raise WeightsError(f"{family.theirs(name)} is missing. {WANTED}.")
        found = list(state[name].shape)
        if len(found) != dims or 0 in found:
            raise WeightsError(
                f"{family.theirs(name)} has the shape {found}. Expected are {dims} dimensions, "
                "none of them empty."
            )
        return found

    first = next(name for name in state if name.endswith(f"{CONV}.weight")).removesuffix(
        f"{CONV}.weight"
    )
    widths: dict[int, set[tuple[int, int]]] = {}  # by stage: hidden units, channels
    for name in state:
        if name.endswith(f"{FC1}.weight"):
            hidden, channels = shape(name, 2)
            widths.setdefault(int(name[5]), set()).add((hidden, channels))
    reduction = _reduction(set().union(*widths.values()))
    if reduction is None:  # many ports widen narrow ones: max(C // 16, 8)
        by_stage = [_reduction(widths.get(stage, set())) for stage in (1, 2, 3, 4)]
        if None in by_stage:
            raise WeightsError(
                "The hidden widths of the channel perceptrons fit no reduction (C // r in every "
                f"block of a stage), e.g. {family.theirs(f'{first}{FC1}.weight')} has the shape "
                f"{shape(f'{first}{FC1}.weight', 2)}. Expected is r = 16, or another for each "
                "stage."
            )
        reduction = by_stage

    config = {
        "block": "basic",
        "layers": layers,
        "num_classes": shape("fc.weight", 2)[0],
        "reduction": reduction,
        "kernel_size": shape(f"{first}{CONV}.weight", 4)[-1],
        "mlp_bias": any(name.endswith(f"{FC1}.bias") for name in state),
        "spatial_norm": any(name.endswith(f"{NORM}.weight") for name in state),
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


def _reduction(widths: Collection[tuple[int, int]]) -> int | None:
    """The largest r with C // r == h for all pairs of h hidden units and C channels; None if none.

    It is the paper's 16 wherever 16 does, as every C is a multiple of 16; and 16 of no pairs.
    """
    if not widths:
        return 16
    low = max(channels // (hidden + 1) + 1 for hidden, channels in widths)
    high = min(channels // hidden for hidden, channels in widths)
    return high if low <= high else None


def complete(
    state: Mapping[str, Tensor],
    config: dict,
    family: Family,
    keys: Mapping[str, str],
    unknown: list[str],
) -> tuple[ResNetCBAM, dict[str, Tensor]]:
    """The model that the config builds, of shapes alone, and the state dict proven against it."""
    try:
        model = skeleton(**config)
    except ValueError as error:
        raise WeightsError(f"No ResNet-CBAM can be built from these weights: {error}.") from error
    expected = model.state_dict()

    # Files older than PyTorch 0.4.1 have no counters. Evaluation does not need them.
    counters = {n: torch.tensor(0) for n in expected if n.endswith(COUNTER)}
    state = counters | dict(state)
    if "fc.bias" not in state and "fc.weight" in state:  # nn.Linear(..., bias=False)
        state["fc.bias"] = state["fc.weight"].new_zeros(len(state["fc.weight"]))

    missing = [family.theirs(name) for name in expected if name not in state]
    left = [keys[name] for name in state if name not in expected] + unknown
    if missing or left:
        parts = [f"Missing keys ({len(missing)}): {few(missing)}."] if missing else []
        parts += [f"Keys without a place in it ({len(left)}): {few(left)}."] if left else []
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
        hints = [words for name, words in OTHER_SHAPES.items() if name in wrong]
        raise WeightsError(" ".join([f"Wrong shapes ({len(wrong)}): {few(shapes)}.", *hints]))

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
    return model, {name: state[name] for name in expected}
