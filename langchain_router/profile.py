"""What a router says of itself: the abilities of its models together, and with each answer the account of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message

from router_core.tab import Tab
from router_core.types import Model, Reply


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


def answer_of(reply: Reply, tab: Tab, strongest: Model) -> Any:
    """The answer as the application gets it: a copy of the message (a cache may hold the message itself) with the
    account of the request; for a structured answer the dictionary that holds it."""
    if isinstance(reply.native, dict):
        return {**reply.native, "raw": _marked(reply.native["raw"], tab, strongest)}
    return _marked(reply.native, tab, strongest)


def last_chunk(tab: Tab, message_id: str | None, strongest: Model) -> AIMessageChunk:
    """What a stream ends with: no text, but the account of the request."""
    about = {"router": tab.summary(strongest)}
    return AIMessageChunk(content="", id=message_id, response_metadata=about, chunk_position="last")


def _marked(message: AIMessage, tab: Tab, strongest: Model) -> AIMessage:
    whole: Any = message_chunk_to_message(message)
    about = {**whole.response_metadata, "router": tab.summary(strongest)}
    marked: AIMessage = whole.model_copy(update={"response_metadata": about})
    return marked
