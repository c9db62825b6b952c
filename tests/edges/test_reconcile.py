"""``llm-router reconcile``: a provider's bill and the ledger, model by model and day by day."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from router_core.stores import Store, open_store
from router_core.types import CACHE_PRICE, SCRIPTED_PRICE, Usage
from tests.edges.bookings import attempt, entry

Run = Callable[..., Result]

OPENAI = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,"
    "service_tier,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens\n"
)


def openai(*rows: tuple[str, str, int, int, int, int]) -> str:
    """OpenAI's export of usage: day, model, requests, input, output, cached."""
    return OPENAI + "".join(
        f"0,0,{day}T00:00:00+00:00,,proj_1,{requests}.0,,key_1,{model},FALSE,default,{given}.0,{told}.0,{cached}.0,0.0\n"
        for day, model, requests, given, told, cached in rows
    )


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.fixture
def store(here: Path) -> Iterator[Store]:
    """Two calls of nano on the first, one of nano and one of big on the second."""
    store = open_store("sqlite:///router.db")
    for number, (day, name, tokens, cost) in enumerate(
        [
            ("2026-03-01T00:00:00", "nano", (100, 20, 40), 30_000_000),
            ("2026-03-01T23:59:59.999999", "nano", (50, 10, 0), 20_000_000),
            ("2026-03-02T00:00:00", "nano", (7, 3, 0), 1_000_000),
            ("2026-03-02T12:00:00", "big", (1000, 500, 0), 5_000_000_000),
        ]
    ):
        given, told, cached = tokens
        usage = Usage(input_tokens=given, output_tokens=told, cache_read_tokens=cached)
        called = attempt(name, usage=usage, cost_nano=cost, model_id=f"gpt-{name}-2025-04-14")
        store.record(entry(f"r{number}", called, at=at(day)))
    yield store
    store.close()


SAME = openai(
    ("2026-03-01", "gpt-nano-2025-04-14", 1, 100, 20, 40),
    ("2026-03-01", "gpt-nano-2025-04-14", 1, 50, 10, 0),
    ("2026-03-02", "gpt-nano-2025-04-14", 1, 7, 3, 0),
    ("2026-03-02", "gpt-big-2025-04-14", 1, 1000, 500, 0),
)


@pytest.fixture
def told(here: Path, run: Run) -> Callable[..., tuple[int, dict[str, Any]]]:
    """The exit code and the outcome for a file."""

    def reconciled(content: str, *args: str, encoding: str = "utf-8") -> tuple[int, dict[str, Any]]:
        (here / "usage.csv").write_bytes(content.encode(encoding))
        result = run("reconcile", "usage.csv", "--json", *args)
        assert result.exit_code in {0, 1}, result.stderr
        return result.exit_code, json.loads(result.stdout)

    return reconciled


def lines(outcome: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(line["day"], line["model"]): line for line in outcome["lines"]}


def test_a_bill_that_says_what_the_ledger_says_agrees(store: Store, told: Any) -> None:
    code, outcome = told(SAME)

    assert (code, outcome["agrees"]) == (0, True)
    assert (outcome["rows"], outcome["provider"]) == (4, "openai")
    assert (outcome["first_day"], outcome["last_day"]) == ("2026-03-01", "2026-03-02")
    assert outcome["figures"] == ["requests", "input", "cache_read", "output"]
    total = {"requests": 4, "input_tokens": 1157, "cache_read_tokens": 40, "output_tokens": 533}
    assert outcome["total"] == {"file": total, "ledger": total, "difference": dict.fromkeys(total, 0)}
    assert lines(outcome)["2026-03-01", "gpt-nano-2025-04-14"]["file"]["input_tokens"] == 150
    assert all(model["exact"] for model in outcome["models"])


