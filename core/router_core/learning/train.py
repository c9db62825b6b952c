"""Training of ``LearnedPolicy``: from examples to a file of heads, with what speaks for it. Needs numpy (extra
``learn``).

How much is learned depends on how many examples there are: below 100 only how good each model is (at each call site, if
they are told), from 100 the hand-made features, from 500 the words and an embedding too, from 1,000 what two features
tell together; of more than two models never more than the features. Cross-validation over groups chooses between these
and the length of the prompt, for a model that learns more is not always the better one. What this procedure yields is
measured on examples that were held out from all of it: each fold of an outer cross-validation in turn, or where there
are many examples the first one only. At last it is run on all examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from router_core.errors import ConfigError
from router_core.learning.bench import Bench
from router_core.learning.calibration import Calibration, calibrate
from router_core.learning.evaluation import Contender, Measure, measure
from router_core.learning.fit import Floats, sigmoid
from router_core.learning.frontier import by_quality
from router_core.learning.heads import Heads
from router_core.learning.metrics import aiq, curve
from router_core.learning.prompts import (
    CAUTIOUS,
    HAND,
    JOINT,
    LENGTH,
    PRIOR,
    TOPICS,
    VECTORS,
    WORDS,
    Fitted,
    Prompts,
    Recipe,
    Rows,
    fit,
)
from router_core.learning.sketch import sketch
from router_core.types import Json

HAND_FROM, WORDS_FROM = 100, 500
"""Examples from which the hand-made features, and the words and an embedding, are of use on MMLU and GSM8K."""
PRODUCTS_FROM = 1000
"""Examples from which products of features are of use, on MMLU and GSM8K."""
LEAST_EXAMPLES = 20
"""Fewer cannot be split into a part to learn from and one to measure on."""
ONE_PART_FROM = 3000
"""Examples from which one outer fold is enough to measure on."""

MOST_COMPARED = 2000
"""Examples that recipes are compared on and models calibrated on; more would change neither, and take longer."""

_BY_CHANCE = 0.01
"""What the APGR of two recipes differs by on ``MOST_COMPARED`` examples without one being better."""
_FOLDS = 5
_OUTER_FOLDS = 3
_SURE = 0.84
"""Standard errors that a gain must be above 0, so that it is real with 80 %."""
_IN_INTERVAL = 3.92
"""Standard errors in a 95 % interval."""

Embedding = Callable[[str], Sequence[float]]


class Evidence(NamedTuple):
    """What was measured on the part that was held out.

    ``measure`` is "apgr" for two models and "aiq" for more; ``value`` is that of the policy, ``base`` that of single
    models and their mixtures, at equal cost, ``low`` and ``high`` the 95 % interval of the gain.
    """

    measure: str
    examples: int
    value: float
    base: float
    low: float
    high: float

    @property
    def better(self) -> bool:
        """Whether the policy is better than single models at equal cost: with 80 %, or more."""
        gain = self.value - self.base
        return gain > _SURE * (self.high - self.low) / _IN_INTERVAL

    def __str__(self) -> str:
        return (
            f"{self.measure.upper()} {self.value:.3f} against {self.base:.3f} of single models at equal cost, on "
            f"{self.examples} held-out examples (gain {self.value - self.base:+.3f}, 95 % interval {self.low:+.3f} to "
            f"{self.high:+.3f})"
        )


@dataclass(frozen=True, slots=True)
class TrainedPolicy:
    """Heads, what they are made of, and what speaks for them. ``compared`` are the recipes and their cross-validated
    values."""

    heads: Heads
    recipe: Recipe
    evidence: Evidence
    compared: tuple[tuple[Recipe, float], ...]

    def write(self, path: Path) -> None:
        """Write the file of the policy.

        Raises:
            ConfigError: it is not better than single models at equal cost, which the message shows, or the file cannot
                be written.
        """
        if not self.evidence.better:
            raise ConfigError(
                f"{path}: not written, for this policy would be no better than the best single model: {self.evidence}; "
                "give more examples, or rely on verifiers, which look at answers"
            )
        self.heads.write(path)


def train_policy(bench: Bench, *, embedding: Embedding | None = None, seed: int = 0) -> TrainedPolicy:
    """Train a policy.

    Args:
        bench: the outcomes that are learned from; see ``bench.bench_of``.
        embedding: a function of a text, if the policy is to use one.
        seed: the same seed makes the same splits.

    Raises:
        ConfigError: there are too few examples, or the embedding is not of one length.
    """
    if len(bench.examples) < LEAST_EXAMPLES:
        raise ConfigError(
            f"examples: {len(bench.examples)} of them cannot be learned from; give {LEAST_EXAMPLES} at least, and "
            f"better {WORDS_FROM}"
        )
    prompts = Prompts.of(bench.examples, embedding)
    if prompts.groups.max() == 0:
        raise ConfigError("group: all examples are of one group, which a split must not part; give several groups")
    evidence = _evidence(prompts, bench, seed)
    learned = learn(prompts, bench, seed=seed)
    trained: dict[str, Json] = {
        "examples": len(prompts),
        "recipe": learned.recipe.name,
        "held_out": {
            "measure": evidence.measure,
            "examples": evidence.examples,
            "value": round(evidence.value, 4),
            "single_models": round(evidence.base, 4),
        },
        "texts": sketch(example.text for example in bench.examples),
    }
    heads = learned.fitted.heads(bench.models, learned.calibrations, trained)
    return TrainedPolicy(heads, learned.recipe, evidence, learned.compared)


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned of some examples: the recipe that was chosen, its fit, and the calibration of each model."""

    recipe: Recipe
    fitted: Fitted
    calibrations: tuple[Calibration, ...]
    compared: tuple[tuple[Recipe, float], ...]

    def predict(self, prompts: Prompts) -> Floats:
        """P(answers well), calibrated: shape (prompts, models)."""
        chances = sigmoid(self.fitted.logits(prompts))
        columns = zip(chances.T.tolist(), self.calibrations, strict=True)
        return np.column_stack([[calibration.apply(p) for p in column] for column, calibration in columns])


