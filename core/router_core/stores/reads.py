"""What is read of an SQL store: in short transactions, so that no reader keeps a writer's log from being emptied."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from router_core.learning.strategy import Contents
from router_core.stores.audit import Sums, counter_faults
from router_core.stores.base import Row, Size, Standing
from router_core.stores.book import Counter, Key
from router_core.stores.recollection import read_memory
from router_core.stores.rows import read_row, storable
from router_core.stores.schema import (
    ATTEMPTS,
    BUDGETS,
    COUNTERS,
    DECISIONS,
    FEEDBACK,
    MEMORY,
    MEMORY_STEPS,
    REPRICINGS,
    REQUESTS,
    RESERVATIONS,
    UNLEARNED,
    counter_key,
)
from router_core.stores.statements import CHUNK
from router_core.types import Json


def standings(connection: sa.Connection, budget: str | None) -> list[Standing]:
    """Where something is spent or held, of one budget or of all."""
    found = COUNTERS.c
    query = sa.select(found.id, found.spent, found.held).where(sa.or_(found.spent != 0, found.held != 0))
    if budget is not None:
        query = query.where(found.budget == storable(budget))
    rows = [(counter_key(name), spent, held) for name, spent, held in connection.execute(query)]
    return [Standing(*key, spent, held) for key, spent, held in sorted(rows) if budget in {None, key.budget}]


def budgets(connection: sa.Connection) -> dict[str, dict[str, Json]]:
    """The definitions that were saved."""
    rows = connection.execute(sa.select(BUDGETS.c.name, BUDGETS.c.definition))
    return {name: json.loads(text) for name, text in sorted(map(tuple, rows))}


def memory(connection: sa.Connection) -> Contents:
    """All that the strategy memory holds."""
    evidence, steps = (
        [dict(row) for row in connection.execute(query).mappings()]
        for query in (sa.select(MEMORY), sa.select(MEMORY_STEPS).order_by(MEMORY_STEPS.c.at_us, MEMORY_STEPS.c.number))
    )
    return read_memory(evidence, steps)


def unlearned(connection: sa.Connection) -> bool:
    """Whether anything was said of answers that is still to be learned."""
    return connection.execute(sa.select(FEEDBACK.c.request_id).where(UNLEARNED).limit(1)).first() is not None


def size(connection: sa.Connection, until_us: int | None) -> Size:
    """How many receipts and attempts there are, of requests that ended before that moment, and how many counters."""
    receipts, attempts, counters = (
        sa.select(sa.func.count()).select_from(table) for table in (REQUESTS, ATTEMPTS, COUNTERS)
    )
    if until_us is not None:
        receipts = receipts.where(REQUESTS.c.at_us < until_us)
        attempts = attempts.where(
            sa.exists().where(REQUESTS.c.request_id == ATTEMPTS.c.request_id, REQUESTS.c.at_us < until_us)
        )
    return Size(*(connection.execute(query).scalar_one() for query in (receipts, attempts, counters)))


def page(connection: sa.Connection, since_us: int | None, until_us: int | None, after: Row | None) -> list[Row]:
    """The next receipts of that time after the one that was read last, oldest first."""
    found = REQUESTS.c
    query = sa.select(REQUESTS).order_by(found.at_us, found.request_id).limit(CHUNK)
    if since_us is not None:
        query = query.where(found.at_us >= since_us)
    if until_us is not None:
        query = query.where(found.at_us < until_us)
    if after is not None:
        last = sa.tuple_(sa.literal(after["at_us"], sa.BigInteger), sa.literal(after["request_id"], sa.Text))
        query = query.where(sa.tuple_(found.at_us, found.request_id) > last)
    requests = [dict(row) for row in connection.execute(query).mappings()]
    names = [request["request_id"] for request in requests]
    query = (
        sa.select(ATTEMPTS).where(ATTEMPTS.c.request_id.in_(names)).order_by(ATTEMPTS.c.request_id, ATTEMPTS.c.number)
    )
    attempts = _by_request(connection, query)
    repricings = _by_request(connection, sa.select(REPRICINGS).where(REPRICINGS.c.request_id.in_(names)))
    query = sa.select(DECISIONS).where(DECISIONS.c.request_id.in_(names))
    decisions = {row["request_id"]: dict(row) for row in connection.execute(query).mappings()}
    said = FEEDBACK.c
    query = sa.select(said.request_id, said.at_us, said.score, said.comment).where(said.request_id.in_(names))
    feedback = {row["request_id"]: dict(row) for row in connection.execute(query).mappings()}
    for row in feedback.values():
        del row["request_id"]
    return [
        read_row(request, attempts[name], decisions.get(name), repricings[name], feedback.get(name))
        for request, name in zip(requests, names, strict=True)
    ]


def _by_request(connection: sa.Connection, query: sa.Select[Any]) -> defaultdict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in connection.execute(query).mappings():
        found[row["request_id"]].append(dict(row))
    return found


def faults_of_budgets(connection: sa.Connection) -> list[str]:
    """What of the counters does not agree with their reservations, in words."""
    of, nothing = RESERVATIONS.c, sa.literal_column("0", sa.BigInteger)
    is_held = of.state == "held"
    # Both tables below one another and summed up by counter: one statement sees one moment, whoever writes meanwhile,
    # and a full join would take SQLite a time that grows with the square of the rows.
    rows = sa.union_all(
        sa.select(
            COUNTERS.c.id,
            *(COUNTERS.c[name] for name in ("spent", "held", "pruned")),
            nothing.label("of_held"),
            nothing.label("of_spent"),
        ),
        sa.select(
            of.counter,
            *(nothing for _ in range(3)),
            sa.case((is_held, of.amount), else_=nothing),
            sa.case((is_held, nothing), else_=sa.func.coalesce(of.spent, nothing)),
        ),
    ).subquery()
    spent, held, pruned, of_held, of_spent = sums = [sa.func.sum(column) for column in list(rows.c)[1:]]
    wrong = sa.or_(held != of_held, spent != pruned + of_spent)
    counters: dict[Key, Counter] = {}
    found: dict[Key, Sums] = {}
    for name, *numbers in connection.execute(sa.select(rows.c.id, *sums).group_by(rows.c.id).having(wrong)):
        key, whole = counter_key(name), [int(number) for number in numbers]
        counters[key], found[key] = Counter(*whole[:3]), Sums(*whole[3:])
    return list(counter_faults(counters, found))


def faults_of_rows(connection: sa.Connection) -> Iterator[str]:
    """Rows that belong to no request, in words; and on SQLite what its own check finds."""
    for table in (ATTEMPTS, DECISIONS, REPRICINGS, FEEDBACK):
        strays = (
            sa.select(table.c.request_id)
            .distinct()
            .where(~sa.exists().where(REQUESTS.c.request_id == table.c.request_id))
        )
        for request_id in connection.execute(strays).scalars():
            yield f"request {request_id}: {table.name} has rows of it, requests has none"
    if connection.dialect.name == "sqlite":
        found: list[Any] = list(connection.exec_driver_sql("PRAGMA quick_check").scalars())
        yield from (f"the file is damaged: {words}" for words in found if words != "ok")
