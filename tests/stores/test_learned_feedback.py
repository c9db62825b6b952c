"""What is said of answers teaches the strategy memory, wherever it is said, and once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from router_core import Router
from router_core.learning.strategy import (
    Batch,
    Cell,
    Contents,
    Evidence,
    Kind,
    Place,
    Why,
    judgement,
)
from router_core.ledger import Ledger
from router_core.policies import StrategyMemoryPolicy
from router_core.records import Decision, Feedback, Reason
from router_core.stores import LedgerEntry, Store, open_store
from router_core.testing import ScriptedHost, scripted_model
from tests.stores import remembering
from tests.stores.samples import entry, full_decision

PLACE = Place("agent/plan", "summary")
JUDGED, RECENT = (Cell(PLACE, "weak", kind) for kind in (Kind.JUDGED, Kind.RECENT))
LENGTH = 100.0


def served(request_id: str, **changes: object) -> LedgerEntry:
    """A receipt of the model "weak", begun by a strategy memory unless the decision is changed."""
    features = {"call_site": PLACE.call_site, "task": PLACE.task}
    decision = full_decision()._replace(policy="strategy", reason=Reason.REMEMBERED, features=features)
    return with_decision(entry(request_id, 5), decision._replace(**changes))


def with_decision(of: LedgerEntry, decision: Decision) -> LedgerEntry:
    return LedgerEntry(receipt=of.receipt._replace(decision=decision), at=of.at)


def say(store: Store, request_id: str, score: float, comment: str | None = None) -> None:
    assert store.save_feedback(Feedback(request_id, score, comment, 9.0))


def learn(store: Store) -> tuple[tuple[Place, str], ...]:
    return store.learn_feedback(LENGTH, 10.0)


def judge(store: Store, writer: str, quality: float, times: int = 1) -> None:
    """An auditor's judgements of the same model."""
    for number in range(1, times + 1):
        assert store.remember(Batch(writer, number, 9.0, judgement(PLACE, "weak", quality, LENGTH)))


def test_it_is_learned_once_with_the_words_that_were_said(store: Store) -> None:
    for name in ("r1", "r2"):
        store.record(served(name))
    say(store, "r1", 0.25, "half of it is missing")
    say(store, "r2", 1.0)

    assert learn(store) == ((PLACE, "half of it is missing"), (PLACE, ""))
    assert store.memory().evidence[JUDGED] == pytest.approx((1.2475, 0.7425, 1.25, 0.75))
    assert learn(store) == ()
    say(store, "r2", 1.0, "as I said")
    assert learn(store) == ()
    assert store.memory().evidence[JUDGED].all_good == 1.25


@pytest.mark.parametrize("meanwhile", [0, 1, 40])
def test_what_is_said_anew_stands_in_the_place_of_what_was_learned(store: Store, meanwhile: int) -> None:
    store.record(served("r1"))
    judge(store, "before", 0.5, 3)
    say(store, "r1", 1.0)
    learn(store)
    judge(store, "then", 1.0, meanwhile)
    for score in (0.0, 0.75, 0.25):
        say(store, "r1", score)
        assert learn(store) == ((PLACE, ""),)

    told = open_store("memory://")
    told.record(served("r1"))
    judge(told, "before", 0.5, 3)
    say(told, "r1", 0.25)
    learn(told)
    judge(told, "then", 1.0, meanwhile)
    assert {cell: tuple(seen) for cell, seen in store.memory().evidence.items()} == {
        cell: pytest.approx(tuple(seen)) for cell, seen in told.memory().evidence.items()
    }


def test_what_was_forgotten_since_is_not_taken_back(store: Store) -> None:
    store.record(served("r1"))
    say(store, "r1", 1.0)
    learn(store)
    store.remember(Batch("reset", 1, 9.0), anew=True)
    say(store, "r1", 0.0)
    learn(store)
    assert store.memory() == Contents({JUDGED: Evidence(0, 1, 0, 1), RECENT: Evidence(0, 1, 0, 1)})


def test_of_what_no_strategy_memory_began_nothing_is_learned(store: Store) -> None:
    store.record(entry("r1", 5))
    store.record(served("r2", reason=Reason.FORCED))
    store.record(served("r3", features={"call_site": "x" * 2000, "task": "chat"}))
    store.record(served("r4"))
    for name in ("r1", "r2", "r3", "r4"):
        say(store, name, 1.0)

    assert learn(store) == ((PLACE, ""),)
    assert {cell.place for cell in store.memory().evidence} == {PLACE}
    assert learn(store) == ()


def test_however_many_there_are_all_are_learned(store: Store) -> None:
    for number in range(300):
        store.record(served(f"r{number}"))
        say(store, f"r{number}", 1.0)
    assert len(learn(store)) == 300
    assert store.memory().evidence[JUDGED].all_good == 300