def test_what_differs_is_told_by_model_and_day(store: Store, told: Any) -> None:
    code, outcome = told(
        openai(
            ("2026-03-01", "gpt-nano-2025-04-14", 2, 151, 30, 40),
            ("2026-03-02", "gpt-nano-2025-04-14", 1, 7, 3, 0),
            ("2026-03-02", "gpt-huge", 1, 9, 9, 0),
        )
    )

    assert (code, outcome["agrees"]) == (1, False)
    found = {key: (line["agrees"], line["difference"]["input_tokens"]) for key, line in lines(outcome).items()}
    assert found == {
        ("2026-03-01", "gpt-nano-2025-04-14"): (False, 1),
        ("2026-03-02", "gpt-nano-2025-04-14"): (True, 0),
        ("2026-03-02", "gpt-huge"): (False, 9),
        ("2026-03-02", "gpt-big-2025-04-14"): (False, -1000),
    }
    assert lines(outcome)["2026-03-02", "gpt-huge"]["ledger"] is None
    assert lines(outcome)["2026-03-02", "gpt-big-2025-04-14"]["file"] is None


@pytest.mark.parametrize(
    ("given", "cost", "args", "code"),
    [
        (150, "0.05", (), 0),
        (150, "0.06", (), 0),
        (150, "0.0600000006", (), 1),
        (150, "0.0399999994", (), 1),
        (151, "0.05", (), 1),
        (151, "0.05", ("--tolerance-tokens", "1"), 0),
        (148, "0.05", ("--tolerance-tokens", "1"), 1),
        (150, "0.07", ("--tolerance", "0.02"), 0),
        (150, "0.0500001", ("--tolerance", "0"), 1),
    ],
)
def test_how_much_may_differ(store: Store, told: Any, given: int, cost: str, args: tuple[str, ...], code: int) -> None:
    content = f"date,model,input_tokens,cost\n2026-03-01,gpt-nano-2025-04-14,{given},{cost}\n"
    assert told(content, *args)[0] == code


def test_another_number_of_requests_alone_is_no_difference(store: Store, told: Any) -> None:
    code, outcome = told(SAME.replace(",1.0,", ",5.0,"))
    assert (code, outcome["total"]["difference"]["requests"]) == (0, 16)


def test_openai_s_costs_add_up_over_line_items(store: Store, told: Any) -> None:
    head = "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id\n"
    code, outcome = told(
        head + "1772323200,1772409600,2026-03-01T00:00:00+00:00,,0.0100000000000000000000001,usd,"
        '"gpt-nano-2025-04-14, input",\n'
        "1772323200,1772409600,2026-03-01T00:00:00+00:00,,0.0399999999999999999999999,usd,"
        '"gpt-nano-2025-04-14, output",\n'
        "1772409600,1772496000,2026-03-02T00:00:00+00:00,,,,,\n"
    )
    assert (code, outcome["provider"], outcome["figures"]) == (0, "openai", ["cost"])
    assert outcome["total"]["file"] == outcome["total"]["ledger"] == {"cost_usd": "0.05"}


def test_costs_without_models_are_compared_by_day(store: Store, told: Any) -> None:
    content = "start_time,amount_value,amount_currency,line_item\n1772323200,0.05,usd,\n1772409600,5.002,usd,\n"
    code, outcome = told(content)
    assert code == 0
    assert {key: line["ledger"] for key, line in lines(outcome).items()} == {
        ("2026-03-01", "(all models)"): {"cost_usd": "0.05"},
        ("2026-03-02", "(all models)"): {"cost_usd": "5.001"},
    }
    assert told(content.replace("5.002", "5.02"))[0] == 1


def test_the_claude_console_s_kinds_of_input_add_up_to_ours(here: Path, told: Any) -> None:
    usage = Usage(input_tokens=111_111, output_tokens=7, cache_read_tokens=1_000, cache_write_tokens=110_000)
    called = attempt("c", provider="anthropic", usage=usage, model_id="claude-haiku-4-5-20251001")
    open_store("sqlite:///router.db").record(entry("r1", called, at=at("2026-03-01T10:00:00")))
    head = (
        "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
        "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
        "usage_output_tokens,web_search_count,inference_geo,speed\n"
    )
    row = "2026-03-01,claude-haiku-4-5-20251001,key,Default,standard,≤ 200k,111,100000,10000,1000,7,0,global,\n"

    code, outcome = told(head + row)

    assert (code, outcome["provider"]) == (0, "anthropic")
    assert outcome["total"]["file"] == {
        "input_tokens": 111_111,
        "cache_read_tokens": 1_000,
        "cache_write_tokens": 110_000,
        "output_tokens": 7,
    }
    costs = (
        "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd\n"
        "2026-03-01,Claude Haiku 4.5,Default,key,message,≤ 200k,input_no_cache,0.40,0.40\n"
        "2026-03-01,Claude Haiku 4.5,Default,key,message,≤ 200k,output,0.60,0.60\n"
    )
    code, outcome = told(costs)
    assert (code, outcome["total"]["file"]) == (0, {"cost_usd": "1"})
    assert outcome["models"] == [
        {"file": ["Claude Haiku 4.5"], "ledger": ["claude-haiku-4-5-20251001"], "exact": False}
    ]


