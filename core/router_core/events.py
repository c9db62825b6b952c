"""What observers are told, as it happens: frozen values, JSON-able by ``dataclasses.asdict`` but for the records."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from router_core.records import Attempt, Decision, Receipt
from router_core.types import FailureKind, Unit, Verdict, in_words


@dataclass(frozen=True, slots=True)
class Decided:
    """The policy has chosen where the request starts."""

    request_id: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Called:
    """A model is about to be called. ``number`` counts the attempts of the request from 1."""

    request_id: str
    number: int
    model: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer of an attempt is served."""

    request_id: str
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Escalated:
    """An answer was rejected and a stronger model is asked."""

    request_id: str
    attempt: Attempt
    verdict: Verdict
    to_model: str


@dataclass(frozen=True, slots=True)
class FellBack:
    """A call failed and another model (or the same one again) is asked."""

    request_id: str
    attempt: Attempt
    failure: FailureKind
    to_model: str


@dataclass(frozen=True, slots=True)
class Settled:
    """The request is over and its receipt final; told exactly once, also after an error or a cancellation.

    ``baseline_nano`` is what the strongest model would have cost for the tokens of the accepted answer (nano-dollars);
    None if there is none or its price is unknown.
    """

    request_id: str
    receipt: Receipt
    baseline_nano: int | None = None


@dataclass(frozen=True, slots=True)
class BudgetReached:
    """What a request spent has taken a budget across a threshold. Told once for each threshold and period, right before
    the ``Settled`` of that request, and synchronously like it.

    ``percent`` is the threshold; ``key`` whose purse it is ("" for all), ``window`` the period; ``limit``, ``spent``
    and ``held`` are nano-dollars or tokens, as ``unit`` says.
    """

    request_id: str
    budget: str
    key: str
    window: str
    percent: int
    unit: Unit
    limit: int
    spent: int
    held: int

    def __str__(self) -> str:
        whose = f" of {self.key!r}" if self.key else ""
        return (
            f"the budget {self.budget!r}{whose} ({self.window}) has reached {self.percent} %: "
            f"{in_words(self.unit, self.spent)} of {in_words(self.unit, self.limit)} spent"
        )


Event: TypeAlias = Decided | Called | Accepted | Escalated | FellBack | BudgetReached | Settled


class Observer(Protocol):
    """Told of every event in order. May be a plain function; an async one works with async calls only.

    An exception that it raises ends the request: an observer that must not disturb has to catch its own.
    ``BudgetReached`` and ``Settled`` are told after the fact and synchronously; an async observer does not receive
    them.
    """

    def __call__(self, event: Event, /) -> Awaitable[None] | None:
        """Hear one event."""
        ...
