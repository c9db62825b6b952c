"""Tests of a promise about a mean: that what is served is at most so much worse than the strong model. Needs numpy.

**The promise.** ``s`` is the quality of the strong model on a request and ``r`` that of the answer that is served, both
0..1 and both random. Promised is ``E[r] >= a E[s]`` with ``a`` = ``at_least``, such as 0.95. The right-hand side is
unknown too, so both are put together: the *shortfall* ``d = a s - r`` of one request lies in [-1, a], and the promise
is ``E[d] <= 0``. The hypothesis that a test must reject is ``E[d] > 0``.

**Right or wrong, 0 or 1** (``exact``). Then ``d`` is ``a`` where routing lost an answer that the strong model had
(``lost``), -1 where it gained one that the strong model had not (``gained``), ``a - 1`` where both are right (``kept``)
and 0 where both are wrong. Given the number ``m`` of examples that are not 0, the first three are multinomial with
shares ``l``, ``g`` and ``1 - l - g``, and ``E[d] > 0`` says ``l > (1 - a) + a g``. Counts are as extreme as their
standardised statistic ``z = (lost - a gained - (1 - a) m) / sqrt(a (1 - a) m + a (1 + a) gained)`` is small; its
denominator is the deviation at ``l = (1 - a) + a g``. The tail of ``z`` is summed exactly. ``g``, which is unknown, is
bounded from both sides, at an error that is taken from the level (Berger and Boos, JASA 89, 1994), and the tail is
bounded over all that is between: it grows when fewer are lost or more gained, so on a piece ``[g1, g2]`` it is no
larger than at the corner ``l = (1 - a) + a g1``, ``g = g2``. Pieces are halved until that decides.

**Any quality in 0..1** (``betting``). Under the hypothesis nobody grows rich by betting against it: the capital
``prod(1 - bet d)`` has an expectation of 1 at most if each bet is fixed before its ``d`` is seen, and by Ville's
inequality it reaches ``1 / level`` with probability ``level`` at most (Waudby-Smith and Ramdas,
https://arxiv.org/abs/2010.09686; their predictable plug-in bets).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from router_core.learning.concentration import mean_bounds

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_NUISANCE = 0.02
"""Share of the level that the interval of ``g`` may cost."""
_REACH = 5.0
"""Standard deviations of ``gained`` that are summed; what lies beyond counts in full."""
_FINEST = 0.05
"""Standard deviations of the statistic that a piece may be wide before it is given up as undecided, which is no."""
_MIDDLING = 0.1
"""A variance of shortfalls to begin with, about that of one lost or gained answer in ten."""
_BOLDEST = 0.97
"""Share of the capital that may be lost by one bet: all of it would be the end."""


class Counts(NamedTuple):
    """Examples that routing lost, gained and kept; those on which both models are wrong do not count."""

    lost: int
    gained: int
    kept: int


def exact(counts: Counts, at_least: float, level: float) -> bool:
    """Whether ``E[d] > 0`` is rejected, with an error of ``level`` at most: see the module.

    Args:
        counts: of examples whose qualities are all 0 or 1.
        at_least: the promised share of the strong model's quality, above 0 and below 1.
        level: the probability of keeping a promise for true that is not, above 0 and below 1.
    """
    total = sum(counts)
    if total == 0:
        return False
    statistic = _Statistic(counts, at_least)
    if statistic.z >= 0:
        return False
    nuisance = _NUISANCE * level
    low, high = mean_bounds(counts.gained / total, total, nuisance / 2)
    pieces = [(low, min(high, at_least / (1 + at_least)))]
    while pieces:
        low, high = pieces.pop()
        if statistic.chance(low, high) <= level - nuisance:
            continue
        middle = (low + high) / 2
        if high - low < statistic.finest or statistic.chance(middle, middle) > level - nuisance:
            return False
        pieces += [(low, middle), (middle, high)]
    return True


class _Statistic:
    """The standardised statistic of observed counts, and how likely one as small is."""

    def __init__(self, counts: Counts, at_least: float) -> None:
        self._at_least, self._total = at_least, sum(counts)
        gained = np.arange(self._total + 1)
        self._log_factorial = np.append(0.0, np.cumsum(np.log(gained[1:])))
        deviation = np.sqrt(at_least * (1 - at_least) * self._total + at_least * (1 + at_least) * gained)
        middle = (1 - at_least) * self._total + at_least * gained
        self.z = float((counts.lost - middle[counts.gained]) / deviation[counts.gained])
        # How many may be lost, at each number of gains, for a statistic that is as small. The summand is for rounding:
        # the observed counts are as extreme as themselves. Never fewer for more gains, or corners would not be bounds.
        self._most = np.maximum.accumulate(np.floor(middle + self.z * deviation + 1e-9).astype(np.intp))
        self.finest = _FINEST * float(deviation[counts.gained]) / (at_least * self._total)

    def chance(self, low: float, high: float) -> float:
        """A bound of the tail for all ``g`` from ``low`` to ``high``; the tail itself where both are the same."""
        total = self._total
        mean, spread = total * high, math.sqrt(total * high * (1 - high))
        first, last = max(0, math.floor(mean - _REACH * spread) - 1), min(total, math.ceil(mean + _REACH * spread) + 1)
        gained = np.arange(first, last + 1)
        # Of the examples that are not gained, each is lost with this probability. One below 1 has the larger tail.
        lost = min((1 - self._at_least + self._at_least * low) / (1 - high), 1 - 1e-12)
        rest, most = total - gained, self._most[first : last + 1]
        # F(k; n) = P(lost <= k of n) for the first number of gains, then from one to the next. With one trial less,
        # F(k; n - 1) = F(k; n) + p f(k; n - 1), and k grows by 1 at most, which adds f(k + 1; n - 1).
        steps = lost * self._mass(most[:-1], rest[1:], lost)
        steps += np.where(most[1:] > most[:-1], self._mass(most[1:], rest[1:], lost), 0.0)
        begin = float(self._mass(np.arange(most[0] + 1), np.full(max(most[0] + 1, 0), rest[0]), lost).sum())
        tails = begin + np.append(0.0, np.cumsum(steps))
        weights = self._mass(gained, np.full(len(gained), total), high)
        return float(weights @ tails) + max(0.0, 1.0 - float(weights.sum()))

    def _mass(self, k: Indices, n: Indices, p: float) -> Floats:
        """P(X = k), X binomial: ``n`` trials of probability ``p``, below 1."""
        if p <= 0:
            return np.asarray(k == 0, dtype=np.float64)
        inside = (k >= 0) & (k <= n)
        k = np.where(inside, k, 0)
        choices = self._log_factorial[n] - self._log_factorial[k] - self._log_factorial[n - k]
        return np.where(inside, np.exp(choices + k * math.log(p) + (n - k) * math.log1p(-p)), 0.0)


def betting(shortfalls: Floats, at_least: float, level: float) -> bool:
    """Whether ``E[d] > 0`` is rejected, with an error of ``level`` at most: see the module.

    Args:
        shortfalls: ``d`` of each example, in an order that does not depend on the values.
        at_least: the promised share of the strong model's quality, above 0 and below 1.
        level: the probability of keeping a promise for true that is not, above 0 and below 1.
    """
    count = len(shortfalls)
    if count == 0:
        return False
    seen = np.arange(1, count + 1)
    # As if one example of mean 0 and of a middling variance had been seen before.
    mean = np.cumsum(shortfalls) / (seen + 1)
    variance = (_MIDDLING + np.cumsum((shortfalls - mean) ** 2)) / (seen + 1)
    before = np.append(_MIDDLING, variance[:-1])
    bets = np.minimum(np.sqrt(2 * math.log(1 / level) / (count * before)), _BOLDEST / at_least)
    capital = np.cumsum(np.log1p(-bets * shortfalls))
    return bool(capital.max() >= math.log(1 / level))
