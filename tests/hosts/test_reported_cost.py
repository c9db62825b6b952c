"""What a server says of cost and tier reaches the reply, in one piece and in streams."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.hosts.answers import StreamReader, read_reply, read_usage
from router_core.hosts.chat import join_chunks, replay_reply
from router_core.hosts.portable import reported_nano, served_as
from router_core.testing import scripted_model
from router_core.types import NANO, Usage

MODEL = scripted_model("m")
USAGE = {"prompt_tokens": 194, "completion_tokens": 2, "cost": 0.95, "cost_details": {"upstream_inference_cost": 19}}
# As OpenRouter sent it on 2026-03-31: on its own keys it tells what its provider takes, too.
ROUTED = {
    "prompt_tokens": 10_427,
    "completion_tokens": 264,
    "total_tokens": 10_691,
    "cost": 0.0033789,
    "is_byok": False,
    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0, "video_tokens": 0},
    "cost_details": {
        "upstream_inference_cost": 0.0033789,
        "upstream_inference_prompt_cost": 0.0031281,
        "upstream_inference_completions_cost": 0.0002508,
    },
    "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 0, "audio_tokens": 0},
}


def test_in_one_piece_and_replayed() -> None:
    reply = read_reply(
        {"choices": [{"message": {"content": "Yes."}}], "usage": USAGE, "service_tier": "priority"}, MODEL
    )

    assert (reply.cost_nano, reply.service_tier) == (950_000_000, "priority")
    again = join_chunks(list(replay_reply(reply)))
    assert (again.cost_nano, again.service_tier) == (950_000_000, "priority")


def test_in_a_stream_that_tells_it_at_its_end() -> None:
    reader = StreamReader(MODEL)
    chunks = [
        reader.read({"choices": [{"delta": {"content": "Yes."}}], "service_tier": "flex"}),
        reader.read({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
        reader.read(
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1, "cost_in_usd_ticks": 37_756}}
        ),
    ]

    reply = join_chunks(chunks)
    assert (reply.cost_nano, reply.service_tier) == (3_776, "flex")


REPORTED: list[tuple[str, Any, int | None]] = [
    ("OpenRouter", {"cost": 0.00014}, 140_000),
    ("OpenRouter, free", {"cost": 0}, 0),
    ("own key", {"cost": 0.95, "is_byok": True, "cost_details": {"upstream_inference_cost": 19}}, 19_950_000_000),
    ("not an own key", {"cost": 0.95, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.9}}, 950_000_000),
    ("Perplexity", {"cost": {"input_tokens_cost": 0.001, "total_cost": 0.006}}, 6_000_000),
    ("xAI", {"cost_in_usd_ticks": 37_756_000}, 3_775_600),
    ("OpenRouter, as sent", ROUTED, 3_378_900),
    (
        "own key, free of a fee",
        {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.02}},
        20_000_000,
    ),
    ("own key, and nothing of it", {"cost": 0.01, "is_byok": True, "cost_details": None}, 10_000_000),
    ("an object of an SDK", SimpleNamespace(cost=Decimal("0.0000000015")), 2),
    ("half a nano-dollar, to the even one", {"cost": 2.5e-9}, 2),
    ("half a nano-dollar more", {"cost": 1.5e-9}, 2),
    ("half a tick more", {"cost_in_usd_ticks": 25}, 2),
    ("nothing", {"prompt_tokens": 3}, None),
    ("no usage", None, None),
    ("negative", {"cost": -1}, None),
    ("no number", {"cost": float("nan")}, None),
    ("endless", {"cost": float("inf")}, None),
    ("beyond all", {"cost": 1e300}, None),
    ("text", {"cost": "0.1"}, None),
    ("a truth", {"cost": True}, None),
]


@pytest.mark.parametrize(("usage", "nano"), [row[1:] for row in REPORTED], ids=[row[0] for row in REPORTED])
def test_a_cost_that_a_provider_reports(usage: Any, nano: int | None) -> None:
    assert reported_nano(usage) == nano


@given(st.integers(0, 10**15))
def test_a_reported_cost_is_read_as_it_was_written(nano: int) -> None:
    """Up to a million dollars to the nano-dollar: a float has enough digits for that."""
    written = float(f"{nano // NANO}.{nano % NANO:09}")
    assert reported_nano({"cost": written}) == nano


@pytest.mark.parametrize(
    ("answer", "tier"),
    [
        ({"service_tier": "flex", "usage": {"service_tier": "standard"}}, "flex"),
        ({"usage": {"service_tier": "standard", "speed": "standard", "inference_geo": "global"}}, "standard"),
        ({"usage": {"service_tier": "standard", "inference_geo": "not_available"}}, "standard"),
        ({"usage": {"service_tier": "standard", "speed": "fast", "inference_geo": "us"}}, "standard+fast+us"),
        ({"usage": {"inference_geo": "us"}}, "us"),
        ({"usage": SimpleNamespace(service_tier="batch", speed=None, inference_geo=3)}, "batch"),
        ({"service_tier": 7, "usage": {"speed": ["fast"], "inference_geo": {}}}, None),
        (None, None),
    ],
)
def test_how_a_call_was_served(answer: Any, tier: str | None) -> None:
    assert served_as(answer) == tier


@pytest.mark.parametrize(
    "beside",
    [
        {"prompt_tokens_details": {"cached_tokens": 64}},
        {"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},  # DeepSeek
        {"cached_tokens": 64},  # Moonshot
    ],
)
def test_cached_tokens_wherever_a_server_tells_them(beside: dict[str, Any]) -> None:
    told = {"prompt_tokens": 100, "completion_tokens": 5, **beside}
    assert read_usage(told) == Usage(input_tokens=100, output_tokens=5, cache_read_tokens=64)
