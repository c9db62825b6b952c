"""The rules of reserve and settle, over plain values: the same for every store.

A ``Book`` holds counters and holds: all of them in memory, or those that one transaction has loaded and locked. An
operation that is refused or wrong leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from router_core.records import Charge, Scope, Shortfall
from router_core.stores.base import Movement, Standing
from router_core.stores.rows import EntryRows
from router_core.types import Unit


class Key(NamedTuple):
    """What one counter counts. A budget whose unit was changed goes on in a counter of its own."""

    budget: str
    key: str
    window: str
    unit: Unit

    @property
    def scope(self) -> Scope:
        """Budget, key and window."""
        return self.budget, self.key, self.window


class HoldState(StrEnum):
    """What became of a hold."""

    HELD = "held"
    SETTLED = "settled"
    RECLAIMED = "reclaimed"


@dataclass(slots=True)
class Counter:
    """The sums of one key. ``spent`` contains ``pruned``: what was spent by requests whose rows are removed."""

    spent: int = 0
    held: int = 0
    pruned: int = 0


@dataclass(slots=True)
class Hold:
    """What one request holds of one counter, or held. ``spent`` is None while it is held."""

    key: Key
    amount: int
    floor: int
    owner: str
    expires_us: int
    state: HoldState = HoldState.HELD
    spent: int | None = None


class Spot(NamedTuple):
    """Where a hold is found: its request, and the counter that it counts in."""

    request_id: str
    key: Key


@dataclass(slots=True)
class Changes:
    """What must be written: counters that are changed or gone, holds that are new, changed or gone, new receipts."""

    counters: set[Key] = field(default_factory=set)
    added: set[Spot] = field(default_factory=set)
    changed: set[Spot] = field(default_factory=set)
    removed: set[Spot] = field(default_factory=set)
    receipts: list[EntryRows] = field(default_factory=list)


class Book:
    """Counters, holds by request, and receipts. ``changes`` tells what was done to them."""

    def __init__(self) -> None:
        self.counters: dict[Key, Counter] = {}
        self.holds: dict[str, dict[Scope, Hold]] = {}
        self.receipts: set[str] = set()
        self.changes = Changes()

    def reserve(self, request_id: str, charges: Sequence[Charge], owner: str, expires_us: int) -> tuple[Shortfall, ...]:
        """Hold all charges or none; those that do not fit are returned.

        Raises:
            ValueError: the request is settled, or holds the same in another unit.
        """
        mine = self.holds.get(request_id, {})
        if any(hold.state is HoldState.SETTLED for hold in mine.values()):
            raise ValueError(f"request_id: {request_id!r} is settled; give every request an id of its own")
        short = []
        for charge in charges:
            before = mine.get(charge.scope)
            if before is not None and before.key.unit != charge.unit:
                raise ValueError(f"charges: {request_id!r} holds {charge.budget!r} in {before.key.unit} already")
            spent, held = self._others(charge, before)
            # What costs nothing fits, even where more was spent than the limit.
            if charge.amount and spent + held + charge.amount > charge.limit:
                short.append(Shortfall(charge, spent, held))
        if short:
            return tuple(short)
        for charge in charges:
            self._hold(request_id, charge, owner, expires_us)
        return ()

    def renew(self, request_ids: Collection[str], expires_us: int) -> None:
        """Set the lease of what these requests hold."""
        for request_id in request_ids:
            for hold in self.holds.get(request_id, {}).values():
                if hold.state is HoldState.HELD:
                    hold.expires_us = expires_us
                    self._touch(Spot(request_id, hold.key))

    def settle(self, request_id: str, spent: Mapping[Scope, int]) -> tuple[Movement, ...]:
        """Turn the holds of a request into what was spent, and tell what moved; those that are settled stay as they
        are.

        Raises:
            ValueError: something was spent of a budget of which the request never held anything.
        """
        mine = self.holds.get(request_id, {})
        for scope, amount in spent.items():
            if amount and scope not in mine:
                raise ValueError(f"spent: {request_id!r} holds nothing of {scope!r}; reserve it first, even if it is 0")
        moved = []
        for scope, hold in mine.items():
            if hold.state is not HoldState.SETTLED:
                counter = self.counters[hold.key]
                before = counter.spent
                self._spend(Spot(request_id, hold.key), hold, spent.get(scope, 0), HoldState.SETTLED)
                moved.append(Movement(Standing(*hold.key, counter.spent, counter.held), before))
        return tuple(moved)

    def reclaim(self, now_us: int) -> int:
        """Turn the holds whose lease has expired into their floor, spent; returns how many they were."""
        expired = [
            (Spot(request_id, hold.key), hold)
            for request_id, holds in self.holds.items()
            for hold in holds.values()
            if hold.state is HoldState.HELD and hold.expires_us <= now_us
        ]
        for where, hold in expired:
            self._spend(where, hold, hold.floor, HoldState.RECLAIMED)
        return len(expired)

    def enter(self, rows: EntryRows) -> None:
        """Take in a receipt, unless it is there."""
        request_id = rows.request["request_id"]
        if request_id not in self.receipts:
            self.receipts.add(request_id)
            self.changes.receipts.append(rows)

    def forget(self, request_ids: Collection[str]) -> None:
        """Drop the holds of requests that hold nothing any more; what they spent stays spent.

        The counters of windows that were such a request alone are dropped with them.
        """
        for request_id in request_ids:
            mine = self.holds.get(request_id, {})
            for hold in [hold for hold in mine.values() if hold.state is not HoldState.HELD]:
                self.counters[hold.key].pruned += hold.spent or 0
                self.changes.counters.add(hold.key)
                self.changes.removed.add(Spot(request_id, hold.key))
                del mine[hold.key.scope]
                if hold.key.window == request_id:
                    del self.counters[hold.key]
            if not mine:
                self.holds.pop(request_id, None)

    def standings(self, budget: str | None) -> list[Standing]:
        """Where something is spent or held, in order."""
        return [
            Standing(*key, counter.spent, counter.held)
            for key, counter in sorted(self.counters.items())
            if budget in {None, key.budget} and (counter.spent or counter.held)
        ]

    def _others(self, charge: Charge, before: Hold | None) -> tuple[int, int]:
        """What is spent and held beside what the charge would replace."""
        counter = self.counters.get(Key(*charge.scope, charge.unit)) or Counter()
        if before is None:
            return counter.spent, counter.held
        if before.state is HoldState.HELD:
            return counter.spent, counter.held - before.amount
        return counter.spent - (before.spent or 0), counter.held

    def _hold(self, request_id: str, charge: Charge, owner: str, expires_us: int) -> None:
        key = Key(*charge.scope, charge.unit)
        counter = self.counters.setdefault(key, Counter())
        mine = self.holds.setdefault(request_id, {})
        counter.spent, counter.held = self._others(charge, mine.get(charge.scope))
        counter.held += charge.amount
        self.changes.counters.add(key)
        if charge.scope in mine:
            self._touch(Spot(request_id, key))
        else:
            self.changes.added.add(Spot(request_id, key))
        mine[charge.scope] = Hold(key, charge.amount, charge.floor, owner, expires_us)

    def _spend(self, spot: Spot, hold: Hold, amount: int, state: HoldState) -> None:
        counter = self.counters[spot.key]
        if hold.state is HoldState.HELD:
            counter.held -= hold.amount
        else:
            counter.spent -= hold.spent or 0
        counter.spent += amount
        hold.state, hold.spent = state, amount
        self.changes.counters.add(spot.key)
        self._touch(spot)

    def _touch(self, spot: Spot) -> None:
        if spot not in self.changes.added:
            self.changes.changed.add(spot)
