"""Every exception that a call can raise has its row in a table."""

from __future__ import annotations

import json
import traceback
from importlib import import_module
from importlib.util import find_spec

import openai
import openai._exceptions
import pytest

from router_core.errors import InvalidRequest
from router_core.hosts.failures import SDK, ProviderError, Row, redacted, row_of_status, sort_failure
from router_core.types import Failed, FailureKind

HTTP = [import_module(name) for name in ("httpx", "httpx2") if find_spec(name)]


def exceptions_of(module):
    # By type(), because isinstance() would wake the lazy attributes of the SDK.
    found = {value for value in vars(module).values() if type(value) is type and issubclass(value, Exception)}
    return sorted((cls for cls in found if not cls.__name__.startswith("_")), key=lambda cls: cls.__name__)


def connection_error(cls, http, cause):
    error = cls(request=http.Request("POST", "http://user:password@127.0.0.1:9/v1"))
    error.__cause__ = getattr(http, cause)("no luck")
    return error


@pytest.mark.parametrize("cls", exceptions_of(openai) + exceptions_of(openai._exceptions))
def test_every_exception_of_the_sdk_has_a_row(cls):
    assert cls.__name__ in SDK


@pytest.mark.parametrize("cls", [c for http in HTTP for c in exceptions_of(http) if issubclass(c, http.RequestError)])
def test_every_exception_of_its_http_libraries_is_sorted(cls):
    timeout = "Timeout" in cls.__name__
    expected = {FailureKind.TIMEOUT} if timeout else {FailureKind.CONNECTION, FailureKind.MALFORMED}
    assert sort_failure(cls("no luck")).kind in expected


@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize(
    ("cause", "billed"),
    [
        ("ConnectError", False),
        ("ConnectTimeout", False),
        ("PoolTimeout", False),
        ("ReadError", True),
        ("ReadTimeout", True),
    ],
)
def test_only_what_left_the_machine_may_be_billed(http, cause, billed):
    for error in (
        connection_error(openai.APIConnectionError, http, cause),
        connection_error(openai.APITimeoutError, http, cause),
        getattr(http, cause)("no luck"),
    ):
        assert sort_failure(error).may_be_billed is billed


@pytest.mark.parametrize("http", HTTP)
def test_a_connection_error_names_server_and_reason_but_no_credentials(http):
    error = sort_failure(connection_error(openai.APIConnectionError, http, "ConnectError")).error
    assert str(error).startswith("http://127.0.0.1:9 did not answer (no luck)")
    assert "password" not in str(error)
    assert isinstance(error.__cause__, openai.APIConnectionError)


@pytest.mark.parametrize(
    ("error", "row"),
    [
        (json.JSONDecodeError("no", "x", 0), Row(FailureKind.MALFORMED, may_be_billed=True)),
        (ConnectionResetError(), Row(FailureKind.CONNECTION, may_be_billed=True)),
        (ProviderError("no", Row(FailureKind.OVERLOADED)), Row(FailureKind.OVERLOADED)),
        (openai.OpenAIError("no"), Row(FailureKind.UNKNOWN)),
    ],
)
def test_other_failures_are_sorted_too(error, row):
    failed = sort_failure(error)
    assert failed.error is error
    assert (failed.kind, failed.may_be_billed) == row


@pytest.mark.parametrize("error", [TypeError(), RuntimeError(), InvalidRequest("no"), FileNotFoundError()])
def test_errors_of_the_program_are_none_of_a_call(error):
    assert sort_failure(error) is None


KEY = "sk-made-up"


def chained(message, cause):
    error = ValueError(message)
    error.__cause__ = ValueError(cause)
    return error


@pytest.mark.parametrize("error", [ValueError(f"no such key: {KEY}"), chained("no", f"no such key: {KEY}")])
def test_a_failure_that_tells_a_key_is_told_without_it(error):
    failed = redacted(Failed(error, FailureKind.AUTH, may_be_billed=True), {KEY})
    assert KEY not in "".join(traceback.format_exception(failed.error)) + repr(failed)
    assert str(failed.error) == str(error).replace(KEY, "[key]")
    assert (failed.kind, failed.may_be_billed) == (FailureKind.AUTH, True)
    assert sort_failure(failed.error) == failed


@pytest.mark.parametrize("secrets", [(), {"sk-another"}])
def test_a_failure_that_tells_no_key_is_handed_on_as_it_is(secrets):
    failed = Failed(chained(f"{KEY} is refused", "no"), FailureKind.AUTH)
    assert redacted(failed, secrets) is failed


@pytest.mark.parametrize("http", HTTP)
def test_a_connection_error_in_our_words_tells_no_key_of_its_cause(http):
    error = connection_error(openai.APIConnectionError, http, "ConnectError")
    error.args = (KEY,)
    assert KEY not in "".join(traceback.format_exception(sort_failure(error, {KEY}).error))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FailureKind.BAD_REQUEST),
        (401, FailureKind.AUTH),
        (403, FailureKind.AUTH),
        (404, FailureKind.NOT_FOUND),
        (408, FailureKind.TIMEOUT),
        (413, FailureKind.CONTEXT_OVERFLOW),
        (422, FailureKind.BAD_REQUEST),
        (429, FailureKind.RATE_LIMITED),
        (500, FailureKind.OVERLOADED),
        (503, FailureKind.OVERLOADED),
    ],
)
def test_a_status_alone_says_what_a_failure_is(status, kind):
    assert row_of_status(status).kind is kind
