"""Budgets that ask, within LangGraph: the run stops, a person is asked, and it goes on or ends with what is answered.

The graph stops with an interrupt whose value is what ``_question`` makes. ``Command(resume=True)`` goes on beyond the
limit; any other value refuses, so that ``BudgetExceeded`` is raised. As after every interrupt of LangGraph, the node
runs anew from its beginning. What was interrupted has a receipt of its own: cancelled, without attempts.
"""

from __future__ import annotations

import sys
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context

from router_core.errors import BudgetExceeded
from router_core.notes import BudgetNote
from router_core.types import Json

_CHECKPOINTER = "__pregel_checkpointer"
"""Where LangGraph notes in the config of a node who keeps its checkpoints; without them nothing can be resumed."""


def control_flow() -> tuple[type[Exception], ...]:
    """The exceptions by which LangGraph leaves a node: none is a failure. Where it was not imported there are none."""
    errors = sys.modules.get("langgraph.errors")
    return () if errors is None else (errors.GraphBubbleUp,)


def ask_a_person(request_id: str, config: RunnableConfig, exceeded: BudgetExceeded) -> bool:
    """Whether the request may go beyond a budget: asks by an interrupt, or refuses where none can be answered.

    Raises:
        GraphInterrupt: nobody has answered yet.
    """
    if not (config.get("configurable") or {}).get(_CHECKPOINTER):
        return False
    from langgraph.types import interrupt

    # The request's own config: it knows the graph's run also in a thread that does not.
    with set_config_context(config) as context:
        answer: Any = context.run(interrupt, _question(request_id, exceeded))
    return answer is True


def _question(request_id: str, exceeded: BudgetExceeded) -> dict[str, Json]:
    """What a person is asked, JSON-safe. ``purses`` are those that cannot bear the request, as ``BudgetNote.as_dict``
    tells them: budget, key, window, unit ("usd" or "tokens"), limit, spent, held, needed, resets."""
    notes = [note.as_dict() for note in BudgetNote.of_refused(request_id, exceeded)]
    told = ("budget", "key", "window", "unit", "limit", "spent", "held", "needed", "resets")
    return {
        "type": "router.budget",
        "question": "The request does not fit a budget. Resume with True to go on all the same, with False to refuse.",
        "message": str(exceeded),
        "purses": [{name: note[name] for name in told} for note in notes],
    }
