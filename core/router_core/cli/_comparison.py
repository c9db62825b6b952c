"""A provider's bill against the ledger: which model, which day, and how much they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

from router_core.cli._attempts import Catalog
from router_core.cli._model_names import Pair, pair
from router_core.cli._usage_csv import FIGURES, Bill, Sums
from router_core.stores import Row, Store
from router_core.types import CACHE_PRICE, SCRIPTED_PRICE, to_usd

COLUMNS = {
    "input": "input_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
}
_EVERY = "(all models)"


class Tolerance(NamedTuple):
    """How much a figure of a model and day may differ."""

    tokens: int
    nano: int

    def bears(self, figure: str, difference: int) -> bool:
        """Whether a figure may differ so much. Requests may: what counts as one is each provider's own to say."""
        if figure == "requests":
            return True
        return abs(difference) <= (self.nano if figure == "cost" else self.tokens)


class Days(NamedTuple):
    """Whole days in UTC, the last one included."""

    first: date
    last: date

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.first <= day <= self.last


@dataclass(slots=True)
class Book:
    """What the ledger says: sums by day and by the name of the model at the provider. Costs and tokens that are unknown
    are in no sum, but counted; so are attempts whose tokens are estimated."""

    cells: defaultdict[tuple[date, str], Sums] = field(default_factory=lambda: defaultdict(Sums))
    unknown_costs: int = 0
    unknown_usage: int = 0
    estimated: int = 0


class Line(NamedTuple):
    """One model on one day: what the file and the ledger say, None where they say nothing."""

    day: date
    pair: Pair
    bill: Sums | None
    book: Sums | None

    def difference(self, figure: str) -> int:
        """How much more the file has, in tokens, requests or nano-dollars."""
        return amount(self.bill, figure) - amount(self.book, figure)


class Outcome(NamedTuple):
    """What came of it."""

    path: Path
    bill: Bill
    book: Book
    days: Days
    provider: str | None
    pairs: list[Pair]
    lines: list[Line]
    tolerance: Tolerance

    def agrees(self, line: Line) -> bool:
        """Whether file and ledger say the same of a line, as near as they need to."""
        return all(self.tolerance.bears(figure, line.difference(figure)) for figure in self.bill.figures)

    @property
    def differing(self) -> list[Line]:
        """The lines that do not agree."""
        return [line for line in self.lines if not self.agrees(line)]

    @property
    def totals(self) -> dict[str, tuple[int, int]]:
        """What the file and the ledger have in all, by figure."""
        return {
            figure: (
                sum(amount(line.bill, figure) for line in self.lines),
                sum(amount(line.book, figure) for line in self.lines),
            )
            for figure in self.bill.figures
        }


def booked(store: Store, days: Days, provider: str | None, catalog: Catalog) -> Book:
    """What the ledger says of the calls of a provider (None: of all) that ended on these days.

    Raises:
        StoreError: see ``Store``.
    """
    book = Book()
    since = datetime.combine(days.first, time(), UTC)
    until = datetime.combine(days.last, time(), UTC) + timedelta(days=1)
    for row in store.entries(since=since.timestamp(), until=until.timestamp()):
        day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["at_us"])).date()
        for attempt in row["attempts"]:
            # What a cache answered, or a script, has reached no provider.
            if attempt["price_version"] in {CACHE_PRICE, SCRIPTED_PRICE}:
                continue
            if provider is None or attempt["provider"] == provider:
                _enter(book, attempt, (day, _name(catalog, row, attempt)))
    return book


def _enter(book: Book, attempt: Row, cell: tuple[date, str]) -> None:
    cost = attempt["cost_nano"]
    if attempt["input_tokens"] is None:
        book.unknown_usage += 1
    elif not (attempt["input_tokens"] or attempt["output_tokens"] or cost):
        return  # nothing was used: a call that was refused
    book.unknown_costs += cost is None
    book.estimated += bool(attempt["estimated"])
    sums = book.cells[cell]
    sums.add("requests", 1)
    for figure, column in COLUMNS.items():
        sums.add(figure, attempt[column] or 0)
    sums.add("cost", to_usd(cost) or 0)


def _name(catalog: Catalog, row: Row, attempt: Row) -> str:
    """What the provider calls the model: as it answered, else as it was asked, else the name in the registry."""
    if attempt["model_id"]:
        return str(attempt["model_id"])
    model = catalog.model_of(row, attempt)
    name = str(attempt["model"])
    return name.partition(":")[2] or name if model is None else model.id


def compared(bill: Bill, book: Book, days: Days) -> tuple[list[Pair], list[Line]]:
    """Which models are the same, and what both say of each on each day that one of them names, in order."""
    told = {cell: sums for cell, sums in bill.cells.items() if cell[0] in days}
    if all(model is None for _, model in bill.cells):
        # The file tells no models apart: the days are compared.
        pairs = [Pair((_EVERY,), tuple(sorted({model for _, model in book.cells})), exact=True)]
        named = {(day, _EVERY): sums for (day, _), sums in told.items()}
    else:
        named = {(day, model or "(no model)"): sums for (day, model), sums in told.items()}
        pairs = pair({model for _, model in named}, {model for _, model in book.cells})
    every = (
        Line(day, each, _sum(named, day, each.bill), _sum(book.cells, day, each.ledger))
        for day in sorted({day for day, _ in (*named, *book.cells)})
        for each in pairs
    )
    return pairs, [line for line in every if line.bill is not None or line.book is not None]


def _sum(cells: Mapping[tuple[date, str], Sums], day: date, names: Iterable[str]) -> Sums | None:
    found = [cells[day, name] for name in names if (day, name) in cells]
    if not found:
        return None
    total = Sums()
    for sums in found:
        for figure in FIGURES:
            total.add(figure, sums.cost if figure == "cost" else sums.of(figure))
    return total


def amount(sums: Sums | None, figure: str) -> int:
    """So many tokens, requests or nano-dollars; 0 of nothing."""
    return 0 if sums is None else sums.of(figure)
