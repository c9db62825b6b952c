"""What an exception of an LLM means, and the router's errors as LlamaIndex can let them through.

LlamaIndex takes a ``ValueError`` for an answer that cannot be parsed (``Refine`` then answers "Empty Response") and a
``RuntimeError`` for a nested event loop. So what a call of the router raises is neither: ``InvalidCall`` stands for the
core's ``InvalidRequest`` and for a ``ConfigError`` that shows only in a request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from router_core.errors import ConfigError, InvalidRequest, RouterError
from router_core.hosts.failures import Row, history, redacted, row_of_status, sort_failure
from router_core.types import Failed, FailureKind

_STALE = ("event loop is closed", "different event loop", "attached to a different loop")
"""What asyncio says of a connection whose event loop has ended, or is another one."""


class InvalidCall(RouterError):
    """The messages or options of a call are wrong; the message names the field, the value and the remedy."""


def sort_error(error: Exception, secrets: Collection[str] = ()) -> Failed | None:
    """What an exception of an LLM means; None for the router's own errors. Secrets are taken out of it."""
    if isinstance(error, RouterError):
        return None
    known = sort_failure(error)
    return redacted(known if known is not None else _by_nature(error), secrets)


def without_secrets(error: Exception, secrets: Collection[str]) -> Exception:
    """What kept a structured answer from being made, as it was raised; if it tells a secret, the same without it."""
    said = redacted(Failed(error, FailureKind.MALFORMED), secrets).error
    return error if said is error else ValueError(str(said))


def _by_nature(error: Exception) -> Failed:
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status > 0:
        return Failed(error, *row_of_status(status))
    if is_stale_loop(error):
        return Failed(error, FailureKind.CONNECTION)
    if isinstance(error, TimeoutError):
        return Failed(error, FailureKind.TIMEOUT, may_be_billed=True)
    if isinstance(error, ValueError | TypeError | NotImplementedError):
        # Integrations refuse so what they cannot send (a block, an argument) before any of it has left.
        return Failed(error, *Row(FailureKind.BAD_REQUEST))
    return Failed(error, FailureKind.UNKNOWN)


def is_stale_loop(error: BaseException | None) -> bool:
    """Whether a call failed because its client's connection belongs to another event loop: the provider is well.

    Every integration keeps its async client, and LlamaIndex makes a new event loop for each sync call that is async
    inside. The client drops the dead connection when it fails, so that the same call succeeds the next time.
    """
    return any(
        isinstance(each, RuntimeError) and any(words in str(each).lower() for words in _STALE)
        for each in history(error)
    )


@contextmanager
def as_plain_errors() -> Iterator[None]:
    """Raise what LlamaIndex would take for something else as ``InvalidCall``."""
    try:
        yield
    except (InvalidRequest, ConfigError) as error:
        plain = InvalidCall(str(error))
        plain.receipt = error.receipt
        raise plain from error
