"""The auditor of a registry file: from what the file says to one that asks models as the router's face does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from router_core.auditor import Auditor
from router_core.budget import Budget
from router_core.config.shape import AuditorEntry
from router_core.errors import ConfigError
from router_core.ledger import Ledger
from router_core.policies.base import Policy
from router_core.policies.strategy import StrategyMemoryPolicy
from router_core.registry import Registry
from router_core.types import JUDGE_TAG, Constraints, Model

AUDITOR = "auditor"
"""The call site and the tag of what the auditor asks, and the name of its budget."""

Asking: TypeAlias = Callable[[Registry, Ledger], Callable[[str], Any]]
"""Makes what answers a prompt with the one model of a registry and keeps its receipts in that ledger, marked with
``AUDITOR``."""


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """An auditor that has not begun: what it teaches, whom it asks, and the ledger in which its budget alone holds."""

    memory: StrategyMemoryPolicy
    registry: Registry
    model: Model
    share: float
    compare: bool
    ledger: Ledger

    @classmethod
    def of(
        cls, entry: AuditorEntry, policy: Policy, registry: Registry, constraints: Constraints, ledger: Ledger
    ) -> AuditPlan:
        """The plan that an entry describes; ``constraints`` hold for every request.

        Raises:
            ConfigError: nobody would learn from it, its model may see no request, or its budget has no limit, or two,
                or the name of another.
        """
        if not isinstance(policy, StrategyMemoryPolicy):
            raise ConfigError(
                f"only the policy {StrategyMemoryPolicy.name!r} learns from audits, and this is {policy.name!r}; write "
                f"'policy: {StrategyMemoryPolicy.name}', or leave the auditor out"
            )
        if (entry.limit_usd is None) == (entry.limit_tokens is None):
            raise ConfigError("the audits need a budget of their own; give either limit_usd or limit_tokens")
        model = registry.find(entry.model)
        if not _may_see(model, constraints):
            raise ConfigError(
                f"{model.name!r} may see no request, for 'constraints' denies it or requires tags that it lacks; name "
                "another model"
            )
        limit: dict[str, Any] = {"limit_usd": entry.limit_usd, "limit_tokens": entry.limit_tokens}
        budget = Budget(name=AUDITOR, per=entry.per, scope=f"tag:{AUDITOR}", **limit)
        return cls(policy, registry, model, entry.share, entry.compare, ledger.apart(budget))

    def begin(self, asking: Asking) -> None:
        """Have the memory's requests audited from now on, by models that are asked in this way."""

        def asked(model: Model) -> Callable[[str], Any]:
            # In a router of its own it answers, whatever it is in the other one; and nothing is measured against it.
            alone = replace(model, tags=model.tags - {JUDGE_TAG})
            return asking(Registry((alone,), self.registry.endpoints), self.ledger)

        rivals = [model for model in self.registry.models if self.compare and JUDGE_TAG not in model.tags]
        auditor = Auditor(
            self.memory,
            asked(self.model),
            share=self.share,
            answer_with={model.name: asked(model) for model in rivals} or None,
            may_see=lambda request: _may_see(self.model, request.constraints),
        )
        self.memory.audited_by(auditor)


def _may_see(judge: Model, limits: Constraints) -> bool:
    """Whether a judge may be shown a request: what must not leave the machine is shown to nobody elsewhere."""
    return judge.name not in limits.deny and limits.require_tags <= judge.tags