OPENROUTER_REQUESTS = """\
generation_id,created_at,cost_total,tokens_prompt,tokens_completion,tokens_reasoning,tokens_cached,model_permaslug
gen-1,2026-03-01T02:00:00.123Z,0.4,60,20,5,10,anthropic/claude-4.5-sonnet-20250929
gen-2,2026-03-02T01:00:00+02:00,0.6,40,30,4,0,anthropic/claude-4.5-sonnet-20250929
"""
OPENROUTER_DAYS = """\
Date,Slug,Usage,BYOK Usage,Requests,Prompt Tokens,Completion Tokens,Reasoning Tokens
"2026-03-01 00:00:00","anthropic/claude-sonnet-4.5","1","0","2","100","50","9"
"""


@pytest.mark.parametrize(
    "content",
    [
        OPENROUTER_REQUESTS,
        OPENROUTER_DAYS,
    ],
)
def test_openrouter_s_activity_by_request_and_by_day(here: Path, told: Any, content: str) -> None:
    usage = Usage(input_tokens=100, output_tokens=50, reasoning_tokens=9, cache_read_tokens=10)
    called = attempt("c", provider="openrouter", usage=usage, model_id="anthropic/claude-sonnet-4.5")
    open_store("sqlite:///router.db").record(entry("r1", called, at=at("2026-03-01T10:00:00")))

    code, outcome = told(content)

    assert (code, outcome["provider"]) == (0, "openrouter")
    total = outcome["total"]["file"]
    assert (total["input_tokens"], total["output_tokens"], total["reasoning_tokens"], total["cost_usd"]) == (
        100,
        50,
        9,
        "1",
    )


def test_any_other_file_is_read_with_columns(store: Store, told: Any) -> None:
    content = (
        "Modell;Tag;Eingabe;Cache;Ausgabe;Betrag;cost\n"
        "gpt-nano-2025-04-14;2026/3/1;90;60;30;0,05;999\n"
        "gpt-nano-2025-04-14;2026.03.02;7;0;3;0,001;999\n"
        "gpt-big-2025-04-14;2026-03-02;1.000;0;500;$5,00;999\n"
    )
    columns = "model=Modell,day=Tag,input=Eingabe+Cache,output=Ausgabe,cost=Betrag"
    code, outcome = told(content, "--columns", columns)
    assert (code, outcome["provider"]) == (0, None)
    assert outcome["total"]["file"] == {"input_tokens": 1157, "output_tokens": 533, "cost_usd": "5.051"}
    code, outcome = told(content, "--columns", columns.replace("cost=Betrag", "cost="))
    assert (code, outcome["figures"]) == (0, ["input", "output"])


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (SAME, "utf-8-sig"),
        (SAME, "utf-16"),
        (SAME.replace("\n", "\r\n"), "utf-8"),
        (SAME.replace("\n", "\n\n,,,\n   \n"), "utf-8"),
        ("\n\n" + SAME, "utf-8"),
        (SAME.replace(",", ";"), "utf-8"),
        ("sep=;\n" + SAME.replace(",", ";"), "utf-8"),
        (SAME.replace(",", "\t"), "utf-8"),
        (SAME.replace("1000.0", '"1,000.0"'), "utf-8"),
        (SAME.replace("gpt-nano-2025-04-14", '" GPT-Nano-2025-04-14"'), "utf-8"),
        (SAME.upper(), "utf-8"),
        (SAME.replace(",", ";").replace("1000.0", "1.000").replace("500.0", "500,0"), "utf-8"),
        (SAME.replace("proj_1", '"a, ""b""\nc"'), "utf-8"),
    ],
)
def test_however_spreadsheets_write_it(store: Store, told: Any, content: str, encoding: str) -> None:
    code, outcome = told(content, encoding=encoding)
    assert (code, outcome["rows"]) == (0, 4)


