"""Linear models, fitted with a penalty. Needs numpy (extra ``learn``).

Both minimise ``sum_i weight_i * loss_i + penalty / 2 * sum_j coefficient_j ** 2``; the intercept bears no penalty.
Features on different scales should be brought to one before.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_STEPS = 60
"""Newton's method is done in about ten steps; more are for data that is all but separable."""
_TOLERANCE = 1e-8
_LEAST = 1e-10
"""What the curvature of an example is at least, so that the system can be solved."""


def sigmoid(logits: npt.ArrayLike) -> Floats:
    """Probabilities of logits, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64))))


def log_loss(logits: npt.ArrayLike, y: npt.ArrayLike) -> Floats:
    """The negative log-likelihood of each label (0..1) under its logit, in nats."""
    z = np.asarray(logits, dtype=np.float64)
    return np.asarray(np.logaddexp(0.0, z) - np.asarray(y, dtype=np.float64) * z)


def fit_logistic(
    x: npt.ArrayLike, y: npt.ArrayLike, penalty: float, *, weight: npt.ArrayLike | None = None
) -> tuple[Floats, float]:
    """Logistic regression by Newton's method (iteratively reweighted least squares), with halved steps where needed.

    Args:
        x: features, shape (examples, features).
        y: labels 0..1 (shares of successes, not only 0 and 1), shape (examples,).
        penalty: strength of the L2 penalty, above 0.
        weight: how much each example counts, shape (examples,); left out, each counts 1.

    Returns:
        The coefficients, shape (features,), and the intercept: ``P = sigmoid(x @ coefficients + intercept)``.
    """
    features, labels, counts = _prepared(x, y, weight)
    ones = np.c_[features, np.ones(len(features))]
    ridge = np.full(ones.shape[1], float(penalty))
    ridge[-1] = 0.0

    def loss_at(point: Floats) -> float:
        return float(counts @ log_loss(ones @ point, labels) + 0.5 * ridge @ point**2)

    point = np.zeros(ones.shape[1])
    share = np.clip((counts @ labels + 0.5) / (counts.sum() + 1.0), 1e-6, 1 - 1e-6)
    point[-1] = np.log(share / (1 - share))
    if np.ptp(labels) == 0:
        # Nothing can be told apart: the likelihood has no maximum where all labels are 0 or all are 1.
        return point[:-1], float(point[-1])
    loss = loss_at(point)
    for _ in range(_STEPS):
        p = sigmoid(ones @ point)
        gradient = ones.T @ (counts * (p - labels)) + ridge * point
        curvature = np.maximum(counts * p * (1 - p), _LEAST)
        hessian = (ones * curvature[:, None]).T @ ones + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        length = 1.0
        while (lower := loss_at(point - length * step)) > loss and length > _TOLERANCE:
            length /= 2
        if loss - lower <= _TOLERANCE * (abs(loss) + _TOLERANCE):
            break
        point, loss = point - length * step, lower
    return point[:-1], float(point[-1])


def fit_ridge(
    x: npt.ArrayLike, y: npt.ArrayLike, penalty: float, *, weight: npt.ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Ridge regression (loss: half the squared error), for one target or for several at once.

    Args:
        x: features, shape (examples, features).
        y: targets, shape (examples,) or (examples, targets).
        penalty: strength of the L2 penalty, above 0.
        weight: how much each example counts, shape (examples,); left out, each counts 1.

    Returns:
        The coefficients, shape (features,) or (features, targets), and the intercept, shape () or (targets,).
    """
    features, targets, counts = _prepared(x, y, weight)
    share = counts / counts.sum()
    centre, level = share @ features, share @ targets
    centred = features - centre
    weighted = centred * counts[:, None]
    gram = weighted.T @ centred + penalty * np.eye(features.shape[1])
    coefficients = np.linalg.solve(gram, weighted.T @ (targets - level))
    return coefficients, np.asarray(level - centre @ coefficients)


def _prepared(x: npt.ArrayLike, y: npt.ArrayLike, weight: npt.ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    features, targets = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    counts = np.ones(len(features)) if weight is None else np.asarray(weight, dtype=np.float64)
    return features, targets, counts
