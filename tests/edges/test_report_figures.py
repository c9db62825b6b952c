"""What a report counts: every call once, unknown amounts never as 0, and sums that agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_core.records import Attempt, AttemptOutcome, Receipt, ReceiptOutcome
from router_core.report import Figures, words
from router_core.report.counts import KINDS, Counts, Spread
from router_core.report.figures import WAYS
from router_core.report.machine import as_json, dollars
from router_core.stores import LedgerEntry, open_store
from router_core.types import CACHE_PRICE, NANO, SCRIPTED_PRICE, FailureKind, Usage, Verdict
from tests.stores.samples import entry, full_decision, full_entry

DAY_S = 86_400


def figures(*entries: LedgerEntry, by: Any = None, **told: Any) -> Figures:
    store = open_store("memory://")
    for one in entries:
        store.record(one)
    return Figures(by, **told).add_all(store.entries())


def attempt(outcome: AttemptOutcome = AttemptOutcome.ACCEPTED, **told: Any) -> Attempt:
    usage = Usage(input_tokens=10, output_tokens=5)
    given = {"number": 1, "model": "weak", "provider": "one", "latency_s": 1.0, "usage": usage, "cost_nano": 100}
    return Attempt(outcome=outcome, **{**given, **told})


def asked(*attempts: Attempt, outcome: ReceiptOutcome = ReceiptOutcome.ANSWERED, **told: Any) -> LedgerEntry:
    """A request of these attempts; what is no field of a receipt is one of its entry."""
    of_entry = {"at", "baseline_model", "baseline_nano", "predicted_nano"} & told.keys()
    entry_fields = {"at": 1_000.0, "baseline_model": "strong", **{name: told.pop(name) for name in of_entry}}
    numbered = tuple(each._replace(number=number) for number, each in enumerate(attempts, 1))
    told = {"request_id": f"{next(NUMBERS)}", "decision": None, "latency_s": 1.0, **told}
    return LedgerEntry(receipt=Receipt(outcome=outcome, attempts=numbered, **told), **entry_fields)


NUMBERS = iter(range(10**9))
REJECTED = attempt(AttemptOutcome.REJECTED, verdict=Verdict(accepted=False, code="refusal"))
FAILED = attempt(AttemptOutcome.FAILED, usage=Usage(), cost_nano=0, failure=FailureKind.TIMEOUT)


def facts(of: Figures) -> dict[str, str]:
    return {fact.label: f"{fact.value} {fact.note}".strip() for fact in words.facts(of)}


# ------------------------------------------------------------------------------------------------------------- one row


def test_every_part_of_a_full_receipt_is_counted_once() -> None:
    total = figures(full_entry()).total

    assert (total.requests, total.called, total.answered, total.attempts) == (1, 1, 1, 3)
    assert (total.cost_nano, total.unknown_costs) == (100_000, 1)
    assert (total.escalated, dict(total.escalations)) == (1, {"wording": 1})
    assert (total.fell_back, dict(total.fallbacks)) == (1, {"overloaded": 1})
    assert (total.without_usage, total.estimated) == (1, 1)
    assert [total.count_of(kind) for kind in ("input_tokens", "output_tokens", "reasoning_tokens")] == [200, 110, 20]
    assert (total.latency.count, total.latency.mean_s) == (1, 3.75)
    assert total.first_token.quantile(0.5) == 0.125


def test_a_rejected_draft_is_spend_of_the_model_that_wrote_it() -> None:
    strong = attempt(model="strong", provider="two", cost_nano=900, latency_s=3.0)
    by_model = {group.name: group.counts for group in figures(asked(REJECTED, strong), by="model").groups}

    assert list(by_model) == ["strong", "weak"], "the dearest first"
    weak, strong_counts = by_model["weak"], by_model["strong"]
    assert (weak.cost_nano, weak.requests, weak.answered, weak.escalated) == (100, 1, 0, 1)
    assert (strong_counts.cost_nano, strong_counts.requests, strong_counts.answered) == (900, 1, 1)
    assert (weak.latency.mean_s, strong_counts.latency.mean_s) == (1.0, 3.0)


def test_failed_and_cached_calls_do_not_say_how_fast_a_model_is() -> None:
    cached = attempt(price_version=CACHE_PRICE, cost_nano=0, latency_s=0.001)
    failed = FAILED._replace(latency_s=60.0)
    (group,) = figures(asked(failed, attempt(latency_s=2.0)), asked(cached), by="model").groups

    assert (group.counts.latency.count, group.counts.latency.mean_s) == (1, 2.0)
    assert group.counts.cached == 1


def test_two_rejections_are_one_escalated_request() -> None:
    found = figures(asked(REJECTED, REJECTED, attempt()), asked(attempt()))

    assert (found.total.escalated, found.total.escalations["refusal"]) == (1, 2)
    assert facts(found)["Escalated"].startswith(
        "50.0 % 1 of 2 requests that called a model; answers rejected: refusal 2"
    )


def test_what_is_served_unverified_is_no_escalation() -> None:
    served = attempt(AttemptOutcome.SERVED, verdict=Verdict(accepted=False, code="wording"))
    found = figures(asked(served))

    assert (found.total.escalated, found.total.answered) == (0, 1)
    assert "wording 1" in facts(found)["Unverified"]


# ------------------------------------------------------------------------------------------------- what is not known


def test_an_unknown_cost_is_said_and_not_counted_as_nothing() -> None:
    some = figures(asked(attempt(cost_nano=None)), asked(attempt(cost_nano=NANO)))
    assert facts(some)["Spend"] == "$1.00 unknown for 1 of 2 calls, which are not in it"
    assert words.spent(some.total) == "$1.00 *"
    assert "* The cost is unknown for 1 of 2 calls" in words.group_note(some)

    none = figures(asked(attempt(cost_nano=None)))
    assert facts(none)["Spend"].startswith("unknown ")
    assert as_json(none, (), now=0)["total"]["cost_usd"] is None


def test_an_empty_ledger_divides_by_nothing() -> None:
    found = figures(by="model")

    told = as_json(found, (), now=0)
    assert (told["total"]["requests"], told["groups"], told["days"], told["first_at"]) == (0, [], [], None)
    assert told["total"]["escalation_rate"] is None
    assert told["savings"]["saved_usd"] is None
    assert facts(found)["Saved"] == "unknown no request to compare"


def test_requests_that_called_no_model_are_in_no_rate() -> None:
    refused = [asked(outcome=ReceiptOutcome.REFUSED, baseline_nano=None) for _ in range(3)]
    found = figures(*refused)
    assert facts(found)["Escalated"] == "- 0 of 0 requests that called a model"
    assert facts(found)["Calls of models"] == "0 3 requests called no model"

    found = figures(*refused, asked(REJECTED, attempt()))
    assert facts(found)["Escalated"].startswith("100.0 % 1 of 1 ")


# ------------------------------------------------------------------------------------------------------------- savings


def test_savings_compare_the_same_requests_and_count_what_got_no_answer() -> None:
    found = figures(
        asked(REJECTED, attempt(cost_nano=400), baseline_nano=3_000),
        asked(REJECTED, outcome=ReceiptOutcome.REJECTED, baseline_nano=9_999),
        asked(attempt(cost_nano=None), baseline_nano=70_000),
        asked(attempt(cost_nano=50_000), baseline_nano=None),
        asked(attempt(cost_nano=0, price_version=CACHE_PRICE), baseline_nano=80_000),
        asked(attempt(cost_nano=0, price_version=SCRIPTED_PRICE), baseline_nano=90_000),
        asked(outcome=ReceiptOutcome.REFUSED),
    )
    saving = found.total.saving

    assert (saving.requests, saving.cost_nano, saving.baseline_nano, saving.saved_nano) == (2, 600, 3_000, 2_400)
    assert saving.share == 0.8
    assert dict(found.left_out) == {"cost unknown": 1, "baseline unknown": 1, "cached or scripted": 2}
    assert "an estimate: 2 requests cost $0.0000006" in facts(found)["Saved"]
    assert "always the strongest model (strong)" in facts(found)["Saved"]


def test_routing_that_costs_more_is_said_so() -> None:
    found = figures(asked(REJECTED, attempt(cost_nano=2 * NANO), baseline_nano=NANO))
    assert facts(found)["Saved"].startswith("-$1.00 (-100.0 %)")
    assert as_json(found, (), now=0)["savings"]["saved_usd"] == "-1.0000001"


def test_a_baseline_of_nothing_has_no_share() -> None:
    found = figures(asked(attempt(cost_nano=0), baseline_nano=0))
    assert facts(found)["Saved"].startswith("$0 an estimate")


def test_baselines_are_told_apart() -> None:
    found = figures(
        asked(attempt(), baseline_model="a", baseline_nano=500), asked(attempt(), baseline_model="b", baseline_nano=700)
    )
    told = as_json(found, (), now=0)["savings"]["baselines"]
    assert {name: saving["saved_usd"] for name, saving in told.items()} == {"a": "0.0000004", "b": "0.0000006"}
    assert "(a, b)" in facts(found)["Saved"]


def test_predictions_are_held_against_the_truth() -> None:
    found = figures(
        asked(attempt(cost_nano=100), predicted_nano=100),
        asked(attempt(cost_nano=125), predicted_nano=100),
        asked(attempt(cost_nano=126), predicted_nano=100),
        asked(attempt(cost_nano=74), predicted_nano=100),
        asked(attempt(cost_nano=None), predicted_nano=100),
        asked(attempt(cost_nano=0, price_version=CACHE_PRICE), predicted_nano=100),
        asked(FAILED, outcome=ReceiptOutcome.FAILED, predicted_nano=100),
        asked(attempt(cost_nano=5)),
    )
    prediction = found.prediction
    assert (prediction.requests, prediction.predicted_nano, prediction.cost_nano) == (4, 400, 425)
    assert (prediction.not_above, prediction.near) == (2, 2)
    assert prediction.ratio == 425 / 400


# -------------------------------------------------------------------------------------------------------------- groups


def test_a_request_with_several_tags_counts_in_each_and_that_is_said() -> None:
    found = figures(asked(attempt(), tags=frozenset({"a", "b"})), asked(attempt()), by="tag")

    assert {group.name: group.counts.cost_nano for group in found.groups} == {"a": 100, "b": 100, None: 100}
    assert found.total.cost_nano == 200
    assert "counts in each of them" in words.group_note(found)
    assert as_json(found, (), now=0)["groups_overlap"] is True


@pytest.mark.parametrize(
    ("by", "name", "none"),
    [
        ("session", "conversation 7", "(no session)"),
        ("call_site", "agent.plan", "(no call site)"),
        ("policy", "difficulty", "(no decision)"),
    ],
)
def test_requests_that_have_none_stand_in_a_line_of_their_own(by: Any, name: str, none: str) -> None:
    found = figures(full_entry(), entry("plain", 1), by=by)
    assert [words.group_name(group, by) for group in found.groups] == [name, none]


def test_days_are_those_of_utc_and_in_order() -> None:
    found = figures(*(entry(f"{at}", 7, at=at) for at in (DAY_S - 0.000001, DAY_S, 5.0, 3 * DAY_S)), by="day")

    assert [(day, of.requests) for day, of in found.days.items()] == [
        (date(1970, 1, 1), 2),
        (date(1970, 1, 2), 1),
        (date(1970, 1, 4), 1),
    ]
    assert [group.name for group in found.groups] == ["1970-01-01", "1970-01-02", "1970-01-04"]


def test_a_clock_that_is_mad_is_no_error() -> None:
    found = figures(entry("far", 7, at=9_000_000_000_000.0), entry("past", 7, at=-9_000_000_000_000.0), by="day")

    assert list(found.days) == [date.min, date.max]
    assert words.span(found) == "beyond all calendars to beyond all calendars"
    told = as_json(found, (), now=0)
    assert (told["first_at"], told["last_at"]) == (None, None)


def test_groups_beyond_the_bound_are_counted_together() -> None:
    entries = [entry(f"{number}", 10, at=1_000.0 + number) for number in range(5)]
    entries = [
        LedgerEntry(receipt=one.receipt._replace(session=f"s{number % 4}"), at=one.at)
        for number, one in enumerate(entries)
    ]
    found = figures(*entries, by="session", max_groups=2)

    assert {group.name: group.counts.cost_nano for group in found.groups} == {"s0": 20, "s1": 10}
    assert found.rest is not None
    assert found.rest.cost_nano == 20
    assert "Only the first 2 are told apart" in words.group_note(found)


# ------------------------------------------------------------------------------------------------------ whatever comes
COSTS = st.none() | st.integers(0, 2**60)


@st.composite
def attempts(draw: st.DrawFn) -> Attempt:
    outcome = draw(st.sampled_from(AttemptOutcome))
    return attempt(
        outcome,
        model=draw(st.sampled_from(["weak", "middle", "strong"])),
        provider=draw(st.sampled_from(["one", "two"])),
        cost_nano=draw(COSTS),
        latency_s=draw(st.floats(0, 1e5)),
        usage=draw(st.none() | st.builds(Usage, input_tokens=st.integers(0, 999), output_tokens=st.integers(0, 999))),
        price_version=draw(st.none() | st.sampled_from(["registry", CACHE_PRICE])),
        verdict=draw(st.none() | st.just(Verdict(accepted=False, code="refusal"))),
        failure=FailureKind.TIMEOUT if outcome is AttemptOutcome.FAILED else None,
    )


@st.composite
def requests(draw: st.DrawFn) -> LedgerEntry:
    tried = draw(st.lists(attempts(), max_size=4))
    outcomes = [one for one in ReceiptOutcome if tried or one is not ReceiptOutcome.ANSWERED]
    return asked(
        *tried,
        outcome=draw(st.sampled_from(outcomes)),
        decision=draw(st.none() | st.just(full_decision())),
        at=draw(st.integers(0, 10 * DAY_S)),
        baseline_nano=draw(COSTS),
        predicted_nano=draw(COSTS),
        session=draw(st.none() | st.sampled_from(["", "s", "t"])),
        call_site=draw(st.none() | st.just("here")),
        tags=frozenset(draw(st.sets(st.sampled_from(["a", "b"])))),
    )


def added(groups: Sequence[Counts]) -> tuple[Any, ...]:
    return (
        sum(of.cost_nano for of in groups),
        sum(of.unknown_costs for of in groups),
        sum(of.attempts for of in groups),
        sum(of.answered for of in groups),
        [sum(kind) for kind in zip(*(of.tokens for of in groups), strict=True)] or [0] * len(KINDS),
        sum((of.escalations + of.fallbacks for of in groups), Counter()),
    )


@settings(max_examples=50)
@given(st.lists(requests(), max_size=8), st.sampled_from([way for way in WAYS if way != "tag"]))
def test_groups_add_up_to_the_total_to_the_nano_dollar(some: list[LedgerEntry], by: Any) -> None:
    found = figures(*some, by=by)

    known = [each.cost_nano for one in some for each in one.receipt.attempts if each.cost_nano is not None]
    assert found.total.cost_nano == sum(known) == sum(found.models.values())
    assert found.total.cost_nano == sum(sum(day.spent.values()) for day in found.days.values())
    assert added([group.counts for group in found.groups]) == added([found.total])
    if by not in {"model", "provider"}:
        assert sum(group.counts.requests for group in found.groups) == len(some)
        assert sum(group.counts.saving.cost_nano for group in found.groups) == found.total.saving.cost_nano


@settings(max_examples=50)
@given(st.lists(requests(), max_size=8), st.sampled_from([None, *WAYS]))
def test_whatever_a_ledger_holds_can_be_told(some: list[LedgerEntry], by: Any) -> None:
    found = figures(*some, by=by)

    told = as_json(found, (), now=0)
    assert Decimal(told["savings"]["baseline_usd"]) * NANO == found.total.saving.baseline_nano
    assert found.total.saving.requests + found.left_out.total() == found.total.called
    assert all(fact.value for fact in words.facts(found))
    assert words.group_note(found)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=3_000), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_within_two_percent_and_nothing_is_forgotten(durations: list[int], q: float) -> None:
    spread = Spread()
    for duration in durations:
        spread.add(duration)

    exact = sorted(durations)[math.floor(q * (len(durations) - 1))] / 1e6
    assert spread.count == len(durations) == sum(count for _, count in spread.buckets)
    assert spread.sum_us == sum(durations)
    assert spread.quantile(q) == pytest.approx(exact, rel=0.02, abs=1e-6)


def test_a_spread_forgets_nothing_however_many_there_are() -> None:
    spread = Spread()
    for duration in range(1, 5_001):
        spread.add(duration * 1_000)
    assert (spread.count, spread.mean_s) == (5_000, 2.5005)
    assert spread.quantile(0.01) == pytest.approx(0.05, rel=0.02)


@given(st.integers(-(2**80), 2**80))
def test_money_is_written_with_three_digits_at_least_and_its_sign(nano: int) -> None:
    told = words.usd(nano)

    read = Decimal(told.replace("$", "").replace(",", ""))
    exact = Decimal(nano) / NANO
    assert abs(read - exact) <= max(abs(exact) / 200, Decimal(1) / NANO)
    assert (read < 0) == (nano < 0)
    assert (told == "$0") == (nano == 0)
    assert Decimal(dollars(nano) or "") == exact
