"""The store that a command looks into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from router_core.errors import ConfigError

if TYPE_CHECKING:
    from router_core.budget import Budget
    from router_core.ledger import Ledger
    from router_core.stores import Store

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="LLM_ROUTER_STORE",
        help="The store of the ledger; else the one that the registry file names; else sqlite:///router.db.",
    ),
]

_DEFAULT = "sqlite:///router.db"
_SQLITE = ("sqlite:///", "sqlite+pysqlite:///")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@contextmanager
def opened(store: str | None, config: Path | None, *, create: bool = False) -> Iterator[Store]:
    """The store at a URL, or the one of a registry file. A ledger that is not there is an error, unless it is to be
    created.

    Raises:
        ConfigError: the URL is none, or its file does not exist. StoreError: the store cannot be used.
    """
    from router_core.stores import open_store  # noqa: PLC0415 - slow to import

    url = store or _of_file(config)
    missing = None if create else _missing(url)
    if missing is not None:
        raise ConfigError(
            f"store: there is no {missing}; give the URL of a ledger with --store, or run a router with a ledger first"
        )
    if url.startswith("memory:"):
        raise ConfigError("store: memory:// ends with its process, so that no command can look into it")
    found = open_store(url)
    try:
        yield found
    finally:
        found.close()


@contextmanager
def opened_if_there(store: str | None, config: Path | None) -> Iterator[Store | None]:
    """The store, or None where nothing was kept yet: the file of the registry's store, or of the usual one, is made by
    the first request. A store that is named itself must be there.

    Raises:
        ConfigError, StoreError: see ``opened``.
    """
    url = store or _of_file(config)
    if store is None and (url.startswith("memory:") or _missing(url) is not None):
        yield None
        return
    with opened(url, None) as found:
        yield found


def ledger_of(config: Path | None) -> Ledger | None:
    """The ledger that a registry file describes, not opened; None without a file, or without one in it.

    Raises:
        ConfigError: the file is wrong.
    """
    if config is None:
        return None
    from router_core.config import load  # noqa: PLC0415 - slow to import

    return load(config).ledger


def budgets_of(config: Path | None) -> tuple[Budget, ...]:
    """The budgets that a registry file sets; none without a file."""
    ledger = ledger_of(config)
    return () if ledger is None else ledger.given


def moment(text: str, now: datetime, option: str) -> float:
    """The moment that an option names, in seconds since 1970: a date, a date with a time (both in UTC unless they say
    otherwise), or so long ago: 90m, 24h, 30d, 2w.

    Raises:
        ConfigError: it names none.
    """
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.isdecimal():
        try:
            return (now - timedelta(**{_UNITS[unit]: int(number)})).timestamp()
        except OverflowError:
            raise ConfigError(f"{option}: {text!r} is before all time") from None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{option}: {text!r} is no moment; write how long ago (90m, 24h, 30d, 2w) or a date (2026-01-31)"
        ) from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _of_file(config: Path | None) -> str:
    ledger = ledger_of(config)
    return _DEFAULT if ledger is None else ledger.url or _DEFAULT


def _missing(url: str) -> str | None:
    """The file of an SQLite URL if it does not exist. What a URI names (``sqlite:///file:...``) is SQLite's to find."""
    for scheme in _SQLITE:
        name = url.removeprefix(scheme).partition("?")[0]
        if url.startswith(scheme) and name and not name.startswith("file:") and not Path(name).exists():
            return name
    return None
