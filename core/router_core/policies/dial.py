"""The dial between cost and quality, for policies that predict how well each model will answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from router_core.errors import ConfigError
from router_core.policies.base import Candidate

QUALITY_WEIGHT = 8.0
"""At this weight a model that costs nothing is passed over for the dearest one if that is 12.5 points better."""


class Dial(NamedTuple):
    """Which of the candidates is worth its cost.

    Without a target it is the one with the highest ``quality_weight * P - cost``, where 1 is the cost of the dearest
    candidate; with ``target_quality`` the cheapest one whose P reaches it, or the one with the highest P if none does.
    Where a cost is unknown, places in the order of tiers stand for all of them.
    """

    quality_weight: float
    target_quality: float | None

    def check(self, policy: str) -> Dial:
        """Itself, if the settings are what they must be.

        Raises:
            ConfigError: one is not. ``policy`` is how the message names the policy.
        """
        if not _is_number(self.quality_weight) or self.quality_weight < 0:
            raise ConfigError(
                f"policy: {policy}.quality_weight: {self.quality_weight!r} is no number of 0 or more; "
                f"{QUALITY_WEIGHT:g} is usual"
            )
        target = self.target_quality
        if target is not None and not (_is_number(target) and 0 <= target <= 1):
            raise ConfigError(
                f"policy: {policy}.target_quality: {target!r} is not between 0 and 1; leave it out to weigh quality "
                "against cost"
            )
        return self

    def pick(self, candidates: Sequence[Candidate], chances: Sequence[float]) -> int:
        """The place of the candidate. ``chances`` are P(answers well) of each, 0..1."""
        costs = _costs(candidates)
        places = range(len(candidates))
        if self.target_quality is None:
            return max(places, key=lambda at: (self.quality_weight * chances[at] - costs[at], -costs[at]))
        good = [at for at in places if chances[at] >= self.target_quality]
        return min(good, key=lambda at: costs[at]) if good else max(places, key=lambda at: chances[at])


def _costs(candidates: Sequence[Candidate]) -> list[float]:
    """Costs as shares of the highest; places in the order of tiers if any is unknown."""
    known = [candidate.cost_nano for candidate in candidates if candidate.cost_nano is not None]
    if len(known) < len(candidates):
        return [at / (len(candidates) - 1 or 1) for at in range(len(candidates))]
    most = max(known) or 1
    return [cost / most for cost in known]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
