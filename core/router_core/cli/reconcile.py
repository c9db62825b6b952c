"""``llm-router reconcile``: a provider's usage against the ledger, by model and day (UTC)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer
from rich.console import Console
from rich.text import Text

from router_core.cli._attempts import Catalog
from router_core.cli._comparison import COLUMNS, Days, Line, Outcome, Tolerance, booked, compared
from router_core.cli._show import harmless, plain_table
from router_core.cli._store import opened
from router_core.cli._usage_csv import Bill, Sums, read_bill
from router_core.config import load
from router_core.errors import ConfigError
from router_core.report.machine import dollars
from router_core.report.words import usd
from router_core.types import NANO

if TYPE_CHECKING:
    from rich.table import Table

    from router_core.types import Json

_WORDS = {
    "requests": "requests",
    "input": "input tokens",
    "cache_read": "cached tokens",
    "cache_write": "cache writes",
    "output": "output tokens",
    "reasoning": "reasoning",
    "cost": "cost",
}
_MAX_ROWS = 60
"""Lines that a screen shows; ``--json`` has all."""

_MOST_USD = 10**9


class Asked(NamedTuple):
    """What is to be compared: requests that ended in ``since`` <= time < ``until`` (unix seconds, None: the days of the
    file) of ``provider`` (None: the one whose file it seems to be), with ``columns`` as ``read_bill`` takes them."""

    since: float | None
    until: float | None
    provider: str | None
    columns: str | None


def reconcile(
    path: Path, store: str | None, config: Path | None, asked: Asked, tolerance: Tolerance, *, as_json: bool
) -> None:
    """Show where a file and the ledger differ, and end with code 1 if they do.

    Raises:
        ConfigError: the file is wrong, or there is no ledger. StoreError: see ``Store``.
    """
    bill = read_bill(path, asked.columns)
    days = _days(path, bill, asked)
    provider = asked.provider or bill.provider
    registry = None if config is None else load(config).registry
    with opened(store, config) as found:
        book = booked(found, days, provider, Catalog(registry))
    pairs, lines = compared(bill, book, days)
    outcome = Outcome(path, bill, book, days, provider, pairs, lines, tolerance)
    if as_json:
        typer.echo(json.dumps(_machine(outcome), indent=2))
    else:
        _show(outcome, Console())
    if outcome.differing:
        raise typer.Exit(1)


def tolerance_of(tokens: int, text: str) -> Tolerance:
    """The tolerance that options name.

    Raises:
        ConfigError: they name none.
    """
    try:
        amount = Decimal(text)
        if 0 <= amount <= _MOST_USD:
            return Tolerance(tokens, int(amount * NANO))
    except ArithmeticError:
        pass
    raise ConfigError(f"--tolerance: {text!r} is no amount of US dollars; write 0.01")


def _days(path: Path, bill: Bill, asked: Asked) -> Days:
    told = [day for day, _ in bill.cells]
    if not told:
        raise ConfigError(f"{path}: has no row with a figure; export a time in which there was usage")
    first, last = min(told), max(told)
    if asked.since is not None:
        first = datetime.fromtimestamp(asked.since, UTC).date()
    if asked.until is not None:
        last = datetime.fromtimestamp(asked.until - 1e-6, UTC).date()
    if first > last:
        raise ConfigError(f"--until: nothing is between {first} and {last}; give a later day")
    return Days(first, last)


# ------------------------------------------------------------------------------------------------------------- output


def _machine(outcome: Outcome) -> dict[str, Json]:
    figures = outcome.bill.figures
    return {
        "file": str(outcome.path),
        "rows": outcome.bill.rows,
        "provider": outcome.provider,
        "first_day": outcome.days.first.isoformat(),
        "last_day": outcome.days.last.isoformat(),
        "figures": list(figures),
        "tolerance": {"tokens": outcome.tolerance.tokens, "cost_usd": dollars(outcome.tolerance.nano)},
        "models": [
            {"file": list(each.bill), "ledger": list(each.ledger), "exact": each.exact} for each in outcome.pairs
        ],
        "lines": [
            {
                "day": line.day.isoformat(),
                "model": line.pair.name,
                "agrees": outcome.agrees(line),
                "file": None if line.bill is None else _figures({f: line.bill.of(f) for f in figures}),
                "ledger": None if line.book is None else _figures({f: line.book.of(f) for f in figures}),
                "difference": _figures({f: line.difference(f) for f in figures}),
            }
            for line in outcome.lines
        ],
        "total": {
            "file": _figures({figure: file for figure, (file, _) in outcome.totals.items()}),
            "ledger": _figures({figure: ledger for figure, (_, ledger) in outcome.totals.items()}),
            "difference": _figures({figure: file - ledger for figure, (file, ledger) in outcome.totals.items()}),
        },
        "ledger_unknown_costs": outcome.book.unknown_costs,
        "ledger_unknown_usage": outcome.book.unknown_usage,
        "ledger_estimated": outcome.book.estimated,
        "agrees": not outcome.differing,
    }


def _figures(units: Mapping[str, int]) -> dict[str, Json]:
    told: dict[str, Json] = {COLUMNS.get(figure, figure): of for figure, of in units.items() if figure != "cost"}
    return {**told, "cost_usd": dollars(units["cost"])} if "cost" in units else told


def _show(outcome: Outcome, console: Console) -> None:
    days, rows = outcome.days, outcome.bill.rows
    whose = f"provider {outcome.provider}" if outcome.provider else "all providers"
    console.print(
        Text(harmless(f"{rows:,} rows of {outcome.path}, {days.first} to {days.last} (UTC), and the ledger's {whose}."))
    )
    differing = outcome.differing
    if differing:
        console.print(_differences(outcome, differing))
        if len(differing) > _MAX_ROWS:
            console.print(Text(f"{len(differing) - _MAX_ROWS:,} more are in --json.", style="dim"))
        console.print()
    console.print(_total_table(outcome))
    for note in _notes(outcome):
        console.print(Text(harmless(note), style="dim"))
    count = f"{len(outcome.lines) - len(differing):,} of {len(outcome.lines):,} lines (a model on a day) agree"
    style = "bold red" if differing else "green"
    console.print(Text(f"{count}{'' if differing else ': file and ledger say the same'}.", style=style))


def _differences(outcome: Outcome, lines: list[Line]) -> Table:
    numeric = ("File", "Ledger", "Difference")
    table = plain_table("Day", "Model", "", *numeric, numeric=numeric)
    for line in lines[:_MAX_ROWS]:
        name = line.pair.name
        if line.bill is None or line.book is None:
            name += f" (only in the {'ledger' if line.bill is None else 'file'})"
        day = line.day.isoformat()
        for figure in outcome.bill.figures:
            more = line.difference(figure)
            if not outcome.tolerance.bears(figure, more) or (figure == "requests" and more):
                sides = (_side(figure, line.bill), _side(figure, line.book))
                table.add_row(day, Text(harmless(name)), _WORDS[figure], *sides, _signed(figure, more))
                day, name = "", ""
    return table


def _total_table(outcome: Outcome) -> Table:
    numeric = ("File", "Ledger", "Difference")
    table = plain_table("In all", *numeric, numeric=numeric)
    for figure, (file, ledger) in outcome.totals.items():
        table.add_row(_WORDS[figure], _plain(figure, file), _plain(figure, ledger), _signed(figure, file - ledger))
    return table


def _side(figure: str, sums: Sums | None) -> str:
    return "-" if sums is None else _plain(figure, sums.of(figure))


def _plain(figure: str, units: int) -> str:
    return usd(units) if figure == "cost" else f"{units:,}"


def _signed(figure: str, units: int) -> str:
    return f"{'+' if units > 0 else ''}{_plain(figure, units)}"


def _notes(outcome: Outcome) -> Iterator[str]:
    book = outcome.book
    for each in outcome.pairs:
        if each.bill and each.ledger and not each.exact:
            names = f"{', '.join(each.bill)} of the file and {', '.join(each.ledger)} of the ledger"
            yield f"Taken for the same model: {names}."
    if "cost" in outcome.bill.figures and book.unknown_costs:
        yield f"{book.unknown_costs:,} calls of the ledger have no known cost and are not in its sums; see `reprice`."
    if book.unknown_usage:
        yield f"{book.unknown_usage:,} calls of the ledger have no known tokens."
    if book.estimated:
        yield f"The tokens of {book.estimated:,} calls of the ledger are estimated: the provider had reported none."
    yield "A difference is what the file has more. Days are those in which requests ended, in UTC."
