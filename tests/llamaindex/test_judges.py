"""Judges, second opinions and feedback of an LLM: every call makes its own events, and is counted once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage

from llamaindex_router import RouterLLM
from router_core import Ledger, Registry
from router_core.errors import InvalidRequest
from router_core.policies import JudgePolicy
from router_core.records import Receipt
from router_core.stores import open_store
from router_core.testing import EventLog, scripted_model
from router_core.types import JUDGE_TAG
from router_core.verifiers import ConsensusVerifier, JudgeVerifier
from tests.llamaindex.fake import FakeLLM

ASK = [ChatMessage(role="user", content="How many whales are left?")]
CHOICE = json.dumps({"task": "sums", "difficulty": 0.3, "model": "weak", "confidence": 0.8})
GRADE = json.dumps({"grade": 0.9, "reason": "so"})


async def aread(stream: Any) -> str:
    return [chunk async for chunk in await stream][-1].message.content


WAYS: dict[str, Callable[[RouterLLM], str]] = {
    "chat": lambda llm: llm.chat(ASK).message.content,
    "achat": lambda llm: asyncio.run(llm.achat(ASK)).message.content,
    "stream_chat": lambda llm: list(llm.stream_chat(ASK))[-1].message.content,
    "astream_chat": lambda llm: asyncio.run(aread(llm.astream_chat(ASK))),
    "complete": lambda llm: llm.complete(ASK[0].content).text,
}


def routed(log: EventLog, *, says: str = GRADE, other: str = "9", judged: Any = None, **options: Any) -> RouterLLM:
    names = {"judge": says, "weak": "7 whales.", "other": other, "strong": "8 whales."}
    models = [FakeLLM(model=name, says=text) for name, text in names.items()]
    entries = [scripted_model(name, input_usd="1", output_usd="2") for name in ("weak", "other", "strong")]
    judge = scripted_model("judge", input_usd="1", output_usd="2", tags=frozenset({JUDGE_TAG}))
    policy = JudgePolicy("judge") if judged else None
    return RouterLLM(models=models, policy=policy, registry=Registry.of([judge, *entries]), observers=[log], **options)


def roles(receipt: Receipt) -> list[tuple[str, str]]:
    return [(attempt.model, attempt.role.value) for attempt in receipt.attempts]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"judged": True, "verifiers": [], "says": CHOICE}, [("judge", "policy"), ("weak", "answer")]),
        ({"verifiers": [JudgeVerifier("judge")]}, [("weak", "answer"), ("judge", "judge")]),
        (
            {"verifiers": [ConsensusVerifier(["weak", "other"])], "other": "7"},
            [("other", "consensus"), ("weak", "answer")],
        ),
    ],
)
def test_each_call_is_counted_once(way: str, options: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    log, counter = EventLog(), TokenCountingHandler()
    router = routed(log, **options)
    router.callback_manager = CallbackManager([counter])

    assert WAYS[way](router) == "7 whales."

    [receipt] = log.receipts
    assert sorted(roles(receipt)) == sorted(expected)
    assert counter.total_llm_token_count == receipt.usage.total_tokens


def test_where_opinions_differ_a_stronger_one_is_asked() -> None:
    log = EventLog()
    assert routed(log, verifiers=[ConsensusVerifier(["weak", "other"])]).chat(ASK).message.content == "8 whales."
    assert roles(log.receipts[0]) == [("weak", "answer"), ("other", "consensus"), ("strong", "answer")]


@pytest.mark.parametrize("ledger", [True, False])
def test_feedback(ledger: Any) -> None:
    log, store = EventLog(), open_store("memory://")
    router = routed(log, verifiers=[], ledger=Ledger(store) if ledger else None)
    request_id = router.chat(ASK).additional_kwargs["router"]["request_id"]

    router.feedback(request_id, 0.75, "nearly")

    assert [row["feedback"]["comment"] for row in store.entries()] == ["nearly"] * ledger
    assert type(log.events[-1]).__name__ == "Feedback"
    with pytest.raises(InvalidRequest, match="score: 5 is not between"):
        router.feedback(request_id, 5)
    with pytest.raises(InvalidRequest, match="'nobody' is not among"):
        router.feedback("nobody", 1)
