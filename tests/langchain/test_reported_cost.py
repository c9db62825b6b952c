"""What a provider itself says of cost and tier, by way of LangChain's messages."""

from __future__ import annotations

from langchain_core.messages import AIMessage

from langchain_router.messages import reply_of

TOKENS = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


def test_openai_compatible_servers_report_beside_the_tokens() -> None:
    meta = {"token_usage": {"prompt_tokens": 10, "cost": 0.00014}, "service_tier": "flex", "model_name": "m"}
    reply = reply_of(AIMessage("Yes.", usage_metadata=TOKENS, response_metadata=meta))

    assert (reply.cost_nano, reply.service_tier) == (140_000, "flex")


def test_openrouter_s_integration_reports_in_the_metadata() -> None:
    reply = reply_of(AIMessage("Yes.", usage_metadata=TOKENS, response_metadata={"cost": 0.002}))
    assert reply.cost_nano == 2_000_000


def test_anthropic_tells_the_tier_in_its_usage() -> None:
    meta = {"usage": {"input_tokens": 10, "service_tier": "priority"}}
    reply = reply_of(AIMessage("Yes.", usage_metadata=TOKENS, response_metadata=meta))
    assert (reply.cost_nano, reply.service_tier) == (None, "priority")


def test_what_says_nothing_reports_nothing() -> None:
    reply = reply_of(AIMessage("Yes.", usage_metadata=TOKENS, response_metadata={"usage": None, "cost": "dear"}))
    assert (reply.cost_nano, reply.service_tier) == (None, None)
