"""The router for applications without a framework: any OpenAI-compatible endpoint, sync, async and streaming."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self, Unpack, cast

from router_core import drive
from router_core.cascade import Rules, cascade, decide
from router_core.constraints import Outlook
from router_core.effects import Flow, Host
from router_core.errors import RouterError
from router_core.events import Observer
from router_core.feedback import give_feedback
from router_core.hosts.chat import ChatPayload, Chunk, prepare
from router_core.latency import Observations
from router_core.ledger import Ledger
from router_core.options import CallOptions, Settings
from router_core.policies import DifficultyPolicy
from router_core.policies.base import Policy, Remembers
from router_core.prices import PriceBook
from router_core.records import Answer, Decision, Receipt
from router_core.registry import Registry
from router_core.tab import Tab
from router_core.types import NO_CONSTRAINTS, Constraints, Model, Reply, RequestView, StreamMode
from router_core.verifiers import as_verifier, default_verifiers, parse_output
from router_core.verifiers.base import Verifier

ChatHost = Host[ChatPayload, Chunk]

KEPT = 1_000
"""How many of the latest receipts a router keeps."""


class Router:
    """Picks for each call the cheapest model that can answer, checks the answer, and climbs when it falls short.

    Shared by threads and event loops: nothing about one call is kept on it.

    Args:
        models: "endpoint:model" strings or entries, weakest first, or a whole registry.
        policy: where a request starts; ``DifficultyPolicy()`` unless given.
        verifiers: what checks an answer, in this order; ``default_verifiers()`` unless given, an empty list for none.
            A function ``check(request, reply)`` is a verifier too.
        constraints: what holds for every call that does not say otherwise.
        settings: how the router behaves.
        host: what calls the models; the OpenAI SDK (extra ``openai``) unless given.
        observers: told of every event.
        ledger: where receipts are kept and budgets held; without one, only the latest receipts are kept, in memory.

    Raises:
        ConfigError: no model, one listed twice, one that is not understood, or a constraint that names none.
    """

    clock: Callable[[], float] = staticmethod(time.perf_counter)
    """Counts seconds from any start; latencies are measured with it. Tests set their own."""

    def __init__(
        self,
        models: Registry | Iterable[str | Model],
        *,
        policy: Policy | None = None,
        verifiers: Sequence[Verifier | Callable[..., Any]] | None = None,
        constraints: Constraints = NO_CONSTRAINTS,
        settings: Settings = Settings(),
        host: ChatHost | None = None,
        observers: Sequence[Observer] = (),
        ledger: Ledger | None = None,
    ) -> None:
        registry = models if isinstance(models, Registry) else Registry.of(models)
        self.settings = settings
        self.constraints = resolved(constraints, registry)
        self._ledger = ledger
        self._receipts: deque[Receipt] = deque(maxlen=KEPT)
        self._rules = make_rules(registry, policy=policy, verifiers=verifiers, settings=settings, ledger=ledger)
        self._observers = (*observers, *self._rules.learners)
        self._host = host or _openai_host(registry)

    @classmethod
    def from_config(cls, path: str | Path, *, host: ChatHost | None = None, observers: Sequence[Observer] = ()) -> Self:
        """The router that a ``router.yaml`` describes.

        Raises:
            ConfigError: the file cannot be read or is wrong; names the file, the path in it, the value, the remedy.
        """
        from router_core.config import load

        config = load(path)
        host = host or _openai_host(config.registry)
        if config.audits is not None:
            config.audits.begin(partial(_asking, config.settings, host))
        return cls(
            config.registry,
            policy=config.policy,
            verifiers=config.verifiers,
            constraints=config.constraints,
            settings=config.settings,
            host=host,
            observers=observers,
            ledger=config.ledger,
        )

    @property
    def registry(self) -> Registry:
        """The models, weakest first."""
        return self._rules.registry

    @property
    def prices(self) -> PriceBook:
        """What models cost."""
        return self._rules.outlook.prices

    @property
    def policy(self) -> Policy:
        """What decides where a request starts."""
        return self._rules.policy

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """What checks an answer, in this order."""
        return self._rules.verifiers

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """Of the latest requests, up to 1,000, in the order in which they ended."""
        return tuple(self._receipts)

    def complete(self, messages: str | Sequence[Mapping[str, Any]], **options: Unpack[CallOptions]) -> Answer:
        """Answer a prompt, or a conversation in OpenAI's message format.

        Raises:
            InvalidRequest: the messages or an option are wrong.
            NoFeasibleModel: the constraints leave no model. BudgetExceeded: a budget cannot bear the worst case.
            StoreError: the ledger's store cannot be used.
            AllAttemptsFailed: every model that was tried failed.
            AnswersRejected: every answer was rejected and ``on_rejected`` is "raise".
        """
        flow, tab, world = self._start(messages, options, mode="hold")
        return _answer(drive.run(flow, tab, world), tab)

    async def acomplete(self, messages: str | Sequence[Mapping[str, Any]], **options: Unpack[CallOptions]) -> Answer:
        """Like ``complete``, without blocking the event loop."""
        flow, tab, world = self._start(messages, options, mode="hold")
        return _answer(await drive.arun(flow, tab, world), tab)

    def stream(self, messages: str | Sequence[Mapping[str, Any]], **options: Unpack[CallOptions]) -> Stream:
        """Answer in chunks. Raises what ``complete`` raises, on the first chunk, and ``StreamBroken`` later."""
        flow, tab, world = self._start(messages, options, mode=None)
        return Stream(drive.stream(flow, tab, world), tab)

    def astream(self, messages: str | Sequence[Mapping[str, Any]], **options: Unpack[CallOptions]) -> AsyncStream:
        """Like ``stream``, without blocking the event loop; to be iterated with ``async for``, not awaited."""
        flow, tab, world = self._start(messages, options, mode=None)
        return AsyncStream(drive.astream(flow, tab, world), tab)

    def explain(self, messages: str | Sequence[Mapping[str, Any]], **options: Unpack[CallOptions]) -> Decision:
        """The decision for a request, with no model call.

        Raises:
            InvalidRequest, NoFeasibleModel: as ``complete``. AsyncInSyncCall: the policy is async.
        """
        view, payload = prepare(messages, options, defaults=self.constraints, registry=self.registry)
        tab = Tab(view, self._rules.outlook)
        return drive.run(
            decide(self._rules, tab, consult=False), tab, self._world(payload)._replace(ledger=None, kept=None)
        )

    def feedback(self, request_id: str, score: float, comment: str | None = None) -> None:
        """Say how good an answer was: 0 (useless) to 1 (as good as can be), or True and False.

        It is kept in the ledger, for training and reports, and told to the policy and the verifiers that learn. What is
        said last of an answer holds.

        Raises:
            InvalidRequest: the score is out of range, or the request is unknown. StoreError: it cannot be kept.
        """

        def known(name: str) -> list[str]:
            return [receipt.request_id for receipt in self._receipts if receipt.request_id == name]

        give_feedback(request_id, score, comment, known=known, ledger=self._ledger, observers=self._observers)

    def close(self) -> None:
        """End what the policy does in the background (what waits for an auditor is audited first), and free the
        connections of sync calls. The router can still be used: it begins anew."""
        close_policy(self.policy)
        close = getattr(self._host, "close", None)
        if close is not None:
            close()

    async def aclose(self) -> None:
        """Like ``close``, without blocking the event loop; frees connections of async calls made in it, too."""
        if isinstance(self.policy, Remembers):
            from router_core.threads import in_a_thread

            await in_a_thread(close_policy, self.policy)
        aclose = getattr(self._host, "aclose", None)
        if aclose is not None:
            await aclose()

    def _start(
        self, messages: str | Sequence[Mapping[str, Any]], options: CallOptions, *, mode: StreamMode | None
    ) -> tuple[Flow[Reply], Tab, drive.World[ChatPayload, Chunk]]:
        view, payload = prepare(messages, options, defaults=self.constraints, registry=self.registry)
        tab = Tab(view, self._rules.outlook)
        mode = mode or options.get("stream_mode") or self.settings.stream_mode
        flow = cascade(self._rules, tab, mode=mode, observed=bool(self._observers))
        return flow, tab, self._world(payload)

    def _world(self, payload: ChatPayload) -> drive.World[ChatPayload, Chunk]:
        return drive.World(
            self._host,
            payload,
            self.clock,
            self._observers,
            self.settings.prefix_tokens,
            self._ledger,
            kept=self._receipts,
        )


class Stream(Iterator[Chunk]):
    """The chunks of an answer, in order. Closing it early, also by leaving its ``with`` block, stops the model call
    and books what was spent."""

    def __init__(self, chunks: Iterator[Chunk], tab: Tab) -> None:
        self._chunks = chunks
        self._tab = tab

    def __next__(self) -> Chunk:
        return next(self._chunks)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop. Nothing happens if the stream has ended."""
        cast("Any", self._chunks).close()

    @property
    def answer(self) -> Answer:
        """The whole answer, once the last chunk was read. Raises ``RouterError`` before."""
        return _finished(self._tab)


