"""``llm-router stats`` and ``tail``: the short table, and receipts that come late, together or out of time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result

from router_core.cli.stats import show_tail
from router_core.records import Receipt, ReceiptOutcome
from router_core.report.follow import Follower, as_text
from router_core.stores import LedgerEntry, Store, open_store
from tests.stores.samples import entry, full_entry

Run = Callable[..., Result]

NOW = 1_764_000_000.0


@pytest.fixture
def ledger(here: Path) -> Iterator[Store]:
    """The ledger that commands use in this directory."""
    store = open_store("sqlite:///router.db")
    yield store
    store.close()


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["request_id"] for row in rows]


# --------------------------------------------------------------------------------------------------------------- stats


def test_stats_are_one_short_table(ledger: Store, run: Run) -> None:
    ledger.record(full_entry())
    ledger.record(entry("one", 5 * 10**9, at=NOW))
    ledger.record(LedgerEntry(receipt=Receipt("r", ReceiptOutcome.REFUSED, None, (), 0.0), at=NOW))

    lines = [" ".join(line.split()) for line in run("stats").stdout.splitlines()]
    assert lines[1:] == [
        "Requests 3",
        "Answered 66.7 %",
        "Average latency 2.12 s (of answered requests)",
        "Tokens, input 210",
        "Tokens, output 111",
        "Tokens, cached 40",
        "Tokens, reasoning 20",
        "Cost $5.00, unknown for 1 of 4 calls, which are not in it",
        "Escalated 50.0 % (of requests that called a model)",
        "Fell back 50.0 % (the same)",
    ]
    told = json.loads(run("stats", "--json").stdout)
    assert (told["requests"], told["success_rate"], told["unknown_costs"]) == (3, 2 / 3, 1)
    assert told["latency"]["mean_s"] == 2.125


def test_stats_of_a_time_without_requests(ledger: Store, run: Run) -> None:
    ledger.record(entry("old", 1, at=1_000.0))
    assert run("stats", "--since", "1d").stdout == "No request ended in this time.\n"
    assert json.loads(run("stats", "--since", "1d", "--json").stdout)["success_rate"] is None


# ---------------------------------------------------------------------------------------------------------------- tail


def test_a_line_tells_how_a_request_went() -> None:
    store = open_store("memory://")
    store.record(full_entry())
    (row,) = store.entries()
    assert as_text(row) == (
        "2025-11-24T16:00:00Z  answered  weak -> strong  "
        "difficulty_easy, rejected: wording, failed: overloaded  3 calls  ~200+110 tokens  unknown  3.75 s  "
        "conversation 7 beta user:ann"
    )


def test_a_request_that_was_refused_has_a_line_too() -> None:
    store = open_store("memory://")
    store.record(LedgerEntry(receipt=Receipt("r", ReceiptOutcome.REFUSED, None, (), 0.0), at=NOW))
    (row,) = store.entries()
    assert as_text(row) == "2025-11-24T16:00:00Z  refused  no model  0 calls  0+0 tokens  $0  0 ms"


def test_the_latest_are_shown_oldest_first(ledger: Store, run: Run) -> None:
    for number in range(15):
        ledger.record(entry(f"r{number:02}", number, at=1_000.0 + number))

    lines = [json.loads(line) for line in run("tail", "--no-follow", "--json").stdout.splitlines()]
    assert names(lines) == [f"r{number:02}" for number in range(5, 15)]
    assert (lines[0]["cost_usd"], lines[0]["attempts"][0]["cost_usd"]) == ("0.000000005", "0.000000005")
    assert len(run("tail", "--no-follow", "--lines", "3").stdout.splitlines()) == 3
    assert run("tail", "--no-follow", "--lines", "0").stdout == ""


def test_a_line_is_one_line_and_holds_no_text_of_prompts(ledger: Store, run: Run) -> None:
    one = full_entry()
    tags = frozenset({"two\nlines", "\x1b[31m"})
    ledger.record(LedgerEntry(receipt=one.receipt._replace(tags=tags), at=NOW, prompt="SECRET", answer="SECRET"))

    for arguments in ([], ["--json"]):
        shown = run("tail", "--no-follow", *arguments).stdout
        assert len(shown.splitlines()) == 1
        assert "\x1b" not in shown
        assert "SECRET" not in shown
        assert "says that it does not know" not in shown
        assert "Overloaded: 529" not in shown


def test_an_empty_ledger_says_so(ledger: Store, run: Run) -> None:
    result = run("tail", "--no-follow")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No requests yet" in result.stderr


# -------------------------------------------------------------------------------------------------------------- follow


def follower(store: Store, now: float = NOW) -> Follower:
    return Follower(store, lambda: now)


def test_receipts_of_the_same_moment_are_all_shown_once() -> None:
    store = open_store("memory://")
    store.record(entry("b", 1, at=NOW))
    follow = follower(store)
    assert names(follow.latest(10)) == ["b"]

    for name in ("a", "c"):
        store.record(entry(name, 1, at=NOW))
    assert names(follow.new()) == ["a", "c"]
    assert names(follow.new()) == []


def test_a_receipt_that_commits_late_is_not_missed() -> None:
    store = open_store("memory://")
    store.record(entry("first", 1, at=NOW))
    follow = follower(store)
    follow.latest(10)

    store.record(entry("late", 1, at=NOW - 20))
    assert names(follow.new()) == ["late"]
    assert names(follow.new()) == []


def test_a_clock_that_is_ahead_hides_nothing() -> None:
    store = open_store("memory://")
    store.record(entry("future", 1, at=NOW + 3_600))
    follow = follower(store)
    assert names(follow.latest(10)) == ["future"]

    store.record(entry("now", 1, at=NOW))
    assert names(follow.new()) == ["now"]
    assert names(follow.new()) == []


def test_what_ended_before_the_latest_is_not_shown_as_new() -> None:
    store = open_store("memory://")
    for number in range(200):
        store.record(entry(f"{number:03}", 1, at=NOW - 100 + number / 2))
    follow = follower(store)
    assert names(follow.latest(3)) == ["197", "198", "199"]
    assert names(follow.new()) == []


def test_what_ended_before_the_first_look_began_is_not_shown_as_new() -> None:
    store = open_store("memory://")
    for name, ago in (("older", 70), ("latest", 45)):
        store.record(entry(name, 1, at=NOW - ago))
    follow = follower(store)
    assert names(follow.latest(1)) == ["latest"]
    assert names(follow.new()) == []


def test_a_ledger_that_begins_empty_is_followed() -> None:
    store = open_store("memory://")
    follow = follower(store)
    assert follow.latest(10) == []
    store.record(entry("old clock", 1, at=1_000.0))
    assert names(follow.new()) == ["old clock"]
    assert names(follow.new()) == []


def test_what_is_remembered_does_not_grow_with_the_ledger() -> None:
    store = open_store("memory://")
    for number in range(500):
        store.record(entry(f"{number}", 1, at=NOW - 500 + number))
    follow = follower(store)
    follow.latest(400)
    assert len(follow._known) <= 31


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=5), min_size=1, max_size=6),
    st.integers(0, 4),
)
def test_whatever_comes_is_shown_once(batches: list[list[tuple[int, bool]]], lines: int) -> None:
    store, clock = open_store("memory://"), [NOW]
    follow = Follower(store, lambda: clock[0])
    written: list[str] = []

    def write(batch: list[tuple[int, bool]]) -> None:
        for late, ahead in batch:
            name = f"{len(written)}"
            store.record(entry(name, 1, at=clock[0] + (600 if ahead else -late)))
            written.append(name)

    write(batches[0])
    before = set(written)
    shown = names(follow.latest(lines))
    assert len(shown) == min(lines, len(before))
    for batch in batches[1:]:
        clock[0] += 7
        write(batch)
        shown += names(follow.new())
    assert len(shown) == len(set(shown))
    assert set(written) - before <= set(shown) <= set(written)


def test_following_ends_with_an_interrupt_and_shows_what_came(
    ledger: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    coming = iter(["b", "c"])

    def pause(_: float) -> None:
        name = next(coming, None)
        if name is None:
            raise KeyboardInterrupt
        ledger.record(entry(name, 1, at=NOW + 1))

    ledger.record(entry("a", 1, at=NOW))
    show_tail("sqlite:///router.db", None, lines=10, follow=True, as_json=True, pause=pause)
    assert [json.loads(line)["request_id"] for line in capsys.readouterr().out.splitlines()] == ["a", "b", "c"]


def test_names_that_the_output_has_no_letters_for_are_spelt_out(ledger: Store) -> None:
    one = entry("a", 1, at=NOW)
    ledger.record(LedgerEntry(receipt=one.receipt._replace(session="\u91ce"), at=NOW))
    for command in (["tail", "--no-follow"], ["report", "--by", "session"]):
        run = [sys.executable, "-c", "from router_core.cli import main; main()", *command]
        shown = subprocess.run(run, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "cp1252"})
        assert b"\\u91ce" in shown.stdout


def tailing(*arguments: str) -> subprocess.Popen[str]:
    # A shell in the background has its children ignore the signal.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heeding}; from router_core.cli import main; main()"
    command = [sys.executable, "-c", code, "tail", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_reader_that_has_gone_ends_it_without_a_word(ledger: Store) -> None:
    for number in range(150):  # more than fits into a pipe
        one = entry(f"{number}", 1, at=NOW + number)
        ledger.record(LedgerEntry(receipt=one.receipt._replace(session="s" * 1_000), at=one.at))
    with tailing("--lines", "150", "--no-follow") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("2025-11-24")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_ctrl_c_ends_it_without_a_word(ledger: Store) -> None:
    ledger.record(entry("a", 1, at=NOW))
    with tailing("--lines", "1") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
        assert process.wait(60) == 0
