"""What ``verify`` finds: receipts against their attempts, counters against the holds that they sum up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from router_core.stores.base import Row
from router_core.stores.book import Counter, Key
from router_core.stores.rows import KINDS
from router_core.types import add_nano


@dataclass(slots=True)
class Sums:
    """What the holds of one counter add up to: those that are held, and what the others spent."""

    held: int = 0
    spent: int = 0


def receipt_faults(row: Row) -> Iterator[str]:
    """What of a receipt does not agree with its attempts, in words."""
    attempts = row["attempts"]
    if [attempt["number"] for attempt in attempts] != list(range(1, row["attempt_count"] + 1)):
        yield _fault(row, "attempt_count", row["attempt_count"], f"the rows of its attempts are {len(attempts)}")
    for kind in KINDS:
        total = sum(attempt[kind] or 0 for attempt in attempts)
        if row[kind] != total:
            yield _fault(row, kind, row[kind], f"its attempts add up to {total}")
    cost: int | None = 0
    for attempt in attempts:
        cost = add_nano(cost, attempt["cost_nano"])
    if row["cost_nano"] != cost:
        yield _fault(row, "cost_nano", _known(row["cost_nano"]), f"its attempts add up to {_known(cost)}")


def counter_faults(counters: Mapping[Key, Counter], sums: Mapping[Key, Sums]) -> Iterator[str]:
    """What of the counters does not agree with their holds, in words."""
    for key in sorted({*counters, *sums}):
        counter, of = counters.get(key, Counter()), sums.get(key, Sums())
        name = f"budget {key.budget!r}, key {key.key!r}, window {key.window!r} ({key.unit})"
        if counter.held != of.held:
            yield f"{name}: {counter.held} are held, but its holds add up to {of.held}"
        if counter.spent != counter.pruned + of.spent:
            pruned = f" and the pruned ones to {counter.pruned}" if counter.pruned else ""
            yield f"{name}: {counter.spent} are spent, but its settled holds add up to {of.spent}{pruned}"


def _fault(row: Row, column: str, value: object, truth: str) -> str:
    return f"request {row['request_id']}: {column} is {value}, but {truth}"


def _known(amount: int | None) -> str:
    return "unknown" if amount is None else str(amount)
