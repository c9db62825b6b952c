"""Golden invoices: worked examples at the rates of providers' own price pages, right to the nano-dollar.

The rates stand here by themselves, in nano-dollars a token (a US dollar per million tokens is 1,000 of them), and not
taken from the price list, so that an error of the list shows. Each names the page that publishes them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.hosts.answers import read_reply
from router_core.hosts.portable import reported_nano
from router_core.prices import PriceBook
from router_core.types import NANO, Model, Usage

OPENAI = "https://platform.openai.com/docs/pricing"
ANTHROPIC = "https://docs.claude.com/en/docs/about-claude/pricing"
GOOGLE = "https://ai.google.dev/gemini-api/docs/pricing"
MISTRAL = "https://mistral.ai/pricing"
XAI = "https://docs.x.ai/docs/models"
GROQ = "https://groq.com/pricing"
COHERE = "https://cohere.com/pricing"

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Line(NamedTuple):
    """So many tokens at so many nano-dollars each."""

    tokens: int
    rate: int


class Invoice(NamedTuple):
    """One call: where its rates are published, what was used, the lines of the bill and their sum."""

    source: str
    provider: str
    model: str
    usage: Usage
    lines: tuple[Line, ...]
    nano: int
    tier: str | None = None


def used(given: int, made: int, **details: int) -> Usage:
    return Usage(input_tokens=given, output_tokens=made, **details)


INVOICES = [
    # Plain.
    Invoice(OPENAI, "openai", "gpt-4.1", used(1_234, 567), (Line(1_234, 2_000), Line(567, 8_000)), 7_004_000),
    Invoice(OPENAI, "openai", "gpt-4.1-mini", used(999, 1), (Line(999, 400), Line(1, 1_600)), 401_200),
    Invoice(OPENAI, "openai", "gpt-4.1-nano", used(13, 9), (Line(13, 100), Line(9, 400)), 4_900),
    Invoice(OPENAI, "openai", "gpt-4o", used(10_000, 500), (Line(10_000, 2_500), Line(500, 10_000)), 30_000_000),
    Invoice(OPENAI, "openai", "gpt-4o-mini", used(777, 333), (Line(777, 150), Line(333, 600)), 316_350),
    Invoice(
        OPENAI, "openai", "gpt-4-turbo", used(1_000, 1_000), (Line(1_000, 10_000), Line(1_000, 30_000)), 40_000_000
    ),
    Invoice(OPENAI, "openai", "gpt-3.5-turbo", used(4_321, 123), (Line(4_321, 500), Line(123, 1_500)), 2_345_000),
    Invoice(
        ANTHROPIC, "anthropic", "claude-haiku-4-5", used(2_000, 800), (Line(2_000, 1_000), Line(800, 5_000)), 6_000_000
    ),
    Invoice(
        ANTHROPIC,
        "anthropic",
        "claude-opus-4-5",
        used(1_111, 222),
        (Line(1_111, 5_000), Line(222, 25_000)),
        11_105_000,
    ),
    Invoice(
        MISTRAL,
        "mistral",
        "mistral-large-2411",
        used(5_000, 1_000),
        (Line(5_000, 2_000), Line(1_000, 6_000)),
        16_000_000,
    ),
    Invoice(GROQ, "groq", "llama-3.3-70b-versatile", used(3_000, 700), (Line(3_000, 590), Line(700, 790)), 2_323_000),
    Invoice(GROQ, "groq", "llama-3.1-8b-instant", used(3_000, 700), (Line(3_000, 50), Line(700, 80)), 206_000),
    Invoice(COHERE, "cohere", "command-r-plus", used(1_500, 250), (Line(1_500, 2_500), Line(250, 10_000)), 6_250_000),
    # Reasoning: part of the output.
    Invoice(
        OPENAI,
        "openai",
        "o3",
        used(500, 4_000, reasoning_tokens=3_500),
        (Line(500, 2_000), Line(4_000, 8_000)),
        33_000_000,
    ),
    Invoice(
        OPENAI,
        "openai",
        "o4-mini",
        used(800, 2_600, reasoning_tokens=2_048),
        (Line(800, 1_100), Line(2_600, 4_400)),
        12_320_000,
    ),
    Invoice(
        OPENAI,
        "openai",
        "gpt-5",
        used(1_000, 3_000, reasoning_tokens=2_944),
        (Line(1_000, 1_250), Line(3_000, 10_000)),
        31_250_000,
    ),
    Invoice(XAI, "x-ai", "grok-3", used(2_000, 400), (Line(2_000, 3_000), Line(400, 15_000)), 12_000_000),
    # Cached input.
    Invoice(
        OPENAI,
        "openai",
        "gpt-4.1",
        used(10_000, 100, cache_read_tokens=8_192),
        (Line(1_808, 2_000), Line(8_192, 500), Line(100, 8_000)),
        8_512_000,
    ),
    Invoice(
        OPENAI,
        "openai",
        "gpt-5-mini",
        used(4_096, 50, cache_read_tokens=2_048, reasoning_tokens=32),
        (Line(2_048, 250), Line(2_048, 25), Line(50, 2_000)),
        663_200,
    ),
    Invoice(
        OPENAI,
        "openai",
        "o3",
        used(3_000, 10, cache_read_tokens=1_024),
        (Line(1_976, 2_000), Line(1_024, 500), Line(10, 8_000)),
        4_544_000,
    ),
    Invoice(
        XAI,
        "x-ai",
        "grok-3",
        used(1_000, 10, cache_read_tokens=600),
        (Line(400, 3_000), Line(600, 750), Line(10, 15_000)),
        1_800_000,
    ),
    Invoice(
        GOOGLE,
        "google",
        "gemini-2.5-flash",
        used(9_000, 120, cache_read_tokens=6_000),
        (Line(3_000, 300), Line(6_000, 30), Line(120, 2_500)),
        1_380_000,
    ),
    # Cache writes (five minutes) and reads of Anthropic: 1.25 and 0.1 times the input.
    Invoice(
        ANTHROPIC,
        "anthropic",
        "claude-sonnet-4-20250514",
        used(5_000, 100, cache_write_tokens=4_000),
        (Line(1_000, 3_000), Line(4_000, 3_750), Line(100, 15_000)),
        19_500_000,
    ),
    Invoice(
        ANTHROPIC,
        "anthropic",
        "claude-sonnet-4-20250514",
        used(5_000, 100, cache_read_tokens=4_000),
        (Line(1_000, 3_000), Line(4_000, 300), Line(100, 15_000)),
        5_700_000,
    ),
    Invoice(
        ANTHROPIC,
        "anthropic",
        "claude-opus-4-20250514",
        used(6_000, 10, cache_read_tokens=2_000, cache_write_tokens=3_000),
        (Line(1_000, 15_000), Line(2_000, 1_500), Line(3_000, 18_750), Line(10, 75_000)),
        75_000_000,
    ),
    Invoice(
        ANTHROPIC,
        "anthropic",
        "claude-3-5-haiku-20241022",
        used(2_000, 30, cache_read_tokens=500, cache_write_tokens=1_000),
        (Line(500, 800), Line(500, 80), Line(1_000, 1_000), Line(30, 4_000)),
        1_560_000,
    ),
    # Long context: above 200,000 tokens of input all tokens cost more.
    Invoice(
        GOOGLE,
        "google",
        "gemini-2.5-pro",
        used(200_000, 1_000),
        (Line(200_000, 1_250), Line(1_000, 10_000)),
        260_000_000,
    ),
    Invoice(
        GOOGLE,
        "google",
        "gemini-2.5-pro",
        used(200_001, 1_000),
        (Line(200_001, 2_500), Line(1_000, 15_000)),
        515_002_500,
    ),
    Invoice(
        ANTHROPIC,
        "anthropic",
        "claude-sonnet-4-5",
        used(250_000, 2_000),
        (Line(250_000, 6_000), Line(2_000, 22_500)),
        1_545_000_000,
    ),
    # Tiers and batches.
    Invoice(
        OPENAI,
        "openai",
        "gpt-5",
        used(2_000, 500),
        (Line(2_000, 625), Line(500, 5_000)),
        3_750_000,
        "flex",
    ),
    Invoice(OPENAI, "openai", "o3", used(700, 90), (Line(700, 1_000), Line(90, 4_000)), 1_060_000, "flex"),
    Invoice(
        OPENAI, "openai", "gpt-4.1", used(1_000, 200), (Line(1_000, 3_500), Line(200, 14_000)), 6_300_000, "priority"
    ),
    Invoice(OPENAI, "openai", "gpt-4.1", used(1_000, 200), (Line(1_000, 1_000), Line(200, 4_000)), 1_800_000, "batch"),
    Invoice(
        ANTHROPIC,
        "anthropic",
        "claude-haiku-4-5",
        used(2_000, 800),
        (Line(2_000, 500), Line(800, 2_500)),
        3_000_000,
        "batch",
    ),
    # Audio input.
    Invoice(
        GOOGLE,
        "google",
        "gemini-2.5-flash",
        used(5_000, 100, input_audio_tokens=4_000),
        (Line(1_000, 300), Line(4_000, 1_000), Line(100, 2_500)),
        4_550_000,
    ),
    Invoice(
        GOOGLE,
        "google",
        "gemini-2.0-flash",
        used(1_500, 40, input_audio_tokens=1_500),
        (Line(1_500, 700), Line(40, 400)),
        1_066_000,
    ),
]


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook(lambda: NOW)


def model(provider: str, name: str) -> Model:
    return Model(name=name, id=name, provider=provider, endpoint=provider)


@pytest.mark.parametrize("invoice", INVOICES, ids=lambda invoice: f"{invoice.model}-{invoice.tier}-{invoice.nano}")
def test_an_invoice_is_right_to_the_nano_dollar(book: PriceBook, invoice: Invoice) -> None:
    assert sum(line.tokens * line.rate for line in invoice.lines) == invoice.nano, "the example itself"
    assert sum(line.tokens for line in invoice.lines) == invoice.usage.total_tokens, "every token once"

    cost = book.cost(model(invoice.provider, invoice.model), invoice.usage, invoice.tier)

    assert cost is not None
    assert cost.nano == invoice.nano, invoice.source


# What a provider sends, by way of the host, to the bill.
RAW: list[tuple[str, str, dict[str, Any], int]] = [
    (
        "openai",
        "gpt-4.1",
        {
            "prompt_tokens": 10_000,
            "completion_tokens": 100,
            "total_tokens": 10_100,
            "prompt_tokens_details": {"cached_tokens": 8_192, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        1_808 * 2_000 + 8_192 * 500 + 100 * 8_000,
    ),
    (
        "openai",
        "o3",
        {
            "prompt_tokens": 500,
            "completion_tokens": 4_000,
            "total_tokens": 4_500,
            "completion_tokens_details": {"reasoning_tokens": 3_500},
        },
        500 * 2_000 + 4_000 * 8_000,
    ),
    # Reasoning beside the completion: only the total tells.
    (
        "x-ai",
        "grok-3",
        {
            "prompt_tokens": 200,
            "completion_tokens": 50,
            "total_tokens": 350,
            "completion_tokens_details": {"reasoning_tokens": 100},
        },
        200 * 3_000 + 150 * 15_000,
    ),
    (
        "google",
        "gemini-2.5-flash",
        {"prompt_tokens": 1_000, "completion_tokens": 20, "total_tokens": 1_320},
        1_000 * 300 + 320 * 2_500,
    ),
    (
        "groq",
        "llama-3.1-8b-instant",
        {"prompt_tokens": 41, "completion_tokens": 7, "queue_time": 0.1},
        41 * 50 + 7 * 80,
    ),
    ("mistral", "mistral-large-2411", {"prompt_tokens": 12, "completion_tokens": 30, "total_tokens": 42}, 204_000),
]


@pytest.mark.parametrize(("provider", "name", "usage", "nano"), RAW, ids=[f"{row[1]}" for row in RAW])
def test_from_what_a_provider_sends_to_the_bill(
    book: PriceBook, provider: str, name: str, usage: dict[str, Any], nano: int
) -> None:
    sent = {"model": name, "choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}], "usage": usage}
    reply = read_reply(sent, model(provider, name))

    assert reply.usage is not None
    cost = book.cost(model(provider, name), reply.usage)
    assert cost is not None
    assert cost.nano == nano


def test_a_tier_costs_what_the_list_says_of_it_and_one_that_it_does_not_know_is_unknown(book: PriceBook) -> None:
    plain, usage = model("openai", "gpt-4.1"), used(1_000, 1_000)

    usual = book.cost(plain, usage)
    assert usual is not None
    assert book.cost(plain, usage, "default") == usual
    assert book.cost(plain, usage, "no such tier") is None


REPORTED: list[tuple[str, Any, int | None]] = [
    ("OpenRouter", {"cost": 0.00014}, 140_000),
    ("OpenRouter, free", {"cost": 0}, 0),
    ("own key", {"cost": 0.95, "is_byok": True, "cost_details": {"upstream_inference_cost": 19}}, 19_950_000_000),
    ("not an own key", {"cost": 0.95, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.9}}, 950_000_000),
    ("Perplexity", {"cost": {"input_tokens_cost": 0.001, "total_cost": 0.006}}, 6_000_000),
    ("xAI", {"cost_in_usd_ticks": 37_756_000}, 3_775_600),
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


counts = st.integers(0, 150_000)


@given(given_tokens=counts, made=counts, share=st.floats(0, 1))
def test_no_token_makes_a_call_cheaper_and_caching_never_makes_it_dearer_to_read(
    given_tokens: int, made: int, share: float
) -> None:
    book, of = PriceBook(lambda: NOW), model("openai", "gpt-4.1")
    plain = book.cost(of, used(given_tokens, made))
    more = book.cost(of, used(given_tokens + 1, made + 1))
    cached = book.cost(of, used(given_tokens, made, cache_read_tokens=int(given_tokens * share)))
    assert plain is not None
    assert more is not None
    assert cached is not None
    assert 0 <= cached.nano <= plain.nano < more.nano
