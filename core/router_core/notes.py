"""What budgets did, for those who count receipts: thresholds that were reached, requests that were refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from router_core.errors import BudgetExceeded
from router_core.events import BudgetReached
from router_core.types import Json, Unit, in_words, to_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetNote:
    """What a budget did: a request took it across a threshold, ``percent``; or it refused a request, which needed up to
    ``needed`` of it and can have that again at ``resets`` (None: never).

    ``key`` is whose purse it is ("" for all), ``window`` the period; ``limit``, ``spent``, ``held`` and ``needed`` are
    nano-dollars or tokens, as ``unit`` says.
    """

    request_id: str
    budget: str
    key: str
    window: str
    unit: Unit
    limit: int
    spent: int
    held: int
    percent: int | None = None
    needed: int | None = None
    resets: datetime | None = None

    @classmethod
    def of_reached(cls, event: BudgetReached) -> BudgetNote:
        """The note of a threshold."""
        return cls(
            request_id=event.request_id,
            budget=event.budget,
            key=event.key,
            window=event.window,
            unit=event.unit,
            limit=event.limit,
            spent=event.spent,
            held=event.held,
            percent=event.percent,
        )

    @classmethod
    def of_refused(cls, request_id: str, error: BudgetExceeded) -> tuple[BudgetNote, ...]:
        """The notes of a refused request: one for each purse that could not bear it."""
        return tuple(
            cls(
                request_id=request_id,
                budget=short.charge.budget,
                key=short.charge.key,
                window=short.charge.window,
                unit=short.charge.unit,
                limit=short.charge.limit,
                spent=short.spent,
                held=short.held,
                needed=short.charge.amount,
                resets=reset,
            )
            for short, reset in zip(error.shortfalls, error.resets, strict=True)
        )

    @property
    def what(self) -> str:
        """What it did: "reached" a threshold, or "refused" a request."""
        return "reached" if self.needed is None else "refused"

    def as_dict(self) -> dict[str, Json]:
        """JSON-safe. Amounts are decimal strings of what ``unit`` says, "usd" or "tokens"; the reset is in ISO 8601."""
        return {
            "what": self.what,
            "request_id": self.request_id,
            "budget": self.budget,
            "key": self.key,
            "window": self.window,
            "unit": "tokens" if self.unit == "tokens" else "usd",
            "limit": self._amount(self.limit),
            "spent": self._amount(self.spent),
            "held": self._amount(self.held),
            "percent": self.percent,
            "needed": None if self.needed is None else self._amount(self.needed),
            "resets": None if self.resets is None else self.resets.isoformat(),
        }

    def _amount(self, units: int) -> str:
        return str(units) if self.unit == "tokens" else f"{to_usd(units):f}"


def told_of(notes: Iterable[BudgetNote]) -> list[str]:
    """A sentence for each purse: how far it has come, and how many requests it refused. The purses of a budget that is
    per call are one."""
    purses: dict[tuple[str, str, str], list[BudgetNote]] = {}
    for note in notes:
        window = "each call" if note.window == note.request_id else note.window
        purses.setdefault((note.budget, note.key, window), []).append(note)
    return [_purse(window, each) for (_, _, window), each in purses.items()]


def _purse(window: str, notes: list[BudgetNote]) -> str:
    last = notes[-1]
    percent = max((note.percent for note in notes if note.percent is not None), default=None)
    refused = sum(note.what == "refused" for note in notes)
    did = [
        *([f"has reached {percent} %"] if percent is not None else []),
        *([f"has refused {refused} request{'s' if refused > 1 else ''}"] if refused else []),
    ]
    whose = f" of {last.key!r}" if last.key else ""
    spent = f"{in_words(last.unit, last.spent)} of {in_words(last.unit, last.limit)} spent"
    return f"The budget {last.budget!r}{whose} ({window}) {' and '.join(did)}; {spent}."
