"""What routing cost and did, counted from receipts: per model, per call and per outer unit of work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from threading import Lock

from router_core.notes import BudgetNote, told_of
from router_core.records import Attempt, AttemptOutcome, AttemptRole, Receipt, ReceiptOutcome
from router_core.types import CACHE_PRICE, Json, Usage, add_nano, to_usd

KEEP = 10_000
"""How many of the latest calls are remembered one by one unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was counted of a model, a call or a unit of work; sums with ``+``.

    ``requests`` are those that had to do with it, ``answered`` those that it answered. ``escalations`` counts rejected
    answers by the verifier's reason code, ``fallbacks`` failed calls by the kind of the failure. ``cost_nano`` and
    ``baseline_nano`` (what the strongest model would have cost for the answers that were served) are nano-dollars, None
    as soon as a part is unknown. ``cache_hits`` are the attempts that a cache of the application answered, which used
    and cost nothing. ``latency_s`` is the time of a model's attempts, or of whole requests.
    """

    requests: int = 0
    answered: int = 0
    attempts: int = 0
    cache_hits: int = 0
    usage: Usage = field(default_factory=Usage)
    cost_nano: int | None = 0
    baseline_nano: int | None = 0
    escalations: Mapping[str, int] = field(default_factory=dict)
    fallbacks: Mapping[str, int] = field(default_factory=dict)
    latency_s: float = 0.0

    @property
    def cost_usd(self) -> Decimal | None:
        """US dollars spent; None as soon as a part is unknown."""
        return to_usd(self.cost_nano)

    @property
    def baseline_usd(self) -> Decimal | None:
        """US dollars that the strongest model would have cost for the same answers; None if unknown."""
        return to_usd(self.baseline_nano)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            requests=self.requests + other.requests,
            answered=self.answered + other.answered,
            attempts=self.attempts + other.attempts,
            cache_hits=self.cache_hits + other.cache_hits,
            usage=self.usage + other.usage,
            cost_nano=add_nano(self.cost_nano, other.cost_nano),
            baseline_nano=add_nano(self.baseline_nano, other.baseline_nano),
            escalations=_both(self.escalations, other.escalations),
            fallbacks=_both(self.fallbacks, other.fallbacks),
            latency_s=self.latency_s + other.latency_s,
        )

    def as_dict(self) -> dict[str, Json]:
        """JSON-safe; amounts of money are decimal strings."""
        usage = self.usage
        return {
            "requests": self.requests,
            "answered": self.answered,
            "attempts": self.attempts,
            "cache_hits": self.cache_hits,
            "input_tokens": usage.input_tokens,
            "cache_read_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "output_tokens": usage.output_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "estimated": usage.estimated,
            "cost_usd": _decimal(self.cost_usd),
            "baseline_usd": _decimal(self.baseline_usd),
            "escalations": dict(self.escalations),
            "fallbacks": dict(self.fallbacks),
            "latency_s": self.latency_s,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedCall:
    """One request of a router: its receipt, and whose it was.

    ``baseline_nano`` is what the strongest model would have cost for the answer that was served, in nano-dollars, None
    if that is unknown. ``call_id`` is the caller's own name of the call, ``root_id`` that of the outer unit of work
    (the root run of a chain, a query) that it was made for.
    """

    receipt: Receipt
    baseline_nano: int | None
    call_id: str
    root_id: str

    @property
    def by_model(self) -> dict[str, Tally]:
        """What each model did for this call."""
        tallies: dict[str, Tally] = {}
        for attempt in self.receipt.attempts:
            tallies[attempt.model] = tallies.get(attempt.model, Tally()) + _of_attempt(attempt)
        answerer = self.receipt.model
        return {
            model: replace(
                tally,
                requests=1,
                answered=int(model == answerer),
                baseline_nano=self.baseline_nano if model == answerer else 0,
            )
            for model, tally in tallies.items()
        }

    @property
    def tally(self) -> Tally:
        """The whole call."""
        attempts = _sum(map(_of_attempt, self.receipt.attempts))
        answered = self.receipt.outcome is ReceiptOutcome.ANSWERED
        return replace(
            attempts,
            requests=1,
            answered=int(answered),
            baseline_nano=self.baseline_nano if answered else 0,
            latency_s=self.receipt.latency_s,
        )

    def as_dict(self) -> dict[str, Json]:
        """JSON-safe: the tally of the call, and the receipt's account of the decision and of every attempt."""
        ids = {"call_id": self.call_id, "root_id": self.root_id}
        return {**ids, **self.tally.as_dict(), **self.receipt.summary()}


