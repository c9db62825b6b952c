"""Difficulty: a weighted score of length, keywords and structure."""

from __future__ import annotations

from router_core.features import Features
from router_core.policies.score import ScorePolicy
from router_core.records import Reason
from router_core.types import Json

LENGTH_WEIGHT, KEYWORDS_WEIGHT, STRUCTURE_WEIGHT = 0.4, 0.4, 0.2
"""The customary weights of rule routers of this kind; set by hand, not learned."""

FULL_LENGTH_WORDS = 100
"""From here on a text counts as long; the threshold for "long" of ``ComplexityPolicy`` too."""
FULL_KEYWORDS = 4
"""So many different keywords fill their part; by judgement."""
MANY_SENTENCES, MANY_QUESTIONS = 4, 2
"""From here on a text is taken to ask for more than one thing; by judgement."""


class DifficultyPolicy(ScorePolicy):
    """Easy, medium or hard by ``0.4 length + 0.4 keywords + 0.2 structure``, each 0..1: weakest, middle or strongest.

    - length: words of the turn, 1 from 100 words on;
    - keywords: different difficulty, reasoning, technical, system-design and code terms, 1 from four on;
    - structure: the share that holds of: code, a multi-step pattern, four or more sentences, two or more questions.

    A heuristic, no measure of quality: see ``router_core.policies``.

    Args:
        medium: the score (0..1) from which a request is medium.
        hard: the score (0..1) from which it is hard.
        carry: see ``ScorePolicy``.

    Raises:
        ConfigError: a setting is not what it must be.
    """

    name = "difficulty"
    levels = (Reason.EASY, Reason.MEDIUM, Reason.HARD)
    highest = 1.0

    def __init__(self, *, medium: float = 0.2, hard: float = 0.45, carry: float = 0.7) -> None:
        super().__init__({"medium": medium, "hard": hard}, carry)

    def score(self, features: Features) -> float:
        """The weighted sum, 0..1."""
        length, keywords, structure = _parts(features)
        # Rounded, so that a score that is 0.2 on paper reaches a threshold of 0.2.
        return round(LENGTH_WEIGHT * length + KEYWORDS_WEIGHT * keywords + STRUCTURE_WEIGHT * structure, 6)

    def parts(self, features: Features) -> dict[str, Json]:
        """Length, keywords and structure, each 0..1, before they are weighted."""
        length, keywords, structure = _parts(features)
        return {"length": length, "keywords": keywords, "structure": structure}

    def difficulty(self, score: float) -> float:
        """The score itself."""
        return score


def _parts(features: Features) -> tuple[float, float, float]:
    keywords = features.count("difficulty", "reasoning", "technical", "system_design", "code")
    signs = (
        features.code
        + ("multi_step" in features.terms)
        + (features.sentences >= MANY_SENTENCES)
        + (features.questions >= MANY_QUESTIONS)
    )
    return min(1.0, features.words / FULL_LENGTH_WORDS), min(1.0, keywords / FULL_KEYWORDS), signs / 4
