"""Which names of a bill and of a ledger mean the same model."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

_DATE = re.compile(r"[-@_ ](?:20\d{2}[-_]?\d{2}[-_]?\d{2}|\d{3,4}|latest)$")
_VARIANT = re.compile(r":[a-z]+$")


class Pair(NamedTuple):
    """One model: what the bill calls it, and what the ledger does; either may call it nothing, or several names.

    ``exact`` says that they are called alike.
    """

    bill: tuple[str, ...]
    ledger: tuple[str, ...]
    exact: bool

    @property
    def name(self) -> str:
        """A name of it, the bill's first."""
        return ", ".join(self.bill or self.ledger)


def pair(bill: Iterable[str], ledger: Iterable[str]) -> list[Pair]:
    """Each name in one pair. Names that are equal but for their case are the same model. What is left over is matched
    by its likeness: without the date of a snapshot, the owner before a slash, and the order of its parts; what a bill
    tells apart and a ledger does not, or the other way round, comes together in one pair.
    """
    alike: defaultdict[tuple[str, ...], tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for names, side in ((bill, 0), (ledger, 1)):
        for name in names:
            alike[likeness(name)][side].add(name)
    pairs = [each for names in alike.values() for each in _pairs(*names)]
    return sorted(pairs, key=lambda each: each.name)


def likeness(name: str) -> tuple[str, ...]:
    """What names of the same model have in common: ("4", "5", "claude", "sonnet") of "Claude Sonnet 4.5",
    "anthropic/claude-4.5-sonnet-20250929" and "claude-sonnet-4-5"."""
    plain = _VARIANT.sub("", name.strip().lower().rpartition("/")[2])
    return tuple(sorted(re.split(r"[^a-z0-9]+", _DATE.sub("", plain))))


def _pairs(bill: set[str], ledger: set[str]) -> list[Pair]:
    """The pairs of names that are alike."""
    same: defaultdict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for names, side in ((bill, 0), (ledger, 1)):
        for name in names:
            same[name.casefold()][side].add(name)
    exact = [_merged(*names, exact=True) for names in same.values() if all(names)]
    rest_bill, rest_ledger = (
        {name for names in same.values() if not all(names) for name in names[side]} for side in (0, 1)
    )
    if rest_ledger and rest_bill:
        return [*exact, _merged(rest_bill, rest_ledger)]
    # A name without a date in the ledger may be any of the snapshots that the bill tells apart.
    if rest_ledger and bill and not all(map(_is_dated, rest_ledger)):
        return [_merged(bill, ledger)]
    alone = [Pair((name,), (), exact=False) for name in rest_bill]
    return [*exact, *alone, *(Pair((), (name,), exact=False) for name in rest_ledger)]


def _merged(bill: set[str], ledger: set[str], *, exact: bool = False) -> Pair:
    return Pair(tuple(sorted(bill)), tuple(sorted(ledger)), exact)


def _is_dated(name: str) -> bool:
    return _DATE.search(name.lower()) is not None
