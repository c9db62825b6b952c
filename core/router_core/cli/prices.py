"""``llm-router prices doctor``: whether the models of the registry have prices, and whether these can be trusted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from genai_prices import types
from genai_prices.data_snapshot import get_snapshot
from rich.console import Console
from rich.text import Text

from router_core.budget import overlaid
from router_core.cli._pricelist import installed_version, newest_check
from router_core.cli._show import harmless, plain_table, price
from router_core.cli._store import budgets_of, opened_if_there
from router_core.config import load
from router_core.prices import PriceBook, Quote
from router_core.registry import LOCAL, Registry, did_you_mean

if TYPE_CHECKING:
    from rich.table import Table

    from router_core.types import Json, Model, Price

OLD_DAYS = 90
"""A published list that is older is worth a warning."""

_UPDATE = "pip install --upgrade genai-prices (or: uv lock --upgrade-package genai-prices)"
_PARTS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}


class Severity(StrEnum):
    """How bad it is: an error costs money, a warning may, a note is to be known."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(NamedTuple):
    """Something to know of a price: of which model (None: of the list), a code, what it is and what to do."""

    severity: Severity
    model: str | None
    code: str
    detail: str
    remedy: str = ""


class Match(NamedTuple):
    """What the published list says of a model: the provider that it was found under, the one that it stands under
    (another one where a provider sells models of others), its entry, and its prices now."""

    provider: types.Provider
    owner: types.Provider
    info: types.ModelInfo
    prices: types.ModelPrice


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found. ``budgets`` names those in dollars; ``checked`` is the day on which a price of the published list
    was checked last, ``age_days`` ago."""

    version: str
    checked: str | None
    age_days: int | None
    budgets: tuple[str, ...]
    quotes: dict[str, Quote | None]
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        """How many are of this severity."""
        return sum(finding.severity is severity for finding in self.findings)


def doctor(store: str | None, config: Path | None, *, as_json: bool) -> None:
    """Say what is wrong with the prices of a registry file, and end with code 1 if that costs money.

    Raises:
        ConfigError: the file is wrong. StoreError: see ``Store``.
    """
    registry = None if config is None else load(config).registry
    with opened_if_there(store, config) as found:
        budgets = overlaid(budgets_of(config), {} if found is None else found.budgets())
    in_dollars = tuple(budget.name for budget in budgets if budget.unit == "nano")
    examined = examine(registry, in_dollars, datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps(_machine(examined, registry), indent=2))
    else:
        _show(examined, registry, Console())
    if examined.count(Severity.ERROR):
        raise typer.Exit(1)


def examine(registry: Registry | None, budgets: tuple[str, ...], now: datetime) -> Examination:
    """Look at the prices of a registry (None: at the published list alone). ``budgets`` are those in dollars."""
    newest = newest_check(now.date())
    age = None if newest is None else (now.date() - newest).days
    book = PriceBook(lambda: now)
    findings = list(_of_list(age))
    quotes: dict[str, Quote | None] = {}
    for model in () if registry is None else registry.models:
        quotes[model.name] = book.quote(model)
        findings += _of_model(model, _Known(registry, bool(budgets), now), quotes[model.name])
    findings.sort(key=lambda finding: list(Severity).index(finding.severity))
    return Examination(
        installed_version(), None if newest is None else newest.isoformat(), age, budgets, quotes, tuple(findings)
    )


class _Known(NamedTuple):
    """What is known beside a model."""

    registry: Registry | None
    in_dollars: bool
    now: datetime


def _of_list(age: int | None) -> Iterator[Finding]:
    if age is not None and age > OLD_DAYS:
        yield Finding(
            Severity.WARNING, None, "old_list", f"the published prices are up to {age} days old", f"update: {_UPDATE}"
        )


def _of_model(model: Model, known: _Known, quote: Quote | None) -> Iterator[Finding]:
    match = _match(model, known.now)
    if quote is None:
        yield _missing(model, known)
    elif model.price is not None:
        yield from _of_own_price(model, model.price, known, match)
    if match is not None and model.price is None and quote is not None:
        yield from _of_match(model, match)
    if match is not None and match.info.deprecated:
        yield Finding(
            Severity.WARNING,
            model.name,
            "deprecated",
            f"{match.info.id} is deprecated: the provider may turn it off",
            "choose its successor",
        )


def _missing(model: Model, known: _Known) -> Finding:
    detail = "its price is unknown, and so is what it costs"
    if known.in_dollars:
        detail += ": budgets in dollars refuse it"
    return Finding(
        Severity.ERROR if known.in_dollars else Severity.WARNING,
        model.name,
        "no_price",
        f"{detail} (provider {model.provider}, id {model.id}{_nearest(model)})",
        "give its price in the registry file, in US dollars per million tokens, as price: {input: 1, output: 2}; or "
        "correct its id, or the provider of its endpoint",
    )


def _nearest(model: Model) -> str:
    provider = next((each for each in get_snapshot().providers if each.id == model.provider), None)
    if provider is None:
        return did_you_mean(model.provider, [each.id for each in get_snapshot().providers])
    return did_you_mean(model.id, [each.id for each in provider.models])


def _of_own_price(model: Model, own: Price, known: _Known, match: Match | None) -> Iterator[Finding]:
    free = not own.input and not own.output
    published = {} if match is None else {part: _base(getattr(match.prices, name)) for part, name in _PARTS.items()}
    costs = any(published.values())
    if free and not _is_local(model, known.registry):
        severity = Severity.ERROR if known.in_dollars and costs else Severity.WARNING
        yield Finding(
            severity,
            model.name,
            "free_but_not_local",
            "its price is 0, but it is not on this machine: nothing that it costs is counted"
            + (f"; it is published as {_listed(published)}" if costs else ""),
            "remove its price, or correct it",
        )
        return
    conflicts = [
        f"{part} {price(mine)} against {price(theirs)}{_percent(mine, theirs)}"
        for part, theirs in published.items()
        if (mine := getattr(own, part)) is not None and theirs is not None and mine != theirs
    ]
    if conflicts and match is not None and not free:
        yield Finding(
            Severity.WARNING,
            model.name,
            "differs",
            f"your price is not the published one of {match.info.id}: {', '.join(conflicts)}",
            "keep it if it is what you agreed with the provider; else remove it",
        )


def _of_match(model: Model, match: Match) -> Iterator[Finding]:
    provider, owner, info, _ = match
    if owner is not provider:
        yield Finding(
            Severity.WARNING,
            model.name,
            "price_of_another",
            f"{provider.id} has no price of {model.id} in the list; that of {owner.id} is taken",
            f"compare it with what {provider.id} asks; give a price of your own if it differs",
        )
    elif provider.id != model.provider:
        yield Finding(
            Severity.NOTE,
            model.name,
            "provider_by_rule",
            f"the provider {model.provider} is taken for {provider.id}",
            "give the endpoint its provider, if that is wrong",
        )
    if not _is_named(model.id.lower(), info):
        yield Finding(
            Severity.NOTE,
            model.name,
            "by_rule",
            f"the list does not name {model.id}; by a rule it has the price of {info.id} ({_rule(info.match)})",
            "give a price of your own, if that is wrong",
        )


def _match(model: Model, now: datetime) -> Match | None:
    snapshot = get_snapshot()
    try:
        provider, info = snapshot.find_provider_model(model.id, None, model.provider, None)
    except LookupError:
        return None
    owner = next((each for each in snapshot.providers if any(info is one for one in each.models)), provider)
    return Match(provider, owner, info, info.get_prices(now))


def _is_named(model_id: str, info: types.ModelInfo) -> bool:
    """Whether the entry names the model itself: by its id or as one of several names."""
    return model_id == info.id.lower() or _equals(info.match, model_id)


def _equals(clause: object, model_id: str) -> bool:
    if isinstance(clause, types.ClauseOr):
        return any(_equals(part, model_id) for part in clause.or_)
    return isinstance(clause, types.ClauseEquals) and clause.equals.lower() == model_id


_RULES: dict[type, tuple[str, Callable[[Any], object]]] = {
    types.ClauseStartsWith: ("begins with", lambda clause: clause.starts_with),
    types.ClauseEndsWith: ("ends with", lambda clause: clause.ends_with),
    types.ClauseContains: ("contains", lambda clause: clause.contains),
    types.ClauseRegex: ("matches", lambda clause: clause.regex),
    types.ClauseEquals: ("is", lambda clause: clause.equals),
}


def _rule(clause: object) -> str:
    """A rule in words, without the names that are told apart one by one."""
    if isinstance(clause, types.ClauseOr):
        parts = [part for part in clause.or_ if not isinstance(part, types.ClauseEquals)]
        return " or ".join(map(_rule, parts)) or "a name with its date written otherwise"
    if isinstance(clause, types.ClauseAnd):
        return " and ".join(map(_rule, clause.and_))
    words, value = _RULES[type(clause)]
    return f"{words} {value(clause)!r}"


def _base(value: Any) -> Decimal | None:
    """A price per million tokens; the first tier's if there are tiers."""
    base = getattr(value, "base", value)
    return base if isinstance(base, Decimal) else None


