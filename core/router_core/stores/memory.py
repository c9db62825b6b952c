"""A store in the memory of one process: for tests, for notebooks, and where no other is configured."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from router_core.learning.strategy import Batch, Contents, MemoryBook
from router_core.records import Feedback
from router_core.stores.audit import Sums, counter_faults, receipt_faults
from router_core.stores.base import Done, Repricing, Row, Size, Standing, Taught, Tell
from router_core.stores.book import Book, Changes, HoldState, Key
from router_core.stores.forks import survive_forks
from router_core.stores.recollection import Said, batch_rows, lessons, said
from router_core.stores.rows import EntryRows, feedback_row, microseconds, read_row, repricing_row
from router_core.stores.works import Operations, Work, definition_text, same_definition
from router_core.types import Json


class MemoryStore(Operations):
    """A ``Store`` that ends with its process. A forked process goes on with a copy of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._book = Book()
        self._rows: dict[str, EntryRows] = {}
        self._repricings: defaultdict[str, dict[tuple[int, str], Row]] = defaultdict(dict)
        self._feedback: dict[str, Row] = {}
        self._learned: dict[str, Row] = {}
        self._budgets: dict[str, str] = {}
        self._memory = MemoryBook()
        survive_forks(self)

    def do(self, work: Work) -> Any:
        """Do an operation."""
        with self._lock:
            result = work.apply(self._book)
            for rows in self._book.changes.receipts:
                self._rows[rows.request["request_id"]] = rows
            self._book.changes = Changes()
        return result

    def begin(self, work: Work, tell: Tell) -> None:
        """Do an operation, and tell what became of it."""
        try:
            done = Done(self.do(work))
        except ValueError as error:
            done = Done(error=error)
        tell(done)

    def reclaim(self, now: float) -> int:
        """Turn the holds whose lease has expired into their floor, spent."""
        with self._lock:
            return self._book.reclaim(microseconds(now, "now"))

    def standings(self, budget: str | None = None) -> list[Standing]:
        """Where something is spent or held."""
        with self._lock:
            return self._book.standings(budget)

    def budgets(self) -> dict[str, dict[str, Json]]:
        """The definitions that were saved, by name."""
        with self._lock:
            return {name: json.loads(text) for name, text in sorted(self._budgets.items())}

    def save_budget(self, name: str, definition: Mapping[str, Json] | None) -> None:
        """Keep a definition, or remove it."""
        text = None if definition is None else definition_text(name, definition)
        with self._lock:
            if text is None:
                self._budgets.pop(name, None)
            else:
                self._budgets[name] = text

    def swap_budget(self, name: str, before: Mapping[str, Json] | None, after: Mapping[str, Json] | None) -> bool:
        """Keep ``after`` if what is kept is ``before``, and say whether it was."""
        wanted = None if before is None else definition_text(name, before)
        text = None if after is None else definition_text(name, after)
        with self._lock:
            if not same_definition(self._budgets.get(name), wanted):
                return False
            if text is None:
                self._budgets.pop(name, None)
            else:
                self._budgets[name] = text
            return True

    def size(self, before: float | None = None) -> Size:
        """How much is kept."""
        until_us = None if before is None else microseconds(before, "before")
        with self._lock:
            kept = [rows for rows in self._rows.values() if until_us is None or rows.request["at_us"] < until_us]
            return Size(len(kept), sum(len(rows.attempts) for rows in kept), len(self._book.counters))

    def entries(self, *, since: float | None = None, until: float | None = None) -> Iterator[Row]:
        """The receipts of requests that ended in ``since`` <= time < ``until``, oldest first."""
        first = None if since is None else microseconds(since, "since")
        last = None if until is None else microseconds(until, "until")
        with self._lock:
            chosen = [
                (entry, list(self._repricings.get(name, {}).values()), self._feedback.get(name))
                for name, entry in self._rows.items()
                if (first is None or entry.request["at_us"] >= first)
                and (last is None or entry.request["at_us"] < last)
            ]
        chosen.sort(key=lambda found: (found[0].request["at_us"], found[0].request["request_id"]))
        return (read_row(*entry, repricings, feedback) for entry, repricings, feedback in chosen)

    def save_feedback(self, feedback: Feedback) -> bool:
        """Keep what was said of an answer."""
        row = feedback_row(feedback)
        name = row.pop("request_id")
        with self._lock:
            if name in self._rows:
                self._feedback[name] = row
            return name in self._rows

    def save_repricings(self, repricings: Sequence[Repricing]) -> int:
        """Keep costs that were computed anew beside the old figures."""
        rows = [repricing_row(repricing) for repricing in repricings]
        with self._lock:
            kept = [row for row in rows if self._has_attempt(row["request_id"], row["number"])]
            for row in kept:
                self._repricings[row["request_id"]][row["number"], row["price_version"]] = row
        return len(kept)

    def remember(self, batch: Batch, *, anew: bool = False) -> bool:
        """Add to the strategy memory."""
        batch_rows(batch)  # what a database would refuse is refused here too
        with self._lock:
            return self._memory.apply(batch, anew=anew)

    def learn_feedback(self, length: float, at: float) -> Taught:  # noqa: ARG002 - no time is kept
        """Add to the strategy memory what was said of answers and not learned yet."""
        with self._lock:
            learned = lessons(list(self._unlearned()), self._memory.contents, length)
            for increment in learned.increments:
                self._memory.add(increment)
            self._learned.update((row["of_request"], row) for row in learned.noted)
        return learned.places

    def memory(self) -> Contents:
        """All that the strategy memory holds."""
        with self._lock:
            return self._memory.contents

    def prune(self, before: float) -> int:
        """Remove the receipts of requests that ended before that time."""
        before_us = microseconds(before, "before")
        with self._lock:
            old = [name for name, entry in self._rows.items() if entry.request["at_us"] < before_us]
            stray = [
                request_id
                for request_id, holds in self._book.holds.items()
                if request_id not in self._rows and all(hold.expires_us < before_us for hold in holds.values())
            ]
            self._book.forget([*old, *stray])
            for request_id in old:
                del self._rows[request_id]
                self._repricings.pop(request_id, None)
                self._feedback.pop(request_id, None)
                self._learned.pop(request_id, None)
                self._book.receipts.discard(request_id)
            self._book.changes = Changes()
        return len(old)

    def verify(self) -> list[str]:
        """What does not add up, in words."""
        with self._lock:
            rows = list(self._rows.values())
            found = list(counter_faults(self._book.counters, self._sums()))
        return [words for e in rows for words in receipt_faults(read_row(e.request, e.attempts, e.decision))] + found

    def close(self) -> None:
        """Nothing is open."""

    # For ``survive_forks``.

    def pause(self) -> None:
        """Let nobody in."""
        self._lock.acquire()

    def go_on(self) -> None:
        """Go on after a fork, in the parent."""
        self._lock.release()

    def begin_in_child(self) -> None:
        """Go on after a fork, in the child."""
        self._lock.release()

    def _unlearned(self) -> Iterator[Said]:
        for name, row in sorted(self._feedback.items(), key=lambda found: (found[1]["at_us"], found[0])):
            before = self._learned.get(name, {"learned_score": None, "learned_number": None})
            if before["learned_score"] != row["score"]:
                decision = self._rows[name].decision or {"reason": None, "features": None}
                yield said(
                    {**decision, **before, **row, "request_id": name, "model": self._rows[name].request["model"]}
                )

    def _has_attempt(self, request_id: str, number: int) -> bool:
        entry = self._rows.get(request_id)
        return entry is not None and 1 <= number <= len(entry.attempts)

    def _sums(self) -> dict[Key, Sums]:
        sums: defaultdict[Key, Sums] = defaultdict(Sums)
        for holds in self._book.holds.values():
            for hold in holds.values():
                of = sums[hold.key]
                if hold.state is HoldState.HELD:
                    of.held += hold.amount
                else:
                    of.spent += hold.spent or 0
        return dict(sums)
