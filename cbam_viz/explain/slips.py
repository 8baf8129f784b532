"""Six slips of re-implementations of the module, each as code that runs, on one photo.

They are told in words of our own; each was met in public code. What is shown to a reader is the
source of the function that computes the faulty gate.
"""

import copy
import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..models.attention import ChannelAttention, SpatialAttention
from ..models.untrained import draw
from .anatomy import Anatomy
from .explainer import Explainer
from .explanation import Explanation

# What is printed of a gate, as it is written and as it is computed.
Measure = tuple[str, Callable[[nn.Module, Tensor], tuple[float, ...]]]
ENDS: Measure = ("gate.min(), gate.max()", lambda _, g: (g.min().item(), g.max().item()))
SHAPE: Measure = ("gate.shape", lambda _, g: tuple(g.shape))
WEIGHTS: Measure = (
    "sum(p.numel() for p in self.parameters())",
    lambda module, _: (sum(p.numel() for p in module.parameters()),),
)


def no_sigmoid(self: SpatialAttention, x: Tensor) -> Tensor:
    maximum = x.amax(1, keepdim=True)
    mean = x.mean(1, keepdim=True)
    summary = torch.cat([maximum, mean], 1)
    return self.norm(self.conv(summary))


def two_perceptrons(self, x: Tensor) -> Tensor:
    average = self.mlp_of_average(x.mean((2, 3)))
    maximum = self.mlp_of_maximum(x.amax((2, 3)))
    logits = average + maximum
    return logits.sigmoid()[:, :, None, None]


def average_twice(self: ChannelAttention, x: Tensor) -> Tensor:
    average = self.mlp(x.mean((2, 3)))
    maximum = self.mlp(x.mean((2, 3)))
    logits = average + maximum
    return logits.sigmoid()[:, :, None, None]


def sigmoid_twice(self: SpatialAttention, x: Tensor) -> Tensor:
    summary = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
    logits = self.norm(self.conv(summary))
    gate = logits.sigmoid()
    return torch.sigmoid(gate)


def window_of_one(self: ChannelAttention, x: Tensor) -> Tensor:
    average = functional.avg_pool2d(x, 1).movedim(1, 3)
    maximum = functional.max_pool2d(x, 1).movedim(1, 3)
    logits = self.mlp(average) + self.mlp(maximum)
    return logits.sigmoid().movedim(3, 1)


def random_gates(self: SpatialAttention, weights: dict[str, Tensor]) -> SpatialAttention:
    self.load_state_dict(weights, strict=False)
    self.eval()
    return self


class _TwoPerceptrons(nn.Module):
    """The trained perceptron for the averages; for the maxima another one, which has no weights
    to load and stays as it was drawn."""

    def __init__(self, module: ChannelAttention):
        super().__init__()
        self.mlp_of_average = nn.Sequential(module.fc1, nn.ReLU(), module.fc2)
        self.mlp_of_maximum = copy.deepcopy(self.mlp_of_average)
        _draw(self.mlp_of_maximum)


def _draw(module: nn.Module) -> None:
    """Weights as they are before any training, the same ones each time, whoever else draws."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            draw(part, generator)
        elif isinstance(part, nn.BatchNorm2d):
            part.reset_parameters()


def _drawn(module: SpatialAttention) -> SpatialAttention:
    """The module of a network that a plain ResNet's weights were loaded into."""
    fresh = copy.deepcopy(module)
    _draw(fresh)
    return random_gates(fresh, {})  # a plain ResNet has no weights for it, and nobody is told


@dataclass(frozen=True)
class Slip:
    """One slip.

    Attributes:
        kind: "channel" or "spatial", whose gate it is.
        source: the function whose source is shown.
        lines: which lines of its body are the slip, counted from 0.
        mended: what stands in their place in the right form.
        measure: what tells the right gate from the faulty one.
        gate: from module and features, [N, C, H, W], to the faulty gate; the source if it is that.
        made: from the network's own module to the one that the slip has.
    """

    kind: str
    source: Callable
    lines: tuple[int, ...]
    mended: tuple[str, ...]
    measure: Measure
    gate: Callable[..., Tensor]
    made: Callable[..., nn.Module] = lambda module: module

    @property
    def code(self) -> list[str]:
        """The lines of the faulty form: its head without types, then its body."""
        head, *body = textwrap.dedent(inspect.getsource(self.source)).rstrip().split("\n")
        arguments = ", ".join(inspect.signature(self.source).parameters)
        name = "forward" if arguments == "self, x" else "load"
        return [f"def {name}({arguments}):", *(re.sub(r"\bfunctional\.", "F.", b) for b in body)]


