"""The auditor: what it asks, what the memory learns of it, and that no request notices it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from router_core import Router
from router_core.auditor import LONGEST, QUEUE, Auditor, Audits, JudgementUnreadable, as_good
from router_core.budget import Budget
from router_core.errors import ConfigError
from router_core.learning.strategy import Cell, Kind, Place
from router_core.ledger import Ledger
from router_core.policies import StaticPolicy, StrategyMemoryPolicy
from router_core.stores.memory import MemoryStore
from router_core.testing import ScriptedHost, scripted_model

MODELS = [
    scripted_model("tiny", input_usd="0.05", output_usd="0.2"),
    scripted_model("small", input_usd="0.1", output_usd="0.4"),
    scripted_model("large", input_usd="2.5", output_usd="10"),
]
SAID = {"tiny": "The capital is Lyon.", "small": "The capital is Paris.", "large": "It is Paris."}
PROMPT = "What is the capital of France?"
PLACE = Place("faq", "question")


def opinion(*, good: bool = True, cheaper: bool = True, why: str = "simple") -> str:
    return json.dumps({"good": good, "cheaper": cheaper, "why": why})


def judge(prompt: str) -> str:
    """Knows the capital."""
    first, second = ("Paris" in part.partition("</answer")[0] for part in prompt.split("<answer_")[1:])
    return json.dumps({"better": "tie" if first == second else "1" if first else "2", "why": "by the atlas"})


class Scene:
    """A router with a memory and an auditor of it."""

    def __init__(self, ask: object, **settings: object) -> None:
        self.memory = StrategyMemoryPolicy()
        self.auditor = Auditor(self.memory, ask, **{"share": 1, "seed": 0, **settings})
        self.host = ScriptedHost.saying(SAID)
        self.router = Router(MODELS, policy=self.memory, host=self.host, observers=[self.auditor])

    def ask(self, times: int = 1, prompt: str = PROMPT, **options: object) -> str:
        for _ in range(times):
            answer = self.router.complete(prompt, call_site="faq", **options)
        self.auditor.drain()
        return answer.model

    def ask_while(self, model: str) -> int:
        """How many calls this model answers."""
        return next(calls for calls in range(500) if self.ask() != model)

    def seen(self, model: str) -> tuple[float, float]:
        return self.memory.contents.evidence.get(Cell(PLACE, model, Kind.JUDGED), (0, 0, 0, 0))[2:]


def test_its_opinion_of_the_answer_and_of_a_cheaper_model_is_learned() -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return f"Sure! {opinion()}"

    scene = Scene(ask)
    scene.ask()
    assert PROMPT in asked[0]
    assert "It is Paris." in asked[0]
    assert (scene.seen("large"), scene.seen("tiny"), scene.seen("small")) == ((1, 0), (1, 0), (0, 0))
    scene.ask(20)
    assert scene.ask() == "tiny"
    step = scene.memory.contents.steps[0]
    assert (step.to_model, step.detail) == ("tiny", "auditor: simple")


def test_where_no_cheaper_model_would_do_it_stays_with_the_strongest() -> None:
    scene = Scene(lambda _: opinion(cheaper=False))
    assert scene.ask(60) == "large"
    assert scene.seen("tiny")[0] == scene.seen("small")[0] == 0
    # Once the first is refuted the next is asked about.
    assert scene.seen("tiny")[1] > 0
    assert scene.seen("small")[1] > 0


def test_a_remembered_model_whose_answers_are_found_bad_is_left() -> None:
    bad = threading.Event()
    scene = Scene(lambda _: opinion(good=not bad.is_set()))
    assert scene.ask_while("large") < 20
    scene.ask(50)
    bad.set()
    assert scene.ask_while("tiny") <= scene.memory.bad_outcomes_to_leave(0.95)


def test_answers_are_compared_blind_in_random_order_and_a_tie_is_good() -> None:
    asked: list[str] = []

    def blind(prompt: str) -> str:
        asked.append(prompt)
        return judge(prompt)

    scene = Scene(blind, answer_with=lambda _prompt, model: SAID[model])
    assert scene.ask_while("large") < 40
    assert scene.seen("tiny")[0] == 0
    assert scene.memory.contents.steps[0].to_model == "small"
    assert scene.memory.contents.steps[0].detail == "judge: by the atlas"
    orders = Counter(prompt.index("It is Paris.") < prompt.index("The capital is") for prompt in asked)
    assert min(orders.values()) >= 3
    assert not any(name in prompt for prompt in asked for name in SAID)


def test_what_is_remembered_is_compared_with_the_strongest_too() -> None:
    said = dict(SAID)
    scene = Scene(judge, answer_with=lambda _prompt, model: said[model])
    assert scene.ask_while("large") < 40
    scene.host._script = lambda effect, _payload: "The capital is Nice." if effect.model.name == "small" else "Paris."
    assert scene.ask_while("small") <= scene.memory.bad_outcomes_to_leave(0.95)


@pytest.mark.parametrize("swapped", [True, False])
@pytest.mark.parametrize(("better", "good"), [("answer", 1), ("best", 0), ("tie", 1)])
def test_a_comparison_means_what_the_judge_says(better: str, good: float, *, swapped: bool) -> None:
    order = ("best", "answer") if swapped else ("answer", "best")
    said = better if better == "tie" else str(order.index(better) + 1)
    found = as_good(lambda _: json.dumps({"better": said}), "?", "answer", "best", swapped=swapped)
    assert found == (good, "judge: ")


@pytest.mark.parametrize("said", ["", "1", "[1]", '{"better": "both"}', "{better: 1}", '{"good": 1}'])
def test_a_judgement_that_cannot_be_read_is_counted_and_ignored(said: str) -> None:
    with pytest.raises(JudgementUnreadable):
        as_good(lambda _: said, "?", "a", "b", swapped=False)
    scene = Scene(lambda _: said)
    scene.ask(3)
    assert scene.auditor.counts == Audits(unparsed=3)
    assert scene.memory.contents.evidence == {}


def test_one_call_of_each_block_is_audited_and_each_place_has_its_own() -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return opinion(good=False, cheaper=False)

    scene = Scene(ask, share=0.1)
    for block in range(1, 6):
        scene.ask(10)
        assert len(asked) == block
    scene.ask(10, prompt="Write a short poem about Paris.")
    assert len(asked) == 6


def test_the_same_seed_audits_the_same_calls() -> None:
    def audited(seed: int) -> list[int]:
        found: list[int] = []
        scene = Scene(lambda _: found.append(now) or opinion(good=False), share=0.2, seed=seed)
        for now in range(50):  # noqa: B007 - the auditor reads it
            scene.ask()
        return found

    assert audited(1) == audited(1) != audited(2)


def test_the_budget_of_the_audits_is_that_of_what_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger(MemoryStore(), budgets=[Budget(name="audits", limit_usd="0.000001", per="day")])
    audits = Router(
        [scripted_model("cheap", input_usd="1", output_usd="1")],
        host=ScriptedHost.saying({"cheap": opinion()}),
        ledger=ledger,
    )
    scene = Scene(audits)
    with caplog.at_level(logging.WARNING):
        assert scene.ask(5) == "large"
    assert scene.auditor.counts == Audits(paused=5)
    assert caplog.text.count("the budget of the audits is exceeded; none for 300 seconds") == 1


def test_what_goes_wrong_with_an_audit_reaches_no_request(caplog: pytest.LogCaptureFixture) -> None:
    def ask(_: str) -> str:
        raise ZeroDivisionError("boom")

    scene = Scene(ask)
    assert scene.ask(3) == "large"
    assert scene.auditor.counts == Audits(failed=3)
    assert "ZeroDivisionError: boom" in caplog.text


def test_a_full_queue_drops_and_counts() -> None:
    go_on, begun = threading.Event(), threading.Event()

    def ask(_: str) -> str:
        begun.set()
        assert go_on.wait(60)
        return opinion(good=False)

    scene = Scene(ask)
    scene.router.complete(PROMPT, call_site="faq")
    assert begun.wait(60)
    for _ in range(QUEUE + 5):
        scene.router.complete(PROMPT, call_site="faq")
    assert scene.auditor.counts.dropped == 5
    go_on.set()
    scene.auditor.close()
    assert scene.auditor.counts.audited == QUEUE + 1
    scene.ask()
    assert scene.auditor.counts.audited == QUEUE + 2


def test_requests_without_a_plain_text_are_not_audited() -> None:
    scene = Scene(lambda _: opinion())
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    scene.ask(tools=tools)
    scene.ask(force_model="small")
    assert scene.auditor.counts == Audits()


def test_its_own_requests_through_the_same_router_are_not_audited() -> None:
    memory = StrategyMemoryPolicy()
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return router.complete("Say hello.").text and opinion()

    auditor = Auditor(memory, ask, share=1)
    router = Router(MODELS, policy=memory, host=ScriptedHost.saying(SAID), observers=[auditor])
    router.complete(PROMPT)
    auditor.drain()
    auditor.close()
    assert len(asked) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_audits_its_own_and_nothing_that_its_parent_has_queued() -> None:
    code = f"""
