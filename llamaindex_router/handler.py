"""What routing cost and did, counted by handlers of LlamaIndex: per model, per call and per query.

Both book the receipt of each request when it is over, drafts and failed calls included, and note what budgets did: the
thresholds that were reached, the requests that were refused. They only observe: LlamaIndex drops what a handler raises,
so limits are the router's own affair (budgets, ``max_cost_usd`` and the other constraints).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index_instrumentation import get_dispatcher
from pydantic import PrivateAttr

from llamaindex_router.events import RouterBudgetEvent, RouterReceiptEvent
from llamaindex_router.trail import ATTACHING
from router_core.notes import BudgetNote
from router_core.tally import KEEP, Books, RoutedCall, Tally
from router_core.types import Json


class _Counted:
    """What both handlers show of their books."""

    _books: Books

    @property
    def total(self) -> Tally:
        """All requests together."""
        return self._books.total

    @property
    def by_model(self) -> dict[str, Tally]:
        """Each model by its name in the registry. ``requests`` are those in which it was tried."""
        return self._books.by_model

    @property
    def by_query(self) -> dict[str, Tally]:
        """The latest requests by the outermost span (a query, a chat, an agent's run) that made them."""
        return self._books.by_root

    @property
    def budgets(self) -> tuple[BudgetNote, ...]:
        """What budgets did last, oldest first."""
        return self._books.budgets

    @property
    def calls(self) -> tuple[RoutedCall, ...]:
        """The latest requests, oldest first."""
        return self._books.calls

    def as_dict(self) -> dict[str, Json]:
        """Everything, JSON-safe; amounts of money are decimal strings, an unknown one is None."""
        return self._books.as_dict()

    def reset(self) -> None:
        """Forget what was counted."""
        self._books.reset()

    def __str__(self) -> str:
        return str(self._books)


class RouterEventHandler(_Counted, BaseEventHandler):
    """Counts what routers do, as an event handler of LlamaIndex's instrumentation.

    ::

        handler = RouterEventHandler()
        get_dispatcher().add_event_handler(handler)

    ``get_router_handler()`` does that for a block. One handler may serve many threads and event loops.

    Args:
        keep: how many of the latest calls are remembered one by one. The totals and the models count all calls.
    """

    _books: Books = PrivateAttr()

    def __init__(self, keep: int = KEEP) -> None:
        super().__init__()
        self._books = Books(keep)

    @classmethod
    def class_name(cls) -> str:
        """As which the handler is known."""
        return "RouterEventHandler"

    def handle(self, event: Any, **_: Any) -> None:
        """Book a receipt, and note what a budget did; other events are of no interest."""
        if isinstance(event, RouterReceiptEvent) and event.call is not None:
            self._books.book(event.call)
        elif isinstance(event, RouterBudgetEvent) and event.note is not None:
            self._books.note(event.note)


class RouterCallbackHandler(_Counted, BaseCallbackHandler):
    """Counts what routers do, as a handler of a ``CallbackManager``.

    ::

        Settings.callback_manager = CallbackManager([RouterCallbackHandler()])

    It hears the routers that have the manager, as LlamaIndex's own handlers do.

    Args:
        keep: how many of the latest calls are remembered one by one. The totals and the models count all calls.
    """

    def __init__(self, keep: int = KEEP) -> None:
        super().__init__(event_starts_to_ignore=[], event_ends_to_ignore=[])
        self._books = Books(keep)

    def on_router_receipt(self, call: RoutedCall) -> None:
        """A request is over. A receipt that was booked already is not booked again."""
        self._books.book(call)

    def on_router_budget(self, note: BudgetNote) -> None:
        """A budget has reached a threshold or refused a request."""
        self._books.note(note)

    def on_event_start(self, *_: Any, event_id: str = "", **__: Any) -> str:
        """The models' own events are of no interest: the receipt tells of them."""
        return event_id

    def on_event_end(self, *_: Any, **__: Any) -> None:
        """As ``on_event_start``."""

    def start_trace(self, trace_id: str | None = None) -> None:
        """As ``on_event_start``."""

    def end_trace(self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None) -> None:
        """As ``on_event_start``."""


@contextmanager
def get_router_handler(keep: int = KEEP) -> Iterator[RouterEventHandler]:
    """A handler of everything that is routed while the block is open, in any thread and event loop.

    ::

        with get_router_handler() as routed:
            engine.query("...")
        print(routed)
    """
    root = get_dispatcher()
    handler = RouterEventHandler(keep)
    with ATTACHING:
        root.event_handlers = [*root.event_handlers, handler]
    try:
        yield handler
    finally:
        # A new list each time: another thread may be going through the old one.
        with ATTACHING:
            root.event_handlers = [other for other in root.event_handlers if other is not handler]
