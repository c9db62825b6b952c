"""The ledger of a router: where receipts are kept and budgets are held."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from router_core.budget import Budget, PlannedCall, charges_of, spent_of
from router_core.errors import BudgetExceeded, ConfigError, StoreError
from router_core.tab import Tab

if TYPE_CHECKING:
    from router_core.records import Receipt, Shortfall
    from router_core.stores.base import LedgerEntry, Store

T = TypeVar("T")

StoreText = Literal["off", "hash", "full"]
OnStoreError = Literal["stop", "warn"]

_BEYOND = 2**62
"""A limit that nothing reaches: what a budget that was asked for more is held against."""

_LEASE_S = 60.0
_RENEWALS = 3
"""How often a lease is renewed in the time that it lasts."""

log = logging.getLogger(__name__)


class Ledger:
    """Keeps every receipt in a store, and holds budgets there. One object serves all threads and event loops, and may
    serve several routers; processes share it by its store.

    ::

        ledger = Ledger("sqlite:///router.db", budgets=[Budget(name="daily", limit_usd="5", per="day")])
        router = Router([...], ledger=ledger)

    The store is opened by the first request. A receipt is durable before its call returns.

    Args:
        store: a store or its URL: "sqlite:///router.db", "postgresql+psycopg://...", "memory://".
        budgets: the limits; all that apply to a request must hold.
        store_text: what is kept of prompts and answers: nothing, a SHA-256 of each, or the texts.
        redact: applied to a text before it is kept; with it, "full" keeps what it returns.
        on_store_error: "stop" raises ``StoreError`` before a model is called; "warn" goes on without the store, logs,
            and counts what was lost in ``lost``.
        ask: what a budget asks that is exceeded and set to "ask": given the ``BudgetExceeded``, it tells whether to go
            on.
        lease_s: seconds after which the holds of a process that is gone count as spent at their floor.

    Raises:
        ConfigError: two budgets have one name, a mode is unknown, the lease is no time, or (by the first request) the
            URL is none.
    """

    def __init__(
        self,
        store: str | Store = "sqlite:///router.db",
        *,
        budgets: Sequence[Budget] = (),
        store_text: StoreText = "hash",
        redact: Callable[[str], str] | None = None,
        on_store_error: OnStoreError = "stop",
        ask: Callable[[BudgetExceeded], bool] | None = None,
        lease_s: float = _LEASE_S,
    ) -> None:
        self.budgets = tuple(budgets)
        self._by_name = {budget.name: budget for budget in self.budgets}
        if len(self._by_name) < len(self.budgets):
            raise ConfigError(f"budgets: {[budget.name for budget in self.budgets]} are not all different; rename one")
        if store_text not in {"off", "hash", "full"}:
            raise ConfigError(f"store_text: {store_text!r} is unknown; use off, hash or full")
        if on_store_error not in {"stop", "warn"}:
            raise ConfigError(f"on_store_error: {on_store_error!r} is unknown; use stop or warn")
        if not 0 < lease_s < math.inf:
            raise ConfigError(f"lease_s: {lease_s!r} is no lease; give seconds above 0")
        self._given = store
        self._lease_s = lease_s
        self._text = store_text
        self._redact = redact
        self._warns = on_store_error == "warn"
        self._ask = ask
        self._lock = threading.Lock()
        self._opened: Store | None = None
        self._leases: _Leases | None = None
        self.lost = 0

    def __repr__(self) -> str:
        return f"Ledger(budgets={[budget.name for budget in self.budgets]})"

    @property
    def store(self) -> Store:
        """The store, opened now if it was not. Raises ``StoreError`` or ``ConfigError``."""
        from router_core.stores import open_store

        with self._lock:
            if self._opened is None:
                self._opened = open_store(self._given) if isinstance(self._given, str) else self._given
                self._opened.reclaim(time.time())
            return self._opened

    def reserve(self, tab: Tab, plan: Sequence[PlannedCall], *, allowed: bool = False) -> tuple[Shortfall, ...]:
        """Hold the worst case of a plan; the purses that cannot bear it, or nothing if all is held.

        Raises:
            StoreError: the store cannot be used. ConfigError: a model has no price and a budget is in dollars.
        """
        tab.held_at = time.time()
        try:
            charges = charges_of(self.budgets, tab.request, plan, tab.held_at, tab.request_id)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if allowed:
            charges = tuple(
                charge._replace(limit=_BEYOND) if self._by_name[charge.budget].on_exceeded == "ask" else charge
                for charge in charges
            )
        shortfalls: tuple[Shortfall, ...] = ()
        if charges:
            with self._guarded("hold money for a request"):
                expires = tab.held_at + self._lease_s
                shortfalls = self.store.reserve(tab.request_id, charges, owner=_OWNER, expires=expires)
                if not shortfalls:
                    tab.charges = charges
                    self._keeper().add(tab.request_id)
        return shortfalls

    def ask(self, shortfalls: Sequence[Shortfall], now: float) -> bool:
        """Whether a request may go on beyond the limit."""
        if self._ask is None:
            return False
        resets = [self._by_name[shortfall.charge.budget].resets_at(now) for shortfall in shortfalls]
        return self._ask(BudgetExceeded(shortfalls, resets))

    def settle(self, tab: Tab, receipt: Receipt) -> None:
        """Write the receipt, and turn what is held for the request into what it spent. Durable when it returns.

        Raises:
            StoreError: the store cannot be used.
        """
        if self._leases is not None:
            self._leases.remove(tab.request_id)
        entry = self._entry(tab, receipt)
        with self._guarded("write a receipt"):
            if tab.charges:
                spent = spent_of(self._by_name, tab.charges, receipt.attempts)
                self.store.settle(tab.request_id, spent, entry)
            else:
                self.store.record(entry)

    def close(self) -> None:
        """Close the store. A later request opens it again."""
        with self._lock:
            if self._leases is not None:
                self._leases.stop()
            if self._opened is not None:
                self._opened.close()
            self._leases = self._opened = None

    def _entry(self, tab: Tab, receipt: Receipt) -> LedgerEntry:
        from router_core.stores.base import LedgerEntry

        decision = tab.decision
        strongest = tab.outlook.strongest
        start = next((c for c in decision.candidates if c.model.name == decision.start), None) if decision else None
        return LedgerEntry(
            receipt=receipt,
            at=time.time(),
            baseline_model=None if strongest is None else strongest.name,
            baseline_nano=None if strongest is None else tab.baseline_nano(strongest),
            predicted_nano=start.cost_nano if start else None,
            prompt=self._kept("\n".join(turn.text for turn in tab.request.turns)),
            answer=self._kept(tab.reply.text) if tab.reply is not None else None,
        )

    def _kept(self, text: str) -> str | None:
        if self._text == "off":
            return None
        if self._redact is not None:
            text = self._redact(text)
        return text if self._text == "full" else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """Let a failing store stop the request, or count and log what is lost."""
        try:
            yield
        except StoreError as error:
            if not self._warns:
                raise
            with self._lock:
                self.lost += 1
            log.warning("could not %s: %s", what, error)

    def _keeper(self) -> _Leases:
        with self._lock:
            if self._leases is None:
                self._leases = _Leases(weakref.ref(self), self._lease_s)
            return self._leases


_THREADS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="router-ledger")
"""Where async drivers wait for a store. Many, for waiting is all they do: the store writes for all of them at once."""


async def in_a_thread(work: Callable[..., T], *args: Any) -> T:
    """Do blocking work in a thread and wait until it is done, whoever cancels meanwhile: what was spent is booked."""
    doing = asyncio.get_running_loop().run_in_executor(_THREADS, work, *args)
    cancelled: asyncio.CancelledError | None = None
    while not doing.done():
        try:
            await asyncio.shield(doing)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return doing.result()


_OWNER = f"{socket.gethostname()}:{os.getpid()}"
"""Who holds: for people who look at the reservations. What counts is the lease."""


class _Leases:
    """Renews what is held for the requests under way, from a thread of its own, and reclaims what dead owners held."""

    def __init__(self, ledger: weakref.ref[Ledger], lease_s: float) -> None:
        self._ledger = ledger
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="router-leases", daemon=True).start()

    def add(self, request_id: str) -> None:
        with self._lock:
            self._running.add(request_id)

    def remove(self, request_id: str) -> None:
        with self._lock:
            self._running.discard(request_id)

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._lease_s / _RENEWALS):
            ledger = self._ledger()
            if ledger is None:
                return
            with self._lock:
                running = list(self._running)
            try:
                now = time.time()
                if running:
                    ledger.store.renew(running, expires=now + self._lease_s)
                ledger.store.reclaim(now)
            except StoreError as error:
                log.warning("could not renew what is held for %d requests: %s", len(running), error)
