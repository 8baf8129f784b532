"""How good a map or a probability is, as a number. Plain numpy."""

from typing import NamedTuple

import numpy as np


class OnObject(NamedTuple):
    """How well one map finds one object.

    Attributes:
        auc: `pixel_auc`, in 0..1; 0.5 is chance.
        pointing: `pointing_game`, in 0..1.
        mass: `mass_on_object`, in 0..1; to be held against the object's share of the area.
    """

    auc: float
    pointing: float
    mass: float

    @classmethod
    def of(cls, attention: np.ndarray, on_object: np.ndarray) -> "OnObject":
        """All three; arguments and errors are theirs."""
        measures = pixel_auc, pointing_game, mass_on_object
        return cls(*(measure(attention, on_object) for measure in measures))


def pixel_auc(attention: np.ndarray, on_object: np.ndarray) -> float:
    """Chance that a pixel of the object gets more attention than one of the background.

    The area under the ROC curve of the attention as a detector of the object's pixels, as the
    rank statistic of Mann and Whitney (1947): over all pairs of an object and a background
    pixel, ties count one half. 0.5 is chance, below it attention avoids the object.

    Args:
        attention: float [H, W].
        on_object: bool [H, W].

    Returns:
        0 to 1; exact.

    Raises:
        ValueError: shapes that differ, attention that is not finite, or no pixel of one kind.
    """
    _check(attention, on_object)
    # Sorting both sides makes the search several times as fast.
    inside, outside = np.sort(attention[on_object]), np.sort(attention[~on_object])
    below = np.searchsorted(outside, inside, "left").sum()
    not_above = np.searchsorted(outside, inside, "right").sum()
    return float(below + not_above) / (2 * len(inside) * len(outside))


def pointing_game(attention: np.ndarray, on_object: np.ndarray) -> float:
    """Whether the maximum of the attention is on the object.

    Zhang et al.: "Top-down Neural Attention by Excitation Backprop", ECCV 2016,
    https://arxiv.org/abs/1608.00507, section 4.1, without its margin of 15 px around the object.

    Args:
        attention: float [H, W].
        on_object: bool [H, W].

    Returns:
        1 or 0; where several pixels share the maximum, the share of them that is on the object.

    Raises:
        ValueError: shapes that differ, attention that is not finite, or no pixel of one kind.
    """
    _check(attention, on_object)
    return float(on_object[attention == attention.max()].mean())


