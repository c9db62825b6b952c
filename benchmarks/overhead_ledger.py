"""What a ledger with a budget costs beside the router without: the last part of ``overhead.py``."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from langchain_router import ChatRouter
from router_core import Budget, Ledger

ROUNDS = 40
CALLS = 50
"""In process: calls of each subject in a round; p99 is taken over all rounds."""
BURST = 64
BURST_CALLS = 1_024
BURST_ROUNDS = 9

P50_AT_MOST_MS, P99_AT_MOST_MS = 1, 5
THROUGHPUT_AT_LEAST = 0.80

MODEL = "gpt-4.1-nano"
"""Has a published price: a budget in dollars needs one."""
LIMIT_USD = 1_000
PROMPT = "Which of these two train tickets is cheaper if I travel twice?"
ANSWER = "The second one is cheaper if you travel twice."

Ask = Callable[[str], Any]
AskAsync = Callable[[str], Awaitable[Any]]


@contextlib.contextmanager
def ledgers() -> Iterator[dict[str, Ledger | None]]:
    """None of them, and those that are compared with it. PostgreSQL is measured where its URL is in the environment."""
    postgres = os.environ.get("ROUTER_CORE_POSTGRES")
    with tempfile.TemporaryDirectory() as folder:
        one = [Budget(name="daily", limit_usd=LIMIT_USD, per="day")]
        found: dict[str, Ledger | None] = {
            "no ledger": None,
            "no ledger, again (noise)": None,
            "in memory, a budget": Ledger("memory://", budgets=one),
            "SQLite": Ledger(f"sqlite:///{Path(folder) / 'plain.db'}"),
            "SQLite, a budget": Ledger(f"sqlite:///{Path(folder) / 'budget.db'}", budgets=one),
        }
        if postgres:
            found["PostgreSQL, a budget"] = Ledger(postgres, budgets=one)
        try:
            yield found
        finally:
            for ledger in found.values():
                if ledger is not None:
                    ledger.close()


def measure_in_process(model: Callable[[str], BaseChatModel]) -> None:
    """Print what ledgers add to a call of a model that does nothing."""
    with ledgers() as kept:
        subjects: dict[str, Ask] = {
            f"ChatRouter, {name}": ChatRouter(models=[model(MODEL)], ledger=ledger).invoke
            for name, ledger in kept.items()
        }
        print_added("in process, with a ledger", timed(subjects))
    print(f"target: SQLite and a budget add at most {P50_AT_MOST_MS} ms (p50) and {P99_AT_MOST_MS} ms (p99)")
    made = {"model": f"openai/{MODEL}", "api_key": "none", "mock_response": ANSWER}
    peers = asyncio.run(_timed_peers(made))
    if peers:
        print_added("in process, a peer with its budget", peers)


async def measure_bursts(model: Callable[[str], BaseChatModel], base_url: str) -> None:
    """Print how many calls a second many callers at once get through."""
    with ledgers() as kept:
        subjects: dict[str, AskAsync] = {
            f"ChatRouter, {name}": ChatRouter(models=[model(MODEL)], ledger=ledger).ainvoke
            for name, ledger in kept.items()
        }
        print_share(f"{BURST} callers at once, async", await burst(subjects))
    print(f"target: SQLite and a budget reach at least {THROUGHPUT_AT_LEAST:.0%} of the throughput without a ledger")
    made = {"model": f"openai/{MODEL}", "api_key": "none", "api_base": base_url}
    peers = await _burst_of_peers(made)
    if peers:
        print_share(f"{BURST} callers at once, a peer", peers)


async def _timed_peers(made: Mapping[str, Any]) -> dict[str, list[list[float]]]:
    """As ``timed``, of calls that are awaited: a router with a budget can be made in an event loop only."""
    subjects = _litellm(made)
    times: dict[str, list[list[float]]] = {name: [] for name in subjects}
    for number in range(ROUNDS + 1):
        for name, ask in subjects.items():
            measured = []
            for _ in range(CALLS):
                began = time.perf_counter()
                await ask(PROMPT)
                measured.append((time.perf_counter() - began) * 1e3)
            if number:
                times[name].append(measured)
    return times


async def _burst_of_peers(made: Mapping[str, Any]) -> dict[str, list[float]]:
    subjects = _litellm(made)
    return await burst(subjects) if subjects else {}


def _litellm(made: Mapping[str, Any]) -> dict[str, AskAsync]:
    """Its router without and with a budget, which it keeps in memory and checks before it spends."""
    try:
        from litellm import Router  # noqa: PLC0415
    except ImportError as error:
        print(f"left out, cannot be imported: litellm ({error})")
        return {}
    models = [{"model_name": "first", "litellm_params": dict(made)}]
    name = f"litellm {version('litellm')} Router"
    budget = {"openai": {"budget_limit": LIMIT_USD, "time_period": "1d"}}
    return {
        name: _completing(Router(model_list=models, num_retries=0)),
        f"{name}, a budget": _completing(Router(model_list=models, num_retries=0, provider_budget_config=budget)),
    }


def _completing(router: Any) -> AskAsync:
    return lambda prompt: router.acompletion(model="first", messages=[{"role": "user", "content": prompt}])


def timed(subjects: Mapping[str, Ask]) -> dict[str, list[list[float]]]:
    """Milliseconds of each call, by round."""
    for ask in subjects.values():
        for _ in range(CALLS):
            ask(PROMPT)
    times: dict[str, list[list[float]]] = {name: [] for name in subjects}
    for _ in range(ROUNDS):
        for name, ask in subjects.items():
            times[name].append([_ms(ask) for _ in range(CALLS)])
    return times


def _ms(ask: Ask) -> float:
    began = time.perf_counter()
    ask(PROMPT)
    return (time.perf_counter() - began) * 1e3


async def burst(
    subjects: Mapping[str, AskAsync], calls: int = BURST_CALLS, rounds: int = BURST_ROUNDS
) -> dict[str, list[float]]:
    """Milliseconds per call where so many callers ask at once, of each round."""
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name, ask in subjects.items():
            began = time.perf_counter()
            await asyncio.gather(*(_ask_on(ask, calls // BURST) for _ in range(BURST)))
            if number:  # the first round opens the connections
                times[name].append((time.perf_counter() - began) * 1e3 / calls)
    return times


async def _ask_on(ask: AskAsync, calls: int) -> None:
    for _ in range(calls):
        await ask(PROMPT)


def print_added(title: str, times: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """Percentiles over all calls, and what they are above those of the first, which was called in turn with it."""
    first = [each for measured in next(iter(times.values())) for each in measured]
    print(f"\n{title:42}{'p50 ms':>9}{'adds':>9}{'p99 ms':>9}{'adds':>9}")
    for name, rounds in times.items():
        pooled = [each for measured in rounds for each in measured]
        cells = ""
        for share in (0.50, 0.99):
            cells += (
                f"{_percentile(pooled, share):>9.2f}{_percentile(pooled, share) - _percentile(first, share):>+9.2f}"
            )
        print(f"{name:42}{cells}")


def print_share(title: str, times: Mapping[str, Sequence[float]]) -> None:
    """Calls per second, and the share of the first one's in the same round."""
    base = next(iter(times.values()))
    print(f"\n{title:42}{'calls/s':>10}{'share':>10}")
    for name, measured in times.items():
        share = statistics.median(first / each for each, first in zip(measured, base, strict=True))
        print(f"{name:42}{1e3 / statistics.median(measured):>10,.0f}{share:>10.0%}")


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[math.ceil(len(values) * share) - 1]
