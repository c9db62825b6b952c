"""From what providers send, by way of LangChain's own integrations, to the bill: tokens, tiers and reported costs."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import anthropic
import httpx
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI

from langchain_router import ChatRouter
from langchain_router.handler import get_router_callback
from langchain_router.messages import reply_of
from router_core.policies import StaticPolicy
from router_core.prices import PriceBook
from router_core.records import Attempt
from router_core.registry import Registry
from router_core.testing import scripted_model
from router_core.types import Model, Reply

TOKENS = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
CHAT = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
DELTA = {"index": 0, "delta": {"role": "assistant", "content": "Yes."}, "finish_reason": None}
STOP = {"index": 0, "delta": {}, "finish_reason": "stop"}
FLEX = {
    "prompt_tokens": 3_000,
    "completion_tokens": 90,
    "total_tokens": 3_090,
    "prompt_tokens_details": {"cached_tokens": 1_024, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 0},
}
OPENROUTER = {"prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196, "cost": 0.00014, "is_byok": False}
XAI = {
    "prompt_tokens": 200,
    "completion_tokens": 50,
    "total_tokens": 350,
    "completion_tokens_details": {"reasoning_tokens": 100},
}
RESPONSES = {
    "input_tokens": 4_000,
    "output_tokens": 100,
    "total_tokens": 4_100,
    "input_tokens_details": {"cached_tokens": 1_024, "cache_write_tokens": 2_000},
    "output_tokens_details": {"reasoning_tokens": 64},
}
CLAUDE = {
    "input_tokens": 3_000,
    "output_tokens": 100,
    "cache_read_input_tokens": 1_000,
    "cache_creation_input_tokens": 5_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 3_000, "ephemeral_1h_input_tokens": 2_000},
    "service_tier": "standard",
}


HTTP = importlib.import_module(anthropic.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])
"""The HTTP library of Anthropic's SDK: httpx, or httpx2 from its version 1 on."""


def client(body: Any, http: Any = httpx) -> Any:
    """One that is sent this body, whatever it asks: a dictionary as JSON, a list as the events of a stream."""
    if isinstance(body, dict):
        return http.Client(transport=http.MockTransport(lambda _request: http.Response(200, json=body)))
    events = "".join(f"event: {piece.get('type', 'message')}\ndata: {json.dumps(piece)}\n\n" for piece in body)
    sent = {"text": events, "headers": {"content-type": "text/event-stream"}}
    return http.Client(transport=http.MockTransport(lambda _request: http.Response(200, **sent)))


def openai(body: Any, **options: Any) -> BaseChatModel:
    return ChatOpenAI(model="m", api_key="none", http_client=client(body), max_retries=0, stream_usage=True, **options)


def claude(body: Any) -> BaseChatModel:
    model = ChatAnthropic(model="claude-haiku-4-5", api_key="none", max_tokens=100, max_retries=0)
    model.__dict__["_client"] = anthropic.Anthropic(api_key="none", http_client=client(body, HTTP), max_retries=0)
    return model


def whole(model: BaseChatModel) -> Reply:
    return reply_of(model.invoke("Well?"))


def streamed(model: BaseChatModel) -> Reply:
    chunks: Iterable[Any] = list(model.stream("Well?"))
    first, *rest = chunks
    return reply_of(first + rest if rest else first)


def chat(usage: dict[str, Any], **about: Any) -> dict[str, Any]:
    return {**CHAT, "choices": [CHOICE], "usage": usage, **about}


def pieces(usage: dict[str, Any], **about: Any) -> list[dict[str, Any]]:
    shared = {**CHAT, "object": "chat.completion.chunk", **about}
    return [{**shared, "choices": choices} for choices in ([DELTA], [STOP])] + [
        {**shared, "choices": [], "usage": usage}
    ]


