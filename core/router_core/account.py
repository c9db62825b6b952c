"""What the four drivers share: performing effects, listening to streams, and settling the account once.

Everything that differs between sync and async stands here in pairs of a few lines; the drivers themselves are in
``drive.py``.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from router_core.effects import (
    AskForMore,
    Await,
    CallMany,
    CallModel,
    Flow,
    Limits,
    Reserve,
    Resume,
    Tell,
    Timed,
)
from router_core.errors import AsyncInSyncCall, RouterError
from router_core.events import BudgetReached, Event, Settled
from router_core.ledger import Ledger
from router_core.records import Receipt
from router_core.tab import Tab
from router_core.types import Failed, FailureKind, Reply
from router_core.world import Guard, Heard, World

P = TypeVar("P")
C = TypeVar("C")


class Account(Generic[P, C]):
    """One request's dealings with the world. As a context manager it settles the account exactly once.

    On leaving, the flow is closed, a call in flight is booked as cancelled with what is known to be spent, the receipt
    is written on the tab and on a ``RouterError``, and observers are told.
    """

    __slots__ = ("_async_chunks", "_flow", "_heard", "_started", "_sync_chunks", "_tab", "_world")

    def __init__(self, flow: Flow[Any], tab: Tab, world: World[P, C]) -> None:
        self._flow = flow
        self._tab = tab
        self._world = world
        self._started = world.clock()
        self._heard: Heard[C] | None = None
        self._sync_chunks: Iterator[C] | None = None
        self._async_chunks: AsyncIterator[C] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._sync_chunks is not None:
            self._close_stream()
        self._flow.close()
        receipt = self._closed(error)
        reached: tuple[BudgetReached, ...] = ()
        try:
            if (ledger := self._world.ledger) is not None:
                reached = ledger.perform(ledger.settle(self._tab, receipt))
        except RouterError as lost:
            lost.receipt = receipt
            raise
        finally:
            if self._world.observers:
                self._tell_of(receipt, reached)

    def _closed(self, error: BaseException | None) -> Receipt:
        world, tab = self._world, self._tab
        now = world.clock()
        if tab.flights:
            tab.cut_off(now, self._heard.reply() if self._heard else None)
        receipt = tab.close(now - self._started, error)
        if world.kept is not None:
            world.kept.append(receipt)
        if isinstance(error, RouterError):
            error.receipt = receipt
        return receipt

    def _tell_of(self, receipt: Receipt, reached: tuple[BudgetReached, ...]) -> None:
        strongest = self._tab.outlook.strongest
        baseline = None if strongest is None else self._tab.baseline_nano(strongest)
        events: tuple[Event, ...] = (
            *reached,
            Settled(receipt.request_id, receipt, baseline, self._tab.request, self._tab.reply),
        )
        for event in events:
            for observer in self._world.observers:
                _forget(observer(event))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self.aclose_stream()
        finally:
            self._flow.close()
            receipt = self._closed(error)
            reached: tuple[BudgetReached, ...] = ()
            try:
                if (ledger := self._world.ledger) is not None:
                    from router_core.threads import perform

                    reached = await perform(ledger, ledger.settle(self._tab, receipt))
            except RouterError as lost:
                lost.receipt = receipt
                raise
            finally:
                if self._world.observers:
                    self._tell_of(receipt, reached)

    # Calls in one piece.

    def call(self, effect: CallModel) -> Timed:
        """Perform ``CallModel`` without streaming."""
        if self._heard is not None:
            self._close_stream()
            self._heard = None
        return self._call(effect, self._departed(effect))

    async def acall(self, effect: CallModel) -> Timed:
        """Perform ``CallModel`` without streaming."""
        if self._heard is not None:
            await self.aclose_stream()
            self._heard = None
        return await self._acall(effect, self._departed(effect))

    def call_many(self, effect: CallMany) -> tuple[Timed, ...]:
        """Perform ``CallMany``: each call in a thread of its own."""
        from router_core.parallel import together

        began = [self._departed(call) for call in effect.calls]
        works = [partial(self._call, call, since) for call, since in zip(effect.calls, began, strict=True)]
        return self._in_time(effect, began, together(works, effect.timeout_s))

    async def acall_many(self, effect: CallMany) -> tuple[Timed, ...]:
        """Perform ``CallMany``: each call in a task of its own."""
        from router_core.parallel import atogether

        began = [self._departed(call) for call in effect.calls]
        works = [partial(self._acall, call, since) for call, since in zip(effect.calls, began, strict=True)]
        return self._in_time(effect, began, await atogether(works, effect.timeout_s))

    def _call(self, effect: CallModel, began: float) -> Timed:
        with Guard(self._world.host) as guard:
            guard.reply = self._world.host.call(effect, self._payload(effect))
        return self._arrived(effect, guard, began)

    async def _acall(self, effect: CallModel, began: float) -> Timed:
        with Guard(self._world.host) as guard:
            guard.reply = await self._world.host.acall(effect, self._payload(effect))
        return self._arrived(effect, guard, began)

    def _payload(self, effect: CallModel) -> P:
        return self._world.payload if effect.question is None else self._world.host.pose(effect.question)

    def _departed(self, effect: CallModel) -> float:
        """When the call is made, which its flight is told."""
        now = self._world.clock()
        flight = self._tab.flights.get(effect.number)
        if flight is not None:
            flight.began = now
        return now

    def _arrived(self, effect: CallModel, guard: Guard, began: float) -> Timed:
        timed = Timed(guard.failed or guard.reply, self._world.clock() - began)
        flight = self._tab.flights.get(effect.number)
        if flight is not None:
            flight.arrived = timed
        return timed

    def _in_time(self, effect: CallMany, began: Sequence[float], results: Sequence[Timed | None]) -> tuple[Timed, ...]:
        late = Failed(TimeoutError(f"no answer within {effect.timeout_s} s"), FailureKind.TIMEOUT, may_be_billed=True)
        now = self._world.clock()
        return tuple(timed or Timed(late, now - since) for timed, since in zip(results, began, strict=True))

    # The small effects.

    def hold(self, effect: Limits | Reserve | AskForMore) -> Any:
        """Perform an effect that is about budgets."""
        ledger = self._ledger()
        if isinstance(effect, Limits):
            return ledger.limits(anew=effect.anew)
        if isinstance(effect, Reserve):
            return ledger.perform(ledger.reserve(self._tab, effect.plan, effect.budgets, allowed=effect.allowed))
        ask = ledger.ask or self._world.ask
        return ask is not None and ask(effect.exceeded)

    async def ahold(self, effect: Limits | Reserve | AskForMore) -> Any:
        """Perform an effect that is about budgets, without blocking the event loop."""
        from router_core.threads import in_a_thread, perform

        ledger = self._ledger()
        if isinstance(effect, Limits) and not effect.anew:
            known = ledger.known_limits()
            if known is not None:
                return known
        if isinstance(effect, Reserve):
            steps = ledger.reserve(self._tab, effect.plan, effect.budgets, allowed=effect.allowed)
            return await perform(ledger, steps)
        return await in_a_thread(self.hold, effect)

    def _ledger(self) -> Ledger:
        if self._world.ledger is None:
            raise RuntimeError("budgets without a ledger")
        return self._world.ledger

    def perform(self, effect: Tell | Await) -> Any:
        """Perform an effect that calls no model; what must be awaited is an error."""
        if isinstance(effect, Await):
            _forget(effect.awaitable)
            raise AsyncInSyncCall(effect.what)
        for observer in self._world.observers:
            told = observer(effect.event)
            if told is not None:
                _forget(told)
                raise AsyncInSyncCall(f"the observer {observer!r}")
        return None

    async def aperform(self, effect: Tell | Await) -> Any:
        """Perform an effect that calls no model."""
        if isinstance(effect, Await):
            return await effect.awaitable
        for observer in self._world.observers:
            told = observer(effect.event)
            if told is not None:
                await told
        return None

    # Streams.

    def speak(self, effect: CallModel | Resume) -> Generator[C]:
        """Open a stream, or go on with the one whose beginning was judged; yield what may be shown. ``timed`` then
        holds the result."""
        heard = self._listen(effect)
        if isinstance(effect, CallModel):
            self._close_stream()
            with Guard(self._world.host) as guard:
                self._sync_chunks = iter(self._world.host.open_stream(effect, self._world.payload))
            if guard.failed:
                heard.end(guard.failed)
        yield from heard.ready()
        while heard.timed is None and self._sync_chunks is not None:
            with Guard(self._world.host) as guard:
                for chunk in self._sync_chunks:
                    heard.hear(chunk)
                    break
                else:
                    heard.end(None)
            if guard.failed:
                heard.end(guard.failed)
            yield from heard.ready()

    async def aspeak(self, effect: CallModel | Resume) -> AsyncGenerator[C]:
        """Like ``speak``, without blocking the event loop."""
        heard = self._listen(effect)
        if isinstance(effect, CallModel):
            await self.aclose_stream()
            with Guard(self._world.host) as guard:
                self._async_chunks = aiter(self._world.host.aopen_stream(effect, self._world.payload))
            if guard.failed:
                heard.end(guard.failed)
        for chunk in heard.ready():
            yield chunk
        while heard.timed is None and self._async_chunks is not None:
            with Guard(self._world.host) as guard:
                async for chunk in self._async_chunks:
                    heard.hear(chunk)
                    break
                else:
                    heard.end(None)
            if guard.failed:
                heard.end(guard.failed)
            for chunk in heard.ready():
                yield chunk

    @property
    def timed(self) -> Timed:
        """The result of the stream that was listened to."""
        if self._heard is None or self._heard.timed is None:
            raise RuntimeError("no stream was listened to")
        return self._heard.timed

    def unsaid(self, reply: Reply) -> Iterable[C]:
        """The chunks of the accepted answer that were not shown while it was streamed (or that it was never
        streamed as)."""
        return self._world.host.replay(reply) if self._heard is None else self._heard.unsaid()

    async def aclose_stream(self) -> None:
        """Free the connection of a stream that is not listened to any more."""
        chunks, self._async_chunks = self._async_chunks, None
        close = getattr(chunks, "aclose", None)
        if close is not None:
            with Guard(self._world.host):
                await close()

    def _listen(self, effect: CallModel | Resume) -> Heard[C]:
        if isinstance(effect, Resume) and self._heard is not None:
            self._heard.release()
        elif isinstance(effect, CallModel):
            self._departed(effect)
            self._heard = Heard(self._world, effect.voice)
        if self._heard is None:
            raise RuntimeError("Resume before any stream was opened")
        return self._heard

    def _close_stream(self) -> None:
        chunks, self._sync_chunks = self._sync_chunks, None
        close = getattr(chunks, "close", None)
        if close is not None:
            with Guard(self._world.host):
                close()


def _forget(awaitable: object) -> None:
    if inspect.iscoroutine(awaitable):
        awaitable.close()
