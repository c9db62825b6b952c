"""Structured answers: each model makes them in its own way, and what it cannot make climbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from llama_index.core.llms import LLM
from pydantic import BaseModel

from llamaindex_router.catalog import Inner
from llamaindex_router.usage import sum_of_usage
from router_core.types import ACCEPT, Reply, RequestView, Verdict
from router_core.verifiers.base import Verifier
from router_core.verifiers.schema import SchemaVerifier

UNPARSED = (ValueError, TypeError)
"""What integrations and programs raise for an answer that does not fit the class; pydantic's is a ``ValueError``."""

_UNHEARD = frozenset({"anthropic", "google"})
"""Families whose own ``structured_predict`` calls the SDK past LlamaIndex's events: nobody would hear of its tokens."""

_SHOWN = 300


@dataclass(frozen=True)
class Unparsed:
    """In place of an answer that does not fit: what making it raised."""

    error: Exception


def method_of(inner: Inner, name: str) -> Callable[..., Any]:
    """The model's own method for structured answers; LlamaIndex's, which asks through a program, where the model's own
    would go uncounted."""
    if inner.family in _UNHEARD:
        return partial(getattr(LLM, name), inner.llm)
    method: Callable[..., Any] = getattr(inner.llm, name)
    return method


def reply_with(value: Any, responses: Sequence[Any]) -> Reply:
    """The answer as the verifiers see it. ``responses`` are those that it was made of: they tell the tokens."""
    text = (
        value.model_dump_json() if isinstance(value, BaseModel) else "" if isinstance(value, Unparsed) else str(value)
    )
    return Reply(text=text, usage=sum_of_usage(responses), native=value)


class ParsedVerifier:
    """Rejects a structured answer that could not be made."""

    name = "schema"
    judges_prefix = False

    def check(self, request: RequestView, reply: Reply) -> Verdict:
        """Look at what the model's own program made of the answer."""
        if isinstance(reply.native, Unparsed):
            return Verdict(accepted=False, code=self.name, detail=str(reply.native.error)[:_SHOWN])
        return ACCEPT


def structured_verifiers(verifiers: Sequence[Verifier]) -> tuple[Verifier, ...]:
    """What checks a structured answer, even where nothing else is checked. An object of the class fits its schema."""
    return (ParsedVerifier(), *(verifier for verifier in verifiers if not isinstance(verifier, SchemaVerifier)))
