"""The beta distribution against values from tables and closed forms."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.learning.beta import Beta, at_least

parameters = st.floats(0.5, 2000)


@pytest.mark.parametrize(
    ("a", "b", "x", "tail"),
    [
        (1, 1, 0.3, 0.3),  # uniform
        (2, 3, 0.4, 0.5248),  # 1 - (1-x)^4 - 4x(1-x)^3
        (0.5, 0.5, 0.25, 1 / 3),  # 2/pi asin(sqrt(x))
        (20, 1, 0.9, 0.9**20),
        (1, 20, 0.1, 1 - 0.9**20),
        (10, 10, 0.5, 0.5),
        # P(binomial(1000, 0.95) >= 960) from its sum
        (960, 41, 0.95, sum(math.comb(1000, k) * 0.95**k * 0.05 ** (1000 - k) for k in range(960, 1001))),
    ],
)
def test_the_tail_is_that_of_the_tables(a: float, b: float, x: float, tail: float) -> None:
    assert Beta(a, b).below(x) == pytest.approx(tail, abs=1e-12)
    assert Beta(a, b).above(x) == pytest.approx(1 - tail, abs=1e-12)


@given(parameters, parameters, st.floats(0, 1), st.floats(0, 1))
def test_the_tail_rises_from_0_to_1_and_is_its_mirror_image(a: float, b: float, x: float, y: float) -> None:
    low, high = sorted((x, y))
    assert 0 <= Beta(a, b).below(low) <= Beta(a, b).below(high) + 1e-12 <= 1 + 1e-12
    assert Beta(a, b).below(x) == pytest.approx(Beta(b, a).above(1 - x), abs=1e-9)


def test_beyond_0_and_1_there_is_nothing() -> None:
    assert (Beta(2, 3).below(-0.1), Beta(2, 3).below(1.1)) == (0, 1)
    assert (Beta(2, 3).above(-0.1), Beta(2, 3).above(1.1)) == (1, 0)


def closed_form(a: int, b: float, c: float, d: float) -> float:
    """P(Beta(a, b) >= Beta(c, d)) for a whole ``a``: the sum of E. Miller, "Formulas for Bayesian A/B testing"."""

    def log_beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    return math.fsum(
        math.exp(log_beta(c + i, b + d) - math.log(b + i) - log_beta(1 + i, b) - log_beta(c, d)) for i in range(a)
    )


def test_one_share_against_another_is_as_in_the_closed_form() -> None:
    rng = random.Random(1)  # noqa: S311 - no secret
    for _ in range(300):
        size = rng.choice([1, 10, 100, 1000])
        a = rng.randint(1, size)
        b, c, d = (rng.uniform(0.5, max(1, size)) for _ in range(3))
        assert at_least(Beta(a, b), Beta(c, d)) == pytest.approx(closed_form(a, b, c, d), abs=1e-4)


def test_a_margin_is_what_a_simulation_says() -> None:
    # Of 4 million draws: a standard error of 0.0002.
    assert at_least(Beta(60, 41), Beta(70, 31), 0.02) == pytest.approx(0.1188, abs=0.001)
    assert at_least(Beta(12.5, 0.5), Beta(16, 0.5), 0.05) == pytest.approx(0.8198, abs=0.001)


@given(parameters, parameters, parameters, parameters, st.floats(0, 0.5))
def test_a_larger_margin_makes_it_likelier(a: float, b: float, c: float, d: float, margin: float) -> None:
    one, other = Beta(a, b), Beta(c, d)
    assert 0 <= at_least(one, other) <= at_least(one, other, margin) + 1e-3 <= 1 + 1e-3
