"""The cascade: one generator that decides, calls, verifies, climbs and books.

filter by constraints → ask the policy → hold money → call → verify → accept or climb. It touches the world only
through the effects that it yields (``effects.py``); the drivers (``drive.py``) perform them and settle the account,
however it ends.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Any

from router_core.budget import PlannedCall
from router_core.constraints import Outlook, feasible, quality_objection
from router_core.consult import (
    Compares,
    Consults,
    book_consulted,
    consult_plan,
    consulted,
    opinion_plan,
    unasked,
)
from router_core.effects import Await, CallMany, CallModel, Flow, Limits, Resume, Tell, Timed, Voice
from router_core.errors import AllAttemptsFailed, AnswersRejected, ConfigError, NoFeasibleModel, StreamBroken
from router_core.events import Accepted, Called, Decided, Escalated, Event, FellBack, Observer
from router_core.holding import Purse, held
from router_core.ladder import Ladder
from router_core.policies.base import Choice, Policy, Remembers
from router_core.records import Attempt, AttemptOutcome, AttemptRole, Candidate, Decision, Reason, Refusal
from router_core.registry import Registry
from router_core.tab import Flight, Tab
from router_core.types import (
    ACCEPT,
    Constraints,
    Failed,
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
    whether a ledger may have budgets.

    Raises:
        ConfigError: a policy or a verifier ``asks`` a model that is not in the registry.
    """

    registry: Registry
    policy: Policy
    verifiers: tuple[Verifier, ...]
    outlook: Outlook
    ledger: bool = False
    comparing: Compares | None = field(init=False)
    """The verifier that has several models answer at once, if there is one."""
    learners: tuple[Observer, ...] = field(init=False)
    """What the policy and the verifiers want to be told of events: the ``observe`` of those that have one."""
    asks_first: Consults | None = field(init=False)
    """The policy, if it asks models."""
    ask_later: tuple[Consults, ...] = field(init=False)
    """The verifiers that ask models."""
    remembers: bool = field(init=False)
    """Whether the policy keeps what it learns."""

    def __post_init__(self) -> None:
        found = next((verifier for verifier in self.verifiers if isinstance(verifier, Compares)), None)
        object.__setattr__(self, "comparing", found)
        object.__setattr__(self, "asks_first", self.policy if isinstance(self.policy, Consults) else None)
        object.__setattr__(self, "ask_later", tuple(each for each in self.verifiers if isinstance(each, Consults)))
        object.__setattr__(self, "remembers", isinstance(self.policy, Remembers))
        for each in (self.policy, *self.verifiers):
            for name in getattr(each, "asks", ()):
                self.registry.find(name)
        learning = (getattr(each, "observe", None) for each in (self.policy, *self.verifiers))
        object.__setattr__(self, "learners", tuple(observe for observe in learning if observe is not None))

    def with_verifiers(self, *verifiers: Verifier) -> Rules:
        """The same rules with other verifiers."""
        return replace(self, verifiers=verifiers)

    def purse(self, tab: Tab, candidates: Sequence[str]) -> Purse:
        """What holding money for a request needs to know."""
        settings = self.outlook.settings
        most = tab.request.constraints.max_attempts or settings.max_attempts or len(candidates) + settings.retries
        beside: list[PlannedCall] = []
        if self.asks_first is not None:
            beside += consult_plan(self.asks_first, self.registry, tab, candidates)
        for each in self.ask_later:
            beside += consult_plan(each, self.registry, tab, candidates) * most
        if self.comparing is not None:
            beside += opinion_plan(self.comparing, self.registry, tab, candidates)
        return Purse(self.registry.by_name, settings.retries, settings.max_attempts, tuple(beside))

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
    tab.observed = observed
    tab.decision = decision = yield from (
        _decide_and_hold(rules, tab) if rules.ledger else _decide(rules, tab, *_candidates(rules, tab))
    )
    if observed:
        yield from Tell(Decided(tab.request_id, decision))
    ask = _Ask(rules, tab, decision, mode)
    while True:
        flight, timed, verdict = yield from _attempt(rules, tab, ask)
        if isinstance(timed.result, Failed):
            event = ask.fall_back(tab.book(flight, timed, AttemptOutcome.FAILED), timed, timed.result)
        elif verdict.accepted or timed.spoken or ask.final:
            outcome = AttemptOutcome.ACCEPTED if verdict.accepted else AttemptOutcome.SERVED
            attempt = tab.book(flight, timed, outcome, verdict)
            tab.reply = timed.result
            if observed:
                yield from Tell(Accepted(tab.request_id, attempt))
            return timed.result
        else:
            event = ask.escalate(tab.book(flight, timed, AttemptOutcome.REJECTED, verdict), timed.result, verdict)
        if event is not None:
            yield from Tell(event)


