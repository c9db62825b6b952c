"""What a router says of itself: the abilities of its models together, and with each answer the account of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message

from router_core.cascade import Rules
from router_core.tab import Tab
from router_core.types import Constraints, Model, Reply, to_usd


def together(profiles: Sequence[Mapping[str, Any] | None]) -> Any:
    """The profile of all models: what every one of them can do, and the smallest of their limits.

    None if nothing is known of any. A model that says nothing of a point takes nothing away: the router filters by the
    abilities of each.
    """
    known = [profile for profile in profiles if profile]
    if not known:
        return None
    merged: dict[str, Any] = {}
    for name in {name for profile in known for name in profile}:
        values = [profile[name] for profile in known if profile.get(name) is not None]
        if values and all(isinstance(value, bool) for value in values):
            merged[name] = all(values)
        elif values and all(isinstance(value, int) for value in values):
            merged[name] = min(values)
    return merged


def baseline_nano(tab: Tab, strongest: Model) -> int | None:
    """What the strongest model would have cost for the tokens of the accepted answer; None if that is unknown."""
    if tab.reply is None or not tab.attempts or tab.attempts[-1].usage is None:
        return None
    cost = tab.outlook.prices.cost(strongest, tab.attempts[-1].usage)
    return None if cost is None else cost.nano


def identity_of(rules: Rules, constraints: Constraints) -> dict[str, Any]:
    """What decides about an answer, as part of a cache key: the same in every process."""
    return {
        "models": [model.name for model in rules.registry.models],
        "policy": _identity(rules.policy),
        "verifiers": [_identity(verifier) for verifier in rules.verifiers],
        "constraints": {
            name: sorted(value) if isinstance(value, frozenset) else str(value)
            for name, value in asdict(constraints).items()
        },
        "settings": repr(rules.outlook.settings),
    }


def _identity(thing: Any) -> str:
    plain = {name: value for name, value in vars(thing).items() if isinstance(value, str | int | float | tuple)}
    return f"{thing.name} {sorted(plain.items())}" if plain else str(thing.name)


def answer_of(reply: Reply, tab: Tab, strongest: Model) -> Any:
    """The answer as the application gets it: a copy of the message (a cache may hold the message itself) with the
    account of the request; for a structured answer the dictionary that holds it."""
    if isinstance(reply.native, dict):
        return {**reply.native, "raw": _marked(reply.native["raw"], tab, strongest)}
    return _marked(reply.native, tab, strongest)


def last_chunk(tab: Tab, message_id: str | None, strongest: Model) -> AIMessageChunk:
    """What a stream ends with: no text, but the account of the request."""
    about = {"router": summary_of(tab, strongest)}
    return AIMessageChunk(content="", id=message_id, response_metadata=about, chunk_position="last")


def _marked(message: AIMessage, tab: Tab, strongest: Model) -> AIMessage:
    whole: Any = message_chunk_to_message(message)
    about = {**whole.response_metadata, "router": summary_of(tab, strongest)}
    marked: AIMessage = whole.model_copy(update={"response_metadata": about})
    return marked


def summary_of(tab: Tab, strongest: Model) -> dict[str, Any]:
    """The account that an answer carries: text and whole numbers only, for LangChain adds up what chunks carry.

    Costs are US dollars as text; an unknown one is the word "unknown".
    """
    receipt, decision = tab.receipt, tab.decision
    if receipt is None or decision is None:
        return {}
    predicted = next((p.cost_usd for p in decision.predictions if p.model == decision.start), None)
    return {
        "request_id": receipt.request_id,
        "model": receipt.model or "",
        "policy": decision.policy,
        "reason": decision.reason.value,
        "score": "" if decision.score is None else f"{decision.score:g}",
        "predicted_cost_usd": _money(predicted),
        "cost_usd": _money(receipt.cost_usd),
        "strongest_cost_usd": _money(to_usd(baseline_nano(tab, strongest))),
        "attempts": len(receipt.attempts),
        "escalations": receipt.escalations,
        "fallbacks": receipt.fallbacks,
        "verified": "yes" if receipt.attempts[-1].outcome.value == "accepted" else "no",
        "latency_ms": round(receipt.latency_s * 1000),
    }


def _money(dollars: Decimal | None) -> str:
    return "unknown" if dollars is None else f"{dollars:f}"
