"""Budgets: periods, scopes, and a worst case that is one."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.budget import UNBOUNDED_OUTPUT, Budget, Plan, TopUp, charges_of, overlaid, plan_call, spent_of
from router_core.errors import ConfigError
from router_core.prices import PriceBook
from router_core.records import Attempt, AttemptOutcome
from router_core.types import Capability, Model, Price, RequestView, Turn, Usage

NOW = datetime(2026, 11, 25, 23, 30, tzinfo=UTC).timestamp()
"""A Wednesday, half an hour before midnight in London, and half an hour past it in Madrid."""

BOOK = PriceBook(lambda: datetime(2026, 11, 25, tzinfo=UTC))


def model(name: str = "m", **about: object) -> Model:
    writes = {"cache_write": Decimal("1.25"), "cache_write_1h": Decimal(2)}
    price = Price(input=Decimal(1), output=Decimal(4), cache_read=Decimal("0.1"), **writes)
    return Model(**{"name": name, "id": name, "provider": "p", "endpoint": "p", "price": price, **about})


def view(**about: object) -> RequestView:
    return RequestView(**{"turns": (Turn("user", "hello"),), "input_bytes": 1_000, **about})


def attempt(name: str = "m", cost: int | None = 7, usage: Usage | None = None) -> Attempt:
    return Attempt(1, name, "p", AttemptOutcome.ACCEPTED, 0.1, usage=usage, cost_nano=cost)


@pytest.mark.parametrize(
    ("per", "zone", "start", "window", "reset"),
    [
        ("day", "UTC", 1, "2026-11-25", "2026-11-26"),
        ("day", "Europe/Madrid", 1, "2026-11-26", "2026-11-27"),
        ("week", "UTC", 1, "2026-11-23", "2026-11-30"),
        ("month", "UTC", 1, "2026-11-01", "2026-12-01"),
        ("month", "UTC", 28, "2026-10-28", "2026-11-28"),
        ("month", "Europe/Madrid", 26, "2026-11-26", "2026-12-26"),
    ],
)
def test_a_period_begins_where_its_time_zone_says(per: str, zone: str, start: int, window: str, reset: str) -> None:
    budget = Budget(name="b", limit_usd=1, per=per, timezone=zone, month_start=start)

    assert budget.window(NOW, "request") == window
    assert budget.resets_at(NOW) == datetime.fromisoformat(reset).replace(tzinfo=ZoneInfo(zone))


def test_a_call_is_a_period_of_its_own_and_all_time_one_without_end() -> None:
    assert Budget(name="b", limit_usd=1, per="call").window(NOW, "request") == "request"
    assert Budget(name="b", limit_usd=1).window(NOW, "request") == "total"
    assert Budget(name="b", limit_usd=1).resets_at(NOW) is None


@given(now=st.floats(0, 4e9), start=st.integers(1, 28))
def test_every_moment_lies_in_its_period(now: float, start: int) -> None:
    for per in ("day", "week", "month"):
        budget = Budget(name="b", limit_usd=1, per=per, timezone="America/New_York", month_start=start)
        begins = datetime.fromisoformat(budget.window(now, "")).replace(tzinfo=ZoneInfo("America/New_York"))
        ends = budget.resets_at(now)
        assert ends is not None
        assert begins.timestamp() <= now < ends.timestamp()
        assert budget.window(ends.timestamp(), "") == ends.date().isoformat()


@pytest.mark.parametrize(
    ("scope", "keys"),
    [
        ("all", ("",)),
        ("session", ("s1",)),
        ("tag:user", ("user:ada", "user:bob")),
        ("tag:user:ada", ("user:ada",)),
        ("tag:vip", ("vip",)),
        ("tag:team", ()),
        ("model:m", ("",)),
    ],
)
def test_a_scope_tells_whose_purse_pays(scope: str, keys: tuple[str, ...]) -> None:
    request = view(session="s1", tags=frozenset({"user:ada", "user:bob", "vip", "username"}))

    assert Budget(name="b", limit_usd=1, scope=scope).keys(request) == keys


def test_who_has_no_session_is_not_bound_by_the_budget_of_sessions() -> None:
    assert Budget(name="b", limit_usd=1, scope="session").keys(view()) == ()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"limit_usd": None}, "limit_usd or limit_tokens"),
        ({"limit_tokens": 5}, "limit_usd or limit_tokens"),
        ({"limit_usd": "-1"}, "below 0"),
        ({"limit_usd": "five"}, "'five'"),
        ({"per": "year"}, "'year'"),
        ({"scope": "tag:"}, "'tag:'"),
        ({"scope": "users"}, "'users'"),
        ({"on_exceeded": "explode"}, "'explode'"),
        ({"month_start": 31}, "31"),
        ({"timezone": "Mars/Olympus"}, "'Mars/Olympus'"),
        ({"name": ""}, "name"),
    ],
)
def test_a_wrong_field_is_named(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named.replace("(", r"\(")):
        Budget(**{"name": "b", "limit_usd": "1", **wrong})


def test_a_limit_is_exact_whatever_it_is_written_as() -> None:
    assert Budget(name="b", limit_usd=0.1).limit == Budget(name="b", limit_usd="0.1").limit == 100_000_000


@given(
    given_tokens=st.integers(0, 1_000),
    made=st.integers(0, 500),
    read=st.integers(0, 1_000),
    written=st.integers(0, 1_000),
    hour=st.integers(0, 1_000),
)
def test_no_call_costs_more_than_its_worst_case(
    given_tokens: int, made: int, read: int, written: int, hour: int
) -> None:
    read = min(read, given_tokens)
    written = min(written, given_tokens - read)
    planned = plan_call(model(), view(max_tokens=500), BOOK)
    usage = Usage(
        input_tokens=given_tokens,
        output_tokens=made,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=min(hour, written),
    )
    cost = BOOK.cost(model(), usage)

    assert planned.nano is not None
    assert cost is not None
    assert cost.nano <= planned.nano
    assert usage.total_tokens <= planned.tokens
    assert (planned.floor_nano or 0) <= planned.nano


def test_the_worst_case_of_a_request_with_audio_is_that_all_of_it_is_audio() -> None:
    flash = model(id="gemini-2.5-flash", provider="google", price=None)
    heard = (frozenset(), frozenset({Capability.AUDIO}))
    text, audio = (plan_call(flash, view(max_tokens=0, modalities=kinds), BOOK).nano for kinds in heard)
    assert (text, audio) == (1_000 * 300, 1_000 * 1_000)


def test_an_answer_without_a_limit_is_given_one_for_a_hold_must_be_a_bound() -> None:
    assert plan_call(model(), view(), BOOK).max_tokens == UNBOUNDED_OUTPUT
    assert plan_call(model(), view(max_tokens=100), BOOK).max_tokens is None
    assert plan_call(model(max_output_tokens=200), view(), BOOK).max_tokens is None
    assert plan_call(model(), view(max_tokens=100), BOOK, most=40).max_tokens == 40
    assert plan_call(model(), view(max_tokens=100), BOOK, most=400).max_tokens is None


def test_a_budget_of_one_model_holds_its_calls_only() -> None:
    plan = [plan_call(model(name), view(max_tokens=10), BOOK) for name in ("weak", "strong")]
    both, one, none = (
        Budget(name=name, limit_usd=1, scope=scope)
        for name, scope in (("both", "all"), ("one", "model:strong"), ("none", "model:other"))
    )
    charges = charges_of([both, one, none], view(), Plan(tuple(plan)), NOW, "r")

    assert {charge.budget: charge.amount for charge in charges} == {
        "both": (plan[0].nano or 0) + (plan[1].nano or 0),
        "one": plan[1].nano,
    }


def test_the_worst_of_a_few_calls_is_that_of_each_unit() -> None:
    """The dearest call is not the one with the most tokens."""
    free = replace(model("free"), price=Price.free())
    calls = tuple(plan_call(each, view(), BOOK) for each in (free, model("dear", max_output_tokens=50)))
    money, tokens = Budget(name="money", limit_usd=1), Budget(name="tokens", limit_tokens=10_000)

    def held(**plan: Any) -> list[int]:
        return [charge.amount for charge in charges_of([money, tokens], view(), Plan(calls, **plan), NOW, "r")]

    (cheap, long), (dear, short) = ((call.nano or 0, call.tokens) for call in calls)
    assert cheap < dear
    assert short < long
    assert held(most=1) == [dear, long]
    assert held(repeats=2) == [cheap + 3 * dear, 3 * long + short]
    assert held(repeats=2, most=2) == [2 * dear, 2 * long]
    assert held(most=1, asides=(calls[0], calls[1])) == [2 * dear + cheap, 2 * long + short]


def test_a_model_without_a_price_cannot_be_paid_from_dollars_but_from_tokens() -> None:
    plan = [plan_call(model(price=None, provider="nobody"), view(max_tokens=10), BOOK)]

    with pytest.raises(ValueError, match="'m' has no known price"):
        charges_of([Budget(name="b", limit_usd=1)], view(), Plan(tuple(plan)), NOW, "r")
    (charge,) = charges_of([Budget(name="b", limit_tokens=5_000)], view(), Plan(tuple(plan)), NOW, "r")
    assert charge.amount == 1_010


def test_every_attempt_is_spent_and_an_unknown_cost_is_all_that_was_held() -> None:
    budget = Budget(name="b", limit_usd=1)
    (charge,) = charges_of([budget], view(), Plan((plan_call(model(), view(max_tokens=10), BOOK),)), NOW, "r")
    names = {"b": budget}

    assert spent_of(names, [charge], [attempt(cost=7), attempt(cost=5)]) == {charge.scope: 12}
    assert spent_of(names, [charge], []) == {charge.scope: 0}
    assert spent_of(names, [charge], [attempt(cost=7), attempt(cost=None)]) == {charge.scope: charge.amount}
    tokens = Budget(name="b", limit_tokens=100)
    usage = Usage(input_tokens=3, output_tokens=4)
    held = charge._replace(unit="tokens")
    assert spent_of({"b": tokens}, [held], [attempt(usage=usage), attempt(usage=None)]) == {held.scope: 7}


def test_the_floor_is_never_above_what_is_held() -> None:
    free = replace(model(), price=Price.free())
    (charge,) = charges_of([Budget(name="b", limit_usd=1)], view(), Plan((plan_call(free, view(), BOOK),)), NOW, "r")

    assert (charge.amount, charge.floor) == (0, 0)


# ------------------------------------------------------------------------------------- definitions, overlays, top-ups

AMOUNTS = (
    st.decimals(0, 10**9, places=9).map(str) | st.integers(0, 10**6) | st.floats(0, 1e6).map(lambda x: round(x, 9))
)
OTHERS = {
    "per": st.sampled_from(["call", "day", "week", "month", "total"]),
    "scope": st.sampled_from(["all", "session", "tag:user", "model:m", "provider:p"]),
    "on_exceeded": st.sampled_from(["stop", "degrade", "ask"]),
    "timezone": st.sampled_from(["UTC", "Europe/Madrid", "America/New_York"]),
    "month_start": st.integers(1, 28),
    "thresholds": st.lists(st.integers(1, 200), max_size=3).map(tuple),
}
KEYS, WINDOWS = st.sampled_from(["", "user:ada", "s1"]), st.sampled_from(["total", "2026-11-25", "2026-11-01"])
TOP_UPS = st.lists(
    st.builds(TopUp, KEYS, WINDOWS, st.integers(1, 10**12), st.sampled_from(["nano", "tokens"])), max_size=4
).map(tuple)


@st.composite
def settings_of(draw: st.DrawFn, *, limit: bool = True) -> dict[str, Any]:
    """Fields of a budget, any of them; a limit is among them, or may be."""
    chosen = draw(st.fixed_dictionaries({}, optional={**OTHERS, "top_ups": TOP_UPS}))
    if limit or draw(st.booleans()):
        chosen.update(
            draw(st.fixed_dictionaries({"limit_usd": AMOUNTS}) | st.just({"limit_tokens": draw(st.integers(0, 10**9))}))
        )
    return chosen


def as_json(chosen: dict[str, Any]) -> dict[str, Any]:
    """Fields as a store has them."""
    text: dict[str, Any] = json.loads(json.dumps(chosen))
    return text


def told(budget: Budget) -> dict[str, Any]:
    """All that a budget says, its limit in whole units."""
    shown = {field.name: getattr(budget, field.name) for field in fields(budget)}
    del shown["limit_usd"], shown["limit_tokens"]
    return {**shown, "unit": budget.unit}


@given(settings_of())
def test_a_definition_makes_the_budget_again(chosen: dict[str, Any]) -> None:
    budget = Budget(name="b", **chosen)
    again = Budget.from_definition("b", as_json(budget.definition()))

    assert told(again) == told(budget)
    assert again.definition() == budget.definition()


@given(settings_of(), settings_of(limit=False))
def test_what_the_store_says_holds_and_what_it_does_not_say_stays(
    given_: dict[str, Any], saved: dict[str, Any]
) -> None:
    budget = Budget(name="b", **given_)
    (held,) = overlaid([budget], {"b": as_json(saved)})

    limits = {"limit_usd", "limit_tokens"}
    source = {**{k: v for k, v in given_.items() if k not in limits or not limits & saved.keys()}, **saved}
    assert told(held) == told(Budget(name="b", **source))


@given(st.lists(settings_of(), max_size=3), settings_of(limit=False))
def test_budgets_of_the_store_stand_beside_those_that_are_given(
    given_: list[dict[str, Any]], saved: dict[str, Any]
) -> None:
    budgets = tuple(Budget(name=f"b{number}", **chosen) for number, chosen in enumerate(given_))
    held = overlaid(budgets, {"other": as_json(saved)})

    assert [told(each) for each in held[: len(budgets)]] == [told(each) for each in budgets]
    # What the store keeps of a budget that has no limit any more changes nothing.
    assert [each.name for each in held[len(budgets) :]] == ["other"] * bool(
        {"limit_usd", "limit_tokens"} & saved.keys()
    )


@given(settings_of(), KEYS, WINDOWS, st.lists(st.integers(1, 10**12), max_size=3))
def test_a_top_up_adds_to_one_purse_alone(chosen: dict[str, Any], key: str, window: str, amounts: list[int]) -> None:
    before = budget = Budget(name="b", **chosen)
    for units in amounts:
        budget = budget.topped_up(key, window, units)
    budget = Budget.from_definition("b", as_json(budget.definition()))

    assert budget.limit == before.limit
    for other_key in ("", "user:ada", "s1"):
        for other in ("total", "2026-11-25", "2026-11-01"):
            more = sum(amounts) if (other_key, other) == (key, window) else 0
            assert budget.limit_of(other_key, other) == before.limit_of(other_key, other) + more


def test_a_budget_whose_unit_is_changed_has_no_top_up_of_the_other() -> None:
    dollars = Budget(name="b", limit_usd=1).topped_up("", "total", 10**9)
    (tokens,) = overlaid([dollars], {"b": {"limit_tokens": 50}})

    assert tokens.limit_of("", "total") == 50
    assert dollars.limit_of("", "total") == 2 * 10**9


@given(units=st.integers(-5, 0))
def test_less_is_no_top_up(units: int) -> None:
    with pytest.raises(ConfigError, match=f"{units} is no top-up; give an amount above 0"):
        Budget(name="b", limit_usd=1).topped_up("", "total", units)


@given(settings_of())
def test_a_top_up_raises_what_a_request_is_held_against(chosen: dict[str, Any]) -> None:
    budget = Budget(name="b", **{**chosen, "scope": "all", "per": "day", "top_ups": ()})
    plan = [plan_call(model(), view(max_tokens=10), BOOK)]
    (before,) = charges_of([budget], view(), Plan(tuple(plan)), NOW, "r")
    (after,) = charges_of([budget.topped_up("", before.window, 7)], view(), Plan(tuple(plan)), NOW, "r")

    assert after == before._replace(limit=before.limit + 7)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*OTHERS, "limit_usd", "limit_tokens", "top_ups", "colour"]), JSON, max_size=4))
def test_whatever_a_store_says_of_a_budget_is_one_or_a_clear_error(definition: dict[str, Any]) -> None:
    made = made_or_told(definition)
    if isinstance(made, str):
        assert "budgets.b" in made
    else:
        assert made.limit_of("", "total") >= made.limit >= 0
        made.window(NOW, "r")
        made.resets_at(NOW)


def made_or_told(definition: dict[str, Any]) -> Budget | str:
    try:
        return Budget.from_definition("b", definition)
    except ConfigError as error:
        return str(error)


@pytest.mark.parametrize(
    ("definition", "named"),
    [
        ({"limit_usd": "1", "colour": "red"}, r"\['colour'\] are unknown here; set the budget anew"),
        ({"limit_tokens": 1.5}, "limit_tokens: 1.5 is no whole number"),
        ({"limit_tokens": 5, "top_ups": [["", "total", 5]]}, "its definition is none .*; set the budget anew"),
        ({"limit_tokens": 5, "top_ups": [["", "total", -5, "tokens"]]}, "is no top-up"),
        ({"limit_tokens": 5, "thresholds": 50}, "its definition is none"),
    ],
)
def test_a_definition_that_is_none_says_what_is_wrong(definition: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        overlaid([], {"b": definition})
