"""The strategy memory as the policy of a router: what it decides, what it learns from, where it keeps it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from router_core import Router
from router_core.errors import ConfigError, StoreError
from router_core.learning.strategy import Batch, Cell, Contents, Kind, Place, Why
from router_core.ledger import Ledger
from router_core.policies import POLICIES, StrategyMemoryPolicy, make_policy
from router_core.policies.strategy import place_of
from router_core.records import Feedback, Reason, Receipt
from router_core.stores import open_store
from router_core.stores.memory import MemoryStore
from router_core.testing import ScriptedHost, scripted_model
from router_core.types import Constraints

MODELS = [
    scripted_model("tiny", input_usd="0.05", output_usd="0.2"),
    scripted_model("small", input_usd="0.1", output_usd="0.4"),
    scripted_model("large", input_usd="2.5", output_usd="10", quality=0.9),
]
TIERS = [model.name for model in MODELS]
PROMPT = "Summarise this report, please: sales fell by a tenth in May."
PLACE = Place("agent/plan", "summary")


def router(memory: StrategyMemoryPolicy, *, ledger: Ledger | None = None, **answers: object) -> Router:
    said = dict.fromkeys(TIERS, "Sales fell by a tenth.") | answers
    return Router(MODELS, policy=memory, host=ScriptedHost.saying(said), ledger=ledger)


def ask(of: Router, **options: object) -> Receipt:
    return of.complete(PROMPT, call_site="agent/plan", **options).receipt


def teach(memory: StrategyMemoryPolicy, times: int = 15, place: Place = PLACE, **qualities: float) -> None:
    for _ in range(times):
        memory.judged(place, qualities or {"small": 1, "large": 1}, "judge: as good")


def test_it_is_registered_and_its_options_are_checked() -> None:
    made = make_policy("strategy", {"margin": 0.1, "level": 0.9, "length": 50}, TIERS)
    assert isinstance(made, StrategyMemoryPolicy)
    assert made.limits == (0.1, 0.9, 0.3, 50)
    assert POLICIES["strategy"] is StrategyMemoryPolicy
    for option, value in (("margin", 2), ("level", 0.4), ("length", 5), ("margin", "much"), ("level", True)):
        with pytest.raises(ConfigError, match=f"strategy.{option}: {value!r}"):
            make_policy("strategy", {option: value}, TIERS)


def test_it_starts_with_the_strongest_and_remembers_what_suffices() -> None:
    memory = StrategyMemoryPolicy()
    routed = router(memory)
    first = ask(routed)
    assert (first.model, first.decision.reason) == ("large", Reason.BASELINE)
    assert place_of(first.decision) == PLACE
    teach(memory)
    then = ask(routed)
    assert (then.model, then.decision.reason) == ("small", Reason.REMEMBERED)
    assert then.decision.features == {
        "task": "summary",
        "call_site": "agent/plan",
        "remembered": "small",
        "feasible": True,
        "steps": 1,
    }
    assert then.decision.quality["small"] > 0.9
    assert routed.complete("Write a Python function, please.", call_site="agent/plan").model == "large"
    assert routed.complete(PROMPT, call_site="elsewhere").model == "large"


def test_a_tag_names_the_task_better_than_the_words() -> None:
    memory = StrategyMemoryPolicy()
    decision = router(memory).complete(PROMPT, tags=["task:minutes", "team:a"]).receipt.decision
    assert place_of(decision) == Place("", "minutes")


def test_where_the_remembered_model_cannot_serve_the_next_stronger_does() -> None:
    memory = StrategyMemoryPolicy(tiers=TIERS)
    routed = router(memory)
    ask(routed)
    teach(memory, tiny=1, large=1)
    assert ask(routed).model == "tiny"
    denied = ask(routed, deny=["tiny"])
    assert (denied.model, denied.decision.reason) == ("small", Reason.REMEMBERED)
    assert denied.decision.features["feasible"] is False
    # Where the strongest is no candidate, another is not taken for it.
    assert memory.rivals(ask(routed, deny=["large"]).decision).strongest == "large"


def test_bad_judgements_and_feedback_reverse_it() -> None:
    memory = StrategyMemoryPolicy()
    routed = router(memory)
    ask(routed)
    teach(memory, 100)
    count = 0
    while (receipt := ask(routed)).model == "small":
        memory.observe(Feedback(receipt.request_id, 0.0, "wrong month", 1.0))
        count += 1
    step = memory.contents.steps[-1]
    assert (step.from_model, step.to_model) == ("small", "large")
    assert step.why in {Why.FELL_SHORT, Why.TURNED_BAD}
    assert step.detail == "feedback: wrong month"
    assert count <= memory.bad_outcomes_to_leave(0.95)


def test_feedback_on_a_request_that_it_does_not_know_is_nothing() -> None:
    memory = StrategyMemoryPolicy()
    memory.observe(Feedback("who", 0.0, None, 1.0))
    assert memory.contents == Contents()


def test_feedback_that_is_given_anew_stands_in_the_place_of_the_first(tmp_path: Path) -> None:
    memory = StrategyMemoryPolicy(file=tmp_path / "memory.json")
    # Kept in its file, it learns from what its own process is told.
    routed = router(memory, ledger=Ledger(MemoryStore()))
    for _ in range(2):
        receipt = ask(routed)
        for score in (1, 0, 0, 0.5):
            routed.feedback(receipt.request_id, score)
    seen = memory.contents.evidence[Cell(PLACE, "large", Kind.JUDGED)]
    assert seen == pytest.approx((0.995, 0.995, 1, 1))
    memory.close()


def test_drafts_that_verifiers_reject_make_it_leave_and_earn_its_way_anew() -> None:
    memory = StrategyMemoryPolicy()
    routed = router(memory)
    ask(routed)
    teach(memory)
    for _ in range(40):
        assert ask(routed).model == "small"
    turned = router(memory, small="I don't know.")
    count = 0
    while (receipt := ask(turned)).decision.reason is Reason.REMEMBERED:
        assert receipt.model == "large"
        count += 1
    assert count <= memory.rejections_to_leave
    step = memory.contents.steps[-1]
    assert (step.why, step.detail.partition(":")[0]) == (Why.REJECTED, "abstention")
    assert memory.contents.evidence[Cell(PLACE, "small", Kind.JUDGED)].weight == 0
    teach(memory, 10)
    assert ask(routed).model == "large"
    teach(memory, 10)
    assert ask(routed).model == "small"


def test_a_forced_model_teaches_nothing() -> None:
    memory = StrategyMemoryPolicy()
    routed = Router(
        MODELS, policy=memory, constraints=Constraints(force_model="small"), host=ScriptedHost.saying({"small": "Yes."})
    )
    assert memory.rivals(ask(routed).decision) is None
    assert memory.contents == Contents()


def test_a_quality_out_of_range_is_refused_and_changes_nothing() -> None:
    memory = StrategyMemoryPolicy()
    with pytest.raises(ValueError, match=r"quality 1\.5 of 'small'"):
        memory.judged(PLACE, {"large": 1, "small": 1.5})
    assert memory.contents == Contents()


def test_call_sites_that_are_ids_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router_core.policies.strategy._MOST_PLACES", 2)
    memory = StrategyMemoryPolicy()
    routed = router(memory)
    found = [
        place_of(routed.complete(PROMPT, call_site=name).receipt.decision).call_site for name in ("a", "b", "c", "a")
    ]
    assert found == ["a", "b", "", "a"]
    assert place_of(routed.complete(PROMPT, call_site="b" * 500).receipt.decision).call_site == ""


def test_threads_may_share_it() -> None:
    memory = StrategyMemoryPolicy()
    routed = router(memory)
    ask(routed)
    barrier = threading.Barrier(4)

    def work(_: int) -> None:
        barrier.wait()
        for _ in range(25):
            ask(routed)
            memory.judged(PLACE, {"small": 1, "large": 1})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert memory.contents.evidence[Cell(PLACE, "small", Kind.JUDGED)].all_good == 100
    assert [step.to_model for step in memory.contents.steps] == ["small"]


# ------------------------------------------------------------------------------------------------------------- keeping


def test_it_is_kept_in_the_store_of_the_ledger(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="not installed; run: uv sync")
    url = f"sqlite:///{tmp_path / 'router.db'}"
    ledger = Ledger(url)
    memory = StrategyMemoryPolicy()
    routed = router(memory, ledger=ledger)
    ask(routed)
    teach(memory)
    ledger.close()

    again = Ledger(url)
    first = ask(router(StrategyMemoryPolicy(), ledger=again))
    assert first.decision.reason is Reason.REMEMBERED
    again.close()
    store = open_store(url)
    kept = store.memory()
    store.close()
    assert kept.evidence[Cell(PLACE, "small", Kind.JUDGED)].all_good == 15
    # Words that may quote a request are kept only with the texts.
    assert [step.detail for step in kept.steps] == ["judge"]


def test_with_the_texts_the_words_are_kept_too() -> None:
    memory, store = StrategyMemoryPolicy(), MemoryStore()
    ledger = Ledger(store, store_text="full", redact=lambda text: text.replace("good", "***"))
    ask(router(memory, ledger=ledger))
    teach(memory)
    memory.flush()
    assert [step.detail for step in store.memory().steps] == ["judge: as ***"]


async def test_async_calls_find_it_too() -> None:
    store = MemoryStore()
    first = StrategyMemoryPolicy()
    ledger = Ledger(store)
    await asyncio.to_thread(ask, router(first, ledger=ledger))
    teach(first)
    first.flush()
    routed = router(StrategyMemoryPolicy(), ledger=Ledger(store))
    answer = await routed.acomplete(PROMPT, call_site="agent/plan")
    assert answer.model == "small"


def test_what_another_process_learned_is_known_after_a_reading() -> None:
    store = MemoryStore()
    one, other = StrategyMemoryPolicy(), StrategyMemoryPolicy()
    routed = [router(memory, ledger=Ledger(store)) for memory in (one, other)]
    for each in routed:
        ask(each)
    teach(one, 10)
    teach(other, 1)
    one.flush()
    other._memory.refresh()
    assert other.contents.evidence[Cell(PLACE, "small", Kind.JUDGED)].all_good == 11
    other.flush()
    assert store.memory().evidence[Cell(PLACE, "small", Kind.JUDGED)].all_good == 11
    teach(other, 2)
    assert ask(routed[1]).model == "small"


class _Failing(MemoryStore):
    """A store whose memory fails, after the batch was kept, so many times."""

    failures = 0

    def remember(self, batch: Batch, *, anew: bool = False) -> bool:
        new = super().remember(batch, anew=anew)
        if self.failures:
            self.failures -= 1
            raise StoreError("store", "gone", "try again")
        return new

    def memory(self) -> Contents:
        if self.failures:
            raise StoreError("store", "gone", "try again")
        return super().memory()


def test_a_store_that_fails_holds_up_nothing_and_counts_nothing_twice(caplog: pytest.LogCaptureFixture) -> None:
    store, memory = _Failing(), StrategyMemoryPolicy()
    store.failures = 2
    routed = router(memory, ledger=Ledger(store))
    ask(routed)
    teach(memory, 10)
    memory.flush()
    teach(memory, 5)
    memory.flush()
    assert "could not write down" in caplog.text
    assert ask(routed).model == "small"
    memory.flush()
    assert store.memory().evidence[Cell(PLACE, "small", Kind.JUDGED)].all_good == 15


def test_it_is_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    memory = StrategyMemoryPolicy(file=path)
    ask(router(memory))
    teach(memory)
    memory.close()
    assert ask(router(StrategyMemoryPolicy(file=str(path)))).model == "small"
    path.write_text("{}")
    with pytest.raises(ConfigError, match=str(path)):
        StrategyMemoryPolicy(file=path)


def test_the_end_of_a_process_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    code = f"""
from router_core.learning.strategy import Place
from router_core.policies import StrategyMemoryPolicy
memory = StrategyMemoryPolicy(file={str(path)!r})
memory.judged(Place("a", "chat"), {{"small": 1}})
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    kept = StrategyMemoryPolicy(file=path).contents
    assert kept.evidence[Cell(Place("a", "chat"), "small", Kind.JUDGED)].all_good == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_does_not_count_twice_what_its_parent_has_learned(tmp_path: Path) -> None:
    code = f"""
import os
from router_core.learning.strategy import Place
from router_core.policies import StrategyMemoryPolicy
memory = StrategyMemoryPolicy(file={str(tmp_path / "memory.json")!r})
memory.judged(Place("a", "chat"), {{"small": 1}})
child = os.fork()
assert len(memory._memory._increments) == (0 if not child else 2)
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    memory.judged(Place("a", "chat"), {{"small": 1}})
    assert len(memory._memory._increments) == 2
    os._exit(0)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


def test_a_thread_writes_it_down_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router_core.learning.live_memory.WRITE_S", 0.01)
    store, memory = MemoryStore(), StrategyMemoryPolicy()
    written = threading.Event()
    remember = store.remember

    def noted(batch: Batch, *, anew: bool = False) -> bool:
        new = remember(batch, anew=anew)
        written.set()
        return new

    monkeypatch.setattr(store, "remember", noted)
    ask(router(memory, ledger=Ledger(store)))
    teach(memory, 1)
    assert written.wait(60)
    memory.close()
    assert store.memory().evidence[Cell(PLACE, "small", Kind.JUDGED)].all_good == 1
