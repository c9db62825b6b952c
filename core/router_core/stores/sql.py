"""A store in SQLite or PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from router_core.errors import MissingExtra, StoreError
from router_core.learning.strategy import Batch, Contents
from router_core.records import Feedback
from router_core.stores import reads
from router_core.stores.audit import receipt_faults
from router_core.stores.base import Repricing, Row, Size, Standing, Taught, Tell
from router_core.stores.commits import GroupCommit
from router_core.stores.engines import lock_wait_s, make_engine, parse
from router_core.stores.failures import Place
from router_core.stores.forks import survive_forks
from router_core.stores.recollection import batch_rows
from router_core.stores.rows import feedback_row, microseconds, repricing_row
from router_core.stores.statements import CHUNK
from router_core.stores.upgrade import bring_up
from router_core.stores.works import Operations, Work, definition_text
from router_core.stores.writer import (
    LearnFeedback,
    Operation,
    Prune,
    Reclaim,
    Remember,
    SaveBudget,
    SaveFeedback,
    SaveRepricings,
    SwapBudget,
    Writer,
)
from router_core.types import Json

T = TypeVar("T")


class SqlStore(Operations):
    """A ``Store`` that threads and processes share, at an SQLAlchemy URL. The tables are made or migrated first.

    What threads ask for at the same time is committed together. A forked process goes on with connections of its own.

    Raises:
        ConfigError: the URL is not understood.
        StoreError: the database cannot be read and written.
        MissingExtra: the driver is not installed.
    """

    def __init__(self, url: str) -> None:
        parsed = parse(url)
        self._place = Place(parsed)
        try:
            self._engine = make_engine(parsed, self._place)
        except ImportError as error:
            raise MissingExtra("psycopg", "postgres") from error
        self._errors = (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error)
        self._reading = threading.Lock()
        self._open = True
        with ExitStack() as unless_well:
            unless_well.callback(self._engine.dispose)
            with self._mapped():
                bring_up(self._engine, self._place)
            unless_well.pop_all()
        self._writer = Writer(self._engine, self._place, lock_wait_s(parsed))
        self._commits: GroupCommit[Operation] = GroupCommit(self._writer.perform, self._closed)
        survive_forks(self)

    def __repr__(self) -> str:
        return f"SqlStore({self._place.url!r})"

    def do(self, work: Work) -> Any:
        """Do an operation, and wait until it is durable."""
        return self._commits.do(work)

    def begin(self, work: Work, tell: Tell) -> None:
        """Do an operation, and tell what became of it when it is durable."""
        self._commits.begin(work, tell)

    def reclaim(self, now: float) -> int:
        """Turn the holds whose lease has expired into their floor, spent."""
        return self._all_of(Reclaim(microseconds(now, "now")))

    def standings(self, budget: str | None = None) -> list[Standing]:
        """Where something is spent or held."""
        return self._read(lambda connection: reads.standings(connection, budget))

    def budgets(self) -> dict[str, dict[str, Json]]:
        """The definitions that were saved, by name."""
        return self._read(reads.budgets)

    def save_budget(self, name: str, definition: Mapping[str, Json] | None) -> None:
        """Keep a definition, or remove it."""
        self._commits.do(SaveBudget(name, None if definition is None else definition_text(name, definition)))

    def swap_budget(self, name: str, before: Mapping[str, Json] | None, after: Mapping[str, Json] | None) -> bool:
        """Keep ``after`` if what is kept is ``before``, and say whether it was."""
        texts = (None if each is None else definition_text(name, each) for each in (before, after))
        swapped: bool = self._commits.do(SwapBudget(name, *texts))
        return swapped

    def size(self, before: float | None = None) -> Size:
        """How much is kept."""
        until_us = None if before is None else microseconds(before, "before")
        return self._read(lambda connection: reads.size(connection, until_us))

    def entries(self, *, since: float | None = None, until: float | None = None) -> Iterator[Row]:
        """The receipts of requests that ended in ``since`` <= time < ``until``, oldest first."""
        first = None if since is None else microseconds(since, "since")
        last = None if until is None else microseconds(until, "until")
        return self._pages(first, last)

    def save_repricings(self, repricings: Sequence[Repricing]) -> int:
        """Keep costs that were computed anew beside the old figures."""
        rows = [repricing_row(repricing) for repricing in repricings]
        parts = [rows[at : at + CHUNK] for at in range(0, len(rows), CHUNK)]
        return sum(self._commits.do(SaveRepricings(part)) for part in parts)

    def save_feedback(self, feedback: Feedback) -> bool:
        """Keep what was said of an answer."""
        kept: bool = self._commits.do(SaveFeedback(feedback_row(feedback)))
        return kept

    def remember(self, batch: Batch, *, anew: bool = False) -> bool:
        """Add to the strategy memory."""
        new: bool = self._commits.do(Remember(batch_rows(batch), anew))
        return new

    def learn_feedback(self, length: float, at: float) -> Taught:
        """Add to the strategy memory what was said of answers and not learned yet."""
        learned: Taught = ()
        # There is seldom any: who only looks keeps no writer waiting.
        more = self._read(reads.unlearned)
        while more:
            places, more = self._commits.do(LearnFeedback(length, at))
            learned += places
        return learned

    def memory(self) -> Contents:
        """All that the strategy memory holds."""
        return self._read(reads.memory)

    def prune(self, before: float) -> int:
        """Remove the receipts of requests that ended before that time."""
        return self._all_of(Prune(microseconds(before, "before")))

    def verify(self) -> list[str]:
        """What does not add up, in words."""
        return [
            *(words for row in self.entries() for words in receipt_faults(row)),
            *self._read(lambda connection: list(reads.faults_of_rows(connection))),
            *self._read(reads.faults_of_budgets),
        ]

    def close(self) -> None:
        """End the writing thread and close the connections."""
        self._open = False
        self._commits.close()
        self._writer.let_go()
        self._engine.dispose()

    # For ``survive_forks``.

    def pause(self) -> None:
        """Come to rest, with no connection open."""
        self._commits.pause()
        self._reading.acquire()
        self._writer.let_go()
        self._engine.dispose()

    def go_on(self) -> None:
        """Go on after a fork, in the parent."""
        self._reading.release()
        self._commits.go_on()

    def begin_in_child(self) -> None:
        """Go on after a fork, in the child."""
        self._reading = threading.Lock()
        self._engine.dispose()
        self._commits.begin_in_child()

    def _all_of(self, part: Reclaim | Prune) -> int:
        """How many it is in all; a transaction takes some of them only, so that others get their turn."""
        total, more = 0, True
        while more:
            count, more = self._commits.do(part)
            total += count
        return total

    def _pages(self, since_us: int | None, until_us: int | None) -> Iterator[Row]:
        after: Row | None = None
        while rows := self._read(partial(reads.page, since_us=since_us, until_us=until_us, after=after)):
            yield from rows
            after = rows[-1]

    def _read(self, query: Callable[[sa.Connection], T]) -> T:
        if not self._open:
            raise self._closed()
        with self._reading, self._mapped(), self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                # All statements of one reading see the same moment, as they do in SQLite.
                connection = connection.execution_options(isolation_level="REPEATABLE READ")  # noqa: PLW2901
            return query(connection)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise self._place.failed(error) from None

    def _closed(self) -> StoreError:
        return self._place.error("it was closed", "open it again")
