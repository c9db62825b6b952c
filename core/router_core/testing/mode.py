"""A fuse for test suites: no model is called by mistake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from router_core.hosts import fuse


@contextmanager
def forbid_model_calls() -> Iterator[None]:
    """Within the block the OpenAI host refuses every call to a host other than this machine, with a ``RouterError``
    that is never taken for an outage. Scripted hosts go on working. Put it into a session-wide fixture."""
    before = fuse.blown
    fuse.blown = True
    try:
        yield
    finally:
        fuse.blown = before
