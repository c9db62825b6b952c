"""What a policy or a verifier is worth on measured outcomes, with bootstrap intervals. Needs numpy (extra ``learn``).

``Contender`` is what is measured: a score for each example, or a predicted quality for each example and model. On two
models it is measured by ``of_pair``, on any number of them by ``of_many``. What the measures are is told by
``MEASURES`` and, in full, by ``metrics``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from router_core.learning.bench import Bench
from router_core.learning.frontier import Frontier, by_quality, by_score, outcomes_of
from router_core.learning.metrics import (
    Floats,
    Indices,
    Point,
    aiq,
    auroc,
    bootstrap,
    cost_at,
    curve,
    dollar_area,
    ece,
    hull,
    intervals,
    resampled_means,
)

SHARE = 0.95
"""The share of the strong (the best single) model's quality whose cost is measured."""

MEASURES: Mapping[str, str] = {
    "apgr": "area under the recovered gap over the share of strong calls; random 0.5 (RouteLLM, arXiv 2406.18665)",
    "cpt20": "share of strong calls that recovers 20 % of the gap between the models",
    "cpt50": "the same for 50 %",
    "cpt80": "the same for 80 %",
    "auroc": "P(what only the strong model does better ranks above what it does not)",
    "ece": "calibration error of the predicted P(answers well), ten bins; without an interval, for draws add error",
    "dollar_area": "area under the recovered gap over cost, from the weak model's to the strong one's; random 0.5",
    "aiq": "mean quality over the costs from the cheapest to the best single model (RouterBench, arXiv 2403.12031)",
    "top_quality": "the highest quality at any cost",
    "cost_at_95": "cost of 95 % of the strong (the best single) model's quality, as a share of its cost",
    "gain": "difference of apgr to prompt length (two models), of aiq to a mixture of single models (more); paired",
}
"""What is measured, by name. Of two models: all but AIQ and the top quality; of more: AIQ, top quality, cost, gain and
calibration error. Without costs in dollars a cost is a share of strong calls."""

_CPTS = (0.2, 0.5, 0.8)
_OF_PAIR = ("apgr", "cpt20", "cpt50", "cpt80", "auroc", "dollar_area", "cost_at_95", "gain")
_OF_MANY = ("aiq", "top_quality", "cost_at_95", "gain")


@dataclass(frozen=True, slots=True)
class Contender:
    """What is measured.

    Give ``predicted``, P(answers well) of shape (examples, models), or ``score``, shape (examples,): the higher, the
    more a request needs the strong model. ``cascade`` says that the weak model answers first and is paid in any case;
    ``predicted`` is then P(its answer is right), shape (examples, 1). ``seen`` is the share of the examples that it was
    trained on, as far as that is known.
    """

    name: str
    score: Floats | None = None
    predicted: Floats | None = None
    cascade: bool = False
    seen: float = 0.0

    @property
    def ranking(self) -> Floats:
        """Who goes to the strong model first, of two."""
        if self.predicted is None:
            return np.asarray(self.score)
        return -self.predicted[:, 0] if self.cascade else self.predicted[:, 1] - self.predicted[:, 0]


class Measure(NamedTuple):
    """A value and its 95 % bootstrap interval; nan where it is not defined."""

    value: float
    low: float
    high: float


class Result(NamedTuple):
    """The measures of a contender by name, and its operating points."""

    name: str
    measures: Mapping[str, Measure]
    frontier: Frontier


def measure(bench: Bench, contender: Contender, baseline: Contender, draws: int = 1000, seed: int = 0) -> Result:
    """Measure a contender: by ``of_pair`` on two models, else by ``of_many``.

    Args:
        bench: the outcomes.
        contender: what is measured.
        baseline: what the gain on two models is measured against.
        draws: bootstrap draws for the 95 % intervals; 0 for none.
        seed: the same seed gives the same intervals.
    """
    return of_pair(bench, contender, baseline, draws, seed) if bench.is_pair else of_many(bench, contender, draws, seed)


