"""A fine-tuned encoder decides: a sequence classifier such as DistilBERT, from a folder on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from router_core.errors import ConfigError
from router_core.learning.classifier import NONE, Classifier, check_installed
from router_core.learning.examples import STRONG, WEAK, last_question
from router_core.policies.base import Candidate, Choice
from router_core.records import Reason
from router_core.registry import did_you_mean
from router_core.types import RequestView


class TransformersPolicy:
    """The weakest model that a sequence classifier expects to answer the user's last turn well.

    A class is the weakest model that answers well: its label is the name of a model, or the two labels are "weak" and
    "strong" for the weakest and the strongest one. A further class "none" stands for what no model answers well. A
    stronger model is taken to answer well whatever a weaker one does, so P(a model answers well) is the sum over its
    class and the weaker ones. Without a class "none" nothing is known of the strongest model but its prior.

    The model is loaded with the first decision (``llm-router train --encoder`` writes one); it works on the processor,
    in as many threads as torch is set to, and a decision takes milliseconds in which an event loop does nothing else.

    Args:
        folder: the folder of the classifier: see ``router_core.learning.classifier``.
        threshold: a model is passed over if P(a stronger one is needed) is this or more (0..1): the lower, the more
            goes to strong models.
        max_length: the most tokens that are read of a text, of which both ends are kept; left out, as many as the model
            was trained with.
        tiers: the names of all models, weakest first. With them labels are checked at once, and the class of a model
            that the constraints rule out counts for the next stronger one; without them for the strongest.

    Raises:
        ConfigError: an option is wrong, the folder is broken or its labels name no models. ``decide`` raises it for
            weights that cannot be loaded, and where no label is the name of a candidate.
        MissingExtra: torch or transformers is not installed.
    """

    name = "transformers"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        threshold: float = 0.5,
        max_length: int | None = None,
        tiers: Sequence[str] = (),
    ) -> None:
        if not _is_path(folder):
            raise ConfigError(f"policy: transformers.folder: {folder!r} is no folder; give that of the classifier")
        if not _is_share(threshold):
            raise ConfigError(f"policy: transformers.threshold: {threshold!r} is not between 0 and 1; 0.5 is usual")
        if max_length is not None and not _is_count(max_length):
            raise ConfigError(f"policy: transformers.max_length: {max_length!r} is no number of tokens; 512 is usual")
        self._folder = os.fspath(folder)
        self._threshold = threshold
        self._max_length = max_length
        self._tiers = tuple(tiers)
        self._classifier = Classifier(Path(folder), max_length)
        self._classes = tuple(label for label in self._classifier.labels if label != NONE)
        for label in self._classes:
            if tiers and self._place(label, tiers) == len(tiers):
                raise self._unknown(label, tiers)
        check_installed()

    @property
    def source(self) -> str:
        """What certificates call this policy: its folder."""
        return Path(self._folder).name

    def decide(self, request: RequestView, candidates: Sequence[Candidate]) -> Choice:
        """The weakest candidate above which no stronger one is likely to be needed."""
        names = [candidate.model.name for candidate in candidates]
        if not self._tiers and not any(self._place(label, names) < len(names) for label in self._classes):
            raise self._unknown(self._classes[0], names)
        (row,) = self._classifier.probabilities([last_question(request.turns)])
        shares = dict(zip(self._classifier.labels, row, strict=True))
        places = {label: self._place(label, names) for label in self._classes}
        well = [sum(shares[label] for label, at in places.items() if at <= place) for place in range(len(names))]
        needed = [max(0.0, 1.0 - shares.get(NONE, 0.0) - share) for share in well]
        last = len(names) - 1
        start = next((place for place in range(last) if needed[place] < self._threshold), last)
        # Of the strongest model a classifier without the class "none" was told nothing.
        told = len(names) if NONE in shares else max(places.values())
        quality = [share if place < told else candidates[place].model.quality for place, share in enumerate(well)]
        return Choice(
            start=names[start],
            reason=Reason.CLASSIFIED,
            quality={name: share for name, share in zip(names, quality, strict=True) if share is not None},
            score=needed[0],
            confidence=well[start] - (well[start - 1] if start else 0.0),
            features={"probabilities": shares, "threshold": self._threshold},
        )

    def _place(self, label: str, names: Sequence[str]) -> int:
        """The first of ``names`` that is as strong as a label's model; their number if none is."""
        tiers = self._tiers or tuple(names)
        if label not in tiers and label not in {WEAK, STRONG}:
            return len(names)
        at = tiers.index(label) if label in tiers else (0 if label == WEAK else len(tiers) - 1)
        return next((names.index(model) for model in tiers[at:] if model in names), len(names))

    def _unknown(self, label: str, models: Sequence[str]) -> ConfigError:
        return ConfigError(
            f"policy: transformers.folder: {self._folder}: config.json: id2label: {label!r} is no model"
            f"{did_you_mean(label, models)}; there are {', '.join(models)}. Give the classes the names of models, or "
            f"{WEAK!r} and {STRONG!r}, and {NONE!r} for what no model answers well"
        )


def _is_path(value: object) -> bool:
    return isinstance(value, str | os.PathLike) and bool(os.fspath(value))


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
