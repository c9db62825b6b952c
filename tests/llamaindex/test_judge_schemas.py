"""The schema of a judge's question, as each integration sends it: natively where it can, and counted once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from typing import Any

import pytest
from anthropic import transform_schema
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAIResponses

from llamaindex_router import RouterLLM
from router_core import Registry
from router_core.policies import JudgePolicy
from router_core.records import Receipt
from router_core.testing import EventLog, scripted_model
from router_core.types import JUDGE_TAG
from router_core.verifiers import JudgeVerifier
from tests.llamaindex.fake import FakeLLM
from tests.llamaindex.provider import KEY, NAMES, WIRES, Provider, reported, whole
from tests.servers.provider import Exchange

ASK = [ChatMessage(role="user", content="What is the capital of France?")]
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
WAYS: dict[str, Callable[[RouterLLM], Awaitable[Any]]] = {
    name: whole(name, ASK) for name in ("chat", "achat", "stream_chat", "astream_chat")
}
JUDGED = [("policy", "consulted"), ("answer", "accepted"), ("judge", "consulted")]


def routed(provider: Provider, judge: Any, **options: Any) -> tuple[RouterLLM, EventLog]:
    """A router with this judge, which chooses and grades, over two models that answer."""
    log = EventLog()
    entries = [scripted_model(name, input_usd="1", output_usd="2") for name in ("weak", "strong")]
    judging = scripted_model("judge", input_usd="1", output_usd="2", tags=frozenset({JUDGE_TAG}))
    models = [judge, *provider.models("openai:good-a", "openai:good-b")]
    given = {"policy": JudgePolicy("judge"), "verifiers": [JudgeVerifier("judge")], **options}
    return RouterLLM(models=models, registry=Registry.of([judging, *entries]), observers=[log], **given), log


def schemas(exchanges: Sequence[Exchange]) -> list[Any]:
    """What each request says of the format of its answer, in the words of its provider; None if nothing."""
    places = {"openai": "response_format", "responses": "text", "anthropic": "output_config", "ollama": "format"}
    return [exchange.body.get(places[exchange.wire]) or None for exchange in exchanges]


def native(wire: str, schema: Any) -> Any:
    """How a provider is asked for a schema."""
    openai = {"type": "json_schema", "json_schema": {"name": schema["title"], "schema": schema, "strict": True}}
    # Older SDKs write an enumeration into a description.
    anthropic = {"format": {"type": "json_schema", "schema": transform_schema(deepcopy(schema))}}
    return {"openai": openai, "anthropic": anthropic, "ollama": schema}[wire]


def outcomes(receipt: Receipt) -> list[tuple[str, str]]:
    return [(attempt.role.value, attempt.outcome.value) for attempt in receipt.attempts]


def assert_counted_once(receipt: Receipt, journal: Sequence[Exchange]) -> None:
    served = [exchange for exchange in journal if exchange.status == 200]
    assert [attempt.usage for attempt in receipt.attempts] == [reported(each.wire, each.used) for each in served]


def assert_heard(counter: TokenCountingHandler, calls: int) -> None:
    """How many calls used tokens. A call that was refused is told of without any."""
    assert len([each for each in counter.llm_token_counts if each.total_token_count]) == calls


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_judge_is_sent_the_schema_in_its_providers_own_way(
    provider: Provider, journal: list[Exchange], wire: str, way: str
) -> None:
    router, log = routed(provider, provider.model(f"{wire}:judge-j"))
    counter = TokenCountingHandler()
    router.callback_manager = CallbackManager([counter])
    answer = await WAYS[way](router)

    assert answer.message.content.startswith("Here is a good answer")
    assert schemas(journal) == [native(wire, CHOICE), None, native(wire, GRADE)]
    [receipt] = log.receipts
    assert outcomes(receipt) == JUDGED
    assert receipt.decision.reason.value == "chosen_by_judge"
    assert receipt.attempts[1].verdict.detail == "graded 0.9 of 1 by judge: It is true."
    assert_counted_once(receipt, journal)
    assert_heard(counter, 3)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_server_that_refuses_schemas_is_asked_in_words_from_then_on(
    provider: Provider, journal: list[Exchange], wire: str, way: str
) -> None:
    router, log = routed(provider, provider.model(f"{wire}:words-w"))
    counter = TokenCountingHandler()
    router.callback_manager = CallbackManager([counter])
    await WAYS[way](router)

    assert schemas(journal) == [native(wire, CHOICE), None, None, None]
    assert [exchange.status for exchange in journal] == [400, 200, 200, 200]
    [receipt] = log.receipts
    assert outcomes(receipt) == JUDGED
    assert receipt.decision.reason.value == "chosen_by_judge"
    assert receipt.attempts[1].verdict.code == "judge"
    assert_counted_once(receipt, journal)
    assert_heard(counter, 3)

    journal.clear()
    await WAYS[way](router)
    assert schemas(journal) == [None, None], "what the judge said of the same question is remembered"


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_a_model_that_has_no_structured_output_by_its_integrations_list_is_asked_in_words(
    provider: Provider, journal: list[Exchange], wire: str
) -> None:
    router, log = routed(provider, provider.model(f"{wire}:words-x"))
    router.chat(ASK)

    assert schemas(journal) == [None, None, None]
    assert log.receipts[0].decision.reason.value == "chosen_by_judge"


def test_an_integration_of_another_kind_is_given_no_argument_that_it_does_not_know(provider: Provider) -> None:
    class Strict(FakeLLM):
        def chat(self, messages: Any, *, max_tokens: int, **nothing: Any) -> Any:
            assert nothing == {}
            return super().chat(messages)

    said = '{"task": "facts", "difficulty": 0.3, "model": "strong", "confidence": 0.8}'
    router, log = routed(provider, Strict(model="judge", says=said), verifiers=[])
    router.chat(ASK)

    assert (log.receipts[0].decision.start, log.receipts[0].fallbacks) == ("strong", 0)


@pytest.mark.parametrize("wire", WIRES)
def test_a_judgement_that_is_none_in_spite_of_the_schema_decides_nothing(
    provider: Provider, journal: list[Exchange], wire: str
) -> None:
    router, log = routed(provider, provider.model(f"{wire}:unsure-b"))
    router.chat(ASK)

    assert schemas(journal) == [native(wire, CHOICE), None, native(wire, GRADE)]
    [receipt] = log.receipts
    assert receipt.decision.features["judge"] == "unreadable: no JSON object"
    assert receipt.attempts[1].verdict.code == "judge_silent"
    assert_counted_once(receipt, journal)


@pytest.mark.parametrize("wire", WIRES)
def test_a_judgement_that_was_cut_is_counted_as_its_provider_counts_it(
    provider: Provider, journal: list[Exchange], wire: str
) -> None:
    limit = {"additional_kwargs": {"num_predict": 2}} if wire == "ollama" else {"max_tokens": 2}
    router, log = routed(provider, provider.model(f"{wire}:judge-j", **limit))
    router.chat(ASK)

    [receipt] = log.receipts
    assert receipt.decision.features["judge"] == "unreadable: no JSON object"
    assert (receipt.attempts[0].finish_reason, receipt.attempts[0].failure) == ("length", None)
    assert_counted_once(receipt, journal)


def responses(provider: Provider, of: str, **params: Any) -> OpenAIResponses:
    shared = {"model": NAMES[of], "api_key": KEY, "max_retries": 0, "api_base": f"{provider.url}/v1"}
    return OpenAIResponses(**shared, http_client=provider._http, async_http_client=provider._ahttp, **params)


def test_openais_other_api_has_other_words_for_it(provider: Provider, journal: list[Exchange]) -> None:
    router, log = routed(provider, responses(provider, "openai:judge-j"))
    router.chat(ASK)

    assert [exchange.wire for exchange in journal] == ["responses", "openai", "responses"]
    form = {"type": "json_schema", "name": "model_choice", "schema": CHOICE, "strict": True}
    assert schemas(journal)[0] == {"format": form}
    assert [journal[0].body["max_output_tokens"], journal[2].body["max_output_tokens"]] == [120, 150]
    [receipt] = log.receipts
    assert receipt.decision.reason.value == "chosen_by_judge"
    used = [attempt.usage.total_tokens for attempt in receipt.attempts]
    assert used == [exchange.used.input + exchange.used.output for exchange in journal]


def test_a_limit_of_the_models_own_holds_for_openais_other_api_too(provider: Provider, journal: list[Exchange]) -> None:
    router, _ = routed(provider, responses(provider, "openai:judge-j", max_output_tokens=20), verifiers=[])
    router.chat(ASK)

    assert journal[0].body["max_output_tokens"] == 20
