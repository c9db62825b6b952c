"""The spans that OpenTelemetry is told of: what they say and where they stand."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from router_core.effects import CallModel
from router_core.events import Called, Decided, Settled
from router_core.hosts.chat import ChatPayload
from router_core.observers import otel
from router_core.observers.attributes import usd
from router_core.testing import Broken, FakeClock
from router_core.types import NANO, FailureKind, Reply, Usage
from tests.drive.conftest import WEAK, Driver
from tests.edges.telemetry import DRIVERS, FULL, Telemetry, Way, failed, refused
from tests.stores.samples import full_entry


@pytest.fixture
def told() -> Telemetry:
    return Telemetry()


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest, told: Telemetry) -> Driver:
    return Driver(request.param, told.log)


async def test_a_request_tells_what_was_decided(driver: Driver, told: Telemetry) -> None:
    router = told.router({"weak": "bad", "middle": Broken(), "strong": FULL})

    await driver.ask(router, session="s7", call_site="plan", tags=["beta", "alpha"])

    (receipt,) = told.log.receipts
    (settled,) = told.log.of(Settled)
    (request,) = told.requests
    assert receipt.decision is not None
    assert settled.baseline_nano == receipt.attempts[-1].cost_nano
    assert request.kind is SpanKind.INTERNAL
    assert request.status.status_code is StatusCode.UNSET
    assert dict(request.attributes) == {
        "openinference.span.kind": "CHAIN",
        "router.request_id": receipt.request_id,
        "router.outcome": "answered",
        "router.model": "strong",
        "router.verified": True,
        "router.attempts": 3,
        "router.escalations": 1,
        "router.fallbacks": 1,
        "router.cost_usd": usd(receipt.cost_nano or 0),
        "router.baseline_cost_usd": usd(settled.baseline_nano or 0),
        "router.predicted_cost_usd": usd(receipt.decision.predictions[0].cost_nano or 0),
        "router.call_site": "plan",
        "router.policy": "static",
        "router.reason": "static",
        "router.start_model": "weak",
        "session.id": "s7",
        "tag.tags": ("alpha", "beta"),
    }


async def test_an_attempt_tells_what_it_was(driver: Driver, told: Telemetry) -> None:
    await driver.ask(told.router({"weak": FULL}, verifiers=[]), session="s7")

    (receipt,) = told.log.receipts
    (span,) = told.attempts
    (attempt,) = receipt.attempts
    first = attempt.first_token_s
    times = {"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": first}
    streamed = times if first is not None else {}
    assert span.name == "chat weak"
    assert dict(span.attributes) == {
        "openinference.span.kind": "LLM",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.system": "scripted",
        "gen_ai.request.model": "weak",
        "gen_ai.response.model": "strong-2026-11-01",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.conversation.id": "s7",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 40,
        "gen_ai.usage.cache_read.input_tokens": 30,
        "gen_ai.usage.cache_creation.input_tokens": 20,
        "gen_ai.usage.reasoning.output_tokens": 10,
        "gen_ai.usage.audio.input_tokens": 5,
        "gen_ai.usage.audio.output_tokens": 4,
        "gen_ai.usage.cost": 0.00018,
        "operation.cost": 0.00018,
        "llm.provider": "scripted",
        "llm.model_name": "weak",
        "llm.finish_reason": "stop",
        "llm.token_count.prompt": 100,
        "llm.token_count.completion": 40,
        "llm.token_count.total": 140,
        "llm.token_count.prompt_details.cache_read": 30,
        "llm.token_count.prompt_details.cache_write": 20,
        "llm.token_count.prompt_details.audio": 5,
        "llm.token_count.completion_details.reasoning": 10,
        "llm.token_count.completion_details.audio": 4,
        "llm.cost.total": 0.00018,
        "router.attempt.number": 1,
        "router.attempt.role": "answer",
        "router.attempt.model": "weak",
        "router.attempt.outcome": "accepted",
        "router.attempt.price_version": "registry",
        "router.usage.estimated": False,
        "session.id": "s7",
        **streamed,
    }
    assert driver.streams is (first is not None)


def test_rejections_and_failures_tell_why(told: Telemetry) -> None:
    broken = Broken(FailureKind.RATE_LIMITED)
    told.router({"weak": "bad", "middle": broken, "strong": "bad"}).complete("What is it?")

    weak, middle, strong = told.attempts
    assert weak.attributes["router.attempt.verdict"] == "bad"
    assert weak.status.status_code is StatusCode.UNSET
    assert middle.attributes["error.type"] == "rate_limited"
    assert middle.status.status_code is StatusCode.ERROR
    assert strong.attributes["router.attempt.outcome"] == "served_unverified"
    assert strong.attributes["router.attempt.verdict"] == "bad"
    assert told.requests[0].attributes["router.verified"] is False
    assert told.counted("router.escalations", router__attempt__verdict="bad", gen_ai__request__model="weak") == 1
    assert told.counted("router.fallbacks", error__type="rate_limited", gen_ai__request__model="middle") == 1


@pytest.mark.parametrize("way", [failed, refused], ids=lambda way: way.__name__)
async def test_a_request_without_an_answer_is_an_error(way: Way, driver: Driver, told: Telemetry) -> None:
    await way(driver, told)

    (request,) = told.requests
    assert request.status.status_code is StatusCode.ERROR
    assert request.attributes["error.type"] == way.__name__


def test_no_text_of_a_prompt_or_an_answer_is_told(told: Telemetry) -> None:
    secret = "the treasure"
    router = told.router(
        {"weak": f"bad {secret}", "middle": ValueError(f"no: {secret}"), "strong": f"{secret} is here"}
    )

    router.complete([{"role": "system", "content": secret}, {"role": "user", "content": secret}])
    told.observer(Settled("r", full_entry().receipt))

    shown = "".join(span.to_json() for span in told.spans)
    assert len(told.spans) == 8
    assert secret not in shown
    assert "does not know" not in shown
    assert "Overloaded: 529" not in shown


def test_providers_and_models_go_by_their_own_names(told: Telemetry) -> None:
    model = replace(WEAK, name="xai:grok", id="grok-9", provider="x-ai")
    told.router({"xai:grok": "good"}, [model]).complete("What is it?")

    (span,) = told.attempts
    assert span.name == "chat grok-9"
    assert span.attributes["gen_ai.provider.name"] == "x_ai"
    assert span.attributes["llm.provider"] == "x-ai"
    assert span.attributes["router.attempt.model"] == "xai:grok"
    assert told.counted("router.attempts", gen_ai__request__model="grok-9", gen_ai__provider__name="x_ai") == 1


def test_times_are_those_of_the_receipt(told: Telemetry) -> None:
    clock = FakeClock()

    def script(effect: CallModel, _payload: ChatPayload) -> str:
        clock.advance(2.5)
        return "bad" if effect.model.name == "weak" else "good"

    router = told.router(script)
    router.clock = clock
    router.complete("What is it?")

    (request,) = told.requests
    for span, attempt in zip(told.attempts, told.log.receipts[0].attempts, strict=True):
        assert span.end_time - span.start_time == round(attempt.latency_s * NANO) == 2_500_000_000
        assert span.start_time >= request.start_time
    assert request.end_time - request.start_time >= 5_000_000_000
    assert told.counted("router.request.duration") == 5.0


def test_a_request_covers_its_attempts_and_its_settlement(told: Telemetry) -> None:
    router = told.router({"weak": "bad", "middle": "good"})
    router.clock = FakeClock()  # by which nothing takes time: what does is not in the receipt
    router.complete("What is it?")

    (request,) = told.requests
    assert request.start_time <= min(span.start_time for span in told.attempts)
    assert request.end_time >= max(span.end_time for span in told.attempts)


async def test_the_parent_is_what_was_current_where_the_request_was_made(driver: Driver, told: Telemetry) -> None:
    router = told.router({"weak": "bad", "middle": "good"})
    tracer = told.tracers.get_tracer("application")

    with tracer.start_as_current_span("handler") as handler:
        await driver.ask(router)
        assert trace.get_current_span() is handler

    (request,) = told.requests
    assert request.parent.span_id == handler.get_span_context().span_id
    assert {span.context.trace_id for span in told.spans} == {handler.get_span_context().trace_id}


async def test_a_refused_request_has_the_same_parent(driver: Driver, told: Telemetry) -> None:
    with told.tracers.get_tracer("application").start_as_current_span("handler") as handler:
        await refused(driver, told)

    assert told.requests[0].parent.span_id == handler.get_span_context().span_id


def test_a_stream_that_is_read_elsewhere_stays_where_it_began(told: Telemetry) -> None:
    stream = told.router({"weak": "one two three"}, verifiers=[]).stream("What is it?")
    tracer = told.tracers.get_tracer("application")

    with tracer.start_as_current_span("begins") as begins:
        next(stream)
    with tracer.start_as_current_span("goes on"), ThreadPoolExecutor(1) as pool:
        pool.submit(list, stream).result()

    (request,) = told.requests
    assert request.parent.span_id == begins.get_span_context().span_id


def test_a_stream_that_is_forgotten_is_told_of(told: Telemetry) -> None:
    stream = told.router({"weak": "one two three"}, verifiers=[]).stream("What is it?")
    next(stream)

    del stream

    assert [span.attributes["router.attempt.outcome"] for span in told.attempts] == ["cancelled"]


CALLERS = 200


def echo(effect: CallModel, payload: ChatPayload) -> Reply:
    number = int(payload.messages[-1]["content"])
    text = "bad" if number % 2 and effect.model.name == "weak" else "good"
    return Reply(text=text, usage=Usage(input_tokens=number, output_tokens=1))


def unmixed(told: Telemetry) -> None:
    """Each request stands below its caller, with its own tokens."""
    callers = {span.context.span_id: int(span.name) for span in told.spans if span.name.isdecimal()}
    requests = {span.context.span_id: callers[span.parent.span_id] for span in told.requests}
    assert sorted(requests.values()) == list(range(CALLERS))
    for span in told.attempts:
        assert span.attributes["gen_ai.usage.input_tokens"] == requests[span.parent.span_id]
    assert len(told.attempts) == CALLERS + CALLERS // 2
    tokens = sum(receipt.usage.input_tokens for receipt in told.log.receipts)
    assert told.counted("gen_ai.client.token.usage", gen_ai__token__type="input") == tokens


async def test_requests_of_one_event_loop_do_not_mix(told: Telemetry) -> None:
    router = told.router(echo)
    tracer = told.tracers.get_tracer("application")

    async def ask(number: int) -> None:
        with tracer.start_as_current_span(str(number)):
            if number % 3:
                await router.acomplete(str(number))
            else:
                async for _ in router.astream(str(number)):
                    pass

    await asyncio.gather(*map(ask, range(CALLERS)))

    unmixed(told)


def test_requests_of_threads_do_not_mix(told: Telemetry) -> None:
    router = told.router(echo)
    tracer = told.tracers.get_tracer("application")

    def ask(number: int) -> None:
        with tracer.start_as_current_span(str(number)):
            router.complete(str(number))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(CALLERS)))

    unmixed(told)


def test_requests_that_are_never_settled_are_forgotten_in_the_end(
    told: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otel, "_MOST", 3)
    receipt = full_entry().receipt
    for number in range(5):
        told.observer(Decided(f"r{number}", receipt.decision))
        told.observer(Called(f"r{number}", 1, "weak"))
    assert sorted(told.observer._begun) == ["r2", "r3", "r4"]

    told.observer(Settled("r0", receipt._replace(request_id="r0")))

    assert [len(told.requests), len(told.attempts)] == [1, 3]
    starts = [span.start_time for span in told.attempts]
    assert starts == sorted(starts)