def test_days_without_usage_say_nothing(store: Store, told: Any) -> None:
    code, outcome = told(SAME + "0,0,2026-03-03T00:00:00+00:00,,,,,,,,,,,,\n")
    assert (code, outcome["last_day"]) == (0, "2026-03-02")


def test_only_the_days_that_are_asked_for_are_compared(store: Store, told: Any) -> None:
    content = openai(("2026-03-01", "gpt-nano-2025-04-14", 1, 1, 1, 1), ("2026-03-02", "gpt-nano", 1, 7, 3, 0))
    code, outcome = told(content, "--since", "2026-03-02T13:00:00")  # whole days
    assert (code, outcome["first_day"], outcome["last_day"]) == (1, "2026-03-02", "2026-03-02")
    assert [line["agrees"] for line in outcome["lines"]] == [False, True]  # big, nano
    code, outcome = told(SAME, "--until", "2026-03-02")
    assert (code, outcome["last_day"], len(outcome["lines"])) == (0, "2026-03-01", 1)
    code, outcome = told(SAME, "--until", "2026-03-02T00:00:01")
    assert outcome["last_day"] == "2026-03-02"
    code, outcome = told(SAME, "--since", "2026-02-01", "--until", "2026-02-03")
    assert (code, outcome["lines"]) == (0, [])


def test_what_reached_no_provider_or_another_one_is_left_out(store: Store, told: Any) -> None:
    day = at("2026-03-01T12:00:00")
    others = [
        attempt("nano", price_version=CACHE_PRICE, cost_nano=0, model_id="gpt-nano-2025-04-14"),
        attempt("nano", price_version=SCRIPTED_PRICE, cost_nano=0, model_id="gpt-nano-2025-04-14"),
        attempt("nano", usage=Usage(), cost_nano=0, price_version=None, model_id="gpt-nano-2025-04-14"),
        attempt("claude", provider="anthropic", model_id="claude"),
    ]
    store.record(entry("r9", *others, at=day))
    assert told(SAME)[0] == 0

    code, outcome = told(SAME, "--provider", "anthropic")
    assert code == 1
    assert lines(outcome)["2026-03-01", "claude"]["file"] is None
    no_provider = "date,model,input_tokens,output_tokens\n2026-03-01,gpt-nano-2025-04-14,150,30\n"
    assert lines(told(no_provider)[1])["2026-03-01", "claude"]["ledger"]["input_tokens"] == 1_000_000


def test_what_the_ledger_does_not_know_is_said(store: Store, told: Any, run: Run) -> None:
    day = at("2026-03-01T12:00:00")
    called = attempt("nano", model_id="gpt-nano-2025-04-14", usage=Usage(input_tokens=1, estimated=True))
    store.record(entry("r9", called._replace(cost_nano=None), called._replace(usage=None, cost_nano=None), at=day))

    code, outcome = told(SAME)
    assert code == 1
    counted = {name: outcome[f"ledger_{name}"] for name in ("unknown_costs", "unknown_usage", "estimated")}
    assert counted == {"unknown_costs": 2, "unknown_usage": 1, "estimated": 1}
    shown = run("reconcile", "usage.csv").stdout
    assert "1 calls of the ledger have no known tokens." in shown
    assert "The tokens of 1 calls of the ledger are estimated" in shown


