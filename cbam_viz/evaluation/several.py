"""What one photo shows, over several: so that one photo is not taken for all."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..explain.class_maps import class_map
from ..explain.explainer import Explainer
from ..explain.explanation import Explanation
from ..explain.photo import Photo
from ..explain.photo_errors import PhotoSource
from .deletion import Curves, deletion_curves
from .randomised import Randomised, randomise

#: Fewer steps and draws than for one photo: the mean over the photos makes up for them.
STEPS, DRAWS = 8, 2


@dataclass(frozen=True, eq=False)
class Tested:
    """One photo put to both tests.

    Attributes:
        randomised: the maps while weights are drawn anew.
        curves: of "gate", the block's spatial gate, "class map", the method's map of the predicted
            class, and the rivals of `deletion_curves`.
    """

    randomised: Randomised
    curves: Curves


@dataclass(frozen=True)
class Mean:
    """A mean over photos, and its standard error; what differs by less than two of these may not
    differ at all."""

    mean: float
    standard_error: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Mean":
        values = np.fromiter(values, np.float64)
        return cls(float(values.mean()), float(values.std() / math.sqrt(len(values))))


@dataclass(frozen=True)
class Several:
    """Means over several photos.

    Attributes:
        photos: how many.
        survival: by kind of map, "gates" and "grad_cams" of the block: the rank correlation after
            each of `randomised.STAGES`. Maps of one value, which have no order, count as 0.
        deletion, insertion: the areas, by the name of the order.
        better: by the name of the order, on how many photos it was a better order of deletion,
            with a smaller area, than the random one.
    """

    photos: int
    survival: dict[str, list[Mean]]
    strength: dict[str, list[Mean]]
    deletion: dict[str, Mean]
    insertion: dict[str, Mean]
    better: dict[str, int]

    @classmethod
    def of(cls, tested: list[Tested], block: str) -> "Several":
        """The means of what `put_to_test` gave of each photo; at least one."""
        survival, strength = {}, {}
        for kind in ("gates", "grad_cams"):
            rows = np.array([t.randomised.correlations(block, kind) for t in tested], np.float64)
            rows = np.nan_to_num(rows).T  # None became NaN
            survival[kind] = [Mean.of(row) for row in rows]
            strength[kind] = [Mean.of(np.abs(row)) for row in rows]
        deletion, insertion, better = {}, {}, {}
        for name in tested[0].curves.orders:
            curves = [t.curves.orders[name] for t in tested]
            chance = [t.curves.orders["random"].deletion_area for t in tested]
            deletion[name] = Mean.of(c.deletion_area for c in curves)
            insertion[name] = Mean.of(c.insertion_area for c in curves)
            better[name] = sum(c.deletion_area < r for c, r in zip(curves, chance, strict=True))
        return cls(len(tested), survival, strength, deletion, insertion, better)


def put_to_test(
    explainer: Explainer,
    photo: PhotoSource | Photo | Explanation,
    block: str,
    method: str = "grad-cam",
) -> Tested:
    """Randomised weights, and insertion and deletion, of one photo: about 90 passes.

    Args:
        explainer: with the model.
        photo: as for `Explainer.input`.
        block: whose spatial gate, and on whose cells Grad-CAM, is tested.
        method: of the class map beside the gate, on the last block, where such maps are usual.

    Raises:
        PhotoError: not a photo that can be read.
        ValueError: there is no such block or method.
    """
    explanation = photo if isinstance(photo, Explanation) else explainer.explain(photo)
    gate = explanation.block(block)
    found = class_map(explainer, explanation, method=method)
    maps = {"gate": (gate.spatial, gate.stride), "class map": (found.values, found.stride)}
    return Tested(
        randomise(explainer, explanation),
        deletion_curves(explainer, explanation, maps, steps=STEPS, draws=DRAWS),
    )


def over_photos(
    explainer: Explainer,
    photos: Iterable[PhotoSource | Photo | Explanation],
    block: str,
    method: str = "grad-cam",
) -> Several:
    """The means of `put_to_test` over some photos.

    Raises:
        PhotoError, ValueError: as from `put_to_test`; or there are no photos.
    """
    tested = [put_to_test(explainer, photo, block, method) for photo in photos]
    if not tested:
        raise ValueError("no photos; give at least one")
    return Several.of(tested, block)