def _attempt(rules: Rules, tab: Tab, ask: _Ask) -> Flow[tuple[Flight, Timed, Verdict]]:
    """One answer, and what the verifiers say of it."""
    voice = ask.next_voice()
    model, comparing = ask.ladder.current, rules.comparing
    others = () if comparing is None else ask.others(comparing)
    flight = tab.depart(model)
    if others and comparing is not None:
        return (yield from _compared(rules, comparing, tab, flight, others))
    if tab.observed:
        yield from Tell(Called(tab.request_id, flight.number, model.name))
    # The effect itself, for ``yield from`` would make a generator of each.
    timed: Timed = yield CallModel(model, voice, ask.note, tab.caps.get(model.name), flight.number)
    flight.arrived = timed
    if timed.complete:
        return flight, timed, (yield from _judge(rules, tab, rules.verifiers, timed.result))
    return flight, *(yield from _judge_beginning(rules, tab, flight, timed))


def _compared(
    rules: Rules, comparing: Compares, tab: Tab, first: Flight, others: Sequence[Model]
) -> Flow[tuple[Flight, Timed, Verdict]]:
    """The answer of several models that the others bear out, and what the verifiers say of it."""
    flights = [first, *(tab.depart(model, AttemptRole.CONSENSUS) for model in others)]
    if tab.observed:
        for each in flights:
            yield from Tell(Called(tab.request_id, each.number, each.model.name))
    calls = [CallModel(f.model, Voice.HELD, None, tab.caps.get(f.model.name), f.number) for f in flights]
    came = yield from CallMany(tuple(calls))
    chosen, verdict = comparing.compare(tab.request, [timed.result for timed in came])
    for at, (flight, timed) in enumerate(zip(flights, came, strict=True)):
        flight.role = AttemptRole.ANSWER if at == chosen else AttemptRole.CONSENSUS
        if at != chosen:
            yield from book_consulted(tab, flight, timed)
    if verdict.accepted:
        verdict = yield from _judge(rules, tab, rules.verifiers, came[chosen].result)
    return flights[chosen], came[chosen], verdict


def _decide_and_hold(rules: Rules, tab: Tab) -> Flow[Decision]:
    """The decision, with the money for it held. A policy that asks models spends some itself: then as much is held
    first as any decision may cost.

    Raises:
        NoFeasibleModel, BudgetExceeded.
    """
    if rules.remembers:
        yield from Limits()  # opens the store that it remembers in
    candidates, refusals = _candidates(rules, tab)
    names = tuple(candidate.model.name for candidate in candidates)
    purse = rules.purse(tab, names)
    if rules.asks_first is None:
        return (yield from held(purse, tab, (yield from _decide(rules, tab, candidates, refusals))))
    whole = Decision(rules.policy.name, Reason.ONLY_FEASIBLE, names, (), tuple(candidates), tuple(refusals))
    bearable = yield from held(purse, tab, whole)
    left = [candidate for candidate in candidates if candidate.model.name in bearable.ladder]
    decision = yield from _decide(rules, tab, left, refusals)
    return decision if bearable is whole else decision._replace(reason=Reason.BUDGET)


def decide(rules: Rules, tab: Tab, *, consult: bool = True) -> Flow[Decision]:
    """The decision for the request of ``tab``. Unless it may ``consult`` others, it makes no model call.

    Raises:
        NoFeasibleModel: the constraints leave no model.
    """
    return (yield from _decide(rules, tab, *_candidates(rules, tab), consult=consult))


def _candidates(rules: Rules, tab: Tab) -> tuple[list[Candidate], list[Refusal]]:
    candidates, refusals = feasible(tab.request, rules.registry.models, rules.outlook)
    if not candidates:
        raise NoFeasibleModel(refusals)
    return candidates, refusals