def test_names_that_are_alike_are_matched_and_said_to_be(here: Path, run: Run, told: Any) -> None:
    (here / "router.yaml").write_text("models: [{name: mine, endpoint: openai, id: gpt-4.1-mini}]")
    store = open_store("sqlite:///router.db")
    usage = Usage(input_tokens=10, output_tokens=1)
    day = at("2026-03-01T12:00:00")
    store.record(entry("r1", attempt("fast", usage=usage), ids={"fast": "gpt-4.1-nano"}, at=day))  # by the decision
    store.record(entry("r2", attempt("mine", usage=usage), at=day))  # by the registry
    store.record(entry("r3", attempt("openai:gpt-4.1", usage=usage), at=day))  # by its name

    code, outcome = told(
        openai(
            ("2026-03-01", "gpt-4.1-nano-2025-04-14", 1, 10, 1, 0),
            ("2026-03-01", "gpt-4.1-mini", 1, 10, 1, 0),
            ("2026-03-01", "gpt-4.1-2025-04-14", 1, 10, 1, 0),
        )
    )

    assert code == 0
    assert outcome["models"] == [
        {"file": ["gpt-4.1-2025-04-14"], "ledger": ["gpt-4.1"], "exact": False},
        {"file": ["gpt-4.1-mini"], "ledger": ["gpt-4.1-mini"], "exact": True},
        {"file": ["gpt-4.1-nano-2025-04-14"], "ledger": ["gpt-4.1-nano"], "exact": False},
    ]
    shown = " ".join(run("reconcile", "usage.csv").stdout.split())
    assert "gpt-4.1-nano-2025-04-14 of the file and gpt-4.1-nano of the ledger." in shown


def test_people_read_the_same(store: Store, here: Path, run: Run) -> None:
    (here / "usage.csv").write_text(SAME.replace("100.0", "101.0").replace("gpt-big-2025-04-14", "[b]huge"))
    result = run("reconcile", "usage.csv")
    assert result.exit_code == 1
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["2026-03-01", "gpt-nano-2025-04-14", "input", "tokens", "151", "150", "+1"] in rows
    assert ["2026-03-02", "[b]huge", "(only", "in", "the", "file)", "requests", "1", "-", "+1"] in rows
    assert ["input", "tokens", "1,158", "1,157", "+1"] in rows
    assert "1 of 4 lines (a model on a day) agree." in result.stdout

    (here / "usage.csv").write_text(SAME)
    result = run("reconcile", "usage.csv")
    assert result.exit_code == 0
    assert "3 of 3 lines (a model on a day) agree: file and ledger say the same." in result.stdout


ROW = "2026-03-01,m,1,2,0.5\n"
HEAD = "date,model,input_tokens,output_tokens,cost\n"


def test_what_is_no_file_no_text_or_no_option_is_refused(here: Path, store: Store, refused: Callable[..., str]) -> None:
    assert "nowhere.csv: cannot be read" in refused("reconcile", "nowhere.csv")
    (here / "usage.csv").write_bytes(HEAD.encode() + b"2026-03-01,\xff,1,2,3\n")
    assert "is not text in UTF-8" in refused("reconcile", "usage.csv")
    (here / "usage.csv").write_text(HEAD)
    assert "has no row with a figure" in refused("reconcile", "usage.csv")
    (here / "usage.csv").write_text(HEAD + ROW)
    for tolerance in ("x", "-1", "nan", "1e99"):
        assert f"--tolerance: '{tolerance}' is no amount" in refused("reconcile", "usage.csv", "--tolerance", tolerance)
    assert "nothing is between" in refused("reconcile", "usage.csv", "--until", "2026-02-01")
    assert "has no column 'Dat' (did you mean 'date'?)" in refused("reconcile", "usage.csv", "--columns", "day=Dat")
    assert "'inputs=x' names no role (did you mean 'input'?)" in refused(
        "reconcile", "usage.csv", "--columns", "inputs=x"
    )


def test_a_ledger_must_be_there(here: Path, refused: Callable[..., str]) -> None:
    (here / "usage.csv").write_text(HEAD + ROW)
    assert "there is no router.db" in refused("reconcile", "usage.csv")


def test_sums_are_exact(store: Store, told: Any) -> None:
    content = HEAD + "2026-03-01,gpt-nano-2025-04-14,,,0.0000000001\n" * 100_000
    _, outcome = told(content)
    assert (outcome["rows"], Decimal(outcome["total"]["file"]["cost_usd"])) == (100_000, Decimal("0.00001"))
