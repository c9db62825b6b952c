"""Every error of the router, as one tree.

::

    RouterError                       anything that this library raises on purpose
    ├── ConfigError (ValueError)      the registry file, a model, a setting or an environment is wrong
    ├── InvalidRequest (ValueError)   the messages or the options of one call are wrong
    ├── NoFeasibleModel               the constraints leave no model; lists each with its reason
    ├── BudgetExceeded                a budget cannot bear the worst case of the request; no model was called
    ├── AllAttemptsFailed             every model that was tried failed
    ├── AnswersRejected               every answer was rejected and the setting says not to serve the last
    ├── StreamBroken                  the stream failed after text had been shown
    ├── AsyncInSyncCall               a policy, verifier or observer is async, the call is not
    ├── StoreError                    the store of receipts and budgets cannot be used
    └── MissingExtra (ImportError)    an optional dependency is not installed; names the extra

An error of a request carries its ``receipt``: what was spent before it was raised. No error holds a key, a header or
the text of a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router_core.types import in_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from router_core.records import Attempt, Receipt, Refusal, Shortfall
    from router_core.types import Reply


class RouterError(Exception):
    """The root of the tree. ``receipt`` is set on errors of a request that had begun."""

    receipt: Receipt | None = None


class ConfigError(RouterError, ValueError):
    """A model, a setting or the registry file is wrong; the message names the field, the value and the remedy."""


def config_error_of(error: Any) -> ConfigError | None:
    """The ``ConfigError`` that a validation error of pydantic wraps, if it does: on its own it says more."""
    wrapped = (fault.get("ctx", {}).get("error") for fault in error.errors())
    return next((each for each in wrapped if isinstance(each, ConfigError)), None)


class InvalidRequest(RouterError, ValueError):
    """The messages or options of a call are wrong; the message names the field, the value and the remedy."""


class NoFeasibleModel(RouterError):
    """No model can serve the request. ``refusals`` holds the reason of each."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(refusals)
        lines = "".join(f"\n  - {refusal}" for refusal in self.refusals)
        super().__init__(f"no model can serve this request; relax a constraint or add a model:{lines}")


class BudgetExceeded(RouterError):
    """The request's worst case does not fit a budget. ``shortfalls`` are the purses that cannot bear it (limit, spent,
    held, needed; in nano-dollars or tokens), ``resets`` when the period of each ends (None: never)."""

    def __init__(self, shortfalls: Sequence[Shortfall], resets: Sequence[datetime | None]) -> None:
        self.shortfalls = tuple(shortfalls)
        self.resets = tuple(resets)
        lines = "".join(
            f"\n  - {_told(shortfall, reset)}" for shortfall, reset in zip(self.shortfalls, self.resets, strict=True)
        )
        super().__init__(
            "the request does not fit a budget and no model was called; raise the limit, wait for the next period, or "
            f"ask for a shorter answer (max_tokens):{lines}"
        )


def _told(shortfall: Shortfall, reset: datetime | None) -> str:
    charge = shortfall.charge
    whose = f" of {charge.key!r}" if charge.key else ""

    def told(units: int) -> str:
        return in_words(charge.unit, units)

    return (
        f"{charge.budget}{whose} ({charge.window}): limit {told(charge.limit)}, spent {told(shortfall.spent)}, "
        f"held {told(shortfall.held)}, needed up to {told(charge.amount)}; "
        + ("never resets" if reset is None else f"resets {reset.isoformat()}")
    )


class AllAttemptsFailed(RouterError):
    """Every call failed. The last failure is the ``__cause__``, ``attempts`` the account of all."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        self.attempts = tuple(attempts)
        lines = "".join(
            f"\n  - {a.model}: {a.failure or (a.verdict.code if a.verdict else a.outcome)}"
            + (f" ({a.error})" if a.error else "")
            for a in self.attempts
        )
        calls = "1 call was" if len(self.attempts) == 1 else f"{len(self.attempts)} calls were"
        super().__init__(f"no model gave an answer; {calls} made:{lines}")


class AnswersRejected(RouterError):
    """No answer passed the verifiers. ``reply`` is the last one, for those who want to look at it."""

    def __init__(self, attempts: Sequence[Attempt], reply: Reply) -> None:
        self.attempts = tuple(attempts)
        self.reply = reply
        lines = "".join(
            f"\n  - {a.model}: {a.verdict.code} ({a.verdict.detail})" for a in self.attempts if a.verdict is not None
        )
        super().__init__(f"every answer was rejected; on_rejected='serve' would hand out the last one:{lines}")


class StreamBroken(RouterError):
    """A stream failed after a part of the answer had been shown. ``text`` is that part."""

    def __init__(self, model: str, text: str, why: str) -> None:
        self.model = model
        self.text = text
        self.why = why
        super().__init__(f"the stream of {model} broke off after {len(text)} characters: {why}")


class AsyncInSyncCall(RouterError):
    """Something that must be awaited was met in a sync call."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is async; call acomplete or astream instead, or give a sync one")


class StoreError(RouterError):
    """The store cannot be used. ``url`` is its address, without a password, ``reason`` says what is wrong with it,
    ``remedy`` what to do about it."""

    def __init__(self, url: str, reason: str, remedy: str) -> None:
        self.url = url
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"the store {url} cannot be used: {reason}; {remedy}")


class MissingExtra(RouterError, ImportError):
    """An optional dependency is missing."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; run: pip install 'router-core[{extra}]'")
