"""Budgets as LlamaIndex's instrumentation and handlers hear of them: thresholds reached, requests refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import PromptTemplate, Settings
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index_instrumentation.dispatcher import instrument_tags

from llamaindex_router import RouterCallbackHandler, RouterEventHandler, RouterLLM, get_router_handler
from router_core import Budget, Ledger
from router_core.errors import BudgetExceeded, NoFeasibleModel
from router_core.notes import BudgetNote
from tests.llamaindex.fake import FakeLLM
from tests.llamaindex.library import QUESTION, Animal, index
from tests.llamaindex.routed import ASK, Events, hearing, router, unsure

TELL = PromptTemplate("Tell of the {animal}.")


async def drained(stream: Any) -> None:
    async for _ in await stream:
        pass


WAYS: dict[str, Callable[[RouterLLM], Any]] = {
    "chat": lambda llm: llm.chat(ASK, max_tokens=100),
    "achat": lambda llm: asyncio.run(llm.achat(ASK, max_tokens=100)),
    "stream_chat": lambda llm: list(llm.stream_chat(ASK, max_tokens=100)),
    "astream_chat": lambda llm: asyncio.run(drained(llm.astream_chat(ASK, max_tokens=100))),
    "structured_predict": lambda llm: llm.structured_predict(Animal, TELL, {"max_tokens": 100}, animal="whale"),
    "query": lambda llm: index().as_query_engine(llm=llm).query(QUESTION),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.fixture(autouse=True)
def no_event_loop() -> None:
    """Where there is none that is at rest, LlamaIndex runs its own and closes it."""
    asyncio.set_event_loop(None)


def limited(*budgets: Budget, **options: Any) -> RouterLLM:
    ledger = Ledger("memory://", budgets=budgets)
    return router(unsure(), FakeLLM(model="strong"), ledger=ledger, **options)


def tokens(limit: int, **about: Any) -> Budget:
    return Budget(**{"name": "daily", "limit_tokens": limit, "per": "day", "thresholds": [1], **about})


def of_budgets(heard: Events) -> list[Any]:
    return [event for event in heard.told if event.class_name() == "RouterBudgetEvent"]


@every_way
def test_a_threshold_is_told_once_before_the_receipt_of_the_request_that_reached_it(
    way: Callable[[RouterLLM], Any],
) -> None:
    llm = limited(tokens(10_000))

    with hearing() as heard, get_router_handler() as routed:
        for _ in range(5):
            way(llm)

    so_far = 0
    for call in routed.calls:
        so_far += call.tally.usage.input_tokens + call.tally.usage.output_tokens
        if so_far >= 100:
            break
    (event,) = of_budgets(heard)
    assert (event.what, event.budget, event.key, event.percent) == ("reached", "daily", "", 1)
    assert (event.unit, event.limit, event.spent) == ("tokens", "10000", str(so_far))
    assert (event.needed, event.resets) == (None, None)
    receipt = heard.told[heard.told.index(event) + 1]
    assert event.request_id == receipt.receipt["request_id"] == call.receipt.request_id
    assert event.span_id == receipt.span_id


@every_way
def test_a_refusal_is_told_before_its_receipt(way: Callable[[RouterLLM], Any]) -> None:
    llm = limited(tokens(10, name="tiny"), tokens(1_000_000))

    with hearing() as heard, pytest.raises(BudgetExceeded) as raised:
        way(llm)

    (event,) = of_budgets(heard)
    (shortfall,), (resets,) = raised.value.shortfalls, raised.value.resets
    assert (event.what, event.budget, event.window) == ("refused", "tiny", shortfall.charge.window)
    assert (event.limit, event.spent, event.held, event.percent) == ("10", "0", "0", None)
    assert (event.needed, event.resets) == (str(shortfall.charge.amount), resets.isoformat())
    receipt = heard.told[heard.told.index(event) + 1]
    assert receipt.receipt["outcome"] == "refused"
    assert event.request_id == receipt.receipt["request_id"] == raised.value.receipt.request_id
    assert event.span_id == receipt.span_id


def test_amounts_of_money_are_us_dollars() -> None:
    llm = limited(Budget(name="purse", limit_usd="0.0000001", scope="tag:user", per="total"))

    with hearing() as heard, pytest.raises(BudgetExceeded):
        llm.chat(ASK, tags=["user:ann"])

    (event,) = of_budgets(heard)
    assert (event.unit, event.limit, event.spent, event.held) == ("usd", "0.0000001", "0", "0")
    assert (event.key, event.window, event.resets) == ("user:ann", "total", None)
    assert float(event.needed) > 0.0000001
    assert json.loads(event.model_dump_json())["limit"] == "0.0000001"


def test_each_purse_that_cannot_bear_a_request_is_told() -> None:
    llm = limited(tokens(10, name="tiny"), Budget(name="poor", limit_usd="0.0000001"))

    with hearing() as heard, pytest.raises(BudgetExceeded):
        llm.chat(ASK)

    assert sorted((event.budget, event.unit) for event in of_budgets(heard)) == [("poor", "usd"), ("tiny", "tokens")]


def test_what_a_constraint_refuses_is_no_matter_of_budgets() -> None:
    with hearing() as heard, pytest.raises(NoFeasibleModel):
        limited(tokens(1_000_000)).chat(ASK, max_cost_usd="0.000000001")

    assert of_budgets(heard) == []


def test_a_budget_that_goes_on_with_a_cheaper_model_has_refused_nothing() -> None:
    llm = limited(Budget(name="daily", limit_usd="0.001", on_exceeded="degrade"))

    with hearing() as heard:
        answer = llm.chat(ASK, max_tokens=100)

    assert answer.additional_kwargs["router"]["reason"] == "lowered_for_budget"
    assert of_budgets(heard) == []


# ------------------------------------------------------------------------------------------------------------ handlers
@every_way
def test_both_handlers_note_what_budgets_did(way: Callable[[RouterLLM], Any]) -> None:
    by_manager = RouterCallbackHandler()
    llm = limited(
        tokens(20_000), tokens(10, name="tiny", scope="tag:poor"), callback_manager=CallbackManager([by_manager])
    )
    Settings.callback_manager = llm.callback_manager

    with get_router_handler() as by_event:
        for _ in range(8):
            way(llm)
        with instrument_tags({"router": {"tags": ["poor"]}}), pytest.raises(BudgetExceeded):
            way(llm)

    for handler in (by_manager, by_event):
        reached, refused = handler.budgets
        assert (reached.what, reached.budget, reached.percent) == ("reached", "daily", 1)
        assert (refused.what, refused.budget, refused.key, refused.limit) == ("refused", "tiny", "poor", 10)
        assert [each["what"] for each in json.loads(json.dumps(handler.as_dict()))["budgets"]] == ["reached", "refused"]
        *_, first, second = str(handler).splitlines()
        assert first.startswith(
            f"The budget 'daily' ({reached.window}) has reached 1 %; {reached.spent} tokens of 20000"
        )
        assert second.startswith(
            f"The budget 'tiny' of 'poor' ({refused.window}) has refused 1 request; 0 tokens of 10"
        )
        handler.reset()
        assert handler.budgets == ()
    assert by_manager.as_dict() == by_event.as_dict()


def test_a_handler_that_wants_notes_only_is_given_notes_only() -> None:
    class Notes(BaseCallbackHandler):
        """Keeps what it is handed."""

        def __init__(self) -> None:
            super().__init__([], [])
            self.notes: list[BudgetNote] = []

        def on_router_budget(self, note: BudgetNote) -> None:
            self.notes.append(note)

        def on_event_start(self, *_: Any, **__: Any) -> str:
            return ""

        def on_event_end(self, *_: Any, **__: Any) -> None: ...
        def start_trace(self, *_: Any, **__: Any) -> None: ...
        def end_trace(self, *_: Any, **__: Any) -> None: ...

    handler = Notes()

    limited(tokens(10_000), callback_manager=CallbackManager([handler])).chat(ASK)
    assert handler.notes == []
    with pytest.raises(BudgetExceeded):
        limited(tokens(10), callback_manager=CallbackManager([handler])).chat(ASK)

    assert [note.what for note in handler.notes] == ["refused"]


def test_a_handler_that_fails_keeps_a_budget_from_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(RouterCallbackHandler):
        """Fails at each note."""

        def on_router_budget(self, note: BudgetNote) -> None:
            raise ZeroDivisionError(note)

    handler = RouterCallbackHandler()
    llm = limited(tokens(10), callback_manager=CallbackManager([Broken(), handler]))

    with pytest.raises(BudgetExceeded):
        llm.chat(ASK)

    assert [note.what for note in handler.budgets] == ["refused"]
    assert handler.total.requests == 1
    assert "Broken could not take what the router told it: ZeroDivisionError" in caplog.text


def test_a_handler_in_another_process_counts_no_event_without_its_note() -> None:
    handler = RouterEventHandler()
    with hearing() as heard, pytest.raises(BudgetExceeded):
        limited(tokens(10)).chat(ASK)
    (event,) = of_budgets(heard)

    handler.handle(type(event).model_validate(event.model_dump()))

    assert handler.budgets == ()
