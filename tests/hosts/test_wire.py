"""The OpenAI host against servers that misbehave, sync and async, on our own wire server."""

from __future__ import annotations

import socket
import threading

import pytest

from router_core.types import FailureKind, ToolCall, Usage

HOWS = pytest.mark.parametrize("how", ["call", "stream"])
HTML = "<!doctype html><title>Welcome</title>"


def completion(message=None, **fields):
    message = message or {"role": "assistant", "content": "Hello."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], **fields}


@pytest.fixture
def caller(wire, calling):
    return calling(wire.url)


# Connections that break, hang or lead nowhere.


@HOWS
async def test_a_reset_before_the_answer_may_have_been_billed(wire, caller, how):
    wire.script = lambda request: request.reset()
    failed = await caller.failure(how, "Hi")
    assert (failed.kind, failed.may_be_billed) == (FailureKind.CONNECTION, True)
    assert wire.url in str(failed.error)


@pytest.mark.parametrize("end", ["reset", "hang_up"])
async def test_what_was_heard_before_a_stream_broke_is_kept(wire, caller, end):
    def script(request):
        request.begin_stream()
        request.say("The first ", "words", finish=None)
        heard.wait(10)
        getattr(request, end)()

    wire.script = script
    heard = threading.Event()
    with pytest.raises(Exception) as caught:  # noqa: PT011, PT012 - its meaning is what is tested
        async with caller.open("Hi") as chunks:
            said = [(await anext(chunks)).text, (await anext(chunks)).text]
            heard.set()
            await anext(chunks)
    failed = caller.host.failed(caught.value)
    assert said == ["The first ", "words"]
    assert (failed.kind, failed.may_be_billed) == (FailureKind.CONNECTION, True)


async def test_a_stream_that_ends_without_a_finish_reason_was_cut(wire, caller):
    def script(request):
        request.begin_stream(chunked=False)
        request.say("The first words", finish=None)
        request.hang_up()

    wire.script = script
    failed = await caller.failure("stream", "Hi")
    assert caller.host.join(caller.heard).text == "The first words"
    assert (failed.kind, failed.may_be_billed) == (FailureKind.CONNECTION, True)
    assert "broke off" in str(failed.error)


@HOWS
async def test_a_server_that_never_answers_times_out(wire, calling, how):
    wire.script = lambda request: request.client_leaves()
    caller = calling(wire.url, timeout_s=0.2)
    failed = await caller.failure(how, "Hi")
    assert (failed.kind, failed.may_be_billed) == (FailureKind.TIMEOUT, True)


async def test_a_stream_that_stalls_times_out(wire, calling):
    def script(request):
        request.begin_stream()
        request.say("The first words", finish=None)
        request.client_leaves()

    wire.script = script
    caller = calling(wire.url, timeout_s=0.2)
    failed = await caller.failure("stream", "Hi")
    assert caller.host.join(caller.heard).text == "The first words"
    assert (failed.kind, failed.may_be_billed) == (FailureKind.TIMEOUT, True)


@HOWS
async def test_a_port_where_nobody_listens_costs_nothing(calling, how):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    failed = await calling(url).failure(how, "Hi")
    assert (failed.kind, failed.may_be_billed) == (FailureKind.CONNECTION, False)
    assert url in str(failed.error)
    assert "base_url" in str(failed.error)


# Bodies that are no answer.


@HOWS
async def test_a_page_in_place_of_an_answer_points_at_the_base_url(wire, caller, how):
    wire.script = lambda request: request.answer(HTML, content_type="text/html")
    failed = await caller.failure(how, "Hi")
    assert (failed.kind, failed.may_be_billed) == (FailureKind.MALFORMED, True)
    assert "base_url" in str(failed.error)
    assert "Welcome" not in str(failed.error)


@HOWS
async def test_a_path_that_is_not_there_is_not_found(wire, caller, how):
    wire.script = lambda request: request.answer(HTML, status=404, content_type="text/html")
    failed = await caller.failure(how, "Hi")
    assert (failed.kind, failed.may_be_billed) == (FailureKind.NOT_FOUND, False)


