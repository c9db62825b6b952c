"""A verifier that has several cheap models answer at once and takes what they agree on."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from router_core.errors import ConfigError
from router_core.events import Event, Settled
from router_core.learning.agreement import Kind, agree
from router_core.learning.consensus import Payoff, Seen, is_sampled, payoff
from router_core.records import Attempt, AttemptOutcome, AttemptRole, Feedback, Receipt
from router_core.types import ACCEPT, Failed, Json, Model, Reply, RequestView, Verdict

_SITES = 1_000
"""Call sites that are remembered, and agreed answers that may still be judged."""
_PAIR = 2


@dataclass(slots=True)
class _Site:
    """What is known of a call site."""

    seen: Seen = field(default_factory=Seen)
    on: bool = True
    requests: int = 0


class ConsensusVerifier:
    """Two cheap models, or ``samples`` of one, answer at the same time; what a majority agrees on is accepted, else the
    request climbs above all of them.

    Numbers, choices, JSON, code and short texts are compared by what they say (``learning.agreement``); what cannot be
    compared does not agree. The calls are attempts of the roles ``answer`` and ``consensus``. It is asked for the first
    answer of a request only, and not where tools, streams that commit, or the last model are in play.

    It loses money where the cheap models are weak or cost more than about 15 % of the strong one. That is estimated for
    each call site from its receipts (``learning.consensus``): where it does not pay, it is switched off, and one
    request in twenty is compared to see whether it does again; decisions tell so in the feature ``consensus``.

    Args:
        models: two or more registry names of cheap models; consensus is sought where a request starts with one of them.
        samples: how many answers of the starting model are compared, instead of ``models``: 2 or more. Worth something
            only where it does not say the same each time.
        kind: what answers are: "number", "choice", "json", "code", "text", or "auto".
        always: never switch it off.

    Raises:
        ConfigError: a setting is not what it must be.
    """

    name = "consensus"
    judges_prefix = False

    def __init__(
        self, models: Sequence[str] = (), *, samples: int | None = None, kind: Kind = "auto", always: bool = False
    ) -> None:
        if isinstance(models, str) or not all(name and isinstance(name, str) for name in models):
            raise ConfigError(f"verifiers.consensus.models: {models!r} is no list of registry names")
        if (samples is None) == (not models):
            raise ConfigError("verifiers.consensus: give models, two at least, or samples, and not both")
        if samples is not None and (isinstance(samples, bool) or not isinstance(samples, int) or samples < _PAIR):  # type: ignore[redundant-expr]
            raise ConfigError(f"verifiers.consensus.samples: {samples!r} is not a whole number from 2 on")
        if samples is None and len(set(models)) < _PAIR:
            raise ConfigError(f"verifiers.consensus.models: {list(models)} are not two; give models that differ")
        if kind not in get_args(Kind):
            raise ConfigError(f"verifiers.consensus.kind: {kind!r} is unknown; give one of {', '.join(get_args(Kind))}")
        self.asks = self._models = tuple(dict.fromkeys(models))
        self._samples = samples
        self._kind: Kind = kind
        self._always = always
        self._lock = threading.Lock()
        self._sites: OrderedDict[str, _Site] = OrderedDict()
        self._agreed: OrderedDict[str, str] = OrderedDict()

    def check(self, request: RequestView, reply: Reply) -> Verdict:  # noqa: ARG002
        """One answer alone is not compared."""
        return ACCEPT

    def others(self, request: RequestView, model: Model, candidates: Sequence[str]) -> Sequence[str]:
        """Who answers beside the model, unless it does not pay here."""
        if request.tools or not self._is_due(request):
            return ()
        if self._samples is not None:
            return (model.name,) * (self._samples - 1)
        if model.name not in self._models:
            return ()
        return tuple(name for name in self._models if name != model.name and name in candidates)

    def compare(self, request: RequestView, results: Sequence[Reply | Failed]) -> tuple[int, Verdict]:
        """The answer that most of them gave."""
        asked = request.user_texts[-1] if request.user_texts else ""
        groups: list[list[int]] = []
        for at, result in enumerate(results):
            if isinstance(result, Failed):
                continue
            for group in groups:
                first = results[group[0]]
                if isinstance(first, Reply) and agree(first.text, result.text, kind=self._kind, request=asked):
                    group.append(at)
                    break
            else:
                groups.append([at])
        largest = max(groups, key=len, default=[0])
        if 2 * len(largest) > len(results):
            return largest[0], ACCEPT
        said = Counter("failed" if isinstance(result, Failed) else "answered" for result in results)
        detail = f"{len(largest)} of {len(results)} agree" + (f", {said['failed']} failed" if said["failed"] else "")
        return 0, Verdict(accepted=False, code=self.name, detail=detail)

    def forecast(self, request: RequestView) -> Mapping[str, Json]:
        """Whether it is on here, and why."""
        payoff = self._payoff(self._site_of(request))
        return {"consensus": f"{'on' if payoff.on else 'off'}: {payoff.why}"}

    def observe(self, event: Event) -> None:
        """Learn from what a request cost, and from what is said of it later."""
        if isinstance(event, Settled) and event.request is not None:
            self._learn(event.receipt, event.request.call_site or "")
        elif isinstance(event, Feedback):
            with self._lock:
                site = self._agreed.pop(event.request_id, None)
                if site is not None:
                    known = self._sites[site] if site in self._sites else _Site()
                    seen = known.seen
                    known.seen = replace(seen, good=seen.good + event.score, bad=seen.bad + 1 - event.score)

    def _learn(self, receipt: Receipt, site: str) -> None:
        beside = [attempt for attempt in receipt.attempts if attempt.role is AttemptRole.CONSENSUS]
        first = next((attempt for attempt in receipt.attempts if attempt.role is AttemptRole.ANSWER), None)
        if first is None or first.outcome is AttemptOutcome.CANCELLED:
            return
        with self._lock:
            known = self._sites.setdefault(site, _Site())
            self._sites.move_to_end(site)
            while len(self._sites) > _SITES:
                self._sites.popitem(last=False)
            if beside:
                differed = (
                    first.outcome is AttemptOutcome.REJECTED and first.verdict and first.verdict.code == self.name
                )
                known.seen = _with(known.seen, [first, *beside], agreed=not differed)
                if not differed:
                    self._agreed[receipt.request_id] = site
                    while len(self._agreed) > _SITES:
                        self._agreed.popitem(last=False)
            strong = _strong_nano(receipt, first)
            if strong is not None:
                known.seen = replace(known.seen, strong_nano=_mean(known.seen.strong_nano, strong))
            known.requests += 1
            known.on = payoff(known.seen, is_on=known.on).on

    def _site_of(self, request: RequestView) -> _Site:
        with self._lock:
            return self._sites.get(request.call_site or "") or _Site()

    def _payoff(self, site: _Site) -> Payoff:
        if self._always:
            return Payoff(on=True, why="always on")
        return payoff(site.seen, is_on=site.on)

    def _is_due(self, request: RequestView) -> bool:
        site = self._site_of(request)
        return self._payoff(site).on or is_sampled(site.requests)


def _with(seen: Seen, cheap: Sequence[Attempt], *, agreed: bool) -> Seen:
    """What is seen with one comparison more."""
    seen = seen.faded()
    costs = [attempt.cost_nano for attempt in cheap]
    known = [cost for cost in costs if cost is not None]
    together = sum(known) if len(known) == len(costs) else None
    return replace(
        seen,
        agreed=seen.agreed + agreed,
        disagreed=seen.disagreed + (not agreed),
        cheap_nano=seen.cheap_nano if together is None else _mean(seen.cheap_nano, together),
    )


def _strong_nano(receipt: Receipt, first: Attempt) -> int | None:
    """What the strong model cost, or would have cost by the prediction of the request."""
    last, decision = receipt.last, receipt.decision
    if last is not None and last.model != first.model:
        return last.cost_nano
    return decision.candidates[-1].cost_nano if decision is not None and decision.candidates else None


def _mean(before: float | None, cost: int) -> float:
    """A running mean that forgets."""
    return float(cost) if before is None else 0.95 * before + 0.05 * cost
