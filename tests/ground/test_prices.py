"""Money: exact, from one price path, unknown where nobody knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage as Published
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from router_core.prices import PriceBook
from router_core.registry import model_from_string
from router_core.testing import scripted_model
from router_core.types import NANO, Model, Price, Usage, add_nano, to_usd

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
TOKENS = st.integers(min_value=0, max_value=2_000_000)


def book() -> PriceBook:
    return PriceBook(lambda: NOW)


def priced(price: Price) -> Model:
    return Model(name="m", id="m", provider="p", endpoint="e", price=price)


def test_a_published_price_to_the_nano_dollar() -> None:
    """gpt-4.1-nano: $0.10 input, $0.025 cached input, $0.40 output per million tokens (OpenAI's price page)."""
    usage = Usage(input_tokens=1_000, cache_read_tokens=400, output_tokens=100)
    cost = book().cost(model_from_string("openai:gpt-4.1-nano"), usage)
    assert cost is not None
    assert cost.nano == 600 * 100 + 400 * 25 + 100 * 400
    assert cost.price_version.startswith("genai-prices ")


def test_a_tiered_price_changes_for_all_tokens() -> None:
    """gemini-2.5-pro: $1.25 / $10 up to 200,000 input tokens, $2.50 / $15 above (Google's price page)."""
    model = model_from_string("google:gemini-2.5-pro")
    below = book().cost(model, Usage(input_tokens=200_000, output_tokens=1_000))
    above = book().cost(model, Usage(input_tokens=200_001, output_tokens=1_000))
    assert below is not None
    assert above is not None
    assert below.nano == 200_000 * 1_250 + 1_000 * 10_000
    assert above.nano == 200_001 * 2_500 + 1_000 * 15_000


def test_the_users_price_wins() -> None:
    model = Model(name="m", id="gpt-4.1", provider="openai", endpoint="openai", price=Price.free())
    cost = book().cost(model, Usage(input_tokens=1_000_000, output_tokens=1_000_000))
    assert cost is not None
    assert (cost.nano, cost.price_version) == (0, "registry")


@pytest.mark.parametrize("name", ["openai:no-such-model", "vllm:mine", "openai:text-embedding-3-small"])
def test_an_unknown_price_is_none_and_never_zero(name: str) -> None:
    model = replace(model_from_string(name), price=None)
    assert book().quote(model) is None
    assert book().cost(model, Usage(input_tokens=1)) is None
    assert book().text_cost(model, 1, 1) is None


@pytest.mark.parametrize("name", ["openai:gpt-4.1-nano", "anthropic:claude-haiku-4-5", "scripted"])
@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=1, cache_read_tokens=2),
        Usage(input_tokens=3, cache_read_tokens=2, cache_write_tokens=2),
        Usage(input_tokens=9, cache_write_tokens=1, cache_write_1h_tokens=2),
        Usage(input_tokens=9, cache_write_1h_tokens=1),
        Usage(input_tokens=1, input_audio_tokens=2),
        Usage(output_tokens=1, output_audio_tokens=2),
        Usage(output_tokens=1, reasoning_tokens=2),
    ],
    ids=["read", "read and written", "hour", "hour alone", "audio in", "audio out", "reasoning"],
)
def test_a_usage_that_contradicts_itself_has_no_cost(name: str, usage: Usage) -> None:
    model = model_from_string(name) if ":" in name else scripted_model(name)
    assert book().cost(model, usage) is None


@given(TOKENS, TOKENS, TOKENS, TOKENS, TOKENS)
def test_the_quick_path_agrees_with_genai_prices(plain: int, read: int, write: int, hour: int, output: int) -> None:
    usage = Usage(
        input_tokens=plain + read + write + hour,
        cache_read_tokens=read,
        cache_write_tokens=write + hour,
        cache_write_1h_tokens=hour,
        output_tokens=output,
    )
    published = calc_price(
        Published(
            input_tokens=usage.input_tokens,
            cache_read_tokens=read,
            cache_write_tokens=write + hour,
            cache_write_1h_tokens=hour,
            output_tokens=output,
        ),
        "claude-haiku-4-5",
        provider_id="anthropic",
        genai_request_timestamp=NOW,
    )
    cost = book().cost(model_from_string("anthropic:claude-haiku-4-5"), usage)
    assert cost is not None
    assert cost.nano == round(published.total_price * NANO)


@given(st.decimals(0, 1_000, places=4), st.decimals(0, 1_000, places=4), TOKENS, TOKENS)
def test_cost_is_exact_to_half_a_nano_dollar(price_in: Decimal, price_out: Decimal, tokens: int, output: int) -> None:
    cost = book().cost(
        priced(Price(input=price_in, output=price_out)), Usage(input_tokens=tokens, output_tokens=output)
    )
    assert cost is not None
    exact = (tokens * price_in + output * price_out) * 1_000
    assert abs(cost.nano - exact) <= Decimal("0.5")


def test_cached_tokens_without_a_price_cost_what_input_costs() -> None:
    price = Price(input=Decimal(2), output=Decimal(8))
    usage = Usage(input_tokens=100, cache_read_tokens=40, cache_write_tokens=10)
    cost = book().cost(priced(price), usage)
    assert cost is not None
    assert cost.nano == 100 * 2_000


