"""LlamaIndex's own counters and tracers see each token that was used, and see it once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from llama_index.core import Settings, get_response_synthesizer
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index_instrumentation.dispatcher import instrument_tags
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llamaindex_router import RouterLLM
from router_core.policies import StaticPolicy
from tests.llamaindex.counters import exporting, instrumented
from tests.llamaindex.fake import IDK, FakeLLM
from tests.llamaindex.library import QUESTION, Animal, index, tools
from tests.llamaindex.routed import ASK, knows

# What LlamaIndex's structured models and the instrumentor do that is deprecated in pydantic.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::pydantic.warnings.PydanticDeprecationWarning:{module}")
    for module in ("inspect", "openinference.instrumentation.llama_index._handler")
]


@pytest.fixture(autouse=True)
def no_event_loop() -> None:
    """Where there is none that is at rest, LlamaIndex runs its own and closes it."""
    asyncio.set_event_loop(None)


TELL = PromptTemplate("Tell of the {animal}.")


# ---------------------------------------------------------------------------------------------- how a model is called
def query_engine(llm: Any, **options: Any) -> RetrieverQueryEngine:
    """With the model's own callback manager: by ``as_query_engine`` it is given that of the settings."""
    synthesizer = get_response_synthesizer(llm=llm, callback_manager=llm.callback_manager, **options)
    return RetrieverQueryEngine(index().as_retriever(), synthesizer)


async def astream_chat(llm: Any) -> None:
    async for _ in await llm.astream_chat(ASK):
        pass


async def astream_complete(llm: Any) -> None:
    async for _ in await llm.astream_complete(QUESTION):
        pass


async def astream_chat_with_tools(llm: Any) -> None:
    async for _ in await llm.astream_chat_with_tools(tools(), QUESTION):
        pass


async def astream_structured_predict(llm: Any) -> None:
    async for _ in await llm.astream_structured_predict(Animal, TELL, animal="whale"):
        pass


async def aquery_streaming(llm: Any) -> None:
    response = await query_engine(llm, streaming=True).aquery(QUESTION)
    async for _ in response.response_gen:
        pass


WAYS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda llm: llm.chat(ASK),
    "achat": lambda llm: llm.achat(ASK),
    "stream_chat": lambda llm: list(llm.stream_chat(ASK)),
    "astream_chat": astream_chat,
    "complete": lambda llm: llm.complete(QUESTION),
    "acomplete": lambda llm: llm.acomplete(QUESTION),
    "stream_complete": lambda llm: list(llm.stream_complete(QUESTION)),
    "astream_complete": astream_complete,
    "predict": lambda llm: llm.predict(TELL, animal="whale"),
    "chat_with_tools": lambda llm: llm.chat_with_tools(tools(), QUESTION),
    "astream_chat_with_tools": astream_chat_with_tools,
    "structured_predict": lambda llm: llm.structured_predict(Animal, TELL, animal="whale"),
    "astructured_predict": lambda llm: llm.astructured_predict(Animal, TELL, animal="whale"),
    "stream_structured_predict": lambda llm: list(llm.stream_structured_predict(Animal, TELL, animal="whale")),
    "astream_structured_predict": astream_structured_predict,
    "query": lambda llm: query_engine(llm).query(QUESTION),
    "aquery": lambda llm: query_engine(llm).aquery(QUESTION),
    "query, streaming": lambda llm: list(query_engine(llm, streaming=True).query(QUESTION).response_gen),
    "aquery, streaming": aquery_streaming,
}

# --------------------------------------------------------------------------------------------- which models there are
Models = Callable[..., list[FakeLLM]]


def one(**about: Any) -> list[FakeLLM]:
    return [FakeLLM(**about)]


def first_is_enough(**about: Any) -> list[FakeLLM]:
    return [FakeLLM(model="weak", **about), FakeLLM(model="strong", **about)]


def first_fails(**about: Any) -> list[FakeLLM]:
    return [FakeLLM(model="down", fails=True, **about), FakeLLM(**about)]


def first_is_rejected(**about: Any) -> list[FakeLLM]:
    return [FakeLLM(model="unsure", says=IDK, **about), FakeLLM(**about)]


SETS: dict[str, Models] = {
    "one model": one,
    "a draft is served": first_is_enough,
    "fallback": first_fails,
    "escalation": first_is_rejected,
}

