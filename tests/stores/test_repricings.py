"""Costs that were computed anew: kept beside the old figures, as long as these."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from router_core.stores import Repricing, Store, open_store
from tests.stores.samples import charge, entry


def repriced(store: Store) -> dict[tuple[str, int], dict[str, int | None]]:
    """What was saved, by request and attempt, where there is anything."""
    return {
        (row["request_id"], attempt["number"]): attempt["repriced"]
        for row in store.entries()
        for attempt in row["attempts"]
        if attempt["repriced"]
    }


def test_new_costs_stand_beside_the_old_ones_and_change_nothing_else(store: Store) -> None:
    day = charge()
    store.reserve("r1", [day], owner="me", expires=5.0)
    store.settle("r1", {day.scope: 11}, entry("r1", 5, 6))
    store.record(entry("r2", None))
    before, standings = list(store.entries()), store.standings()

    kept = store.save_repricings(
        [
            Repricing("r1", 2, "list 2", 9.0, 7),
            Repricing("r1", 2, "list 1", 9.5, None),
            Repricing("r2", 1, "list 2", 9.0, 0),
        ]
    )

    assert kept == 3
    assert repriced(store) == {("r1", 2): {"list 1": None, "list 2": 7}, ("r2", 1): {"list 2": 0}}
    assert list(next(iter(store.entries()))["attempts"][1]["repriced"]) == ["list 2", "list 1"]  # the latest is last
    for row in (after := list(store.entries())):
        for attempt in row["attempts"]:
            attempt["repriced"] = {}
    assert (after, store.standings(), store.verify()) == (before, standings, [])


def test_the_same_prices_again_take_the_place_of_what_is_there(store: Store) -> None:
    store.record(entry("r1", 5, 6))
    for at, cost in ((1.0, 5), (1.0, 5), (2.0, None), (3.0, 8)):
        assert store.save_repricings([Repricing("r1", 1, "registry", at, cost)]) == 1

    assert repriced(store) == {("r1", 1): {"registry": 8}}


def test_costs_of_attempts_that_are_not_kept_are_left_out(store: Store) -> None:
    store.record(entry("r1", 5, 6))
    lost = [Repricing(name, number, "list", 9.0, 1) for name, number in (("r1", 0), ("r1", 3), ("r2", 1))]

    assert store.save_repricings([*lost, Repricing("r1", 1, "list", 9.0, 1)]) == 1
    assert store.save_repricings(lost) == 0
    assert store.save_repricings([]) == 0

    assert repriced(store) == {("r1", 1): {"list": 1}}
    assert store.verify() == []


def test_they_go_with_their_receipts(store: Store) -> None:
    for name, at in (("old", 1.0), ("new", 10.0)):
        store.record(entry(name, 5, at=at))
        store.save_repricings([Repricing(name, 1, version, 20.0, 1) for version in ("list 1", "list 2")])

    assert store.prune(5.0) == 1

    assert repriced(store) == {("new", 1): {"list 1": 1, "list 2": 1}}
    assert store.verify() == []
    # The same name again is another receipt.
    store.record(entry("old", 5, at=1.0))
    assert ("old", 1) not in repriced(store)


def test_many_are_saved_at_once(store: Store) -> None:
    names = [f"r{number:03}" for number in range(300)]
    for name in names:
        store.record(entry(name, 1, 2))

    saved = [Repricing(name, number, "list", 9.0, number) for name in reversed(names) for number in (1, 2)]
    assert store.save_repricings(saved) == 600

    assert repriced(store) == {(name, number): {"list": number} for name in names for number in (1, 2)}


def test_they_last_beyond_the_store_that_wrote_them(url: str) -> None:
    first = open_store(url)
    first.record(entry("r1", 5))
    first.save_repricings([Repricing("r1", 1, "list", 9.0, 4)])
    first.close()

    again = open_store(url)
    assert repriced(again) == {("r1", 1): {"list": 4}}
    again.close()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("price_version", "", "price_version: it is empty for attempt 1 of r1"),
        ("cost_nano", -1, "cost_nano: -1 of attempt 1 of r1 is not an amount"),
        ("cost_nano", 2**63, "cost_nano: 9223372036854775808 of attempt 1 of r1 is not an amount"),
        ("number", -1, "number: -1 is no attempt of r1"),
        ("at", float("inf"), "at: inf is not a time in seconds"),
    ],
)
def test_what_is_no_cost_is_refused_and_nothing_is_saved(store: Store, field: str, value: Any, says: str) -> None:
    store.record(entry("r1", 5))
    good = Repricing("r1", 1, "list", 9.0, 4)
    with pytest.raises(ValueError, match=says):
        store.save_repricings([good, good._replace(**{field: value})])

    assert repriced(store) == {}


def test_verify_finds_costs_of_no_request(sql_store: Store) -> None:
    sql_store.record(entry("r1", 5))
    sql_store.save_repricings([Repricing("r1", 1, "list", 9.0, 4)])

    with sql_store._engine.begin() as connection:
        for table in ("requests", "attempts"):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 - a constant of ours

    assert sql_store.verify() == ["request r1: repricings has rows of it, requests has none"]


def test_saving_while_receipts_are_removed_leaves_no_costs_behind(url: str) -> None:
    names = [f"r{number:03}" for number in range(400)]
    saving, pruning = open_store(url), open_store(url)
    for number, name in enumerate(names):
        saving.record(entry(name, 1, at=float(number)))
    with ThreadPoolExecutor() as pool:
        saved = [
            pool.submit(saving.save_repricings, [Repricing(name, 1, f"list {turn}", 9.0, 1) for name in names])
            for turn in range(3)
        ]
        removed = sum(pruning.prune(float(before)) for before in range(0, 401, 40))
        assert all(task.result() <= len(names) for task in saved)

    assert removed == len(names)
    assert saving.verify() == []
    for store in (saving, pruning):
        store.close()
