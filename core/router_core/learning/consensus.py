"""Whether consensus pays: asking two cheap models and, only where they disagree, the strong one.

It costs the cheap calls every time and saves a strong call whenever they agree, so it pays while the share of
agreements is above the cheap calls' share of a strong call's cost. Two cheap models that are right half of the time
seldom agree, and where they cost more than about 15 % of the strong model there is little to win.

The estimate is per call site, from its receipts. It starts from trying: consensus is on until the evidence says that it
does not pay. Where it is off, one request in ``SAMPLE_EVERY`` is compared all the same, so that the counts go on; with
counts that forget (``Seen.faded``) it comes back by itself once the models or the traffic have changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from router_core.learning.beta import Beta

LEAST_SEEN = 20
"""Comparisons at a call site before consensus may be switched off there: below, chance decides."""
SAMPLE_EVERY = 20
"""Where consensus is off, one request in so many is compared: 5 % of the cheap calls' cost."""
MEMORY = 200
"""Comparisons that the counts remember: older ones fade."""

_SURE = 0.9
"""How sure it must be that consensus loses before it is switched off."""
_UNSURE = 0.5
"""Where it is off: how likely it must be that consensus pays before it is switched on again. Less than it takes to
switch off, so that it does not flutter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the receipts of a call site say.

    ``agreed`` and ``disagreed`` count comparisons (fractions after fading). Costs are means in nano-dollars: of all
    cheap calls of one request together, and of one call of the strong model; None is unknown. Of the agreed answers
    that were judged later, by feedback or an auditor, ``good`` were good and ``bad`` were not.
    """

    agreed: float = 0.0
    disagreed: float = 0.0
    cheap_nano: float | None = None
    strong_nano: float | None = None
    good: float = 0.0
    bad: float = 0.0

    @property
    def compared(self) -> float:
        """How many comparisons there are."""
        return self.agreed + self.disagreed

    def faded(self) -> Seen:
        """The counts with the weight of ``MEMORY`` comparisons at most: keep these before one more is added."""
        share = min(1.0, MEMORY / self.compared) if self.compared else 1.0
        return replace(
            self,
            agreed=self.agreed * share,
            disagreed=self.disagreed * share,
            good=self.good * share,
            bad=self.bad * share,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Payoff:
    """The estimate, and what follows from it.

    ``with_nano`` and ``without_nano`` are the expected cost of one request with consensus and with the strong model
    alone, in nano-dollars (None: unknown); ``agreement`` is the expected share of agreements, ``needed`` the share from
    which it pays. ``on`` is the decision and ``why`` the reason for people.
    """

    on: bool
    why: str
    with_nano: float | None = None
    without_nano: float | None = None
    agreement: float | None = None
    needed: float | None = None


def payoff(seen: Seen, *, is_on: bool = True, least_good: float = 0.8) -> Payoff:
    """Whether consensus is to be on at a call site.

    Args:
        seen: what its receipts say.
        is_on: whether it is on now: switching off takes more evidence than staying off.
        least_good: the share of agreed answers that must be good, 0..1, where it is known.
    """
    if seen.compared < LEAST_SEEN:
        return Payoff(on=True, why=f"{seen.compared:.0f} of {LEAST_SEEN} comparisons seen: too few to tell")
    good = Beta(1 + seen.good, 1 + seen.bad)
    if seen.good + seen.bad >= LEAST_SEEN and good.below(least_good) >= (_SURE if is_on else _UNSURE):
        return Payoff(on=False, why=f"of the agreed answers {good.mean:.0%} were good, {least_good:.0%} are demanded")
    if not seen.strong_nano or seen.cheap_nano is None:
        return Payoff(on=True, why="the cost of a strong or of the cheap calls is unknown")
    needed = seen.cheap_nano / seen.strong_nano
    agreement = Beta(1 + seen.agreed, 1 + seen.disagreed)
    losing = agreement.below(needed)
    on = losing < (_SURE if is_on else _UNSURE)
    return Payoff(
        on=on,
        why=(
            f"the cheap models agree on {agreement.mean:.0%} of {seen.compared:.0f} requests and cost {needed:.0%} of "
            f"the strong one: consensus {'pays' if losing < _UNSURE else 'may still pay' if on else 'does not pay'}"
        ),
        with_nano=seen.cheap_nano + (1 - agreement.mean) * seen.strong_nano,
        without_nano=seen.strong_nano,
        agreement=agreement.mean,
        needed=needed,
    )


def is_sampled(number: int) -> bool:
    """Whether the ``number``-th request (from 0) of a call site where consensus is off is compared all the same."""
    return number % SAMPLE_EVERY == SAMPLE_EVERY - 1
