"""What the router tells about a request: the decision, the attempts, the receipt and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from router_core.types import FailureKind, Json, Model, Reply, ToolCall, Unit, Usage, Verdict, add_nano, to_usd


class Reason(StrEnum):
    """Why a request starts where it starts. The set is closed; details stand in the decision's features."""

    FORCED = "forced_model"
    ONLY_FEASIBLE = "only_feasible_model"
    STATIC = "static"
    CHEAPEST = "cheapest"
    RANDOM = "random"
    CLASSIFIED = "classified"
    LEARNED = "learned"
    NEAREST = "nearest"
    CUSTOM = "custom"
    EASY = "difficulty_easy"
    MEDIUM = "difficulty_medium"
    HARD = "difficulty_hard"
    SIMPLE = "complexity_simple"
    MODERATE = "complexity_medium"
    COMPLEX = "complexity_complex"
    CERTIFIED = "certified_threshold"
    GUARDED = "guarded"
    SHARE = "share"
    BASELINE = "baseline"
    REMEMBERED = "remembered"
    JUDGE = "chosen_by_judge"
    CONVERSATION = "kept_by_conversation"
    QUALITY = "raised_for_min_quality"
    BUDGET = "lowered_for_budget"


class RefusalCode(StrEnum):
    """Why a model cannot serve a request."""

    JUDGES_ONLY = "judges_only"
    NOT_FORCED = "not_forced"
    NOT_ALLOWED = "not_allowed"
    DENIED = "denied"
    TAG_MISSING = "tag_missing"
    CAPABILITY = "capability_missing"
    CONTEXT_WINDOW = "context_window"
    MAX_OUTPUT = "max_output_tokens"
    MAX_COST = "max_cost"
    COST_UNKNOWN = "cost_unknown"
    MAX_LATENCY = "max_latency"
    MIN_QUALITY = "min_quality"
    QUALITY_UNKNOWN = "quality_unknown"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model that cannot serve the request, and why; ``detail`` names the values that were compared."""

    model: str
    code: RefusalCode
    detail: str

    def __str__(self) -> str:
        return f"{self.model}: {self.code.value} ({self.detail})"


class Candidate(NamedTuple):
    """A model that the constraints allow, with its predicted cost (nano-dollars) and latency (seconds); None is
    unknown."""

    model: Model
    cost_nano: int | None = None
    latency_s: float | None = None


class Prediction(NamedTuple):
    """What to expect of one model for one request: P(answers well) in 0..1, nano-dollars, seconds; None is unknown."""

    model: str
    quality: float | None
    cost_nano: int | None
    latency_s: float | None

    @property
    def cost_usd(self) -> Decimal | None:
        """The predicted cost in US dollars."""
        return to_usd(self.cost_nano)


class Decision(NamedTuple):
    """The explained result of a policy.

    ``ladder`` holds the models in the order in which the request may climb, the start first; ``fallbacks`` the weaker
    ones, nearest first, used only when the ladder's models fail. ``candidates`` are both in tier order, ``refusals``
    the models that cannot serve the request. ``quality`` is the policy's prediction, and ``features`` (JSON values)
    explain it.
    """

    policy: str
    reason: Reason
    ladder: tuple[str, ...]
    fallbacks: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    refusals: tuple[Refusal, ...]
    quality: Mapping[str, float] = MappingProxyType({})
    score: float | None = None
    confidence: float | None = None
    features: Mapping[str, Json] = MappingProxyType({})

    @property
    def start(self) -> str:
        """The model that is asked first."""
        return self.ladder[0]

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """What is expected of each feasible model, in tier order."""
        return tuple(
            Prediction(c.model.name, self.quality.get(c.model.name), c.cost_nano, c.latency_s) for c in self.candidates
        )


class AttemptRole(StrEnum):
    """What one call of one model was made for.

    ``ANSWER`` is to be served, ``CONSENSUS`` to be compared with another answer, ``JUDGE`` to grade one, ``POLICY`` to
    choose the model.
    """

    ANSWER = "answer"
    CONSENSUS = "consensus"
    JUDGE = "judge"
    POLICY = "policy"


class AttemptOutcome(StrEnum):
    """How one call of one model ended. What was ``CONSULTED`` was heard, and never meant to be served."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    SERVED = "served_unverified"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CONSULTED = "consulted"


class Attempt(NamedTuple):
    """The account of one call of one model. ``number`` counts the calls of a request from 1, ``role`` is what this one
    was made for. ``usage`` and ``cost_nano`` are None where nothing is known of them; ``first_token_s`` is known for
    streams. ``SERVED`` is an answer that a verifier disliked but that nothing stronger
    could replace; its ``verdict`` says why.

    ``price_version`` says where ``cost_nano`` comes from: the version of a published price list, or one of
    ``REGISTRY_PRICE``, ``PROVIDER_PRICE``, ``CACHE_PRICE``, ``SCRIPTED_PRICE`` of ``types``. ``service_tier`` is the
    provider's word for the tier that the call was served in, ``model_id`` for the model that answered;
    ``finish_reason`` is why it ended, in OpenAI's words.
    """

    number: int
    model: str
    provider: str
    outcome: AttemptOutcome
    latency_s: float
    first_token_s: float | None = None
    usage: Usage | None = None
    cost_nano: int | None = None
    price_version: str | None = None
    verdict: Verdict | None = None
    failure: FailureKind | None = None
    error: str | None = None
    service_tier: str | None = None
    model_id: str | None = None
    finish_reason: str | None = None
    role: AttemptRole = AttemptRole.ANSWER


