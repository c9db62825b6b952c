"""The auditor of a registry file asks through LlamaIndex's LLMs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from llamaindex_router import RouterLLM
from router_core.learning.strategy import Kind
from router_core.stores import open_store
from tests.edges.conftest import Server

pytest.importorskip("sqlalchemy", reason="not installed; run: uv sync")

FILE = """
models:
  - {{name: weak, endpoint: openai, id: gpt-4.1-nano, price: {{input: 1, output: 2}}}}
  - {{name: strong, endpoint: openai, id: gpt-4.1, price: {{input: 100, output: 200}}}}
  - {{name: grader, endpoint: openai, id: gpt-4.1-mini, price: {{input: 3, output: 6}}, tags: [judge]}}
policy: strategy
ledger: {{store: "sqlite:///{path}/router.db"}}
auditor: {{model: grader, share: 1, limit_usd: {limit}, compare: {compare}}}
"""
NAMES = {"gpt-4.1-nano": "weak", "gpt-4.1": "strong", "gpt-4.1-mini": "grader"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    said = ("It is Paris.", "Paris.", json.dumps({"better": "tie"}))
    server.says = dict(zip(NAMES, said, strict=True))
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    monkeypatch.setenv("OPENAI_API_BASE", f"http://{server.host}/v1")
    yield server
    server.close()


def router(path: Path, *, limit: str = "1", compare: str = "true") -> RouterLLM:
    file = path / "router.yaml"
    file.write_text(FILE.format(path=path, limit=limit, compare=compare))
    return RouterLLM.from_config(file)


def asked(server: Server) -> list[str]:
    return [NAMES[body["model"]] for body in server.asked]


def test_its_calls_are_accounted_for_and_taught(server: Server, tmp_path: Path) -> None:
    llm = router(tmp_path)
    answer = llm.complete("What is the capital of France?", call_site="faq")
    thread = llm.policy._auditor._thread
    llm.close()
    assert answer.additional_kwargs["router"]["model"] == "strong"
    assert not thread.is_alive()
    assert asked(server) == ["strong", "weak", "grader"]

    llm.ledger.close()
    store = open_store(f"sqlite:///{tmp_path}/router.db")
    rows = [row for row in store.entries() if row["call_site"] == "auditor"]
    assert [(row["model"], row["tags"], row["cost_nano"]) for row in rows] == [
        ("weak", ["auditor"], 12 * 1_000 + 3 * 2_000),
        ("grader", ["auditor"], 12 * 3_000 + 3 * 6_000),
    ]
    assert [(each.spent, each.held) for each in store.standings("auditor")] == [(18_000 + 54_000, 0)]
    evidence = store.memory().evidence
    assert {cell.model: seen.all_good for cell, seen in evidence.items() if cell.kind is Kind.JUDGED} == {
        "weak": 1,
        "strong": 1,
    }
    store.close()


async def test_where_its_budget_is_spent_it_pauses_and_requests_go_on(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    llm = router(tmp_path, limit="0", compare="false")
    for _ in range(2):
        assert str(await llm.acomplete("What is the capital of France?")) == "Paris."
    llm.close()
    llm.ledger.close()
    assert asked(server) == ["strong", "strong"]
    assert caplog.text.count("the budget of the audits is exceeded") == 1
