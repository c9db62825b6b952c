"""Budgets: what is held and spent, and what is refused."""

from __future__ import annotations

import pytest

from router_core.stores import Movement, Shortfall, Standing, Store
from tests.stores.samples import charge, entry

NOON, LATER = 1_000.0, 2_000.0


def standing(store: Store, budget: str = "day") -> tuple[int, int]:
    """Spent and held of a budget that stands in one window."""
    [found] = store.standings(budget)
    return found.spent, found.held


def test_a_hold_becomes_what_was_spent(store: Store) -> None:
    day = charge()

    assert store.reserve("r1", [day], owner="me", expires=NOON) == ()
    assert store.standings() == [Standing("day", "", "2026-11-25", "nano", spent=0, held=100)]
    store.settle("r1", {day.scope: 42}, entry("r1", 42))

    assert store.standings() == [Standing("day", "", "2026-11-25", "nano", spent=42, held=0)]
    assert [row["cost_nano"] for row in store.entries()] == [42]


def test_all_is_held_or_nothing(store: Store) -> None:
    day, month = charge("day"), charge("month", window="2026-11", limit=150)
    store.reserve("r1", [day, month], owner="me", expires=NOON)

    tokens = charge("tokens", unit="tokens", limit=99)
    short = store.reserve("r2", [charge("all"), day, month, tokens], owner="me", expires=NOON)

    assert short == (Shortfall(month, spent=0, held=100), Shortfall(tokens, spent=0, held=0))
    assert {s.budget: (s.spent, s.held) for s in store.standings()} == {"day": (0, 100), "month": (0, 100)}
    store.settle("r2", {}, entry("r2"))
    assert store.verify() == []


def test_the_last_nano_dollar_can_be_held(store: Store) -> None:
    assert store.reserve("r1", [charge(amount=1000)], owner="me", expires=NOON) == ()
    assert store.reserve("r2", [charge(amount=0, floor=0)], owner="me", expires=NOON) == ()
    assert store.reserve("r3", [charge(amount=1, floor=0)], owner="me", expires=NOON) == (
        Shortfall(charge(amount=1, floor=0), spent=0, held=1000),
    )


def test_keys_windows_and_units_are_counted_apart(store: Store) -> None:
    charges = [
        charge("user", key="ann"),
        charge("user", key="bob"),
        charge("user", key="ann", window="2026-11-26"),
        charge("tokens", unit="tokens"),
    ]
    store.reserve("r1", charges, owner="me", expires=NOON)

    assert [(s.budget, s.key, s.window, s.unit) for s in store.standings()] == [
        ("tokens", "", "2026-11-25", "tokens"),
        ("user", "ann", "2026-11-25", "nano"),
        ("user", "ann", "2026-11-26", "nano"),
        ("user", "bob", "2026-11-25", "nano"),
    ]
    assert len(store.standings("user")) == 3
    assert store.standings("nobody's") == []


def test_a_budget_whose_unit_is_changed_begins_at_nought(store: Store) -> None:
    store.reserve("r1", [charge(amount=1000)], owner="me", expires=NOON)

    assert store.reserve("r2", [charge(unit="tokens")], owner="me", expires=NOON) == ()
    assert [(s.unit, s.held) for s in store.standings("day")] == [("nano", 1000), ("tokens", 100)]
    with pytest.raises(ValueError, match="'r1' holds 'day' in nano already"):
        store.reserve("r1", [charge(unit="tokens")], owner="me", expires=NOON)


def test_odd_names_are_told_apart(store: Store) -> None:
    names = ["\0", "\ud800", "ä", '"', "\\", "%", "a,b", "a\nb"]
    store.reserve("r1", [charge(key=name) for name in names], owner="me", expires=NOON)
    store.settle("r1", {charge(key=name).scope: number for number, name in enumerate(names, 1)}, None)

    assert {s.key: s.spent for s in store.standings()} == {name: number for number, name in enumerate(names, 1)}
    assert store.verify() == []


