"""The weights of ``LearnedVerifier``: a logistic model of P(right) for all call sites, and some of their own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from router_core.errors import ConfigError
from router_core.learning import weights_file
from router_core.learning.answers import FEATURES
from router_core.learning.calibration import Calibration
from router_core.learning.rows import number_of, shown
from router_core.types import Json

KIND = "verifier"
"""What such a file says that it is."""

SHIPPED = Path(__file__).parents[1] / "verifiers" / "data" / "verifier.json"
"""The weights that come with the package: of arithmetic word problems. See ``LearnedVerifier``."""

_SHOWN = 3
"""Features that are named as the reasons of a judgement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic:
    """P(right) = calibration(sigmoid(intercept + coefficients . z)), of features ``z`` in standard deviations from the
    mean. One coefficient for each of ``FEATURES``."""

    coefficients: tuple[float, ...]
    intercept: float
    calibration: Calibration = field(default_factory=Calibration)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """P(right) of an answer, 0..1, and the features that speak most against it, with their values, worst first."""

    probability: float
    against: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierWeights:
    """A file's content. ``mean`` and ``scale`` (a standard deviation, above 0) belong to ``FEATURES``; ``sites`` are by
    call site, all others have ``general``. ``threshold`` is the P(right) below which answers are rejected, ``about``
    says what the weights were trained on and how good they are."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    general: Logistic
    sites: Mapping[str, Logistic] = field(default_factory=dict)
    threshold: float = 0.5
    about: Mapping[str, Json] = field(default_factory=dict)

    def judge(self, features: Mapping[str, float], call_site: str | None = None) -> Judgement:
        """P(right) of an answer with these features, by the model of its call site."""
        model = self.sites.get(call_site, self.general) if call_site is not None else self.general
        told = {
            name: coefficient * (features[name] - mean) / scale
            for name, coefficient, mean, scale in zip(FEATURES, model.coefficients, self.mean, self.scale, strict=True)
        }
        logit = model.intercept + sum(told.values())
        worst = sorted((name for name in told if told[name] < 0), key=told.__getitem__)[:_SHOWN]
        return Judgement(
            probability=model.calibration.apply(sigmoid(logit)), against={name: features[name] for name in worst}
        )

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        content: dict[str, Json] = {
            "features": list(FEATURES),
            "mean": _rounded(self.mean),
            "scale": _rounded(self.scale),
            "threshold": self.threshold,
            "general": _to_json(self.general),
            "sites": {site: _to_json(model) for site, model in self.sites.items()},
            "about": self.about,
        }
        weights_file.write(path, KIND, content)

    @classmethod
    def read(cls, path: Path) -> VerifierWeights:
        """Read a file.

        Raises:
            ConfigError: it is missing, broken, foreign or of another version, or a field of it is wrong.
        """
        content = weights_file.read(path, KIND)
        if content.get("features") != list(FEATURES):
            raise ConfigError(f"{path}: features: these are not the features of this version; train the file anew")
        sites = content.get("sites", {})
        if not isinstance(sites, Mapping):
            raise ConfigError(f"{path}: sites: {shown(sites)} is no mapping of call sites; train the file anew")
        threshold = number_of(content.get("threshold"))
        if threshold is None or not 0 <= threshold <= 1:
            raise ConfigError(f"{path}: threshold: {shown(content.get('threshold'))} is not within 0..1; correct it")
        scale = _numbers(content, "scale", f"{path}: scale")
        if min(scale) <= 0:
            raise ConfigError(f"{path}: scale: {min(scale)} is not above 0; train the file anew")
        about = content.get("about")
        return cls(
            mean=_numbers(content, "mean", f"{path}: mean"),
            scale=scale,
            general=_model(content.get("general"), f"{path}: general"),
            sites={site: _model(model, f"{path}: sites.{site}") for site, model in sites.items()},
            threshold=threshold,
            about=about if isinstance(about, Mapping) else {},
        )


def sigmoid(logit: float) -> float:
    """The logistic function, without overflow."""
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def _rounded(numbers: Iterable[float]) -> list[Json]:
    """Six digits are more than the labels bear out."""
    return [float(f"{number:.6g}") for number in numbers]


def _to_json(model: Logistic) -> dict[str, Json]:
    return {
        "coefficients": _rounded(model.coefficients),
        "intercept": model.intercept,
        "calibration": model.calibration.to_json(),
    }


def _model(content: Any, where: str) -> Logistic:
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where}: {shown(content)} is no model; train the file anew")
    intercept = number_of(content.get("intercept"))
    if intercept is None:
        raise ConfigError(f"{where}.intercept: {shown(content.get('intercept'))} is no number; train the file anew")
    return Logistic(
        coefficients=_numbers(content, "coefficients", f"{where}.coefficients"),
        intercept=intercept,
        calibration=Calibration.from_json(content.get("calibration"), f"{where}.calibration"),
    )


def _numbers(content: Mapping[str, Any], name: str, where: str) -> tuple[float, ...]:
    values = content.get(name)
    found = [number_of(value) for value in values] if isinstance(values, list) else []
    numbers = tuple(number for number in found if number is not None)
    if len(numbers) != len(FEATURES) or len(found) != len(FEATURES):
        raise ConfigError(f"{where}: {shown(values)} is no list of {len(FEATURES)} numbers; train the file anew")
    return numbers
