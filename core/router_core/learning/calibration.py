"""Calibration: predicted probabilities made to agree with what was observed, as far as the labels reach.

How many parameters are fitted depends on the number of labels: below 200 only an offset of the log-odds, from 200 a
slope too (J. Platt, "Probabilistic outputs for support vector machines", 1999), from 500 any rising curve (isotonic
regression by pool adjacent violators; Zadrozny and Elkan, KDD 2002) if that foretells held-out labels better than the
two parameters: its steps tie predictions that were different. None of them turns the order of two predictions around.
Pure Python throughout.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal, TypeAlias, get_args

from router_core.errors import ConfigError
from router_core.learning.rows import number_of, shown
from router_core.types import Json

Method: TypeAlias = Literal["offset", "platt", "isotonic"]

PLATT_FROM, ISOTONIC_FROM = 200, 500
"""Labels from which a method has the smaller calibration error, as measured on predictions carried from MMLU to
GSM8K."""

_EDGE = 1e-6
"""Probabilities are kept so far from 0 and 1, so that their log-odds are finite."""
_PRECISION = 1.0
"""Of the normal prior of offset and slope around the identity: it decides where there is next to no label, keeps both
finite where labels are all alike, and is outweighed by a few dozen labels."""
_STEPS = 50
"""Newton's method needs about six."""
_CLOSE = 1e-10
_FOLDS = 5

_Pair: TypeAlias = tuple[float, float]
"""A prediction and its label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A rising map of probabilities to probabilities.

    ``offset`` and ``platt`` are ``sigmoid(slope * logit(p) + offset)``, which without labels is the identity.
    ``isotonic`` joins its ``knots`` (prediction, observed share) by straight lines, and is level beyond them.
    """

    method: Method = "offset"
    slope: float = 1.0
    offset: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()

    def apply(self, p: float) -> float:
        """The calibrated probability of a predicted one (0..1)."""
        if self.method == "isotonic":
            return _between(self.knots, p)
        return _sigmoid(self.slope * _logit(p) + self.offset)

    def to_json(self) -> dict[str, Json]:
        """As it stands in a file."""
        if self.method == "isotonic":
            return {"method": self.method, "knots": [list(knot) for knot in self.knots]}
        return {"method": self.method, "slope": self.slope, "offset": self.offset}

    @classmethod
    def from_json(cls, content: object, where: str = "calibration") -> Calibration:
        """Read what ``to_json`` wrote. ``where`` is how messages name the field.

        Raises:
            ConfigError: it is something else; the message names the field, the value and the remedy.
        """
        if not isinstance(content, Mapping) or content.get("method") not in get_args(Method):
            raise ConfigError(
                f"{where}: {shown(content)} has no method out of {', '.join(get_args(Method))}; train the file anew"
            )
        if content["method"] == "isotonic":
            return cls(method="isotonic", knots=_knots(content.get("knots"), f"{where}.knots"))
        slope, offset = (_number(content.get(name), f"{where}.{name}") for name in ("slope", "offset"))
        if slope < 0:
            raise ConfigError(f"{where}.slope: {slope} turns the order of predictions around; train the file anew")
        return cls(method=content["method"], slope=slope, offset=offset)


def calibrate(scores: Sequence[float], labels: Sequence[float], *, smooth: bool = False) -> Calibration:
    """The calibration that the labels support: see the module.

    Args:
        scores: predicted probabilities, 0..1.
        labels: what was observed, 0 or 1 (or a quality between), one for each score.
        smooth: never isotonic: for predictions of one model that are compared with those of others.
    """
    pairs = sorted((float(score), float(label)) for score, label in zip(scores, labels, strict=True))
    if len(pairs) < PLATT_FROM:
        return Calibration(offset=_fit(_points(pairs), slope_is_free=False)[1])
    if len(pairs) >= ISOTONIC_FROM and not smooth and _error(_rising, pairs) < _error(_sloped, pairs):
        return _rising(pairs)
    return _sloped(pairs)


def _sloped(pairs: Sequence[_Pair]) -> Calibration:
    points = _points(pairs)
    slope, offset = _fit(points, slope_is_free=True)
    if slope <= 0:
        # The predictions tell nothing, or the opposite: all get the observed share.
        slope, offset = _fit([(0.0, label) for _, label in points], slope_is_free=False)
        slope = 0.0
    return Calibration(method="platt", slope=slope, offset=offset)


def _rising(pairs: Sequence[_Pair]) -> Calibration:
    return Calibration(method="isotonic", knots=_isotonic(pairs))


def _error(method: Callable[[Sequence[_Pair]], Calibration], pairs: Sequence[_Pair]) -> float:
    """The squared error on labels that were held out: every fifth of the ordered predictions in turn."""
    error = 0.0
    for fold in range(_FOLDS):
        made = method([pair for at, pair in enumerate(pairs) if at % _FOLDS != fold])
        error += sum((made.apply(score) - label) ** 2 for score, label in pairs[fold::_FOLDS])
    return error


def _points(pairs: Sequence[_Pair]) -> list[_Pair]:
    """Log-odds instead of probabilities."""
    return [(_logit(score), label) for score, label in pairs]


