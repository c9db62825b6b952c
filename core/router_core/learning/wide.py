"""Logistic regression on features of which most are 0, as hashed words are. Needs numpy (extra ``learn``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from router_core.learning.fit import Floats, log_loss, sigmoid

Integers = npt.NDArray[np.int64]

RARE = 2
"""Buckets that occur in fewer texts are left out: they tell one text apart and nothing else."""

_STEPS, _MEMORY = 60, 8
_TOLERANCE = 1e-5
_SHORTEST = 1e-6


class Bags(NamedTuple):
    """Sets of buckets, one for each text: ``buckets`` of all of them, one after the other, and each one's ``size``."""

    buckets: Integers
    sizes: Integers

    @classmethod
    def of(cls, sets: Sequence[Sequence[int]]) -> Bags:
        """The bags of these sets."""
        flat = [bucket for one in sets for bucket in one]
        return cls(np.array(flat, dtype=np.int64), np.array([len(one) for one in sets], dtype=np.int64))

    def take(self, rows: npt.NDArray[np.intp]) -> Bags:
        """Those of some texts."""
        sizes = self.sizes[rows]
        starts = (np.cumsum(self.sizes) - self.sizes)[rows]
        places = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
        return Bags(self.buckets[places], sizes)


class Vocabulary(NamedTuple):
    """The buckets that count, and the weight of each: the rarer, the more it tells (inverse document frequency)."""

    buckets: Integers
    weights: Floats

    @classmethod
    def of(cls, bags: Bags) -> Vocabulary:
        """Of the texts that are trained on."""
        buckets, texts = np.unique(bags.buckets, return_counts=True)
        kept = texts >= RARE
        weights = np.log((len(bags.sizes) + 1) / texts[kept]) / 3
        return cls(buckets[kept], weights)


NO_WORDS = Vocabulary(np.zeros(0, dtype=np.int64), np.zeros(0))
"""No bucket counts."""


class Wide:
    """The matrix of bags: shape (texts, buckets of the vocabulary), each row of length 1 before the weights."""

    def __init__(self, bags: Bags, vocabulary: Vocabulary) -> None:
        rows = np.repeat(np.arange(len(bags.sizes)), bags.sizes)
        places = np.searchsorted(vocabulary.buckets, bags.buckets)
        known = np.zeros(len(places), dtype=bool)
        inside = places < len(vocabulary.buckets)
        known[inside] = vocabulary.buckets[places[inside]] == bags.buckets[inside]
        rows, columns = rows[known], places[known]
        order = np.argsort(columns, kind="stable")
        self._columns, self._by_row = columns, _Sums(rows, len(bags.sizes))
        self._rows, self._by_column = rows[order], _Sums(columns[order], len(vocabulary.buckets))
        self._weights = vocabulary.weights
        self._length = 1 / np.sqrt(np.maximum(bags.sizes, 1))
        self.columns = len(vocabulary.buckets)

    def times(self, vector: Floats) -> Floats:
        """The product with a vector of shape (buckets,)."""
        return self._by_row.of((vector * self._weights)[self._columns]) * self._length

    def transposed_times(self, vector: Floats) -> Floats:
        """The product of the transpose with a vector of shape (texts,)."""
        return self._by_column.of((vector * self._length)[self._rows]) * self._weights


class _Sums:
    """Sums of values by the place that each belongs to; places are in ascending order."""

    def __init__(self, places: npt.NDArray[np.intp], size: int) -> None:
        self._starts = np.flatnonzero(np.diff(places, prepend=-1))
        self._filled = places[self._starts]
        self._size = size

    def of(self, values: Floats) -> Floats:
        """Shape (size,); 0 at a place without values."""
        found = np.zeros(self._size)
        if len(values):
            found[self._filled] = np.add.reduceat(values, self._starts)
        return found


class Penalty(NamedTuple):
    """Strengths of the L2 penalties: of the dense features, and of the buckets."""

    dense: float
    wide: float


class Weights(NamedTuple):
    """Coefficients of the dense features and of the buckets of the vocabulary, and the intercept."""

    dense: Floats
    wide: Floats
    intercept: float


def fit_wide(dense: Floats, wide: Wide, y: Floats, penalty: Penalty, *, offset: Floats) -> Weights:
    """Logistic regression on dense features and bags together, by L-BFGS (J. Nocedal, 1980).

    Args:
        dense: standardised features, shape (texts, features).
        wide: the bags of the same texts.
        y: labels 0..1, shape (texts,).
        penalty: strengths of the penalties; the intercept bears none.
        offset: what is added to the logit of each text, shape (texts,).
    """
    features = dense.shape[1]
    strengths = np.concatenate(
        [np.full(features, float(penalty.dense)), np.full(wide.columns, float(penalty.wide)), [0.0]]
    )

    def loss_at(point: Floats) -> tuple[float, Floats]:
        logits = dense @ point[:features] + wide.times(point[features:-1]) + point[-1] + offset
        loss = log_loss(logits, y).sum() + 0.5 * strengths @ point**2
        rest = sigmoid(logits) - y
        slopes = np.concatenate([rest @ dense, wide.transposed_times(rest), [rest.sum()]])
        return float(loss), slopes + strengths * point

    start = np.zeros(len(strengths))
    share = (y.sum() + 0.5) / (len(y) + 1)
    start[-1] = np.log(share / (1 - share)) - offset.mean()
    if np.ptp(y) == 0:
        return Weights(start[:features], start[features:-1], float(start[-1]))
    point = _minimum(loss_at, start)
    return Weights(point[:features], point[features:-1], float(point[-1]))


def _minimum(loss_at: Callable[[Floats], tuple[float, Floats]], start: Floats) -> Floats:
    point = start
    loss, slope = loss_at(point)
    moves: list[tuple[Floats, Floats]] = []
    for _ in range(_STEPS):
        direction = -_scaled(slope, moves)
        descent = float(slope @ direction)
        length = 1.0
        while True:
            reached, new_slope = loss_at(point + length * direction)
            if reached <= loss + 1e-4 * length * descent or length < _SHORTEST:
                break
            length /= 2
        if loss - reached <= _TOLERANCE * abs(loss):
            break
        move, change = length * direction, new_slope - slope
        point, loss, slope = point + move, reached, new_slope
        if move @ change > 0:
            moves = [*moves[1 - _MEMORY :], (move, change)]
    return point


def _scaled(slope: Floats, moves: Sequence[tuple[Floats, Floats]]) -> Floats:
    """The slope times what the last moves tell of the inverse of the Hessian: the two-loop recursion."""
    scaled = slope.copy()
    shares = []
    for move, change in reversed(moves):
        share = float(move @ scaled) / float(change @ move)
        scaled -= share * change
        shares.append(share)
    if moves:
        move, change = moves[-1]
        scaled *= float(move @ change) / float(change @ change)
    else:
        scaled /= max(1.0, float(np.linalg.norm(slope)))
    for (move, change), share in zip(moves, reversed(shares), strict=True):
        scaled += move * (share - float(change @ scaled) / float(change @ move))
    return scaled