STREAMS = ["stream_chat", "astream_chat", "stream_complete", "astream_complete", "astream_chat_with_tools"]

every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
every_set = pytest.mark.parametrize("models", SETS.values(), ids=SETS)


def router(models: Sequence[Any], **options: Any) -> RouterLLM:
    return RouterLLM(models=models, policy=StaticPolicy(), verifiers=[knows], **options)


def call(way: Callable[[Any], Any], llm: Any) -> None:
    coroutine = way(llm)
    if asyncio.iscoroutine(coroutine):
        asyncio.run(coroutine)


def used(models: Sequence[FakeLLM]) -> list[tuple[int, int]]:
    """The true tokens of each answer, the least first; a failed call used none."""
    failed = [(0, 0) for model in models if model.fails for _ in model.log]
    return sorted([*failed, *(each for model in models for each in model._desk.served)])


# ------------------------------------------------------------------------------------------- where the counter is put
Wired = tuple[Any, list[FakeLLM], TokenCountingHandler]


def counting() -> tuple[TokenCountingHandler, CallbackManager]:
    counter = TokenCountingHandler(tokenizer=str.split)
    return counter, CallbackManager([counter])


def on_the_router(models: Models) -> Wired:
    counter, manager = counting()
    fakes = models()
    return router(fakes, callback_manager=manager), fakes, counter


def in_the_settings_before(models: Models) -> Wired:
    counter, Settings.callback_manager = counting()
    fakes = models()
    return router(fakes), fakes, counter


def in_the_settings_after(models: Models) -> Wired:
    fakes = models()
    Settings.llm = router(fakes)
    counter, Settings.callback_manager = counting()
    return Settings.llm, fakes, counter


def on_both(models: Models) -> Wired:
    counter, manager = counting()
    fakes = models(callback_manager=manager)
    return router(fakes, callback_manager=manager), fakes, counter


def on_the_models(models: Models) -> Wired:
    counter, manager = counting()
    fakes = models(callback_manager=manager)
    return router(fakes), fakes, counter


def on_the_models_below_another(models: Models) -> Wired:
    counter, manager = counting()
    fakes = models(callback_manager=manager)
    return router(fakes, callback_manager=counting()[1]), fakes, counter


WIRINGS = [
    on_the_router,
    in_the_settings_before,
    in_the_settings_after,
    on_both,
    on_the_models,
    on_the_models_below_another,
]

every_wiring = pytest.mark.parametrize("wire", WIRINGS)


def counted(counter: TokenCountingHandler) -> list[tuple[int, int]]:
    return sorted((each.prompt_token_count, each.completion_token_count) for each in counter.llm_token_counts)


@every_wiring
@every_set
@every_way
def test_wherever_a_counter_is_put_it_counts_each_token_once(
    wire: Callable[[Models], Wired], models: Models, way: Callable[[Any], Any]
) -> None:
    llm, fakes, counter = wire(models)

    call(way, llm)

    assert counted(counter) == used(fakes)
    assert counter.total_llm_token_count > 0


def test_a_counter_that_takes_the_place_of_another_counts_what_follows() -> None:
    fakes = first_is_rejected()
    llm = router(fakes)
    first, llm.callback_manager = counting()
    llm.chat(ASK)
    before = used(fakes)
    second, llm.callback_manager = counting()

    llm.chat(ASK)

    assert counted(first) == before
    assert counted(second) == before


def test_a_counter_in_the_settings_that_takes_the_place_of_another_counts_what_follows() -> None:
    first, Settings.callback_manager = counting()
    fakes = first_is_rejected()
    Settings.llm = router(fakes)
    Settings.llm.chat(ASK)
    before = used(fakes)
    second, Settings.callback_manager = counting()

    Settings.llm.chat(ASK)

    assert counted(first) == before
    assert counted(second) == before


def test_a_counter_that_is_added_to_the_manager_later_counts_what_follows() -> None:
    fakes = first_fails()
    llm = router(fakes)
    counter = TokenCountingHandler(tokenizer=str.split)

    llm.callback_manager.add_handler(counter)
    llm.chat(ASK)

    assert counted(counter) == used(fakes)


