"""``llm-router ledger export``: every value comes back as it was."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_core.cli import export as exporting
from router_core.cli.export import Span, export
from router_core.stores import LedgerEntry, Repricing, Row, Store, open_store
from router_core.stores.rows import storable
from tests.stores.samples import entry, full_entry

FORMATS = ["csv", "jsonl", "parquet"]
WHATS = ["requests", "attempts"]
NOT_OF_A_REQUEST = {"decision", "attempts", "at_us"}


@pytest.fixture
def ledger(here: Path) -> Iterator[Store]:
    """The ledger that commands use in this directory, with three receipts."""
    store = open_store("sqlite:///router.db")
    store.record(entry("r1", 5, None, at=1_000.5))
    store.record(entry("r2", at=2_000.0))
    store.record(full_entry())
    store.save_repricings([Repricing("f" * 32, 1, "genai-prices 9", 3_000.0, 77), Repricing("r1", 1, "x", 1.0, None)])
    yield store
    store.close()


# ------------------------------------------------------------------------- what a record must say, and what a file says


def with_money(row: Row) -> Row:
    """The row with its nano-dollars in US dollars beside them."""
    money = {f"{name[:-5]}_usd": value for name, value in row.items() if name.endswith("_nano")}
    usd = {name: None if nano is None else Decimal(nano) / 10**9 for name, nano in money.items()}
    return {**row, **usd}


def expected(row: Row) -> Row:
    """A request's record."""
    decision = {name: value for name, value in (row["decision"] or {}).items() if name != "request_id"}
    if not decision:
        names = ("policy", "reason", "score", "confidence", "ladder", "candidates", "refusals", "quality", "features")
        decision = dict.fromkeys((*names, "fallbacks"))
    decision["decision_fallbacks"] = decision.pop("fallbacks")
    own = {name: value for name, value in row.items() if name not in NOT_OF_A_REQUEST}
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["at_us"])
    return with_money({**own, **decision, "at": at, "attempts": [nested(each) for each in row["attempts"]]})


def nested(attempt: Row) -> Row:
    """An attempt within its request."""
    columns = {column.of for column in exporting.columns_of("attempts")} - {"request_id", "at_us"}
    return with_money({name: attempt.get(name) for name in columns})


def expected_attempts(row: Row) -> list[Row]:
    at = expected(row)["at"]
    return [{**nested(each), "request_id": row["request_id"], "at": at} for each in row["attempts"]]


def exported(store: Store, folder: Path, form: str, what: str = "requests") -> list[Row]:
    path = folder / f"out.{form}"
    count = export(store, str(path), None, what, Span())
    records = READERS[form](path)
    assert len(records) == count
    return records


def read_parquet(path: Path) -> list[Row]:
    parquet = pytest.importorskip("pyarrow.parquet", reason="not installed; run: uv sync")
    records = parquet.read_table(path).to_pylist()
    for each in (*records, *(attempt for record in records for attempt in record.get("attempts", ()))):
        for name in ("candidates", "refusals", "quality", "features", "repriced"):
            if each.get(name) is not None:
                each[name] = json.loads(each[name])
    return records


def read_jsonl(path: Path) -> list[Row]:
    return [typed(json.loads(line)) for line in path.read_text("ascii").splitlines()]


def typed(record: Row) -> Row:
    """The record with times and dollars as what they are."""
    for name, value in record.items():
        if name == "attempts":
            record[name] = [typed(each) for each in value]
        elif name == "at":
            record[name] = datetime.fromisoformat(value)
        elif name.endswith("_usd") and value is not None:
            assert isinstance(value, str)
            record[name] = Decimal(value)
    return record


def read_csv(path: Path) -> list[Row]:
    return [dict(row) for row in csv.DictReader(io.StringIO(path.read_bytes().decode(), newline=""))]


READERS = {"csv": read_csv, "jsonl": read_jsonl, "parquet": read_parquet}


def as_cell(value: object, cell: str) -> object:
    """What a cell of CSV says, of the type that the value has."""
    if value is None or isinstance(value, bool):
        return {"": None, "true": True, "false": False}[cell]
    if isinstance(value, str):
        return cell.removeprefix("'")
    if isinstance(value, datetime):
        return datetime.fromisoformat(cell)
    if isinstance(value, list) and value and isinstance(value[0], dict) and "number" in value[0]:
        return [typed(each) for each in json.loads(cell)]
    if isinstance(value, (list, dict)):
        return json.loads(cell)
    return type(value)(cell)  # type: ignore[call-arg]


