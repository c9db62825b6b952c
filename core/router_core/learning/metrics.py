"""How good a routing is, as numbers. Needs numpy (extra ``learn``).

**Two models.** Each query has a quality of the weak and one of the strong model, 0..1, and a score: the higher, the
more it needs the strong one. Queries go to the strong model in the order of their scores. ``c`` is the share of calls
that went there, ``Q(c)`` the mean quality and ``PGR(c) = (Q(c) - Q(0)) / (Q(1) - Q(0))`` the share of the gap between
the two models that is recovered. APGR and CPT are those of RouteLLM (https://arxiv.org/abs/2406.18665), on every
``c = k/N`` instead of eleven quantiles. Queries of one score move together and the curve is a straight line across
them, which is what breaking the tie at random gives on average: a constant score has an APGR of exactly 0.5.

**Dollars.** A setting of a router (a threshold, a trade-off) is an operating point: mean cost and mean quality. Between
two of them lies what drawing one of the two at random for each query gives: the straight line.

**Many models.** AIQ, the Average Improvement in Quality of RouterBench (https://arxiv.org/abs/2403.12031), is the mean
height of the non-decreasing convex hull of the operating points over a range of costs.

Costs are in any one unit, qualities in 0..1. What is not defined (no gap between the models, labels of one class) is
``nan``. Every array has one dimension; those given together have one length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.intp]
Statistic: TypeAlias = Callable[[Indices], npt.ArrayLike]
"""One number or an array of them, computed from the examples of these indices (ascending, with repetitions)."""

_BATCH = 100
"""Draws that are counted at a time."""
_SLACK = 1e-12
"""What rounding may take from a sum before a target counts as missed."""


class Point(NamedTuple):
    """Mean cost and mean quality of a model or of one setting of a router."""

    cost: float
    quality: float


class Curve(NamedTuple):
    """Quality over the share of strong calls, both of shape (distinct scores + 1,), from 0 to 1 of the calls."""

    share: Floats
    quality: Floats

    @property
    def recovered(self) -> Floats:
        """PGR at each share; nan where the two models are equally good."""
        gap = self.quality[-1] - self.quality[0]
        if abs(gap) <= _SLACK:
            return np.full_like(self.quality, np.nan)
        return np.asarray((self.quality - self.quality[0]) / gap, dtype=np.float64)

    def apgr(self) -> float:
        """The area under PGR over the share of strong calls: 0.5 for random, above 1 only with answers foreseen."""
        return float(np.trapezoid(self.recovered, self.share))

    def cpt(self, wanted: float) -> float:
        """The smallest share of strong calls that recovers ``wanted`` (0..1) of the gap; nan if none does."""
        recovered = self.recovered
        reached = np.flatnonzero(recovered >= wanted - _SLACK)
        if not len(reached):
            return float("nan")
        return _crossing(self.share, recovered, int(reached[0]), wanted)


def curve(
    score: npt.ArrayLike, weak: npt.ArrayLike, strong: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> Curve:
    """Quality over the share of strong calls.

    Args:
        score: the higher, the earlier a query goes to the strong model.
        weak: the quality of the weak model on each query, 0..1.
        strong: that of the strong model.
        weights: how much each query counts, as to give each set of a mixture the same mass; all the same if left out.
    """
    scores, low, high = (np.asarray(column, dtype=np.float64) for column in (score, weak, strong))
    mass = np.ones_like(scores) if weights is None else np.asarray(weights, dtype=np.float64)
    mass = mass / mass.sum()
    order, last_of_tie = _ranked(scores)
    share = np.cumsum(mass[order])[last_of_tie]
    gained = np.cumsum((mass * (high - low))[order])[last_of_tie]
    return Curve(np.append(0.0, share), float(mass @ low) + np.append(0.0, gained))


def apgr(
    score: npt.ArrayLike, weak: npt.ArrayLike, strong: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> float:
    """APGR: see ``Curve.apgr``; arguments as of ``curve``."""
    return curve(score, weak, strong, weights).apgr()


def cpt(
    score: npt.ArrayLike,
    weak: npt.ArrayLike,
    strong: npt.ArrayLike,
    wanted: float,
    weights: npt.ArrayLike | None = None,
) -> float:
    """CPT(wanted): see ``Curve.cpt``; arguments as of ``curve``."""
    return curve(score, weak, strong, weights).cpt(wanted)


def _ranked(scores: Floats) -> tuple[Indices, Indices]:
    """The order of the scores, highest first, and where in it each run of equal ones ends."""
    order = np.argsort(-scores, kind="stable")
    return order, np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)


# --------------------------------------------------------------------------------------------------- predictions
def auroc(score: npt.ArrayLike, label: npt.ArrayLike) -> float:
    """P(a query whose label is true has the higher score than one whose label is false); equal scores count half."""
    scores, labels = np.asarray(score, dtype=np.float64), np.asarray(label, dtype=bool)
    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return float("nan")
    order, last_of_tie = _ranked(scores)
    found, mistaken = (np.append(0, np.cumsum(column[order])[last_of_tie]) for column in (labels, ~labels))
    return float(np.trapezoid(found, mistaken) / (positive * negative))


def brier(probability: npt.ArrayLike, outcome: npt.ArrayLike) -> float:
    """The mean squared difference of predicted probability and outcome, both 0..1."""
    return float(np.mean((np.asarray(probability, dtype=np.float64) - np.asarray(outcome, dtype=np.float64)) ** 2))


class Bin(NamedTuple):
    """Predictions in ``low`` <= p < ``high`` (the last bin has 1.0 too): how many, their mean and the mean outcome."""

    low: float
    high: float
    examples: int
    predicted: float
    observed: float


def reliability(probability: npt.ArrayLike, outcome: npt.ArrayLike, bins: int = 10) -> list[Bin]:
    """Predicted against observed, in ``bins`` bins of equal width; those without a prediction are left out."""
    predicted, observed = np.asarray(probability, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    place = np.clip((predicted * bins).astype(np.intp), 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=column, minlength=bins) for column in (predicted, observed)]
    return [
        Bin(k / bins, (k + 1) / bins, int(counts[k]), *(float(total[k] / counts[k]) for total in sums))
        for k in np.flatnonzero(counts)
    ]


def ece(probability: npt.ArrayLike, outcome: npt.ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: the mean distance of predicted and observed over the bins of ``reliability``,
    weighted by their counts (https://arxiv.org/abs/1706.04599)."""
    found = reliability(probability, outcome, bins)
    return sum(each.examples * abs(each.predicted - each.observed) for each in found) / sum(
        each.examples for each in found
    )