def test_a_receipt_that_comes_back_after_pruning_is_a_new_one(store: Store) -> None:
    store.record(served("r1"))
    say(store, "r1", 1.0)
    learn(store)
    assert store.prune(2_000.0) == 1
    store.record(served("r1"))
    assert learn(store) == ()
    say(store, "r1", 1.0)
    assert learn(store) == ((PLACE, ""),)


def test_processes_that_learn_at_once_count_each_word_once(url: str) -> None:
    store = open_store(url)
    for number in range(600):
        store.record(served(f"r{number}"))
        say(store, f"r{number}", number % 2)
    # Spawned: the threads of this process are not forked.
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        learned = [pool.submit(remembering.learn, url) for _ in range(3)]
        assert sum(each.result() for each in learned) == 600
    assert store.memory().evidence[JUDGED][2:] == (300, 300)
    store.close()


# ------------------------------------------------------------------------------------------------------------- routers

MODELS = [
    scripted_model("small", input_usd="0.1", output_usd="0.4"),
    scripted_model("large", input_usd="2.5", output_usd="10"),
]
PROMPT = "Summarise this report, please: sales fell by a tenth in May."
SMALL = Cell(PLACE, "small", Kind.JUDGED)


class Serving:
    """A router of this process on a store."""

    def __init__(self, url: str) -> None:
        self.ledger = Ledger(url)
        self.memory = StrategyMemoryPolicy()
        said = dict.fromkeys(("small", "large"), "Sales fell by a tenth.")
        self.router = Router(MODELS, policy=self.memory, host=ScriptedHost.saying(said), ledger=self.ledger)

    def ask(self) -> tuple[str, str]:
        receipt = self.router.complete(PROMPT, call_site="agent/plan").receipt
        return receipt.model, receipt.request_id

    def prefers_small(self) -> None:
        self.ask()
        for _ in range(15):
            self.memory.judged(PLACE, {"small": 1, "large": 1})
        assert self.ask()[0] == "small"

    def close(self) -> None:
        self.memory.close()
        self.ledger.close()


def elsewhere(url: str, request_id: str, *score: str) -> None:
    """``llm-router feedback`` in a process of its own."""
    command = [sys.executable, "-c", "from router_core.cli import main; main()", "feedback", request_id, *score]
    subprocess.run([*command, "--store", url], check=True, capture_output=True, timeout=120)


def test_what_another_process_is_told_reverses_what_this_one_serves(url: str) -> None:
    serving = Serving(url)
    serving.prefers_small()
    asked = [serving.ask() for _ in range(serving.memory.bad_outcomes_to_leave(0.95))]
    assert {model for model, _ in asked} == {"small"}
    for _, request_id in asked:
        elsewhere(url, request_id, "0", "--comment", "wrong month")

    serving.memory._memory.refresh()  # as its thread does after five seconds
    serving.ask()
    assert serving.ask()[0] == "large"
    step = serving.memory.contents.steps[-1]
    assert (step.from_model, step.to_model, step.detail) == ("small", "large", "feedback")
    assert step.why in {Why.FELL_SHORT, Why.TURNED_BAD}
    serving.close()


def test_what_was_said_while_no_router_ran_is_learned_by_the_next(url: str) -> None:
    first = Serving(url)
    first.prefers_small()
    asked = [first.ask()[1] for _ in range(first.memory.bad_outcomes_to_leave(0.95))]
    first.close()
    store = open_store(url)
    for request_id in asked:
        say(store, request_id, 0.0)
    store.close()

    then = Serving(url)
    then.ask()
    assert then.ask()[0] == "large"
    then.close()


def test_what_is_said_to_the_router_that_served_counts_once_everywhere_and_at_once(url: str) -> None:
    serving, other = Serving(url), Serving(url)
    serving.prefers_small()
    _, request_id = serving.ask()
    for score in (1, 0, 0.5):
        serving.router.feedback(request_id, score)
    assert serving.memory.contents.evidence[SMALL][2:] == (15.5, 0.5)
    other.ask()
    other.router.feedback(request_id, 0.25)
    serving.memory.flush()
    for each in (serving, other):
        each.memory._memory.refresh()
        assert each.memory.contents.evidence[SMALL][2:] == (15.25, 0.75)
        each.close()
    store = open_store(url)
    assert store.memory().evidence[SMALL][2:] == (15.25, 0.75)
    store.close()


def test_it_reverses_the_router_that_hears_it_without_another_request(url: str) -> None:
    serving = Serving(url)
    serving.prefers_small()
    for _, request_id in [serving.ask() for _ in range(serving.memory.bad_outcomes_to_leave(0.95))]:
        serving.router.feedback(request_id, score=False, comment="wrong month")
    assert serving.ask()[0] == "large"
    serving.close()
