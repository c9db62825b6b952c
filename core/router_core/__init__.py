"""A router for language models: the cheapest model that can answer, its answer checked, every token accounted for.

::

    from router_core import Router

    router = Router(["ollama:llama3.2", "openai:gpt-4.1-nano", "openai:gpt-4.1"])  # weakest first
    answer = router.complete("What is the capital of France?", max_cost_usd=0.01)
    print(answer.text, answer.model, answer.cost_usd)
"""

from __future__ import annotations

from router_core.budget import Budget
from router_core.errors import (
    AllAttemptsFailed,
    AnswersRejected,
    ConfigError,
    InvalidRequest,
    MissingExtra,
    NoFeasibleModel,
    RouterError,
    StreamBroken,
)
from router_core.hosts.chat import Chunk
from router_core.ledger import Ledger
from router_core.options import CallOptions, Settings
from router_core.records import Answer, Attempt, Decision, Receipt
from router_core.registry import Endpoint, Registry
from router_core.router import Router
from router_core.types import Constraints, Model, Price, Usage, Verdict

__all__ = [
    "AllAttemptsFailed",
    "Answer",
    "AnswersRejected",
    "Attempt",
    "Budget",
    "CallOptions",
    "Chunk",
    "ConfigError",
    "Constraints",
    "Decision",
    "Endpoint",
    "InvalidRequest",
    "Ledger",
    "MissingExtra",
    "Model",
    "NoFeasibleModel",
    "Price",
    "Receipt",
    "Registry",
    "Router",
    "RouterError",
    "Settings",
    "StreamBroken",
    "Usage",
    "Verdict",
]