class AsyncStream(AsyncIterator[Chunk]):
    """The chunks of an answer, in order. Closing it early, also by leaving its ``async with`` block, stops the model
    call and books what was spent."""

    def __init__(self, chunks: AsyncIterator[Chunk], tab: Tab) -> None:
        self._chunks = chunks
        self._tab = tab

    async def __anext__(self) -> Chunk:
        return await anext(self._chunks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop. Nothing happens if the stream has ended."""
        await cast("Any", self._chunks).aclose()

    @property
    def answer(self) -> Answer:
        """The whole answer, once the last chunk was read. Raises ``RouterError`` before."""
        return _finished(self._tab)


def resolved(constraints: Constraints, registry: Registry) -> Constraints:
    """The constraints with the models' own names in place of aliases."""
    if constraints is NO_CONSTRAINTS:
        return constraints
    forced, allow = constraints.force_model, constraints.allow
    return replace(
        constraints,
        force_model=None if forced is None else registry.find(forced).name,
        allow=None if allow is None else frozenset(registry.find(name).name for name in allow),
        deny=frozenset(registry.find(name).name for name in constraints.deny),
    )


def make_rules(
    registry: Registry,
    *,
    policy: Policy | None = None,
    verifiers: Sequence[Verifier | Callable[..., Any]] | None = None,
    settings: Settings = Settings(),
    ledger: Ledger | None = None,
) -> Rules:
    """What all requests of a router share, whatever its face; None stands for the defaults that ``Router`` names."""
    rules = Rules(
        registry=registry,
        policy=policy or DifficultyPolicy(),
        verifiers=default_verifiers() if verifiers is None else tuple(as_verifier(v) for v in verifiers),
        outlook=Outlook(PriceBook(lambda: datetime.now(UTC)), Observations(), settings, registry.strongest),
        ledger=ledger is not None,
    )
    if ledger is not None and isinstance(rules.policy, Remembers):
        rules.policy.keep_in(ledger)
    return rules


def close_policy(policy: Policy) -> None:
    """End what a policy that remembers does in the background. It can still be used."""
    close = getattr(policy, "close", None) if isinstance(policy, Remembers) else None
    if close is not None:
        close()


def _asking(settings: Settings, host: ChatHost, registry: Registry, ledger: Ledger) -> Callable[[str], Answer]:
    """What answers an auditor's prompts with the model of a registry."""
    from router_core.config.auditing import AUDITOR

    asked = Router(registry, verifiers=(), settings=settings, host=host, ledger=ledger)
    return partial(asked.complete, call_site=AUDITOR, tags=[AUDITOR])


def _openai_host(registry: Registry) -> ChatHost:
    from router_core.hosts.openai import OpenAIHost

    return OpenAIHost(registry.endpoints)


def _finished(tab: Tab) -> Answer:
    if tab.reply is None or tab.receipt is None:
        raise RouterError("the stream has no answer yet; read it to its end first")
    return _answer(tab.reply, tab)


def _answer(reply: Reply, tab: Tab) -> Answer:
    if tab.receipt is None:
        raise RouterError("the request is not settled")
    return Answer(reply=reply, receipt=tab.receipt, parsed=_parsed(reply, tab.request))


def _parsed(reply: Reply, request: RequestView) -> Any:
    if request.output_schema is None or reply.tool_calls:
        return None
    try:
        return parse_output(request.output_schema, reply.text)
    except ValueError:
        return None
