"""The native host: endpoints that speak OpenAI's chat protocol, called by the ``openai`` SDK (2.45 or newer, 3.x)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from router_core.effects import CallModel
from router_core.hosts.answers import StreamReader, read_reply
from router_core.hosts.chat import ChatPayload, Chunk, ChunkHost
from router_core.hosts.clients import Clients, sdk
from router_core.hosts.failures import said_by, sort_failure
from router_core.hosts.schemas import Asking, format_of
from router_core.registry import Endpoint
from router_core.types import Failed, Model, Reply


class OpenAIHost(ChunkHost):
    """Calls models at OpenAI-compatible endpoints. One object serves all threads and event loops.

    Keys are read from the environment on the first call of an endpoint. Its time-out bounds the wait for each piece of
    an answer. ``close`` and ``aclose`` free the connections; a later call opens new ones.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._clients = Clients(endpoints)
        # Endpoints that were seen to refuse the question for the usage of a stream.
        self._tight_lipped: set[str] = set()
        # Models that were seen to refuse the schema of a question.
        self._learned: set[str] = set()

    def __repr__(self) -> str:
        return f"OpenAIHost({self._clients!r})"

    def check(self, model: Model) -> None:
        """See whether a model could be called, without calling it.

        Raises:
            ConfigError: its endpoint is unknown or the key is missing. MissingExtra: the SDK is not installed.
        """
        self._clients.check(model.endpoint)

    def call(self, effect: CallModel, payload: ChatPayload) -> Reply:
        """One answer, not streamed."""
        create = self._clients.sync(effect.model.endpoint).chat.completions.create
        asking = Asking(effect, self.failed, self._learned)
        while True:
            with asking:
                return read_reply(create(**self._arguments(effect, payload, asking.schema)), effect.model)

    async def acall(self, effect: CallModel, payload: ChatPayload) -> Reply:
        """One answer, not streamed."""
        create = self._clients.asynchronous(effect.model.endpoint).chat.completions.create
        asking = Asking(effect, self.failed, self._learned)
        while True:
            with asking:
                return read_reply(await create(**self._arguments(effect, payload, asking.schema)), effect.model)

    def open_stream(self, effect: CallModel, payload: ChatPayload) -> Iterator[Chunk]:
        """The chunks of one answer, asked for on the first ``next``. Closing the iterator closes the connection."""
        create = self._clients.sync(effect.model.endpoint).chat.completions.create
        arguments = self._stream_arguments(effect, payload)
        try:
            stream = create(**arguments)
        except sdk().APIStatusError as error:
            stream = create(**_without_usage(arguments, error))
            self._tight_lipped.add(effect.model.endpoint)
        reader = StreamReader(effect.model)
        with stream:
            for event in stream:
                yield reader.read(event)
        reader.end()

    async def aopen_stream(self, effect: CallModel, payload: ChatPayload) -> AsyncIterator[Chunk]:
        """The chunks of one answer, asked for on the first ``anext``. Closing the iterator closes the connection."""
        create = self._clients.asynchronous(effect.model.endpoint).chat.completions.create
        arguments = self._stream_arguments(effect, payload)
        try:
            stream = await create(**arguments)
        except sdk().APIStatusError as error:
            stream = await create(**_without_usage(arguments, error))
            self._tight_lipped.add(effect.model.endpoint)
        reader = StreamReader(effect.model)
        async with stream:
            async for event in stream:
                yield reader.read(event)
        reader.end()

    def failed(self, error: Exception) -> Failed | None:
        """What an exception of a call means; None for errors of the program and of its configuration."""
        return sort_failure(error, self._clients.keys)

    def close(self) -> None:
        """Close the connections of sync calls."""
        self._clients.close()

    async def aclose(self) -> None:
        """Close the connections of sync calls, and of async calls made in the running event loop."""
        await self._clients.aclose()

    def _arguments(
        self, effect: CallModel, payload: ChatPayload, schema: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        model = effect.model
        sampling = dict(payload.sampling)
        if effect.max_tokens is not None:
            sampling["max_tokens"] = min(effect.max_tokens, sampling.get("max_tokens", effect.max_tokens))
        arguments: dict[str, Any] = {"model": model.id, "messages": _with_note(payload.messages, effect.note)}
        if "extra" in sampling:
            arguments["extra_body"] = sampling.pop("extra")
        if "max_tokens" in sampling and self._clients.endpoint(model.endpoint).provider == "openai":
            # OpenAI's reasoning models refuse max_tokens; other servers know no other name.
            arguments["max_completion_tokens"] = sampling.pop("max_tokens")
        if payload.tools:
            arguments["tools"] = payload.tools
        if payload.tool_choice is not None:
            arguments["tool_choice"] = payload.tool_choice
        if payload.response_format is not None:
            arguments["response_format"] = payload.response_format
        if schema is not None:
            arguments["response_format"] = format_of(schema)
        return arguments | sampling

    def _stream_arguments(self, effect: CallModel, payload: ChatPayload) -> dict[str, Any]:
        arguments = self._arguments(effect, payload) | {"stream": True}
        if effect.model.endpoint not in self._tight_lipped:
            arguments["stream_options"] = {"include_usage": True}
        return arguments


def _without_usage(arguments: Mapping[str, Any], error: Exception) -> dict[str, Any]:
    """The arguments of a stream for a server that refuses to be asked for its usage. Raises any other error."""
    if "stream_options" not in arguments or "stream_options" not in said_by(error):
        raise error
    return {name: value for name, value in arguments.items() if name != "stream_options"}


def _with_note(messages: Sequence[Mapping[str, Any]], note: str | None) -> Sequence[Mapping[str, Any]]:
    """The messages with a note to the model in the system message, which comes first: several servers refuse a second
    one, or one at another place."""
    if note is None:
        return messages
    first = messages[0]
    if first["role"] != "system":
        return [{"role": "system", "content": note}, *messages]
    content = first["content"]
    noted = f"{content}\n\n{note}" if isinstance(content, str) else [*content, {"type": "text", "text": note}]
    return [{**first, "content": noted}, *messages[1:]]