import os
import threading
from router_core import Router
from router_core.auditor import Auditor
from router_core.policies import StrategyMemoryPolicy
from router_core.testing import ScriptedHost, scripted_model

begun, go_on = threading.Event(), threading.Event()

def ask(prompt):
    begun.set()
    assert go_on.wait(60)
    return {opinion()!r}

memory = StrategyMemoryPolicy()
auditor = Auditor(memory, ask, share=1)
host = ScriptedHost.saying({SAID!r})
router = Router([scripted_model("small"), scripted_model("large")], policy=memory, host=host, observers=[auditor])
for _ in range(3):
    router.complete({PROMPT!r})
assert begun.wait(60)
child = os.fork()
go_on.set()
if child:
    auditor.close()
    assert auditor.counts.audited == 3
    assert os.waitpid(child, 0)[1] == 0
else:
    router.complete({PROMPT!r})
    auditor.close()
    os._exit(auditor.counts.audited - 1)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_long_texts_are_shown_by_their_ends() -> None:
    asked: list[str] = []
    scene = Scene(lambda prompt: asked.append(prompt) or opinion())
    scene.ask(prompt="What is this? " + "x" * 100_000 + " Tell me.")
    assert len(asked[0]) < 2 * LONGEST
    assert "What is this? xxx" in asked[0]
    assert "xxx Tell me." in asked[0]


