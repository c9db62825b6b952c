"""Golden invoices: worked examples at the rates of providers' own price pages, right to the nano-dollar.

The rates stand here by themselves, in nano-dollars a token (a US dollar per million tokens is 1,000 of them), and not
taken from the price list, so that an error of the list shows. Each names the page that publishes them, and when it said
so.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.hosts.answers import read_reply
from router_core.prices import PriceBook
from router_core.types import Model, Reply, Usage


class Page(NamedTuple):
    """Who publishes prices where, and when the page said so (year and month, or day)."""

    provider: str
    url: str
    said: str


OPENAI = Page("openai", "https://developers.openai.com/api/docs/pricing", "2026-03")
OPENAI_LEGACY = Page("openai", "https://platform.openai.com/docs/pricing", "2025-09")
OPENAI_LONG = Page("openai", "https://developers.openai.com/api/docs/pricing", "2026-09-23")
PRIORITY = Page("openai", "https://openai.com/api-priority-processing", "2026-05")
ANTHROPIC = Page("anthropic", "https://platform.claude.com/docs/en/about-claude/pricing", "2026-09")
ANTHROPIC_OLD = Page("anthropic", "https://docs.anthropic.com/en/docs/about-claude/pricing", "2025-09")
HAIKU = Page("anthropic", "https://platform.claude.com/docs/en/about-claude/pricing", "2026-10-24")
FAST = Page("anthropic", "https://platform.claude.com/docs/en/build-with-claude/fast-mode", "2026-11")
IN_THE_US = Page("anthropic", "https://platform.claude.com/docs/en/manage-claude/data-residency", "2026-11")
GOOGLE = Page("google", "https://ai.google.dev/gemini-api/docs/pricing", "2026-09-20")
GOOGLE_OLD = Page("google", "https://ai.google.dev/gemini-api/docs/pricing", "2025-09")
MISTRAL = Page("mistral", "https://mistral.ai/pricing", "2026-09-04")
MISTRAL_OLD = Page("mistral", "https://mistral.ai/technology", "2024-11")
XAI = Page("x-ai", "https://docs.x.ai/docs/models/grok-4.7", "2026-09-29")
XAI_OLD = Page("x-ai", "https://docs.x.ai/docs/models", "2025-09")
DEEPSEEK = Page("deepseek", "https://api-docs.deepseek.com/quick_start/pricing", "2026-10-27")
GROQ = Page("groq", "https://groq.com/pricing", "2026-05-08")
FLEX_AT_GROQ = Page("groq", "https://console.groq.com/docs/flex-processing", "2026-11")
COHERE = Page("cohere", "https://cohere.com/pricing", "2026-11-11")

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
"""A Wednesday, and no peak hour."""


class Bill(NamedTuple):
    """One call: what was used, so many tokens at so many nano-dollars each, their sum, and how it was served."""

    page: Page
    model: str
    usage: Usage
    lines: list[tuple[int, int]]
    nano: int
    tier: str | None = None
    at: datetime = NOON


def used(given: int, made: int, **details: int) -> Usage:
    return Usage(input_tokens=given, output_tokens=made, **{f"{kind}_tokens": count for kind, count in details.items()})


BILLS = [
    # Plain.
    Bill(OPENAI, "gpt-4.1", used(1_234, 567), [(1_234, 2_000), (567, 8_000)], 7_004_000),
    Bill(OPENAI, "gpt-4.1-mini", used(999, 1), [(999, 400), (1, 1_600)], 401_200),
    Bill(OPENAI, "gpt-4.1-nano", used(13, 9), [(13, 100), (9, 400)], 4_900),
    Bill(OPENAI, "gpt-4o-mini", used(777, 333), [(777, 150), (333, 600)], 316_350),
    Bill(OPENAI_LEGACY, "gpt-4-turbo", used(1_000, 1_000), [(1_000, 10_000), (1_000, 30_000)], 40_000_000),
    Bill(OPENAI_LEGACY, "gpt-3.5-turbo", used(4_321, 123), [(4_321, 500), (123, 1_500)], 2_345_000),
    Bill(ANTHROPIC, "claude-haiku-4-5", used(2_000, 800), [(2_000, 1_000), (800, 5_000)], 6_000_000),
    Bill(ANTHROPIC, "claude-opus-5", used(1_111, 222), [(1_111, 5_000), (222, 25_000)], 11_105_000),
    Bill(MISTRAL, "codestral-latest", used(5_000, 1_000), [(5_000, 300), (1_000, 900)], 2_400_000),
    Bill(MISTRAL_OLD, "mistral-large-2411", used(5_000, 1_000), [(5_000, 2_000), (1_000, 6_000)], 16_000_000),
    Bill(GROQ, "llama-3.3-70b-versatile", used(3_000, 700), [(3_000, 590), (700, 790)], 2_323_000),
    Bill(GROQ, "llama-3.1-8b-instant", used(3_000, 700), [(3_000, 50), (700, 80)], 206_000),
    Bill(COHERE, "command-r-08-2024", used(1_500, 250), [(1_500, 150), (250, 600)], 375_000),
    Bill(DEEPSEEK, "deepseek-flash", used(4_000, 500), [(4_000, 150), (500, 600)], 900_000),
    # Reasoning: part of the output.
    Bill(OPENAI, "o3", used(500, 4_000, reasoning=3_500), [(500, 2_000), (4_000, 8_000)], 33_000_000),
    Bill(OPENAI, "o4-mini", used(800, 2_600, reasoning=2_048), [(800, 1_100), (2_600, 4_400)], 12_320_000),
    Bill(OPENAI, "gpt-5", used(1_000, 3_000, reasoning=2_944), [(1_000, 1_250), (3_000, 10_000)], 31_250_000),
    Bill(XAI, "grok-4.7", used(2_000, 400, reasoning=150), [(2_000, 2_000), (400, 6_000)], 6_400_000),
    # Cached input.
    Bill(
        OPENAI,
        "gpt-4.1",
        used(10_000, 100, cache_read=8_192),
        [(1_808, 2_000), (8_192, 500), (100, 8_000)],
        8_512_000,
    ),
    Bill(
        OPENAI,
        "gpt-5-mini",
        used(4_096, 50, cache_read=2_048, reasoning=32),
        [(2_048, 250), (2_048, 25), (50, 2_000)],
        663_200,
    ),
    Bill(OPENAI, "o3", used(3_000, 10, cache_read=1_024), [(1_976, 2_000), (1_024, 500), (10, 8_000)], 4_544_000),
    Bill(XAI, "grok-4.7", used(1_000, 10, cache_read=600), [(400, 2_000), (600, 500), (10, 6_000)], 1_160_000),
    Bill(XAI_OLD, "grok-3", used(1_000, 10, cache_read=600), [(400, 3_000), (600, 750), (10, 15_000)], 1_800_000),
    Bill(
        GOOGLE_OLD,
        "gemini-2.5-flash",
        used(9_000, 120, cache_read=6_000),
        [(3_000, 300), (6_000, 30), (120, 2_500)],
        1_380_000,
    ),
    Bill(
        DEEPSEEK, "deepseek-v4-pro", used(2_000, 10, cache_read=1_536), [(464, 660), (1_536, 22), (10, 1_980)], 359_832
    ),
    # What Anthropic keeps for five minutes, and for an hour: 1.25 and 2 times the input; reads 0.1 times.
    Bill(
        ANTHROPIC,
        "claude-opus-4-6",
        used(5_000, 100, cache_write=4_000),
        [(1_000, 5_000), (4_000, 6_250), (100, 25_000)],
        32_500_000,
    ),
    Bill(
        ANTHROPIC,
        "claude-haiku-4-5",
        used(9_000, 100, cache_read=1_000, cache_write=5_000, cache_write_1h=2_000),
        [(3_000, 1_000), (1_000, 100), (3_000, 1_250), (2_000, 2_000), (100, 5_000)],
        11_350_000,
    ),
    Bill(
        ANTHROPIC,
        "claude-fable-5-1",
        used(2_000, 1, cache_write=2_000, cache_write_1h=2_000),
        [(2_000, 20_000), (1, 50_000)],
        40_050_000,
    ),
    Bill(
        ANTHROPIC_OLD,
        "claude-opus-4-20250514",
        used(6_000, 10, cache_read=2_000, cache_write=3_000),
        [(1_000, 15_000), (2_000, 1_500), (3_000, 18_750), (10, 75_000)],
        75_000_000,
    ),
    Bill(
        OPENAI_LONG,
        "gpt-6-sol",
        used(4_000, 10, cache_read=1_024, cache_write=2_048),
        [(928, 2_000), (1_024, 200), (2_048, 2_500), (10, 10_000)],
        7_280_800,
    ),
    # Long context: beyond the threshold every token costs more.
    Bill(
        GOOGLE,
        "gemini-3.1-pro-preview",
        used(200_000, 1_000),
        [(200_000, 2_000), (1_000, 12_000)],
        412_000_000,
    ),
    Bill(GOOGLE, "gemini-3.1-pro-preview", used(200_001, 10), [(200_001, 4_000), (10, 18_000)], 800_184_000),
    Bill(
        GOOGLE_OLD,
        "gemini-2.5-pro",
        used(200_001, 1_000, cache_read=100_000),
        [(100_001, 2_500), (100_000, 250), (1_000, 15_000)],
        290_002_500,
    ),
    Bill(ANTHROPIC_OLD, "claude-sonnet-4-5", used(250_000, 200), [(250_000, 6_000), (200, 22_500)], 1_504_500_000),
    Bill(HAIKU, "claude-haiku-5-5", used(100_000, 10), [(100_000, 100), (10, 500)], 10_005_000),
    Bill(
        HAIKU,
        "claude-haiku-5-5",
        used(100_001, 10, cache_write=50_000, cache_write_1h=20_000),
        [(50_001, 500), (30_000, 625), (20_000, 1_000), (10, 2_500)],
        63_775_500,
    ),
    # At xAI the threshold itself is dearer.
    Bill(XAI, "grok-4.7", used(199_999, 1), [(199_999, 2_000), (1, 6_000)], 400_004_000),
    Bill(XAI, "grok-4.7", used(200_000, 1), [(200_000, 4_000), (1, 12_000)], 800_012_000),
    Bill(
        OPENAI_LONG,
        "gpt-5.5",
        used(272_001, 100, cache_read=272_000),
        [(1, 10_000), (272_000, 1_000), (100, 45_000)],
        276_510_000,
    ),
    # By the hour, and by the day.
    Bill(
        DEEPSEEK,
        "deepseek-v4-pro",
        used(2_000, 10, cache_read=1_536),
        [(464, 1_320), (1_536, 44), (10, 3_960)],
        719_664,
        at=datetime(2026, 11, 25, 1, tzinfo=UTC),
    ),
    Bill(GOOGLE, "gemini-3.8-flash", used(1_000, 100), [(1_000, 750), (100, 3_750)], 1_125_000),
    Bill(
        GOOGLE,
        "gemini-3.8-flash",
        used(1_000, 100),
        [(1_000, 1_500), (100, 7_500)],
        2_250_000,
        at=datetime(2027, 1, 1, tzinfo=UTC),
    ),
    # Tiers, batches, fast modes, places.
    Bill(OPENAI_LEGACY, "gpt-5", used(2_000, 500), [(2_000, 625), (500, 5_000)], 3_750_000, "flex"),
    Bill(
        OPENAI_LEGACY,
        "o4-mini",
        used(2_000, 500, cache_read=1_024, reasoning=192),
        [(976, 550), (1_024, 138), (500, 2_200)],
        1_778_112,
        "flex",
    ),
    Bill(
        PRIORITY,
        "gpt-4.1",
        used(1_000, 200, cache_read=400),
        [(600, 3_500), (400, 875), (200, 14_000)],
        5_250_000,
        "priority",
    ),
    Bill(PRIORITY, "gpt-5.4", used(1_000, 200), [(1_000, 5_000), (200, 30_000)], 11_000_000, "priority"),
    Bill(OPENAI_LEGACY, "gpt-4.1", used(1_000, 200), [(1_000, 1_000), (200, 4_000)], 1_800_000, "batch"),
    Bill(ANTHROPIC, "claude-haiku-4-5", used(2_000, 800), [(2_000, 500), (800, 2_500)], 3_000_000, "batch"),
    Bill(FAST, "claude-opus-5", used(1_000, 100), [(1_000, 10_000), (100, 50_000)], 15_000_000, "standard+fast"),
    Bill(
        IN_THE_US,
        "claude-opus-4-6",
        used(1_000, 100, cache_read=500),
        [(500, 5_500), (500, 550), (100, 27_500)],
        5_775_000,
        "standard+us",
    ),
    Bill(FLEX_AT_GROQ, "llama-3.1-8b-instant", used(3_000, 700), [(3_000, 50), (700, 80)], 206_000, "flex"),
    # Audio.
    Bill(
        GOOGLE, "gemini-2.5-flash", used(5_000, 100, input_audio=4_000), [(1_000, 300), (4_000, 1_000), (100, 2_500)],
        4_550_000,
    ),
    Bill(
        OPENAI_LEGACY,
        "gpt-audio",
        used(800, 300, input_audio=500, output_audio=200),
        [(300, 2_500), (500, 32_000), (100, 10_000), (200, 64_000)],
        30_550_000,
    ),
]  # fmt: skip


def model(provider: str, name: str) -> Model:
    return Model(name=name, id=name, provider=provider, endpoint=provider)


@pytest.mark.parametrize("bill", BILLS, ids=lambda bill: f"{bill.model}-{bill.tier}-{bill.nano}")
def test_an_invoice_is_right_to_the_nano_dollar(bill: Bill) -> None:
    assert sum(tokens * rate for tokens, rate in bill.lines) == bill.nano, "the example itself"
    assert sum(tokens for tokens, _ in bill.lines) == bill.usage.total_tokens, "every token once"

    cost = PriceBook(lambda: bill.at).cost(model(bill.page.provider, bill.model), bill.usage, bill.tier)

    assert cost is not None
    assert cost.nano == bill.nano, bill.page


def test_at_a_weekend_the_list_takes_deepseek_for_dearer_than_its_page() -> None:
    """Saturdays, Sundays and Chinese holidays have no peak hours, but the list knows no days of the week: the cost is
    an upper bound then (github.com/pydantic/genai-prices/issues/582). Fails once the list knows better."""
    saturday = PriceBook(lambda: datetime(2026, 11, 28, 2, tzinfo=UTC))
    cost = saturday.cost(model("deepseek", "deepseek-v4-pro"), used(1_000, 0))
    assert cost is not None
    assert cost.nano == 2 * 1_000 * 660


def test_audio_of_which_the_list_knows_no_price_is_not_taken_for_text() -> None:
    """$40 and $80 (developers.openai.com/api/docs/models/gpt-4o-audio-preview, 2026-11): the list has text alone."""
    of, book = model("openai", "gpt-4o-audio-preview"), PriceBook(lambda: NOON)
    assert book.cost(of, used(100, 10)) is not None
    assert book.cost(of, used(100, 10, input_audio=90)) is None
    assert book.cost(of, used(100, 10, output_audio=9)) is None


# What a provider sends, by way of the native host, to the bill.
DETAILS, MADE = "prompt_tokens_details", "completion_tokens_details"
SENT: list[tuple[Page, str, dict[str, Any], int, str | None]] = [
    (OPENAI, "gpt-4.1", {"prompt_tokens": 10_000, "completion_tokens": 100, "total_tokens": 10_100,
     DETAILS: {"cached_tokens": 8_192, "audio_tokens": 0}, MADE: {"reasoning_tokens": 0, "audio_tokens": 0}},
     1_808 * 2_000 + 8_192 * 500 + 100 * 8_000, "default"),
    (OPENAI, "o3", {"prompt_tokens": 500, "completion_tokens": 4_000, "total_tokens": 4_500,
     MADE: {"reasoning_tokens": 3_500}}, 500 * 2_000 + 4_000 * 8_000, None),
    (OPENAI_LEGACY, "gpt-5", {"prompt_tokens": 3_000, "completion_tokens": 90, "total_tokens": 3_090,
     DETAILS: {"cached_tokens": 1_024}}, 1_976 * 625 + 90 * 5_000 + 64_000, "flex"),
    (PRIORITY, "gpt-5-mini", {"prompt_tokens": 100, "completion_tokens": 90}, 100 * 450 + 90 * 3_600, "priority"),
    (OPENAI_LONG, "gpt-6-luna", {"prompt_tokens": 4_000, "completion_tokens": 8, "total_tokens": 4_008,
     DETAILS: {"cached_tokens": 1_000, "cache_write_tokens": 2_000}},
     1_000 * 100 + 1_000 * 10 + 2_000 * 125 + 8 * 500, None),
    (OPENAI_LEGACY, "gpt-audio", {"prompt_tokens": 60, "completion_tokens": 50, "total_tokens": 110,
     DETAILS: {"audio_tokens": 40, "cached_tokens": 0}, MADE: {"audio_tokens": 30}},
     20 * 2_500 + 40 * 32_000 + 20 * 10_000 + 30 * 64_000, "default"),
    # The reasoning beside the completion: only the total tells.
    (XAI, "grok-4.7", {"prompt_tokens": 200, "completion_tokens": 50, "total_tokens": 350,
     DETAILS: {"cached_tokens": 128}, MADE: {"reasoning_tokens": 100}}, 72 * 2_000 + 128 * 500 + 150 * 6_000, None),
    (GOOGLE, "gemini-2.5-flash", {"prompt_tokens": 1_000, "completion_tokens": 20, "total_tokens": 1_320},
     1_000 * 300 + 320 * 2_500, None),
    (DEEPSEEK, "deepseek-v4-pro", {"prompt_tokens": 1_600, "completion_tokens": 7, "total_tokens": 1_607,
     "prompt_cache_hit_tokens": 1_536, "prompt_cache_miss_tokens": 64}, 64 * 660 + 1_536 * 22 + 7 * 1_980, None),
    (GROQ, "llama-3.1-8b-instant", {"prompt_tokens": 41, "completion_tokens": 7, "queue_time": 0.1},
     41 * 50 + 7 * 80, "on_demand"),
    (FLEX_AT_GROQ, "llama-3.3-70b-versatile", {"prompt_tokens": 41, "completion_tokens": 7},
     41 * 590 + 7 * 790, "flex"),
    (MISTRAL_OLD, "mistral-large-2411", {"prompt_tokens": 12, "completion_tokens": 30, "total_tokens": 42}, 204_000,
     None),
]  # fmt: skip


@pytest.mark.parametrize("sent", SENT, ids=lambda sent: f"{sent[1]}-{sent[4]}")
def test_from_what_a_provider_sends_to_the_bill(sent: tuple[Page, str, dict[str, Any], int, str | None]) -> None:
    page, name, usage, nano, tier = sent
    of, reply = model(page.provider, name), answered(name, usage, tier)

    assert reply.usage is not None
    cost = PriceBook(lambda: NOON).cost(of, reply.usage, reply.service_tier)
    assert cost is not None
    assert cost.nano == nano, page


def answered(name: str, usage: dict[str, Any], tier: str | None) -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
    return read_reply({"model": name, "choices": [choice], "usage": usage, "service_tier": tier}, model("anyone", name))


LISTED = st.sampled_from(
    ["openai:gpt-4.1", "openai:gpt-6-sol", "anthropic:claude-haiku-5-5", "anthropic:claude-opus-5", "x-ai:grok-4.7"]
)
PARTS = st.tuples(*[st.integers(0, 150_000)] * 5)


def usage_of(plain: int, read: int, minutes: int, hour: int, made: int) -> Usage:
    given_tokens = plain + read + minutes + hour
    return used(given_tokens, made, cache_read=read, cache_write=minutes + hour, cache_write_1h=hour)


@given(LISTED, PARTS, st.integers(0, 4))
def test_no_token_of_any_kind_makes_a_call_cheaper(name: str, parts: tuple[int, ...], kind: int) -> None:
    book, of = PriceBook(lambda: NOON), model(*name.split(":"))
    more = [count + (at == kind) for at, count in enumerate(parts)]
    costs = [book.cost(of, usage_of(*some)) for some in (parts, more)]
    assert 0 <= costs[0].nano < costs[1].nano


@given(LISTED, PARTS, st.sampled_from([None, "default", "standard"]))
def test_no_call_costs_more_than_its_worst_case(name: str, parts: tuple[int, ...], tier: str | None) -> None:
    book, of, usage = PriceBook(lambda: NOON), model(*name.split(":")), usage_of(*parts)
    cost, worst = book.cost(of, usage, tier), book.worst_cost(of, usage)
    assert cost is not None
    assert worst is not None
    assert cost.nano <= worst


@given(PARTS, PARTS)
def test_below_every_threshold_two_calls_cost_what_their_tokens_cost_together(
    one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    book, of = PriceBook(lambda: NOON), model("anthropic", "claude-opus-5")
    costs = [book.cost(of, usage) for usage in (usage_of(*one), usage_of(*other), usage_of(*one) + usage_of(*other))]
    assert costs[0].nano + costs[1].nano == costs[2].nano
