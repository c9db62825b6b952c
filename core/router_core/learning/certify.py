"""How a certificate is made: learn, then test. Needs numpy (extra ``learn``).

Learn-then-test (Angelopoulos et al., https://arxiv.org/abs/2110.01052) tests for each threshold the hypothesis that it
breaks the promise. The thresholds are taken in a fixed sequence: from the safest, at which everything goes to the
strong model, towards those that leave more to the weak one, and the first that is not rejected ends it. Each test
then has the whole level, for whatever is certified wrongly, the first threshold that breaks the promise was rejected
before it, and that one is fixed by the requests to come, not by the examples. The sequence is that of all numbers; it
is enough to test where an example changes sides. The tests are those of ``shortfall``: exact where qualities are 0 or
1, betting where they are not.

A promise is checked on the requests that follow, and their mean varies too. So the level is stricter than one minus the
confidence: ``1 - Phi(sqrt(2) Phi^-1(confidence))``, 0.035 for a confidence of 0.9. By the normal approximation the
promise then holds with the confidence on the next requests, as many as there were examples, and with more than that for
the mean of all requests to come, for which the level is exact.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from router_core.errors import ConfigError
from router_core.learning.certificate import Certificate, NeedsMore
from router_core.learning.shortfall import Counts, betting, exact

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

LEAST_SAVED = 0.05
"""A certificate that leaves a smaller share of calls to the weak model is not worth its examples."""
_POWER = 0.8
"""The probability of success for which the number of further examples is estimated."""
_GROWTH = 1.1
"""From one number of examples that is tried to the next. What was there already did not do, whatever it promised."""
_MOST = 1_000_000
"""More examples than that are as good as none."""
_FEW = 20
"""Examples from which the loss at the lowest scores is estimated, at least."""


class Sample(NamedTuple):
    """Calibration examples: ``scores`` of shape (examples,), the higher the more a request needs the strong model;
    ``quality`` (0..1) of shape (examples, 2), of the weak model and of the strong one; ``cost`` in US dollars of the
    same shape, for a request that stays weak and for one that goes to the strong model; None is unknown."""

    scores: Floats
    quality: Floats
    cost: Floats | None = None


class Names(NamedTuple):
    """What a certificate calls the policy and the two models."""

    policy: str = "policy"
    weak: str = "weak"
    strong: str = "strong"


def certify(
    sample: Sample, *, at_least: float = 0.95, confidence: float = 0.9, names: Names | None = None
) -> Certificate | NeedsMore:
    """The threshold that leaves most to the weak model and still keeps the promise: see ``Certificate``.

    Raises:
        ConfigError: ``at_least`` or ``confidence`` is not above 0 and below 1, a score is not finite, or there is none.
    """
    for field, value in (("at_least", at_least), ("confidence", confidence)):
        if not 0 < value < 1:
            raise ConfigError(f"{field}: {value} is not above 0 and below 1; 0.95 and 0.9 are usual")
    if not len(sample.scores) or not np.isfinite(sample.scores).all():
        raise ConfigError("scores: there is none, or not all are finite; give examples, and a policy that scores each")
    order = np.argsort(sample.scores, kind="stable")
    scores, quality = sample.scores[order], sample.quality[order]
    level = _level(confidence)
    weak = _kept_weak(scores, quality, at_least, level)
    if weak < LEAST_SAVED * len(scores):
        return NeedsMore(len(scores), _more(quality, at_least, level))
    policy, weak_name, strong_name = names or Names()
    served = np.append(quality[:weak, 0], quality[weak:, 1])
    cost = None if sample.cost is None else sample.cost[order]
    return Certificate(
        policy=policy,
        weak=weak_name,
        strong=strong_name,
        threshold=float(scores[weak]) if weak < len(scores) else math.nextafter(scores[-1], math.inf),
        at_least=at_least,
        confidence=confidence,
        examples=len(scores),
        quality=float(served.mean()),
        weak_quality=float(quality[:, 0].mean()),
        strong_quality=float(quality[:, 1].mean()),
        strong_share=1 - weak / len(scores),
        cost_usd=None if cost is None else float(np.append(cost[:weak, 0], cost[weak:, 1]).mean()),
        weak_cost_usd=None if cost is None else float(cost[:, 0].mean()),
        strong_cost_usd=None if cost is None else float(cost[:, 1].mean()),
    )


def _level(confidence: float) -> float:
    normal = NormalDist()
    stricter = 1 - normal.cdf(math.sqrt(2) * normal.inv_cdf(confidence))
    return min(stricter, 1 - confidence)


class _Test(Protocol):
    """The test of one threshold after the other."""

    def leave(self, examples: Indices) -> None:
        """Leave these examples to the weak model."""
        ...

    def keeps(self) -> bool:
        """Whether the promise is kept now."""
        ...


class _Exact:
    """Of qualities that are 0 or 1."""

    def __init__(self, quality: Floats, at_least: float, level: float) -> None:
        self._quality, self._at_least, self._level = quality, at_least, level
        self._counts = Counts(0, 0, int(quality[:, 1].sum()))
        self._tested: tuple[Counts, bool] | None = None

    def leave(self, examples: Indices) -> None:
        weak, strong = self._quality[examples].T
        lost, gained = int((strong > weak).sum()), int((weak > strong).sum())
        before = self._counts
        self._counts = Counts(before.lost + lost, before.gained + gained, before.kept - lost)

    def keeps(self) -> bool:
        if self._tested is None or self._tested[0] != self._counts:
            self._tested = (self._counts, exact(self._counts, self._at_least, self._level))
        return self._tested[1]


class _Betting:
    """Of any qualities in 0..1."""

    def __init__(self, quality: Floats, at_least: float, level: float) -> None:
        self._at_least, self._level = at_least, level
        # The bets may be in any order, but for that of the scores.
        shuffled = np.random.default_rng(0).permutation(len(quality))
        self._place = np.argsort(shuffled)
        weak, strong = quality.T
        self._left = at_least * strong - weak
        self._shortfalls = (at_least * strong - strong)[shuffled]

    def leave(self, examples: Indices) -> None:
        self._shortfalls[self._place[examples]] = self._left[examples]

    def keeps(self) -> bool:
        return betting(self._shortfalls, self._at_least, self._level)


def _kept_weak(scores: Floats, quality: Floats, at_least: float, level: float) -> int:
    """How many examples the weak model may keep, of those in the order of their scores."""
    test: _Test = (_Exact if _is_binary(quality) else _Betting)(quality, at_least, level)
    kept = 0
    for end in np.append(np.flatnonzero(np.diff(scores)) + 1, len(scores)):
        test.leave(np.arange(kept, end))
        if not test.keeps():
            break
        kept = int(end)
    return kept


def _is_binary(quality: Floats) -> bool:
    return bool(np.isin(quality, (0.0, 1.0)).all())


def _more(quality: Floats, at_least: float, level: float) -> int | None:
    """How many more examples let the weak model keep ``LEAST_SAVED`` of the calls, if what it loses there is what it
    loses where the score is lowest."""
    count, share = len(quality), LEAST_SAVED
    weak, strong = quality[: max(_FEW, math.ceil(share * count))].T
    left, others = at_least * strong - weak, -(1 - at_least) * quality[:, 1]
    mean = share * float(left.mean()) + (1 - share) * float(others.mean())
    if mean >= 0 or not quality[:, 1].any():
        return None
    unlucky = NormalDist().inv_cdf(_POWER)
    if _is_binary(quality):
        lost, gained = share * float((strong > weak).mean()), share * float((weak > strong).mean())
        right, needed = float(quality[:, 1].mean()), count
        kept = False
        while not kept and needed < _MOST:
            needed = math.ceil(_GROWTH * needed)
            bad = math.ceil(needed * lost + unlucky * math.sqrt(needed * (lost + gained)))
            good = max(int(needed * right) - bad, 0)
            kept = exact(Counts(bad, int(needed * gained), good), at_least, level)
    else:
        square = share * float((left**2).mean()) + (1 - share) * float((others**2).mean())
        reach = math.sqrt(2 * math.log(1 / level)) + unlucky
        needed = math.ceil(max((reach / mean) ** 2 * (square - mean**2), math.log(1 / level) / -mean, _GROWTH * count))
    return needed - count if needed < _MOST else None
