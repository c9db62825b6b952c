"""The schema of a judge's question, as each chat model sends it: natively where it can, and counted once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from typing import Any

import pytest
from anthropic import transform_schema
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from langchain_router import ChatRouter
from router_core import Registry
from router_core.policies import JudgePolicy
from router_core.records import Receipt
from router_core.testing import EventLog, scripted_model
from router_core.types import JUDGE_TAG
from router_core.verifiers import JudgeVerifier
from tests.langchain.provider import Provider
from tests.servers.provider import Exchange

ASK = "What is the capital of France?"
WIRES = ("openai", "anthropic", "ollama")
CHOICE = {
    "title": "model_choice",
    "type": "object",
    "properties": {
        "task": {"type": "string"},
        "difficulty": {"type": "number"},
        "model": {"type": "string", "enum": ["weak", "strong"]},
        "confidence": {"type": "number"},
    },
    "required": ["task", "difficulty", "model", "confidence"],
    "additionalProperties": False,
}
GRADE = {
    "title": "grading",
    "type": "object",
    "properties": {"grade": {"type": "number"}, "reason": {"type": "string"}},
    "required": ["grade", "reason"],
    "additionalProperties": False,
}


async def at_once(text: str) -> str:
    return text


async def ainvoke(router: ChatRouter, config: Any) -> str:
    return (await router.ainvoke(ASK, config)).text


async def astream(router: ChatRouter, config: Any) -> str:
    return "".join([chunk.text async for chunk in router.astream(ASK, config)])


WAYS: dict[str, Callable[[ChatRouter, Any], Awaitable[str]]] = {
    "invoke": lambda router, config: at_once(router.invoke(ASK, config).text),
    "ainvoke": ainvoke,
    "stream": lambda router, config: at_once("".join(chunk.text for chunk in router.stream(ASK, config))),
    "astream": astream,
}


def routed(provider: Provider, judge: Any, **options: Any) -> tuple[ChatRouter, EventLog]:
    """A router with this judge, which chooses and grades, over two models that answer."""
    log = EventLog()
    entries = [scripted_model(name, input_usd="1", output_usd="2") for name in ("weak", "strong")]
    judging = scripted_model("judge", input_usd="1", output_usd="2", tags=frozenset({JUDGE_TAG}))
    models = [judge, *provider.models("openai:good-a", "openai:good-b")]
    given = {"policy": JudgePolicy("judge"), "verifiers": [JudgeVerifier("judge")], **options}
    return ChatRouter(models=models, registry=Registry.of([judging, *entries]), observers=[log], **given), log


def schemas(exchanges: Sequence[Exchange]) -> list[Any]:
    """What each request says of the format of its answer, in the words of its provider; None if nothing."""
    places = {"openai": "response_format", "responses": "text", "anthropic": "output_config", "ollama": "format"}
    return [exchange.body.get(places[exchange.wire]) for exchange in exchanges]


def native(wire: str, schema: Any) -> Any:
    """How a provider is asked for a schema."""
    openai = {"type": "json_schema", "json_schema": {"name": schema["title"], "schema": schema, "strict": True}}
    # Older SDKs write an enumeration into a description.
    anthropic = {"format": {"type": "json_schema", "schema": transform_schema(deepcopy(schema))}}
    return {"openai": openai, "anthropic": anthropic, "ollama": schema}[wire]


def true(exchanges: Sequence[Exchange]) -> list[tuple[int, int, bool]]:
    return [(each.used.input, each.used.output, False) for each in exchanges if each.status == 200]


def booked(receipt: Receipt) -> list[tuple[int, int, bool]]:
    used = [attempt.usage for attempt in receipt.attempts]
    return [(usage.input_tokens, usage.output_tokens, usage.estimated) for usage in used]


def outcomes(receipt: Receipt) -> list[tuple[str, str]]:
    return [(attempt.role.value, attempt.outcome.value) for attempt in receipt.attempts]


JUDGED = [("policy", "consulted"), ("answer", "accepted"), ("judge", "consulted")]


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_judge_is_sent_the_schema_in_its_providers_own_way(
    provider: Provider, journal: list[Exchange], wire: str, way: str, heard: Any
) -> None:
    router, log = routed(provider, provider.model(f"{wire}:judge-j"))
    usage, runs = UsageMetadataCallbackHandler(), RunCollectorCallbackHandler()

    text = await WAYS[way](router, {"callbacks": [usage, runs] if heard else []})

    assert text.startswith("Here is a good answer")

    assert schemas(journal) == [native(wire, CHOICE), None, native(wire, GRADE)]
    [receipt] = log.receipts
    assert outcomes(receipt) == JUDGED
    assert receipt.decision.reason.value == "chosen_by_judge"
    assert receipt.attempts[1].verdict.detail == "graded 0.9 of 1 by judge: It is true."
    assert booked(receipt) == true(journal)
    if heard:
        told = sum(each["total_tokens"] for each in usage.usage_metadata.values())
        assert told == receipt.usage.total_tokens
        [run] = runs.traced_runs
        assert [child.metadata["router_attempt"] for child in run.child_runs] == [1, 2, 3]


# The integration of OpenAI advises its user to structure in another way, which the router then does by itself.
@pytest.mark.filterwarnings("ignore:This model does not support OpenAI's structured output")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_server_that_refuses_schemas_is_asked_in_words_from_then_on(
    provider: Provider, journal: list[Exchange], wire: str, way: str
) -> None:
    router, log = routed(provider, provider.model(f"{wire}:words-w"))
    usage, runs = UsageMetadataCallbackHandler(), RunCollectorCallbackHandler()
    await WAYS[way](router, {"callbacks": [usage, runs]})

    assert schemas(journal) == [native(wire, CHOICE), None, None, None]
    assert [exchange.status for exchange in journal] == [400, 200, 200, 200]
    [receipt] = log.receipts
    assert outcomes(receipt) == JUDGED
    assert receipt.decision.reason.value == "chosen_by_judge"
    assert receipt.attempts[1].verdict.code == "judge"
    assert booked(receipt) == true(journal)
    assert sum(each["total_tokens"] for each in usage.usage_metadata.values()) == receipt.usage.total_tokens
    [run] = runs.traced_runs
    assert [child.metadata["router_attempt"] for child in run.child_runs] == [1, 1, 2, 3], "the refused call is a run"
    assert [bool(child.error) for child in run.child_runs] == [True, False, False, False]

    journal.clear()
    router.invoke("And that of Spain?")
    assert schemas(journal) == [None, None, None]
    assert log.receipts[1].decision.reason.value == "chosen_by_judge"


@pytest.mark.parametrize("wire", WIRES)
def test_a_model_whose_profile_says_that_it_has_no_structured_output_is_asked_in_words(
    provider: Provider, journal: list[Exchange], wire: str
) -> None:
    router, log = routed(provider, provider.model(f"{wire}:words-x", profile={"structured_output": False}))
    router.invoke(ASK)

    assert schemas(journal) == [None, None, None]
    assert log.receipts[0].decision.reason.value == "chosen_by_judge"


def test_a_class_whose_structured_output_is_a_forced_tool_is_asked_in_words(
    provider: Provider, journal: list[Exchange]
) -> None:
    class ByTool(type(provider.model("ollama:words-y"))):
        with_structured_output = BaseChatModel.with_structured_output

    judge = ByTool(**provider.params("ollama:words-y"))
    provider._clients.append(judge)
    router, log = routed(provider, judge)
    router.invoke(ASK)

    assert schemas(journal) == [None, None, None]
    assert not any(exchange.body.get("tools") for exchange in journal)
    assert log.receipts[0].decision.reason.value == "chosen_by_judge"


@pytest.mark.parametrize("wire", WIRES)
def test_a_judgement_that_is_none_in_spite_of_the_schema_decides_nothing(
    provider: Provider, journal: list[Exchange], wire: str
) -> None:
    router, log = routed(provider, provider.model(f"{wire}:unsure-b"))
    router.invoke(ASK)

    assert schemas(journal) == [native(wire, CHOICE), None, native(wire, GRADE)]
    [receipt] = log.receipts
    assert receipt.decision.features["judge"] == "unreadable: no JSON object"
    assert receipt.attempts[1].verdict.code == "judge_silent"
    assert booked(receipt) == true(journal)


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("wire", WIRES)
def test_a_judgement_that_was_cut_is_counted_as_its_provider_counts_it(
    provider: Provider, journal: list[Exchange], wire: str, heard: Any
) -> None:
    """OpenAI's SDK raises for it where it is to parse an answer, and its tokens would be lost."""
    limit = {"num_predict": 2} if wire == "ollama" else {"max_tokens": 2}
    router, log = routed(provider, provider.model(f"{wire}:judge-j", **limit))
    usage = UsageMetadataCallbackHandler()
    router.invoke(ASK, {"callbacks": [usage] if heard else []})

    [receipt] = log.receipts
    assert receipt.decision.features["judge"] == "unreadable: no JSON object"
    assert (receipt.attempts[0].finish_reason, receipt.attempts[0].failure) == ("length", None)
    assert booked(receipt) == true(journal)
    if heard:
        assert sum(each["total_tokens"] for each in usage.usage_metadata.values()) == receipt.usage.total_tokens