def _fit(points: Sequence[_Pair], *, slope_is_free: bool) -> tuple[float, float]:
    """Slope and offset of the highest posterior density, by Newton's method with steps that are halved while they lead
    uphill."""
    slope, offset = 1.0, 0.0
    loss = _loss(points, slope, offset)
    for _ in range(_STEPS):
        step_slope, step_offset = _newton(points, slope, offset, slope_is_free=slope_is_free)
        reached = _loss(points, slope - step_slope, offset - step_offset)
        while reached > loss and abs(step_slope) + abs(step_offset) > _CLOSE:
            step_slope, step_offset = step_slope / 2, step_offset / 2
            reached = _loss(points, slope - step_slope, offset - step_offset)
        if loss - reached <= _CLOSE:
            break
        slope, offset, loss = slope - step_slope, offset - step_offset, reached
    return slope, offset


def _newton(points: Sequence[_Pair], slope: float, offset: float, *, slope_is_free: bool) -> tuple[float, float]:
    pull_slope, pull_offset = _PRECISION * (slope - 1), _PRECISION * offset
    bend_slope, bend_both, bend_offset = _PRECISION, 0.0, _PRECISION
    for x, label in points:
        p = _sigmoid(slope * x + offset)
        spread = p * (1 - p)
        pull_slope += (p - label) * x
        pull_offset += p - label
        bend_slope += spread * x * x
        bend_both += spread * x
        bend_offset += spread
    if not slope_is_free:
        return 0.0, pull_offset / bend_offset
    determinant = bend_slope * bend_offset - bend_both * bend_both
    return (
        (bend_offset * pull_slope - bend_both * pull_offset) / determinant,
        (bend_slope * pull_offset - bend_both * pull_slope) / determinant,
    )


def _loss(points: Sequence[_Pair], slope: float, offset: float) -> float:
    """The negative logarithm of the posterior density, but for a constant."""
    loss = _PRECISION * ((slope - 1) ** 2 + offset**2) / 2
    for x, label in points:
        z = slope * x + offset
        loss += max(z, 0.0) + math.log1p(math.exp(-abs(z))) - label * z
    return loss


def _isotonic(pairs: Sequence[_Pair]) -> tuple[tuple[float, float], ...]:
    """Mean prediction and mean label of each pooled block, in rising order, by pool adjacent violators."""
    blocks: list[tuple[int, float, float]] = []  # labels, sum of predictions, sum of labels
    for score, tied in groupby(pairs, key=lambda pair: pair[0]):
        found = [label for _, label in tied]
        blocks.append((len(found), score * len(found), sum(found)))
        while len(blocks) > 1 and blocks[-2][2] * blocks[-1][0] >= blocks[-1][2] * blocks[-2][0]:
            last, before = blocks.pop(), blocks.pop()
            blocks.append((last[0] + before[0], last[1] + before[1], last[2] + before[2]))
    # By the rule of succession, so that no answer is held to be certain.
    least = 1 / (len(pairs) + 2)
    return tuple((scores / n, min(max(labels / n, least), 1 - least)) for n, scores, labels in blocks)


def _between(knots: Sequence[_Pair], p: float) -> float:
    place = bisect_right(knots, p, key=lambda knot: knot[0])
    if place == 0:
        return knots[0][1]
    if place == len(knots):
        return knots[-1][1]
    (low, below), (high, above) = knots[place - 1 : place + 1]
    return below + (above - below) * (p - low) / (high - low)


def _logit(p: float) -> float:
    p = min(max(p, _EDGE), 1 - _EDGE)
    return math.log(p / (1 - p))


def _sigmoid(z: float) -> float:
    if z >= 0:
        return 1 / (1 + math.exp(-z))
    power = math.exp(z)
    return power / (1 + power)


def _number(value: object, where: str) -> float:
    found = None if isinstance(value, str) else number_of(value)
    if found is None:
        raise ConfigError(f"{where}: {shown(value)} is no finite number; train the file anew")
    return found


def _knots(content: object, where: str) -> tuple[tuple[float, float], ...]:
    if not isinstance(content, list) or not content:
        raise ConfigError(f"{where}: {shown(content)} is no list of [prediction, share]; train the file anew")
    knots = []
    for i, knot in enumerate(content):
        if not isinstance(knot, list) or len(knot) != 2:  # noqa: PLR2004 - prediction, share
            raise ConfigError(f"{where}[{i}]: {shown(knot)} is no [prediction, share]; train the file anew")
        prediction, share = (_number(value, f"{where}[{i}]") for value in knot)
        if not (0 <= prediction <= 1 and 0 <= share <= 1):
            raise ConfigError(f"{where}[{i}]: {shown(knot)} is not within 0..1; train the file anew")
        knots.append((prediction, share))
    for i, ((low, below), (high, above)) in enumerate(pairwise(knots)):
        if low > high or below > above:
            raise ConfigError(f"{where}[{i + 1}]: {shown(knots[i + 1])} does not rise; train the file anew")
    return tuple(knots)
