"""What learns, at which rate, and when."""

import math
import random

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from .recipe import Recipe


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


def batch_shape(recipe: Recipe, step: int, per_epoch: int) -> tuple[int, int]:
    """Height and width of a step's batch in px; the same whenever and wherever it is asked."""
    least, greatest = recipe.sides(step // per_epoch)
    draw = random.Random(recipe.seed * 1_000_003 + step)
    return draw.randrange(least, greatest + 1, 16), draw.randrange(least, greatest + 1, 16)


def freeze(model: nn.Module, frozen: set[str]) -> None:
    """Training mode, but for the top-level modules named: they neither learn nor measure."""
    model.train()
    for name, child in model.named_children():
        child.requires_grad_(name not in frozen)
        if name in frozen:
            child.eval()
