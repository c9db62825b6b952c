"""The budgets of a report: what each limits, and how its purses stand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from router_core.budget import Budget
from router_core.purses import PurseStatus, purses_of

if TYPE_CHECKING:
    from router_core.stores.base import Store


class BudgetStatus(NamedTuple):
    """A budget and its purses in the present period, the fullest first. One for each call has none: every call has its
    own. ``resets_at`` is None where no other period follows."""

    budget: Budget
    resets_at: datetime | None
    purses: tuple[PurseStatus, ...]


def statuses(budgets: Iterable[Budget], store: Store | None, now: float) -> tuple[BudgetStatus, ...]:
    """How these budgets stand in a store at a moment (unix seconds).

    Raises:
        StoreError: the store cannot be used.
    """
    return tuple(
        BudgetStatus(budget, budget.resets_at(now), tuple(sorted(purses_of([budget], store, now), key=_fullest)))
        for budget in budgets
    )


def used(purse: PurseStatus) -> float:
    """The share of the limit that is spent or held: above 1 where more was spent, 1 of a limit of 0."""
    return (purse.spent + purse.held) / purse.limit if purse.limit else 1.0


def _fullest(purse: PurseStatus) -> tuple[float, str]:
    return (-used(purse), purse.key)
