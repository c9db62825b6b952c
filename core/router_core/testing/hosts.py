"""A host that says what a script tells it to, in one piece or streamed, sync or async."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Self, TypeAlias

from router_core.effects import CallModel, Voice
from router_core.errors import RouterError
from router_core.hosts.chat import ChatPayload, Chunk, ChunkHost, replay_reply
from router_core.tokens import expected_tokens
from router_core.types import Failed, FailureKind, Model, Price, Reply, Usage

_WORDS = re.compile(r"\s*\S+\s*")


class Broken(Exception):
    """A failure that a script tells: of this kind, after ``text`` was streamed, with the input billed or not."""

    def __init__(
        self, kind: FailureKind = FailureKind.OVERLOADED, *, text: str = "", may_be_billed: bool = False
    ) -> None:
        self.kind = kind
        self.text = text
        self.may_be_billed = may_be_billed
        super().__init__(f"scripted: {kind.value}")


Line: TypeAlias = "str | Reply | Exception"
"""What a script says for one call: a text, a whole reply, or the exception that the call raises."""

Script: TypeAlias = Callable[[CallModel, ChatPayload], "Line | Awaitable[Line]"]
"""What says a line. ``effect.question`` is what a judge asks, None for a request; the payload holds its words, and its
``response_schema`` is the schema of the answer, of which a script may make what it likes."""


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """A call that was made: of which model, with what, and how it was allowed to speak."""

    model: str
    payload: ChatPayload
    voice: Voice
    note: str | None


class ScriptedHost(ChunkHost):
    """Answers by ``script(effect, payload)``; ``effect.model`` is the model. ``calls`` lists what was asked.

    A text gets the usage that its length suggests (about four bytes a token); a ``Reply`` keeps its own. An async
    script works in async calls only. Streams say one word a chunk. What a host says that is ``free`` costs nothing and
    is marked in receipts as scripted, whatever the prices of its models.
    """

    def __init__(self, script: Script, *, free: bool = False) -> None:
        self._script = script
        self._free = free
        self.calls: list[ScriptedCall] = []

    @classmethod
    def saying(cls, answers: Mapping[str, Line | Sequence[Line]]) -> Self:
        """A host whose models say fixed lines, by model name; a list is said call by call, its last line for ever."""
        told: dict[str, int] = {}

        def script(effect: CallModel, _payload: ChatPayload) -> Line:
            name = effect.model.name
            line = answers[name]
            if isinstance(line, str | Reply | Exception):
                return line
            at = told.get(name, 0)
            told[name] = at + 1
            return line[min(at, len(line) - 1)]

        return cls(script)

    def call(self, effect: CallModel, payload: ChatPayload) -> Reply:
        """One answer in one piece."""
        return self._marked(self._finish(self._sync(effect, payload), payload))

    async def acall(self, effect: CallModel, payload: ChatPayload) -> Reply:
        """One answer in one piece; other tasks get their turn first, as with a real call."""
        return self._marked(self._finish(await self._async(effect, payload), payload))

    def join(self, chunks: Sequence[Chunk]) -> Reply:
        """The reply that these chunks make."""
        return self._marked(super().join(chunks))

    def open_stream(self, effect: CallModel, payload: ChatPayload) -> Iterator[Chunk]:
        """One answer, a word a chunk."""
        yield from self._pieces(self._sync(effect, payload), payload)

    async def aopen_stream(self, effect: CallModel, payload: ChatPayload) -> AsyncIterator[Chunk]:
        """One answer, a word a chunk; other tasks get their turn between the chunks."""
        for chunk in self._pieces(await self._async(effect, payload), payload):
            yield chunk
            await asyncio.sleep(0)

    def failed(self, error: Exception) -> Failed | None:
        """``Broken`` as it says; time-outs and connection errors by their kind. A ``RouterError`` is let through."""
        if isinstance(error, RouterError):
            return None
        if isinstance(error, Broken):
            return Failed(error, error.kind, may_be_billed=error.may_be_billed)
        if isinstance(error, TimeoutError):
            return Failed(error, FailureKind.TIMEOUT, may_be_billed=True)
        kind = FailureKind.CONNECTION if isinstance(error, ConnectionError) else FailureKind.UNKNOWN
        return Failed(error, kind)

    def _sync(self, effect: CallModel, payload: ChatPayload) -> Line:
        self._note(effect, payload)
        line = self._script(effect, payload)
        if isinstance(line, Awaitable):
            raise TypeError("this script is async; use acomplete or astream")
        return line

    async def _async(self, effect: CallModel, payload: ChatPayload) -> Line:
        self._note(effect, payload)
        await asyncio.sleep(0)
        line = self._script(effect, payload)
        return await line if isinstance(line, Awaitable) else line

    def _marked(self, reply: Reply) -> Reply:
        return replace(reply, scripted=True) if self._free else reply

    def _note(self, effect: CallModel, payload: ChatPayload) -> None:
        self.calls.append(ScriptedCall(effect.model.name, payload, effect.voice, effect.note))

    @staticmethod
    def _finish(line: Line, payload: ChatPayload) -> Reply:
        if isinstance(line, Exception):
            raise line
        return line if isinstance(line, Reply) else _spoken(line, payload)

    def _pieces(self, line: Line, payload: ChatPayload) -> Iterator[Chunk]:
        if isinstance(line, Exception):
            yield from (Chunk(text=word) for word in _WORDS.findall(getattr(line, "text", "")))
            raise line
        reply = self._finish(line, payload)
        # A piece of white space alone is part of no word, so the words are used only where they make the text.
        words = _WORDS.findall(reply.text)
        yield from (Chunk(text=word) for word in (words if "".join(words) == reply.text else [reply.text]) if word)
        yield from replay_reply(replace(reply, text=""))


def _spoken(text: str, payload: ChatPayload) -> Reply:
    sent = sum(expected_tokens(_content(message)) for message in payload.messages)
    return Reply(text=text, finish_reason="stop", usage=Usage(input_tokens=sent, output_tokens=expected_tokens(text)))


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else str(content or "")


def scripted_model(
    name: str,
    *,
    input_usd: str = "0",
    output_usd: str = "0",
    quality: float | None = None,
    context_window: int | None = None,
    **fields: Any,
) -> Model:
    """A registry entry for a scripted host. Prices are US dollars per million tokens; ``fields`` are those of
    ``Model``."""
    return Model(
        name=name,
        id=name,
        provider="scripted",
        endpoint="scripted",
        price=Price(input=Decimal(input_usd), output=Decimal(output_usd)),
        quality=quality,
        context_window=context_window,
        **fields,
    )
