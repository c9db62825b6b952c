"""The cascade: one generator that decides, calls, verifies, climbs and books.

filter by constraints → ask the policy → hold money → call → verify → accept or climb. It touches the world only
through the effects that it yields (``effects.py``); the drivers (``drive.py``) perform them and settle the account,
however it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

from router_core.constraints import Outlook, feasible, quality_objection
from router_core.effects import Await, CallModel, Flow, Resume, Tell, Timed, Voice
from router_core.errors import AllAttemptsFailed, AnswersRejected, ConfigError, NoFeasibleModel, StreamBroken
from router_core.events import Accepted, Called, Decided, Escalated, Event, FellBack
from router_core.holding import Purse, held
from router_core.policies.base import Choice, Policy
from router_core.records import Attempt, AttemptOutcome, Candidate, Decision, Reason, Refusal
from router_core.registry import Registry
from router_core.tab import Tab
from router_core.types import (
    ACCEPT,
    TRANSIENT,
    Constraints,
    Failed,
    FailureKind,
    Model,
    Reply,
    RequestView,
    StreamMode,
    Verdict,
)
from router_core.verifiers.base import Verifier


@dataclass(frozen=True, slots=True)
class Rules:
    """What all requests of a router share: the registry, the policy, the verifiers in their order, the outlook, and
    whether a ledger may have budgets."""

    registry: Registry
    policy: Policy
    verifiers: tuple[Verifier, ...]
    outlook: Outlook
    ledger: bool = False

    def with_verifiers(self, *verifiers: Verifier) -> Rules:
        """The same rules with other verifiers."""
        return replace(self, verifiers=verifiers)

    @property
    def purse(self) -> Purse:
        """What holding money needs to know."""
        settings = self.outlook.settings
        return Purse(self.registry.by_name, settings.retries, settings.max_attempts)

    def identity(self, constraints: Constraints) -> dict[str, Any]:
        """What decides about an answer, as part of a cache key: the same in every process."""
        return {
            "models": [model.name for model in self.registry.models],
            "policy": _identity(self.policy),
            "verifiers": [_identity(verifier) for verifier in self.verifiers],
            "constraints": {
                name: sorted(value) if isinstance(value, frozenset) else str(value)
                for name, value in asdict(constraints).items()
            },
            "settings": repr(self.outlook.settings),
        }


_PLAIN = (str, int, float, tuple)


def _identity(thing: Any) -> str:
    fields = {name: getattr(value, "pattern", value) for name, value in getattr(thing, "__dict__", {}).items()}
    plain = {name: value for name, value in fields.items() if isinstance(value, _PLAIN)}
    # Hashed: it is shown, and a verifier of one's own may hold a key.
    return f"{thing.name} {sha256(repr(sorted(plain.items())).encode()).hexdigest()[:16]}" if plain else str(thing.name)


def cascade(rules: Rules, tab: Tab, *, mode: StreamMode = "hold", observed: bool = False) -> Flow[Reply]:
    """Answer the request of ``tab`` and keep its account there.

    ``mode`` says how attempts may speak; it matters to streams only. Without observers (``observed``) no event is made.

    Raises:
        NoFeasibleModel, BudgetExceeded, AllAttemptsFailed, AnswersRejected, StreamBroken; StoreError of its driver;
        ConfigError for a policy's impossible choice; whatever a user's own policy or verifier raises.
    """
    decision = yield from decide(rules, tab)
    decision = tab.decision = (yield from held(rules.purse, tab, decision)) if rules.ledger else decision
    if observed:
        yield from Tell(Decided(tab.request_id, decision))
    ask = _Ask(rules, tab, decision, mode, observed=observed)
    while True:
        model = ask.ladder.current
        tab.in_flight = model
        if observed:
            yield from Tell(Called(tab.request_id, len(tab.attempts) + 1, model.name))
        tab.arrived = timed = yield from CallModel(model, ask.next_voice(), ask.note, tab.caps.get(model.name))
        if timed.complete:
            verdict = yield from _judge(rules.verifiers, tab.request, timed.result)
        else:
            timed, verdict = yield from _judge_beginning(rules, tab, timed)
        if isinstance(timed.result, Failed):
            event = ask.fall_back(tab.book(model, timed, AttemptOutcome.FAILED), timed, timed.result)
        elif verdict.accepted or timed.spoken or ask.final:
            outcome = AttemptOutcome.ACCEPTED if verdict.accepted else AttemptOutcome.SERVED
            attempt = tab.book(model, timed, outcome, verdict)
            tab.reply = timed.result
            if observed:
                yield from Tell(Accepted(tab.request_id, attempt))
            return timed.result
        else:
            event = ask.escalate(tab.book(model, timed, AttemptOutcome.REJECTED, verdict), timed.result, verdict)
        if event is not None:
            yield from Tell(event)


def decide(rules: Rules, tab: Tab) -> Flow[Decision]:
    """The decision for the request of ``tab``, with no model call.

    Raises:
        NoFeasibleModel: the constraints leave no model.
    """
    request = tab.request
    candidates, refusals = feasible(request, rules.registry.models, rules.outlook)
    if not candidates:
        raise NoFeasibleModel(refusals)
    choice = rules.policy.decide(request, candidates)
    if not isinstance(choice, Choice):
        choice = yield from Await(choice, f"the policy {rules.policy.name!r}")
    tab.decision = _explain(request, rules.policy.name, candidates, refusals, choice)
    return tab.decision


def _explain(
    request: RequestView, policy: str, candidates: list[Candidate], refusals: list[Refusal], choice: Choice
) -> Decision:
    names = [candidate.model.name for candidate in candidates]
    if choice.start not in names:
        raise ConfigError(f"the policy {policy!r} chose {choice.start!r}, which is not among the candidates {names}")
    kept = names
    if request.constraints.min_quality is not None:
        kept = []
        for name in names:
            objection = quality_objection(request, choice.quality.get(name))
            if objection is None:
                kept.append(name)
            else:
                refusals.append(Refusal(name, *objection))
        if not kept:
            raise NoFeasibleModel(refusals)
    ladder, fallbacks = _order(names, kept, choice)
    return Decision(
        policy=policy,
        reason=_reason(request, choice, start=ladder[0], alone=len(kept) == 1),
        ladder=ladder,
        fallbacks=fallbacks,
        candidates=tuple(candidates if kept is names else [c for c in candidates if c.model.name in kept]),
        refusals=tuple(refusals),
        quality=choice.quality,
        score=choice.score,
        confidence=choice.confidence,
        features=choice.features,
    )


def _order(names: list[str], kept: list[str], choice: Choice) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ladder and the fallbacks among the models ``kept`` of ``names``; both in tier order, weakest first."""
    at = names.index(choice.start)
    if kept is names and choice.order is None:
        return tuple(names[at:]), tuple(names[at - 1 :: -1] if at else ())
    if choice.order is not None:
        ladder = [name for name in dict.fromkeys((choice.start, *choice.order)) if name in kept]
    else:
        ladder = [name for name in names[at:] if name in kept]
    weaker = [name for name in reversed(names) if name in kept and name not in ladder]
    # Quality may have removed the start and everything above it: then the best of the rest starts.
    return (tuple(ladder), tuple(weaker)) if ladder else ((weaker[0],), tuple(weaker[1:]))