def _is_local(model: Model, registry: Registry | None) -> bool:
    if LOCAL in model.tags:
        return True
    endpoint = None if registry is None else registry.endpoints.get(model.endpoint)
    return endpoint is not None and endpoint.local


def _percent(mine: Decimal, theirs: Decimal) -> str:
    return f" ({100 * (mine / theirs - 1):+.0f} %)" if theirs else ""


def _listed(published: dict[str, Decimal | None]) -> str:
    return f"{price(published['input'])} in, {price(published['output'])} out"


# ------------------------------------------------------------------------------------------------------------- output


def _machine(examined: Examination, registry: Registry | None) -> dict[str, Json]:
    return {
        "published": {
            "version": examined.version,
            "checked_on": examined.checked,
            "age_days": examined.age_days,
            "update": _UPDATE,
        },
        "dollar_budgets": list(examined.budgets),
        "models": [
            {"name": model.name, "id": model.id, "provider": model.provider, **_quoted(examined.quotes[model.name])}
            for model in (() if registry is None else registry.models)
        ],
        "findings": [finding._asdict() for finding in examined.findings],
        **{f"{severity.value}s": examined.count(severity) for severity in Severity},
    }


def _quoted(quote: Quote | None) -> dict[str, Json]:
    return {
        "price_version": None if quote is None else quote.version,
        "input_usd_per_million": None if quote is None else f"{quote.input:f}",
        "output_usd_per_million": None if quote is None else f"{quote.output:f}",
    }


