"""Holding money before the first call: the part of the cascade that budgets take.

The worst case of everything that the request may do is held in one piece. Where it does not fit, answers are limited to
what is left if that leaves room for an ordinary one; else the budget's own setting decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from router_core.budget import Budget, OnExceeded, Plan, PlannedCall, charges_of, plan_call
from router_core.effects import AskForMore, Flow, Limits, Reserve
from router_core.errors import BudgetExceeded
from router_core.records import Decision, Reason, Shortfall
from router_core.tab import Tab
from router_core.types import Model

LEAST_OUTPUT = 16
"""Tokens below which an answer is not worth asking for, even by a budget that degrades."""

_TRIES = 3
"""Others spend from the same purses meanwhile: what was left a moment ago may be gone."""

_STRICTEST: Sequence[OnExceeded] = ("stop", "ask", "degrade")


@dataclass(frozen=True, slots=True)
class Purse:
    """What holding needs to know of a router: its models, how many answers a request may ask for, and what may be asked
    beside them; and the budgets."""

    models: Mapping[str, Model]
    retries: int
    max_attempts: int | None
    asides: tuple[PlannedCall, ...] = ()
    budgets: tuple[Budget, ...] = ()


def held(purse: Purse, tab: Tab, decision: Decision) -> Flow[Decision]:
    """Hold the worst case of a decision, and return it, or a cheaper one if a budget says so.

    Raises:
        BudgetExceeded: it does not fit.
    """
    purse = replace(purse, budgets=(yield from Limits()))
    if not purse.budgets:
        return decision
    plan = _plan(purse, tab, (*decision.ladder, *decision.fallbacks))
    least = tab.outlook.settings.expected_output_tokens
    shortfalls = yield from _reserve(purse, tab, plan, least=least)
    if shortfalls and (budgets := (yield from Limits(anew=True))) != purse.budgets:
        purse = replace(purse, budgets=budgets)
        shortfalls = yield from _reserve(purse, tab, plan, least=least)
    if not shortfalls:
        return decision
    mode = _mode(purse, shortfalls)
    if mode == "ask" and (yield from AskForMore(_exceeded(purse, tab, shortfalls))):
        shortfalls = yield from Reserve(plan, purse.budgets, allowed=True)
        if not shortfalls:
            tab.caps = _caps(plan)
            return decision
    if mode == "degrade":
        for ladder in _cheaper(purse, tab, decision):
            plan = _plan(purse, tab, ladder)
            shortfalls = yield from _reserve(purse, tab, plan, least=LEAST_OUTPUT)
            if not shortfalls:
                return decision._replace(ladder=ladder, fallbacks=(), reason=Reason.BUDGET)
    raise _exceeded(purse, tab, shortfalls)


def _exceeded(purse: Purse, tab: Tab, shortfalls: Sequence[Shortfall]) -> BudgetExceeded:
    budgets = {budget.name: budget for budget in purse.budgets}
    return BudgetExceeded(shortfalls, [budgets[s.charge.budget].resets_at(tab.held_at) for s in shortfalls])


def _reserve(purse: Purse, tab: Tab, plan: Plan, *, least: int) -> Flow[tuple[Shortfall, ...]]:
    """Hold the plan, if need be with answers limited to what is left, but to no fewer than ``least`` tokens."""
    shortfalls = yield from Reserve(plan, purse.budgets)
    for _ in range(_TRIES):
        most = _most(purse, tab, plan, shortfalls, least) if shortfalls else None
        if most is None:
            break
        limited = _limited(plan, tab, most)
        shortfalls = yield from Reserve(limited, purse.budgets)
        if not shortfalls:
            plan = limited
    if not shortfalls and tab.charges:
        tab.caps = _caps(plan)
    return shortfalls


def _most(purse: Purse, tab: Tab, plan: Plan, shortfalls: Sequence[Shortfall], least: int) -> int | None:
    """The longest answer, in tokens, with which the plan fits what is left; None if that is shorter than ``least``."""
    left = {shortfall.charge.scope: shortfall.left for shortfall in shortfalls}

    def fits(most: int) -> bool:
        charges = charges_of(purse.budgets, tab.request, _limited(plan, tab, most), tab.held_at, tab.request_id)
        return all(charge.amount <= left.get(charge.scope, charge.amount) for charge in charges)

    low, high = least, max(call.output for call in plan.calls)
    if low > high or not fits(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _plan(purse: Purse, tab: Tab, names: Sequence[str]) -> Plan:
    """Every call that may come of asking these models: a bound, whichever way the request takes."""
    calls = tuple(plan_call(purse.models[name], tab.request, tab.outlook.prices) for name in names)
    # A failed call is repeated with the last model that is left, whichever that is.
    return Plan(calls, purse.retries, tab.request.constraints.max_attempts or purse.max_attempts, purse.asides)


def _limited(plan: Plan, tab: Tab, most: int) -> Plan:
    """The plan with answers of at most so many tokens."""
    calls = (plan_call(call.model, tab.request, tab.outlook.prices, most) for call in plan.calls)
    return plan._replace(calls=tuple(calls))


def _cheaper(purse: Purse, tab: Tab, decision: Decision) -> list[tuple[str, ...]]:
    """Ever cheaper ways to go: the ladder without its upper rungs, and at last the cheapest model alone."""
    shorter = [decision.ladder[:rungs] for rungs in range(len(decision.ladder) - 1, 0, -1)]
    names = (*decision.ladder, *decision.fallbacks)
    costs = {name: plan_call(purse.models[name], tab.request, tab.outlook.prices).nano for name in names}
    cheapest = min(names, key=lambda name: (costs[name] is None, costs[name] or 0))
    return [*shorter, (cheapest,)]


def _caps(plan: Plan) -> dict[str, int]:
    return {call.model.name: call.max_tokens for call in plan.calls if call.max_tokens is not None}


def _mode(purse: Purse, shortfalls: Sequence[Shortfall]) -> OnExceeded:
    """The strictest of what the budgets want that cannot bear the request."""
    short = {shortfall.charge.budget for shortfall in shortfalls}
    wanted = {budget.on_exceeded for budget in purse.budgets if budget.name in short}
    return next(mode for mode in _STRICTEST if mode in wanted)
