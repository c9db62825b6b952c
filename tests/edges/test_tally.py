"""The books of routed calls: what they sum up, what they remember, and how they show it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from router_core.records import Attempt, AttemptOutcome, Receipt, ReceiptOutcome
from router_core.tally import Books, RoutedCall, Tally
from router_core.types import FailureKind, Usage, Verdict

NUMBERS = count()
IDK = Verdict(accepted=False, code="refusal")


def attempt(model: str, outcome: AttemptOutcome = AttemptOutcome.ACCEPTED, **told: Any) -> Attempt:
    told = {"usage": Usage(input_tokens=6, output_tokens=3), "cost_nano": 9_000, **told}
    return Attempt(1, model, "fake", outcome, latency_s=told.pop("latency_s", 0.5), **told)


def call(*attempts: Attempt, root: str = "root", baseline_nano: int | None = 120_000, **told: Any) -> RoutedCall:
    number = f"{next(NUMBERS)}"
    told = {"request_id": number, "outcome": ReceiptOutcome.ANSWERED, "decision": None, "latency_s": 1.0, **told}
    return RoutedCall(
        receipt=Receipt(attempts=attempts, **told), baseline_nano=baseline_nano, call_id=f"call {number}", root_id=root
    )


def escalated(**told: Any) -> RoutedCall:
    """A rejected draft of the weak model, and the answer of the strong one."""
    rejected = attempt("weak", AttemptOutcome.REJECTED, verdict=IDK)
    usage = Usage(input_tokens=6, output_tokens=6, cache_read_tokens=1, reasoning_tokens=3)
    return call(rejected, attempt("strong", usage=usage, cost_nano=120_000), **told)


def booked(*calls: RoutedCall) -> Books:
    books = Books()
    for one in calls:
        assert books.book(one)
    return books


def test_an_escalation_is_booked_on_both_models() -> None:
    books = booked(escalated())

    weak, strong = books.by_model["weak"], books.by_model["strong"]
    assert (weak.requests, weak.attempts, weak.answered) == (1, 1, 0)
    assert (strong.requests, strong.attempts, strong.answered) == (1, 1, 1)
    assert (weak.escalations, strong.escalations) == ({"refusal": 1}, {})
    assert (weak.baseline_usd, strong.baseline_usd) == (Decimal(0), Decimal("0.00012"))
    assert books.total.cost_usd == Decimal("0.000129")
    assert books.total.latency_s == 1.0


def test_a_fallback_is_booked_with_its_kind() -> None:
    down = attempt("weak", AttemptOutcome.FAILED, usage=Usage(), cost_nano=0, failure=FailureKind.RATE_LIMITED)

    books = booked(call(down, attempt("strong")))

    assert books.by_model["weak"].fallbacks == books.total.fallbacks == {"rate_limited": 1}
    assert (books.total.attempts, books.total.requests, books.total.answered) == (2, 1, 1)


def test_an_unknown_cost_is_unknown_and_not_zero() -> None:
    books = booked(call(attempt("weak", cost_nano=None)), call(attempt("strong")))

    assert books.by_model["weak"].cost_usd is None
    assert books.by_model["strong"].cost_usd == Decimal("0.000009")
    assert books.total.cost_usd is None
    assert "unknown" in str(books)
    assert books.as_dict()["total"]["cost_usd"] is None


def test_a_request_without_an_answer_leaves_the_baseline_known() -> None:
    refused = call(outcome=ReceiptOutcome.REFUSED, baseline_nano=None)

    books = booked(refused, call(attempt("strong")))

    assert books.total.baseline_usd == Decimal("0.00012")
    assert (books.total.requests, books.total.answered) == (2, 1)


def test_the_dictionary_is_json_and_holds_every_level() -> None:
    told = json.loads(json.dumps(booked(escalated(root="a query")).as_dict()))

    assert told["total"]["cost_usd"] == "0.000129"
    assert told["models"]["weak"]["input_tokens"] == 6
    assert told["roots"]["a query"]["requests"] == 1
    (one,) = told["calls"]
    assert one["root_id"] == "a query"
    assert one["call_id"].startswith("call ")
    assert [done["outcome"] for done in one["attempts"]] == ["rejected", "accepted"]


def test_the_table_can_be_read() -> None:
    head, rule, weak, strong, total, saving = str(booked(escalated(), escalated())).splitlines()

    assert head.split()[:3] == ["model", "answers", "calls"]
    assert set(rule) == {"-", " "}
    assert weak.split()[:4] == ["weak", "0", "2", "12"]
    assert strong.split()[:4] == ["strong", "2", "2", "12"]
    assert total.startswith("total of 2 requests")
    assert "0.000258" in total
    assert "0.00024 USD" in saving
    assert len({len(line) for line in (head, rule, weak, strong, total)}) == 1


def test_the_table_marks_what_is_estimated() -> None:
    table = str(booked(call(attempt("weak", usage=Usage(input_tokens=6, estimated=True)))))

    assert "~6" in table
    assert "estimated" in table


def test_an_empty_table_says_so() -> None:
    assert "total of 0 requests" in str(Books())


def test_reset_forgets_what_was_counted() -> None:
    one = escalated()
    books = booked(one)

    books.reset()

    assert (books.total, books.by_model, books.calls, books.by_root) == (Tally(), {}, (), {})
    assert books.book(one)


def test_totals_count_what_is_no_longer_kept_one_by_one() -> None:
    books = Books(keep=2)

    for number in range(5):
        books.book(escalated(root=f"{number}"))

    assert [one.root_id for one in books.calls] == list(books.by_root) == ["3", "4"]
    assert books.total.requests == books.by_model["weak"].requests == 5


def test_threads_lose_nothing_and_book_nothing_twice() -> None:
    books = Books()
    calls = [escalated() for _ in range(200)]

    with ThreadPoolExecutor(16) as pool:
        new = list(pool.map(books.book, calls * 2))

    assert sum(new) == len(calls) == len(books.calls)
    assert (books.total.requests, books.total.attempts) == (200, 400)
    assert books.total.cost_usd == 200 * Decimal("0.000129")


# ------------------------------------------------------------------------------------------------------ whatever comes
AMOUNTS = st.none() | st.integers(0, 10**12)
SECONDS = st.integers(0, 1_000).map(lambda eighths: eighths / 8)  # exact, so that sums do not depend on their order
TOKENS = st.integers(0, 10_000)
USAGES = st.builds(
    Usage,
    input_tokens=TOKENS,
    output_tokens=TOKENS,
    cache_read_tokens=TOKENS,
    cache_write_tokens=TOKENS,
    reasoning_tokens=TOKENS,
    estimated=st.booleans(),
)


@st.composite
def attempts(draw: st.DrawFn) -> Attempt:
    outcome = draw(st.sampled_from(AttemptOutcome))
    verdict = Verdict(accepted=False, code=draw(st.sampled_from(["refusal", "empty"])))
    return attempt(
        draw(st.sampled_from(["weak", "middle", "strong"])),
        outcome,
        usage=draw(st.none() | USAGES),
        cost_nano=draw(AMOUNTS),
        latency_s=draw(SECONDS),
        verdict=verdict if outcome in {AttemptOutcome.REJECTED, AttemptOutcome.SERVED} else None,
        failure=draw(st.sampled_from(FailureKind)) if outcome is AttemptOutcome.FAILED else None,
    )


@st.composite
def calls(draw: st.DrawFn) -> RoutedCall:
    tried = draw(st.lists(attempts(), max_size=4))
    outcomes = [one for one in ReceiptOutcome if tried or one is not ReceiptOutcome.ANSWERED]
    return call(
        *tried,
        root=draw(st.sampled_from(["one", "two", "three"])),
        baseline_nano=draw(AMOUNTS),
        outcome=draw(st.sampled_from(outcomes)),
        latency_s=draw(SECONDS),
    )


def summed(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total += tally
    return total


def models_agree(total: Tally, models: Iterable[Tally]) -> bool:
    """Whether the models add up to the total in all that is theirs: they do not share requests, nor their time."""
    models = summed(models)
    return (models.usage, models.cost_nano, models.attempts) == (total.usage, total.cost_nano, total.attempts) and (
        (models.answered, models.baseline_nano) == (total.answered, total.baseline_nano)
        and (models.escalations, models.fallbacks) == (total.escalations, total.fallbacks)
    )


@given(st.lists(calls(), max_size=6), st.data())
def test_every_level_adds_up_to_the_same_and_a_receipt_counts_once(some: list[RoutedCall], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(some))) if some else []
    order = data.draw(st.permutations([*some, *again]))
    books, seen = Books(), set()

    for one in order:
        assert books.book(one) is (one.receipt.request_id not in seen)
        seen.add(one.receipt.request_id)

    assert len(books.calls) == len(some) == books.total.requests
    assert books.total == summed(books.by_root.values()) == summed(one.tally for one in some)
    assert models_agree(books.total, books.by_model.values())
