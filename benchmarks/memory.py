"""The strategy memory on a simulated stream of public outcomes: what it costs, how good it is, and how soon it leaves a
model that turns bad.

    uv run python benchmarks/memory.py FOLDER [--calls 20000] [--share 0.1] [--seeds 3]

Requests are drawn from the outcomes, with replacement; the groups of the data are the task types.
A share of the calls is audited: the strongest model and a challenger are asked beside the remembered one, at their
cost, and the recorded outcomes are the judgements. The strongest model is the best single one. In the second part the
cheap model of one task answers everything wrong from some moment on.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from outcomes import dcrouter, mmlu_pro

from router_core.learning.examples import Example
from router_core.learning.strategy import Place
from router_core.policies import StrategyMemoryPolicy
from router_core.records import Candidate, Decision, Reason
from router_core.types import NANO, Model, RequestView, Turn

QUALITY = 0.8
"""Of both models in the second part, before one turns bad."""
RUNS = 100


class Stream(NamedTuple):
    """Outcomes to draw from, and the models, from the cheapest to the best single one."""

    examples: Sequence[Example]
    models: Sequence[str]
    costs: Mapping[str, float]


class Outcome(NamedTuple):
    """What a run came to, as shares of the strongest model's: quality and cost of all calls (audits in the cost), and
    of the second half alone; and how many steps it took."""

    quality: float
    cost: float
    later_quality: float
    later_cost: float
    steps: int


class Simulation:
    """A memory that serves a stream. One call of each block of ``1 / share`` calls of a task is audited."""

    def __init__(self, stream: Stream, share: float, seed: int) -> None:
        self.stream = stream
        self.memory = StrategyMemoryPolicy(tiers=stream.models)
        self._random = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._every = round(1 / share)
        self._due: dict[str, tuple[int, int]] = {}
        self._candidates = [
            Candidate(Model(name=name, id=name, provider="p", endpoint="e"), round(stream.costs[name] * NANO))
            for name in stream.models
        ]

    def serve(self, task: str, qualities: Mapping[str, float]) -> tuple[str, float]:
        """One request: the model that answers, and what the audit costs beside, if there is one."""
        view = RequestView(turns=(Turn("user", ""),), input_bytes=0, tags=frozenset({f"task:{task}"}))
        start = self.memory.decide(view, self._candidates).start
        return start, self._audit(task, start, qualities) if self._is_due(task) else 0.0

    def _audit(self, task: str, start: str, qualities: Mapping[str, float]) -> float:
        features = {"call_site": "", "task": task}
        names = tuple(self.stream.models)
        decision = Decision("strategy", Reason.BASELINE, names, (), tuple(self._candidates), (), features=features)
        rivals = self.memory.rivals(decision)
        asked = {model for model in (rivals.strongest, rivals.challenger) if model} if rivals else set()
        self.memory.judged(Place("", task), {model: qualities[model] for model in {start, *asked}}, "recorded")
        return sum(self.stream.costs[model] for model in asked - {start})

    def _is_due(self, task: str) -> bool:
        count, chosen = self._due.get(task, (0, 0))
        chosen = chosen if count else self._random.randrange(self._every)
        self._due[task] = ((count + 1) % self._every, chosen)
        return count == chosen


def run(stream: Stream, calls: int, share: float, seed: int) -> Outcome:
    """Serve a stream of that many calls."""
    simulation, rng = Simulation(stream, share, seed), random.Random(seed)  # noqa: S311 - reproducible, not secret
    strongest = stream.models[-1]
    served: list[tuple[float, float, float]] = []
    for _ in range(calls):
        example = rng.choice(stream.examples)
        qualities = {name: outcome.quality for name, outcome in example.outcomes.items()}
        model, audit = simulation.serve(str(example.call_site), qualities)
        served.append((qualities[model], stream.costs[model] + audit, qualities[strongest]))
    whole, later = (_shares(part, stream.costs[strongest]) for part in (served, served[calls // 2 :]))
    return Outcome(*whole, *later, len(simulation.memory.contents.steps))


def calls_to_leave(stream: Stream, share: float, seed: int) -> int:
    """How many calls of a task a model still answers that answers everything wrong from some moment on.

    Before, it is as good as the strongest, and the memory has known both for long.
    """
    simulation = Simulation(stream, share, seed)
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    cheap, strongest = stream.models[0], stream.models[-1]

    def call(*, bad: bool) -> str:
        good = {name: float(rng.random() < QUALITY) for name in stream.models}
        return simulation.serve("task", {**good, cheap: 0.0} if bad else good)[0]

    while call(bad=False) == strongest:
        pass
    for _ in range(round(200 / share)):
        call(bad=False)
    # Chance may have it that the cheap model has just been left.
    while call(bad=False) != cheap:
        pass
    return sum(1 for _ in iter(lambda: call(bad=True), strongest))


def bound(share: float) -> int:
    """The most calls that a model may answer after it turned bad: the memory's own bound in judgements, each of which
    falls into one block of ``1 / share`` calls. The strongest model may look worse than it is, by three standard
    deviations of what is known of it."""
    memory = StrategyMemoryPolicy()
    doubt = 3 * (QUALITY * (1 - QUALITY) / memory.limits.length / 2) ** 0.5
    return round((memory.bad_outcomes_to_leave(QUALITY - doubt) + 1) / share)


def stream_of(examples: Sequence[Example]) -> Stream:
    """The stream of a data set: its models of no more than the best single model's cost, the best last."""
    names = list(examples[0].outcomes)
    quality = {name: fmean(each.outcomes[name].quality for each in examples) for name in names}
    costs = {name: fmean(each.outcomes[name].cost_usd or 0 for each in examples) for name in names}
    best = max(names, key=lambda name: quality[name])
    cheaper = sorted((name for name in names if costs[name] < costs[best]), key=lambda name: costs[name])
    return Stream(examples, [*cheaper, best], costs)


def _shares(served: Sequence[tuple[float, float, float]], strongest_cost: float) -> tuple[float, float]:
    quality, cost, best = (fmean(column) for column in zip(*served, strict=True))
    return quality / best, cost / strongest_cost


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    print(
        f"{given.calls} calls, {given.share:.0%} audited, mean of {given.seeds} seeds, shares of the strongest model's"
    )
    print("data set        models  quality   cost   2nd half: quality   cost   steps")
    pair = ("gemini-1.5-flash-002", "gemini-1.5-pro-002")
    sets = {
        "dcrouter": dcrouter(given.folder),
        "mmlu_pro": mmlu_pro(given.folder),
        "mmlu_pro, pair": mmlu_pro(given.folder, pair),
    }
    for name, examples in sets.items():
        stream = stream_of(examples)
        found = [run(stream, given.calls, given.share, seed) for seed in range(given.seeds)]
        quality, cost, later_quality, later_cost, steps = (fmean(column) for column in zip(*found, strict=True))
        later = f"{later_quality:17.1%} {later_cost:6.1%} {steps:7.1f}"
        print(f"{name:15} {len(stream.models):6} {quality:8.1%} {cost:6.1%} {later}")
    stream = Stream([], ["cheap", "strong"], {"cheap": 0.1, "strong": 1.0})
    left = [calls_to_leave(stream, given.share, seed) for seed in range(RUNS)]
    print(
        f"a model that turns bad answers {fmean(left):.0f} more calls in mean, {max(left)} at most in {RUNS} runs; the"
    )
    print(f"bound is {bound(given.share)}")


if __name__ == "__main__":
    main()
