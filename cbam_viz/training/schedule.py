"""What learns, at which rate, and when."""

import math
import random
from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, AdamW, Optimizer

from .recipe import Phase, Recipe


def parameter_groups(model: nn.Module, recipe: Recipe, pretrained: set[str]) -> list[dict]:
    """Parameters by learning rate (gates, pretrained, fresh) and by weight decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, module in model.named_modules():
        for p in module.parameters(recurse=False):
            if "channel_attention" in name:
                lr = recipe.channel_gate_lr
            elif "spatial_attention" in name:
                lr = recipe.spatial_gate_lr
            elif name.split(".")[0] in pretrained:
                lr = recipe.pretrained_lr
            else:
                lr = recipe.lr
            decay = recipe.weight_decay if p.ndim > 1 else 0.0
            groups.setdefault((lr, decay), []).append(p)
    return [
        {"params": ps, "lr": lr, "initial_lr": lr, "weight_decay": decay}
        for (lr, decay), ps in groups.items()
    ]


def make_optimizer(model: nn.Module, recipe: Recipe, pretrained: set[str]) -> Optimizer:
    """The recipe's optimizer over all of the model's parameters."""
    groups = parameter_groups(model, recipe, pretrained)
    if recipe.optimizer == "sgd":
        return SGD(groups, momentum=0.9, nesterov=True)
    return AdamW(groups, fused=True)


def learning_rate_scale(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def phase_rate(recipe: Recipe, step: int, per_epoch: int) -> float:
    """What the phase of a step multiplies the learning rates with: its rate, once it is warm."""
    phase, *later = recipe.phases
    first = 0  # step of the phase
    for after in later:
        if step < first + phase.epochs * per_epoch:
            break
        first, phase = first + phase.epochs * per_epoch, after
    warmup = phase.warmup_epochs * per_epoch
    return phase.rate * min(1.0, (step - first + 1) / max(1.0, warmup))


def batch_shape(recipe: Recipe, step: int, per_epoch: int) -> tuple[int, int]:
    """Height and width of a step's batch in px; the same whenever and wherever it is asked."""
    least, greatest = recipe.phase(step // per_epoch).sides
    draw = random.Random(recipe.seed * 1_000_003 + step)
    return draw.randrange(least, greatest + 1, 16), draw.randrange(least, greatest + 1, 16)


def learns(name: str, is_norm: bool, words: Sequence[str], pretrained: set[str]) -> bool:
    """Whether a parameter learns in a phase.

    Args:
        name: of the parameter, under torchvision's names.
        is_norm: whether it is a batch norm's.
        words: the phase's `learns`.
        pretrained: top-level modules that started from pretrained weights.
    """
    top = name.split(".")[0]
    is_gate = "_attention." in name
    return (
        "all" in words
        or top in words
        or ("fresh" in words and top not in pretrained)
        or ("gates" in words and is_gate)
        or ("norms" in words and is_norm and not is_gate)
    )


def check_phases(model: nn.Module, phases: Sequence[Phase], pretrained: set[str]) -> None:
    """See to it that something learns in each phase.

    Raises:
        ValueError: nothing does in one of them.
    """
    parameters = [
        (name, isinstance(module, _BatchNorm))
        for prefix, module in model.named_modules()
        for name, _ in module.named_parameters(prefix, recurse=False)
    ]
    for i, phase in enumerate(phases, 1):
        if not any(learns(name, norm, phase.learns, pretrained) for name, norm in parameters):
            raise ValueError(
                f"nothing learns in phase {i} of the recipe, whose learns is "
                f"{', '.join(phase.learns)}: pretrained, so not fresh, are "
                f"{', '.join(sorted(pretrained)) or 'no parts'} of this network. Leave the phase "
                "out, or name other parts"
            )


def begin_phase(model: nn.Module, phase: Phase, pretrained: set[str], still: bool = False) -> None:
    """Let learn what a phase lets learn; what does not learn does not measure either.

    Args:
        model: is put into training mode, but for the batch norms that stand still.
        phase: says what learns.
        pretrained: top-level modules that started from pretrained weights.
        still: whether no batch norm measures.
    """
    model.train()
    for prefix, module in model.named_modules():
        is_norm = isinstance(module, _BatchNorm)
        for name, p in module.named_parameters(prefix, recurse=False):
            p.requires_grad_(learns(name, is_norm, phase.learns, pretrained))
        if is_norm:
            module.train(module.weight.requires_grad and not still)
