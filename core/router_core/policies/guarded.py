"""A certified threshold, and the way back to the strong model when its promise is broken."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from pathlib import Path

from router_core.errors import ConfigError
from router_core.events import Event, Observer
from router_core.learning.certificate import Certificate
from router_core.learning.examples import STRONG, WEAK
from router_core.learning.monitor import PromiseMonitor
from router_core.policies.around import AroundPolicy
from router_core.policies.base import Candidate, Choice, Policy
from router_core.records import Feedback, Reason
from router_core.registry import did_you_mean
from router_core.types import Json, RequestView


class GuardedPolicy(AroundPolicy):
    """The weak model where another policy's score is below the threshold of a certificate, the strong one elsewhere.

    The ``monitor`` hears the feedback that the router is given, and whatever ``monitor.observe`` is told beside. Once
    it finds the promise broken, every request goes to the strongest candidate, with the reason ``guarded``, until
    ``monitor.reset``. Feedback must be of a random sample of the answers: complaints alone would break any promise.

    Where constraints rule the weak model out, the strong one takes its place, and the strongest candidate that of the
    strong one: the promise is not weakened.

    Args:
        policy: the policy that the certificate was made for.
        certificate: the certificate, or its file, as ``llm-router calibrate`` writes it.
        level: the probability of ever calling a promise broken that holds.
        tiers: the names of all models, weakest first: the certificate's must be among them. Not checked if left out.

    Raises:
        ConfigError: the certificate cannot be read, is of another policy or of unknown models, or ``level`` is out of
            range.
    """

    name = "guarded"

    def __init__(
        self,
        policy: Policy,
        certificate: Certificate | Path | str,
        *,
        level: float = 0.05,
        tiers: Sequence[str] = (),
    ) -> None:
        super().__init__(policy)
        self.certificate = certificate if isinstance(certificate, Certificate) else Certificate.read(Path(certificate))
        self.monitor = PromiseMonitor(self.certificate, level=level)
        source = getattr(policy, "source", policy.name)
        if source != self.certificate.policy:
            raise ConfigError(
                f"policy: guarded.policy: {source!r} is not {self.certificate.policy!r}, which the certificate is "
                "for; give that one, or calibrate anew"
            )
        for name in (self.certificate.weak, self.certificate.strong):
            if tiers and name not in {*tiers, WEAK, STRONG}:
                raise ConfigError(
                    f"policy: guarded.certificate: it is for {name!r}, which is no model{did_you_mean(name, tiers)}; "
                    "name the models in the examples as in the registry, and calibrate anew"
                )

    def place(self, choice: Choice, request: RequestView, candidates: Sequence[Candidate]) -> Choice:  # noqa: ARG002
        """Weak below the threshold, strong from there on; the strongest when the promise is broken."""
        names, broken = [candidate.model.name for candidate in candidates], self.monitor.broken
        weak, strong = self._pair(names)
        score = self.score(choice, weak, strong)
        is_weak = score is not None and score < self.certificate.threshold
        return Choice(
            start=names[-1] if broken else weak if is_weak else strong,
            reason=Reason.GUARDED if broken else Reason.CERTIFIED,
            quality=choice.quality,
            score=score,
            confidence=choice.confidence,
            features={**choice.features, **self._features(choice)},
        )

    @property
    def observe(self) -> Observer:
        """Who wants to be told of events: the monitor of feedback, and the inner policy if it learns from them."""
        return self._heard

    def _heard(self, event: Event) -> Awaitable[None] | None:
        if isinstance(event, Feedback):
            self.monitor.observe(1 - event.score)
        inner = super().observe
        return inner(event) if inner is not None else None

    def _pair(self, names: Sequence[str]) -> tuple[str, str]:
        """The weak and the strong model among the candidates."""
        weak, strong = self.certificate.weak, self.certificate.strong
        if strong not in names:
            strong = names[-1]
        if weak == WEAK:
            return names[0], strong
        return weak if weak in names else strong, strong

    def _features(self, choice: Choice) -> dict[str, Json]:
        return {
            "inner_policy": self._policy.name,
            "inner_reason": choice.reason.value,
            "threshold": self.certificate.threshold,
            "at_least": self.certificate.at_least,
            "confidence": self.certificate.confidence,
            "promise_broken": self.monitor.broken,
            "evidence": round(self.monitor.evidence, 3),
            "answers_observed": self.monitor.observed,
        }
