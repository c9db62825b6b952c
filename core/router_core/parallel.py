"""Several calls at once. Loaded by the first request that needs them."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


def together(works: Sequence[Callable[[], T]], timeout_s: float | None) -> list[T | None]:
    """Do each in a thread of its own; None stands for what was not done in time, and goes on without anybody waiting.

    Raises:
        BaseException: the first that one of them raised.
    """
    done: queue.SimpleQueue[_Work[T]] = queue.SimpleQueue()
    doing = [_Work(work, done) for work in works]
    for work in doing:
        # No pool: its threads would keep a program that is over from ending while a provider does not answer.
        threading.Thread(target=copy_context().run, args=(work.do,), daemon=True).start()
    until = None if timeout_s is None else time.monotonic() + timeout_s
    with suppress(queue.Empty):
        for _ in doing:
            work = done.get(timeout=None if until is None else max(until - time.monotonic(), 0))
            if work.error is not None:
                raise work.error
    return [work.result for work in doing]


class _Work(Generic[T]):
    """One piece of work: what came of it, once it has said that it is done."""

    def __init__(self, work: Callable[[], T], done: queue.SimpleQueue[_Work[T]]) -> None:
        self._work = work
        self._done = done
        self.result: T | None = None
        self.error: BaseException | None = None

    def do(self) -> None:
        """Do it, in whatever thread. What it raises is raised where it is waited for."""
        with self:
            self.result = self._work()

    def __enter__(self) -> None:
        """Nothing is needed."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> bool:
        self.error = error
        self._done.put(self)
        return True


async def atogether(works: Sequence[Callable[[], Awaitable[T]]], timeout_s: float | None) -> list[T | None]:
    """Do each in a task of its own; None stands for what was not done in time, and is cancelled. Whoever leaves early
    leaves no task behind.

    Raises:
        BaseException: the first that one of them raised.
    """
    tasks = [asyncio.ensure_future(work()) for work in works]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        late = [task for task in tasks if not task.done()]
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
    return [None if task.cancelled() else task.result() for task in tasks]
