"""Budgets and receipts of an LLM: every way of asking is paid for, and none goes beyond its limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate

from llamaindex_router import RouterLLM
from router_core import Budget, Ledger, Registry
from router_core.errors import BudgetExceeded
from router_core.policies import StaticPolicy
from router_core.stores import Store, open_store
from router_core.testing import scripted_model
from tests.llamaindex.fake import FakeLLM
from tests.llamaindex.library import Animal

ASK = [ChatMessage(role="user", content="What do whales sing?")]


async def aread(stream: Any) -> None:
    async for _ in await stream:
        pass


WAYS: dict[str, Callable[[RouterLLM], Any]] = {
    "chat": lambda llm: llm.chat(ASK, max_tokens=100),
    "achat": lambda llm: asyncio.run(llm.achat(ASK, max_tokens=100)),
    "stream_chat": lambda llm: list(llm.stream_chat(ASK, max_tokens=100)),
    "astream_chat": lambda llm: asyncio.run(aread(llm.astream_chat(ASK, max_tokens=100))),
    "complete": lambda llm: llm.complete("What do whales sing?", max_tokens=100),
    "structured_predict": lambda llm: llm.structured_predict(Animal, PromptTemplate("Name an animal.")),
}


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def routed(store: Store, limit: str) -> tuple[RouterLLM, list[FakeLLM]]:
    models = [FakeLLM(model="weak", says="I don't know."), FakeLLM(model="strong")]
    registry = Registry.of(
        [
            scripted_model("weak", input_usd="1", output_usd="2"),
            scripted_model("strong", input_usd="10", output_usd="20"),
        ]
    )
    ledger = Ledger(store, budgets=[Budget(name="daily", limit_usd=limit, per="day")])
    return RouterLLM(models=models, registry=registry, policy=StaticPolicy(), ledger=ledger), models


@pytest.mark.parametrize("way", WAYS)
def test_every_attempt_is_paid_from_the_budget_and_kept(store: Store, way: str) -> None:
    router, _ = routed(store, "10")

    WAYS[way](router)

    (row,) = store.entries()
    assert [each["model"] for each in row["attempts"]] == ["weak", "strong"]
    assert row["cost_nano"] == sum(each["cost_nano"] for each in row["attempts"]) > 0
    (standing,) = store.standings()
    assert (standing.spent, standing.held) == (row["cost_nano"], 0)


@pytest.mark.parametrize("way", WAYS)
def test_what_does_not_fit_is_asked_of_nobody(store: Store, way: str) -> None:
    router, models = routed(store, "0.000001")

    with pytest.raises(BudgetExceeded, match="daily"):
        WAYS[way](router)

    assert [each.log for each in models] == [[], []]
    assert sum(each.spent + each.held for each in store.standings()) == 0
