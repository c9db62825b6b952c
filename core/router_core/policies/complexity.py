"""Complexity: points for what a text contains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router_core.features import Features
from router_core.policies.score import ScorePolicy
from router_core.records import Reason
from router_core.types import Json

POINTS: Mapping[str, Sequence[tuple[int, int]]] = {
    "length": ((31, 1), (101, 2)),
    "code": ((1, 2),),
    "reasoning": ((1, 1), (3, 2)),
    "technical": ((2, 1), (5, 2)),
    "system_design": ((1, 2), (3, 3)),
    "multi_step": ((1, 1),),
    "sentences": ((4, 1),),
}
"""What is counted, and the points from which count on; the last that is reached holds. Customary in rule routers of
this kind, set by hand, not learned."""

HARDEST_POINTS = 8
"""From here on a request is taken to be as hard as can be, which puts one of 4 points in the middle; by judgement."""


class ComplexityPolicy(ScorePolicy):
    """Simple (0-1 points), medium (2-3) or complex (4 and more): the weakest, the middle or the strongest tier.

    ============================  ===========================
    more than 30, 100 words       +1, +2
    code                          +2
    1, 3 reasoning words          +1, +2
    2, 5 technical terms          +1, +2
    1, 3 system-design terms      +2, +3
    a multi-step pattern          +1
    four or more sentences        +1
    ============================  ===========================

    Terms are counted once each. A heuristic, no measure of quality: see ``router_core.policies``.

    Args:
        medium: the points from which a request is medium.
        complex: the points from which it is complex.
        carry: see ``ScorePolicy``; points that are carried over may be fractions.

    Raises:
        ConfigError: a setting is not what it must be.
    """

    name = "complexity"
    levels = (Reason.SIMPLE, Reason.MODERATE, Reason.COMPLEX)
    highest = float(sum(steps[-1][1] for steps in POINTS.values()))

    def __init__(self, *, medium: float = 2, complex: float = 4, carry: float = 0.7) -> None:  # noqa: A002
        super().__init__({"medium": medium, "complex": complex}, carry)

    def score(self, features: Features) -> float:
        """The sum of the points."""
        return float(sum(_points(features).values()))

    def parts(self, features: Features) -> dict[str, Json]:
        """The points by what they are given for."""
        return {**_points(features)}

    def difficulty(self, score: float) -> float:
        """Points as a share of ``HARDEST_POINTS``, at most 1."""
        return min(1.0, score / HARDEST_POINTS)


def _points(features: Features) -> dict[str, int]:
    counts = {
        "length": features.words,
        "code": int(features.code),
        "reasoning": features.count("reasoning"),
        "technical": features.count("technical"),
        "system_design": features.count("system_design"),
        "multi_step": features.count("multi_step"),
        "sentences": features.sentences,
    }
    points = dict.fromkeys(POINTS, 0)
    for name, steps in POINTS.items():
        for least, worth in steps:
            if counts[name] >= least:
                points[name] = worth
    return points
