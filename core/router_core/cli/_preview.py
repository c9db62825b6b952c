"""What budgets would say to a request, without holding anything."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from router_core.budget import Budget, Plan, charges_of
from router_core.constraints import Outlook
from router_core.effects import AskForMore, Limits, Reserve
from router_core.errors import BudgetExceeded
from router_core.holding import Purse, held
from router_core.hosts.chat import prepare
from router_core.latency import Observations
from router_core.records import Reason, Shortfall
from router_core.stores.book import Book, Counter, Key
from router_core.tab import Tab

if TYPE_CHECKING:
    from router_core.options import CallOptions
    from router_core.records import Charge, Decision
    from router_core.router import Router
    from router_core.stores import Standing

Verdict: TypeAlias = Literal["fits", "limited", "degraded", "asks", "refused"]


@dataclass(slots=True)
class Preview:
    """What would become of a request. ``needed`` are the purses with what they would have to hold at worst, what is
    spent and what is held of them. ``verdict``: it fits; its answers would be limited, to ``max_tokens`` of each model;
    it would go on with ``ladder`` alone; somebody would be asked; or it would be refused, and ``why``."""

    needed: list[Shortfall] = field(default_factory=list)
    verdict: Verdict = "fits"
    max_tokens: Mapping[str, int] = field(default_factory=dict)
    ladder: Sequence[str] = ()
    why: str = ""


def previewed(
    router: Router,
    messages: Sequence[Mapping[str, Any]],
    options: CallOptions,
    decision: Decision,
    *,
    budgets: tuple[Budget, ...],
    standings: Iterable[Standing],
) -> Preview:
    """What these budgets, of which so much is spent and held, would say to a request."""
    view, _ = prepare(messages, options, defaults=router.constraints, registry=router.registry)
    settings = router.settings
    tab = Tab(view, Outlook(router.prices, Observations(), settings, router.registry.strongest))
    purse = Purse(router.registry.by_name, settings.retries, settings.max_attempts)
    world = _World(tab, budgets, standings)
    flow = held(purse, tab, decision)
    result: Any = None
    while True:
        try:
            result = world.perform(flow.send(result))
        except StopIteration as done:
            return world.fitting(done.value)
        except BudgetExceeded as error:
            world.preview.verdict = "asks" if world.asked else "refused"
            world.preview.why = str(error)
            return world.preview
        except ValueError as error:  # a model has no price
            world.preview.verdict, world.preview.why = "refused", str(error)
            return world.preview


class _World:
    """Performs what holding asks for on a copy of the standings."""

    def __init__(self, tab: Tab, budgets: tuple[Budget, ...], standings: Iterable[Standing]) -> None:
        self.preview = Preview()
        self.asked = False
        self._tab = tab
        self._budgets = budgets
        self._book = Book()
        for each in standings:
            key = Key(each.budget, each.key, each.window, each.unit)
            self._book.counters[key] = Counter(each.spent, each.held)
        self._plans: list[Plan] = []

    def perform(self, effect: object) -> Any:
        """The result of an effect of ``holding``."""
        if isinstance(effect, Limits):
            return self._budgets
        if isinstance(effect, AskForMore):
            self.asked = True
            return False
        if isinstance(effect, Reserve):
            return self._reserve(effect)
        raise RuntimeError(f"holding asks for {effect!r}")

    def fitting(self, decision: Decision) -> Preview:
        """What becomes of a request that goes on."""
        preview = self.preview
        if decision.reason is Reason.BUDGET:
            preview.verdict, preview.ladder = "degraded", decision.ladder
        elif self._plans and self._plans[0] != self._plans[-1]:
            preview.verdict = "limited"
        if self._plans:
            natural = {call.model.name: call.output for call in self._plans[0].calls}
            preview.max_tokens = {name: most for name, most in self._tab.caps.items() if most < natural[name]}
        return preview

    def _reserve(self, effect: Reserve) -> tuple[Shortfall, ...]:
        tab = self._tab
        tab.held_at = time.time()
        charges = charges_of(effect.budgets, tab.request, effect.plan, tab.held_at, tab.request_id)
        if not self._plans:
            self.preview.needed = [self._standing(charge) for charge in charges]
        self._plans.append(effect.plan)
        short = self._book.reserve(tab.request_id, charges, "", 0)
        if not short:
            tab.charges = charges
        return short

    def _standing(self, charge: Charge) -> Shortfall:
        counter = self._book.counters.get(Key(*charge.scope, charge.unit)) or Counter()
        return Shortfall(charge, counter.spent, counter.held)
