"""One request after another: each is a call, driven by the core over a host of its own."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

from llama_index.core.base.llms.types import ChatResponse

from llamaindex_router.call import Call
from llamaindex_router.catalog import Inner, secrets_of
from llamaindex_router.errors import as_plain_errors
from llamaindex_router.host import TAKEN, LlamaIndexHost, dispatcher
from llamaindex_router.profile import SUMMARY, answer_of, empty_answer
from llamaindex_router.structured import Unparsed, structured_verifiers
from llamaindex_router.trail import TRAIL, listened_to
from router_core import drive
from router_core.cascade import Rules, cascade
from router_core.effects import Flow
from router_core.errors import BudgetExceeded
from router_core.events import Observer
from router_core.feedback import Known, give_feedback
from router_core.tab import Tab
from router_core.types import Constraints, Reply


class Audience(NamedTuple):
    """What belongs to the router when it is called: the handlers of its callback manager, its rate limiter, its ledger
    and its observers."""

    handlers: Sequence[Any]
    rate_limiter: Any
    ledger: Any = None
    observers: tuple[Observer, ...] = ()


class _Run(NamedTuple):
    """One request, ready to be driven."""

    tab: Tab
    flow: Any
    world: drive.World[Call, Any]


class Requests:
    """Answers calls by the rules of a router. Nothing about one call is kept here: threads and event loops share it.

    ``name`` is that of the router's class, by which LlamaIndex calls its spans.
    """

    def __init__(self, rules: Rules, defaults: Constraints, inners: Mapping[str, Inner], name: str) -> None:
        self._rules = rules
        self._name = name
        # A structured answer is judged by whether it could be made, even where nothing else is checked.
        self._structured_rules = rules.with_verifiers(*structured_verifiers(rules.verifiers))
        self._defaults = defaults
        self._inners = inners
        self._secrets = secrets_of(inners.values())
        self._known = Known()

    def feedback(self, request_id: str, score: float, comment: str | None, audience: Audience) -> None:
        """Say how good the answer to a request was."""
        told = (*audience.observers, *self._rules.learners)
        give_feedback(request_id, score, comment, known=self._known.of, ledger=audience.ledger, observers=told)

    def answer(self, call: Call, audience: Audience) -> Any:
        """The response in one piece; for a structured call the object."""
        if audience.rate_limiter is not None:
            audience.rate_limiter.acquire()
        with as_plain_errors():
            run = self._begin(call, audience, streaming=False)
            return self._answered(drive.run(run.flow, run.tab, run.world), run.tab)

    async def aanswer(self, call: Call, audience: Audience) -> Any:
        """The response in one piece; for a structured call the object."""
        if audience.rate_limiter is not None:
            await audience.rate_limiter.async_acquire()
        with as_plain_errors():
            run = self._begin(call, audience, streaming=False)
            return self._answered(await drive.arun(run.flow, run.tab, run.world), run.tab)

    def stream(self, call: Call, audience: Audience) -> Generator[Any, None, None]:
        """The response in chunks; for a structured call the objects. The first is there when this returns."""
        if audience.rate_limiter is not None:
            audience.rate_limiter.acquire()
        with as_plain_errors():
            run = self._begin(call, audience, streaming=True)
        chunks = self._speak(call, run)
        # Asked for within the span of this call: read later, it would stand nowhere in a trace.
        first = next(chunks, None)
        return _from(first, chunks)

    async def astream(self, call: Call, audience: Audience) -> AsyncGenerator[Any, None]:
        """The response in chunks; for a structured call the objects. The first is there when this returns."""
        if audience.rate_limiter is not None:
            await audience.rate_limiter.async_acquire()
        with as_plain_errors():
            run = self._begin(call, audience, streaming=True)
        chunks = self._aspeak(call, run)
        first = await anext(chunks, None)
        return _afrom(first, chunks)

    def _speak(self, call: Call, run: _Run) -> Generator[Any, None, None]:
        last = None
        with as_plain_errors():
            for chunk in drive.stream(run.flow, run.tab, run.world):
                last = _own(chunk)
                yield last
        if call.asked is None and not self._marked(last, run.tab):
            yield empty_answer(run.tab, self._rules.registry.strongest)

    async def _aspeak(self, call: Call, run: _Run) -> AsyncGenerator[Any, None]:
        last = None
        with as_plain_errors():
            async with aclosing(drive.astream(run.flow, run.tab, run.world)) as chunks:
                async for chunk in chunks:
                    last = _own(chunk)
                    yield last
        if call.asked is None and not self._marked(last, run.tab):
            yield empty_answer(run.tab, self._rules.registry.strongest)

    def _begin(self, call: Call, audience: Audience, *, streaming: bool) -> _Run:
        rules = self._rules if call.asked is None else self._structured_rules
        place = TRAIL.place(self._name)
        tab = Tab(call.view(place, self._defaults, rules.registry), rules.outlook)
        self._known.add(tab.request_id)
        host = LlamaIndexHost(self._inners, self._secrets, tab, rules.registry.strongest, place)
        host.handlers = [each for each in audience.handlers if any(hasattr(each, method) for method in TAKEN)]
        host.listened_to = listened_to(dispatcher)
        host.streaming = streaming
        heard = host.listened_to or bool(host.handlers)
        # The host first: an observer that raises ends the request, but takes nobody's receipt.
        told = (*audience.observers, *rules.learners)
        observers: tuple[Observer, ...] = (host.told, *told) if heard else told
        settings = rules.outlook.settings
        mode = (call.mode or settings.stream_mode) if streaming else "hold"
        flow = cascade(rules, tab, mode=mode, observed=host.listened_to or bool(told))
        if heard and audience.ledger is not None:
            flow = _noted(flow, host)
        world = drive.World(host, call, time.perf_counter, observers, settings.prefix_tokens, audience.ledger)
        return _Run(tab, flow, world)

    def _marked(self, last: Any, tab: Tab) -> bool:
        """Write the account of the request on the chunk that turned out to be the last: whoever keeps it has both."""
        if last is None:
            return False
        last.additional_kwargs[SUMMARY] = tab.summary(self._rules.registry.strongest)
        return True

    def _answered(self, reply: Reply, tab: Tab) -> Any:
        native = _parsed(reply.native)
        return answer_of(native, tab, self._rules.registry.strongest) if isinstance(native, ChatResponse) else native


def _noted(flow: Flow[Reply], host: LlamaIndexHost) -> Flow[Reply]:
    """The flow; that a budget refuses it is told before its receipt is."""
    try:
        return (yield from flow)
    except BudgetExceeded as error:
        host.refused(error)
        raise


def _parsed(value: Any) -> Any:
    """The value; what kept a structured answer from being made is raised as the model's own LLM would raise it."""
    if isinstance(value, Unparsed):
        raise value.error
    return value


def _own(chunk: Any) -> Any:
    """A chunk that may be written on, or an object that a structured call has made."""
    if isinstance(chunk, ChatResponse):
        return chunk.model_copy(update={"additional_kwargs": dict(chunk.additional_kwargs)})
    return _parsed(chunk)


def _from(first: Any, rest: Generator[Any, None, None]) -> Generator[Any, None, None]:
    if first is not None:
        yield first
        yield from rest


async def _afrom(first: Any, rest: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    async with aclosing(rest):
        if first is not None:
            yield first
            async for chunk in rest:
                yield chunk
