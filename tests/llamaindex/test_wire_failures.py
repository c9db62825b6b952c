"""Servers that fail over the real integrations: who is asked next, what the stream has shown, what is booked."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from llamaindex_router import RouterLLM, get_router_handler
from router_core.errors import AllAttemptsFailed, StreamBroken
from router_core.options import Settings
from router_core.policies import StaticPolicy
from router_core.registry import Registry
from router_core.types import Model, Verdict
from tests.llamaindex.provider import WIRES, Provider
from tests.servers.provider import WRONG_KEY, Exchange

ASK = [ChatMessage("Hello there, my friend")]
SPARE = "ollama:good-c"
GOOD = "Here is a good answer from good-c: the sky is blue, and so are you."
KINDS = {"down-d": "overloaded", "limited-e": "rate_limited", "broken-f": "connection"}
WAYS = ("chat", "achat", "stream_chat", "astream_chat")


class Person(BaseModel):
    """A person."""

    name: str
    age: int


PROMPT = PromptTemplate("Make a person of 'Ann' and 7")


async def said(llm: RouterLLM, way: str, shown: list[str] | None = None, **kwargs: Any) -> str:
    """The text of an answer; ``shown`` has that of its stream also when it breaks off."""
    shown = [] if shown is None else shown
    made = getattr(llm, way)(ASK, **kwargs)
    if way.startswith("a"):
        made = await made
    if "stream" not in way:
        return made.message.content
    if way.startswith("a"):
        async for chunk in made:
            shown.append(chunk.delta)
    else:
        for chunk in made:
            shown.append(chunk.delta)
    return "".join(shown)


# ---- servers that are down, busy or break off


BEFORE_ANY_TEXT = [
    pytest.param(mood, way, verifiers, id=f"{mood}-{way}-{'judged' if verifiers is None else 'live'}")
    for mood, way, verifiers in product(KINDS, WAYS, (None, []))
    if not (mood == "broken-f" and "stream" in way and verifiers == [])
]


@pytest.mark.parametrize(("mood", "way", "verifiers"), BEFORE_ANY_TEXT)
@pytest.mark.parametrize("wire", WIRES)
async def test_another_model_answers(
    provider: Provider, journal: list[Exchange], wire: str, mood: str, way: str, verifiers: list[Any] | None
) -> None:
    failing = f"{wire}:{mood}"
    llm = RouterLLM(models=provider.models(failing, SPARE), policy=StaticPolicy(), verifiers=verifiers)

    with get_router_handler() as routed:
        assert await said(llm, way) == GOOD

    assert [exchange.wire for exchange in journal] == [wire, "ollama"]
    failed = routed.by_model[provider.name(failing)]
    assert failed.fallbacks == {KINDS[mood]: 1}
    # What the server took in before it broke off may be billed; what it refused is not.
    assert (failed.usage.input_tokens > 0, failed.usage.estimated) == (mood == "broken-f",) * 2
    answered = routed.by_model[SPARE].usage
    assert (answered.input_tokens, answered.output_tokens, answered.estimated) == (
        journal[-1].used.input,
        journal[-1].used.output,
        False,
    )


@pytest.mark.parametrize("mood", KINDS)
@pytest.mark.parametrize("wire", WIRES)
async def test_an_object_is_made_by_another_model(provider: Provider, wire: str, mood: str) -> None:
    """A failure is none of the model's answer: it is a fallback, not an escalation."""
    failing = f"{wire}:{mood}"
    llm = RouterLLM(models=provider.models(failing, SPARE), policy=StaticPolicy())

    with get_router_handler() as routed:
        assert llm.structured_predict(Person, PROMPT) == Person(name="Ann", age=7)
        assert await llm.astructured_predict(Person, PROMPT) == Person(name="Ann", age=7)

    assert routed.total.escalations == {}
    assert routed.by_model[provider.name(failing)].fallbacks == {KINDS[mood]: 2}


