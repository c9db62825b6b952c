"""What an exception of a call means, by table.

The openai SDK is built on httpx (2.x) or httpx2 (3.x) and lets some of their exceptions through. Anthropic's SDK comes
from the same generator, so that its classes have the same names. All are known by the names of their classes: none of
these packages is imported here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from router_core.types import Failed, FailureKind


class Row(NamedTuple):
    """What a failure is, and whether the provider had taken the request in."""

    kind: FailureKind
    may_be_billed: bool = False


class ProviderError(Exception):
    """A failed call in words of our own, where there is no exception, or one that says too little or tells a key.

    It reaches the application as the cause of a ``RouterError`` only.
    """

    def __init__(self, message: str, row: Row) -> None:
        self.row = row
        super().__init__(message)


SDK: Mapping[str, Row] = {
    "OpenAIError": Row(FailureKind.UNKNOWN),
    "APIError": Row(FailureKind.OVERLOADED, may_be_billed=True),
    "APIResponseValidationError": Row(FailureKind.MALFORMED, may_be_billed=True),
    "APIStatusError": Row(FailureKind.BAD_REQUEST),
    "APIConnectionError": Row(FailureKind.CONNECTION, may_be_billed=True),
    "APITimeoutError": Row(FailureKind.TIMEOUT, may_be_billed=True),
    "BadRequestError": Row(FailureKind.BAD_REQUEST),
    "AuthenticationError": Row(FailureKind.AUTH),
    "OAuthError": Row(FailureKind.AUTH),
    "PermissionDeniedError": Row(FailureKind.AUTH),
    "NotFoundError": Row(FailureKind.NOT_FOUND),
    "ConflictError": Row(FailureKind.OVERLOADED),
    "UnprocessableEntityError": Row(FailureKind.BAD_REQUEST),
    "RateLimitError": Row(FailureKind.RATE_LIMITED),
    "InternalServerError": Row(FailureKind.OVERLOADED),
    "LengthFinishReasonError": Row(FailureKind.MALFORMED, may_be_billed=True),
    "ContentFilterFinishReasonError": Row(FailureKind.BAD_REQUEST, may_be_billed=True),
    "InvalidWebhookSignatureError": Row(FailureKind.UNKNOWN),
    "SubjectTokenProviderError": Row(FailureKind.AUTH),
    "WebSocketConnectionClosedError": Row(FailureKind.CONNECTION, may_be_billed=True),
    "WebSocketQueueFullError": Row(FailureKind.CONNECTION),
    # Anthropic's alone.
    "AnthropicError": Row(FailureKind.UNKNOWN),
    "RequestTooLargeError": Row(FailureKind.CONTEXT_OVERFLOW),
    "OverloadedError": Row(FailureKind.OVERLOADED),
    "ServiceUnavailableError": Row(FailureKind.OVERLOADED),
    "DeadlineExceededError": Row(FailureKind.TIMEOUT, may_be_billed=True),
}
"""Every exception class of the SDKs. ``APIError`` itself is an error that a stream tells in place of a chunk; a 409 is
a lock that the SDK, too, takes for passing."""

STATUS: Mapping[int, Row] = {
    402: Row(FailureKind.AUTH),  # no credit left
    408: Row(FailureKind.TIMEOUT, may_be_billed=True),
    413: Row(FailureKind.CONTEXT_OVERFLOW),
    425: Row(FailureKind.OVERLOADED),
    504: Row(FailureKind.TIMEOUT, may_be_billed=True),
}
"""Statuses that say more than the SDK's class for them."""

_CLASSES: Mapping[int, FailureKind] = {
    401: FailureKind.AUTH,
    403: FailureKind.AUTH,
    404: FailureKind.NOT_FOUND,
    409: FailureKind.OVERLOADED,
    429: FailureKind.RATE_LIMITED,
}
"""Statuses for which the SDK has a class of its own, for clients that have none (``ollama.ResponseError``)."""

TRANSPORT: Mapping[str, Row] = {
    "HTTPError": Row(FailureKind.CONNECTION, may_be_billed=True),
    "TimeoutException": Row(FailureKind.TIMEOUT, may_be_billed=True),
    "DecodingError": Row(FailureKind.MALFORMED, may_be_billed=True),
    "TooManyRedirects": Row(FailureKind.CONNECTION),
    "InvalidURL": Row(FailureKind.CONNECTION),
}
"""Exceptions of httpx and httpx2: the SDK lets them through where a stream breaks off."""

UNSENT = frozenset(
    {
        "ConnectError",
        "ConnectTimeout",
        "InvalidURL",
        "LocalProtocolError",
        "PoolTimeout",
        "ProxyError",
        "UnsupportedProtocol",
    }
)
"""Their exceptions that come before a request has left: nothing can have been billed."""

_SDKS = frozenset({"openai", "anthropic"})
_HTTP = frozenset({"httpx", "httpx2"})

_TOO_LONG = re.compile(
    r"context[ _-](length|size|window)|prompt is too long|maximum (prompt|model) length|maximum number of tokens",
    re.IGNORECASE,
)
"""How servers say that a request does not fit the model: OpenAI's code, and the words of vLLM, llama-server, Anthropic,
xAI, Fireworks and Gemini."""


