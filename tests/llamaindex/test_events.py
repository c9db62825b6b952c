"""What the router tells LlamaIndex's instrumentation, and what it takes from there: the options of a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.instrumentation import root_dispatcher
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import ChatMessage
from llama_index_instrumentation.dispatcher import instrument_tags

from llamaindex_router import RouterEventHandler, RouterLLM, get_router_handler
from llamaindex_router.errors import InvalidCall
from router_core.errors import AllAttemptsFailed
from router_core.policies import StaticPolicy
from tests.llamaindex.answers import Answer, Call
from tests.llamaindex.fake import FakeLLM
from tests.llamaindex.library import QUESTION, Animal, index, tools
from tests.llamaindex.routed import ASK, DEPRECATED, Events, down, hearing, knows, router, unsure

pytestmark = [pytest.mark.filterwarnings(each) for each in DEPRECATED]


@pytest.fixture(autouse=True)
def no_event_loop() -> None:
    """Where there is none that is at rest, LlamaIndex runs its own and closes it."""
    asyncio.set_event_loop(None)


TELL = PromptTemplate("Tell of the {animal}.")


async def astream_chat(llm: Any, **options: Any) -> None:
    async for _ in await llm.astream_chat(ASK, **options):
        pass


WAYS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda llm: llm.chat(ASK),
    "achat": lambda llm: asyncio.run(llm.achat(ASK)),
    "stream_chat": lambda llm: list(llm.stream_chat(ASK)),
    "astream_chat": lambda llm: asyncio.run(astream_chat(llm)),
    "complete": lambda llm: llm.complete(QUESTION),
    "stream_complete": lambda llm: list(llm.stream_complete(QUESTION)),
    "chat_with_tools": lambda llm: llm.chat_with_tools(tools(), QUESTION),
    "stream_chat_with_tools": lambda llm: list(llm.stream_chat_with_tools(tools(), QUESTION)),
    "structured_predict": lambda llm: llm.structured_predict(Animal, TELL, animal="whale"),
    "stream_structured_predict": lambda llm: list(llm.stream_structured_predict(Animal, TELL, animal="whale")),
}

every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def names(events: list[Any]) -> list[str]:
    return [event.class_name() for event in events]


# -------------------------------------------------------------------------------------------------------- what is told
@every_way
def test_a_call_is_told_of_in_order_and_in_its_own_span(way: Callable[[Any], Any]) -> None:
    llm = RouterLLM(
        models=[FakeLLM(model="down", fails=True), unsure(), FakeLLM()], policy=StaticPolicy(), verifiers=[knows]
    )
    spans = SimpleSpanHandler()
    root_dispatcher.add_span_handler(spans)

    with hearing() as heard:
        way(llm)

    root_dispatcher.span_handlers.remove(spans)
    told = names(heard.told)
    assert told[:7] == [
        "RouterDecisionEvent",
        "RouterAttemptEvent",
        "RouterEscalationEvent",
        "RouterAttemptEvent",
        "RouterEscalationEvent",
        "RouterAttemptEvent",
        "RouterReceiptEvent",
    ]
    streams = any("stream" in span.id_ for span in spans.completed_spans)
    assert told[7:] == ["RouterStreamEndEvent"] * streams
    own = {span.id_ for span in spans.completed_spans if span.id_.startswith("RouterLLM.")}
    assert {event.span_id for event in heard.told} == own
    decision, receipt = heard.told[0], heard.told[6]
    assert {event.request_id for event in heard.told if event is not receipt} == {receipt.receipt["request_id"]}
    assert decision.ladder == ["fakellm:down", "fakellm:weak", "fakellm:fake"]
    assert receipt.root_span_id in own


def test_an_event_tells_what_became_of_an_attempt_and_why_another_follows() -> None:
    llm = router(down(), FakeLLM())

    with hearing() as heard:
        llm.chat(ASK)
        router(unsure(), FakeLLM()).chat(ASK)

    attempts = [event for event in heard.told if event.class_name() == "RouterAttemptEvent"]
    assert [(each.number, each.model, each.outcome, each.code) for each in attempts] == [
        (1, "fake:weak", "failed", "connection"),
        (2, "fake:strong", "accepted", "ok"),
        (1, "fake:weak", "rejected", "knows"),
        (2, "fake:strong", "accepted", "ok"),
    ]
    assert [(each.input_tokens, each.output_tokens, each.cost_usd) for each in attempts[2:]] == [
        (8, 4, "0.000012"),
        (8, 10, "0.00018"),
    ]
    climbs = [event for event in heard.told if event.class_name() == "RouterEscalationEvent"]
    assert [(each.cause, each.code, each.model, each.to_model) for each in climbs] == [
        ("failed", "connection", "fake:weak", "fake:strong"),
        ("rejected", "knows", "fake:weak", "fake:strong"),
    ]
    assert "cannot be reached" in climbs[0].detail


@pytest.mark.parametrize("options", [{}, {"max_cost_usd": "0.000000001"}], ids=["failed", "refused"])
def test_the_receipt_of_a_request_without_an_answer_is_told(options: dict[str, Any]) -> None:
    llm = router(down(), FakeLLM(fails=True))

    with hearing() as heard, pytest.raises(Exception) as raised:  # noqa: PT011 - two kinds, and both have a receipt
        llm.chat(ASK, **options)

    assert names(heard.told).count("RouterReceiptEvent") == 1
    assert heard.told[-1].receipt == raised.value.receipt.summary()


def test_a_stream_that_is_left_is_told_of_in_the_span_of_its_call() -> None:
    llm = router(FakeLLM())

    with hearing() as heard:
        chunks = llm.stream_chat(ASK)
        next(chunks)
        chunks.close()

    decision, receipt, _ = heard.told
    assert receipt.receipt["outcome"] == "cancelled"
    assert receipt.receipt["output_tokens"] > 0
    assert receipt.span_id == decision.span_id
    assert receipt.span_id.startswith("RouterLLM.stream_chat-")


@every_way
def test_what_a_model_tells_names_the_request_and_the_attempt(way: Callable[[Any], Any]) -> None:
    llm = router(unsure(), FakeLLM())

    with get_router_handler() as handler, hearing(Events(prefix="LLMChat")) as heard:
        way(llm)

    told = {(event.tags["router_request_id"], event.tags["router_attempt"]) for event in heard.told}
    assert told == {(handler.calls[0].receipt.request_id, number) for number in (1, 2)}


def test_what_is_told_outside_of_a_call_is_not_marked() -> None:
    llm, other = router(FakeLLM()), FakeLLM()

    with hearing(Events(prefix="LLMChat")) as heard:
        chunks = llm.stream_chat(ASK)
        next(chunks)
        heard.told.clear()
        other.chat(ASK)
        assert [event.tags for event in heard.told] == [{}, {}]
        chunks.close()


# ---------------------------------------------------------------------------------------------------- what is not told
SAID = "plankton-4711"
ASKED = "cuttlefish-0815"


class Misfit(FakeLLM):
    """Its arguments do not fit."""

    def _serve(self, how: str, messages: Any, kwargs: Any) -> Any:
        super()._serve(how, messages, kwargs)
        return Answer("", [Call("call_1", "Animal", {"name": SAID, "size": f"as big as {SAID}"})]), (20, 10)


def speaking(llm: Any) -> None:
    """Calls of all kinds that tell the words above."""
    messages = [ChatMessage(role="system", content=f"You know {ASKED}."), ChatMessage(role="user", content=ASKED)]
    llm.chat(messages)
    list(llm.stream_chat(messages))
    llm.complete(ASKED)
    llm.chat_with_tools(tools(), ASKED)
    llm.structured_predict(Animal, TELL, animal=ASKED)
    list(llm.stream_structured_predict(Animal, TELL, animal=ASKED))
    index().as_query_engine(llm=llm).query(ASKED)


@pytest.mark.parametrize("drafts", [f"I do not know about {SAID}.", f"{SAID}: I cannot help with that.", ""])
def test_no_event_tells_a_text_of_the_request_or_of_an_answer(drafts: str) -> None:
    models = [FakeLLM(model="down", fails=True), FakeLLM(model="draft", says=drafts), Misfit(), FakeLLM()]
    llm = RouterLLM(models=models, policy=StaticPolicy(), verifiers=None)

    with hearing() as heard, get_router_handler() as handler:
        speaking(llm)
        speaking(RouterLLM(models=[Misfit(), FakeLLM()], policy=StaticPolicy()))

    told = "\n".join(event.model_dump_json() for event in heard.told) + json.dumps(handler.as_dict())
    assert "RouterEscalationEvent" in names(heard.told)
    assert "schema" in told
    for text in (SAID, ASKED, "whales sing", "I do not know"):
        assert text not in told


@every_way
def test_every_event_is_json(way: Callable[[Any], Any]) -> None:
    with hearing() as heard, instrument_tags({"user": "ann", "router": {"max_cost_usd": 1}}):
        way(router(down(), FakeLLM()))

    for event in heard.told:
        assert json.loads(event.model_dump_json())["tags"] == {"user": "ann", "router": {"max_cost_usd": 1}}
        assert event.model_dump()["class_name"] == type(event).__name__


# ------------------------------------------------------------------------------------------------- handlers that fail
class Broken(RouterEventHandler):
    """Fails at each event."""

    def handle(self, event: BaseEvent, **_: Any) -> None:
        raise ZeroDivisionError


@every_way
def test_a_handler_that_fails_disturbs_neither_the_call_nor_the_others(way: Callable[[Any], Any]) -> None:
    with hearing(Broken()), get_router_handler() as handler:
        way(router(unsure(), FakeLLM()))

    assert (handler.total.answered, handler.total.attempts) == (1, 2)


# ------------------------------------------------------------------------------------------------ options from far away
def strong() -> dict[str, Any]:
    return {"router": {"force_model": "fake:strong", "session": "ann"}}


async def agent(llm: Any) -> None:
    await FunctionAgent(tools=tools(), llm=llm).run("add 2 and 3")


CALLERS: dict[str, Callable[[Any], Any]] = {
    **WAYS,
    "query engine": lambda llm: index().as_query_engine(llm=llm).query(QUESTION),
    "query engine, async": lambda llm: asyncio.run(index().as_query_engine(llm=llm).aquery(QUESTION)),
    "agent": lambda llm: asyncio.run(agent(llm)),
}

every_caller = pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)


@every_caller
def test_options_in_a_tag_hold_for_all_calls_within_its_block(caller: Callable[[Any], Any]) -> None:
    llm = router()

    with get_router_handler() as handler:
        with instrument_tags(strong()):
            caller(llm)
        assert {call.receipt.model for call in handler.calls} == {"fake:strong"}
        assert {call.receipt.session for call in handler.calls} == {"ann"}
        handler.reset()
        caller(llm)
        assert {call.receipt.model for call in handler.calls} == {"fake:weak"}


def test_what_a_call_says_itself_counts_more_than_a_tag() -> None:
    llm = router()

    with instrument_tags(strong()):
        answer = llm.chat(ASK, force_model="fake:weak")

    assert answer.additional_kwargs["router"]["model"] == "fake:weak"


@every_caller
@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ({"force_modl": "fake:strong"}, "'force_modl' is no option (did you mean 'force_model'?)"),
        ("fake:strong", "'fake:strong' is no dictionary of options"),
        ({"max_cost_usd": "cheap"}, "max_cost_usd: 'cheap'"),
        ({"force_model": "fake:stron"}, "'fake:stron' is no model of this router (did you mean 'fake:strong'?)"),
    ],
)
def test_a_tag_that_is_wrong_is_an_error_that_names_it(caller: Callable[[Any], Any], tag: Any, message: str) -> None:
    llm = router()

    with instrument_tags({"router": tag}), pytest.raises(InvalidCall) as raised:
        caller(llm)

    assert message in str(raised.value)


@every_caller
def test_an_error_of_the_router_reaches_whoever_called(caller: Callable[[Any], Any]) -> None:
    llm = router(down(), FakeLLM(fails=True))

    with pytest.raises(AllAttemptsFailed):
        caller(llm)
