"""Reading the constraints, the sampling settings and the labels of a request."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, cast, get_args

from router_core.errors import ConfigError, InvalidRequest
from router_core.hosts.checks import SHOWN, json_size, shown, text_size
from router_core.options import CallOptions
from router_core.registry import LOCAL, did_you_mean
from router_core.types import Constraints, StreamMode

if TYPE_CHECKING:
    from router_core.registry import Registry

KNOWN = frozenset(CallOptions.__annotations__)
"""Every option there is."""

RESERVED = frozenset(
    {
        "model",
        "messages",
        "tools",
        "tool_choice",
        "response_format",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
    }
)
"""Fields that ``extra`` may not set: the router decides them, or has an option that the rules look at."""


ROUTING = frozenset(
    {
        "max_cost_usd",
        "max_latency_s",
        "min_quality",
        "force_model",
        "allow",
        "deny",
        "require_tags",
        "local_only",
        "max_attempts",
        "session",
        "call_site",
        "stream_mode",
    }
)
"""Options that are the router's alone; the others also mean something to a model. What a face takes out of the keyword
arguments that its framework hands on to models."""


def refuse_unknown(options: Mapping[str, Any]) -> None:
    """Raise ``InvalidRequest`` for an option that does not exist."""
    for name in options:
        if name not in KNOWN:
            hint = did_you_mean(name[:SHOWN], KNOWN)
            raise InvalidRequest(f"{shown(name)} is no option{hint}; known are {', '.join(sorted(KNOWN))}")


def read_constraints(options: Mapping[str, Any], defaults: Constraints, registry: Registry) -> Constraints:
    """The constraints of a request: what is given replaces the defaults field by field; names may be aliases.

    Raises:
        InvalidRequest: a limit is not one, or a name is unknown.
    """
    given: dict[str, Any] = {}
    for name, read in _LIMITS.items():
        if (value := options.get(name)) is not None:
            given[name] = read(value, name)
    if (forced := options.get("force_model")) is not None:
        given["force_model"] = _model(forced, "force_model", registry)
    for name in ("allow", "deny"):
        if (names := options.get(name)) is not None:
            given[name] = frozenset(_model(item, name, registry) for item in _strings(names, name))
    if given.get("allow") == frozenset():
        raise InvalidRequest("allow: the list is empty, which allows no model; leave it out to allow all")
    if (tags := options.get("require_tags")) is not None:
        given["require_tags"] = frozenset(_strings(tags, "require_tags"))
    if _flag(options.get("local_only"), "local_only"):
        given["require_tags"] = given.get("require_tags", defaults.require_tags) | {LOCAL}
    return replace(defaults, **given) if given else defaults


def read_sampling(options: Mapping[str, Any]) -> dict[str, Any]:
    """How the model is to write: the settings that were given, checked.

    Raises:
        InvalidRequest: one of them is out of range or of a wrong type.
    """
    return {name: read(value, name) for name, read in _SAMPLING.items() if (value := options.get(name)) is not None}


def read_labels(options: Mapping[str, Any]) -> tuple[frozenset[str], str | None, str | None]:
    """Tags, session and call site; the stream mode is checked on the way.

    Raises:
        InvalidRequest: one of them is no text, or the stream mode does not exist.
    """
    mode = options.get("stream_mode")
    if mode is not None and mode not in _MODES:
        raise InvalidRequest(f"stream_mode: {shown(mode)} is none; use {', '.join(_MODES)}")
    tags = options.get("tags")
    return (
        frozenset() if tags is None else frozenset(_strings(tags, "tags")),
        _label(options.get("session"), "session"),
        _label(options.get("call_site"), "call_site"),
    )


def _label(value: object, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{name}: {shown(value)} is no text; give a name or leave it out")
    text_size(value, name)
    return value


def _model(name: object, field: str, registry: Registry) -> str:
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        raise InvalidRequest(f"{field}: {shown(name)} is no name of a model; give one of the router's models")
    try:
        return registry.find(name).name
    except ConfigError as error:
        raise InvalidRequest(f"{field}: {error}") from None


def _strings(value: object, name: str) -> Collection[str]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise InvalidRequest(f"{name}: {shown(value)} is no list of strings; give [{shown(value)}] if one is meant")
    items = list(value)
    for item in items:
        if not isinstance(item, str):
            raise InvalidRequest(f"{name}: {shown(item)} is no string")
        text_size(item, name)
    return items


def _flag(value: object, name: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidRequest(f"{name}: {shown(value)} is neither True nor False")


def _number(value: object, name: str) -> float:
    try:
        number = float(value) if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) else math.nan
    except (OverflowError, ValueError):
        number = math.nan
    if math.isfinite(number):
        return number
    raise InvalidRequest(f"{name}: {shown(value)} is no finite number; give one or leave the option out")


def _between(low: float, high: float) -> Callable[[object, str], float]:
    def read(value: object, name: str) -> float:
        number = _number(value, name)
        if low <= number <= high:
            return number
        limits = f"{low:g} or more" if math.isinf(high) else f"from {low:g} to {high:g}"
        raise InvalidRequest(f"{name}: {shown(value)} is out of range; give a number {limits}")

    return read


def _seconds(value: object, name: str) -> float:
    if (number := _number(value, name)) > 0:
        return number
    raise InvalidRequest(f"{name}: {shown(value)} is no duration; give seconds above 0")


def _dollars(value: object, name: str) -> Decimal:
    try:
        # By way of its text, so that 0.1 is a tenth and not the binary fraction next to it.
        amount = Decimal(str(value)) if _is_amount(value) else Decimal("NaN")
    except (InvalidOperation, ValueError):
        amount = Decimal("NaN")
    if amount.is_finite() and amount >= 0:
        return amount
    raise InvalidRequest(f"{name}: {shown(value)} is no amount of US dollars; give 0 or more, for example '0.01'")


def _is_amount(value: object) -> bool:
    return isinstance(value, (str, int, float, Decimal)) and not isinstance(value, bool)


def _whole(value: object, name: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise InvalidRequest(f"{name}: {shown(value)} is no whole number")


def _count(value: object, name: str) -> int:
    if (number := _whole(value, name)) >= 1:
        return number
    raise InvalidRequest(f"{name}: {shown(value)} is too small; give 1 or more")


def _stop(value: object, name: str) -> str | list[str]:
    if isinstance(value, str) and value:
        text_size(value, name)
        return value
    items = list(_strings(value, name))
    if items and all(items):
        return items
    raise InvalidRequest(f"{name}: an empty text stops nothing; give texts or leave the option out")


def _extra(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidRequest(f"{name}: {shown(value)} is no dictionary of fields for the provider")
    if taken := RESERVED.intersection(value):
        raise InvalidRequest(f"{name}: {', '.join(sorted(taken))} cannot be set here; use the option of the call")
    json_size(value, name)
    return cast("dict[str, Any]", dict(value))


_MODES = get_args(StreamMode)
_LONGEST_NAME = 256
"""Characters; anything longer is a text given in place of a name."""

_LIMITS: Mapping[str, Callable[[object, str], object]] = {
    "max_cost_usd": _dollars,
    "max_latency_s": _seconds,
    "min_quality": _between(0, 1),
    "max_attempts": _count,
}
_SAMPLING: Mapping[str, Callable[[object, str], object]] = {
    "max_tokens": _count,
    "temperature": _between(0, math.inf),
    "top_p": _between(0, 1),
    "stop": _stop,
    "seed": _whole,
    "extra": _extra,
}
