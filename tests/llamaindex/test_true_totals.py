"""Reported ÷ true tokens is 1.000, and costs agree to the nano-dollar: for every counter of ``counters.py``, in every
way of asking, whatever becomes of the request. What is true is what the providers' server counted.

Two counters are not the router's, and tell less than the truth where LlamaIndex does; the tests name each case:

- ``TokenCountingHandler`` reads Anthropic's ``input_tokens``, which cached tokens are no part of.
- Of a call that is cut off, LlamaIndex tells an exception and no response: its counter and OpenInference count nothing
  of it. The router books it; what the provider did not tell of it is estimated, and marked so.

LlamaIndex has no cache of answers. What is cached are tokens of the input, by the provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.llms import ChatMessage

from router_core.records import Attempt
from router_core.registry import Registry
from router_core.tokens import expected_tokens
from router_core.types import NANO, Model, Price
from tests.llamaindex.counters import Counted, Counters, counting, true
from tests.llamaindex.library import QUESTION, Animal, index, tools
from tests.llamaindex.provider import WIRES, Provider, whole
from tests.servers.provider import Exchange

# What LlamaIndex's structured models and the instrumentor do that is deprecated in pydantic.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::pydantic.warnings.PydanticDeprecationWarning:{module}")
    for module in ("inspect", "openinference.instrumentation.llama_index._handler")
]

TELL = PromptTemplate("Tell of the {animal}.")
ASK = [ChatMessage(role="user", content=QUESTION)]

INPUT, CACHED, OUTPUT = 1_000, 100, 2_000
"""Nano-dollars of a token, as ``priced`` has them."""


def priced(provider: Provider, models: Sequence[str]) -> Registry:
    price = Price(input=Decimal(1), cache_read=Decimal("0.1"), output=Decimal(2))
    entries = [
        Model(name=of, id=provider.name(of).partition(":")[2], provider=of.partition(":")[0], endpoint=of, price=price)
        for of in models
    ]
    return Registry(tuple(entries), endpoints={})


def nano(used: Counted) -> int:
    """What so many tokens cost."""
    return (used.given - used.cached) * INPUT + used.cached * CACHED + used.made * OUTPUT


OBJECTS = ("astructured_predict", "astream_structured_predict")
WAYS = {
    **{name: whole(name, ASK) for name in ("chat", "achat", "stream_chat", "astream_chat")},
    **{name: whole(name, QUESTION) for name in ("complete", "acomplete", "stream_complete", "astream_complete")},
    **{name: whole(name, tools(), QUESTION) for name in ("achat_with_tools", "astream_chat_with_tools")},
    **{name: whole(name, Animal, TELL, animal="whale") for name in OBJECTS},
}
CASES = {
    "accepted": ["good-a"],
    "a draft accepted": ["good-a", "unsure-b"],
    "escalated": ["unsure-b", "good-a"],
    "fallen back": ["down-d", "good-a"],
    "both": ["down-d", "unsure-b", "limited-e", "good-a"],
}

every_wire = pytest.mark.parametrize("wire", WIRES)
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_way = pytest.mark.parametrize("way", WAYS)


def watched(provider: Provider, wire: str, case: Sequence[str]) -> Any:
    """A router of the models of a case, with all its counters."""
    names = [f"{wire}:{model}" for model in case]
    return counting(provider.models(*names), registry=priced(provider, names))


def check(counters: Counters, journal: Sequence[Exchange]) -> None:
    """Every counter tells what the provider counted: reported ÷ true is 1."""
    truth = true(journal)
    assert truth.given > 0 < truth.made
    told = {**counters.ours, "OpenInference": counters.openinference}
    assert {name: each.over(truth) for name, each in told.items() if set(each.over(truth)) != {1}} == {}
    # What LlamaIndex's own counter does not see: Anthropic's cached tokens.
    unseen = sum(exchange.used.cached for exchange in journal if exchange.wire == "anthropic")
    assert counters.token_counter == Counted(truth.given - unseen, truth.made)
    assert not any(receipt.usage.estimated for receipt in counters.receipts)
    assert set(counters.costs.values()) == {nano(truth)}


@every_wire
@every_case
@every_way
async def test_reported_tokens_are_the_true_ones_and_costs_agree(
    provider: Provider, journal: list[Exchange], way: str, case: list[str], wire: str
) -> None:
    with watched(provider, wire, case) as counters:
        answer = await WAYS[way](counters.llm)

    check(counters, journal)
    if "structured" not in way:  # an object has no place for it
        cost = Decimal(answer.additional_kwargs["router"]["cost_usd"])
        assert cost * NANO == nano(true(journal))


# ------------------------------------------------------------------------------------------------------------ batches
QUESTIONS = [f"{QUESTION} Tell me of {many} whales." for many in range(12)]


async def gathered(engine: Any) -> None:
    await asyncio.gather(*(engine.aquery(question) for question in QUESTIONS))


async def in_threads(engine: Any) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(engine.query, QUESTIONS))


@every_wire
@every_case
@pytest.mark.parametrize("batch", [gathered, in_threads])
async def test_of_many_queries_at_once_each_token_is_counted_once(
    provider: Provider, journal: list[Exchange], batch: Any, case: list[str], wire: str
) -> None:
    with watched(provider, wire, case) as counters:
        await batch(index().as_query_engine(llm=counters.llm))

    check(counters, journal)
    queries = counters.routed.by_query
    assert [tally.requests for tally in queries.values()] == [1] * len(QUESTIONS)


async def test_requests_of_all_kinds_at_once_are_counted_once(provider: Provider, journal: list[Exchange]) -> None:
    """Over three providers, by coroutines, with streams between them."""
    models = ["openai:unsure-b", "ollama:down-d", "anthropic:unsure-b", "anthropic:good-a", "openai:good-a"]
    registry = priced(provider, models)
    with counting(provider.models(*models), registry=registry) as counters:
        calls = [counters.llm.achat(ASK, force_model=model) for model in ("openai:unsure-b", "anthropic:good-a")]
        calls += [WAYS["astream_chat"](counters.llm) for _ in range(4)]
        await asyncio.gather(*calls, gathered(index().as_query_engine(llm=counters.llm)))

    check(counters, journal)


# ------------------------------------------------------------------------------------------------------------- cached
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@every_way
async def test_what_the_provider_cached_is_counted_and_costs_less(
    provider: Provider, journal: list[Exchange], way: str, wire: str
) -> None:
    with watched(provider, wire, ["good-a"]) as counters:
        await WAYS[way](counters.llm)

    truth = true(journal)
    assert truth.cached > 0
    assert {told.cached for told in counters.ours.values()} == {truth.cached, None}, "metrics do not tell them apart"
    assert counters.openinference.cached == truth.cached
    assert set(counters.costs.values()) == {nano(truth)}
    assert nano(truth) < nano(truth._replace(cached=0))


@every_wire
@pytest.mark.parametrize("way", ["chat", "astream_chat", "complete"])
async def test_the_same_question_again_is_another_call(
    provider: Provider, journal: list[Exchange], way: str, wire: str
) -> None:
    """LlamaIndex keeps no answers: what is asked twice is paid twice."""
    with watched(provider, wire, ["good-a"]) as counters:
        await WAYS[way](counters.llm)
        once = true(journal)
        await WAYS[way](counters.llm)

    check(counters, journal)
    assert true(journal) == Counted(*(2 * count for count in once))


# ------------------------------------------------------------------------------------------------------------ cut off
WHOLE = "Here is a good answer from stuck-h: the sky is blue, and so are you."


def left_early(name: str, read: int) -> Any:
    """A stream of which so many chunks are read; tells what was heard."""

    async def call(llm: Any) -> str:
        asked = QUESTION if name.endswith("complete") else ASK
        if name.startswith("a"):
            stream = await getattr(llm, name)(asked)
            heard = "".join([(await anext(stream)).delta for _ in range(read)])
            await stream.aclose()
            return heard
        chunks = getattr(llm, name)(asked)
        heard = "".join(next(chunks).delta for _ in range(read))
        chunks.close()
        return heard

    return call


def check_cut(counters: Counters, journal: Sequence[Exchange], heard: str) -> None:
    """Of the last call only so much was heard: what was before is true to the token. Of the cut call the provider knows
    the input, and what it had sent; here nobody does. It is estimated, by all counters alike, and marked."""
    (receipt,) = counters.receipts
    *before, cut = receipt.attempts
    truth = true(journal[:-1])
    assert true_of(before) == truth
    assert (cut.outcome, cut.usage.estimated) == ("cancelled", True)
    # The first chunk that shows something is shown with those before it, and more may have come.
    assert expected_tokens(heard) <= cut.usage.output_tokens <= expected_tokens(WHOLE)
    assert cut.usage.input_tokens > 0
    told = {**counters.ours, "receipt": true_of(receipt.attempts)}
    assert {each[:2] for each in told.values()} == {(receipt.usage.input_tokens, receipt.usage.output_tokens)}
    assert [row["estimated"] for row in counters.rows] == [False] * len(before) + [True]
    assert counters.handler.total.usage.estimated
    assert counters.routed.total.usage.estimated
    marks = {span.attributes["router.usage.estimated"] for span in counters.telemetry.attempts[-1:]}
    assert marks == {True}
    # To these LlamaIndex tells no response of a call that is cut off.
    unseen = sum(exchange.used.cached for exchange in journal[:-1] if exchange.wire == "anthropic")
    assert counters.token_counter == Counted(truth.given - unseen, truth.made)
    assert counters.openinference == truth
    assert len(set(counters.costs.values())) == 1
    assert counters.handler.total.cost_nano == nano(truth) + nano(true_of([cut]))


def true_of(attempts: Sequence[Attempt]) -> Counted:
    """The tokens of some attempts."""
    usages = [attempt.usage for attempt in attempts]
    kinds = ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")
    return Counted(*(sum(getattr(usage, kind) for usage in usages) for kind in kinds))


@every_wire
@pytest.mark.parametrize("case", [CASES[name] for name in ("accepted", "escalated", "both")])
@pytest.mark.parametrize("read", [1, 4])
@pytest.mark.parametrize("way", ["stream_chat", "astream_chat", "stream_complete", "astream_complete"])
async def test_a_stream_that_is_left_early_is_booked_with_what_was_heard(
    provider: Provider, journal: list[Exchange], way: str, read: int, case: list[str], wire: str
) -> None:
    with watched(provider, wire, case) as counters:
        heard = await left_early(way, read)(counters.llm)

    check_cut(counters, journal, heard)


@every_wire
@pytest.mark.parametrize("drafts", [[], ["unsure-b"], ["down-d", "unsure-b"]], ids=str)
@pytest.mark.parametrize("way", [name for name in WAYS if name.startswith("a")])
async def test_a_task_that_is_cancelled_is_booked_with_its_input(
    provider: Provider, journal: list[Exchange], way: str, drafts: list[str], wire: str
) -> None:
    with watched(provider, wire, [*drafts, "stuck-h"]) as counters:
        task = asyncio.create_task(WAYS[way](counters.llm))
        await asyncio.to_thread(provider.stuck.acquire)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    check_cut(counters, journal, heard="")
    if "stream" not in way:
        made = counters.receipts[0].attempts[-1].usage.output_tokens
        assert made == journal[-1].used.output == 0, "nobody has heard any of it"


@every_wire
@pytest.mark.parametrize("way", ["stream_chat", "astream_chat"])
async def test_a_draft_that_is_shown_and_left_early_is_counted_whole(
    provider: Provider, journal: list[Exchange], way: str, wire: str
) -> None:
    """A draft that was held had come whole before any of it was shown: nothing of it is estimated."""
    with watched(provider, wire, ["good-a", "unsure-b"]) as counters:
        await left_early(way, 1)(counters.llm)

    check(counters, journal)
