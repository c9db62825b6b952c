"""What a call refuses, and with which words; what any request and any stream keep to."""

from __future__ import annotations

import json
import math
import string
from collections.abc import Callable
from decimal import Decimal

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_core.errors import InvalidRequest
from router_core.hosts.chat import Chunk, ToolCallDelta, join_chunks, prepare, replay_reply, shows
from router_core.hosts.messages import WRAPPING
from router_core.options import CallOptions
from router_core.registry import Registry
from router_core.types import Constraints, Reply, ToolCall, Usage

REGISTRY = Registry.of(["openai:small", "ollama:large"])
TOOL = {"name": "get_weather"}


def prepared(messages="Hi", **options):
    return prepare(messages, options, defaults=Constraints(), registry=REGISTRY)


def user(content, **more):
    return {"role": "user", "content": content, **more}


# What is refused: each error names the place and does not tell the request.


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ("", "messages: the prompt is empty"),
        (" \n", "messages: the prompt is empty"),
        ([], "messages: the list is empty"),
        (None, "messages: None is neither a text nor a list"),
        (7, "messages: 7 is neither"),
        (b"Hi", "messages: a bytes is neither"),
        (user("Hi"), "messages: a dict is neither"),
        (["Hi"], r"messages\[0\]: a str is no message dictionary"),
        ([{"content": "Hi"}], r"messages\[0\]\.role: None is no role; use one of system, developer"),
        ([{"role": "usr", "content": "Hi"}], r"messages\[0\]\.role: 'usr' is no role \(did you mean 'user'\?\)"),
        ([{"role": "function", "content": "Hi"}], r"messages\[0\]\.role: 'function' is no role"),
        ([user("Hi"), user(None)], r"messages\[1\]\.content: None is neither a text nor a non-empty list"),
        ([user([])], r"messages\[0\]\.content: a list is neither"),
        ([user(7)], r"messages\[0\]\.content: 7 is neither"),
        ([{"role": "assistant", "content": None}], r"messages\[0\]\.content: None is neither"),
        ([user("")], "messages: no message says anything"),
        ([user(["Hi"])], r"messages\[0\]\.content\[0\]: a str is no known part; use a part of type text, image_url"),
        ([user([{"type": "video"}])], r"messages\[0\]\.content\[0\]: type 'video' is no known part"),
        ([user([{"type": "text"}])], r"messages\[0\]\.content\[0\]\.text: None is no text"),
        ([user([{"type": "image_url", "image_url": "http://x"}])], r"\.image_url: a str is no dictionary"),
        ([user([{"type": "image_url", "image_url": {}}])], r"\.image_url\.url: None is no text; it is required"),
        ([user([{"type": "input_audio", "input_audio": {"data": "A"}}])], r"\.input_audio\.format: None is no text"),
        ([user([{"type": "file", "file": {}}])], r"\.file\.file_data: None is no text; it is required"),
        ([{"role": "tool", "content": "21"}], r"messages\[0\]\.tool_call_id: it is missing"),
        ([user("Hi", name=3)], r"messages\[0\]\.name: 3 is no text"),
        ([user("Hi", tool_calls=[])], r"messages\[0\]\.tool_calls: only an assistant's message"),
        ([{"role": "assistant", "content": "", "tool_calls": [{}]}], r"messages\[0\]\.tool_calls\[0\]: a dict is no"),
        (
            [{"role": "assistant", "content": "", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}],
            r"tool_calls\[0\]\.function\.arguments: None is no text",
        ),
        ([user("Hi", when=object())], r"messages\[0\]: it cannot be written as JSON"),
        ([user("Hi", depth=math.nan)], r"messages\[0\]: it cannot be written as JSON"),
    ],
)
def test_messages_that_are_none_are_refused_with_their_place(messages, told):
    with pytest.raises(InvalidRequest, match=told):
        prepared(messages)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("secret\0", "character 6 is a NUL; remove it"),
        ("sécret\ud83d!", r"character 6 is a lone surrogate \(U\+D83D\); decode the text"),
    ],
)
@pytest.mark.parametrize(
    ("place", "where"),
    [
        (lambda text: text, "messages"),
        (lambda text: [user("Hi"), user(text)], r"messages\[1\]\.content"),
        (lambda text: [user([{"type": "text", "text": text}])], r"messages\[0\]\.content\[0\]\.text"),
        (
            lambda text: [user([{"type": "image_url", "image_url": {"url": text}}])],
            r"messages\[0\]\.content\[0\]\.image_url\.url",
        ),
        (lambda text: [user("Hi", name=text)], r"messages\[0\]\.name"),
    ],
)
def test_text_that_cannot_be_sent_is_refused_with_its_position(place, where, text, told):
    with pytest.raises(InvalidRequest, match=f"^{where}: {told}") as caught:
        prepared(place(text))
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_cost": 1}, r"'max_cost' is no option \(did you mean 'max_cost_usd'\?\)"),
        ({"max_cost_usd": "free"}, r"max_cost_usd: 'free' is no amount of US dollars; give 0 or more"),
        ({"max_cost_usd": -0.01}, r"max_cost_usd: -0\.01 is no amount"),
        ({"max_cost_usd": math.nan}, "max_cost_usd: nan is no amount"),
        ({"max_cost_usd": Decimal("sNaN")}, "max_cost_usd: a Decimal is no amount"),
        ({"max_cost_usd": "inf"}, "max_cost_usd: 'inf' is no amount"),
        ({"max_cost_usd": True}, "max_cost_usd: True is no amount"),
        ({"max_latency_s": 0}, "max_latency_s: 0 is no duration; give seconds above 0"),
        ({"max_latency_s": "5"}, "max_latency_s: '5' is no finite number"),
        ({"max_latency_s": 10**400}, "max_latency_s: an integer of 1329 bits is no finite number"),
        ({"min_quality": 1.5}, r"min_quality: 1\.5 is out of range; give a number from 0 to 1"),
        ({"min_quality": math.nan}, "min_quality: nan is no finite number"),
        ({"max_attempts": 0}, "max_attempts: 0 is too small; give 1 or more"),
        ({"max_attempts": 1.0}, r"max_attempts: 1\.0 is no whole number"),
        ({"max_tokens": 0}, "max_tokens: 0 is too small"),
        ({"max_tokens": True}, "max_tokens: True is no whole number"),
        ({"temperature": -1}, "temperature: -1 is out of range; give a number 0 or more"),
        ({"top_p": 2}, "top_p: 2 is out of range"),
        ({"seed": "x"}, "seed: 'x' is no whole number"),
        ({"stop": []}, "stop: an empty text stops nothing"),
        ({"stop": ["a", 1]}, "stop: 1 is no string"),
        ({"force_model": "openai:smal"}, r"force_model: 'openai:smal' is no model .*did you mean 'openai:small'"),
        ({"force_model": "x" * 10_000}, r"force_model: 'x{40}'\.\.\. \(10000 characters\) is no name of a model"),
        ({"allow": "openai:small"}, r"allow: 'openai:small' is no list of strings; give \['openai:small'\]"),
        ({"allow": []}, "allow: the list is empty, which allows no model"),
        ({"deny": ["gpt"]}, "deny: 'gpt' is no model of this router"),
        ({"require_tags": 3}, "require_tags: 3 is no list of strings"),
        ({"local_only": "yes"}, "local_only: 'yes' is neither True nor False"),
        ({"tags": "a"}, r"tags: 'a' is no list of strings; give \['a'\]"),
        ({"session": ""}, "session: '' is no text"),
        ({"call_site": 3}, "call_site: 3 is no text"),
        ({"stream_mode": "live"}, "stream_mode: 'live' is none; use hold, commit, prefix"),
        ({"extra": []}, "extra: a list is no dictionary"),
        ({"extra": {"model": "x", "stream": True}}, "extra: model, stream cannot be set here"),
        ({"extra": {"x": object()}}, "extra: it cannot be written as JSON"),
        ({"tools": TOOL}, "tools: a dict is no list of tool dictionaries"),
        ({"tools": ["get_weather"]}, r"tools\[0\]: 'get_weather' is no tool"),
        ({"tools": [{"parameters": {}}]}, r"tools\[0\]\.name: None is no name; name the tool"),
        ({"tools": [TOOL, {"name": "get_weather"}]}, r"tools\[1\]\.name: 'get_weather' is taken by another tool"),
        ({"tools": [{"name": "f", "parameters": []}]}, r"tools\[0\]\.parameters: a list is no JSON Schema"),
        ({"tools": [{"name": "f", "description": 3}]}, r"tools\[0\]\.description: 3 is no text"),
        ({"tools": [{"type": "web_search"}]}, r"tools\[0\]\.type: 'web_search' is not supported"),
        ({"tools": [{"name": "f", "parameters": {"x": {1}}}]}, "tools: it cannot be written as JSON"),
        ({"tools": [{"name": "\ud800"}]}, "tools: a string in it holds a lone surrogate"),
        ({"tools": [TOOL], "tool_choice": "get_wether"}, r"tool_choice: 'get_wether' is no tool .*mean 'get_weather'"),
        ({"tool_choice": "any"}, "tool_choice: 'any' is given without tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "x"}}, "tool_choice: None names no tool"),
        ({"schema": "Person"}, "schema: 'Person' is no output schema"),
        ({"schema": int}, "schema: the class int has no model_json_schema"),
        ({"schema": {"type": "json_schema", "json_schema": {}}}, "schema: this is OpenAI's response_format"),
        ({"schema": {"const": math.inf}}, "schema: it cannot be written as JSON"),
    ],
)
def test_options_that_are_wrong_are_refused_with_a_remedy(options, told):
    with pytest.raises(InvalidRequest, match=told):
        prepared("Hi", **options)


