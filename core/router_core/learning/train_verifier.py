"""Training of ``LearnedVerifier``: from labelled answers to a file of weights. Needs numpy (extra ``learn``).

The weights that ship are the start, not a limit. Beside the features of an answer the fit is given the shipped model's
own log-odds, at a tenth of the penalty's standard deviation: a few labels say how far that model is to be believed,
which may be not at all, and the features move away from it as far as there are labels to bear it out. The result is one
linear model.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from router_core.errors import ConfigError
from router_core.learning.answers import answer_features
from router_core.learning.calibration import calibrate
from router_core.learning.examples import Example
from router_core.learning.fit import Floats, fit_logistic, sigmoid
from router_core.learning.metrics import auroc, bootstrap, brier
from router_core.learning.verifier_weights import SHIPPED, Logistic, VerifierWeights
from router_core.registry import did_you_mean

LEAST_LABELS = 25
"""Labelled answers from which a model of its own is of use."""

_RIGHT = 0.5
"""The quality from which an answer counts as right where there must be two kinds."""
_CHANCE = 0.5
"""The AUROC of a verifier that knows nothing."""
_MANY_LABELS = 200
_PENALTY_OF_FEW, _PENALTY_OF_MANY = 100.0, 30.0
"""Of features in standard deviations, below ``_MANY_LABELS`` and from there on. Half or three times as much makes no
difference that can be measured on GSM8K."""
_TRUST = 10.0
"""What the shipped model's log-odds are multiplied by: its share bears a hundredth of the penalty."""
_FOLDS = 5
_DRAWS = 400
_CONFIDENCE = 0.8
"""Of the two-sided interval of the AUROC: its lower end is above 0.5 with 90 %."""


