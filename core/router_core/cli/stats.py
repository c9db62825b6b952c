"""``llm-router stats`` and ``llm-router tail``: the ledger in one short table, and live."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from router_core.cli._show import harmless
from router_core.cli._store import opened
from router_core.report import Figures, words
from router_core.report.follow import Follower, as_text
from router_core.report.follow import as_json as machine_form
from router_core.report.machine import counts, moment
from router_core.types import Json

_PAUSE_S = 1.0
"""Between two looks for new receipts."""


def show_stats(store: str | None, config: Path | None, since: float | None, *, as_json: bool) -> None:
    """Show the most needed figures of the requests that ended since that time (unix seconds).

    Raises:
        ConfigError: there is no ledger. StoreError: see ``Store``.
    """
    with opened(store, config) as found:
        figures = Figures().add_all(found.entries(since=since))
    if as_json:
        typer.echo(json.dumps(_stats(figures, since), indent=2))
        return
    console = Console()
    if not figures.total.requests:
        console.print("No request ended in this time.", highlight=False)
        return
    grid = Table.grid(padding=(0, 2))
    for label, value in _lines(figures):
        grid.add_row(Text(label), Text(value, style="bold"))
    console.print(Text(words.span(figures), style="dim"))
    console.print(grid)


def _lines(figures: Figures) -> list[tuple[str, str]]:
    total = figures.total
    tokens = {
        "input": "input_tokens",
        "output": "output_tokens",
        "cached": "cache_read_tokens",
        "reasoning": "reasoning_tokens",
    }
    return [
        ("Requests", f"{total.requests:,}"),
        ("Answered", words.percent(words.ratio(total.answered, total.requests))),
        ("Average latency", f"{words.seconds(total.latency.mean_s)} (of answered requests)"),
        *((f"Tokens, {name}", f"{total.count_of(kind):,}") for name, kind in tokens.items()),
        ("Cost", ", ".join(filter(None, (words.usd(total.spent_nano), words.unknown(total))))),
        ("Escalated", f"{words.percent(words.ratio(total.escalated, total.called))} (of requests that called a model)"),
        ("Fell back", f"{words.percent(words.ratio(total.fell_back, total.called))} (the same)"),
    ]


def _stats(figures: Figures, since: float | None) -> dict[str, Json]:
    """The counts of ``report.machine``, and the share of requests that were answered."""
    total = figures.total
    return {"since": moment(since), "success_rate": words.ratio(total.answered, total.requests), **counts(total)}


def show_tail(
    store: str | None,
    config: Path | None,
    *,
    lines: int,
    follow: bool,
    as_json: bool,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Show the latest receipts, one line each, then those that come, until the user interrupts it or whoever reads the
    lines has gone.

    Raises:
        ConfigError: there is no ledger. StoreError: see ``Store``.
    """
    try:
        with opened(store, config) as found:
            follower = Follower(found, time.time)
            rows = follower.latest(lines)
            if not rows and lines:
                typer.echo("No requests yet.", err=True)
            while True:
                for row in rows:
                    typer.echo(json.dumps(machine_form(row)) if as_json else harmless(as_text(row)))
                if not follow:
                    return
                pause(_PAUSE_S)
                rows = follower.new()
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        # What is still in the buffer has nowhere to go; Python would complain of it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