def test_a_class_that_cannot_describe_itself_is_refused():
    class Odd(pydantic.BaseModel):
        value: Callable[[], int]  # there is no JSON Schema for a function

    with pytest.raises(InvalidRequest, match="the class Odd cannot describe itself"):
        prepared(schema=Odd)


def test_a_prompt_of_ten_megabytes_is_measured_not_refused():
    assert prepared("é" * 5_000_000)[0].input_bytes == 10_000_000 + WRAPPING


@pytest.mark.parametrize(
    "messages",
    [
        ["secret"],
        [user(["secret"])],
        [user([{"text": "secret"}])],
        [user([{"type": "image_url", "image_url": "secret"}])],
        [user("secret"), user(["secret\0"])],
        [{"content": "secret"}],
        [user("secret", when=object())],
    ],
)
def test_no_error_tells_what_was_said(messages):
    with pytest.raises(InvalidRequest) as caught:
        prepared(messages)
    assert "secret" not in str(caught.value)


# Properties.

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
NAMES = st.text(string.ascii_letters, min_size=1, max_size=8)
SCALARS = st.sampled_from([None, True, False, 0, 7, -1, 10**400, 0.5, math.nan, math.inf, "", "x", "\0", "\ud800"])
JUNK = SCALARS | st.recursive(
    SCALARS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | NAMES, inner, max_size=3),
    max_leaves=8,
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])
FIELDS = st.sampled_from(["url", "data", "format", "file_id", "file_data", "detail"])
PARTS = st.sampled_from(["text", "image_url", "input_audio", "file", "refusal", "x"]).flatmap(
    lambda kind: st.fixed_dictionaries(
        {"type": st.just(kind), kind: JUNK | st.dictionaries(FIELDS, st.text(max_size=5) | JUNK)},
        optional={"more": JUNK},
    )
)
MESSAGES = st.fixed_dictionaries(
    {"role": ROLES | JUNK, "content": st.text(max_size=9) | st.lists(PARTS | JUNK, max_size=3) | JUNK},
    optional={"name": JUNK, "tool_calls": JUNK | st.lists(JUNK), "tool_call_id": JUNK, "more": JUNK},
)
FUNCTIONS = st.fixed_dictionaries({"name": NAMES | JUNK}, optional={"description": JUNK, "parameters": JUNK})
TOOLS = FUNCTIONS | st.fixed_dictionaries({"type": st.just("function") | JUNK, "function": FUNCTIONS | JUNK})
OPTIONS = st.fixed_dictionaries({}, optional=dict.fromkeys(CallOptions.__annotations__, JUNK) | {"other": JUNK})
TOOL_OPTIONS = st.fixed_dictionaries({"tools": st.lists(TOOLS | JUNK, max_size=3), "tool_choice": NAMES | JUNK})
REQUESTS = st.one_of(
    st.tuples(JUNK | st.text() | st.lists(MESSAGES, max_size=3), st.just({})),
    st.tuples(st.builds(lambda part: [user([part])], PARTS), st.just({})),
    st.tuples(st.just("Hi"), OPTIONS | TOOL_OPTIONS),
    st.tuples(st.just("Hi"), st.dictionaries(st.sampled_from(sorted(CallOptions.__annotations__)), JUNK, max_size=1)),
)


