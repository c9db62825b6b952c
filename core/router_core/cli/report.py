"""``llm-router report``: the figures of the ledger as tables, as JSON, and as a page."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from router_core.budget import overlaid
from router_core.cli._show import harmless, plain_table
from router_core.cli._store import budgets_of, opened
from router_core.errors import ConfigError
from router_core.files import whole_file
from router_core.report import BudgetStatus, By, Figures, statuses, words
from router_core.report.budgets import used
from router_core.report.counts import Counts
from router_core.report.figures import Day
from router_core.report.machine import as_json as machine_form
from router_core.report.page import render

_MAX_ROWS = 20
_MAX_DAYS = 14
_WIDE = 100
"""From so many columns on there is room for shares."""

_BAR = 20


class Asked(NamedTuple):
    """What a report is to be about: the requests that ended in ``since`` <= time < ``until`` (unix seconds, None: no
    bound), and what to break down by."""

    since: float | None
    until: float | None
    now: datetime
    by: By


def show_report(store: str | None, config: Path | None, asked: Asked, *, html: Path | None, as_json: bool) -> None:
    """Show a report; with ``html`` write it as a page, and with that alone say where it is.

    Raises:
        ConfigError: there is no ledger, the time is none, or the page cannot be written. StoreError: see ``Store``.
    """
    if asked.since is not None and asked.until is not None and asked.since >= asked.until:
        raise ConfigError("--until: ends before --since begins; give a later one")
    now = asked.now.timestamp()
    with opened(store, config) as found:
        figures = Figures(asked.by).add_all(found.entries(since=asked.since, until=asked.until))
        budgets = statuses(overlaid(budgets_of(config), found.budgets()), found, now)
    if html is not None:
        with whole_file(html) as file:
            file.write(render(figures, budgets, now=now).encode("utf-8", "replace"))
    if as_json:
        told = machine_form(figures, budgets, now=now, since=asked.since, until=asked.until)
        typer.echo(json.dumps(told, indent=2))
    elif html is not None:
        typer.echo(f"Wrote {harmless(str(html))}.")
    else:
        _show(figures, budgets, Console())


def _facts(facts: list[words.Fact]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for fact in facts:
        value = Text(harmless(fact.value), style="bold")
        if fact.note:
            value.append(f"  {harmless(fact.note)}", style="not bold dim")
        grid.add_row(Text(fact.label), value)
    return grid


def _show(figures: Figures, budgets: tuple[BudgetStatus, ...], console: Console) -> None:
    if not figures.total.requests:
        console.print("No request ended in this time.", highlight=False)
    else:
        console.print(Text(words.span(figures), style="dim"))
        console.print(_facts(words.facts(figures)))
        console.print()
        console.print(_groups(figures, wide=console.width >= _WIDE))
        console.print(Text(words.group_note(figures), style="dim"))
        if figures.by != "day":
            console.print()
            console.print(_days(figures.days))
    for status in budgets:
        console.print()
        console.print(Text(harmless(_terms(status))))
        console.print(_purses(status))


def _groups(figures: Figures, *, wide: bool) -> Table:
    numeric = ("Requests", "Calls", "Cost", *(["Share"] if wide else []), "Escal.", "Fallb.", "p50", "p99")
    table = plain_table((figures.by or "").capitalize().replace("_", " "), *numeric, numeric=numeric)
    groups, whole = figures.groups, figures.total if wide else None
    shown = groups[-_MAX_ROWS:] if figures.by == "day" else groups[:_MAX_ROWS]
    for group in shown:
        table.add_row(Text(harmless(words.group_name(group, figures.by))), *_cells(group.counts, whole))
    if len(groups) > len(shown):
        cost = sum(group.counts.cost_nano for group in groups) - sum(group.counts.cost_nano for group in shown)
        table.add_row(Text(f"{len(groups) - len(shown):,} more", "dim"), "", "", words.usd(cost))
    if figures.rest is not None:
        table.add_row(Text("not told apart", "dim"), *_cells(figures.rest, whole))
    if figures.by != "tag":
        table.add_section()
        table.add_row(Text("total", "bold"), *_cells(figures.total, whole))
    return table


def _cells(counts: Counts, whole: Counts | None) -> list[str]:
    """The figures of a line; with its share of the spend if the whole is given."""
    return [
        f"{counts.requests:,}",
        f"{counts.attempts:,}",
        words.spent(counts),
        *([] if whole is None else [words.percent(words.ratio(counts.cost_nano, whole.cost_nano))]),
        words.percent(words.ratio(counts.escalated, counts.called)),
        words.percent(words.ratio(counts.fell_back, counts.called)),
        words.seconds(counts.latency.quantile(0.5)),
        words.seconds(counts.latency.quantile(0.99)),
    ]


def _days(days: dict[date, Day]) -> Table:
    table = plain_table("Day (UTC)", "Requests", "Cost", "", numeric={"Requests", "Cost"})
    spent = {day: sum(of.spent.values()) for day, of in list(days.items())[-_MAX_DAYS:]}
    most = max(spent.values(), default=0) or 1
    if len(days) > len(spent):
        table.add_row(Text(f"{len(days) - len(spent):,} days before", "dim"))
    for day, nano in spent.items():
        bar = "#" * max(round(_BAR * nano / most), nano > 0)
        table.add_row(day.isoformat(), f"{days[day].requests:,}", words.usd(nano), Text(bar, "green"))
    return table


def _terms(status: BudgetStatus) -> str:
    return f"Budget {status.budget.name}: {words.budget_terms(status)}; {words.budget_resets(status)}"


def _purses(status: BudgetStatus) -> Table:
    """The purses of a budget, each with a bar of what is spent (#) and held (+)."""
    grid = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right", "right", "left"):
        grid.add_column(justify=justify)
    for purse in status.purses[:_MAX_ROWS]:
        unit, bar = status.budget.unit, "+" * min(round(_BAR * used(purse)), _BAR)
        full = min(round(_BAR * purse.spent / purse.limit), _BAR) if purse.limit else _BAR
        amounts = ((purse.spent, "spent"), (purse.held, "held"), (purse.left, "left"))
        grid.add_row(
            Text(f"  {harmless(words.purse_name(purse))}"),
            *(f"{words.usd(units) if unit == 'nano' else f'{units:,}'} {what}" for units, what in amounts),
            Text(f"[{('#' * full + bar[full:]).ljust(_BAR, '.')}]", "green" if purse.left else "red"),
        )
    if len(status.purses) > _MAX_ROWS:
        grid.add_row(Text(f"  {len(status.purses) - _MAX_ROWS:,} that are less full", "dim"))
    return grid