@pytest.mark.parametrize(
    "body",
    ["{", "[]", "null", "{}", '{"choices": []}', '{"choices": null}', '{"choices": ["x"]}', '{"choices": [{}]}'],
)
async def test_json_that_is_no_completion_is_malformed(wire, caller, body):
    wire.script = lambda request: request.answer(body)
    failed = await caller.failure("call", "Hi")
    assert (failed.kind, failed.may_be_billed) == (FailureKind.MALFORMED, True)


@pytest.mark.parametrize("event", ["{", b"\xff\xfe".decode("latin-1")])
async def test_an_event_that_does_not_parse_breaks_the_stream(wire, caller, event):
    def script(request):
        request.begin_stream()
        request.event({"choices": [{"index": 0, "delta": {"content": "Hel"}}]})
        request.event(event)

    wire.script = script
    failed = await caller.failure("stream", "Hi")
    assert caller.host.join(caller.heard).text == "Hel"
    assert (failed.kind, failed.may_be_billed) == (FailureKind.MALFORMED, True)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (429, FailureKind.RATE_LIMITED),
        ("rate_limit_exceeded", FailureKind.RATE_LIMITED),
        (402, FailureKind.AUTH),
        (400, FailureKind.BAD_REQUEST),
        ("context_length_exceeded", FailureKind.CONTEXT_OVERFLOW),
        (502, FailureKind.OVERLOADED),
        (None, FailureKind.OVERLOADED),
    ],
)
@HOWS
async def test_an_error_told_with_status_200_is_sorted_by_its_code(wire, caller, how, code, kind):
    told = {"error": {"message": "Provider returned error", "code": code}}

    def script(request):
        if how == "call":
            request.answer(told)
        else:
            request.begin_stream()
            request.event(told)

    wire.script = script
    failed = await caller.failure(how, "Hi")
    assert failed.kind is kind
    assert "Provider returned error" in str(failed.error)


@pytest.mark.parametrize(
    ("status", "kind", "billed"),
    [
        (400, FailureKind.BAD_REQUEST, False),
        (402, FailureKind.AUTH, False),
        (403, FailureKind.AUTH, False),
        (404, FailureKind.NOT_FOUND, False),
        (408, FailureKind.TIMEOUT, True),
        (409, FailureKind.OVERLOADED, False),
        (413, FailureKind.CONTEXT_OVERFLOW, False),
        (422, FailureKind.BAD_REQUEST, False),
        (503, FailureKind.OVERLOADED, False),
        (504, FailureKind.TIMEOUT, True),
        (529, FailureKind.OVERLOADED, False),
    ],
)
async def test_each_status_has_its_meaning(wire, caller, status, kind, billed):
    wire.script = lambda request: request.answer({"error": {"message": "No."}}, status=status)
    failed = await caller.failure("call", "Hi")
    assert (failed.kind, failed.may_be_billed) == (kind, billed)


@pytest.mark.parametrize(
    "message",
    [
        "the request exceeds the available context size, try increasing it",
        "prompt is too long: 250000 tokens > 200000 maximum",
        "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
        "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
    ],
)
async def test_a_request_too_long_is_known_by_the_words_of_each_provider(wire, caller, message):
    wire.script = lambda request: request.answer({"error": {"message": message}}, status=400)
    failed = await caller.failure("call", "Hi")
    assert failed.kind is FailureKind.CONTEXT_OVERFLOW


async def test_an_empty_account_is_no_passing_rate_limit(wire, caller):
    told = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    wire.script = lambda request: request.answer(told, status=429)
    assert (await caller.failure("call", "Hi")).kind is FailureKind.AUTH


# What is sent, and answers that differ from OpenAI's.


