"""Money: exact, from one price path, unknown where nobody knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

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


@pytest.mark.parametrize("name", ["openai:gpt-4.1-nano", "scripted"])
def test_a_usage_that_contradicts_itself_has_no_cost(name: str) -> None:
    model = model_from_string(name) if ":" in name else scripted_model(name)
    assert book().cost(model, Usage(input_tokens=1, cache_read_tokens=2)) is None


@given(TOKENS, TOKENS, TOKENS, TOKENS)
def test_the_quick_path_agrees_with_genai_prices(plain: int, read: int, write: int, output: int) -> None:
    usage = Usage(
        input_tokens=plain + read + write, cache_read_tokens=read, cache_write_tokens=write, output_tokens=output
    )
    published = calc_price(
        Published(
            input_tokens=usage.input_tokens,
            cache_read_tokens=read,
            cache_write_tokens=write,
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
