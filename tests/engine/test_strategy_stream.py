"""The strategy memory on simulated streams with fixed seeds: cost falls, quality holds, and what turns bad is left."""

from __future__ import annotations

import random
from collections.abc import Mapping
from statistics import fmean

import pytest

from router_core.learning.strategy import Place, Why
from router_core.policies import StrategyMemoryPolicy
from router_core.records import Candidate, Decision, Reason
from router_core.types import Model, RequestView, Turn

COSTS = {"tiny": 2, "small": 10, "large": 100}
QUALITY: Mapping[str, Mapping[str, float]] = {
    "summary": {"tiny": 0.9, "small": 0.92, "large": 0.92},
    "code": {"tiny": 0.3, "small": 0.6, "large": 0.8},
    "extraction": {"tiny": 0.7, "small": 0.97, "large": 0.95},
    "reasoning": {"tiny": 0.2, "small": 0.5, "large": 0.7},
}
"""The share of good answers, by task and model."""
EVERY = 10
"""One call of so many of a task is audited."""


class Stream:
    """Requests whose answers are good by chance, and a memory that serves them."""

    def __init__(self, seed: int) -> None:
        self.memory = StrategyMemoryPolicy(tiers=list(COSTS))
        self.quality = {task: dict(of) for task, of in QUALITY.items()}
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._calls = dict.fromkeys(QUALITY, 0)
        self._candidates = [Candidate(Model(name=n, id=n, provider="p", endpoint="e"), c) for n, c in COSTS.items()]

    def call(self, task: str) -> tuple[str, float, float]:
        """The model that answered, how good it was, and what it cost with its audit."""
        good = {name: float(self._random.random() < share) for name, share in self.quality[task].items()}
        view = RequestView(turns=(Turn("user", ""),), input_bytes=0, tags=frozenset({f"task:{task}"}))
        choice = self.memory.decide(view, self._candidates)
        self._calls[task] += 1
        audit = self._audit(task, choice.start, good) if self._calls[task] % EVERY == 0 else 0
        return choice.start, good[choice.start], COSTS[choice.start] + audit

    def any_call(self) -> tuple[str, float, float]:
        return self.call(self._random.choice(list(QUALITY)))

    def _audit(self, task: str, start: str, good: Mapping[str, float]) -> float:
        features = {"call_site": "", "task": task}
        names = tuple(COSTS)
        decision = Decision("strategy", Reason.BASELINE, names, (), tuple(self._candidates), (), features=features)
        rivals = self.memory.rivals(decision)
        asked = {model for model in (rivals.strongest, rivals.challenger, start) if model}
        self.memory.judged(Place("", task), {model: good[model] for model in asked}, "simulated")
        return sum(COSTS[model] for model in asked - {start})


@pytest.mark.parametrize("seed", range(2))
def test_cost_falls_and_quality_stays_within_one_percent_of_the_strongest(seed: int) -> None:
    stream = Stream(seed)
    served = [stream.any_call() for _ in range(8_000)]
    strongest = fmean(of["large"] for of in QUALITY.values())
    assert fmean(good for _, good, _ in served) >= 0.99 * strongest
    assert fmean(cost for _, _, cost in served) <= 85
    assert fmean(cost for _, _, cost in served[4_000:]) <= 80
    last = {step.place.task: step.to_model for step in stream.memory.contents.steps}
    assert last["extraction"] == "small"
    assert {"code", "reasoning"}.isdisjoint(task for task, model in last.items() if model != "large")


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_turns_bad_is_left_within_the_stated_number_of_calls(seed: int) -> None:
    stream = Stream(seed)
    for _ in range(3_000):
        stream.call("extraction")
    while stream.call("extraction")[0] == "large":
        pass
    stream.quality["extraction"] |= {"tiny": 0.0, "small": 0.0}
    calls = sum(1 for _ in iter(lambda: stream.call("extraction")[0] == "large", True))
    # 0.88 is three standard deviations below the 0.95 of the strongest, which is known by chance.
    assert calls <= (stream.memory.bad_outcomes_to_leave(0.88) + 1) * EVERY
    assert stream.memory.contents.steps[-1].why in {Why.TURNED_BAD, Why.FELL_SHORT}
