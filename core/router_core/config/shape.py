"""What may stand in ``router.yaml``, as pydantic models.

The text under a field is what the JSON Schema and the error messages say of it. ``null`` is the same as leaving a
section out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from router_core.options import Settings
from router_core.types import Capability, StreamMode

CONCEALED = "concealed"
"""The type of an error whose value must not be shown."""

_DEFAULTS = Settings()


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "is not a number")
    return value


def _no_scalar(value: object) -> object:
    if value is None or isinstance(value, Mapping):
        return value
    raise PydanticCustomError(
        "price",
        "is not a price; write {free} for a model that costs nothing, and leave the price out to use the published one",
        {"free": "price: {input: 0, output: 0}"},
    )


def _environment_name(value: str) -> str:
    if re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
        return value
    raise PydanticCustomError(CONCEALED, "is not the name of an environment variable (capital letters, digits and _)")


def _base_url(value: str) -> str:
    try:
        url = urlsplit(value)
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        raise PydanticCustomError("url", "is not a URL") from None
    if url.username is not None or url.password is not None or url.query or url.fragment:
        raise PydanticCustomError(CONCEALED, "has a user, a password or a query beside server and path")
    if not usable or re.search(r"\s", value):
        raise PydanticCustomError("url", "is not an http:// or https:// URL with a host")
    return value


def _off(value: object) -> object:
    """YAML reads a bare ``off`` as false."""
    return "off" if value is False else value


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Usd = Annotated[Decimal, Field(ge=0), WithJsonSchema({"type": "number", "minimum": 0})]
Flag = Annotated[bool, Field(strict=True)]
# Limits stand before the validator: only so does the JSON Schema get them.
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(_no_bool)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_no_bool)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_no_bool)]
Retries = Annotated[int, Field(ge=0), BeforeValidator(_no_bool)]
Name = Annotated[str, Field(min_length=1)]
EndpointName = Annotated[str, Field(pattern=r"^[^:\s]+$")]
BaseUrl = Annotated[
    str, AfterValidator(_base_url), Field(json_schema_extra={"format": "uri", "pattern": r"^https?://[^/?#@\s]+(/|$)"})
]
EnvironmentName = Annotated[
    str, AfterValidator(_environment_name), Field(json_schema_extra={"pattern": "^[A-Z_][A-Z0-9_]*$"})
]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class PriceEntry(_Shape):
    """A price in US dollars per million tokens."""

    input: Usd
    """US dollars per million input tokens; 0 for a model that costs nothing."""
    output: Usd
    """US dollars per million output tokens; 0 for a model that costs nothing."""
    cache_read: Usd | None = None
    """US dollars per million input tokens read from the provider's cache; left out, they cost what input costs."""
    cache_write: Usd | None = None
    """US dollars per million input tokens written to the provider's cache; left out, they cost what input costs."""
    cache_write_1h: Usd | None = None
    """The same for those that it keeps for an hour; left out, they cost what other writes cost."""


class ModelEntry(_Shape):
    """A model. Models are listed weakest first."""

    name: Name
    """The unique name of the model, usually 'endpoint:model', such as openai:gpt-4.1-nano."""
    id: Name | None = None
    """What the provider calls the model; left out, the part of the name after the colon."""
    endpoint: EndpointName | None = None
    """The endpoint that serves the model; left out, the part of the name before the colon."""
    quality: Share | None = None
    """The share of ordinary requests that the model answers well, from 0 to 1."""
    price: Annotated[PriceEntry | None, BeforeValidator(_no_scalar, json_schema_input_type=PriceEntry | None)] = None
    """The price, if it is not the published one."""
    context_window: Count | None = None
    """Tokens of input and output together; left out, unknown."""
    max_output_tokens: Count | None = None
    """The most tokens that one answer may have; left out, unknown."""
    latency_s: Seconds | None = None
    """Seconds that an answer usually takes, used until the router has seen some."""
    capabilities: frozenset[Capability] | None = None
    """What the model can do beyond text; left out, tools, tool_choice and structured_output."""
    tags: frozenset[Name] = frozenset()
    """Labels that constraints can ask for; models of local endpoints have the tag 'local' anyway."""


