"""What ``LearnedPolicy`` knows: for each model a head that predicts P(answers well) from what was read in the prompt.

``logit P = base + text``. ``base`` is the model's ability, or what was seen of it at the call site where that is known;
``text`` is linear in the hand-made features, their products, the hashed words and, if there is one, the embedding. Pure
Python; made by ``train``, kept in a file of kind "policy".
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, starmap
from operator import mul
from pathlib import Path
from typing import Any, NamedTuple

from router_core.errors import ConfigError
from router_core.learning import weights_file
from router_core.learning.calibration import Calibration
from router_core.learning.rows import number_of, shown
from router_core.learning.text import BUCKETS, NAMES, Reading, scale
from router_core.types import Json

KIND = "policy"
CLIP = 4.0
"""Standardised features are kept within so many standard deviations."""
STEPS = 127
"""Weights of buckets are whole numbers of at most this size, times one factor for each head."""
_REMEDY = "train the file anew"


class Words(NamedTuple):
    """The weights of buckets for one head: whole numbers, one for each bucket there can be, times ``factor``."""

    factor: float
    steps: array[int]

    def of(self, reading: Reading) -> float:
        """What they add to the logit."""
        return self.factor * scale(reading) * sum(map(self.steps.__getitem__, reading.buckets))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One model.

    ``ability`` is the logit of its mean quality on the examples, ``centre`` what is taken off its text part so that an
    ordinary prompt adds nothing. ``hand`` are the weights of the standardised hand-made features, ``products`` those of
    the products of any two of them (in the order of ``itertools.combinations``) and ``embedding`` those of an
    embedding's numbers; each is empty, and ``words`` None, where it was not trained.
    """

    model: str
    ability: float
    centre: float = 0.0
    hand: tuple[float, ...] = ()
    products: tuple[float, ...] = ()
    words: Words | None = None
    embedding: tuple[float, ...] = ()
    calibration: Calibration = field(default_factory=Calibration)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """The heads of all models that were trained on, weakest first.

    ``mean`` and ``deviation`` bring the hand-made features to one scale. ``sites`` maps a call site to the logits of
    what was seen there of each model, in the order of ``heads``. ``trained`` tells of the training, for people, with a
    ``sketch`` of its texts.
    """

    heads: tuple[Head, ...]
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    sites: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    trained: Mapping[str, Json] = field(default_factory=dict)

    @property
    def embedding_size(self) -> int:
        """How many numbers the embedding has that is needed; 0 without one."""
        return len(self.heads[0].embedding)

    def standard(self, hand: Sequence[float]) -> list[float]:
        """Hand-made features on one scale."""
        return [
            min(CLIP, max(-CLIP, (value - mean) / deviation))
            for value, mean, deviation in zip(hand, self.mean, self.deviation, strict=False)
        ]

    def texts(self, reading: Reading, standard: Sequence[float], embedding: Sequence[float]) -> list[float]:
        """What the text adds to the logit of each head."""
        found = []
        crossed = _products(standard) if self.heads[0].products else ()
        for head in self.heads:
            text = _dot(head.hand, standard) + _dot(head.products, crossed) - head.centre
            if head.words is not None:
                text += head.words.of(reading)
            if head.embedding:
                text += _dot(head.embedding, embedding)
            found.append(text)
        return found

    def write(self, path: Path) -> None:
        """Write them to a file, whole or not at all.

        Raises:
            ConfigError: the file cannot be written.
        """
        content: dict[str, Any] = {
            "trained": dict(self.trained),
            "features": list(NAMES) if self.mean else [],
            "mean": _rounded(self.mean),
            "deviation": _rounded(self.deviation),
            "sites": {site: _rounded(logits) for site, logits in self.sites.items()},
        }
        buckets = sorted({at for head in self.heads if head.words for at, step in enumerate(head.words.steps) if step})
        content["buckets"] = buckets
        content["heads"] = [_told(head, buckets) for head in self.heads]
        weights_file.write(path, KIND, content)

    @classmethod
    def read(cls, path: Path) -> Heads:
        """Read them from a file.

        Raises:
            ConfigError: the file cannot be read, or is no policy; names the field, the value and the remedy.
        """
        return _Reader(path).heads()


def sigmoid(logit: float) -> float:
    """The probability of a logit."""
    return 0.5 * (1.0 + math.tanh(0.5 * logit))


def logit(p: float, edge: float = 1e-3) -> float:
    """The logit of a probability that is kept ``edge`` away from 0 and 1."""
    p = min(max(p, edge), 1 - edge)
    return math.log(p / (1 - p))


def _products(standard: Sequence[float]) -> list[float]:
    """The products of any two different features, in the order of ``itertools.combinations``."""
    return list(starmap(mul, combinations(standard, 2)))


