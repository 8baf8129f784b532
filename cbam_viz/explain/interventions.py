"""What if a gate were another one: gates set by hand, and what that changes.

A gate is what its module returns (see `models.attention`), so a forward hook that returns
something else *is* another gate: the block multiplies with it, all later blocks see what came of
it, and what is recorded is what was used. The hooks are of one thread's pass, see `recorder`.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ..models.resnet import ResNetCBAM
from .explanation import BlockAttention, Explanation, Prediction
from .photo import Photo
from .photo_errors import PhotoSource
from .recorder import hooked
from .view import ModelInput, View

if TYPE_CHECKING:
    from .explainer import Explainer

#: What a gate can be set to: a word of `WORDS`; a number that scales it; another photo's
#: explanation, whose gate of the same name is taken; or an array, see `gate_hooks`.
Setting = str | float | Explanation | ArrayLike
Hook = tuple[Callable, Callable]

KINDS = ("channel", "spatial")


def _shuffled(gate: Tensor) -> Tensor:
    """The same values in another order, which is the same each time."""
    order = torch.randperm(gate[0].numel(), generator=torch.Generator().manual_seed(0))
    return gate.flatten(1)[:, order].reshape(gate.shape)


def _mean(gate: Tensor) -> Tensor:
    return gate.mean((1, 2, 3), keepdim=True).expand_as(gate)


#: What can be done to a gate [N, C, 1, 1] or [N, 1, H, W] by a word.
WORDS: dict[str, Callable[[Tensor], Tensor]] = {
    "open": torch.ones_like,
    "shut": torch.zeros_like,
    "half": lambda gate: torch.full_like(gate, 0.5),
    "mean": _mean,
    "shuffled": _shuffled,
    "inverted": lambda gate: 1 - gate,
}


def gate_names(model: ResNetCBAM) -> list[str]:
    """Every gate of a network by its name, "layer3.1.spatial", from input to output."""
    return [f"{block}.{kind}" for block in model.blocks() for kind in KINDS]


def gate_hooks(model: ResNetCBAM, gates: Mapping[str, Setting], view: View) -> list[Hook]:
    """The hooks for `recorder.hooked` that set gates during a pass over one photo.

    Args:
        model: that will run.
        gates: by name ("layer3.1.spatial", "layer4.0.channel"), what each is set to:

            - a word: "open" (1), "shut" (0), "half" (0.5), "mean" (of its own values), "shuffled"
              (its own values, in an order drawn once and for all), "inverted" (1 - gate);
            - a number, 0 or above: the gate times it, at most 1;
            - an explanation of another photo by this model: its gate of the same name; a map of
              another size is stretched over this one's cells;
            - an array of values in 0..1: [C] for a channel gate; for a spatial one [rows, columns]
              of its cells, or [photo height, photo width], painted on the photo: each cell takes
              the mean of what lies nearest to it.
        view: of the photo.

    Raises:
        ValueError: there is no such gate or word, or a setting is not as above; says what came
            and what was expected.
    """
    if not isinstance(gates, Mapping):
        raise ValueError(
            f"gates must map gates' names to settings, as in {{'layer4.1.spatial': 'open'}}, "
            f"not {_said(gates)}"
        )
    known, blocks, strides = gate_names(model), model.blocks(), model.strides()
    hooks = []
    for name, setting in gates.items():
        if name not in known:
            raise ValueError(f"no gate {_said(name)}; this model has: {', '.join(known)}")
        block, _, kind = name.rpartition(".")
        module = getattr(blocks[block], f"{kind}_attention")
        shape = (module.fc2.out_features,) if kind == "channel" else view.cells(strides[block])
        change = _change(name, setting, shape, strides[block], view)
        hooks.append((module.register_forward_hook, _returns(change)))
    return hooks


def _returns(change: Callable[[Tensor], Tensor]) -> Callable:
    def hook(module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
        return change(output)

    return hook


def _change(
    name: str, setting: Setting, shape: tuple[int, ...], stride: int, view: View
) -> Callable[[Tensor], Tensor]:
    """From the gate that the network computed to the one that it is given."""
    if isinstance(setting, str):
        if setting not in WORDS:
            raise ValueError(
                f"gate {name} cannot be set to {_said(setting)}; the words are: {', '.join(WORDS)}"
            )
        return WORDS[setting]
    if isinstance(setting, int | float) and not isinstance(setting, bool):
        if not (math.isfinite(setting) and setting >= 0):
            raise ValueError(f"gate {name} is scaled by 0 or more, not by {setting}")
        return lambda gate: (gate * setting).clamp(max=1)
    if isinstance(setting, Explanation):
        block, _, kind = name.rpartition(".")
        values = getattr(setting.block(block), kind)
        if kind == "spatial" and values.shape != shape:
            values = _stretched(values, shape)
    else:
        values = _values(name, setting)
        if len(shape) == 2 and values.shape == view.photo_size[::-1] != shape:
            values = view.to_cells(values, stride)
    if values.shape != shape:
        expected = f"{list(shape)}, one for each {'channel' if len(shape) == 1 else 'cell'}"
        if len(shape) == 2:
            expected += f", or {list(view.photo_size[::-1])}, one for each px of this photo"
        raise ValueError(f"gate {name}: got values [{_sizes(values)}]; expected are {expected}")
    # A copy: what was given may change, and may not be writable.
    tensor = torch.from_numpy(np.array(values, np.float32))
    tensor = tensor[None, :, None, None] if tensor.ndim == 1 else tensor[None, None]
    return lambda gate: tensor.expand_as(gate)


def _values(name: str, setting: object) -> np.ndarray:
    """An array of numbers in 0..1."""
    words = f"a word ({', '.join(WORDS)}), a number, an Explanation or an array of numbers in 0..1"
    try:
        values = np.asarray(setting)
        if values.dtype.kind not in "fiu":
            raise ValueError
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"gate {name} cannot be set to {_said(setting)}; expected is {words}"
        ) from error
    if values.size and not (values.min() >= 0 and values.max() <= 1):  # NaN is neither
        odd = values[~((values >= 0) & (values <= 1))]
        raise ValueError(
            f"gate {name}: a gate's values lie in 0..1, and {odd.size} of the {values.size} given "
            f"do not: {odd[0]}, for one"
        )
    return values


def _stretched(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A map over another number of cells, first cell on first and last on last."""
    tensor = torch.from_numpy(np.array(values))[None, None]
    return nn.functional.interpolate(tensor, shape, mode="bilinear", align_corners=True)[
        0, 0
    ].numpy()


