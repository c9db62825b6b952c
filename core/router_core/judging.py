"""What judges share: how they are asked, what of a long text they are shown, and how their word is read.

A judge is asked for one JSON object, in words and, where its API takes one, by a schema. It reads texts of strangers,
which may try to talk it into something: what it says decides about a model or about one answer, and about nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from router_core.types import Failed, Question, Turn

WRAPPING = 32
"""Tokens that the roles of two messages take at most."""

_SCHEMA_PREAMBLE = 600
"""Bytes added for a schema: its name and wrapping, and what servers say of it in words of their own (Anthropic adds to
the system prompt). As much as for tools."""

_CUT = "\n[...]\n"
_UTF8 = 4
"""Bytes of the longest character."""


def schema_of(title: str, properties: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The JSON Schema of an object with just these properties.

    Bounds of numbers are left to the words and to the reader: not every strict mode knows them.
    """
    required = list(properties)
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def question(rules: str, matter: str, max_tokens: int, schema: Mapping[str, Any]) -> Question:
    """The rules as the system's message, the matter as the user's, and the schema of what the rules ask for."""
    turns = (Turn("system", rules), Turn("user", matter))
    return Question(turns=turns, max_tokens=max_tokens, response_schema=schema)


def bound_of(rules: str, characters: int, schema: Mapping[str, Any]) -> int:
    """The most bytes that such a question can take, if its matter has at most so many characters."""
    asked = len(rules.encode()) + _UTF8 * (characters + len(_CUT)) + WRAPPING
    return asked + len(json.dumps(schema)) + _SCHEMA_PREAMBLE


def clipped(text: str, characters: int) -> str:
    """The text, or beginning and end of one that is longer: a request is often put at either."""
    if len(text) <= characters:
        return text
    head = (characters + 1) // 2
    return text[:head] + _CUT + text[len(text) - (characters - head) :]


def conversation(turns: Iterable[Turn], characters: int) -> str:
    """What was said, by whom, in at most about so many characters."""
    return clipped("\n\n".join(f"{turn.role}: {turn.text}" for turn in turns), characters)


def read_object(text: str) -> Mapping[str, Any] | None:
    """The first JSON object in what a judge said, fenced or explained as it may be; None if there is none."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            value, _ = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        return value if isinstance(value, dict) else None
    return None


def share(value: object) -> float | None:
    """A number that should be between 0 and 1; None if it is not."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


def failure_words(failed: Failed) -> str:
    """Why a judge said nothing, without its words."""
    return f"{failed.kind.value}: {type(failed.error).__name__}"