@settings(max_examples=500)
@given(REQUESTS)
def test_junk_is_refused_or_can_be_sent(request):
    messages, options = request
    try:
        view, sent = prepare(messages, options, defaults=Constraints(), registry=REGISTRY)
    except InvalidRequest:
        return
    body = [sent.messages, sent.tools, sent.tool_choice, sent.response_format, sent.sampling]
    json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    assert view.input_bytes > 0


@given(
    texts=st.lists(TEXTS.filter(str.strip), min_size=1, max_size=4),
    arguments=TEXTS,
    descriptions=st.lists(TEXTS, max_size=3),
    title=TEXTS,
)
def test_the_size_bounds_the_bytes_of_every_text_that_is_sent(texts, arguments, descriptions, title):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = [user(text) for text in texts] + [{"role": "assistant", "content": "", "tool_calls": [call]}]
    tools = [{"name": f"t{at}", "description": text, "parameters": {}} for at, text in enumerate(descriptions)]
    schema = {"type": "object", "description": title}
    request = prepared(messages, tools=tools, schema=schema)[0]
    said = [*texts, arguments, *descriptions, title]
    assert request.input_bytes >= sum(len(text.encode()) for text in said) + WRAPPING * len(messages)


USAGES = st.builds(Usage, input_tokens=st.integers(0, 9), output_tokens=st.integers(0, 9))
REPLIES = st.builds(
    Reply,
    text=st.text(),
    tool_calls=st.lists(st.builds(ToolCall, st.text(), st.text(), st.text()), max_size=3).map(tuple),
    finish_reason=st.none() | st.sampled_from(["stop", "length", "tool_calls"]),
    usage=st.none() | USAGES,
    refusal=st.none() | st.text(min_size=1),
    model_id=st.none() | st.text(min_size=1),
    native=st.none() | st.integers(),
)
DELTAS = st.builds(ToolCallDelta, st.integers(0, 2), st.none() | NAMES, st.none() | NAMES, st.text(max_size=4))
CHUNKS = st.builds(
    Chunk,
    text=st.text(max_size=4),
    tool_calls=st.lists(DELTAS, max_size=2).map(tuple),
    finish_reason=st.none() | st.just("stop"),
    usage=st.none() | USAGES,
    refusal=st.text(max_size=4),
    model_id=st.none() | NAMES,
)


