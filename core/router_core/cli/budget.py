"""``llm-router budget``: show, set, unset and top up.

What is set goes into the store, field by field: it holds instead of what the registry file or the application says
under the same name, and what it does not name stays theirs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from router_core.budget import Budget, overlaid
from router_core.cli._show import harmless, money, number, plain_table
from router_core.cli._store import budgets_of, opened, opened_if_there
from router_core.errors import ConfigError
from router_core.purses import PurseStatus, has_one_purse, purses_of
from router_core.registry import did_you_mean
from router_core.types import NANO, to_usd

if TYPE_CHECKING:
    from rich.table import Table

    from router_core.stores import Store
    from router_core.types import Json, Unit

_SOON = "Routers that run know it within 5 seconds, and at once where they would refuse a request."
_LIMITS = {"limit_usd": "limit_tokens", "limit_tokens": "limit_usd"}


def show(name: str | None, store: str | None, config: Path | None, *, as_json: bool) -> None:
    """Show budgets, or one, and how their purses stand."""
    given = budgets_of(config)
    with opened_if_there(store, config) as found:
        saved = {} if found is None else found.budgets()
        budgets = overlaid(given, saved)
        if name is not None:
            budgets = (_named(name, budgets),)
        _write(budgets, found, {budget.name for budget in given}, saved, as_json=as_json)


def set_budget(name: str, store: str | None, config: Path | None, fields: Mapping[str, Any]) -> None:
    """Set fields of a budget in the store; the store is made if there is none.

    Raises:
        ConfigError: there is nothing to set, a field is wrong, or the budget would have no limit.
    """
    if not fields:
        raise ConfigError(f"budgets.{name}: there is nothing to set; give --limit-usd, --limit-tokens or another field")
    given = [budget for budget in budgets_of(config) if budget.name == name]

    def change(before: Mapping[str, Json] | None) -> Mapping[str, Json]:
        kept = dict(before or {})
        for field in fields.keys() & _LIMITS.keys():
            kept.pop(_LIMITS[field], None)
        after = {**kept, **fields}
        budget = next(iter(overlaid(given, {name: after})), None)
        if budget is None:
            raise ConfigError(
                f"budgets.{name}: it has no limit yet; give --limit-usd or --limit-tokens, or with --config the "
                "registry file that has it"
            )
        return after if "top_ups" not in after else {**after, "top_ups": _current(budget)}

    with opened(store, config, create=True) as found:
        saved = {name: _changed(found, name, change)}
        _write(overlaid(given, saved), found, {budget.name for budget in given}, saved, as_json=False)
    typer.echo(_SOON)


def unset(name: str, store: str | None, config: Path | None) -> None:
    """Remove from the store what it says of a budget.

    Raises:
        ConfigError: it says nothing of it.
    """
    with opened(store, config) as found:
        saved = found.budgets()
        if name not in saved:
            raise ConfigError(f"budgets.{name}: the store does not set it{did_you_mean(name, saved)}; nothing is done")
        found.save_budget(name, None)
    rest = "what the registry file says of it holds again" if _has(config, name) else "it limits nothing any more"
    typer.echo(f"{name} is removed from the store: {rest}. What was spent stays spent.\n{_SOON}")


def top_up(
    name: str, store: str | None, config: Path | None, *, usd: str | None, tokens: int | None, key: str | None
) -> None:
    """Add to what a purse of a budget has in the period that now is.

    Raises:
        ConfigError: there is no such budget or purse, or the amount is none of it.
    """
    given = [budget for budget in budgets_of(config) if budget.name == name]
    unit, units = _amount(name, usd, tokens)

    def change(before: Mapping[str, Json] | None) -> Mapping[str, Json]:
        budget = _named(name, overlaid(given, {} if before is None else {name: before}))
        _check_top_up(budget, unit)
        more = budget.topped_up(_purse_key(budget, key), budget.window(time.time(), ""), units)
        return {**(before or {}), "top_ups": _current(more)}

    with opened(store, config, create=True) as found:
        saved = {name: _changed(found, name, change)}
        _write(overlaid(given, saved), found, {budget.name for budget in given}, saved, as_json=False)
    typer.echo(_SOON)


def _has(config: Path | None, name: str) -> bool:
    return any(budget.name == name for budget in budgets_of(config))


def _changed(
    store: Store, name: str, change: Callable[[Mapping[str, Json] | None], Mapping[str, Json]]
) -> Mapping[str, Json]:
    """Change the definition that the store has of a budget, whoever else changes it meanwhile."""
    while True:
        before = store.budgets().get(name)
        after = change(before)
        if store.swap_budget(name, before, after):
            return after


def _current(budget: Budget) -> list[Json]:
    """The top-ups that the budget can still use, as its definition has them: not those of periods that are past."""
    window = budget.window(time.time(), "")
    return [list(extra) for extra in budget.top_ups if (extra.window, extra.unit) == (window, budget.unit)]


def _named(name: str, budgets: Collection[Budget]) -> Budget:
    for budget in budgets:
        if budget.name == name:
            return budget
    hint = did_you_mean(name, [budget.name for budget in budgets])
    raise ConfigError(
        f"budgets.{name}: neither the store nor the registry file sets it{hint}; name the file with --config, or set "
        "it with `llm-router budget set`"
    )


def _amount(name: str, usd: str | None, tokens: int | None) -> tuple[Unit, int]:
    if (usd is None) == (tokens is None):
        raise ConfigError(f"budgets.{name}: give either --usd or --tokens")
    if tokens is not None:
        return "tokens", tokens
    try:
        nano = Decimal(str(usd)) * NANO
        whole = int(nano)
    except (InvalidOperation, OverflowError, ValueError):
        raise ConfigError(f"--usd: {usd!r} is no amount of US dollars") from None
    if whole != nano:
        raise ConfigError(f"--usd: {usd!r} is finer than a nano-dollar; give 9 decimals at most")
    return "nano", whole


def _check_top_up(budget: Budget, unit: Unit) -> None:
    if budget.per == "call":
        raise ConfigError(
            f"budgets.{budget.name}: it is per call, and no call lasts until a top-up; raise its limit with "
            f"`llm-router budget set {budget.name}`"
        )
    if budget.unit != unit:
        wanted = "--tokens" if budget.unit == "tokens" else "--usd"
        raise ConfigError(f"budgets.{budget.name}: its limit is in {_unit_word(budget)}; give {wanted}")


def _purse_key(budget: Budget, key: str | None) -> str:
    """The key of the purse that --for names."""
    if has_one_purse(budget):
        if key is not None:
            raise ConfigError(f"--for: {key!r} has no purse of its own in {budget.name}; leave it out")
        return ""
    kind, _, of = budget.scope.partition(":")
    if not key:
        whose = "a session" if kind == "session" else f"a tag, such as {of}:NAME"
        raise ConfigError(f"--for: {budget.name} has a purse for each; name {whose}")
    if kind == "tag" and key != of and not key.startswith(f"{of}:"):
        raise ConfigError(f"--for: {key!r} has no purse in {budget.name}; name the tag as requests have it: {of}:NAME")
    return key


# ------------------------------------------------------------------------------------------------------------- showing


def _write(
    budgets: Sequence[Budget], store: Store | None, given: Collection[str], saved: Collection[str], *, as_json: bool
) -> None:
    purses: dict[str, list[PurseStatus]] = {budget.name: [] for budget in budgets}
    for purse in purses_of(budgets, store, time.time()):
        purses[purse.budget].append(purse)
    places = {
        budget.name: [word for word, names in (("file", given), ("store", saved)) if budget.name in names]
        for budget in budgets
    }
    if as_json:
        typer.echo(json.dumps([_as_json(each, places[each.name], purses[each.name]) for each in budgets], indent=2))
        return
    if not budgets:
        typer.echo("No budget is set. Set one with `llm-router budget set NAME --limit-usd 5 --per day`.")
        return
    console = Console()
    console.print(_definitions(budgets, places))
    if any(purses.values()):
        console.print()
        console.print(_standings([purse for budget in budgets for purse in purses[budget.name]]))


def _definitions(budgets: Iterable[Budget], places: Mapping[str, Sequence[str]]) -> Table:
    table = plain_table("Budget", "Limit", "For", "If exceeded", "Set in")
    for budget in budgets:
        limit = f"{_told(budget.unit, budget.limit)}{' tokens' * (budget.unit == 'tokens')}"
        period = "in all" if budget.per == "total" else f"per {budget.per}"
        whose = "all requests" if budget.scope == "all" else harmless(budget.scope)
        about = (f"{limit} {period}", whose, budget.on_exceeded, " and ".join(places[budget.name]))
        table.add_row(Text(harmless(budget.name), style="bold"), *map(Text, about))
    return table


def _standings(purses: Iterable[PurseStatus]) -> Table:
    from rich.progress_bar import ProgressBar  # noqa: PLC0415 - slow to import

    numeric = ("Limit", "Spent", "Held", "Left", "%")
    table = plain_table("Budget", "Purse", *numeric, "", "Resets", numeric=numeric)
    for purse in purses:
        amounts = [_told(purse.unit, units) for units in (purse.limit, purse.spent, purse.held, purse.left)]
        percent = "-" if purse.percent is None else f"{purse.percent:.0f}"
        bar = ProgressBar(total=max(purse.limit, 1), completed=purse.spent if purse.limit else 1, width=8)
        resets = "never" if purse.resets_at is None else f"{purse.resets_at:%Y-%m-%d %H:%M %Z}"
        name, key = Text(harmless(purse.budget)), Text(harmless(purse.key) or "all")
        table.add_row(name, key, *amounts, percent, bar, resets)
    return table


def _told(unit: Unit, units: int) -> str:
    return number(units) if unit == "tokens" else money(to_usd(units))


def _unit_word(budget: Budget) -> str:
    return "tokens" if budget.unit == "tokens" else "US dollars"


def _as_json(budget: Budget, places: Sequence[str], purses: Iterable[PurseStatus]) -> dict[str, Json]:
    """The budget and its purses. Amounts are numbers of tokens, or US dollars as text."""

    def amount(units: int) -> Json:
        return units if budget.unit == "tokens" else f"{to_usd(units):f}"

    return {
        "name": budget.name,
        "unit": "tokens" if budget.unit == "tokens" else "usd",
        "limit": amount(budget.limit),
        "per": budget.per,
        "scope": budget.scope,
        "on_exceeded": budget.on_exceeded,
        "timezone": budget.timezone,
        "month_start": budget.month_start,
        "thresholds": list(budget.thresholds),
        "defined_in": list(places),
        "purses": [
            {
                "key": purse.key,
                "window": purse.window,
                "limit": amount(purse.limit),
                "spent": amount(purse.spent),
                "held": amount(purse.held),
                "left": amount(purse.left),
                "percent": purse.percent,
                "resets_at": None if purse.resets_at is None else purse.resets_at.isoformat(),
            }
            for purse in purses
        ],
    }
