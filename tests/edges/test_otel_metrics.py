"""The metrics that OpenTelemetry is told of, Prometheus, and what must not go wrong in telling."""

from __future__ import annotations

import subprocess
import sys
from typing import Any
from urllib.request import urlopen

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import start_http_server
from prometheus_client.parser import text_string_to_metric_families

from router_core.budget import Budget
from router_core.ledger import Ledger
from router_core.observers import OpenTelemetryObserver
from router_core.testing import Broken
from router_core.types import NANO, FailureKind
from tests.drive.conftest import WEAK, Driver
from tests.edges.telemetry import DRIVERS, FULL, Telemetry


@pytest.fixture
def told() -> Telemetry:
    return Telemetry()


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest, told: Telemetry) -> Driver:
    return Driver(request.param, told.log)


def test_histograms_have_the_bounds_of_the_conventions(told: Telemetry) -> None:
    list(told.router({"weak": FULL}).stream("What is it?"))

    tokens = {p.explicit_bounds for p in told.points("gen_ai.client.token.usage")}
    assert tokens == {
        (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
    }  # fmt: skip
    seconds = {
        p.explicit_bounds
        for name in ("duration", "time_to_first_chunk")
        for p in told.points(f"gen_ai.client.operation.{name}")
    }
    assert seconds == {(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)}


def test_a_budget_tells_its_thresholds(told: Telemetry) -> None:
    budgets = [
        Budget(name="daily", limit_usd="0.01", per="day", thresholds=(1, 99)),
        Budget(name="words", limit_tokens=10_000, per="month", scope="tag:user", thresholds=(1,)),
    ]
    router = told.router({"weak": FULL}, [WEAK], ledger=Ledger("memory://", budgets=budgets))

    router.complete("What is it?", max_tokens=50, tags=["user:ann"])

    (request,) = told.requests
    assert {event.name for event in request.events} == {"router.budget.threshold"}
    names = [f"router.budget.{name}" for name in ("name", "key", "percent", "unit", "limit", "spent")]
    assert [[event.attributes[name] for name in names] for event in request.events] == [
        ["daily", "", 1, "usd", 0.01, 0.00018],
        ["words", "user:ann", 1, "tokens", 10_000, 140],
    ]
    assert told.counted("router.budget.thresholds", router__budget__name="daily") == 1
    # A purse is a person's: its key would be a label with as many values.
    assert {name for p in told.points("router.budget.thresholds") for name in p.attributes} == {
        "router.budget.name",
        "router.budget.unit",
        "router.budget.percent",
    }


def test_prometheus_is_served_what_was_counted() -> None:
    told = Telemetry(reader=PrometheusMetricReader())
    router = told.router({"weak": "bad", "middle": Broken(FailureKind.TIMEOUT), "strong": FULL})
    server, thread = start_http_server(0, "127.0.0.1")

    router.complete("What is it?")
    with urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
        page = answer.read().decode()
    server.shutdown()
    server.server_close()
    thread.join()
    told.meters.shutdown()

    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]

    def scraped(name: str, **labels: str) -> float:
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    (receipt,) = told.log.receipts
    usage = receipt.usage
    assert scraped("gen_ai_client_token_usage_sum", gen_ai_token_type="input") == usage.input_tokens
    assert scraped("gen_ai_client_token_usage_sum", gen_ai_token_type="output") == usage.output_tokens
    assert round(scraped("router_cost_total") * NANO) == receipt.cost_nano
    assert scraped("router_requests_total", router_outcome="answered") == 1
    assert scraped("router_escalations_total", router_attempt_verdict="bad") == 1
    assert scraped("router_fallbacks_total", error_type="timeout") == 1
    assert scraped("gen_ai_client_operation_duration_seconds_count") == 3
    assert scraped("gen_ai_client_operation_duration_seconds_count", error_type="timeout") == 1


def test_two_observers_of_one_provider_count_together(told: Telemetry) -> None:
    other = OpenTelemetryObserver(tracer_provider=told.tracers, meter_provider=told.meters)

    told.router({"weak": FULL}).complete("What is it?")
    told.router({"weak": FULL}, observers=[told.log, other]).complete("What is it?")

    assert told.counted("router.requests") == 2
    assert round(told.counted("router.cost") * NANO) == sum(receipt.cost_nano or 0 for receipt in told.log.receipts)


class Raising(SpanExporter, SpanProcessor):
    """Fails wherever the SDK asks it."""

    def export(self, spans: Any) -> SpanExportResult:
        raise OSError("the collector is down")

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("a faulty processor")

    def shutdown(self) -> None:
        pass


@pytest.mark.parametrize("processor", [SimpleSpanProcessor(Raising()), Raising()], ids=["exporter", "processor"])
async def test_what_fails_in_the_sdk_disturbs_no_request(
    driver: Driver,
    told: Telemetry,
    processor: SpanProcessor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told.tracers.add_span_processor(processor)

    answer = await driver.ask(told.router({"weak": FULL}))

    assert answer.text == "good enough"
    assert told.counted("router.requests") == 1
    assert "Traceback" in caplog.text
    assert told.observer._begun == {}


def test_without_an_sdk_nothing_happens(told: Telemetry) -> None:
    assert told.router({"weak": "good"}, observers=[OpenTelemetryObserver()]).complete("What is it?").text == "good"


def test_without_the_api_the_error_names_the_extra() -> None:
    script = """
import sys
sys.modules["opentelemetry"] = None
import router_core, router_core.observers
from router_core.observers import ReceiptLog, Webhook
try:
    from router_core.observers import OpenTelemetryObserver
except ImportError as error:
    print(type(error).__name__, error)
"""

    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

    assert run.stdout.startswith(
        "MissingExtra opentelemetry-api is not installed; run: pip install 'router-core[otel]'"
    )
