"""What the application may say of one call beside its messages, and what the router says of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypedDict

from router_core.types import StreamMode


class CallOptions(TypedDict, total=False):
    """Keyword arguments of ``complete``, ``acomplete``, ``stream``, ``astream`` and ``explain``.

    tools: OpenAI-style tool dictionaries, or functions' plain ``{"name", "description", "parameters"}``.
    tool_choice: "auto", "none", "any" (or OpenAI's "required"), or the name of a tool.
    schema: the answer's shape, a JSON Schema or a class with ``model_json_schema`` (pydantic).
    max_tokens, temperature, top_p, stop, seed: as in OpenAI's chat protocol. extra: passed to the provider unchanged.
    max_cost_usd, max_latency_s, min_quality (0..1), force_model, allow, deny, require_tags, local_only,
    max_attempts: constraints; model names may be aliases.
    tags, session, call_site: labels for receipts, and for policies that learn. stream_mode: see ``StreamMode``.
    """

    tools: Sequence[Mapping[str, Any]]
    tool_choice: str
    schema: Mapping[str, Any] | type
    max_tokens: int
    temperature: float
    top_p: float
    stop: str | Sequence[str]
    seed: int
    extra: Mapping[str, Any]
    max_cost_usd: Decimal | float | str
    max_latency_s: float
    min_quality: float
    force_model: str
    allow: Sequence[str]
    deny: Sequence[str]
    require_tags: Sequence[str]
    local_only: bool
    max_attempts: int
    tags: Sequence[str]
    session: str
    call_site: str
    stream_mode: StreamMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a router behaves, whatever the request.

    stream_mode: how streams speak unless the call says otherwise. prefix_tokens: how many tokens ``prefix`` holds back.
    max_attempts: calls of models per request, None for as many as there are models.
    retries: further tries of the last model that is left, when it fails in a way that may pass.
    on_rejected: "serve" the strongest model's answer even if a verifier dislikes it, or "raise".
    tell_why: tell the stronger model why the answer before was rejected.
    expected_output_tokens: what an answer is taken to cost before any was seen.
    """

    stream_mode: StreamMode = "hold"
    prefix_tokens: int = 32
    max_attempts: int | None = None
    retries: int = 1
    on_rejected: Literal["serve", "raise"] = "serve"
    tell_why: bool = False
    expected_output_tokens: int = 256
