"""Whole routers on one store: whatever they plan, whatever fails and in whatever order, no budget is overspent."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run

from router_core import Budget, Router
from router_core.account import Account
from router_core.budget import UNBOUNDED_OUTPUT
from router_core.effects import Await, CallModel, Tell
from router_core.errors import BudgetExceeded, RouterError
from router_core.ledger import Ledger
from router_core.options import Settings
from router_core.policies import StaticPolicy
from router_core.records import Receipt
from router_core.stores import Store
from router_core.tab import Tab
from router_core.testing import Broken, ScriptedHost, scripted_model
from router_core.types import FailureKind, Reply, RequestView, Usage, Verdict

LEASE_S = 60.0
MODELS = (
    scripted_model("free"),
    scripted_model("weak", input_usd="1", output_usd="2"),
    scripted_model("middle", input_usd="3", output_usd="0.7", max_output_tokens=50),
    scripted_model("strong", input_usd="10", output_usd="20"),
)
_examples = count()

limits = st.sampled_from([3_000_000, 12_000_000, 60_000_000, 500_000_000, 0])
modes = st.sampled_from(["stop", "degrade"])
shares = st.sampled_from([0.0, 0.3, 1.0])
outcomes = st.sampled_from(["good", "bad", "bad", "fails", "hangs", "says nothing"])


@dataclass
class Running:
    """A request between two of its effects."""

    account: Account[Any, Any]
    flow: Any
    tab: Tab
    effect: Any = None
    outcomes: list[str] = field(default_factory=list)


def says_bad(_request: RequestView, reply: Reply) -> Verdict:
    return Verdict(accepted="bad" not in reply.text, code="bad")


class Storm(RuleBasedStateMachine):
    """Advances requests effect by effect, in any order. Some are cancelled, some are killed and never settle.

    Every example has budgets of its own: rows of others do not matter.
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.example = f"e{next(_examples)}"
        self.line: Any = None
        self.running: list[Running] = []
        self.receipts: list[Receipt] = []
        self.killed: list[Tab] = []
        self.more: defaultdict[str, int] = defaultdict(int)

    @initialize(
        usd=st.tuples(limits, limits, limits),
        tokens=st.sampled_from([50_000, 5_000, 500, 0]),
        mode=modes,
        retries=st.integers(0, 2),
    )
    def begin(self, usd: tuple[int, int, int], tokens: int, mode: Any, retries: int) -> None:
        def budget(name: str, nano: int, **about: Any) -> Budget:
            return Budget(name=f"{self.example}-{name}", limit_usd=f"{nano / 1e9:.9f}", on_exceeded=mode, **about)

        self.budgets = (
            budget("all", usd[0]),
            budget("users", usd[1] // 2, scope="tag:user", per="day"),
            budget("strong", usd[2], scope="model:strong"),
            Budget(name=f"{self.example}-tokens", limit_tokens=tokens, scope="session", per="month"),
        )
        # Two routers with ledgers of their own: as in two processes.
        self.routers = [
            Router(
                MODELS,
                policy=StaticPolicy(),
                verifiers=[says_bad],
                settings=Settings(retries=retries),
                host=ScriptedHost(lambda _effect, _payload: self.line),
                ledger=Ledger(self.store, budgets=self.budgets, lease_s=LEASE_S),
            )
            for _ in range(2)
        ]

    @precondition(lambda self: len(self.running) < 6)
    @rule(
        router=st.integers(0, 1),
        words=st.integers(0, 60),
        max_tokens=st.none() | st.integers(1, 400),
        first=st.integers(0, 3),
        most=st.integers(1, 4),
        about=st.fixed_dictionaries(
            {}, optional={"tags": st.sampled_from([["user:ann"], ["user:ann", "user:bob"]]), "session": st.just("s")}
        ),
    )
    def ask(
        self, router: int, words: int, max_tokens: int | None, first: int, most: int, about: dict[str, Any]
    ) -> None:
        options = {**about, "allow": [model.name for model in MODELS[first:]], "max_attempts": most}
        if max_tokens is not None:
            options["max_tokens"] = max_tokens
        flow, tab, world = self.routers[router]._start("word " * words + "?", options, mode="hold")
        request = Running(Account(flow, tab, world), flow, tab)
        self.running.append(request)
        self.proceed(request, None)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 5), outcomes=st.lists(st.tuples(outcomes, shares), min_size=1, max_size=6))
    def advance(self, which: int, outcomes: list[tuple[str, float]]) -> None:
        request = self.running[which % len(self.running)]
        for outcome, of in outcomes:
            if request not in self.running:
                return
            self.step(request, outcome, of)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 5), outcomes=st.lists(st.tuples(outcomes, shares), min_size=2, max_size=9))
    def advance_further(self, which: int, outcomes: list[tuple[str, float]]) -> None:
        self.advance(which, outcomes)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 5), killed=st.booleans())
    def end(self, which: int, *, killed: bool) -> None:
        request = self.running[which % len(self.running)]
        if killed:
            self.running.remove(request)
            self.killed.append(request.tab)
        else:
            self.leave(request, KeyboardInterrupt())

    @rule(nano=st.integers(0, 1_000_000))
    def time_goes_by_and_money_comes(self, nano: int) -> None:
        now = time.time()
        self.store.renew([request.tab.request_id for request in self.running], expires=now + 10 * LEASE_S)
        self.store.reclaim(now + 2 * LEASE_S)
        if nano:
            budget = self.budgets[0]
            self.more[budget.name] += nano
            definition = budget.topped_up("", "total", self.more[budget.name]).definition()
            self.store.save_budget(budget.name, {"top_ups": definition["top_ups"]})

    @invariant()
    def no_budget_is_overspent(self) -> None:
        for budget in getattr(self, "budgets", ()):
            for standing in self.store.standings(budget.name):
                assert standing.spent + standing.held <= budget.limit + self.more[budget.name], standing

    def teardown(self) -> None:
        for request in list(self.running):
            self.leave(request, KeyboardInterrupt())
        self.store.reclaim(time.time() + 20 * LEASE_S)
        for budget in getattr(self, "budgets", ()):
            standings = self.store.standings(budget.name)
            assert [each.held for each in standings] == [0] * len(standings)
        if getattr(self, "budgets", ()):
            floors = sum(c.floor for tab in self.killed for c in tab.charges if c.budget == self.budgets[0].name)
            spent = sum(receipt.cost_nano or 0 for receipt in self.receipts)
            assert sum(each.spent for each in self.store.standings(self.budgets[0].name)) == spent + floors
        kept = {row["request_id"] for row in self.store.entries()}
        assert kept.issuperset(receipt.request_id for receipt in self.receipts)
        assert kept.isdisjoint(tab.request_id for tab in self.killed)

    def said(self, tab: Tab, effect: CallModel, outcome: str, of: float) -> Any:
        """What a provider may say: it counts at most a token a byte, and keeps to the limit that it is given."""
        bounds = (effect.max_tokens, tab.request.max_tokens, effect.model.max_output_tokens)
        longest = min((bound for bound in bounds if bound is not None), default=UNBOUNDED_OUTPUT)
        usage = Usage(input_tokens=round(of * tab.request.input_bytes), output_tokens=round(of * longest))
        if outcome == "fails":
            return Broken()
        if outcome == "hangs":
            return Broken(FailureKind.TIMEOUT, may_be_billed=True)
        return Reply(text=outcome, usage=None if outcome == "says nothing" else usage)

    def step(self, request: Running, outcome: str, of: float) -> None:
        effect = request.effect
        if isinstance(effect, CallModel):
            self.line = self.said(request.tab, effect, outcome, of)
            result: Any = request.account.call(effect)
        elif isinstance(effect, Tell | Await):
            result = request.account.perform(effect)
        else:
            result = request.account.hold(effect)
        self.proceed(request, result)

    def proceed(self, request: Running, result: Any) -> None:
        try:
            request.effect = request.flow.send(result)
        except StopIteration:
            self.leave(request, None)
        except RouterError as error:
            self.leave(request, error)
            if isinstance(error, BudgetExceeded):
                assert not request.tab.attempts

    def leave(self, request: Running, error: BaseException | None) -> None:
        self.running.remove(request)
        request.account.__exit__(type(error), error, None)
        assert request.tab.receipt is not None
        self.receipts.append(request.tab.receipt)


@pytest.mark.parametrize(("store", "examples"), [("memory", 100), ("sqlite", 40), ("postgres", 40)], indirect=["store"])
def test_no_budget_is_overspent_whatever_happens_in_whatever_order(store: Store, examples: int) -> None:
    run(lambda: Storm(store), settings=settings(max_examples=examples, stateful_step_count=40, deadline=None))
    assert store.verify() == []
