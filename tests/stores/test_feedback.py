"""What was said of answers: kept beside the receipts, as long as these."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from router_core.records import Feedback
from router_core.stores import Store, open_store
from tests.stores.samples import entry


def test_what_is_said_last_holds_and_nothing_else_changes(store: Store) -> None:
    store.record(entry("r1", 5))
    store.record(entry("r2", 6))
    before = list(store.entries())

    assert store.save_feedback(Feedback("r1", 0.25, "half of it is missing", 9.0))
    assert store.save_feedback(Feedback("r1", 1.0, None, 9.5))

    (first, second), faults = list(store.entries()), store.verify()
    assert first["feedback"] == {"at_us": 9_500_000, "score": 1.0, "comment": None}
    assert second["feedback"] is None
    assert ([{**first, "feedback": None}, second], faults) == (before, [])


def test_nothing_is_kept_of_a_request_that_is_unknown(store: Store) -> None:
    store.record(entry("r1", 5))

    assert not store.save_feedback(Feedback("r2", 1.0, None, 9.0))
    store.record(entry("r2", 6))

    assert [row["feedback"] for row in store.entries()] == [None, None]


@pytest.mark.parametrize("score", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_score_that_is_none_changes_nothing(store: Store, score: float) -> None:
    store.record(entry("r1", 5))
    store.save_feedback(Feedback("r1", 0.5, "fair", 9.0))

    with pytest.raises(ValueError, match=r"score: .* of request r1 is not between 0 and 1"):
        store.save_feedback(Feedback("r1", score, None, 10.0))

    assert [row["feedback"]["comment"] for row in store.entries()] == ["fair"]


def test_it_goes_with_its_receipt(store: Store) -> None:
    store.record(entry("r1", 5, at=1.0))
    store.save_feedback(Feedback("r1", 0.5, "a NUL \0 and half of \ud83d a pair", 9.0))
    assert [row["feedback"]["comment"] for row in store.entries()] == ["a NUL \ufffd and half of \ufffd a pair"]

    assert store.prune(2.0) == 1
    store.record(entry("r1", 5, at=3.0))

    assert [row["feedback"] for row in store.entries()] == [None]
    assert store.verify() == []


def test_two_processes_may_speak_of_one_answer(url: str) -> None:
    stores = [open_store(url) for _ in range(2)]
    stores[0].record(entry("r1", 5))
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda n: stores[n % 2].save_feedback(Feedback("r1", n / 40, str(n), 9.0)), range(40)))

    assert kept == [True] * 40
    [row] = stores[1].entries()
    assert row["feedback"]["score"] == int(row["feedback"]["comment"]) / 40
    for store in stores:
        store.close()
