"""A router whose store cannot be used: no model is called, or the call goes on and what is lost is counted."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from router_core import Budget, Router
from router_core.errors import StoreError
from router_core.ledger import Ledger
from router_core.stores import open_store
from router_core.testing import ScriptedHost, scripted_model
from tests.stores.samples import entry

MODEL = scripted_model("model", input_usd="1", output_usd="2")
DAILY = (Budget(name="daily", limit_usd="1", per="day"),)


@contextmanager
def read_only(path: Path) -> Iterator[str]:
    yield f"sqlite:///file:{path}?mode=ro&uri=true"


@contextmanager
def locked(path: Path) -> Iterator[str]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield f"sqlite:///{path}?timeout=0.05"
        other.execute("ROLLBACK")


@contextmanager
def foreign(path: Path) -> Iterator[str]:
    path.write_text("Dear diary, " * 1_000)
    yield f"sqlite:///{path}"


@contextmanager
def damaged(path: Path) -> Iterator[str]:
    with closing(open_store(f"sqlite:///{path}")) as store:
        for number in range(200):
            store.record(entry(f"r{number:03}", 1, 2))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    yield f"sqlite:///{path}"


@contextmanager
def from_the_future(path: Path) -> Iterator[str]:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE router_schema_version SET version_num = '9999'")
    yield f"sqlite:///{path}"


@contextmanager
def nowhere(path: Path) -> Iterator[str]:
    yield f"sqlite:///{path.parent}/no/where/router.db"


@contextmanager
def no_server(_path: Path) -> Iterator[str]:
    yield "postgresql+psycopg://root@127.0.0.1:1/test?connect_timeout=2"


KINDS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "read-only": (read_only, "the file is read-only"),
    "locked": (locked, "the database is locked"),
    "foreign": (foreign, "the file is no SQLite database"),
    "damaged": (damaged, "the file is damaged"),
    "from the future": (from_the_future, "a newer one has written it"),
    "nowhere": (nowhere, "does not exist"),
    "no server": (no_server, "the server"),
}


@pytest.fixture(params=KINDS)
def bad(request: pytest.FixtureRequest, tmp_path: Path, sqlite_tables: bytes) -> Iterator[tuple[str, str]]:
    """The URL of a store that cannot be used, and what is said of it."""
    make, said = KINDS[request.param]
    if request.param == "no server":
        pytest.importorskip("psycopg", reason="not installed; run: uv sync")
    path = tmp_path / "router.db"
    path.write_bytes(sqlite_tables)
    with make(path) as url:
        yield url, said


def router_of(ledger: Ledger) -> tuple[Router, ScriptedHost]:
    host = ScriptedHost.saying({"model": "good"})
    return Router([MODEL], host=host, verifiers=[], ledger=ledger), host


@pytest.mark.parametrize("budgets", [(), DAILY], ids=["receipts", "budgets"])
async def test_no_model_is_called(bad: tuple[str, str], budgets: Sequence[Budget]) -> None:
    url, said = bad
    router, host = router_of(Ledger(url, budgets=budgets))

    with pytest.raises(StoreError, match=said):
        router.complete("What is it?")
    with pytest.raises(StoreError, match=said):
        await router.acomplete("What is it?")
    with pytest.raises(StoreError, match=said):
        list(router.stream("What is it?"))

    assert host.calls == []


@pytest.mark.parametrize("budgets", [(), DAILY], ids=["receipts", "budgets"])
async def test_or_the_call_goes_on_and_the_loss_is_counted_and_shown(
    bad: tuple[str, str], budgets: Sequence[Budget], caplog: pytest.LogCaptureFixture
) -> None:
    url, said = bad
    ledger = Ledger(url, budgets=budgets, on_store_error="warn")
    router, _host = router_of(ledger)

    assert router.complete("What is it?").text == "good"
    assert (await router.acomplete("What is it?")).text == "good"

    assert ledger.lost == 2
    assert "lost=2" in repr(ledger)
    assert said in caplog.text
    assert "2 receipts lost so far" in caplog.text


def test_what_was_repaired_is_used_again(tmp_path: Path, sqlite_tables: bytes) -> None:
    path = tmp_path / "router.db"
    path.write_bytes(sqlite_tables)
    with locked(path) as url:
        router, _host = router_of(Ledger(url, budgets=DAILY))
        with pytest.raises(StoreError):
            router.complete("What is it?")

    receipt = router.complete("What is it?").receipt

    with closing(open_store(f"sqlite:///{path}")) as store:
        assert [row["request_id"] for row in store.entries()] == [receipt.request_id]
        assert store.verify() == []


ON_A_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from router_core import Budget, Ledger, Router
from router_core.errors import StoreError
from router_core.testing import ScriptedHost, scripted_model

# As a full disk: no file may grow. SQLite writes to its log before all else.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
budgets = [Budget(name="daily", limit_usd="1", per="day")] if sys.argv[2] == "budgets" else []
host = ScriptedHost.saying({"model": "good"})
router = Router(
    [scripted_model("model", input_usd="1")], host=host, verifiers=[],
    ledger=Ledger(f"sqlite:///{path}", budgets=budgets, on_store_error=sys.argv[3]),
)
try:
    print(router.complete("What is it?").text, len(host.calls))
except StoreError as error:
    print("StoreError", len(host.calls), error)
"""


@pytest.mark.skipif(os.name == "nt", reason="limits of files are a matter of POSIX")
@pytest.mark.parametrize("kept", ["receipts", "budgets"])
def test_on_a_full_disk(tmp_path: Path, sqlite_tables: bytes, kept: str) -> None:
    def run(on_store_error: str) -> str:
        path = tmp_path / f"{on_store_error}.db"
        path.write_bytes(sqlite_tables)
        script = textwrap.dedent(ON_A_FULL_DISK)
        told = subprocess.run(
            [sys.executable, "-c", script, str(path), kept, on_store_error], check=True, capture_output=True, text=True
        )
        return told.stdout

    assert run("stop").startswith("StoreError 0 the store sqlite:///")
    assert run("warn") == "good 1\n"


def test_an_answer_that_could_not_be_booked_has_its_receipt_with_the_error(
    tmp_path: Path, sqlite_tables: bytes
) -> None:
    """The store was well when the request began."""
    path = tmp_path / "router.db"
    path.write_bytes(sqlite_tables)
    ledger = Ledger(f"sqlite:///{path}?timeout=0.05")

    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:

        def answer(_effect: Any, _payload: Any) -> str:
            other.execute("BEGIN IMMEDIATE")
            return "good"

        router = Router([MODEL], host=ScriptedHost(answer), verifiers=[], ledger=ledger)
        with pytest.raises(StoreError, match="locked") as caught:
            router.complete("What is it?")
        other.execute("ROLLBACK")

    assert caught.value.receipt is not None
    assert caught.value.receipt.cost_nano == caught.value.receipt.attempts[0].cost_nano
    assert caught.value.receipt.usage.total_tokens > 0
