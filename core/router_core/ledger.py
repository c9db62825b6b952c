"""The ledger of a router: where receipts are kept and budgets are held."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from router_core.budget import Budget, Plan, charges_of, overlaid, spent_of
from router_core.errors import BudgetExceeded, ConfigError, StoreError
from router_core.events import BudgetReached
from router_core.tab import Tab

if TYPE_CHECKING:
    from router_core.leases import Leases
    from router_core.records import Attempt, Receipt, Shortfall
    from router_core.stores.base import LedgerEntry, Movement, Store
    from router_core.stores.works import Work

R = TypeVar("R")

Steps: TypeAlias = "Generator[Work, Any, R]"
"""What is asked of a store, one after the other, and what comes of it. ``Ledger.perform`` and ``threads.perform`` do
it."""

StoreText = Literal["off", "hash", "full"]
OnStoreError = Literal["stop", "warn"]

_BEYOND = 2**62
"""A limit that nothing reaches: what a budget that was asked for more is held against."""

_LEASE_S = 60.0

_FRESH_S = 5.0
"""How long the definitions of budgets, once read, hold: what others set is known after so many seconds, or when a
request does not fit. So long too is a store that cannot be opened let alone, where the router goes on without it."""

_WARN_FROM = 80
"""The percentage from which a threshold that was reached is logged as a warning."""

log = logging.getLogger(__name__)


class Ledger:
    """Keeps every receipt in a store, and holds budgets there. One object serves all threads and event loops, and may
    serve several routers; processes share it by its store.

    ::

        ledger = Ledger("sqlite:///router.db", budgets=[Budget(name="daily", limit_usd="5", per="day")])
        router = Router([...], ledger=ledger)

    The store is opened by the first request, before a model is called. A receipt is durable before its call returns.
    What the store says of a budget (``llm-router budget set``) holds instead of what is given here under its name.

    Args:
        store: a store or its URL: "sqlite:///router.db", "postgresql+psycopg://...", "memory://".
        budgets: the limits; all that apply to a request must hold.
        store_text: what is kept of prompts and answers: nothing, a SHA-256 of each, or the texts. Only with the texts
            are kept what a verifier says of an answer and what a failed call says, beyond the reason code.
        redact: applied to a text before it is kept; with it, "full" keeps what it returns.
        on_store_error: "stop" raises ``StoreError`` before a model is called; "warn" goes on without the store, logs,
            and counts the receipts that were lost in ``lost``.
        ask: what a budget asks that is exceeded and set to "ask": given the ``BudgetExceeded``, it tells whether to go
            on.
        alert: told when a budget reaches one of its thresholds, which is logged in any case. It must not take long: the
            call that got there waits for it.
        lease_s: seconds after which the holds of a process that is gone count as spent at their floor.

    Raises:
        ConfigError: two budgets have one name, a mode is unknown, the lease is no time, or (by the first request) the
            URL is none or a definition in the store is wrong.
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
        alert: Callable[[BudgetReached], object] | None = None,
        lease_s: float = _LEASE_S,
    ) -> None:
        self.given = tuple(budgets)
        if len({budget.name for budget in self.given}) < len(self.given):
            raise ConfigError(f"budgets: {[budget.name for budget in self.given]} are not all different; rename one")
        if store_text not in {"off", "hash", "full"}:
            raise ConfigError(f"store_text: {store_text!r} is unknown; use off, hash or full")
        if on_store_error not in {"stop", "warn"}:
            raise ConfigError(f"on_store_error: {on_store_error!r} is unknown; use stop or warn")
        if not 0 < lease_s < math.inf:
            raise ConfigError(f"lease_s: {lease_s!r} is no lease; give seconds above 0")
        self.url = store if isinstance(store, str) else None
        self.ask = ask
        self.lost = 0
        self._given_store = store
        self._lease_s = lease_s
        self._text = store_text
        self._redact = redact
        self._warns = on_store_error == "warn"
        self._alert = alert
        self._lock = threading.Lock()
        self._opened: Store | None = None
        self._unusable: tuple[StoreError, float] | None = None
        self._leases: Leases | None = None
        self._closing: list[Callable[[], object]] = []
        self._apart: frozenset[str] = frozenset()
        # The budgets that hold, and until when they need not be read again.
        self._limits: tuple[tuple[Budget, ...], float] = (self.given, -math.inf)

    def __repr__(self) -> str:
        lost = f", lost={self.lost}" if self.lost else ""
        return f"Ledger(budgets={[budget.name for budget in self.budgets]}{lost})"

    @property
    def store(self) -> Store:
        """The store, opened now if it was not. Raises ``StoreError`` or ``ConfigError``."""
        from router_core.stores import open_store

        with self._lock:
            if self._opened is not None:
                return self._opened
            if self._warns and self._unusable is not None and time.monotonic() < self._unusable[1]:
                raise self._unusable[0]
            given = self._given_store
            try:
                opened = open_store(given) if isinstance(given, str) else given
                opened.reclaim(time.time())
            except StoreError as error:
                self._unusable = (error, time.monotonic() + _FRESH_S)
                raise
            self._opened = opened
            return opened

    @property
    def opened(self) -> Store | None:
        """The store, if it is open."""
        return self._opened

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The budgets that hold, as they were last read."""
        return self._limits[0]

    def known_limits(self) -> tuple[Budget, ...] | None:
        """The budgets that hold, or None where the store has to be asked."""
        budgets, until = self._limits
        return budgets if time.monotonic() < until else None

    def limits(self, *, anew: bool = False) -> tuple[Budget, ...]:
        """The budgets that hold: those given, and what the store says instead and beside.

        Raises:
            StoreError: the store cannot be used. ConfigError: a definition is wrong.
        """
        known = None if anew else self.known_limits()
        if known is not None:
            return known
        with self._guarded("read what budgets are set"):
            saved = self.store.budgets()
            limits = tuple(filter(self._holds, overlaid(self.given, saved)))
            self._limits = (limits, time.monotonic() + _FRESH_S)
        return self.budgets

    def reserve(
        self, tab: Tab, plan: Plan, budgets: tuple[Budget, ...], *, allowed: bool = False
    ) -> Steps[tuple[Shortfall, ...]]:
        """Hold the worst case of a plan; the purses that cannot bear it, or nothing if all is held.

        Raises:
            StoreError: the store cannot be used. ConfigError: a model has no price and a budget is in dollars.
        """
        from router_core.stores.works import Reserve

        tab.held_at = time.time()
        try:
            charges = charges_of(budgets, tab.request, plan, tab.held_at, tab.request_id)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if allowed:
            asks = {budget.name for budget in budgets if budget.on_exceeded == "ask"}
            charges = tuple(c._replace(limit=_BEYOND) if c.budget in asks else c for c in charges)
        shortfalls: tuple[Shortfall, ...] = ()
        if charges:
            with self._guarded("hold money for a request"):
                expires = tab.held_at + self._lease_s
                shortfalls = yield Reserve.of(tab.request_id, charges, _owner(), expires)
                if not shortfalls:
                    tab.budgets, tab.charges = budgets, charges
                    self._keeper().add(tab.request_id)
        return shortfalls

    def settle(self, tab: Tab, receipt: Receipt) -> Steps[tuple[BudgetReached, ...]]:
        """Write the receipt, and turn what is held for the request into what it spent. Durable when it is done. Tells
        what thresholds of budgets that has reached.

        Raises:
            StoreError: the store cannot be used.
        """
        from router_core.stores.works import Settle

        if self._leases is not None:
            self._leases.remove(tab.request_id)
        entry = self._entry(tab, receipt)
        moved: tuple[Movement, ...] = ()
        with self._guarded("write a receipt", lost=1):
            if tab.charges:
                budgets = {budget.name: budget for budget in tab.budgets}
                spent = spent_of(budgets, tab.charges, receipt.attempts)
                moved = yield Settle.of(tab.request_id, spent, entry)
            else:
                yield Settle.recording(entry)
        reached = tuple(_reached(tab, moved)) if moved else ()
        for each in reached:
            log.log(logging.WARNING if each.percent >= _WARN_FROM else logging.INFO, "%s", each)
            if self._alert is not None:
                self._alert(each)
        return reached

    def perform(self, steps: Steps[R]) -> R:
        """Do the steps, waiting for the store. ``threads.perform`` does them without holding up an event loop."""
        try:
            work = next(steps)
            while True:
                try:
                    result = self.store.do(work)
                except StoreError as error:
                    work = steps.throw(error)
                else:
                    work = steps.send(result)
        except StopIteration as done:
            return cast("R", done.value)

    def words(self, text: str) -> str:
        """What is kept of words that may quote a prompt or an answer: nothing, unless the texts are kept too."""
        return (self._kept(text) or "") if self._text == "full" else ""

    def apart(self, budget: Budget) -> Ledger:
        """A ledger of the same store in which this budget alone holds, as it does not hold here. It keeps no texts.

        Raises ``ConfigError`` if another budget has the name.
        """
        if budget.name in {each.name for each in self.given}:
            raise ConfigError(f"a budget under 'budgets' is called {budget.name!r}, as its own is; rename that one")
        self.given, self._apart = (*self.given, budget), self._apart | {budget.name}
        return _Part(self, budget, alert=self._alert, lease_s=self._lease_s)

    def when_closing(self, flush: Callable[[], object]) -> None:
        """Have this called before the store is closed: it writes what is still to be written there."""
        if flush not in self._closing:
            self._closing.append(flush)

    def close(self) -> None:
        """Close the store. A later request opens it again."""
        for flush in self._closing:
            flush()
        with self._lock:
            if self._leases is not None:
                self._leases.stop()
            if self._opened is not None:
                self._opened.close()
            self._leases = self._opened = None
            self._limits = (self.budgets, -math.inf)

    def _holds(self, budget: Budget) -> bool:
        return budget.name not in self._apart

    def _entry(self, tab: Tab, receipt: Receipt) -> LedgerEntry:
        from router_core.stores.base import LedgerEntry

        if self._text != "full":
            receipt = receipt._replace(attempts=tuple(map(_without_words, receipt.attempts)))
        elif self._redact is not None:
            receipt = receipt._replace(attempts=tuple(_redacted(each, self._redact) for each in receipt.attempts))
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
    def _guarded(self, what: str, *, lost: int = 0) -> Iterator[None]:
        """Let a failing store stop the request, or count and log what is lost."""
        try:
            yield
        except StoreError as error:
            if not self._warns:
                raise
            with self._lock:
                self.lost += lost
                total = self.lost
            log.warning("could not %s (%d receipts lost so far): %s", what, total, error)

    def _keeper(self) -> Leases:
        from router_core.leases import Leases

        with self._lock:
            if self._leases is None:
                ledger = weakref.ref(self)

                def store() -> Store | None:
                    found = ledger()
                    return None if found is None else found.store

                self._leases = Leases(store, self._lease_s)
            return self._leases


class _Part(Ledger):
    """See ``Ledger.apart``."""

    def __init__(self, whole: Ledger, budget: Budget, **settings: Any) -> None:
        super().__init__(whole.url or "", budgets=[budget], store_text="off", **settings)
        self._whole = whole
        whole.when_closing(self.close)

    @property
    def store(self) -> Store:
        return self._whole.store

    @property
    def opened(self) -> Store | None:
        return self._whole.opened

    def _holds(self, budget: Budget) -> bool:
        return budget.name == self.given[0].name


def _reached(tab: Tab, moved: Sequence[Movement]) -> Iterator[BudgetReached]:
    """The thresholds that what was spent has gone past."""
    budgets = {budget.name: budget for budget in tab.budgets}
    for standing, before in moved:
        budget = budgets.get(standing.budget)
        limit = budget.limit_of(standing.key, standing.window) if budget is not None else 0
        for percent in sorted(budget.thresholds) if budget is not None and limit else ():
            if before * 100 < limit * percent <= standing.spent * 100:
                yield BudgetReached(
                    request_id=tab.request_id,
                    budget=standing.budget,
                    key=standing.key,
                    window=standing.window,
                    percent=percent,
                    unit=standing.unit,
                    limit=limit,
                    spent=standing.spent,
                    held=standing.held,
                )


def _without_words(attempt: Attempt) -> Attempt:
    """The attempt without what may quote a prompt or an answer."""
    verdict = attempt.verdict
    if not attempt.error and (verdict is None or not verdict.detail):
        return attempt
    error = attempt.error.partition(":")[0] if attempt.error else None
    return attempt._replace(verdict=verdict and replace(verdict, detail=""), error=error)


def _redacted(attempt: Attempt, redact: Callable[[str], str]) -> Attempt:
    verdict = attempt.verdict
    if verdict is not None and verdict.detail:
        verdict = replace(verdict, detail=redact(verdict.detail))
    return attempt._replace(verdict=verdict, error=attempt.error and redact(attempt.error))


@cache
def _host() -> str:
    return socket.gethostname()


def _owner() -> str:
    """Who holds: for people who look at the reservations. What counts is the lease."""
    return f"{_host()}:{os.getpid()}"
