"""The measures of a routing: examples worked out by hand, and what must hold for any scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from router_core.learning.metrics import (
    Bin,
    Point,
    aiq,
    apgr,
    auroc,
    bootstrap,
    brier,
    cost_at,
    cpt,
    curve,
    dollar_area,
    ece,
    hull,
    intervals,
    reliability,
    resampled_means,
)

# The gain of the strong model, in the order of the scores, is 1, 0, 1, 0: PGR is 0, 1/2, 1/2, 1, 1.
SCORE, WEAK, STRONG = [4, 3, 2, 1], [0, 1, 0, 1], [1, 1, 1, 1]

# ------------------------------------------------------------------------------------------------- worked examples


def test_the_curve_of_four_queries() -> None:
    found = curve(SCORE, WEAK, STRONG)
    assert found.share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.quality.tolist() == [0.5, 0.75, 0.75, 1, 1]
    assert found.recovered.tolist() == [0, 0.5, 0.5, 1, 1]


def test_apgr_and_cpt_of_four_queries() -> None:
    assert apgr(SCORE, WEAK, STRONG) == pytest.approx(0.25 * (0.25 + 0.5 + 0.75 + 1))
    assert cpt(SCORE, WEAK, STRONG, 0.2) == pytest.approx(0.1)
    assert cpt(SCORE, WEAK, STRONG, 0.5) == pytest.approx(0.25)
    assert cpt(SCORE, WEAK, STRONG, 0.8) == pytest.approx(0.5 + 0.25 * 0.3 / 0.5)


def test_queries_of_one_score_move_together() -> None:
    found = curve([2, 1, 1, 1], [0, 0, 0, 1], [1, 1, 0, 1])
    assert found.share.tolist() == [0, 0.25, 1]
    assert found.quality.tolist() == [0.25, 0.5, 0.75]


def test_weights_count_a_query_as_often() -> None:
    doubled = apgr([4, 4, 3, 2, 1], [0, 0, 1, 0, 1], [1, 1, 1, 1, 1])
    assert apgr(SCORE, WEAK, STRONG, [2, 1, 1, 1]) == pytest.approx(doubled)
    assert cpt(SCORE, WEAK, STRONG, 0.5, [2, 1, 1, 1]) == pytest.approx(0.4 * 0.75)


def test_a_router_that_does_harm_never_gets_there() -> None:
    assert math.isnan(cpt([1, 2], [0, 1], [1, 1], 1.1))
    assert apgr([1, 2], [0, 1], [1, 1]) == pytest.approx(0.25)


def test_without_a_gap_nothing_is_recovered() -> None:
    assert math.isnan(apgr([1, 2], [0, 1], [1, 0]))
    assert math.isnan(cpt([1, 2], [0, 1], [1, 0], 0.5))
    assert math.isnan(dollar_area([1], [0.5], Point(0, 0.5), Point(1, 0.5)))


def test_auroc_counts_pairs() -> None:
    # Of the four pairs of a true and a false label, three are in order; then one is a tie.
    assert auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == pytest.approx(0.75)
    assert auroc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1]) == pytest.approx(3.5 / 4)
    assert math.isnan(auroc([0.1, 0.2], [1, 1]))


def test_calibration_of_four_predictions() -> None:
    predicted, right = [0.15, 0.25, 0.95, 1.0], [0, 1, 1, 0]
    assert reliability(predicted, right) == [
        Bin(0.1, 0.2, 1, 0.15, 0),
        Bin(0.2, 0.3, 1, 0.25, 1),
        Bin(0.9, 1.0, 2, pytest.approx(0.975), 0.5),
    ]
    assert ece(predicted, right) == pytest.approx(0.15 / 4 + 0.75 / 4 + 0.475 / 2)
    assert brier(predicted, right) == pytest.approx((0.15**2 + 0.75**2 + 0.05**2 + 1) / 4)


def test_area_over_dollars_of_one_setting() -> None:
    # The setting costs a quarter of what lies between the models and recovers three quarters of the gap.
    weak, strong = Point(1, 0.5), Point(5, 0.9)
    area = 0.25 * 0.75 / 2 + 0.75 * (0.75 + 1) / 2
    assert dollar_area([2, 5], [0.8, 0.9], weak, strong) == pytest.approx(area)
    assert dollar_area([5, 2, 4], [0.9, 0.8, 0.6], weak, strong) == pytest.approx(
        0.25 * 0.75 / 2 + 0.5 * 0.75 + 0.25 * (0.75 + 1) / 2
    )


def test_area_over_dollars_of_a_cascade_that_ends_above_the_strong_model_s_cost() -> None:
    # From (0, 0) to (1.5, 1): only what lies left of 1 counts.
    assert dollar_area([1, 7], [0.5, 0.9], Point(1, 0.5), Point(5, 0.9)) == pytest.approx(1 / 3)


def test_the_cost_of_a_quality_lies_between_settings() -> None:
    cost, quality = [5, 2, 3], [0.9, 0.8, 0.7]
    assert cost_at(cost, quality, 0.85) == pytest.approx(4)
    assert cost_at(cost, quality, 0.5) == 2
    assert math.isnan(cost_at(cost, quality, 0.95))


def test_hull_and_aiq_of_five_models() -> None:
    cost, quality = [5, 1, 3, 4, 2], [0.7, 0.2, 0.5, 0.8, 0.5]
    assert hull(cost, quality).tolist() == [1, 4, 3]
    # From 1 to 2 at 0.35 on average, from 2 to 4 at 0.65, then 0.8.
    assert aiq(cost, quality, 1, 5) == pytest.approx((0.35 + 2 * 0.65 + 0.8) / 4)
    assert math.isnan(aiq(cost, quality, 2, 2))


def test_of_models_that_cost_the_same_the_best_is_on_the_hull() -> None:
    assert hull([1, 1, 2], [0.2, 0.6, 0.6]).tolist() == [1]


# ------------------------------------------------------------------------------------------------------ intervals


def test_an_interval_is_reproducible_and_covers_the_mean() -> None:
    values = np.random.default_rng(5).random(400)
    low, high = bootstrap(lambda drawn: values[drawn].mean(), 400, seed=1)
    assert low < values.mean() < high
    # Twice 1.96 standard errors, within a tenth.
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert bootstrap(lambda drawn: values[drawn].mean(), 400, seed=1).tolist() == [low, high]
    assert bootstrap(lambda drawn: values[drawn].mean(), 400, seed=2).tolist() != [low, high]


def test_a_difference_is_paired() -> None:
    values = np.random.default_rng(5).random(100)
    ends = bootstrap(lambda drawn: values[drawn].mean() - (values[drawn] - 0.1).mean(), 100)
    assert ends == pytest.approx([0.1, 0.1])


def test_means_are_drawn_as_statistics_are() -> None:
    values = np.random.default_rng(5).random((150, 3))
    drawn = bootstrap(lambda drawn: values[drawn].mean(axis=0), 150, draws=250, seed=3)
    assert intervals(resampled_means(values, draws=250, seed=3)) == pytest.approx(drawn)


def test_draws_in_which_a_number_is_not_defined_are_left_out() -> None:
    label = np.array([1, 0, 0, 0])
    low, high = bootstrap(lambda drawn: auroc([4, 3, 2, 1], label) if label[drawn].any() else math.nan, 4)
    assert (low, high) == (1, 1)
    assert np.isnan(bootstrap(lambda _: math.nan, 4)).all()


# ----------------------------------------------------------------------------------------------------- properties

QUALITIES = st.integers(0, 4).map(lambda quarters: quarters / 4)
ROWS = st.lists(st.tuples(st.integers(-5, 5), QUALITIES, QUALITIES), min_size=2, max_size=30)


def columns(rows: list[tuple[int, float, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    score, weak, strong = np.array(rows, dtype=float).T
    assume(strong.mean() - weak.mean() > 1e-9)
    return score, weak, strong


@given(ROWS)
def test_a_constant_score_is_random(rows: list[tuple[int, float, float]]) -> None:
    _, weak, strong = columns(rows)
    constant = np.ones_like(weak)
    assert apgr(constant, weak, strong) == pytest.approx(0.5, abs=1e-12)
    for wanted in (0.2, 0.5, 0.8):
        assert cpt(constant, weak, strong, wanted) == pytest.approx(wanted, abs=1e-9)


@given(ROWS)
def test_only_the_order_of_scores_counts(rows: list[tuple[int, float, float]]) -> None:
    score, weak, strong = columns(rows)
    assert apgr(np.exp(score) * 3 - 7, weak, strong) == pytest.approx(apgr(score, weak, strong))
    assert apgr(score, weak, strong) + apgr(-score, weak, strong) == pytest.approx(1)


@given(ROWS)
def test_nothing_beats_who_knows_the_gain(rows: list[tuple[int, float, float]]) -> None:
    score, weak, strong = columns(rows)
    assert apgr(strong - weak, weak, strong) >= apgr(score, weak, strong) - 1e-9
    assert cpt(strong - weak, weak, strong, 0.5) <= cpt(score, weak, strong, 0.5) + 1e-9


@given(ROWS)
def test_the_order_of_queries_does_not_count(rows: list[tuple[int, float, float]]) -> None:
    score, weak, strong = columns(rows)
    shuffled = np.random.default_rng(0).permutation(len(rows))
    assert apgr(score[shuffled], weak[shuffled], strong[shuffled]) == pytest.approx(apgr(score, weak, strong))
    label = strong > weak
    assert auroc(score[shuffled], label[shuffled]) == pytest.approx(auroc(score, label), nan_ok=True)


POINTS = st.lists(st.tuples(st.integers(1, 20), QUALITIES), min_size=1, max_size=12)


@given(POINTS)
def test_no_point_lies_above_the_hull(points: list[tuple[int, float]]) -> None:
    cost, quality = np.array(points, dtype=float).T
    corners = hull(cost, quality)
    assert (np.diff(cost[corners]) > 0).all()
    assert (np.diff(quality[corners]) > 0).all()
    above = np.interp(cost, cost[corners], quality[corners])
    assert (quality <= above + 1e-9).all()


@given(POINTS, st.tuples(st.integers(1, 20), QUALITIES))
def test_another_point_never_lowers_aiq(points: list[tuple[int, float]], more: tuple[int, float]) -> None:
    cost, quality = np.array([(0, 0.1), *points], dtype=float).T
    before = aiq(cost, quality, 0, 20)
    assert 0.1 <= before <= 1
    assert aiq([*cost, more[0]], [*quality, more[1]], 0, 20) >= before - 1e-12
