"""Receipts: what goes in comes out, once, and adds up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router_core.records import AttemptRole, Receipt, ReceiptOutcome
from router_core.stores import Store, open_store
from router_core.stores.rows import entry_rows
from router_core.stores.works import Reserve, Settle
from router_core.types import Usage
from tests.stores.samples import charge, entry, full_entry

FULL = {
    "request_id": "f" * 32,
    "at_us": 1_764_000_000_250_000,
    "outcome": "answered",
    "model": "strong",
    "session": "conversation 7",
    "call_site": "agent.plan",
    "tags": ["beta", "user:ann"],
    "latency_us": 3_750_000,
    "attempt_count": 3,
    "escalations": 1,
    "fallbacks": 1,
    "input_tokens": 200,
    "output_tokens": 110,
    "cache_read_tokens": 40,
    "cache_write_tokens": 30,
    "cache_write_1h_tokens": 10,
    "reasoning_tokens": 20,
    "input_audio_tokens": 7,
    "output_audio_tokens": 5,
    "estimated": True,
    "cost_nano": None,  # that of the second attempt is unknown
    "baseline_model": "strong",
    "baseline_nano": 200_000,
    "predicted_nano": 90_000,
    "prompt": "What is the capital of Österreich? 🙂",
    "answer": "Wien",
    "attempts": [
        {
            "request_id": "f" * 32,
            "number": 1,
            "model": "weak",
            "provider": "scripted",
            "outcome": "rejected",
            "latency_us": 250_000,
            "first_token_us": 125_000,
            "input_tokens": 100,
            "output_tokens": 50,
            "cache_read_tokens": 40,
            "cache_write_tokens": 30,
            "cache_write_1h_tokens": 10,
            "reasoning_tokens": 20,
            "input_audio_tokens": 7,
            "output_audio_tokens": 5,
            "estimated": False,
            "cost_nano": 1_234,
            "price_version": "registry",
            "verdict_accepted": False,
            "verdict_code": "wording",
            "verdict_detail": "it says that it does not know",
            "failure": None,
            "error": None,
            "service_tier": "flex",
            "model_id": "weak-2025-04-14",
            "finish_reason": "stop",
            "role": "answer",
            "repriced": {},
        },
        {
            "request_id": "f" * 32,
            "number": 2,
            "model": "strong",
            "provider": "scripted",
            "outcome": "failed",
            "latency_us": 1_500_000,
            "first_token_us": None,
            "input_tokens": None,
            "output_tokens": None,
            "cache_read_tokens": None,
            "cache_write_tokens": None,
            "cache_write_1h_tokens": None,
            "reasoning_tokens": None,
            "input_audio_tokens": None,
            "output_audio_tokens": None,
            "estimated": None,
            "cost_nano": None,
            "price_version": None,
            "verdict_accepted": None,
            "verdict_code": None,
            "verdict_detail": None,
            "failure": "overloaded",
            "error": "Overloaded: 529",
            "service_tier": None,
            "model_id": None,
            "finish_reason": None,
            "role": "answer",
            "repriced": {},
        },
        {
            "request_id": "f" * 32,
            "number": 3,
            "model": "strong",
            "provider": "scripted",
            "outcome": "accepted",
            "latency_us": 2_000_000,
            "first_token_us": None,
            "input_tokens": 100,
            "output_tokens": 60,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
            "cache_write_1h_tokens": 0,
            "reasoning_tokens": 0,
            "input_audio_tokens": 0,
            "output_audio_tokens": 0,
            "estimated": True,
            "cost_nano": 98_766,
            "price_version": "genai-prices 0.2.0",
            "verdict_accepted": True,
            "verdict_code": "ok",
            "verdict_detail": "",
            "failure": None,
            "error": None,
            "service_tier": None,
            "model_id": None,
            "finish_reason": None,
            "role": "answer",
            "repriced": {},
        },
    ],
    "decision": {
        "request_id": "f" * 32,
        "policy": "difficulty",
        "reason": "difficulty_easy",
        "score": 0.125,
        "confidence": 0.5,
        "ladder": ["weak", "strong"],
        "fallbacks": ["tiny"],
        "candidates": [
            {"model": "weak", "id": "weak", "provider": "scripted", "cost_nano": 1_000, "latency_s": 0.5},
            {"model": "strong", "id": "strong", "provider": "scripted", "cost_nano": None, "latency_s": None},
        ],
        "refusals": [{"model": "other", "code": "context_window", "detail": "8000 > 4096"}],
        "quality": {"weak": 0.75, "strong": 0.9},
        "features": {"words": 12, "code": False, "parts": ["a", None, 1.5]},
    },
    "feedback": None,
}
"""``samples.full_entry`` as the ledger hands it out."""


def test_every_field_of_a_receipt_comes_back(store: Store) -> None:
    store.record(full_entry())

    [row] = store.entries()
    assert row == FULL
    # 0 and False are equal, but not the same to who reads them.
    assert [type(value) for value in row.values()] == [type(value) for value in FULL.values()]
    assert store.verify() == []


def test_a_receipt_lasts_beyond_the_store_that_wrote_it(url: str) -> None:
    with_rows = open_store(url)
    with_rows.record(full_entry())
    with_rows.close()

    again = open_store(url)
    assert list(again.entries()) == [FULL]
    again.close()


def test_what_is_unknown_stays_unknown(store: Store) -> None:
    refused = Receipt("r1", ReceiptOutcome.REFUSED, None, (), latency_s=0.0)
    store.record(replace(entry("r1"), receipt=refused))

    [row] = store.entries()
    unknown = {name for name, value in row.items() if value is None}
    assert unknown == {
        "model",
        "session",
        "call_site",
        "baseline_model",
        "baseline_nano",
        "predicted_nano",
        "prompt",
        "answer",
        "decision",
        "feedback",
    }
    assert (row["attempts"], row["cost_nano"], row["tags"]) == ([], 0, [])


@pytest.mark.parametrize("role", AttemptRole)
def test_what_an_attempt_was_made_for_comes_back(store: Store, role: AttemptRole) -> None:
    made = entry("r1", 5)
    attempts = tuple(attempt._replace(role=role) for attempt in made.receipt.attempts)
    store.record(replace(made, receipt=made.receipt._replace(attempts=attempts)))

    [row] = store.entries()
    assert [attempt["role"] for attempt in row["attempts"]] == [role.value]


def test_a_receipt_is_written_once(store: Store) -> None:
    store.record(entry("r1", 5))
    store.record(entry("r1", 5, 6))
    store.settle("r1", {}, entry("r1", 5, 6, 7))

    assert [row["cost_nano"] for row in store.entries()] == [5]
    assert store.verify() == []


def test_the_order_is_that_of_time(store: Store) -> None:
    for name, at in (("c", 3.0), ("a", 1.0), ("z", 2.0), ("b", 2.0)):
        store.record(entry(name, 1, at=at))

    def names(**bounds: float) -> str:
        return "".join(row["request_id"] for row in store.entries(**bounds))

    assert names() == "abzc"
    assert names(since=2.0) == "bzc"
    assert names(until=2.0) == "a"
    assert names(since=2.0, until=3.0) == "bz"
    assert names(since=4.0) == ""


def test_many_receipts_are_read_in_pages(store: Store) -> None:
    names = [f"r{number:04}" for number in range(600)]
    for name in names:
        store.record(entry(name, 1, 2, at=7.0))

    rows = list(store.entries())

    assert [row["request_id"] for row in rows] == names
    assert {len(row["attempts"]) for row in rows} == {2}
    assert store.prune(7.0) == 0
    assert store.prune(8.0) == 600
    assert list(store.entries()) == []


def test_what_no_database_takes_is_replaced_and_the_receipt_kept(store: Store) -> None:
    odd = full_entry()
    decision = odd.receipt.decision
    assert decision is not None
    features = {"ratio": float("nan"), "depth": [float("inf")], "set": {"b", "a"}, "half": "\ud800", "nul": "\0"}
    receipt = odd.receipt._replace(decision=decision._replace(score=float("nan"), features=features), session="\0s")
    store.record(replace(odd, receipt=receipt, prompt="half \ud800 and \0", answer="\U0001f642 whole"))

    [row] = store.entries()
    assert (row["prompt"], row["answer"], row["session"]) == ("half \ufffd and \ufffd", "\U0001f642 whole", "\ufffds")
    assert row["decision"]["score"] is None
    assert row["decision"]["features"] == {
        "ratio": None,
        "depth": [None],
        "set": ["a", "b"],
        "half": "\ud800",
        "nul": "\0",
    }


def test_a_number_that_no_column_holds_is_refused(store: Store) -> None:
    huge = entry("r1", 5)
    attempt = huge.receipt.attempts[0]._replace(usage=Usage(input_tokens=2**63))
    with pytest.raises(ValueError, match=r"input_tokens: 9223372036854775808 of request r1 is too large"):
        store.record(replace(huge, receipt=huge.receipt._replace(attempts=(attempt,))))
    with pytest.raises(ValueError, match="at: nan is not a time"):
        store.record(entry("r1", 5, at=float("nan")))
    assert list(store.entries()) == []


def test_old_receipts_are_removed_and_what_they_spent_is_not(store: Store) -> None:
    call = charge("call", window="old", limit=100)
    day = charge(limit=1000)
    store.reserve("old", [day, call], owner="me", expires=5.0)
    store.settle("old", {day.scope: 60, call.scope: 60}, entry("old", 60, at=1.0))
    store.reserve("new", [day], owner="me", expires=50.0)
    store.settle("new", {day.scope: 30}, entry("new", 30, at=10.0))
    store.reserve("receiptless", [day], owner="me", expires=5.0)
    store.settle("receiptless", {day.scope: 3}, None)
    store.reserve("running", [day], owner="me", expires=5.0)

    assert store.prune(10.0) == 1

    assert [row["request_id"] for row in store.entries()] == ["new"]
    # The window that was one request's own is gone with it.
    assert [(s.budget, s.spent, s.held) for s in store.standings()] == [("day", 93, 100)]
    assert store.verify() == []
    assert store.prune(10.0) == 0
    store.settle("running", {day.scope: 1}, entry("running", 1, at=11.0))
    assert store.prune(100.0) == 2
    assert [(s.budget, s.spent, s.held) for s in store.standings()] == [("day", 94, 0)]
    assert store.verify() == []


def test_counters_in_which_nothing_was_booked_are_removed_with_old_receipts(sql_store: Store) -> None:
    refused = Reserve.of("r1", [charge(window="r1", limit=1)], "me", 5.0)
    # A refusal alone writes nothing; what is written together with it takes its counter along.
    sql_store._writer.perform([refused, Settle.recording(entry("r1", at=1.0))])

    assert counters(sql_store) == 1
    sql_store.prune(2.0)
    assert counters(sql_store) == 0


def counters(store: Store) -> int:
    with store._engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM counters").scalar_one())


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE requests SET output_tokens = 9", "request r1: output_tokens is 9, but its attempts add up to 3"),
        (
            "UPDATE attempts SET cost_nano = 9 WHERE number = 2",
            "request r1: cost_nano is 11, but its attempts add up to 14",
        ),
        ("UPDATE attempts SET cost_nano = NULL", "request r1: cost_nano is 11, but its attempts add up to unknown"),
        ("DELETE FROM attempts WHERE number = 1", "request r1: attempt_count is 2, but the rows of its attempts are 1"),
        ("DELETE FROM requests", "request r1: attempts has rows of it, requests has none"),
        (
            "UPDATE counters SET spent = 12",
            "budget 'day', key '', window '2026-11-25' (nano): 12 are spent, but its settled holds add up to 11",
        ),
        (
            "UPDATE counters SET held = 1",
            "budget 'day', key '', window '2026-11-25' (nano): 1 are held, but its holds add up to 0",
        ),
        (
            "DELETE FROM counters",
            "budget 'day', key '', window '2026-11-25' (nano): 0 are spent, but its settled holds add up to 11",
        ),
        (
            "DELETE FROM reservations",
            "budget 'day', key '', window '2026-11-25' (nano): 11 are spent, but its settled holds add up to 0",
        ),
    ],
)
def test_verify_says_what_does_not_add_up(sql_store: Store, statement: str, says: str) -> None:
    day = charge()
    sql_store.reserve("r1", [day], owner="me", expires=5.0)
    sql_store.settle("r1", {day.scope: 11}, entry("r1", 5, 6))
    assert sql_store.verify() == []

    with sql_store._engine.begin() as connection:
        connection.exec_driver_sql(statement)

    assert says in sql_store.verify()


def test_verify_looks_at_memory_too() -> None:
    store = open_store("memory://")
    day = charge()
    store.reserve("r1", [day], owner="me", expires=5.0)
    store.settle("r1", {day.scope: 11}, entry("r1", 5, 6))
    store._book.holds["r1"][day.scope].spent = 12
    store._rows["r1"].request["cost_nano"] = 12

    assert store.verify() == [
        "request r1: cost_nano is 12, but its attempts add up to 11",
        "budget 'day', key '', window '2026-11-25' (nano): 11 are spent, but its settled holds add up to 12",
    ]


def test_rows_have_the_columns_of_their_tables() -> None:
    schema = pytest.importorskip("router_core.stores.schema")
    rows = entry_rows(full_entry())

    assert list(rows.request) == schema.REQUESTS.columns.keys()
    assert {tuple(attempt) for attempt in rows.attempts} == {tuple(schema.ATTEMPTS.columns.keys())}
    assert rows.decision is not None
    assert list(rows.decision) == schema.DECISIONS.columns.keys()
