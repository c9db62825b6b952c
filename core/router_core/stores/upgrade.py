"""Brings the tables of a database to what this code reads and writes: once, whoever opens it at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

import sqlalchemy as sa

from router_core.errors import MissingExtra
from router_core.stores.engines import writing
from router_core.stores.failures import Place
from router_core.stores.schema import HEAD, VERSION_TABLE

MIGRATIONS = Path(__file__).parent / "migrations"

_LOCK_KEY = 0x726F757465720001
"""Names our lock among the advisory locks of a PostgreSQL database: "router" in ASCII, and a number."""

_VERSION = sa.Table(VERSION_TABLE, sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))

# Alembic tells a migration its surroundings through variables of a module.
_one_at_a_time = threading.Lock()


def bring_up(engine: sa.Engine, place: Place) -> None:
    """Migrate the database if it is new or old, and see that it can be written to.

    Raises:
        StoreError: a newer router-core has written it.
        MissingExtra: it must be migrated and Alembic is not installed.
        SQLAlchemyError: the database cannot be used.
    """
    with writing(engine.connect()) as connection:
        if _is_current(connection):
            return
    with _one_at_a_time, writing(engine.connect()) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.literal(_LOCK_KEY, sa.BigInteger))))
        _migrate(connection, place)


def _is_current(connection: sa.Connection) -> bool:
    with connection.begin():
        current = _revision(connection) == HEAD
        if current:
            # Changes nothing, but fails where nothing can be changed, as on a disk that is full.
            connection.execute(sa.update(_VERSION).values(version_num=HEAD))
    return current


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.select(_VERSION.c.version_num)).scalar()


def _migrate(connection: sa.Connection, place: Place) -> None:
    try:
        from alembic import command  # noqa: PLC0415 - slow to import, and needed once
        from alembic.config import Config  # noqa: PLC0415 - the same
        from alembic.script import ScriptDirectory  # noqa: PLC0415 - the same
    except ImportError:
        raise MissingExtra("alembic", "sql") from None

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    found = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise place.error(
            f"its tables are of revision {found}, this router-core knows up to {HEAD}: a newer one has written it",
            "upgrade router-core, or give another database",
        )
    command.upgrade(config, HEAD)