def _sizes(values: np.ndarray) -> str:
    return ", ".join(map(str, values.shape))


def _said(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True)
class ClassChange:
    """One class before and after. Probabilities are of the model's activation, in 0..1."""

    label: str
    index: int
    probability_before: float
    probability_after: float
    logit_before: float
    logit_after: float
    label_zh: str | None = None


@dataclass(frozen=True)
class BlockChange:
    """How far both gates of one block are from what they were.

    Attributes:
        name: of the block.
        spatial, channel: mean absolute difference of the gates, in 0..1.
        spatial_correlation: Pearson's, of the maps' cells; None where one of them is constant.
    """

    name: str
    spatial: float
    channel: float
    spatial_correlation: float | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two explanations of one photo by one network, before a change and after it."""

    before: Explanation
    after: Explanation = field(repr=False)

    @cached_property
    def classes(self) -> tuple[ClassChange, ...]:
        """The most likely classes of either, as many of each as there are after; before's first."""
        after = self.after.predictions
        named = {p.index: p for p in (*self.before.predictions[: len(after)], *after)}
        return tuple(self.change_of(p) for p in named.values())

    def change_of(self, prediction: Prediction) -> ClassChange:
        """What became of one class."""
        i, before, after = prediction.index, self.before, self.after
        return ClassChange(
            prediction.label,
            i,
            *(float(e.probabilities[i]) for e in (before, after)),
            *(float(e.logits[i]) for e in (before, after)),
            prediction.label_zh,
        )

    @cached_property
    def blocks(self) -> tuple[BlockChange, ...]:
        """Every block, from input to output."""
        pairs = zip(self.before.blocks, self.after.blocks, strict=True)
        return tuple(_block_change(a, b) for a, b in pairs)

    def to_dict(self) -> dict:
        """Plain values, floats to four decimals: what the command line and the HTTP API answer."""
        return {
            "model": self.before.model.name,
            "activation": self.before.model.activation,
            "classes": [
                {
                    "label": c.label,
                    "index": c.index,
                    "probability": _pair(c.probability_before, c.probability_after),
                    "logit": _pair(c.logit_before, c.logit_after),
                }
                for c in self.classes
            ],
            "blocks": [
                {
                    "name": b.name,
                    "spatial": round(b.spatial, 4),
                    "channel": round(b.channel, 4),
                    "spatial_correlation": b.spatial_correlation
                    and round(b.spatial_correlation, 4),
                }
                for b in self.blocks
            ],
        }


def _pair(before: float, after: float) -> dict:
    return {"before": round(before, 4), "after": round(after, 4)}


