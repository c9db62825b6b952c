"""The registry: what it takes, and what its errors say."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from router_core import ConfigError, Registry
from router_core.registry import KNOWN_ENDPOINTS, LOCAL, Endpoint, model_from_string
from router_core.testing import scripted_model
from router_core.types import Price


def test_strings_become_models() -> None:
    registry = Registry.of(["ollama:llama3.2", "openai:gpt-4.1"])
    weak, strong = registry.models
    assert (weak.id, weak.endpoint, weak.price, weak.tags) == ("llama3.2", "ollama", Price.free(), {LOCAL})
    assert (strong.id, strong.provider, strong.price) == ("gpt-4.1", "openai", None)
    assert registry.strongest is strong


def test_a_model_id_may_hold_colons() -> None:
    assert model_from_string("ollama:qwen2.5:7b").id == "qwen2.5:7b"


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ([], "at least one model"),
        (None, "at least one model"),
        ("openai:gpt-4.1", "give a list"),
        (["openai:gpt-4.1", "openai:gpt-4.1"], "listed 2 times"),
        (["gpt-4.1"], "'endpoint:model'"),
        (["openai:"], "'endpoint:model'"),
        (["opanai:gpt-4.1"], "did you mean 'openai'"),
        ([42], "neither"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_a_remedy(models: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Registry.of(models)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quality", 1.2),
        ("context_window", 0),
        ("max_output_tokens", -1),
        ("latency_s", 0.0),
        ("price", Price(input=Decimal(-1), output=Decimal(0))),
        ("price", Price(input=Decimal(0), output=Decimal("NaN"))),
    ],
)
def test_impossible_values_name_the_model_and_the_field(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"models\.m\.{field}"):
        Registry((replace(scripted_model("m"), **{field: value}),))


def test_aliases_find_their_model() -> None:
    registry = Registry((scripted_model("weak"), scripted_model("strong")), aliases={"best": "strong"})
    assert registry.find("best").name == "strong"
    with pytest.raises(ConfigError, match="did you mean 'strong'"):
        registry.find("stron")


@pytest.mark.parametrize("aliases", [{"weak": "strong"}, {"best": "nowhere"}])
def test_aliases_that_hide_or_miss_a_model_are_refused(aliases: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="aliases"):
        Registry((scripted_model("weak"), scripted_model("strong")), aliases=aliases)


def test_local_endpoints_need_no_key_and_others_do() -> None:
    for endpoint in KNOWN_ENDPOINTS.values():
        assert endpoint.local == (endpoint.api_key_env is None)


def test_an_endpoint_of_ones_own() -> None:
    mine = Endpoint(name="mine", base_url="http://10.0.0.1/v1", provider="vllm", api_key_env="MINE_KEY")
    assert model_from_string("mine:m", {"mine": mine}).price is None


def test_a_model_that_ollama_runs_elsewhere_is_neither_free_nor_local() -> None:
    model = model_from_string("ollama:gpt-oss:120b-cloud")
    assert (model.price, model.tags) == (None, frozenset())
