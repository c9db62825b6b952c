"""The provider on loopback is as good as the tests that rest on it: what it books is what the integrations read."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage

from tests.langchain.provider import Provider
from tests.servers.provider import Exchange

WIRES = ("openai", "anthropic", "ollama")


def invoke(model, prompt: str) -> AIMessage:
    return model.invoke(prompt)


def stream(model, prompt: str) -> AIMessage:
    chunks = list(model.stream(prompt))
    assert len(chunks) > 3
    return chunks[0] + chunks[1:]


@pytest.mark.parametrize("ask", [invoke, stream])
@pytest.mark.parametrize("wire", WIRES)
def test_usage_is_read_as_it_is_booked(provider: Provider, journal: list[Exchange], wire: str, ask) -> None:
    answer = ask(provider.model(f"{wire}:good-a", stream_usage=True), "Hello there, my friend")

    (exchange,) = journal
    used = exchange.used
    assert exchange.wire == wire
    assert min(used.input, used.output, used.cached, used.reasoning) > 0
    usage = answer.usage_metadata
    assert (usage["input_tokens"], usage["output_tokens"]) == (used.input, used.output)
    if wire != "ollama":
        assert usage["input_token_details"]["cache_read"] == used.cached
    assert answer.text.startswith("Here is a good answer from good-a")


@pytest.mark.parametrize("wire", WIRES)
def test_tools_named_in_the_prompt_are_called_together(provider: Provider, wire: str) -> None:
    def first(city: str) -> str:
        """The first tool."""

    def second(number: int) -> str:
        """The second tool."""

    model = provider.model(f"{wire}:good-a").bind_tools([first, second])

    answer = model.invoke("Call first for 'Bonn', second for 5")

    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [
        ("first", {"city": "Bonn"}),
        ("second", {"number": 5}),
    ]
