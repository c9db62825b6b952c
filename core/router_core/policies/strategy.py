"""The strategy memory as a policy: which model suffices for a task at a call site, learned while the router runs."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Protocol

from router_core.errors import ConfigError
from router_core.events import Event, Settled
from router_core.learning.live_memory import LiveMemory
from router_core.learning.memory_file import MemoryFile
from router_core.learning.rows import number_of
from router_core.learning.strategy import (
    LEAST,
    RECENT_LENGTH,
    VERIFIED_LENGTH,
    Cell,
    Contents,
    Evidence,
    Increment,
    Kind,
    Limits,
    MemoryBook,
    Place,
    Rung,
    Step,
    Why,
    aftermath,
    challengers,
    judged_again,
    judgement,
    next_step,
    outcome,
    rejected_too_often,
)
from router_core.learning.tasks import task_of
from router_core.policies.base import Candidate, Choice, MemoryPlace, priors
from router_core.records import Attempt, AttemptOutcome, AttemptRole, Decision, Feedback, Reason, Receipt
from router_core.types import Json, RequestView

TASK_TAG = "task:"
"""A tag of a request that begins so names its task type: the application knows better than any classifier."""

_LONGEST = 120
"""Characters of a call site that are told apart: what is longer holds an id, and names no place."""
_MOST_PLACES = 10_000
"""Where a process meets more call sites than that, they are no places but ids: new ones are remembered as one."""
_KEPT = 10_000
"""So many of the latest requests can be given feedback."""
_AVERAGE = 0.5


class Rivals(NamedTuple):
    """What is worth comparing at a place: the strongest model, the one that is remembered (the strongest itself, if
    nothing cheaper is), and the cheaper one that promises most, if there is one."""

    strongest: str
    current: str
    challenger: str | None


class Audits(Protocol):
    """What looks at answers again in the background: ``auditor.Auditor``."""

    def __call__(self, event: Event) -> None:
        """Hear of a request that is over."""
        ...

    def close(self) -> None:
        """Finish, and end what runs in the background."""
        ...


class _Served(NamedTuple):
    """An answer that may be given feedback; ``earlier`` is the one that was learned: the score, and which of the
    model's judgements that was."""

    place: Place
    model: str
    earlier: tuple[float, float] | None = None


