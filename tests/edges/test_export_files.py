"""``llm-router ledger export``: a file is whole or not there, few rows are in memory, and options are what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from router_core.cli import export as exporting
from router_core.cli.export import Span, export
from router_core.stores import Row, Store, open_store
from tests.stores.samples import entry, full_entry

Run = Callable[..., Result]
Refused = Callable[..., str]

FORMATS = ["csv", "jsonl", "parquet"]


@pytest.fixture
def ledger(here: Path) -> Iterator[Store]:
    """The ledger that commands use in this directory, with three receipts."""
    store = open_store("sqlite:///router.db")
    store.record(entry("r1", 5, None, at=1_000.5))
    store.record(entry("r2", at=2_000.0))
    store.record(full_entry())
    yield store
    store.close()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("what", ["requests", "attempts"])
def test_few_rows_are_in_memory_however_many_there_are(
    here: Path, monkeypatch: pytest.MonkeyPatch, form: str, what: str
) -> None:
    monkeypatch.setattr(exporting, "_GROUP_ROWS", 10)
    alive: weakref.WeakSet[Tracked] = weakref.WeakSet()
    most = 0
    store = open_store("memory://")
    store.record(full_entry())
    (row,) = store.entries()

    def entries(**_: object) -> Iterator[Row]:
        nonlocal most
        for _ in range(200):
            tracked = Tracked(row["decision"]["features"])
            alive.add(tracked)
            most = max(most, len(alive))
            yield {**row, "decision": {**row["decision"], "features": tracked}}

    monkeypatch.setattr(store, "entries", entries)
    assert export(store, f"out.{form}", None, what, Span()) == (200 if what == "requests" else 600)
    assert most <= 12
    if form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="not installed; run: uv sync")
        assert parquet.ParquetFile(f"out.{form}").num_row_groups == (20 if what == "requests" else 60)


class Tracked(dict[str, Any]):
    """One that a weak reference can be made to."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def test_long_texts_make_small_groups(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="not installed; run: uv sync")
    monkeypatch.setattr(exporting, "_GROUP_CHARACTERS", 100)
    store = open_store("memory://")
    for number in range(6):
        store.record(entry(f"r{number}", 5, prompt="x" * 30, answer="y" * 20))
    export(store, "out.parquet", None, "requests", Span())
    assert parquet.ParquetFile("out.parquet").num_row_groups == 3


# --------------------------------------------------------------------------------------------------- a file as a whole


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "broken", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "ctrl-c"]
)
def test_what_goes_wrong_leaves_the_file_as_it_was(
    ledger: Store, here: Path, monkeypatch: pytest.MonkeyPatch, form: str, broken: BaseException
) -> None:
    out = here / f"out.{form}"
    out.write_text("as it was")
    rows = list(ledger.entries())

    def entries(**_: object) -> Iterator[Row]:
        yield from rows
        raise broken

    monkeypatch.setattr(ledger, "entries", entries)
    with pytest.raises((KeyboardInterrupt, ValueError)) as told:
        export(ledger, str(out), None, "requests", Span())

    assert "No space left on device" in str(told.value) or isinstance(broken, KeyboardInterrupt)
    assert out.read_text() == "as it was"
    assert [path.name for path in here.iterdir() if path.suffix == ".part"] == []


@pytest.mark.parametrize("args", [["nowhere/out.csv"], ["folder", "--format", "csv"]])
def test_a_place_that_takes_no_file_is_named(ledger: Store, here: Path, args: list[str], refused: Refused) -> None:
    (here / "folder").mkdir()
    told = refused("ledger", "export", *args)
    assert f"error: {args[0]}: " in told
    assert "give" in told


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_what_is_no_file_is_not_replaced(ledger: Store, here: Path, refused: Refused) -> None:
    os.mkfifo(here / "pipe.csv")
    assert "is no file and is left as it is" in refused("ledger", "export", "pipe.csv")
    assert (here / "pipe.csv").is_fifo()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_the_target_of_a_link_is_replaced(ledger: Store, here: Path, run: Run) -> None:
    (here / "real.csv").write_text("old")
    (here / "link.csv").symlink_to("real.csv")
    assert run("ledger", "export", "link.csv").exit_code == 0
    assert (here / "link.csv").is_symlink()
    assert (here / "real.csv").read_text().startswith("request_id,")