def _reason(request: RequestView, choice: Choice, *, start: str, alone: bool) -> Reason:
    if request.constraints.force_model is not None:
        return Reason.FORCED
    if start != choice.start:
        return Reason.QUALITY
    return Reason.ONLY_FEASIBLE if alone else choice.reason


class _Ask:
    """Where a request stands: the ladder, how many calls are left, and what follows from both."""

    __slots__ = ("_limit", "_mode", "_observed", "_serve", "_tab", "_tell_why", "_verified", "final", "ladder", "note")

    def __init__(self, rules: Rules, tab: Tab, decision: Decision, mode: StreamMode, *, observed: bool) -> None:
        settings = rules.outlook.settings
        self._tab = tab
        self._mode = mode
        self._observed = observed
        self._verified = bool(rules.verifiers)
        self._serve = settings.on_rejected == "serve"
        self._tell_why = settings.tell_why
        self._limit = tab.request.constraints.max_attempts or settings.max_attempts
        self.note: str | None = None
        self.final = False
        models = rules.registry.by_name
        self.ladder = Ladder(
            [models[name] for name in decision.ladder], [models[name] for name in decision.fallbacks], settings.retries
        )

    def next_voice(self) -> Voice:
        """How the coming call may speak. ``final`` is then whether its answer is served even if a verifier dislikes it,
        because nothing can replace it."""
        last = not self.ladder.can_climb or len(self._tab.attempts) + 1 == self._limit
        self.final = last and self._serve
        if self.final or self._mode == "commit" or not self._verified:
            return Voice.LIVE
        return Voice.PREFIX if self._mode == "prefix" else Voice.HELD

    def escalate(self, attempt: Attempt, reply: Reply, verdict: Verdict) -> Event | None:
        """Climb after a rejected answer."""
        if self._last_was(attempt) or not self.ladder.can_climb:
            raise AnswersRejected(self._tab.attempts, reply)
        to = self.ladder.climb()
        if self._tell_why:
            self.note = f"An earlier answer to this was rejected as {verdict.code}: {verdict.detail}"
        return Escalated(self._tab.request_id, attempt, verdict, to.name) if self._observed else None

    def fall_back(self, attempt: Attempt, timed: Timed, failed: Failed) -> Event | None:
        """Go on after a failed call."""
        if timed.spoken:
            said = "" if timed.partial is None else timed.partial.text
            raise StreamBroken(attempt.model, said, failed.kind.value) from failed.error
        to = None if self._last_was(attempt) else self.ladder.after(failed)
        if to is None:
            raise AllAttemptsFailed(self._tab.attempts) from failed.error
        return FellBack(self._tab.request_id, attempt, failed.kind, to.name) if self._observed else None

    def _last_was(self, attempt: Attempt) -> bool:
        return attempt.number == self._limit


