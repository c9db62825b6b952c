"""The SDK's clients: made on the first call of an endpoint, kept, and closed together.

Making a client costs some 20 ms, nearly all of it for reading certificates into the HTTP client's TLS context. One HTTP
client therefore serves all endpoints: one for sync calls and one for each running event loop, because the connections
of an async client belong to the loop that opened them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from router_core.errors import ConfigError, MissingExtra
from router_core.hosts import fuse
from router_core.hosts.checks import shown
from router_core.hosts.failures import ProviderError, Row
from router_core.registry import Endpoint, did_you_mean
from router_core.types import FailureKind

if TYPE_CHECKING:
    from types import ModuleType

    from openai import AsyncOpenAI, OpenAI

CONNECT_S = 5.0
"""Seconds that a server may take to accept a connection, as in the SDK's own default."""

NO_KEY = "no-key-needed"
"""Sent to endpoints without a key: the SDK insists on one."""


class _Async(NamedTuple):
    http: Any
    clients: dict[str, AsyncOpenAI]


class Clients:
    """The clients of all endpoints. Safe to share between threads and event loops; a repr shows names only.

    Raises:
        ConfigError: the base URL of an endpoint is none.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        for endpoint in endpoints.values():
            _check_url(endpoint)
        self._endpoints = dict(endpoints)
        self._lock = Lock()
        self._http: Any = None
        self._sync: dict[str, OpenAI] = {}
        self._async: dict[asyncio.AbstractEventLoop, _Async] = {}
        self._keys: set[str] = set()

    def __repr__(self) -> str:
        return f"Clients({', '.join(sorted(self._endpoints))})"

    @property
    def keys(self) -> frozenset[str]:
        """The keys in use, to be kept out of messages."""
        return frozenset(self._keys)

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of this name.

        Raises:
            ConfigError: there is none. RouterError: it is elsewhere and such calls are forbidden.
        """
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            known = ", ".join(sorted(self._endpoints)) or "none"
            hint = did_you_mean(name, self._endpoints)
            raise ConfigError(f"endpoint: {name!r} is not declared{hint}; known are {known}")
        fuse.check(endpoint.base_url)
        return endpoint

    def check(self, name: str) -> None:
        """See whether an endpoint could be called, without calling it.

        Raises:
            ConfigError: the endpoint is unknown or its key is missing. MissingExtra: the SDK is not installed.
        """
        _key(self.endpoint(name))
        sdk()

    def sync(self, name: str) -> OpenAI:
        """The client for sync calls.

        Raises:
            ProviderError: the key is missing. ConfigError: the endpoint is unknown. MissingExtra: as ``check``.
        """
        endpoint = self.endpoint(name)
        client = self._sync.get(name)
        if client is not None:
            return client
        with self._lock:
            if name not in self._sync:
                key = self._key_of(endpoint)
                self._http = self._http or sdk().DefaultHttpxClient()
                self._sync[name] = _confined(sdk().OpenAI(http_client=self._http, **_settings(endpoint, key)), endpoint)
            return self._sync[name]

    def asynchronous(self, name: str) -> AsyncOpenAI:
        """The client for async calls in the running event loop.

        Raises:
            ProviderError, ConfigError, MissingExtra: as ``sync``.
        """
        endpoint = self.endpoint(name)
        loop = asyncio.get_running_loop()
        mine = self._async.get(loop)
        if mine is not None and name in mine.clients:
            return mine.clients[name]
        with self._lock:
            key = self._key_of(endpoint)
            if loop not in self._async:
                self._forget_closed_loops()
                self._async[loop] = _Async(sdk().DefaultAsyncHttpxClient(), {})
            mine = self._async[loop]
            client: AsyncOpenAI = sdk().AsyncOpenAI(http_client=mine.http, **_settings(endpoint, key))
            return mine.clients.setdefault(name, _confined(client, endpoint))

    def close(self) -> None:
        """Close the connections of sync calls."""
        with self._lock:
            http, self._http = self._http, None
            self._sync.clear()
        if http is not None:
            http.close()

    async def aclose(self) -> None:
        """Close the connections of sync calls and of async calls in the running event loop."""
        self.close()
        with self._lock:
            mine = self._async.pop(asyncio.get_running_loop(), None)
            self._forget_closed_loops()
        if mine is not None:
            await mine.http.aclose()

    def _key_of(self, endpoint: Endpoint) -> str:
        try:
            key = _key(endpoint)
        except ConfigError as error:
            # One endpoint without a key is no reason to give up: another may answer.
            raise ProviderError(str(error), Row(FailureKind.AUTH)) from None
        if endpoint.api_key_env is not None:
            self._keys.add(key)
        return key

    def _forget_closed_loops(self) -> None:
        # The sockets of a closed loop cannot be closed in good order any more; dropping the client frees them.
        for loop in [loop for loop in self._async if loop.is_closed()]:
            del self._async[loop]


def sdk() -> ModuleType:
    """The SDK, imported when it is first needed.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import openai
    except ImportError as error:
        raise MissingExtra("openai", "openai") from error
    return openai


def _check_url(endpoint: Endpoint) -> None:
    try:
        url = urlsplit(endpoint.base_url)
        sound = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ConfigError(
            f"endpoints.{endpoint.name}.base_url: {shown(endpoint.base_url)} is no URL of a server; give one like "
            "http://127.0.0.1:11434/v1"
        )


def _key(endpoint: Endpoint) -> str:
    variable = endpoint.api_key_env
    if variable is None:
        return NO_KEY
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"endpoint {endpoint.name!r}: the environment variable {variable} holds no key; set it, or leave out the "
            "models of this endpoint"
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"endpoint {endpoint.name!r}: the key in the environment variable {variable} holds characters that no "
            "header can carry; copy it again"
        )
    return key


def _settings(endpoint: Endpoint, key: str) -> dict[str, Any]:
    # Retrying is the router's own business: the SDK's retries hide failures and their cost.
    timeout = sdk().Timeout(endpoint.timeout_s, connect=min(CONNECT_S, endpoint.timeout_s))
    return {"api_key": key, "base_url": endpoint.base_url, "timeout": timeout, "max_retries": 0}


def _confined(client: Any, endpoint: Endpoint) -> Any:
    """The SDK reads OpenAI's organisation and project from the environment; they are nobody else's business."""
    if endpoint.provider != "openai":
        client.organization = client.project = None
    return client
