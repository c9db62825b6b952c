"""``llm-router ledger``: verify, prune and export."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import typer

from router_core.cli._store import moment, opened
from router_core.cli.export import Span, export
from router_core.errors import ConfigError


def verify(store: str | None, config: Path | None, *, as_json: bool) -> None:
    """Say what does not add up, and end with code 1 if anything does not."""
    with opened(store, config) as found:
        size = found.size()
        faults = found.verify()
    if as_json:
        typer.echo(json.dumps({**size._asdict(), "faults": faults}, indent=2))
    else:
        for fault in faults:
            typer.echo(fault)
        checked = (
            f"{_count(size.receipts, 'receipt')} with {_count(size.attempts, 'attempt')} and "
            f"{_count(size.purses, 'purse')} of budgets checked"
        )
        typer.echo(f"{checked}: {_count(len(faults), 'fault')}." if faults else f"{checked}: every sum is right.")
    if faults:
        raise typer.Exit(1)


def prune(store: str | None, config: Path | None, older_than: str, *, dry_run: bool, yes: bool) -> None:
    """Remove the receipts of requests that ended before a moment, once that is agreed to.

    Raises:
        ConfigError: the moment is none or still to come, or nobody is there who could agree.
    """
    now = datetime.now(UTC)
    before = moment(older_than, now, "--older-than")
    if before > now.timestamp():
        raise ConfigError(f"--older-than: {older_than!r} is still to come; write how long ago (90d), or a date before")
    with opened(store, config) as found:
        size = found.size(before)
        until = datetime.fromtimestamp(before, UTC).isoformat(sep=" ", timespec="seconds")
        those = f"{_count(size.receipts, 'receipt')} of requests that ended before {until}"
        if dry_run or not size.receipts:
            typer.echo(f"{those} would be removed." if dry_run else f"Nothing to remove: there are {those}.")
            return
        if not yes:
            _ask(those)
        typer.echo(f"{_count(found.prune(before), 'receipt')} removed. What they spent stays spent.")


def write_export(
    store: str | None,
    config: Path | None,
    out: str,
    *,
    form: str | None,
    what: str,
    since: str | None,
    until: str | None,
) -> None:
    """Write receipts or attempts to a file or to standard output; how many they are goes to standard error."""
    now = datetime.now(UTC)
    span = Span(
        None if since is None else moment(since, now, "--since"),
        None if until is None else moment(until, now, "--until"),
    )
    with opened(store, config) as found:
        count = export(found, out, form, what, span)
    typer.echo(f"{_count(count, what.removesuffix('s'))} written{'' if out == '-' else f' to {out}'}.", err=True)


def _ask(those: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigError("--yes: nobody can be asked here; give --yes to remove them, or --dry-run to count them")
    typer.confirm(f"Remove {those}? This cannot be undone.", abort=True)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
