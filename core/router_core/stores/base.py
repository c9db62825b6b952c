"""What a store of receipts and budgets is: the protocol ``Store``, and the values that go in and out.

A budget is kept by *reserve → settle*. Before a request its worst case is held against the limit of every budget that
applies; afterwards the hold becomes what was truly spent. A hold has a lease: the one that a killed process leaves
behind becomes spent at what its input cost, so that it neither blocks a budget for ever nor counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from router_core.learning.strategy import Batch, Contents, Place
from router_core.records import Charge, Feedback, Receipt, Scope, Shortfall
from router_core.types import Json, Unit

Row: TypeAlias = dict[str, Any]
"""One row of the ledger, by column. Money is nano-dollars, None where it is unknown; ``*_us`` is microseconds."""


Taught: TypeAlias = tuple[tuple[Place, str], ...]
"""Places of the strategy memory, each with what was said there of an answer ("" for no words)."""


class Standing(NamedTuple):
    """How a budget stands in one window, in ``unit``."""

    budget: str
    key: str
    window: str
    unit: Unit
    spent: int
    held: int


class Size(NamedTuple):
    """How much a store keeps: receipts, attempts of them, and purses of budgets (one per budget, key, window, unit)."""

    receipts: int
    attempts: int
    purses: int


class Done(NamedTuple):
    """What became of an operation: its value, or the error to be raised where it was asked for."""

    value: Any = None
    error: BaseException | None = None

    def result(self) -> Any:
        """The value. Raises the error."""
        if self.error is not None:
            raise self.error
        return self.value


Tell: TypeAlias = Callable[[Done], None]
"""Is told what became of an operation."""


class Movement(NamedTuple):
    """What a settlement did to a budget: how it stands now, and what was spent of it ``before``."""

    standing: Standing
    before: int


class Repricing(NamedTuple):
    """What an attempt costs by other prices than those that it was booked with: nano-dollars, None if unknown.

    ``price_version`` names these prices, ``at`` is when it was computed, in seconds since 1970 (UTC).
    """

    request_id: str
    number: int
    price_version: str
    at: float
    cost_nano: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """A receipt as the ledger keeps it, with what the receipt itself does not tell.

    ``at`` is when the request ended, in seconds since 1970 (UTC). ``baseline_model`` is the model that savings are
    measured against and ``baseline_nano`` what it would have cost; ``predicted_nano`` is the cost that was foreseen.
    Both are nano-dollars, None if unknown. ``prompt`` and ``answer`` are stored as they are: whoever makes the entry
    has hashed or redacted them, or left them out.
    """

    receipt: Receipt
    at: float
    baseline_model: str | None = None
    baseline_nano: int | None = None
    predicted_nano: int | None = None
    prompt: str | None = None
    answer: str | None = None


class Store(Protocol):
    """Keeps receipts and budgets. Every method may be called from any thread, and blocks until what it did is durable;
    all but ``begin``, by which an event loop need not wait.

    All of them may be called again with the same arguments, as after an error that leaves it open whether the call
    took effect: what was done is not done twice. Times are in seconds since 1970 (UTC); a store reads no clock.

    Raises:
        StoreError: by every method, if the store cannot be used; nothing of what was asked for is then done.
        ValueError: by every method, if an argument contradicts itself or what is stored; nothing is done then either.
    """

    def do(self, work: Any) -> Any:
        """Do what ``reserve``, ``renew``, ``settle`` or ``record`` would do, given as a value of ``works``."""
        ...

    def begin(self, work: Any, tell: Tell) -> None:
        """Like ``do``, without waiting.

        ``tell`` is told what became of it when it is durable, from whatever thread, which it must not hold up.
        """
        ...

    def reserve(
        self, request_id: str, charges: Sequence[Charge], *, owner: str, expires: float
    ) -> tuple[Shortfall, ...]:
        """Hold all charges or, if one does not fit below its limit, none; those that do not fit are returned. A charge
        of 0 always fits.

        The hold is ``owner``'s until ``expires``. What the request holds already of the same budget, key and window
        is replaced.
        """
        ...

    def renew(self, request_ids: Sequence[str], *, expires: float) -> None:
        """Hold what these requests hold until ``expires``. What was reclaimed meanwhile stays so."""
        ...

    def settle(self, request_id: str, spent: Mapping[Scope, int], entry: LedgerEntry | None) -> tuple[Movement, ...]:
        """Turn the holds of a request into what was spent, and write its receipt, both or neither. Returns what that
        did to the budgets; nothing where it was done before.

        ``spent`` is in the unit of each hold; a hold that it does not name spent nothing. The truth is booked even
        where it is above the hold or the limit: further reserves are then refused. A hold that was reclaimed is
        corrected. What is settled, and a receipt that is there, stay as they are.

        Raises:
            ValueError: something was spent of a budget of which the request never held anything.
        """
        ...

    def record(self, entry: LedgerEntry) -> None:
        """Write a receipt. Nothing changes if it is there."""
        ...

    def reclaim(self, now: float) -> int:
        """Turn the holds whose lease has expired into their floor, spent. Returns how many they were."""
        ...

    def standings(self, budget: str | None = None) -> list[Standing]:
        """Where something is spent or held, of one budget or of all, in the order of budget, key and window."""
        ...

    def budgets(self) -> dict[str, dict[str, Json]]:
        """The definitions that were saved, by name."""
        ...

    def save_budget(self, name: str, definition: Mapping[str, Json] | None) -> None:
        """Keep a definition; None removes it. What was spent is kept in any case."""
        ...

    def swap_budget(self, name: str, before: Mapping[str, Json] | None, after: Mapping[str, Json] | None) -> bool:
        """Keep ``after`` if what is kept is ``before``, in one transaction, and say whether it was: who changes a part
        of a definition reads it, swaps it, and begins anew if somebody else was quicker. None stands for no definition.
        """
        ...

    def size(self, before: float | None = None) -> Size:
        """How much is kept; with ``before``, of requests that ended before that time (purses are counted all)."""
        ...

    def entries(self, *, since: float | None = None, until: float | None = None) -> Iterator[Row]:
        """The receipts of requests that ended in ``since`` <= time < ``until``, oldest first.

        Each is a row of its columns with "attempts", a list of rows, and "decision", a row or None. Each attempt has
        "repriced": what was saved of it by ``save_repricings``, as nano-dollars by price version, the latest last.
        "feedback" is None or a row: "score", "comment", "at_us". What is written while the rows are read may or may not
        be among them; none of them is torn.
        """
        ...

    def save_feedback(self, feedback: Feedback) -> bool:
        """Keep what was said of an answer, in place of what was said before; says whether its receipt is kept. Without
        one, nothing is.

        Raises:
            ValueError: the score is not between 0 and 1.
        """
        ...

    def save_repricings(self, repricings: Sequence[Repricing]) -> int:
        """Keep costs that were computed anew beside the old figures, which stay as they are. One of the same attempt
        and price version is replaced; those of attempts that are not kept, or not any more, are left out.

        They are written some at a time, so that who asks for much keeps nobody waiting. Returns how many are kept.
        """
        ...

    def remember(self, batch: Batch, *, anew: bool = False) -> bool:
        """Add to the strategy memory, all of a batch or nothing; with ``anew``, forget what is remembered first.

        Evidence is added where it is kept, so that what several processes add at once is all counted. Says whether it
        was new: a batch that a writer brings again is not counted twice.

        Raises:
            ValueError: a name is too long, or a number is none.
        """
        ...

    def learn_feedback(self, length: float, at: float) -> Taught:
        """Add to the strategy memory what was said of answers and not learned yet, whoever said it: each once, in one
        transaction with the note that it is learned. What is said anew of an answer replaces what was learned of it.

        Of requests that were not begun by a strategy memory nothing is learned. ``length`` is how many judgements of a
        model count, ``at`` when that is done. Returns the places that something was learned of, each with the comment
        ("" where there is none).
        """
        ...

    def memory(self) -> Contents:
        """All that the strategy memory holds, of one moment."""
        ...

    def prune(self, before: float) -> int:
        """Remove the receipts of requests that ended before that time. What they spent stays spent.

        Returns how many they were.
        """
        ...

    def verify(self) -> list[str]:
        """What does not add up, in words: requests against their attempts, budgets against their holds."""
        ...

    def close(self) -> None:
        """Free what the store has open. A store that has connections cannot be used any more."""
        ...
