"""Reported ÷ true tokens is 1.000, and costs agree to the nano-dollar: for every counter of ``counters.py``, in every
way of asking, whatever becomes of the request. What is true is what the providers' server counted.

Two counters are not the router's and learn of a call what LangChain tells of it; the tests name each case:

- Of a call that is cut off LangChain tells an error and no answer: its own usage handler and OpenInference count
  nothing of it. The router books it, and marks as estimated what the provider could not tell any more.
- Of a hit of its cache LangChain tells the tokens of the call that was made once, with ``total_cost`` 0 as the only
  mark. Both count them again, as they do for any chat model. The router counts none.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("openinference.instrumentation.langchain", reason="run: uv sync --group langchain")

from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache

from router_core.types import NANO
from tests.langchain.counters import Books, Counted, Counters, counting, true
from tests.langchain.provider import Provider
from tests.servers.provider import Exchange

ASK = "What is the capital of France?"
SAID = 7
"""How many words a model says before it gets stuck."""


async def whole(chunks: Any) -> list[Any]:
    told = [chunk async for chunk in chunks]
    return [told[0] + told[1:]]


def joined(chunks: Any) -> list[Any]:
    told = list(chunks)
    return [told[0] + told[1:]]


async def at_once(answers: Any) -> list[Any]:
    return [await answers]


async def made(answers: list[Any]) -> list[Any]:
    return answers


WAYS: dict[str, Callable[[Any, Any], Awaitable[list[Any]]]] = {
    "invoke": lambda llm, config: made([llm.invoke(ASK, config)]),
    "ainvoke": lambda llm, config: at_once(llm.ainvoke(ASK, config)),
    "stream": lambda llm, config: made(joined(llm.stream(ASK, config))),
    "astream": lambda llm, config: whole(llm.astream(ASK, config)),
    "batch": lambda llm, config: made(llm.batch([ASK] * 3, config)),
    "abatch": lambda llm, config: llm.abatch([ASK] * 3, config),
}
WIRES = ["openai", "anthropic", "ollama"]
CASES = {
    "accepted": ["good-a"],
    "a draft accepted": ["good-a", "unsure-b"],
    "escalated": ["unsure-b", "good-a"],
    "fallen back": ["down-d", "good-a"],
    "both": ["down-d", "unsure-b", "limited-e", "good-a"],
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
every_wire = pytest.mark.parametrize("wire", WIRES)


def ratios(told: Books, truth: Books) -> set[float]:
    """Reported ÷ true, of each kind of tokens of each model; 0 ÷ 0 is 1."""
    pairs = [
        pair
        for name in {*told, *truth}
        for pair in zip(told.get(name, Counted()), truth.get(name, Counted()), strict=True)
    ]
    return {ours / theirs if theirs else float(ours == 0) for ours, theirs in pairs}


def check(counters: Counters, journal: list[Exchange], answers: list[Any]) -> None:
    """Every counter tells what the provider counted."""
    truth = true(journal)
    told = {**counters.exact, **counters.frameworks}
    assert len(told) == 9
    assert {name: each for name, each in told.items() if ratios(each, truth) != {1.0}} == {}
    assert counters.metrics == {name: (each.given, each.made) for name, each in truth.items()}
    assert not any(receipt.usage.estimated for receipt in counters.receipts)
    cost = sum(each.nano for each in truth.values())
    assert cost > 0
    assert set(counters.costs.values()) == {cost}
    assert sum(Decimal(answer.response_metadata["router"]["cost_usd"]) for answer in answers) * NANO == cost


@every_wire
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@every_way
async def test_reported_tokens_are_the_true_ones_and_costs_agree(
    provider: Provider, journal: list[Exchange], way: Any, case: list[str], wire: str
) -> None:
    with counting(provider, [f"{wire}:{model}" for model in case]) as counters:
        answers = await way(counters.llm, counters.config)

    check(counters, journal, answers)


@every_way
async def test_they_are_true_where_one_request_speaks_to_several_providers(
    provider: Provider, journal: list[Exchange], way: Any
) -> None:
    cast = ["ollama:unsure-a", "anthropic:down-b", "anthropic:unsure-c", "openai:good-d"]

    with counting(provider, cast) as counters:
        answers = await way(counters.llm, counters.config)

    check(counters, journal, answers)
    assert set(true(journal)) == {"unsure-a", "unsure-c", "good-d"}


# ------------------------------------------------------------------------------------------------------------- cut off


async def left(provider: Provider, counters: Counters) -> None:
    chunks = counters.llm.stream(ASK, counters.config)
    for _ in range(SAID):
        while not next(chunks).text:
            pass
    chunks.close()


async def left_async(provider: Provider, counters: Counters) -> None:
    chunks = counters.llm.astream(ASK, counters.config)
    for _ in range(SAID):
        while not (await anext(chunks)).text:
            pass
    await chunks.aclose()


async def cancelled(provider: Provider, counters: Counters) -> None:
    heard = asyncio.Event()

    async def read() -> None:
        words = 0
        async for chunk in counters.llm.astream(ASK, counters.config):
            words += bool(chunk.text)
            if words == SAID:
                heard.set()

    task = asyncio.create_task(read())
    await heard.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancelled_in_one_piece(provider: Provider, counters: Counters) -> None:
    task = asyncio.create_task(counters.llm.ainvoke(ASK, counters.config))
    await asyncio.to_thread(provider.stuck.acquire)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


CUTS = [left, left_async, cancelled, cancelled_in_one_piece]


@every_wire
@pytest.mark.parametrize("drafts", [[], ["unsure-b"]], ids=["the first call", "after a draft"])
@pytest.mark.parametrize("cut", CUTS, ids=lambda each: each.__name__)
async def test_a_call_that_is_cut_off_is_booked_by_the_router_alone_as_far_as_it_was_heard(
    provider: Provider, journal: list[Exchange], cut: Any, drafts: list[str], wire: str
) -> None:
    with counting(provider, [f"{wire}:{model}" for model in (*drafts, "stuck-a")]) as counters:
        await cut(provider, counters)
    if cut is not cancelled_in_one_piece:
        await asyncio.to_thread(provider.stuck.acquire)

    truth = dict(true(journal))
    spoken = truth.pop("stuck-a")
    books = counters.exact.values()
    (booked,) = {each["stuck-a"] for each in books}
    # All drafts are told exactly by all; the cut call by none of the framework's counters.
    assert [{name: each for name, each in told.items() if name != "stuck-a"} for told in books] == [truth] * len(books)
    assert list(counters.frameworks.values()) == [truth] * 3
    assert len(set(counters.costs.values())) == 1

    (receipt,) = counters.receipts
    assert (receipt.outcome, receipt.attempts[-1].outcome) == ("cancelled", "cancelled")
    assert [attempt.usage.estimated for attempt in receipt.attempts] == [*(False for _ in drafts), True]
    # Estimated by the bytes, four to a token; this provider's tokens are words and four for a message.
    assert (spoken.given, booked.given) == (10, 12)
    if cut is cancelled_in_one_piece:
        # What was said is not seen: ChatOllama streams even then, but for itself.
        assert (spoken.made, booked.made) == (SAID if wire == "ollama" else 0, 0)
    else:
        assert (spoken.made, booked.made) == (SAID, 9)


async def test_calls_of_a_batch_that_is_cancelled_are_booked_each(provider: Provider, journal: list[Exchange]) -> None:
    with counting(provider, ["openai:stuck-a"]) as counters:
        task = asyncio.create_task(counters.llm.abatch([ASK] * 3, counters.config))
        for _ in range(3):
            await asyncio.to_thread(provider.stuck.acquire)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert len(journal) == 3
    assert {str(each) for each in counters.exact.values()} == {str({"stuck-a": Counted(given=3 * 12)})}
    assert [receipt.outcome for receipt in counters.receipts] == ["cancelled"] * 3
    assert list(counters.frameworks.values()) == [{}] * 3


def test_a_call_that_is_interrupted_from_the_keyboard_is_booked(provider: Provider, journal: list[Exchange]) -> None:
    main = threading.get_ident()

    def interrupt() -> None:
        provider.stuck.acquire()
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with counting(provider, ["openai:stuck-a"]) as counters:
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                counters.llm.invoke(ASK, counters.config)
            thread.join()
    finally:
        signal.signal(signal.SIGINT, before)

    assert {str(each) for each in counters.exact.values()} == {str({"stuck-a": Counted(given=12)})}
    assert counters.receipts[0].outcome == "cancelled"
    assert list(counters.frameworks.values()) == [{}] * 3


async def test_a_provider_that_may_not_be_asked_for_its_usage_is_estimated_in_streams_only(
    provider: Provider, journal: list[Exchange]
) -> None:
    quiet = provider.model("openai:curt-a", stream_usage=False)

    with counting(provider, ["openai:curt-a"], models=[quiet]) as counters:
        streamed = await WAYS["astream"](counters.llm, counters.config)
        whole_ = await WAYS["ainvoke"](counters.llm, counters.config)

    assert [exchange.status for exchange in journal] == [200, 200]
    assert streamed[0].text == whole_[0].text
    assert [receipt.usage.estimated for receipt in counters.receipts] == [True, False]
    assert counters.receipts[1].usage.input_tokens == journal[1].used.input
    assert len(set(counters.costs.values())) == 1


# -------------------------------------------------------------------------------------------------------------- cached


@pytest.fixture
def cache() -> Iterator[None]:
    set_llm_cache(InMemoryCache())
    yield
    set_llm_cache(None)


@every_wire
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "batch", "abatch"])
async def test_a_hit_of_langchain_s_cache_is_no_usage_but_to_langchain(
    provider: Provider, journal: list[Exchange], cache: None, way: str, wire: str
) -> None:
    with counting(provider, [f"{wire}:unsure-b", f"{wire}:good-a"]) as counters:
        first = await WAYS["invoke"](counters.llm, counters.config)
        hits = await WAYS[way](counters.llm, counters.config)

    truth = true(journal)
    assert len(journal) == 2
    assert {answer.text for answer in hits} == {first[0].text}
    assert [each for each in counters.exact.values() if ratios(each, truth) != {1.0}] == []
    assert set(counters.costs.values()) == {sum(each.nano for each in truth.values())}
    assert {answer.response_metadata["router"]["cost_usd"] for answer in hits} == {"0"}
    assert [counters.ours[where].total.cache_hits for where in counters.ours] == [2 * len(hits)] * 2
    # Theirs count what they are told: as often as there was an answer.
    times = 1 + len(hits)
    again = {name: Counted(*(kind * times for kind in each)) for name, each in truth.items()}
    assert list(counters.frameworks.values()) == [again] * 3


@every_wire
@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_what_is_streamed_goes_past_langchain_s_cache_and_is_counted_as_often_as_it_was_made(
    provider: Provider, journal: list[Exchange], cache: None, way: str, wire: str
) -> None:
    with counting(provider, [f"{wire}:good-a"]) as counters:
        answers = [*await WAYS[way](counters.llm, counters.config), *await WAYS[way](counters.llm, counters.config)]

    assert len(journal) == 2
    check(counters, journal, answers)
