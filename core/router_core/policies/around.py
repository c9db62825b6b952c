"""What policies around another policy have in common: they take its score, and place the request themselves."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence

from router_core.consult import ConsultBound, Consults
from router_core.effects import Consultation
from router_core.errors import ConfigError
from router_core.events import Observer
from router_core.policies.base import Candidate, Choice, MemoryPlace, Policy, Remembers
from router_core.policies.score import ScorePolicy
from router_core.types import RequestView


class AroundPolicy(ABC):
    """A policy that is asked first, whatever way it answers, and what is made of its choice.

    Args:
        policy: the policy whose score is used; in ``router.yaml`` its name, or a mapping of name and options.

    Raises:
        ConfigError: ``policy`` is none.
    """

    name: str

    def __init__(self, policy: Policy) -> None:
        if not callable(getattr(policy, "decide", None)):
            raise ConfigError(
                f"policy: {self.name}.policy: {policy!r} is no policy; give one, or its name in router.yaml"
            )
        self._policy = policy

    @abstractmethod
    def place(self, choice: Choice, request: RequestView, candidates: Sequence[Candidate]) -> Choice:
        """What is made of the inner policy's choice."""

    def decide(
        self, request: RequestView, candidates: Sequence[Candidate]
    ) -> Choice | Awaitable[Choice] | Consultation[Choice]:
        """The inner policy's choice, placed."""
        decided = self._policy.decide(request, candidates)
        if isinstance(decided, Choice):
            return self.place(decided, request, candidates)
        if inspect.isawaitable(decided):
            return self._awaited(decided, request, candidates)
        return self._consulted(decided, request, candidates)

    def consult_bounds(self, request: RequestView, candidates: Sequence[str]) -> Sequence[ConsultBound]:
        """What the inner policy may ask."""
        return self._policy.consult_bounds(request, candidates) if isinstance(self._policy, Consults) else ()

    @property
    def observe(self) -> Observer | None:
        """Who wants to be told of events: the inner policy, if it learns from them."""
        observe: Observer | None = getattr(self._policy, "observe", None)
        return observe

    def keep_in(self, ledger: MemoryPlace) -> None:
        """Let the inner policy keep there what it learns."""
        if isinstance(self._policy, Remembers):
            self._policy.keep_in(ledger)

    def score(self, choice: Choice, weak: str, strong: str) -> float | None:
        """How much a request needs the strong of two models: by how much it is predicted to answer better, else the
        inner policy's own score; None if it tells neither. What a policy that scores texts predicts are only priors."""
        quality = choice.quality
        if weak in quality and strong in quality and not isinstance(self._policy, ScorePolicy):
            return quality[strong] - quality[weak]
        return choice.score

    async def _awaited(
        self, decided: Awaitable[Choice], request: RequestView, candidates: Sequence[Candidate]
    ) -> Choice:
        return self.place(await decided, request, candidates)

    def _consulted(
        self, decided: Consultation[Choice], request: RequestView, candidates: Sequence[Candidate]
    ) -> Consultation[Choice]:
        choice = yield from decided
        return self.place(choice, request, candidates)
