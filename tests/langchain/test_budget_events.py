"""Budgets as LangChain's listeners and the router's handler hear of them: thresholds reached, requests refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed; run: uv sync --group langchain")

from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

from langchain_router import ChatRouter, RouterCallbackHandler, get_router_callback
from router_core import Budget, Ledger
from router_core.errors import BudgetExceeded, NoFeasibleModel
from router_core.notes import BudgetNote
from router_core.policies import StaticPolicy
from tests.langchain.scripted import GOOD, IDK, Scripted, knows

ASK = "What is the capital of France?"
"""Six words, and so tokens; ``GOOD`` has six, ``IDK`` three: an escalated request is 21 tokens."""

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


async def drained(stream: Any) -> list[Any]:
    return [each async for each in stream]


async def events_v3(llm: Any, config: Any) -> None:
    await drained((await llm.astream_events(ASK, config, version="v3")).text)


WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "invoke": lambda llm, config: llm.invoke(ASK, config),
    "ainvoke": lambda llm, config: run(llm.ainvoke(ASK, config)),
    "stream": lambda llm, config: list(llm.stream(ASK, config)),
    "astream": lambda llm, config: run(drained(llm.astream(ASK, config))),
    "batch": lambda llm, config: llm.batch([ASK], config),
    "abatch": lambda llm, config: run(llm.abatch([ASK], config)),
}
SILENT: dict[str, Callable[[Any, Any], Any]] = {
    "events v3": lambda llm, config: list(llm.stream_events(ASK, config, version="v3").text),
    "aevents v3": lambda llm, config: run(events_v3(llm, config)),
}
"""Here the router is a single run of a chat model, which tells no custom events; the hand-outs are the same."""


def run(awaitable: Any) -> Any:
    async def wait() -> Any:
        return await awaitable

    return asyncio.run(wait())


class Listener(BaseCallbackHandler):
    """Keeps the custom events."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.told.append((name, data))

    def budgets(self) -> list[Any]:
        return [data for name, data in self.told if name == "router.budget"]


class AsyncListener(AsyncCallbackHandler, Listener):
    """The same, to be awaited."""

    async def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        await asyncio.sleep(0)
        self.told.append((name, data))


def limited(*budgets: Budget, **options: Any) -> ChatRouter:
    models = [Scripted(model_id="weak", says=IDK), Scripted(model_id="strong", says=GOOD)]
    ledger = Ledger("memory://", budgets=budgets)
    options = {"policy": StaticPolicy(), "verifiers": [knows], "max_tokens": 20, "ledger": ledger, **options}
    return ChatRouter(models=models, **options)


def tokens(limit: int, **about: Any) -> Budget:
    return Budget(**{"name": "daily", "limit_tokens": limit, "per": "day", "thresholds": [1], **about})


@pytest.mark.parametrize("listener", [Listener, AsyncListener])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_threshold_is_told_once_by_the_request_that_reached_it(way: Any, listener: Any) -> None:
    llm, heard = limited(tokens(5_000)), listener()

    with get_router_callback() as routed:
        for _ in range(4):
            way(llm, {"callbacks": [heard]})

    (told,) = heard.budgets()
    assert told["request_id"] == routed.calls[2].receipt.request_id, "three times 21 tokens are over 50"
    assert (told["what"], told["budget"], told["percent"], told["unit"]) == ("reached", "daily", 1, "tokens")
    assert (told["limit"], told["spent"]) == ("5000", "63")
    assert (told["needed"], told["resets"]) == (None, None)


@pytest.mark.parametrize("listener", [Listener, AsyncListener])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_refusal_is_told_with_each_purse_that_cannot_bear_it(way: Any, listener: Any) -> None:
    llm, heard = limited(tokens(10, name="tiny"), tokens(20, name="small"), tokens(100_000)), listener()

    with pytest.raises(BudgetExceeded) as raised:
        way(llm, {"callbacks": [heard]})

    told = json.loads(json.dumps(heard.budgets()))
    assert [(each["what"], each["budget"], each["limit"]) for each in told] == [
        ("refused", "tiny", "10"),
        ("refused", "small", "20"),
    ]
    assert [each["needed"] for each in told] == [str(short.charge.amount) for short in raised.value.shortfalls]
    assert {each["resets"] for each in told} == {raised.value.resets[0].isoformat()}
    assert {each["request_id"] for each in told} == {raised.value.receipt.request_id}
    assert [name for name, _ in heard.told] == ["router.budget"] * 2, "nothing was decided"


