"""Traces and metrics of requests through OpenTelemetry.

Raises:
    MissingExtra: opentelemetry-api is not installed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from router_core.errors import MissingExtra
from router_core.events import BudgetReached, Called, Decided, Event, Settled
from router_core.observers.attributes import CHAT, error_of, judged, model_ids, of_attempt, of_purse, of_request
from router_core.observers.metrics import Instruments
from router_core.records import Attempt, Receipt
from router_core.types import NANO

try:
    from opentelemetry.context import get_current
    from opentelemetry.metrics import get_meter
    from opentelemetry.trace import SpanKind, Status, StatusCode, get_tracer, set_span_in_context
except ModuleNotFoundError as error:
    if error.name is None or not error.name.startswith("opentelemetry"):
        raise
    raise MissingExtra("opentelemetry-api", "otel") from None

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

_SCOPE = "router_core"
_MOST = 10_000
"""How many running requests are remembered. One that is forgotten is told of all the same, with its times estimated."""

log = logging.getLogger(__name__)


class OpenTelemetryObserver:
    """Tells OpenTelemetry of every request, under the names of its GenAI conventions and of OpenInference
    (``attributes.py``); needs the extra ``otel``, and an SDK and an exporter of the application's choice.

    ::

        router = Router([...], observers=[OpenTelemetryObserver()])

    A request is one span, ``router.request``, below the span that was current where it was made; each attempt is a span
    ``chat <model>`` of the kind CLIENT below that. Only attempts carry tokens and costs by names that backends add up,
    so that each token is counted once. Spans are made when the request is over, of its receipt: an attempt that was cut
    off has one, a request that was refused before any call has no attempt. Until then no span of them is current: those
    of an HTTP client stand beside them. Prompts, answers and what quotes them are never told.

    Metrics are ``gen_ai.client.token.usage``, ``gen_ai.client.operation.duration`` and ``.time_to_first_chunk``,
    ``router.request.duration``, ``router.cost`` (US dollars; an unknown cost adds to ``router.cost.unknown`` instead),
    ``router.requests``, ``router.attempts``, ``router.escalations``, ``router.fallbacks`` and
    ``router.budget.thresholds``.

    One object serves all threads, event loops and routers. What goes wrong in telling is logged and disturbs nothing.

    Args:
        attempts: whether attempts have spans. False where an instrumentation makes one of each call already, such as
            OpenInference's of LangChain or LlamaIndex: attempts are then events of the request's span. Such an
            instrumentation makes no metrics; of one that does, drop ``gen_ai.client.*`` of either by a view of the SDK.
        tracer_provider: what makes the spans; the global one unless given.
        meter_provider: what makes the metrics; the global one unless given.
    """

    def __init__(
        self,
        *,
        attempts: bool = True,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        release = version("router-core")
        self._attempts = attempts
        self._tracer = get_tracer(_SCOPE, release, tracer_provider)
        self._instruments = Instruments(get_meter(_SCOPE, release, meter_provider))
        self._lock = threading.Lock()
        self._begun: dict[str, _Begun] = {}

    def __call__(self, event: Event, /) -> None:
        """Hear one event."""
        with _Unharmed():
            match event:
                case Decided():
                    self._begun_at(event.request_id)
                case Called():
                    self._begun_at(event.request_id).calls[event.number] = time.time_ns()
                case BudgetReached():
                    self._known(event.request_id).reached.append((time.time_ns(), event))
                    self._instruments.count_threshold(event)
                case Settled():
                    self._end(event)
                case _:
                    pass  # what became of an attempt stands in the receipt

    def _begun_at(self, request_id: str) -> _Begun:
        with self._lock:
            begun = self._begun.setdefault(request_id, _unknown())
            if len(self._begun) > _MOST:
                del self._begun[next(iter(self._begun))]
        return begun

    def _known(self, request_id: str) -> _Begun:
        with self._lock:
            return self._begun.get(request_id) or _unknown()

    def _end(self, event: Settled) -> None:
        with self._lock:
            begun = self._begun.pop(event.request_id, None)
        begun = begun or _unknown()
        context = begun.context
        with _Unharmed():
            context = self._tell(event, begun)
        self._instruments.count(event.receipt, context)

    def _tell(self, event: Settled, begun: _Begun) -> Context:
        """Make the spans of a request; the context in which its attempts are."""
        receipt, end = event.receipt, time.time_ns()
        # A request begins before it is decided, and is over before it is settled: its span covers all of it.
        start = min(begun.at, end - _ns(receipt.latency_s))
        about = of_request(receipt, event.baseline_nano)
        span = self._tracer.start_span("router.request", begun.context, SpanKind.INTERNAL, about, start_time=start)
        context = set_span_in_context(span, begun.context)
        for at, reached in begun.reached:
            span.add_event("router.budget.threshold", of_purse(reached), at)
        ids = model_ids(receipt)
        for timed in _times(receipt.attempts, begun.calls, start):
            if self._attempts:
                self._tell_attempt(timed, ids[timed.attempt.model], receipt, context)
            else:
                span.add_event("router.attempt", judged(timed.attempt), timed.end)
        _close(span, error_of(receipt), end)
        return context

    def _tell_attempt(self, timed: _Timed, model_id: str, receipt: Receipt, context: Context) -> None:
        about = of_attempt(timed.attempt, model_id, receipt)
        span = self._tracer.start_span(f"{CHAT} {model_id}", context, SpanKind.CLIENT, about, start_time=timed.start)
        _close(span, error_of(timed.attempt), timed.end)


@dataclass(slots=True)
class _Begun:
    """What is known of a request before it is over: when it was decided (unix ns) and in which context, when its calls
    began, by number, which thresholds it has reached."""

    at: int
    context: Context
    calls: dict[int, int] = field(default_factory=dict)
    reached: list[tuple[int, BudgetReached]] = field(default_factory=list)


def _unknown() -> _Begun:
    """What is known of a request that was refused before it was decided, or forgotten."""
    return _Begun(time.time_ns(), get_current())


class _Timed(NamedTuple):
    """An attempt and its times (unix ns)."""

    attempt: Attempt
    start: int
    end: int


def _times(attempts: tuple[Attempt, ...], calls: Mapping[int, int], start: int) -> Iterator[_Timed]:
    """When each attempt began and ended. One whose beginning is not known began when the one before it ended."""
    for attempt in attempts:
        began = calls.get(attempt.number, start)
        start = began + _ns(attempt.latency_s)
        yield _Timed(attempt, began, start)


def _ns(seconds: float) -> int:
    return round(seconds * NANO)


def _close(span: Span, error: str | None, end: int) -> None:
    if error is not None:
        span.set_status(Status(StatusCode.ERROR))
    span.end(end)


class _Unharmed:
    """Within it, whatever a span processor or a reader of the application's raises is logged and goes no further: the
    request is answered and paid for already."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        log.warning("could not tell OpenTelemetry of a request", exc_info=error)
        return True