class StrategyMemoryPolicy:
    """Starts with the strongest model, and remembers for each call site and task type which cheaper one suffices.

    A cheaper model suffices once P(its quality >= the strongest's - ``margin``) is at least ``level``, by Beta
    posteriors of what was judged: by an ``Auditor``, by feedback, or by the application (``judged``). It is left as
    soon as that probability falls below 0.3, or when verifiers reject too many of its drafts; in between it stays, so
    that chance does not move the memory to and fro. What verifiers accept is no evidence of quality. The last
    ``length`` judgements count most. Without anybody who judges, all requests start with the strongest model.

    However good a model was before, it is left after so many bad judgements in a row as ``bad_outcomes_to_leave`` tells
    (at the defaults 4 where the strongest model's answers are all good, 12 where 80 % are), and after so many rejected
    drafts as ``rejections_to_leave`` tells (9).

    The memory is kept in the store of the router's ledger, or in ``file``, or in this process only. In a ledger it
    learns all feedback that is kept there, whoever was told it; else what this router is told of its latest answers.

    Args:
        file: a JSON file to keep the memory in, where there is no ledger. One process at a time may use it.
        margin: how much less quality than the strongest model's will do, 0..1.
        level: how sure the memory must be before it moves to a cheaper model, 0.5..1.
        length: how many of the latest judgements of a model count, 10 at least.
        tiers: the names of all models, weakest first; without them the policy learns them from the requests.

    Raises:
        ConfigError: a setting is out of range, or the file holds no memory.
    """

    name = "strategy"

    def __init__(
        self,
        *,
        file: str | Path | None = None,
        margin: float = 0.05,
        level: float = 0.8,
        length: float = 100,
        tiers: Sequence[str] = (),
    ) -> None:
        self.limits = Limits(
            margin=_between("margin", margin, 0.0, 1.0),
            level=_between("level", level, 0.5, 1.0),
            length=_between("length", length, 10.0, 1e6),
        )
        self._memory = LiveMemory(length=self.limits.length)
        self.file = None if file is None else Path(file)
        if self.file is not None:
            kept = MemoryFile(self.file)
            self._memory.keep_in(lambda: kept)
        self._words: Callable[[str], str] = str
        self._tiers = tuple(tiers)
        self._lock = threading.Lock()
        self._places: set[Place] = set()
        self._ladder: tuple[Rung, ...] = ()
        self._most = 0
        self._served: OrderedDict[str, _Served] = OrderedDict()
        self._in_ledger = False
        self._auditor: Audits | None = None

    def decide(self, request: RequestView, candidates: Sequence[Candidate]) -> Choice:
        """The model that is remembered for the request's place, else the strongest candidate."""
        names = [candidate.model.name for candidate in candidates]
        place = self._place(request)
        with self._memory.book() as book:
            step = book.last_step(place)
            known = [name for name in names if book.of(place, name).weight >= LEAST]
            quality = {name: book.quality(place, name).mean for name in known}
        wanted = step.to_model if step is not None else names[-1]
        start = wanted if wanted in names else self._instead(wanted, names)
        return Choice(
            start=start,
            reason=Reason.REMEMBERED if start != names[-1] else Reason.BASELINE,
            quality={**priors(candidates, _AVERAGE), **quality},
            features={
                "task": place.task,
                "call_site": place.call_site,
                "remembered": wanted,
                "feasible": wanted in names,
                "steps": step.number if step is not None else 0,
            },
        )

    def observe(self, event: Event) -> None:
        """Learn from what became of a request, and from feedback."""
        if isinstance(event, Feedback):
            served = self._served.get(event.request_id)
            if self._in_ledger:
                # Where it is kept, and whoever hears it there first learns it.
                self._memory.refresh()
                if served is not None:
                    self._catch_up(served.place)
            elif served is not None:
                self._heard(event, served)
        elif isinstance(event, Settled) and event.receipt.decision is not None:
            place = place_of(event.receipt.decision)
            if place is not None:
                self._settled(place, event.receipt, event.receipt.decision)
            if self._auditor is not None:
                self._auditor(event)

    def judged(self, place: Place, qualities: Mapping[str, float], why: str = "") -> Step | None:
        """Add judgements of answers at a place: by model, 0 (bad) to 1 (good). Judgements of the same request belong
        into one call, with the strongest model's among them where it is known.

        Returns the step that follows, if one does. ``why`` is kept with it: who judged and, after a colon, in which
        words, which a ledger keeps only if it keeps texts.

        Raises:
            ValueError: a quality is not between 0 and 1.
        """
        for model, quality in qualities.items():
            if not 0 <= quality <= 1:
                raise ValueError(f"the quality {quality!r} of {model!r} is not between 0 and 1")
        length = self.limits.length
        judged = (judgement(place, model, quality, length) for model, quality in qualities.items())
        self._memory.learn(chain.from_iterable(judged))
        return self._reconsider(place, why)

    def rivals(self, decision: Decision) -> Rivals | None:
        """What is worth comparing at the place of a decision; None if this policy did not make it, or the strongest
        model was never a candidate yet."""
        self._note(decision.candidates)
        place, ladder = place_of(decision), self._ladder
        if place is None or not ladder:
            return None
        part = self._part(place, ladder)
        step = part.last_step(place)
        best = max(challengers(part, place, ladder, self.limits), default=None)
        strongest = ladder[-1].model
        return Rivals(strongest, step.to_model if step else strongest, best[1] if best else None)

    @property
    def contents(self) -> Contents:
        """All that is remembered."""
        with self._memory.book() as book:
            return book.contents

    def bad_outcomes_to_leave(self, quality: float = 1.0) -> int:
        """How many bad judgements in a row make the memory leave a model of which every answer was good before, while
        the strongest model's are found good in this share (0..1)."""
        place, limits, book = Place("", ""), self.limits, MemoryBook()
        book.take(Step(place, 1, 0.0, "strong", "cheap", Why.SUFFICES))
        book.add(Increment(Cell(place, "cheap", Kind.JUDGED), 0.0, Evidence(limits.length)))
        book.add(Increment(Cell(place, "cheap", Kind.RECENT), 0.0, Evidence(min(limits.length, RECENT_LENGTH))))
        strong = Evidence(quality * limits.length, (1 - quality) * limits.length)
        book.add(Increment(Cell(place, "strong", Kind.JUDGED), 0.0, strong))
        ladder, count = (Rung("cheap", 0.0), Rung("strong", 1.0)), 0
        while next_step(book, place, ladder, limits, at=0.0) is None:
            for increment in judgement(place, "cheap", 0.0, limits.length):
                book.add(increment)
            count += 1
        return count

    @property
    def rejections_to_leave(self) -> int:
        """How many rejected drafts in a row make the memory leave a model of which every draft was accepted before, and
        which costs little beside the strongest."""
        place, book, count = Place("", ""), MemoryBook(), 0
        book.add(Increment(Cell(place, "cheap", Kind.VERIFIED), 0.0, Evidence(VERIFIED_LENGTH)))
        while not rejected_too_often(book, place, "cheap", 0.0):
            book.add(outcome(Cell(place, "cheap", Kind.VERIFIED), 0.0, VERIFIED_LENGTH))
            count += 1
        return count

    def keep_in(self, ledger: MemoryPlace) -> None:
        """Keep the memory in the store of a ledger, unless it is kept in a file."""
        if self.file is None:
            self._words = ledger.words
            self._memory.keep_in(lambda: ledger.opened)
            ledger.when_closing(self._memory.flush)
            self._in_ledger = True

    def audited_by(self, auditor: Audits) -> None:
        """Tell this auditor of all requests from now on: whatever the router's face, without ``observers``."""
        self._auditor = auditor

    def flush(self) -> None:
        """Write down what was learned; that happens every few seconds by itself, and at the end of the process."""
        self._memory.flush()

    def close(self) -> None:
        """Let the auditor finish, write down what was learned and end both threads. The policy can still be used."""
        if self._auditor is not None:
            self._auditor.close()
        self._memory.close()

    def _place(self, request: RequestView) -> Place:
        named = next((tag.removeprefix(TASK_TAG) for tag in sorted(request.tags) if tag.startswith(TASK_TAG)), None)
        task = named or task_of(request).value
        place = Place((request.call_site or "")[:_LONGEST], task[:_LONGEST])
        if place not in self._places:
            if len(self._places) >= _MOST_PLACES:
                return Place("", place.task)
            self._places.add(place)
        return place

    def _instead(self, wanted: str, names: Sequence[str]) -> str:
        """What to start with where the remembered model cannot serve: the next stronger candidate."""
        stronger = self._tiers[self._tiers.index(wanted) + 1 :] if wanted in self._tiers else ()
        return next((name for name in stronger if name in names), names[-1])

    def _settled(self, place: Place, receipt: Receipt, decision: Decision) -> None:
        self._note(decision.candidates)
        if receipt.model is not None:
            with self._lock:
                self._served[receipt.request_id] = _Served(place, receipt.model)
                if len(self._served) > _KEPT:
                    self._served.popitem(last=False)
        self._catch_up(place)
        first = next((each for each in receipt.attempts if each.role is AttemptRole.ANSWER), None)
        if decision.reason is Reason.REMEMBERED and first is not None:
            self._verified(place, first)

    def _heard(self, feedback: Feedback, served: _Served) -> None:
        """Learn from what was said of an answer; what is said anew replaces what was learned of it."""
        if served.earlier is not None and served.earlier[0] == feedback.score:
            return
        place, model, earlier = served
        with self._memory.book() as book:
            judged, number = judged_again(book, place, model, feedback.score, self.limits.length, earlier)
            self._memory.learn(judged)
        with self._lock:
            self._served[feedback.request_id] = _Served(place, model, (feedback.score, number))
        self._reconsider(place, f"feedback: {feedback.comment}" if feedback.comment else "feedback")

    def _catch_up(self, place: Place) -> None:
        """Take the step that follows from what others have judged."""
        if place in self._memory.news and self._ladder:
            self._reconsider(place, self._memory.news.pop(place, ""))

    def _verified(self, place: Place, first: Attempt) -> None:
        """What verifiers said of a cheap start."""
        accepted = first.outcome is AttemptOutcome.ACCEPTED
        if not accepted and first.outcome is not AttemptOutcome.REJECTED:
            return
        self._memory.learn((outcome(Cell(place, first.model, Kind.VERIFIED), float(accepted), VERIFIED_LENGTH),))
        with self._memory.book() as book:
            often = not accepted and rejected_too_often(book, place, first.model, self._cost(first.model))
        if often:
            self._reconsider(place, f"{first.verdict.code}: {first.verdict.detail}" if first.verdict else "")

    def _reconsider(self, place: Place, why: str) -> Step | None:
        ladder = self._ladder
        if not ladder:
            return None
        who, _, words = why.partition(": ")
        kept = self._words(words) if words else ""
        detail = f"{who}: {kept}" if kept else who
        part = self._part(place, ladder)
        step = next_step(part, place, ladder, self.limits, at=time.time(), detail=detail)
        if step is not None:
            self._memory.learn(aftermath(part, step), (step,))
        return step

    def _part(self, place: Place, ladder: Sequence[Rung]) -> MemoryBook:
        with self._memory.book() as book:
            return book.part(place, [rung.model for rung in ladder])

    def _cost(self, model: str) -> float:
        return next((rung.cost for rung in self._ladder if rung.model == model), 0.0)

    def _note(self, candidates: Sequence[Candidate]) -> None:
        """Remember how the models' costs compare, where all are candidates for the first time: later predictions are
        made of what each was asked, which is not the same for all."""
        strongest = candidates[-1].model.name
        if len(candidates) > self._most and strongest == (self._tiers or (strongest,))[-1]:
            self._ladder, self._most = _ladder(candidates), len(candidates)


