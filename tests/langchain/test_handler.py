"""What ``RouterCallbackHandler`` and ``get_router_callback`` count, and how they show it."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed; run: uv sync --group langchain")

from langchain_core.caches import InMemoryCache
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from langchain_router import ChatRouter
from langchain_router.handler import RouterCallbackHandler, get_router_callback
from router_core.errors import NoFeasibleModel
from router_core.policies import StaticPolicy
from router_core.registry import Registry
from router_core.types import Model, Price
from tests.langchain.scripted import GOOD, IDK, Scripted, knows

ASK = "What is the capital of France?"
"""Six words, and so tokens; ``GOOD`` has six, ``IDK`` three."""


def priced(name: str, dollars: int | None) -> Model:
    """A model at so many dollars per million tokens."""
    price = None if dollars is None else Price(input=Decimal(dollars), output=Decimal(dollars))
    return Model(name=f"fake:{name}", id=name, provider="fake", endpoint="fake", price=price)


def router(*says: Any, prices: tuple[int | None, ...] = (1, 10), **options: Any) -> ChatRouter:
    names = ["weak", "strong"]
    models = [Scripted(model_id=name, says=what) for name, what in zip(names, says, strict=True)]
    registry = Registry(tuple(map(priced, names, prices)), endpoints={})
    options = {"verifiers": [knows], "policy": StaticPolicy(), **options}
    return ChatRouter(models=models, registry=registry, **options)


def test_escalation_is_booked_on_both_models() -> None:
    handler = RouterCallbackHandler()

    router(IDK, GOOD).invoke(ASK, {"callbacks": [handler]})

    weak, strong = handler.by_model["fake:weak"], handler.by_model["fake:strong"]
    assert (weak.requests, weak.attempts, weak.answered) == (1, 1, 0)
    assert (strong.requests, strong.attempts, strong.answered) == (1, 1, 1)
    assert (weak.usage.input_tokens, weak.usage.output_tokens) == (6, 3)
    assert (strong.usage.cache_read_tokens, strong.usage.reasoning_tokens) == (1, 3)
    assert list(weak.escalations.values()) == [1]
    assert not strong.escalations
    assert weak.cost_usd == Decimal("0.000009")
    assert handler.total.cost_usd == Decimal("0.000129")
    assert handler.total.baseline_usd == Decimal("0.000120")


def test_fallback_is_booked_with_its_kind() -> None:
    handler = RouterCallbackHandler()

    router(ModelRateLimitError("slow down"), GOOD).invoke(ASK, {"callbacks": [handler]})

    weak = handler.by_model["fake:weak"]
    assert weak.fallbacks == {"rate_limited": 1}
    assert (weak.usage.total_tokens, weak.cost_usd) == (0, Decimal(0))
    assert handler.total.fallbacks == {"rate_limited": 1}
    assert (handler.total.attempts, handler.total.requests, handler.total.answered) == (2, 1, 1)


def test_a_saving_is_what_the_strongest_would_have_cost() -> None:
    handler = RouterCallbackHandler()

    router(GOOD, GOOD).invoke(ASK, {"callbacks": [handler]})

    assert handler.total.cost_usd == Decimal("0.000012")
    assert handler.total.baseline_usd == Decimal("0.000120")


def test_a_refused_request_costs_nothing_and_calls_nothing() -> None:
    handler = RouterCallbackHandler()

    with pytest.raises(NoFeasibleModel):
        router(GOOD, GOOD).invoke(ASK, {"callbacks": [handler]}, max_cost_usd="0.000000001")

    assert (handler.total.requests, handler.total.attempts, handler.total.cost_usd) == (1, 0, Decimal(0))
    assert handler.calls[0].receipt.outcome.value == "refused"


def test_each_call_is_kept_with_its_receipt() -> None:
    handler = RouterCallbackHandler()
    llm = router(IDK, GOOD)

    answers = llm.batch([ASK, ASK], {"callbacks": [handler]})

    ids = {answer.response_metadata["router"]["request_id"] for answer in answers}
    assert {call.receipt.request_id for call in handler.calls} == ids
    assert [[attempt.model for attempt in call.receipt.attempts] for call in handler.calls] == [
        ["fake:weak", "fake:strong"]
    ] * 2


def test_calls_are_summed_by_the_outermost_run() -> None:
    handler = RouterCallbackHandler()
    llm = router(GOOD, GOOD)

    @tool
    def ask(question: str) -> str:
        """Ask the router."""
        return llm.invoke(question).text

    inner = RunnableLambda(lambda text: text) | RunnableParallel(one=llm, two=ask)
    outer = RunnableLambda(inner.invoke)
    outer.invoke(ASK, {"callbacks": [handler]})
    outer.invoke(ASK, {"callbacks": [handler]})
    llm.invoke(ASK, {"callbacks": [handler]})

    assert sorted(tally.requests for tally in handler.by_root_run.values()) == [1, 2, 2]
    alone = handler.calls[-1]
    assert alone.root_run_id == alone.run_id


async def test_async_calls_find_their_root_run() -> None:
    handler = RouterCallbackHandler()
    chain = RunnableLambda(lambda text: text) | RunnableParallel(one=router(GOOD, GOOD), two=router(IDK, GOOD))

    await chain.ainvoke(ASK, {"callbacks": [handler]})
    async for _ in chain.astream(ASK, {"callbacks": [handler]}):
        pass

    assert [tally.requests for tally in handler.by_root_run.values()] == [2, 2]


async def test_a_stream_that_is_left_early_is_booked_once() -> None:
    handler = RouterCallbackHandler()
    llm = router(IDK, GOOD)
    chain = RunnableLambda(lambda text: text) | llm

    stream = chain.stream(ASK, {"callbacks": [handler]})
    next(stream)
    stream.close()
    astream = llm.astream(ASK, {"callbacks": [handler]})
    await anext(astream)
    await astream.aclose()

    in_chain, alone = handler.calls
    assert in_chain.receipt.outcome.value == alone.receipt.outcome.value == "cancelled"
    assert in_chain.root_run_id != in_chain.run_id
    assert alone.root_run_id == alone.run_id


async def test_a_cancelled_call_is_booked_with_its_input() -> None:
    handler, begun = RouterCallbackHandler(), asyncio.Event()

    class Endless(Scripted):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(
        ChatRouter(models=[Endless(model_id="m", says="")]).ainvoke(ASK, {"callbacks": [handler]})
    )
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    (call,) = handler.calls
    assert call.receipt.outcome.value == "cancelled"
    assert handler.total.usage.input_tokens > 0
    assert "estimated" in str(handler)


def test_the_callback_needs_no_config_and_ends_with_its_block() -> None:
    llm = router(GOOD, GOOD)

    with get_router_callback() as routed:
        (RunnableLambda(lambda text: text) | llm).invoke(ASK)
        llm.batch([ASK, ASK])
    llm.invoke(ASK)

    assert routed.total.requests == 3


def test_nested_blocks_each_count_once() -> None:
    llm = router(GOOD, GOOD)

    with get_router_callback() as outer:
        llm.invoke(ASK)

        def inside(_: Any) -> RouterCallbackHandler:
            # The run that is open here has the outer handler already.
            with get_router_callback() as inner:
                llm.invoke(ASK)
            return inner

        inner = RunnableLambda(inside).invoke("go")
        with get_router_callback() as other:
            llm.invoke(ASK)

    assert (outer.total.requests, inner.total.requests, other.total.requests) == (3, 1, 1)
    assert len(outer.by_root_run) == 3


def test_given_twice_it_counts_once() -> None:
    with get_router_callback() as routed:
        router(GOOD, GOOD).invoke(ASK, {"callbacks": [routed]})

    assert routed.total.requests == 1


def test_answers_from_langchain_s_cache_use_nothing() -> None:
    handler = RouterCallbackHandler()
    cache = InMemoryCache()
    cached = Scripted(model_id="weak", says=GOOD, cache=cache)
    llm = ChatRouter(models=[cached], registry=Registry((priced("weak", 1),), endpoints={}))

    answers = llm.batch([ASK, ASK], {"callbacks": [handler], "max_concurrency": 1})

    assert [answer.text for answer in answers] == [GOOD, GOOD]
    assert handler.total.attempts == 2
    assert handler.total.usage.total_tokens == 12
    assert handler.total.cost_usd == Decimal("0.000012")


def test_models_outside_a_router_are_not_counted() -> None:
    handler = RouterCallbackHandler()

    Scripted(model_id="plain", says=GOOD).invoke(ASK, {"callbacks": [handler]})

    assert handler.total.requests == 0
    assert not handler.by_model


def test_the_dictionary_is_json_and_holds_every_level() -> None:
    handler = RouterCallbackHandler()
    llm = router(IDK, GOOD)
    llm.invoke([HumanMessage("a secret question")], {"callbacks": [handler]})

    told = json.loads(json.dumps(handler.as_dict()))

    assert told["total"]["cost_usd"] == "0.000096"
    assert told["models"]["fake:weak"]["input_tokens"] == 3
    assert told["calls"][0]["outcome"] == "answered"
    assert [attempt["outcome"] for attempt in told["calls"][0]["attempts"]] == ["rejected", "accepted"]
    assert list(told["root_runs"]) == [told["calls"][0]["root_run_id"]]
    assert "secret" not in json.dumps(told)


def test_reset_forgets_what_was_counted() -> None:
    handler = RouterCallbackHandler()
    llm = router(GOOD, GOOD)
    llm.invoke(ASK, {"callbacks": [handler]})

    handler.reset()
    llm.invoke(ASK, {"callbacks": [handler]})

    assert (handler.total.requests, len(handler.calls), len(handler.by_root_run)) == (1, 1, 1)


def test_threads_lose_nothing() -> None:
    handler = RouterCallbackHandler()
    llm = router(IDK, GOOD)

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(llm.invoke, ASK, {"callbacks": [handler]}) for _ in range(200)]:
            done.result()

    assert (handler.total.requests, handler.total.attempts) == (200, 400)
    assert handler.total.usage.input_tokens == 2 * 200 * 6
    assert handler.total.cost_usd == 200 * Decimal("0.000129")