def _block_change(a: BlockAttention, b: BlockAttention) -> BlockChange:
    return BlockChange(
        a.name,
        float(np.abs(a.spatial - b.spatial).mean()),
        float(np.abs(a.channel - b.channel).mean()),
        correlation(a.spatial, b.spatial),
    )


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's, of two maps' values; None where one of them is constant up to rounding."""
    if len(a) == 0 or min(np.ptp(a), np.ptp(b)) < 1e-5:
        return None
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def what_if(
    explainer: "Explainer",
    photo: PhotoSource | Photo | Explanation,
    gates: Mapping[str, Setting],
    top_k: int = 5,
) -> Comparison:
    """A photo explained as it is, and with some gates set by hand.

    Args:
        explainer: with the model.
        photo: as for `Explainer.explain`; or an explanation of this explainer's, which then is
            what was before.
        gates: as for `gate_hooks`.
        top_k: number of predictions after, and before if there is no explanation yet.

    Raises:
        PhotoError: not a photo that can be read.
        ValueError: as from `gate_hooks`, or the explanation is of another model.
    """
    before, given = explained_input(explainer, photo, top_k)
    hooks = gate_hooks(explainer.serving, gates, given.view)
    return Comparison(before, explainer.look(given, top_k, hooks))


def explained_input(
    explainer: "Explainer", photo: PhotoSource | Photo | Explanation, top_k: int = 5
) -> tuple[Explanation, ModelInput]:
    """An explanation, made if it is not there yet, and the input that it is of.

    Raises:
        PhotoError: not a photo that can be read.
        ValueError: the explanation is of another model.
    """
    given = explainer.input(photo)
    return photo if isinstance(photo, Explanation) else explainer.look(given, top_k), given


@dataclass(frozen=True)
class GateEffect:
    """What setting one gate to its mean does to a class's logit.

    Attributes:
        name: of the gate, "layer3.1.spatial".
        mean: what it was set to.
        change: of the logit, after minus before: below 0 where the gate spoke for the class.
    """

    name: str
    mean: float
    change: float


def gate_effects(
    explainer: "Explainer",
    photo: PhotoSource | Photo | Explanation,
    index: int | None = None,
) -> Iterator[GateEffect]:
    """Which gate matters: each set to its own mean alone, from input to output.

    A gate at its mean weakens as much as before on the whole, and tells nothing apart: the change
    is what its choosing does. What lies before the touched gate is computed once for all, so that
    all gates together take about half as long as a full pass for each would. There are two for each
    block, as in `gate_names`; ask for as many as you like, and stop asking to stop.

    Args:
        explainer: with the model.
        photo: as for `what_if`.
        index: of the class; the predicted one if None.

    Raises:
        PhotoError: not a photo that can be read.
        ValueError: there is no such class, or the explanation is of another model.
    """
    before, given = explained_input(explainer, photo)
    classes = len(before.logits)
    index = before.predictions[0].index if index is None else index
    if not 0 <= index < classes:
        raise ValueError(f"no class {index}; this model has 0 to {classes - 1}")
    return _effects(explainer.serving, given.tensor, index, float(before.logits[index]))


def what_if_told(
    explainer: "Explainer",
    photo: PhotoSource | Photo | Explanation,
    gates: Mapping[str, Setting] | None = None,
    top_k: int = 5,
) -> dict:
    """What the command line, the HTTP API and MCP answer.

    Args:
        explainer, photo, top_k: as for `what_if`.
        gates: likewise; without any, which gate matters is told.

    Returns:
        Plain values, floats to four decimals: `Comparison.to_dict`; or the model, the predicted
        class's label, index and logit, and effects, of each gate its name, the mean it was set to,
        and the change of the logit, from input to output.

    Raises:
        PhotoError, ValueError: as from `what_if`.
    """
    if gates not in (None, {}):  # what else is empty is refused
        return what_if(explainer, photo, gates, top_k).to_dict()
    before, _ = explained_input(explainer, photo, top_k)
    first = before.predictions[0]
    return {
        "model": before.model.name,
        "label": first.label,
        "index": first.index,
        "logit": round(float(before.logits[first.index]), 4),
        "effects": [
            {"gate": e.name, "mean": round(e.mean, 4), "change": round(e.change, 4)}
            for e in gate_effects(explainer, before)
        ],
    }


def _effects(model: ResNetCBAM, x: Tensor, index: int, logit: float) -> Iterator[GateEffect]:
    # Whoever asks for the next one may be another thread, and another mode may hold there: nothing
    # is hung or switched while nobody computes.
    blocks = list(model.residual_blocks().items())
    with torch.inference_mode():
        x = model.stem(x)
    for i, (name, block) in enumerate(blocks):
        with torch.inference_mode():
            branch, shortcut = block.branches(x)
        if block.channel_attention is not None:
            for kind in KINDS:
                module = getattr(block, f"{kind}_attention")
                means: list[float] = []

                def flat(gate: Tensor, means: list[float] = means) -> Tensor:
                    means.append(float(gate.mean()))
                    return _mean(gate)

                hook = module.register_forward_hook, _returns(flat)
                with torch.inference_mode(), hooked(hook):
                    y = block.joined(branch, shortcut)
                    for _, later in blocks[i + 1 :]:
                        y = later(y)
                    after = float(model.head(y)[0, index])
                yield GateEffect(f"{name}.{kind}", means[0], after - logit)
        with torch.inference_mode():
            x = block.joined(branch, shortcut)
