"""Policies: where a request starts, and why.

The two policies that read the text, ``DifficultyPolicy`` and ``ComplexityPolicy``, are heuristics: transparent and
fast, and hardly better at telling which requests need the strong model than the length of the prompt. Where a wrong
start is costly, rely on the verifiers, or give a policy of your own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from router_core.errors import ConfigError
from router_core.policies.base import Candidate, Choice, Policy
from router_core.policies.complexity import ComplexityPolicy
from router_core.policies.difficulty import DifficultyPolicy
from router_core.policies.simple import CallablePolicy, CheapestPolicy, RandomPolicy, StaticPolicy
from router_core.registry import did_you_mean

__all__ = [
    "POLICIES",
    "CallablePolicy",
    "Candidate",
    "CheapestPolicy",
    "Choice",
    "ComplexityPolicy",
    "DifficultyPolicy",
    "Policy",
    "RandomPolicy",
    "StaticPolicy",
    "make_policy",
]

POLICIES: Mapping[str, Callable[..., Policy]] = {
    "difficulty": DifficultyPolicy,
    "complexity": ComplexityPolicy,
    "static": StaticPolicy,
    "cheapest": CheapestPolicy,
    "random": RandomPolicy,
    "callable": CallablePolicy,
}
"""The policies by the names that they have in ``router.yaml``; their options are the arguments of the classes."""


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
    if "tiers" in parameters:
        given["tiers"] = tiers
    return make(**given)
