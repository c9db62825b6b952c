"""LangChain's own models of the provider on loopback."""

from __future__ import annotations

from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI

from tests.servers.provider import ProviderServer

CLASSES = {"openai": ChatOpenAI, "anthropic": ChatAnthropic, "ollama": ChatOllama}


class Provider(ProviderServer):
    """The server, and LangChain's models of it."""

    def __init__(self) -> None:
        super().__init__()
        self._models: dict[str, BaseChatModel] = {}
        self._clients: list[ChatOllama] = []

    async def close(self) -> None:
        """End the server. The integrations of OpenAI and Anthropic share their clients; ChatOllama leaves its open."""
        for model in self._clients:
            model._client._client.close()
            await model._async_client._client.aclose()
        self.shut_down()

    def params(self, name: str) -> dict[str, Any]:
        """What the constructor of the chat model is to be given for "openai:good-a", "anthropic:...", "ollama:..."."""
        wire, _, model = name.partition(":")
        shared = {"model": model, "base_url": f"{self.url}/v1" if wire == "openai" else self.url}
        return shared if wire == "ollama" else {**shared, "api_key": "none", "max_retries": 0}

    def model(self, name: str, **params: Any) -> BaseChatModel:
        """A chat model, such as "openai:good-a". Without further parameters it is the same object each time."""
        if not params and name in self._models:
            return self._models[name]
        model = CLASSES[name.partition(":")[0]](**self.params(name), **params)
        if isinstance(model, ChatOllama):
            self._clients.append(model)
        if not params:
            self._models[name] = model
        return model

    def models(self, *names: str) -> list[BaseChatModel]:
        return [self.model(name) for name in names]
