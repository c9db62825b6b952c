"""What was observed of each model in this process: how long it takes and how much it says.

Latency is kept as an exponentially weighted mean and as a quantile sketch with logarithmic buckets (Masson, Rim and
Lee, "DDSketch", VLDB 2019), which is right to 2 % at any quantile in a few hundred integers.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field

_ALPHA = 0.2
"""Weight of the newest observation in the means: the last ten calls make up nine tenths."""

_GAMMA = 1.04
"""Ratio of neighbouring bucket bounds; the relative error is (gamma - 1) / (gamma + 1), below 2 %."""

_LOG_GAMMA = math.log(_GAMMA)
_SHORTEST_S = 1e-6
_FIRST_BUCKET = math.ceil(math.log(_SHORTEST_S) / _LOG_GAMMA)
_FORGET_AT = 1_000
"""Observations after which all counts are halved, so that old ones fade."""

_ENOUGH = 10
"""Observations from which a quantile says more than the mean."""

QUANTILE = 0.9
"""The share of calls that must be faster than the limit of ``max_latency_s``."""


class QuantileSketch:
    """Counts of positive values in buckets of equal ratio. Not thread-safe by itself.

    Args:
        forget_at: observations after which all counts are halved; ``math.inf`` forgets nothing.
    """

    def __init__(self, *, forget_at: float = _FORGET_AT) -> None:
        self._forget_at = forget_at
        self._counts: dict[int, int] = {}
        self.total = 0

    def add(self, value: float) -> None:
        """Count one value; the smallest that is told apart is a microsecond."""
        bucket = math.ceil(math.log(value) / _LOG_GAMMA) if value > _SHORTEST_S else _FIRST_BUCKET
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.total += 1
        if self.total >= self._forget_at:
            self._counts = {b: n // 2 for b, n in self._counts.items() if n > 1}
            self.total = sum(self._counts.values())

    def quantile(self, q: float) -> float | None:
        """The value below which a share ``q`` (0..1) lies, within 2 %; None before the first value."""
        rank = q * (self.total - 1)
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen > rank:
                return _middle(bucket)
        return None

    @property
    def buckets(self) -> list[tuple[float, int]]:
        """The values that were seen, each within 2 %, and how often; the smallest first."""
        return [(_middle(bucket), count) for bucket, count in sorted(self._counts.items())]


def _middle(bucket: int) -> float:
    return float(2 * _GAMMA**bucket / (_GAMMA + 1))


@dataclass(slots=True)
class _Record:
    """``expected`` is what ``Observations.of`` says: asked for each model of every request, told once a call."""

    mean_s: float
    mean_output: float | None = None
    sketch: QuantileSketch = field(default_factory=QuantileSketch)
    slow_s: float | None = None
    expected: tuple[float | None, int | None] = (None, None)


class Observations:
    """Latency and answer length per model, shared by all threads and event loops of a router."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, _Record] = {}

    def add(self, model: str, seconds: float, output_tokens: int | None) -> None:
        """Note one answered call. Lengths that were only estimated are given as None."""
        with self._lock:
            record = self._records.get(model)
            if record is None:
                record = self._records[model] = _Record(mean_s=seconds)
            record.mean_s += _ALPHA * (seconds - record.mean_s)
            if output_tokens is not None:
                before = float(output_tokens) if record.mean_output is None else record.mean_output
                record.mean_output = before + _ALPHA * (output_tokens - before)
            sketch = record.sketch
            sketch.add(seconds)
            if sketch.total % _ENOUGH == 0 and sketch.total >= _ENOUGH:
                record.slow_s = sketch.quantile(QUANTILE)
            slow_s, output = record.slow_s, record.mean_output
            record.expected = (
                record.mean_s if slow_s is None or slow_s < record.mean_s else slow_s,
                None if output is None else math.ceil(output),
            )

    def of(self, model: str) -> tuple[float | None, int | None]:
        """Seconds and output tokens to expect of an answer; None where nothing was seen yet.

        Of the seconds it is the larger of the mean and the 90 % quantile: a careful guess.
        """
        record = self._records.get(model)
        return (None, None) if record is None else record.expected