@given(REPLIES)
def test_a_replayed_reply_joins_to_itself(reply):
    chunks = list(replay_reply(reply))
    assert join_chunks(chunks) == reply
    assert "".join(chunk.text for chunk in chunks) == reply.text


@given(st.lists(CHUNKS, max_size=5))
def test_any_beginning_of_a_stream_joins_to_what_it_said(chunks):
    reply = join_chunks(chunks)
    assert reply.text == "".join(chunk.text for chunk in chunks)
    arguments = [delta.arguments for chunk in chunks for delta in chunk.tool_calls]
    assert sorted("".join(call.arguments for call in reply.tool_calls)) == sorted("".join(arguments))
    assert (sum(map(shows, chunks)) > 0) == bool(reply.text or reply.tool_calls or reply.refusal)


def test_the_last_word_on_usage_and_end_counts():
    chunks = [
        Chunk(text="Hel", usage=Usage(output_tokens=1), model_id="m"),
        Chunk(text="lo", usage=Usage(output_tokens=2), finish_reason="stop"),
        Chunk(),
    ]
    assert join_chunks(chunks) == Reply(text="Hello", usage=Usage(output_tokens=2), finish_reason="stop", model_id="m")


def test_nothing_heard_is_an_empty_reply():
    assert join_chunks([]) == Reply(text="")
