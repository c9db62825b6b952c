"""``explain`` and ``ask``: what goes to which stream, exit codes, and what a user reads."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from router_core.cli.ask import answer
from router_core.stores import open_store
from tests.stores.samples import charge, entry

Run = Callable[..., Result]
Refused = Callable[..., str]

BOX = "endpoints: {box: {base_url: 'http://192.0.2.1/v1'}}\n"
"""An address for documentation (RFC 5737): what is on this machine is free."""


def test_explain_shows_decision_features_and_predictions_and_calls_no_model(
    config: Path, server: Any, run: Run
) -> None:
    shown = run("explain", "What is the capital of France?").stdout
    assert "weak" in shown
    assert "difficulty_easy (policy difficulty, score " in shown
    assert "Words" in shown
    assert "$0.0" in shown
    assert "unknown" in shown
    assert "No model was called." in shown
    assert server.asked == []


def test_explain_tells_why_a_model_is_refused(config: Path, run: Run) -> None:
    shown = run("explain", "hi", "--deny", "best").stdout
    assert "Refused: strong: denied" in shown


def test_explain_as_json_has_all_of_the_decision(config: Path, run: Run) -> None:
    decision = json.loads(run("explain", "--json", "--max-cost", "0.001", "Hello there").stdout)
    assert decision["start"] == "weak"
    assert decision["reason"] == "only_feasible_model"
    assert [refusal["code"] for refusal in decision["refusals"]] == ["max_cost"]
    assert decision["predictions"][0]["cost_usd"].startswith("0.000")


def budgeted(config: Path, *budgets: str) -> None:
    config.write_text(config.read_text() + "budgets:\n" + "".join(f"  - {{{budget}}}\n" for budget in budgets))


def spend(here: Path, nano: int, **about: Any) -> None:
    """Let so much be spent of the budget "all"."""
    store = open_store(f"sqlite:///{here / 'router.db'}")
    purse = charge("all", **{"window": "total", "limit": 10**12, "amount": nano} | about)
    store.reserve("r1", [purse], owner="me", expires=9e9)
    store.settle("r1", {purse.scope: nano}, entry("r1", nano))
    store.close()


def preview(run: Run, *args: str) -> dict[str, Any]:
    result = run("explain", "--json", "What is the capital of France?", *args)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)["budgets"]
    return found


def test_explain_without_budgets_says_nothing_of_them(config: Path, run: Run) -> None:
    assert "Budget" not in run("explain", "Hi").stdout
    assert preview(run) is None


def test_explain_tells_what_a_request_would_hold_and_makes_no_store(
    config: Path, here: Path, server: Any, run: Run
) -> None:
    budgeted(config, "name: all, limit_usd: 10", "name: mine, limit_usd: 1, scope: session")
    before = sorted(here.iterdir())
    found = preview(run)
    assert found["verdict"] == "fits"
    (purse,) = found["purses"]
    assert (purse["budget"], purse["limit"], purse["spent"], purse["fits"]) == ("all", "10", "0", True)
    # 4,096 tokens of each model, and once more of the dearest if it fails.
    assert Decimal("1.64") < Decimal(purse["needed"]) < Decimal("1.66")
    assert "the worst case fits now" in " ".join(run("explain", "Hi").stdout.split())
    assert sorted(here.iterdir()) == before
    assert server.asked == []


def test_what_explain_foretells_is_what_comes(config: Path, here: Path, server: Any, run: Run) -> None:
    budgeted(config, "name: all, limit_usd: 10")
    spend(here, 9_500_000_000)
    found = preview(run)
    assert found["verdict"] == "limited"
    assert found["purses"][0]["fits"] is False
    assert found["purses"][0]["spent"] == "9.5"

    run("ask", "--no-stream", "What is the capital of France?")
    limits = {body["model"]: body.get("max_tokens") or body.get("max_completion_tokens") for body in server.asked}
    assert limits == found["max_tokens"]
    assert "answers would end at what is left: weak at " in " ".join(run("explain", "Hi").stdout.split())


@pytest.mark.parametrize(
    ("mode", "verdict", "told"),
    [
        ("stop", "refused", "it would be refused: the request does not fit a budget"),
        ("ask", "asks", "somebody would be asked: the request does not fit a budget"),
        ("degrade", "degraded", "only weak would be asked"),
    ],
)
def test_explain_tells_what_becomes_of_a_request_that_does_not_fit(
    config: Path, here: Path, server: Any, run: Run, mode: str, verdict: str, told: str
) -> None:
    budgeted(config, f"name: all, limit_usd: 10, on_exceeded: {mode}")
    spend(here, 9_950_000_000)
    found = preview(run)
    assert found["verdict"] == verdict
    assert found["ladder"] == (["weak"] if mode == "degrade" else None)
    assert found["max_tokens"] == {}
    assert told in " ".join(run("explain", "What is the capital of France?").stdout.split())
    store = open_store("sqlite:///router.db")
    assert [(each.spent, each.held) for each in store.standings()] == [(9_950_000_000, 0)]
    assert len(list(store.entries())) == 1
    store.close()
    assert server.asked == []


def test_explain_knows_what_is_set_in_the_store(config: Path, here: Path, run: Run) -> None:
    config.write_text(config.read_text() + "ledger: {}\n")
    assert preview(run) is None
    run("budget", "set", "tokens", "--limit-tokens", "5")
    assert preview(run)["verdict"] == "refused"
    assert preview(run)["purses"][0]["unit"] == "tokens"


def test_calls_that_were_are_nothing_to_a_budget_per_call(config: Path, here: Path, run: Run) -> None:
    budgeted(config, "name: all, limit_usd: 10, per: call")
    spend(here, 9_990_000_000, window="r1")
    assert preview(run)["verdict"] == "fits"


def test_a_model_without_a_price_is_foretold_to_be_refused(here: Path, run: Run) -> None:
    (here / "router.yaml").write_text("models: [{name: weak, endpoint: box}]\n" + BOX)
    budgeted(here / "router.yaml", "name: all, limit_usd: 10")
    found = preview(run)
    assert found["verdict"] == "refused"
    assert "'weak' has no known price" in found["why"]


def test_explain_decides_even_if_the_store_cannot_be_used(config: Path, here: Path, run: Run) -> None:
    budgeted(config, "name: all, limit_usd: 10")
    (here / "router.db").write_bytes(b"no database" * 1_000)
    shown = run("explain", "Hi")
    assert shown.exit_code == 0
    assert "Start" in shown.stdout
    assert "Budgets: unknown, the store " in " ".join(shown.stdout.split())
    assert "is no SQLite database" in preview(run)


@pytest.mark.parametrize(
    ("options", "start"),
    [
        (["--force-model", "best"], "strong"),
        (["--allow", "strong"], "strong"),
        (["--deny", "weak"], "strong"),
        (["--min-quality", "0.5"], "weak"),
        (["--local-only"], "weak"),
        (["--max-latency", "9"], "weak"),
    ],
)
def test_constraints_of_the_command_line_hold(config: Path, options: Sequence[str], start: str, run: Run) -> None:
    result = run("explain", "--json", "Hi", *options)
    assert json.loads(result.stdout)["start"] == start


@pytest.mark.parametrize("command", ["explain", "ask"])
def test_when_no_model_is_feasible_each_is_listed_with_its_reason(
    config: Path, server: Any, command: str, refused: Refused
) -> None:
    told = refused(command, "Hi", "--deny", "weak", "--max-cost", "0")
    assert "weak: denied" in told
    assert "strong: max_cost" in told
    assert server.asked == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--max-cost", "-1"], "max_cost_usd: "),
        (["--max-cost", "cheap"], "max_cost_usd: "),
        (["--min-quality", "2"], "min_quality: "),
        (["--max-latency", "-3"], "max_latency_s: "),
        (["--force-model", "gpt"], "force_model: "),
        (["--max-latency", "soon"], "--max-latency"),
    ],
)
def test_a_wrong_constraint_is_refused(config: Path, options: Sequence[str], told: str, refused: Refused) -> None:
    assert told in refused("explain", "Hi", *options)


def test_an_empty_prompt_is_refused(config: Path, refused: Refused) -> None:
    assert "error: " in refused("explain", "")


# ----------------------------------------------------------------------------------------------------------------- ask


@pytest.mark.parametrize("mode", ["--stream", "--no-stream"])
def test_the_answer_alone_is_on_standard_output(config: Path, mode: str, run: Run) -> None:
    result = run("ask", mode, "What is the capital of France?")
    assert result.exit_code == 0
    assert result.stdout == "Paris.\n"
    account = result.stderr
    assert account.count("\n") == 1
    assert "strong | difficulty_easy | 2 attempts: weak rejected (" in account
    assert "24 + 6 tokens" in account
    assert "cost $0.001818" in account


def test_a_prompt_can_come_from_a_pipe_and_a_system_text_goes_first(config: Path, server: Any, run: Run) -> None:
    server.says["weak"] = "Fine.\n"
    result = run("ask", "-", "--system", "Be brief.", stdin="How are\nyou?")
    assert result.stdout == "Fine.\n"
    assert [(m["role"], m["content"]) for m in server.asked[0]["messages"]] == [
        ("system", "Be brief."),
        ("user", "How are\nyou?"),
    ]


def test_an_answer_must_fit_the_schema_that_is_given(here: Path, config: Path, server: Any, run: Run) -> None:
    (here / "schema.json").write_text('{"type": "object", "required": ["city"]}')
    server.says = {"weak": "Paris", "strong": '{"city": "Paris"}'}
    result = run("ask", "Which city?", "--schema", "schema.json")
    assert json.loads(result.stdout) == {"city": "Paris"}
    assert "weak rejected" in result.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [("{", "is not JSON"), ("[1]", "holds no JSON object"), (None, "cannot be read")],
)
def test_a_schema_that_is_none_is_refused(
    here: Path, config: Path, content: str | None, told: str, refused: Refused
) -> None:
    if content is not None:
        (here / "schema.json").write_text(content)
    assert told in refused("ask", "Hi", "--schema", "schema.json")


def test_failed_calls_end_with_code_1_and_an_account_of_each(config: Path, server: Any, refused: Refused) -> None:
    server.says = {}
    told = refused("ask", "Hi", code=1)
    assert "weak: overloaded" in told
    assert "strong: overloaded" in told


def test_an_answer_that_nobody_could_better_is_served_with_a_word_of_warning(
    config: Path, server: Any, run: Run
) -> None:
    server.says = {"weak": "I don't know.", "strong": "I don't know."}
    result = run("ask", "Who am I?")
    assert result.exit_code == 0
    assert result.stdout == "I don't know.\n"
    assert "strong served_unverified (" in result.stderr


def test_a_missing_key_is_named(here: Path, run: Run) -> None:
    (here / "router.yaml").write_text("models: [openai:gpt-4.1-nano]")
    result = run("ask", "Hi")
    assert result.exit_code in {1, 2}
    assert "OPENAI_API_KEY" in result.stderr


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_an_answer_cannot_command_a_terminal(config: Path, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server.says["weak"] = "a\x1b[2Jb\tc\n\x07\u200dd é"
    screen = Terminal(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", screen)
    answer(config, [{"role": "user", "content": "Hi"}], {}, streamed=True)
    screen.flush()
    assert screen.buffer.getvalue().decode() == "a[2Jb\tc\n\u200dd é\n"


def test_a_pipe_gets_the_answer_as_it_is(config: Path, server: Any, run: Run) -> None:
    server.says["weak"] = "a\x1b[2Jb"
    assert run("ask", "Hi").stdout == "a\x1b[2Jb\n"


def test_an_answer_that_cannot_be_encoded_is_written_as_far_as_it_can(config: Path, server: Any, run: Run) -> None:
    server.says["weak"] = "half a pair: \ud83d"
    assert run("ask", "Hi").stdout == "half a pair: ?\n"


def test_the_installed_command_runs_in_a_pipe(config: Path) -> None:
    code = "from router_core.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "ask", "-"],
        input="Capital of France?",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "Paris.\n")
    assert "strong" in done.stderr
