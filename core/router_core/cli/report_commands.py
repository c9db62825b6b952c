"""The commands that look at the ledger: their options and help."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from router_core.cli._options import ConfigOption, JsonOption, found_config
from router_core.cli._store import StoreOption, moment


class _By(StrEnum):
    """What a report may be broken down by: ``report.By`` as typer reads choices."""

    MODEL = "model"
    PROVIDER = "provider"
    TAG = "tag"
    SESSION = "session"
    POLICY = "policy"
    CALL_SITE = "call_site"
    DAY = "day"


_SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="From when on: so long ago (90m, 24h, 30d, 2w) or a date (UTC)."),
]
_UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Until when, as --since.")]


def add_to(app: typer.Typer) -> None:
    """Declare the commands."""
    app.command()(report)
    app.command()(stats)
    app.command()(tail)


def report(
    *,
    since: _SinceOption = None,
    until: _UntilOption = None,
    by: Annotated[_By, typer.Option("--by", help="What to break down by.")] = _By.MODEL,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", dir_okay=False, help="Write one HTML page with charts.")
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Show what was spent and saved, how requests went, and how budgets stand.

    Costs that are unknown are said to be so and never counted as 0. Savings are an estimate.
    """
    from router_core.cli.report import Asked, show_report  # noqa: PLC0415 - slow to import

    _spell_out()
    now = datetime.now(UTC)
    asked = Asked(since=_moment(since, now, "--since"), until=_moment(until, now, "--until"), now=now, by=by.value)
    show_report(store, found_config(config), asked, html=html, as_json=as_json)


def stats(
    *,
    since: _SinceOption = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Show requests, success, latency, tokens, cost, escalations and fallbacks in one short table."""
    from router_core.cli.stats import show_stats  # noqa: PLC0415 - slow to import

    _spell_out()
    show_stats(store, found_config(config), _moment(since, datetime.now(UTC), "--since"), as_json=as_json)


def tail(
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the latest requests.")] = 10,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with those that come.")] = True,
    as_json: JsonOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Show requests as they end, one line each.

    Time (UTC), outcome, first and answering model, why, calls, tokens in+out, cost, latency, session and tags.
    """
    from router_core.cli.stats import show_tail  # noqa: PLC0415 - slow to import

    _spell_out()
    show_tail(store, found_config(config), lines=lines, follow=follow, as_json=as_json)


def _spell_out() -> None:
    """Let names that standard output has no letters for (a pipe on Windows) be written as escapes, not be an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _moment(text: str | None, now: datetime, option: str) -> float | None:
    return None if text is None else moment(text, now, option)
