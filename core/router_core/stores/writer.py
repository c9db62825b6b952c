"""What the writing thread of an SQL store does: groups of operations as transactions on one connection of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol, TypeAlias

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from router_core.stores.base import Done, Row, Taught
from router_core.stores.engines import begin_writing, first_words
from router_core.stores.failures import Place
from router_core.stores.recollection import BatchRows
from router_core.stores.statements import Statements
from router_core.stores.transaction import CounterGone, Transaction
from router_core.stores.works import Work

_TRIES = 10
"""How often a transaction is begun anew that met another one, or whose connection was lost."""

_ANEW = frozenset({"40001", "40P01"})
"""The SQLSTATEs of a serialization failure and a deadlock."""


class Alone(Protocol):
    """An operation that needs a transaction of its own."""

    def run(self, transaction: Transaction) -> object:
        """Do it."""
        ...


@dataclass(frozen=True, slots=True)
class Reclaim:
    """A part of ``Store.reclaim``: how many it reclaimed, and whether there may be more."""

    now_us: int

    def run(self, transaction: Transaction) -> tuple[int, bool]:
        """Reclaim what is found."""
        more = transaction.load_expired(self.now_us)
        transaction.lock()
        count = transaction.book.reclaim(self.now_us)
        transaction.flush()
        return count, more


@dataclass(frozen=True, slots=True)
class Prune:
    """A part of ``Store.prune``: how many receipts it removed, and whether there may be more."""

    before_us: int

    def run(self, transaction: Transaction) -> tuple[int, bool]:
        """Remove what is found."""
        return transaction.prune(self.before_us)


@dataclass(frozen=True, slots=True)
class SaveBudget:
    """``Store.save_budget``; ``definition`` is JSON."""

    name: str
    definition: str | None

    def run(self, transaction: Transaction) -> None:
        """Keep or remove the definition."""
        transaction.save_budget(self.name, self.definition)


@dataclass(frozen=True, slots=True)
class SwapBudget:
    """``Store.swap_budget``; the definitions are JSON."""

    name: str
    before: str | None
    after: str | None

    def run(self, transaction: Transaction) -> bool:
        """Keep the definition, if the one before is as it was."""
        return transaction.swap_budget(self.name, self.before, self.after)


@dataclass(frozen=True, slots=True)
class SaveRepricings:
    """A part of ``Store.save_repricings``."""

    rows: Sequence[Row]

    def run(self, transaction: Transaction) -> int:
        """Keep those whose attempts are kept."""
        return transaction.save_repricings(self.rows)


@dataclass(frozen=True, slots=True)
class SaveFeedback:
    """``Store.save_feedback``."""

    row: Row

    def run(self, transaction: Transaction) -> bool:
        """Keep it if the receipt is kept."""
        return transaction.save_feedback(self.row)


@dataclass(frozen=True, slots=True)
class Remember:
    """``Store.remember``."""

    rows: BatchRows
    anew: bool

    def run(self, transaction: Transaction) -> bool:
        """Add the batch, if it is new."""
        return transaction.remember(self.rows, anew=self.anew)


@dataclass(frozen=True, slots=True)
class LearnFeedback:
    """A part of ``Store.learn_feedback``: the places, and whether there may be more."""

    length: float
    at: float

    def run(self, transaction: Transaction) -> tuple[Taught, bool]:
        """Learn what is found."""
        return transaction.learn_feedback(self.length, self.at)


_ALONE = (Reclaim, Prune, SaveBudget, SwapBudget, SaveRepricings, SaveFeedback, LearnFeedback, Remember)
Operation: TypeAlias = (
    "Work | Reclaim | Prune | SaveBudget | SwapBudget | SaveRepricings | SaveFeedback | LearnFeedback | Remember"
)


class _Fault(Enum):
    """Whose fault an error is."""

    NONE = auto()  # the same may succeed
    OPERATION = auto()  # it is one of the group's
    STORE = auto()  # the store cannot be used


class Writer:
    """Performs operations. Belongs to one thread at a time, and is in no transaction between two calls."""

    def __init__(self, engine: sa.Engine, place: Place, wait_s: float) -> None:
        dialect = engine.dialect
        self._engine = engine
        self._place = place
        self._wait_s = wait_s
        self._statements = Statements(dialect)
        self._sqlite = dialect.name == "sqlite"
        self._first_words = first_words(engine)
        # Drivers refuse a number that does not fit a column, and half of a surrogate pair, in Python's own words.
        self._errors = (dialect.loaded_dbapi.Error, SQLAlchemyError, OverflowError, UnicodeError)
        self._link: Any = None
        self._lost = False

    def perform(self, operations: Sequence[Operation]) -> list[Done]:
        """Perform these in their order, in as few transactions as can be: each is durable then, or was not done."""
        return [done for group in _groups(operations) for done in self._perform_group(group)]

    def let_go(self) -> None:
        """Close the connection; the next operation opens another."""
        link, self._link = self._link, None
        if link is not None:
            with suppress(*self._errors):
                link.invalidate()

    def _perform_group(self, group: Sequence[Operation]) -> list[Done]:
        """One transaction for all; where one of several is at fault, one for each."""
        for left in reversed(range(_TRIES)):
            try:
                return self._transact(group)
            except CounterGone:
                continue
            except self._errors as error:
                fault = self._fault(error)
                if fault is _Fault.OPERATION and len(group) > 1:
                    return [done for operation in group for done in self._perform_group([operation])]
                # Another process may have written the same receipt since it was looked for.
                if not left or not (fault is _Fault.NONE or _is(error, "IntegrityError")):
                    return [Done(error=self._place.failed(error)) for _ in group]
        return [
            Done(error=self._place.error("others change the same budgets all the time", "try again")) for _ in group
        ]

    def _transact(self, group: Sequence[Operation]) -> list[Done]:
        with self._transaction() as transaction:
            first = group[0]
            if isinstance(first, _ALONE):
                return [Done(first.run(transaction))]
            works = [work for work in group if not isinstance(work, _ALONE)]
            transaction.load(works)
            done = [_applied(work, transaction) for work in works]
            transaction.flush()
            return done

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        """A transaction that is committed at the end, and undone by an error, whatever it is."""
        self._lost = False
        if self._link is None:
            self._link = self._engine.raw_connection()
            if self._sqlite:
                self._link.driver_connection.execute("PRAGMA busy_timeout=0")  # begin_writing waits more fairly
        if self._sqlite:
            begin_writing(self._link.driver_connection, self._wait_s)
        well = False
        try:
            cursor = self._link.cursor()
            if self._first_words is not None:
                cursor.execute(self._first_words)
            transaction = Transaction(cursor, self._statements)
            yield transaction
            if transaction.wrote:
                self._link.commit()
                well = True
        finally:
            if not well:
                self._undo()

    def _undo(self) -> None:
        try:
            self._link.rollback()
        except self._errors:
            self._lost = True
            self.let_go()

    def _fault(self, error: Exception) -> _Fault:
        if self._lost or getattr(error, "sqlstate", None) in _ANEW:
            return _Fault.NONE
        if isinstance(error, OverflowError | UnicodeError) or _is(
            error, "IntegrityError", "DataError", "InterfaceError"
        ):
            return _Fault.OPERATION
        return _Fault.STORE


def _groups(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    group: list[Operation] = []
    for operation in operations:
        if isinstance(operation, _ALONE):
            if group:
                yield group
            yield [operation]
            group = []
        else:
            group.append(operation)
    if group:
        yield group


def _applied(work: Work, transaction: Transaction) -> Done:
    try:
        return Done(work.apply(transaction.book))
    except ValueError as error:
        return Done(error=error)


def _is(error: Exception, *names: str) -> bool:
    """Whether it is of one of these classes of PEP 249, which each driver has of its own."""
    return any(kind.__name__ in names for kind in type(error).__mro__)
