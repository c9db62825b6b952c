"""What is asked of a store, as values: checked where it is asked, done where the book is.

Each names the requests whose holds it looks at and the counters that it may touch beside theirs, so that a store can
load and lock them before.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, get_args

from router_core.records import Charge, Scope, Shortfall
from router_core.stores.base import LedgerEntry, Movement
from router_core.stores.book import Book, Key
from router_core.stores.rows import MAX_INTEGER, MAX_KEY_LENGTH, EntryRows, entry_rows, microseconds
from router_core.types import Unit


class Work(Protocol):
    """One operation on a book."""

    @property
    def requests(self) -> Sequence[str]:
        """The requests whose holds it looks at."""
        ...

    @property
    def keys(self) -> Sequence[Key]:
        """The counters that it may touch beside those of these holds."""
        ...

    @property
    def rows(self) -> EntryRows | None:
        """The receipt that it brings."""
        ...

    def apply(self, book: Book) -> object:
        """Do it; a ``ValueError`` leaves the book as it was."""
        ...


class Reserve(NamedTuple):
    """``Store.reserve``."""

    request_id: str
    charges: tuple[Charge, ...]
    owner: str
    expires_us: int
    keys: tuple[Key, ...]
    rows: None = None

    @classmethod
    def of(cls, request_id: str, charges: Sequence[Charge], owner: str, expires: float) -> Reserve:
        """The operation, checked.

        Raises:
            ValueError: a charge contradicts itself, or two are of the same budget, key and window.
        """
        for charge in charges:
            _check(charge)
        if len({charge.scope for charge in charges}) < len(charges):
            raise ValueError("charges: two are of the same budget, key and window; give each once")
        keys = tuple(Key(*charge.scope, charge.unit) for charge in charges)
        return cls(request_id, tuple(charges), owner, microseconds(expires, "expires"), keys)

    @property
    def requests(self) -> Sequence[str]:
        """The request that reserves."""
        return (self.request_id,)

    def apply(self, book: Book) -> tuple[Shortfall, ...]:
        """Hold all charges or none."""
        return book.reserve(self.request_id, self.charges, self.owner, self.expires_us)


class Renew(NamedTuple):
    """``Store.renew``."""

    requests: tuple[str, ...]
    expires_us: int
    keys: tuple[Key, ...] = ()
    rows: None = None

    def apply(self, book: Book) -> None:
        """Set the leases."""
        book.renew(self.requests, self.expires_us)


class Settle(NamedTuple):
    """``Store.settle``, and ``Store.record``, which settles nothing."""

    requests: tuple[str, ...]
    spent: Mapping[Scope, int]
    rows: EntryRows | None
    keys: tuple[Key, ...] = ()

    @classmethod
    def of(cls, request_id: str, spent: Mapping[Scope, int], entry: LedgerEntry | None) -> Settle:
        """The operation, checked.

        Raises:
            ValueError: an amount is negative or too large, or the receipt is of another request.
        """
        for scope, amount in spent.items():
            if not 0 <= amount <= MAX_INTEGER:
                raise ValueError(f"spent: {amount} of {scope!r} is not an amount")
        if entry is not None and entry.receipt.request_id != request_id:
            raise ValueError(f"entry: the receipt is of {entry.receipt.request_id!r}, not of {request_id!r}")
        return cls((request_id,), dict(spent), None if entry is None else entry_rows(entry))

    @classmethod
    def recording(cls, entry: LedgerEntry) -> Settle:
        """The operation that only writes a receipt."""
        return cls((), {}, entry_rows(entry))

    def apply(self, book: Book) -> tuple[Movement, ...]:
        """Book what was spent, and the receipt."""
        moved = tuple(each for request_id in self.requests for each in book.settle(request_id, self.spent))
        if self.rows is not None:
            book.enter(self.rows)
        return moved


class Operations(ABC):
    """The methods of a store that ask for one operation, over the one that does them."""

    @abstractmethod
    def do(self, work: Work) -> Any:
        """Do an operation, and wait until it is durable. Raises its error."""

    def reserve(
        self, request_id: str, charges: Sequence[Charge], *, owner: str, expires: float
    ) -> tuple[Shortfall, ...]:
        """Hold all charges or none."""
        short: tuple[Shortfall, ...] = self.do(Reserve.of(request_id, charges, owner, expires))
        return short

    def renew(self, request_ids: Sequence[str], *, expires: float) -> None:
        """Hold what these requests hold until ``expires``."""
        self.do(Renew(tuple(request_ids), microseconds(expires, "expires")))

    def settle(self, request_id: str, spent: Mapping[Scope, int], entry: LedgerEntry | None) -> tuple[Movement, ...]:
        """Turn the holds of a request into what was spent, and write its receipt."""
        moved: tuple[Movement, ...] = self.do(Settle.of(request_id, spent, entry))
        return moved

    def record(self, entry: LedgerEntry) -> None:
        """Write a receipt."""
        self.do(Settle.recording(entry))


def definition_text(name: str, definition: Mapping[str, object]) -> str:
    """A budget's definition as JSON.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.dumps(dict(definition), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"budgets.{name}: the definition is not JSON: {error}") from None


def same_definition(one: str | None, other: str | None) -> bool:
    """Whether two texts say the same of a budget; None says that there is none."""
    if one is None or other is None:
        return one is other
    return bool(json.loads(one) == json.loads(other))


def _check(charge: Charge) -> None:
    if charge.unit not in get_args(Unit):
        raise ValueError(f"charges: {charge.unit!r} of {charge.budget!r} is no unit; it is 'nano' or 'tokens'")
    if not 0 <= charge.floor <= charge.amount <= MAX_INTEGER:
        raise ValueError(
            f"charges: of {charge.budget!r} the floor is {charge.floor} and the amount {charge.amount}; "
            "0 <= floor <= amount must hold"
        )
    if len(json.dumps(charge.scope)) > MAX_KEY_LENGTH:
        raise ValueError(f"charges: budget, key and window of {charge.budget!r} are longer than {MAX_KEY_LENGTH}")