@pytest.mark.parametrize("way", ["stream_chat", "astream_chat"])
@pytest.mark.parametrize("wire", WIRES)
async def test_the_beginning_of_a_stream_is_judged_by_what_it_says(provider: Provider, wire: str, way: str) -> None:
    """Anthropic's integration has no text in its messages before all of it is there."""
    judged: list[str] = []

    class Reads:
        name = "reads"
        judges_prefix = True

        def check(self, _request: object, reply: Any) -> Verdict:
            judged.append(reply.text)
            return Verdict(accepted="know" not in reply.text, code="reads")

    models = provider.models(f"{wire}:unsure-b", SPARE)
    settings = Settings(stream_mode="prefix", prefix_tokens=3)
    llm = RouterLLM(models=models, policy=StaticPolicy(), verifiers=[Reads()], settings=settings)

    with get_router_handler() as routed:
        assert await said(llm, way) == GOOD

    assert judged[0] == "I don't know."
    assert routed.by_model[provider.name(f"{wire}:unsure-b")].escalations == {"reads": 1}


@pytest.mark.parametrize("way", ["stream_chat", "astream_chat"])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_stream_that_breaks_off_says_what_it_showed(provider: Provider, wire: str, way: str) -> None:
    """What was shown cannot be taken back; that another model is at hand does not help."""
    models = provider.models(f"{wire}:broken-f", SPARE)
    llm = RouterLLM(models=models, policy=StaticPolicy(), verifiers=[])
    shown: list[str] = []

    with get_router_handler() as routed, pytest.raises(StreamBroken) as broken:
        await said(llm, way, shown)

    text = "".join(shown)
    assert text.startswith("Here is a good")
    assert broken.value.text == text
    ((attempt,),) = [call.receipt.attempts for call in routed.calls]
    assert broken.value.receipt is routed.calls[0].receipt
    assert (attempt.outcome, attempt.failure) == ("failed", "connection")
    assert attempt.usage.estimated
    assert attempt.usage.output_tokens >= len(text.split())


@pytest.mark.parametrize("wire", WIRES)
def test_errors_are_told_when_no_model_is_left(provider: Provider, journal: list[Exchange], wire: str) -> None:
    """They are no ``ValueError`` and no ``RuntimeError``, which LlamaIndex takes for something else."""
    llm = RouterLLM(models=provider.models(f"{wire}:down-d", f"{wire}:limited-e"))

    with pytest.raises(AllAttemptsFailed, match="overloaded") as failed:
        llm.complete("Hello")

    assert not isinstance(failed.value, ValueError | RuntimeError)
    assert {attempt.failure for attempt in failed.value.receipt.attempts} == {"overloaded", "rate_limited"}
    assert len(journal) == len(failed.value.receipt.attempts)


# ---- keys


def keyed(provider: Provider, wire: str, key: str, model: str) -> Any:
    if wire == "ollama":
        import ollama

        headers = {"Authorization": f"Bearer {key}"}
        return provider.model(model, client=ollama.Client(provider.url, headers=headers))
    return provider.model(model, api_key=key)


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_a_wrong_key_skips_the_other_models_of_its_endpoint(
    provider: Provider, journal: list[Exchange], wire: str
) -> None:
    one, two = f"{wire}:good-a", f"{wire}:good-b"
    models = [keyed(provider, wire, WRONG_KEY, one), keyed(provider, wire, WRONG_KEY, two), provider.model(SPARE)]
    ends = ((one, wire), (two, wire), (SPARE, "ollama"))
    entries = [Model(name=name, id=name, provider=wire, endpoint=end) for name, end in ends]
    llm = RouterLLM(models=models, registry=Registry(tuple(entries)), policy=StaticPolicy())

    with get_router_handler() as routed:
        assert llm.chat(ASK).message.content == GOOD

    assert [(exchange.wire, exchange.status) for exchange in journal] == [(wire, 401), ("ollama", 200)]
    assert routed.by_model[one].fallbacks == {"auth": 1}
    assert (routed.by_model[one].usage.total_tokens, two in routed.by_model) == (0, False)


@pytest.mark.parametrize("wire", WIRES)
def test_a_wrong_key_says_nothing_of_a_model_with_another(
    provider: Provider, journal: list[Exchange], wire: str
) -> None:
    right = SPARE if wire == "ollama" else f"{wire}:good-b"
    wrong = keyed(provider, wire, WRONG_KEY, "ollama:good-a" if wire == "ollama" else f"{wire}:good-a")
    llm = RouterLLM(models=[wrong, provider.model(right)], policy=StaticPolicy())

    assert "good answer" in llm.complete("Hello").text
    assert [exchange.status for exchange in journal] == [401, 200]
    if wire == "ollama":
        wrong._client.close()
