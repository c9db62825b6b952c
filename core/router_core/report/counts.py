"""What is counted of requests and of calls: whole numbers, and quantiles in bounded memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from router_core.latency import QuantileSketch
from router_core.records import AttemptOutcome, AttemptRole, ReceiptOutcome
from router_core.types import CACHE_PRICE, SCRIPTED_PRICE, Usage

if TYPE_CHECKING:
    from router_core.stores.base import Row

KINDS = tuple(each.name for each in fields(Usage) if each.name != "estimated")
"""The kinds of tokens: columns of the ledger."""

_MICRO = 1_000_000


class Spread:
    """How long things took: the exact number, sum and extremes, and quantiles within 2 %."""

    __slots__ = ("_sketch", "least_us", "most_us", "sum_us")

    def __init__(self) -> None:
        self._sketch = QuantileSketch(forget_at=math.inf)
        self.sum_us = 0
        self.least_us: int | None = None
        self.most_us = 0

    def add(self, microseconds: int) -> None:
        """Count one duration."""
        self._sketch.add(microseconds / _MICRO)
        self.sum_us += microseconds
        if self.least_us is None or microseconds < self.least_us:
            self.least_us = microseconds
        self.most_us = max(self.most_us, microseconds)

    @property
    def count(self) -> int:
        """How many there were."""
        return self._sketch.total

    @property
    def mean_s(self) -> float | None:
        """The mean in seconds; None of nothing."""
        return self.sum_us / _MICRO / self.count if self.count else None

    def quantile(self, q: float) -> float | None:
        """The seconds below which a share ``q`` (0..1) lies, within 2 %; None of nothing."""
        about = self._sketch.quantile(q)
        if about is None or self.least_us is None:
            return None
        return min(max(about, self.least_us / _MICRO), self.most_us / _MICRO)

    @property
    def buckets(self) -> list[tuple[float, int]]:
        """The durations in seconds, each within 2 %, and how often; the shortest first."""
        return self._sketch.buckets


class Saving:
    """What requests cost, and what one model would have cost for the same tokens of the answers that were served."""

    __slots__ = ("baseline_nano", "cost_nano", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.cost_nano = 0
        self.baseline_nano = 0

    def add(self, cost_nano: int, baseline_nano: int) -> None:
        """Compare one request."""
        self.requests += 1
        self.cost_nano += cost_nano
        self.baseline_nano += baseline_nano

    @property
    def saved_nano(self) -> int | None:
        """Nano-dollars; below 0 if routing cost more. None if nothing was compared."""
        return self.baseline_nano - self.cost_nano if self.requests else None

    @property
    def share(self) -> float | None:
        """The part of the baseline that was saved, 1 at most; None if the baseline is 0."""
        return (self.baseline_nano - self.cost_nano) / self.baseline_nano if self.baseline_nano else None


class Counts:
    """What was counted of requests, or of those of their calls that went to one model or provider.

    ``requests`` are those that had to do with it, ``called`` those of them that called a model, ``answered`` those that
    it answered. ``escalated`` requests had an answer of it rejected and ``fell_back`` ones a call of it failed;
    ``escalations``, ``fallbacks`` and ``unverified`` (answers that were served although a verifier disliked them) count
    the calls by their reason code. ``cost_nano`` is the sum of the known costs, ``unknown_costs`` the calls that have
    none. ``cached`` and ``scripted`` answers cost nothing. ``without_usage`` and ``estimated`` count calls.
    """

    __slots__ = (
        "answered",
        "attempts",
        "cached",
        "called",
        "cost_nano",
        "escalated",
        "escalations",
        "estimated",
        "fallbacks",
        "fell_back",
        "first_token",
        "latency",
        "requests",
        "saving",
        "scripted",
        "tokens",
        "unknown_costs",
        "unverified",
        "without_usage",
    )

    def __init__(self) -> None:
        self.requests = self.called = self.answered = self.attempts = 0
        self.escalated = self.fell_back = 0
        self.cached = self.scripted = self.estimated = self.without_usage = 0
        self.cost_nano = self.unknown_costs = 0
        self.escalations: Counter[str] = Counter()
        self.fallbacks: Counter[str] = Counter()
        self.unverified: Counter[str] = Counter()
        self.tokens = [0] * len(KINDS)
        self.latency = Spread()
        self.first_token = Spread()
        self.saving = Saving()

    def add(self, row: Row, calls: Sequence[Row]) -> None:
        """Count a receipt and those of its calls that belong here. ``latency`` is left to the caller."""
        self.requests += 1
        if calls:
            self.called += 1
            self.answered += row["outcome"] == ReceiptOutcome.ANSWERED and calls[-1] is row["attempts"][-1]
            rejected, failed = self.escalations.total(), self.fallbacks.total()
            for call in calls:
                self._add(call)
            self.escalated += self.escalations.total() > rejected
            self.fell_back += self.fallbacks.total() > failed

    def _add(self, call: Row) -> None:
        self.attempts += 1
        if call["cost_nano"] is None:
            self.unknown_costs += 1
        else:
            self.cost_nano += call["cost_nano"]
        if call["input_tokens"] is None:
            self.without_usage += 1
        else:
            self.tokens = [count + call[kind] for count, kind in zip(self.tokens, KINDS, strict=True)]
            self.estimated += bool(call["estimated"])
        self.cached += call["price_version"] == CACHE_PRICE
        self.scripted += call["price_version"] == SCRIPTED_PRICE
        if call["first_token_us"] is not None:
            self.first_token.add(call["first_token_us"])
        if call["outcome"] == AttemptOutcome.REJECTED:
            self.escalations[call["verdict_code"] or "unknown"] += 1
        elif call["outcome"] == AttemptOutcome.SERVED:
            self.unverified[call["verdict_code"] or "unknown"] += 1
        elif call["outcome"] == AttemptOutcome.FAILED and call["role"] == AttemptRole.ANSWER:
            self.fallbacks[call["failure"] or "unknown"] += 1

    @property
    def spent_nano(self) -> int | None:
        """Nano-dollars of the calls whose cost is known; None if it is known of none of them."""
        return None if self.attempts and self.unknown_costs == self.attempts else self.cost_nano

    def count_of(self, kind: str) -> int:
        """Tokens of one kind, a field of ``Usage``."""
        return self.tokens[KINDS.index(kind)]