def _decide(
    rules: Rules, tab: Tab, candidates: list[Candidate], refusals: list[Refusal], *, consult: bool = True
) -> Flow[Decision]:
    policy, request = rules.policy, tab.request
    choice = policy.decide(request, candidates)
    if not isinstance(choice, Choice):
        if not isinstance(choice, Generator):
            choice = yield from Await(choice, f"the policy {policy.name!r}")
        elif consult:
            choice = yield from consulted(rules.registry, tab, choice, AttemptRole.POLICY)
        else:
            choice = unasked(choice)
    decision = _explain(request, policy.name, candidates, refusals, choice)
    if rules.comparing is not None:
        decision = decision._replace(features={**decision.features, **rules.comparing.forecast(request)})
    tab.decision = decision
    return decision


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
        policy,
        _reason(request, choice, start=ladder[0], alone=len(kept) == 1),
        ladder,
        fallbacks,
        tuple(candidates if kept is names else [c for c in candidates if c.model.name in kept]),
        tuple(refusals),
        choice.quality,
        choice.score,
        choice.confidence,
        choice.features,
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

    __slots__ = (
        "_limit",
        "_made",
        "_mode",
        "_rules",
        "_settings",
        "_tab",
        "final",
        "ladder",
        "note",
    )

    def __init__(self, rules: Rules, tab: Tab, decision: Decision, mode: StreamMode) -> None:
        self._rules = rules
        self._settings = settings = rules.outlook.settings
        self._tab = tab
        self._mode = mode
        self._limit = tab.request.constraints.max_attempts or settings.max_attempts
        self._made = 0
        self.note: str | None = None
        self.final = False
        self.ladder = Ladder(rules.registry.by_name, decision.ladder, decision.fallbacks, settings.retries)

    def next_voice(self) -> Voice:
        """How the coming call may speak. ``final`` is then whether its answer is served even if a verifier dislikes it,
        because nothing can replace it."""
        self._made += 1
        last = self._made == self._limit or not self.ladder.can_climb
        self.final = last and self._settings.on_rejected == "serve"
        if self.final or self._mode == "commit" or not self._rules.verifiers:
            return Voice.LIVE
        return Voice.PREFIX if self._mode == "prefix" else Voice.HELD

    def others(self, comparing: Compares) -> Sequence[Model]:
        """The models that answer beside the first, to be compared with it. They are not climbed to afterwards."""
        request = self._tab.request
        if self._made > 1 or self.final or self._mode == "commit":
            return ()
        decision = self._tab.decision
        candidates = [candidate.model.name for candidate in decision.candidates] if decision else []
        models = self._rules.registry.by_name
        names = comparing.others(request, self.ladder.current, candidates)
        # Where nobody is left to climb to, it makes no difference whether they agree.
        return [models[name] for name in names] if self.ladder.above(set(names)) else ()

    def escalate(self, attempt: Attempt, reply: Reply, verdict: Verdict) -> Event | None:
        """Climb after a rejected answer."""
        if self._made == self._limit or not self.ladder.can_climb:
            raise AnswersRejected(self._tab.attempts, reply)
        to = self.ladder.climb()
        if self._settings.tell_why:
            self.note = f"An earlier answer to this was rejected as {verdict.code}: {verdict.detail}"
        return Escalated(self._tab.request_id, attempt, verdict, to.name) if self._tab.observed else None

    def fall_back(self, attempt: Attempt, timed: Timed, failed: Failed) -> Event | None:
        """Go on after a failed call."""
        if timed.spoken:
            said = "" if timed.partial is None else timed.partial.text
            raise StreamBroken(attempt.model, said, failed.kind.value) from failed.error
        to = None if self._made == self._limit else self.ladder.after(failed)
        if to is None:
            raise AllAttemptsFailed(self._tab.attempts) from failed.error
        return FellBack(self._tab.request_id, attempt, failed.kind, to.name) if self._tab.observed else None


def _judge(rules: Rules, tab: Tab, verifiers: Sequence[Verifier], result: Reply | Failed) -> Flow[Verdict]:
    """The first objection, in the order of the verifiers; else the last word that is more than a yes."""
    accepted = ACCEPT
    if isinstance(result, Reply):
        for verifier in verifiers:
            verdict = verifier.check(tab.request, result)
            if not isinstance(verdict, Verdict):
                if isinstance(verdict, Generator):
                    verdict = yield from consulted(rules.registry, tab, verdict, AttemptRole.JUDGE)
                else:
                    verdict = yield from Await(verdict, f"the verifier {verifier.name!r}")
            if not verdict.accepted:
                return verdict
            accepted = accepted if verdict is ACCEPT else verdict
    return accepted


def _judge_beginning(rules: Rules, tab: Tab, flight: Flight, timed: Timed) -> Flow[tuple[Timed, Verdict]]:
    """Judge the held beginning of a stream; if it passes, let the rest speak and note what the verifiers say of it."""
    verdict = yield from _judge(rules, tab, [v for v in rules.verifiers if v.judges_prefix], timed.result)
    if verdict.accepted:
        flight.arrived = None
        flight.arrived = timed = yield from Resume()
        verdict = yield from _judge(rules, tab, rules.verifiers, timed.result)
    return timed, verdict
