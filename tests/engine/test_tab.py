"""What a running account tells of its request once that is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from router_core.cascade import Rules
from router_core.constraints import Outlook
from router_core.effects import Timed
from router_core.latency import Observations
from router_core.options import Settings
from router_core.policies import StaticPolicy
from router_core.prices import PriceBook
from router_core.records import AttemptOutcome, Candidate, Decision, Reason
from router_core.registry import Registry
from router_core.tab import Tab
from router_core.testing import scripted_model
from router_core.types import Constraints, Failed, FailureKind, Model, Reply, RequestView, Usage, Verdict

WEAK = scripted_model("weak", input_usd="1", output_usd="2")
STRONG = scripted_model("strong", input_usd="100", output_usd="200")
UNPRICED = replace(WEAK, name="unpriced", price=None)
OUTLOOK = Outlook(PriceBook(lambda: datetime(2026, 11, 1, tzinfo=UTC)), Observations(), Settings())
ANSWER = Reply(text="Paris.", usage=Usage(input_tokens=10, output_tokens=5))
REJECTED = Verdict(accepted=False, code="refusal")


def tab_of(*booked: tuple[Model, Reply | Failed, AttemptOutcome], closed: bool = True, **decided: Any) -> Tab:
    tab = Tab(RequestView(turns=(), input_bytes=40), OUTLOOK)
    told = {"policy": "static", "reason": Reason.STATIC, "ladder": ("weak", "strong"), "fallbacks": (), **decided}
    tab.decision = Decision(candidates=(Candidate(WEAK, 20_000), Candidate(STRONG, None)), refusals=(), **told)
    for model, result, outcome in booked:
        tab.book(
            tab.depart(model), Timed(result, 0.25), outcome, REJECTED if outcome is AttemptOutcome.REJECTED else None
        )
        if outcome in {AttemptOutcome.ACCEPTED, AttemptOutcome.SERVED}:
            tab.reply = result
    if closed:
        tab.close(1.25, None if tab.reply else RuntimeError())
    return tab


def test_the_baseline_is_the_price_of_the_served_answer_at_the_strongest() -> None:
    tab = tab_of((WEAK, ANSWER, AttemptOutcome.REJECTED), (WEAK, ANSWER, AttemptOutcome.ACCEPTED))

    assert tab.baseline_nano(STRONG) == 10 * 100_000 + 5 * 200_000


@pytest.mark.parametrize(
    ("tab", "strongest"),
    [
        (tab_of((WEAK, ANSWER, AttemptOutcome.ACCEPTED)), UNPRICED),
        (tab_of((WEAK, ANSWER, AttemptOutcome.REJECTED)), STRONG),
        (tab_of(), STRONG),
    ],
    ids=["no price", "no answer", "no call"],
)
def test_a_baseline_that_cannot_be_known_is_none(tab: Tab, strongest: Model) -> None:
    assert tab.baseline_nano(strongest) is None


def test_the_summary_tells_how_the_answer_came_about() -> None:
    down = Failed(RuntimeError("down"), FailureKind.OVERLOADED)
    tab = tab_of(
        (WEAK, ANSWER, AttemptOutcome.REJECTED),
        (STRONG, down, AttemptOutcome.FAILED),
        (STRONG, ANSWER, AttemptOutcome.ACCEPTED),
        score=0.5,
    )

    assert tab.summary(STRONG) == {
        "request_id": tab.request_id,
        "model": "strong",
        "policy": "static",
        "reason": "static",
        "score": "0.5",
        "predicted_cost_usd": "0.00002",
        "cost_usd": "0.00202",
        "strongest_cost_usd": "0.002",
        "attempts": 3,
        "escalations": 1,
        "fallbacks": 1,
        "verified": "yes",
        "latency_ms": 1250,
    }


def test_the_summary_holds_text_and_whole_numbers_even_of_what_is_unknown() -> None:
    told = tab_of((UNPRICED, ANSWER, AttemptOutcome.SERVED), ladder=("strong",)).summary(UNPRICED)

    assert {type(value) for value in told.values()} == {str, int}
    assert told["score"] == ""
    assert told["predicted_cost_usd"] == told["cost_usd"] == told["strongest_cost_usd"] == "unknown"
    assert told["verified"] == "no"


def test_the_summary_of_a_request_that_called_nothing_names_no_model() -> None:
    told = tab_of().summary(STRONG)

    assert (told["model"], told["attempts"], told["cost_usd"], told["verified"]) == ("", 0, "0", "no")


def test_without_a_receipt_or_a_decision_there_is_no_summary() -> None:
    undecided = tab_of()
    undecided.decision = None

    assert tab_of(closed=False).summary(STRONG) == undecided.summary(STRONG) == {}


def test_rules_that_decide_alike_have_one_identity() -> None:
    def identity(start: str = "weak", settings: Settings | None = None, **demanded: Any) -> dict[str, Any]:
        outlook = OUTLOOK if settings is None else replace(OUTLOOK, settings=settings)
        rules = Rules(Registry((WEAK, STRONG), endpoints={}), StaticPolicy(start), (), outlook)
        return rules.identity(Constraints(**demanded))

    assert identity(deny=frozenset("abc")) == identity(deny=frozenset("cba"))
    different = [identity(), identity("strong"), identity(max_attempts=1), identity(settings=Settings(retries=7))]
    assert all(one != other for at, one in enumerate(different) for other in different[:at])


USED = Usage(input_tokens=10, output_tokens=5)


@pytest.mark.parametrize(
    ("reply", "nano", "source"),
    [
        (Reply(text="Paris.", usage=USED), 20_000, "registry"),
        (Reply(text="Paris.", usage=USED, cost_nano=123), 123, "provider"),
        (Reply(text="Paris.", usage=USED, cost_nano=0), 0, "provider"),
        (Reply(text="Paris.", usage=Usage(), cached=True), 0, "cache"),
        (Reply(text="Paris.", cached=True, cost_nano=123), 0, "cache"),
        (Reply(text="Paris.", usage=USED, scripted=True), 0, "scripted"),
        (Reply(text="Paris.", scripted=True), 0, "scripted"),
    ],
    ids=["computed", "reported", "reported free", "cached", "cached, once reported", "scripted", "scripted, untold"],
)
def test_a_cost_is_marked_with_where_it_comes_from(reply: Reply, nano: int, source: str) -> None:
    (attempt,) = tab_of((WEAK, reply, AttemptOutcome.ACCEPTED)).attempts

    assert (attempt.cost_nano, attempt.price_version) == (nano, source)
    assert attempt.usage is not None
    assert not attempt.usage.estimated


def test_a_reported_cost_is_known_even_where_the_price_is_not() -> None:
    (attempt,) = tab_of((UNPRICED, Reply(text="Paris.", usage=USED, cost_nano=7), AttemptOutcome.ACCEPTED)).attempts
    assert (attempt.cost_nano, attempt.price_version) == (7, "provider")


def test_an_attempt_tells_its_tier_and_costs_what_that_costs() -> None:
    listed = Model(name="gpt-5", id="gpt-5", provider="openai", endpoint="openai")
    usual, flex = (
        tab_of((listed, Reply(text="Paris.", usage=USED, service_tier=tier), AttemptOutcome.ACCEPTED)).attempts[0]
        for tier in ("default", "flex")
    )
    unknown = tab_of((listed, Reply(text="Paris.", usage=USED, service_tier="odd"), AttemptOutcome.ACCEPTED))

    assert (usual.service_tier, flex.service_tier) == ("default", "flex")
    assert usual.cost_nano == 10 * 1_250 + 5 * 10_000
    assert flex.cost_nano == (usual.cost_nano or 0) // 2
    assert unknown.attempts[0].cost_nano is None
