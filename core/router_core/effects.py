"""What the engine asks of the world, and the port through which a host answers.

The engine is a generator. It yields an effect and receives the result; it never waits, reads a clock or calls a model
itself. An effect is a small class, only to be read, that knows its result type, so that ``reply = yield from
CallModel(...)`` is typed. The list is closed: drivers end their dispatch in ``assert_never``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Generator, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from router_core.budget import Budget, Plan
from router_core.records import Shortfall

if TYPE_CHECKING:
    from router_core.errors import BudgetExceeded
    from router_core.events import Event
    from router_core.types import Failed, Model, Question, Reply

R = TypeVar("R")
P = TypeVar("P")
C = TypeVar("C")


class _Effect(Generic[R]):
    """A request to the world; ``yield from effect`` has type ``R``."""

    __slots__ = ()

    def __iter__(self) -> Generator[Effect, Any, R]:
        result: R = yield self  # type: ignore[misc]  # every subclass is in the union Effect
        return result


class Voice(Enum):
    """How an attempt may speak while it streams."""

    HELD = "held"
    """Nothing is shown before the answer is accepted."""
    PREFIX = "prefix"
    """The first tokens are held and judged; ``Resume`` then lets the rest speak live."""
    LIVE = "live"
    """Nothing can reject the answer any more: every chunk is shown at once."""


class Timed(NamedTuple):
    """The result of a call: what came, after how many seconds, and when the first chunk of a stream did.

    ``spoken`` says that a part was already shown, ``complete`` is False for the judged beginning of a stream,
    ``partial`` is what had arrived of a stream that failed.
    """

    result: Reply | Failed
    seconds: float
    first_token_s: float | None = None
    spoken: bool = False
    complete: bool = True
    partial: Reply | None = None


# Not frozen, like ``Tell``: one is made for each call, and a frozen one takes three times as long.
@dataclass(slots=True)
class CallModel(_Effect[Timed]):
    """Call one model with the request's payload, or with a ``question`` instead. ``note`` is what the model is told of
    the answer it replaces; ``max_tokens`` limits its answer, if the request does not limit it further itself.
    ``number`` counts the calls of the request from 1."""

    model: Model
    voice: Voice
    note: str | None = None
    max_tokens: int | None = None
    number: int = 1
    question: Question | None = None


@dataclass(frozen=True, slots=True)
class CallMany(_Effect[tuple[Timed, ...]]):
    """Call several models at once, each in one piece. What has not answered within ``timeout_s`` seconds has failed."""

    calls: tuple[CallModel, ...]
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Resume(_Effect[Timed]):
    """Show the beginning that was held by ``Voice.PREFIX`` and let the rest of the stream speak live."""


@dataclass(frozen=True, slots=True)
class Limits(_Effect[tuple[Budget, ...]]):
    """The budgets that hold. The store is opened for it: one that cannot be used is met before any model.

    What others changed in the store a moment ago is known for sure if they are read ``anew``."""

    anew: bool = False


@dataclass(frozen=True, slots=True)
class Reserve(_Effect[tuple[Shortfall, ...]]):
    """Hold the worst case of this plan of all these budgets, or of none. The result tells the purses that cannot bear
    it; it is empty if all is held. ``allowed`` says that budgets which ask may go beyond their limit."""

    plan: Plan
    budgets: tuple[Budget, ...]
    allowed: bool = False


@dataclass(frozen=True, slots=True)
class AskForMore(_Effect[bool]):
    """Ask whoever watches over the budgets whether the request may go on all the same."""

    exceeded: BudgetExceeded


@dataclass(slots=True)
class Tell(_Effect[None]):
    """Tell the observers."""

    event: Event


@dataclass(frozen=True, slots=True)
class Await(_Effect[Any]):
    """Await what a user's own policy or verifier returned. ``what`` names it in the error of a sync driver."""

    awaitable: Awaitable[Any]
    what: str


@dataclass(frozen=True, slots=True)
class Consult:
    """What a policy or a verifier yields to ask a model of the registry something. No effect: the cascade makes one of
    it and books the call. What takes longer than ``timeout_s`` seconds has failed."""

    model: str
    question: Question
    timeout_s: float | None = None


Consultation: TypeAlias = "Generator[Consult, Reply | Failed, R]"
"""A policy or a verifier at work that asks models."""

Effect: TypeAlias = CallModel | CallMany | Resume | Limits | Reserve | AskForMore | Tell | Await
Flow: TypeAlias = Generator[Effect, Any, R]


class Host(Protocol[P, C]):
    """A framework or SDK that calls models. ``P`` is its payload (the native messages), ``C`` its stream chunk.

    The call methods raise what they like; ``failed`` sorts it. ``join`` must take any beginning of a stream and never
    raise: a cut stream is booked with it. ``replay`` yields chunks whose joined text equals the reply's.
    """

    def call(self, effect: CallModel, payload: P) -> Reply:
        """One answer, not streamed."""
        ...

    async def acall(self, effect: CallModel, payload: P) -> Reply:
        """One answer, not streamed."""
        ...

    def open_stream(self, effect: CallModel, payload: P) -> Iterator[C]:
        """The chunks of one answer. If the iterator has ``close``, closing it frees the connection."""
        ...

    def aopen_stream(self, effect: CallModel, payload: P) -> AsyncIterator[C]:
        """The chunks of one answer. If the iterator has ``aclose``, closing it frees the connection."""
        ...

    def pose(self, question: Question) -> P:
        """The payload that asks a question instead of the request."""
        ...

    def join(self, chunks: Sequence[C]) -> Reply:
        """The reply that these chunks make."""
        ...

    def replay(self, reply: Reply) -> Iterator[C]:
        """Chunks that say a reply that was not streamed."""
        ...

    def shows(self, chunk: C) -> int:
        """How many characters a chunk shows (text, refusal, tool call): 0 if it carries only a role, a finish reason
        or the usage. What shows nothing does not commit a stream to its model."""
        ...

    def failed(self, error: Exception) -> Failed | None:
        """What an exception of a call means; None lets it through (a framework's own control flow)."""
        ...
