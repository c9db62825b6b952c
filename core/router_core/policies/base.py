"""The port of a policy: which model a request starts with, and why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from router_core.effects import Consultation
from router_core.records import Candidate, Reason
from router_core.types import Json, RequestView

if TYPE_CHECKING:
    from router_core.learning.live_memory import Keeper

__all__ = ["Candidate", "Choice", "MemoryPlace", "Policy", "Remembers", "at_tier", "priors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a policy chose.

    ``start`` is the name of a candidate. ``quality`` maps model names to P(answers well) in 0..1 where the policy can
    tell; ``min_quality`` is held against it. ``order`` replaces the climb through the stronger tiers. ``score`` is the
    policy's own number, ``features`` explain it.
    """

    start: str
    reason: Reason
    quality: Mapping[str, float] = field(default_factory=dict)
    order: tuple[str, ...] | None = None
    score: float | None = None
    confidence: float | None = None
    features: Mapping[str, Json] = field(default_factory=dict)


class Policy(Protocol):
    """Decides where a request starts. Stateless or thread-safe: one object serves all threads and event loops."""

    @property
    def name(self) -> str:
        """How the policy is called in ``router.yaml`` and in decisions."""
        ...

    def decide(
        self, request: RequestView, candidates: Sequence[Candidate]
    ) -> Choice | Awaitable[Choice] | Consultation[Choice]:
        """Choose among ``candidates``, which are in tier order, weakest first, and never empty.

        An awaitable result works with ``acomplete`` and ``astream`` only. A generator asks models: it yields
        ``Consult`` and receives the reply or the failure; see ``consult.Consults``.
        """
        ...


class MemoryPlace(Protocol):
    """What a ledger is to a policy that remembers: it has a store while it is open."""

    @property
    def opened(self) -> Keeper | None:
        """The store, if it is open."""
        ...

    def words(self, text: str) -> str:
        """What may be kept of words that may quote a prompt or an answer."""
        ...

    def when_closing(self, flush: Callable[[], object]) -> None:
        """Have this called before the store is closed."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A policy that keeps what it learns in the router's ledger."""

    def keep_in(self, ledger: MemoryPlace) -> None:
        """Keep it there from now on."""
        ...


def at_tier(candidates: Sequence[Candidate], fraction: float) -> Candidate:
    """The candidate at a fraction (0 weakest, 1 strongest) of the tiers; between two it takes the cheaper one."""
    return candidates[int(fraction * (len(candidates) - 1))]


def priors(candidates: Sequence[Candidate], difficulty: float) -> dict[str, float]:
    """Expected quality of each model with a prior, for a request of ``difficulty`` 0..1.

    The prior is the share of ordinary requests answered well. The share of failures is scaled by 0.5 for the easiest
    and by 1.5 for the hardest request: a rule of thumb, not a calibrated probability.
    """
    scale = 0.5 + difficulty
    return {
        c.model.name: max(0.0, 1.0 - (1.0 - c.model.quality) * scale) for c in candidates if c.model.quality is not None
    }
