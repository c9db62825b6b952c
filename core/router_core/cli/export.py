"""``llm-router ledger export``: receipts or attempts as CSV, JSON lines or Parquet.

A record has the columns of the ledger's tables (``stores/schema.py``) with these differences. ``at_us`` becomes ``at``,
the time in UTC; each amount of nano-dollars, ``*_nano``, is followed by the same in US dollars, ``*_usd``, exactly; an
unknown one is null in both. Durations, ``*_us``, stay microseconds. An attempt has ``repriced`` too: what was computed
anew by ``llm-router reprice``, as nano-dollars by price version. A record of a request has the columns of its
decision too (``fallbacks``, which counts, is told from ``decision_fallbacks``, which names models), ``feedback`` (what
was said of the answer, and when, or null) and ``attempts``.

=========  ========================  ==================================  ==========================================
           CSV                       JSON lines                          Parquet
=========  ========================  ==================================  ==========================================
``at``     ISO 8601                  ISO 8601                            timestamp[us, UTC]
US dollar  a number                  a text, for most readers of JSON    decimal128(19, 9)
                                     take numbers for binary fractions
names      JSON                      a list                              list<string>
attempts   JSON                      a list of objects                   list<struct>
others     JSON                      an object or a list                 JSON
=========  ========================  ==================================  ==========================================

CSV is UTF-8 with a line of names. Text stands in quotes and nothing else does, so that null, an empty cell, is not an
empty text. Since spreadsheets take a text that begins with ``= + - @``, a tab or a line break for a formula, and
sessions, tags and prompts come from strangers, such a text gets an apostrophe before it; so does one that begins with
an apostrophe: whoever takes one away from each text that begins with one has the text as it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias

import typer

from router_core.errors import ConfigError, MissingExtra
from router_core.files import whole_file
from router_core.stores import Row, Store
from router_core.stores.rows import storable
from router_core.types import to_usd

What: TypeAlias = Literal["requests", "attempts"]
Kind: TypeAlias = Literal["integer", "number", "truth", "text", "moment", "usd", "names", "json", "attempts"]
Converters: TypeAlias = Mapping[str, Callable[[Any], Any]]

_FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_WHATS = ("requests", "attempts")
_OF_REQUESTS: Mapping[str, Kind] = {"tags": "names"}
_OF_DECISIONS: Mapping[str, Kind] = {
    "ladder": "names",
    "fallbacks": "names",
    "candidates": "json",
    "refusals": "json",
    "quality": "json",
    "features": "json",
}
"""What the columns hold that are JSON in the ledger."""

_KINDS: Mapping[type, Kind] = {int: "integer", float: "number", bool: "truth", str: "text"}
_FORMULA = tuple("=+-@\t\r\n'＝＋－＠")  # noqa: RUF001 - some spreadsheets read the wide ones too
"""What a text must not begin with in CSV (https://owasp.org/www-community/attacks/CSV_Injection), and the apostrophe
that says so."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GROUP_ROWS, _GROUP_CHARACTERS = 10_000, 16_000_000
"""What a row group of Parquet holds at most: it is made in memory."""


class Column(NamedTuple):
    """One column of a record: its name, what it holds, and the column of the ledger that it comes from."""

    name: str
    kind: Kind
    of: str


class Span(NamedTuple):
    """Receipts of requests that ended in ``since`` <= time < ``until``, in seconds since 1970; None is no bound."""

    since: float | None = None
    until: float | None = None


def export(store: Store, out: str, given: str | None, what: str, span: Span) -> int:
    """Write what the ledger keeps to a file, or to standard output for "-", and return how many records it is.

    ``given`` is "csv", "jsonl" or "parquet", or None where the name of the file tells it. The rows are read, turned and
    written a few at a time, however many there are; the file is there as a whole or not at all.

    Raises:
        ConfigError: the format is unknown, or the file cannot be written. MissingExtra: Parquet without pyarrow.
        StoreError: the ledger cannot be read.
    """
    if what not in _WHATS:
        raise ConfigError(f"--what: {what!r} is unknown; use {' or '.join(_WHATS)}")
    write = _WRITERS[_format_of(out, given)]
    columns = columns_of("attempts" if what == "attempts" else "requests")
    rows = _attempts(store, span) if what == "attempts" else _requests(store, span)
    if write is _write_parquet:
        _pyarrow()  # before anything is written
    if out == "-":
        stream = typer.get_binary_stream("stdout")
        count = write(stream, columns, rows)
        stream.flush()
        return count
    with whole_file(Path(out)) as file:
        return write(file, columns, rows)


@cache
def columns_of(what: What) -> tuple[Column, ...]:
    """The columns of a record, in order."""
    from router_core.stores.schema import ATTEMPTS, DECISIONS, REQUESTS  # noqa: PLC0415 - an optional extra

    if what == "attempts":
        request_id, *rest = _columns(ATTEMPTS.columns, {})
        return (request_id, Column("at", "moment", "at_us"), *rest, Column("repriced", "json", "repriced"))
    own = tuple(_columns(REQUESTS.columns, _OF_REQUESTS))
    taken = {column.name for column in own}
    _, *of_decision = _columns(DECISIONS.columns, _OF_DECISIONS)
    renamed = (
        Column(f"decision_{name}" if name in taken else name, kind, f"decision.{of}") for name, kind, of in of_decision
    )
    return (*own, *renamed, Column("feedback", "json", "feedback"), Column("attempts", "attempts", "attempts"))


def _columns(table: Iterable[Any], kinds: Mapping[str, Kind]) -> Iterator[Column]:
    for each in table:
        name = each.name
        if name == "at_us":
            yield Column("at", "moment", name)
            continue
        yield Column(name, kinds.get(name) or _KINDS[each.type.python_type], name)
        if name.endswith("_nano"):
            yield Column(f"{name.removesuffix('_nano')}_usd", "usd", name)


def _of_an_attempt() -> tuple[Column, ...]:
    """The columns of an attempt within its request, which has id and time."""
    return columns_of("attempts")[2:]


def _requests(store: Store, span: Span) -> Iterator[Row]:
    for row in store.entries(since=span.since, until=span.until):
        yield {**row, **{f"decision.{name}": value for name, value in (row["decision"] or {}).items()}}


def _attempts(store: Store, span: Span) -> Iterator[Row]:
    for row in store.entries(since=span.since, until=span.until):
        for attempt in row["attempts"]:
            yield {**attempt, "at_us": row["at_us"]}


def _record(columns: Sequence[Column], row: Row, how: Converters) -> Row:
    """The row as a record, each value as the converter of its kind makes it; null stays null."""
    record = {}
    for name, kind, of in columns:
        value = row.get(of)
        convert = how.get(kind)
        record[name] = value if value is None or convert is None else convert(value)
    return record


def _format_of(out: str, given: str | None) -> str:
    form = _FORMATS.get(Path(out).suffix.lower()) if given is None and out != "-" else given
    if form is None:
        raise ConfigError(f"--format: {out!r} does not tell it; give --format csv, jsonl or parquet")
    if form not in _WRITERS:
        raise ConfigError(f"--format: {form!r} is unknown; use csv, jsonl or parquet")
    if out == "-" and form == "parquet":
        raise ConfigError("--format: parquet is no text for standard output; give a file, or csv or jsonl")
    return form


def _iso(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _usd(nano: int) -> str:
    return f"{to_usd(nano):f}"


# --------------------------------------------------------------------------------------------------------- JSON lines


def _attempt_records(attempts: Iterable[Row], how: Converters) -> list[Row]:
    columns = _of_an_attempt()
    return [_record(columns, attempt, how) for attempt in attempts]


_AS_JSON: dict[str, Callable[[Any], Any]] = {"moment": _iso, "usd": _usd}
_AS_JSON["attempts"] = partial(_attempt_records, how=_AS_JSON)


def _write_jsonl(file: BinaryIO, columns: Sequence[Column], rows: Iterator[Row]) -> int:
    count = 0
    for row in rows:
        # ASCII, whatever the text: half of a surrogate pair, which tags may hold, has no bytes in UTF-8.
        file.write(json.dumps(_record(columns, row, _AS_JSON), allow_nan=False).encode() + b"\n")
        count += 1
    return count


# ---------------------------------------------------------------------------------------------------------------- CSV


def _quoted(text: str) -> str:
    guard = "'" if text.startswith(_FORMULA) else ""
    return '"' + guard + text.replace('"', '""') + '"'


def _quoted_json(value: object) -> str:
    return _quoted(json.dumps(value, allow_nan=False))


_AS_CSV: Converters = {
    "integer": str,
    "number": str,
    "truth": lambda truth: "true" if truth else "false",
    "text": _quoted,
    "moment": lambda at_us: _quoted(_iso(at_us)),
    "usd": _usd,
    "names": _quoted_json,
    "json": _quoted_json,
    "attempts": lambda attempts: _quoted_json(_attempt_records(attempts, _AS_JSON)),
}


def _write_csv(file: BinaryIO, columns: Sequence[Column], rows: Iterator[Row]) -> int:
    count = 0
    file.write(",".join(column.name for column in columns).encode() + b"\n")
    for row in rows:
        cells = _record(columns, row, _AS_CSV).values()
        file.write(",".join(cell or "" for cell in cells).encode() + b"\n")
        count += 1
    return count


# ------------------------------------------------------------------------------------------------------------ Parquet


_AS_ARROW: dict[str, Callable[[Any], Any]] = {
    "usd": lambda nano: Decimal(nano).scaleb(-9),
    "names": lambda names: [storable(name) for name in names],
    "json": json.dumps,
}
_AS_ARROW["attempts"] = partial(_attempt_records, how=_AS_ARROW)


def _write_parquet(file: BinaryIO, columns: Sequence[Column], rows: Iterator[Row]) -> int:
    arrow, parquet = _pyarrow()
    schema = _arrow_schema(arrow, columns)
    count = 0
    with parquet.ParquetWriter(file, schema) as writer:
        for table in _tables(arrow, schema, columns, rows):
            writer.write_table(table)
            count += table.num_rows
    return count


def _tables(arrow: Any, schema: Any, columns: Sequence[Column], rows: Iterator[Row]) -> Iterator[Any]:
    """The rows in tables of bounded size: texts of prompts and answers may be long."""
    records: list[Row] = []
    characters = 0
    for row in rows:
        records.append(_record(columns, row, _AS_ARROW))
        characters += len(row.get("prompt") or "") + len(row.get("answer") or "")
        if len(records) == _GROUP_ROWS or characters >= _GROUP_CHARACTERS:
            table = arrow.Table.from_pylist(records, schema=schema)
            records, characters = [], 0  # before the table is written, so that nothing is there twice
            yield table
    if records:
        yield arrow.Table.from_pylist(records, schema=schema)


def _arrow_schema(arrow: Any, columns: Iterable[Column]) -> Any:
    types = {
        "integer": arrow.int64(),
        "number": arrow.float64(),
        "truth": arrow.bool_(),
        "moment": arrow.timestamp("us", tz="UTC"),
        "usd": arrow.decimal128(19, 9),
        "names": arrow.list_(arrow.string()),
    }

    def fields(of: Iterable[Column]) -> list[Any]:
        return [arrow.field(column.name, type_of(column)) for column in of]

    def type_of(column: Column) -> Any:
        if column.kind == "attempts":
            return arrow.list_(arrow.struct(fields(_of_an_attempt())))
        return types.get(column.kind, arrow.string())

    return arrow.schema(fields(columns))


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - an optional extra
        from pyarrow import parquet  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise MissingExtra("pyarrow", "parquet") from None
    return pa, parquet


_WRITERS: Mapping[str, Callable[[BinaryIO, Sequence[Column], Iterator[Row]], int]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