def test_a_second_settle_changes_nothing(store: Store) -> None:
    day = charge()
    store.reserve("r1", [day], owner="me", expires=NOON)
    store.settle("r1", {day.scope: 42}, entry("r1", 42))

    store.settle("r1", {day.scope: 99}, entry("r1", 99))
    store.settle("r1", {}, None)

    assert standing(store) == (42, 0)
    assert [row["cost_nano"] for row in store.entries()] == [42]
    with pytest.raises(ValueError, match="'r1' is settled; give every request an id of its own"):
        store.reserve("r1", [day], owner="me", expires=NOON)


def test_what_a_settle_does_not_name_spent_nothing(store: Store) -> None:
    weak, strong = charge("model", key="weak"), charge("model", key="strong")
    store.reserve("r1", [weak, strong], owner="me", expires=NOON)

    store.settle("r1", {weak.scope: 7}, entry("r1", 7))

    assert [(s.key, s.spent, s.held) for s in store.standings()] == [("weak", 7, 0)]


def test_what_was_never_held_cannot_be_spent(store: Store) -> None:
    day, other = charge(), charge("other")
    store.reserve("r1", [day], owner="me", expires=NOON)

    with pytest.raises(ValueError, match=r"'r1' holds nothing of \('other', '', '2026-11-25'\)"):
        store.settle("r1", {day.scope: 7, other.scope: 1}, entry("r1", 8))

    assert standing(store) == (0, 100)
    assert list(store.entries()) == []
    store.settle("r1", {day.scope: 7, other.scope: 0}, entry("r1", 7))
    assert standing(store) == (7, 0)


def test_the_truth_is_booked_above_hold_and_limit_and_more_is_refused(store: Store) -> None:
    day = charge()
    store.reserve("r1", [day], owner="me", expires=NOON)

    store.settle("r1", {day.scope: 5_000}, entry("r1", 5_000))

    assert standing(store) == (5_000, 0)
    least = charge(amount=1, floor=0)
    assert store.reserve("r2", [least], owner="me", expires=NOON) == (Shortfall(least, spent=5_000, held=0),)
    assert store.reserve("r3", [charge(amount=0, floor=0)], owner="me", expires=NOON) == ()  # what is free fits
    assert store.verify() == []


def test_settling_tells_once_what_moved(store: Store) -> None:
    day, month = charge("day"), charge("month")
    store.reserve("r1", [day, month], owner="me", expires=NOON)
    store.reserve("r2", [day], owner="me", expires=NOON)
    store.settle("r1", {day.scope: 7}, entry("r1", 7))

    moved = store.settle("r2", {day.scope: 30}, entry("r2", 30))

    assert moved == (Movement(Standing(*day.scope, "nano", spent=37, held=0), before=7),)
    assert store.settle("r2", {day.scope: 30}, entry("r2", 30)) == ()


def test_reserving_again_replaces_the_hold(store: Store) -> None:
    day, month = charge("day", amount=600), charge("month", amount=600)
    store.reserve("r1", [day], owner="me", expires=NOON)

    assert store.reserve("r1", [day], owner="me", expires=NOON) == ()  # as when its answer was lost
    assert store.reserve("r1", [day._replace(amount=300), month], owner="me", expires=LATER) == ()
    assert {s.budget: s.held for s in store.standings()} == {"day": 300, "month": 600}

    too_much = day._replace(amount=1_001)
    assert store.reserve("r1", [too_much], owner="me", expires=NOON) == (Shortfall(too_much, spent=0, held=0),)
    assert standing(store) == (0, 300)
    assert store.reclaim(NOON) == 0
    store.settle("r1", {day.scope: 1, month.scope: 1}, None)
    assert store.verify() == []


def test_an_expired_lease_is_spent_at_its_floor(store: Store) -> None:
    store.reserve("dead", [charge(), charge("month", amount=50, floor=0)], owner="me", expires=NOON)
    store.reserve("alive", [charge()], owner="me", expires=LATER)

    assert store.reclaim(NOON - 1) == 0
    assert store.reclaim(NOON) == 2
    assert store.reclaim(NOON) == 0

    assert standing(store) == (10, 100)
    assert store.standings("month") == []
    assert store.verify() == []


