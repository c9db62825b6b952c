"""Everything that counts the tokens of a router's calls: its own books and those of others, over one router."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple

from langchain_core.callbacks import UsageMetadataCallbackHandler, get_usage_metadata_callback
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langchain_router import ChatRouter, RouterCallbackHandler, get_router_callback
from router_core import Ledger, Registry
from router_core.policies import StaticPolicy
from router_core.records import Receipt
from router_core.stores import Store, open_store
from router_core.types import NANO, Model, Price, Usage
from tests.edges.telemetry import Telemetry, total
from tests.langchain.provider import Provider
from tests.servers.provider import Exchange

INPUT, CACHED, OUTPUT = 1_000, 100, 2_000
"""Nano-dollars of a token."""

PRICE = Price(input=Decimal(1), cache_read=Decimal("0.1"), output=Decimal(2))


class Counted(NamedTuple):
    """Tokens; ``cached`` is a part of ``given``, ``thought`` of ``made``."""

    given: int = 0
    made: int = 0
    cached: int = 0
    thought: int = 0

    def __add__(self, other: Any) -> Counted:
        return Counted(*(ours + theirs for ours, theirs in zip(self, other, strict=True)))

    @property
    def nano(self) -> int:
        """What so many tokens cost."""
        return (self.given - self.cached) * INPUT + self.cached * CACHED + self.made * OUTPUT


Books = Mapping[str, Counted]
"""What was counted of each model that used any tokens."""


def true(journal: Iterable[Exchange]) -> Books:
    """What the provider counted, of the kinds that its wire tells."""
    return _books(
        (
            exchange.model,
            Counted(
                exchange.used.input,
                exchange.used.output,
                0 if exchange.wire == "ollama" else exchange.used.cached,
                exchange.used.reasoning if exchange.wire == "openai" else 0,
            ),
        )
        for exchange in journal
    )


class Counters:
    """A router, and all that counts what it does.

    config: hands on the handlers that need a config. theirs: LangChain's usage handlers, ours: the router's, each one
    given by the config and one of the context. telemetry: its observers. spans: those of OpenInference's instrumentor.
    """

    def __init__(self, llm: ChatRouter, store: Store, telemetry: Telemetry, spans: InMemorySpanExporter) -> None:
        self.llm = llm
        self.store = store
        self.telemetry = telemetry
        self._spans = spans
        self.theirs = {"config": UsageMetadataCallbackHandler()}
        self.ours = {"config": RouterCallbackHandler()}
        self.config: Any = {"callbacks": [self.theirs["config"], self.ours["config"]]}

    @property
    def receipts(self) -> list[Receipt]:
        """As the observer was told them."""
        return self.telemetry.log.receipts

    @property
    def exact(self) -> dict[str, Books]:
        """The counters of the router: all of them know of every call."""
        attempts = [attempt for receipt in self.receipts for attempt in receipt.attempts]
        rows = [attempt for entry in self.store.entries() for attempt in entry["attempts"]]
        return {
            "receipts": _books((_id(each.model), _of_usage(each.usage)) for each in attempts if each.usage),
            "ledger": _books((_id(row["model"]), _of_row(row)) for row in rows),
            **{
                f"handler of the {where}": _books((_id(name), _of_usage(t.usage)) for name, t in each.by_model.items())
                for where, each in self.ours.items()
            },
            "OpenTelemetry, by GenAI's names": _of_spans(self.telemetry.attempts, _GENAI),
            "OpenTelemetry, by OpenInference's names": _of_spans(self.telemetry.attempts, _OPENINFERENCE),
        }

    @property
    def metrics(self) -> Mapping[str, tuple[int, int]]:
        """OpenTelemetry's metrics tell input and output only."""
        names = {span.attributes["gen_ai.request.model"] for span in self.telemetry.attempts}
        told = {name: (self._metric(name, "input"), self._metric(name, "output")) for name in names}
        return {name: each for name, each in told.items() if any(each)}

    @property
    def frameworks(self) -> dict[str, Books]:
        """The counters of others, which learn of a call what LangChain tells of it."""
        usage = {
            f"LangChain's handler of the {where}": _books(
                (name, _of_told(t)) for name, t in each.usage_metadata.items()
            )
            for where, each in self.theirs.items()
        }
        spans = [each for each in self._spans.get_finished_spans() if "llm.model_name" in each.attributes]
        return {**usage, "OpenInference": _of_spans(spans, _OPENINFERENCE)}

    @property
    def costs(self) -> dict[str, int]:
        """Nano-dollars, as each of the router's counters tells them."""
        entries = list(self.store.entries())
        usd = [total(self.telemetry.spans, "llm.cost.total"), self.telemetry.counted("router.cost")]
        return {
            "receipts": sum(receipt.cost_nano or 0 for receipt in self.receipts),
            "requests of the ledger": sum(entry["cost_nano"] for entry in entries),
            "attempts of the ledger": sum(row["cost_nano"] for entry in entries for row in entry["attempts"]),
            **{f"handler of the {where}": each.total.cost_nano or 0 for where, each in self.ours.items()},
            **{
                f"models of the handler of the {where}": sum(tally.cost_nano or 0 for tally in each.by_model.values())
                for where, each in self.ours.items()
            },
            "OpenTelemetry, spans": round(usd[0] * NANO),
            "OpenTelemetry, metrics": round(usd[1] * NANO),
        }

    def _metric(self, model: str, kind: str) -> int:
        about = {"gen_ai__request__model": model, "gen_ai__token__type": kind}
        return int(self.telemetry.counted("gen_ai.client.token.usage", **about))