# -------------------------------------------------------------------------------------------------------- the command


def test_the_format_is_the_option_s_else_the_name_s(ledger: Store, here: Path, run: Run) -> None:
    assert run("ledger", "export", "a.NDJSON").stderr == "3 requests written to a.NDJSON.\n"
    assert json.loads((here / "a.NDJSON").read_text().splitlines()[0])["request_id"] == "r1"
    assert run("ledger", "export", "a.txt", "--format", "csv", "--what", "attempts").stderr.startswith("5 attempts")
    assert (here / "a.txt").read_text().startswith("request_id,at,number,")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_standard_output_has_the_records_alone(ledger: Store, here: Path, run: Run, form: str) -> None:
    run("ledger", "export", f"out.{form}")
    result = run("ledger", "export", "-", "--format", form)
    assert (result.exit_code, result.stderr) == (0, "3 requests written.\n")
    assert result.stdout_bytes == (here / f"out.{form}").read_bytes()


def test_only_the_span_that_is_asked_for_is_written(ledger: Store, run: Run) -> None:
    def ids(*options: str) -> list[str]:
        lines = run("ledger", "export", "-", "--format", "jsonl", *options).stdout.splitlines()
        return [json.loads(line)["request_id"] for line in lines]

    assert ids("--until", "2000-01-01") == ["r1", "r2"]
    assert ids("--since", "1970-01-01T00:16:40.500001Z", "--until", "1970-01-01T00:33:20.000001") == ["r2"]
    assert ids("--since", "1970-01-01T00:16:40.500000Z", "--until", "1970-01-01T00:33:20") == ["r1"]
    assert ids("--since", "2025-01-01") == ["f" * 32]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["out"], "--format: 'out' does not tell it; give --format csv, jsonl or parquet"),
        (["-"], "--format: '-' does not tell it"),
        (["-", "--format", "parquet"], "--format: parquet is no text for standard output"),
        (["out.csv", "--format", "excel"], "--format: 'excel' is unknown; use csv, jsonl or parquet"),
        (["out.csv", "--what", "models"], "--what: 'models' is unknown; use requests or attempts"),
        (["out.csv", "--since", "yesterday"], "--since: 'yesterday' is no moment"),
        (["out.csv", "--until", "99999999999w"], "--until: '99999999999w' is before all time"),
    ],
)
def test_a_wrong_option_is_named_and_no_file_is_made(
    ledger: Store, here: Path, args: list[str], told: str, refused: Refused
) -> None:
    assert told in refused("ledger", "export", *args)
    assert [path.name for path in here.iterdir() if path.name.startswith("out")] == []


def test_parquet_without_its_package_names_the_extra(
    ledger: Store, here: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    class Hidden:
        def find_spec(self, name: str, *_: object) -> None:
            if name.partition(".")[0] == "pyarrow":
                raise ModuleNotFoundError(f"No module named {name!r}", name="pyarrow")

    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Hidden(), *sys.meta_path])
    assert "pip install 'router-core[parquet]'" in refused("ledger", "export", "out.parquet")
    assert not (here / "out.parquet").exists()


def test_a_reader_that_goes_away_ends_it_without_a_traceback(here: Path) -> None:
    store = open_store("sqlite:///router.db")
    for number in range(300):
        store.record(entry(f"r{number}", 5, prompt="x" * 1_000))
    store.close()
    code = "from router_core.cli import main; main()"
    command = [sys.executable, "-c", code, "ledger", "export", "-", "--format", "jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["request_id"] == "r0"
        process.stdout.close()
        assert process.stderr.read() == b""
