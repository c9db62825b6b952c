"""``llm-router report``: what a person reads and a machine, the page, and what is said where there is nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from router_core.budget import Budget
from router_core.latency import QuantileSketch
from router_core.records import Attempt, AttemptOutcome, Receipt, ReceiptOutcome
from router_core.report import Figures, charts, statuses
from router_core.report.page import render
from router_core.stores import LedgerEntry, Store, open_store
from router_core.types import Usage
from tests.stores.samples import charge, entry, full_entry

Run = Callable[..., Result]
Refused = Callable[..., str]

NASTY = "<script>alert(1)</script>\"'&\x1b[31m\n\u202e{{ 7 * 7 }}"


@pytest.fixture
def ledger(here: Path) -> Iterator[Store]:
    """The ledger that commands use in this directory."""
    store = open_store("sqlite:///router.db")
    yield store
    store.close()


def named(name: str) -> LedgerEntry:
    """A request in which everything that can be named is named so."""
    usage = Usage(input_tokens=10, output_tokens=5)
    attempt = Attempt(1, name, name, AttemptOutcome.ACCEPTED, 1.0, usage=usage, cost_nano=7, price_version=name)
    receipt = Receipt("n", ReceiptOutcome.ANSWERED, None, (attempt,), 1.0, name, name, frozenset({name}))
    return LedgerEntry(receipt=receipt, at=1_000.0, baseline_model=name, baseline_nano=9)


# ------------------------------------------------------------------------------------------------------------- terminal


def test_the_report_is_read_at_80_columns(ledger: Store, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ledger.record(full_entry())
    ledger.record(entry("one", 5_000_000_000, at=1_764_000_001.0))
    result = run("report")

    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    shown = " ".join(result.stdout.split())
    assert "Spend $5.00 unknown for 1 of 4 calls, which are not in it" in shown
    assert "answers rejected: wording 1" in shown
    assert "calls failed: overloaded 1" in shown
    assert "usage estimated for 1 of 4 calls" in shown
    assert "always the strongest model (strong)" not in shown, "its cost is unknown, so that nothing is compared"
    assert "Left out: baseline unknown 1, cost unknown 1." in shown
    weak = next(line for line in result.stdout.splitlines() if line.startswith("weak"))
    assert weak.split()[:4] == ["weak", "2", "2", "$5.00"]
    total = next(line for line in result.stdout.splitlines() if line.startswith("total"))
    assert total.split()[:5] == ["total", "2", "4", "$5.00", "*"]
    assert "2025-11-24 2 $5.00" in shown


def test_time_bounds_what_is_counted(ledger: Store, run: Run) -> None:
    for number, day in enumerate(("2026-01-01", "2026-01-02", "2026-01-03")):
        ledger.record(entry(day, 10**9 * (number + 1), at=1_767_225_600.0 + number * 86_400))

    told = json.loads(run("report", "--since", "2026-01-02", "--until", "2026-01-03", "--json").stdout)
    assert (told["total"]["requests"], told["total"]["cost_usd"]) == (1, "2")
    assert (told["since"], told["until"]) == ("2026-01-02T00:00:00+00:00", "2026-01-03T00:00:00+00:00")
    assert json.loads(run("report", "--since", "1h", "--json").stdout)["total"]["requests"] == 0


def test_nothing_in_that_time_is_said(ledger: Store, run: Run) -> None:
    for arguments in ([], ["--since", "30d"], ["--by", "tag"]):
        result = run("report", *arguments)
        assert (result.exit_code, result.stdout) == (0, "No request ended in this time.\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--since", "yesterday"], "--since: 'yesterday' is no moment"),
        (["--until", "soon"], "--until: 'soon' is no moment"),
        (["--since", "1d", "--until", "2d"], "--until: ends before --since begins"),
        (["--by", "planet"], "planet"),
    ],
)
def test_what_was_asked_wrongly_is_named(ledger: Store, refused: Refused, arguments: list[str], told: str) -> None:
    assert told in refused("report", *arguments)


@pytest.mark.parametrize("command", [["report"], ["stats"], ["tail", "--no-follow"]])
def test_where_there_is_no_ledger_none_is_made(here: Path, refused: Refused, command: list[str]) -> None:
    assert "there is no router.db" in refused(*command)
    assert list(here.iterdir()) == []


def test_all_that_was_refused_is_a_report_too(ledger: Store, run: Run) -> None:
    ledger.record(LedgerEntry(receipt=Receipt("r", ReceiptOutcome.REFUSED, None, (), 0.0), at=1_000.0))
    for by in ("model", "session", "day"):
        result = run("report", "--by", by)
        assert result.exit_code == 0
        assert "1 requests called no model" in " ".join(result.stdout.split())


def test_only_the_dearest_are_listed_and_the_rest_is_summed_up(ledger: Store, run: Run) -> None:
    for number in range(25):
        one = entry(f"{number}", 10**9 * (number + 1), at=1_000.0)
        ledger.record(LedgerEntry(receipt=one.receipt._replace(session=f"s{number}"), at=one.at))

    shown = run("report", "--by", "session").stdout
    assert re.search(r"^s24 .*\$25\.00", shown, re.MULTILINE)
    assert re.search(r"^5 more +\$15\.00", shown, re.MULTILINE)
    assert len(json.loads(run("report", "--by", "session", "--json").stdout)["groups"]) == 25


@pytest.mark.parametrize("by", ["model", "provider", "tag", "session", "call_site"])
def test_names_command_no_terminal(ledger: Store, run: Run, by: str) -> None:
    ledger.record(named(NASTY))
    ledger.save_budget(NASTY, {"limit_usd": "1", "scope": f"model:{NASTY}"})
    result = run("report", "--by", by)

    assert result.exit_code == 0
    assert not set("\x1b\u202e") & set(result.stdout)
    assert "\\x1b" in result.stdout


# ------------------------------------------------------------------------------------------------------------- machines


def test_the_machine_form_is_exact_and_has_the_named_keys(ledger: Store, run: Run) -> None:
    ledger.record(entry("a", 1, 123_456_789_012, at=1_000.0, baseline_model="strong", baseline_nano=10**15))
    told = json.loads(run("report", "--by", "session", "--json").stdout)

    assert told["total"]["cost_usd"] == "123.456789013"
    assert told["savings"]["saved_usd"] == "999876.543210987"
    assert "same" in told["savings"]["assumption"] or "tokens of the answers" in told["savings"]["assumption"]
    assert told["by"] == "session"
    assert [group["name"] for group in told["groups"]] == [None]
    assert told["days"] == [
        {"day": "1970-01-01", "requests": 1, "cost_usd": "123.456789013", "models": {"weak": "123.456789013"}}
    ]
    documented = set(re.findall(r"``(\w+)``", __import__("router_core.report.machine", fromlist=["x"]).__doc__))
    shown = {*told, *told["total"], *told["savings"], *told["prediction"], *told["days"][0], *told["total"]["latency"]}
    tokens = {name for name in shown if name.endswith("_tokens")}
    assert shown - tokens - documented == set()


# ------------------------------------------------------------------------------------------------------------- budgets


def test_budgets_are_the_file_s_with_those_of_the_store_laid_over(ledger: Store, here: Path, run: Run) -> None:
    (here / "router.yaml").write_text("""
