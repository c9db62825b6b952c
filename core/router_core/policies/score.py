"""What the two policies that score the text have in common: the conversation, the levels, the choice."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from router_core.errors import ConfigError
from router_core.features import ConversationScore, Features, score_conversation
from router_core.policies.base import Candidate, Choice, at_tier, priors
from router_core.records import Reason
from router_core.types import Json, RequestView


class ScorePolicy(ABC):
    """Scores the user's turns, from 0 up, and takes the weakest, the middle or the strongest tier.

    Args:
        thresholds: the scores from which a request is of the second and of the third level, by name of the setting.
        carry: the share (0..1) of the highest earlier score that a later question keeps if it is no follow-up.

    Raises:
        ConfigError: a value is no number, is out of range, or the thresholds are not in ascending order.
    """

    name: ClassVar[str]
    levels: ClassVar[tuple[Reason, Reason, Reason]]
    """Reasons for the three levels, the easiest first."""
    highest: ClassVar[float]
    """The highest score there can be."""

    def __init__(self, thresholds: Mapping[str, float], carry: float) -> None:
        for option, value in (*thresholds.items(), ("carry", carry)):
            if not _is_number(value):
                raise ConfigError(f"policy: {self.name}.{option}: {value!r} is not a number; leave it out or give one")
        if not 0 <= carry <= 1:
            raise ConfigError(f"policy: {self.name}.carry: {carry} is not between 0 and 1; 0.7 is the default")
        (low_name, self._low), (high_name, self._high) = thresholds.items()
        if not 0 <= self._low <= self._high <= self.highest:
            raise ConfigError(
                f"policy: {self.name}.{low_name}: {self._low} and {high_name}: {self._high} are out of order or range; "
                f"give 0 <= {low_name} <= {high_name} <= {self.highest:g}"
            )
        self._carry = carry

    @abstractmethod
    def score(self, features: Features) -> float:
        """The score of one turn, 0 to ``highest``."""

    @abstractmethod
    def parts(self, features: Features) -> dict[str, Json]:
        """What the score is made of, by name."""

    @abstractmethod
    def difficulty(self, score: float) -> float:
        """The score on the scale of ``priors``: 0 the easiest, 1 the hardest request."""

    def decide(self, request: RequestView, candidates: Sequence[Candidate]) -> Choice:
        """The tier that the conversation earns."""
        scored = score_conversation(request.user_texts, self.score, self._carry)
        level = self._level(scored.score)
        kept = level > self._level(scored.last)
        return Choice(
            start=at_tier(candidates, level / 2).model.name,
            reason=Reason.CONVERSATION if kept else self.levels[level],
            quality=priors(candidates, self.difficulty(scored.score)),
            score=scored.score,
            features=self._features(scored, level),
        )

    def _level(self, score: float) -> int:
        return (score >= self._low) + (score >= self._high)

    def _features(self, scored: ConversationScore, level: int) -> dict[str, Json]:
        seen = scored.features
        features: dict[str, Json] = {
            "level": self.levels[level].value,
            "parts": self.parts(seen),
            "words": seen.words,
            "sentences": seen.sentences,
            "questions": seen.questions,
            "code": seen.code,
            "terms": {**seen.terms},
            "turns": scored.turns,
        }
        if scored.turns > 1:
            features |= {
                "deciding_turn": scored.turn,
                "last_score": scored.last,
                "earlier_score": scored.earlier,
                "follow_up": scored.follow_up,
                "carry": 1.0 if scored.follow_up else self._carry,
            }
        return features


def _is_number(value: object) -> bool:
    # A boolean is an int to Python, but ``carry: yes`` in a file is a mistake.
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
