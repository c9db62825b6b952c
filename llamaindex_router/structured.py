"""Structured answers: each model makes them in its own way, and what it cannot make climbs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.program.utils import FlexibleModel, get_program_for_llm
from llama_index.core.types import BasePydanticProgram, PydanticProgramMode
from pydantic import BaseModel

from llamaindex_router.binding import anthropic_choice
from llamaindex_router.catalog import Inner
from llamaindex_router.usage import common_tier, sum_of_costs, sum_of_usage
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
    """The model's own method for structured answers; one that asks through a program of LlamaIndex's where the model's
    own would go uncounted."""
    method: Callable[..., Any] = getattr(_ByProgram(inner) if inner.family in _UNHEARD else inner.llm, name)
    return method


class _ByProgram:
    """Structured answers of a model that is made to call a tool for them.

    A stream of one is the object in one piece: LlamaIndex reads objects that are not complete yet only from where
    OpenAI's integration leaves tool calls.
    """

    def __init__(self, inner: Inner) -> None:
        self._inner = inner

    def structured_predict(self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any]) -> Any:
        return self._program(output_cls, prompt)(llm_kwargs=llm_kwargs)

    async def astructured_predict(self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any]) -> Any:
        return await self._program(output_cls, prompt).acall(llm_kwargs=llm_kwargs)

    def stream_structured_predict(self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any]) -> Iterator[Any]:
        yield self.structured_predict(output_cls, prompt, llm_kwargs)

    async def astream_structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any]
    ) -> AsyncIterator[Any]:
        async def once() -> AsyncIterator[Any]:
            yield await self.astructured_predict(output_cls, prompt, llm_kwargs)

        return once()

    def _program(self, output_cls: Any, prompt: Any) -> BasePydanticProgram[Any]:
        llm = self._inner.llm
        by_tool = llm.pydantic_program_mode is PydanticProgramMode.FUNCTION or (
            llm.pydantic_program_mode is PydanticProgramMode.DEFAULT and self._inner.calls_tools
        )
        forced: dict[str, Any] = {}
        if by_tool and self._inner.family == "anthropic":
            # Unless it is told, its integration forgets that the tool is required.
            forced["tool_choice"] = anthropic_choice(llm, "any", parallel=False)
        return get_program_for_llm(output_cls, prompt, llm, llm.pydantic_program_mode, **forced)


def reply_with(value: Any, responses: Sequence[Any]) -> Reply:
    """The answer as the verifiers see it. ``responses`` are those that it was made of: they tell the tokens."""
    text = (
        value.model_dump_json() if isinstance(value, BaseModel) else "" if isinstance(value, Unparsed) else str(value)
    )
    return Reply(
        text=text,
        usage=sum_of_usage(responses),
        cost_nano=sum_of_costs(responses),
        service_tier=common_tier(responses),
        native=value,
    )


class ParsedVerifier:
    """Rejects a structured answer that could not be made."""

    name = "schema"
    judges_prefix = False

    def check(self, request: RequestView, reply: Reply) -> Verdict:
        """Look at what the model's own program made of the answer."""
        if isinstance(reply.native, Unparsed):
            return Verdict(accepted=False, code=self.name, detail=str(reply.native.error)[:_SHOWN])
        if isinstance(reply.native, FlexibleModel):
            # As far as a stream of objects came.
            return Verdict(accepted=False, code=self.name, detail=f"incomplete: {reply.text}"[:_SHOWN])
        return ACCEPT


def structured_verifiers(verifiers: Sequence[Verifier]) -> tuple[Verifier, ...]:
    """What checks a structured answer, even where nothing else is checked. An object of the class fits its schema."""
    return (ParsedVerifier(), *(verifier for verifier in verifiers if not isinstance(verifier, SchemaVerifier)))
