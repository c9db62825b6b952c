"""A router that is observed by OpenTelemetry's own SDK, and ways in which its requests end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeAlias

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from router_core import Router
from router_core.effects import CallModel
from router_core.hosts.chat import ChatPayload
from router_core.observers import OpenTelemetryObserver
from router_core.policies import StaticPolicy
from router_core.testing import Broken, EventLog, ScriptedHost
from router_core.types import FailureKind, Reply, Usage
from tests.drive.conftest import MIDDLE, STRONG, WEAK, Driver, says_bad

DRIVERS = ["complete", "acomplete", "stream", "astream"]
USED = Usage(
    input_tokens=100,
    output_tokens=40,
    cache_read_tokens=30,
    cache_write_tokens=20,
    reasoning_tokens=10,
    input_audio_tokens=5,
    output_audio_tokens=4,
)
FULL = Reply(text="good enough", finish_reason="stop", usage=USED, model_id="strong-2026-11-01")


class Telemetry:
    """An observer, what the SDK was told by it, and routers that it observes beside ``log``."""

    def __init__(self, *, reader: Any = None, **options: Any) -> None:
        self.log = EventLog()
        self._exporter = InMemorySpanExporter()
        self._reader = reader or InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader])
        self.observer = OpenTelemetryObserver(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    def router(
        self, script: dict[str, Any] | Callable[..., Any], models: Any = (WEAK, MIDDLE, STRONG), **options: Any
    ) -> Router:
        """A router that starts at the weak model and rejects what says "bad"."""
        host = ScriptedHost.saying(script) if isinstance(script, dict) else ScriptedHost(script)
        given = {"policy": StaticPolicy(), "verifiers": [says_bad], "observers": [self.log, self.observer], **options}
        return Router(models, host=host, **given)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def requests(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == "router.request"]

    @property
    def attempts(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.kind is SpanKind.CLIENT]

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self._reader.get_metrics_data()
        scopes = [scope for resource in (data.resource_metrics if data else ()) for scope in resource.scope_metrics]
        metrics = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        return [point for metric in metrics for point in metric.data.data_points]

    def counted(self, name: str, **about: Any) -> float:
        """The sum of a metric over the points that have these attributes (their dots are written as __)."""
        wanted = {key.replace("__", "."): value for key, value in about.items()}
        points = [point for point in self.points(name) if wanted.items() <= dict(point.attributes).items()]
        return sum(point.sum if hasattr(point, "sum") else point.value for point in points)


def total(spans: Iterable[ReadableSpan], name: str) -> float:
    """The sum of an attribute over spans: what a backend does."""
    return sum(span.attributes.get(name, 0) for span in spans)


async def answered(driver: Driver, told: Telemetry) -> None:
    await driver.ask(told.router({"weak": FULL}))


async def escalated(driver: Driver, told: Telemetry) -> None:
    await driver.ask(told.router({"weak": "bad", "middle": "bad too", "strong": FULL}))


async def fallen_back(driver: Driver, told: Telemetry) -> None:
    broken = Broken(FailureKind.TIMEOUT, may_be_billed=True)
    await driver.ask(told.router({"weak": broken, "middle": Broken(), "strong": FULL}))


async def failed(driver: Driver, told: Telemetry) -> None:
    await driver.ask(told.router(dict.fromkeys(("weak", "middle", "strong"), Broken())))


async def refused(driver: Driver, told: Telemetry) -> None:
    await driver.ask(told.router({"weak": FULL}), max_cost_usd=Decimal("0.000000001"))


async def estimated(driver: Driver, told: Telemetry) -> None:
    await driver.ask(told.router({"weak": Reply(text="good", finish_reason="stop")}))


async def unpriced(driver: Driver, told: Telemetry) -> None:
    await driver.ask(told.router({"weak": FULL}, [replace(WEAK, price=None)]))


async def cut_off(driver: Driver, told: Telemetry) -> None:
    """The caller goes away while the only call is made, or while its stream is read."""
    called = asyncio.Event()

    def script(effect: CallModel, _payload: ChatPayload) -> str | Awaitable[str]:
        called.set()
        if driver.name == "complete":
            raise KeyboardInterrupt
        return hang() if driver.name == "acomplete" else "one two three"

    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    router = told.router(script, verifiers=[])
    if driver.name == "complete":
        with pytest.raises(KeyboardInterrupt):
            router.complete("What is it?")
    elif driver.name == "acomplete":
        task = asyncio.create_task(router.acomplete("What is it?"))
        await called.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    elif driver.name == "stream":
        with router.stream("What is it?") as stream:
            next(stream)
    else:
        async with router.astream("What is it?") as astream:
            await anext(astream)


Way: TypeAlias = Callable[[Driver, Telemetry], Awaitable[None]]
WAYS: list[Way] = [answered, escalated, fallen_back, failed, refused, estimated, unpriced, cut_off]
