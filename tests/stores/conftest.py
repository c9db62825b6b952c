"""Stores to test: one in memory, one in an SQLite file, one in a PostgreSQL server if there is one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from router_core.stores import Store, open_store

SERVER = os.environ.get("ROUTER_CORE_POSTGRES", "postgresql+psycopg://root@127.0.0.1:5432/test")
NO_SERVER = (
    "no PostgreSQL at {}: {}. To get one: apt-get install postgresql, start it, let the user root in from 127.0.0.1 "
    "(trust), createdb test; or name another in ROUTER_CORE_POSTGRES"
)


class Postgres:
    """A server, and schemas on it that live as long as a test session."""

    def __init__(self) -> None:
        psycopg = pytest.importorskip("psycopg", reason="not installed; run: uv sync")
        address = SERVER.replace("postgresql+psycopg://", "postgresql://")
        try:
            self._server = psycopg.connect(address, autocommit=True, connect_timeout=5)
        except psycopg.OperationalError as error:
            pytest.skip(NO_SERVER.format(SERVER, str(error).strip().partition("\n")[0]))
        self._schemas: list[str] = []

    def schema(self) -> str:
        """The URL of a new, empty schema."""
        name = f"router_test_{secrets.token_hex(8)}"
        self._server.execute(f"CREATE SCHEMA {name}")
        self._schemas.append(name)
        return f"{SERVER}?options={quote(f'-csearch_path={name}')}"

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """What the server answers."""
        cursor = self._server.execute(statement)
        return cursor.fetchall() if cursor.description else []

    def empty(self, url: str) -> None:
        """Remove all rows of a schema that has its tables."""
        name = url.rpartition("%3D")[2]
        receipts = ("requests", "attempts", "decisions", "repricings", "feedback")
        tables = (*receipts, "budgets", "counters", "reservations", "memory", "memory_steps", "memory_writers")
        self._server.execute(f"TRUNCATE {', '.join(f'{name}.{table}' for table in tables)}")

    def drop(self) -> None:
        """Remove the schemas."""
        for name in self._schemas:
            self._server.execute(f"DROP SCHEMA {name} CASCADE")
        self._server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.drop()


@pytest.fixture(scope="session")
def postgres_tables(postgres: Postgres) -> str:
    """A schema that has its tables."""
    url = postgres.schema()
    open_store(url).close()
    return url


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file that has its tables."""
    pytest.importorskip("sqlalchemy", reason="not installed; run: uv sync")
    path = tmp_path_factory.mktemp("stores") / "tables.db"
    open_store(f"sqlite:///{path}").close()
    return path.read_bytes()


def url_of(kind: str, request: pytest.FixtureRequest) -> str:
    if kind == "memory":
        return "memory://"
    if kind == "sqlite":
        path = request.getfixturevalue("tmp_path") / "router.db"
        path.write_bytes(request.getfixturevalue("sqlite_tables"))
        return f"sqlite:///{path}"
    url = request.getfixturevalue("postgres_tables")
    request.getfixturevalue("postgres").empty(url)
    return str(url)


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> str:
    """A schema with tables and no rows."""
    return url_of("postgres", request)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """A database with tables and no rows."""
    return url_of(request.param, request)


@pytest.fixture(params=["sqlite", "postgres"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.db'}"
    return str(request.getfixturevalue("postgres").schema())


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store of each kind."""
    opened = open_store(url_of(request.param, request))
    yield opened
    opened.close()


@pytest.fixture
def sql_store(url: str) -> Iterator[Store]:
    """An empty store of each kind that has tables."""
    opened = open_store(url)
    yield opened
    opened.close()