def response(usage: dict[str, Any]) -> dict[str, Any]:
    said = {"type": "output_text", "text": "Yes.", "annotations": []}
    output = [{"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [said]}]
    about = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed"}
    return {
        **about, "output": output, "usage": usage, "service_tier": "priority", "parallel_tool_calls": True,
        "tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None, "instructions": None,
        "metadata": {}, "temperature": 1.0, "top_p": 1.0,
    }  # fmt: skip


def message(usage: dict[str, Any]) -> dict[str, Any]:
    about = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5"}
    content = [{"type": "text", "text": "Yes."}]
    return {**about, "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}


def message_pieces(usage: dict[str, Any]) -> list[dict[str, Any]]:
    begun = {**message(usage), "content": [], "stop_reason": None}
    ended = {name: count for name, count in usage.items() if isinstance(count, int)}
    return [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Yes."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": ended},
        {"type": "message_stop"},
    ]


# By OpenAI's, xAI's and Anthropic's price pages (tests/ground/test_invoices.py).
FLEX_NANO = 1_976 * 625 + 64_000 + 90 * 5_000
BILLED: dict[str, tuple[Callable[[], Reply], str, int]] = {
    "flex": (lambda: whole(openai(chat(FLEX, service_tier="flex"))), "openai:gpt-5", FLEX_NANO),
    "flex, streamed": (lambda: streamed(openai(pieces(FLEX, service_tier="flex"))), "openai:gpt-5", FLEX_NANO),
    "default": (
        lambda: whole(openai(chat(FLEX, service_tier="default"))),
        "openai:gpt-5",
        1_976 * 1_250 + 1_024 * 125 + 90 * 10_000,
    ),
    "xai": (lambda: whole(openai(chat(XAI))), "x-ai:grok-4.7", 200 * 2_000 + 150 * 6_000),
    "xai, streamed": (lambda: streamed(openai(pieces(XAI))), "x-ai:grok-4.7", 200 * 2_000 + 150 * 6_000),
    "claude": (
        lambda: whole(claude(message(CLAUDE))),
        "anthropic:claude-haiku-4-5",
        3_000 * 1_000 + 1_000 * 100 + 3_000 * 1_250 + 2_000 * 2_000 + 100 * 5_000,
    ),
    "claude, in the US": (
        lambda: whole(claude(message({**CLAUDE, "inference_geo": "us"}))),
        "anthropic:claude-opus-5",
        (3_000 * 5_000 + 1_000 * 500 + 3_000 * 6_250 + 2_000 * 10_000 + 100 * 25_000) * 11 // 10,
    ),
    "claude, fast": (
        lambda: whole(claude(message({"input_tokens": 1_000, "output_tokens": 100, "speed": "fast"}))),
        "anthropic:claude-opus-5",
        1_000 * 10_000 + 100 * 50_000,
    ),
    # What is written for how long is told when a message begins; LangChain keeps what is told when it ends.
    "claude, streamed": (
        lambda: streamed(claude(message_pieces({**CLAUDE, "cache_creation": None}))),
        "anthropic:claude-haiku-4-5",
        3_000 * 1_000 + 1_000 * 100 + 5_000 * 1_250 + 100 * 5_000,
    ),
}


@pytest.mark.parametrize("way", BILLED)
def test_from_what_a_provider_sends_to_the_bill(way: str) -> None:
    make, name, nano = BILLED[way]
    provider, _, called = name.partition(":")
    reply = make()

    assert reply.usage is not None
    model = Model(name=name, id=called, provider=provider, endpoint=provider)
    cost = PriceBook(lambda: datetime(2026, 11, 25, 12, tzinfo=UTC)).cost(model, reply.usage, reply.service_tier)
    assert cost is not None
    assert cost.nano == nano


def test_the_responses_api_tells_writes_and_tier() -> None:
    reply = whole(openai(response(RESPONSES), use_responses_api=True))

    assert reply.usage is not None
    parts = (reply.usage.input_tokens, reply.usage.cache_read_tokens, reply.usage.cache_write_tokens)
    assert (*parts, reply.usage.output_tokens, reply.usage.reasoning_tokens) == (4_000, 1_024, 2_000, 100, 64)
    assert reply.service_tier == "priority"


def test_a_cost_that_openrouter_reports() -> None:
    reply = whole(openai(chat(OPENROUTER, service_tier="flex")))
    assert (reply.cost_nano, reply.service_tier) == (140_000, "flex")


def test_openrouter_s_integration_reports_in_the_metadata() -> None:
    reply = reply_of(AIMessage("Yes.", usage_metadata=TOKENS, response_metadata={"cost": 0.002}))
    assert reply.cost_nano == 2_000_000


def test_a_tier_is_known_by_the_names_of_the_parts_where_nothing_else_tells_it() -> None:
    told = {**TOKENS, "input_token_details": {"flex": 6, "flex_cache_read": 4}}
    reply = reply_of(AIMessage("Yes.", usage_metadata=told))
    assert reply.service_tier == "flex"
    assert reply.usage is not None
    assert reply.usage.cache_read_tokens == 4


def test_what_says_nothing_reports_nothing() -> None:
    reply = reply_of(AIMessage("Yes.", usage_metadata=TOKENS, response_metadata={"usage": None, "cost": "dear"}))
    assert (reply.cost_nano, reply.service_tier) == (None, None)


def priced(model: BaseChatModel, **options: Any) -> ChatRouter:
    """A router of this model alone, at two dollars a million tokens."""
    registry = Registry((scripted_model("m", input_usd="2", output_usd="2"),), endpoints={})
    return ChatRouter(models=[model], registry=registry, policy=StaticPolicy(), **options)


def booked(llm: ChatRouter, ask: Callable[[ChatRouter], object]) -> list[Attempt]:
    with get_router_callback() as handler:
        ask(llm)
    return [attempt for call in handler.calls for attempt in call.receipt.attempts]


def test_what_a_provider_reports_is_booked_and_marked() -> None:
    [attempt] = booked(priced(openai(chat(OPENROUTER))), lambda llm: llm.invoke("Well?"))
    assert (attempt.cost_nano, attempt.price_version) == (140_000, "provider")


def test_an_answer_of_langchain_s_cache_costs_nothing_and_is_marked() -> None:
    llm = priced(openai(chat(OPENROUTER), cache=InMemoryCache()))
    first, second = booked(llm, lambda llm: [llm.invoke("Well?"), llm.invoke("Well?")])

    assert first.price_version == "provider"
    assert (second.cost_nano, second.price_version) == (0, "cache")
    assert second.usage is not None
    assert second.usage.total_tokens == 0


ASKS: dict[str, Callable[[ChatRouter], object]] = {
    "invoke": lambda llm: llm.invoke("Well?"),
    "stream": lambda llm: list(llm.stream("Well?")),
}


@pytest.mark.parametrize("way", ASKS)
def test_a_stand_in_costs_nothing_and_is_marked(way: str) -> None:
    [attempt] = booked(priced(FakeListChatModel(responses=["Yes."])), ASKS[way])

    assert (attempt.cost_nano, attempt.price_version) == (0, "scripted")
    assert attempt.usage is not None
    assert (attempt.usage.total_tokens, attempt.usage.estimated) == (0, False)


def test_a_stand_in_that_was_given_tokens_costs_what_they_cost() -> None:
    said = AIMessage("Yes.", usage_metadata=TOKENS)
    [attempt] = booked(priced(GenericFakeChatModel(messages=iter([said]))), lambda llm: llm.invoke("Well?"))
    assert (attempt.cost_nano, attempt.price_version) == (15 * 2_000, "registry")