# ------------------------------------------------------------------------------------------------------- dollars
def dollar_area(cost: npt.ArrayLike, quality: npt.ArrayLike, weak: Point, strong: Point) -> float:
    """The area under PGR over ``x = (cost - weak.cost) / (strong.cost - weak.cost)`` from 0 to 1.

    At ``x = 0`` the weak model alone is to be had, and beyond the last operating point its quality; a point that is
    dearer and worse than another is not used. Random routing between the two models has 0.5.
    """
    if abs(strong.quality - weak.quality) <= _SLACK or strong.cost <= weak.cost:
        return float("nan")
    x = (np.asarray(cost, dtype=np.float64) - weak.cost) / (strong.cost - weak.cost)
    recovered = (np.asarray(quality, dtype=np.float64) - weak.quality) / (strong.quality - weak.quality)
    steps, best = _staircase(np.append(0.0, np.maximum(x, 0.0)), np.append(0.0, recovered))
    inside = steps <= 1
    heights = np.append(best[inside], np.interp(1.0, steps, best))
    return float(np.trapezoid(heights, np.append(steps[inside], 1.0)))


def cost_at(cost: npt.ArrayLike, quality: npt.ArrayLike, target: float) -> float:
    """The smallest cost at which the quality is ``target`` at least, on the lines between neighbouring operating
    points; nan if none is as good. Give it the points of the ``hull`` alone for the cost of the best mixture."""
    costs, best = _staircase(np.asarray(cost, dtype=np.float64), np.asarray(quality, dtype=np.float64))
    reached = np.flatnonzero(best >= target - _SLACK)
    return _crossing(costs, best, int(reached[0]), target) if len(reached) else float("nan")


