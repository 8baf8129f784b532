"""The metrics against their definitions, written out."""

import numpy as np
import pytest

from cbam_viz.evaluation.metrics import (
    OnObject,
    calibration_error,
    calibration_error_by_chance,
    mass_on_object,
    pixel_auc,
    pointing_game,
    rank_correlation,
    unsure_below,
)

ON_MAPS = (pixel_auc, pointing_game, mass_on_object)


def draw_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Attention with many ties and a mask with both kinds of pixel."""
    draw = np.random.default_rng(seed)
    shape = tuple(draw.integers(2, 12, 2))
    attention = (draw.integers(0, draw.integers(1, 30) + 1, shape) / 30).astype(np.float32)
    mask = draw.random(shape) < draw.uniform(0.1, 0.9)
    mask.flat[:2] = True, False
    return attention, mask


@pytest.mark.parametrize("seed", range(50))
def test_auc_is_the_chance_over_all_pairs(seed):
    attention, mask = draw_case(seed)
    inside, outside = attention[mask][:, None], attention[~mask][None]
    expected = (inside > outside).mean() + (inside == outside).mean() / 2
    assert pixel_auc(attention, mask) == pytest.approx(expected, abs=1e-12)


def test_auc_by_hand():
    mask = np.array([[True, True, False, False]])
    assert pixel_auc(np.array([[4.0, 3, 2, 1]]), mask) == 1
    assert pixel_auc(np.array([[1.0, 2, 3, 4]]), mask) == 0
    assert pixel_auc(np.array([[5.0, 5, 5, 5]]), mask) == 0.5
    # Of the four pairs 3-2 and 3-1 are won, 1-1 is a tie, 1-2 is lost.
    assert pixel_auc(np.array([[3.0, 1, 2, 1]]), mask) == 2.5 / 4


def test_auc_knows_ranks_only():
    attention, mask = draw_case(3)
    assert pixel_auc(np.exp(5 * attention) - 7, mask) == pixel_auc(attention, mask)
    assert pixel_auc(-attention, mask) == pytest.approx(1 - pixel_auc(attention, mask))


def test_auc_does_not_overflow_on_large_maps():
    """2000 x 2000 pixels make 4e12 pairs."""
    attention = np.broadcast_to(np.arange(2000, dtype=np.float32), (2000, 2000))
    assert pixel_auc(attention, attention >= 1000) == 1


def test_pointing_by_hand():
    mask = np.array([[True, False], [True, False]])
    assert pointing_game(np.array([[9.0, 1], [2, 3]]), mask) == 1
    assert pointing_game(np.array([[0.0, 1], [2, 3]]), mask) == 0
    assert pointing_game(np.array([[3.0, 1], [2, 3]]), mask) == 0.5
    assert pointing_game(np.array([[3.0, 0], [3, 3]]), mask) == pytest.approx(2 / 3)


def test_mass_by_hand():
    mask = np.array([[True, False, False, False]])
    assert mass_on_object(np.array([[3.0, 1, 1, 1]]), mask) == 0.5
    assert mass_on_object(np.full((1, 4), 0.7), mask) == pytest.approx(0.25)
    assert mass_on_object(np.zeros((1, 4)), mask) == 0.25
    assert mass_on_object(np.array([[0.0, 0, 2, 0]]), mask) == 0


@pytest.mark.parametrize("metric", ON_MAPS)
@pytest.mark.parametrize(
    ("attention", "mask", "words"),
    [
        (np.ones((2, 3)), np.ones((3, 2), bool), "one shape"),
        (np.ones((2, 2)), np.array([[0, 1], [1, 0]]), "bool"),
        (np.ones((2, 2)), np.ones((2, 2), bool), "beside"),
        (np.ones((2, 2)), np.zeros((2, 2), bool), "beside"),
        (np.array([[1, np.nan]]), np.array([[True, False]]), "finite"),
    ],
)
def test_what_cannot_be_measured_is_refused(metric, attention, mask, words):
    with pytest.raises(ValueError, match=words):
        metric(attention, mask)


def test_mass_cannot_be_negative():
    with pytest.raises(ValueError, match="-1"):
        mass_on_object(np.array([[2.0, -1]]), np.array([[True, False]]))


def test_calibration_by_hand():
    assert calibration_error([1, 1, 1, 1], [1, 1, 1, 0]) == 0.25
    assert calibration_error([0, 0], [0, 0]) == 0
    # Two bins: (0, 0.5] holds 0.5 (wrong) and 0.3 (right), (0.5, 1] holds 0.9 (right).
    # 2/3 * |1/2 - 0.4| + 1/3 * |1 - 0.9|
    error = calibration_error([0.5, 0.3, 0.9], [False, True, True], bins=2)
    assert error == pytest.approx(0.1)


@pytest.mark.parametrize("seed", range(20))
def test_calibration_is_its_definition(seed):
    draw = np.random.default_rng(seed)
    confidence = draw.random(300)
    right = draw.random(300) < confidence**2
    expected = 0
    for m in range(15):
        here = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if here.any():
            expected += here.mean() * abs(right[here].mean() - confidence[here].mean())
    assert calibration_error(confidence, right) == pytest.approx(expected)


def test_a_calibration_error_by_chance_is_that_of_the_binomial():
    """Of n answers of one confidence p the accuracy strays by sqrt(2 p (1 - p) / (pi n))."""
    for n, p in ((400, 0.5), (1600, 0.9)):
        usual, most = calibration_error_by_chance(np.full(n, p), draws=4000)
        assert usual == pytest.approx(np.sqrt(2 * p * (1 - p) / np.pi / n), rel=0.05)
        assert most == pytest.approx(1.96 * np.sqrt(p * (1 - p) / n), rel=0.07)  # of both tails 5 %


@pytest.mark.parametrize("level", [0.2, 0.5, 0.8])
def test_the_level_of_doubt_is_where_right_answers_fall_to_half(level):
    draw = np.random.default_rng(1)
    confidence = draw.random(20_000)
    right = draw.random(20_000) < np.clip(0.5 + 2 * (confidence - level), 0, 1)
    assert unsure_below(confidence, right) == pytest.approx(level, abs=0.03)


def test_the_level_of_doubt_of_few_answers():
    assert unsure_below([0.9, 0.2, 0.4, 0.6], [True, False, False, True]) == pytest.approx(0.5)
    assert unsure_below([0.3, 0.6], [True, True]) == 0  # never in doubt
    assert unsure_below([0.3, 0.6], [False, False]) == pytest.approx(0.8)  # always, as far as seen
    # Of one confidence, some are right: it is not cut through.
    assert unsure_below([0.3, 0.3, 0.3], [False, False, True]) == pytest.approx(0.65)
    for wrong in (([], []), ([0.5], [True, False])):
        with pytest.raises(ValueError, match="two lists of one length"):
            unsure_below(*wrong)


def test_certain_answers_do_not_stray():
    assert calibration_error_by_chance(np.array([1.0, 1.0, 0.0])) == (0, 0)


@pytest.mark.parametrize(
    ("confidence", "right"), [([], []), ([0.5], [1, 0]), ([1.5], [1]), ([np.nan], [1])]
)
def test_calibration_refuses(confidence, right):
    with pytest.raises(ValueError):
        calibration_error(confidence, right)


@pytest.mark.parametrize("seed", range(20))
def test_rank_correlation_is_scipys(seed):
    """With many equal values."""
    spearmanr = pytest.importorskip("scipy.stats").spearmanr
    one, other = draw_case(seed)[0], draw_case(seed + 100)[0]
    size = min(one.size, other.size)
    one, other = one.ravel()[:size], other.ravel()[:size]
    if np.ptp(one) and np.ptp(other):
        assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other)[0], abs=1e-9)


def test_rank_correlation_by_hand():
    rising = np.arange(12.0).reshape(3, 4)
    assert rank_correlation(rising, np.exp(rising)) == pytest.approx(1)
    assert rank_correlation(rising, -(rising**3)) == pytest.approx(-1)
    assert rank_correlation(rising, np.ones((3, 4))) is None
    with pytest.raises(ValueError, match="two shapes"):
        rank_correlation(rising, rising.T)
    with pytest.raises(ValueError, match="finite"):
        rank_correlation(rising, rising * np.nan)


def test_all_three_of_a_map():
    attention, mask = draw_case(1)
    found = OnObject.of(attention, mask)
    assert found == tuple(measure(attention, mask) for measure in ON_MAPS)
    assert (found.auc, found.mass) == (pixel_auc(attention, mask), mass_on_object(attention, mask))
