"""Observers of a ``ChatRouter``: told what the core's are told, in every way of calling, beside the callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed; run: uv sync --group langchain")

from langchain_core.exceptions import ModelRateLimitError
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel, ValidationError

from langchain_router import ChatRouter, get_router_callback
from router_core.errors import AsyncInSyncCall
from router_core.events import Accepted, Called, Decided, Escalated, Event, FellBack, Settled
from router_core.policies import StaticPolicy
from router_core.testing import EventLog
from tests.langchain.scripted import GOOD, IDK, Scripted, knows

ASK = "What is the capital of France?"
pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


class Place(BaseModel):
    """A place."""

    city: str


async def drained(stream: Any) -> None:
    async for _ in stream:
        pass


async def events_v3(llm: Any, config: Any) -> None:
    await drained((await llm.astream_events(ASK, config, version="v3")).text)


SYNC: dict[str, Callable[[ChatRouter, Any], Any]] = {
    "invoke": lambda llm, config: llm.invoke(ASK, config),
    "stream": lambda llm, config: list(llm.stream(ASK, config)),
    "batch": lambda llm, config: llm.batch([ASK], config),
    "generate": lambda llm, config: llm.generate([[HumanMessage(ASK)]], callbacks=config.get("callbacks")),
    "bound": lambda llm, config: llm.bind(session="s").invoke(ASK, config),
    "events v3": lambda llm, config: list(llm.stream_events(ASK, config, version="v3").text),
}
ASYNC: dict[str, Callable[[ChatRouter, Any], Any]] = {
    "ainvoke": lambda llm, config: llm.ainvoke(ASK, config),
    "astream": lambda llm, config: drained(llm.astream(ASK, config)),
    "abatch": lambda llm, config: llm.abatch([ASK], config),
    "agenerate": lambda llm, config: llm.agenerate([[HumanMessage(ASK)]], callbacks=config.get("callbacks")),
    "aevents v2": lambda llm, config: drained(llm.astream_events(ASK, config, version="v2")),
    "aevents v3": events_v3,
}
WAYS = {**SYNC, **{name: lambda llm, config, call=call: run(call(llm, config)) for name, call in ASYNC.items()}}

every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def run(awaitable: Any) -> Any:
    async def wait() -> Any:
        return await awaitable

    return asyncio.run(wait())


def router(*says: Any, **options: Any) -> tuple[ChatRouter, list[Scripted]]:
    models = [Scripted(model_id=name, says=said) for name, said in zip(("weak", "strong"), says, strict=False)]
    return ChatRouter(models=models, verifiers=[knows], policy=StaticPolicy(), **options), models


@every_way
@pytest.mark.parametrize("listening", [False, True], ids=["alone", "beside a handler"])
def test_an_observer_is_told_of_every_event_in_order(way: Any, *, listening: bool) -> None:
    log = EventLog()
    llm, _ = router(IDK, GOOD, observers=[log])

    if listening:
        with get_router_callback() as routed:
            way(llm, {})
        assert [call.receipt for call in routed.calls] == log.receipts
    else:
        way(llm, {})

    assert [type(event) for event in log.events] == [Decided, Called, Escalated, Called, Accepted, Settled]
    assert len({event.request_id for event in log.events}) == 1
    assert [attempt.outcome for attempt in log.receipts[0].attempts] == ["rejected", "accepted"]


def test_a_structured_answer_is_told_too() -> None:
    log = EventLog()
    said = AIMessage("", tool_calls=[{"name": "Place", "args": {"city": "Paris"}, "id": "c1"}])
    llm, _ = router(said, observers=[log])

    assert llm.with_structured_output(Place).invoke(ASK) == Place(city="Paris")
    assert [type(event) for event in log.events] == [Decided, Called, Accepted, Settled]


def test_all_observers_are_told_of_a_failure_and_in_the_order_in_which_they_are_given() -> None:
    told: list[tuple[str, type[Event]]] = []
    observers = [
        lambda event: told.append(("first", type(event))),
        lambda event: told.append(("second", type(event))),
    ]

    router(ModelRateLimitError("slow down"), GOOD, observers=observers)[0].invoke(ASK)

    kinds = [Decided, Called, FellBack, Called, Accepted, Settled]
    assert told == [(name, kind) for kind in kinds for name in ("first", "second")]


@pytest.mark.parametrize("way", ASYNC.values(), ids=ASYNC)
async def test_an_async_observer_is_awaited(way: Any) -> None:
    told: list[type[Event]] = []

    async def observer(event: Event) -> None:
        await asyncio.sleep(0)
        told.append(type(event))

    await way(router(IDK, GOOD, observers=[observer])[0], {})

    assert told == [Decided, Called, Escalated, Called, Accepted], "what is told after the fact cannot be awaited"


@pytest.mark.parametrize("way", SYNC.values(), ids=SYNC)
def test_an_async_observer_of_a_sync_call_is_an_error_before_any_model_is_asked(way: Any) -> None:
    async def observer(event: Event) -> None:
        raise AssertionError(event)

    llm, models = router(GOOD, GOOD, observers=[observer])

    with pytest.raises(AsyncInSyncCall, match="observer"):
        way(llm, {})

    assert [model.served for model in models] == [[], []]


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_stream_that_is_left_early_is_settled_once(way: str) -> None:
    log = EventLog()
    llm, _ = router(GOOD, observers=[log])

    async def leave() -> None:
        chunks = llm.astream(ASK)
        await anext(chunks)
        await chunks.aclose()

    if way == "stream":
        chunks = llm.stream(ASK)
        next(chunks)
        chunks.close()
    else:
        asyncio.run(leave())

    assert [type(event) for event in log.events] == [Decided, Called, Settled]
    assert log.receipts[0].outcome == "cancelled"


@every_way
def test_an_observer_that_raises_at_the_end_takes_no_handler_its_receipt(way: Any) -> None:
    def observer(event: Event) -> None:
        if isinstance(event, Settled):
            raise LookupError("the disk is full")  # noqa: TRY004 - no type is wrong

    llm, _ = router(GOOD, GOOD, observers=[observer])

    with get_router_callback() as routed, pytest.raises(LookupError):
        way(llm, {})

    assert routed.total.requests == 1


def test_observers_decide_nothing_of_an_answer() -> None:
    plain, observed = router(GOOD)[0], router(GOOD, observers=[print])[0]

    assert plain._get_llm_string() == observed._get_llm_string()


def test_a_copy_of_a_router_has_its_observers() -> None:
    log = EventLog()
    llm, _ = router(GOOD, observers=[log])

    llm.model_copy(update={"tags": ["copied"]}).invoke(ASK)

    assert log.events


def test_a_router_of_a_file_takes_observers(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_text("models:\n  - {name: weak, id: llama3.2, endpoint: ollama}\n", encoding="utf-8")

    assert list(ChatRouter.from_config(path, observers=[print]).observers) == [print]


@pytest.mark.parametrize("given", [print, ["print"]], ids=["no list", "no function"])
def test_what_is_no_list_of_functions_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError, match="observers"):
        router(GOOD, observers=given)
