"""An output format in OpenAI's words, such as JSON mode, as each chat model sends it."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_router import ChatRouter
from tests.langchain.provider import Provider
from tests.servers.provider import Exchange

ASK = "Hello there, in JSON"
ANY_JSON = {"type": "json_object"}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
NAMED = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}


def weather(city: str) -> str:
    """The weather of a city."""
    return city


@pytest.mark.parametrize("given", [ANY_JSON, NAMED], ids=["any", "schema"])
@pytest.mark.parametrize("bound", [True, False])
def test_openai_is_sent_what_its_model_alone_would_send(
    provider: Provider, journal: list[Exchange], given: dict[str, Any], *, bound: bool
) -> None:
    model = provider.model("openai:good-a")
    router = ChatRouter(models=[model])
    if bound:
        router.bind(response_format=given).invoke(ASK)
    else:
        router.invoke(ASK, response_format=given)
    model.invoke(ASK, response_format=given)

    routed, alone = journal
    assert routed.body == alone.body
    assert routed.body["response_format"] == given


def test_tools_stay_beside_it(provider: Provider, journal: list[Exchange]) -> None:
    router = ChatRouter(models=[provider.model("openai:good-a")])
    router.bind_tools([weather]).invoke(ASK, response_format=ANY_JSON)

    (exchange,) = journal
    assert exchange.body["response_format"] == ANY_JSON
    assert [tool["function"]["name"] for tool in exchange.body["tools"]] == ["weather"]


@pytest.mark.parametrize(("given", "sent"), [(ANY_JSON, "json"), (NAMED, SCHEMA)], ids=["any", "schema"])
def test_ollama_is_asked_in_its_own_words(
    provider: Provider, journal: list[Exchange], given: dict[str, Any], sent: Any
) -> None:
    ChatRouter(models=[provider.model("ollama:good-a")]).invoke(ASK, response_format=given)

    (exchange,) = journal
    assert exchange.body["format"] == sent
    assert "response_format" not in exchange.body


def test_a_stronger_model_of_another_provider_answers_in_json_mode_too(
    provider: Provider, journal: list[Exchange]
) -> None:
    """Claude has no such mode: the words of the request ask for it."""
    router = ChatRouter(models=provider.models("openai:down-a", "anthropic:good-a"))
    router.invoke(ASK, response_format=ANY_JSON)

    refused, answered = journal
    assert (refused.body["response_format"], answered.wire) == (ANY_JSON, "anthropic")
    assert "output_config" not in answered.body