@contextmanager
def counting(provider: Provider, cast: Sequence[str], **options: Any) -> Iterator[Counters]:
    """A router of models such as "openai:good-a", with all its counters, while the block is open."""
    entries = [
        Model(name=name, id=_id(name), provider=name.partition(":")[0], endpoint=name, price=PRICE) for name in cast
    ]
    store, telemetry, spans = open_store("memory://"), Telemetry(), InMemorySpanExporter()
    options = {
        "models": provider.models(*cast),
        "registry": Registry(tuple(entries), endpoints={}),
        "policy": StaticPolicy(),
        "ledger": Ledger(store),
        "observers": [telemetry.log, telemetry.observer],
        **options,
    }
    counters = Counters(ChatRouter(**options), store, telemetry, spans)
    with instrumented(spans), get_usage_metadata_callback() as theirs, get_router_callback() as ours:
        counters.theirs["context"], counters.ours["context"] = theirs, ours
        yield counters


@contextmanager
def instrumented(exporter: InMemorySpanExporter) -> Iterator[None]:
    """OpenInference's instrumentor, telling this exporter, while the block is open."""
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=tracers)
    try:
        yield
    finally:
        instrumentor.uninstrument()


_GENAI = ("input_tokens", "output_tokens", "cache_read.input_tokens", "reasoning.output_tokens")
_OPENINFERENCE = ("prompt", "completion", "prompt_details.cache_read", "completion_details.reasoning")
_PREFIXES = {_GENAI: "gen_ai.usage", _OPENINFERENCE: "llm.token_count"}


def _books(counts: Iterable[tuple[str, Counted]]) -> Books:
    books: dict[str, Counted] = {}
    for name, counted in counts:
        if any(counted):
            books[name] = books.get(name, Counted()) + counted
    return books


def _id(name: str) -> str:
    return name.partition(":")[2]


def _of_usage(usage: Usage) -> Counted:
    return Counted(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.reasoning_tokens)


def _of_row(row: Any) -> Counted:
    kinds = ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")
    return Counted(*(row[kind] or 0 for kind in kinds))


def _of_told(told: Any) -> Counted:
    assert told["total_tokens"] == told["input_tokens"] + told["output_tokens"]
    read = told.get("input_token_details", {}).get("cache_read", 0)
    return Counted(
        told["input_tokens"], told["output_tokens"], read, told.get("output_token_details", {}).get("reasoning", 0)
    )


def _of_spans(spans: Iterable[ReadableSpan], kinds: tuple[str, ...]) -> Books:
    def told(span: ReadableSpan) -> Counted:
        return Counted(*(span.attributes.get(f"{_PREFIXES[kinds]}.{kind}", 0) for kind in kinds))

    return _books((span.attributes["llm.model_name"], told(span)) for span in spans)
