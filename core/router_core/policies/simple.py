"""Policies that do not look at the text: static, cheapest, random, and the user's own."""

from __future__ import annotations

import importlib
import inspect
import random
from collections.abc import Awaitable, Callable, Sequence
from threading import Lock
from typing import Any, TypeAlias

from router_core.errors import ConfigError
from router_core.policies.base import Candidate, Choice, Policy, priors
from router_core.records import Reason
from router_core.registry import did_you_mean
from router_core.types import Json, RequestView

DecideFunction: TypeAlias = Callable[[RequestView, Sequence[Candidate]], "str | Choice | Awaitable[str | Choice]"]
"""A user's own policy as a function: the name of a candidate or a whole choice, or an awaitable of either."""

AVERAGE = 0.5
"""The difficulty at which a model is expected to do as well as its prior says: the text was not looked at."""


class StaticPolicy:
    """Always the same model.

    Args:
        model: its name; the weakest candidate if left out.
        tiers: the names of all models, weakest first. With them the policy knows which candidates are stronger than a
            model that the constraints rule out; without them it takes the strongest candidate in its place.

    Raises:
        ConfigError: ``model`` is not a name, or not one of ``tiers``.
    """

    name = "static"

    def __init__(self, model: str | None = None, tiers: Sequence[str] = ()) -> None:
        if not _is_name_or_none(model):
            raise ConfigError(f"policy: static.model: {model!r} is not the name of a model; give one, or leave it out")
        if model is not None and tiers and model not in tiers:
            raise ConfigError(
                f"policy: static.model: {model!r} is no model{did_you_mean(model, tiers)}; there are {', '.join(tiers)}"
            )
        self._model = model
        self._tiers = tuple(tiers)

    def decide(self, request: RequestView, candidates: Sequence[Candidate]) -> Choice:  # noqa: ARG002
        """The model, else the next stronger candidate, else the strongest."""
        names = [candidate.model.name for candidate in candidates]
        if self._model is None:
            return _choice(names[0], Reason.STATIC, candidates)
        start = self._model if self._model in names else self._instead(names)
        return _choice(start, Reason.STATIC, candidates, {"wanted": self._model, "feasible": start == self._model})

    def _instead(self, names: Sequence[str]) -> str:
        stronger = self._tiers[self._tiers.index(self._model) + 1 :] if self._model in self._tiers else ()
        return next((name for name in stronger if name in names), names[-1])


class CheapestPolicy:
    """The candidate with the lowest predicted cost. Of equal ones the weaker is taken; a model of unknown cost only
    where no cost is known, and then the weakest."""

    name = "cheapest"

    def decide(self, request: RequestView, candidates: Sequence[Candidate]) -> Choice:  # noqa: ARG002
        """The cheapest candidate."""
        # min() keeps the first of equals, and candidates come weakest first.
        cheapest = min(candidates, key=lambda c: (c.cost_nano is None, c.cost_nano or 0))
        return _choice(cheapest.model.name, Reason.CHEAPEST, candidates, {"cost_nano": cheapest.cost_nano})


class RandomPolicy:
    """Any candidate, each as likely as any other: the baseline that a policy must beat.

    Args:
        seed: the same seed gives the same sequence of draws.

    Raises:
        ConfigError: ``seed`` is not a whole number.
    """

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ConfigError(f"policy: random.seed: {seed!r} is not a whole number; 0 is the default")
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._lock = Lock()

    def decide(self, request: RequestView, candidates: Sequence[Candidate]) -> Choice:  # noqa: ARG002
        """A candidate drawn at random."""
        with self._lock:
            drawn = self._random.randrange(len(candidates))
        return _choice(candidates[drawn].model.name, Reason.RANDOM, candidates, {"seed": self._seed})


