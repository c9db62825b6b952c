"""What handlers note of budgets: what is kept of it, and in which words it is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from router_core.errors import BudgetExceeded
from router_core.events import BudgetReached
from router_core.notes import BudgetNote, told_of
from router_core.records import Charge, Shortfall
from router_core.tally import Books

MIDNIGHT = datetime(2026, 11, 26, tzinfo=UTC)


def reached(percent: int, request_id: str = "r1", **about: Any) -> BudgetNote:
    told = {"budget": "daily", "key": "", "window": "2026-11-25", "unit": "nano", "limit": 5_000_000_000, "held": 0}
    told = {**told, "spent": percent * 50_000_000, **about}
    return BudgetNote.of_reached(BudgetReached(request_id=request_id, percent=percent, **told))


def refused(request_id: str = "r2", window: str = "2026-11-25", **about: Any) -> BudgetNote:
    charge = {"budget": "daily", "key": "", "unit": "nano", "limit": 5_000_000_000, "amount": 250_000_000, "floor": 1}
    shortfall = Shortfall(Charge(**{**charge, "window": window, **about}), spent=4_900_000_000, held=50_000_000)
    (note,) = BudgetNote.of_refused(request_id, BudgetExceeded([shortfall], [MIDNIGHT]))
    return note


def test_notes_are_json_and_money_is_decimal() -> None:
    assert json.loads(json.dumps([reached(80).as_dict(), refused(unit="tokens").as_dict()])) == [
        {
            "what": "reached",
            "request_id": "r1",
            "budget": "daily",
            "key": "",
            "window": "2026-11-25",
            "unit": "usd",
            "limit": "5",
            "spent": "4",
            "held": "0",
            "percent": 80,
            "needed": None,
            "resets": None,
        },
        {
            "what": "refused",
            "request_id": "r2",
            "budget": "daily",
            "key": "",
            "window": "2026-11-25",
            "unit": "tokens",
            "limit": "5000000000",
            "spent": "4900000000",
            "held": "50000000",
            "percent": None,
            "needed": "250000000",
            "resets": "2026-11-26T00:00:00+00:00",
        },
    ]


def test_a_purse_is_one_sentence() -> None:
    assert told_of([reached(50), reached(80), refused(), refused("r3"), reached(50, key="ann", spent=7)]) == [
        "The budget 'daily' (2026-11-25) has reached 80 % and has refused 2 requests; $4.9 of $5 spent.",
        "The budget 'daily' of 'ann' (2026-11-25) has reached 50 %; $0.000000007 of $5 spent.",
    ]


def test_the_purses_of_a_budget_per_call_are_one() -> None:
    assert told_of([refused("r1", window="r1"), refused("r2", window="r2")]) == [
        "The budget 'daily' (each call) has refused 2 requests; $4.9 of $5 spent.",
    ]


def test_books_keep_a_note_once_and_the_latest_of_them() -> None:
    books = Books(keep=2)

    books.note(reached(50), reached(80))
    books.note(reached(80), reached(100))

    assert [note.percent for note in books.budgets] == [80, 100]
    assert str(books).splitlines()[-1].startswith("The budget 'daily' (2026-11-25) has reached 100 %;")
    books.reset()
    assert books.budgets == ()
    assert "budget" not in str(books)
