"""Outcomes that a ledger cannot have seen: of the models that a request did not need."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from router_core.learning.examples import Example, Outcome

GOOD = 0.5
"""From this quality on an answer is taken for a good one."""


def completed(examples: Sequence[Example], models: Sequence[str]) -> list[Example]:
    """The examples, with an outcome of every model that is stronger than one that answered.

    A cascade asks the stronger model only where the weaker one's answer was rejected. Where that was good, the stronger
    one is taken to have answered as well; where it was not, as well as it did on average where it was asked, if it ever
    was. Its answers cost what they cost on average. Nothing is assumed of weaker models.

    Args:
        examples: as they were observed.
        models: weakest first.
    """
    costs, qualities = _mean_costs(examples), _mean_qualities(examples)
    return [replace(example, outcomes=_filled(example.outcomes, models, costs, qualities)) for example in examples]


def by_cost(examples: Sequence[Example]) -> tuple[str, ...]:
    """The models that have outcomes, cheapest first; those of unknown cost last, by name."""
    names = {name for example in examples for name in example.outcomes}
    costs = _mean_costs(examples)
    return tuple(sorted(names, key=lambda name: (costs.get(name, math.inf), name)))


def _filled(
    outcomes: Mapping[str, Outcome], models: Sequence[str], costs: Mapping[str, float], qualities: Mapping[str, float]
) -> dict[str, Outcome]:
    found = dict(outcomes)
    reached: float | None = None
    for model in models:
        if model in found:
            reached = max(found[model].quality, reached or 0.0)
        elif reached is not None:
            quality = reached if reached >= GOOD else qualities.get(model)
            if quality is not None:
                found[model] = Outcome(quality=max(reached, quality), cost_usd=costs.get(model))
    return found


def _mean_qualities(examples: Sequence[Example]) -> dict[str, float]:
    seen: defaultdict[str, list[float]] = defaultdict(list)
    for example in examples:
        for model, outcome in example.outcomes.items():
            seen[model].append(outcome.quality)
    return {model: sum(qualities) / len(qualities) for model, qualities in seen.items()}


def _mean_costs(examples: Sequence[Example]) -> dict[str, float]:
    seen: defaultdict[str, list[float]] = defaultdict(list)
    for example in examples:
        for model, outcome in example.outcomes.items():
            if outcome.cost_usd is not None:
                seen[model].append(outcome.cost_usd)
    return {model: sum(costs) / len(costs) for model, costs in seen.items()}
