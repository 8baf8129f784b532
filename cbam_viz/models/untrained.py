"""Whether a network was ever trained, as far as its weights tell; and weights as they begin."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .key_names import CONV, COUNTER, FC2, NORM


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
    end = f"{CONV}.weight"
    paths = [key.removesuffix(end) for key in state if key.endswith(end)]
    if not paths:
        return "there are no gates in it"

    def zero(*keys: str) -> bool:
        return not any(state[key].any() for key in keys if key in state)

    def half_map(path: str) -> bool:
        if f"{path}{NORM}.weight" not in state:
            return zero(path + end)
        flat = zero(f"{path}{NORM}.weight") or zero(path + end, f"{path}{NORM}.running_mean")
        return flat and zero(f"{path}{NORM}.bias")

    def unseen(norm: str) -> bool:
        scale, variance = state[f"{norm}.weight"], state[f"{norm}.running_var"]
        return (
            zero(f"{norm}.running_mean", f"{norm}.bias", f"{norm}.{COUNTER}")
            and bool((variance == 1).all())
            and bool(((scale == 1) | (scale == 0)).all())
        )

    if all(half_map(path) for path in paths):
        return "every spatial gate is exactly one half, whatever the photo"
    if all(zero(f"{path}{FC2}.weight", f"{path}{FC2}.bias") for path in paths):
        return "every channel gate is exactly one half, whatever the photo"
    norms = [key.removesuffix(".running_var") for key in state if key.endswith(".running_var")]
    norms = [norm for norm in norms if norm.endswith(NORM)] or norms
    if norms and all(unseen(norm) for norm in norms):
        return "its batch norms have never seen a photo"
    return None


@torch.no_grad()
def draw(module: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
    """Give a layer weights as torch's constructor draws them.

    From a generator of one's own: ``torch.manual_seed`` seeds what every thread draws from, and
    the layers' own ``reset_parameters`` takes no other.

    Args:
        module: the layer, changed in place.
        generator: drawn from.
    """
    nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
    if module.bias is not None:
        bound = 1 / math.sqrt(module.weight[0].numel())
        nn.init.uniform_(module.bias, -bound, bound, generator=generator)