def sort_failure(error: Exception, secrets: Collection[str] = ()) -> Failed | None:
    """What an exception of a call means; None if it is no failure of the call but one of the program.

    The exception is handed on as it is, unless it tells one of the ``secrets`` or, for want of an answer, nothing.
    """
    row = _row(error)
    if row is None:
        return None
    text = _told(error)
    if text == str(error):
        return redacted(Failed(error, *row), secrets)
    said = ProviderError(text, row)
    said.__cause__ = error
    return redacted(Failed(said, *row), secrets)


def redacted(failed: Failed, secrets: Collection[str]) -> Failed:
    """The failure as it is, unless its exception or one that led to it (a traceback shows all) tells one of the
    ``secrets``: then with a ``ProviderError`` that says the same without them and comes from none."""
    told = "".join(f"{each} {each!r}" for each in history(failed.error)) if secrets else ""
    if not any(secret in told for secret in secrets):
        return failed
    text = str(failed.error)
    for secret in secrets:
        text = text.replace(secret, "[key]")
    row = Row(failed.kind, failed.may_be_billed)
    return Failed(ProviderError(text, row), *row)


def history(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, the latest first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _row(error: Exception) -> Row | None:
    if isinstance(error, ProviderError):
        return error.row
    for package, name in _classes(error):
        if package in _SDKS and name in SDK:
            return _sdk_row(error, name)
        if package in _HTTP and name in TRANSPORT:
            return _sent(error, TRANSPORT[name])
    if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
        return Row(FailureKind.MALFORMED, may_be_billed=True)
    return Row(FailureKind.CONNECTION, may_be_billed=True) if isinstance(error, ConnectionError) else None


def _sdk_row(error: Exception, name: str) -> Row:
    row = SDK[name]
    if name == "APIError":
        return row_of_code(getattr(error, "code", None), str(error)) or row
    if row.kind in {FailureKind.CONNECTION, FailureKind.TIMEOUT}:
        return _sent(error.__cause__, row)
    if getattr(error, "code", None) == "insufficient_quota":
        return Row(FailureKind.AUTH)
    row = STATUS.get(getattr(error, "status_code", 0), row)
    if row.kind is FailureKind.BAD_REQUEST and _TOO_LONG.search(said_by(error)):
        return Row(FailureKind.CONTEXT_OVERFLOW)
    return row


def said_by(error: Exception) -> str:
    """All that an exception of the SDK tells of the server's words: its message alone may leave out the body."""
    return f"{error} {getattr(error, 'code', None)} {getattr(error, 'body', None)}"


def row_of_code(code: object, message: str) -> Row | None:
    """What an error means that was told in a body of status 200, whole or streamed; None if the code says nothing.

    The code is an HTTP status (OpenRouter) or a word (OpenAI).
    """
    word = str(code)
    status = int(word) if re.fullmatch(r"[1-5]\d\d", word) else 0
    if "rate_limit" in word or status == 429:  # noqa: PLR2004
        return Row(FailureKind.RATE_LIMITED)
    if status in STATUS:
        return STATUS[status]
    if word == "insufficient_quota" or status in {401, 403}:
        return Row(FailureKind.AUTH)
    if _TOO_LONG.search(f"{word} {message}"):
        return Row(FailureKind.CONTEXT_OVERFLOW)
    if 400 <= status < 500:  # noqa: PLR2004
        return Row(FailureKind.BAD_REQUEST)
    return None


def row_of_status(status: int) -> Row:
    """What an HTTP status means of which nothing else is known: no class of the SDK, no code, no words."""
    if status in STATUS:
        return STATUS[status]
    return Row(_CLASSES.get(status, FailureKind.OVERLOADED if status >= 500 else FailureKind.BAD_REQUEST))  # noqa: PLR2004


def _sent(error: BaseException | None, row: Row) -> Row:
    """The row, but not billed where the request never left."""
    unsent = error is not None and any(name in UNSENT for package, name in _classes(error) if package in _HTTP)
    return Row(row.kind, may_be_billed=row.may_be_billed and not unsent)


def _classes(error: BaseException) -> Iterator[tuple[str, str]]:
    """Package and name of an exception's class and of those that it derives from."""
    for cls in type(error).__mro__:
        yield cls.__module__.partition(".")[0], cls.__name__


def _told(error: Exception) -> str:
    """What an exception says; the SDK's connection errors, which name neither server nor reason, with both."""
    names = {name for package, name in _classes(error) if package in _SDKS}
    if "APIConnectionError" not in names:
        return str(error)
    url: Any = getattr(getattr(error, "request", None), "url", None)
    server = f"{url.scheme}://{url.host}" + (f":{url.port}" if url.port else "") if url is not None else "the server"
    reason = str(error.__cause__ or "") or type(error.__cause__ or error).__name__
    timeout = "APITimeoutError" in names
    remedy = "give its endpoint a longer timeout_s" if timeout else "is base_url right, and is the server running?"
    return f"{server} did not answer ({reason}); {remedy}"
