"""One request after another: each is driven by the core over a host of its own, within a run of LangChain."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, closing
from functools import partial
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from langchain_router.binding import Binder
from langchain_router.errors import as_langchain_errors
from langchain_router.host import Call, LangChainHost, SilentHost
from langchain_router.pause import ask_a_person, control_flow
from langchain_router.profile import answer_of, last_chunk
from langchain_router.request import Asked
from langchain_router.structured import ParsedVerifier
from langchain_router.telling import RunTeller, Teller
from router_core import drive
from router_core.cascade import Rules, cascade
from router_core.effects import Flow
from router_core.errors import BudgetExceeded
from router_core.events import Observer
from router_core.feedback import Known, give_feedback
from router_core.ledger import Ledger
from router_core.tab import Tab
from router_core.types import Constraints, Model, Reply


class Request:
    """One request under way. Raises the errors of ``langchain_router.errors``."""

    def __init__(self, tab: Tab, flow: Flow[Reply], world: drive.World[Call, Any], teller: Teller, best: Model) -> None:
        self._tab = tab
        self._flow = flow
        self._world = world
        self._teller = teller
        self._best = best

    def answer(self) -> Any:
        """The message; for a structured call the dictionary that holds it."""
        with as_langchain_errors(), self._teller:
            reply = drive.run(self._flow, self._tab, self._world)
        return answer_of(reply, self._tab, self._best)

    async def aanswer(self) -> Any:
        """The message; for a structured call the dictionary that holds it."""
        with as_langchain_errors():
            async with self._teller:
                reply = await drive.arun(self._flow, self._tab, self._world)
        return answer_of(reply, self._tab, self._best)

    def chunks(self) -> Iterator[AIMessageChunk]:
        """The message in chunks; the last one holds the account of the request."""
        last_id = None
        with as_langchain_errors(), self._teller, closing(drive.stream(self._flow, self._tab, self._world)) as chunks:
            for chunk in chunks:
                last_id = chunk.id or last_id
                yield chunk
        yield last_chunk(self._tab, last_id, self._best)

    async def achunks(self) -> AsyncGenerator[AIMessageChunk, None]:
        """The message in chunks; the last one holds the account of the request."""
        last_id = None
        with as_langchain_errors():
            async with self._teller, aclosing(drive.astream(self._flow, self._tab, self._world)) as chunks:
                async for chunk in chunks:
                    last_id = chunk.id or last_id
                    yield chunk
        yield last_chunk(self._tab, last_id, self._best)


class Requests:
    """Begins requests by the rules of a router. Nothing about one call is kept here: threads and event loops share it.

    Args:
        rules: the router's. defaults: what holds for every call that does not say otherwise.
        ledger: where receipts are kept and budgets held.
        observers: told of every event, after the handlers of LangChain.
    """

    def __init__(
        self, rules: Rules, defaults: Constraints, binder: Binder, ledger: Ledger | None, observers: Sequence[Observer]
    ) -> None:
        self._rules = rules
        # A structured answer is judged by what its candidate's parser made of it, even where nothing else is checked.
        self._structured_rules = rules.with_verifiers(*rules.verifiers, ParsedVerifier())
        self._defaults = defaults
        self._binder = binder
        self._ledger = ledger
        self._known = Known()
        self._observers = (*observers, *rules.learners)

    def begin(
        self,
        asked: Asked,
        messages: list[BaseMessage],
        run_manager: Any,
        config: RunnableConfig,
        *,
        streaming: bool = False,
        is_async: bool = False,
    ) -> Request:
        """A request within the router's own run, whose manager and config are given."""
        tab = self._opened(asked, messages, config, run_manager)
        teller = RunTeller(tab, self._rules.registry.strongest, run_manager, is_async=is_async)
        host = LangChainHost(self._binder, tab, teller, config)
        return self._started(asked, messages, host, config, streaming=streaming)

    def begin_silently(
        self, asked: Asked, messages: list[BaseMessage], run_manager: Any, *, streaming: bool = False
    ) -> Request:
        """A request within a run that the caller has opened; its attempts are no runs of their own. Its handlers are
        owed the receipt all the same."""
        config = ensure_config()
        if run_manager:
            # Tags decide which budgets apply, and the caller's config is not to be seen here.
            config |= {"tags": run_manager.tags, "metadata": run_manager.metadata}
        tab = self._opened(asked, messages, config, run_manager)
        teller = Teller(tab, self._rules.registry.strongest, run_manager)
        host = SilentHost(self._binder, tab, teller)
        return self._started(asked, messages, host, config, streaming=streaming)

    def feedback(self, name: str, score: float, comment: str | None) -> None:
        """Say how good the answer to a request was, or those to all requests of a run."""
        with as_langchain_errors():
            give_feedback(name, score, comment, known=self._known.of, ledger=self._ledger, observers=self._observers)

    def _opened(self, asked: Asked, messages: list[BaseMessage], config: RunnableConfig, run_manager: Any) -> Tab:
        view = asked.view(messages, config, self._defaults, self._rules.registry)
        tab = Tab(view, self._rules.outlook, signals=control_flow())
        runs = (run_manager.run_id, run_manager.parent_run_id) if run_manager else ()
        self._known.add(tab.request_id, *(str(run) for run in runs if run is not None))
        return tab

    def _started(
        self,
        asked: Asked,
        messages: list[BaseMessage],
        host: LangChainHost,
        config: RunnableConfig,
        *,
        streaming: bool,
    ) -> Request:
        rules = self._rules if asked.structure is None else self._structured_rules
        settings = rules.outlook.settings
        heard = host.teller.observers
        # The handlers first: an observer that raises ends the request, but takes nobody's receipt.
        observers = (*heard, *self._observers)
        mode = (asked.mode or settings.stream_mode) if streaming else "hold"
        flow = cascade(rules, host.tab, mode=mode, observed=bool(observers))
        if heard and self._ledger is not None:
            flow = _noted(flow, host.teller)
        call = Call(messages, asked.stop, asked.kwargs, asked.structure)
        ask = partial(ask_a_person, host.tab.request_id, config)
        world = drive.World(host, call, time.perf_counter, observers, settings.prefix_tokens, self._ledger, ask)
        return Request(host.tab, flow, world, host.teller, rules.registry.strongest)


def _noted(flow: Flow[Reply], teller: Teller) -> Flow[Reply]:
    """The flow; that a budget refuses it is told before its receipt is."""
    try:
        return (yield from flow)
    except BudgetExceeded as error:
        teller.refused(error)
        raise
