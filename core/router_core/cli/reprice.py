"""``llm-router reprice``: what the attempts of the ledger cost by other prices than those they were booked with."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer
from rich.console import Console
from rich.text import Text

from router_core.cli._attempts import Catalog, usage_of
from router_core.cli._pricelist import PriceList, prices_of
from router_core.cli._show import harmless, plain_table
from router_core.cli._store import opened
from router_core.config import load
from router_core.prices import PriceBook
from router_core.report.machine import dollars, moment
from router_core.report.words import UNKNOWN, usd
from router_core.stores import Repricing, Row, Store
from router_core.types import CACHE_PRICE, PROVIDER_PRICE, REGISTRY_PRICE, SCRIPTED_PRICE

if TYPE_CHECKING:
    from rich.table import Table

    from router_core.types import Json

_BATCH = 1_000
"""How many costs are saved at a time."""


class Asked(NamedTuple):
    """What is to be computed: the requests that ended in ``since`` <= time < ``until`` (unix seconds, None: no bound)
    with the prices of ``snapshot`` (None: those of today) as they were at the time ``as_of``, None for that of each
    request."""

    since: float | None
    until: float | None
    now: datetime
    snapshot: Path | None
    as_of: float | None


class Kept(StrEnum):
    """Why an attempt keeps its cost."""

    PROVIDER = "provider"
    CACHE = "cache"
    SCRIPTED = "scripted"
    UNUSED = "no_tokens"
    NO_USAGE = "tokens_unknown"
    NO_MODEL = "model_unknown"
    NO_OWN_PRICE = "own_price_gone"


_WHY = {
    Kept.PROVIDER: "the provider reported what they cost",
    Kept.CACHE: "a cache of the application answered them",
    Kept.SCRIPTED: "their answers were scripted",
    Kept.UNUSED: "they used no tokens",
    Kept.NO_USAGE: "nobody knows what they used",
    Kept.NO_MODEL: "nobody knows which model it was; give the registry file that names it",
    Kept.NO_OWN_PRICE: "they had a price of your own, and the registry file that had it is not given",
}
_FIXED = {PROVIDER_PRICE: Kept.PROVIDER, CACHE_PRICE: Kept.CACHE, SCRIPTED_PRICE: Kept.SCRIPTED}


class _Priced(NamedTuple):
    """A cost in nano-dollars, None if unknown, and the version of the prices."""

    nano: int | None
    version: str


@dataclass(slots=True)
class Line:
    """What the attempts of one model cost before and after, in nano-dollars; unknown costs are counted, not summed."""

    attempts: int = 0
    repriced: int = 0
    old_nano: int = 0
    old_unknown: int = 0
    new_nano: int = 0
    new_unknown: int = 0
    changed: int = 0
    became_known: int = 0
    became_unknown: int = 0

    def add(self, old: int | None, new: int | None, *, repriced: bool) -> None:
        """Count an attempt."""
        self.attempts += 1
        self.repriced += repriced
        self.old_nano += old or 0
        self.old_unknown += old is None
        self.new_nano += new or 0
        self.new_unknown += new is None
        self.changed += old is not None and new is not None and old != new
        self.became_known += old is None and new is not None
        self.became_unknown += old is not None and new is None

    def as_dict(self) -> dict[str, Json]:
        """JSON-safe; money is US dollars as text."""
        return {
            "attempts": self.attempts,
            "repriced": self.repriced,
            "old_usd": dollars(self.old_nano),
            "old_unknown": self.old_unknown,
            "new_usd": dollars(self.new_nano),
            "new_unknown": self.new_unknown,
            "difference_usd": dollars(self.new_nano - self.old_nano),
            "changed": self.changed,
            "became_known": self.became_known,
            "became_unknown": self.became_unknown,
        }


@dataclass(slots=True)
class Outcome:
    """What came of it: the lines of models by name and provider, their total, what kept its cost and why, with which
    prices the others were computed, and how many of these were saved (None: none was to be)."""

    models: dict[tuple[str, str], Line] = field(default_factory=dict)
    total: Line = field(default_factory=Line)
    kept: Counter[Kept] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    saved: int | None = None

    def add(self, attempt: Row, new: _Priced) -> None:
        """Count an attempt that was computed anew."""
        self.versions[new.version] += 1
        self._count(attempt, new.nano, repriced=True)

    def keep(self, attempt: Row, why: Kept) -> None:
        """Count an attempt that keeps its cost."""
        self.kept[why] += 1
        self._count(attempt, attempt["cost_nano"], repriced=False)

    def save(self, store: Store, batch: list[Repricing]) -> None:
        """Save these costs if they are to be saved, and empty the list."""
        if self.saved is not None:
            self.saved += store.save_repricings(batch)
        batch.clear()

    def _count(self, attempt: Row, new: int | None, *, repriced: bool) -> None:
        line = self.models.setdefault((attempt["model"], attempt["provider"]), Line())
        for each in (line, self.total):
            each.add(attempt["cost_nano"], new, repriced=repriced)


def recompute(store: str | None, config: Path | None, asked: Asked, *, save: bool, as_json: bool) -> None:
    """Show what attempts cost by other prices; with ``save`` keep that beside the old figures.

    Raises:
        ConfigError: there is no ledger, or the snapshot is none. StoreError: see ``Store``.
    """
    registry = None if config is None else load(config).registry
    with opened(store, config) as found, prices_of(asked.snapshot, registry) as prices:
        outcome = _computed(found, prices, asked, save=save)
    if as_json:
        typer.echo(json.dumps(_machine(outcome, asked), indent=2))
    else:
        _show(outcome, asked, Console())


class _Clock:
    """Tells the time at which prices are looked up."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def _computed(store: Store, prices: PriceList, asked: Asked, *, save: bool) -> Outcome:
    outcome, catalog = Outcome(saved=0 if save else None), Catalog(prices.registry)
    fixed = None if asked.as_of is None else datetime.fromtimestamp(asked.as_of, UTC)
    clock = _Clock(fixed or asked.now)
    book = PriceBook(clock)
    batch: list[Repricing] = []
    for row in store.entries(since=asked.since, until=asked.until):
        if fixed is None:
            clock.now = _ended(row, asked.now)
        for attempt in row["attempts"]:
            new = _new_cost(book, prices, catalog, row, attempt)
            if isinstance(new, Kept):
                outcome.keep(attempt, new)
                continue
            if fixed is not None:
                new = _Priced(new.nano, f"{new.version} as of {fixed:%Y-%m-%d}")
            outcome.add(attempt, new)
            if new != (attempt["cost_nano"], attempt["price_version"]):
                batch.append(
                    Repricing(row["request_id"], attempt["number"], new.version, asked.now.timestamp(), new.nano)
                )
        if len(batch) >= _BATCH:
            outcome.save(store, batch)
    outcome.save(store, batch)
    return outcome