class EndpointEntry(_Shape):
    """A server that speaks OpenAI's chat protocol. For an endpoint that the router knows, give only what differs."""

    base_url: BaseUrl | None = None
    """The URL before /chat/completions, such as http://127.0.0.1:8000/v1."""
    api_key_env: EnvironmentName | None = None
    """The name of the environment variable that holds the key; left out or null, no key is sent."""
    provider: Name | None = None
    """The provider whose published prices hold here, such as openai; left out, the name of the endpoint."""
    local: Flag | None = None
    """Whether requests stay on this machine; left out, true for a loopback address."""
    timeout_s: Seconds | None = None
    """Seconds after which a call is given up; left out, 120."""


class PartEntry(BaseModel):
    """A policy or a verifier by name, with its options beside the name."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    name: Name
    """The name of the policy or verifier."""

    @property
    def options(self) -> Mapping[str, Any]:
        """What stands beside the name."""
        return self.model_extra or {}


class ConstraintsEntry(_Shape):
    """What is demanded of every request that does not say otherwise."""

    max_cost_usd: Usd | None = None
    """The most that one request may be predicted to cost, in US dollars; left out, there is no limit."""
    max_latency_s: Seconds | None = None
    """The most seconds that an answer may be expected to take; left out, there is no limit."""
    min_quality: Share | None = None
    """The least predicted quality, from 0 to 1; left out, there is no limit."""
    force_model: Name | None = None
    """The one model to use."""
    allow: Annotated[frozenset[Name], Field(min_length=1)] | None = None
    """The models that may be used; left out, all."""
    deny: frozenset[Name] = frozenset()
    """The models that may not be used."""
    require_tags: frozenset[Name] = frozenset()
    """Tags that a model must have."""
    local_only: Flag = False
    """Use only models whose requests stay on this machine."""
    max_attempts: Count | None = None
    """The most calls of models for one request; left out, the setting of the same name holds."""


class SettingsEntry(_Shape):
    """How the router behaves, whatever the request."""

    stream_mode: StreamMode = _DEFAULTS.stream_mode
    """hold: speak only what no verifier can reject; commit: speak at once; prefix: verify the beginning, then speak."""
    prefix_tokens: Count = _DEFAULTS.prefix_tokens
    """How many tokens the stream mode 'prefix' holds back."""
    max_attempts: Count | None = _DEFAULTS.max_attempts
    """The most calls of models for one request; left out, as many as there are models."""
    retries: Retries = _DEFAULTS.retries
    """Further tries of the last model that is left, when it fails in a way that may pass."""
    on_rejected: Literal["serve", "raise"] = _DEFAULTS.on_rejected
    """What to do when no answer passes the verifiers: serve the strongest model's, or raise an error."""
    tell_why: Flag = _DEFAULTS.tell_why
    """Tell the stronger model why the answer before was rejected."""
    expected_output_tokens: Count = _DEFAULTS.expected_output_tokens
    """The length that an answer is expected to have before any was seen; costs are predicted with it."""


class LedgerEntry(_Shape):
    """Where receipts are kept and budgets are held."""

    store: Name = "sqlite:///router.db"
    """The URL of the store: sqlite:///router.db, postgresql+psycopg://... or memory://."""
    store_text: Annotated[Literal["off", "hash", "full"], BeforeValidator(_off)] = "hash"
    """What is kept of prompts and answers: nothing, a hash of each, or the texts."""
    on_store_error: Literal["stop", "warn"] = "stop"
    """stop: refuse requests while the store cannot be used; warn: go on, and count what is lost."""
    webhook_env: EnvironmentName | None = None
    """The name of the environment variable that holds the URL to which reached thresholds are posted as JSON."""


