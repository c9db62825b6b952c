"""How fast receipts become durable: uv run python benchmarks/ledger.py [--calls N] [--folder DIR] [--postgres URL].

Threads write receipts of two attempts with a decision into a new store, each as soon as its last one is durable. Shown
are receipts a second, the receipts that share a commit, and the time that a caller waits for one, in milliseconds. The
disk under the folder decides much of it, so the first line tells what a commit alone costs there.
"""

from __future__ import annotations

import argparse
import secrets
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from router_core.records import Attempt, AttemptOutcome, Candidate, Decision, Reason, Receipt, ReceiptOutcome
from router_core.stores import LedgerEntry, open_store
from router_core.stores.commits import Done
from router_core.testing import scripted_model
from router_core.types import Usage, Verdict

THREADS = (1, 16, 64)
POSTGRES = "postgresql+psycopg://root@127.0.0.1:5432/test"
WEAK, STRONG = scripted_model("weak"), scripted_model("strong")
DECISION = Decision(
    policy="difficulty",
    reason=Reason.EASY,
    ladder=("weak", "strong"),
    fallbacks=(),
    candidates=(Candidate(WEAK, 1_000, 0.5), Candidate(STRONG, 10_000, 1.5)),
    refusals=(),
    quality={"weak": 0.7, "strong": 0.9},
    score=0.25,
    features={"words": 90, "code": False, "reasoning": 0.125},
)


def entry(request_id: str) -> LedgerEntry:
    """A receipt: a rejected draft and its replacement."""
    usage = Usage(input_tokens=800, output_tokens=200)
    doubt = Verdict(accepted=False, code="wording", detail="the answer says that it does not know")
    attempts = (
        Attempt(1, "weak", "scripted", AttemptOutcome.REJECTED, 0.5, usage=usage, cost_nano=1_000, verdict=doubt),
        Attempt(2, "strong", "scripted", AttemptOutcome.ACCEPTED, 1.5, usage=usage, cost_nano=10_000),
    )
    receipt = Receipt(request_id, ReceiptOutcome.ANSWERED, DECISION, attempts, 2.0, tags=frozenset({"user:ann"}))
    return LedgerEntry(receipt=receipt, at=time.time(), baseline_model="strong", prompt="0" * 64, answer="1" * 64)


@contextmanager
def postgres_schema(url: str) -> Iterator[str]:
    """The URL of a schema of our own.

    Raises:
        ImportError: the driver is not installed.
        psycopg.OperationalError: no server answers.
    """
    import psycopg  # noqa: PLC0415 - an optional extra

    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as server:
        name = f"router_benchmark_{secrets.token_hex(8)}"
        server.execute(f"CREATE SCHEMA {name}".encode())
        try:
            yield f"{url}?options={quote(f'-csearch_path={name}')}"
        finally:
            server.execute(f"DROP SCHEMA {name} CASCADE".encode())


def measure(url: str, threads: int, calls: int) -> str:
    """One row of the table."""
    store: Any = open_store(url)
    groups: list[int] = []
    commits = store._commits  # noqa: SLF001 - there is no other place to see how many share one
    perform = commits._perform  # noqa: SLF001

    def counted(works: Sequence[Any]) -> Sequence[Done]:
        groups.append(len(works))
        return perform(works)  # type: ignore[no-any-return]

    commits._perform = counted  # noqa: SLF001
    store.record(entry(secrets.token_hex(16)))  # connects
    groups.clear()
    ready = threading.Barrier(threads + 1)

    def run(_number: int) -> list[float]:
        entries = [entry(secrets.token_hex(16)) for _ in range(calls // threads)]
        ready.wait()
        times = []
        for each in entries:
            began = time.perf_counter()
            store.record(each)
            times.append((time.perf_counter() - began) * 1000)
        return times

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(run, number) for number in range(threads)]
        ready.wait()
        began = time.perf_counter()
        times = sorted(ms for future in running for ms in future.result())
        seconds = time.perf_counter() - began
    faults = store.verify()
    store.close()
    if faults:
        sys.exit(f"the ledger does not add up: {faults}")
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    return f"{len(times) / seconds:10,.0f} {statistics.mean(groups):11.1f} {p50:9.2f} {p99:9.2f}"


def commit_ms(folder: Path) -> float:
    """What SQLite takes to make one small row durable, in milliseconds: the median of 300."""
    with closing(sqlite3.connect(folder / "commit.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE rows (text TEXT)")
        times = []
        for _ in range(300):
            began = time.perf_counter()
            connection.execute("INSERT INTO rows VALUES (?)", ["r" * 500])
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=6400, help="receipts per row (6400)")
    parser.add_argument("--folder", help="where the SQLite files are made (the system's temporary folder)")
    parser.add_argument("--postgres", default=POSTGRES, help=f"a database ({POSTGRES})")
    given = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        print(f"python {sys.version.split()[0]}, sqlite {sqlite3.sqlite_version}, a commit: {commit_ms(folder):.2f} ms")
        print(f"{'store':12} {'threads':>7} {'receipts/s':>10} {'per commit':>11} {'p50 ms':>9} {'p99 ms':>9}")
        for threads in THREADS:
            row = measure(f"sqlite:///{folder / f'{threads}.db'}", threads, given.calls)
            print(f"{'SQLite':12} {threads:7} {row}")
    try:
        import psycopg  # noqa: PLC0415 - the same
    except ImportError:
        sys.exit("PostgreSQL is left out: psycopg is not installed")
    try:
        for threads in THREADS:
            with postgres_schema(given.postgres) as url:
                print(f"{'PostgreSQL':12} {threads:7} {measure(url, threads, given.calls)}")
    except psycopg.OperationalError as error:
        sys.exit(f"PostgreSQL is left out: {error}")


if __name__ == "__main__":
    main()
