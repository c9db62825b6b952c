"""Receipts one by one: the latest, and those that come."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from router_core.records import AttemptOutcome, AttemptRole
from router_core.report.machine import dollars, moment
from router_core.report.words import seconds, usd
from router_core.types import Json

if TYPE_CHECKING:
    from router_core.stores.base import Row, Store

_LATE_S = 30
"""How much later than others of its time a receipt may appear: stores wait up to 10 s for other writers, and the clocks
of a fleet are not quite the same."""

_LOOK_BACK_S = (60, 3_600, 86_400, 30 * 86_400)
"""How far back the latest receipts are looked for, step by step, so that a large ledger is not read for ten lines."""

_MICRO = 1_000_000


class Follower:
    """Hands out the receipts of a store, each once.

    Receipts are in the order of their time but become visible when their transaction ends: each look reads the last
    half minute again and leaves out what it knows.

    Args:
        store: where to look.
        clock: the present, in unix seconds.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, int] = OrderedDict()
        self._newest_us: int | None = None
        self._from_us: int | None = None

    def latest(self, lines: int) -> list[Row]:
        """The last receipts, oldest first. To be called once, before ``new``.

        Raises:
            StoreError: the store cannot be used.
        """
        now = self._clock()
        found: deque[Row] = deque(maxlen=lines)
        for since in (*(now - back for back in _LOOK_BACK_S), None):
            found.clear()
            self._known.clear()
            self._newest_us = None
            self._from_us = None if since is None else int(since * _MICRO)
            found.extend(self._unknown(since))
            if len(found) == lines:
                break
        return list(found)

    def new(self) -> list[Row]:
        """The receipts that were not handed out yet, oldest first.

        Raises:
            StoreError: the store cannot be used.
        """
        since_us = self._from_us if self._newest_us is None else self._overlap_us(self._newest_us)
        return list(self._unknown(None if since_us is None else since_us / _MICRO))

    def _unknown(self, since: float | None) -> Iterator[Row]:
        for row in self._store.entries(since=since):
            at_us = row["at_us"]
            if row["request_id"] not in self._known:
                self._known[row["request_id"]] = at_us
                newest_us = at_us if self._newest_us is None else max(at_us, self._newest_us)
                self._newest_us = newest_us
                self._forget(self._overlap_us(newest_us))
                yield row

    def _overlap_us(self, newest_us: int) -> int:
        """From where on the next look reads. A receipt of the future (a clock that is ahead) must not hide those of the
        present."""
        since_us = min(newest_us, int(self._clock() * _MICRO)) - _LATE_S * _MICRO
        return since_us if self._from_us is None else max(since_us, self._from_us)

    def _forget(self, before_us: int) -> None:
        """Forget receipts that no look will read again."""
        while self._known and next(iter(self._known.values())) < before_us:
            self._known.popitem(last=False)


def as_text(row: Row) -> str:
    """A receipt on one line: when it ended, how, from the first model to the one that answered and why, calls, tokens,
    cost, latency, and whose it was. Names are as they are: whoever prints it makes them harmless."""
    told = [
        (moment(row["at_us"] // _MICRO) or "beyond all calendars").replace("+00:00", "Z"),
        row["outcome"],
        _way(row),
        ", ".join(_codes(row)),
        f"{row['attempt_count']} call{'s' * (row['attempt_count'] != 1)}",
        f"{'~' * bool(row['estimated'])}{row['input_tokens']:,}+{row['output_tokens']:,} tokens",
        usd(row["cost_nano"]) if row["attempts"] else "$0",
        seconds(row["latency_us"] / _MICRO),
        " ".join([*([row["session"]] if row["session"] else []), *row["tags"]]),
    ]
    return "  ".join(part for part in told if part)


def as_json(row: Row) -> dict[str, Json]:
    """A receipt for machines: moments in ISO 8601, money as decimal strings, no text of prompts or answers."""
    decision = row["decision"]
    return {
        "request_id": row["request_id"],
        "at": moment(row["at_us"] / _MICRO),
        "outcome": row["outcome"],
        "start_model": _start(row),
        "model": row["model"],
        "policy": None if decision is None else decision["policy"],
        "reason": None if decision is None else decision["reason"],
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "estimated": row["estimated"],
        "cost_usd": dollars(row["cost_nano"]),
        "latency_s": row["latency_us"] / _MICRO,
        "session": row["session"],
        "call_site": row["call_site"],
        "tags": row["tags"],
        "attempts": [
            {
                "model": call["model"],
                "provider": call["provider"],
                "outcome": call["outcome"],
                "code": call["failure"] or call["verdict_code"],
                "input_tokens": call["input_tokens"],
                "output_tokens": call["output_tokens"],
                "cost_usd": dollars(call["cost_nano"]),
                "price_version": call["price_version"],
                "latency_s": call["latency_us"] / _MICRO,
            }
            for call in row["attempts"]
        ],
    }


def _start(row: Row) -> str | None:
    if row["decision"] is not None:
        return str(row["decision"]["ladder"][0])
    return next((str(call["model"]) for call in row["attempts"] if call["role"] == AttemptRole.ANSWER), None)


def _way(row: Row) -> str:
    """From where a request started to who answered it."""
    start, end = _start(row), row["model"]
    if end is None or start == end:
        return start or "no model"
    return f"{start} -> {end}"


def _codes(row: Row) -> list[str]:
    """Why it started there, and why each call was not the end."""
    wrong = [
        f"{_role(call)}{call['outcome']}: {call['failure'] or call['verdict_code'] or 'unknown'}"
        for call in row["attempts"]
        if call["outcome"] in {AttemptOutcome.REJECTED, AttemptOutcome.FAILED, AttemptOutcome.SERVED}
    ]
    return [*([] if row["decision"] is None else [row["decision"]["reason"]]), *wrong]


def _role(call: Row) -> str:
    return "" if call["role"] == AttemptRole.ANSWER else f"{call['role']} "
