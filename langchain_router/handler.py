"""What routing cost and did, counted by a callback handler: per model, per call and per root run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from threading import Lock
from typing import Any, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from router_core import tally
from router_core.notes import BudgetNote
from router_core.records import Receipt
from router_core.tally import KEEP, Books, Tally
from router_core.types import Json

_RUNS = 50_000
"""How many of the latest runs a handler knows the root of."""


class RoutedCall(tally.RoutedCall):
    """One request of a router: its receipt and where in the run tree it was made."""

    __slots__ = ()

    @property
    def run_id(self) -> UUID:
        """The router's own run."""
        return UUID(self.call_id)

    @property
    def root_run_id(self) -> UUID:
        """The outermost run that the handler has seen above it."""
        return UUID(self.root_id)

    def as_dict(self) -> dict[str, Json]:
        """JSON-safe: the tally of the call, and the receipt's account of the decision and of every attempt."""
        told = super().as_dict()
        return {"run_id": told.pop("call_id"), "root_run_id": told.pop("root_id"), **told}


class RouterCallbackHandler(BaseCallbackHandler):
    """Counts what routers do: tokens, cost, attempts, escalations, fallbacks and time.

    ::

        handler = RouterCallbackHandler()
        chain.invoke("...", config={"callbacks": [handler]})
        print(handler)

    It books the receipt of each request, drafts and failed calls included, when the request is over, and notes what
    budgets did. Answers out of LangChain's cache, which it gives for a model of the router, count as ``cache_hits``.
    Models that are called outside a router are not counted: their cost is not known here, and
    ``UsageMetadataCallbackHandler`` counts their tokens. One handler may serve many threads and event loops. It only
    observes: LangChain logs and drops what a handler raises, so limits are the router's own affair (budgets,
    ``max_cost_usd`` and the other constraints).

    Args:
        keep: how many of the latest calls are remembered one by one, and with them their root runs. The totals and the
            models count all calls.
    """

    run_inline = True

    def __init__(self, keep: int = KEEP) -> None:
        self._books = Books(keep)
        self._lock = Lock()
        self._roots: dict[UUID, UUID] = {}
        self._outer: RouterCallbackHandler | None = None

    # What was counted.

    @property
    def total(self) -> Tally:
        """All requests together."""
        return self._books.total

    @property
    def by_model(self) -> dict[str, Tally]:
        """Each model by its name in the registry. ``requests`` are those in which it was tried."""
        return self._books.by_model

    @property
    def calls(self) -> tuple[RoutedCall, ...]:
        """The latest requests, oldest first."""
        return cast("tuple[RoutedCall, ...]", self._books.calls)

    @property
    def budgets(self) -> tuple[BudgetNote, ...]:
        """What budgets did last, oldest first: thresholds that were reached, requests that were refused."""
        return self._books.budgets

    @property
    def by_root_run(self) -> dict[UUID, Tally]:
        """The latest requests by the outermost run (chain, graph, agent) that made them."""
        return {UUID(root): counted for root, counted in self._books.by_root.items()}

    def as_dict(self) -> dict[str, Json]:
        """Everything, JSON-safe; amounts of money are decimal strings, an unknown one is None."""
        told = self._books.as_dict()
        return {"total": told.pop("total"), "models": told.pop("models"), "root_runs": told.pop("roots"), **told}

    def __str__(self) -> str:
        return str(self._books)

    def reset(self) -> None:
        """Forget what was counted. Runs under way are still known, so that their calls find their root."""
        self._books.reset()

    # What LangChain and the router tell.

    @property
    def ignore_llm(self) -> bool:
        """The runs of single models are of no interest: the receipt tells of them."""
        return True

    @property
    def ignore_chat_model(self) -> bool:
        """As ``ignore_llm``."""
        return True

    def on_router_receipt(
        self, receipt: Receipt, *, run_id: UUID, parent_run_id: UUID | None, baseline_nano: int | None
    ) -> None:
        """A request is over. A receipt that was booked already is not booked again."""
        with self._lock:
            root = self._roots.get(run_id) or self._root_of(run_id, parent_run_id)
        self._books.book(
            RoutedCall(receipt=receipt, baseline_nano=baseline_nano, call_id=str(run_id), root_id=str(root))
        )
        if self._outer is not None:
            self._outer.on_router_receipt(
                receipt, run_id=run_id, parent_run_id=parent_run_id, baseline_nano=baseline_nano
            )

    def on_router_budget(self, note: BudgetNote) -> None:
        """A budget has reached a threshold or refused a request. What was noted already is not noted again."""
        self._books.note(note)
        if self._outer is not None:
            self._outer.on_router_budget(note)

    def on_chain_start(self, *_started: Any, run_id: UUID, parent_run_id: UUID | None = None, **_about: Any) -> None:
        """A run begins, or the router's own."""
        with self._lock:
            self._roots[run_id] = self._root_of(run_id, parent_run_id)
            # Not forgotten at the end of the run: the receipt of a stream that is left early may come after it.
            if len(self._roots) > _RUNS:
                del self._roots[next(iter(self._roots))]
        if self._outer is not None:
            self._outer.on_chain_start(run_id=run_id, parent_run_id=parent_run_id)

    # These may call a router, too.
    on_tool_start = on_chain_start
    on_retriever_start = on_chain_start

    def _root_of(self, run_id: UUID, parent_run_id: UUID | None) -> UUID:
        return run_id if parent_run_id is None else self._roots.get(parent_run_id, parent_run_id)


_innermost: ContextVar[RouterCallbackHandler | None] = ContextVar("router_callback", default=None)


@cache
def _hook_in() -> None:
    """Make LangChain look at ``_innermost`` for every run. It keeps a hook for ever, so there is one for all blocks; a
    nested block passes on what it hears."""
    # Slow to import, and of use to those who open a block only.
    from langchain_core.tracers.context import register_configure_hook

    register_configure_hook(_innermost, inheritable=True)


@contextmanager
def get_router_callback(keep: int = KEEP) -> Iterator[RouterCallbackHandler]:
    """A handler of everything that is routed within the block, without passing a config.

    ::

        with get_router_callback() as routed:
            agent.invoke({"messages": "..."})
        print(routed.total.cost_usd)

    Threads and tasks are covered if they run in a copy of the block's context, as LangChain's own do. Blocks may be
    nested: the outer one counts what the inner one counts, too.
    """
    _hook_in()
    handler = RouterCallbackHandler(keep)
    handler._outer = _innermost.get()  # noqa: SLF001 - the two are one class
    token = _innermost.set(handler)
    try:
        yield handler
    finally:
        _innermost.reset(token)
