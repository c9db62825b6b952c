"""A policy that was trained on outcomes: P(answers well) of each model, and a dial between cost and quality."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cache
from heapq import nlargest
from pathlib import Path

from router_core.features import deciding_turn
from router_core.learning.examples import STRONG, WEAK
from router_core.learning.heads import Heads, logit, sigmoid
from router_core.learning.sketch import share_seen
from router_core.learning.text import NAMES, Reading, read
from router_core.learning.weights_file import path_of
from router_core.policies.base import Candidate, Choice
from router_core.policies.dial import QUALITY_WEIGHT, Dial
from router_core.policies.embedding import Embedder, Embedding
from router_core.records import Reason
from router_core.types import Json, RequestView

DEFAULT_FILE = Path(__file__).parent / "data" / "default.json"
"""Trained on public outcomes by ``benchmarks/train_default.py``; what it is worth is in ``benchmarks/README.md``."""

_NOTHING = Reading((), [])
_TOLD = 3
"""Features that are named in the explanation."""


class LearnedPolicy:
    """P(answers well) of each model for this prompt, and the model that is worth its cost.

    The dial between cost and quality is told by ``Dial``. The score of the choice is how much likelier the strongest
    candidate answers well than the weakest.

    A candidate that the file was not trained on has its prior (``Model.quality``) as ability and the sensitivity to the
    text of trained models of its strength; without a prior its place among the candidates says how strong it is. The
    heads "weak" and "strong" stand for the weakest and the strongest candidate.

    What is read is the user's last turn; a follow-up ("and in French?") is read as the turn that it follows.

    Args:
        file: made by ``llm-router train``; left out, the one that ships with this package, which was trained on public
            benchmarks and is hardly better than the length of the prompt on other work.
        quality_weight: what an answer's quality is worth, 0 or more: the higher, the more goes to strong models.
        target_quality: P(answers well) that is wanted, 0..1; ``quality_weight`` then plays no part.
        embedding: a function of a text, or "package.module:function"; needed by a file that was trained with one.

    Raises:
        ConfigError: an option is wrong, the file is missing, broken or foreign, or it needs an embedding.
    """

    name = "learned"

    def __init__(
        self,
        file: str | os.PathLike[str] | None = None,
        *,
        quality_weight: float = QUALITY_WEIGHT,
        target_quality: float | None = None,
        embedding: Embedding | str | None = None,
    ) -> None:
        self._dial = Dial(quality_weight, target_quality).check(self.name)
        path = DEFAULT_FILE if file is None else path_of(file, "policy: learned.file")
        self._heads = _default() if file is None else Heads.read(path)
        self._places = {head.model: place for place, head in enumerate(self._heads.heads)}
        self._by_ability = sorted(range(len(self._heads.heads)), key=lambda place: self._heads.heads[place].ability)
        self._file = path.name
        self._embedder = Embedder(self.name, self._file, self._heads.embedding_size, embedding)

    @property
    def source(self) -> str:
        """What certificates call this policy: its file, or its own name for the file that ships."""
        return self.name if self._file == DEFAULT_FILE.name else self._file

    @property
    def models(self) -> tuple[str, ...]:
        """The models that the file was trained on, weakest first."""
        return tuple(self._places)

    def share_seen(self, texts: Iterable[str]) -> float:
        """The share of these texts that the file was trained on, 0..1, about; 0 for files that do not tell."""
        return share_seen(self._heads.trained.get("texts"), texts)

    def decide(self, request: RequestView, candidates: Sequence[Candidate]) -> Choice:
        """Predict, and take the model that is worth its cost."""
        standard, texts = self._read(deciding_turn(request.user_texts))
        site = self._heads.sites.get(request.call_site) if request.call_site is not None else None
        quality = {
            candidate.model.name: self._quality(candidates, at, texts, site) for at, candidate in enumerate(candidates)
        }
        chances = list(quality.values())
        start = self._dial.pick(candidates, chances)
        features: dict[str, Json] = {"file": self._file, "call_site_known": site is not None}
        if standard:
            features["effects"] = self._effects(candidates, standard)
        return Choice(
            start=candidates[start].model.name,
            reason=Reason.LEARNED,
            quality=quality,
            score=chances[-1] - chances[0],
            confidence=chances[start],
            features=features,
        )

    def _read(self, text: str) -> tuple[list[float], list[float]]:
        heads = self._heads
        embedding = self._embedder.vector(text)
        if not heads.mean:
            return [], heads.texts(_NOTHING, (), embedding)
        reading = read(text)
        standard = heads.standard(reading.hand)
        return standard, heads.texts(reading, standard, embedding)

    def _quality(
        self, candidates: Sequence[Candidate], at: int, texts: Sequence[float], site: Sequence[float] | None
    ) -> float:
        heads = self._heads.heads
        place = self._place(candidates, at)
        if place is not None:
            head = heads[place]
            return head.calibration.apply(sigmoid((site[place] if site else head.ability) + texts[place]))
        prior = candidates[at].model.quality
        lowest, highest = heads[self._by_ability[0]].ability, heads[self._by_ability[-1]].ability
        if prior is None:
            ability = lowest + (highest - lowest) * (at / (len(candidates) - 1) if len(candidates) > 1 else 1.0)
        else:
            ability = logit(prior)
        shift = 0.0
        if site:
            shift = sum(seen - head.ability for seen, head in zip(site, heads, strict=True)) / len(heads)
        return sigmoid(ability + shift + self._between(ability, texts))

    def _place(self, candidates: Sequence[Candidate], at: int) -> int | None:
        """The head of a candidate, if it has one."""
        place = self._places.get(candidates[at].model.name)
        if place is None and len(candidates) > 1 and self._places.keys() == {WEAK, STRONG}:
            return {0: self._places[WEAK], len(candidates) - 1: self._places[STRONG]}.get(at)
        return place

    def _between(self, ability: float, texts: Sequence[float]) -> float:
        """What the text adds for a model of this ability: what lies between the heads next to it in strength."""
        heads = self._heads.heads
        below = above = self._by_ability[0]
        for above in self._by_ability:
            if heads[above].ability >= ability:
                break
            below = above
        gap = heads[above].ability - heads[below].ability
        share = (ability - heads[below].ability) / gap if gap > 0 else 0.0
        return texts[below] + share * (texts[above] - texts[below])

    def _effects(self, candidates: Sequence[Candidate], standard: Sequence[float]) -> dict[str, Json]:
        """The hand-made features that by themselves speak most for the strongest or the weakest candidate, on the
        logit."""
        heads = self._heads.heads
        first, last = self._place(candidates, 0), self._place(candidates, len(candidates) - 1)
        weak = heads[self._by_ability[0] if first is None else first].hand
        strong = heads[self._by_ability[-1] if last is None else last].hand
        effects = [(high - low) * value for low, high, value in zip(weak, strong, standard, strict=False)]
        return {
            NAMES[at]: round(effects[at], 3) for at in nlargest(_TOLD, range(len(effects)), lambda i: abs(effects[i]))
        }


@cache
def _default() -> Heads:
    return Heads.read(DEFAULT_FILE)
