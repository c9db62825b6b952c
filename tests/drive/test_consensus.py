"""Consensus: cheap models answer at once, what they agree on is served; it is switched off where it does not pay."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from router_core import Budget, ConfigError, Router, Settings
from router_core.ledger import Ledger
from router_core.records import AttemptOutcome
from router_core.stores import open_store
from router_core.testing import Broken, EventLog, ScriptedHost, scripted_model
from router_core.types import FailureKind, Reply, Usage
from router_core.verifiers import ConsensusVerifier
from tests.drive.conftest import STRONG, WEAK

OTHER = scripted_model("other", input_usd="1", output_usd="2")
MODELS = (WEAK, OTHER, STRONG)
ASKED = "How many apples are left?"
Make = Callable[..., Router]


def calls(receipt: Any) -> list[tuple[str, str, str]]:
    return [(attempt.model, attempt.role.value, attempt.outcome.value) for attempt in receipt.attempts]


def consensus(router_of: Make, host: ScriptedHost, models: Any = MODELS, **options: Any) -> Router:
    verifiers = [ConsensusVerifier(["weak", "other"])]
    return router_of(host, models, **{"verifiers": verifiers, **options})


async def test_what_two_cheap_models_agree_on_is_served(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": "There are **7** apples.", "other": "#### 7.0", "strong": "8"})
    told = await driver.ask(consensus(router_of, host), ASKED)

    assert (told.text, told.answer.verified) == ("There are **7** apples.", True)
    assert calls(told.receipt) == [("weak", "answer", "accepted"), ("other", "consensus", "consulted")]
    assert told.receipt.cost_nano == sum(attempt.cost_nano for attempt in told.receipt.attempts)
    assert told.answer.model == "weak"


async def test_where_they_differ_the_request_climbs_above_both(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": "7", "other": "9", "strong": "8"})
    told = await driver.ask(consensus(router_of, host), ASKED)

    assert told.text == "8"
    assert calls(told.receipt) == [
        ("weak", "answer", "rejected"),
        ("other", "consensus", "consulted"),
        ("strong", "answer", "accepted"),
    ]
    assert (told.receipt.attempts[0].verdict.code, told.receipt.escalations) == ("consensus", 1)
    assert len(host.calls) == 3


@pytest.mark.parametrize(("down", "text"), [("weak", "8"), ("other", "8")])
async def test_one_that_fails_agrees_with_nobody(driver: Any, router_of: Make, down: str, text: str) -> None:
    said: dict[str, Any] = {"weak": "7", "other": "7", "strong": "8"}
    told = await driver.ask(consensus(router_of, ScriptedHost.saying({**said, down: Broken()})), ASKED)

    assert told.text == text
    assert {a.model: a.outcome for a in told.receipt.attempts}[down] is AttemptOutcome.FAILED
    assert told.receipt.fallbacks == (down == "weak")


async def test_both_down_is_a_fallback(driver: Any, router_of: Make) -> None:
    said = {"weak": Broken(), "other": Broken(FailureKind.AUTH), "strong": "8"}
    told = await driver.ask(consensus(router_of, ScriptedHost.saying(said)), ASKED)

    assert (told.text, told.receipt.model) == ("8", "strong")


async def test_the_majority_of_three_is_served_whoever_said_it(driver: Any, router_of: Make) -> None:
    third = scripted_model("third")
    host = ScriptedHost.saying({"weak": "7", "other": "9", "third": "9.0", "strong": "8"})
    verifiers = [ConsensusVerifier(["weak", "other", "third"])]
    told = await driver.ask(router_of(host, (WEAK, OTHER, third, STRONG), verifiers=verifiers), ASKED)

    assert (told.text, told.receipt.model, told.answer.verified) == ("9", "other", True)
    assert calls(told.receipt) == [
        ("weak", "consensus", "consulted"),
        ("other", "answer", "accepted"),
        ("third", "consensus", "consulted"),
    ]


async def test_samples_of_one_model(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": ["7", "8", "7"], "strong": "8"})
    told = await driver.ask(router_of(host, (WEAK, STRONG), verifiers=[ConsensusVerifier(samples=3)]), ASKED)

    assert sorted(call.model for call in host.calls) == ["weak"] * 3
    assert (told.text, told.receipt.model) == ("7", "weak")


async def test_they_are_asked_at_the_same_time(driver: Any, router_of: Make) -> None:
    together = threading.Barrier(2, timeout=20)
    both = asyncio.Event()
    here: list[str] = []

    async def soon(name: str) -> str:
        here.append(name)
        if len(here) == 2:
            both.set()
        await asyncio.wait_for(both.wait(), 20)
        return "7"

    def script(effect: Any, _payload: Any) -> Any:
        if driver.is_async:
            return soon(effect.model.name)
        together.wait()
        return "7"

    told = await driver.ask(consensus(router_of, ScriptedHost(script)), ASKED)
    assert told.text == "7"


async def test_nothing_is_compared_where_it_cannot_be(driver: Any, router_of: Make) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    host = ScriptedHost.saying({"weak": "7", "other": "9", "strong": "8"})
    router = consensus(router_of, host)

    for options in ({"tools": [tool]}, {"force_model": "strong"}, {"deny": ["other"]}, {"max_attempts": 1}):
        told = await driver.ask(router, ASKED, **options)
        assert [role for _, role, _ in calls(told.receipt)] == ["answer"], options


@pytest.mark.parametrize("on_rejected", ["serve", "raise"])
async def test_nobody_is_compared_with_where_nobody_can_be_climbed_to(
    driver: Any, router_of: Make, on_rejected: Any
) -> None:
    host = ScriptedHost.saying({"weak": "7", "other": "9"})
    told = await driver.ask(
        consensus(router_of, host, (WEAK, OTHER), settings=Settings(on_rejected=on_rejected)), ASKED
    )

    assert (told.text, calls(told.receipt)) == ("7", [("weak", "answer", "accepted")])


def test_budgets_hold_both(router_of: Make) -> None:
    said = Reply(text="7", usage=Usage(input_tokens=10, output_tokens=40))
    ledger = Ledger(open_store("memory://"), budgets=[Budget(name="b", limit_usd=1)])
    host = ScriptedHost.saying({"weak": said, "other": said})
    receipt = consensus(router_of, host, ledger=ledger).complete(ASKED).receipt

    [standing] = ledger.store.standings("b")
    assert (standing.spent, standing.held) == (receipt.cost_nano, 0)
    assert receipt.cost_nano == 2 * (10 * 1_000 + 40 * 2_000)
    assert ledger.store.verify() == []


async def test_who_is_cut_off_pays_for_both(router_of: Make, log: EventLog) -> None:
    begun = asyncio.Semaphore(0)

    async def never() -> str:
        begun.release()
        await asyncio.sleep(1_000)
        return ""

    router = consensus(router_of, ScriptedHost(lambda _effect, _payload: never()))
    task = asyncio.create_task(router.acomplete(ASKED))
    await begun.acquire()
    await begun.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    [receipt] = log.receipts
    assert calls(receipt) == [("weak", "answer", "cancelled"), ("other", "consensus", "cancelled")]
    assert all(attempt.usage.input_tokens > 0 for attempt in receipt.attempts)


def test_it_is_switched_off_where_it_does_not_pay_and_comes_back(router_of: Make) -> None:
    dear = scripted_model("other", input_usd="50", output_usd="100")
    lines: dict[str, str] = {"weak": "7", "other": "9", "strong": "8"}
    host = ScriptedHost(lambda effect, _payload: lines[effect.model.name])
    router = consensus(router_of, host, (WEAK, dear, STRONG))

    def compared(requests: int, site: str) -> int:
        receipts = [router.complete(ASKED, call_site=site).receipt for _ in range(requests)]
        return sum(len({attempt.role for attempt in receipt.attempts}) == 2 for receipt in receipts)

    assert compared(60, "poor") < 30
    why = router.explain(ASKED, call_site="poor").features["consensus"]
    assert str(why).startswith("off: the cheap models agree on")
    assert compared(100, "poor") == 5, "one in twenty is compared all the same"
    assert str(router.explain(ASKED, call_site="another").features["consensus"]).startswith("on: ")

    lines["other"] = "7"
    compared(4_000, "poor")
    assert str(router.explain(ASKED, call_site="poor").features["consensus"]).startswith("on: ")


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({}, "give models, two at least, or samples"),
        ({"models": ["a", "b"], "samples": 2}, "and not both"),
        ({"models": ["a", "a"]}, r"\['a', 'a'\] are not two"),
        ({"models": "ab"}, "'ab' is no list"),
        ({"samples": 1}, "1 is not a whole number from 2 on"),
        ({"samples": 2, "kind": "poem"}, "'poem' is unknown"),
    ],
)
def test_a_wrong_setting_is_said(options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        ConsensusVerifier(**options)
