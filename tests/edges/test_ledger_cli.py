"""``llm-router ledger``: what verify finds in a ledger that was tampered with, and what prune leaves."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from router_core.stores import Store, open_store
from tests.stores.samples import charge, entry

Run = Callable[..., Result]
Refused = Callable[..., str]

NEW = 4_000_000_000.0
"""A time that no age reaches."""


@pytest.fixture
def ledger(here: Path) -> Iterator[Store]:
    """The ledger that commands use in this directory: two old receipts and a new one, paid from one budget."""
    store = open_store("sqlite:///router.db")
    for name, at in (("old1", 1_000.0), ("old2", 2_000.0), ("new", NEW)):
        store.reserve(name, [charge()], owner="me", expires=NEW)
        store.settle(name, {charge().scope: 12}, entry(name, 5, 7, at=at))
    yield store
    store.close()


def sql(here: Path, *statements: str) -> None:
    with closing(sqlite3.connect(here / "router.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


# -------------------------------------------------------------------------------------------------------------- verify


def test_a_sound_ledger_is_said_to_be_right_and_how_much_was_checked(ledger: Store, run: Run) -> None:
    result = run("ledger", "verify")
    assert result.exit_code == 0
    assert result.stdout == "3 receipts with 6 attempts and 1 purse of budgets checked: every sum is right.\n"
    assert json.loads(run("ledger", "verify", "--json").stdout) == {
        "receipts": 3,
        "attempts": 6,
        "purses": 1,
        "faults": [],
    }


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE requests SET cost_nano = 13 WHERE request_id = 'new'", "request new: cost_nano is 13, but its atte"),
        ("UPDATE attempts SET cost_nano = NULL WHERE request_id = 'new' AND number = 1", "add up to unknown"),
        ("UPDATE attempts SET output_tokens = 9 WHERE request_id = 'new' AND number = 1", "output_tokens is 3, but"),
        ("DELETE FROM attempts WHERE request_id = 'new' AND number = 2", "attempt_count is 2, but the rows of its"),
        ("DELETE FROM requests WHERE request_id = 'new'", "attempts has rows of it, requests has none"),
        ("UPDATE counters SET spent = spent - 1", "35 are spent, but its settled holds add up to 36"),
        ("UPDATE counters SET held = 4", "4 are held, but its holds add up to 0"),
        ("DELETE FROM reservations WHERE request_id = 'new'", "36 are spent, but its settled holds add up to 24"),
    ],
)
def test_a_ledger_that_was_tampered_with_is_found_out(
    ledger: Store, here: Path, run: Run, statement: str, told: str
) -> None:
    sql(here, statement)
    result = run("ledger", "verify")
    assert result.exit_code == 1
    assert told in result.stdout
    assert "every sum is right" not in result.stdout
    assert " fault" in result.stdout.splitlines()[-1]

    as_json = run("ledger", "verify", "--json")
    assert as_json.exit_code == 1
    assert any(told in fault for fault in json.loads(as_json.stdout)["faults"])


def test_a_damaged_file_is_an_error_and_not_a_traceback(ledger: Store, here: Path, refused: Refused) -> None:
    ledger.close()
    (here / "router.db").write_bytes(b"no database" * 1_000)
    assert "is no SQLite database" in refused("ledger", "verify")


# --------------------------------------------------------------------------------------------------------------- prune


def test_pruning_keeps_what_was_spent_and_every_sum_right(ledger: Store, run: Run) -> None:
    before = ledger.standings()
    result = run("ledger", "prune", "--older-than", "90d", "--yes")

    assert result.stdout == "2 receipts removed. What they spent stays spent.\n"
    assert [row["request_id"] for row in ledger.entries()] == ["new"]
    assert ledger.standings() == before
    assert ledger.verify() == []
    assert run("ledger", "verify").exit_code == 0


def test_a_dry_run_counts_and_removes_nothing(ledger: Store, run: Run) -> None:
    shown = run("ledger", "prune", "--older-than", "1970-01-01T00:33:20", "--dry-run").stdout
    assert shown == "1 receipt of requests that ended before 1970-01-01 00:33:20+00:00 would be removed.\n"
    assert len(list(ledger.entries())) == 3


def test_nothing_is_removed_where_nobody_can_be_asked(ledger: Store, refused: Refused) -> None:
    assert "--yes: nobody can be asked here; give --yes" in refused("ledger", "prune", "--older-than", "90d")
    assert len(list(ledger.entries())) == 3


def test_nothing_to_remove_is_no_question(ledger: Store, run: Run) -> None:
    result = run("ledger", "prune", "--older-than", "1970-01-01")
    assert result.exit_code == 0
    assert "Nothing to remove" in result.stdout


@pytest.mark.parametrize(
    ("age", "told"),
    [("90", "'90' is no moment; write how long ago"), ("2999-01-01", "is still to come"), ("-5d", "is no moment")],
)
def test_an_age_that_is_none_removes_nothing(ledger: Store, refused: Refused, age: str, told: str) -> None:
    assert told in refused("ledger", "prune", f"--older-than={age}", "--yes")
    assert len(list(ledger.entries())) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals there")
@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 1), (b"n\n", 1, 3), (b"\n", 1, 3)])
def test_a_terminal_is_asked_first(ledger: Store, here: Path, answer: bytes, code: int, left: int) -> None:
    terminal, theirs = os.openpty()
    os.write(terminal, answer)
    command = [sys.executable, "-c", "from router_core.cli import main; main()"]
    done = subprocess.run(
        [*command, "ledger", "prune", "--older-than", "90d"], stdin=theirs, capture_output=True, check=False
    )
    os.close(terminal)
    os.close(theirs)
    assert done.returncode == code, done.stderr
    assert b"Remove 2 receipts of requests that ended before" in done.stdout
    assert len(list(ledger.entries())) == left


# ------------------------------------------------------------------------------------------------------- which ledger


@pytest.mark.parametrize(
    "command", [["verify"], ["prune", "--older-than", "90d", "--yes"], ["export", "out.csv"]], ids=lambda c: c[0]
)
def test_a_ledger_that_is_not_there_is_not_made(here: Path, command: list[str], refused: Refused) -> None:
    assert "store: there is no router.db; give the URL of a ledger with --store" in refused("ledger", *command)
    told = refused("ledger", *command, "--store", "sqlite:///other.db")
    assert "there is no other.db" in told
    assert "memory:// ends with its process" in refused("ledger", *command, "--store", "memory://")
    assert list(here.iterdir()) == []


def test_the_store_is_the_option_s_else_the_variable_s_else_the_registry_file_s(here: Path, run: Run) -> None:
    for number, name in enumerate(("router", "file", "variable", "option"), 1):
        store = open_store(f"sqlite:///{name}.db")
        for request in range(number):
            store.record(entry(f"r{request}", 5))
        store.close()

    def receipts(*args: str, **env: Any) -> int:
        found: int = json.loads(run("ledger", "verify", "--json", *args, **env).stdout)["receipts"]
        return found

    env = {"LLM_ROUTER_STORE": "sqlite:///variable.db"}
    assert receipts() == 1
    (here / "router.yaml").write_text("models: ['ollama:m']\nledger: {store: 'sqlite:///file.db'}")
    assert receipts() == 2
    assert receipts(env=env) == 3
    assert receipts("--store", "sqlite:///option.db", env=env) == 4


def test_help_says_what_becomes_of_prompts_and_formulas(run: Run) -> None:
    shown = " ".join(run("ledger", "export", "--help").stdout.split())
    assert "Prompts and answers are in it only if the ledger stores them" in shown
    assert "spreadsheet would take for a formula" in shown
