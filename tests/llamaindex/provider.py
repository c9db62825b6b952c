"""LlamaIndex's own integrations, as models of the provider on loopback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import ollama
from llama_index.core.llms import LLM
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI

from router_core.types import Usage
from tests.servers.mind import Tokens
from tests.servers.provider import ProviderServer

WIRES = ("openai", "anthropic", "ollama")
NAMES = {
    "openai:good-a": "gpt-4.1-nano",
    "openai:good-b": "gpt-4-turbo",
    "openai:unsure-b": "gpt-4.1-mini",
    "openai:down-d": "gpt-4o",
    "openai:limited-e": "gpt-4.1",
    "openai:broken-f": "gpt-4o-mini",
    "openai:curt-g": "gpt-3.5-turbo",
    "openai:stuck-h": "gpt-4",
    "openai:judge-j": "gpt-4o-2024-08-06",
    "openai:words-w": "gpt-4o-2024-11-20",
    "openai:words-x": "gpt-4-turbo-preview",
    "anthropic:good-a": "claude-haiku-4-5",
    "anthropic:good-b": "claude-opus-4-5",
    "anthropic:unsure-b": "claude-sonnet-4-5",
    "anthropic:down-d": "claude-haiku-4-5-20251001",
    "anthropic:limited-e": "claude-opus-4-1",
    "anthropic:broken-f": "claude-sonnet-4-5-20250929",
    "anthropic:stuck-h": "claude-opus-4-5-20251101",
    "anthropic:judge-j": "claude-sonnet-4-6",
    "anthropic:words-w": "claude-sonnet-5",
    "anthropic:words-x": "claude-3-haiku-20240307",
}
"""Which names the models have: two of the integrations work only with names that they know. OpenAI's "good-b" is one
that cannot be given the schema of an answer: it is made to call a tool. Of "words-x" they know that as well."""

KEY = "none-needed-here"


def reported(wire: str, used: Tokens) -> Usage:
    """What the wire tells of what was used."""
    return Usage(
        input_tokens=used.input,
        output_tokens=used.output,
        cache_read_tokens=0 if wire == "ollama" else used.cached,
        reasoning_tokens=used.reasoning if wire == "openai" else 0,
    )


def whole(name: str, /, *args: Any, **kwargs: Any) -> Callable[[LLM], Awaitable[Any]]:
    """A call of the method ``name``; of a stream, its last chunk."""

    async def call(llm: LLM) -> Any:
        made = getattr(llm, name)(*args, **kwargs)
        if name.startswith("a"):
            made = await made
        if "stream" not in name:
            return made
        return [chunk async for chunk in made][-1] if name.startswith("a") else list(made)[-1]

    return call


class Provider(ProviderServer):
    """The server, and LlamaIndex's models of it. Their clients live as long as it does, on one event loop."""

    def __init__(self) -> None:
        super().__init__({name: of.partition(":")[2] for of, name in NAMES.items()})
        self._models: dict[str, LLM] = {}
        self._anthropics: list[Anthropic] = []
        self._http, self._ahttp = httpx.Client(), httpx.AsyncClient()
        self._ollama, self._aollama = ollama.Client(self.url), ollama.AsyncClient(self.url)

    async def close(self) -> None:
        """End the clients and the server."""
        self._http.close()
        await self._ahttp.aclose()
        self._ollama.close()
        await self._aollama.close()
        for model in self._anthropics:
            model._client.close()
            await model._aclient.close()
        self.shut_down()

    def name(self, of: str) -> str:
        """What a router calls a model, such as "openai:good-a"."""
        return f"{of.partition(':')[0]}:{NAMES[of]}" if of in NAMES else of

    def model(self, of: str, **params: Any) -> LLM:
        """A model, such as "openai:good-a". Without further parameters it is the same object each time."""
        if params:
            return self._made(of, params)
        if of not in self._models:
            self._models[of] = self._made(of, {})
        return self._models[of]

    def models(self, *names: str) -> list[LLM]:
        return [self.model(name) for name in names]

    def _made(self, of: str, params: dict[str, Any]) -> LLM:
        wire, _, model = of.partition(":")
        shared: dict[str, Any] = {"model": NAMES.get(of, model), "api_key": KEY, "max_retries": 0}
        if wire == "openai":
            shared |= {"api_base": f"{self.url}/v1", "http_client": self._http, "async_http_client": self._ahttp}
            return OpenAI(**shared | params)
        if wire == "anthropic":
            self._anthropics.append(Anthropic(**shared | {"base_url": self.url} | params))
            return self._anthropics[-1]
        clients = {"client": self._ollama, "async_client": self._aollama}
        return Ollama(**{"model": model, "base_url": self.url, "context_window": 8192, **clients, **params})
