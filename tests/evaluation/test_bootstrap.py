import numpy as np
import pytest

from ugicm_evaluation.bootstrap import draw_pictures, estimate


def interval_of_mean(values, *, seed=0):
    draws = draw_pictures(len(values), draws=4000, seed=seed)
    return estimate(draws @ values / len(values))


def test_the_interval_of_a_mean_is_the_one_that_theory_knows():
    values = np.random.default_rng(1).normal(3.0, 2.0, 500)
    found = interval_of_mean(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.06 * half)


def test_intervals_hold_the_truth_in_95_of_100_cases():
    sets = np.random.default_rng(2).normal(0.0, 1.0, (300, 60))
    found = [interval_of_mean(values) for values in sets]
    assert 0.90 <= np.mean([one.low <= 0.0 <= one.high for one in found]) <= 0.98


def test_what_two_figures_share_cancels_in_their_difference():
    draws = draw_pictures(40, draws=500, seed=0)
    values = np.random.default_rng(3).normal(0.0, 100.0, 40)
    found = estimate(draws @ (values + 0.5) / 40 - draws @ values / 40)
    assert (found.low, found.high) == pytest.approx((0.5, 0.5))


def test_the_first_draw_is_the_set_itself_and_every_draw_has_its_size():
    draws = draw_pictures(7, draws=50, seed=0)
    assert draws.shape == (51, 7)
    assert (draws[0] == 1).all()
    assert (draws.sum(1) == 7).all()


def test_a_seed_decides_the_draws():
    first, again, other = (draw_pictures(9, draws=20, seed=seed) for seed in (5, 5, 6))
    assert (first == again).all()
    assert (first != other).any()
