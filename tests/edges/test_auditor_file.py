"""The auditor of a registry file: real requests over loopback, receipts and its budget in a real store."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router_core import Router
from router_core.learning.strategy import Cell, Kind, Place
from router_core.ledger import Ledger
from router_core.policies import StrategyMemoryPolicy
from router_core.stores import open_store
from tests.edges.conftest import Server

pytest.importorskip("sqlalchemy", reason="not installed; run: uv sync")

Make = Callable[..., Path]
PROMPT = "What is the capital of France?"
PLACE = Place("faq", "question")

FILE = """
models:
  - {{name: weak, endpoint: box, price: {{input: 1, output: 2}}}}
  - {{name: strong, endpoint: box, price: {{input: 100, output: 200}}}}
  - {{name: grader, endpoint: box, price: {{input: 3, output: 6}}, tags: [judge]}}
endpoints: {{box: {{base_url: "http://{host}/v1", local: {local}}}}}
policy: strategy
verifiers: []
auditor: {{model: grader, share: 1, {auditor}}}
{more}
"""


@pytest.fixture
def made(here: Path, server: Server) -> Make:
    """Writes a registry file, and has the three models answer."""
    server.says = {"weak": "It is Paris.", "strong": "Paris.", "grader": json.dumps({"good": True, "cheaper": True})}

    def make(auditor: str = "limit_usd: 1", more: str = "", *, local: bool = True) -> Path:
        path = here / "router.yaml"
        text = FILE.format(host=server.host, auditor=auditor, more=more, local=str(local).lower())
        path.write_text(text)
        return path

    return make


def ask(router: Router, times: int = 1, **options: Any) -> str:
    for _ in range(times):
        model = router.complete(PROMPT, call_site="faq", **options).model
    return str(model)


def rows() -> list[dict[str, Any]]:
    """The receipts in the store that a file without a ledger has."""
    store = open_store("sqlite:///router.db")
    found = list(store.entries())
    store.close()
    return found


def audits() -> list[dict[str, Any]]:
    return [row for row in rows() if row["call_site"] == "auditor"]


def ledger_of(router: Router) -> Ledger:
    assert router._ledger is not None
    return router._ledger


def memory_of(router: Router) -> StrategyMemoryPolicy:
    assert isinstance(router.policy, StrategyMemoryPolicy)
    return router.policy


def done(router: Router) -> None:
    """End what the router does in the background, and its store."""
    router.close()
    ledger_of(router).close()


def test_its_opinion_moves_the_memory_and_is_accounted_for(made: Make, server: Server) -> None:
    router = Router.from_config(made())
    assert ask(router) == "strong"
    router.close()
    asked = [body for body in server.asked if body["model"] == "grader"]
    assert len(asked) == 1
    assert PROMPT in asked[0]["messages"][-1]["content"]

    while ask(router) == "strong":
        memory_of(router)._auditor.drain()
    thread = memory_of(router)._auditor._thread
    done(router)

    assert not thread.is_alive()
    found = audits()
    assert len(found) == len(rows()) / 2 >= 8
    for row in found:
        assert (row["model"], row["tags"], row["outcome"]) == ("grader", ["auditor"], "answered")
        assert (row["input_tokens"], row["output_tokens"], row["cost_nano"]) == (12, 3, 12 * 3_000 + 3 * 6_000)
        # Nothing was saved by an audit, and no text is kept that a policy could be trained on.
        assert (row["baseline_model"], row["prompt"], row["answer"]) == ("grader", None, None)
        assert row["baseline_nano"] == row["cost_nano"]


def spent(budget: str) -> list[tuple[int, int]]:
    store = open_store("sqlite:///router.db")
    found = [(each.spent, each.held) for each in store.standings(budget)]
    store.close()
    return found


SCRIPT = f"""
from router_core import Router
router = Router.from_config("router.yaml")
print(router.complete({PROMPT!r}, call_site="faq").model)
"""


def elsewhere(script: str) -> subprocess.CompletedProcess[str]:
    """A process that does this."""
    command = [sys.executable, "-c", script]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)


def test_its_budget_is_its_own_and_holds_in_every_process(made: Make, run: Callable[..., Any]) -> None:
    router = Router.from_config(made("limit_usd: 1, per: total", "budgets: [{name: all, limit_usd: 10}]"))
    ask(router)
    done(router)
    assert spent("auditor") == [(54_000, 0)]
    assert spent("all") == [(12 * 100_000 + 3 * 200_000, 0)]
    assert "tag:auditor" in run("budget", "show", "--config", "router.yaml").stdout

    # What is set in the store limits the audits of another process, too, and no request.
    run("budget", "set", "auditor", "--limit-usd", "0.00005", "--config", "router.yaml")
    told = elsewhere(f"{SCRIPT}\nrouter.close()\nprint(router.policy._auditor.counts.paused)")
    assert told.stdout.split() == ["strong", "1"]
    assert "the budget of the audits is exceeded" in told.stderr
    assert [row["outcome"] for row in audits()] == ["answered", "refused"]
    assert spent("auditor") == [(54_000, 0)]


def test_it_compares_the_answers_of_the_models_themselves(made: Make, server: Server) -> None:
    server.says["grader"] = json.dumps({"better": "tie", "why": "both say so"})
    router = Router.from_config(made("limit_usd: 1, compare: true"))
    ask(router)
    done(router)
    [shown] = [body["messages"][-1]["content"] for body in server.asked if body["model"] == "grader"]
    assert "It is Paris." in shown
    assert "weak" not in shown
    assert [row["model"] for row in audits()] == ["weak", "grader"]
    evidence = memory_of(router).contents.evidence
    assert {cell.model: seen[2:] for cell, seen in evidence.items() if cell.kind is Kind.JUDGED} == {
        "weak": (1, 0),
        "strong": (1, 0),
    }


@pytest.mark.parametrize(
    ("options", "local", "asked"),
    [
        ({}, False, ["weak", "grader"]),
        ({"local_only": True}, True, ["weak", "grader"]),
        ({"deny": ["grader"]}, True, []),
        ({"deny": ["weak"]}, True, []),
        ({"allow": ["strong"]}, True, []),
        ({"require_tags": ["eu"]}, True, []),
    ],
)
def test_nobody_is_shown_a_request_that_forbids_it(
    made: Make, server: Server, options: dict[str, Any], asked: list[str], *, local: bool
) -> None:
    server.says["grader"] = json.dumps({"better": "tie"})
    path = made("limit_usd: 1, compare: true", local=local)
    path.write_text(path.read_text().replace("{name: strong,", "{name: strong, tags: [eu],"))
    router = Router.from_config(path)
    ask(router, **options)
    done(router)
    assert [body["model"] for body in server.asked] == ["strong", *asked]


def test_a_judge_elsewhere_sees_nothing_that_must_stay_here(made: Make, server: Server) -> None:
    path = made(local=True)
    path.write_text(
        path.read_text()
        .replace("{name: grader, endpoint: box,", "{name: grader, endpoint: far,")
        .replace("endpoints: {", f'endpoints: {{far: {{base_url: "http://{server.host}/v1", local: false}}, ')
    )
    router = Router.from_config(path)
    ask(router, local_only=True)
    router.close()
    assert [body["model"] for body in server.asked] == ["strong"]
    ask(router)
    done(router)
    assert [body["model"] for body in server.asked] == ["strong", "strong", "grader"]


def test_an_auditor_that_is_down_fails_no_request_and_is_accounted_for(
    made: Make, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    del server.says["grader"]
    router = Router.from_config(made())
    assert ask(router) == "strong"
    done(router)
    assert "could not be audited: AllAttemptsFailed" in caplog.text
    assert [row["outcome"] for row in audits()] == ["failed"]
    assert memory_of(router).contents.evidence == {}


async def test_closing_ends_it_and_it_begins_anew(made: Make) -> None:
    router = Router.from_config(made())
    for times in (1, 2):
        await router.acomplete(PROMPT, call_site="faq")
        thread = memory_of(router)._auditor._thread
        await router.aclose()
        assert not thread.is_alive()
        assert len(audits()) == times
    done(router)


class Held(dict[str, str]):
    """Answers of which the judge's waits to be let go."""

    def __init__(self, says: dict[str, str]) -> None:
        super().__init__(says)
        self.asked, self.go_on = threading.Event(), threading.Event()

    def __getitem__(self, model: str) -> str:
        if model == "grader":
            self.asked.set()
            assert self.go_on.wait(60)
        return super().__getitem__(model)


def test_a_process_that_ends_finishes_the_audit_under_way(made: Make, server: Server) -> None:
    server.says = held = Held(server.says)
    made()
    # The second is queued behind the first, whose answer comes when the process is at its end.
    script = f"{SCRIPT}\nrouter.complete({PROMPT!r}, call_site='faq')\ninput()"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], text=True, **pipes) as process:
        assert held.asked.wait(60)
        process.stdin.write("\n")
        process.stdin.close()
        held.go_on.set()
        assert process.wait(60) == 0
    assert [row["outcome"] for row in audits()] == ["answered"]
    store = open_store("sqlite:///router.db")
    assert store.memory().evidence[Cell(PLACE, "strong", Kind.JUDGED)].all_good == 1
    store.close()


def test_the_command_line_names_it(made: Make, run: Callable[..., Any]) -> None:
    made("limit_usd: 1, compare: true")
    assert "Auditor: grader, of 1 of the requests, compares answers" in run("config", "check", "router.yaml").stdout