def learn(prompts: Prompts, bench: Bench, *, recipes: Sequence[Recipe] | None = None, seed: int = 0) -> Learned:
    """Choose a recipe by cross-validation over groups, and fit it.

    Args:
        prompts: what is learned from.
        bench: the outcomes of the same examples.
        recipes: what to choose from; left out, what so many examples bear.
        seed: the same seed makes the same folds.
    """
    kept = tuple(recipes or recipes_for(len(prompts), pair=bench.is_pair, vectors=prompts.vectors.shape[1] > 0))
    some = np.sort(np.random.default_rng(seed).permutation(len(prompts))[:MOST_COMPARED])
    part, outcomes = prompts.take(some), rows_of(bench, some)
    predicted = [_out_of_fold(part, outcomes, recipe, seed) for recipe in kept]
    values = [value_of(outcomes, sigmoid(logits)) for logits in predicted]
    # Of recipes that differ by no more than chance the one that reads more: it is the better one with more examples.
    enough = max(values) - (_BY_CHANCE if bench.is_pair else 0.0)
    best = max(at for at, value in enumerate(values) if value >= enough)
    columns = zip(sigmoid(predicted[best]).T.tolist(), outcomes.quality.T.tolist(), strict=True)
    return Learned(
        recipe=kept[best],
        fitted=fit(prompts, bench.quality, kept[best]),
        calibrations=tuple(calibrate(scores, labels, smooth=True) for scores, labels in columns),
        compared=tuple(zip(kept, values, strict=True)),
    )


