"""What databases say when they cannot be used, as ``StoreError``: foreign errors are mapped by table."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

import sqlalchemy as sa

from router_core.errors import StoreError

_FILE = "give it a file of its own, or"


class _Told(NamedTuple):
    reason: str
    remedy: str


_SQLITE = {
    sqlite3.SQLITE_BUSY: _Told("the database is locked by another program", "end that program's transaction"),
    sqlite3.SQLITE_LOCKED: _Told("the database is locked by another program", "end that program's transaction"),
    sqlite3.SQLITE_READONLY: _Told("the file is read-only", "make the file and its folder writable, or give another"),
    sqlite3.SQLITE_PERM: _Told("access is denied", "make the file and its folder writable, or give another"),
    sqlite3.SQLITE_FULL: _Told("the disk is full", "free some space, or give a file on another disk"),
    sqlite3.SQLITE_IOERR: _Told("the disk does not read or write", "look at the disk and its free space"),
    sqlite3.SQLITE_CORRUPT: _Told(
        "the file is damaged", "put a backup in its place, or let the sqlite3 shell '.recover' it into a new file"
    ),
    sqlite3.SQLITE_NOTADB: _Told(
        "the file is no SQLite database", "give the path of another file, or move this one away"
    ),
    sqlite3.SQLITE_CANTOPEN: _Told("the file cannot be opened", "see that the path names a file that may be written"),
}
"""By SQLite's primary result code (https://www.sqlite.org/rescode.html)."""

_POSTGRES = {
    "08": _Told("the connection is lost", "see that the server runs and can be reached"),
    "25006": _Told("the server takes no writes", "give the URL of the primary server"),
    "25P03": _Told("the server ended a transaction that was idle for too long", "try again"),
    "28": _Told("the server refuses this user or password", "correct the user and the password in the URL"),
    "3D000": _Told("there is no such database", "create it with createdb, or correct the URL"),
    "3F000": _Told("there is no such schema", "create it, or correct the search_path in the URL"),
    "42501": _Told("the user may not do this", "grant it the tables, and CREATE on the schema"),
    "42P07": _Told("a table of that name is there already", "give the store a database or a schema of its own"),
    "53100": _Told("the disk of the server is full", "free some space there"),
    "53300": _Told("the server has no connection left", "raise max_connections, or end other connections"),
    "53": _Told("the server is out of resources", "look at the server"),
    "55P03": _Told("a row is locked by another transaction", "end that transaction"),
    "57": _Told("the server is starting, stopping or was told to end this", "try again when it runs"),
    "XX001": _Told("the database is damaged", "restore a backup of it"),
}
"""By SQLSTATE or its class (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

_CONNECTING = {
    "password": "28",
    "authentication": "28",
    "no pg_hba.conf entry": "28",
    "role": "28",
    "too many clients": "53300",
    "connection slots": "53300",
    "starting up": "57",
    "shutting down": "57",
    "does not exist": "3D000",
}
"""What tells a failure to connect, for which libpq gives no SQLSTATE, in the order of looking."""

_TABLE_IS_THERE = _Told("a table of that name is there already", f"{_FILE} remove that table")
_CONNECTION = _POSTGRES["08"]


class Place:
    """The address of a store, for people: ``url`` without its password, which no text made here contains."""

    def __init__(self, url: sa.URL) -> None:
        hidden = {name: "***" for name in url.query if "pass" in name.lower()}
        shown = url.update_query_dict(hidden).render_as_string(hide_password=True)
        self.url = shown.replace("%2A%2A%2A", "***")
        self._secrets = [str(secret) for secret in (url.password, *map(url.query.get, hidden)) if secret]

    def error(self, reason: str, remedy: str) -> StoreError:
        """An error that says these."""
        return StoreError(self.url, reason, remedy)

    def failed(self, error: BaseException) -> StoreError:
        """The error as one of ours. It is not its cause: a driver's own words may hold what must not be shown."""
        original = getattr(error, "orig", None) or error
        told = _told(original)
        said = str(original).strip().partition("\n")[0]
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return self.error(f"{told.reason} ({said})", told.remedy)


def _told(error: BaseException) -> _Told:
    if isinstance(error, sqlite3.Error):
        if "already exists" in str(error):
            return _TABLE_IS_THERE
        # The low byte is the primary code; an error that the module itself raises has none.
        primary = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        return _SQLITE.get(primary, _Told("the database refuses this", "see what it says"))
    state = getattr(error, "sqlstate", None)
    if state is None:
        text = str(error)
        state = next((state for words, state in _CONNECTING.items() if words in text), "08")
    return _POSTGRES.get(state) or _POSTGRES.get(state[:2]) or _Told("the server refuses this", "see what it says")