class Ladder:
    """The models that a request may still go to. ``up`` are the start and what it may climb to, ``down`` the weaker
    ones, nearest first, for failures only."""

    __slots__ = ("_down", "_retries", "_up", "current")

    def __init__(self, up: Iterable[Model], down: Iterable[Model], retries: int) -> None:
        # Stacks: the next model is the last.
        self._up = list(up)[::-1]
        self._down = list(down)[::-1]
        self._retries = retries
        self.current = self._up.pop()

    @property
    def can_climb(self) -> bool:
        """Whether a stronger model is left."""
        return bool(self._up)

    def climb(self) -> Model:
        """Go to the next stronger model."""
        self.current = self._up.pop()
        return self.current

    def after(self, failed: Failed) -> Model | None:
        """Go to the model to ask after a failure: the next stronger, else the next weaker one, else the same again
        while it may pass and tries are left; None if nothing is left."""
        for rest in (self._up, self._down):
            while rest:
                model = rest.pop()
                if not _shares_fate(model, self.current, failed.kind):
                    self.current = model
                    return model
        if failed.kind in TRANSIENT and self._retries > 0:
            self._retries -= 1
            return self.current
        return None


def _shares_fate(model: Model, failed: Model, kind: FailureKind) -> bool:
    """Whether a model is sure to fail in the same way: the same key, or a window that is no larger."""
    if kind is FailureKind.AUTH:
        return model.endpoint == failed.endpoint
    if kind is FailureKind.CONTEXT_OVERFLOW and None not in (model.context_window, failed.context_window):
        return (model.context_window or 0) <= (failed.context_window or 0)
    return False


def _judge(verifiers: Sequence[Verifier], request: RequestView, result: Reply | Failed) -> Flow[Verdict]:
    """The first objection, in the order of the verifiers."""
    if isinstance(result, Reply):
        for verifier in verifiers:
            verdict = verifier.check(request, result)
            if not isinstance(verdict, Verdict):
                verdict = yield from Await(verdict, f"the verifier {verifier.name!r}")
            if not verdict.accepted:
                return verdict
    return ACCEPT


def _judge_beginning(rules: Rules, tab: Tab, timed: Timed) -> Flow[tuple[Timed, Verdict]]:
    """Judge the held beginning of a stream; if it passes, let the rest speak and note what the verifiers say of it."""
    verdict = yield from _judge([v for v in rules.verifiers if v.judges_prefix], tab.request, timed.result)
    if verdict.accepted:
        tab.arrived = None
        tab.arrived = timed = yield from Resume()
        verdict = yield from _judge(rules.verifiers, tab.request, timed.result)
    return timed, verdict
