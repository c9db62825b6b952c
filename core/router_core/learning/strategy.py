"""What the strategy memory knows, and what follows from it: evidence by call site, task type and model, and the steps
that were taken. Values and arithmetic only: no thread, no clock, no file.

Evidence fades: each outcome of a model leaves ``1 - 1/length`` of what was known of it before. Whoever adds evidence
therefore adds an ``Increment`` ("keep so much of what is there, and add this"), and never writes a state: additions of
several processes are all counted, in whichever order they come.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from router_core.learning.beta import Beta, at_least
from router_core.types import Json

PRIOR = Beta(0.5, 0.5)
"""What is believed of a model of which nothing is known: Jeffreys' prior, by which intervals for a share cover about as
often as they say."""
YARDSTICK_PRIOR = Beta(4.0, 0.5)
"""What is believed of the strongest model of which nothing is known: that it answers well. As it is what others are
held against, evidence must show that it does not."""
BORROWED = 4.0
"""So many outcomes at most are what the same task type tells at all other call sites: by judgement, a weak hint."""
LEAST = 8.0
"""So many outcomes of a model must be known at a call site before it is moved to: luck of the first few is not enough,
nor is what was borrowed."""
RECENT_LENGTH = 15.0
"""How many of the latest judgements the alarm looks at."""
ALARM = 0.01
"""A model is left at once, whatever was known of it before, if the latest judgements alone leave it so small a chance
to be as good as the strongest: so small that it hardly ever happens to a model that is, by simulation."""
VERIFIED_LENGTH = 20.0
"""How many of the latest verdicts of verifiers count: there is one for every call."""
VERIFIED_PRIOR = 4.0
"""So many accepted answers are taken for granted, so that a first rejected one decides nothing."""
MOST_REJECTED = 0.3
"""A larger share of rejected drafts costs more time than a cheap start saves money: by judgement."""


class Kind(StrEnum):
    """Where an outcome comes from: a judgement of the answer's quality, of which the latest are also kept apart, or the
    verifiers of the router."""

    JUDGED = "judged"
    RECENT = "recent"
    VERIFIED = "verified"


class Why(StrEnum):
    """Why the memory took a step."""

    SUFFICES = "suffices"
    FELL_SHORT = "fell_short"
    TURNED_BAD = "turned_bad"
    REJECTED = "rejected_too_often"
    RESET = "reset"


class Place(NamedTuple):
    """What is remembered apart: a call site ("" where the application names none) and a task type."""

    call_site: str
    task: str


class Cell(NamedTuple):
    """What evidence is about."""

    place: Place
    model: str
    kind: Kind


class Evidence(NamedTuple):
    """Outcomes, faded: ``good`` and ``bad`` count the latest ones most. ``all_good`` and ``all_bad`` do not fade. An
    outcome may be a part good and a part bad."""

    good: float = 0.0
    bad: float = 0.0
    all_good: float = 0.0
    all_bad: float = 0.0

    @property
    def weight(self) -> float:
        """How many outcomes it is worth."""
        return self.good + self.bad


class Increment(NamedTuple):
    """What to add to a cell: ``keep`` (0..1) of what is there stays."""

    cell: Cell
    keep: float
    added: Evidence

    def to(self, before: Evidence) -> Evidence:
        """The evidence after it."""
        added = self.added
        return Evidence(
            before.good * self.keep + added.good,
            before.bad * self.keep + added.bad,
            before.all_good + added.all_good,
            before.all_bad + added.all_bad,
        )

    def then(self, later: Increment) -> Increment:
        """Both in one, this one first."""
        return Increment(self.cell, self.keep * later.keep, later.to(self.added))


class Step(NamedTuple):
    """One move of the memory: at a place, from one model to another. ``number`` counts the steps of a place from 1.

    ``at`` is in seconds since 1970, ``detail`` what the last judgement said, and ``evidence`` (JSON) what was known of
    the models concerned: outcomes and the chance that each is as good as the strongest.
    """

    place: Place
    number: int
    at: float
    from_model: str
    to_model: str
    why: Why
    detail: str = ""
    evidence: Mapping[str, Json] = {}


class Batch(NamedTuple):
    """What one writer adds at once. ``number`` rises from batch to batch of a writer: one that comes again is known by
    it and not counted twice. ``at`` is in seconds since 1970."""

    writer: str
    number: int
    at: float
    increments: tuple[Increment, ...] = ()
    steps: tuple[Step, ...] = ()


class Contents(NamedTuple):
    """All that a memory holds."""

    evidence: Mapping[Cell, Evidence] = {}
    steps: tuple[Step, ...] = ()


class Limits(NamedTuple):
    """When to move. A cheaper model suffices if P(its quality >= the strongest's - ``margin``) is ``level`` at least,
    and falls short when that is below ``leave``. ``length`` is how many of the latest judgements count."""

    margin: float = 0.05
    level: float = 0.8
    leave: float = 0.3
    length: float = 100.0


def outcome(cell: Cell, quality: float, length: float) -> Increment:
    """One outcome of a model, 0 bad to 1 good, as an increment."""
    bad = 1.0 - quality
    return Increment(cell, 1.0 - 1.0 / length, Evidence(quality, bad, quality, bad))


def judgement(place: Place, model: str, quality: float, length: float) -> tuple[Increment, ...]:
    """One judgement of a model's answer, as increments."""
    return (
        outcome(Cell(place, model, Kind.JUDGED), quality, length),
        outcome(Cell(place, model, Kind.RECENT), quality, min(length, RECENT_LENGTH)),
    )


def judged_again(
    book: MemoryBook, place: Place, model: str, quality: float, length: float, earlier: tuple[float, float] | None
) -> tuple[tuple[Increment, ...], float]:
    """Like ``judgement``, for an answer that may have been judged ``earlier``: with that quality, as the model's so
    many-th. As much of that judgement as has not faded yet is then replaced. Returns also the number of this one."""
    fresh = judgement(place, model, quality, length)
    count = sum(book.of(place, model)[2:])
    if earlier is None:
        return fresh, count + 1
    change, number = quality - earlier[0], earlier[1]
    changed = []
    for cell, keep, _ in fresh:
        left = change * keep ** max(0.0, count - number)
        # What was forgotten since cannot be taken back.
        added = zip((left, -left, change, -change), book.of(place, model, cell.kind), strict=True)
        changed.append(Increment(cell, 1.0, Evidence(*(max(more, -there) for more, there in added))))
    return tuple(changed), number


def merged(increments: Iterable[Increment]) -> tuple[Increment, ...]:
    """The same increments, one for each cell."""
    by_cell: dict[Cell, Increment] = {}
    for each in increments:
        before = by_cell.get(each.cell)
        by_cell[each.cell] = each if before is None else before.then(each)
    return tuple(by_cell.values())


class MemoryBook:
    """The evidence and the steps of a memory, by cell and by place. Not thread-safe."""

    def __init__(self, contents: Contents = Contents()) -> None:  # noqa: B008 - it cannot be changed
        self._evidence: dict[Cell, Evidence] = dict(contents.evidence)
        self._steps: dict[Place, dict[int, Step]] = {}
        self._writers: dict[str, int] = {}
        self._pooled: dict[tuple[str, str], tuple[float, float]] = {}
        for cell, evidence in self._evidence.items():
            self._pool(cell, Evidence(), evidence)
        for step in contents.steps:
            self._steps.setdefault(step.place, {})[step.number] = step

    @property
    def contents(self) -> Contents:
        """All of it; the steps in the order in which they were taken."""
        steps = [step for of in self._steps.values() for step in of.values()]
        return Contents(dict(self._evidence), tuple(sorted(steps, key=lambda step: (step.at, step.number))))

    def apply(self, batch: Batch, *, anew: bool = False) -> bool:
        """Add a batch, with ``anew`` in place of all that is known, and say whether it was new."""
        if self._writers.get(batch.writer, 0) >= batch.number:
            return False
        self._writers[batch.writer] = batch.number
        if anew:
            for known in (self._evidence, self._steps, self._pooled):
                known.clear()
        for increment in batch.increments:
            self.add(increment)
        for step in batch.steps:
            self.take(step)
        return True

    def add(self, increment: Increment) -> None:
        """Add evidence."""
        before = self._evidence.get(increment.cell, Evidence())
        after = self._evidence[increment.cell] = increment.to(before)
        self._pool(increment.cell, before, after)

    def take(self, step: Step) -> None:
        """Take a step. If another process took the step of this number first, that one stays."""
        self._steps.setdefault(step.place, {}).setdefault(step.number, step)

    def of(self, place: Place, model: str, kind: Kind = Kind.JUDGED) -> Evidence:
        """What is known of a model at a place."""
        return self._evidence.get(Cell(place, model, kind), Evidence())

    def last_step(self, place: Place) -> Step | None:
        """The latest step of a place."""
        steps = self._steps.get(place)
        return steps[max(steps)] if steps else None

    def part(self, place: Place, models: Iterable[str]) -> MemoryBook:
        """What of it bears on these models at a place, to compute with while others go on."""
        part = MemoryBook()
        for model in models:
            for kind in Kind:
                part._evidence[Cell(place, model, kind)] = self.of(place, model, kind)
            part._pooled[place.task, model] = self._pooled.get((place.task, model), (0.0, 0.0))
        part._steps = {place: dict(self._steps.get(place, {}))}
        return part

    def quality(self, place: Place, model: str, prior: Beta = PRIOR) -> Beta:
        """The posterior of a model's quality at a place: the prior, a little of what the same task type tells at other
        call sites, and what is known here."""
        own = self.of(place, model)
        good, bad = self._pooled.get((place.task, model), (0.0, 0.0))
        good, bad = max(0.0, good - own.good), max(0.0, bad - own.bad)
        share = BORROWED / max(BORROWED, good + bad)
        return Beta(prior.a + own.good + share * good, prior.b + own.bad + share * bad)

    def chance(self, place: Place, model: str, yardstick: str, margin: float) -> float:
        """P(quality of the model >= quality of the strongest - margin) at a place."""
        if model == yardstick:
            return 1.0
        return at_least(self.quality(place, model), self.quality(place, yardstick, YARDSTICK_PRIOR), margin)

    def recent_chance(self, place: Place, model: str, yardstick: str, margin: float) -> float:
        """The same by the latest judgements of the model alone."""
        latest = self.of(place, model, Kind.RECENT)
        own = Beta(PRIOR.a + latest.good, PRIOR.b + latest.bad)
        return at_least(own, self.quality(place, yardstick, YARDSTICK_PRIOR), margin)

    def rejected(self, place: Place, model: str) -> float:
        """The share of the model's drafts that verifiers reject."""
        seen = self.of(place, model, Kind.VERIFIED)
        return seen.bad / (seen.weight + VERIFIED_PRIOR)

    def _pool(self, cell: Cell, before: Evidence, after: Evidence) -> None:
        if cell.kind is Kind.JUDGED:
            key = (cell.place.task, cell.model)
            good, bad = self._pooled.get(key, (0.0, 0.0))
            self._pooled[key] = (good + after.good - before.good, bad + after.bad - before.bad)


class Rung(NamedTuple):
    """A model that a place may move to, and its cost as a share of the strongest's (1 for the strongest itself)."""

    model: str
    cost: float


def next_step(
    book: MemoryBook, place: Place, ladder: Sequence[Rung], limits: Limits, *, at: float, detail: str = ""
) -> Step | None:
    """The step that the evidence asks for at a place, or None. ``ladder`` is in the order of cost, the strongest model
    last."""
    yardstick = ladder[-1].model
    last = book.last_step(place)
    current = last.to_model if last else yardstick
    number = last.number + 1 if last else 1
    costs = {rung.model: rung.cost for rung in ladder}
    known = [model for model in costs if model == current or book.of(place, model).weight >= LEAST]
    chances = {model: book.chance(place, model, yardstick, limits.margin) for model in known}
    why = _why_leave(book, place, current, costs, chances, limits, yardstick=yardstick)
    below = math.inf if why else costs.get(current, 1.0)
    for model, cost in costs.items():
        enough = model != current and chances.get(model, 0.0) >= limits.level
        if enough and cost < below and not rejected_too_often(book, place, model, cost):
            return Step(place, number, at, current, model, why or Why.SUFFICES, detail, _told(book, place, chances))
    if why:
        return Step(place, number, at, current, yardstick, why, detail, _told(book, place, chances))
    return None


def challengers(book: MemoryBook, place: Place, ladder: Sequence[Rung], limits: Limits) -> Iterator[tuple[float, str]]:
    """The models cheaper than the one that is remembered, each with what it promises to save: its chance to be as good
    as the strongest times the share of the cost that it would spare."""
    yardstick = ladder[-1].model
    last = book.last_step(place)
    costs = {rung.model: rung.cost for rung in ladder}
    now = costs.get(last.to_model, 1.0) if last else 1.0
    for model, cost in costs.items():
        if cost < now:
            yield book.chance(place, model, yardstick, limits.margin) * (now - cost), model


def forgetting(place: Place, model: str) -> tuple[Increment, ...]:
    """Increments after which nothing is known of a model at a place: it has to earn its way anew."""
    return tuple(Increment(Cell(place, model, kind), 0.0, Evidence()) for kind in Kind)


def aftermath(book: MemoryBook, step: Step) -> tuple[Increment, ...]:
    """What a step changes of what is known of the model that is left.

    Rejected drafts say nothing of quality: all is forgotten. Of a model that turned bad, what was known before does not
    hold any more: the latest judgements take its place.
    """
    place, model = step.place, step.from_model
    if step.why is Why.REJECTED:
        return forgetting(place, model)
    if step.why is Why.TURNED_BAD:
        latest = book.of(place, model, Kind.RECENT)
        return (Increment(Cell(place, model, Kind.JUDGED), 0.0, Evidence(latest.good, latest.bad)),)
    return ()


def _why_leave(
    book: MemoryBook,
    place: Place,
    current: str,
    costs: Mapping[str, float],
    chances: Mapping[str, float],
    limits: Limits,
    *,
    yardstick: str,
) -> Why | None:
    if costs.get(current, 1.0) >= 1.0:
        return None
    if chances[current] < limits.leave:
        return Why.FELL_SHORT
    if book.recent_chance(place, current, yardstick, limits.margin) < ALARM:
        return Why.TURNED_BAD
    return Why.REJECTED if rejected_too_often(book, place, current, costs[current]) else None


def rejected_too_often(book: MemoryBook, place: Place, model: str, cost: float) -> bool:
    """A rejected draft is paid beside the answer that replaces it, so that a start pays up to a share of ``1 - cost``
    only."""
    return book.rejected(place, model) > min(MOST_REJECTED, 1.0 - cost)


def _told(book: MemoryBook, place: Place, chances: Mapping[str, float]) -> dict[str, Json]:
    told: dict[str, Json] = {}
    for model, chance in chances.items():
        seen, verified = book.of(place, model), book.of(place, model, Kind.VERIFIED)
        if seen.weight or verified.weight:
            told[model] = {
                "good": round(seen.good, 2),
                "bad": round(seen.bad, 2),
                "as_good": round(chance, 4),
                "rejected": round(book.rejected(place, model), 4),
            }
    return told
