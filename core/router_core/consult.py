"""Asking models on the way: judges that choose or grade, and second opinions that are compared.

A policy or a verifier that wants to ask is a generator: it yields a ``Consult`` and receives the reply, or the failure,
which must not stop it. Each such call is an attempt of its own, with its role, in the receipt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from router_core.budget import PlannedCall, plan_call
from router_core.effects import CallMany, CallModel, Consult, Consultation, Flow, Tell, Timed, Voice
from router_core.events import Called, Consulted
from router_core.records import AttemptOutcome, AttemptRole
from router_core.registry import Registry
from router_core.tab import Flight, Tab
from router_core.types import Failed, FailureKind, Json, Model, Reply, RequestView, Verdict

R = TypeVar("R")


class ConsultBound(NamedTuple):
    """The worst case of asking a model something: the bytes that it is sent, the tokens that it may answer."""

    model: str
    input_bytes: int
    max_tokens: int


@runtime_checkable
class Consults(Protocol):
    """A policy or a verifier that asks models. Budgets hold what it may cost before the first call.

    Where it has a tuple ``asks`` of their names, a router that lacks one says so when it is made.
    """

    def consult_bounds(self, request: RequestView, candidates: Sequence[str]) -> Sequence[ConsultBound]:
        """Each call that it may make, a policy for the request, a verifier for each answer, by the names of the models
        that may answer."""
        ...


@runtime_checkable
class Compares(Protocol):
    """A verifier that compares the first answer with those of other models, which are asked at the same time."""

    def others(self, request: RequestView, model: Model, candidates: Sequence[str]) -> Sequence[str]:
        """The candidates to ask beside ``model``, which may occur among them: then it is asked once more. None if this
        request is not to be compared."""
        ...

    def compare(self, request: RequestView, results: Sequence[Reply | Failed]) -> tuple[int, Verdict]:
        """Which of the results is to be served, and whether the others bear it out. The first is of the model itself,
        the rest of the ``others``, in their order."""
        ...

    def forecast(self, request: RequestView) -> Mapping[str, Json]:
        """Whether it will compare, and why or why not: features of the decision."""
        ...


def consulted(registry: Registry, tab: Tab, consultation: Consultation[R], role: AttemptRole) -> Flow[R]:
    """What a policy or a verifier concludes after asking.

    Raises:
        ConfigError: it asks a model that is not in the registry.
    """
    heard: Reply | Failed | None = None
    while True:
        try:
            consult = consultation.send(heard)  # type: ignore[arg-type]  # None begins it
        except StopIteration as done:
            result: R = done.value
            return result
        heard = yield from _ask(registry.find(consult.model), tab, consult, role)


def unasked(consultation: Consultation[R]) -> R:
    """What a policy concludes when it may ask nobody."""
    failed = Failed(RuntimeError("no model is asked to explain a decision"), FailureKind.UNKNOWN)
    heard: Reply | Failed | None = None
    while True:
        try:
            consultation.send(heard)  # type: ignore[arg-type]  # None begins it
        except StopIteration as done:
            result: R = done.value
            return result
        heard = failed


def _ask(model: Model, tab: Tab, consult: Consult, role: AttemptRole) -> Flow[Reply | Failed]:
    flight = tab.depart(model, role, consult.question)
    if tab.observed:
        yield from Tell(Called(tab.request_id, flight.number, model.name))
    call = CallModel(model, Voice.HELD, None, consult.question.max_tokens, flight.number, consult.question)
    (timed,) = yield from CallMany((call,), consult.timeout_s)
    yield from book_consulted(tab, flight, timed)
    return timed.result


def book_consulted(tab: Tab, flight: Flight, timed: Timed) -> Flow[None]:
    """Enter a call whose answer is not served."""
    outcome = AttemptOutcome.FAILED if isinstance(timed.result, Failed) else AttemptOutcome.CONSULTED
    attempt = tab.book(flight, timed, outcome)
    if tab.observed:
        yield from Tell(Consulted(tab.request_id, attempt))


def consult_plan(asking: Consults, registry: Registry, tab: Tab, candidates: Sequence[str]) -> list[PlannedCall]:
    """The worst case of what a policy asks for the request, or a verifier for each answer."""
    planned = []
    for bound in asking.consult_bounds(tab.request, candidates):
        asked = RequestView(turns=(), input_bytes=bound.input_bytes, max_tokens=bound.max_tokens)
        planned.append(plan_call(registry.find(bound.model), asked, tab.outlook.prices))
    return planned


def opinion_plan(comparing: Compares, registry: Registry, tab: Tab, candidates: Sequence[str]) -> list[PlannedCall]:
    """The worst case of what is asked beside the first answer, whichever model gives it."""
    names: Counter[str] = Counter()
    for name in candidates:
        names |= Counter(comparing.others(tab.request, registry.find(name), candidates))
    return [plan_call(registry.find(name), tab.request, tab.outlook.prices) for name in names.elements()]
