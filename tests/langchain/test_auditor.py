"""The auditor of a registry file asks through LangChain's models, beside the runs of what users ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler

from langchain_router import ChatRouter, get_router_callback
from router_core.learning.strategy import Kind
from router_core.stores import open_store
from tests.edges.conftest import Server

pytest.importorskip("sqlalchemy", reason="not installed; run: uv sync")

FILE = """
models:
  - {{name: weak, endpoint: box, price: {{input: 1, output: 2}}}}
  - {{name: strong, endpoint: box, price: {{input: 100, output: 200}}}}
  - {{name: grader, endpoint: box, price: {{input: 3, output: 6}}, tags: [judge]}}
endpoints: {{box: {{base_url: "http://{host}/v1"}}}}
policy: strategy
ledger: {{store: "sqlite:///{path}/router.db"}}
auditor: {{model: grader, share: 1, limit_usd: {limit}, compare: {compare}}}
"""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.says = {"weak": "It is Paris.", "strong": "Paris.", "grader": json.dumps({"better": "tie"})}
    yield server
    server.close()


def router(server: Server, path: Path, *, limit: str = "1", compare: str = "true") -> ChatRouter:
    file = path / "router.yaml"
    file.write_text(FILE.format(host=server.host, path=path, limit=limit, compare=compare))
    return ChatRouter.from_config(file)


def test_its_calls_are_accounted_for_and_are_no_runs_of_the_users(server: Server, tmp_path: Path) -> None:
    llm, usage = router(server, tmp_path), UsageMetadataCallbackHandler()
    with get_router_callback() as account:
        answer = llm.invoke("What is the capital of France?", {"callbacks": [usage]}, call_site="faq")
        thread = llm.policy._auditor._thread
        llm.close()
    assert answer.response_metadata["router"]["model"] == "strong"
    assert not thread.is_alive()
    assert [body["model"] for body in server.asked] == ["strong", "weak", "grader"]
    assert (account.total.requests, list(usage.usage_metadata)) == (1, ["strong"])

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
    llm = router(server, tmp_path, limit="0", compare="false")
    for _ in range(2):
        assert (await llm.ainvoke("What is the capital of France?")).text == "Paris."
    llm.close()
    llm.ledger.close()
    assert [body["model"] for body in server.asked] == ["strong", "strong"]
    assert caplog.text.count("the budget of the audits is exceeded") == 1
