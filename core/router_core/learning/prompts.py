"""The examples as arrays, and linear heads fitted to them: what ``train`` chooses between. Needs numpy (extra
``learn``)."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from router_core.errors import ConfigError
from router_core.features import deciding_turn
from router_core.learning.calibration import Calibration
from router_core.learning.examples import Example
from router_core.learning.fit import Floats
from router_core.learning.heads import CLIP, STEPS, Head, Heads, Words
from router_core.learning.text import BUCKETS, NAMES, read
from router_core.learning.wide import NO_WORDS, Bags, Penalty, Vocabulary, Wide, fit_wide
from router_core.types import Json

PSEUDO_COUNTS = 20
"""So many examples of ordinary quality are added to what was seen at a call site."""
_EDGE = 0.01

Rows = npt.NDArray[np.intp]


class Part(NamedTuple):
    """A linear model of some of what is read: the hand-made features of these places, their products, the words, the
    embedding."""

    features: tuple[int, ...] = tuple(range(len(NAMES)))
    products: bool = False
    words: bool = False
    vectors: bool = False
    penalty: Penalty = Penalty(300.0, 2.0)


class Recipe(NamedTuple):
    """What a head is made of: the mean of linear models, which is one too, and less at the mercy of what one of them
    reads and of its penalty. Without any, nothing of the text counts."""

    name: str
    parts: tuple[Part, ...]


PRIOR = Recipe("no text", ())
LENGTH = Recipe("length", (Part(tuple(NAMES.index(name) for name in ("words", "characters"))),))
HAND = Recipe("hand-made features", (Part(),))
CAUTIOUS = Recipe("hand-made features, cautiously", (Part(penalty=Penalty(3000.0, 6.0)),))
"""For many models, of which one whose prediction is too high by chance would be picked too often."""
WORDS = Recipe("features and words", (Part(), Part(words=True)))
PRODUCTS = Part(products=True, penalty=Penalty(3000.0, 2.0))
"""What two features together tell: that a long question has options, say, or that one with many numbers has no code."""
JOINT = Recipe("features, words and products", (Part(words=True), PRODUCTS))
VECTORS = Recipe(
    "features, words and embedding",
    (Part(), Part(words=True, penalty=Penalty(300.0, 6.0)), Part(vectors=True)),
)
TOPICS = Recipe(
    "words, embedding and products",
    (Part(words=True), Part(words=True, vectors=True, penalty=Penalty(3000.0, 3.0)), PRODUCTS),
)
"""Parts and penalties were chosen on MMLU and GSM8K, where half or twice a penalty changes the APGR by about 0.005.
``TOPICS`` is for traffic of many topics, which words and embedding tell. Products want more examples than there are of
GSM8K."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """What was read in the prompts: ``hand`` of shape (prompts, features), ``vectors`` of shape (prompts, numbers) or
    with no columns, ``sites`` the call sites and ``groups`` what a split must not part, as numbers."""

    hand: Floats
    bags: Bags
    vectors: Floats
    sites: tuple[str | None, ...]
    groups: npt.NDArray[np.intp]

    @classmethod
    def of(cls, examples: Sequence[Example], embedding: Callable[[str], Sequence[float]] | None = None) -> Prompts:
        """Read the prompts of examples.

        Raises:
            ConfigError: the embedding is not of one length.
        """
        texts = [deciding_turn(example.request.user_texts) for example in examples]
        readings = list(map(read, texts))
        vectors = [list(embedding(text)) for text in texts] if embedding else [[] for _ in texts]
        if len({len(vector) for vector in vectors}) > 1:
            raise ConfigError("embedding: it gives vectors of several lengths; give one that has a fixed length")
        # Prompts without a group stand for themselves; the same text twice is one.
        names = [f"group {example.group}" if example.group else f"text {example.text}" for example in examples]
        places = {name: place for place, name in enumerate(dict.fromkeys(names))}
        return cls(
            hand=np.array([reading.hand for reading in readings]),
            bags=Bags.of([sorted(reading.buckets) for reading in readings]),
            vectors=np.array(vectors, dtype=np.float64).reshape(len(examples), -1),
            sites=tuple(example.call_site for example in examples),
            groups=np.array([places[name] for name in names]),
        )

    def take(self, rows: Rows) -> Prompts:
        """Some of them."""
        return Prompts(
            self.hand[rows],
            self.bags.take(rows),
            self.vectors[rows],
            tuple(self.sites[row] for row in rows),
            self.groups[rows],
        )

    def __len__(self) -> int:
        return len(self.hand)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Heads of all models as arrays: abilities and centres of shape (models,), weights of shape (inputs, models)."""

    recipe: Recipe
    ability: Floats
    centre: Floats
    sites: Mapping[str, Floats]
    mean: Floats
    deviation: Floats
    hand: Floats
    products: Floats
    vocabulary: Vocabulary
    words: Floats
    vectors: Floats

    @property
    def says_the_same(self) -> bool:
        """Whether all requests get the same prediction: neither the text nor the call site counts."""
        return not self.recipe.parts and not self.sites

    def logits(self, prompts: Prompts) -> Floats:
        """The logits of P(answers well) before calibration: shape (prompts, models)."""
        base = np.array(
            [self.ability if site is None else self.sites.get(site, self.ability) for site in prompts.sites]
        )
        found = base - self.centre
        if self.recipe.parts:
            scaled = standard(prompts.hand, self.mean, self.deviation)
            found = found + scaled @ self.hand
            if len(self.products):
                found = found + products(scaled) @ self.products
        if len(self.words):
            wide = Wide(prompts.bags, self.vocabulary)
            found = found + np.column_stack([wide.times(column) for column in self.words.T])
        if len(self.vectors):
            found = found + prompts.vectors @ self.vectors
        return np.asarray(found)

    def heads(self, models: Sequence[str], calibrations: Sequence[Calibration], trained: Mapping[str, Json]) -> Heads:
        """As the router uses them: plain numbers, weakest model first."""
        reads = bool(self.recipe.parts)
        made = [
            Head(
                model=model,
                ability=float(self.ability[at]),
                centre=float(self.centre[at]),
                hand=tuple(self.hand[:, at].tolist()) if reads else (),
                products=tuple(self.products[:, at].tolist()) if len(self.products) else (),
                words=_words(self.vocabulary, self.words[:, at]) if len(self.words) else None,
                embedding=tuple(self.vectors[:, at].tolist()) if len(self.vectors) else (),
                calibration=calibrations[at],
            )
            for at, model in enumerate(models)
        ]
        order = sorted(range(len(made)), key=lambda at: made[at].ability)
        return Heads(
            heads=tuple(made[at] for at in order),
            mean=tuple(self.mean.tolist()) if reads else (),
            deviation=tuple(self.deviation.tolist()) if reads else (),
            sites={site: tuple(logits[order].tolist()) for site, logits in self.sites.items()},
            trained=trained,
        )


