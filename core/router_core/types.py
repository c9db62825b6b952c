"""The words of the router as values: frozen, JSON-able where they are shown, free of I/O and of any framework.

Money is an integer number of nano-dollars inside (1 USD = 1_000_000_000) and a ``Decimal`` of US dollars at the
edge. An unknown amount is ``None``, never 0. Token counts are integers; times are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, NamedTuple, TypeAlias

NANO = 1_000_000_000
"""Nano-dollars in a US dollar."""

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
StreamMode: TypeAlias = Literal["hold", "commit", "prefix"]
"""``hold`` speaks only what no verifier can reject any more, ``commit`` speaks at once, ``prefix`` verifies the
first tokens of a draft and then speaks live."""


def to_usd(nano: int | None) -> Decimal | None:
    """Nano-dollars as US dollars; unknown stays unknown."""
    return None if nano is None else Decimal(nano) / NANO


Unit: TypeAlias = Literal["nano", "tokens"]
"""What a budget counts: nano-dollars or tokens."""


def in_words(unit: Unit, units: int) -> str:
    """So much of a budget: "$0.25" or "1200 tokens"."""
    return f"{units} tokens" if unit == "tokens" else f"${to_usd(units):f}"


def add_nano(left: int | None, right: int | None) -> int | None:
    """Sum of two amounts of nano-dollars; unknown as soon as one of them is."""
    return None if left is None or right is None else left + right


class Capability(StrEnum):
    """What a model can be asked for beyond text."""

    TOOLS = "tools"
    TOOL_CHOICE = "tool_choice"
    STRUCTURED_OUTPUT = "structured_output"
    IMAGE = "image"
    AUDIO = "audio"
    PDF = "pdf"


JUDGE_TAG = "judge"
"""A model with this tag is asked by policies and verifiers, and never answers itself."""

DEFAULT_CAPABILITIES = frozenset({Capability.TOOLS, Capability.TOOL_CHOICE, Capability.STRUCTURED_OUTPUT})
"""Taken for a model that declares none: what OpenAI-compatible servers offer; images, audio and PDF are declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A price given by the user, in US dollars per million tokens; it wins over every published price.

    A cached read or write without a price of its own costs what an input token costs, a write for an hour without one
    what another write costs.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None

    @classmethod
    def free(cls) -> Price:
        """The explicit price of a local model: zero by choice, not for want of knowledge."""
        return cls(input=Decimal(0), output=Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One entry of the registry.

    ``name`` is unique in the registry ("openai:gpt-4.1-nano"), ``id`` is what the provider calls the model,
    ``endpoint`` names the server it is reached at, ``quality`` is a prior in 0..1: the share of ordinary requests
    that it answers well. ``context_window`` and ``max_output_tokens`` are in tokens; None is unknown.
    """

    name: str
    id: str
    provider: str
    endpoint: str
    price: Price | None = None
    quality: float | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    latency_s: float | None = None
    capabilities: frozenset[Capability] = DEFAULT_CAPABILITIES
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one attempt. Cached and audio input are part of ``input_tokens``, reasoning and audio output part of
    ``output_tokens``; what was written to a cache for an hour is part of ``cache_write_tokens``. ``estimated`` says
    that the provider reported none and the router counted text instead."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cache_write_1h_tokens=self.cache_write_1h_tokens + other.cache_write_1h_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            input_audio_tokens=self.input_audio_tokens + other.input_audio_tokens,
            output_audio_tokens=self.output_audio_tokens + other.output_audio_tokens,
            estimated=self.estimated or other.estimated,
        )


REGISTRY_PRICE = "registry"
"""The user's own price of the model."""
PROVIDER_PRICE = "provider"
"""The provider reported the cost itself."""
CACHE_PRICE = "cache"
"""The answer came out of a cache of the application: it cost nothing."""
SCRIPTED_PRICE = "scripted"
"""The answer was scripted, no model wrote it: it cost nothing."""


class Cost(NamedTuple):
    """Nano-dollars and where they come from: the version of a published price list, or one of the words above."""

    nano: int
    price_version: str


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that the model may call; ``parameters`` is the JSON Schema of its arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made. ``arguments`` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """The shape that the answer must have: a JSON Schema, and optionally a function that turns the parsed JSON into
    the user's own type and raises ``ValueError`` (pydantic's ``ValidationError`` is one) when it does not fit."""

    name: str
    json_schema: Mapping[str, Any]
    build: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation as rules see it: who said which text."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a policy or a verifier asks a model: messages of its own. The answer has at most ``max_tokens`` tokens.

    ``response_schema`` is the JSON Schema of the answer: an object with a ``title`` that requires all its properties
    and allows no others, as the strict modes of providers want it. A host may hand it on to models whose API takes one,
    and need not: the messages ask for the same in words, and what comes back is a text that may be anything.
    """

    turns: tuple[Turn, ...]
    max_tokens: int
    response_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What the application demands of one request. Names are registry names of models; None demands nothing."""

    max_cost_usd: Decimal | None = None
    max_latency_s: float | None = None
    min_quality: float | None = None
    force_model: str | None = None
    allow: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()
    require_tags: frozenset[str] = frozenset()
    max_attempts: int | None = None


NO_CONSTRAINTS = Constraints()
"""Demands nothing; checks are skipped for this very object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestView:
    """What policies, constraints and verifiers may look at. The native messages stay with the host.

    ``input_bytes`` is the UTF-8 length of all that is sent (texts, tool and output schemas) plus an allowance for the
    wrapping of each message: a byte-level tokenizer never makes more tokens than that. ``input_tokens`` is given where
    the application fits its prompts to a window by a tokenizer of its own: its count, and no other, then decides if
    they fit. ``call_site`` is the place in the application that makes the call.
    """

    turns: tuple[Turn, ...]
    input_bytes: int
    input_tokens: int | None = None
    modalities: frozenset[Capability] = frozenset()
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    output_schema: OutputSchema | None = None
    max_tokens: int | None = None
    constraints: Constraints = NO_CONSTRAINTS
    tags: frozenset[str] = frozenset()
    session: str | None = None
    call_site: str | None = None

    @property
    def user_texts(self) -> tuple[str, ...]:
        """The user's turns, oldest first."""
        return tuple(turn.text for turn in self.turns if turn.role == "user")

    @property
    def forces_tool(self) -> bool:
        """Whether the answer must contain a tool call: ``tool_choice`` is "any" or the name of a tool."""
        return self.tool_choice not in {None, "auto", "none"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one model answered. ``finish_reason`` uses OpenAI's words ("stop", "length", "tool_calls",
    "content_filter"); ``refusal`` is one that the provider marked as such; ``native`` is the host's own object.

    ``cost_nano`` is the cost that the provider itself reported, in nano-dollars; ``service_tier`` the tier that it
    served the call in, in its own word ("flex", "priority"). ``cached`` says that the answer came out of a cache of the
    application and ``scripted`` that no model wrote it: neither costs anything.
    """

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    refusal: str | None = None
    model_id: str | None = None
    cost_nano: int | None = None
    service_tier: str | None = None
    cached: bool = False
    scripted: bool = False
    native: Any = None


class FailureKind(StrEnum):
    """Why a call failed; the engine decides by it, whatever the host's own exception is."""

    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    MALFORMED = "malformed"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    CONTEXT_OVERFLOW = "context_overflow"
    BAD_REQUEST = "bad_request"
    UNKNOWN = "unknown"


TRANSIENT = frozenset(
    {
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
        FailureKind.TIMEOUT,
        FailureKind.CONNECTION,
        FailureKind.MALFORMED,
    }
)
"""Failures that may pass by themselves."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed call as a value. ``may_be_billed`` says that the provider had taken the request in (a time-out, a cut
    connection, a body that does not parse), so that its input must be booked as spent."""

    error: Exception
    kind: FailureKind
    may_be_billed: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of an answer; ``code`` is its reason code, ``detail`` what a person would want to know."""

    accepted: bool
    code: str = "ok"
    detail: str = ""


ACCEPT = Verdict(accepted=True)
"""The verdict of a verifier that finds nothing wrong."""
