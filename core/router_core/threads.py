"""What blocks, beside an event loop. Loaded by the first async request that has a ledger."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from router_core.errors import StoreError

if TYPE_CHECKING:
    from router_core.ledger import Ledger, Steps
    from router_core.stores.base import Done
    from router_core.stores.works import Work

T = TypeVar("T")

_THREADS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="router-ledger")
"""Where stores are opened and people are asked. Many, for waiting is all they do."""


async def in_a_thread(work: Callable[..., T], *args: Any) -> T:
    """Do blocking work in a thread and wait until it is done, whoever cancels meanwhile: what was spent is booked."""
    loop = asyncio.get_running_loop()
    return await _whole(loop.run_in_executor(_THREADS, partial(copy_context().run, work, *args)))


async def perform(ledger: Ledger, steps: Steps[T]) -> T:
    """Do the steps of a ledger, each to its end, whoever cancels meanwhile. The thread of the store does what is asked
    for and tells the loop: no thread has to wait for it."""
    try:
        work = next(steps)
        while True:
            try:
                result = await _done(ledger, work)
            except StoreError as error:
                work = steps.throw(error)
            else:
                work = steps.send(result)
    except StopIteration as done:
        return cast("T", done.value)


async def _done(ledger: Ledger, work: Work) -> Any:
    store = ledger.opened
    if store is None:
        return await in_a_thread(lambda: ledger.store.do(work))
    told = _Told(asyncio.get_running_loop())
    store.begin(work, told)
    return (await _whole(told.future)).result()


class _Told:
    """Hands what a store tells to the loop that waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self.future: asyncio.Future[Done] = loop.create_future()

    def __call__(self, done: Done) -> None:
        """Hear it, in whatever thread."""
        if threading.get_ident() == self._thread:
            self.future.set_result(done)
        else:
            with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                self._loop.call_soon_threadsafe(self.future.set_result, done)


async def _whole(doing: asyncio.Future[T]) -> T:
    """What comes of it, when it is done; a cancellation waits for that."""
    cancelled: asyncio.CancelledError | None = None
    while not doing.done():
        try:
            await asyncio.shield(doing)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return doing.result()