#: The slips by name, in the order in which they are told.
SLIPS = {
    "no-sigmoid": Slip(
        "spatial",
        no_sigmoid,
        (3,),
        ("    return self.norm(self.conv(summary)).sigmoid()",),
        ENDS,
        no_sigmoid,
    ),
    "two-perceptrons": Slip(
        "channel",
        two_perceptrons,
        (0, 1),
        ("    average = self.mlp(x.mean((2, 3)))", "    maximum = self.mlp(x.amax((2, 3)))"),
        WEIGHTS,
        two_perceptrons,
        _TwoPerceptrons,
    ),
    "average-twice": Slip(
        "channel",
        average_twice,
        (1,),
        ("    maximum = self.mlp(x.amax((2, 3)))",),
        ENDS,
        average_twice,
    ),
    "sigmoid-twice": Slip(
        "spatial", sigmoid_twice, (3,), ("    return gate",), ENDS, sigmoid_twice
    ),
    "window-of-one": Slip(
        "channel",
        window_of_one,
        (0, 1),
        (
            "    average = F.adaptive_avg_pool2d(x, 1).movedim(1, 3)",
            "    maximum = F.adaptive_max_pool2d(x, 1).movedim(1, 3)",
        ),
        SHAPE,
        window_of_one,
    ),
    "random-gates": Slip(
        "spatial",
        random_gates,
        (0,),
        ("    self.load_state_dict(weights)",),
        ENDS,
        SpatialAttention.forward,
        _drawn,
    ),
}


@dataclass(frozen=True, eq=False)
class Slipped:
    """One gate as its module computes it and as a slip does, of the same features.

    Attributes:
        slip: which.
        right, wrong: float32, [C] or [rows, columns]; [C, rows, columns] where the slip makes that
            of a channel gate. The wrong values are not bound to (0, 1).
        right_measure, wrong_measure: what the slip's measure prints of both.
    """

    slip: Slip
    right: np.ndarray = field(repr=False)
    wrong: np.ndarray = field(repr=False)
    right_measure: tuple[float, ...]
    wrong_measure: tuple[float, ...]


def slip_up(explainer: Explainer, anatomy: Anatomy, name: str) -> Slipped:
    """Make one slip in one block, with the weights of a network that was trained without it.

    Args:
        explainer: with the model.
        anatomy: of one of its blocks on a photo; its features are what the gates are made of.
        name: of `SLIPS`.

    Raises:
        ValueError: there is no such slip.
    """
    slip = _slip(name)
    channel = slip.kind == "channel"
    seen = anatomy.features if channel else anatomy.channel_refined
    module = getattr(explainer.model.blocks()[anatomy.name], f"{slip.kind}_attention")
    x = torch.from_numpy(np.array(seen))[None]
    faulty = slip.made(module)
    with torch.inference_mode():
        right, wrong = module(x), slip.gate(faulty, x)
    show = slip.measure[1]
    return Slipped(
        slip,
        _array(right, channel),
        _array(wrong, channel),
        show(module, right),
        show(faulty, wrong),
    )


def with_slip(explainer: Explainer, explanation: Explanation, name: str) -> Explanation:
    """A photo explained with one slip in every block. The model runs once.

    Args:
        explainer: with the model.
        explanation: of this explainer's; gives the photo.
        name: of `SLIPS`.

    Raises:
        ValueError: there is no such slip, or the explanation is of another model.
    """
    slip = _slip(name)
    return explainer.look(explainer.input(explanation), hooks=_hooks(explainer, slip))


def _slip(name: str) -> Slip:
    if name not in SLIPS:
        raise ValueError(f"no slip {name!r}; there are: {', '.join(SLIPS)}")
    return SLIPS[name]


def _array(gate: Tensor, channel: bool) -> np.ndarray:
    if not channel:
        return gate[0, 0].numpy()
    return gate[0, :, 0, 0].numpy() if gate.shape[2:] == (1, 1) else gate[0].numpy()


def _hooks(explainer: Explainer, slip: Slip) -> list:
    """The slip in every block: a gate is what its module returns."""

    def returns(faulty: nn.Module) -> Callable:
        def hook(module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
            return slip.gate(faulty, args[0])

        return hook

    kind = f"{slip.kind}_attention"
    loaded = explainer.model.blocks()
    return [
        (getattr(block, kind).register_forward_hook, returns(slip.made(getattr(loaded[key], kind))))
        for key, block in explainer.serving.blocks().items()
    ]
