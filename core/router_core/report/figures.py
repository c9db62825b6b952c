"""The figures of a report, counted in one pass over the rows of the ledger.

Every call of a model counts once. Spend is the sum over calls, so that the groups of a report add up to its total; only
by tag they do not, since a request may have several.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

from router_core.records import AttemptOutcome, ReceiptOutcome
from router_core.report.counts import Counts, Saving
from router_core.types import CACHE_PRICE, SCRIPTED_PRICE

if TYPE_CHECKING:
    from router_core.stores.base import Row

By: TypeAlias = Literal["model", "provider", "tag", "session", "policy", "call_site", "day"]
"""What a report may be broken down by."""

WAYS: tuple[str, ...] = get_args(By)
OF_CALLS = frozenset({"model", "provider"})
"""The groups that calls are counted in, one by one; the others count whole requests."""

MAX_GROUPS = 20_000
"""Groups that are told apart: what comes after so many is counted together, so that memory is bounded."""

_DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1).toordinal()
_FREE = frozenset({CACHE_PRICE, SCRIPTED_PRICE})
_ANSWERS = frozenset({AttemptOutcome.ACCEPTED, AttemptOutcome.REJECTED, AttemptOutcome.SERVED})
_NEAR = 4
"""A cost is near its prediction if they are apart by a quarter of the prediction at most."""


class Group(NamedTuple):
    """One line of a breakdown. ``name`` is None for what has none: a request without a session, a tag, a decision."""

    name: str | None
    counts: Counts


class Day(NamedTuple):
    """One day (UTC): its requests, and the known cost of the calls by model, in nano-dollars."""

    requests: int
    spent: Mapping[str, int]


class Prediction:
    """The predicted cost of the model that requests began with, against what they cost in the end.

    ``not_above`` requests cost what was predicted at most, ``near`` ones within a quarter of it.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.predicted_nano = 0
        self.cost_nano = 0
        self.not_above = 0
        self.near = 0

    def add(self, predicted_nano: int, cost_nano: int) -> None:
        """Compare one request."""
        self.requests += 1
        self.predicted_nano += predicted_nano
        self.cost_nano += cost_nano
        self.not_above += cost_nano <= predicted_nano
        self.near += _NEAR * abs(cost_nano - predicted_nano) <= predicted_nano

    @property
    def ratio(self) -> float | None:
        """The true cost as a multiple of the predicted one; None if none was predicted."""
        return self.cost_nano / self.predicted_nano if self.predicted_nano else None