class BudgetEntry(_Shape):
    """A spending limit. Give either limit_usd or limit_tokens."""

    name: Name
    """The unique name of the budget."""
    limit_usd: Usd | None = None
    """The limit in US dollars."""
    limit_tokens: Count | None = None
    """The limit in tokens, of input and output together."""
    per: Literal["call", "day", "week", "month", "total"] = "total"
    """What the limit is for: each request, each day, week or month, or all time."""
    scope: Name = "all"
    """Whose spending is counted together: all, session, tag:NAME, model:NAME or provider:NAME."""
    on_exceeded: Literal["stop", "degrade", "ask"] = "stop"
    """What to do with a request that does not fit: refuse it, use the cheapest model that fits, or ask."""
    timezone: Name = "UTC"
    """The time zone in which periods begin, such as Europe/Madrid."""
    month_start: Annotated[int, Field(ge=1, le=28), BeforeValidator(_no_bool)] = 1
    """The day of the month on which a month begins."""
    thresholds: list[Count] = Field(default_factory=lambda: [50, 80, 100])
    """The percentages of the limit that are told when they are reached."""


class AuditorEntry(_Shape):
    """What looks at a sample of the answers in the background, for the policy 'strategy' to learn from. It has a budget
    of its own: give either limit_usd or limit_tokens."""

    model: Name
    """The model that judges answers; one with the tag 'judge' never answers itself."""
    share: Annotated[float, Field(gt=0, le=1), BeforeValidator(_no_bool)] = 0.05
    """The share of the requests that is audited, above 0, 1 at most."""
    compare: Flag = False
    """Have cheaper models and the strongest answer too, and compare their answers blind, instead of one opinion."""
    limit_usd: Usd | None = None
    """The most that audits may cost, in US dollars; nothing else is paid from it."""
    limit_tokens: Count | None = None
    """The most tokens that audits may take, of input and output together."""
    per: Literal["day", "week", "month", "total"] = "day"
    """What the limit is for: each day, week or month, or all time."""


NamedModel = Annotated[ModelEntry, BeforeValidator(_named, json_schema_input_type=str | ModelEntry)]
Part = Annotated[PartEntry, BeforeValidator(_named, json_schema_input_type=str | PartEntry)]


class File(_Shape):
    """The whole of router.yaml."""

    version: Literal[1] = 1
    """The version of this format."""
    models: Annotated[list[NamedModel], Field(min_length=1)]
    """The models, weakest first, each as 'endpoint:model' or as a mapping."""
    aliases: dict[Name, Name] = Field(default_factory=dict)
    """Further names of models."""
    endpoints: dict[EndpointName, EndpointEntry] = Field(default_factory=dict)
    """Servers that the router does not know, or knows otherwise."""
    policy: Part = PartEntry(name="difficulty")
    """What decides where a request starts: a name, or a mapping with a name and options."""
    verifiers: list[Part] | None = None
    """What looks at answers, in order; left out, the default verifiers; [] for none."""
    constraints: ConstraintsEntry = ConstraintsEntry()
    """What is demanded of every request that does not say otherwise."""
    settings: SettingsEntry = SettingsEntry()
    """How the router behaves, whatever the request."""
    ledger: LedgerEntry | None = None
    """Where receipts are kept and budgets are held; left out, receipts are not kept unless there are budgets or an
    auditor."""
    budgets: list[BudgetEntry] = Field(default_factory=list)
    """Spending limits; all that apply to a request must hold."""
    auditor: AuditorEntry | None = None
    """What looks at a sample of the answers, for the policy 'strategy' to learn from; left out, nobody does."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: object) -> object:
        return {k: v for k, v in data.items() if v is not None} if isinstance(data, dict) else data


def shape_at(loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The model of the mapping at this path of the file."""
    return next((_SHAPES[part] for part in reversed(loc) if part in _SHAPES), File)


_SHAPES: Mapping[int | str, type[BaseModel]] = {
    "models": ModelEntry,
    "price": PriceEntry,
    "endpoints": EndpointEntry,
    "constraints": ConstraintsEntry,
    "settings": SettingsEntry,
    "ledger": LedgerEntry,
    "budgets": BudgetEntry,
    "auditor": AuditorEntry,
}
