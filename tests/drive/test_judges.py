"""Judges: what they say decides, what they cost is booked, held and bounded, and without them the router goes on."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router_core import Budget, ConfigError, Router
from router_core.errors import BudgetExceeded
from router_core.hosts.schemas import format_of
from router_core.ledger import Ledger
from router_core.policies import JudgePolicy
from router_core.records import AttemptOutcome, ReceiptOutcome
from router_core.stores import open_store
from router_core.testing import Broken, EventLog, ScriptedHost, scripted_model
from router_core.types import JUDGE_TAG, FailureKind, Question, Reply, RequestView, Usage
from router_core.verifiers import JudgeVerifier
from tests.drive.conftest import MIDDLE, STRONG, WEAK

JUDGE = scripted_model("judge", input_usd="0.5", output_usd="1", tags=frozenset({JUDGE_TAG}))
MODELS = (JUDGE, WEAK, MIDDLE, STRONG)
Make = Callable[..., Router]


def chooses(model: str, **said: Any) -> str:
    judgement = {"task": "law", "difficulty": 0.7, "model": model, "confidence": 0.9} | said
    return f"Sure! ```json\n{json.dumps(judgement)}\n```"


def grades(grade: object) -> str:
    return json.dumps({"grade": grade, "reason": "it says so"})


def calls(receipt: Any) -> list[tuple[str, str, str]]:
    return [(attempt.model, attempt.role.value, attempt.outcome.value) for attempt in receipt.attempts]


async def test_a_judge_chooses_the_model_and_never_answers(driver: Any, router_of: Make, log: EventLog) -> None:
    host = ScriptedHost.saying({"judge": chooses("middle"), "middle": "Paris."})
    told = await driver.ask(router_of(host, MODELS, policy=JudgePolicy("judge")))

    assert told.text == "Paris."
    assert calls(told.receipt) == [("judge", "policy", "consulted"), ("middle", "answer", "accepted")]
    decision = told.receipt.decision
    assert (decision.start, decision.reason.value, decision.confidence) == ("middle", "chosen_by_judge", 0.9)
    assert decision.features == {"judge": "judge", "task": "law", "difficulty": 0.7}
    assert [(refusal.model, refusal.code.value) for refusal in decision.refusals] == [("judge", "judges_only")]
    assert [attempt.cost_nano for attempt in told.receipt.attempts] != [0, 0]
    assert told.receipt.cost_nano == sum(attempt.cost_nano for attempt in told.receipt.attempts)
    assert [type(event).__name__ for event in log.events] == [
        "Called",
        "Consulted",
        "Decided",
        "Called",
        "Accepted",
        "Settled",
    ]


async def test_what_a_judge_said_is_kept_for_the_same_question(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"judge": chooses("weak"), "weak": "Paris."})
    router = router_of(host, MODELS, policy=JudgePolicy("judge"))

    first, again, other = [await driver.ask(router, text) for text in ("Capital?", "Capital?", "Capital of Peru?")]

    assert [len(told.receipt.attempts) for told in (first, again, other)] == [2, 1, 2]
    assert again.receipt.decision.features["judge"] == "remembered"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("I would take the middle one.", "unreadable: no JSON object"),
        (chooses("huge"), "unreadable: it names no candidate"),
        (chooses("judge"), "unreadable: it names no candidate"),
        (chooses("middle", confidence="high"), "unreadable: difficulty and confidence are not both between 0 and 1"),
        (Broken(FailureKind.OVERLOADED), "overloaded: Broken"),
    ],
)
async def test_without_a_judge_the_text_decides(driver: Any, router_of: Make, line: Any, why: str) -> None:
    host = ScriptedHost.saying({"judge": line, "weak": "Paris."})
    told = await driver.ask(router_of(host, MODELS, policy=JudgePolicy("judge")))

    assert (told.text, told.receipt.fallbacks) == ("Paris.", 0)
    assert told.receipt.decision.reason.value == "difficulty_easy"
    assert told.receipt.decision.features["judge"] == why


async def test_nobody_waits_for_a_judge_longer_than_he_said(driver: Any, router_of: Make) -> None:
    heard = threading.Event()

    def script(effect: Any, _payload: Any) -> Any:
        if effect.model.name != "judge":
            return "Paris."
        if driver.is_async:
            return _never()
        heard.wait(20)
        return chooses("strong")

    router = router_of(ScriptedHost(script), MODELS, policy=JudgePolicy("judge", timeout_s=0.05))
    told = await driver.ask(router)
    heard.set()

    assert told.text == "Paris."
    judged = told.receipt.attempts[0]
    assert (judged.outcome, judged.failure, judged.usage.estimated) == (AttemptOutcome.FAILED, "timeout", True)
    assert judged.usage.input_tokens > 50, "its input was sent, and is paid for"
    assert told.receipt.decision.features["judge"] == "timeout: TimeoutError"


async def _never() -> str:
    await asyncio.sleep(1_000)
    return ""


async def test_an_answer_is_graded_and_a_poor_one_replaced(driver: Any, router_of: Make) -> None:
    host = ScriptedHost.saying({"weak": "Lyon.", "strong": "Paris.", "judge": [grades(0.2), grades(1)]})
    router = router_of(host, (JUDGE, WEAK, STRONG), verifiers=[JudgeVerifier("judge", threshold=0.6)])
    told = await driver.ask(router, max_attempts=3)

    assert told.text == "Paris."
    assert calls(told.receipt)[:3] == [
        ("weak", "answer", "rejected"),
        ("judge", "judge", "consulted"),
        ("strong", "answer", told.receipt.last.outcome),
    ]
    assert told.receipt.attempts[0].verdict.detail == "graded 0.2 of 1 by judge: it says so"
    assert (told.receipt.escalations, told.receipt.fallbacks, told.receipt.model) == (1, 0, "strong")
    assert told.answer.model == "strong"
    assert [attempt.number for attempt in told.receipt.attempts] == [1, 2, 3, 4]


@pytest.mark.parametrize("line", ["fine", grades(7), grades(None), Broken(FailureKind.TIMEOUT)])
async def test_a_judge_that_cannot_be_read_rejects_nothing_and_is_shown(
    driver: Any, router_of: Make, line: Any
) -> None:
    host = ScriptedHost.saying({"weak": "Paris.", "judge": line})
    told = await driver.ask(router_of(host, (JUDGE, WEAK, STRONG), verifiers=[JudgeVerifier("judge")]))

    assert (told.text, told.answer.verified) == ("Paris.", True)
    assert told.receipt.last.verdict.code == "judge_silent"


def test_who_explains_a_decision_pays_for_no_judge(router_of: Make) -> None:
    host = ScriptedHost.saying({})
    decision = router_of(host, MODELS, policy=JudgePolicy("judge")).explain("What is the capital?")

    assert (decision.start, host.calls) == ("weak", [])
    assert str(decision.features["judge"]).startswith("unknown")


def test_budgets_hold_what_judges_may_cost_before_they_are_asked(router_of: Make) -> None:
    store = open_store("memory://")
    host = ScriptedHost.saying(
        {"judge": [chooses("weak"), grades(0.1), grades(0.1), grades(1)], "weak": "W", "strong": "S"}
    )
    ledger = Ledger(store, budgets=[Budget(name="tokens", limit_tokens=100)])
    policy, verifiers = JudgePolicy("judge"), [JudgeVerifier("judge")]
    router = router_of(host, (JUDGE, WEAK, STRONG), policy=policy, verifiers=verifiers, ledger=ledger)

    with pytest.raises(BudgetExceeded):
        router.complete("Capital?")
    assert host.calls == []

    rich = Ledger(store, budgets=[Budget(name="rich", limit_tokens=10_000_000)])
    receipt = (
        router_of(host, (JUDGE, WEAK, STRONG), policy=policy, verifiers=verifiers, ledger=rich)
        .complete("Capital?")
        .receipt
    )

    assert [role for _, role, _ in calls(receipt)] == ["policy", "answer", "judge", "answer", "judge"]
    [standing] = store.standings("rich")
    assert (standing.spent, standing.held) == (receipt.usage.total_tokens, 0)
    assert store.verify() == []


@pytest.mark.parametrize(
    ("options", "model", "properties"),
    [
        ({"policy": JudgePolicy("judge", prompt_characters=1)}, ["weak", "strong"], "task difficulty model confidence"),
        ({"verifiers": [JudgeVerifier("judge", characters=1)]}, None, "grade reason"),
    ],
)
def test_a_judge_is_told_the_schema_of_its_answer_and_budgets_hold_it(
    router_of: Make, options: dict[str, Any], model: list[str] | None, properties: str
) -> None:
    asked: list[Question] = []

    def script(effect: Any, _payload: Any) -> str:
        if effect.question is None:
            return "🐋 Paris."
        asked.append(effect.question)
        return chooses("weak") if model else grades(1)

    router_of(ScriptedHost(script), (JUDGE, WEAK, STRONG), **options).complete("🐋 Capital?")

    [question] = asked
    schema = question.response_schema
    assert schema is not None
    assert schema["required"] == list(schema["properties"]) == properties.split()
    assert schema["properties"].get("model", {}).get("enum") == model
    sent = sum(len(turn.text.encode()) for turn in question.turns) + len(json.dumps(format_of(schema)))
    [asking] = [options.get("policy"), *options.get("verifiers", [])][-1:]
    [bound] = asking.consult_bounds(RequestView(turns=(), input_bytes=0), ["weak", "strong"])
    assert sent <= bound.input_bytes


def test_a_budget_for_the_judge_alone(router_of: Make) -> None:
    host = ScriptedHost.saying({"judge": chooses("weak"), "weak": Reply(text="W", usage=Usage(input_tokens=1))})
    ledger = Ledger(open_store("memory://"), budgets=[Budget(name="judges", limit_usd=1, scope="model:judge")])
    receipt = router_of(host, (JUDGE, WEAK, STRONG), policy=JudgePolicy("judge"), ledger=ledger).complete("?").receipt

    [standing] = ledger.store.standings("judges")
    assert (standing.spent, standing.held) == (receipt.attempts[0].cost_nano, 0)
    assert standing.spent > 0


async def test_a_judge_that_is_cut_off_is_booked(router_of: Make, log: EventLog) -> None:
    begun = asyncio.Event()

    def script(_effect: Any, _payload: Any) -> Any:
        begun.set()
        return _never()

    router = router_of(ScriptedHost(script), MODELS, policy=JudgePolicy("judge", timeout_s=500))
    task = asyncio.create_task(router.acomplete("Capital?"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    [receipt] = log.receipts
    assert receipt.outcome is ReceiptOutcome.CANCELLED
    assert calls(receipt) == [("judge", "policy", "cancelled")]
    assert receipt.attempts[0].usage.input_tokens > 50
    assert receipt.model is None


def test_a_judge_that_there_is_not(router_of: Make) -> None:
    for wrong in ({"policy": JudgePolicy("jugde")}, {"verifiers": [JudgeVerifier("jugde")]}):
        with pytest.raises(ConfigError, match="'jugde' is no model of this router"):
            router_of(ScriptedHost.saying({}), (WEAK, STRONG), **wrong)


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda: JudgePolicy(""), "judge.model: '' is no name"),
        (lambda: JudgePolicy("m", timeout_s=0), "judge.timeout_s: 0 is not a number above 0"),
        (lambda: JudgeVerifier("m", threshold=2), "judge.threshold: 2 is not between 0 and 1"),
        (lambda: JudgeVerifier("m", rubric=" "), "judge.rubric: ' ' is no text"),
        (lambda: Router([JUDGE]), "all have the tag 'judge'"),
    ],
)
def test_a_wrong_setting_is_said(make: Callable[[], object], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        make()


def test_a_file_names_judges_and_consensus(tmp_path: Path) -> None:
    file = tmp_path / "router.yaml"
    file.write_text(
        """
version: 1
models:
  - {name: "ollama:small", price: {input: 1, output: 2}, tags: [judge]}
  - {name: "ollama:weak", price: {input: 1, output: 2}}
  - {name: "ollama:other", price: {input: 1, output: 2}}
  - {name: "ollama:strong", price: {input: 9, output: 9}}
policy: {name: judge, model: "ollama:small", timeout_s: 2}
verifiers:
  - {name: consensus, models: ["ollama:weak", "ollama:other"]}
  - {name: judge, model: "ollama:small", threshold: 0.7, rubric: "Is it polite?"}
""",
        encoding="utf-8",
    )
    told: list[str] = []

    def script(effect: Any, payload: Any) -> str:
        told.append(payload.messages[0]["content"])
        return {"ollama:small": grades(0.8) if len(told) > 1 else chooses("ollama:weak")}.get(effect.model.name, "7")

    receipt = Router.from_config(file, host=ScriptedHost(script)).complete("How many?").receipt

    assert sorted(role for _, role, _ in calls(receipt)) == ["answer", "consensus", "judge", "policy"]
    assert "Is it polite?" in told[-1]
