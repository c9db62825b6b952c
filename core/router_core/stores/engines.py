"""Engines and connections of the SQL stores: how they are opened, how a writing transaction begins."""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError

from router_core.errors import ConfigError
from router_core.stores.failures import Place

LOCK_WAIT_S = 10.0
"""How long a writer waits for others; ``?timeout=`` of an SQLite URL sets another."""

_CONNECT_S = 10
_IDLE_TRANSACTION_S = 60
"""After that long a server ends the transaction of a process that was stopped in the middle of it."""

_LIMITS = {
    "lock_timeout": round(LOCK_WAIT_S * 1000),
    "idle_in_transaction_session_timeout": _IDLE_TRANSACTION_S * 1000,
}
"""What holds in each transaction on a server, in milliseconds."""

_LIMITS_OF_ONE = "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in _LIMITS.items())
"""Sets them for one transaction."""

_POOLER = "pgbouncer"
_SHORTEST_NAP_S, _LONGEST_NAP_S = 0.0002, 0.002
_BEGIN, _FIRST_WORDS = "router_begin", "router_first_words"


def parse(url: str) -> sa.URL:
    """The URL, a path in it made absolute.

    Raises:
        ConfigError: it is not understood, or names no place where data can stay.
    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        # It is not shown: what cannot be read may hold a password anywhere.
        raise ConfigError(
            "store: the URL is not understood; write sqlite:///FILE or "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, with %XX for special characters in the password"
        ) from None
    if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
        if parsed.database in {None, "", ":memory:"} or "mode=memory" in str(parsed):
            raise ConfigError(f"store: {url!r} names no file; write sqlite:///FILE, or memory:// to keep nothing")
        # A relative path is meant where the store is opened, whatever folder the program goes to later.
        here = parsed.database if _is_uri(parsed) else str(Path(str(parsed.database)).absolute())
        return parsed.set(database=here)
    return parsed


def make_engine(url: sa.URL, place: Place) -> sa.Engine:
    """An engine; nothing is connected yet.

    Raises:
        ConfigError: an option of the URL is wrong.
        StoreError: the folder of the file does not exist.
    """
    if url.get_backend_name() == "sqlite":
        _check_folder(url, place)
        wait_s = lock_wait_s(url)
        engine = sa.create_engine(url, paramstyle="named")
        event.listen(engine, "connect", lambda connection, _record: _prepare_sqlite(connection, wait_s))
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    arguments: dict[str, Any] = {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_S}
    pooled = _is_pooled(url)
    if pooled:
        arguments["prepare_threshold"] = None
    engine = sa.create_engine(
        url.difference_update_query([_POOLER]),
        isolation_level="READ COMMITTED",
        connect_args=arguments,
        pool_pre_ping=True,
        execution_options={_FIRST_WORDS: _LIMITS_OF_ONE} if pooled else {},
    )
    if pooled:
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(_LIMITS_OF_ONE))
    else:
        event.listen(engine, "connect", _prepare_postgres)
    return engine


def first_words(engine: sa.Engine) -> str | None:
    """What must be said at the beginning of a transaction on a connection of the driver's own; None if nothing must.

    Behind a pooler that gives each transaction another connection to the server, nothing can be set for longer than
    one, and no statement can be prepared for the next.
    """
    words: str | None = engine.get_execution_options().get(_FIRST_WORDS)
    return words


def _is_pooled(url: sa.URL) -> bool:
    given = url.query.get(_POOLER, "false")
    if given not in {"true", "false"}:
        raise ConfigError(f"store: pgbouncer={given} is neither true nor false; write ?pgbouncer=true")
    return given == "true"


def lock_wait_s(url: sa.URL) -> float:
    """How long a writer waits for the lock of this database, in seconds.

    Raises:
        ConfigError: the URL says something else than a number.
    """
    given = url.query.get("timeout", LOCK_WAIT_S)
    try:
        return float(str(given))
    except ValueError:
        raise ConfigError(f"store: timeout={given} is no number of seconds; write sqlite:///FILE?timeout=10") from None


def writing(connection: sa.Connection) -> sa.Connection:
    """The connection, so that its transactions are those of a writer from the beginning."""
    return connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})


def begin_writing(connection: Any, wait_s: float) -> None:
    """Begin a writing transaction on a connection of SQLite's own, waiting for other writers.

    SQLite's own wait naps up to 0.1 s at a time, so that writers that commit all the time starve the others.

    Raises:
        sqlite3.OperationalError: the database stayed locked.
    """
    until = time.monotonic() + wait_s
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(random.uniform(_SHORTEST_NAP_S, _LONGEST_NAP_S))  # noqa: S311 - no secret
        else:
            return


def _check_folder(url: sa.URL, place: Place) -> None:
    folder = Path(str(url.database)).parent
    if not _is_uri(url) and not folder.is_dir():
        raise place.error(f"the folder {folder} does not exist", "create it, or correct the path")


def _is_uri(url: sa.URL) -> bool:
    return str(url.database).startswith("file:")


def _prepare_sqlite(connection: Any, wait_s: float) -> None:
    connection.isolation_level = None  # transactions are begun by this code, not by the driver
    _use_wal(connection, wait_s)
    # A commit is on the disk when it returns: 0.2 ms where it was measured, against 0.01 ms with NORMAL, under which a
    # loss of power (not the death of a process) takes the last receipts with it. Group commit shares it out.
    connection.execute("PRAGMA synchronous=FULL")


def _use_wal(connection: Any, wait_s: float) -> None:
    """Two processes that turn a new file to WAL at once do not wait for each other by themselves."""
    until = time.monotonic() + wait_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            begin_writing(connection, max(0.0, until - time.monotonic()))
            connection.execute("ROLLBACK")
        else:
            return


def _begin_sqlite(connection: sa.Connection) -> None:
    begin = connection.get_execution_options().get(_BEGIN, "BEGIN")
    connection.exec_driver_sql(begin)


def _prepare_postgres(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        for name, value in _LIMITS.items():
            cursor.execute(f"SET {name} = {value}")
    connection.commit()
