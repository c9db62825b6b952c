"""Definitions of budgets that several change at once, and how much is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from router_core.stores import Store, open_store
from tests.stores.samples import charge, entry


def test_a_definition_is_swapped_only_for_the_one_that_was_read(store: Store) -> None:
    assert not store.swap_budget("day", {"limit_usd": "5"}, {"limit_usd": "6"})
    assert store.swap_budget("day", None, {"limit_usd": "5", "top_ups": []})
    assert not store.swap_budget("day", None, {"limit_usd": "7"})
    assert not store.swap_budget("day", {"limit_usd": "5"}, None)
    assert store.budgets() == {"day": {"limit_usd": "5", "top_ups": []}}

    assert store.swap_budget("day", {"top_ups": [], "limit_usd": "5"}, {"limit_usd": "6"})
    assert not store.swap_budget("day", {"limit_usd": "5", "top_ups": []}, {"limit_usd": "8"})
    assert store.budgets() == {"day": {"limit_usd": "6"}}
    assert store.swap_budget("day", {"limit_usd": "6"}, None)
    assert store.budgets() == {}


def test_who_changes_a_part_of_a_definition_with_others_loses_none_of_them(url: str) -> None:
    writers, times = 4, 6

    def add(writer: int) -> None:
        store = open_store(url)
        for number in range(times):
            while True:
                before = store.budgets().get("day")
                marks = [] if before is None else before["marks"]
                if store.swap_budget("day", before, {"marks": [*marks, [writer, number]]}):
                    break
        store.close()

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(add, range(writers)))

    store = open_store(url)
    marks = store.budgets()["day"]["marks"]
    assert sorted(marks) == [[writer, number] for writer in range(writers) for number in range(times)]
    store.close()


def test_the_size_counts_receipts_attempts_and_purses(store: Store) -> None:
    assert store.size() == (0, 0, 0)
    for number, at in enumerate((10.0, 20.0, 30.0), 1):
        store.reserve(f"r{number}", [charge("call", window=f"r{number}")], owner="me", expires=99.0)
        store.settle(f"r{number}", {}, entry(f"r{number}", *[5] * number, at=at))

    assert store.size() == (3, 6, 3)
    assert store.size(20.0)[:2] == (1, 1)
    assert store.size(20.000001)[:2] == (2, 3)