def hull(cost: npt.ArrayLike, quality: npt.ArrayLike) -> Indices:
    """Which operating points no mixture of others beats: their indices, cheapest first.

    They are the corners of the upper convex hull, up to its top.
    """
    costs, qualities = np.asarray(cost, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    corners: list[int] = []
    best = -np.inf
    for index in np.lexsort((-qualities, costs)):
        if qualities[index] <= best:
            continue
        best = qualities[index]
        while len(corners) > 1 and not _bends_down(costs, qualities, (*corners[-2:], index)):
            corners.pop()
        corners.append(int(index))
    return np.array(corners, dtype=np.intp)


def aiq(cost: npt.ArrayLike, quality: npt.ArrayLike, low: float, high: float) -> float:
    """AIQ: the mean quality on the hull of the operating points over the costs from ``low`` to ``high``.

    The hull is flat beyond its ends, so the points must include the cheapest model. The usual range is from the mean
    cost of the cheapest model to that of the best single one; nan if that is none.
    """
    if not low < high:
        return float("nan")
    costs, best = (np.asarray(column, dtype=np.float64)[hull(cost, quality)] for column in (cost, quality))
    corners = np.concatenate(([low], costs[(costs > low) & (costs < high)], [high]))
    return float(np.trapezoid(np.interp(corners, costs, best), corners) / (high - low))


def _bends_down(costs: Floats, qualities: Floats, three: tuple[int, ...]) -> bool:
    first, middle, last = three
    rise, run = qualities[middle] - qualities[first], costs[middle] - costs[first]
    return bool(rise * (costs[last] - costs[first]) > (qualities[last] - qualities[first]) * run)


def _staircase(cost: Floats, quality: Floats) -> tuple[Floats, Floats]:
    """Points by cost, and the best quality up to each."""
    order = np.lexsort((quality, cost))
    return cost[order], np.maximum.accumulate(quality[order])


def _crossing(x: Floats, y: Floats, first: int, target: float) -> float:
    """Where the line to the ``first`` point that reaches the target crosses it."""
    if first == 0 or y[first] == y[first - 1]:
        return float(x[first])
    part = (target - y[first - 1]) / (y[first] - y[first - 1])
    return float(x[first - 1] + part * (x[first] - x[first - 1]))


# ----------------------------------------------------------------------------------------------------- intervals
def bootstrap(
    statistic: Statistic, examples: int, *, draws: int = 1000, seed: int = 0, confidence: float = 0.95
) -> Floats:
    """Percentile intervals of a statistic over examples that are drawn anew with replacement.

    A difference of two routings that is computed within the statistic is paired: both see the same examples.

    Args:
        statistic: computes k numbers from a draw.
        examples: how many examples there are.
        draws: how many times to draw.
        seed: the same seed draws the same examples.
        confidence: the share of the draws that the interval covers.

    Returns:
        Shape (k, 2), or (2,) for a statistic that is one number: lower and upper end. Draws in which a number is not
        defined are left out of its interval; both ends are nan if it never is.
    """
    values = np.array([statistic(drawn) for drawn in _draws(examples, draws, seed)], dtype=np.float64)
    ends = intervals(values.reshape(draws, -1), confidence)
    return np.asarray(ends[0] if values.ndim == 1 else ends)


def resampled_means(columns: npt.ArrayLike, *, draws: int = 1000, seed: int = 0) -> Floats:
    """The means of columns over examples that are drawn anew, for statistics that are made of means.

    Args:
        columns: shape (examples, k).
        draws: how many times to draw.
        seed: the same seed draws the same examples, as in ``bootstrap``.

    Returns:
        Shape (draws, k).
    """
    values = np.asarray(columns, dtype=np.float64)
    examples = len(values)
    counted = (np.bincount(drawn, minlength=examples) for drawn in _draws(examples, draws, seed))
    # Some draws at a time: one product of matrices is many times faster than one of vectors for each draw.
    parts = [np.array(some, dtype=np.float64) @ values for some in _batches(counted, _BATCH)]
    return np.concatenate(parts) / examples


def intervals(values: Floats, confidence: float = 0.95) -> Floats:
    """Percentile intervals of ``values``, shape (draws, k): shape (k, 2). See ``bootstrap``."""
    tail = (1 - confidence) / 2
    return np.array([_quantiles(column[np.isfinite(column)], (tail, 1 - tail)) for column in values.T])


def _draws(examples: int, draws: int, seed: int) -> Iterator[Indices]:
    random = np.random.default_rng(seed)
    for _ in range(draws):
        # In ascending order, so that what was sorted by score before stays so and is quick to sort again.
        yield np.sort(random.integers(0, examples, examples))


def _batches(rows: Iterator[Indices], size: int) -> Iterator[list[Indices]]:
    while batch := list(islice(rows, size)):
        yield batch


def _quantiles(values: Floats, at: tuple[float, float]) -> Floats:
    return np.quantile(values, at) if len(values) else np.full(len(at), np.nan)