class Books:
    """Counts routed calls. Safe to share between threads; its text is a table of the models and the total.

    Args:
        keep: how many of the latest calls are remembered one by one. A receipt is known again as long as its call is.
            The totals and the models count all calls.
    """

    def __init__(self, keep: int = KEEP) -> None:
        self._keep = keep
        self._lock = Lock()
        self._forget()

    def book(self, call: RoutedCall) -> bool:
        """Enter a call; False if its receipt was booked already, which changes nothing."""
        with self._lock:
            if call.receipt.request_id in self._calls:
                return False
            self._calls[call.receipt.request_id] = call
            if len(self._calls) > self._keep:
                del self._calls[next(iter(self._calls))]
            self._total += call.tally
            for model, tally in call.by_model.items():
                self._by_model[model] = self._by_model.get(model, Tally()) + tally
            return True

    def note(self, *notes: BudgetNote) -> None:
        """Enter what budgets did. What was noted already is not noted again."""
        with self._lock:
            for note in notes:
                self._notes[note.request_id, note.budget, note.key, note.window, note.percent] = note
            while len(self._notes) > self._keep:
                del self._notes[next(iter(self._notes))]

    @property
    def budgets(self) -> tuple[BudgetNote, ...]:
        """What budgets did last, oldest first."""
        with self._lock:
            return tuple(self._notes.values())

    @property
    def total(self) -> Tally:
        """All requests together."""
        with self._lock:
            return self._total

    @property
    def by_model(self) -> dict[str, Tally]:
        """Each model by its name in the registry. ``requests`` are those in which it was tried."""
        with self._lock:
            return dict(self._by_model)

    @property
    def calls(self) -> tuple[RoutedCall, ...]:
        """The latest requests, oldest first."""
        with self._lock:
            return tuple(self._calls.values())

    @property
    def by_root(self) -> dict[str, Tally]:
        """The latest requests by the ``root_id`` that they have in common."""
        return _by_root(self.calls)

    def as_dict(self) -> dict[str, Json]:
        """Everything, JSON-safe; amounts of money are decimal strings, an unknown one is None."""
        with self._lock:
            total, by_model, calls = self._total, dict(self._by_model), tuple(self._calls.values())
            notes = tuple(self._notes.values())
        return {
            "total": total.as_dict(),
            "models": {model: tally.as_dict() for model, tally in by_model.items()},
            "roots": {root: tally.as_dict() for root, tally in _by_root(calls).items()},
            "calls": [call.as_dict() for call in calls],
            "budgets": [note.as_dict() for note in notes],
        }

    def __str__(self) -> str:
        with self._lock:
            total, by_model, notes = self._total, dict(self._by_model), tuple(self._notes.values())
        return "\n".join([_table(total, by_model), *told_of(notes)])

    def reset(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._total = Tally()
        self._by_model: dict[str, Tally] = {}
        self._calls: dict[str, RoutedCall] = {}
        self._notes: dict[tuple[str, str, str, str, int | None], BudgetNote] = {}


def _of_attempt(attempt: Attempt) -> Tally:
    rejected = attempt.outcome is AttemptOutcome.REJECTED and attempt.verdict is not None
    return Tally(
        attempts=1,
        cache_hits=int(attempt.price_version == CACHE_PRICE),
        usage=attempt.usage or Usage(),
        cost_nano=attempt.cost_nano,
        escalations={attempt.verdict.code: 1} if rejected and attempt.verdict else {},
        fallbacks={attempt.failure.value: 1} if attempt.failure and attempt.role is AttemptRole.ANSWER else {},
        latency_s=attempt.latency_s,
    )


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total += tally
    return total


def _by_root(calls: Iterable[RoutedCall]) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    for call in calls:
        tallies[call.root_id] = tallies.get(call.root_id, Tally()) + call.tally
    return tallies


def _both(left: Mapping[str, int], right: Mapping[str, int]) -> Mapping[str, int]:
    return {code: left.get(code, 0) + right.get(code, 0) for code in {**left, **right}} if right else left


def _decimal(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"


_HEAD = ("model", "answers", "calls", "input", "cached", "output", "reasoning", "cost USD", "rejected", "failed", "s")


def _table(total: Tally, by_model: Mapping[str, Tally]) -> str:
    """Plain text: one line for each model, the total, and what the strongest model alone would have cost."""
    rows = [_HEAD, *(_row(model, tally) for model, tally in by_model.items())]
    rows.append(_row(f"total of {total.requests} requests", total))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, _line(["-" * width for width in widths], widths))
    if total.usage.estimated:
        lines.append("~ a part of the tokens is estimated: a provider did not report them")
    if total.cache_hits:
        lines.append(f"{total.cache_hits} of the {total.attempts} calls were answered by a cache and cost nothing.")
    if total.baseline_nano is not None:
        lines.append(f"The strongest model alone would have cost {total.baseline_usd:f} USD for the same answers.")
    return "\n".join(lines)


def _row(name: str, tally: Tally) -> tuple[str, ...]:
    usage = tally.usage
    about = "~" if usage.estimated else ""
    return (
        name,
        str(tally.answered),
        str(tally.attempts),
        f"{about}{usage.input_tokens}",
        str(usage.cache_read_tokens),
        f"{about}{usage.output_tokens}",
        str(usage.reasoning_tokens),
        _decimal(tally.cost_usd) or "unknown",
        _codes(tally.escalations),
        _codes(tally.fallbacks),
        f"{tally.latency_s:.2f}",
    )


def _codes(codes: Mapping[str, int]) -> str:
    return ", ".join(f"{code} {count}" for code, count in codes.items()) or "-"


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    first, *rest = [(cell, width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)])
