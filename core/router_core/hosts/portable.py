"""What providers and frameworks call differently, in words and ids that all of them take."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

FINISH_REASONS: Mapping[str, str] = {
    "eos": "stop",
    "model_length": "length",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
}
"""Finish reasons of Together, Mistral, Anthropic, Google and OpenAI's Responses API, in OpenAI's own words."""

OPENAI_ONLY = frozenset(
    {"extra_headers", "frequency_penalty", "logit_bias", "logprobs", "parallel_tool_calls", "presence_penalty",
     "prompt_cache_key", "reasoning_effort", "safety_identifier", "service_tier", "store", "stream_options",
     "top_logprobs", "user", "verbosity"}
)  # fmt: skip
"""Call arguments of OpenAI's protocol that integrations of other providers take for an error."""

PORTABLE_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
"""Ids of tool calls that every provider takes: Anthropic's alphabet, OpenAI's length."""


def portable_id(given: str | None) -> str:
    """The id of a tool call, unchanged if every provider takes it; else one made from it, the same for the call and for
    its result."""
    if given and PORTABLE_ID.fullmatch(given):
        return given
    return "call_" + hashlib.sha256((given or "").encode("utf-8", "replace")).hexdigest()[:24]
