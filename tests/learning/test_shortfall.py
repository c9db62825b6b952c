"""The tests behind a certificate: exact tails, and an error that is never above the level."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_core.learning.concentration import mean_bounds
from router_core.learning.shortfall import Counts, betting, exact


@pytest.mark.parametrize(
    ("mean", "count", "error", "low", "high"),
    [
        # Where all or nothing succeeds the bounds have closed forms: error**(1/n), and 1 less that.
        (0.0, 10, 0.05, 0.0, 1 - 0.05**0.1),
        (1.0, 10, 0.05, 0.05**0.1, 1.0),
        # 100 * (0.5 log(0.5 / q) + 0.5 log(0.5 / (1 - q))) = log(20) at q = 0.5 +- sqrt(1 - 20**-0.02) / 2.
        (0.5, 100, 0.05, 0.5 - math.sqrt(1 - 20**-0.02) / 2, 0.5 + math.sqrt(1 - 20**-0.02) / 2),
    ],
)
def test_bounds_of_a_mean(mean, count, error, low, high):
    assert mean_bounds(mean, count, error) == pytest.approx((low, high), abs=1e-9)


@given(st.floats(0, 1), st.integers(1, 10_000), st.floats(1e-6, 0.4))
def test_bounds_are_around_the_mean_and_close_in(mean, count, error):
    low, high = mean_bounds(mean, count, error)
    assert 0 <= low <= mean <= high <= 1
    assert all(map(math.isfinite, (low, high)))
    closer = mean_bounds(mean, 10 * count, error)
    assert closer[0] >= low - 1e-9
    assert closer[1] <= high + 1e-9


def test_without_a_loss_the_exact_test_is_the_power_of_the_promise():
    # 0.95**n <= 0.1 from n = 45 on; a little more, for what may have been gained is not known.
    assert not exact(Counts(0, 0, 44), 0.95, 0.1)
    assert exact(Counts(0, 0, 46), 0.95, 0.1)


def chance(counts, lost, gained):
    """The multinomial probability of counts."""
    shares = (lost, gained, 1 - lost - gained)
    choices = math.lgamma(sum(counts) + 1) - sum(math.lgamma(count + 1) for count in counts)
    if any(count and share <= 0 for count, share in zip(counts, shares, strict=True)):
        return 0.0
    return math.exp(choices + sum(c * math.log(s) for c, s in zip(counts, shares, strict=True) if c))


@pytest.mark.parametrize(("at_least", "level", "total"), [(0.8, 0.1, 25), (0.9, 0.05, 40), (0.3, 0.1, 20)])
def test_the_exact_test_errs_with_the_level_at_most_wherever_the_promise_is_just_broken(at_least, level, total):
    counts = [Counts(a, b, total - a - b) for b in range(total + 1) for a in range(total - b + 1)]
    rejected = [each for each in counts if exact(each, at_least, level)]
    assert rejected
    errors = []
    for part in range(101):
        gained = part / 100 * at_least / (1 + at_least)
        errors.append(sum(chance(each, 1 - at_least + at_least * gained, gained) for each in rejected))
    assert max(errors) <= level
    # And it is sharp: an exact test that wastes little.
    assert max(errors) > 0.6 * level


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 300))
def test_more_evidence_never_loses_a_promise(lost, gained, kept):
    if exact(Counts(lost, gained, kept), 0.9, 0.1):
        assert exact(Counts(lost, gained, kept + 20), 0.9, 0.1)
        assert exact(Counts(max(lost - 1, 0), gained, kept + 1), 0.9, 0.1)


def test_betting_errs_with_the_level_at_most_and_finds_what_holds():
    rng = np.random.default_rng(5)
    at_least = 0.9

    def rejects(shortfall):
        strong = rng.beta(8, 2, 400)
        # The answers that are served miss ``shortfall`` of the promise in mean, each by another amount.
        served = np.clip(at_least * strong - shortfall + rng.normal(0, 0.15, 400), 0, 1)
        return betting(at_least * strong - served, at_least, 0.1)

    assert sum(rejects(0.0) for _ in range(300)) <= 40  # 0.1, and three deviations
    assert all(rejects(-0.05) for _ in range(30))
    assert not any(rejects(0.05) for _ in range(30))


def test_nothing_is_proved_by_nothing():
    assert not exact(Counts(0, 0, 0), 0.95, 0.1)
    assert not betting(np.empty(0), 0.95, 0.1)