def test_a_lease_that_is_renewed_does_not_expire(store: Store) -> None:
    day = charge()
    for name in ("r1", "r2", "r3"):
        store.reserve(name, [day], owner="me", expires=NOON)
    store.settle("r3", {day.scope: 1}, None)

    store.renew(["r1", "r3", "unknown"], expires=LATER)

    assert store.reclaim(NOON) == 1
    assert standing(store) == (11, 100)
    store.renew(["r2"], expires=LATER)  # too late
    assert store.reclaim(LATER) == 1
    assert standing(store) == (21, 0)


def test_a_late_settle_corrects_what_was_reclaimed(store: Store) -> None:
    day = charge()
    store.reserve("r1", [day], owner="me", expires=NOON)
    store.reclaim(LATER)
    assert standing(store) == (10, 0)

    store.settle("r1", {day.scope: 77}, entry("r1", 77))

    assert standing(store) == (77, 0)
    assert [row["cost_nano"] for row in store.entries()] == [77]
    assert store.verify() == []


def test_what_was_reclaimed_can_be_held_again(store: Store) -> None:
    day = charge(limit=100)
    store.reserve("r1", [day], owner="me", expires=NOON)
    store.reclaim(LATER)

    assert store.reserve("r1", [day], owner="me", expires=LATER + 1) == ()
    assert standing(store) == (0, 100)
    assert store.verify() == []


def test_many_leases_expire_at_once(store: Store) -> None:
    for number in range(600):
        store.reserve(f"r{number}", [charge(limit=10**6)], owner="dead", expires=NOON)

    assert store.reclaim(NOON) == 600
    assert standing(store) == (6_000, 0)


def test_definitions_are_kept_by_name(store: Store) -> None:
    store.save_budget("day", {"limit_usd": "5", "per": "day", "warn": [0.5, 0.8], "zone": None})
    store.save_budget("tokens", {"limit_tokens": 1000})
    store.save_budget("day", {"limit_usd": "6"})

    assert store.budgets() == {"day": {"limit_usd": "6"}, "tokens": {"limit_tokens": 1000}}
    store.save_budget("day", None)
    store.save_budget("day", None)
    assert store.budgets() == {"tokens": {"limit_tokens": 1000}}
    with pytest.raises(ValueError, match=r"budgets\.day: the definition is not JSON"):
        store.save_budget("day", {"limit": object()})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("charges", "says"),
    [
        ([charge(floor=101)], "of 'day' the floor is 101 and the amount 100"),
        ([charge(floor=-1)], "0 <= floor <= amount must hold"),
        ([charge(amount=2**63)], "0 <= floor <= amount must hold"),
        ([charge(unit="euro")], "'euro' of 'day' is no unit; it is 'nano' or 'tokens'"),
        ([charge(), charge(limit=5)], "two are of the same budget, key and window"),
        ([charge(key="k" * 1_000)], "are longer than 1000"),
    ],
)
def test_charges_that_contradict_themselves_are_refused(store: Store, charges: list[object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        store.reserve("r1", charges, owner="me", expires=NOON)  # type: ignore[arg-type]
    assert store.standings() == []


def test_settlements_that_contradict_themselves_are_refused(store: Store) -> None:
    day = charge()
    store.reserve("r1", [day], owner="me", expires=NOON)

    with pytest.raises(ValueError, match=r"-1 of .* is not an amount"):
        store.settle("r1", {day.scope: -1}, None)
    with pytest.raises(ValueError, match="the receipt is of 'r2', not of 'r1'"):
        store.settle("r1", {day.scope: 1}, entry("r2", 1))
    with pytest.raises(ValueError, match="expires: inf is not a time"):
        store.renew(["r1"], expires=float("inf"))
    assert standing(store) == (0, 100)
