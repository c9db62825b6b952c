"""Group commit: who waits together is committed together, and fails alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from router_core.errors import StoreError
from router_core.stores import Store, open_store
from router_core.stores.commits import MOST, Done, GroupCommit
from router_core.stores.works import Reserve, Settle
from tests.stores.samples import charge, entry


class Slow:
    """Performs numbers; the first group only when it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun = threading.Event()
        self.free = threading.Event()

    def perform(self, works: Sequence[int]) -> list[Done]:
        self.groups.append(list(works))
        self.begun.set()
        self.free.wait()
        return [Done(error=LookupError(work)) if work < 0 else Done(work * 2) for work in works]


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def commits(slow: Slow) -> GroupCommit[int]:
    return GroupCommit(slow.perform, lambda: RuntimeError("closed"))


def queued(commits: GroupCommit[int], size: int) -> None:
    """Wait until that many wait."""
    while commits._queue.qsize() < size:
        threading.Event().wait(0.001)


def test_what_waits_is_performed_together(slow: Slow, commits: GroupCommit[int]) -> None:
    with ThreadPoolExecutor(300) as pool:
        first = pool.submit(commits.do, 0)
        slow.begun.wait()
        others = [pool.submit(commits.do, number) for number in range(1, 300)]
        queued(commits, 299)
        slow.free.set()
        assert [future.result() for future in [first, *others]] == [number * 2 for number in range(300)]

    assert [len(group) for group in slow.groups] == [1, MOST, 299 - MOST]
    commits.close()


def test_the_error_is_raised_where_it_was_asked_for(slow: Slow, commits: GroupCommit[int]) -> None:
    slow.free.set()
    with ThreadPoolExecutor(3) as pool:
        good, bad, other = (pool.submit(commits.do, number) for number in (1, -2, 3))
        assert (good.result(), other.result()) == (2, 6)
        assert isinstance(bad.exception(), LookupError)
    commits.close()


def test_whatever_goes_wrong_the_next_group_is_performed() -> None:
    def perform(works: Sequence[int]) -> list[Done]:
        return [Done(100 // work) for work in works]

    commits = GroupCommit(perform, lambda: RuntimeError("closed"))
    with pytest.raises(ZeroDivisionError):
        commits.do(0)
    assert commits.do(5) == 20
    commits.close()


def test_closing_performs_what_waits(slow: Slow, commits: GroupCommit[int]) -> None:
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(commits.do, 1)
        slow.begun.wait()
        second = pool.submit(commits.do, 2)
        queued(commits, 1)
        closing = pool.submit(commits.close)
        slow.free.set()
        assert (first.result(), second.result(), closing.result()) == (2, 4, None)
    with pytest.raises(RuntimeError, match="closed"):
        commits.do(3)
    commits.close()


def test_an_operation_that_fails_is_undone_alone(sql_store: Store) -> None:
    """Half of a surrogate pair in a request's id: neither driver takes it."""
    good, bad = Reserve.of("good", [charge()], "me", 5.0), Reserve.of("bad\ud800", [charge("month")], "me", 5.0)

    done = sql_store._writer.perform([good, bad, Settle.recording(entry("r1", 5))])

    assert [result.value for result in done] == [(), None, ()]
    assert [type(result.error) for result in done] == [type(None), StoreError, type(None)]
    assert [s.budget for s in sql_store.standings()] == ["day"]
    assert [row["request_id"] for row in sql_store.entries()] == ["r1"]
    assert sql_store.verify() == []


def test_operations_of_one_group_see_each_other(sql_store: Store) -> None:
    day = charge(limit=150)
    done = sql_store._writer.perform(
        [
            Reserve.of("r1", [day], "me", 5.0),
            Reserve.of("r2", [day], "me", 5.0),
            Settle.of("r1", {day.scope: 40}, entry("r1", 40)),
            Settle.of("r1", {day.scope: 99}, entry("r1", 99)),
            Reserve.of("r3", [day], "me", 5.0),
        ]
    )

    assert [len(result.value) for result in done] == [0, 1, 1, 0, 0]
    assert [result.error for result in done] == [None] * 5
    assert [(s.spent, s.held) for s in sql_store.standings()] == [(40, 100)]
    assert [row["cost_nano"] for row in sql_store.entries()] == [40]


def test_two_processes_write_one_receipt_once(url: str) -> None:
    """Neither sees the other's before it has looked: the second finds out when it writes."""
    ours, theirs = open_store(url), open_store(url)
    works = [Settle.recording(entry("r1", 5)), Settle.recording(entry("r2", 6))]
    load = type(ours._writer).__dict__["_transact"]

    def late(group: object) -> object:
        theirs.record(entry("r1", 5))
        return load(ours._writer, group)

    ours._writer._transact = late
    assert [result.error for result in ours._writer.perform(works)] == [None, None]

    assert [row["cost_nano"] for row in ours.entries()] == [5, 6]
    assert ours.verify() == []
    ours.close()
    theirs.close()


def test_a_closed_store_says_so(sql_store: Store) -> None:
    sql_store.record(entry("r1", 5))
    sql_store.close()

    for use in (sql_store.standings, lambda: sql_store.record(entry("r2", 5)), lambda: next(sql_store.entries())):
        with pytest.raises(StoreError, match="it was closed; open it again"):
            use()
