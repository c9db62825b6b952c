"""Stores of receipts and budgets: in memory, in an SQLite file, in PostgreSQL. ``open_store`` opens one by its URL.

- ``base``: the protocol, and the values that go in and out.
- ``book``, ``works``, ``rows``, ``recollection``, ``audit``: the rules, the same for every store, over plain values.
- ``memory``: the store in memory.
- ``sql``: the store in a database. It writes by ``commits``, ``writer`` and ``transaction``, and reads by ``reads``.
- ``schema``, ``statements``, ``upgrade``, ``migrations/``: its tables and statements, and how old tables become new.
- ``engines``, ``failures``: how databases are opened, and what they say when they cannot be.

Only what a URL needs is imported, when it is opened.
"""

from __future__ import annotations

from router_core.errors import ConfigError, MissingExtra
from router_core.records import Charge, Scope, Shortfall
from router_core.stores.base import LedgerEntry, Movement, Repricing, Row, Standing, Store
from router_core.stores.memory import MemoryStore
from router_core.types import Unit

__all__ = [
    "Charge",
    "LedgerEntry",
    "Movement",
    "Repricing",
    "Row",
    "Scope",
    "Shortfall",
    "Standing",
    "Store",
    "Unit",
    "open_store",
]

_SQL = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
_PACKAGES = frozenset({"sqlalchemy", "alembic"})


def open_store(url: str) -> Store:
    """The store at "memory://", "sqlite:///FILE" or "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE".

    A file is made if there is none, tables are made or migrated. ``?timeout=SECONDS`` after a file is how long to wait
    for other writers (10). ``?pgbouncer=true`` after a database is for a pooler that gives each transaction another
    connection to the server, such as PgBouncer with ``pool_mode = transaction``: nothing is then prepared or set for
    longer than a transaction, at the price of one more round trip for each. A search_path is then given to the role
    (``ALTER ROLE router SET search_path = router``), since such poolers refuse ``?options=``.

    Raises:
        ConfigError: the URL is of no such form.
        StoreError: the database cannot be read and written, or a newer router-core has written it.
        MissingExtra: a package that this store needs is not installed.
    """
    scheme, colon, _ = url.partition("://")
    if scheme == "memory" and colon:
        return MemoryStore()
    if scheme not in _SQL or not colon:
        known = "memory://, sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        raise ConfigError(f"store: {_scheme(scheme, colon)}; write {known}")
    try:
        from router_core.stores.sql import SqlStore  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as error:
        if error.name not in _PACKAGES:
            raise
        raise MissingExtra(error.name, "sql") from None
    return SqlStore(url)


def _scheme(scheme: str, colon: str) -> str:
    if not colon:
        # It is not shown: it may hold a password.
        return "the URL has no scheme"
    if scheme.startswith("postgres"):
        return f"{scheme!r} names no driver that this store uses"
    return f"{scheme!r} is no kind of store"