class Evidence(NamedTuple):
    """What was measured on answers that the weights had not seen, by cross-validation over groups.

    ``auroc`` is P(a right answer is held more likely than a wrong one), ``auroc_low`` the lower end of its interval
    (90 % one-sided, bootstrap). ``brier`` is the mean squared error of P(right), ``brier_accepting`` that of believing
    all answers alike, as right as they are on average.
    """

    labels: int
    right: float
    auroc: float
    auroc_low: float
    brier: float
    brier_accepting: float

    @property
    def better(self) -> bool:
        """Whether the weights are better than chance, and than accepting everything."""
        return self.auroc_low > _CHANCE and self.brier < self.brier_accepting

    def __str__(self) -> str:
        return (
            f"{self.labels} labelled answers, {self.right:.0%} right; held out: AUROC {self.auroc:.3f} (above "
            f"{self.auroc_low:.3f} with 90 %, chance is 0.5), Brier {self.brier:.4f} (accepting everything "
            f"{self.brier_accepting:.4f})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedVerifier:
    """Weights and what speaks for them: of all answers together, and of each call site with enough labels.

    Call sites whose own model is no better than chance are in ``sites`` but have no weights: they use the general ones.
    """

    weights: VerifierWeights
    evidence: Evidence
    sites: Mapping[str, Evidence] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the file for ``LearnedVerifier``."""
        self.weights.write(path)


class _Answers(NamedTuple):
    """Features in standard deviations, labels 0..1, and the fold in which each answer is held out."""

    x: Floats
    y: Floats
    fold: Floats


def train_verifier(
    examples: Iterable[Example],
    *,
    model: str | None = None,
    threshold: float = 0.5,
    start: VerifierWeights | Path | None = SHIPPED,
    penalty: float | None = None,
) -> TrainedVerifier:
    """Train on the answers of a model.

    Args:
        examples: those with an answer and its quality are used; call sites with 25 of them get a model of their own.
        model: whose answers; None for those of all models.
        threshold: the P(right) below which answers are to be rejected.
        start: the weights to start from, or their file; None for none.
        penalty: the strength of the L2 penalty, above 0; None for what suits the number of labels. Many answers to few
            questions want more.

    Raises:
        ConfigError: there are too few labelled answers, all are right or all are wrong, or what was learned is not
            better than chance and than accepting everything; the message has the numbers.
    """
    labelled = _labelled(examples, model)
    base = VerifierWeights.read(start) if isinstance(start, Path) else start
    features = np.array([row.features for row in labelled])
    mean, scale = _moments(features) if base is None else (np.array(base.mean), np.array(base.scale))
    prior = None if base is None else base.general
    quality = np.array([row.quality for row in labelled])
    rows = _Answers((features - mean) / scale, quality, _folds(labelled))
    general, evidence = _fitted(rows, prior, penalty)
    if not evidence.better:
        raise ConfigError(
            f"the verifier is no better than chance or than accepting every answer: {evidence}; {_REMEDY}"
        )
    weights = VerifierWeights(
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        general=general,
        threshold=threshold,
        about={"general": evidence._asdict()},
    )
    trained = TrainedVerifier(weights=weights, evidence=evidence)
    return _with_sites(trained, rows, [row.call_site for row in labelled], penalty)


_REMEDY = "label more answers, of which some are wrong, or leave the verifier out"


class _Labelled(NamedTuple):
    features: tuple[float, ...]
    quality: float
    call_site: str | None
    group: str


def _labelled(examples: Iterable[Example], model: str | None) -> list[_Labelled]:
    found: list[_Labelled] = []
    models: set[str] = set()
    for example in examples:
        for name, outcome in example.outcomes.items():
            models.add(name)
            if outcome.answer is None or model not in {None, name}:
                continue
            seen = answer_features(
                example.text, outcome.answer, finish_reason=outcome.finish_reason, logprobs=outcome.logprobs
            )
            group = example.text if example.group is None else example.group
            found.append(_Labelled(tuple(seen.values()), outcome.quality, example.call_site, group))
    if model is not None and model not in models:
        known = ", ".join(sorted(models))
        raise ConfigError(f"model: {model!r} has no outcomes{did_you_mean(model, models)}; there are {known}")
    if len(found) < LEAST_LABELS:
        raise ConfigError(f"{len(found)} labelled answers are too few for a verifier; give {LEAST_LABELS} or more")
    if len({row.quality >= _RIGHT for row in found}) == 1:
        kind = "right" if found[0].quality >= _RIGHT else "wrong"
        raise ConfigError(f"all {len(found)} labelled answers are {kind}: nothing can be learned; {_REMEDY}")
    return found


def _moments(features: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation; what hardly ever varies has the deviation of something that does once in a
    hundred, so that its first sight does not outweigh all else."""
    return features.mean(axis=0), np.maximum(features.std(axis=0), 0.1)


def _folds(rows: Sequence[_Labelled]) -> Floats:
    """The fold of each answer; answers of a group are held out together, if there are groups enough for that."""
    groups = [row.group for row in rows]
    if len(set(groups)) < _FOLDS:
        groups = [str(at) for at in range(len(rows))]
    order = sorted(set(groups), key=lambda group: zlib.crc32(group.encode("utf-8", "surrogatepass")))
    fold = {group: at % _FOLDS for at, group in enumerate(order)}
    return np.array([fold[group] for group in groups], dtype=np.float64)


def _fitted(rows: _Answers, prior: Logistic | None, penalty: float | None) -> tuple[Logistic, Evidence]:
    if penalty is None:
        penalty = _PENALTY_OF_FEW if len(rows.y) < _MANY_LABELS else _PENALTY_OF_MANY
    right = sigmoid(_held_out(rows, prior, penalty))
    coefficients, intercept = _fit(rows.x, rows.y, prior, penalty)
    model = Logistic(
        coefficients=tuple(coefficients.tolist()),
        intercept=intercept,
        calibration=calibrate(right.tolist(), rows.y.tolist()),
    )
    return model, _evidence(right, rows)


def _held_out(rows: _Answers, prior: Logistic | None, penalty: float) -> Floats:
    """The log-odds of each answer by what is learned without its fold."""
    logits = np.zeros(len(rows.y))
    for fold in range(_FOLDS):
        out = rows.fold == fold
        if out.any() and not out.all():
            coefficients, intercept = _fit(rows.x[~out], rows.y[~out], prior, penalty)
            logits[out] = rows.x[out] @ coefficients + intercept
    return logits


def _fit(x: Floats, y: Floats, prior: Logistic | None, penalty: float) -> tuple[Floats, float]:
    if prior is None:
        return fit_logistic(x, y, penalty)
    start = np.array(prior.coefficients)
    coefficients, intercept = fit_logistic(np.c_[x, _TRUST * (x @ start)], y, penalty)
    return coefficients[:-1] + _TRUST * coefficients[-1] * start, intercept


def _evidence(held_out: Floats, rows: _Answers) -> Evidence:
    right = rows.y >= _RIGHT
    low, _ = bootstrap(
        lambda drawn: auroc(held_out[drawn], right[drawn]), len(right), draws=_DRAWS, confidence=_CONFIDENCE
    )
    # Each fold is judged by the share of right answers in the others, as the weights are.
    believed = np.zeros(len(right))
    for fold in range(_FOLDS):
        out = rows.fold == fold
        believed[out] = rows.y[~out].mean() if not out.all() else rows.y.mean()
    return Evidence(
        labels=len(right),
        right=float(rows.y.mean()),
        auroc=auroc(held_out, right),
        auroc_low=float(low),
        brier=brier(held_out, rows.y),
        brier_accepting=brier(believed, rows.y),
    )


def _with_sites(
    trained: TrainedVerifier, rows: _Answers, call_sites: Sequence[str | None], penalty: float | None
) -> TrainedVerifier:
    """With models of the call sites that have labels enough; the general model is what they start from."""
    places: dict[str, list[int]] = defaultdict(list)
    for at, call_site in enumerate(call_sites):
        if call_site is not None:
            places[call_site].append(at)
    models: dict[str, Logistic] = {}
    measured: dict[str, Evidence] = {}
    for site, own_places in places.items():
        own = _Answers(*(column[own_places] for column in rows))
        if not LEAST_LABELS <= len(own.y) < len(rows.y) or len(np.unique(own.y >= _RIGHT)) == 1:
            continue
        model, measured[site] = _fitted(own, trained.weights.general, penalty)
        if measured[site].better:
            models[site] = model
    about = {**trained.weights.about, "sites": {site: found._asdict() for site, found in measured.items()}}
    return replace(trained, weights=replace(trained.weights, sites=models, about=about), sites=measured)
