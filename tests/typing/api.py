"""The public API as type checkers see it: checked by mypy and pyright, both strict, and never run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type

from router_core import (
    Answer,
    Attempt,
    CallOptions,
    Chunk,
    ConfigError,
    Constraints,
    Decision,
    Model,
    NoFeasibleModel,
    Price,
    Receipt,
    Registry,
    Router,
    RouterError,
    Settings,
    Usage,
    Verdict,
)
from router_core.consult import ConsultBound
from router_core.effects import Consult, Consultation
from router_core.events import Event, Observer, Settled
from router_core.policies import (
    CallablePolicy,
    CheapestPolicy,
    ComplexityPolicy,
    DifficultyPolicy,
    JudgePolicy,
    LearnedPolicy,
    RandomPolicy,
    SharePolicy,
    StaticPolicy,
    StrategyMemoryPolicy,
)
from router_core.policies.base import Candidate, Choice, Policy
from router_core.records import Prediction, Reason, Refusal
from router_core.router import AsyncStream, Stream
from router_core.types import ACCEPT, Failed, Json, Question, Reply, RequestView, ToolCall, Turn
from router_core.verifiers import ConsensusVerifier, JudgeVerifier, LearnedVerifier
from router_core.verifiers.base import Verifier

# Making a router.

weak = Model(name="weak", id="small-1", provider="openai", endpoint="openai", price=Price.free(), quality=0.6)
strong = replace(weak, name="strong", price=Price(input=Decimal(2), output=Decimal(8)), tags=frozenset({"eu"}))
assert_type(strong, Model)

Router(["ollama:llama3.2", "openai:gpt-4.1"])
Router(models=[weak, "openai:gpt-4.1"])
Router(Registry.of([weak, strong]))
try:
    assert_type(Router.from_config("router.yaml"), Router)
    assert_type(Router.from_config(Path("router.yaml"), observers=[print]), Router)
except ConfigError as error:
    assert_type(error.receipt, Receipt | None)

Router(["openai:gpt-4.1"], DifficultyPolicy())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Router([1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


# What users write themselves: policies, verifiers, observers.


class FirstPolicy:
    """Matches by shape; no base class is needed."""

    name = "first"

    def decide(self, request: RequestView, candidates: list[Candidate] | Any) -> Choice:
        return Choice(start=candidates[0].model.name, reason=Reason.CUSTOM)


class AsyncVerifier:
    """Has something to wait for."""

    name = "judge"
    judges_prefix = False

    async def check(self, request: RequestView, reply: Reply) -> Verdict:
        return ACCEPT


def no_apology(request: RequestView, reply: Reply) -> Verdict:
    return Verdict(accepted="sorry" not in reply.text.lower(), code="apology")


def watch(event: Event) -> None:
    if isinstance(event, Settled):
        assert_type(event.receipt, Receipt)


async def watch_async(event: Event) -> None:
    watch(event)


policies: list[Policy] = [
    FirstPolicy(),
    DifficultyPolicy(),
    ComplexityPolicy(),
    CheapestPolicy(),
    StaticPolicy("weak"),
    RandomPolicy(seed=7),
    CallablePolicy(lambda request, candidates: candidates[0].model.name),
]
verifiers: list[Verifier] = [AsyncVerifier()]
observers: list[Observer] = [watch, watch_async]

router = Router(
    [weak, strong],
    policy=DifficultyPolicy(),
    verifiers=[AsyncVerifier(), no_apology],
    constraints=Constraints(max_cost_usd=Decimal("0.02"), deny=frozenset({"strong"})),
    settings=Settings(stream_mode="prefix", on_rejected="raise"),
    observers=observers,
)

# Calling it.

messages: list[Mapping[str, Any]] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]

answer = router.complete("x", max_cost_usd=0.01, max_latency_s=5, min_quality=0.8)
assert_type(answer, Answer)
assert_type(answer.text, str)
assert_type(answer.tool_calls, tuple[ToolCall, ...])
assert_type(answer.model, str)
assert_type(answer.verified, bool)
assert_type(answer.cost_usd, Decimal | None)
assert_type(answer.usage, Usage)
assert_type(answer.receipt, Receipt)
assert_type(answer.receipt.attempts, tuple[Attempt, ...])
assert_type(answer.receipt.summary(), dict[str, Json])

router.complete(messages, force_model="strong", session="s", call_site="summary", tags=["team-a"], max_attempts=2)
router.complete(messages, tools=[{"name": "now"}], tool_choice="any", schema={"type": "object"}, temperature=0.2)
router.complete([{"role": "user", "content": "as a plain list of dictionaries"}])
options: CallOptions = {"max_cost_usd": "0.01", "stream_mode": "hold"}
router.complete("x", **options)
router.complete("x", max_cost=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
router.complete("x", stream_mode="fast")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def stream() -> None:
    with router.stream("x", stream_mode="commit") as chunks:
        assert_type(chunks, Stream)
        for chunk in chunks:
            assert_type(chunk, Chunk)
            assert_type(chunk.text, str)
        assert_type(chunks.answer, Answer)


async def call_async() -> None:
    assert_type(await router.acomplete("x", local_only=True), Answer)
    async with router.astream("x") as chunks:
        assert_type(chunks, AsyncStream)
        async for chunk in chunks:
            assert_type(chunk.text, str)
        assert_type(chunks.answer, Answer)


# Asking why.

decision = router.explain("x", require_tags=["eu"])
assert_type(decision, Decision)
assert_type(decision.start, str)
assert_type(decision.reason, Reason)
assert_type(decision.predictions, tuple[Prediction, ...])
assert_type(decision.refusals, tuple[Refusal, ...])

try:
    router.explain("x", min_quality=0.99)
except NoFeasibleModel as error:
    assert_type(error.refusals, tuple[Refusal, ...])
    assert_type(error.receipt, Receipt | None)
except RouterError as error:
    assert_type(error.receipt, Receipt | None)

# Saying how good an answer was, and asking models on the way.

router.feedback(answer.receipt.request_id, 0.5, "half of it")
router.feedback(answer.receipt.request_id, score=True)


class Second:
    """A verifier of one's own that asks a model."""

    name = "second"
    judges_prefix = False

    def consult_bounds(self, request: RequestView, candidates: Sequence[str]) -> Sequence[ConsultBound]:
        return [ConsultBound("strong", input_bytes=1_000, max_tokens=5)]

    def check(self, request: RequestView, reply: Reply) -> Consultation[Verdict]:
        heard = yield Consult("strong", Question(turns=(Turn("user", reply.text),), max_tokens=5), timeout_s=2.0)
        assert_type(heard, Reply | Failed)
        return Verdict(accepted=isinstance(heard, Reply))


learning: list[Policy] = [
    JudgePolicy("weak"),
    LearnedPolicy(target_quality=0.9),
    SharePolicy(DifficultyPolicy(), share=0.3),
    StrategyMemoryPolicy(),
]
looking: list[Verifier] = [ConsensusVerifier(["weak", "strong"]), JudgeVerifier("strong"), LearnedVerifier(), Second()]
