"""Verifiers that the user writes: a pattern, a predicate, or any function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from router_core.errors import ConfigError
from router_core.types import ACCEPT, Reply, RequestView, Verdict
from router_core.verifiers.base import Verifier

Check: TypeAlias = Callable[[RequestView, Reply], "Verdict | bool | Awaitable[Verdict | bool]"]
"""A user's own judgement of an answer; True accepts."""


class RegexVerifier:
    """Rejects an answer in which ``must_match`` is found nowhere, or ``must_not_match`` somewhere.

    The patterns are Python's; write ``(?i)`` in front to ignore capitals, ``^`` and ``$`` to mean the whole text. An
    answer with tool calls need not match.
    """

    name = "regex"
    judges_prefix = False

    def __init__(self, must_match: str | None = None, must_not_match: str | None = None) -> None:
        if must_match is None and must_not_match is None:
            raise ConfigError("verifiers.regex: no pattern is given; set must_match or must_not_match")
        self._must = _compiled("must_match", must_match)
        self._must_not = _compiled("must_not_match", must_not_match)

    def check(self, request: RequestView, reply: Reply) -> Verdict:  # noqa: ARG002
        """Search the text."""
        if self._must and not reply.tool_calls and not self._must.search(reply.text):
            return self._reject(f"the answer does not match {self._must.pattern!r}")
        if self._must_not and self._must_not.search(reply.text):
            return self._reject(f"the answer matches {self._must_not.pattern!r}")
        return ACCEPT

    def _reject(self, detail: str) -> Verdict:
        return Verdict(accepted=False, code=self.name, detail=detail)


def _compiled(option: str, pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    if not isinstance(pattern, str):
        raise ConfigError(f"verifiers.regex.{option}: {pattern!r} is not text; put it in quotes")
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"verifiers.regex.{option}: {pattern!r} is not a regular expression: {error}") from None


class PredicateVerifier:
    """Rejects an answer for whose text ``function`` is not true. Answers with tool calls pass."""

    name = "predicate"
    judges_prefix = False

    def __init__(self, function: Callable[[str], bool]) -> None:
        if not callable(function):
            raise ConfigError(f"verifiers.predicate.function: {function!r} is not a function of the answer's text")
        if _is_async(function):
            raise ConfigError(
                f"verifiers.predicate.function: {_name_of(function)} is async; use the verifier 'callable' for it"
            )
        self._function = function

    def check(self, request: RequestView, reply: Reply) -> Verdict:  # noqa: ARG002
        """Ask the function."""
        if reply.tool_calls or self._function(reply.text):
            return ACCEPT
        return Verdict(accepted=False, code=self.name, detail=f"{_name_of(self._function)} is not true of the answer")


class CallableVerifier:
    """Rejects what a function of the request and the reply rejects; it may be async.

    ``function`` returns a verdict, or True or False, which then becomes a verdict with the verifier's name as its code.
    The name is the function's own unless one is given.
    """

    judges_prefix = False

    def __init__(self, function: Check, name: str | None = None) -> None:
        if not callable(function):
            raise ConfigError(
                f"verifiers.callable.function: {function!r} is not a function of the request and the reply"
            )
        if name is not None and not (isinstance(name, str) and name):  # type: ignore[redundant-expr]
            raise ConfigError(f"verifiers.callable.name: {name!r} is not a name")
        self.name = name or _name_of(function)
        self._function = function
        self._is_async = _is_async(function)

    def check(self, request: RequestView, reply: Reply) -> Verdict | Awaitable[Verdict]:
        """Ask the function. The verdict of an async one is awaitable.

        Raises:
            ConfigError: it returned neither a verdict nor a bool.
        """
        if self._is_async:
            return self._acheck(request, reply)
        result = self._function(request, reply)
        return self._later(result) if inspect.isawaitable(result) else self._verdict(result)

    async def _acheck(self, request: RequestView, reply: Reply) -> Verdict:
        # The function is called when it is awaited, so that a sync driver leaves no coroutine behind.
        result: Any = self._function(request, reply)
        return await self._later(result)

    async def _later(self, result: Awaitable[object]) -> Verdict:
        return self._verdict(await result)

    def _verdict(self, result: object) -> Verdict:
        if isinstance(result, Verdict):
            return result
        if isinstance(result, bool):
            return (
                ACCEPT if result else Verdict(accepted=False, code=self.name, detail=f"{self.name} rejects the answer")
            )
        raise ConfigError(f"the verifier {self.name!r} returned {result!r}; let it return a Verdict, True or False")


def as_verifier(thing: Verifier | Check) -> Verifier:
    """The verifier that is meant: itself, or a function of the request and the reply wrapped as one.

    Raises:
        ConfigError: it is neither, for example a class that was not called.
    """
    if isinstance(thing, type):
        raise ConfigError(f"verifiers: {thing.__name__} is a class; give an object of it: {thing.__name__}()")
    if isinstance(thing, Verifier):
        return thing
    if callable(thing):
        return CallableVerifier(thing)
    raise _no_verifier(thing)


def _no_verifier(thing: object) -> ConfigError:
    hint = f"; make_verifier({thing!r}, {{}}) makes one by name" if isinstance(thing, str) else ""
    return ConfigError(f"verifiers: {thing!r} is neither a verifier nor a function of the request and the reply{hint}")


def _name_of(function: object) -> str:
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def _is_async(function: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
