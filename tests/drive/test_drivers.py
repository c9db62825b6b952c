"""One body over the four drivers: what is answered, shown, booked and told is the same in each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from router_core import (
    AllAttemptsFailed,
    AnswersRejected,
    ConfigError,
    NoFeasibleModel,
    Router,
    Settings,
    Verdict,
)
from router_core.events import Accepted, Called, Decided, Escalated, Event, FellBack, Settled
from router_core.policies import StaticPolicy
from router_core.records import AttemptOutcome, ReceiptOutcome
from router_core.testing import Broken, EventLog, ScriptedHost, scripted_model
from router_core.types import FailureKind, Reply, RequestView, Usage

WEAK = scripted_model("weak", input_usd="1", output_usd="2")
MIDDLE = scripted_model("middle", input_usd="10", output_usd="20")
STRONG = scripted_model("strong", input_usd="100", output_usd="200")
BAD = "bad draft that must not be seen"
GOOD = "A good answer of several words."
Make = Callable[..., Router]


def outcomes(attempts: Sequence[Any]) -> list[tuple[str, AttemptOutcome]]:
    return [(attempt.model, attempt.outcome) for attempt in attempts]


def kinds(log: EventLog) -> list[type[Event]]:
    return [type(event) for event in log.events]


async def test_a_good_draft_is_answered_by_the_weak_model(driver: Any, router_of: Make, log: EventLog) -> None:
    host = ScriptedHost.saying({"weak": GOOD})
    told = await driver.ask(router_of(host))
    assert told.text == GOOD
    assert told.answer is not None
    assert told.answer.text == GOOD
    assert told.answer.verified
    assert outcomes(told.receipt.attempts) == [("weak", AttemptOutcome.ACCEPTED)]
    assert kinds(log) == [Decided, Called, Accepted, Settled]


async def test_a_rejected_draft_is_paid_for_but_never_shown(driver: Any, router_of: Make, log: EventLog) -> None:
    host = ScriptedHost.saying({"weak": BAD, "strong": GOOD})
    told = await driver.ask(router_of(host))
    assert told.text == GOOD
    assert told.receipt.model == "strong"
    assert told.receipt.escalations == 1
    assert told.receipt.usage == sum((a.usage for a in told.receipt.attempts if a.usage), Usage())
    assert outcomes(told.receipt.attempts) == [
        ("weak", AttemptOutcome.REJECTED),
        ("strong", AttemptOutcome.ACCEPTED),
    ]
    assert kinds(log) == [Decided, Called, Escalated, Called, Accepted, Settled]


async def test_cost_is_the_sum_over_all_attempts(driver: Any, router_of: Make) -> None:
    weak = Reply(text=BAD, usage=Usage(input_tokens=1_000, output_tokens=10))
    strong = Reply(text=GOOD, usage=Usage(input_tokens=1_000, output_tokens=20))
    told = await driver.ask(router_of(ScriptedHost.saying({"weak": weak, "strong": strong})))
    assert told.receipt.cost_usd == Decimal("0.001") + Decimal("0.00002") + Decimal("0.1") + Decimal("0.004")


async def test_the_strongest_answer_is_served_though_a_verifier_dislikes_it(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": BAD, "strong": "still bad"})
    told = await driver.ask(router_of(host))
    assert told.text == "still bad"
    assert told.answer is not None
    assert not told.answer.verified
    last = told.receipt.attempts[-1]
    assert (last.outcome, last.verdict and last.verdict.code) == (AttemptOutcome.SERVED, "bad")


async def test_on_rejected_raise_hands_out_nothing(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": BAD, "strong": BAD})
    told = await driver.ask(router_of(host, settings=Settings(on_rejected="raise")))
    assert told.text == ""
    assert isinstance(told.error, AnswersRejected)
    assert told.error.reply.text == BAD
    assert told.error.receipt == told.receipt
    assert told.receipt.outcome is ReceiptOutcome.REJECTED


async def test_a_failed_call_falls_back_to_the_next_model(driver: Any, router_of: Make, log: EventLog) -> None:
    host = ScriptedHost.saying({"weak": Broken(FailureKind.OVERLOADED), "strong": GOOD})
    told = await driver.ask(router_of(host))
    assert told.text == GOOD
    assert told.receipt.fallbacks == 1
    first = told.receipt.attempts[0]
    assert (first.failure, first.cost_nano) == (FailureKind.OVERLOADED, 0)
    assert kinds(log) == [Decided, Called, FellBack, Called, Accepted, Settled]


async def test_when_the_strongest_is_down_a_weaker_one_answers(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": GOOD, "middle": GOOD, "strong": Broken()})
    router = router_of(host, models=[WEAK, MIDDLE, STRONG], policy=StaticPolicy("strong"))
    told = await driver.ask(router)
    assert told.text == GOOD
    assert [call.model for call in host.calls] == ["strong", "middle"]


async def test_a_passing_failure_of_the_only_model_is_retried(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": [Broken(FailureKind.TIMEOUT), GOOD]})
    told = await driver.ask(router_of(host, models=[WEAK]))
    assert told.text == GOOD
    assert [call.model for call in host.calls] == ["weak", "weak"]


async def test_a_lasting_failure_of_the_only_model_is_not_retried(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": Broken(FailureKind.BAD_REQUEST)})
    told = await driver.ask(router_of(host, models=[WEAK]))
    assert isinstance(told.error, AllAttemptsFailed)
    assert isinstance(told.error.__cause__, Broken)
    assert len(host.calls) == 1


async def test_when_all_fail_the_error_lists_each_attempt(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": Broken(FailureKind.AUTH), "strong": Broken(FailureKind.CONNECTION)})
    elsewhere = scripted_model("strong")
    router = router_of(host, settings=Settings(retries=0), models=[WEAK, _at(elsewhere, "other")])
    told = await driver.ask(router)
    assert isinstance(told.error, AllAttemptsFailed)
    assert "weak: auth" in str(told.error)
    assert "strong: connection" in str(told.error)
    assert told.receipt.outcome is ReceiptOutcome.FAILED


async def test_a_refused_key_is_not_tried_again_at_the_same_endpoint(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": Broken(FailureKind.AUTH), "middle": GOOD, "strong": GOOD})
    router = router_of(host, models=[WEAK, MIDDLE, _at(STRONG, "other")])
    told = await driver.ask(router)
    assert told.text == GOOD
    assert [call.model for call in host.calls] == ["weak", "strong"]


async def test_a_context_overflow_goes_to_a_larger_window_only(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"a": Broken(FailureKind.CONTEXT_OVERFLOW), "b": GOOD, "c": GOOD})
    windows = {"a": 8_000, "b": 8_000, "c": 16_000}
    models = [scripted_model(name, context_window=window) for name, window in windows.items()]
    await driver.ask(router_of(host, models=models))
    assert [call.model for call in host.calls] == ["a", "c"]


async def test_max_attempts_stops_the_climb_and_serves_the_last_answer(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": BAD, "middle": "bad too", "strong": GOOD})
    told = await driver.ask(router_of(host, models=[WEAK, MIDDLE, STRONG]), max_attempts=2)
    assert told.text == "bad too"
    assert [call.model for call in host.calls] == ["weak", "middle"]


async def test_max_attempts_counts_failures_too(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": Broken(), "strong": GOOD})
    told = await driver.ask(router_of(host, settings=Settings(max_attempts=1)))
    assert isinstance(told.error, AllAttemptsFailed)
    assert [call.model for call in host.calls] == ["weak"]


async def test_nothing_feasible_lists_every_model_and_calls_none(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({})
    told = await driver.ask(router_of(host), require_tags=["eu"])
    assert isinstance(told.error, NoFeasibleModel)
    assert [refusal.model for refusal in told.error.refusals] == ["weak", "strong"]
    assert host.calls == []
    assert told.receipt.outcome is ReceiptOutcome.REFUSED
    assert told.receipt.cost_nano == 0


async def test_a_reply_without_usage_is_estimated_and_marked(driver: Any, router_of: Make) -> None:
    told = await driver.ask(router_of(ScriptedHost.saying({"weak": Reply(text=GOOD)})))
    usage = told.receipt.usage
    assert usage.estimated
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0


async def test_an_unknown_price_stays_unknown(driver: Any, router_of: Make) -> None:
    unpriced = _unpriced("weak")
    told = await driver.ask(router_of(ScriptedHost.saying({"weak": GOOD}), models=[unpriced]))
    assert told.receipt.cost_usd is None
    assert told.receipt.summary()["cost_usd"] is None


async def test_a_failure_that_may_be_billed_books_its_input(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": Broken(FailureKind.TIMEOUT, may_be_billed=True), "strong": GOOD})
    told = await driver.ask(router_of(host))
    first = told.receipt.attempts[0]
    assert first.usage is not None
    assert first.usage.estimated
    assert first.usage.input_tokens > 0
    assert first.cost_nano


async def test_the_stronger_model_is_told_why_only_if_asked(driver: Any, router_of: Make) -> None:
    answers = {"weak": BAD, "strong": GOOD}
    silent, telling = ScriptedHost.saying(answers), ScriptedHost.saying(answers)
    await driver.ask(router_of(silent))
    await driver.ask(router_of(telling, settings=Settings(tell_why=True)))
    assert silent.calls[1].note is None
    assert telling.calls[0].note is None
    assert "it says bad" in (telling.calls[1].note or "")


async def test_a_policy_that_chooses_an_impossible_model_is_named(driver: Any, router_of: Make) -> None:
    class Lost:
        name = "lost"

        def decide(self, request: RequestView, candidates: Any) -> Any:
            choice = StaticPolicy().decide(request, candidates)
            return type(choice)(start="nowhere", reason=choice.reason)

    told = await driver.ask(router_of(ScriptedHost.saying({}), policy=Lost()))
    assert isinstance(told.error, ConfigError)
    assert "'lost'" in str(told.error)
    assert "'nowhere'" in str(told.error)


async def test_a_verifier_that_raises_does_not_lose_the_account(driver: Any, router_of: Make, log: EventLog) -> None:
    def faulty(_request: RequestView, _reply: Reply) -> Verdict:
        raise ZeroDivisionError("a fault of the user's own")

    host = ScriptedHost.saying({"weak": Reply(text=GOOD, usage=Usage(input_tokens=7, output_tokens=8))})
    router = router_of(host, models=[WEAK, STRONG], verifiers=[faulty])
    with pytest.raises(ZeroDivisionError):
        await driver.ask(router)
    (receipt,) = log.receipts
    assert receipt.outcome is ReceiptOutcome.FAILED
    assert receipt.usage == Usage(input_tokens=7, output_tokens=8)


async def test_an_async_verifier_works_where_it_can_be_awaited(driver: Any, router_of: Make) -> None:
    async def slow(_request: RequestView, reply: Reply) -> Verdict:
        await asyncio.sleep(0)
        return Verdict("bad" not in reply.text, "bad")

    host = ScriptedHost.saying({"weak": BAD, "strong": GOOD})
    told = await driver.ask(router_of(host, verifiers=[slow]))
    if driver.is_async:
        assert told.text == GOOD
    else:
        assert told.error is not None
        assert "is async" in str(told.error)
        assert told.receipt.usage.total_tokens > 0


async def test_an_async_policy_works_where_it_can_be_awaited(driver: Any, router_of: Make) -> None:
    class Slow:
        name = "slow"

        async def decide(self, request: RequestView, candidates: Any) -> Any:
            await asyncio.sleep(0)
            return StaticPolicy("strong").decide(request, candidates)

    told = await driver.ask(router_of(ScriptedHost.saying({"strong": GOOD}), policy=Slow()))
    if driver.is_async:
        assert told.text == GOOD
    else:
        assert "'slow'" in str(told.error)
        assert "is async" in str(told.error)


async def test_min_quality_raises_the_start_and_says_so(driver: Any, router_of: Make) -> None:
    models = [scripted_model("weak", quality=0.5), scripted_model("strong", quality=0.95)]
    router = router_of(ScriptedHost.saying({"strong": GOOD}), models=models, policy=None)
    told = await driver.ask(router, min_quality=0.9)
    decision = told.receipt.decision
    assert decision is not None
    assert decision.start == "strong"
    assert decision.reason.value == "raised_for_min_quality"
    assert [refusal.model for refusal in decision.refusals] == ["weak"]


async def test_each_caller_gets_its_own_request_id_and_labels(driver: Any, router_of: Make) -> None:
    router = router_of(ScriptedHost.saying({"weak": GOOD}))
    labels: dict[str, Any] = {"session": "s1", "call_site": "summarise", "tags": ["billing"]}
    one = await driver.ask(router, **labels)
    two = await driver.ask(router)
    assert one.receipt.request_id != two.receipt.request_id
    assert (one.receipt.session, one.receipt.call_site, one.receipt.tags) == ("s1", "summarise", {"billing"})


def _at(model: Any, endpoint: str) -> Any:
    return replace(model, endpoint=endpoint)


def _unpriced(name: str) -> Any:
    return replace(scripted_model(name), price=None)
