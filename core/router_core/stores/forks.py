"""Stores survive forks: a connection must not be shared by two processes, nor may SQLite's locks be.

A fork therefore finds every store at rest: in no transaction, with no connection open and no lock held by a thread that
the child will not have.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Something that must be at rest while the process is forked."""

    def pause(self) -> None:
        """Come to rest."""
        ...

    def go_on(self) -> None:
        """Go on in the parent."""
        ...

    def begin_in_child(self) -> None:
        """Go on in the child, where no other thread is left."""
        ...


_forkable: WeakSet[Forkable] = WeakSet()
_paused: list[Forkable] = []
_registering = threading.Lock()


def survive_forks(what: Forkable) -> None:
    """Pause this whenever the process is forked, for as long as it lives."""
    with _registering:
        _forkable.add(what)


def _before() -> None:
    _registering.acquire()
    for what in list(_forkable):
        what.pause()
        _paused.append(what)


def _in_parent() -> None:
    while _paused:
        _paused.pop().go_on()
    _registering.release()


def _in_child() -> None:
    while _paused:
        _paused.pop().begin_in_child()
    _registering.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
