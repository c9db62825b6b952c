"""Whether budgets hold and receipts are exact in a storm: uv run python benchmarks/budget_storm.py.

A provider on loopback, in a process of its own, counts what it serves, and fails, hangs up or is slow for some calls.
Processes with many tasks each call it through one ``Router`` with one ``Ledger``; tasks are cancelled and processes
killed at any moment. Meanwhile the budgets are watched, and afterwards the ledger is compared with what the provider
counted and with what the callers got. Exits with 1 if something that must hold does not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from storm_provider import NANO_PER_TOKEN, Served, provider_books, serve

from router_core import Budget, Endpoint, Ledger, Model, Price, Registry, Router
from router_core.errors import BudgetExceeded, RouterError, StoreError
from router_core.policies import StaticPolicy
from router_core.records import Answer, Receipt
from router_core.stores import Store, open_store
from router_core.types import Reply, RequestView, Verdict

LEASE_S = 15.0
WATCH_S = 0.02
USD_PER_CALL = Decimal("0.00007")
"""The limit over all, per call that is to be made: less than what the calls would cost, so that some are refused."""
TENANTS = 8
MAX_TOKENS = 64
CANCELLED, CANCELLED_WITHIN_S = 0.04, 0.5


# ----------------------------------------------------------------------------------------------------------- workers
class Storm(NamedTuple):
    """What a worker needs to know."""

    store: str
    base_url: str
    folder: str
    tasks: int
    budgets: tuple[Budget, ...]


def budgets_for(calls: int) -> tuple[Budget, ...]:
    """One over all and one per tenant, both a day's. The tenants have more between them than there is."""
    limit = USD_PER_CALL * calls
    return (
        Budget(name="all", limit_usd=limit, per="day"),
        Budget(name="tenants", limit_usd=limit / TENANTS * 2, per="day", scope="tag:tenant"),
    )


def make_router(storm: Storm) -> Router:
    """Two models at the provider, the stronger one asked where the weaker one is unsure or fails."""

    def model(name: str) -> Model:
        of_input, of_cached, of_output = (Decimal(nano) / 1_000 for nano in NANO_PER_TOKEN[name])
        price = Price(input=of_input, output=of_output, cache_read=of_cached)
        return Model(name=name, id=name, provider="storm", endpoint="storm", price=price)

    def is_certain(_request: RequestView, reply: Reply) -> Verdict:
        return Verdict(accepted=reply.text == "certain", code="unsure")

    endpoint = Endpoint(name="storm", base_url=storm.base_url, provider="storm", timeout_s=60)
    registry = Registry((model("weak"), model("strong")), {"storm": endpoint})
    ledger = Ledger(storm.store, budgets=storm.budgets, lease_s=LEASE_S)
    return Router(registry, policy=StaticPolicy(), verifiers=[is_certain], ledger=ledger)


