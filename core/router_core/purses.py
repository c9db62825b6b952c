"""How budgets stand now: what each purse has of its limit, and when it is filled again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from router_core.budget import Budget
    from router_core.stores.base import Store
    from router_core.types import Unit

_ONE_PURSE = ("all", "model:", "provider:")
"""How the scopes begin whose spending is all counted together."""


class PurseStatus(NamedTuple):
    """One purse of a budget in the period that now is. Amounts are nano-dollars or tokens, as ``unit`` says; ``limit``
    has what the purse was topped up by. ``resets_at`` is None where no other period follows."""

    budget: str
    key: str
    window: str
    unit: Unit
    limit: int
    spent: int
    held: int
    resets_at: datetime | None

    @property
    def left(self) -> int:
        """What can still be held, 0 at least."""
        return max(self.limit - self.spent - self.held, 0)

    @property
    def percent(self) -> float | None:
        """How much of the limit is spent; None of a limit of 0."""
        return self.spent * 100 / self.limit if self.limit else None


def has_one_purse(budget: Budget) -> bool:
    """Whether all spending that the budget is about is counted together."""
    return budget.scope.startswith(_ONE_PURSE)


def purses_of(budgets: Iterable[Budget], store: Store | None, now: float) -> Iterator[PurseStatus]:
    """The purses of these budgets at a moment (unix seconds): those that something was spent or is held of, or that
    were topped up, and the one of a budget that has only one. A budget per call has none: each call is a period of its
    own. Without a store nothing was spent.

    Raises:
        StoreError: the store cannot be used.
    """
    for budget in budgets:
        if budget.per == "call":
            continue
        window = budget.window(now, "")
        found = {
            each.key: each
            for each in (() if store is None else store.standings(budget.name))
            if (each.window, each.unit) == (window, budget.unit)
        }
        topped_up = {extra.key for extra in budget.top_ups if extra.window == window}
        alone = {""} if has_one_purse(budget) else set[str]()
        for key in sorted(alone.union(found, topped_up)):
            standing = found.get(key)
            yield PurseStatus(
                budget=budget.name,
                key=key,
                window=window,
                unit=budget.unit,
                limit=budget.limit_of(key, window),
                spent=0 if standing is None else standing.spent,
                held=0 if standing is None else standing.held,
                resets_at=budget.resets_at(now),
            )
