"""A router over one model is that model, to every caller that LlamaIndex has; and over more, the one that answers."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import root_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent

from llamaindex_router import RouterLLM
from router_core.policies import StaticPolicy
from tests.llamaindex.callers import CALLERS, WITH_OBJECTS, Caller
from tests.llamaindex.fake import IDK, FakeLLM, SchemaLLM
from tests.llamaindex.library import Words

# What LlamaIndex itself does that is deprecated: in pydantic, in its workflows, and in itself.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{category}:{module}")
    for category, module in (
        ("pydantic.warnings.PydanticDeprecationWarning", "inspect"),
        ("pydantic.warnings.PydanticDeprecationWarning", "llama_index.core.llms.structured_llm"),
        ("DeprecationWarning", "llama_index.core.agent.workflow.base_agent"),
        ("DeprecationWarning", "llama_index.core.agent.workflow.multi_agent_workflow"),
        ("DeprecationWarning", "llama_index.core.agent.workflow.react_agent"),
        ("DeprecationWarning", "llama_index.core.evaluation.batch_runner"),
    )
]

every_caller = pytest.mark.parametrize(
    ("name", "kind"),
    [pytest.param(name, FakeLLM, id=name) for name in CALLERS]
    + [pytest.param(name, SchemaLLM, id=f"{name}-by-schema") for name in WITH_OBJECTS],
)


class Ends(BaseEventHandler):
    """Counts the answers that the event dispatcher hears of."""

    count: int = 0

    @classmethod
    def class_name(cls) -> str:
        return "Ends"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.count += isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent)


@dataclass(frozen=True)
class Observed:
    """What a caller gave, what reached the models, and what was told of it.

    llm_events: the dispatcher's and the callback manager's. tokens: input and output, as the callback manager counts.
    """

    output: Any
    log: list[dict[str, Any]]
    llm_events: tuple[int, int]
    tokens: tuple[int, int]


def observe(caller: Caller, llm: Any, fakes: Sequence[FakeLLM]) -> Observed:
    counter = TokenCountingHandler(tokenizer=str.split)
    Settings.callback_manager = llm.callback_manager = CallbackManager([counter])
    Settings.llm, Settings.embed_model = llm, Words()
    ends = Ends()
    root_dispatcher.add_event_handler(ends)
    try:
        output = run(caller, llm)
    finally:
        root_dispatcher.event_handlers.remove(ends)
    return Observed(
        output,
        [request for fake in fakes for request in fake.log],
        (ends.count, len(counter.llm_token_counts)),
        (counter.prompt_llm_token_count, counter.completion_llm_token_count),
    )


def run(caller: Caller, llm: Any) -> Any:
    """Those that block have an event loop at hand too, which LlamaIndex would else make and not close."""
    with asyncio.Runner() as runner:
        if inspect.iscoroutinefunction(caller):
            return runner.run(caller(llm))
        asyncio.set_event_loop(runner.get_loop())
        try:
            return caller(llm)
        finally:
            asyncio.set_event_loop(None)


@cache
def bare(name: str, kind: type[FakeLLM]) -> Observed:
    """The same with the model alone."""
    fake = kind()
    return observe(CALLERS[name], fake, [fake])


def knows(_request: Any, reply: Any) -> bool:
    return reply.text != IDK


@every_caller
def test_router_over_one_model_is_that_model(name: str, kind: type[FakeLLM]) -> None:
    fake = kind()
    router = RouterLLM(models=[fake], policy=StaticPolicy())

    assert observe(CALLERS[name], router, [fake]) == bare(name, kind)


@every_caller
def test_another_model_serves_while_the_first_fails(name: str, kind: type[FakeLLM]) -> None:
    down, fake = kind(model="down", fails=True), kind()
    router = RouterLLM(models=[down, fake], policy=StaticPolicy())
    seen = observe(CALLERS[name], router, [fake])

    assert down.log
    assert (seen.output, seen.log) == (bare(name, kind).output, bare(name, kind).log)


@every_caller
def test_another_model_answers_what_the_first_does_not_know(name: str, kind: type[FakeLLM]) -> None:
    unsure, fake = kind(model="unsure", says=IDK), kind()
    router = RouterLLM(models=[unsure, fake], policy=StaticPolicy(), verifiers=[knows])
    seen = observe(CALLERS[name], router, [fake])

    assert unsure.log
    assert (seen.output, seen.log) == (bare(name, kind).output, bare(name, kind).log)


def test_handlers_that_come_after_the_router_was_made_are_told() -> None:
    Settings.callback_manager = CallbackManager([TokenCountingHandler(tokenizer=str.split)])
    fake = FakeLLM()
    router = RouterLLM(models=[fake], policy=StaticPolicy())

    assert observe(CALLERS["chat"], router, [fake]) == bare("chat", FakeLLM)
