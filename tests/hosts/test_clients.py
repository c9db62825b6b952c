"""Clients of the OpenAI host: keys, errors without secrets, one client for all threads and one for each event loop."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading

import pytest

from router_core.effects import CallModel, Voice
from router_core.errors import ConfigError, MissingExtra, RouterError
from router_core.hosts import clients
from router_core.hosts.chat import ChatPayload
from router_core.hosts.openai import OpenAIHost
from router_core.registry import KNOWN_ENDPOINTS, Endpoint
from router_core.testing import forbid_model_calls
from router_core.types import FailureKind, Model

HOWS = pytest.mark.parametrize("how", ["call", "stream"])
KEY = "sk-very-secret-0123456789"
PAYLOAD = ChatPayload(messages=({"role": "user", "content": "Hi"},))
HELLO = {"model": "m", "choices": [{"index": 0, "message": {"content": "Hello."}, "finish_reason": "stop"}]}


def answering(wire):
    wire.script = lambda request: request.answer(HELLO)
    return wire.url


@pytest.fixture
def keyed(wire, calling, monkeypatch):
    """A caller whose endpoint needs a key."""
    monkeypatch.setenv("HERE_API_KEY", KEY)
    return calling(answering(wire), api_key_env="HERE_API_KEY")


# Keys.


@HOWS
async def test_a_missing_key_is_named_before_anything_is_sent(wire, calling, how):
    caller = calling(answering(wire), api_key_env="HERE_API_KEY")
    with pytest.raises(ConfigError, match="HERE_API_KEY"):
        caller.host.check(caller.model)
    failed = await caller.failure(how, "Hi")
    assert (failed.kind, failed.may_be_billed) == (FailureKind.AUTH, False)
    assert "'here'" in str(failed.error)
    assert "HERE_API_KEY" in str(failed.error)
    assert wire.requests == []


async def test_a_key_that_comes_later_is_taken(wire, calling, monkeypatch):
    caller = calling(answering(wire), api_key_env="HERE_API_KEY")
    await caller.failure("call", "Hi")
    monkeypatch.setenv("HERE_API_KEY", KEY)
    assert (await caller.call("Hi")).text == "Hello."


async def test_the_key_is_sent_without_the_line_end_that_files_bring(wire, keyed, monkeypatch):
    monkeypatch.setenv("HERE_API_KEY", f"{KEY}\n")
    await keyed.call("Hi")
    assert wire.requests[0].headers["authorization"] == f"bearer {KEY}"


@pytest.mark.parametrize("key", ["", "  ", "sk-…", "sk-a\nb"])
async def test_what_cannot_be_a_key_is_refused_without_showing_it(keyed, monkeypatch, key):
    monkeypatch.setenv("HERE_API_KEY", key)
    with pytest.raises(ConfigError, match="HERE_API_KEY") as caught:
        keyed.host.check(keyed.model)
    assert "sk-" not in str(caught.value)


async def test_the_environment_is_only_read(keyed):
    before = dict(os.environ)
    await keyed.call("Hi")
    assert dict(os.environ) == before


async def test_a_local_server_needs_no_key(wire, calling, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    await calling(answering(wire)).call("Hi")
    (request,) = wire.requests
    told = str(request.headers)
    assert KEY not in told
    assert "org-mine" not in told
    assert "proj-mine" not in told


async def test_no_repr_shows_a_key(keyed):
    await keyed.call("Hi")
    assert KEY not in repr(keyed.host)
    assert KEY not in repr(vars(keyed.host))
    assert "here" in repr(keyed.host)


@pytest.mark.parametrize(
    "body", [{"error": {"message": f"Incorrect key: {KEY}"}}, {"detail": f"bad header Bearer {KEY}"}, f"<b>{KEY}</b>"]
)
@pytest.mark.parametrize("status", [401, 500])
@HOWS
async def test_a_key_that_a_server_echoes_is_blotted_out(wire, keyed, how, status, body):
    wire.script = lambda request: request.answer(body, status=status)
    failed = await keyed.failure(how, "Hi")
    assert failed.kind is (FailureKind.AUTH if status == 401 else FailureKind.OVERLOADED)
    error = failed.error
    while error is not None:
        assert KEY not in f"{error} {error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


async def test_a_key_that_a_stream_echoes_is_blotted_out(wire, keyed):
    def script(request):
        request.begin_stream()
        request.event({"error": {"message": f"who is {KEY}?"}})

    wire.script = script
    failed = await keyed.failure("stream", "Hi")
    assert KEY not in str(failed.error)
    assert "who is [key]?" in str(failed.error)


# Endpoints.


def test_all_known_endpoints_have_sound_urls():
    assert "openai" in repr(OpenAIHost(KNOWN_ENDPOINTS))


@pytest.mark.parametrize(
    "base_url", ["", "localhost:11434/v1", "http://", "http://[::1/v1", "ftp://host", "http://h:x"]
)
def test_a_base_url_that_is_none_is_a_configuration_error(base_url):
    with pytest.raises(ConfigError, match=r"endpoints\.here\.base_url"):
        OpenAIHost({"here": Endpoint(name="here", base_url=base_url, provider="here")})


@HOWS
async def test_an_unknown_endpoint_is_a_configuration_error_and_no_outage(calling, how):
    caller = calling("http://127.0.0.1:9")
    caller.model = Model(name="their:m", id="m", provider="their", endpoint="hare")
    with pytest.raises(ConfigError, match="did you mean 'here'") as caught:
        await getattr(caller, how)("Hi")
    assert caller.host.failed(caught.value) is None


@HOWS
async def test_the_fuse_stops_calls_that_leave_the_machine(calling, how):
    caller = calling("http://models.example")
    with forbid_model_calls(), pytest.raises(RouterError, match=r"models\.example") as caught:
        await getattr(caller, how)("Hi")
    assert caller.host.failed(caught.value) is None


@HOWS
async def test_without_the_sdk_the_error_names_the_extra(calling, monkeypatch, how):
    monkeypatch.setitem(sys.modules, "openai", None)
    caller = calling("http://127.0.0.1:9")
    with pytest.raises(MissingExtra, match=r"router-core\[openai\]"):
        caller.host.check(caller.model)
    with pytest.raises(MissingExtra) as caught:
        await getattr(caller, how)("Hi")
    assert caller.host.failed(caught.value) is None


def test_errors_of_the_program_are_let_through():
    assert OpenAIHost({}).failed(TypeError("a bug")) is None


# How many clients.


async def test_calls_in_a_row_share_one_connection(wire, calling):
    caller = calling(answering(wire))
    for _ in range(3):
        await caller.call("Hi")
    assert (len(wire.requests), wire.connections) == (3, 1)


async def test_a_closed_host_opens_anew(wire, calling):
    caller = calling(answering(wire))
    await caller.call("Hi")
    await caller.aclose()
    assert (await caller.call("Hi")).text == "Hello."
    assert wire.connections == 2


def direct(wire):
    endpoint = Endpoint(name="here", base_url=f"{answering(wire)}/v1", provider="here")
    model = Model(name="here:m", id="m", provider="here", endpoint="here")
    return OpenAIHost({"here": endpoint}), CallModel(model, Voice.HELD)


def test_threads_share_one_client(wire, monkeypatch):
    host, effect = direct(wire)
    made = []
    sdk = clients.sdk()
    real = sdk.OpenAI
    monkeypatch.setattr(sdk, "OpenAI", lambda **fields: made.append(1) or real(**fields))
    together = threading.Barrier(8)
    texts = []

    def work():
        together.wait()
        texts.append(host.call(effect, PAYLOAD).text)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    host.close()
    assert texts == ["Hello."] * 8
    assert made == [1]


def test_event_loops_one_after_another_each_get_answers(wire):
    host, effect = direct(wire)

    async def twice():
        replies = await asyncio.gather(host.acall(effect, PAYLOAD), host.acall(effect, PAYLOAD))
        await host.aclose()
        return [reply.text for reply in replies]

    for _ in range(3):
        assert asyncio.run(twice()) == ["Hello.", "Hello."]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_was_left_without_closing_does_no_harm_to_the_next(wire, caplog):
    host, effect = direct(wire)
    for _ in range(3):
        assert asyncio.run(host.acall(effect, PAYLOAD)).text == "Hello."

    async def last():
        text = (await host.acall(effect, PAYLOAD)).text
        gc.collect()
        await host.aclose()
        return text

    assert asyncio.run(last()) == "Hello."
    assert not caplog.records  # no task of a dead loop complains
    gc.collect()


def test_event_loops_in_two_threads_do_not_share_connections(wire):
    host, effect = direct(wire)
    together = threading.Barrier(2)
    texts = []

    async def work():
        await asyncio.to_thread(together.wait)
        texts.extend([(await host.acall(effect, PAYLOAD)).text for _ in range(3)])
        await host.aclose()

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["Hello."] * 6
    assert wire.connections == 2


async def test_a_cancelled_call_hangs_up(wire):
    host, effect = direct(wire)
    asked, left = threading.Event(), threading.Event()

    def script(request):
        asked.set()
        request.client_leaves()
        left.set()

    wire.script = script
    call = asyncio.create_task(host.acall(effect, PAYLOAD))
    await asyncio.to_thread(asked.wait, 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await asyncio.to_thread(left.wait, 10)
    await host.aclose()
