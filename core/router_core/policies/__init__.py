"""Policies: where a request starts, and why.

The two policies that read the text, ``DifficultyPolicy`` and ``ComplexityPolicy``, are heuristics: transparent and
fast, and hardly better at telling which requests need the strong model than the length of the prompt. Where a wrong
start is costly, rely on the verifiers, or give a policy of your own.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from router_core.errors import ConfigError
from router_core.named import Named
from router_core.policies.base import Candidate, Choice, Policy
from router_core.policies.complexity import ComplexityPolicy
from router_core.policies.difficulty import DifficultyPolicy
from router_core.policies.simple import CallablePolicy, CheapestPolicy, RandomPolicy, StaticPolicy
from router_core.registry import did_you_mean

if TYPE_CHECKING:
    from router_core.policies.encoder import TransformersPolicy
    from router_core.policies.guarded import GuardedPolicy
    from router_core.policies.judge import JudgePolicy
    from router_core.policies.learned import LearnedPolicy
    from router_core.policies.nearest import NearestPolicy
    from router_core.policies.share import SharePolicy
    from router_core.policies.strategy import StrategyMemoryPolicy

__all__ = [
    "POLICIES",
    "CallablePolicy",
    "Candidate",
    "CheapestPolicy",
    "Choice",
    "ComplexityPolicy",
    "DifficultyPolicy",
    "GuardedPolicy",
    "JudgePolicy",
    "LearnedPolicy",
    "NearestPolicy",
    "Policy",
    "RandomPolicy",
    "SharePolicy",
    "StaticPolicy",
    "StrategyMemoryPolicy",
    "TransformersPolicy",
    "make_policy",
]

POLICIES: Named[Policy] = Named(
    {
        "difficulty": DifficultyPolicy,
        "complexity": ComplexityPolicy,
        "static": StaticPolicy,
        "cheapest": CheapestPolicy,
        "judge": "router_core.policies.judge:JudgePolicy",
        "random": RandomPolicy,
        "learned": "router_core.policies.learned:LearnedPolicy",
        "nearest": "router_core.policies.nearest:NearestPolicy",
        "transformers": "router_core.policies.encoder:TransformersPolicy",
        "share": "router_core.policies.share:SharePolicy",
        "guarded": "router_core.policies.guarded:GuardedPolicy",
        "strategy": "router_core.policies.strategy:StrategyMemoryPolicy",
        "callable": CallablePolicy,
    }
)
"""The policies by the names that they have in ``router.yaml``; their options are the arguments of the classes."""


def __getattr__(name: str) -> Any:
    return POLICIES.attribute(__name__, name)


def make_policy(name: str, options: Mapping[str, object], tiers: Sequence[str] = ()) -> Policy:
    """The policy of this name with these options. ``tiers`` are the names of all models, weakest first.

    Raises:
        ConfigError: no policy has this name, it has no such option, an option is missing, or a value is wrong.
    """
    make = POLICIES.get(name)
    if make is None:
        raise ConfigError(
            f"policy: {name!r} is no policy{did_you_mean(name, POLICIES)}; there are {', '.join(POLICIES)}"
        )
    parameters = inspect.signature(make).parameters
    known = [option for option in parameters if option != "tiers"]
    for option, value in options.items():
        if option not in known:
            raise ConfigError(
                f"policy: {name}.{option}: {value!r} is given to an option that there is not"
                f"{did_you_mean(option, known)}; the options are: {', '.join(known) or 'none'}"
            )
    for option in known:
        if option not in options and parameters[option].default is inspect.Parameter.empty:
            raise ConfigError(f"policy: {name}.{option} is missing; give it beside the name of the policy")
    given: dict[str, Any] = dict(options)
    if "policy" in given:
        given["policy"] = _inner(name, given["policy"], tiers)
    if "tiers" in parameters:
        given["tiers"] = tiers
    return make(**given)


def _inner(name: str, given: object, tiers: Sequence[str]) -> object:
    """The policy inside another one: a name, or a mapping of a name and options, as in ``router.yaml``."""
    if isinstance(given, str):
        return make_policy(given, {}, tiers)
    if isinstance(given, Mapping):
        inner, options = given.get("name"), {option: value for option, value in given.items() if option != "name"}
        if not isinstance(inner, str):
            raise ConfigError(f"policy: {name}.policy: {inner!r} is no name; give that of a policy beside its options")
        return make_policy(inner, options, tiers)
    return given
