"""A stream that is left early hangs up on its provider at once: until it does, the provider goes on speaking."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.llms import LLM, ChatMessage

from llamaindex_router import RouterLLM
from llamaindex_router.streams import ClosingStream
from tests.llamaindex.provider import WIRES, Provider

ASK = [ChatMessage(role="user", content="Hello there, my friend")]


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """The garbage collector would end what is left behind, some time."""
    gc.disable()
    yield
    gc.enable()


def busy(model: Any, wire: str, *, is_async: bool) -> list[Any]:
    """The connections of a model's client that are in use."""
    if wire == "openai":
        client = model._get_aclient()._client if is_async else model._get_client()._client
    elif wire == "anthropic":
        client = model._aclient._client if is_async else model._client._client
    else:
        client = model.async_client._client if is_async else model.client._client
    return [each for each in client._transport._pool.connections if not (each.is_idle() or each.is_closed())]


def router(model: LLM) -> RouterLLM:
    return RouterLLM(models=[model], verifiers=[])


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", ["stream_chat", "stream_complete"])
def test_a_sync_stream_hangs_up(provider: Provider, name: str, wire: str) -> None:
    model = provider.model(f"{wire}:stuck-h")
    chunks = getattr(router(model), name)(ASK if name == "stream_chat" else "Hello there, my friend")
    next(chunks)
    provider.stuck.acquire()
    assert busy(model, wire, is_async=False)

    chunks.close()

    assert busy(model, wire, is_async=False) == []


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", ["astream_chat", "astream_complete"])
async def test_an_async_stream_hangs_up(provider: Provider, name: str, wire: str) -> None:
    model = provider.model(f"{wire}:stuck-h")
    chunks = await getattr(router(model), name)(ASK if name == "astream_chat" else "Hello there, my friend")
    await anext(chunks)
    await asyncio.to_thread(provider.stuck.acquire)
    assert busy(model, wire, is_async=True)

    await chunks.aclose()

    if wire == "ollama":  # its generators end one after the other, each in a turn of the event loop
        for _ in range(50):
            await asyncio.sleep(0)
    assert busy(model, wire, is_async=True) == []


@pytest.mark.parametrize("wire", WIRES)
async def test_a_task_that_is_cancelled_hangs_up(provider: Provider, wire: str) -> None:
    model = provider.model(f"{wire}:stuck-h")

    async def read() -> None:
        async for _ in await router(model).astream_chat(ASK):
            pass

    task = asyncio.create_task(read())
    await asyncio.to_thread(provider.stuck.acquire)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert busy(model, wire, is_async=True) == []


class Stream:
    """As SDKs have them: its iterator refers to it, and so is left to the garbage collector."""

    def __init__(self) -> None:
        self.response = object()
        self.closed = 0
        self._words = self._speak()

    def _speak(self) -> Iterator[str]:
        yield from (f"{self.closed} {word}" for word in ("one", "two"))

    def __iter__(self) -> Iterator[str]:
        yield from self._words

    def close(self) -> None:
        self.closed += 1


def test_the_stream_below_several_generators_is_closed_once_and_only_if_it_is_left_early() -> None:
    stream, read = Stream(), Stream()

    def chunks(of: Stream) -> Iterator[str]:
        inner = (word for word in of)
        yield from (word for word in inner)

    def broken_off() -> None:
        with ClosingStream(left := chunks(stream)):
            next(left)
            raise TimeoutError

    with pytest.raises(TimeoutError):
        broken_off()
    with ClosingStream(whole := chunks(read)):
        assert list(whole) == ["0 one", "0 two"]

    assert (stream.closed, read.closed) == (1, 0)
