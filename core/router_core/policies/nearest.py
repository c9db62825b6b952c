"""A policy that asks how the models did on the most similar labelled prompts."""

from __future__ import annotations

import os
from collections.abc import Sequence

from router_core.errors import ConfigError
from router_core.features import deciding_turn
from router_core.learning.neighbours import Neighbours
from router_core.learning.weights_file import path_of
from router_core.policies.base import Candidate, Choice
from router_core.policies.dial import QUALITY_WEIGHT, Dial
from router_core.policies.embedding import Embedder, Embedding
from router_core.records import Reason
from router_core.types import Json, RequestView

PSEUDO_COUNTS = 10
"""So many neighbours of ordinary quality are added to those that were found."""


class NearestPolicy:
    """The model that is worth its cost by what was seen on the ``k`` nearest labelled prompts.

    P(answers well) is the mean quality on those of the neighbours that the model was measured on, drawn towards its
    mean on all prompts by ten neighbours of that quality. A candidate that was not measured has its prior
    (``Model.quality``), or without one the mean of all. What is read of a conversation, the dial, and the score of the
    choice are those of ``LearnedPolicy``.

    Args:
        file: made by ``llm-router train --kind nearest``.
        embedding: the embedding that it was made with, a function of a text or "package.module:function".
        k: how many neighbours are asked, 1 or more.
        quality_weight: what an answer's quality is worth: see ``LearnedPolicy``.
        target_quality: P(answers well) that is wanted, 0..1: see ``LearnedPolicy``.

    Raises:
        ConfigError: an option is wrong, or the file is missing, broken or foreign.
    """

    name = "nearest"

    def __init__(
        self,
        file: str | os.PathLike[str],
        *,
        embedding: Embedding | str,
        k: int = 40,
        quality_weight: float = QUALITY_WEIGHT,
        target_quality: float | None = None,
    ) -> None:
        if not _is_count(k):
            raise ConfigError(f"policy: nearest.k: {k!r} is no number of neighbours; 40 is usual")
        self._k = k
        self._dial = Dial(quality_weight, target_quality).check(self.name)
        path = path_of(file, "policy: nearest.file")
        self._known = Neighbours.read(path)
        self._embedder = Embedder(self.name, path.name, self._known.size, embedding)

    def decide(self, request: RequestView, candidates: Sequence[Candidate]) -> Choice:
        """Look at the neighbours, and take the model that is worth its cost."""
        known = self._known
        near = known.nearest(self._embedder.vector(deciding_turn(request.user_texts)), self._k)
        rows = [known.quality[place] for _, place in near]
        seen = {model: self._mean([row[at] for row in rows], at) for at, model in enumerate(known.models)}
        unknown = sum(seen.values()) / len(seen)
        quality: dict[str, float] = {}
        for candidate in candidates:
            prior = unknown if candidate.model.quality is None else candidate.model.quality
            quality[candidate.model.name] = seen.get(candidate.model.name, prior)
        chances = list(quality.values())
        start = self._dial.pick(candidates, chances)
        features: dict[str, Json] = {"neighbours": len(near), "nearest": round(near[0][0], 4)}
        return Choice(
            start=candidates[start].model.name,
            reason=Reason.NEAREST,
            quality=quality,
            score=chances[-1] - chances[0],
            confidence=chances[start],
            features=features,
        )

    def _mean(self, qualities: Sequence[float | None], at: int) -> float:
        measured = [quality for quality in qualities if quality is not None]
        return (sum(measured) + PSEUDO_COUNTS * self._known.means[at]) / (len(measured) + PSEUDO_COUNTS)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
