"""Verifiers: each looks at an answer and accepts or rejects it. The first that objects decides, in the user's order.

The reason code of a verdict is the name of the verifier, but for ``unknown_tool`` of ``tools_missing`` and for the
codes that a user's own verifier gives.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from router_core.errors import ConfigError
from router_core.named import Named
from router_core.registry import did_you_mean
from router_core.verifiers.base import Verifier
from router_core.verifiers.completeness import EmptyVerifier, TruncationVerifier
from router_core.verifiers.custom import CallableVerifier, PredicateVerifier, RegexVerifier, as_verifier
from router_core.verifiers.length import ShortAnswerVerifier, TooShortVerifier
from router_core.verifiers.schema import SchemaVerifier, parse_output
from router_core.verifiers.tools import ToolArgumentsVerifier, ToolsMissingVerifier
from router_core.verifiers.wording import AbstentionVerifier, RefusalVerifier, UncertaintyVerifier

if TYPE_CHECKING:
    from router_core.verifiers.consensus import ConsensusVerifier
    from router_core.verifiers.judge import JudgeVerifier
    from router_core.verifiers.learned import LearnedVerifier

__all__ = [
    "VERIFIERS",
    "AbstentionVerifier",
    "CallableVerifier",
    "ConsensusVerifier",
    "EmptyVerifier",
    "JudgeVerifier",
    "LearnedVerifier",
    "PredicateVerifier",
    "RefusalVerifier",
    "RegexVerifier",
    "SchemaVerifier",
    "ShortAnswerVerifier",
    "TooShortVerifier",
    "ToolArgumentsVerifier",
    "ToolsMissingVerifier",
    "TruncationVerifier",
    "UncertaintyVerifier",
    "Verifier",
    "as_verifier",
    "default_verifiers",
    "make_verifier",
    "parse_output",
]

_DEFAULTS: Mapping[str, type[Verifier]] = {
    "truncation": TruncationVerifier,
    "refusal": RefusalVerifier,
    "empty": EmptyVerifier,
    "abstention": AbstentionVerifier,
    "tools_missing": ToolsMissingVerifier,
    "tool_arguments": ToolArgumentsVerifier,
    "schema": SchemaVerifier,
}

VERIFIERS: Named[Verifier] = Named(
    {
        **_DEFAULTS,
        "judge": "router_core.verifiers.judge:JudgeVerifier",
        "consensus": "router_core.verifiers.consensus:ConsensusVerifier",
        "too_short": TooShortVerifier,
        "short_answer": ShortAnswerVerifier,
        "uncertainty": UncertaintyVerifier,
        "regex": RegexVerifier,
        "predicate": PredicateVerifier,
        "callable": CallableVerifier,
        "learned": "router_core.verifiers.learned:LearnedVerifier",
    }
)
"""The verifiers by the names that ``router.yaml`` calls them."""


def __getattr__(name: str) -> Any:
    return VERIFIERS.attribute(__name__, name)


def default_verifiers() -> tuple[Verifier, ...]:
    """The verifiers that are on unless the user says otherwise.

    The order is from what explains most: an answer cut off before its first word, or stopped by a filter, is empty too,
    and its text cannot fit a schema.
    """
    return tuple(verifier() for verifier in _DEFAULTS.values())


def make_verifier(name: str, options: Mapping[str, object]) -> Verifier:
    """The verifier that ``router.yaml`` names, with its options: the parameters of its class.

    An option ``function`` may be given as the import path "package.module:function".

    Raises:
        ConfigError: the verifier, an option or its value is unknown.
    """
    verifier = VERIFIERS.get(name)
    if verifier is None:
        known = ", ".join(sorted(VERIFIERS))
        raise ConfigError(f"verifiers: {name!r} is no verifier{did_you_mean(name, VERIFIERS)}; there are {known}")
    parameters = inspect.signature(verifier).parameters
    for option in options:
        if option not in parameters:
            known = f"it has {', '.join(parameters)}" if parameters else "it has none"
            raise ConfigError(f"verifiers.{name}.{option}: no such option{did_you_mean(option, parameters)}; {known}")
    for option, parameter in parameters.items():
        if parameter.default is parameter.empty and option not in options:
            raise ConfigError(f"verifiers.{name}.{option}: missing")
    given: dict[str, Any] = dict(options)
    if isinstance(given.get("function"), str):
        given["function"] = _imported(f"verifiers.{name}.function", given["function"])
    return verifier(**given)


def _imported(where: str, path: str) -> object:
    """What an import path of the form "package.module:function" names."""
    module_name, colon, attribute = path.partition(":")
    if not (colon and module_name and attribute):
        raise ConfigError(f"{where}: {path!r} is not of the form 'package.module:function'")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"{where}: {module_name!r} cannot be imported: {error}") from error
    if not hasattr(module, attribute):
        raise ConfigError(f"{where}: {module_name!r} has no {attribute!r}{did_you_mean(attribute, dir(module))}")
    return getattr(module, attribute)