@pytest.mark.parametrize(("given_usd", "nano"), [("0.0005", 0), ("0.0015", 2), ("0.0025", 2), ("0.00250001", 3)])
def test_half_a_nano_dollar_is_rounded_to_the_even_one(given_usd: str, nano: int) -> None:
    price = Price(input=Decimal(given_usd), output=Decimal(0))
    cost = book().cost(priced(price), Usage(input_tokens=1))
    assert cost is not None
    assert cost.nano == nano


def test_what_is_kept_for_an_hour_has_a_price_of_its_own_or_that_of_other_writes() -> None:
    usage = Usage(input_tokens=100, cache_write_tokens=30, cache_write_1h_tokens=10)
    own = Price(input=Decimal(2), output=Decimal(8), cache_write=Decimal(3), cache_write_1h=Decimal(5))
    for price, hour in ((own, 5_000), (replace(own, cache_write_1h=None), 3_000)):
        cost = book().cost(priced(price), usage)
        assert cost is not None
        assert cost.nano == 70 * 2_000 + 20 * 3_000 + 10 * hour


SMALL = Usage(input_tokens=1_000, output_tokens=1_000)


@pytest.mark.parametrize("word", ["default", "auto", "standard", "on_demand", None])
def test_the_usual_tiers_cost_what_the_list_says(word: str | None) -> None:
    cost = book().cost(model_from_string("openai:gpt-4.1"), SMALL, word)
    assert cost is not None
    assert cost.nano == 1_000 * (2_000 + 8_000)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("openai:gpt-4.1", "no such tier"),
        ("openai:gpt-4.1", "flex"),  # there is none of this model
        ("openai:gpt-4.1", "scale"),  # is paid for in advance
        ("anthropic:claude-opus-5", "priority"),  # so is this
        ("anthropic:claude-opus-5", "standard+moon"),
        ("openai:gpt-4.1", "us"),  # Anthropic's word
    ],
)
def test_a_tier_whose_price_nobody_publishes_has_no_cost(name: str, word: str) -> None:
    assert book().cost(model_from_string(name), SMALL, word) is None


def test_a_tier_has_no_price_before_the_day_that_the_list_knows_one_from() -> None:
    before = PriceBook(lambda: datetime(2026, 10, 1, tzinfo=UTC))
    assert before.cost(model_from_string("openai:gpt-4.1"), SMALL, "priority") is None


def test_who_sells_a_model_of_another_maker_has_other_tiers() -> None:
    """Azure sells OpenAI's models at OpenAI's usual prices; what it takes for others the list does not know."""
    model = Model(name="m", id="gpt-4.1", provider="azure", endpoint="azure")
    assert book().cost(model, SMALL) is not None
    assert book().cost(model, SMALL, "priority") is None


def test_the_users_price_holds_for_every_tier() -> None:
    cost = book().cost(priced(Price(input=Decimal(1), output=Decimal(1))), SMALL, "no such tier")
    assert cost is not None
    assert (cost.nano, cost.price_version) == (2_000_000, "registry")


@pytest.mark.parametrize(
    ("name", "options", "nano"),
    [
        ("openai:gpt-4.1", {}, 10_000_000),
        ("openai:gpt-4.1", {"service_tier": "priority"}, 17_500_000),
        ("openai:gpt-5", {"service_tier": "flex"}, 11_250_000),  # it may be served in the usual tier after all
        ("openai:gpt-4.1", {"service_tier": "no such tier"}, None),
        ("openai:no-such-model", {}, None),
        ("anthropic:claude-haiku-4-5", {}, 1_000 * (2_000 + 5_000)),  # kept for an hour
        ("google:gemini-2.5-flash", {"audio": True}, 1_000 * (1_000 + 2_500)),
        ("deepseek:deepseek-v4-pro", {}, 1_000 * (1_320 + 3_960)),  # at a peak hour
    ],
)
def test_the_worst_that_a_call_may_cost(name: str, options: dict[str, Any], nano: int | None) -> None:
    provider, _, called = name.partition(":")
    model = Model(name=name, id=called, provider=provider, endpoint=provider)
    assert book().worst_cost(model, SMALL, **options) == nano


def test_the_worst_by_the_users_price() -> None:
    price = Price(input=Decimal(2), output=Decimal(8), cache_write=Decimal(3), cache_write_1h=Decimal(5))
    assert book().worst_cost(priced(price), SMALL) == 1_000 * (5_000 + 8_000)


def test_unknown_amounts_stay_unknown_in_sums() -> None:
    assert add_nano(1, None) is None
    assert add_nano(1, 2) == 3
    assert to_usd(None) is None
    assert to_usd(1) == Decimal("1E-9")


def test_a_window_comes_from_the_registry_or_else_from_the_price_list() -> None:
    published = model_from_string("openai:gpt-4.1-nano")
    assert book().context_window(published) == 1_000_000
    assert book().context_window(replace(published, context_window=8_000)) == 8_000
    assert book().context_window(model_from_string("openai:no-such-model")) is None