class Worker:
    """Makes calls from many tasks. What began and what came back goes to a log, a line each, whatever kills it."""

    def __init__(self, storm: Storm, name: str, calls: int) -> None:
        self._storm = storm
        self._name = name
        self._numbers = iter(range(calls))
        self._random = random.Random(name)  # noqa: S311 - no secret
        self._router = make_router(storm)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._log = os.open(Path(storm.folder) / f"{name}.jsonl", flags, 0o600)

    async def run(self) -> None:
        """Make all calls."""
        await asyncio.gather(*(self._call_on() for _ in range(self._storm.tasks)))
        await self._router.aclose()

    async def _call_on(self) -> None:
        for number in self._numbers:
            marker = f"{self._name}-{number}"
            call = asyncio.create_task(self._call(marker))
            if self._random.random() < CANCELLED:
                delay = self._random.uniform(0, CANCELLED_WITHIN_S)
                asyncio.get_running_loop().call_later(delay, call.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await call

    async def _call(self, marker: str) -> None:
        self._note(marker, "began")
        receipt: Receipt | None = None
        outcome = "error"
        try:
            answer: Answer = await self._router.acomplete(
                f"{marker} {'word ' * self._random.randint(5, 60)}",
                max_tokens=MAX_TOKENS,
                session=marker,
                tags=[f"tenant:{self._random.randrange(TENANTS)}"],
            )
            outcome, receipt = "answered", answer.receipt
        except BudgetExceeded as error:
            outcome, receipt = "refused", error.receipt
        except StoreError:
            outcome = "store failed"
        except RouterError as error:
            outcome, receipt = "failed", error.receipt
        except asyncio.CancelledError:
            outcome = "cancelled"
        finally:
            said = None if receipt is None else (receipt.request_id, receipt.cost_nano, receipt.usage.total_tokens)
            self._note(marker, outcome, said)

    def _note(self, marker: str, what: str, said: object = None) -> None:
        os.write(self._log, json.dumps([time.time(), marker, what, said]).encode() + b"\n")


def work(storm: Storm, name: str, calls: int) -> None:
    """A worker's process."""
    asyncio.run(Worker(storm, name, calls).run())


# ------------------------------------------------------------------------------------------------------------- storm
@dataclass
class Log:
    """What the workers noted: what began and what came of it, by marker."""

    began: dict[str, float] = field(default_factory=dict)
    ended: dict[str, tuple[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def read(cls, folder: str, name: str = "*") -> Log:
        """The log of one worker or of all."""
        log, last = cls(), 0.0
        for path in Path(folder).glob(f"{name}.jsonl"):
            # The last line may be half written.
            for line in path.read_text().rpartition("\n")[0].splitlines():
                at, marker, what, said = json.loads(line)
                last = max(last, at)
                if what == "began":
                    log.began[marker] = at
                else:
                    log.ended[marker] = (what, said)
        log.seconds = last - min(log.began.values(), default=last)
        return log


class Watcher:
    """Looks at the store all the time: how far what is spent and held was above a limit at most."""

    def __init__(self, store: Store, budgets: Sequence[Budget]) -> None:
        self._store = store
        self._limits = {budget.name: budget.limit for budget in budgets}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.highest = -max(self._limits.values())
        self.samples = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.look()

    def look(self) -> None:
        """Take a sample."""
        for each in self._store.standings():
            self.highest = max(self.highest, each.spent + each.held - self._limits[each.budget])
        self.samples += 1

    def _watch(self) -> None:
        while not self._over.wait(WATCH_S):
            self.look()


def run_workers(storm: Storm, processes: int, calls: int, kills: int) -> int:
    """Run all workers to their end. Some are killed in the middle of it, and replaced; returns how many."""
    spawn = multiprocessing.get_context("spawn")
    quota = {f"w{n}": calls // processes + (n < calls % processes) for n in range(processes)}

    def start(name: str, count: int) -> Any:
        process = spawn.Process(target=work, args=(storm, name, count))
        process.start()
        return process

    running = {name: start(name, count) for name, count in quota.items()}
    doomed = {f"w{n}": (n + 1) / (kills + 1) for n in range(kills)}
    killed = 0
    while running:
        time.sleep(0.1)
        for name, process in list(running.items()):
            log = Log.read(storm.folder, name) if name in doomed else Log()
            if name in doomed and len(log.began) >= quota[name] * doomed[name] and len(log.began) > len(log.ended):
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                del running[name], doomed[name]
                killed += 1
                left = quota[name] - len(Log.read(storm.folder, name).began)
                if left > 0:
                    running[f"{name}again"] = start(f"{name}again", left)
            elif not process.is_alive():
                if process.exitcode:
                    raise SystemExit(f"the worker {name} ended with {process.exitcode}")
                del running[name]
    return killed


@contextlib.contextmanager
def store_of(url: str | None, folder: str) -> Iterator[str]:
    """A store of its own for one run: a file, or a schema that is dropped afterwards."""
    if url is None:
        yield f"sqlite:///{folder}/storm.db"
        return
    if not url.startswith("postgresql"):
        yield url
        return
    import psycopg  # noqa: PLC0415

    name = f"storm_{secrets.token_hex(6)}"
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True) as server:
        server.execute(f"CREATE SCHEMA {name}")  # type: ignore[arg-type]
        try:
            yield f"{url}{'&' if '?' in url else '?'}options={quote(f'-csearch_path={name}')}"
        finally:
            server.execute(f"DROP SCHEMA {name} CASCADE")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------ tables
class Accounts:
    """The ledger beside the provider's books and the workers' log."""

    def __init__(self, store: Store, log: Log, books: Mapping[str, Sequence[Served]]) -> None:
        self.rows = {row["session"]: row for row in store.entries()}
        self.lost = sum(marker not in self.rows for marker in log.ended)
        self.different = sum(self._differs(marker, said) for marker, (_, said) in log.ended.items() if said)
        self.tokens, self.nano, self.unmatched = 0, 0, 0
        self.answered = Counter[str]()
        for marker, row in self.rows.items():
            if row["outcome"] == "answered":
                self._compare(row["attempts"], books.get(marker, ()))
        self.billed = sum(call.nano for calls in books.values() for call in calls if call.billed)
        self.receipts_nano = sum(row["cost_nano"] for row in self.rows.values())

    def _differs(self, marker: str, said: Sequence[Any]) -> bool:
        row = self.rows.get(marker, defaultdict(int))
        return [row["request_id"], row["cost_nano"], row["input_tokens"] + row["output_tokens"]] != list(said)

    def _compare(self, attempts: Sequence[Mapping[str, Any]], calls: Sequence[Served]) -> None:
        """The provider saw the calls of a request in the order of its attempts."""
        if [attempt["model"] for attempt in attempts] != [call.model for call in calls]:
            self.unmatched += 1
            return
        for attempt, call in zip(attempts, calls, strict=True):
            if call.billed != (attempt["outcome"] != "failed"):
                self.unmatched += 1
            elif call.billed:
                tokens = attempt["input_tokens"] + attempt["output_tokens"]
                same_cached = attempt["cache_read_tokens"] == call.cached_tokens
                self.tokens += abs(tokens - call.input_tokens - call.output_tokens) + (not same_cached)
                self.nano += abs(attempt["cost_nano"] - call.nano)
                self.answered.update(calls=1, tokens=tokens, nano=attempt["cost_nano"])


def usd(nano: int) -> str:
    """Nano-dollars as US dollars."""
    return f"${Decimal(nano) / 10**9:,.9f}"


def report(store: Store, storm: Storm, log: Log, watcher: Watcher, killed: int) -> bool:
    """Print what was found; whether all that must hold does."""
    accounts = Accounts(store, log, provider_books(storm.base_url))
    ended = Counter(what for what, _ in log.ended.values())
    standings = store.standings()
    spent = sum(each.spent for each in standings if each.budget == "all")
    faults = store.verify()
    admitted = sum(bool(row["attempts"]) for row in accounts.rows.values())
    told = {
        "calls made": f"{len(log.began):,}",
        "admitted (a model was called)": f"{admitted:,}",
        **{what: f"{ended[what]:,}" for what in ("answered", "refused", "failed", "cancelled")},
        f"cut off by the kill of {killed} processes": f"{len(log.began) - len(log.ended):,}",
        "limit over all": usd(storm.budgets[0].limit),
        "spent over all": usd(spent),
        "- of it without a receipt (killed)": usd(spent - accounts.receipts_nano),
        "billed by the provider, cut off calls too": usd(accounts.billed),
        "compared with the provider": "{calls:,} calls, {tokens:,} tokens, ".format(**accounts.answered)
        + usd(accounts.answered["nano"]),
        "samples of the budgets": f"{watcher.samples:,}",
        "calls per second": f"{len(log.began) / log.seconds:,.0f}",
    }
    musts = {
        "highest spent + held minus limit, nano-dollars": (watcher.highest, watcher.highest <= 0),
        "leaked holds after the lease": (n := sum(each.held != 0 for each in standings), n == 0),
        "receipts lost": (accounts.lost, accounts.lost == 0),
        "receipts unlike what the caller got": (accounts.different, accounts.different == 0),
        "answered requests unlike the provider's calls": (accounts.unmatched, accounts.unmatched == 0),
        "tokens unlike the provider's": (accounts.tokens, accounts.tokens == 0),
        "nano-dollars unlike the provider's": (accounts.nano, accounts.nano == 0),
        "findings of verify()": (len(faults), not faults),
        "calls stopped by the store or by an error": (n := ended["store failed"] + ended["error"], n == 0),
    }
    for name, value in told.items():
        print(f"{name:52}{value:>24}")
    print("\nmust hold")
    for name, (number, well) in musts.items():
        print(f"{name:52}{number:>24,}  {'ok' if well else 'BROKEN'}")
    print(*faults[:10], sep="\n")
    return all(well for _, well in musts.values())


def main() -> bool:
    """Let the storm loose and report; whether all that must hold does."""
    parser = argparse.ArgumentParser()
    for name, default in (("calls", 100_000), ("processes", 8), ("tasks", 50), ("kills", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--store", help="a store URL; a temporary SQLite file unless given")
    given = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    provider = spawn.Process(target=serve, args=(sender,), daemon=True)
    provider.start()
    base_url = f"http://127.0.0.1:{receiver.recv()}/v1"
    with tempfile.TemporaryDirectory() as folder, store_of(given.store, folder) as url:
        storm = Storm(url, base_url, folder, given.tasks, budgets_for(given.calls))
        store = open_store(url)
        print(f"{given.processes} processes x {given.tasks} tasks, {'sqlite' if not given.store else given.store}\n")
        with Watcher(store, storm.budgets) as watcher:
            killed = run_workers(storm, given.processes, given.calls, min(given.kills, given.processes))
            time.sleep(LEASE_S)
            store.reclaim(time.time())
        well = report(store, storm, Log.read(folder), watcher, killed)
        store.close()
    provider.terminate()
    return well


if __name__ == "__main__":
    sys.exit(not main())
