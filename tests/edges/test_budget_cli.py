"""``llm-router budget``: what is set in the store holds for every router that uses it, and no top-up is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import Result

from router_core import Router
from router_core.budget import Budget
from router_core.cli.budget import top_up
from router_core.errors import BudgetExceeded
from router_core.ledger import Ledger
from router_core.stores import Store, open_store
from router_core.stores.sql import SqlStore
from router_core.testing import ScriptedHost, scripted_model
from tests.stores.samples import charge, entry

Run = Callable[..., Result]
Refused = Callable[..., str]

STORE = "sqlite:///router.db"
MODEL = scripted_model("weak", input_usd="1", output_usd="2")


@pytest.fixture
def file(here: Path) -> Path:
    """A registry file with a budget for all and one for each user."""
    path = here / "router.yaml"
    path.write_text("""
models: [{name: weak, endpoint: ollama, id: m, price: {input: 1, output: 2}}]
budgets:
  - {name: daily, limit_usd: 5, per: day, on_exceeded: degrade, timezone: Europe/Madrid}
  - {name: users, limit_tokens: 1000, per: total, scope: "tag:user"}
  - {name: each, limit_usd: 0.1, per: call}
""")
    return path


@pytest.fixture
def store(here: Path) -> Iterator[Store]:
    opened = open_store(STORE)
    yield opened
    opened.close()


@pytest.fixture
def shown(run: Run) -> Callable[..., dict[str, Any]]:
    """The budgets as JSON, by name."""

    def show(*args: str) -> dict[str, Any]:
        result = run("budget", "show", "--json", *args)
        assert result.exit_code == 0, result.stderr
        return {budget["name"]: budget for budget in json.loads(result.stdout)}

    return show


# ---------------------------------------------------------------------------------------------------------------- show


def test_budgets_of_the_file_are_shown_before_anything_was_kept(file: Path, here: Path, run: Run, shown: Any) -> None:
    found = shown()
    assert list(found) == ["daily", "users", "each"]
    assert found["daily"]["limit"] == "5"
    assert found["daily"]["on_exceeded"] == "degrade"
    assert found["daily"]["defined_in"] == ["file"]
    (purse,) = found["daily"]["purses"]
    assert (purse["key"], purse["limit"], purse["spent"], purse["held"], purse["left"], purse["percent"]) == (
        "",
        "5",
        "0",
        "0",
        "5",
        0,
    )
    assert purse["resets_at"].endswith(("T00:00:00+01:00", "T00:00:00+02:00"))
    assert found["users"]["purses"] == found["each"]["purses"] == []
    assert not (here / "router.db").exists()
    text = run("budget", "show").stdout
    assert "$5 per day" in text
    assert "1,000 tokens in all" in text


def test_a_purse_shows_what_was_spent_is_held_and_is_left(file: Path, store: Store, run: Run, shown: Any) -> None:
    window = Budget(name="b", limit_usd=1, per="day", timezone="Europe/Madrid").window(time.time(), "")
    day = charge("daily", window=window, limit=5 * 10**9, amount=2 * 10**9)
    ada, bob = (charge("users", key=f"user:{who}", window="total", unit="tokens") for who in ("ada", "bob"))
    old, late = charge("daily", window="2020-01-01"), charge("daily", window="9999-12-31")
    dollars = charge("users", key="user:eve", window="total")  # of a time when the budget was in dollars
    charges = [day, ada, old, late, dollars]
    store.reserve("r1", charges, owner="me", expires=9e9)
    store.settle("r1", {each.scope: 1_250_000_000 if each is day else 7 for each in charges}, None)
    store.reserve("r2", [day, bob], owner="me", expires=9e9)

    found = shown()
    (purse,) = found["daily"]["purses"]
    assert [purse[name] for name in ("spent", "held", "left", "percent")] == ["1.25", "2", "1.75", 25]
    assert [(p["key"], p["spent"], p["held"], p["left"]) for p in found["users"]["purses"]] == [
        ("user:ada", 7, 0, 993),
        ("user:bob", 0, 100, 900),
    ]
    text = run("budget", "show", "daily").stdout
    assert "$1.25" in text
    assert "25" in text
    assert "user:ada" not in text


def test_a_limit_of_nought_has_no_percentage(file: Path, run: Run, shown: Any) -> None:
    run("budget", "set", "daily", "--limit-usd", "0")
    assert shown()["daily"]["purses"][0]["percent"] is None
    assert run("budget", "show").exit_code == 0


def test_without_budgets_it_says_how_to_set_one(store: Store, run: Run, refused: Refused) -> None:
    assert "llm-router budget set" in run("budget", "show").stdout
    assert "budgets.daily: neither the store nor the registry file sets it" in refused("budget", "show", "daily")


def test_a_name_that_is_nearly_one_is_guessed(file: Path, refused: Refused) -> None:
    assert "(did you mean 'daily'?)" in refused("budget", "show", "dayly")


def test_a_store_that_is_named_must_be_there(file: Path, here: Path, refused: Refused) -> None:
    assert "there is no other.db" in refused("budget", "show", "--store", "sqlite:///other.db")
    assert not (here / "other.db").exists()


def test_a_key_cannot_command_the_terminal(file: Path, store: Store, run: Run) -> None:
    store.reserve(
        "r1", [charge("users", key="user:\x1b[2J\u202e", window="total", unit="tokens")], owner="me", expires=9e9
    )
    shown = run("budget", "show").stdout
    assert "\x1b" not in shown
    assert "user:\\x1b[2J\\u202e" in "".join(shown.split())


# ----------------------------------------------------------------------------------------------------------------- set


def test_a_budget_can_be_set_before_there_is_a_store(here: Path, run: Run, shown: Any) -> None:
    options = ["--per", "month", "--month-start", "15", "--scope", "tag:team", "--on-exceeded", "ask"]
    more = ["--timezone", "Asia/Tokyo", "--threshold", "90", "--threshold", "100"]
    result = run("budget", "set", "team", "--limit-usd", "20.5", *options, *more)
    assert result.exit_code == 0
    assert "within 5 seconds" in result.stdout

    assert shown()["team"] == {
        "name": "team",
        "unit": "usd",
        "limit": "20.5",
        "per": "month",
        "scope": "tag:team",
        "on_exceeded": "ask",
        "timezone": "Asia/Tokyo",
        "month_start": 15,
        "thresholds": [90, 100],
        "defined_in": ["store"],
        "purses": [],
    }


def test_only_what_is_given_is_set_and_the_rest_stays_the_file_s(
    file: Path, store: Store, run: Run, shown: Any
) -> None:
    run("budget", "set", "daily", "--limit-usd", "7")
    run("budget", "set", "daily", "--on-exceeded", "stop")  # as usual, but not as the file says

    assert store.budgets() == {"daily": {"limit_usd": "7", "on_exceeded": "stop"}}
    found = shown()["daily"]
    assert [found[name] for name in ("limit", "per", "on_exceeded", "timezone", "defined_in")] == [
        "7",
        "day",
        "stop",
        "Europe/Madrid",
        ["file", "store"],
    ]
    assert "what the registry file says of it holds again" in run("budget", "unset", "daily").stdout
    assert shown()["daily"]["limit"] == "5"


def test_a_limit_in_tokens_takes_the_place_of_one_in_dollars_and_its_top_ups(file: Path, run: Run, shown: Any) -> None:
    run("budget", "top-up", "daily", "--usd", "1")
    run("budget", "set", "daily", "--limit-tokens", "500")
    found = shown()["daily"]
    assert (found["unit"], found["limit"], found["purses"][0]["limit"]) == ("tokens", 500, 500)
    run("budget", "set", "daily", "--limit-usd", "3")
    assert shown()["daily"]["purses"][0]["limit"] == "3"


def test_a_top_up_outlives_a_new_limit(file: Path, run: Run, shown: Any) -> None:
    run("budget", "top-up", "daily", "--usd", "1.5")
    run("budget", "set", "daily", "--limit-usd", "2")
    assert shown()["daily"]["purses"][0]["limit"] == "3.5"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "there is nothing to set; give --limit-usd"),
        (["--per", "day"], "budgets.new: it has no limit yet; give --limit-usd or --limit-tokens"),
        (["--limit-usd", "five"], "budgets.new.limit_usd: 'five' is no amount of US dollars"),
        (["--limit-usd", "-1"], "budgets.new: the limit is below 0; give 0 or more"),
        (["--limit-usd", "1", "--limit-tokens", "5"], "budgets.new: give either limit_usd or limit_tokens"),
        (["--limit-usd", "1", "--per", "year"], "budgets.new.per: 'year' is no period; use call, day"),
        (["--limit-usd", "1", "--scope", "user"], "budgets.new.scope: 'user' is no scope; use all, session"),
        (["--limit-usd", "1", "--on-exceeded", "x"], "budgets.new.on_exceeded: 'x' is unknown; use stop"),
        (["--limit-usd", "1", "--timezone", "Mars"], "budgets.new.timezone: 'Mars' is unknown here"),
        (["--limit-usd", "1", "--month-start", "31"], "budgets.new.month_start: 31 is not from 1 to 28"),
        (["--limit-usd", "1", "--threshold", "0"], "budgets.new.thresholds: (0,) are not percentages"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_set(
    store: Store, options: Sequence[str], told: str, refused: Refused
) -> None:
    assert told in refused("budget", "set", "new", *options)
    assert store.budgets() == {}


def test_a_definition_that_is_wrong_can_be_removed(store: Store, run: Run, refused: Refused) -> None:
    store.save_budget("bad", {"limit_usd": "1", "colour": "red"})
    store.save_budget("good", {"limit_usd": "1"})
    assert "budgets.bad: ['colour'] are unknown here" in refused("budget", "show")
    assert run("budget", "set", "good", "--limit-usd", "2").exit_code == 0
    assert "limits nothing any more" in run("budget", "unset", "bad").stdout
    assert "budgets.bad: the store does not set it; nothing is done" in refused("budget", "unset", "bad")
    assert store.budgets() == {"good": {"limit_usd": "2"}}


def test_what_was_spent_stays_spent_when_a_budget_is_unset(store: Store, run: Run, shown: Any) -> None:
    run("budget", "set", "all", "--limit-usd", "1")
    purse = charge("all", window="total", limit=10**9)
    store.reserve("r1", [purse], owner="me", expires=9e9)
    store.settle("r1", {purse.scope: 42}, entry("r1", 42))
    run("budget", "unset", "all")
    run("budget", "set", "all", "--limit-usd", "1")
    assert shown()["all"]["purses"][0]["spent"] == "0.000000042"


# -------------------------------------------------------------------------------------------------------------- top-up


def test_a_top_up_is_for_one_purse_and_leaves_the_rest_of_the_budget_to_the_file(
    file: Path, store: Store, run: Run, shown: Any
) -> None:
    run("budget", "top-up", "users", "--tokens", "50", "--for", "user:ada")
    run("budget", "top-up", "users", "--tokens", "7", "--for", "user:ada")
    run("budget", "top-up", "users", "--tokens", "5", "--for", "user:bob")
    run("budget", "top-up", "daily", "--usd", "0.25")

    assert store.budgets()["users"].keys() == store.budgets()["daily"].keys() == {"top_ups"}
    assert {p["key"]: p["limit"] for p in shown()["users"]["purses"]} == {"user:ada": 1057, "user:bob": 1005}
    assert [p["limit"] for p in shown()["daily"]["purses"]] == ["5.25"]
    assert [p["left"] for p in shown()["daily"]["purses"]] == ["5.25"]
    file.write_text(file.read_text().replace("limit_usd: 5", "limit_usd: 6"))
    assert [p["limit"] for p in shown()["daily"]["purses"]] == ["6.25"]


def test_top_ups_of_periods_that_are_past_are_dropped(file: Path, store: Store, run: Run) -> None:
    past = [["", "2020-01-01", 10**9, "nano"], ["", "2020-01-02", 10**9, "nano"]]
    store.save_budget("daily", {"limit_usd": "3", "top_ups": past})
    run("budget", "top-up", "daily", "--usd", "2")

    saved = store.budgets()["daily"]
    assert saved["limit_usd"] == "3"
    assert [units for _, _, units, _ in saved["top_ups"]] == [2 * 10**9]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["each", "--usd", "1"], "budgets.each: it is per call, and no call lasts until a top-up; raise its limit"),
        (["daily", "--tokens", "1"], "budgets.daily: its limit is in US dollars; give --usd"),
        (["users", "--usd", "1", "--for", "user:ada"], "budgets.users: its limit is in tokens; give --tokens"),
        (["daily"], "budgets.daily: give either --usd or --tokens"),
        (["daily", "--usd", "1", "--tokens", "1"], "budgets.daily: give either --usd or --tokens"),
        (["daily", "--usd", "much"], "--usd: 'much' is no amount of US dollars"),
        (["daily", "--usd", "nan"], "--usd: 'nan' is no amount of US dollars"),
        (["daily", "--usd", "inf"], "--usd: 'inf' is no amount of US dollars"),
        (["daily", "--usd", "0.0000000001"], "--usd: '0.0000000001' is finer than a nano-dollar"),
        (["daily", "--usd", "0"], "budgets.daily: 0 is no top-up; give an amount above 0"),
        (["daily", "--usd", "-1"], "is no top-up; give an amount above 0"),
        (["daily", "--usd", "1", "--for", "user:ada"], "--for: 'user:ada' has no purse of its own in daily"),
        (["users", "--tokens", "1"], "--for: users has a purse for each; name a tag, such as user:NAME"),
        (["users", "--tokens", "1", "--for", "ada"], "--for: 'ada' has no purse in users; name the tag as requests"),
        (["weekly", "--usd", "1"], "budgets.weekly: neither the store nor the registry file sets it"),
    ],
)
def test_a_wrong_top_up_is_refused_and_changes_nothing(
    file: Path, store: Store, args: Sequence[str], told: str, refused: Refused
) -> None:
    assert told in refused("budget", "top-up", *args)
    assert store.budgets() == {}


def test_no_top_up_is_lost_that_comes_in_between(
    file: Path, store: Store, run: Run, shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap = SqlStore.swap_budget
    between = ["--usd", "0.5"]

    def slow(self: SqlStore, *args: Any) -> bool:
        if between:
            amount = list(between)
            between.clear()
            assert run("budget", "top-up", "daily", *amount).exit_code == 0
        return swap(self, *args)

    monkeypatch.setattr(SqlStore, "swap_budget", slow)
    assert run("budget", "top-up", "daily", "--usd", "1").exit_code == 0
    assert shown()["daily"]["purses"][0]["limit"] == "6.5"


def test_no_top_up_of_many_at_once_is_lost(file: Path, store: Store, shown: Any) -> None:
    def add(_: int) -> None:
        top_up("daily", None, file, usd="0.01", tokens=None, key=None)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(12)))
    assert shown()["daily"]["purses"][0]["limit"] == "5.12"


# ------------------------------------------------------------------------------------------------- routers that are on


def other_process(*args: str) -> None:
    code = "from router_core.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def router_with(*budgets: Budget) -> Router:
    return Router([MODEL], host=ScriptedHost.saying({"weak": "good"}), ledger=Ledger(STORE, budgets=budgets))


def test_a_router_that_would_refuse_knows_a_top_up_of_another_process_at_once(file: Path, run: Run) -> None:
    router = router_with(Budget(name="daily", limit_usd="0.000001", per="day", timezone="Europe/Madrid"))
    with pytest.raises(BudgetExceeded, match=r"limit \$0\.000001"):
        router.complete("What is it?", max_tokens=10)

    other_process("budget", "top-up", "daily", "--usd", "1")

    assert router.complete("What is it?", max_tokens=10).text == "good"
    assert run("ledger", "verify").exit_code == 0


def test_a_router_knows_a_lower_limit_and_a_new_budget_within_5_seconds(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("router_core.ledger.time", SimpleNamespace(time=time.time, monotonic=lambda: clock[0]))
    router = router_with(Budget(name="daily", limit_usd="1"))
    assert router.complete("What is it?", max_tokens=10).text == "good"
    other_process("budget", "set", "daily", "--limit-usd", "0")
    other_process("budget", "set", "tokens", "--limit-tokens", "1")

    clock[0] += 4.9
    assert router.complete("What is it?", max_tokens=10).text == "good"
    clock[0] += 0.2
    with pytest.raises(BudgetExceeded) as told:
        router.complete("What is it?", max_tokens=10)
    assert {each.charge.budget for each in told.value.shortfalls} == {"daily", "tokens"}