def assert_same(form: str, record: Row, truth: Row) -> None:
    assert record.keys() == truth.keys()
    if form == "csv":
        record = {name: as_cell(truth[name], cell) for name, cell in record.items()}
    if form == "parquet":
        names = ("tags", "ladder", "decision_fallbacks")
        truth = {n: [storable(v) for v in value] if n in names and value else value for n, value in truth.items()}
    assert record == truth


# ---------------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("form", FORMATS)
def test_every_value_of_a_request_comes_back(ledger: Store, here: Path, form: str) -> None:
    rows = list(ledger.entries())
    records = exported(ledger, here, form)
    assert len(records) == 3
    for record, row in zip(records, rows, strict=True):
        assert_same(form, record, expected(row))


@pytest.mark.parametrize("form", FORMATS)
def test_every_value_of_an_attempt_comes_back(ledger: Store, here: Path, form: str) -> None:
    truths = [attempt for row in ledger.entries() for attempt in expected_attempts(row)]
    assert {"genai-prices 9": 77} in [truth["repriced"] for truth in truths]
    records = exported(ledger, here, form, "attempts")
    assert len(records) == 5
    for record, truth in zip(records, truths, strict=True):
        assert_same(form, record, truth)


WILD = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    [
        "=1+1",
        "'",
        "''=x",
        "+4",
        "-1",
        "@a",
        "\t=",
        "\r\n",
        '"',
        '","',
        "\n",
        "\0",
        "🙂",
        "\uff1d1",
        "a\u2028b",
        "",
        "null",
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(WILD, min_size=6, max_size=6),
    tags=st.frozensets(WILD, max_size=3),
    features=st.dictionaries(WILD, WILD | st.none() | st.lists(WILD, max_size=2), max_size=2),
)
def test_hostile_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], tags: frozenset[str], features: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    store = open_store("memory://")
    store.record(hostile(texts, tags, features))
    (row,) = store.entries()

    for form in FORMATS:
        (record,) = exported(store, folder, form)
        assert_same(form, record, expected(row))
        for record, truth in zip(exported(store, folder, form, "attempts"), expected_attempts(row), strict=True):
            assert_same(form, record, truth)


def hostile(texts: list[str], tags: frozenset[str], features: dict[str, Any]) -> LedgerEntry:
    session, call_site, prompt, answer, error, model = texts
    full = full_entry()
    first, *others = full.receipt.attempts
    assert full.receipt.decision is not None
    receipt = full.receipt._replace(
        session=session,
        call_site=call_site,
        tags=tags,
        attempts=(first._replace(error=error, model=model), *others),
        decision=full.receipt.decision._replace(features=features, ladder=(model, "strong")),
    )
    return replace(full, receipt=receipt, prompt=prompt, answer=answer)


def test_no_cell_of_csv_is_a_formula_and_no_text_is_null(here: Path) -> None:
    store = open_store("memory://")
    plain = entry("r1", 5, prompt="=HYPERLINK(1)", answer="'quoted'")
    store.record(replace(plain, receipt=plain.receipt._replace(session="", call_site=None)))
    export(store, "out.csv", None, "requests", Span())

    head, line = (here / "out.csv").read_text("utf-8").splitlines()
    names, cells = head.split(","), line.split(",")
    found = dict(zip(names, cells, strict=False))
    assert "\"'=HYPERLINK(1)\",\"''quoted'\"," in line
    assert (found["session"], found["call_site"]) == ('""', "")
    assert (found["cost_nano"], found["cost_usd"], found["baseline_usd"]) == ("5", "0.000000005", "")


@pytest.mark.parametrize("what", WHATS)
def test_parquet_has_the_right_types(ledger: Store, here: Path, what: str) -> None:
    pa = pytest.importorskip("pyarrow", reason="not installed; run: uv sync")
    from pyarrow import parquet

    export(ledger, "out.parquet", None, what, Span())
    schema = parquet.read_schema(here / "out.parquet")

    money = {"cost_nano": pa.int64(), "cost_usd": pa.decimal128(19, 9)}
    types = {"at": pa.timestamp("us", tz="UTC"), "latency_us": pa.int64(), "estimated": pa.bool_(), **money}
    assert {name: schema.field(name).type for name in types} == types
    if what == "requests":
        assert schema.field("tags").type == pa.list_(pa.string())
        assert schema.field("score").type == pa.float64()
        assert schema.field("attempts").type.value_type.field("cost_usd").type == pa.decimal128(19, 9)


@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_ledger_has_columns_and_no_records(here: Path, form: str) -> None:
    assert exported(open_store("memory://"), here, form) == []
    if form == "csv":
        assert (here / "out.csv").read_text().startswith("request_id,at,outcome,")