_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


def _show(examined: Examination, registry: Registry | None, console: Console) -> None:
    age = "" if examined.checked is None else f", checked on {examined.checked}: at most {examined.age_days} days old"
    console.print(Text(f"Published prices: {examined.version}{age}. To update: {_UPDATE}."))
    if registry is None:
        console.print(Text("No registry file: give one with --config to have its models looked at."))
    else:
        console.print(_table(examined, registry))
    for finding in examined.findings:
        where = f"{finding.model}: " if finding.model else ""
        remedy = f"; {finding.remedy}" if finding.remedy else ""
        console.print(
            Text.assemble(
                (f"{finding.severity.value}: ", _STYLES[finding.severity]),
                harmless(f"{where}{finding.detail}{remedy}."),
            )
        )
    if not examined.findings and registry is not None:
        console.print(Text("Every model has a price, and none of them is doubtful.", style="green"))


def _table(examined: Examination, registry: Registry) -> Table:
    numeric = ("Input", "Output")
    table = plain_table("Model", *numeric, "Price from", numeric=numeric)
    for model in registry.models:
        quote = examined.quotes[model.name]
        table.add_row(
            Text(harmless(model.name)),
            price(quote.input if quote else None),
            price(quote.output if quote else None),
            Text("-" if quote is None else quote.version),
        )
    return table