def _dot(weights: Sequence[float], values: Sequence[float]) -> float:
    total: float = sum(map(mul, weights, values))
    return total


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _told(head: Head, buckets: Sequence[int]) -> dict[str, Json]:
    told: dict[str, Json] = {
        "model": head.model,
        "ability": round(head.ability, 6),
        "centre": round(head.centre, 6),
        "calibration": head.calibration.to_json(),
        "hand": _rounded(head.hand),
        "products": _rounded(head.products),
        "embedding": _rounded(head.embedding),
    }
    if head.words is not None:
        told["factor"] = float(f"{head.words.factor:.6g}")
        told["steps"] = [head.words.steps[bucket] for bucket in buckets]
    return told


class _Reader:
    """Reads a file with care: every list has its length, every number is one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = weights_file.read(path, KIND)

    def heads(self) -> Heads:
        told = self._list(self._content, "heads")
        features = self._list(self._content, "features")
        if features not in ([], list(NAMES)):
            raise ConfigError(
                f"{self._path}: features: {shown(features)} are not those that this router reads; {_REMEDY}"
            )
        buckets = [self._whole(bucket, "buckets", 0, BUCKETS - 1) for bucket in self._list(self._content, "buckets")]
        heads = tuple(self._head(one, f"heads[{at}]", len(features), buckets) for at, one in enumerate(told))
        if not heads or len({len(head.embedding) for head in heads}) > 1:
            raise self._wrong("heads", len(heads), "is no list of heads with one size of embedding")
        names = [head.model for head in heads]
        if len(set(names)) < len(names):
            raise self._wrong("heads", names, "names a model twice")
        deviation = self._numbers(self._content, "deviation", len(features))
        if any(value <= 0 for value in deviation):
            raise self._wrong("deviation", deviation, "is not above 0")
        sites, trained = self._content.get("sites"), self._content.get("trained")
        if not isinstance(sites, dict) or not isinstance(trained, dict):
            raise self._wrong("sites", sites, "is no object, or trained is none")
        return Heads(
            heads=heads,
            mean=self._numbers(self._content, "mean", len(features)),
            deviation=deviation,
            sites={site: self._numbers(sites, site, len(heads), "sites") for site in sites},
            trained=trained,
        )

    def _head(self, told: object, where: str, features: int, buckets: Sequence[int]) -> Head:
        if not isinstance(told, dict) or not isinstance(told.get("model"), str) or not told["model"]:
            raise self._wrong(where, told, "names no model")
        words = None
        if "steps" in told:
            steps = self._list(told, "steps", where)
            if len(steps) != len(buckets):
                raise self._wrong(f"{where}.steps", len(steps), f"is not one for each of {len(buckets)} buckets")
            weights = array("b", bytes(BUCKETS))
            for bucket, step in zip(buckets, steps, strict=True):
                weights[bucket] = self._whole(step, f"{where}.steps", -STEPS, STEPS)
            words = Words(self._number(told, "factor", where), weights)
        hand = self._list(told, "hand", where)
        if hand and len(hand) != features:
            raise self._wrong(f"{where}.hand", len(hand), f"is not one weight for each of {features} features")
        products, pairs = self._list(told, "products", where), math.comb(features, 2)
        if products and len(products) != pairs:
            raise self._wrong(f"{where}.products", len(products), f"is not one weight for each of {pairs} pairs")
        return Head(
            model=told["model"],
            ability=self._number(told, "ability", where),
            centre=self._number(told, "centre", where),
            hand=self._numbers(told, "hand", len(hand), where),
            products=self._numbers(told, "products", len(products), where),
            words=words,
            embedding=self._numbers(told, "embedding", len(self._list(told, "embedding", where)), where),
            calibration=Calibration.from_json(told.get("calibration"), f"{self._path}: {where}.calibration"),
        )

    def _list(self, told: Mapping[str, Any], name: str, where: str = "") -> list[Any]:
        value = told.get(name)
        if not isinstance(value, list):
            raise self._wrong(f"{where}.{name}".lstrip("."), value, "is no list")
        return value

    def _numbers(self, told: Mapping[str, Any], name: str, size: int, where: str = "") -> tuple[float, ...]:
        values = self._list(told, name, where)
        if len(values) != size:
            raise self._wrong(f"{where}.{name}".lstrip("."), len(values), f"is not {size} numbers")
        return tuple(self._number({name: value}, name, where) for value in values)

    def _number(self, told: Mapping[str, Any], name: str, where: str) -> float:
        value = told.get(name)
        number = None if isinstance(value, str) else number_of(value)
        if number is None:
            raise self._wrong(f"{where}.{name}".lstrip("."), value, "is no finite number")
        return number

    def _whole(self, value: object, where: str, least: int, most: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._wrong(where, value, f"is no whole number from {least} to {most}")
        return value

    def _wrong(self, where: str, value: object, why: str) -> ConfigError:
        return ConfigError(f"{self._path}: {where}: {shown(value)} {why}; {_REMEDY}")
