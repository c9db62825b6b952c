"""Receipts that are kept and budgets that hold, over all four drivers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from router_core import Router
from router_core.budget import Budget
from router_core.effects import CallModel
from router_core.errors import AllAttemptsFailed, BudgetExceeded, ConfigError, StoreError
from router_core.events import BudgetReached, Settled
from router_core.hosts.chat import ChatPayload
from router_core.ledger import Ledger
from router_core.records import Reason, ReceiptOutcome
from router_core.stores import Store, open_store
from router_core.testing import ScriptedHost, scripted_model
from router_core.types import Price, Reply, Usage
from tests.drive.conftest import STRONG, WEAK, Driver


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


def daily(limit: str, **about: Any) -> Budget:
    return Budget(**{"name": "daily", "limit_usd": limit, "per": "day", **about})


def standing(store: Store, budget: str = "daily") -> tuple[int, int]:
    """What is spent and held."""
    found = store.standings(budget)
    return sum(each.spent for each in found), sum(each.held for each in found)


async def test_a_receipt_is_kept_and_what_was_held_is_what_was_spent(
    driver: Driver, router_of: Callable[..., Router], store: Store
) -> None:
    host = ScriptedHost.saying({"weak": "bad", "strong": "good"})
    router = router_of(host, ledger=Ledger(store, budgets=[daily("1")]))

    told = await driver.ask(router, max_tokens=100)

    (row,) = store.entries()
    assert row["request_id"] == told.receipt.request_id
    assert [each["model"] for each in row["attempts"]] == ["weak", "strong"]
    assert [each["cost_nano"] for each in row["attempts"]] == [each.cost_nano for each in told.receipt.attempts]
    assert standing(store) == (told.receipt.cost_nano, 0)
    assert store.verify() == []


async def test_a_request_that_does_not_fit_calls_no_model_and_says_why(
    driver: Driver, router_of: Callable[..., Router], store: Store
) -> None:
    host = ScriptedHost.saying({"weak": "good", "strong": "good"})
    router = router_of(host, ledger=Ledger(store, budgets=[daily("0.0001")]))

    told = await driver.ask(router, max_tokens=1_000)

    assert isinstance(told.error, BudgetExceeded)
    assert "daily" in str(told.error)
    assert "limit $0.0001, spent $0" in str(told.error)
    assert "resets" in str(told.error)
    assert host.calls == []
    assert told.receipt.outcome is ReceiptOutcome.REFUSED
    assert standing(store) == (0, 0)


async def test_answers_are_limited_to_what_is_left_where_that_is_enough(
    driver: Driver, router_of: Callable[..., Router], store: Store
) -> None:
    limits = []

    def say(effect: CallModel, _payload: ChatPayload) -> str:
        limits.append(effect.max_tokens)
        return "good"

    router = router_of(ScriptedHost(say), [WEAK], ledger=Ledger(store, budgets=[daily("0.0015")]))
    await driver.ask(router, max_tokens=1_000)

    (most,) = limits
    assert most is not None
    # A dollar buys a million tokens of input and half as many of output, and the call may have to be repeated once.
    assert 256 <= most <= 375


async def test_a_budget_that_degrades_goes_on_with_the_cheapest_model(
    driver: Driver, router_of: Callable[..., Router], store: Store
) -> None:
    host = ScriptedHost.saying({"weak": "bad", "strong": "good"})
    router = router_of(host, ledger=Ledger(store, budgets=[daily("0.01", on_exceeded="degrade")]))

    told = await driver.ask(router, max_tokens=1_000)

    assert told.text == "bad"
    assert told.receipt.decision is not None
    assert told.receipt.decision.reason is Reason.BUDGET
    assert told.receipt.decision.ladder == ("weak",)
    assert sum(standing(store)) <= 10_000_000


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_budget_that_asks_goes_on_if_it_is_told_to(
    driver: Driver, router_of: Callable[..., Router], store: Store, *, allowed: bool
) -> None:
    asked: list[BudgetExceeded] = []

    def ask(error: BudgetExceeded) -> bool:
        asked.append(error)
        return allowed

    host = ScriptedHost.saying({"weak": "good", "strong": "good"})
    router = router_of(host, ledger=Ledger(store, budgets=[daily("0.0001", on_exceeded="ask")], ask=ask))
    told = await driver.ask(router, max_tokens=1_000)

    assert len(asked) == 1
    assert (told.error is None) is allowed
    assert standing(store) == ((told.receipt.cost_nano or 0), 0)


async def test_all_budgets_must_hold_or_none_holds_anything(
    driver: Driver, router_of: Callable[..., Router], store: Store
) -> None:
    budgets = [daily("1"), Budget(name="tokens", limit_tokens=10, per="call")]
    router = router_of(ScriptedHost.saying({"weak": "good"}), [WEAK], ledger=Ledger(store, budgets=budgets))

    told = await driver.ask(router, max_tokens=1_000)

    assert isinstance(told.error, BudgetExceeded)
    assert [shortfall.charge.budget for shortfall in told.error.shortfalls] == ["tokens"]
    assert standing(store) == (0, 0)


async def test_calls_that_fail_are_settled_too(driver: Driver, router_of: Callable[..., Router], store: Store) -> None:
    host = ScriptedHost.saying({"weak": ConnectionError("gone"), "strong": ConnectionError("gone")})
    router = router_of(host, ledger=Ledger(store, budgets=[daily("1")]))

    told = await driver.ask(router, max_tokens=10)

    assert isinstance(told.error, AllAttemptsFailed)
    assert standing(store) == (told.receipt.cost_nano, 0)
    (row,) = store.entries()
    assert row["outcome"] == "failed"


async def test_a_model_without_a_price_is_refused(
    driver: Driver, router_of: Callable[..., Router], store: Store
) -> None:
    unpriced = replace(WEAK, price=None)
    host = ScriptedHost.saying({"weak": "good"})
    router = router_of(host, [unpriced], ledger=Ledger(store, budgets=[daily("1")]))

    told = await driver.ask(router)

    assert isinstance(told.error, ConfigError)
    assert "'weak' has no known price" in str(told.error)
    assert host.calls == []


class Broken:
    """A store that is not there."""

    def __getattr__(self, name: str) -> Any:
        def fail(*_: Any, **__: Any) -> Any:
            raise StoreError("sqlite:///gone.db", "it is gone", "bring it back")

        if name == "reclaim":
            return lambda _now: 0
        return fail


async def test_a_store_that_cannot_be_used_stops_the_request_before_a_model_is_called(
    driver: Driver, router_of: Callable[..., Router]
) -> None:
    host = ScriptedHost.saying({"weak": "good"})
    router = router_of(host, [WEAK], ledger=Ledger(Broken(), budgets=[daily("1")]))  # type: ignore[arg-type]

    told = await driver.ask(router)

    assert isinstance(told.error, StoreError)
    assert host.calls == []


async def test_or_the_loss_is_counted_if_that_was_chosen(driver: Driver, router_of: Callable[..., Router]) -> None:
    ledger = Ledger(Broken(), budgets=[daily("1")], on_store_error="warn")  # type: ignore[arg-type]
    router = router_of(ScriptedHost.saying({"weak": "good"}), [WEAK], ledger=ledger)

    told = await driver.ask(router)

    assert told.text == "good"
    assert ledger.lost == 1
    assert "lost=1" in repr(ledger)


async def test_what_is_set_in_the_store_holds_instead_of_what_was_given(
    driver: Driver, router_of: Callable[..., Router], store: Store
) -> None:
    store.save_budget("daily", {"limit_tokens": 5})
    store.save_budget("gone", {"top_ups": [["", "total", 100]]})
    router = router_of(ScriptedHost.saying({"weak": "good"}), [WEAK], ledger=Ledger(store, budgets=[daily("1")]))

    told = await driver.ask(router, max_tokens=10)

    assert isinstance(told.error, BudgetExceeded)
    assert "limit 5 tokens" in str(told.error)


async def test_a_top_up_is_known_at_once_to_whoever_would_be_refused(
    driver: Driver, router_of: Callable[..., Router], store: Store
) -> None:
    ledger = Ledger(store, budgets=[daily("0.000001", per="total")])
    router = router_of(ScriptedHost.saying({"weak": "good"}), [WEAK], ledger=ledger)
    assert isinstance((await driver.ask(router, max_tokens=10)).error, BudgetExceeded)

    (budget,) = ledger.budgets
    extra = budget.topped_up("", "total", 1_000_000_000).definition()["top_ups"]
    store.save_budget("daily", {"top_ups": extra})

    assert (await driver.ask(router, max_tokens=10)).text == "good"


async def test_what_is_free_goes_on_when_a_budget_is_spent(
    driver: Driver, router_of: Callable[..., Router], store: Store
) -> None:
    ledger = Ledger(store, budgets=[daily("0")])
    free = replace(WEAK, price=Price.free())

    assert (await driver.ask(router_of(ScriptedHost.saying({"weak": "good"}), [free], ledger=ledger))).text == "good"
    refused = await driver.ask(router_of(ScriptedHost.saying({"weak": "good"}), [WEAK], ledger=ledger))
    assert isinstance(refused.error, BudgetExceeded)


async def test_each_threshold_of_a_budget_is_told_once(
    driver: Driver, router_of: Callable[..., Router], store: Store
) -> None:
    alerts: list[BudgetReached] = []
    ledger = Ledger(store, budgets=[Budget(name="tokens", limit_tokens=1_000)], alert=alerts.append)
    reply = Reply(text="good", usage=Usage(input_tokens=90, output_tokens=10))
    router = router_of(ScriptedHost.saying({"weak": reply}), [WEAK], ledger=ledger)

    for _ in range(10):
        await driver.ask(router, max_tokens=10)

    assert [(each.percent, each.spent, each.limit) for each in alerts] == [
        (50, 500, 1_000),
        (80, 800, 1_000),
        (100, 1_000, 1_000),
    ]
    assert "the budget 'tokens' (total) has reached 80 %: 800 tokens of 1000 tokens spent" in map(str, alerts)
    events = driver.log.events
    assert [event for event in events if isinstance(event, BudgetReached)] == alerts
    assert all(isinstance(events[events.index(alert) + 1], Settled) for alert in alerts)
    assert isinstance((await driver.ask(router, max_tokens=10)).error, BudgetExceeded)


async def test_fifty_callers_at_once_never_spend_more_than_there_is(store: Store) -> None:
    overlap = asyncio.Barrier(10)

    class Slow(ScriptedHost):
        async def acall(self, effect: CallModel, payload: ChatPayload) -> Any:
            held = standing(store)
            assert sum(held) <= 20_000_000
            if not overlap.broken:
                try:
                    await asyncio.wait_for(overlap.wait(), 0.05)
                except (TimeoutError, asyncio.BrokenBarrierError):
                    await overlap.abort()
            return self.call(effect, payload)

    model = scripted_model("one", input_usd="100", output_usd="200")
    router = Router(
        [model], host=Slow.saying({"one": "good"}), verifiers=[], ledger=Ledger(store, budgets=[daily("0.02")])
    )
    told = await asyncio.gather(
        *(router.acomplete("What is it?", max_tokens=5) for _ in range(50)), return_exceptions=True
    )

    refused = [each for each in told if isinstance(each, BudgetExceeded)]
    answered = [each for each in told if not isinstance(each, BaseException)]
    assert len(refused) + len(answered) == 50
    assert answered
    spent, held = standing(store)
    assert held == 0
    assert spent == sum(int((each.cost_usd or Decimal(0)) * 1_000_000_000) for each in answered) <= 20_000_000


async def test_a_task_that_is_cancelled_has_spent_its_input_at_least(store: Store) -> None:
    called = asyncio.Event()

    class Endless(ScriptedHost):
        async def acall(self, _effect: CallModel, _payload: ChatPayload) -> Any:
            called.set()
            await asyncio.Event().wait()

    router = Router([WEAK], host=Endless.saying({"weak": "good"}), ledger=Ledger(store, budgets=[daily("1")]))
    task = asyncio.create_task(router.acomplete("What is it?", max_tokens=5))
    await called.wait()
    assert standing(store)[1] > 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    spent, held = standing(store)
    assert held == 0
    assert spent > 0
    (row,) = store.entries()
    assert row["outcome"] == "cancelled"


def test_explaining_a_decision_holds_nothing_and_keeps_no_receipt(store: Store) -> None:
    router = Router([WEAK, STRONG], host=ScriptedHost.saying({}), ledger=Ledger(store, budgets=[daily("1")]))

    router.explain("What is it?")

    assert list(store.entries()) == []
    assert store.standings() == []


@pytest.mark.parametrize(
    ("mode", "redact", "prompt"),
    [
        ("off", None, None),
        ("full", None, "What is it?"),
        ("full", lambda text: text.replace("it", "[hidden]"), "What is [hidden]?"),
        ("hash", None, None),
    ],
)
def test_texts_are_kept_as_was_asked_for(
    store: Store, mode: Any, redact: Callable[[str], str] | None, prompt: str | None
) -> None:
    ledger = Ledger(store, store_text=mode, redact=redact)
    Router([WEAK], host=ScriptedHost.saying({"weak": "good"}), ledger=ledger).complete("What is it?")

    (row,) = store.entries()
    if mode == "hash":
        assert len(row["prompt"]) == 64
        assert "What" not in row["prompt"]
    else:
        assert row["prompt"] == prompt


def test_two_budgets_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="not all different"):
        Ledger("memory://", budgets=[daily("1"), daily("2")])