def mass_on_object(attention: np.ndarray, on_object: np.ndarray) -> float:
    """Share of all attention that lies on the object; to be held against its share of the area.

    The "energy-based pointing game" of Wang et al.: "Score-CAM", CVPR Workshops 2020,
    https://arxiv.org/abs/1910.01279. A map of zeros prefers nothing, and gives the object's share
    of the area.

    Args:
        attention: float [H, W], 0 and up.
        on_object: bool [H, W].

    Returns:
        0 to 1.

    Raises:
        ValueError: shapes that differ, attention that is negative or not finite, or no pixel of
            one kind.
    """
    _check(attention, on_object)
    if attention.min() < 0:
        raise ValueError(f"attention must not be negative; its minimum is {attention.min():.4g}")
    total = attention.sum(dtype=np.float64)
    if total == 0:
        return float(on_object.mean())
    return float(attention[on_object].sum(dtype=np.float64) / total)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Whether two maps put the same places first: Spearman's correlation of the values' ranks.

    The correlation of Pearson of the ranks, equal values sharing their mean rank. It does not see
    how far apart values are, so nothing has to be scaled first.

    Args:
        one, other: float of one shape.

    Returns:
        -1 (the order turned round) to 1 (the same order), 0 for orders that have nothing to do
        with each other; None where a map has one value only and so no order.

    Raises:
        ValueError: shapes that differ, or values that are not finite.
    """
    if one.shape != other.shape:
        raise ValueError(f"maps of two shapes, {list(one.shape)} and {list(other.shape)}")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError("maps must be finite; cut off what the model did not see first")
    ranks = np.stack([_ranks(one.ravel()), _ranks(other.ravel())])
    if (np.ptp(ranks, axis=1) == 0).any():
        return None
    return float(np.corrcoef(ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Each value's rank from 1; equal values share their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (count.cumsum() - (count - 1) / 2)[place]


def _check(attention: np.ndarray, on_object: np.ndarray) -> None:
    if attention.shape != on_object.shape or on_object.dtype != bool:
        raise ValueError(
            f"expected are attention and a bool mask of one shape, not {list(attention.shape)} "
            f"and {on_object.dtype} {list(on_object.shape)}"
        )
    if not np.isfinite(attention).all():
        raise ValueError("attention must be finite; cut off what the model did not see first")
    if on_object.all() or not on_object.any():
        raise ValueError("the mask must have pixels on the object and pixels beside it")


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: by how much the confidence misses the accuracy.

    Guo, Pleiss, Sun, Weinberger: "On Calibration of Modern Neural Networks", ICML 2017,
    https://arxiv.org/abs/1706.04599, equation 3: |accuracy - mean confidence| of each of the
    bins of equal width ((m - 1) / bins, m / bins], weighted with the photos in it.

    Args:
        confidence: float [N], probability of the predicted class, in 0..1.
        right: bool [N], whether it was the right one.
        bins: number of them.

    Returns:
        0 (perfect) to 1.

    Raises:
        ValueError: no photos, lengths that differ, or confidence outside 0..1.
    """
    confidence = np.asarray(confidence, np.float64)
    right = np.asarray(right, np.float64)
    if confidence.ndim != 1 or confidence.shape != right.shape or not len(right):
        raise ValueError(
            f"expected are two lists of one length, not {list(confidence.shape)} and "
            f"{list(right.shape)}"
        )
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("confidence must be in 0..1")
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    # n_m / N * |acc_m - conf_m| is the bin's summed difference over N.
    gaps = np.bincount(bin_of, right - confidence, bins)
    return float(np.abs(gaps).sum() / len(right))


def unsure_below(confidence: np.ndarray, right: np.ndarray) -> float:
    """The confidence at which right answers fall to half of all: below it a model had better doubt.

    The level that misjudges the fewest answers if those below it are taken for wrong and the
    others for right. Where most answers are right whatever their confidence it is 0.

    Args:
        confidence: float [N], probability of the predicted class, in 0..1.
        right: bool [N], whether it was the right one.

    Returns:
        A level in 0..1, halfway between two confidences that were found.

    Raises:
        ValueError: no photos, or lengths that differ.
    """
    confidence = np.asarray(confidence, np.float64)
    right = np.asarray(right, bool)
    if confidence.ndim != 1 or confidence.shape != right.shape or not len(right):
        raise ValueError(
            f"expected are two lists of one length, not {list(confidence.shape)} and "
            f"{list(right.shape)}"
        )
    rising = np.argsort(confidence, kind="stable")
    values = np.concatenate([[0.0], confidence[rising], [1.0]])
    # By how much the wrong answers outnumber the right ones among the k least confident.
    surplus = np.concatenate([[0], np.cumsum(np.where(right[rising], -1, 1))])
    between = values[1:] > values[:-1]  # equal confidences are not told apart
    between[0] = True
    k = int(np.argmax(np.where(between, surplus, -len(right))))
    return float((values[k] + values[k + 1]) / 2) if k else 0.0


def calibration_error_by_chance(
    confidence: np.ndarray, bins: int = 15, draws: int = 500
) -> tuple[float, float]:
    """What `calibration_error` finds in so many photos if every confidence means what it says.

    The fewer photos, the further the accuracy in a bin strays by chance; an error no greater than
    this tells nothing against a model. Answers are drawn right with their confidence, and judged.

    Args:
        confidence, bins: as for `calibration_error`.
        draws: how often; always the same ones.

    Returns:
        The mean over the draws, and what 95 % of them stay below.

    Raises:
        ValueError: as from `calibration_error`.
    """
    confidence = np.asarray(confidence, np.float64)
    chance = np.random.default_rng(0)
    errors = [
        calibration_error(confidence, chance.random(confidence.shape) < confidence, bins)
        for _ in range(draws)
    ]
    return float(np.mean(errors)), float(np.quantile(errors, 0.95))
