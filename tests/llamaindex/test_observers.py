"""Observers of a ``RouterLLM``: told what the core's are told, in every way of calling, beside the instrumentation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.callbacks import CallbackManager

from llamaindex_router import RouterCallbackHandler, RouterLLM, get_router_handler
from router_core.errors import AsyncInSyncCall, ConfigError
from router_core.events import Accepted, Called, Decided, Escalated, Event, FellBack, Settled
from router_core.records import ReceiptOutcome
from router_core.testing import EventLog
from tests.llamaindex.fake import FakeLLM
from tests.llamaindex.library import QUESTION, Animal, tools
from tests.llamaindex.routed import ASK, down, router, unsure

TELL = PromptTemplate("Tell of the {animal}.")


async def drained(stream: Any) -> None:
    async for _ in await stream:
        pass


SYNC: dict[str, Callable[[RouterLLM], Any]] = {
    "chat": lambda llm: llm.chat(ASK),
    "stream_chat": lambda llm: list(llm.stream_chat(ASK)),
    "complete": lambda llm: llm.complete(QUESTION),
    "stream_complete": lambda llm: list(llm.stream_complete(QUESTION)),
    "chat_with_tools": lambda llm: llm.chat_with_tools(tools(), QUESTION),
    "stream_chat_with_tools": lambda llm: list(llm.stream_chat_with_tools(tools(), QUESTION)),
    "structured_predict": lambda llm: llm.structured_predict(Animal, TELL, animal="whale"),
    "stream_structured_predict": lambda llm: list(llm.stream_structured_predict(Animal, TELL, animal="whale")),
}
ASYNC: dict[str, Callable[[RouterLLM], Any]] = {
    "achat": lambda llm: llm.achat(ASK),
    "astream_chat": lambda llm: drained(llm.astream_chat(ASK)),
    "acomplete": lambda llm: llm.acomplete(QUESTION),
    "astream_complete": lambda llm: drained(llm.astream_complete(QUESTION)),
    "achat_with_tools": lambda llm: llm.achat_with_tools(tools(), QUESTION),
    "astream_chat_with_tools": lambda llm: drained(llm.astream_chat_with_tools(tools(), QUESTION)),
    "astructured_predict": lambda llm: llm.astructured_predict(Animal, TELL, animal="whale"),
    "astream_structured_predict": lambda llm: drained(llm.astream_structured_predict(Animal, TELL, animal="whale")),
}
WAYS = {**SYNC, **{name: lambda llm, call=call: asyncio.run(call(llm)) for name, call in ASYNC.items()}}

every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@every_way
@pytest.mark.parametrize("listening", [False, True], ids=["alone", "beside a handler"])
def test_an_observer_is_told_of_every_event_in_order(way: Callable[[RouterLLM], Any], *, listening: bool) -> None:
    log = EventLog()
    handler = RouterCallbackHandler()
    manager = CallbackManager([handler] if listening else [])

    way(router(unsure(), FakeLLM(model="strong"), observers=[log], callback_manager=manager))

    assert [type(event) for event in log.events] == [Decided, Called, Escalated, Called, Accepted, Settled]
    assert len({event.request_id for event in log.events}) == 1
    (receipt,) = log.receipts
    assert [(each.model, each.outcome) for each in receipt.attempts] == [
        ("fake:weak", "rejected"),
        ("fake:strong", "accepted"),
    ]
    assert [call.receipt for call in handler.calls] == ([receipt] if listening else [])


def test_all_observers_are_told_of_a_failure_and_in_the_order_in_which_they_are_given() -> None:
    told: list[tuple[str, type[Event]]] = []
    observers = [
        lambda event: told.append(("first", type(event))),
        lambda event: told.append(("second", type(event))),
    ]

    router(down(), FakeLLM(model="strong"), observers=observers).chat(ASK)

    kinds = [Decided, Called, FellBack, Called, Accepted, Settled]
    assert told == [(name, kind) for kind in kinds for name in ("first", "second")]


@pytest.mark.parametrize("way", ASYNC.values(), ids=ASYNC)
async def test_an_async_observer_is_awaited(way: Callable[[RouterLLM], Any]) -> None:
    told: list[type[Event]] = []

    async def observer(event: Event) -> None:
        await asyncio.sleep(0)
        told.append(type(event))

    await way(router(unsure(), FakeLLM(model="strong"), observers=[observer]))

    assert told == [Decided, Called, Escalated, Called, Accepted], "what is told after the fact cannot be awaited"


@pytest.mark.parametrize("way", SYNC.values(), ids=SYNC)
def test_an_async_observer_of_a_sync_call_is_an_error_before_any_model_is_asked(
    way: Callable[[RouterLLM], Any],
) -> None:
    async def observer(event: Event) -> None:
        raise AssertionError(event)

    model = FakeLLM(model="strong")

    with pytest.raises(AsyncInSyncCall, match="observer"):
        way(router(model, observers=[observer]))

    assert model.log == []


def test_a_stream_that_is_left_early_is_settled_once() -> None:
    log = EventLog()
    chunks = router(FakeLLM(model="strong"), observers=[log]).stream_chat(ASK)

    next(chunks)
    chunks.close()

    assert [type(event) for event in log.events] == [Decided, Called, Settled]
    assert log.receipts[0].outcome is ReceiptOutcome.CANCELLED


@every_way
def test_an_observer_that_raises_at_the_end_takes_no_handler_its_receipt(way: Callable[[RouterLLM], Any]) -> None:
    def observer(event: Event) -> None:
        if isinstance(event, Settled):
            raise LookupError("the disk is full")  # noqa: TRY004 - no type is wrong

    handler = RouterCallbackHandler()
    llm = router(FakeLLM(model="strong"), observers=[observer], callback_manager=CallbackManager([handler]))

    with get_router_handler() as routed, pytest.raises(LookupError):
        way(llm)

    assert (handler.total.requests, routed.total.requests) == (1, 1)


def test_a_copy_of_a_router_has_its_observers() -> None:
    log = EventLog()
    llm = router(FakeLLM(model="strong"), observers=[log])

    llm.model_copy().chat(ASK)

    assert log.events
    assert "observers" not in llm.to_dict(), "they decide nothing of an answer"


def test_a_router_of_a_file_takes_observers(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_text("models:\n  - {name: weak, id: llama3.2, endpoint: ollama}\n", encoding="utf-8")

    llm = RouterLLM.from_config(path, observers=[print])

    assert list(llm.observers) == [print]


def test_what_cannot_be_called_is_no_observer() -> None:
    with pytest.raises(ConfigError, match=r"observers: .* cannot be called; give functions that take an event"):
        router(FakeLLM(model="strong"), observers=[FakeLLM()])