class Figures:
    """All that is counted. Memory grows with days, models, codes and groups (up to ``MAX_GROUPS``), not with requests.

    ``total`` counts the requests, with the latency of those that were answered. ``left_out`` says why how many requests
    that called a model are not in ``total.saving``. ``baselines`` are the parts of that saving by the model that they
    are measured against. ``reasons`` counts decisions by why they start where they start, ``calls`` and ``answers``
    count by model. ``first_us`` and ``last_us`` are when the first and the last request ended, in microseconds since
    1970.

    Args:
        by: what to break down by; None for totals only.
        max_groups: how many groups are told apart.
    """

    def __init__(self, by: By | None = None, *, max_groups: int = MAX_GROUPS) -> None:
        self.by = by
        self.total = Counts()
        self.outcomes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.baselines: defaultdict[str, Saving] = defaultdict(Saving)
        self.prediction = Prediction()
        self.rest: Counts | None = None
        self.first_us: int | None = None
        self.last_us: int | None = None
        self._max_groups = max_groups
        self._groups: dict[str | None, Counts] = {}
        self._spent: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._requests: Counter[int] = Counter()
        self._shares = None if by is None else _SHARES[by]

    def add_all(self, rows: Iterable[Row]) -> Figures:
        """Count receipts, as ``Store.entries`` hands them out, and return these figures."""
        for row in rows:
            self.add(row)
        return self

    def add(self, row: Row) -> None:
        """Count one receipt."""
        self.first_us = row["at_us"] if self.first_us is None else min(self.first_us, row["at_us"])
        self.last_us = row["at_us"] if self.last_us is None else max(self.last_us, row["at_us"])
        calls = row["attempts"]
        saving = self._saving(row, calls)
        self._count(self.total, row, calls, saving)
        self.outcomes[row["outcome"]] += 1
        if row["model"] is not None:
            self.answers[row["model"]] += 1
        if row["decision"] is not None:
            self.reasons[row["decision"]["reason"]] += 1
        self._count_day(row, calls)
        if saving is not None:
            self.baselines[row["baseline_model"] or ""].add(*saving)
        if row["predicted_nano"] is not None and self._is_comparable(row, calls):
            self.prediction.add(row["predicted_nano"], row["cost_nano"])
        if self._shares is not None:
            for name, part in self._shares(row):
                if self.by in OF_CALLS:
                    self._count_calls(self._group(name), row, part)
                else:
                    self._count(self._group(name), row, part, saving)

    @property
    def groups(self) -> list[Group]:
        """The breakdown: days in their order, all else with the dearest first."""
        found = [Group(name, counts) for name, counts in self._groups.items()]
        if self.by == "day":
            return sorted(found, key=lambda group: group.name or "")
        return sorted(found, key=lambda g: (-g.counts.cost_nano, -g.counts.requests, g.name is None, g.name or ""))

    @property
    def days(self) -> dict[date, Day]:
        """The days on which a request ended, in order."""
        return {
            date.fromordinal(ordinal): Day(requests, self._spent.get(ordinal, {}))
            for ordinal, requests in sorted(self._requests.items())
        }

    @property
    def models(self) -> dict[str, int]:
        """The known cost of each model's calls in nano-dollars, the dearest first."""
        spent: Counter[str] = Counter()
        for of_day in self._spent.values():
            for model, nano in of_day.items():
                spent[model] += nano
        return dict(sorted(spent.items(), key=lambda item: (-item[1], item[0])))

    def _group(self, name: str | None) -> Counts:
        found = self._groups.get(name)
        if found is None:
            if len(self._groups) >= self._max_groups:
                self.rest = self.rest or Counts()
                return self.rest
            found = self._groups[name] = Counts()
        return found

    def _count(self, counts: Counts, row: Row, calls: Sequence[Row], saving: tuple[int, int] | None) -> None:
        counts.add(row, calls)
        if row["outcome"] == ReceiptOutcome.ANSWERED:
            counts.latency.add(row["latency_us"])
        if saving is not None:
            counts.saving.add(*saving)

    def _count_calls(self, counts: Counts, row: Row, calls: Sequence[Row]) -> None:
        counts.add(row, calls)
        for call in calls:
            if call["outcome"] in _ANSWERS and call["price_version"] != CACHE_PRICE:
                counts.latency.add(call["latency_us"])

    def _count_day(self, row: Row, calls: Sequence[Row]) -> None:
        ordinal = _ordinal(row["at_us"])
        self._requests[ordinal] += 1
        spent = self._spent[ordinal]
        for call in calls:
            spent[call["model"]] += call["cost_nano"] or 0
            self.calls[call["model"]] += 1

    def _saving(self, row: Row, calls: Sequence[Row]) -> tuple[int, int] | None:
        """What a request cost and what the baseline would have cost; None if that cannot be compared.

        A request without an answer has a baseline of 0: what was spent on it lessens the saving. An answer that cost
        nothing because it came out of a cache or a script is no merit of routing: the strongest model would have had
        it for nothing too.
        """
        if not calls:
            return None
        answered = row["outcome"] == ReceiptOutcome.ANSWERED
        baseline = row["baseline_nano"] if answered else 0
        if answered and calls[-1]["price_version"] in _FREE:
            self.left_out["cached or scripted"] += 1
        elif row["cost_nano"] is None:
            self.left_out["cost unknown"] += 1
        elif baseline is None:
            self.left_out["baseline unknown"] += 1
        else:
            return row["cost_nano"], baseline
        return None

    def _is_comparable(self, row: Row, calls: Sequence[Row]) -> bool:
        """Whether a request has a true cost that a prediction can be held against."""
        answered = row["outcome"] == ReceiptOutcome.ANSWERED and bool(calls)
        return answered and row["cost_nano"] is not None and calls[-1]["price_version"] not in _FREE


def _ordinal(at_us: int) -> int:
    """The day (UTC) as ``date`` counts it; what no calendar has becomes its first or last day."""
    return min(max(at_us // _DAY_US + _EPOCH, 1), date.max.toordinal())


def _of_calls(column: str) -> Callable[[Row], Iterable[tuple[str | None, Sequence[Row]]]]:
    def shares(row: Row) -> Iterable[tuple[str | None, Sequence[Row]]]:
        parts: dict[str, list[Row]] = {}
        for call in row["attempts"]:
            parts.setdefault(call[column], []).append(call)
        return parts.items()

    return shares


def _of_request(
    names: Callable[[Row], Sequence[str | None]],
) -> Callable[[Row], list[tuple[str | None, Sequence[Row]]]]:
    return lambda row: [(name, row["attempts"]) for name in names(row)]


_SHARES: dict[By, Callable[[Row], Iterable[tuple[str | None, Sequence[Row]]]]] = {
    "model": _of_calls("model"),
    "provider": _of_calls("provider"),
    "tag": _of_request(lambda row: row["tags"] or [None]),
    "session": _of_request(lambda row: [row["session"]]),
    "policy": _of_request(lambda row: [None if row["decision"] is None else row["decision"]["policy"]]),
    "call_site": _of_request(lambda row: [row["call_site"]]),
    "day": _of_request(lambda row: [date.fromordinal(_ordinal(row["at_us"])).isoformat()]),
}
"""The groups that a receipt belongs to, each with the calls that count there."""
