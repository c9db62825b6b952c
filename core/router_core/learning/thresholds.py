"""Thresholds that keep to a share of strong calls or to a budget per call, whatever the traffic, for each call site.

A threshold of a score does not travel: what sends 30 % of one task to the strong model may send 8 % of another. So a
score is turned into its rank among the latest scores of the same call site, and the threshold is one of ranks. It is
moved with what was spent too much so far (a Robbins-Monro step; for the quantile of any sequence: Gibbs and Candes,
https://arxiv.org/abs/2106.00170): the more, the higher. The sum of what is spent too much is bounded by that, so the
share after ``n`` calls is within ``(1 / STEP + 1) / n`` of the wanted one for every sequence of scores, ties and drift
included: a promise that a quantile of a window alone does not give. Pure Python, a few microseconds for each call.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict, deque
from threading import Lock
from typing import NamedTuple

STEP = 0.1
"""How far one strong call too many moves the threshold, in ranks: 300 calls are then within 3.7 % of any wanted share,
and the threshold wavers by 0.1 in mean."""
WINDOW = 500
"""Scores that are remembered for each call site: a rank among them is right to 0.02."""
SITES = 1000
"""Call sites that are remembered: the one that was not used for the longest time goes first."""


class Place(NamedTuple):
    """Where a request stands: whether it goes to the ``strong`` model, the ``rank`` (0..1) of its score among the
    latest of its call site, the rank from which requests are strong (``threshold``), and how many came before it."""

    strong: bool
    rank: float
    threshold: float
    calls: int


class Thresholds:
    """The threshold of each call site. Thread-safe.

    Args:
        target: what one call may cost in mean, in any unit; a share of strong calls where the weak model costs 0 and
            the strong one 1.
    """

    def __init__(self, target: float) -> None:
        self._target = target
        self._sites: OrderedDict[str | None, _Site] = OrderedDict()
        self._lock = Lock()

    def place(self, site: str | None, score: float | None, *, weak: float = 0.0, strong: float = 1.0) -> Place:
        """Decide about one call and take it into account.

        Args:
            site: the call site.
            score: the higher, the more the request needs the strong model; None if nothing is known of it.
            weak: what the call costs with the weak model.
            strong: what it costs with the strong one.
        """
        with self._lock:
            found = self._sites.pop(site, None) or _Site()
            self._sites[site] = found
            if len(self._sites) > SITES:
                self._sites.popitem(last=False)
            return found.place(score, weak, strong, self._target)


class _Site:
    """What is remembered of one call site."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque()
        self._ranked: list[float] = []
        self._calls = 0
        self._weak = self._gap = 0.0
        self._surplus = 0.0

    def place(self, score: float | None, weak: float, strong: float, target: float) -> Place:
        calls = self._calls
        self._calls += 1
        # The mean of all calls at first, of about the latest WINDOW later.
        rate = 1 / min(self._calls, WINDOW)
        self._weak += rate * (weak - self._weak)
        self._gap += rate * (strong - weak - self._gap)
        rank = 0.5 if score is None or not math.isfinite(score) else self._rank(score)
        if self._gap <= 0:
            # The strong model costs no more than the weak one.
            return Place(strong=True, rank=rank, threshold=0.0, calls=calls)
        share = min(max((target - self._weak) / self._gap, 0.0), 1.0)
        threshold = 1 - share + STEP * self._surplus
        is_strong = rank >= threshold
        surplus = self._surplus + ((strong if is_strong else weak) - target) / self._gap
        # A share never comes that far; a budget that is too small or too large for any routing would, and not return.
        self._surplus = min(max(surplus, -1 / STEP - 1), 1 / STEP + 1)
        return Place(is_strong, rank, threshold, calls)

    def _rank(self, score: float) -> float:
        """The rank among the latest scores, this one included; equal ones share theirs."""
        below, not_above = bisect_left(self._ranked, score), bisect_right(self._ranked, score)
        rank = (below + not_above + 1) / (2 * len(self._ranked) + 2)
        insort(self._ranked, score)
        self._latest.append(score)
        if len(self._latest) > WINDOW:
            del self._ranked[bisect_left(self._ranked, self._latest.popleft())]
        return rank
