"""The statements of the hot path as text, compiled once for a dialect.

They are given to the driver itself: with SQLAlchemy's own execution a request would cost some 0.4 ms more of Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import Dialect

from router_core.stores.schema import (
    ATTEMPTS,
    BUDGETS,
    COUNTERS,
    DECISIONS,
    FEEDBACK,
    MEMORY,
    MEMORY_STEPS,
    MEMORY_WRITERS,
    REPRICINGS,
    REQUESTS,
    RESERVATIONS,
    UNLEARNED,
)

CHUNK = 256
"""How many names one statement looks up; longer lists are looked up in chunks."""

_HOLD = RESERVATIONS.c
_MOST, _NONE = sa.literal_column(str(CHUNK), sa.Integer), sa.literal_column("0", sa.Integer)
_INSERT: dict[str, Callable[[sa.Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Statements:
    """Statements for one dialect: each a text, or a function that makes one for a number of names."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._insert = _INSERT[dialect.name]
        self._by_size: dict[tuple[str, int], str] = {}

        self.add_counter = self._text(self._insert(COUNTERS).on_conflict_do_nothing())
        self.add_hold = self._text(sa.insert(RESERVATIONS))
        self.add_request = self._text(sa.insert(REQUESTS))
        self.add_attempt = self._text(sa.insert(ATTEMPTS))
        self.add_decision = self._text(sa.insert(DECISIONS))
        self.set_counter = self._text(
            sa.update(COUNTERS)
            .where(COUNTERS.c.id == sa.bindparam("of_id"))
            .values({name: sa.bindparam(name) for name in ("spent", "held", "pruned")})
        )
        self.set_hold = self._text(
            sa.update(RESERVATIONS)
            .where(_HOLD.request_id == sa.bindparam("of_request"), _HOLD.counter == sa.bindparam("of_counter"))
            .values({c.name: sa.bindparam(c.name) for c in RESERVATIONS.c if not c.primary_key})
        )

    # Locks are taken on reservations first, then on counters, each in order; where there is one writer alone, as in
    # SQLite, the words for it are left out.

    def holds_of(self, size: int) -> str:
        """The holds of requests, locked."""
        return self._sized(
            "holds",
            size,
            lambda names: (
                sa.select(RESERVATIONS)
                .where(_HOLD.request_id.in_(names))
                .order_by(_HOLD.request_id, _HOLD.counter)
                .with_for_update()
            ),
        )

    def counters_of(self, size: int) -> str:
        """The sums of counters, locked."""
        found = COUNTERS.c
        return self._sized(
            "counters",
            size,
            lambda names: (
                sa.select(found.id, found.spent, found.held, found.pruned)
                .where(found.id.in_(names))
                .order_by(found.id)
                .with_for_update()
            ),
        )

    def known_of(self, size: int) -> str:
        """Which of these requests have a receipt."""
        return self._sized(
            "known", size, lambda names: sa.select(REQUESTS.c.request_id).where(REQUESTS.c.request_id.in_(names))
        )

    def kept_of(self, size: int) -> str:
        """Which of these requests have a receipt, locked, and how many attempts."""
        found = REQUESTS.c
        return self._sized(
            "kept",
            size,
            lambda names: (
                sa.select(found.request_id, found.attempt_count)
                .where(found.request_id.in_(names))
                .order_by(found.request_id)
                .with_for_update(read=True)
            ),
        )

    @cached_property
    def expired(self) -> str:
        """Holds whose lease has expired, locked, without those that somebody else is busy with."""
        return self._text(
            sa.select(RESERVATIONS)
            .where(_HOLD.state == sa.literal_column("'held'"), _HOLD.expires_us <= sa.bindparam("now_us"))
            .order_by(_HOLD.expires_us)
            .limit(_MOST)
            .offset(_NONE)  # SQLite's words always have one
            .with_for_update(skip_locked=True)
        )

    @cached_property
    def old_requests(self) -> str:
        """Requests that ended before a moment."""
        return self._text(
            sa.select(REQUESTS.c.request_id)
            .where(REQUESTS.c.at_us < sa.bindparam("before_us"))
            .order_by(REQUESTS.c.at_us)
            .limit(_MOST)
            .offset(_NONE)  # SQLite's words always have one
        )

    @cached_property
    def stray_requests(self) -> str:
        """Requests without a receipt whose lease ended before a moment."""
        return self._text(
            sa.select(_HOLD.request_id)
            .distinct()
            .where(
                _HOLD.state != sa.literal_column("'held'"),
                _HOLD.expires_us < sa.bindparam("before_us"),
                ~sa.exists().where(REQUESTS.c.request_id == _HOLD.request_id),
            )
            .limit(_MOST)
            .offset(_NONE)  # SQLite's words always have one
        )

    @cached_property
    def remove_receipts(self) -> tuple[str, ...]:
        """Remove the rows of a receipt: first the one that ``kept_of`` locks, so that nothing is added to the others
        meanwhile."""
        return tuple(
            self._text(sa.delete(table).where(table.c.request_id == sa.bindparam("request_id")))
            for table in (REQUESTS, ATTEMPTS, DECISIONS, REPRICINGS, FEEDBACK)
        )

    @cached_property
    def save_repricing(self) -> str:
        """Keep a cost that was computed anew, in the place of the one that is there."""
        insert = self._insert(REPRICINGS)
        values = {name: insert.excluded[name] for name in ("at_us", "cost_nano")}
        return self._text(
            insert.on_conflict_do_update(index_elements=["request_id", "number", "price_version"], set_=values)
        )

    @cached_property
    def save_feedback(self) -> str:
        """Keep what was said of an answer, in place of what was said before."""
        insert = self._insert(FEEDBACK)
        values = {name: insert.excluded[name] for name in ("at_us", "score", "comment")}
        insert = insert.values({name: sa.bindparam(name) for name in ("request_id", *values)})
        return self._text(insert.on_conflict_do_update(index_elements=["request_id"], set_=values))

    @cached_property
    def unlearned(self) -> str:
        """What was said of answers and not learned yet, locked, without what somebody else is busy with."""
        said, of, why = FEEDBACK.c, REQUESTS.c, DECISIONS.c
        return self._text(
            sa.select(
                said.request_id,
                said.score,
                said.comment,
                said.learned_score,
                said.learned_number,
                of.model,
                why.reason,
                why.features,
            )
            .join(REQUESTS, of.request_id == said.request_id)
            .outerjoin(DECISIONS, why.request_id == said.request_id)
            .where(UNLEARNED)
            .order_by(said.at_us, said.request_id)
            .limit(_MOST)
            .offset(_NONE)  # SQLite's words always have one
            .with_for_update(of=FEEDBACK, skip_locked=True)
        )

    @cached_property
    def note_learned(self) -> str:
        """Note what was learned of what was said."""
        return self._text(
            sa.update(FEEDBACK)
            .where(FEEDBACK.c.request_id == sa.bindparam("of_request"))
            .values({name: sa.bindparam(name) for name in ("learned_score", "learned_number")})
        )

    def evidence_of(self, size: int) -> str:
        """What is known of cells, locked."""
        found = MEMORY.c
        return self._sized(
            "evidence",
            size,
            lambda names: (
                sa.select(found.id, found.good, found.bad, found.all_good, found.all_bad)
                .where(found.id.in_(names))
                .order_by(found.id)
                .with_for_update()
            ),
        )

    @cached_property
    def last_batch(self) -> str:
        """The number of the last batch of a writer, locked."""
        found = MEMORY_WRITERS.c
        return self._text(sa.select(found.number).where(found.writer == sa.bindparam("of_writer")).with_for_update())

    @cached_property
    def note_batch(self) -> str:
        """Keep the number of the last batch of a writer."""
        insert = self._insert(MEMORY_WRITERS)
        values = {name: insert.excluded[name] for name in ("number", "at_us")}
        return self._text(insert.on_conflict_do_update(index_elements=["writer"], set_=values))

    @cached_property
    def add_evidence(self) -> str:
        """Let the evidence of a cell fade by ``keep``, and add to it."""
        insert = self._insert(MEMORY)
        kept = sa.bindparam("keep", type_=sa.Double)
        values = {name: MEMORY.c[name] * kept + insert.excluded[name] for name in ("good", "bad")}
        values |= {name: MEMORY.c[name] + insert.excluded[name] for name in ("all_good", "all_bad")}
        values["at_us"] = insert.excluded.at_us
        columns: dict[str, Any] = {column.name: sa.bindparam(column.name) for column in MEMORY.c}
        return self._text(insert.values(columns).on_conflict_do_update(index_elements=["id"], set_=values))

    @cached_property
    def add_step(self) -> str:
        """Keep a step, unless another process took the step of this number first."""
        return self._text(self._insert(MEMORY_STEPS).on_conflict_do_nothing())

    @cached_property
    def forget_memory(self) -> tuple[str, ...]:
        """Remove all that is remembered."""
        return tuple(self._text(sa.delete(table)) for table in (MEMORY, MEMORY_STEPS))

    @cached_property
    def remove_writers(self) -> str:
        """Remove the writers that brought nothing since a moment."""
        return self._text(sa.delete(MEMORY_WRITERS).where(MEMORY_WRITERS.c.at_us < sa.bindparam("before_us")))

    @cached_property
    def remove_hold(self) -> str:
        """Remove a hold."""
        return self._text(
            sa.delete(RESERVATIONS).where(
                _HOLD.request_id == sa.bindparam("of_request"), _HOLD.counter == sa.bindparam("of_counter")
            )
        )

    @cached_property
    def remove_counter(self) -> str:
        """Remove a counter."""
        return self._text(sa.delete(COUNTERS).where(COUNTERS.c.id == sa.bindparam("of_id")))

    @cached_property
    def remove_empty_counters(self) -> str:
        """Remove the counters that are at nought, without those that somebody else is busy with.

        They say no more than a counter that is not there, and are made again where one is needed.
        """
        found = COUNTERS.c
        empty = (
            sa.select(found.id)
            .where(*(column == sa.literal_column("0") for column in (found.spent, found.held, found.pruned)))
            .with_for_update(skip_locked=True)
        )
        return self._text(sa.delete(COUNTERS).where(found.id.in_(empty)))

    @cached_property
    def save_budget(self) -> str:
        """Keep a definition, in the place of the one that is there."""
        insert = self._insert(BUDGETS)
        return self._text(
            insert.on_conflict_do_update(index_elements=["name"], set_={"definition": insert.excluded.definition})
        )

    @cached_property
    def budget_of(self) -> str:
        """The definition of a budget, locked."""
        return self._text(
            sa.select(BUDGETS.c.definition).where(BUDGETS.c.name == sa.bindparam("of_name")).with_for_update()
        )

    @cached_property
    def add_budget(self) -> str:
        """Keep the first definition of a budget."""
        return self._text(sa.insert(BUDGETS))

    @cached_property
    def remove_budget(self) -> str:
        """Remove a definition."""
        return self._text(sa.delete(BUDGETS).where(BUDGETS.c.name == sa.bindparam("of_name")))

    def _sized(self, name: str, size: int, make: Callable[[list[sa.BindParameter[str]]], sa.ClauseElement]) -> str:
        if (name, size) not in self._by_size:
            self._by_size[name, size] = self._text(make([sa.bindparam(n, type_=sa.Text) for n in numbered(size)]))
        return self._by_size[name, size]

    def _text(self, statement: sa.ClauseElement) -> str:
        return str(statement.compile(dialect=self._dialect))


def numbered(size: int) -> list[str]:
    """The names of that many parameters."""
    return [f"n{number}" for number in range(size)]


def sized(names: Iterable[str]) -> list[dict[str, str]]:
    """Parameters for names in their order, in chunks of few different sizes: the last name fills up what is left."""
    ordered = list(names)
    chunks = [ordered[at : at + CHUNK] for at in range(0, len(ordered), CHUNK)]
    return [_filled(chunk) for chunk in chunks]


def _filled(chunk: list[str]) -> dict[str, str]:
    size = 1 << (len(chunk) - 1).bit_length()
    return dict(zip(numbered(size), chunk + chunk[-1:] * (size - len(chunk)), strict=True))
