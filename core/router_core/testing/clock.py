"""A clock that moves only when told to."""

from __future__ import annotations


class FakeClock:
    """Set it as ``router.clock``: ``latency_s`` in receipts is then what the test made it."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The present, in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
