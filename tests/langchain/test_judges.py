"""Judges and second opinions of a chat model: runs like any other, counted once, shown to nobody; and feedback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from langchain_router import ChatRouter
from router_core import Ledger, Registry
from router_core.errors import InvalidRequest
from router_core.policies import JudgePolicy
from router_core.records import Receipt
from router_core.stores import open_store
from router_core.testing import EventLog, scripted_model
from router_core.types import JUDGE_TAG
from router_core.verifiers import ConsensusVerifier, JudgeVerifier
from tests.langchain.scripted import Scripted

ASKED = "How many apples are left?"
NAMES = ("judge", "weak", "other", "strong")


def judges(messages: Any) -> str:
    """What the judge says: it sends requests to the weak model, and likes what is long."""
    if "Models, weakest first" in messages[-1].text:
        return json.dumps({"task": "sums", "difficulty": 0.3, "model": "weak", "confidence": 0.8})
    return json.dumps({"grade": 0.9 if "apples" in messages[-1].text.rpartition("grade:")[2] else 0.1, "reason": "so"})


def chosen(log: EventLog, *, other: str = "Nine apples.", **options: Any) -> tuple[ChatRouter, list[Scripted]]:
    says: dict[str, Any] = {"judge": judges, "weak": "7 apples.", "other": other, "strong": "8 apples."}
    models = [Scripted(model_id=name, says=says[name]) for name in NAMES]
    entries = [scripted_model(name, input_usd="1", output_usd="2") for name in NAMES[1:]]
    judge = scripted_model("judge", input_usd="1", output_usd="2", tags=frozenset({JUDGE_TAG}))
    given = {"policy": JudgePolicy("judge"), "verifiers": [JudgeVerifier("judge")], **options}
    return ChatRouter(models=models, registry=Registry.of([judge, *entries]), observers=[log], **given), models


async def astreamed(router: ChatRouter, config: Any) -> str:
    return "".join([chunk.text async for chunk in router.astream(ASKED, config)])


WAYS: dict[str, Callable[[ChatRouter, Any], str]] = {
    "invoke": lambda router, config: router.invoke(ASKED, config).text,
    "ainvoke": lambda router, config: asyncio.run(router.ainvoke(ASKED, config)).text,
    "stream": lambda router, config: "".join(chunk.text for chunk in router.stream(ASKED, config)),
    "astream": lambda router, config: asyncio.run(astreamed(router, config)),
}


def roles(receipt: Receipt) -> list[tuple[str, str]]:
    return [(attempt.model, attempt.role.value) for attempt in receipt.attempts]


def used(models: list[Scripted]) -> dict[str, tuple[int, int]]:
    return {each.model_id: (each.used()["input"], each.used()["output"]) for each in models if each.served}


@pytest.mark.parametrize("way", WAYS)
def test_a_judge_is_one_more_run_and_its_tokens_count_once(way: str) -> None:
    log, usage, runs = EventLog(), UsageMetadataCallbackHandler(), RunCollectorCallbackHandler()
    router, models = chosen(log)

    assert WAYS[way](router, {"callbacks": [usage, runs]}) == "7 apples."

    [receipt] = log.receipts
    assert roles(receipt) == [("judge", "policy"), ("weak", "answer"), ("judge", "judge")]
    told = {name: (each["input_tokens"], each["output_tokens"]) for name, each in usage.usage_metadata.items()}
    assert told == used(models)
    assert receipt.usage.total_tokens == sum(sum(each) for each in used(models).values())
    [run] = runs.traced_runs
    assert [child.metadata["router_attempt"] for child in run.child_runs] == [1, 2, 3]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("other", "text", "count"), [("There are **7** apples.", "7 apples.", 2), ("9", "8 apples.", 3)]
)
def test_a_second_opinion(way: str, other: str, text: str, count: int) -> None:
    log, usage = EventLog(), UsageMetadataCallbackHandler()
    router, models = chosen(log, other=other, policy=None, verifiers=[ConsensusVerifier(["weak", "other"])])

    assert WAYS[way](router, {"callbacks": [usage]}) == text

    [receipt] = log.receipts
    assert sorted(roles(receipt))[:2] == [
        ("other", "consensus"),
        ("strong", "answer") if count == 3 else ("weak", "answer"),
    ]
    assert len(receipt.attempts) == count
    told = {name: (each["input_tokens"], each["output_tokens"]) for name, each in usage.usage_metadata.items()}
    assert told == used(models)


@pytest.mark.parametrize("verifiers", [[JudgeVerifier("judge")], [ConsensusVerifier(["weak", "other"])]])
async def test_whoever_streams_events_sees_the_answer_and_nothing_else(verifiers: list[Any]) -> None:
    router, _ = chosen(EventLog(), other="7", verifiers=verifiers)
    said = [
        event["data"]["chunk"].text
        async for event in (router | RunnableLambda(lambda message: message.text)).astream_events(ASKED, version="v2")
        if event["event"] == "on_chat_model_stream"
    ]
    assert "".join(said) == "7 apples."


def test_feedback_by_the_run_of_the_router_or_of_the_chain_above_it() -> None:
    log, runs, store = EventLog(), RunCollectorCallbackHandler(), open_store("memory://")
    router, _ = chosen(log, ledger=Ledger(store))

    def twice(question: str) -> str:
        return router.invoke(question).text + router.invoke(question).text

    chain = RunnableLambda(twice)
    chain.invoke(ASKED, {"callbacks": [runs]})
    own, parent = uuid4(), runs.traced_runs[0].id
    router.invoke(ASKED, {"run_id": own})

    router.feedback(own, 0.25, "wrong number")
    router.feedback(parent, score=True)
    third = log.receipts[0].request_id

    rows = {row["request_id"]: row["feedback"] for row in store.entries()}
    assert [rows[r.request_id]["score"] for r in log.receipts] == [1.0, 1.0, 0.25]
    router.feedback(third, 0.5)
    assert {row["request_id"]: row["feedback"]["score"] for row in store.entries()}[third] == 0.5
    assert [type(event).__name__ for event in log.events].count("Feedback") == 4


@pytest.mark.parametrize("ledger", [True, False])
def test_feedback_that_cannot_be_kept_is_refused(ledger: Any) -> None:
    router, _ = chosen(EventLog(), ledger=Ledger(open_store("memory://")) if ledger else None)
    request_id = router.invoke(ASKED).response_metadata["router"]["request_id"]

    with pytest.raises(InvalidRequest, match="score: 5 is not between"):
        router.feedback(request_id, 5)
    with pytest.raises(InvalidRequest, match="request_id: 'nobody' is not among"):
        router.feedback("nobody", 1)
    router.feedback(request_id, 1)


def test_a_question_is_asked_in_the_messages_of_the_judge() -> None:
    heard: list[list[BaseMessage]] = []

    def says(messages: Any) -> str:
        heard.append(list(messages))
        return judges(messages)

    models = [Scripted(model_id="judge", says=says), Scripted(model_id="weak", says="7 apples.")]
    registry = Registry.of([scripted_model("judge", tags=frozenset({JUDGE_TAG})), scripted_model("weak")])
    router = ChatRouter(models=models, registry=registry, policy=JudgePolicy("judge"), verifiers=[])
    router.bind_tools([{"name": "count", "description": "Counts.", "parameters": {"type": "object"}}]).invoke(ASKED)

    [[rules, matter]] = heard
    assert (rules.type, matter.type) == ("system", "human")
    assert ASKED in matter.text
