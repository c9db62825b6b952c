"""How far a mean can be from the truth: bounds for any count and any distribution within 0..1. Pure Python."""

from __future__ import annotations

import math

_HALVINGS = 50
"""Of the range in which a bound is searched: to 15 digits."""


def mean_bounds(mean: float, count: int, error: float) -> tuple[float, float]:
    """Bounds of the true mean of values in 0..1, of which ``count`` independent ones had this mean.

    Each is beyond the truth with probability ``error`` at most: where ``count * kl(mean, bound) = log(1 / error)``, by
    Hoeffding's inequality in its sharp form (JASA 58, 1963, theorem 1).
    """
    return _least(mean, count, error), 1 - _least(1 - mean, count, error)


def _least(mean: float, count: int, error: float) -> float:
    low, high = 0.0, mean
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle > 0 and count * _divergence(mean, middle) <= -math.log(error):
            high = middle
        else:
            low = middle
    return low


def _divergence(p: float, q: float) -> float:
    """Kullback and Leibler's, of two coins, in nats; 0 < q <= p."""
    first = p * math.log(p / q) if p > 0 else 0.0
    second = (1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0
    return first + second
