"""The OpenAI host against aimock, sync and async; replayed from cassettes where node is missing."""

from __future__ import annotations

import json

import pytest

from router_core.types import FailureKind, ToolCall, Usage

WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PERSON = {
    "title": "Person",
    "type": "object",
    "properties": {"name": {"type": "string"}, "born": {"type": "integer"}},
    "required": ["name", "born"],
}
BOTH_CALLS = (
    ToolCall("call_paris", "get_weather", '{"city": "Paris", "unit": "celsius"}'),
    ToolCall("call_rome", "get_weather", '{"city": "Rome", "unit": "celsius"}'),
)
QUESTION = "What is the capital of France?"


@pytest.fixture
def caller(aimock, calling):
    return calling(aimock.url)


async def test_an_answer_comes_with_its_usage_and_the_sdks_own_object(aimock, caller):
    reply = await caller.call(QUESTION)
    assert reply.text == "Paris is the capital of France."
    assert (reply.finish_reason, reply.refusal, reply.tool_calls) == ("stop", None, ())
    assert reply.usage == Usage(input_tokens=14, output_tokens=7)
    assert reply.model_id == "small"
    assert reply.native.choices[0].message.content == reply.text
    (sent,) = aimock.sent()
    assert sent["model"] == "small"
    assert sent["messages"] == [{"role": "user", "content": QUESTION}]
    assert not {"tools", "tool_choice", "response_format", "stream", "max_tokens", "temperature"} & sent.keys()


async def test_a_stream_says_the_same_in_pieces_and_asks_for_its_usage(aimock, caller):
    streamed = await caller.stream(QUESTION)
    assert len(caller.heard) > 2
    assert streamed.text == "Paris is the capital of France."
    assert (streamed.finish_reason, streamed.usage) == ("stop", Usage(input_tokens=14, output_tokens=7))
    assert "".join(chunk.text for chunk in caller.host.replay(streamed)) == streamed.text
    (sent,) = aimock.sent()
    assert sent["stream"] is True
    assert sent["stream_options"] == {"include_usage": True}


async def test_tools_are_offered_and_two_are_called_at_once(aimock, caller):
    reply = await caller.call("weather in Paris and Rome", tools=[WEATHER], tool_choice="any")
    assert reply.tool_calls == BOTH_CALLS
    assert (reply.text, reply.finish_reason) == ("", "tool_calls")
    (sent,) = aimock.sent()
    assert sent["tools"] == [{"type": "function", "function": WEATHER}]
    assert sent["tool_choice"] == "required"


async def test_streamed_arguments_are_joined_to_the_same_calls(caller):
    reply = await caller.stream("weather in Paris and Rome", tools=[WEATHER], tool_choice="get_weather")
    assert reply.tool_calls == BOTH_CALLS
    assert reply.finish_reason == "tool_calls"
    pieces = [delta for chunk in caller.heard for delta in chunk.tool_calls if delta.index == 0]
    assert len(pieces) > 2
    assert json.loads("".join(piece.arguments for piece in pieces))["city"] == "Paris"


async def test_the_result_of_a_tool_goes_back_to_the_model(aimock, caller):
    conversation = [
        {"role": "user", "content": "How warm is it in Paris?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_paris", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_paris", "content": "21"},
    ]
    reply = await caller.call(conversation, tools=[WEATHER])
    assert reply.text == "It is 21 degrees in Paris."
    assert aimock.sent()[0]["messages"] == conversation


@pytest.mark.parametrize("how", ["call", "stream"])
async def test_an_output_schema_is_sent_and_answered(aimock, caller, how):
    reply = await getattr(caller, how)("Who was Ada Lovelace?", schema=PERSON)
    assert json.loads(reply.text) == {"name": "Ada Lovelace", "born": 1815}
    (sent,) = aimock.sent()
    assert sent["response_format"] == {"type": "json_schema", "json_schema": {"name": "Person", "schema": PERSON}}


async def test_what_shapes_the_answer_is_sent_as_it_was_given(aimock, caller):
    await caller.call(
        QUESTION, max_tokens=50, temperature=0.2, top_p=0.9, stop=["\n\n"], seed=7, extra={"reasoning_effort": "low"}
    )
    (sent,) = aimock.sent()
    wanted = {"max_tokens": 50, "temperature": 0.2, "top_p": 0.9, "stop": ["\n\n"], "seed": 7}
    assert wanted.items() <= sent.items()
    assert sent["reasoning_effort"] == "low"


async def test_openai_itself_is_told_max_completion_tokens(aimock, calling):
    await calling(aimock.url, provider="openai").call(QUESTION, max_tokens=50)
    (sent,) = aimock.sent()
    assert sent["max_completion_tokens"] == 50
    assert "max_tokens" not in sent


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param([], ["Say more."], id="none"),
        pytest.param([{"role": "system", "content": "Be brief."}], ["Be brief.\n\nSay more."], id="text"),
        pytest.param(
            [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}],
            [[{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Say more."}]],
            id="parts",
        ),
    ],
)
async def test_a_note_to_the_model_stands_in_the_one_system_message(aimock, caller, given, expected):
    await caller.call([*given, {"role": "user", "content": QUESTION}], note="Say more.")
    sent = aimock.sent()[0]["messages"]
    assert [message["content"] for message in sent if message["role"] == "system"] == expected
    assert sent[0]["role"] == "system"
    assert sent[-1] == {"role": "user", "content": QUESTION}


@pytest.mark.parametrize("how", ["call", "stream"])
async def test_an_answer_that_was_cut_at_its_limit_says_so(caller, how):
    reply = await getattr(caller, how)("write for ever")
    assert reply.finish_reason == "length"


@pytest.mark.parametrize("how", ["call", "stream"])
async def test_zero_tokens_are_an_unknown_usage(caller, how):
    reply = await getattr(caller, how)("no usage told")
    assert (reply.text, reply.usage) == ("Fine.", None)


@pytest.mark.parametrize("how", ["call", "stream"])
@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("too many requests", FailureKind.RATE_LIMITED),
        ("server trouble", FailureKind.OVERLOADED),
        ("far too long", FailureKind.CONTEXT_OVERFLOW),
        ("wrong key", FailureKind.AUTH),
    ],
)
async def test_a_refusal_of_the_server_is_known_at_once_and_costs_nothing(aimock, caller, how, prompt, kind):
    failed = await caller.failure(how, prompt)
    assert (failed.kind, failed.may_be_billed) == (kind, False)
    assert len(aimock.sent()) == 1  # the SDK did not try again behind the router's back


@pytest.mark.parametrize("how", ["call", "stream"])
async def test_a_body_that_is_no_json_may_have_been_billed(caller, how):
    failed = await caller.failure(how, "garbled")
    assert (failed.kind, failed.may_be_billed) == (FailureKind.MALFORMED, True)


@pytest.mark.parametrize(
    ("how", "prompt", "kind"),
    [
        ("call", "hang up", FailureKind.CONNECTION),
        ("stream", "break off", FailureKind.CONNECTION),
        ("call", "keep me waiting", FailureKind.TIMEOUT),
    ],
)
async def test_what_breaks_below_http_breaks_the_same_way_with_a_foreign_server(aimock, calling, how, prompt, kind):
    if not aimock.live:
        pytest.skip("cannot be taped: install node and npm to see it with aimock; test_wire.py tests it without")
    caller = calling(aimock.url, timeout_s=0.5)
    failed = await caller.failure(how, prompt)
    assert (failed.kind, failed.may_be_billed) == (kind, True)
    said = caller.host.join(caller.heard).text
    assert "The first words arrive, the last ones never do.".startswith(said)
