"""What an exception of a chat model means, and the router's errors as LangChain's own.

::

    the core's           and LangChain's             are
    AllAttemptsFailed        ModelError                  AllModelsFailed (retryable if the last failure may pass)
    NoFeasibleModel          ModelInvalidRequestError    NoModelFits
    NoFeasibleModel          ContextOverflowError        ContextFitsNoModel (all were refused for their windows)
    StreamBroken             ModelConnectionError        ChatStreamBroken
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
    OutputParserException,
)

from langchain_router.pause import control_flow
from router_core.errors import AllAttemptsFailed, NoFeasibleModel, RouterError, StreamBroken
from router_core.hosts.failures import Row, redacted, row_of_status, sort_failure
from router_core.records import RefusalCode
from router_core.types import TRANSIENT, Failed, FailureKind


class AllModelsFailed(AllAttemptsFailed, ModelError):
    """Every model that was tried failed."""


class NoModelFits(NoFeasibleModel, ModelInvalidRequestError):
    """The constraints leave no model."""


class ContextFitsNoModel(NoFeasibleModel, ContextOverflowError):
    """The conversation is too long for every model."""


class ChatStreamBroken(StreamBroken, ModelConnectionError):
    """The stream failed after a part of the answer had been shown."""


_KINDS: tuple[tuple[type[ModelError], Row], ...] = (
    (ContextOverflowError, Row(FailureKind.CONTEXT_OVERFLOW)),
    (ModelRateLimitError, Row(FailureKind.RATE_LIMITED)),
    (ModelTimeoutError, Row(FailureKind.TIMEOUT, may_be_billed=True)),
    (ModelConnectionError, Row(FailureKind.CONNECTION, may_be_billed=True)),
    (ModelAuthenticationError, Row(FailureKind.AUTH)),
    (ModelPermissionDeniedError, Row(FailureKind.AUTH)),
    (ModelNotFoundError, Row(FailureKind.NOT_FOUND)),
    (ModelAPIError, Row(FailureKind.OVERLOADED)),
    (ModelInvalidRequestError, Row(FailureKind.BAD_REQUEST)),
)
"""LangChain's typed errors, the special ones first."""


def sort_error(error: Exception, secrets: Collection[str] = ()) -> Failed | None:
    """What an exception of a chat model means; None for the router's own errors and for control flow of LangGraph.

    The exception is handed on as it is, unless it tells one of the ``secrets``.
    """
    failed = _sorted(error)
    return None if failed is None else redacted(failed, secrets)


def _sorted(error: Exception) -> Failed | None:
    if isinstance(error, (RouterError, *control_flow())):
        return None
    for cls, row in _KINDS:
        if isinstance(error, cls):
            overflow = row.kind is FailureKind.BAD_REQUEST and getattr(error, "code", None) == "context_length_exceeded"
            return Failed(error, FailureKind.CONTEXT_OVERFLOW if overflow else row.kind, row.may_be_billed)
    known = sort_failure(error)
    return known if known is not None else _by_status(error)


def _by_status(error: Exception) -> Failed:
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status > 0:
        return Failed(error, *row_of_status(status))
    if isinstance(error, TimeoutError):
        return Failed(error, FailureKind.TIMEOUT, may_be_billed=True)
    if isinstance(error, OutputParserException | ValueError):
        # Raised while an answer is read: the answer was there, and paid for.
        return Failed(error, FailureKind.MALFORMED, may_be_billed=True)
    return Failed(error, FailureKind.UNKNOWN)


@contextmanager
def as_langchain_errors() -> Iterator[None]:
    """Raise the core's errors as the classes above."""
    try:
        yield
    except AllAttemptsFailed as error:
        failed = AllModelsFailed(error.attempts)
        last = error.attempts[-1].failure
        failed.is_retryable = last in TRANSIENT
        raise _like(failed, error) from error.__cause__
    except NoFeasibleModel as error:
        codes = {refusal.code for refusal in error.refusals}
        cls = ContextFitsNoModel if codes == {RefusalCode.CONTEXT_WINDOW} else NoModelFits
        raise _like(cls(error.refusals), error) from error.__cause__
    except StreamBroken as error:
        raise _like(ChatStreamBroken(error.model, error.text, error.why), error) from error.__cause__


def _like(new: RouterError, old: RouterError) -> RouterError:
    new.receipt = old.receipt
    return new
