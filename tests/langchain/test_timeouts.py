"""A time-out of one call, with a server that takes the call and never answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI

from langchain_router import ChatRouter
from langchain_router.errors import AllModelsFailed
from router_core.types import FailureKind


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def models(address: str) -> list[BaseChatModel]:
    shared = {"api_key": "none", "max_retries": 0}
    return [
        ChatOpenAI(model="first", base_url=f"{address}/v1", **shared),
        ChatAnthropic(model="second", base_url=address, **shared),
    ]


def test_a_call_waits_no_longer_than_it_is_told(silent: str) -> None:
    router = ChatRouter(models=models(silent))

    with pytest.raises(AllModelsFailed) as caught:
        router.invoke("Hello", timeout=0.05, max_attempts=2)

    assert [attempt.failure for attempt in caught.value.attempts] == [FailureKind.TIMEOUT] * 2


def test_a_router_waits_no_longer_than_it_was_made_to(silent: str) -> None:
    router = ChatRouter(models=models(silent), timeout=0.05)

    with pytest.raises(AllModelsFailed) as caught:
        router.invoke("Hello", max_attempts=2)

    assert [attempt.failure for attempt in caught.value.attempts] == [FailureKind.TIMEOUT] * 2
