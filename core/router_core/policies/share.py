"""A share of strong calls, or a budget per call, kept to whatever the traffic is."""

from __future__ import annotations

from collections.abc import Sequence

from router_core.errors import ConfigError
from router_core.learning.rows import number_of
from router_core.learning.thresholds import Place, Thresholds
from router_core.policies.around import AroundPolicy
from router_core.policies.base import Candidate, Choice, Policy
from router_core.records import Reason
from router_core.types import NANO, RequestView


class SharePolicy(AroundPolicy):
    """Sends the requests with the highest scores of another policy to the strongest candidate, and all others to the
    weakest: as many as a share, or as a budget allows, counted for each call site. See ``learning.thresholds``.

    Args:
        policy: the policy that scores: the higher, the more a request needs a strong model. A request without a score
            is taken to be an average one.
        share: the share of strong calls, 0..1.
        budget_usd: or what a call may be predicted to cost in mean, in US dollars.

    Raises:
        ConfigError: not exactly one of share and budget is given, or it is out of range. ``decide`` raises it if a
            budget is given and a candidate's price is not known.
    """

    name = "share"

    def __init__(self, policy: Policy, *, share: float | None = None, budget_usd: float | None = None) -> None:
        super().__init__(policy)
        if (share is None) == (budget_usd is None):
            raise ConfigError("policy: share: give either share (0..1, such as 0.3) or budget_usd")
        field, value = ("share", share) if budget_usd is None else ("budget_usd", budget_usd)
        number = number_of(value)
        if number is None or number < 0 or (number > 1 and share is not None):
            allowed = "a share between 0 and 1" if share is not None else "an amount of US dollars"
            raise ConfigError(f"policy: share.{field}: {value!r} is not {allowed}; give one")
        self._in_money = share is None
        self._thresholds = Thresholds(number)

    def place(self, choice: Choice, request: RequestView, candidates: Sequence[Candidate]) -> Choice:
        """The strongest candidate if the request's score is among the highest, else the weakest."""
        weak, strong = candidates[0], candidates[-1]
        score = self.score(choice, weak.model.name, strong.model.name)
        found = self._placed(score, request.call_site, weak, strong)
        return Choice(
            start=(strong if found.strong else weak).model.name,
            reason=Reason.SHARE,
            quality=choice.quality,
            score=score,
            confidence=choice.confidence,
            features={
                **choice.features,
                "inner_policy": self._policy.name,
                "inner_reason": choice.reason.value,
                "rank": round(found.rank, 4),
                "threshold": round(found.threshold, 4),
                "calls_before": found.calls,
            },
        )

    def _placed(self, score: float | None, site: str | None, weak: Candidate, strong: Candidate) -> Place:
        if not self._in_money:
            return self._thresholds.place(site, score)
        return self._thresholds.place(site, score, weak=_usd(weak), strong=_usd(strong))


def _usd(candidate: Candidate) -> float:
    if candidate.cost_nano is None:
        raise ConfigError(
            f"policy: share.budget_usd: the price of {candidate.model.name!r} is not known; give it in the registry, "
            "or a share instead"
        )
    return candidate.cost_nano / NANO
