"""Does a map say what the prediction rests on: the photo taken away, and given back, in its order.

Petsiuk, Das, Saenko: "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC
2018, https://arxiv.org/abs/1806.07421, section 4.2. Whole patches go, and not single pixels, so
that a random order is a fair rival: single pixels taken at random all over the photo leave noise,
which a network minds more than a hole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..explain.class_maps import class_index
from ..explain.explainer import Explainer
from ..explain.explanation import Explanation
from ..explain.photo import Photo, PhotoSource
from ..explain.view import View
from .attention import centre_prior

#: Side of a patch, in input px.
PATCH = 16
#: Inputs in one pass.
AT_ONCE = 16
#: Steps from the whole photo to nothing, and random orders whose mean stands for chance.
STEPS, DRAWS = 14, 3
#: The orders that every map is held against.
RIVALS = ("centre", "random")


@dataclass(frozen=True)
class Curve:
    """A class's probability while patches go, or come, in one order.

    Attributes:
        deletion: after 0, 1, ... steps, each taking as many patches, the first of the order
            first; from the whole photo to none of it.
        insertion: likewise giving them, from none of the photo to all of it.
    """

    deletion: tuple[float, ...]
    insertion: tuple[float, ...]

    @property
    def deletion_area(self) -> float:
        """Area under the curve over the share taken, in 0..1: low for an order that finds what
        the prediction rests on."""
        return _area(self.deletion)

    @property
    def insertion_area(self) -> float:
        """Likewise over the share given: high for such an order."""
        return _area(self.insertion)


def _area(curve: Sequence[float]) -> float:
    return float(np.trapezoid(curve, np.linspace(0, 1, len(curve))))


@dataclass(frozen=True)
class Curves:
    """The curves of some maps on one photo.

    Attributes:
        index, label: of the class whose probability it is.
        orders: by the maps' names; then "centre", the patches nearest the middle first, and
            "random", the mean of several draws.
    """

    index: int
    label: str
    orders: dict[str, Curve]


def passes(maps: int, steps: int = STEPS, draws: int = DRAWS) -> int:
    """How many inputs `deletion_curves` sends through the network: its cost, known before."""
    return 2 + 2 * (maps + 1 + draws) * (steps - 1)


def deletion_curves(
    explainer: Explainer,
    photo: PhotoSource | Photo | Explanation,
    maps: Mapping[str, tuple[np.ndarray, int]],
    target: int | str | None = None,
    steps: int = STEPS,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Curves:
    """Take the photo away and give it back in the order of each of some maps.

    What is taken is of the mean colour of the photos that the model was trained on. May be called
    from many threads at once.

    Args:
        explainer: with the model.
        photo: as for `Explainer.input`.
        maps: by any name, values [rows, columns] and their stride in input px: a block's
            ``spatial`` and ``stride``, a class map's ``values`` and ``stride``.
        target: the class, as for `class_index`; the predicted one if None.
        steps: from all to nothing, at least 1.
        draws: random orders, at least 1.
        seed: of their draw.
        progress: told after each pass how many inputs went through; what it raises ends the work.

    Raises:
        PhotoError: not a photo that can be read.
        ValueError: there is no such class, a map is not finite or is called as a rival is, or
            there are no steps or draws.
    """
    if steps < 1 or draws < 1:
        raise ValueError(f"steps and draws must be at least 1, not {steps} and {draws}")
    if taken := maps.keys() & set(RIVALS):
        raise ValueError(f"a map must not be called {taken.pop()!r}: a rival is")
    index = None if target is None else class_index(explainer, target)
    seen = explainer.input(photo)
    ranks = {name: _ranks(name, cells, stride, seen.view) for name, (cells, stride) in maps.items()}
    ranks["centre"] = _order(_patches(centre_prior(*seen.view.size)))
    chance = np.random.default_rng(seed)
    shape = ranks["centre"].shape
    drawn = [chance.permutation(ranks["centre"].size).reshape(shape) for _ in range(draws)]
    orders = [*ranks.values(), *drawn]

    # Both ends are the same for all.
    counts = np.linspace(0, ranks["centre"].size, steps + 1).round()
    kept = [np.ones(shape, bool), np.zeros(shape, bool)]
    for order in orders:
        kept += [order >= count for count in counts[1:-1]]
        kept += [order < count for count in counts[1:-1]]
    probabilities = []
    for first in range(0, len(kept), AT_ONCE):
        chunk = np.stack(kept[first : first + AT_ONCE])
        probabilities.append(_probabilities(explainer, seen.tensor, chunk))
        if progress:
            progress(min(first + AT_ONCE, len(kept)))
    found = torch.cat(probabilities)
    index = int(found[0].argmax()) if index is None else index
    values = found[:, index].numpy().astype(np.float64)
    whole, none = values[:2]
    inner = values[2:].reshape(len(orders), 2, steps - 1)
    ends = np.broadcast_to([[whole, none], [none, whole]], (len(orders), 2, 2))
    curves = np.concatenate([ends[..., :1], inner, ends[..., 1:]], 2)
    of = {name: curves[i] for i, name in enumerate(ranks)} | {"random": curves[-draws:].mean(0)}
    return Curves(
        index,
        explainer.classes[index],
        {n: Curve(tuple(map(float, d)), tuple(map(float, i))) for n, (d, i) in of.items()},
    )


def _ranks(name: str, cells: np.ndarray, stride: int, view: View) -> np.ndarray:
    """Each patch's place in the order of a map, the highest first."""
    if not np.isfinite(cells).all():
        raise ValueError(f"the map {name!r} is not finite")
    width, height = view.size
    on_input = View(view.size, view.size, (0, 0), view.size).on_photo(cells, stride)
    return _order(_patches(on_input))


def _patches(values: np.ndarray) -> np.ndarray:
    """Mean over each patch of a map on the input; those at the far edges may be smaller."""
    starts = [np.arange(0, side, PATCH) for side in values.shape]
    sums = np.add.reduceat(np.add.reduceat(values, starts[0], 0), starts[1], 1)
    sides = [np.diff([*start, side]) for start, side in zip(starts, values.shape, strict=True)]
    return sums / np.outer(*sides)


def _order(values: np.ndarray) -> np.ndarray:
    ranks = np.empty(values.size, np.int64)
    ranks[np.argsort(-values, axis=None, kind="stable")] = np.arange(values.size)
    return ranks.reshape(values.shape)


def _probabilities(explainer: Explainer, tensor: Tensor, kept: np.ndarray) -> Tensor:
    """Of every class, for the input with some of its patches.

    Args:
        tensor: [1, 3, H, W].
        kept: bool [N, patches down, patches across].
    """
    height, width = tensor.shape[2:]
    pixels = kept.repeat(PATCH, 1).repeat(PATCH, 2)[:, None, :height, :width]
    with torch.inference_mode():
        logits = explainer.serving(tensor * torch.from_numpy(pixels))
    return logits.sigmoid() if explainer.facts.activation == "sigmoid" else logits.softmax(1)