def of_pair(bench: Bench, contender: Contender, baseline: Contender, draws: int = 1000, seed: int = 0) -> Result:
    """Measure a contender on two models; see ``measure``."""
    order = np.argsort(-contender.ranking, kind="stable")
    quality, cost = bench.quality[order], _costs(bench, contender)[order]
    score, other = contender.ranking[order], baseline.ranking[order]
    strong_cost = bench.cost[order, 1]

    def values(drawn: Indices) -> list[float]:
        weak, strong = quality[drawn].T
        qualities = curve(score[drawn], weak, strong)
        costs = curve(score[drawn], *cost[drawn].T).quality
        ends = (
            Point(float(costs[0]), float(weak.mean())),
            Point(float(strong_cost[drawn].mean()), float(strong.mean())),
        )
        apgr = qualities.apgr()
        return [
            apgr,
            *map(qualities.cpt, _CPTS),
            auroc(score[drawn], strong > weak),
            dollar_area(costs, qualities.quality, *ends),
            _share(cost_at(costs, qualities.quality, SHARE * ends[1].quality), ends[1].cost),
            apgr - curve(other[drawn], weak, strong).apgr(),
        ]

    ends = bootstrap(values, len(order), draws=draws, seed=seed) if draws else None
    frontier = Frontier(curve(score, *cost.T).quality, curve(score, *quality.T).quality)
    return Result(
        contender.name,
        _measures(_OF_PAIR, values(np.arange(len(order))), ends, _calibration(bench, contender)),
        frontier,
    )


def of_many(bench: Bench, contender: Contender, draws: int = 1000, seed: int = 0) -> Result:
    """Measure a contender on any number of models; see ``measure``. Its gain is measured against the best mixture of
    single models."""
    picks = (
        by_score(bench, contender.ranking) if contender.predicted is None else by_quality(bench, contender.predicted)
    )
    cost, quality = outcomes_of(bench, picks)
    columns = np.hstack([cost.T, quality.T, bench.cost, bench.quality])
    widths = (len(picks), len(picks), len(bench.models))
    best = bench.best
    cheapest = int(bench.mixture[0])

    def values(means: Floats) -> list[float]:
        cost, quality, model_cost, model_quality = np.split(means, np.cumsum(widths))
        span = (model_cost[cheapest], model_cost[best])
        found = aiq(np.append(cost, model_cost[cheapest]), np.append(quality, model_quality[cheapest]), *span)
        corners = hull(cost, quality)
        target = SHARE * model_quality[best]
        return [
            found,
            float(quality.max()),
            _share(cost_at(cost[corners], quality[corners], target), float(model_cost[best])),
            found - aiq(model_cost, model_quality, *span),
        ]

    resampled = resampled_means(columns, draws=draws, seed=seed) if draws else ()
    ends = intervals(np.array([values(means) for means in resampled])) if draws else None
    return Result(
        contender.name,
        _measures(_OF_MANY, values(columns.mean(axis=0)), ends, _calibration(bench, contender)),
        Frontier(cost.mean(axis=1), quality.mean(axis=1)),
    )


def _share(cost: float, whole: float) -> float:
    """A part of a cost; not defined where that is nothing."""
    return cost / whole if whole else float("nan")


def _measures(
    names: tuple[str, ...], values: list[float], ends: Floats | None, calibration: float
) -> dict[str, Measure]:
    bounds = np.full((len(names), 2), np.nan) if ends is None else ends
    told = {name: Measure(float(value), *end) for name, value, end in zip(names, values, bounds.tolist(), strict=True)}
    return {**told, "ece": Measure(calibration, float("nan"), float("nan"))}


def _calibration(bench: Bench, contender: Contender) -> float:
    predicted = contender.predicted
    return float("nan") if predicted is None else ece(predicted.ravel(), bench.quality[:, : predicted.shape[1]].ravel())


def _costs(bench: Bench, contender: Contender) -> Floats:
    """What an example costs if it stays with the weak model, and if it goes to the strong one: shape (examples, 2)."""
    if not contender.cascade:
        return bench.cost
    return np.column_stack([bench.cost[:, 0], bench.cost.sum(axis=1)])
