"""One transaction of an SQL store: what it loads and locks into a book, and how it writes what was done there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from router_core.learning.strategy import Batch
from router_core.stores.base import Row, Taught
from router_core.stores.book import Book, Counter, Hold, HoldState, Key
from router_core.stores.recollection import BatchRows, batch_rows, cell_ids, lessons, read_evidence, said
from router_core.stores.rows import storable
from router_core.stores.schema import counter_id, counter_key
from router_core.stores.statements import CHUNK, Statements, sized
from router_core.stores.works import Work, same_definition

_SAID = ("request_id", "score", "comment", "learned_score", "learned_number", "model", "reason", "features")


class Cursor(Protocol):
    """What is used of a driver's cursor."""

    def execute(self, text: str, parameters: Mapping[str, Any], /) -> object:
        """Run a statement."""
        ...

    def executemany(self, text: str, parameters: Sequence[Mapping[str, Any]], /) -> object:
        """Run a statement for each of these."""
        ...

    def fetchall(self) -> Sequence[Sequence[Any]]:
        """The rows that it gave."""
        ...


class CounterGone(Exception):
    """A counter was removed between being made sure of and being locked."""


class Transaction:
    """Loads what operations need into ``book``, and writes its changes; ``wrote`` says whether there were any.

    Reservations are locked before counters, each all at once and in order: two transactions never wait for each other.
    """

    def __init__(self, cursor: Cursor, statements: Statements) -> None:
        self._cursor = cursor
        self._statements = statements
        self.book = Book()
        self.wrote = False

    def load(self, works: Iterable[Work]) -> None:
        """Load and lock all that these operations need.

        Raises:
            CounterGone: see there.
        """
        requests: set[str] = set()
        keys: set[Key] = set()
        receipts: set[str] = set()
        for work in works:
            requests.update(work.requests)
            keys.update(work.keys)
            if work.rows is not None:
                receipts.add(work.rows.request["request_id"])
        self.load_holds(requests)
        self.lock(keys)
        for chunk in sized(receipts):
            self.book.receipts.update(row[0] for row in self._rows(self._statements.known_of(len(chunk)), chunk))

    def load_holds(self, requests: Collection[str]) -> None:
        """Load and lock what these requests hold."""
        for chunk in sized(sorted(requests)):
            self._take(self._rows(self._statements.holds_of(len(chunk)), chunk))

    def load_expired(self, now_us: int) -> bool:
        """Load and lock holds whose lease has expired; says whether there may be more."""
        return self._take(self._rows(self._statements.expired, {"now_us": now_us})) == CHUNK

    def lock(self, keys: Iterable[Key] = ()) -> None:
        """Load and lock these counters and those of the holds that were loaded.

        Raises:
            CounterGone: see there.
        """
        wanted = {hold.key for holds in self.book.holds.values() for hold in holds.values()}.union(keys)
        ids = sorted(map(counter_id, wanted))
        self._send(self._statements.add_counter, [_new_counter(name) for name in ids])
        for chunk in sized(ids):
            for name, *sums in self._rows(self._statements.counters_of(len(chunk)), chunk):
                self.book.counters[counter_key(name)] = Counter(*sums)
        if len(self.book.counters) < len(ids):
            raise CounterGone

    def flush(self) -> None:
        """Write what was changed."""
        book, changes, statements = self.book, self.book.changes, self._statements
        kept = [key for key in changes.counters if key in book.counters]
        self._write(statements.set_counter, [_counter_row(key, book.counters[key]) for key in kept])
        self._write(
            statements.remove_counter, [{"of_id": counter_id(key)} for key in changes.counters.difference(kept)]
        )
        self._write(statements.add_hold, [_new_hold(r, book.holds[r][key.scope]) for r, key in changes.added])
        self._write(statements.set_hold, [_hold_row(r, book.holds[r][key.scope]) for r, key in changes.changed])
        self._write(
            statements.remove_hold, [{"of_request": r, "of_counter": counter_id(key)} for r, key in changes.removed]
        )
        self._write(statements.add_request, [rows.request for rows in changes.receipts])
        self._write(statements.add_attempt, [attempt for rows in changes.receipts for attempt in rows.attempts])
        self._write(statements.add_decision, [rows.decision for rows in changes.receipts if rows.decision])

    def prune(self, before_us: int) -> tuple[int, bool]:
        """Remove receipts that ended before that moment; says how many, and whether there may be more.

        Raises:
            CounterGone: see there.
        """
        moment = {"before_us": before_us}
        old = [row[0] for row in self._rows(self._statements.old_requests, moment)]
        # Who has no receipt is looked for last, when few reservations are left to look through.
        last = len(old) < CHUNK
        stray = [row[0] for row in self._rows(self._statements.stray_requests, moment)] if last else []
        self.load_holds({*old, *stray})
        self.lock()
        self.book.forget([*old, *stray])
        self.flush()
        for statement in self._statements.remove_receipts:
            self._write(statement, [{"request_id": name} for name in old])
        more = not last or len(stray) == CHUNK
        if not more:
            self._write(self._statements.remove_empty_counters, [{}])
            self._write(self._statements.remove_writers, [moment])
        return len(old), more

    def save_budget(self, name: str, definition: str | None) -> None:
        """Keep the definition of a budget, or remove it."""
        if definition is None:
            self._write(self._statements.remove_budget, [{"of_name": name}])
        else:
            self._write(self._statements.save_budget, [{"name": name, "definition": definition}])

    def swap_budget(self, name: str, before: str | None, after: str | None) -> bool:
        """Keep the definition ``after`` (None: none) if ``before`` is kept; says whether it was.

        Where nothing was kept and somebody else keeps a first definition meanwhile, that is an integrity error.
        """
        rows = self._rows(self._statements.budget_of, {"of_name": name})
        kept = rows[0][0] if rows else None
        if not same_definition(kept, before):
            return False
        if before is None and after is not None:
            self._write(self._statements.add_budget, [{"name": name, "definition": after}])
        else:
            self.save_budget(name, after)
        return True

    def save_repricings(self, rows: Sequence[Row]) -> int:
        """Keep those whose attempts are kept; says how many."""
        kept: dict[str, int] = {}
        for chunk in sized(sorted({row["request_id"] for row in rows})):
            kept.update((name, count) for name, count in self._rows(self._statements.kept_of(len(chunk)), chunk))
        found = [row for row in rows if 1 <= row["number"] <= kept.get(row["request_id"], 0)]
        self._write(self._statements.save_repricing, found)
        return len(found)

    def save_feedback(self, row: Row) -> bool:
        """Keep it if the receipt is kept; says whether it is."""
        kept = self._rows(self._statements.kept_of(1), {"n0": row["request_id"]})
        if kept:
            self._write(self._statements.save_feedback, [row])
        return bool(kept)

    def remember(self, rows: BatchRows, *, anew: bool) -> bool:
        """Add a batch to the strategy memory; says whether it was new."""
        writer, statements = rows.writer, self._statements
        last = self._rows(statements.last_batch, {"of_writer": writer["writer"]})
        if last and last[0][0] >= writer["number"]:
            return False
        self._write(statements.note_batch, [writer])
        for statement in statements.forget_memory if anew else ():
            self._write(statement, [{}])
        self._write(statements.add_evidence, rows.evidence)
        self._write(statements.add_step, rows.steps)
        return True

    def learn_feedback(self, length: float, at: float) -> tuple[Taught, bool]:
        """Add to the strategy memory what was said and not learned; the places, and whether there may be more."""
        statements = self._statements
        heard = [said(dict(zip(_SAID, row, strict=True))) for row in self._rows(statements.unlearned, {})]
        found: list[Sequence[Any]] = []
        for chunk in sized(cell_ids(heard)):
            found += self._rows(statements.evidence_of(len(chunk)), chunk)
        learned = lessons(heard, read_evidence(found), length)
        self._write(statements.add_evidence, batch_rows(Batch("", 0, at, learned.increments)).evidence)
        self._write(statements.note_learned, learned.noted)
        return learned.places, len(heard) == CHUNK

    def _take(self, rows: Sequence[Sequence[Any]]) -> int:
        for request_id, counter, amount, floor, owner, expires_us, state, spent in rows:
            key = counter_key(counter)
            hold = Hold(key, amount, floor, owner, expires_us, HoldState(state), spent)
            self.book.holds.setdefault(request_id, {})[key.scope] = hold
        return len(rows)

    def _rows(self, text: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        self._cursor.execute(text, parameters)
        return self._cursor.fetchall()

    def _write(self, text: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.wrote = self.wrote or bool(rows)
        self._send(text, rows)

    def _send(self, text: str, rows: Sequence[Mapping[str, Any]]) -> None:
        # For a single row, executemany of psycopg takes twice as long.
        if len(rows) == 1:
            self._cursor.execute(text, rows[0])
        elif rows:
            self._cursor.executemany(text, rows)


def _new_counter(name: str) -> dict[str, Any]:
    key = counter_key(name)
    return {
        "id": name,
        "budget": storable(key.budget),
        "key": storable(key.key),
        "window": storable(key.window),
        "unit": key.unit,
        "spent": 0,
        "held": 0,
        "pruned": 0,
    }


def _counter_row(key: Key, counter: Counter) -> dict[str, Any]:
    return {"of_id": counter_id(key), "spent": counter.spent, "held": counter.held, "pruned": counter.pruned}


def _new_hold(request_id: str, hold: Hold) -> dict[str, Any]:
    return {"request_id": request_id, "counter": counter_id(hold.key), **_terms(hold)}


def _hold_row(request_id: str, hold: Hold) -> dict[str, Any]:
    return {"of_request": request_id, "of_counter": counter_id(hold.key), **_terms(hold)}


def _terms(hold: Hold) -> dict[str, Any]:
    return {
        "amount": hold.amount,
        "floor": hold.floor,
        "owner": hold.owner,
        "expires_us": hold.expires_us,
        "state": hold.state.value,
        "spent": hold.spent,
    }
