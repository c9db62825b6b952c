"""A database behind PgBouncer: nothing may outlast a transaction."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from router_core.errors import ConfigError
from router_core.stores import Store, open_store
from tests.stores.samples import charge, entry

LIMITS = {"lock_timeout": "10s", "idle_in_transaction_session_timeout": "1min"}
DAY = charge(limit=10**9)


def spend(store: Store, request_id: str) -> None:
    store.reserve(request_id, [DAY], owner="me", expires=5.0)
    store.settle(request_id, {DAY.scope: 11}, entry(request_id, 5, 6))


@pytest.fixture
def pooled(postgres_url: str) -> Iterator[Store]:
    store = open_store(f"{postgres_url}&pgbouncer=true")
    yield store
    store.close()


def test_nothing_is_prepared_or_set_for_longer_than_a_transaction(pooled: Store) -> None:
    for number in range(20):  # psycopg prepares what it was told five times
        spend(pooled, f"r{number}")
        assert len(list(pooled.entries())) == number + 1

    writing = pooled._writer._link.driver_connection
    with pooled._engine.connect() as connection:
        reading = connection.connection.driver_connection
        for link in (writing, reading):
            assert link.execute("SELECT count(*) FROM pg_prepared_statements").fetchall() == [(0,)]
            for name in LIMITS:
                assert link.execute(f"SHOW {name}").fetchall() == [("0",)]
            link.rollback()


def test_each_transaction_has_its_limits(pooled: Store) -> None:
    for name, value in LIMITS.items():
        with pooled._engine.begin() as connection:
            assert connection.exec_driver_sql(f"SHOW {name}").scalar() == value
        with pooled._writer._transaction() as transaction:
            assert transaction._rows(f"SHOW {name}", {}) == [(value,)]


def test_the_option_is_true_or_false(postgres_url: str) -> None:
    open_store(f"{postgres_url}&pgbouncer=false").close()
    with pytest.raises(ConfigError, match=r"store: pgbouncer=yes is neither true nor false; write \?pgbouncer=true"):
        open_store(f"{postgres_url}&pgbouncer=yes")


@pytest.fixture
def bouncer(postgres: Any) -> Iterator[str]:
    """The URL of a new, empty schema behind a PgBouncer that has two connections for everybody."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not installed; to get it: apt-get install pgbouncer")
    server = urlsplit(postgres.schema())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "pgbouncer.ini")
        user = f"user={server.username}" + (f" password={server.password}" if server.password else "")
        schema = unquote(server.query).rpartition("=")[2]
        settings.write_text(
            f"[databases]\nrouter = host={server.hostname} port={server.port or 5432} dbname={server.path[1:]} {user} "
            f"connect_query='SET search_path TO {schema}'\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 2\n"
        )
        Path(folder).chmod(0o755)
        nobody = "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
        with subprocess.Popen([program, settings], stderr=subprocess.PIPE, text=True, user=nobody) as process:
            assert process.stderr is not None
            said = iter(process.stderr.readline, "")
            assert any("process up" in line for line in said)
            yield f"postgresql+psycopg://{server.username}@127.0.0.1:{port}/router?pgbouncer=true"
            process.terminate()
            process.stderr.read()


def test_routers_share_a_store_behind_a_pooler(bouncer: str) -> None:
    stores = [open_store(bouncer) for _ in range(4)]  # the first one makes the tables

    def use(number: int) -> int:
        for turn in range(20):
            spend(stores[number], f"r{number}-{turn}")
        return len(list(stores[number].entries(until=2_000.0)))

    with ThreadPoolExecutor(4) as pool:
        assert all(seen >= 20 for seen in pool.map(use, range(4)))

    assert [standing.spent for standing in stores[0].standings()] == [80 * 11]
    assert stores[0].verify() == []
    assert stores[1].prune(2_000.0) == 80
    for store in stores:
        store.close()
