"""An observer that keeps what it is told."""

from __future__ import annotations

from typing import TypeVar

from router_core.events import Event, Settled
from router_core.records import Receipt

E = TypeVar("E")


class EventLog:
    """Give it as ``Router(observers=[log])``. Appending to a list is atomic, so threads may share it."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event, /) -> None:
        """Keep one event."""
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one class, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def receipts(self) -> list[Receipt]:
        """The receipts of all requests that are over, in order."""
        return [event.receipt for event in self.of(Settled)]
