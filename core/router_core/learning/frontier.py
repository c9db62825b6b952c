"""What routings make of measured outcomes: their operating points, mean cost and mean quality at each setting.

Needs numpy (extra ``learn``). A setting of a routing picks one model of a ``Bench`` for each example; a frontier is a
series of settings.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from router_core.learning.bench import Bench
from router_core.learning.metrics import Floats

Picks: TypeAlias = npt.NDArray[np.intp]
"""The column of the model that each example goes to: shape (settings, examples)."""

_SETTINGS = 160
"""Trade-offs that are tried: six times as many change the AIQ of 29 models by 0.0001."""
_THRESHOLDS = 20
"""Thresholds that are tried at least between one model and the next."""


class Frontier(NamedTuple):
    """Operating points: mean cost and mean quality at each setting, both of shape (settings,)."""

    cost: Floats
    quality: Floats


def outcomes_of(bench: Bench, picks: Picks) -> Frontier:
    """Cost and quality of each example at each setting: both of the shape of ``picks``."""
    rows = np.arange(len(bench.examples))
    return Frontier(bench.cost[rows, picks], bench.quality[rows, picks])


def by_quality(bench: Bench, predicted: Floats) -> Picks:
    """Settings of a routing that predicts how well each model will do.

    A setting picks the model with the highest ``predicted - trade-off * mean cost``, from the trade-off 0 up to where
    only the cost counts. ``predicted`` has the shape of ``bench.quality``. Of equal models the cheapest is picked.
    """
    costs = np.array([point.cost for point in bench.points])
    steps = np.diff(np.unique(costs))
    if not len(steps):
        return np.array([np.argmax(predicted, axis=1)])
    # Below the first no difference of 1 % between models counts less than their costs, above the last none of 100 %.
    trade_offs = np.geomspace(0.01 / (costs.max() - costs.min()), 1.01 / steps.min(), _SETTINGS - 1)
    picks = [np.argmax(predicted - trade_off * costs, axis=1) for trade_off in (0.0, *trade_offs)]
    return np.array(picks)


def by_score(bench: Bench, score: Floats) -> Picks:
    """Settings of a routing that only ranks requests: the higher the score, the stronger the model.

    On the way from the cheapest to the best single model, along ``bench.mixture``, the examples with the highest scores
    move to the next model first. Examples of one score move together.
    """
    ladder = bench.mixture
    thresholds = max(_SETTINGS // len(ladder), _THRESHOLDS)
    levels = np.unique(np.quantile(score, np.linspace(0, 1, thresholds + 1)))[::-1]
    steps = [np.where(score >= level, above, below) for below, above in pairwise(ladder) for level in levels]
    return np.array([np.full(len(score), ladder[0]), *steps], dtype=np.intp)