def recipes_for(examples: int, *, pair: bool, vectors: bool) -> tuple[Recipe, ...]:
    """What so many examples bear, the simplest first; for more than two models, less."""
    if examples < HAND_FROM:
        return (PRIOR,)
    if not pair:
        # With this many the penalty alone sees to it that features do no harm.
        return (PRIOR, CAUTIOUS) if examples < WORDS_FROM else (CAUTIOUS,)
    if examples < WORDS_FROM:
        return (PRIOR, LENGTH, HAND)
    kept = (PRIOR, LENGTH, WORDS, VECTORS) if vectors else (PRIOR, LENGTH, WORDS)
    if examples < PRODUCTS_FROM:
        return kept
    return (*kept, JOINT, TOPICS) if vectors else (*kept, JOINT)


def value_of(bench: Bench, predicted: Floats) -> float:
    """How good predictions are: APGR on two models, AIQ on more. Predictions have the shape of ``bench.quality``."""
    if bench.is_pair:
        return curve(predicted[:, 1] - predicted[:, 0], *bench.quality.T).apgr()
    picks = by_quality(bench, predicted)
    rows = np.arange(len(bench.examples))
    cost, quality = bench.cost[rows, picks].mean(axis=1), bench.quality[rows, picks].mean(axis=1)
    cheapest, best = bench.points[int(bench.mixture[0])], bench.points[bench.best]
    return aiq(np.append(cost, cheapest.cost), np.append(quality, cheapest.quality), cheapest.cost, best.cost)


def folds(groups: Rows, count: int, seed: int = 0) -> Rows:
    """The fold (0..count-1) of each example; those of one group share one."""
    drawn = np.random.default_rng(seed).permutation(int(groups.max()) + 1) % count
    return np.asarray(drawn[groups])


def _out_of_fold(prompts: Prompts, bench: Bench, recipe: Recipe, seed: int) -> Floats:
    if not recipe.parts and (whole := fit(prompts, bench.quality, recipe)).says_the_same:
        # Folds would differ by chance, and rank examples by how the others of their fold are.
        return whole.logits(prompts)
    found = np.zeros(bench.quality.shape)
    fold = folds(prompts.groups, _FOLDS, seed)
    for one in range(_FOLDS):
        inside, outside = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        if len(outside) and len(inside):
            fitted = fit(prompts.take(inside), bench.quality[inside], recipe)
            found[outside] = fitted.logits(prompts.take(outside))
    return found


def rows_of(bench: Bench, rows: Rows) -> Bench:
    """The outcomes of some examples."""
    examples = tuple(bench.examples[row] for row in rows)
    return Bench(bench.models, examples, bench.quality[rows], bench.cost[rows], bench.in_dollars)


def _evidence(prompts: Prompts, bench: Bench, seed: int) -> Evidence:
    fold = folds(prompts.groups, _OUTER_FOLDS, seed + 1)
    drawn = sorted(set(fold.tolist()))
    predicted = np.zeros(bench.quality.shape)
    measured = drawn if len(prompts) < ONE_PART_FROM else drawn[:1]
    the_same = True
    for one in measured:
        inside, outside = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        learned = learn(prompts.take(inside), rows_of(bench, inside), seed=seed)
        predicted[outside] = learned.predict(prompts.take(outside))
        the_same = the_same and learned.fitted.says_the_same
    if the_same:
        predicted[:] = predicted.mean(axis=0)
    held_out = np.flatnonzero(np.isin(fold, measured))
    return evidence_of(rows_of(bench, held_out), predicted[held_out], seed)


def evidence_of(bench: Bench, predicted: Floats, seed: int) -> Evidence:
    """What speaks for predictions, P(each model answers well), of examples that were held out."""
    contender = Contender("policy", predicted=predicted)
    chance = Contender("chance", score=np.zeros(len(bench.examples)))
    measures = measure(bench, contender, chance, seed=seed).measures
    name = "apgr" if bench.is_pair else "aiq"
    value, gain = measures[name].value, _finite(measures["gain"])
    return Evidence(name, len(bench.examples), value, value - gain.value, gain.low, gain.high)


def _finite(gain: Measure) -> Measure:
    """A gain that is not defined, as where both models are equally good on all examples, is none."""
    return gain if np.isfinite(gain.value) else Measure(0.0, -1.0, 1.0)
