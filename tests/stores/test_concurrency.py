"""Threads and processes at once on one store: no limit is passed, nothing is lost, nobody waits for ever."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Self

import pytest

from router_core.stores import Store, open_store
from tests.stores import hammer
from tests.stores.samples import charge

ROOT = Path(__file__).parents[2]


def check(store: Store, work: hammer.Work) -> None:
    """Each settled receipt is there, the counters are their sums, and no limit is passed."""
    assert store.verify() == []
    written = {row["request_id"]: row["cost_nano"] for row in store.entries()}
    assert {name: written.get(name) for name in work.settled} == work.settled
    assert len(written) == len(work.settled)
    standings = store.standings()
    assert sum(s.held for s in standings) == 0
    for budget, limit in hammer.LIMITS.items():
        spent = [s.spent for s in standings if s.budget == budget]
        assert sum(spent) == sum(work.settled.values())
        assert max(spent) <= limit


class Watch:
    """Looks at the standings of a store, in a thread, for as long as the block runs."""

    def __init__(self, store: Store) -> None:
        self.highest: dict[str, int] = {}
        self._store = store
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            for s in self._store.standings():
                self.highest[s.budget] = max(self.highest.get(s.budget, 0), s.spent + s.held)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_threads(store: Store) -> None:
    with Watch(store) as watch:
        work = hammer.clients(store, "t", threads=16, requests=40)

    check(store, work)
    assert work.refused > 0, "the limits were never reached"
    assert work.settled
    assert all(highest <= hammer.LIMITS[budget] for budget, highest in watch.highest.items())


def test_processes(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=context) as pool:
        futures = [pool.submit(hammer.process, url, f"p{n}", threads=4, requests=40) for n in range(4)]
        works = [future.result() for future in futures]

    store = open_store(url)
    settled = {name: spent for work in works for name, spent in work.settled.items()}
    check(store, hammer.Work(settled, 0))
    assert sum(work.refused for work in works) > 0, "the limits were never reached"
    assert [work.faults for work in works] == [()] * 4, "two transactions waited for each other"
    store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed by a signal there")
@pytest.mark.parametrize("lines", [1, 40, 160])
def test_a_process_is_killed_while_it_settles(url: str, lines: int) -> None:
    command = [sys.executable, "-m", "tests.stores.hammer", "until_killed", url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        told += process.stdout.readlines()
    returned = dict(line.split() for line in told if line.endswith("\n"))
    assert len(returned) >= lines

    store = open_store(url)
    assert store.verify() == []
    rows = {row["request_id"]: row for row in store.entries()}
    assert {name: str(rows[name]["cost_nano"]) for name in returned} == returned
    assert all(len(row["attempts"]) == 3 for row in rows.values())

    left = store.reclaim(5.0)

    assert store.verify() == []
    spent = sum(row["cost_nano"] for row in rows.values()) + left * hammer.FLOOR
    assert [(s.spent, s.held) for s in store.standings()] == [(spent, 0)]
    assert left <= 8, "each thread holds for one request at a time"
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_process_forks_while_threads_use_the_store(url: str) -> None:
    # Python warns of forks in a process with threads: that is what is tried here.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.stores.hammer", "forking", url]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)

    assert (run.returncode, run.stdout.strip(), run.stderr) == (0, "[0, 0, 0, 0, 0]", "")
    store = open_store(url)
    assert store.verify() == []
    assert sum(s.held for s in store.standings()) == 0
    names = [row["request_id"] for row in store.entries()]
    assert {name.partition("-")[0] for name in names} == {"parent", *(f"child{n}" for n in range(5))}
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_memory_store_is_a_copy() -> None:
    store = open_store("memory://")
    store.reserve("r1", [charge()], owner="me", expires=5.0)

    child = os.fork()
    if not child:
        store.settle("r1", {charge().scope: 1}, None)
        os._exit(sum(s.spent for s in store.standings()))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert [(s.spent, s.held) for s in store.standings()] == [(0, 100)]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_a_caller_that_is_interrupted_harms_nobody(sql_store: Store) -> None:
    main = threading.main_thread().ident
    assert main is not None
    interrupted, released = threading.Event(), threading.Event()
    perform = sql_store._writer.perform

    def interrupt(*_: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    def slowly(operations: object) -> object:
        # Again and again: a signal that comes just before the caller begins to wait does not wake it.
        while not interrupted.wait(0.05):
            signal.pthread_kill(main, signal.SIGINT)
        released.wait()
        return perform(operations)

    sql_store._commits._perform = slowly
    # A shell in the background has its children ignore the signal.
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            sql_store.reserve("r1", [charge()], owner="me", expires=5.0)
    finally:
        released.set()
        signal.signal(signal.SIGINT, before)

    sql_store.settle("r1", {charge().scope: 5}, None)

    assert [(s.spent, s.held) for s in sql_store.standings()] == [(5, 0)]