async def test_events_v2_tell_of_budgets() -> None:
    heard = await drained(limited(tokens(1_000)).astream_events(ASK, version="v2"))

    (event,) = [each for each in heard if each["name"] == "router.budget"]
    assert (event["event"], event["data"]["percent"]) == ("on_custom_event", 1)
    assert event["run_id"] == heard[0]["run_id"]


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_stream_that_is_left_early_tells_what_it_reached(way: str) -> None:
    heard = Listener()
    ledger = Ledger("memory://", budgets=[tokens(500)])
    llm = ChatRouter(models=[Scripted(model_id="m", says=GOOD)], ledger=ledger, max_tokens=20)
    config: Any = {"callbacks": [heard]}

    async def leave() -> None:
        chunks = llm.astream(ASK, config)
        await anext(chunks)
        await chunks.aclose()

    if way == "stream":
        chunks = llm.stream(ASK, config)
        next(chunks)
        chunks.close()
    else:
        asyncio.run(leave())

    assert [each["what"] for each in heard.budgets()] == ["reached"]


def test_what_a_constraint_refuses_is_no_matter_of_budgets() -> None:
    heard = Listener()

    with pytest.raises(NoFeasibleModel):
        limited(tokens(50)).invoke(ASK, {"callbacks": [heard]}, max_cost_usd="0.000000001")

    assert heard.told == []


@pytest.mark.parametrize("way", [*WAYS.values(), *SILENT.values()], ids=[*WAYS, *SILENT])
def test_the_handler_notes_what_budgets_did(way: Any) -> None:
    given = RouterCallbackHandler()
    llm = limited(tokens(1_000), tokens(10, name="tiny", scope="tag:poor"))

    with get_router_callback() as outer, get_router_callback() as inner:
        way(llm, {"callbacks": [given]})
        with pytest.raises(BudgetExceeded):
            way(llm, {"callbacks": [given], "tags": ["poor"]})

    for handler in (given, inner, outer):
        reached, refused = handler.budgets
        assert (reached.what, reached.budget, reached.percent, reached.spent) == ("reached", "daily", 1, 21)
        assert (refused.what, refused.budget, refused.key, refused.limit) == ("refused", "tiny", "poor", 10)
        assert [each["what"] for each in json.loads(json.dumps(handler.as_dict()))["budgets"]] == ["reached", "refused"]
        *_, first, second = str(handler).splitlines()
        assert first == f"The budget 'daily' ({reached.window}) has reached 1 %; 21 tokens of 1000 tokens spent."
        assert second.startswith(f"The budget 'tiny' of 'poor' ({refused.window}) has refused 1 request; 0 tokens")
        handler.reset()
        assert handler.budgets == ()


@pytest.mark.parametrize("way", [*WAYS.values(), *SILENT.values()], ids=[*WAYS, *SILENT])
def test_the_config_tells_whose_budget_it_is_in_every_way_of_asking(way: Any) -> None:
    llm = limited(tokens(10, name="each", scope="session"))

    way(llm, {})
    way(llm, {"configurable": {"allow": ["fake:strong"]}})
    with get_router_callback() as routed, pytest.raises(BudgetExceeded, match="each of 'a thread'"):
        way(llm, {"configurable": {"thread_id": "a thread", "allow": ["fake:strong"]}})

    (call,) = routed.calls
    assert (call.receipt.session, call.receipt.decision.ladder) == ("a thread", ("fake:strong",))


def test_a_handler_of_ones_own_may_take_notes_only() -> None:
    class Notes(BaseCallbackHandler):
        def __init__(self) -> None:
            self.notes: list[BudgetNote] = []

        def on_router_budget(self, note: BudgetNote) -> None:
            self.notes.append(note)

    handler = Notes()

    with pytest.raises(BudgetExceeded):
        limited(tokens(10)).invoke(ASK, {"callbacks": [handler]})

    assert [note.what for note in handler.notes] == ["refused"]


def test_a_handler_that_fails_keeps_a_budget_from_nothing() -> None:
    class Broken(BaseCallbackHandler):
        def on_router_budget(self, note: BudgetNote) -> None:
            raise ZeroDivisionError(note)

    handler = RouterCallbackHandler()

    with pytest.raises(BudgetExceeded):
        limited(tokens(10)).invoke(ASK, {"callbacks": [Broken(), handler]})

    assert [note.what for note in handler.budgets] == ["refused"]
    assert handler.total.requests == 1


# ---- LangChain's cache


def test_hits_of_langchain_s_cache_are_counted_for_the_model_that_it_answers_for() -> None:
    handler = RouterCallbackHandler()
    cached = Scripted(model_id="weak", says=GOOD, cache=InMemoryCache())
    llm = ChatRouter(models=[cached, Scripted(model_id="strong", says=GOOD)], policy=StaticPolicy())

    for _ in range(3):
        llm.invoke(ASK, {"callbacks": [handler]})

    assert handler.total.cache_hits == handler.by_model["fake:weak"].cache_hits == 2
    assert handler.as_dict()["total"]["cache_hits"] == 2
    assert "2 of the 3 calls were answered by a cache and cost nothing." in str(handler)
    assert [call.tally.cache_hits for call in handler.calls] == [0, 1, 1]
