"""The schema of a judge's question, as a server is sent it, and what follows if the server will not have it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from router_core import Price, Registry, Router
from router_core.policies import JudgePolicy
from router_core.records import Receipt
from router_core.registry import Endpoint
from router_core.types import DEFAULT_CAPABILITIES, JUDGE_TAG, Capability, Model
from router_core.verifiers import JudgeVerifier
from tests.servers.provider import Exchange, ProviderServer

ASK = "What is the capital of France?"
CHOICE = {
    "type": "json_schema",
    "json_schema": {
        "name": "model_choice",
        "strict": True,
        "schema": {
            "title": "model_choice",
            "type": "object",
            "properties": {
                "task": {"type": "string"},
                "difficulty": {"type": "number"},
                "model": {"type": "string", "enum": ["good-a", "good-b"]},
                "confidence": {"type": "number"},
            },
            "required": ["task", "difficulty", "model", "confidence"],
            "additionalProperties": False,
        },
    },
}
GRADE = {
    "type": "json_schema",
    "json_schema": {
        "name": "grading",
        "strict": True,
        "schema": {
            "title": "grading",
            "type": "object",
            "properties": {"grade": {"type": "number"}, "reason": {"type": "string"}},
            "required": ["grade", "reason"],
            "additionalProperties": False,
        },
    },
}


async def acomplete(router: Router) -> Receipt:
    answer = await router.acomplete(ASK)
    await router.aclose()
    return answer.receipt


def streamed(router: Router) -> Receipt:
    stream = router.stream(ASK)
    list(stream)
    return stream.answer.receipt


WAYS: dict[str, Callable[[Router], Receipt]] = {
    "complete": lambda router: router.complete(ASK).receipt,
    "acomplete": lambda router: asyncio.run(acomplete(router)),
    "stream": streamed,
}


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    server = ProviderServer()
    yield server
    server.shut_down()


@pytest.fixture
def routed(server: ProviderServer) -> Iterator[Callable[..., Router]]:
    """Makes routers with a judge of this name, over a journal that is empty."""
    made: list[Router] = []
    server.journal.clear()

    def make(judge: str, **fields: Any) -> Router:
        entries = [entry(name) for name in ("good-a", "good-b")]
        judging = replace(entry(judge), tags=frozenset({JUDGE_TAG}), **fields)
        endpoint = Endpoint(name="here", base_url=f"{server.url}/v1", provider="here", timeout_s=10.0)
        registry = Registry((judging, *entries), {"here": endpoint})
        made.append(Router(registry, policy=JudgePolicy(judge), verifiers=[JudgeVerifier(judge)]))
        return made[-1]

    yield make
    for router in made:
        router.close()


def entry(name: str) -> Model:
    price = Price(input=Decimal(1), output=Decimal(2))
    return Model(name=name, id=name, provider="here", endpoint="here", price=price)


def formats(exchanges: Sequence[Exchange]) -> list[Any]:
    return [exchange.body.get("response_format") for exchange in exchanges]


def true(exchanges: Sequence[Exchange]) -> list[tuple[int, int, bool]]:
    return [(each.used.input, each.used.output, False) for each in exchanges if each.status == 200]


def booked(receipt: Receipt) -> list[tuple[int, int, bool]]:
    used = [attempt.usage for attempt in receipt.attempts]
    return [(usage.input_tokens, usage.output_tokens, usage.estimated) for usage in used]


@pytest.mark.parametrize("way", WAYS)
def test_a_judge_is_sent_the_schema_of_what_it_is_to_say(server: ProviderServer, routed: Any, way: str) -> None:
    receipt = WAYS[way](routed("judge-j"))

    assert formats(server.journal) == [CHOICE, None, GRADE]
    assert receipt.decision.reason.value == "chosen_by_judge"
    assert receipt.attempts[1].verdict.code == "judge"
    assert booked(receipt) == true(server.journal)


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_refuses_schemas_is_asked_in_words_from_then_on(
    server: ProviderServer, routed: Any, way: str
) -> None:
    router = routed("words-w")
    first = WAYS[way](router)

    assert formats(server.journal) == [CHOICE, None, None, None], "what is known of the model holds for both judges"
    assert [exchange.status for exchange in server.journal] == [400, 200, 200, 200]
    assert [attempt.outcome.value for attempt in first.attempts] == ["consulted", "accepted", "consulted"]
    assert first.decision.reason.value == "chosen_by_judge"
    assert first.attempts[1].verdict.code == "judge"
    assert booked(first) == true(server.journal)

    server.journal.clear()
    router.complete("And that of Spain?")
    assert formats(server.journal) == [None, None, None]


def test_a_model_without_structured_output_is_never_sent_a_schema(server: ProviderServer, routed: Any) -> None:
    capabilities = DEFAULT_CAPABILITIES - {Capability.STRUCTURED_OUTPUT}
    receipt = routed("words-w", capabilities=capabilities).complete(ASK).receipt

    assert formats(server.journal) == [None, None, None]
    assert receipt.decision.reason.value == "chosen_by_judge"


def test_a_judgement_that_is_none_in_spite_of_the_schema_decides_nothing(server: ProviderServer, routed: Any) -> None:
    receipt = routed("unsure-b").complete(ASK).receipt

    assert formats(server.journal) == [CHOICE, None, GRADE]
    assert receipt.decision.features["judge"] == "unreadable: no JSON object"
    assert receipt.attempts[1].verdict.code == "judge_silent"
    assert booked(receipt) == true(server.journal)


@pytest.mark.parametrize(("judge", "failure"), [("down-d", "overloaded"), ("limited-e", "rate_limited")])
def test_another_failure_is_no_refusal_of_the_schema(
    server: ProviderServer, routed: Any, judge: str, failure: str
) -> None:
    router = routed(judge)
    for _ in range(2):
        receipt = router.complete(ASK).receipt
        assert [attempt.failure for attempt in receipt.attempts] == [failure, None, failure]

    assert formats(server.journal) == [CHOICE, None, GRADE] * 2, "asked once each, and with the schema again"


def test_a_refusal_that_words_do_not_mend_is_not_laid_to_the_schema(wire: Any) -> None:
    """Such as that of a filter, or of an account without credit: the next request is sent the schema again."""

    def script(request: Any) -> None:
        if request.body["model"] == "judge-j":
            request.answer({"error": {"message": "Your request was refused."}}, status=400)
        else:
            request.answer({"choices": [{"index": 0, "message": {"content": "Paris."}, "finish_reason": "stop"}]})

    wire.script = script
    endpoint = Endpoint(name="here", base_url=f"{wire.url}/v1", provider="here", timeout_s=10.0)
    judging = replace(entry("judge-j"), tags=frozenset({JUDGE_TAG}))
    registry = Registry((judging, entry("good-a"), entry("good-b")), {"here": endpoint})
    router = Router(registry, policy=JudgePolicy("judge-j"), verifiers=[])

    for question in ("Capital?", "Capital of Peru?"):
        judged = router.complete(question).receipt.attempts[0]
        assert (judged.failure, judged.cost_nano) == ("bad_request", 0)
    router.close()

    sent = [request.body.get("response_format") for request in wire.requests if request.body["model"] == "judge-j"]
    assert sent == [CHOICE, None, CHOICE, None]
