"""How budgets stand in a report."""

from __future__ import annotations

from router_core.budget import Budget
from router_core.report import Figures, statuses, words
from router_core.report.machine import as_json
from router_core.stores import open_store
from tests.stores.samples import charge


def test_a_budget_stands_as_its_present_period_does() -> None:
    store = open_store("memory://")
    now = 1_764_000_000.0
    budget = Budget(name="day", limit_usd="0.000001", per="day")
    window = budget.window(now, "")
    for request, of, spent in (("a", window, 600), ("b", "2001-01-01", 900)):
        store.reserve(request, [charge(window=of)], owner="me", expires=now)
        store.settle(request, {("day", "", of): spent}, None)
    store.reserve("c", [charge(window=window)], owner="me", expires=now)

    (status,) = statuses([budget], store, now)
    (purse,) = status.purses
    assert (purse.limit, purse.spent, purse.held, purse.left) == (1_000, 600, 100, 300)
    assert words.budget_terms(status) == "$0.000001 a day, stop when exceeded"
    assert words.budget_resets(status).startswith("resets 2025-11-25 00:00 UTC")


def test_purses_stand_with_the_fullest_first_and_a_call_has_none() -> None:
    store = open_store("memory://")
    user = Budget(name="user", limit_tokens=1_000, scope="tag:user", on_exceeded="degrade")
    for key, spent in (("user:ann", 10), ("user:bob", 1_500)):
        store.reserve(key, [charge("user", key=key, window="total", unit="tokens")], owner="me", expires=9.0)
        store.settle(key, {("user", key, "total"): spent}, None)
    call = Budget(name="call", limit_usd=1, per="call")

    of_user, of_call = statuses([user, call], store, 0.0)
    assert [(purse.key, purse.left) for purse in of_user.purses] == [("user:bob", 0), ("user:ann", 990)]
    assert words.budget_terms(of_user) == "1,000 tokens in total for tag:user, degrade when exceeded"
    assert (of_call.purses, words.budget_resets(of_call)) == ((), "each call has its own")
    told = as_json(Figures(), (of_user, of_call), now=0)["budgets"]
    assert told[0]["purses"][0] == {
        "key": "user:bob",
        "window": "total",
        "limit": 1_000,
        "spent": 1_500,
        "held": 0,
        "left": 0,
    }
    assert told[1]["limit"] == "1"
