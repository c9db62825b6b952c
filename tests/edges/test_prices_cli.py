"""``llm-router prices doctor``: what is wrong with prices, and whether it costs money."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from genai_prices import data_snapshot
from typer.testing import Result

from router_core.cli._pricelist import newest_check, prices_of
from router_core.cli.prices import examine
from router_core.registry import Registry
from tests.edges.pricelists import provider, snapshot

Run = Callable[..., Result]

BUDGET = "budgets: [{name: daily, limit_usd: 5, per: day}]\n"


@pytest.fixture
def found(here: Path, run: Run) -> Callable[..., tuple[int, dict[str, Any]]]:
    """The exit code, and the findings of a registry file by model and code; those of the list apart."""

    def examined(models: str, *args: str) -> tuple[int, dict[str, Any]]:
        (here / "router.yaml").write_text(models)
        result = run("prices", "doctor", "--json", *args)
        told = json.loads(result.stdout)
        return result.exit_code, {(each["model"], each["code"]): each for each in told["findings"] if each["model"]}

    return examined


def test_a_model_without_a_price_costs_money_where_a_budget_is_in_dollars(found: Any) -> None:
    models = "models: [{name: mine, endpoint: groq, id: nobody/has-a-price}, openai:gpt-4.1-nano]\n"
    code, findings = found(models)
    assert (code, list(findings)) == (0, [("mine", "no_price")])
    assert findings["mine", "no_price"]["severity"] == "warning"

    code, findings = found(models + "budgets: [{name: many, limit_tokens: 5}]\n")
    assert (code, findings["mine", "no_price"]["severity"]) == (0, "warning")

    code, findings = found(models + BUDGET)
    assert (code, findings["mine", "no_price"]["severity"]) == (1, "error")
    assert (
        "budgets in dollars refuse it (provider groq, id nobody/has-a-price)" in findings["mine", "no_price"]["detail"]
    )
    assert "price: {input: 1, output: 2}" in findings["mine", "no_price"]["remedy"]


def test_a_budget_of_the_store_counts_as_one_of_the_file(found: Any, run: Run) -> None:
    models = "models: [{name: mine, endpoint: groq, id: nobody/has-a-price}]\n"
    assert found(models)[0] == 0
    assert run("budget", "set", "daily", "--limit-usd", "5").exit_code == 0
    assert found(models)[0] == 1
    assert found(models, "--store", "sqlite:///router.db")[0] == 1


def test_a_mistyped_id_and_provider_get_a_hint(here: Path, found: Any) -> None:
    with using(here, provider("openai", models=[("gpt-4.1-nano", {"input_mtok": 1, "output_mtok": 2})])):
        _, findings = found("""
models:
  - openai:gpt-4.1-nanoo
  - {name: far, endpoint: box, id: gpt-4.1-nano}
endpoints: {box: {base_url: "https://box.test/v1", provider: opneai}}
""")
    assert "(did you mean 'gpt-4.1-nano'?)" in findings["openai:gpt-4.1-nanoo", "no_price"]["detail"]
    assert "(did you mean 'openai'?)" in findings["far", "no_price"]["detail"]


def test_own_prices_are_compared_with_the_published_ones(here: Path, found: Any) -> None:
    with using(here, provider("openai", models=[("big", {"input_mtok": 2, "output_mtok": 8, "cache_read_mtok": 0.5})])):
        code, findings = found("""
models:
  - {name: cheap, endpoint: openai, id: big, price: {input: 1, output: 8, cache_read: 0.6}}
  - {name: same, endpoint: openai, id: big, price: {input: 2, output: 8}}
""")
    assert (code, list(findings)) == (0, [("cheap", "differs")])
    detail = findings["cheap", "differs"]["detail"]
    assert detail == (
        "your price is not the published one of big: input 1.00 against 2.00 (-50 %), "
        "cache_read 0.60 against 0.50 (+20 %)"
    )


def test_a_price_of_nought_is_for_models_of_this_machine(here: Path, found: Any) -> None:
    models = """
models:
  - ollama:llama3.2
  - {name: mine, endpoint: box, id: mine, price: {input: 0, output: 0}}
  - {name: paid, endpoint: openai, id: big, price: {input: 0, output: 0}}
