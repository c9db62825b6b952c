"""OpenTelemetry beside OpenInference's instrumentation: under the names of both, and each token once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from openinference.semconv.trace import SpanAttributes
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from router_core.events import Settled
from tests.edges.telemetry import Telemetry, total
from tests.llamaindex.counters import instrumented
from tests.llamaindex.fake import FakeLLM
from tests.llamaindex.routed import ASK, down, router, unsure
from tests.stores.samples import full_entry

# What the instrumentor does that is deprecated in pydantic.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecationWarning:openinference.instrumentation.llama_index._handler"
)


@pytest.fixture
def instrument() -> Iterator[Callable[[Telemetry], None]]:
    with ExitStack() as stack:
        yield lambda told: stack.enter_context(instrumented(told.tracers))


def ask(told: Telemetry, first: Any) -> None:
    llm = router(first, FakeLLM(model="strong"), observers=[told.log, told.observer])
    llm.chat(ASK)
    list(llm.stream_chat(ASK))


@pytest.mark.parametrize("first", [unsure, down], ids=["escalated", "fallen back"])
def test_beside_an_instrumentation_each_token_is_counted_once(
    instrument: Callable[[Telemetry], None], first: Callable[[], Any]
) -> None:
    told = Telemetry(attempts=False)
    instrument(told)

    ask(told, first())

    usages = [attempt.usage for receipt in told.log.receipts for attempt in receipt.attempts]
    # Of a call that failed the router knows an estimate, and the instrumentation nothing.
    reported = sum(usage.total_tokens for usage in usages if usage and not usage.estimated)
    assert total(told.spans, "llm.token_count.total") == reported > 0
    assert total(told.spans, "gen_ai.usage.input_tokens") == 0
    assert told.counted("gen_ai.client.token.usage") == sum(receipt.usage.total_tokens for receipt in told.log.receipts)
    assert [len(request.events) for request in told.requests] == [2, 2]


@pytest.mark.parametrize("first", [unsure, down], ids=["escalated", "fallen back"])
def test_alone_each_token_is_counted_once(first: Callable[[], Any]) -> None:
    told = Telemetry()

    ask(told, first())

    tokens = sum(receipt.usage.total_tokens for receipt in told.log.receipts)
    assert total(told.spans, "llm.token_count.total") == tokens > 0
    assert len(told.attempts) == sum(len(receipt.attempts) for receipt in told.log.receipts)


@pytest.mark.skipif(
    not hasattr(gen_ai_attributes, "GEN_AI_USAGE_REASONING_OUTPUT_TOKENS"), reason="the conventions are older"
)
def test_names_are_those_of_the_conventions() -> None:
    told = Telemetry()
    told.observer(Settled("r", full_entry().receipt))

    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    known |= {value for name, value in vars(SpanAttributes).items() if not name.startswith("_")}
    # Of newer conventions than the package's, of Langfuse and of Logfire.
    known |= {"gen_ai.usage.audio.input_tokens", "gen_ai.usage.audio.output_tokens", "gen_ai.usage.cost"}
    known |= {"operation.cost", "error.type"}
    names = {name for span in told.spans for name in span.attributes}
    assert {name for name in names if not name.startswith("router.")} - known == set()
