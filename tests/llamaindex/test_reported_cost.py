"""From what providers send, by way of LlamaIndex's own integrations, to the bill: tokens, tiers and reported costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage, ChatResponse, MockLLM
from pydantic import BaseModel

from llamaindex_router import RouterLLM, get_router_handler
from llamaindex_router.messages import reply_of
from llamaindex_router.structured import reply_with
from llamaindex_router.usage import usage_of
from router_core.policies import StaticPolicy
from router_core.prices import PriceBook
from router_core.records import Attempt
from router_core.registry import Registry
from router_core.testing import scripted_model
from router_core.types import Model, Reply, Usage
from tests.llamaindex import test_usage as wire

FLEX = {
    "prompt_tokens": 3_000,
    "completion_tokens": 90,
    "total_tokens": 3_090,
    "prompt_tokens_details": {"cached_tokens": 1_024},
}
OPENROUTER = {"prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196, "cost": 0.00014, "is_byok": False}
CLAUDE = {
    "input_tokens": 3_000,
    "output_tokens": 100,
    "cache_read_input_tokens": 1_000,
    "cache_creation_input_tokens": 5_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 3_000, "ephemeral_1h_input_tokens": 2_000},
    "service_tier": "standard",
}
RESPONSES = {
    "input_tokens": 4_000,
    "output_tokens": 100,
    "total_tokens": 4_100,
    "input_tokens_details": {"cached_tokens": 1_024, "cache_write_tokens": 2_000},
    "output_tokens_details": {"reasoning_tokens": 64},
}


def claude(**about: Any) -> ChatResponse:
    llm = wire.TestAnthropic.llm(wire.TestAnthropic.message(usage={**CLAUDE, **about}))
    return llm.chat(wire.ASK)


# By OpenAI's and Anthropic's price pages (tests/ground/test_invoices.py).
BILLED: dict[str, tuple[Callable[[], ChatResponse], str, int]] = {
    "flex": (
        lambda: wire.openai({**wire.completion(FLEX), "service_tier": "flex"}).chat(wire.ASK),
        "openai:gpt-5",
        1_976 * 625 + 64_000 + 90 * 5_000,
    ),
    "responses": (
        lambda: wire.TestResponses.llm(wire.answered(usage=RESPONSES)).chat(wire.ASK),
        "openai:gpt-6-sol",
        976 * 2_000 + 1_024 * 200 + 2_000 * 2_500 + 100 * 10_000,
    ),
    "claude": (
        claude,
        "anthropic:claude-haiku-4-5",
        3_000 * 1_000 + 1_000 * 100 + 3_000 * 1_250 + 2_000 * 2_000 + 100 * 5_000,
    ),
    "claude, in the US": (
        lambda: claude(inference_geo="us"),
        "anthropic:claude-opus-5",
        (3_000 * 5_000 + 1_000 * 500 + 3_000 * 6_250 + 2_000 * 10_000 + 100 * 25_000) * 11 // 10,
    ),
}


@pytest.mark.parametrize("way", BILLED)
def test_from_what_a_provider_sends_to_the_bill(way: str) -> None:
    make, name, nano = BILLED[way]
    provider, _, called = name.partition(":")
    reply = reply_of(make())

    assert reply.usage is not None
    model = Model(name=name, id=called, provider=provider, endpoint=provider)
    cost = PriceBook(lambda: datetime(2026, 11, 25, 12, tzinfo=UTC)).cost(model, reply.usage, reply.service_tier)
    assert cost is not None
    assert cost.nano == nano


OPENAI = SimpleNamespace(usage=SimpleNamespace(prompt_tokens=3, completion_tokens=1, cost=0.00014), service_tier="flex")
ANTHROPIC = {"usage": {"input_tokens": 3, "service_tier": "priority"}}


@pytest.mark.parametrize(
    ("raw", "nano", "tier"),
    [(OPENAI, 140_000, "flex"), (ANTHROPIC, None, "priority"), ({}, None, None), (None, None, None)],
    ids=["openai", "anthropic", "nothing", "no raw"],
)
def test_cost_and_tier_are_read_from_the_raw_response(raw: Any, nano: int | None, tier: str | None) -> None:
    reply = reply_of(ChatResponse(message=ChatMessage("Yes."), raw=raw))
    assert (reply.cost_nano, reply.service_tier) == (nano, tier)


class Fact(BaseModel):
    """What a structured answer is made of."""

    city: str


def structured(*raws: Any) -> Reply:
    return reply_with(Fact(city="Paris"), [ChatResponse(message=ChatMessage("Yes."), raw=raw) for raw in raws])


def test_a_structured_answer_costs_what_the_responses_behind_it_cost_together() -> None:
    reply = structured(OPENAI, OPENAI)
    assert (reply.cost_nano, reply.service_tier) == (280_000, "flex")

    mixed = structured(OPENAI, {"usage": {"prompt_tokens": 3, "completion_tokens": 1}})
    assert mixed.cost_nano is None
    assert mixed.usage == Usage(input_tokens=6, output_tokens=2)
    model = Model(name="m", id="gpt-5", provider="openai", endpoint="openai")
    assert PriceBook(lambda: datetime(2026, 11, 25, tzinfo=UTC)).cost(model, mixed.usage, mixed.service_tier) is None

    untold = structured()
    assert (untold.usage, untold.cost_nano, untold.service_tier) == (None, None, None)


def test_gemini_tells_which_input_was_audio() -> None:
    parts = [{"modality": "TEXT", "token_count": 4}, {"modality": "AUDIO", "token_count": 8}]
    raw = {"usage_metadata": {"prompt_token_count": 12, "candidates_token_count": 5, "prompt_tokens_details": parts}}
    read = usage_of(ChatResponse(message=ChatMessage("Yes."), raw=raw))
    assert read == Usage(input_tokens=12, output_tokens=5, input_audio_tokens=8)


ASKS: dict[str, Callable[[RouterLLM], object]] = {
    "chat": lambda llm: llm.chat([ChatMessage("Well?")]),
    "stream_chat": lambda llm: list(llm.stream_chat([ChatMessage("Well?")])),
    "complete": lambda llm: llm.complete("Well?"),
}


def booked(model: Any, way: str) -> Attempt:
    registry = Registry((scripted_model("m", input_usd="2", output_usd="2"),), endpoints={})
    with get_router_handler() as handler:
        ASKS[way](RouterLLM(models=[model], registry=registry, policy=StaticPolicy()))
    [attempt] = [attempt for call in handler.calls for attempt in call.receipt.attempts]
    return attempt


@pytest.mark.parametrize("way", ASKS)
def test_a_stand_in_costs_nothing_and_is_marked(way: str) -> None:
    attempt = booked(MockLLM(max_tokens=3), way)

    assert (attempt.cost_nano, attempt.price_version) == (0, "scripted")
    assert attempt.usage is not None
    assert (attempt.usage.total_tokens, attempt.usage.estimated) == (0, False)


@pytest.mark.parametrize("way", ["chat", "complete"])
def test_what_a_provider_reports_is_booked_and_marked(way: str) -> None:
    attempt = booked(wire.openai(wire.completion(OPENROUTER)), way)
    assert (attempt.cost_nano, attempt.price_version) == (140_000, "provider")


def test_what_a_provider_reports_at_the_end_of_a_stream_is_booked_and_marked() -> None:
    attempt = booked(wire.openai(wire.events(wire.pieces(OPENROUTER))), "stream_chat")
    assert (attempt.cost_nano, attempt.price_version) == (140_000, "provider")