models: [{name: weak, endpoint: box, price: {input: 1, output: 2}}]
endpoints: {box: {base_url: "http://127.0.0.1:9/v1"}}
ledger: {store: "sqlite:///router.db"}
budgets: [{name: whole, limit_usd: 5}, {name: week, limit_tokens: 100, per: week}]
""")
    ledger.save_budget("whole", Budget(name="whole", limit_usd=2).definition())
    ledger.reserve("r", [charge("whole", window="total", limit=2 * 10**9, amount=5 * 10**8)], owner="me", expires=9.0)
    ledger.settle("r", {("whole", "", "total"): 15 * 10**8}, None)

    shown = run("report").stdout
    assert "Budget whole: $2.00 in total, stop when exceeded; never resets" in shown
    assert re.search(r"all +\$1\.50 spent +\$0 held +\$0\.50 left +\[#{15}\.{5}\]", shown)
    assert "Budget week: 100 tokens a week" in shown
    told = {budget["name"]: budget for budget in json.loads(run("report", "--json").stdout)["budgets"]}
    assert told["whole"]["purses"][0]["left"] == "0.5"
    assert told["week"]["purses"][0]["left"] == 100


# ---------------------------------------------------------------------------------------------------------------- page
VOID = {"meta", "br", "link", "img", "input", "line"}


class Reader(HTMLParser):
    """Reads a page: its tags, that they are closed, what they point to, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [str(value) for name, value in attrs if name in {"href", "src", "xlink:href", "onload"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize("by", [None, "model", "provider", "tag", "session", "policy", "call_site", "day"])
def test_the_page_stands_alone_and_escapes_every_name(by: Any) -> None:
    store = open_store("memory://")
    for one in (named(NASTY), full_entry()):
        store.record(one)
    budget = Budget(name=NASTY, limit_usd=1, scope=f"model:{NASTY}")
    page = render(Figures(by).add_all(store.entries()), statuses([budget], store, 0.0), now=0.0)

    reader = read(page)
    assert not reader.tags & {"script", "img", "link", "iframe", "object"}
    assert reader.links == []
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "url(" not in page
    assert "<script>alert(1)" in reader.text
    assert "{{ 7 * 7 }}" in reader.text
    assert "prefers-color-scheme: dark" in page


def test_the_page_shows_the_figures(ledger: Store, here: Path, run: Run) -> None:
    ledger.record(full_entry())
    ledger.record(entry("one", 5 * 10**9, at=1_764_000_001.0, baseline_model="strong", baseline_nano=20 * 10**9))
    ledger.save_budget("b", {"limit_usd": "3"})
    result = run("report", "--html", "out.html")

    assert result.stdout == "Wrote out.html.\n"
    text = " ".join(read((here / "out.html").read_text("utf-8")).text.split())
    for told in ("$15.00 (75.0 %)", "Spend by day", "$5.00", "$20.00", "p50", "p99", "weak", "$3.00 left", "Budgets"):
        assert told in text
    assert sorted(path.name for path in here.iterdir() if path.suffix != ".db" and "router" not in path.name) == [
        "out.html"
    ]


def test_the_page_has_the_newest_day_first(ledger: Store, here: Path, run: Run) -> None:
    for number in range(3):
        ledger.record(entry(f"{number}", 1, at=number * 86_400.0))
    for by in ("day", "model"):
        run("report", "--by", by, "--html", "out.html")
        rows = re.findall(r"<tr><td>(?:<bdi>)?(1970-01-\d\d)", (here / "out.html").read_text("utf-8"))
        assert rows == ["1970-01-03", "1970-01-02", "1970-01-01"]


def test_the_page_of_nothing_has_words(ledger: Store, here: Path, run: Run) -> None:
    assert run("report", "--html", "out.html").exit_code == 0
    text = read((here / "out.html").read_text("utf-8")).text
    for told in ("No request can be compared", "No model was called", "No request was answered", "No budget is set"):
        assert told in text


def test_page_and_json_come_together(ledger: Store, here: Path, run: Run) -> None:
    assert json.loads(run("report", "--html", "out.html", "--json").stdout)["total"]["requests"] == 0
    assert (here / "out.html").exists()


def test_a_page_that_cannot_be_written_leaves_the_old_one(ledger: Store, here: Path, refused: Refused) -> None:
    assert "nowhere" in refused("report", "--html", "nowhere/out.html")
    (here / "folder").mkdir()
    refused("report", "--html", "folder")


def test_half_a_surrogate_pair_in_a_tag_is_no_end_of_the_page(ledger: Store, here: Path, run: Run) -> None:
    ledger.record(named("tag\ud800"))
    for arguments in (["--html", "out.html", "--by", "tag"], ["--by", "tag"], ["--by", "tag", "--json"]):
        assert run("report", *arguments).exit_code == 0


# -------------------------------------------------------------------------------------------------------------- charts


def spent(*days: tuple[float, int]) -> Figures:
    store = open_store("memory://")
    for number, (day, nano) in enumerate(days):
        store.record(entry(f"{number}", nano, at=day * 86_400))
    return Figures().add_all(store.entries())


def test_days_without_requests_have_their_place_and_the_bars_their_height() -> None:
    chart = charts.spend(spent((0, 10**9), (3, 5 * 10**8)))
    assert chart is not None
    first, last = chart.boxes
    assert first.height == pytest.approx(2 * last.height)
    assert (last.x - first.x) / (chart.width - charts.LEFT) == pytest.approx(3 / 4)
    assert [mark.label for mark in chart.up] == ["$0", "$0.50", "$1.00"]


def test_bars_are_stacked_with_the_dearest_below_and_reach_what_the_axis_says() -> None:
    store = open_store("memory://")
    for model, nano in (("cheap", 100), ("dear", 200)):
        one = entry(model, nano, at=0.0)
        attempts = tuple(each._replace(model=model) for each in one.receipt.attempts)
        store.record(LedgerEntry(receipt=one.receipt._replace(attempts=attempts), at=0.0))
    figures = Figures().add_all(store.entries())
    chart = charts.spend(figures)

    assert chart is not None
    dear, cheap = chart.boxes
    assert (dear.title, dear.colour) == ("1970-01-01, dear: $0.0000002", charts.colours(figures)["dear"])
    bottom, top = chart.up[0], chart.up[-1]
    assert dear.y + dear.height == pytest.approx(bottom.at)
    assert cheap.y + cheap.height == pytest.approx(dear.y)
    assert top.label == "$0.0000003"
    assert cheap.y == pytest.approx(top.at)
    assert charts.spend(spent((0, 300), (1, 210))).up[-1].label == "$0.0000003"
    tall, _ = charts.spend(spent((0, 210), (1, 100))).boxes
    assert tall.height < bottom.at - top.at


@pytest.mark.parametrize(
    ("days", "unit"), [(59, "day"), (60, "week"), (600, "month"), (3_000, "year"), (10**6, "year")]
)
def test_long_times_are_told_in_longer_steps(days: int, unit: str) -> None:
    chart = charts.spend(spent((0, 10**9), (days, 10**9)))
    assert chart is not None
    assert chart.unit == unit
    assert len(chart.boxes) == 2
    assert len(chart.across) <= 14


def test_models_beyond_the_palette_share_a_colour() -> None:
    store = open_store("memory://")
    for number in range(12):
        one = entry(f"{number}", 100 - number, at=0.0)
        attempts = tuple(each._replace(model=f"m{number}") for each in one.receipt.attempts)
        store.record(LedgerEntry(receipt=one.receipt._replace(attempts=attempts), at=0.0))
    figures = Figures().add_all(store.entries())

    assert next(iter(charts.colours(figures))) == "m0", "the dearest has the first colour"
    assert list(charts.colours(figures).values()) == [0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7]
    (strip,) = charts.shares(figures, {"spend": figures.models, "nothing": {}})
    assert sum(part.width for part in strip.parts) == pytest.approx(100)
    assert "5 others" in render(figures, (), now=0.0)


def test_the_latency_chart_holds_every_request_and_its_percentiles() -> None:
    store = open_store("memory://")
    for number in range(100):
        one = entry(f"{number}", 1, at=0.0)
        store.record(LedgerEntry(receipt=one.receipt._replace(latency_s=0.01 * 1.1**number), at=0.0))
    chart = charts.latency(Figures().add_all(store.entries()).total.latency)

    assert chart is not None
    assert sum(int(box.title.split(": ")[1].split()[0]) for box in chart.boxes) == 100
    assert [mark.label for mark in chart.marks] == ["p50", "p90", "p99"]
    plot = chart.width - charts.LEFT
    assert [(mark.at - charts.LEFT) / plot for mark in chart.marks] == pytest.approx([0.5, 0.9, 0.99], abs=0.02)
    assert all(charts.LEFT <= box.x <= chart.width and box.height <= charts.HEIGHT for box in chart.boxes)


def test_a_sketch_that_keeps_all_forgets_nothing() -> None:
    sketch = QuantileSketch(forget_at=float("inf"))
    for _ in range(2_500):
        sketch.add(1.0)
    assert [count for _, count in sketch.buckets] == [2_500]
