"""The table of outcomes that routings are measured on: one row per example, one column per model. Needs numpy (extra
``learn``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from router_core.errors import ConfigError
from router_core.learning.examples import STRONG, WEAK, Example
from router_core.learning.metrics import Floats, Indices, Point, hull
from router_core.registry import did_you_mean
from router_core.types import Price

_PAIR = 2
_PER_MILLION = 1e6
_SHOWN = 12
"""Names of models in a message."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Outcomes of models on the same examples.

    Columns are in tier order, weakest first: the cheapest first for more than two. ``quality`` (0..1) and ``cost`` have
    shape (examples, models). Costs are US dollars if ``in_dollars``, else shares of calls: 1 for the strong model of
    two and 0 for the weak.
    """

    models: tuple[str, ...]
    examples: tuple[Example, ...]
    quality: Floats
    cost: Floats
    in_dollars: bool

    @property
    def is_pair(self) -> bool:
        """Whether there are two models: a weak one and a strong one."""
        return len(self.models) == _PAIR

    @property
    def points(self) -> tuple[Point, ...]:
        """Mean cost and mean quality of each model."""
        return tuple(map(Point, self.cost.mean(axis=0).tolist(), self.quality.mean(axis=0).tolist()))

    @property
    def best(self) -> int:
        """The column of the best single model; of equal ones the cheapest."""
        points = self.points
        return min(range(len(points)), key=lambda column: (-points[column].quality, points[column].cost))

    @property
    def mixture(self) -> Indices:
        """The columns of the models that no mixture of single models beats, cheapest first."""
        return hull(*np.array(self.points).T)


def bench_of(examples: Sequence[Example], models: Sequence[str], prices: Mapping[str, Price] | None = None) -> Bench:
    """The outcomes of these models, on the examples that have one of each.

    Args:
        examples: what was measured.
        models: the names of two models, the weak one first, or of more in any order.
        prices: for models whose outcomes tell tokens but no cost, in US dollars per million tokens.

    Raises:
        ConfigError: no example has all of the models, the strong model is not better than the weak one, or costs are
            known for some outcomes only (for more than two models: for none).
    """
    kept = tuple(example for example in examples if example.outcomes.keys() >= set(models))
    if not kept:
        counts = {name: sum(name in example.outcomes for example in examples) for name in models}
        rare = min(counts, key=lambda name: counts[name])
        raise ConfigError(
            f"models: no example has an outcome of all of {_named(models)}; {rare!r} has {counts[rare]} of "
            f"{len(examples)}: leave it out, or measure it on the others too"
        )
    quality = np.array([[example.outcomes[name].quality for name in models] for example in kept])
    costs = _costs(kept, models, prices or {})
    names = tuple(models)
    bench = Bench(names, kept, quality, _shares(len(kept)) if costs is None else costs, costs is not None)
    if bench.is_pair:
        return _with_a_gap(bench)
    order = np.argsort(bench.cost.mean(axis=0), kind="stable")
    return Bench(tuple(names[at] for at in order), kept, quality[:, order], bench.cost[:, order], bench.in_dollars)


def chosen_models(
    examples: Iterable[Example], *, weak: str | None = None, strong: str | None = None, models: Sequence[str] = ()
) -> tuple[str, ...]:
    """Which models to measure: the weak and the strong one, or all of ``models``, or all that have outcomes.

    Of two models whose places are not given, "weak" and "strong" are what they say, else the better one is the strong.

    Raises:
        ConfigError: a name is unknown or given twice, ``weak`` or ``strong`` is given beside ``models``, or there is
            only one model.
    """
    sums: defaultdict[str, list[float]] = defaultdict(list)
    for example in examples:
        for name, outcome in example.outcomes.items():
            sums[name].append(outcome.quality)
    for field, given_name in (("weak", weak), ("strong", strong), *(("models", name) for name in models)):
        if given_name is not None and given_name not in sums:
            hint = did_you_mean(given_name, sums)
            raise ConfigError(f"{field}: {given_name!r} has no outcomes{hint}; there are {_named(sums)}")
    in_places = weak is not None or strong is not None
    if in_places and models:
        raise ConfigError("models: are given beside weak or strong; give the two, or any number of models")
    if in_places:
        given = [weak or _left(sums, strong, "weak"), strong or _left(sums, weak, "strong")]
    else:
        given = list(models or sums)
    if len(set(given)) < max(len(given), _PAIR):
        raise ConfigError(f"models: routing is between different models, two at least, not {_named(given)}; name them")
    if in_places or len(given) > _PAIR:
        return tuple(given)
    return tuple(sorted(given, key=lambda name: (name != WEAK, name == STRONG, float(np.mean(sums[name])))))


def _left(known: Iterable[str], other: str | None, field: str) -> str:
    """The one model that is left for a place that is not given."""
    left = [name for name in known if name != other]
    if len(left) != 1:
        raise ConfigError(f"{field}: which of {_named(left)} it is is not said; give its name")
    return left[0]


def _with_a_gap(bench: Bench) -> Bench:
    (weak, strong), (low, high) = bench.models, bench.points
    if high.quality <= low.quality:
        raise ConfigError(
            f"strong: {strong!r} is not better than {weak!r} here ({high.quality:.3f} and {low.quality:.3f} on "
            f"{len(bench.examples)} examples): there is nothing to route for; change places, or give other models"
        )
    return bench


def _costs(examples: Sequence[Example], models: Sequence[str], prices: Mapping[str, Price]) -> Floats | None:
    """The cost of each outcome in US dollars, shape (examples, models); None if none is known and two models do
    without."""
    costs = np.array([[_cost(example, name, prices.get(name)) for name in models] for example in examples])
    known = np.isfinite(costs).sum(axis=0)
    if known.min() == len(examples):
        return costs
    if not known.any() and len(models) == _PAIR and not prices:
        return None
    worst = int(np.argmin(known))
    raise ConfigError(
        f"cost_usd: {len(examples) - int(known[worst])} of {len(examples)} outcomes of {models[worst]!r} have no cost; "
        "give each outcome its cost_usd, or its input_tokens and output_tokens, and the model's price (--price "
        "MODEL=IN,OUT)"
    )


def _cost(example: Example, model: str, price: Price | None) -> float:
    outcome = example.outcomes[model]
    if outcome.cost_usd is not None:
        return outcome.cost_usd
    if price is None or outcome.input_tokens is None or outcome.output_tokens is None:
        return float("nan")
    dollars = outcome.input_tokens * float(price.input) + outcome.output_tokens * float(price.output)
    return dollars / _PER_MILLION


def _shares(examples: int) -> Floats:
    return np.tile([0.0, 1.0], (examples, 1))


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(map(repr, listed[:_SHOWN])) + more