def _ended(row: Row, now: datetime) -> datetime:
    """When the request ended; what no calendar has is taken for now."""
    try:
        return datetime.fromtimestamp(row["at_us"] / 1e6, UTC)
    except (OverflowError, OSError, ValueError):
        return now


def _new_cost(book: PriceBook, prices: PriceList, catalog: Catalog, row: Row, attempt: Row) -> _Priced | Kept:
    """The cost by these prices, or why the attempt keeps what it has."""
    version, usage = attempt["price_version"], usage_of(attempt)
    if version in _FIXED:
        return _FIXED[version]
    if usage is None:
        return Kept.NO_USAGE
    if not usage.total_tokens:
        return Kept.UNUSED
    model = catalog.model_of(row, attempt)
    if model is None:
        return Kept.NO_MODEL
    if version == REGISTRY_PRICE and not catalog.has(model):
        return Kept.NO_OWN_PRICE
    cost = book.cost(model, usage, attempt["service_tier"])
    return _Priced(None if cost is None else cost.nano, prices.version_of(cost))


# ------------------------------------------------------------------------------------------------------------- output


def _machine(outcome: Outcome, asked: Asked) -> dict[str, Json]:
    return {
        "since": moment(asked.since),
        "until": moment(asked.until),
        "as_of": moment(asked.as_of) or "request",
        "prices": dict(outcome.versions),
        "models": [
            {"model": model, "provider": provider, **line.as_dict()} for (model, provider), line in _ordered(outcome)
        ],
        "total": outcome.total.as_dict(),
        "kept": {why.value: count for why, count in outcome.kept.items()},
        "saved": outcome.saved,
    }


def _ordered(outcome: Outcome) -> list[tuple[tuple[str, str], Line]]:
    """The lines whose costs change most first."""
    return sorted(outcome.models.items(), key=lambda item: (-abs(item[1].new_nano - item[1].old_nano), item[0]))


def _show(outcome: Outcome, asked: Asked, console: Console) -> None:
    if not outcome.total.attempts:
        console.print("No model was called in this time.", highlight=False)
        return
    console.print(_table(outcome))
    for line in _notes(outcome, asked):
        console.print(Text(harmless(line), style="dim"))
    if outcome.saved is not None:
        console.print(f"{outcome.saved:,} new costs are saved beside the old ones.", highlight=False)


def _table(outcome: Outcome) -> Table:
    numeric = ("Attempts", "Old", "New", "Difference")
    table = plain_table("Model", *numeric, numeric=numeric)
    names = [model for model, _ in outcome.models]
    for (model, provider), line in _ordered(outcome):
        name = model if names.count(model) == 1 else f"{model} ({provider})"
        table.add_row(Text(harmless(name)), *_cells(line))
    table.add_section()
    table.add_row(Text("total", "bold"), *_cells(outcome.total))
    return table


def _cells(line: Line) -> list[str]:
    old, new = _amount(line.old_nano, line.old_unknown), _amount(line.new_nano, line.new_unknown)
    more = line.new_nano - line.old_nano
    return [f"{line.attempts:,}", old, new, f"{'+' if more > 0 else ''}{usd(more)}"]


def _amount(nano: int, unknown: int) -> str:
    return f"{usd(nano)} + {unknown:,} {UNKNOWN}" if unknown else usd(nano)


def _notes(outcome: Outcome, asked: Asked) -> list[str]:
    total = outcome.total
    at = "the time of each request" if asked.as_of is None else f"{moment(asked.as_of)}"
    lists = ", ".join(f"{version} ({count:,})" for version, count in outcome.versions.most_common()) or "none"
    notes = [f"{total.repriced:,} attempts are computed with the prices of {at}, from: {lists}."]
    if total.changed:
        notes.append(f"{total.changed:,} cost something else than was booked.")
    if total.became_known:
        notes.append(f"{total.became_known:,} had no known cost and have one now, which is in the difference.")
    if total.became_unknown:
        notes.append(f"{total.became_unknown:,} had a cost and have none now: no price is known; see `prices doctor`.")
    notes += [f"{count:,} keep their cost: {_WHY[why]}." for why, count in outcome.kept.most_common()]
    return notes
