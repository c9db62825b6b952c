"""What a provider itself says of cost and tier, by way of LlamaIndex's responses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage, ChatResponse

from llamaindex_router.messages import reply_of

OPENAI = SimpleNamespace(usage=SimpleNamespace(prompt_tokens=3, cost=0.00014), service_tier="flex")
ANTHROPIC = {"usage": {"input_tokens": 3, "service_tier": "priority"}}


@pytest.mark.parametrize(
    ("raw", "nano", "tier"),
    [(OPENAI, 140_000, "flex"), (ANTHROPIC, None, "priority"), ({}, None, None), (None, None, None)],
    ids=["openai", "anthropic", "nothing", "no raw"],
)
def test_cost_and_tier_are_read_from_the_raw_response(raw: Any, nano: int | None, tier: str | None) -> None:
    reply = reply_of(ChatResponse(message=ChatMessage("Yes."), raw=raw))
    assert (reply.cost_nano, reply.service_tier) == (nano, tier)
