"""A strategy memory that threads share, and that is kept elsewhere: in a store, or in a file.

What is learned counts at once in this process. A thread writes it down every few seconds and reads what other
processes have added, so that no request waits for either.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from router_core.errors import RouterError
from router_core.learning.strategy import (
    Batch,
    Cell,
    Contents,
    Evidence,
    Increment,
    Kind,
    MemoryBook,
    Place,
    Step,
    merged,
)

WRITE_S = 2.0
"""Seconds between two writings: what a killed process loses."""
READ_S = 5.0
"""Seconds between two readings: after so long, what another process learned is known here."""

log = logging.getLogger(__name__)


class Keeper(Protocol):
    """Where a memory is kept: ``stores.Store``, or ``MemoryFile``."""

    def remember(self, batch: Batch, *, anew: bool = False) -> bool:
        """Add a batch, once."""
        ...

    def learn_feedback(self, length: float, at: float) -> tuple[tuple[Place, str], ...]:
        """Learn from the feedback that is kept and that nobody has learned from; see ``stores.Store``."""
        ...

    def memory(self) -> Contents:
        """All that is kept."""
        ...


class LiveMemory:
    """The memory of a process. ``clock`` tells the time in seconds since 1970; of each model the last ``length``
    judgements count most."""

    def __init__(self, clock: Callable[[], float] = time.time, length: float = 100.0) -> None:
        self.clock = clock
        self.news: dict[Place, str] = {}
        """Where others have judged since somebody looked, and what was said, if that is known."""
        self._length = length
        self._lock = threading.RLock()
        self._book = MemoryBook()
        self._increments: list[Increment] = []
        self._steps: list[Step] = []
        self._unsure: Batch | None = None
        self._writer, self._written = secrets.token_hex(8), 0
        self._keeper: Callable[[], Keeper | None] | None = None
        self._read_at = 0.0
        self._keeping = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        _living.add(self)

    def keep_in(self, keeper: Callable[[], Keeper | None]) -> None:
        """Keep it there from now on. ``keeper`` gives None as long as the place is not open."""
        self._keeper = keeper

    @contextmanager
    def book(self) -> Iterator[MemoryBook]:
        """What is known, read first where it never was. Nobody else changes it meanwhile."""
        if not self._read_at and self._keeper is not None:
            self._begin()
        with self._lock:
            yield self._book

    def learn(self, increments: Iterable[Increment] = (), steps: Iterable[Step] = ()) -> None:
        """Add to what is known. It is written down later."""
        increments, steps = tuple(increments), tuple(steps)
        with self._lock:
            for increment in increments:
                self._book.add(increment)
            for step in steps:
                self._book.take(step)
            if self._keeper is not None:
                self._increments += increments
                self._steps += steps
        if self._keeper is not None:
            self._run_in_background()

    def flush(self) -> None:
        """Write down what is not written yet. What fails is logged and tried again later."""
        keeper = self._keeper() if self._keeper is not None else None
        if keeper is None:
            return
        with self._keeping:
            while (batch := self._next_batch()) is not None:
                try:
                    keeper.remember(batch)
                except RouterError as error:
                    log.warning("could not write down what the strategy memory has learned: %s", error)
                    return
                except ValueError as error:
                    log.warning("the strategy memory has learned what cannot be kept: %s", error)
                with self._lock:
                    self._unsure = None

    def refresh(self) -> None:
        """Read what is kept, with what is not written yet on top. What is new there of feedback is learned first."""
        keeper = self._keeper() if self._keeper is not None else None
        if keeper is None:
            return
        with self._keeping:
            self._read_at = time.monotonic()
            try:
                heard = keeper.learn_feedback(self._length, self.clock())
                book = MemoryBook(keeper.memory())
            except RouterError as error:
                log.warning("could not read the strategy memory: %s", error)
                return
            with self._lock:
                unsure = self._unsure or Batch("", 0, 0.0)
                for increment in (*unsure.increments, *self._increments):
                    book.add(increment)
                for step in (*unsure.steps, *self._steps):
                    book.take(step)
                known = self._book.contents.evidence
                self.news.update(dict.fromkeys(_judged_since(known, book.contents.evidence), ""))
                self.news.update((place, f"feedback: {said}" if said else "feedback") for place, said in heard)
                self._book = book

    def close(self) -> None:
        """Write down what is left and end the thread. It begins anew if more is learned."""
        thread, self._thread = self._thread, None
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self.flush()

    def finish(self) -> None:
        """Write down what is left, at the end of the process."""
        self.flush()

    def begin_in_child(self) -> None:
        """Go on in a forked process: what was not written yet is the parent's to write."""
        self._lock, self._keeping, self._wake = threading.RLock(), threading.Lock(), threading.Event()
        self._increments, self._steps, self._unsure = [], [], None
        self._writer, self._written = secrets.token_hex(8), 0
        self._thread = None
        self._read_at = 0.0

    def _begin(self) -> None:
        self.refresh()
        if self._read_at:
            self._run_in_background()

    def _next_batch(self) -> Batch | None:
        """The batch of which it is not sure whether it was written, else what is new since."""
        with self._lock:
            if self._unsure is None and (self._increments or self._steps):
                self._written += 1
                increments, steps = merged(self._increments), tuple(self._steps)
                self._unsure = Batch(self._writer, self._written, self.clock(), increments, steps)
                self._increments, self._steps = [], []
            return self._unsure

    def _run_in_background(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._wake = threading.Event()
                arguments = (weakref.ref(self), self._wake)
                self._thread = threading.Thread(target=_keep, args=arguments, name="router-memory", daemon=True)
                self._thread.start()

    def keep(self) -> None:
        """One turn of the thread."""
        self.flush()
        if time.monotonic() - self._read_at >= READ_S:
            self.refresh()


_NOTHING = Evidence()


def _judged_since(before: Mapping[Cell, Evidence], now: Mapping[Cell, Evidence]) -> Iterator[Place]:
    """The places where there are other judgements than before."""
    for cell, seen in now.items():
        if cell.kind is Kind.JUDGED and seen[2:] != before.get(cell, _NOTHING)[2:]:
            yield cell.place


def watched() -> weakref.WeakSet[Any]:
    """A set whose members are told to ``finish`` when the process ends, the latest set first, and to
    ``begin_in_child`` in a forked one."""
    living: weakref.WeakSet[Any] = weakref.WeakSet()

    def at_exit() -> None:
        for each in list(living):
            each.finish()

    def in_child() -> None:
        for each in list(living):
            each.begin_in_child()

    atexit.register(at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=in_child)
    return living


_living = watched()


def _keep(memory: weakref.ref[LiveMemory], wake: threading.Event) -> None:
    """Keep a memory for as long as somebody has it."""
    while not wake.wait(WRITE_S):
        found = memory()
        if found is None:
            return
        found.keep()
        del found