def fit(prompts: Prompts, quality: Floats, recipe: Recipe) -> Fitted:
    """Fit one head for each model.

    Args:
        prompts: what is trained on.
        quality: shape (prompts, models), 0..1.
        recipe: what the heads are made of.
    """
    mean, deviation = prompts.hand.mean(axis=0), prompts.hand.std(axis=0)
    deviation[deviation < 1e-9] = 1.0  # noqa: PLR2004 - a feature that is the same everywhere
    share = _kept(quality.mean(axis=0))
    table, offsets = _sites(prompts.sites, quality, share)
    columns = _Columns(prompts, standard(prompts.hand, mean, deviation), recipe)
    models = quality.shape[1]
    centre, dense = np.zeros(models), np.zeros((columns.dense.shape[1], models))
    words = np.zeros((len(columns.vocabulary.buckets), models))
    for part in recipe.parts:
        used = columns.of(part)
        wide = Wide(prompts.bags, columns.vocabulary if part.words else NO_WORDS)
        for at in range(models):
            one = fit_wide(columns.dense[:, used], wide, quality[:, at], part.penalty, offset=offsets[:, at])
            centre[at] -= one.intercept / len(recipe.parts)
            dense[used, at] += one.dense / len(recipe.parts)
            if part.words:
                words[:, at] += one.wide / len(recipe.parts)
    hand, crossed, vectors = columns.split(dense)
    return Fitted(
        recipe=recipe,
        ability=np.log(share / (1 - share)),
        centre=centre,
        sites=table,
        mean=mean,
        deviation=deviation,
        hand=hand,
        products=crossed,
        vocabulary=columns.vocabulary,
        words=words,
        vectors=vectors * columns.size,
    )


