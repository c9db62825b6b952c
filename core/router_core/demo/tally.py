"""What the receipts of a run add up to, and how runs compare. Nothing here is counted anywhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from router_core.demo.script import Prompt
from router_core.records import Attempt, AttemptOutcome, Receipt
from router_core.types import Model, Usage, add_nano

WEAKEST = "always the weakest"
RANDOM = "random start"
CLIMB = "cheapest first"
ROUTED = "routed"
STRONGEST = "always the strongest"
"""The ways to run all prompts that are compared, by their labels."""

ESCALATED = "escalated"
FALLBACK = "fallback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one prompt. ``text`` is the answer as it is shown, None if there was none (``error`` says why)."""

    prompt: Prompt
    receipt: Receipt
    text: str | None
    error: str | None = None

    @property
    def good(self) -> bool | None:
        """Whether the answer is marked as good; None for a model whose answers are not in the script."""
        if self.receipt.model is None:
            return False
        answer = self.prompt.answers.get(self.receipt.model)
        return None if answer is None else answer.fault is None

    @property
    def way(self) -> str:
        """How the request came to its last model: the reason of the decision, or that it climbed or fell back."""
        before = self.receipt.attempts[:-1]
        if before:
            return FALLBACK if before[-1].outcome is AttemptOutcome.FAILED else ESCALATED
        decision = self.receipt.decision
        return decision.reason.value if decision else "undecided"


def code(attempt: Attempt) -> str:
    """Why an attempt was not the end: the verifier's code or the kind of failure; "ok" if nothing was wrong."""
    if attempt.failure is not None:
        return attempt.failure.value
    return attempt.verdict.code if attempt.verdict else "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The sums of one run. ``good`` counts the answers marked as good (None without marks), ``cost_nano`` is None as
    soon as one price is unknown. ``ways`` counts requests by answering model and by ``Outcome.way``; ``escalations``,
    ``fallbacks`` and ``served_anyway`` count attempts by their code."""

    requests: int
    answered: int
    good: int | None
    cost_nano: int | None
    usage: Usage
    calls: int
    ways: Mapping[str, Mapping[str, int]]
    escalations: Mapping[str, int]
    fallbacks: Mapping[str, int]
    served_anyway: Mapping[str, int]

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Totals:
        """The totals of these outcomes."""
        marks = [outcome.good for outcome in outcomes]
        cost: int | None = 0
        usage = Usage()
        ways: dict[str, Counter[str]] = {}
        for outcome in outcomes:
            receipt = outcome.receipt
            cost = add_nano(cost, receipt.cost_nano)
            usage += receipt.usage
            if receipt.model is not None:
                ways.setdefault(receipt.model, Counter())[outcome.way] += 1
        attempts = [attempt for outcome in outcomes for attempt in outcome.receipt.attempts]

        def codes(wanted: AttemptOutcome) -> Mapping[str, int]:
            return dict(Counter(code(attempt) for attempt in attempts if attempt.outcome is wanted))

        return cls(
            requests=len(outcomes),
            answered=sum(outcome.receipt.model is not None for outcome in outcomes),
            good=None if None in marks else sum(mark is True for mark in marks),
            cost_nano=cost,
            usage=usage,
            calls=len(attempts),
            ways={model: dict(count) for model, count in ways.items()},
            escalations=codes(AttemptOutcome.REJECTED),
            fallbacks=codes(AttemptOutcome.FAILED),
            served_anyway=codes(AttemptOutcome.SERVED),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One way to run all prompts, to compare with others; more than one run where chance decides."""

    label: str
    note: str
    runs: tuple[Totals, ...]

    @property
    def cost_nano(self) -> float:
        """Nano-dollars, the mean of the runs."""
        return fmean(run.cost_nano or 0 for run in self.runs)

    @property
    def good(self) -> float:
        """The share of good answers, 0..1, the mean of the runs."""
        return fmean((run.good or 0) / run.requests for run in self.runs)

    @property
    def good_range(self) -> tuple[float, float]:
        """The smallest and the largest share of good answers."""
        shares = [(run.good or 0) / run.requests for run in self.runs]
        return min(shares), max(shares)

    @property
    def calls(self) -> float:
        """Calls of models, the mean of the runs."""
        return fmean(run.calls for run in self.runs)


def mixed_share(cheap: Row, dear: Row, cost_nano: float) -> float:
    """The share of good answers of a coin that runs each request in one of two ways, weighted so that all of it costs
    ``cost_nano``: the straight line between the two."""
    weight = (cost_nano - cheap.cost_nano) / (dear.cost_nano - cheap.cost_nano)
    return cheap.good + weight * (dear.good - cheap.good)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that the demo shows. ``rows`` compares ways to run the prompts (empty with live models), ``routed`` is the
    run that is told in full; ``seconds`` is the median time that a routed request took."""

    live: bool
    models: tuple[Model, ...]
    policy: str
    verifiers: tuple[str, ...]
    routed: tuple[Outcome, ...]
    totals: Totals
    rows: tuple[Row, ...]
    baseline_nano: int | None
    seconds: float
