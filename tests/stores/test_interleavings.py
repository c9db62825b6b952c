"""Any order of reserve, renew, settle, reclaim and prune keeps every limit and adds up, in every kind of store."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from router_core.stores import Charge, Scope, Store
from tests.stores.samples import entry

LIMIT = 100
PURSES = (("day", ""), ("month", ""), ("user", "ann"))
REQUESTS = st.integers(0, 7)

_examples = count()


@dataclass
class Held:
    """What the test knows of a hold."""

    amount: int
    floor: int
    expires: int
    spent: int | None = None
    settled: bool = False


class Interleavings(RuleBasedStateMachine):
    """Does to a store, and to plain dictionaries, what many clients might do in any order.

    The clock goes on for ever, and every example has names of its own: rows of others do not matter.
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.example = f"e{next(_examples)}"
        self.now = 0
        self.round = 0
        self.holds: dict[str, dict[Scope, Held]] = {}
        self.receipts: set[str] = set()
        self.overspent: set[Scope] = set()

    def name(self, number: int) -> str:
        return f"{self.example}-{self.round}-{number}"

    def scope(self, purse: int) -> Scope:
        budget, key = PURSES[purse]
        return f"{self.example}-{budget}", key, "w"

    def sums(self, scope: Scope, *, without: str = "") -> tuple[int, int]:
        mine = [holds[scope] for name, holds in self.holds.items() if scope in holds and name != without]
        return sum(h.spent or 0 for h in mine), sum(h.amount for h in mine if h.spent is None)

    @rule(
        number=REQUESTS,
        amounts=st.dictionaries(st.integers(0, 2), st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1),
        lease=st.integers(1, 5),
    )
    def reserve(self, number: int, amounts: dict[int, tuple[int, int]], lease: int) -> None:
        name = self.name(number)
        charges = [Charge(*self.scope(purse), "nano", LIMIT, max(pair), min(pair)) for purse, pair in amounts.items()]
        if any(hold.settled for hold in self.holds.get(name, {}).values()):
            with pytest.raises(ValueError, match="is settled"):
                self.store.reserve(name, charges, owner="me", expires=self.now + lease)
            return
        sums = {charge: self.sums(charge.scope, without=name) for charge in charges}
        short = [(charge, *found) for charge, found in sums.items() if sum(found) + charge.amount > LIMIT]

        assert list(self.store.reserve(name, charges, owner="me", expires=self.now + lease)) == short

        if not short:
            for charge in charges:
                held = Held(charge.amount, charge.floor, self.now + lease)
                self.holds.setdefault(name, {})[charge.scope] = held

    @rule(numbers=st.lists(REQUESTS, max_size=4), lease=st.integers(1, 5))
    def renew(self, numbers: list[int], lease: int) -> None:
        names = [self.name(number) for number in numbers]
        self.store.renew(names, expires=self.now + lease)
        for name in names:
            for hold in self.holds.get(name, {}).values():
                hold.expires = self.now + lease

    @rule(number=REQUESTS, spent=st.dictionaries(st.integers(0, 2), st.integers(0, 70)), receipt=st.booleans())
    def settle(self, number: int, spent: dict[int, int], *, receipt: bool) -> None:
        name = self.name(number)
        mine = self.holds.get(name, {})
        named = {self.scope(purse): amount for purse, amount in spent.items() if self.scope(purse) in mine}
        self.store.settle(name, named, entry(name, 1, at=self.now) if receipt else None)
        if receipt:
            self.receipts.add(name)
        for scope, hold in mine.items():
            if not hold.settled:
                hold.spent, hold.settled = named.get(scope, 0), True
        self.overspent.update(scope for scope in mine if sum(self.sums(scope)) > LIMIT)

    @rule(number=REQUESTS)
    def record(self, number: int) -> None:
        self.store.record(entry(self.name(number), 1, at=self.now))
        self.receipts.add(self.name(number))

    @rule(steps=st.integers(0, 4))
    def reclaim(self, steps: int) -> None:
        self.now += steps
        expired = [
            hold
            for holds in self.holds.values()
            for hold in holds.values()
            if hold.spent is None and hold.expires <= self.now
        ]
        assert self.store.reclaim(self.now) == len(expired)
        for hold in expired:
            hold.spent = hold.floor

    @rule()
    def prune(self) -> None:
        """From then on the requests are others: nobody asks for one that is gone."""
        for name, holds in self.holds.items():
            self.store.settle(name, {}, None)
            for hold in holds.values():
                if not hold.settled:
                    hold.spent, hold.settled = 0, True
        self.now += 10
        assert self.store.prune(self.now) == len(self.receipts)
        self.receipts.clear()
        self.round += 1

    @invariant()
    def limits_are_kept_and_sums_are_right(self) -> None:
        for purse in range(len(PURSES)):
            scope = self.scope(purse)
            expected = self.sums(scope)
            assert [(s.spent, s.held) for s in self.store.standings(scope[0])] == ([expected] if any(expected) else [])
            if scope not in self.overspent:
                assert sum(expected) <= LIMIT

    def teardown(self) -> None:
        self.reclaim(steps=10)
        assert {row["request_id"] for row in self.store.entries()} == self.receipts
        self.prune()
        assert self.store.verify() == []


def test_any_interleaving(store: Store) -> None:
    run_state_machine_as_test(
        lambda: Interleavings(store), settings=settings(max_examples=40, stateful_step_count=40, deadline=None)
    )
