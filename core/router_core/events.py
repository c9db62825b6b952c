"""What observers are told, as it happens: frozen values.

``Feedback`` (of ``records``) is told whenever an application gives it, long after the request.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from router_core.records import Attempt, Decision, Feedback, Receipt
from router_core.types import FailureKind, Reply, RequestView, Unit, Verdict, in_words


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
class Consulted:
    """A model was asked for its judgement, or for an answer to compare with; ``attempt.role`` tells which."""

    request_id: str
    attempt: Attempt


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
    None if there is none or its price is unknown. ``request`` and ``reply`` are what was asked and what was served, for
    whoever learns from it; they hold texts.
    """

    request_id: str
    receipt: Receipt
    baseline_nano: int | None = None
    request: RequestView | None = field(default=None, repr=False)
    reply: Reply | None = field(default=None, repr=False)


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


Event: TypeAlias = Decided | Called | Consulted | Accepted | Escalated | FellBack | BudgetReached | Settled | Feedback


class Observer(Protocol):
    """Told of every event in order. May be a plain function; an async one works with async calls only.

    An exception that it raises ends the request: an observer that must not disturb has to catch its own.
    ``BudgetReached`` and ``Settled`` are told after the fact and synchronously; an async observer does not receive
    them.
    """

    def __call__(self, event: Event, /) -> Awaitable[None] | None:
        """Hear one event."""
        ...
