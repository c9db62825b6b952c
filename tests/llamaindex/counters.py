"""Everything that counts the tokens of a router's calls: its own books and those of others, over one router."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import root_dispatcher
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llamaindex_router import RouterCallbackHandler, RouterEventHandler, RouterLLM, get_router_handler
from router_core import Ledger
from router_core.policies import StaticPolicy
from router_core.records import Receipt
from router_core.stores import Store, open_store
from router_core.tally import Tally
from router_core.types import NANO, Usage
from tests.edges.telemetry import Telemetry, total
from tests.llamaindex.provider import reported
from tests.servers.provider import Exchange


class Counted(NamedTuple):
    """Tokens; ``cached`` is a part of ``given``, ``thought`` of ``made``. What a counter does not count is None."""

    given: int
    made: int
    cached: int | None = None
    thought: int | None = None

    def over(self, true: Counted) -> list[float]:
        """Reported ÷ true, of each kind that is counted and was used; 0 ÷ 0 is 1."""
        pairs = [
            (ours, theirs) for ours, theirs in zip(self, true, strict=True) if ours is not None and theirs is not None
        ]
        return [ours / theirs if theirs else float(ours == 0) for ours, theirs in pairs]


def true(exchanges: Iterable[Exchange]) -> Counted:
    """What a provider counted, of the kinds that its wire tells."""
    return _sum(_of_usage(reported(exchange.wire, exchange.used)) for exchange in exchanges)


class Counters:
    """A router, and all that counts what it does.

    llm: the router. counter, handler: those of its callback manager. routed: that of the instrumentation. store: its
    ledger's. telemetry: its observers. theirs: the spans of OpenInference's instrumentor.
    """

    def __init__(self, models: Sequence[Any], routed: RouterEventHandler, **options: Any) -> None:
        self.routed = routed
        self.counter = TokenCountingHandler(tokenizer=str.split)
        self.handler = RouterCallbackHandler()
        self.manager = CallbackManager([self.counter, self.handler])
        Settings.callback_manager = self.manager  # query engines give it to their models
        self.store: Store = open_store("memory://")
        self.telemetry = Telemetry()
        self.theirs = InMemorySpanExporter()
        options = {"policy": StaticPolicy(), "ledger": Ledger(self.store), **options}
        observers = [self.telemetry.log, self.telemetry.observer]
        self.llm = RouterLLM(models=models, callback_manager=self.manager, observers=observers, **options)

    @property
    def receipts(self) -> list[Receipt]:
        """As the observer was told them."""
        return self.telemetry.log.receipts

    @property
    def rows(self) -> list[Any]:
        """The attempts in the ledger."""
        return [attempt for entry in self.store.entries() for attempt in entry["attempts"]]

    @property
    def ours(self) -> dict[str, Counted]:
        """The counters of the router itself, from each of which the others are made: all must be true."""
        tokens = partial(self.telemetry.counted, "gen_ai.client.token.usage")
        return {
            "receipts": _sum(_of_usage(receipt.usage) for receipt in self.receipts),
            "callback handler": _of_tally(self.handler.total),
            "event handler": _of_tally(self.routed.total),
            "models of the handler": _sum(_of_tally(tally) for tally in self.handler.by_model.values()),
            "queries of the handler": _sum(_of_tally(tally) for tally in self.routed.by_query.values()),
            "ledger": _sum(
                Counted(
                    row["input_tokens"] or 0,
                    row["output_tokens"] or 0,
                    row["cache_read_tokens"] or 0,
                    row["reasoning_tokens"] or 0,
                )
                for row in self.rows
            ),
            "OpenTelemetry, OpenInference's names": _of_spans(self.telemetry.spans),
            "OpenTelemetry, GenAI's names": _of_genai(self.telemetry.spans),
            "OpenTelemetry, metrics": Counted(
                tokens(gen_ai__token__type="input"), tokens(gen_ai__token__type="output")
            ),
        }

    @property
    def token_counter(self) -> Counted:
        """LlamaIndex's own."""
        return Counted(self.counter.prompt_llm_token_count, self.counter.completion_llm_token_count)

    @property
    def openinference(self) -> Counted:
        """The spans of models that OpenInference's instrumentor made. It tells 0 by telling nothing."""
        return _of_spans(self.theirs.get_finished_spans())

    @property
    def costs(self) -> dict[str, int | None]:
        """Nano-dollars, as each of the router's counters tells them."""
        entries = list(self.store.entries())
        usd = [total(self.telemetry.spans, "llm.cost.total"), self.telemetry.counted("router.cost")]
        return {
            "receipts": sum(receipt.cost_nano or 0 for receipt in self.receipts),
            "requests of the ledger": sum(entry["cost_nano"] or 0 for entry in entries),
            "attempts of the ledger": sum(row["cost_nano"] or 0 for row in self.rows),
            "callback handler": self.handler.total.cost_nano,
            "event handler": self.routed.total.cost_nano,
            "models of the handler": sum(tally.cost_nano or 0 for tally in self.handler.by_model.values()),
            "OpenTelemetry, spans": round(usd[0] * NANO),
            "OpenTelemetry, metrics": round(usd[1] * NANO),
        }


@contextmanager
def counting(models: Sequence[Any], **options: Any) -> Iterator[Counters]:
    """A router of the models with all its counters, while the block is open."""
    with get_router_handler() as routed:
        counters = Counters(models, routed, **options)
        with instrumented(exporting(counters.theirs)):
            yield counters


@contextmanager
def instrumented(tracers: TracerProvider) -> Iterator[None]:
    """OpenInference's instrumentor, making its spans here, while the block is open."""
    instrumentor = LlamaIndexInstrumentor()
    instrumentor.instrument(tracer_provider=tracers)
    try:
        yield
    finally:
        instrumentor.uninstrument()
        # Its thread looks for the end that it gives its queue when it is collected: some time.
        instrumentor._span_handler._export_queue.queue.put(None)
    assert not any("openinference" in type(handler).__module__ for handler in root_dispatcher.event_handlers)


def exporting(exporter: InMemorySpanExporter) -> TracerProvider:
    """What makes spans, and tells this exporter of each that has ended."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def _of_spans(spans: Sequence[ReadableSpan]) -> Counted:
    kinds = ("prompt", "completion", "prompt_details.cache_read", "completion_details.reasoning")
    return Counted(*(int(total(spans, f"llm.token_count.{kind}")) for kind in kinds))


def _of_genai(spans: Sequence[ReadableSpan]) -> Counted:
    kinds = ("input_tokens", "output_tokens", "cache_read.input_tokens", "reasoning.output_tokens")
    return Counted(*(int(total(spans, f"gen_ai.usage.{kind}")) for kind in kinds))


def _of_usage(usage: Usage) -> Counted:
    return Counted(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.reasoning_tokens)


def _of_tally(tally: Tally) -> Counted:
    return _of_usage(tally.usage)


def _sum(counts: Iterable[Counted]) -> Counted:
    columns = list(zip(*counts, strict=True))
    return Counted(*map(sum, columns)) if columns else Counted(0, 0, 0, 0)
