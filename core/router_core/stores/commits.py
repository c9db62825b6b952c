"""Group commit: what many threads ask for at once becomes durable with one commit.

One thread per store takes what is queued, has it performed in one go, and wakes those who wait. While a commit is under
way the next ones queue up, so that load makes groups larger instead of commits more frequent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from router_core.stores.base import Done, Tell

W = TypeVar("W")

MOST = 256
"""How many operations one commit takes at most: bounds how long the first of them waits for the last."""


class _Waiter:
    """Waits for an operation. Nobody needs to: what becomes of it is then not looked at."""

    __slots__ = ("_done", "_ready")

    def __init__(self) -> None:
        self._done = Done()
        # A lock that is let go once is what an Event is made of, without the rest.
        self._ready = threading.Lock()
        self._ready.acquire()

    def __call__(self, done: Done) -> None:
        """Wake who waits."""
        self._done = done
        self._ready.release()

    def wait(self) -> Any:
        """The value.

        Raises:
            Exception: the error of the operation.
        """
        with self._ready:
            return self._done.result()


class _Caught:
    """An error as a value: whatever goes wrong with one group, the thread lives on for the next."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> bool:
        self.error = error
        return isinstance(error, Exception)


class GroupCommit(Generic[W]):
    """Hands operations to ``perform`` in groups, in the order in which they were asked for, from a thread of its own.

    ``perform`` gives a ``Done`` for each. ``closed`` makes the error for what is asked for after ``close``.
    """

    def __init__(self, perform: Callable[[Sequence[W]], Sequence[Done]], closed: Callable[[], Exception]) -> None:
        self._perform = perform
        self._closed = closed
        self._open = True
        self._queue: SimpleQueue[tuple[W, Tell] | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._performing = threading.Lock()
        self._thread: threading.Thread | None = None

    def do(self, work: W) -> Any:
        """Have an operation performed; returns when it is durable.

        Raises:
            Exception: its error.
        """
        waiter = _Waiter()
        self.begin(work, waiter)
        return waiter.wait()

    def begin(self, work: W, tell: Tell) -> None:
        """Have an operation performed; ``tell`` is told what became of it when it is durable, from the thread of the
        store, which it must not hold up.

        Raises:
            Exception: nothing is performed any more.
        """
        with self._starting:
            if not self._open:
                raise self._closed()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="router-core-store", daemon=True)
                self._thread.start()
            self._queue.put((work, tell))

    def close(self) -> None:
        """Perform what is queued and end the thread."""
        with self._starting:
            self._open = False
            thread, self._thread = self._thread, None
            self._queue.put(None)
        if thread is not None:
            thread.join()

    def pause(self) -> None:
        """Let nothing be asked for or performed until ``go_on``; waits for the group that is being performed."""
        self._starting.acquire()
        self._performing.acquire()

    def go_on(self) -> None:
        """End a pause."""
        self._performing.release()
        self._starting.release()

    def begin_in_child(self) -> None:
        """End a pause in a forked process. Those who wait, and the thread, have stayed in the parent."""
        self._queue = SimpleQueue()
        self._starting = threading.Lock()
        self._performing = threading.Lock()
        self._thread = None

    def _run(self) -> None:
        queue = self._queue
        more = True
        while more:
            group = [queue.get(), *_waiting(queue)]
            more = None not in group
            self._serve([asked for asked in group if asked is not None])

    def _serve(self, group: list[tuple[W, Tell]]) -> None:
        done: Sequence[Done] = ()
        caught = _Caught()
        try:
            with self._performing, caught:
                done = self._perform([work for work, _ in group]) if group else ()
        finally:
            if caught.error is not None:
                done = [Done(error=caught.error)] * len(group)
            for (_, tell), result in zip(group, done, strict=True):
                tell(result)


def _waiting(queue: SimpleQueue[Any]) -> list[Any]:
    found: list[Any] = []
    while len(found) < MOST - 1:
        try:
            found.append(queue.get_nowait())
        except Empty:
            break
    return found
