"""How good a map or a probability is, as a number. Plain numpy."""

import numpy as np


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
