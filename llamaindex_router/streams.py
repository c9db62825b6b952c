"""Closing a stream that is left early down to its connection.

LlamaIndex's generators close only themselves. Below them, OpenAI's and Anthropic's integrations leave the stream of the
SDK to the garbage collector, in a cycle: until it comes by, the provider goes on speaking, and is paid for it. It may
even come by in the middle of another call of the same thread, and wait for a lock of the HTTP client held there.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import AsyncGeneratorType, CellType, GeneratorType, TracebackType
from typing import Any, Self

_GENERATORS = (GeneratorType, AsyncGeneratorType)
_STREAMS = frozenset({"Stream", "AsyncStream"})
"""What SDKs call the stream of a response. Each has the ``response``, and a ``close`` that is safe to call again."""


class ClosingStream:
    """Closes the chunks of an LLM when the block is left, and the stream of the SDK that they come from."""

    def __init__(self, chunks: Any) -> None:
        self._chunks = chunks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, _error: object, _trace: TracebackType | None) -> None:
        streams = list(_under(self._chunks)) if kind is not None else []
        try:
            self._chunks.close()
        finally:
            for stream in streams:
                stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, _error: object, _trace: TracebackType | None) -> None:
        streams = list(_under(self._chunks)) if kind is not None else []
        try:
            await self._chunks.aclose()
        finally:
            for stream in streams:
                await stream.close()


def _under(chunks: Any) -> Iterator[Any]:
    """The SDK's streams that generators read from which stand in the middle of their work. What a loop goes over has no
    name in its frame: only the garbage collector's view of it shows it."""
    seen = {id(chunks)}
    todo = [chunks]
    while todo:
        for held in gc.get_referents(todo.pop()):
            if id(held) in seen:
                continue
            seen.add(id(held))
            if isinstance(held, (*_GENERATORS, CellType)):
                todo.append(held)
            elif type(held).__name__ in _STREAMS and hasattr(held, "response"):
                yield held
