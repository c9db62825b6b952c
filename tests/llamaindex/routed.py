"""Routers over fakes that have prices, and what is told of their calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from llama_index.core.instrumentation import root_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.llms import ChatMessage
from pydantic import PrivateAttr

from llamaindex_router import RouterLLM
from router_core.policies import StaticPolicy
from router_core.registry import Registry
from router_core.types import Model, Price
from tests.llamaindex.fake import IDK, FakeLLM
from tests.llamaindex.library import QUESTION

ASK = [ChatMessage(role="user", content=QUESTION)]
"""Eight tokens: four words, and four for the message. The fake's answer has ten, ``IDK`` four."""

DEPRECATED = [
    f"ignore::{category}:{module}"
    for category, module in (
        ("pydantic.warnings.PydanticDeprecationWarning", "inspect"),
        ("DeprecationWarning", "llama_index.core.agent.workflow.base_agent"),
        ("DeprecationWarning", "llama_index.core.agent.workflow.multi_agent_workflow"),
        ("DeprecationWarning", "llama_index.core.agent.workflow.react_agent"),
    )
]
"""What LlamaIndex's agents and structured models do that is deprecated, in pydantic and in themselves: as filters."""


def knows(_request: Any, reply: Any) -> bool:
    return reply.text != IDK


def priced(name: str, dollars: int | None) -> Model:
    """A model at so many dollars per million tokens."""
    price = None if dollars is None else Price(input=Decimal(dollars), output=Decimal(dollars))
    return Model(name=f"fake:{name}", id=name, provider="fake", endpoint=name, price=price)


def router(*models: Any, prices: tuple[int | None, ...] = (1, 10), **options: Any) -> RouterLLM:
    """A weak model and a strong one, unless others are given; one alone is the strong one."""
    given = models or (FakeLLM(model="weak"), FakeLLM(model="strong"))
    names = ["weak", "strong"][-len(given) :]
    registry = Registry(tuple(map(priced, names, prices[-len(given) :])), endpoints={})
    options = {"policy": StaticPolicy(), "verifiers": [knows], **options}
    return RouterLLM(models=list(given), registry=registry, **options)


def unsure(**about: Any) -> FakeLLM:
    return FakeLLM(model="weak", says=IDK, **about)


def down(**about: Any) -> FakeLLM:
    return FakeLLM(model="weak", fails=True, **about)


class Events(BaseEventHandler):
    """Keeps what the dispatcher hears; with ``prefix``, only events whose class is called so."""

    prefix: str = ""
    _told: list[BaseEvent] = PrivateAttr(default_factory=list)

    @property
    def told(self) -> list[Any]:
        return self._told

    def handle(self, event: BaseEvent, **_: Any) -> None:
        if type(event).__name__.startswith(self.prefix):
            self._told.append(event)


@contextmanager
def hearing(handler: BaseEventHandler | None = None) -> Iterator[Any]:
    """The events of routers, or a handler of one's own, while the block is open."""
    handler = Events(prefix="Router") if handler is None else handler
    root_dispatcher.add_event_handler(handler)
    try:
        yield handler
    finally:
        root_dispatcher.event_handlers.remove(handler)