endpoints: {box: {base_url: "https://box.test/v1"}}
"""
    with using(here, provider("openai", models=[("big", {"input_mtok": 2, "output_mtok": 8})])):
        code, findings = found(models)
        assert code == 0
        assert {key: each["severity"] for key, each in findings.items()} == {
            ("mine", "free_but_not_local"): "warning",
            ("paid", "free_but_not_local"): "warning",
        }
        code, findings = found(models + BUDGET)
    assert code == 1
    assert findings["mine", "free_but_not_local"]["severity"] == "warning"  # nobody knows what it costs
    assert findings["paid", "free_but_not_local"]["severity"] == "error"
    assert "published as 2.00 in, 8.00 out" in findings["paid", "free_but_not_local"]["detail"]


def test_a_price_that_is_another_s_by_a_rule_is_told(here: Path, found: Any) -> None:
    price = {"input_mtok": 2, "output_mtok": 8}
    rule = {"or": [{"equals": "big"}, {"equals": "big-2026-01-02"}, {"starts_with": "big-"}, {"regex": "^xbig$"}]}
    lists = [
        provider("openai", models=[("big", price, {"match": rule}), ("old", price, {"deprecated": True})]),
        provider("groq", models=[], fallback_model_providers=["openai"]),
    ]
    with using(here, *lists):
        code, findings = found("models: [openai:big, openai:Big-2026-01-02, openai:big-new, openai:old, groq:big]\n")
    assert code == 0
    assert {key: each["severity"] for key, each in findings.items()} == {
        ("openai:old", "deprecated"): "warning",
        ("groq:big", "price_of_another"): "warning",
        ("openai:big-new", "by_rule"): "note",
    }
    assert findings["openai:big-new", "by_rule"]["detail"] == (
        "the list does not name big-new; by a rule it has the price of big (begins with 'big-' or matches '^xbig$')"
    )
    assert (
        "groq has no price of big in the list; that of openai is taken"
        in findings["groq:big", "price_of_another"]["detail"]
    )


def test_a_list_that_nobody_checked_for_long_is_told(here: Path) -> None:
    now = datetime(2026, 11, 25, 12, tzinfo=UTC)
    for days, findings in ((90, []), (91, ["old_list"])):
        comments = f"Prices checked on {now.date() - timedelta(days)}. From 2026-11-01 on they are higher."
        with using(here, provider("openai", models=[], price_comments=comments)):
            examined = examine(None, (), now)
        assert examined.age_days == days
        assert [finding.code for finding in examined.findings] == findings
    assert "91 days old" in examined.findings[0].detail
    assert "--upgrade genai-prices" in examined.findings[0].remedy


def test_days_that_are_still_to_come_or_none_say_nothing_of_the_age(here: Path) -> None:
    comments = "verified 2026-13-40, as of 2030-01-01, checked 2026-09-30, introduced 2026-10-10"
    with using(here, provider("openai", models=[("big", {}, {"price_comments": comments})])):
        assert newest_check(date(2026, 11, 25)) == date(2026, 9, 30)
    with using(here, provider("openai", models=[])):
        assert newest_check(date(2026, 11, 25)) is None
        assert examine(Registry.of(["ollama:x"]), (), datetime(2026, 11, 25, tzinfo=UTC)).age_days is None


def test_the_installed_list_tells_when_it_was_checked() -> None:
    assert newest_check(datetime.now(UTC).date()) is not None


def test_people_read_the_same(here: Path, run: Run) -> None:
    (here / "router.yaml").write_text(
        "models: [openai:gpt-4.1-nano, {name: '[red]mine', endpoint: groq, id: nobody/has-a-price}]\n" + BUDGET
    )
    result = run("prices", "doctor")
    assert result.exit_code == 1
    assert "Published prices: genai-prices" in result.stdout
    assert "[red]mine" in result.stdout
    assert "unknown  unknown" in result.stdout
    assert "error: [red]mine: its price is unknown" in result.stdout
    (here / "router.yaml").write_text("models: [openai:gpt-4.1-nano]\n")
    assert "Every model has a price" in run("prices", "doctor").stdout


def test_without_a_registry_file_the_list_alone_is_looked_at(run: Run) -> None:
    result = run("prices", "doctor")
    assert result.exit_code == 0
    assert "No registry file" in result.stdout
    assert json.loads(run("prices", "doctor", "--json").stdout)["models"] == []


def test_a_list_of_a_file_holds_as_long_as_it_is_used(here: Path) -> None:
    before = data_snapshot.get_snapshot()
    with using(here, provider("openai", models=[])):
        assert [each.id for each in data_snapshot.get_snapshot().providers] == ["openai"]
    assert data_snapshot.get_snapshot() is before


def using(here: Path, *providers: dict[str, Any]) -> Any:
    """The published list is this one."""
    return prices_of(snapshot(here / "list.json", *providers), None)