def test_counters_of_a_model_and_of_its_router_both_count() -> None:
    own, manager = counting()
    weak, strong = FakeLLM(says=IDK, callback_manager=manager), FakeLLM(model="strong")
    llm = router([weak, strong])
    whole, llm.callback_manager = counting()

    llm.chat(ASK)

    assert counted(own) == used([weak])
    assert counted(whole) == used([weak, strong])


def test_what_is_counted_for_a_router_is_not_counted_for_a_model_that_it_was_made_of() -> None:
    counter, manager = counting()
    weak, strong = FakeLLM(), FakeLLM(model="strong")
    router([weak, strong], callback_manager=manager)

    weak.chat(ASK)

    assert counter.llm_token_counts == []


@every_set
def test_a_query_engine_treats_the_counter_of_a_router_as_that_of_any_model(models: Models) -> None:
    """It gives the model that it is given the manager of the settings."""
    (own, manager), (common, Settings.callback_manager) = counting(), counting()
    fakes = models()
    llm = router(fakes, callback_manager=manager)
    engine = index().as_query_engine(llm=llm)

    engine.query(QUESTION)

    bare = FakeLLM(callback_manager=counting()[1])
    index().as_query_engine(llm=bare)
    assert bare.callback_manager is Settings.callback_manager
    assert own.llm_token_counts == []
    assert counted(common) == used(fakes)


# ------------------------------------------------------------------------------------------------------ OpenInference
@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    with instrumented(exporting(exporter)):
        yield exporter


def of_models(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    """The spans that are of a language model."""
    return [span for span in spans.get_finished_spans() if span.attributes["openinference.span.kind"] == "LLM"]


def traced(spans: InMemorySpanExporter, *kinds: str) -> list[tuple[int, ...]]:
    """The tokens that each span tells, the least first."""
    told = [[span.attributes.get(f"llm.token_count.{kind}") for kind in kinds] for span in of_models(spans)]
    return sorted(tuple(counts) for counts in told if any(counts))


@every_set
@every_way
def test_a_tracer_sees_each_call_of_a_model_and_each_token_once(
    spans: InMemorySpanExporter, models: Models, way: Callable[[Any], Any]
) -> None:
    fakes = models()

    call(way, router(fakes))

    answers = [each for each in used(fakes) if each != (0, 0)]
    assert traced(spans, "prompt", "completion") == answers
    assert traced(spans, "total") == sorted((sum(each),) for each in answers)
    calls = [span for span in of_models(spans) if span.name.startswith("FakeLLM.") and span.name.endswith("chat")]
    asked = sorted(fake.model for fake in fakes for _ in fake.log)
    assert sorted(str(span.attributes["llm.model_name"]) for span in calls) == asked


def test_a_trace_shows_which_call_failed_and_whose_calls_they_were(spans: InMemorySpanExporter) -> None:
    router([FakeLLM(fails=True), FakeLLM(says=IDK), FakeLLM()]).chat(ASK)

    own = next(span for span in spans.get_finished_spans() if span.name == "RouterLLM.chat")
    calls = [span for span in of_models(spans) if span.name == "FakeLLM.chat"]
    assert [span.parent.span_id for span in calls] == [own.context.span_id] * 3
    assert [span.status.is_ok for span in calls] == [False, True, True]


@pytest.mark.parametrize("models", SETS.values(), ids=SETS)
@pytest.mark.parametrize("mode", ["hold", "prefix", "commit"])
@pytest.mark.parametrize("way", STREAMS)
def test_a_trace_of_a_stream_is_whole_when_the_stream_has_ended(
    spans: InMemorySpanExporter, models: Models, mode: str, way: str
) -> None:
    """A draft that was held and is shown in one piece has no stream of its own whose end a tracer could hear."""
    with instrument_tags({"router": {"stream_mode": mode}}):
        call(WAYS[way], router(models()))

    (own,) = [span for span in spans.get_finished_spans() if span.name == f"RouterLLM.{way}"]
    assert {span.parent.span_id for span in of_models(spans) if span is not own} == {own.context.span_id}


def test_a_stream_that_is_left_early_leaves_its_drafts_in_the_trace_once(spans: InMemorySpanExporter) -> None:
    fakes = first_is_rejected()
    chunks = router(fakes).stream_chat(ASK)
    next(chunks)

    chunks.close()

    assert traced(spans, "prompt", "completion") == used(fakes[:1])
