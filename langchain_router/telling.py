"""What the handlers of a run are told of a request: its receipt, what budgets did, and what happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from langchain_core.callbacks.manager import handle_event

from langchain_router.deferred import Deferred
from router_core.errors import BudgetExceeded
from router_core.events import Accepted, BudgetReached, Decided, Escalated, Event, FellBack, Settled
from router_core.notes import BudgetNote
from router_core.records import Receipt
from router_core.tab import Tab
from router_core.types import Json, Model

Named = tuple[str, dict[str, Json]]
"""A custom event of LangChain: its name and JSON-safe data."""


class Teller:
    """Hands out what handlers take of a request that is made within somebody else's run.

    Handlers that have ``on_router_receipt`` are handed the receipt once, when the request is over; those that have
    ``on_router_budget`` a ``BudgetNote`` for each threshold of a budget that it reaches and each purse that refuses it.
    As a context manager around the request it tells what can only be told after it.
    """

    def __init__(self, tab: Tab, strongest: Model, run_manager: Any) -> None:
        self.manager = run_manager
        self.deferred: dict[int, list[Deferred]] = {}
        """What stands in for streaming handlers while an answer may still be rejected, by the number of its attempt."""
        self._tab = tab
        self._strongest = strongest

    @property
    def observers(self) -> tuple[Callable[..., Any], ...]:
        """What hears the events of the core: nothing, where there are no handlers."""
        return self._hears() if self.manager is not None and self.manager.handlers else ()

    def _hears(self) -> tuple[Callable[..., Any], ...]:
        return (self.settled,)

    def settled(self, event: Event) -> None:
        """Hand out what is told once the request is over, even where nothing can be awaited any more."""
        if isinstance(event, Settled):
            self._hand_out(event.receipt)
        elif isinstance(event, BudgetReached):
            self.note(BudgetNote.of_reached(event))

    def refused(self, error: BudgetExceeded) -> None:
        """Tell that budgets refuse the request."""
        for note in BudgetNote.of_refused(self._tab.request_id, error):
            self.note(note)

    def note(self, note: BudgetNote) -> None:
        """Tell what a budget did."""
        self._hand("on_router_budget", note)

    def _hand_out(self, receipt: Receipt) -> None:
        self._hand(
            "on_router_receipt",
            receipt,
            run_id=self.manager.run_id,
            parent_run_id=self.manager.parent_run_id,
            baseline_nano=self._tab.baseline_nano(self._strongest),
        )

    def _hand(self, method: str, what: object, **about: Any) -> None:
        takers = [handler for handler in self.manager.handlers if hasattr(handler, method)]
        # As LangChain tells its own events: what a handler raises is logged, unless it says raise_error.
        handle_event(takers, method, None, what, **about)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: BaseException | None, _trace: TracebackType | None) -> None:
        """Tell what is left."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _kind: object, _error: BaseException | None, _trace: TracebackType | None) -> None:
        """Tell what is left."""


class RunTeller(Teller):
    """The same for the router's own chain run. It also tells custom events of what happens on the way, and streaming
    handlers of an answer once it is accepted; ``is_async`` where the request can wait for them."""

    def __init__(self, tab: Tab, strongest: Model, run_manager: Any, *, is_async: bool) -> None:
        super().__init__(tab, strongest, run_manager)
        self._is_async = is_async
        self._late: list[Named] = []

    def _hears(self) -> tuple[Callable[..., Any], ...]:
        return (self.atold if self._is_async else self.told, self.settled)

    def told(self, event: Event) -> None:
        """Let streaming handlers hear an accepted answer, forget a rejected one, and pass the event on."""
        if isinstance(event, Accepted):
            for deferred in self.deferred.get(event.attempt.number, ()):
                deferred.flush()
        named = _named(event)
        if named is not None:
            self._tell(named)

    async def atold(self, event: Event) -> None:
        """Like ``told``, for handlers that may be async."""
        if isinstance(event, Accepted):
            for deferred in self.deferred.get(event.attempt.number, ()):
                await deferred.aflush()
        named = _named(event)
        if named is not None:
            await self._atell(named)

    def note(self, note: BudgetNote) -> None:
        """Tell what a budget did; the custom event of it comes after the request, when it can be awaited."""
        super().note(note)
        self._late.append(("router.budget", note.as_dict()))

    def __exit__(self, _kind: object, _error: BaseException | None, _trace: TracebackType | None) -> None:
        """Tell what is left."""
        for named in self._late:
            self._tell(named)

    async def __aexit__(self, _kind: object, _error: BaseException | None, _trace: TracebackType | None) -> None:
        """Tell what is left."""
        for named in self._late:
            await self._atell(named)

    def _tell(self, named: Named) -> None:
        self.manager.get_child().on_custom_event(*named, run_id=self.manager.run_id)

    async def _atell(self, named: Named) -> None:
        await self.manager.get_child().on_custom_event(*named, run_id=self.manager.run_id)


def _named(event: Event) -> Named | None:
    """The custom event that an event of the core becomes."""
    match event:
        case Decided(request_id, decision):
            data: dict[str, Json] = {
                "model": decision.start,
                "policy": decision.policy,
                "reason": decision.reason.value,
                "score": decision.score,
                "ladder": list(decision.ladder),
                "refusals": [str(refusal) for refusal in decision.refusals],
            }
            return "router.decision", {"request_id": request_id, **data}
        case Escalated(request_id, attempt, verdict, to_model):
            data = {"model": attempt.model, "code": verdict.code, "detail": verdict.detail, "to": to_model}
            return "router.escalate", {"request_id": request_id, **data}
        case FellBack(request_id, attempt, failure, to_model):
            data = {"model": attempt.model, "code": failure.value, "error": attempt.error, "to": to_model}
            return "router.fallback", {"request_id": request_id, **data}
        case Accepted(request_id, attempt):
            data = {"model": attempt.model, "attempts": attempt.number, "outcome": attempt.outcome.value}
            return "router.accept", {"request_id": request_id, **data}
        case _:
            return None