class ReceiptOutcome(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"
    REFUSED = "refused"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Receipt(NamedTuple):
    """The exact account of one request: every attempt, whatever became of it, in the order of the calls."""

    request_id: str
    outcome: ReceiptOutcome
    decision: Decision | None
    attempts: tuple[Attempt, ...]
    latency_s: float
    session: str | None = None
    call_site: str | None = None
    tags: frozenset[str] = frozenset()

    @property
    def last(self) -> Attempt | None:
        """The last attempt at an answer: the one that was served, if any was."""
        return next((each for each in reversed(self.attempts) if each.role is AttemptRole.ANSWER), None)

    @property
    def model(self) -> str | None:
        """The model whose answer was served."""
        last = self.last
        return last.model if last and self.outcome is ReceiptOutcome.ANSWERED else None

    @property
    def usage(self) -> Usage:
        """Tokens of all attempts."""
        total = Usage()
        for attempt in self.attempts:
            if attempt.usage is not None:
                total = total + attempt.usage
        return total

    @property
    def cost_nano(self) -> int | None:
        """Nano-dollars of all attempts; None as soon as the cost of one is unknown."""
        total: int | None = 0
        for attempt in self.attempts:
            total = add_nano(total, attempt.cost_nano)
        return total

    @property
    def cost_usd(self) -> Decimal | None:
        """US dollars of all attempts; None as soon as the cost of one is unknown."""
        return to_usd(self.cost_nano)

    @property
    def escalations(self) -> int:
        """How many answers were rejected and replaced."""
        return sum(attempt.outcome is AttemptOutcome.REJECTED for attempt in self.attempts)

    @property
    def fallbacks(self) -> int:
        """How many calls for an answer failed."""
        failed = (attempt for attempt in self.attempts if attempt.outcome is AttemptOutcome.FAILED)
        return sum(attempt.role is AttemptRole.ANSWER for attempt in failed)

    def summary(self) -> dict[str, Json]:
        """A JSON-safe account, without any text of the request or of the answers. Costs are US dollars as strings."""
        return {
            "request_id": self.request_id,
            "outcome": self.outcome.value,
            "model": self.model,
            "policy": self.decision.policy if self.decision else None,
            "reason": self.decision.reason.value if self.decision else None,
            "score": self.decision.score if self.decision else None,
            "cost_usd": _text(self.cost_usd),
            "latency_s": self.latency_s,
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "attempts": [_attempt_summary(attempt) for attempt in self.attempts],
            "session": self.session,
            "call_site": self.call_site,
            "tags": sorted(self.tags),
        }


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"


def _attempt_summary(attempt: Attempt) -> dict[str, Json]:
    usage = attempt.usage
    return {
        "model": attempt.model,
        "provider": attempt.provider,
        "role": attempt.role.value,
        "outcome": attempt.outcome.value,
        "code": attempt.verdict.code if attempt.verdict else attempt.failure.value if attempt.failure else None,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "estimated": usage.estimated if usage else None,
        "cost_usd": _text(to_usd(attempt.cost_nano)),
        "price_version": attempt.price_version,
        "latency_s": attempt.latency_s,
        "first_token_s": attempt.first_token_s,
    }


Scope: TypeAlias = tuple[str, str, str]
"""One purse of a budget: its name, the key of its scope ("" for all), the label of its period."""


class Charge(NamedTuple):
    """What is to be held of one purse. ``amount`` is the worst case, ``floor`` what counts as spent if the owner of the
    hold dies: the cost of the input, 0 <= floor <= amount. In nano-dollars or tokens, as ``unit`` says."""

    budget: str
    key: str
    window: str
    unit: Unit
    limit: int
    amount: int
    floor: int

    @property
    def scope(self) -> Scope:
        """The purse."""
        return (self.budget, self.key, self.window)


class Shortfall(NamedTuple):
    """A purse that cannot bear a charge: what was spent and is held of it already."""

    charge: Charge
    spent: int
    held: int

    @property
    def left(self) -> int:
        """What the purse has left, 0 at least."""
        return max(self.charge.limit - self.spent - self.held, 0)


class Feedback(NamedTuple):
    """What was said of the answer to a request: 0 (useless) to 1 (as good as can be), at a time in seconds since 1970
    (UTC)."""

    request_id: str
    score: float
    comment: str | None
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the application gets: the accepted reply and the receipt of the whole request.

    ``parsed`` is the JSON value (or the user's own type) when an output schema was given and the text fits it.
    """

    reply: Reply
    receipt: Receipt
    parsed: Any = None

    @property
    def text(self) -> str:
        """The text of the answer."""
        return self.reply.text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that the model asks for."""
        return self.reply.tool_calls

    @property
    def request_id(self) -> str:
        """The name of the request: what feedback is given to."""
        return self.receipt.request_id

    @property
    def model(self) -> str:
        """The registry name of the model that answered."""
        return self._served.model

    @property
    def verified(self) -> bool:
        """Whether no verifier found fault with the answer."""
        return self._served.outcome is AttemptOutcome.ACCEPTED

    @property
    def _served(self) -> Attempt:
        if (last := self.receipt.last) is None:
            raise ValueError("the receipt tells of no answer")
        return last

    @property
    def cost_usd(self) -> Decimal | None:
        """US dollars of all attempts of the request; None if the price of one is unknown."""
        return self.receipt.cost_usd

    @property
    def usage(self) -> Usage:
        """Tokens of all attempts of the request."""
        return self.receipt.usage
