"""Budgets and receipts of a chat model: every way of asking is paid for, and none goes beyond its limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from langchain_router import ChatRouter
from router_core import Budget, Ledger, Registry
from router_core.errors import BudgetExceeded
from router_core.stores import Store, open_store
from router_core.testing import scripted_model
from tests.langchain.scripted import GOOD, IDK, Scripted


def ask(router: ChatRouter, way: str, **about: Any) -> None:
    """Ask in one of LangChain's ways."""

    async def read() -> None:
        async for _ in router.astream("What is the capital of France?", **about):
            pass

    ways: dict[str, Callable[[], Any]] = {
        "invoke": lambda: router.invoke("What is the capital of France?", **about),
        "ainvoke": lambda: asyncio.run(router.ainvoke("What is the capital of France?", **about)),
        "stream": lambda: list(router.stream("What is the capital of France?", **about)),
        "astream": lambda: asyncio.run(read()),
        "batch": lambda: router.batch(["What is the capital of France?"], **about),
    }
    ways[way]()


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def routed(store: Store, limit: str) -> tuple[ChatRouter, list[Scripted]]:
    models = [Scripted(model_id="weak", says=IDK), Scripted(model_id="strong", says=GOOD)]
    registry = Registry.of(
        [
            scripted_model("weak", input_usd="1", output_usd="2"),
            scripted_model("strong", input_usd="10", output_usd="20"),
        ]
    )
    ledger = Ledger(store, budgets=[Budget(name="daily", limit_usd=limit, per="day")])
    return ChatRouter(models=models, registry=registry, ledger=ledger), models


WAYS = ["invoke", "ainvoke", "stream", "astream", "batch"]


@pytest.mark.parametrize("way", WAYS)
def test_every_attempt_is_paid_from_the_budget_and_kept(store: Store, way: str) -> None:
    router, models = routed(store, "1")

    ask(router, way, max_tokens=100)

    (row,) = store.entries()
    spent = {each["model"]: (each["input_tokens"], each["output_tokens"]) for each in row["attempts"]}
    assert spent == {each.model_id: (each.used()["input"], each.used()["output"]) for each in models}
    (standing,) = store.standings()
    assert (standing.spent, standing.held) == (row["cost_nano"], 0)


@pytest.mark.parametrize("way", WAYS)
def test_what_does_not_fit_is_asked_of_nobody(store: Store, way: str) -> None:
    router, models = routed(store, "0.000001")

    with pytest.raises(BudgetExceeded, match="daily"):
        ask(router, way, max_tokens=1_000)

    assert [each.served for each in models] == [[], []]
    assert sum(each.spent + each.held for each in store.standings()) == 0