class CallablePolicy:
    """The user's own policy.

    Args:
        function: ``function(request, candidates)`` that returns the name of a candidate, a ``Choice``, or an awaitable
            of either; or an object with such a method ``decide``; or a class of such objects, made without arguments;
            or where one of these is to be found, as "package.module:name".

    Raises:
        ConfigError: ``function`` is none of these, or cannot be imported. ``decide`` raises it where the function
            returns anything but a candidate's name or a choice of candidates.
    """

    name = "callable"

    def __init__(self, function: DecideFunction | Policy | type[Policy] | str) -> None:
        target = imported(function, "policy: callable.function") if isinstance(function, str) else function
        self._decide, self._called = _decide_function(target), _name_of(target)
        # An object with ``async def __call__`` shows only by its class that it is async.
        self._is_async = any(map(inspect.iscoroutinefunction, (self._decide, type(self._decide).__call__)))

    def decide(self, request: RequestView, candidates: Sequence[Candidate]) -> Choice | Awaitable[Choice]:
        """What the user's function chooses."""
        if self._is_async:
            # Called when it is awaited: a sync driver that cannot await leaves no coroutine behind.
            return self._adecide(request, candidates)
        returned = self._decide(request, candidates)
        if inspect.isawaitable(returned):
            return self._awaited(returned, candidates)
        return self._checked(returned, candidates)

    async def _adecide(self, request: RequestView, candidates: Sequence[Candidate]) -> Choice:
        return self._checked(await self._decide(request, candidates), candidates)

    async def _awaited(self, returned: Awaitable[Any], candidates: Sequence[Candidate]) -> Choice:
        return self._checked(await returned, candidates)

    def _checked(self, returned: object, candidates: Sequence[Candidate]) -> Choice:
        names = [candidate.model.name for candidate in candidates]
        if isinstance(returned, Choice):
            choice, chosen = returned, (returned.start, *(returned.order or ()))
        elif isinstance(returned, str):
            choice, chosen = _choice(returned, Reason.CUSTOM, candidates, {"function": self._called}), (returned,)
        else:
            raise ConfigError(
                f"policy: {self._called} returned {returned!r}; return a Choice or the name of a candidate: {names}"
            )
        for name in chosen:
            if name not in names:
                raise ConfigError(
                    f"policy: {self._called} returned {name!r}, which is no candidate{did_you_mean(name, names)}; "
                    f"the candidates of this request are {names}"
                )
        return choice


def _is_name_or_none(value: object) -> bool:
    return value is None or (isinstance(value, str) and bool(value))


def _choice(
    start: str, reason: Reason, candidates: Sequence[Candidate], features: dict[str, Json] | None = None
) -> Choice:
    return Choice(start=start, reason=reason, quality=priors(candidates, AVERAGE), features=features or {})


def imported(path: str, option: str) -> Any:
    """What "package.module:name" means. ``option`` is how messages name where it was given.

    Raises:
        ConfigError: it is not of this form, or cannot be imported.
    """
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise ConfigError(f"{option}: {path!r} is not of the form 'package.module:name'")
    try:
        target = importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{option}: {path!r} cannot be imported ({error}); install the package, or put its folder on PYTHONPATH"
        ) from error
    try:
        for part in name.split("."):
            target = getattr(target, part)
    except AttributeError:
        raise ConfigError(f"{option}: {path!r}: {module} has no {name!r}{did_you_mean(name, dir(target))}") from None
    return target


def _decide_function(target: Any) -> Callable[..., Any]:
    if inspect.isclass(target):
        try:
            target = target()
        except TypeError as error:
            raise ConfigError(
                f"policy: callable.function: {_name_of(target)} cannot be made without arguments ({error}); "
                "give an object of it instead"
            ) from error
    decide: object = getattr(target, "decide", target)
    if not callable(decide):
        raise ConfigError(
            f"policy: callable.function: {target!r} is neither a function of (request, candidates) nor has it a "
            "method 'decide'"
        )
    return decide


def _name_of(target: Any) -> str:
    named = target if hasattr(target, "__qualname__") else type(target)
    return f"{named.__module__}:{named.__qualname__}"