class Message:
    """An answer as LangChain has it."""

    content = opinion()


class Chain:
    """What has ``invoke``."""

    def invoke(self, _prompt: str) -> Message:
        return Message()


ROUTER = Router([scripted_model("a"), scripted_model("b")], host=ScriptedHost.saying({"a": opinion(), "b": opinion()}))


@pytest.mark.parametrize("ask", [Chain(), ROUTER, lambda _: opinion()], ids=["invoke", "complete", "function"])
def test_routers_models_and_functions_can_be_asked(ask: object) -> None:
    scene = Scene(ask)
    scene.ask()
    assert scene.auditor.counts == Audits(audited=1)


ANSWERS: dict[str, object] = {
    "function": lambda _prompt, model: SAID[model],
    "mapping": {name: (lambda _prompt, said=said: said) for name, said in SAID.items()},
    "router": Router(MODELS, policy=StaticPolicy(), host=ScriptedHost.saying(SAID)),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_answers_come_from_a_function_a_mapping_or_a_router(kind: str) -> None:
    scene = Scene(judge, answer_with=ANSWERS[kind])
    scene.ask()
    assert scene.auditor.counts == Audits(audited=1)
    assert scene.seen("tiny") == (0, 1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Scene(judge, share=0), "share: 0"),
        (lambda: Scene(judge, share=1.5), "share: 1.5"),
        (lambda: Scene(3), "ask: 3 cannot be asked"),
        (lambda: Scene(judge, judge="who"), "judge: 'who' cannot be asked"),
        (lambda: Scene(judge, answer_with=3), "answer_with: 3 cannot be asked"),
    ],
)
def test_wrong_settings_are_refused(make: Callable[[], Scene], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()
