"""What a driver needs for one request, where failures become values, and what is heard of a stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from router_core.effects import Host, Timed, Voice
from router_core.errors import BudgetExceeded
from router_core.events import Observer
from router_core.ledger import Ledger
from router_core.records import Receipt
from router_core.tokens import BYTES_PER_TOKEN
from router_core.types import Failed, Reply

P = TypeVar("P")
C = TypeVar("C")


class World(NamedTuple, Generic[P, C]):
    """What a driver needs for one request beside the flow. ``clock`` counts seconds from any start;
    ``prefix_tokens`` is how much of a stream ``Voice.PREFIX`` holds back. ``ask`` tells whether a request may go beyond
    a budget that asks, where the ledger has no answer of its own. ``kept`` is where receipts are put that are looked at
    later."""

    host: Host[P, C]
    payload: P
    clock: Callable[[], float]
    observers: tuple[Observer, ...] = ()
    prefix_tokens: int = 0
    ledger: Ledger | None = None
    ask: Callable[[BudgetExceeded], bool] | None = None
    kept: deque[Receipt] | None = None


_NOTHING = Reply(text="")


class Guard:
    """The one place where a host's exception becomes a value. What ``host.failed`` does not sort is let through, and
    so is everything that is no ``Exception``: cancellation unwinds."""

    __slots__ = ("_host", "failed", "reply")

    def __init__(self, host: Host[Any, Any]) -> None:
        self._host = host
        self.failed: Failed | None = None
        self.reply: Reply = _NOTHING

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> bool:
        if isinstance(error, Exception):
            self.failed = self._host.failed(error)
        return self.failed is not None


class Heard(Generic[C]):
    """What was heard of one stream, and what of it may be shown. ``timed`` is set when the stream has ended, failed,
    or said enough for its beginning to be judged."""

    def __init__(self, world: World[Any, C], voice: Voice) -> None:
        self._world = world
        self._started = world.clock()
        self._live = voice is Voice.LIVE
        self._said = 0
        self._shown = 0
        self._first_s: float | None = None
        self.chunks: list[C] = []
        self.timed: Timed | None = None

    def hear(self, chunk: C) -> None:
        """Take in one chunk."""
        self.chunks.append(chunk)
        said = self._world.host.shows(chunk)
        if said and not self._said:
            self._first_s = self._world.clock() - self._started
        self._said += said
        if not self._live and said and self._said >= self._world.prefix_tokens * BYTES_PER_TOKEN:
            self._settle(self.reply(), complete=False)

    def ready(self) -> Iterable[C]:
        """The chunks that may be shown now and were not yet. Nothing is shown before there is something to see."""
        if not (self._live and self._said):
            return ()
        fresh = self.chunks[self._shown :]
        self._shown = len(self.chunks)
        return fresh

    def release(self) -> None:
        """Let what was held and all that follows be shown."""
        self._live = True
        self.timed = None

    def end(self, failed: Failed | None) -> None:
        """The stream is over, with a failure or without."""
        self._settle(failed or self.reply(), complete=True)

    def reply(self) -> Reply:
        """What was heard so far."""
        return self._world.host.join(self.chunks)

    def unsaid(self) -> Iterable[C]:
        """The chunks that were never shown."""
        return self.chunks[self._shown :]

    def _settle(self, result: Reply | Failed, *, complete: bool) -> None:
        self.timed = Timed(
            result,
            self._world.clock() - self._started,
            self._first_s,
            spoken=self._shown > 0,
            complete=complete,
            partial=self.reply() if isinstance(result, Failed) and self.chunks else None,
        )