def place_of(decision: Decision) -> Place | None:
    """The place that a decision of this policy was made for; None for one of another policy."""
    return place_in(decision.reason, decision.features)


def place_in(reason: str, features: Mapping[str, Json]) -> Place | None:
    """The place that a decision with this reason and these features was made for."""
    if reason not in {Reason.BASELINE, Reason.REMEMBERED}:
        return None
    task, call_site = features.get("task"), features.get("call_site")
    return Place(call_site, task) if isinstance(task, str) and isinstance(call_site, str) else None


def _ladder(candidates: Sequence[Candidate]) -> tuple[Rung, ...]:
    """The models that cost less than the strongest, in the order of cost, and the strongest. Where a cost is unknown,
    the tiers stand for all."""
    costs = [candidate.cost_nano for candidate in candidates]
    most = costs[-1]
    shares = [(n + 1) / len(candidates) for n in range(len(candidates))]
    if most and None not in costs:
        shares = [(cost or 0) / most for cost in costs]
    rungs = [Rung(candidate.model.name, share) for candidate, share in zip(candidates, shares, strict=True)]
    cheaper = sorted((rung for rung in rungs[:-1] if rung.cost < 1), key=lambda rung: rung.cost)
    return (*cheaper, rungs[-1]._replace(cost=1.0))


def _between(option: str, value: float, low: float, high: float) -> float:
    number = number_of(value)
    if number is None or not low <= number <= high:
        raise ConfigError(f"policy: strategy.{option}: {value!r} is not between {low:g} and {high:g}; give a number")
    return number