async def test_pictures_recordings_and_files_arrive_as_they_were_given(wire, caller):
    parts = [
        {"type": "text", "text": "Compare.", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
    ]
    messages = [{"role": "user", "content": parts, "name": "ada"}]
    wire.script = lambda request: request.answer(completion())
    await caller.call(messages)
    assert wire.requests[0].body["messages"] == messages


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        pytest.param(None, None, id="none"),
        pytest.param(
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 10, "audio_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 4},
            },
            Usage(
                input_tokens=100,
                output_tokens=50,
                cache_read_tokens=80,
                cache_write_tokens=10,
                reasoning_tokens=30,
                input_audio_tokens=5,
                output_audio_tokens=4,
            ),
            id="all",
        ),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 115,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            Usage(input_tokens=10, output_tokens=105, reasoning_tokens=100),
            id="reasoning-only-in-the-total",
        ),
        pytest.param(
            {"prompt_tokens": 3, "completion_tokens": None, "prompt_tokens_details": None},
            Usage(input_tokens=3),
            id="gaps",
        ),
    ],
)
@HOWS
async def test_every_kind_of_token_is_counted(wire, caller, how, told, usage):
    def script(request):
        if how == "call":
            request.answer(completion(usage=told))
        else:
            request.begin_stream()
            request.say("Hello.", usage=told)

    wire.script = script
    assert (await getattr(caller, how)("Hi")).usage == usage


async def test_a_refusal_is_told_apart_from_an_answer(wire, caller):
    wire.script = lambda request: request.answer(completion({"content": None, "refusal": "I cannot help with that."}))
    reply = await caller.call("Hi")
    assert (reply.text, reply.refusal) == ("", "I cannot help with that.")


async def test_a_streamed_refusal_is_told_apart_from_an_answer(wire, caller):
    def script(request):
        request.begin_stream()
        for piece in ("I cannot ", "help."):
            request.event({"choices": [{"index": 0, "delta": {"refusal": piece}}]})
        request.say()

    wire.script = script
    reply = await caller.stream("Hi")
    assert (reply.text, reply.refusal) == ("", "I cannot help.")


async def test_parts_and_parsed_arguments_are_read_too(wire, caller):
    message = {
        "content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Hello."}],
        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {"x": 1}}}, {"function": {"name": "g"}}],
    }
    wire.script = lambda request: request.answer(completion(message))
    reply = await caller.call("Hi")
    assert reply.text == "Hello."
    assert reply.tool_calls == (ToolCall("1", "f", '{"x": 1}'), ToolCall("", "g", ""))


async def test_calls_that_a_server_all_numbers_zero_stay_apart(wire, caller):
    def script(request):
        request.begin_stream()
        for ident, name in (("a", "f"), ("b", "g")):
            call = {"index": 0, "id": ident, "function": {"name": name, "arguments": "{}"}}
            request.event({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
        request.say(finish="tool_calls")

    wire.script = script
    assert (await caller.stream("Hi")).tool_calls == (ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}"))


async def test_only_the_first_of_several_choices_is_the_answer(wire, caller):
    def script(request):
        request.begin_stream()
        for index, text in ((1, "Other."), (0, "First.")):
            request.event({"choices": [{"index": index, "delta": {"content": text}}]})
        request.say()

    wire.script = script
    assert (await caller.stream("Hi", extra={"n": 2})).text == "First."


@pytest.mark.parametrize(("told", "meant"), [("model_length", "length"), ("eos", "stop"), ("", None)])
async def test_other_words_for_the_end_are_understood(wire, caller, told, meant):
    choice = {"index": 0, "message": {"content": "Hello."}, "finish_reason": told}
    wire.script = lambda request: request.answer({"choices": [choice]})
    assert (await caller.call("Hi")).finish_reason == meant


async def test_a_server_that_refuses_stream_options_streams_without_them(wire, caller):
    def script(request):
        if "stream_options" in request.body:
            detail = [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]
            request.answer({"detail": detail}, status=422)
        else:
            request.begin_stream()
            request.say("Hello.")

    wire.script = script
    for _ in range(2):
        reply = await caller.stream("Hi")
        assert (reply.text, reply.usage) == ("Hello.", None)
    # It is asked once in vain, then no more.
    assert ["stream_options" in request.body for request in wire.requests] == [True, False, False]


# Closing early.


async def test_closing_a_stream_early_hangs_up(wire, caller):
    def script(request):
        request.begin_stream()
        request.say("The first words", finish=None)
        request.client_leaves()
        left.set()

    wire.script = script
    left = threading.Event()
    async with caller.open("Hi") as chunks:
        assert (await anext(chunks)).text == "The first words"
    assert left.wait(10)


async def test_a_stream_that_was_never_read_was_never_asked_for(wire, caller):
    async with caller.open("Hi"):
        pass
    assert wire.requests == []
