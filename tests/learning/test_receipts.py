"""Examples out of a ledger, as a store hands its receipts out."""

from __future__ import annotations

import pytest

from router_core.errors import ConfigError
from router_core.learning.examples import Example, Found, Outcome
from router_core.learning.receipts import from_ledger
from router_core.records import Attempt, AttemptOutcome, AttemptRole, Feedback, Receipt, ReceiptOutcome
from router_core.stores import open_store
from router_core.stores.base import LedgerEntry
from router_core.types import Usage

HASH = "0" * 64


def attempt(model: str, outcome: AttemptOutcome, role: AttemptRole = AttemptRole.ANSWER) -> Attempt:
    usage = Usage(input_tokens=9, output_tokens=1)
    return Attempt(1, model, "test", outcome, 0.1, usage=usage, cost_nano=2_000_000, finish_reason="stop", role=role)


def entry(*attempts: Attempt, name: str = "r", prompt: str | None = "2+2?", answer: str | None = "4") -> LedgerEntry:
    numbered = tuple(each._replace(number=number) for number, each in enumerate(attempts, start=1))
    receipt = Receipt(name, ReceiptOutcome.ANSWERED, None, numbered, 0.2, session="s", call_site="sums")
    return LedgerEntry(receipt=receipt, at=1.0, prompt=prompt, answer=answer)


def found(*entries: LedgerEntry, feedback: float | None = None) -> Found:
    store = open_store("memory://")
    for each in entries:
        store.record(each)
    if feedback is not None:
        store.save_feedback(Feedback(entries[0].receipt.request_id, feedback, None, 2.0))
    return from_ledger(store.entries())


def judged(quality: float, answer: str | None = None) -> Outcome:
    return Outcome(
        quality=quality, cost_usd=0.002, answer=answer, finish_reason="stop", input_tokens=9, output_tokens=1
    )


def test_a_rejected_answer_is_wrong_and_the_accepted_one_right() -> None:
    climbed = entry(
        attempt("judge", AttemptOutcome.CONSULTED, AttemptRole.JUDGE),
        attempt("small", AttemptOutcome.REJECTED),
        attempt("medium", AttemptOutcome.FAILED),
        attempt("large", AttemptOutcome.ACCEPTED),
    )
    outcomes = {"small": judged(0), "large": judged(1, "4")}
    assert found(climbed).examples == [Example(text="2+2?", outcomes=outcomes, call_site="sums", group="s")]


def test_an_answer_that_was_served_against_its_verdict_is_wrong() -> None:
    (example,) = found(entry(attempt("small", AttemptOutcome.SERVED))).examples
    assert example.outcomes == {"small": judged(0, "4")}


def test_feedback_stands_above_the_verifiers_and_is_about_what_was_served() -> None:
    climbed = entry(attempt("small", AttemptOutcome.REJECTED), attempt("large", AttemptOutcome.ACCEPTED))
    (example,) = found(climbed, feedback=0.25).examples
    assert {name: of.quality for name, of in example.outcomes.items()} == {"small": 0, "large": 0.25}


def test_what_cannot_be_learned_from_is_counted() -> None:
    right, failed = attempt("small", AttemptOutcome.ACCEPTED), attempt("small", AttemptOutcome.FAILED)
    told = found(
        entry(right, name="a", answer=HASH),
        entry(right, name="b", prompt=HASH),
        entry(right, name="c", prompt=None),
        entry(failed, name="d"),
        entry(right, name="e", prompt="  "),
    )
    assert [example.outcomes["small"].answer for example in told.examples] == [None]
    assert set(told.told.split(", ")) == {
        "2 without the text of the prompt",
        "1 without a judged answer",
        "1 with an empty prompt",
    }


def test_a_ledger_without_texts_says_how_to_keep_them() -> None:
    told = r"ledger: no receipt can be learned from \(1 without the text of the prompt\); .*store_text: full"
    with pytest.raises(ConfigError, match=told):
        found(entry(attempt("small", AttemptOutcome.ACCEPTED), prompt=HASH))
    with pytest.raises(ConfigError, match=r"\(there is none\)"):
        found()
