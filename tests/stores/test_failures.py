"""Stores that cannot be used say what is wrong and what to do, before anything is done, and never a password."""

from __future__ import annotations

import os
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from router_core.errors import ConfigError, MissingExtra, StoreError
from router_core.stores import Store, open_store
from tests.stores.conftest import Postgres
from tests.stores.samples import charge, entry

SECRET = "s3cret-Pa55"


@pytest.fixture
def path(tmp_path: Path, sqlite_tables: bytes) -> Path:
    """A file with tables."""
    path = tmp_path / "router.db"
    path.write_bytes(sqlite_tables)
    return path


def refused(url: str) -> StoreError:
    with pytest.raises(StoreError) as caught:
        open_store(url)
    return caught.value


# Files.


def test_a_read_only_file(path: Path) -> None:
    error = refused(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert error.reason.startswith("the file is read-only")
    assert str(path) in error.url
    assert "writable" in error.remedy


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write to read-only files")
def test_a_file_without_the_right_to_write(path: Path) -> None:
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        assert "read-only" in refused(f"sqlite:///{path}").reason
    finally:
        path.parent.chmod(0o755)


def test_a_missing_folder(tmp_path: Path) -> None:
    error = refused(f"sqlite:///{tmp_path}/no/where/router.db")
    assert error.reason == f"the folder {tmp_path}/no/where does not exist"
    assert error.remedy == "create it, or correct the path"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    assert refused(f"sqlite:///{tmp_path}").reason.startswith("the file cannot be opened")


def test_a_file_of_something_else(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("Dear diary, " * 1000)

    error = refused(f"sqlite:///{text}")

    assert error.reason.startswith("the file is no SQLite database")
    assert text.read_text() == "Dear diary, " * 1000


def test_a_damaged_file(path: Path) -> None:
    url = f"sqlite:///{path}"
    store = open_store(url)
    for number in range(200):
        store.record(entry(f"r{number:03}", 1, 2))
    store.close()
    damaged = bytearray(path.read_bytes())
    damaged[8192:] = b"\xa5" * (len(damaged) - 8192)
    path.write_bytes(damaged)

    with pytest.raises(StoreError, match="the file is damaged") as caught, closing(open_store(url)) as store:
        list(store.entries())

    assert "backup" in caught.value.remedy


def test_a_locked_database_cannot_be_opened(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert refused(f"sqlite:///{path}?timeout=0.05").reason.startswith("the database is locked")
        other.execute("ROLLBACK")
    open_store(f"sqlite:///{path}?timeout=0.05").close()


def test_a_database_that_is_locked_later(path: Path) -> None:
    store = open_store(f"sqlite:///{path}?timeout=0.05")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another program"):
            store.reserve("r1", [charge()], owner="me", expires=5.0)
        assert store.standings() == [], "reading needs no lock"
        other.execute("ROLLBACK")

    assert store.reserve("r1", [charge()], owner="me", expires=5.0) == ()
    store.close()


def test_a_full_disk(path: Path) -> None:
    store = open_store(f"sqlite:///{path}")
    store.reserve("r1", [charge()], owner="me", expires=5.0)
    connection = store._writer._link.driver_connection
    [pages] = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    store.settle("r1", {charge().scope: 5}, entry("r1", 5))

    written = ["r1"]

    def fill() -> None:
        for number in range(1000):
            store.record(entry(f"s{number:03}", 1, 2, prompt="p" * 2_000))
            written.append(f"s{number:03}")

    with pytest.raises(StoreError, match="the disk is full") as caught:
        fill()

    assert "free some space" in caught.value.remedy
    assert [row["request_id"] for row in store.entries()] == written
    assert store.verify() == []
    connection.execute("PRAGMA max_page_count = 1000000")
    store.record(entry("t", 5))
    assert [row["request_id"] for row in store.entries()] == [*written, "t"]
    store.close()


def test_all_who_wait_are_told_that_the_database_is_locked(path: Path) -> None:
    from router_core.stores.works import Settle

    store = open_store(f"sqlite:///{path}?timeout=0.05")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = store._writer.perform([Settle.recording(entry(name, 1)) for name in "abc"])
        other.execute("ROLLBACK")

    assert [type(result.error) for result in done] == [StoreError] * 3
    assert len({id(result.error) for result in done}) == 3, "each is raised in a thread of its own"
    assert list(store.entries()) == []
    store.close()


# Servers.


@contextmanager
def server_that_refuses(message: str, sqlstate: str) -> Iterator[int]:
    """A PostgreSQL server as far as the first message: it refuses everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                while True:
                    (length,) = struct.unpack("!I", connection.recv(4))
                    body = connection.recv(length - 4)
                    if struct.unpack("!I", body[:4])[0] == 3 << 16:
                        break
                    connection.sendall(b"N")  # no encryption
                fields = f"SFATAL\0VFATAL\0C{sqlstate}\0M{message}\0\0".encode()
                connection.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


needs_driver = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import psycopg"], check=False, capture_output=True).returncode != 0,
    reason="psycopg is not installed; run: uv sync",
)


@needs_driver
@pytest.mark.parametrize(
    ("message", "sqlstate", "reason"),
    [
        ('password authentication failed for user "ann"', "28P01", "the server refuses this user or password"),
        (f'no such thing as "{SECRET}", password {SECRET}', "28P01", "the server refuses this user or password"),
        ("sorry, too many clients already", "53300", "the server has no connection left"),
        ("the database system is starting up", "57P03", "the server is starting, stopping"),
        ('database "router" does not exist', "3D000", "there is no such database"),
    ],
)
def test_a_server_that_refuses(message: str, sqlstate: str, reason: str) -> None:
    with server_that_refuses(message, sqlstate) as port:
        error = refused(f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:{port}/router")

    assert error.reason.startswith(reason)
    assert error.url == f"postgresql+psycopg://ann:***@127.0.0.1:{port}/router"
    assert SECRET not in "".join(traceback.format_exception(error))


@needs_driver
def test_a_password_among_the_options_is_not_shown_either() -> None:
    with server_that_refuses("password authentication failed", "28P01") as port:
        error = refused(f"postgresql+psycopg://127.0.0.1:{port}/router?user=ann&password={SECRET}")

    assert "password=***" in error.url
    assert SECRET not in "".join(traceback.format_exception(error))


@needs_driver
def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    error = refused(f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:{port}/router")
    assert error.reason.startswith("the connection is lost")
    assert error.remedy == "see that the server runs and can be reached"


def test_a_database_that_is_not_there(postgres: Postgres, postgres_url: str) -> None:
    error = refused(postgres_url.replace("/test?", "/no_such_database?"))
    assert error.reason.startswith("there is no such database")


def test_a_server_that_takes_no_writes(postgres: Postgres, postgres_url: str) -> None:
    error = refused(f"{postgres_url}%20-cdefault_transaction_read_only%3Don")
    assert error.reason.startswith("the server takes no writes")


def test_a_row_that_stays_locked(postgres: Postgres, postgres_url: str) -> None:
    store = open_store(postgres_url)
    store.reserve("r1", [charge()], owner="me", expires=5.0)
    cursor = store._writer._link.cursor()
    cursor.execute("SET lock_timeout = 50")
    store._writer._link.commit()

    postgres.execute(f"SET search_path = {postgres_url.rpartition('%3D')[2]}")
    postgres.execute("BEGIN")
    postgres.execute("SELECT * FROM counters FOR UPDATE")
    with pytest.raises(StoreError, match="a row is locked by another transaction"):
        store.settle("r1", {charge().scope: 5}, None)
    postgres.execute("ROLLBACK")

    store.settle("r1", {charge().scope: 5}, None)
    assert [(s.spent, s.held) for s in store.standings()] == [(5, 0)]
    store.close()


def test_connections_that_are_lost_are_made_anew(postgres: Postgres, postgres_url: str) -> None:
    store = open_store(postgres_url)
    store.reserve("r1", [charge()], owner="me", expires=5.0)
    with store._engine.connect() as connection:
        reading = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    writing = store._writer._link.driver_connection.info.backend_pid
    assert reading != writing
    for lost in (reading, writing):
        postgres.execute(f"SELECT pg_terminate_backend({lost}, 5000)")

    assert [(s.spent, s.held) for s in store.standings()] == [(0, 100)]
    store.settle("r1", {charge().scope: 5}, entry("r1", 5))

    assert [(s.spent, s.held) for s in store.standings()] == [(5, 0)]
    store.close()


# URLs.


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("router.db", "the URL has no scheme; write memory://, sqlite:///FILE or postgresql"),
        ("", "the URL has no scheme"),
        ("redis://127.0.0.1", "'redis' is no kind of store; write memory://, sqlite:///FILE"),
        (
            "postgres://ann@db/router",
            "'postgres' names no driver that this store uses; write .*postgresql\\+psycopg://",
        ),
        ("postgresql://ann@db/router", "'postgresql' names no driver"),
        ("postgresql+psycopg2://ann@db/router", "names no driver"),
        ("sqlite://", "names no file; write sqlite:///FILE, or memory:// to keep nothing"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///file:x?mode=memory&uri=true", "names no file"),
        ("sqlite:///router.db?timeout=soon", r"timeout=soon is no number of seconds; write sqlite:///FILE\?timeout=10"),
        (f"postgresql+psycopg://ann:{SECRET}@db:port/router", "the URL is not understood"),
        (f"ann:{SECRET}@db/router", "the URL has no scheme"),
    ],
)
def test_a_url_that_is_no_store(url: str, says: str) -> None:
    pytest.importorskip("sqlalchemy", reason="not installed; run: uv sync")
    with pytest.raises(ConfigError, match=says) as caught:
        open_store(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_relative_path_is_meant_where_the_store_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sqlalchemy", reason="not installed; run: uv sync")
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    store = open_store("sqlite:///router.db")
    monkeypatch.chdir(there)
    store.record(entry("r1", 5))
    assert [row["request_id"] for row in store.entries()] == ["r1"]
    store.close()
    assert [path.name for path in tmp_path.rglob("*.db")] == ["router.db"]
    assert not list(there.iterdir())


def test_a_memory_url_needs_nothing() -> None:
    assert isinstance(open_store("memory://"), object)
    script = (
        "import sys; from router_core.stores import open_store; open_store('memory://'); "
        "print(sorted({'sqlalchemy', 'alembic', 'psycopg'} & {m.partition('.')[0] for m in sys.modules}))"
    )
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert run.stdout == "[]\n"


@pytest.mark.parametrize(
    ("missing", "url", "extra"),
    [
        ("sqlalchemy", "sqlite:///router.db", "sql"),
        ("alembic", "sqlite:///router.db", "sql"),
        ("psycopg", "postgresql+psycopg://127.0.0.1/router", "postgres"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, url: str, extra: str
) -> None:
    pytest.importorskip("sqlalchemy", reason="not installed; run: uv sync")
    monkeypatch.chdir(tmp_path)
    for module in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, module)
    for module in [name for name in sys.modules if name.startswith("router_core.stores.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(MissingExtra, match=rf"{missing} is not installed; run: pip install 'router-core\[{extra}\]'"):
        open_store(url)


def test_a_store_shows_no_password(postgres_url: str) -> None:
    store: Store = open_store(postgres_url.replace("root@", f"root:{SECRET}@"))
    assert SECRET not in repr(store)
    assert "root:***@" in repr(store)
    store.close()