class _Columns:
    """What the parts of a recipe are fitted to: the hand-made features, their products and the embedding, side by side
    as ``dense`` as far as any part reads them, and the vocabulary."""

    def __init__(self, prompts: Prompts, scaled: Floats, recipe: Recipe) -> None:
        def read(kind: str, found: Floats) -> Floats:
            return found if any(getattr(part, kind) for part in recipe.parts) else found[:, :0]

        crossed, vectors = read("products", products(scaled)), read("vectors", prompts.vectors)
        # Vectors of length 1 get numbers of about the size of a standardised feature.
        self.size = math.sqrt(vectors.shape[1])
        self.dense = np.hstack([scaled, crossed, vectors * self.size])
        self.vocabulary = Vocabulary.of(prompts.bags) if any(part.words for part in recipe.parts) else NO_WORDS
        self._ends = scaled.shape[1], scaled.shape[1] + crossed.shape[1]

    def of(self, part: Part) -> list[int]:
        """The columns that a part reads."""
        first, second = self._ends
        crossed = range(first, second) if part.products else ()
        vectors = range(second, self.dense.shape[1]) if part.vectors else ()
        return [*part.features, *crossed, *vectors]

    def split(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """The weights of the features, of the products and of the embedding."""
        first, second = self._ends
        return weights[:first], weights[first:second], weights[second:]


def products(scaled: Floats) -> Floats:
    """The products of any two different features, in the order of ``itertools.combinations``."""
    one, other = np.triu_indices(scaled.shape[1], 1)
    return np.asarray(scaled[:, one] * scaled[:, other])


def standard(hand: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Hand-made features on one scale."""
    return np.clip((hand - mean) / deviation, -CLIP, CLIP)


def _sites(sites: Sequence[str | None], quality: Floats, share: Floats) -> tuple[dict[str, Floats], Floats]:
    """The logits of each call site, and those of each example as they are without it: shape (prompts, models)."""
    rows: defaultdict[str | None, list[int]] = defaultdict(list)
    for row, site in enumerate(sites):
        rows[site].append(row)
    offsets = np.tile(np.log(share / (1 - share)), (len(sites), 1))
    table: dict[str, Floats] = {}
    if len(rows) > 1:
        for site, those in rows.items():
            if site is not None:
                seen = quality[those]
                total = seen.sum(axis=0) + PSEUDO_COUNTS * share
                table[site] = _logits(total / (len(those) + PSEUDO_COUNTS))
                offsets[those] = _logits((total - seen) / (len(those) - 1 + PSEUDO_COUNTS))
    return table, offsets


def _kept(shares: Floats) -> Floats:
    return np.clip(shares, _EDGE, 1 - _EDGE)


def _logits(shares: Floats) -> Floats:
    kept = _kept(shares)
    return np.asarray(np.log(kept / (1 - kept)))


def _words(vocabulary: Vocabulary, weights: Floats) -> Words:
    values = weights * vocabulary.weights
    factor = float(np.abs(values).max(initial=0.0)) / STEPS or 1.0
    steps = np.zeros(BUCKETS, dtype=np.int8)
    steps[vocabulary.buckets] = np.rint(values / factor).astype(np.int8)
    return Words(factor, array("b", steps.tobytes()))