def test_what_a_user_sends_beside_is_kept(provider: Provider, journal: list[Exchange]) -> None:
    judge = provider.model("openai:judge-j", extra_body={"cache_salt": "ours"})
    router, _ = routed(provider, judge, verifiers=[])
    router.invoke(ASK)
    assert (journal[0].body["cache_salt"], schemas(journal)[0]) == ("ours", native("openai", CHOICE))

    own = native("openai", GRADE)
    router, _ = routed(provider, provider.model("openai:judge-j").bind(response_format=own), verifiers=[])
    journal.clear()
    router.invoke(ASK)
    assert schemas(journal)[0]["json_schema"]["name"] == "grading", "the format that was bound by hand"

    judge = provider.model("anthropic:judge-j").bind(output_config={"effort": "low"})
    router, _ = routed(provider, judge, verifiers=[])
    journal.clear()
    router.invoke(ASK)
    assert schemas(journal)[0] == {"effort": "low", **native("anthropic", CHOICE)}


def test_openais_other_api_has_another_word_for_it(provider: Provider, journal: list[Exchange]) -> None:
    limit = {"max_tokens": 100}
    router, log = routed(provider, provider.model("openai:judge-j", use_responses_api=True, **limit))
    router.invoke(ASK)

    assert [exchange.wire for exchange in journal] == ["responses", "openai", "responses"]
    form = {"type": "json_schema", "name": "model_choice", "schema": CHOICE, "strict": True}
    assert schemas(journal)[0] == {"format": form}
    [receipt] = log.receipts
    assert receipt.decision.reason.value == "chosen_by_judge"
    assert booked(receipt) == true(journal)
