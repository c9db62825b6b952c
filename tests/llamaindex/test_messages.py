"""Histories as another provider can read them, tool calls in all the forms that integrations give them, and the size of
what is sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ChatResponse,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall
from openai.types.chat.chat_completion_message_function_tool_call import ChatCompletionMessageFunctionToolCall

from llamaindex_router.messages import Ids, arguments_of, calls_of, portable, reply_of, size_of, turns_of, with_ids
from router_core.errors import InvalidRequest
from router_core.hosts.portable import PORTABLE_ID
from router_core.types import Capability

SYSTEM = MessageRole.SYSTEM
FAMILIES = ("openai", "anthropic", "ollama")
ADD = ToolCallBlock(tool_call_id="call_1", tool_name="add", tool_kwargs='{"a": 1, "b": 2}')

words = st.text(max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | words, lambda inner: st.lists(inner, max_size=2), max_leaves=3
)
arguments = st.dictionaries(words, values, max_size=3)
names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


@st.composite
def histories(draw: st.DrawFn) -> list[ChatMessage]:
    """Turns in which tools are called and answer. Ids are distinct and of any letters, or there are none, and then the
    results name the tool."""
    fresh = iter(draw(st.lists(st.text(min_size=1, max_size=60), min_size=12, max_size=12, unique=True)))
    messages = [ChatMessage(role="system", content=draw(words)), ChatMessage(role="user", content=draw(words))]
    for _ in range(draw(st.integers(1, 3))):
        called = draw(st.lists(names, min_size=1, max_size=3))
        keys = [next(fresh) if draw(st.booleans()) else draw(st.sampled_from([None, ""])) for _ in called]
        given_as = [draw(arguments) if draw(st.booleans()) else json.dumps(draw(arguments)) for _ in called]
        blocks: list[Any] = [TextBlock(text=draw(words))] if draw(st.booleans()) else []
        blocks += [
            ToolCallBlock(tool_call_id=key, tool_name=name, tool_kwargs=args)
            for key, name, args in zip(keys, called, given_as, strict=True)
        ]
        messages.append(ChatMessage(role="assistant", blocks=blocks))
        messages += [result(key or name) for key, name in zip(keys, called, strict=True)]
    return messages


def result(of: str, **beside: Any) -> ChatMessage:
    return ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": of, **beside})


def calling(*calls: Any, **beside: Any) -> ChatMessage:
    return ChatMessage(role="assistant", blocks=list(calls), additional_kwargs=beside)


def ported(*messages: ChatMessage, to: str = "openai", system_role: MessageRole = SYSTEM) -> list[ChatMessage]:
    return portable(messages, to, system_role, mixed=True)


def ids_of(messages: Sequence[ChatMessage]) -> tuple[list[str | None], list[str]]:
    """The ids of all calls, and those that the results name."""
    calls = [call.tool_call_id for message in messages for call in calls_of(message)]
    return calls, [m.additional_kwargs["tool_call_id"] for m in messages if m.role is MessageRole.TOOL]


def dumped(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    return deepcopy([message.model_dump() for message in messages])


class TestPortable:
    @given(histories(), st.sampled_from(FAMILIES))
    def test_each_call_has_an_id_that_all_providers_take_and_each_result_names_its_own(
        self, history: list[ChatMessage], family: str
    ) -> None:
        calls, results = ids_of(ported(*history, to=family))
        assert all(key and PORTABLE_ID.fullmatch(key) for key in calls)
        assert results == calls
        assert len(set(calls)) == len(calls), "Anthropic refuses an id that a history holds twice"

    @given(histories(), st.sampled_from(FAMILIES))
    def test_what_was_said_and_asked_stays(self, history: list[ChatMessage], family: str) -> None:
        there = ported(*history, to=family)
        assert [(m.role, m.content) for m in there] == [(m.role, m.content) for m in history]
        for before, after in zip(history, there, strict=True):
            pairs = zip(calls_of(before), calls_of(after), strict=True)
            assert all(b.tool_name == a.tool_name and arguments_of(b) == a.tool_kwargs for b, a in pairs)

    @given(histories(), st.booleans())
    def test_what_was_given_is_never_changed(self, history: list[ChatMessage], mixed: bool) -> None:  # noqa: FBT001
        before = dumped(history)
        # Integrations write into what they are given.
        for message in portable(history, "ollama", MessageRole.USER, mixed=mixed):
            message.blocks.append(TextBlock(text="more"))
            message.additional_kwargs["cache_control"] = {"type": "ephemeral"}
            message.role = MessageRole.USER
        assert dumped(history) == before

    @given(histories())
    def test_among_models_of_one_family_nothing_is_changed(self, history: list[ChatMessage]) -> None:
        assert dumped(portable(history, "openai", SYSTEM, mixed=False)) == dumped(history)

    def test_the_objects_of_openai_stay_with_openai(self) -> None:
        """As its integration leaves them beside the blocks; Ollama's fails on them."""
        theirs = ChatCompletionMessageFunctionToolCall.model_validate(
            {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
        )
        message = calling(ADD, tool_calls=[theirs], refusal=None)
        (other,) = ported(message, to="ollama")
        assert other.additional_kwargs == {"refusal": None}
        (own,) = portable([message], "openai", SYSTEM, mixed=False)
        assert own.additional_kwargs["tool_calls"] == [theirs]

    @pytest.mark.parametrize("family", FAMILIES)
    def test_calls_that_stand_only_beside_the_blocks_become_blocks(self, family: str) -> None:
        """Histories that older integrations made, and were stored."""
        theirs = {"id": "call.1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
        message, answer = ported(calling(tool_calls=[theirs]), result("call.1"), to=family)
        (block,) = message.blocks
        assert isinstance(block, ToolCallBlock)
        assert (block.tool_name, block.tool_kwargs) == ("add", {"a": 1})
        assert block.tool_call_id == answer.additional_kwargs["tool_call_id"]
        assert "tool_calls" not in message.additional_kwargs

    def test_two_calls_of_one_tool_without_ids_are_answered_in_their_order(self) -> None:
        one, two = (ToolCallBlock(tool_name="add", tool_kwargs={"a": n}) for n in (1, 2))
        calls, results = ids_of(ported(calling(one, two), result("add"), result("add"), to="openai"))
        assert calls == results
        assert len(set(calls)) == 2

    def test_an_id_that_is_the_tools_name_serves_more_than_one_call(self) -> None:
        """So Gemini's integration has it, in every turn."""
        call = ToolCallBlock(tool_call_id="add", tool_name="add")
        turn = [calling(call, call), result("add"), result("add")]
        calls, results = ids_of(ported(*turn, *turn, to="anthropic"))
        assert calls == results
        assert len(set(calls)) == 4

    def test_gemini_is_told_the_name_of_the_tool_that_answered(self) -> None:
        """Its integration takes the id of a result for the name of the function."""
        assert ids_of(ported(calling(ADD), result("call_1"), to="google")) == (["add"], ["add"])

    def test_a_result_of_no_known_call_has_a_portable_id_all_the_same(self) -> None:
        (message,) = ported(result("functions.add:0", name="add"))
        assert PORTABLE_ID.fullmatch(message.additional_kwargs["tool_call_id"])
        assert message.additional_kwargs["name"] == "add"

    @pytest.mark.parametrize(
        ("signature", "family", "stays"),
        [
            ("EqQB", "anthropic", True),
            ("EqQB", "openai", False),
            ("EqQB", "ollama", False),
            (None, "anthropic", False),
            ("", "anthropic", False),
            (None, "ollama", True),
        ],
    )
    def test_a_thought_goes_only_to_who_can_take_it(self, signature: str | None, family: str, *, stays: bool) -> None:
        about = {} if signature is None else {"signature": signature}
        thought = ThinkingBlock(content="Hm.", additional_information=about)
        (message,) = ported(ChatMessage(role="assistant", blocks=[thought, TextBlock(text="Yes.")]), to=family)
        assert (thought in message.blocks, message.content) == (stays, "Yes.")

    @pytest.mark.parametrize("mixed", [True, False])
    def test_the_system_message_has_the_role_that_the_model_wants(self, *, mixed: bool) -> None:
        history = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="assistant", content="Yes.")]
        roles = [message.role for message in portable(history, "x", MessageRole.USER, mixed=mixed)]
        assert roles == [MessageRole.USER, MessageRole.ASSISTANT]


class TestIds:
    @staticmethod
    def chunk(count: int, *ids: str | None) -> ChatResponse:
        keys = [*ids, *[None] * (count - len(ids))]
        calls = [ToolCallBlock(tool_call_id=key, tool_name="add", tool_kwargs={"n": n}) for n, key in enumerate(keys)]
        return ChatResponse(message=ChatMessage(role="assistant", blocks=[TextBlock(text="I add."), *calls]))

    @given(st.lists(st.integers(0, 4), min_size=1, max_size=6).map(sorted))
    def test_a_call_has_one_id_in_all_chunks_and_no_other_call_has_it(self, counts: list[int]) -> None:
        seen: list[list[str | None]] = []
        for ids in (Ids(), Ids()):  # two responses
            chunks = [with_ids(self.chunk(count), ids) for count in counts]
            last = [call.tool_call_id for call in calls_of(chunks[-1].message)]
            for count, chunk in zip(counts, chunks, strict=True):
                assert [call.tool_call_id for call in calls_of(chunk.message)] == last[:count]
            seen.append(last)
        assert len({key for last in seen for key in last}) == 2 * counts[-1]
        assert all(key and PORTABLE_ID.fullmatch(key) for last in seen for key in last)

    def test_an_id_of_the_provider_is_kept(self) -> None:
        first, second = calls_of(with_ids(self.chunk(2, "toolu_1"), Ids()).message)
        assert first.tool_call_id == "toolu_1"
        assert second.tool_call_id not in {None, "", "toolu_1"}
        whole = self.chunk(1, "toolu_1")
        assert with_ids(whole, Ids()) is whole

    def test_all_else_stays_and_the_response_itself_is_not_written_into(self) -> None:
        given_response = self.chunk(2)
        before = given_response.model_dump()
        made = with_ids(given_response, Ids())
        assert given_response.model_dump() == before
        assert [type(block) for block in made.message.blocks] == [TextBlock, ToolCallBlock, ToolCallBlock]
        assert [call.tool_kwargs for call in calls_of(made.message)] == [{"n": 0}, {"n": 1}]


FUNCTION = {"name": "add", "arguments": '{"a": 1}'}


class TestCalls:
    @pytest.mark.parametrize(
        "call",
        [
            {"id": "call_1", "type": "function", "function": FUNCTION},
            {"id": "call_1", "function": {"name": "add", "arguments": {"a": 1}}},
            {"id": "call_1", "name": "add", "input": {"a": 1}},
            ChatCompletionMessageFunctionToolCall.model_validate(
                {"id": "call_1", "type": "function", "function": FUNCTION}
            ),
            ChoiceDeltaToolCall.model_validate({"index": 0, "id": "call_1", "function": FUNCTION}),
        ],
        ids=["dictionary", "arguments read", "anthropic", "object", "piece of a stream"],
    )
    def test_calls_beside_the_blocks_are_found(self, call: Any) -> None:
        (found,) = calls_of(calling(tool_calls=[call]))
        assert (found.tool_call_id, found.tool_name, arguments_of(found)) == ("call_1", "add", {"a": 1})

    def test_a_call_that_has_only_begun(self) -> None:
        begun = ChoiceDeltaToolCall.model_validate({"index": 0, "function": {}})
        (found,) = calls_of(calling(tool_calls=[begun]))
        assert (found.tool_call_id, found.tool_name, arguments_of(found)) == (None, "", {})

    def test_blocks_win_over_what_stands_beside_them(self) -> None:
        assert calls_of(calling(ADD, tool_calls=[{"id": "x", "function": FUNCTION}])) == [ADD]

    def test_what_is_no_call_of_any_form_raises_nothing(self) -> None:
        """It stands in a history: a call of the router must not fail on it with an error of pydantic's."""
        (found,) = calls_of(calling(tool_calls=[{"id": 7, "function": {"name": "add", "arguments": [1]}}]))
        assert (found.tool_call_id, found.tool_kwargs) == ("7", {})

    def test_no_call(self) -> None:
        assert calls_of(ChatMessage(role="assistant", content="Hm.", additional_kwargs={"tool_calls": None})) == []


class TestArguments:
    @pytest.mark.parametrize(
        ("text", "read"),
        [
            ('{"a": 1, "b": [2]}', {"a": 1, "b": [2]}),
            ('{"a": 1, "b": [2', {"a": 1, "b": [2]}),
            ('{"a": {"b": 1', {"a": {"b": 1}}),
            ("{", {}),
            ("", {}),
            ("  ", {}),
            ("[1, 2]", {}),
            ("null", {}),
            ("add one and two", {}),
        ],
    )
    def test_what_can_be_read_is(self, text: str, read: dict[str, Any]) -> None:
        assert arguments_of(ToolCallBlock(tool_name="add", tool_kwargs=text)) == read

    @given(arguments)
    def test_a_text_is_read_as_what_was_written(self, args: dict[str, Any]) -> None:
        assert arguments_of(ToolCallBlock(tool_name="add", tool_kwargs=json.dumps(args))) == args
        assert arguments_of(ToolCallBlock(tool_name="add", tool_kwargs=args)) == args

    @given(st.text() | st.builds(lambda args, n: json.dumps(args)[:n], arguments, st.integers(0, 40)))
    def test_whatever_a_model_writes_gives_a_dictionary(self, text: str) -> None:
        assert isinstance(arguments_of(ToolCallBlock(tool_name="add", tool_kwargs=text)), dict)


class TestReply:
    def test_a_text(self) -> None:
        response = ChatResponse(message=ChatMessage(role="assistant", content="Paris."))
        reply = reply_of(response)
        assert (reply.text, reply.tool_calls, reply.native) == ("Paris.", (), response)
        assert (reply.usage, reply.finish_reason, reply.refusal, reply.model_id) == (None, None, None, None)

    @pytest.mark.parametrize("args", [{"a": 1}, '{"a": 1}'])
    def test_arguments_are_text_as_verifiers_read_them(self, args: Any) -> None:
        call = ToolCallBlock(tool_call_id="x", tool_name="add", tool_kwargs=args)
        (told,) = reply_of(ChatResponse(message=calling(call))).tool_calls
        assert (told.id, told.name, json.loads(told.arguments)) == ("x", "add", {"a": 1})

    def test_broken_arguments_are_shown_as_they_are(self) -> None:
        """A verifier must see that they are broken."""
        call = ToolCallBlock(tool_name="add", tool_kwargs='{"a": ')
        assert reply_of(ChatResponse(message=calling(call))).tool_calls[0].arguments == '{"a": '

    def test_a_thought_is_no_text(self) -> None:
        assert reply_of(ChatResponse(message=calling(ThinkingBlock(content="Hm.")))).text == ""


class TestSize:
    @given(st.lists(words.filter(lambda text: "\0" not in text).map(lambda text: text * 50), min_size=1, max_size=4))
    def test_it_bounds_the_bytes_of_all_text(self, texts: list[str]) -> None:
        said = [TextBlock(text=text) for text in texts]
        thoughts = [ThinkingBlock(content=text) for text in texts]
        cited = [CitableBlock(title="t", source="s", content=text) for text in texts]
        calls = [ToolCallBlock(tool_call_id="i" * 40, tool_name="add", tool_kwargs={"text": text}) for text in texts]
        message = ChatMessage(role="assistant", blocks=[*said, *thoughts, *cited, *calls])
        sent = sum(len(text.encode()) for text in texts)
        assert size_of([message])[0] >= 4 * sent + 43 * len(texts)

    def test_calls_beside_the_blocks_are_counted_once(self) -> None:
        long = {"id": "x", "function": {"name": "add", "arguments": "long " * 100}}
        (same,) = calls_of(calling(tool_calls=[long]))
        alone = size_of([calling(tool_calls=[long])])[0]
        assert alone >= 500
        assert size_of([calling(same, tool_calls=[long])])[0] == size_of([calling(same)])[0] == alone

    @pytest.mark.parametrize(
        ("block", "kind"),
        [
            (ImageBlock(image=b"x", image_mimetype="image/png"), Capability.IMAGE),
            (AudioBlock(audio=b"x", format="wav"), Capability.AUDIO),
            (DocumentBlock(data=b"x", title="x.pdf", document_mimetype="application/pdf"), Capability.PDF),
        ],
    )
    def test_what_is_no_text_is_named_and_takes_room(self, block: Any, kind: Capability) -> None:
        text = ChatMessage(role="user", content="What is this?")
        both = ChatMessage(role="user", blocks=[TextBlock(text="What is this?"), block])
        assert size_of([text])[1] == frozenset()
        size, kinds = size_of([both])
        assert kinds == {kind}
        assert size > size_of([text])[0] + 100

    @pytest.mark.parametrize(("text", "what"), [("a\0b", "NUL"), ("a\ud800", "lone surrogate")])
    def test_a_text_that_cannot_be_sent_is_named(self, text: str, what: str) -> None:
        fine = ChatMessage(role="user", content="hi")
        bad = fine.model_copy(update={"blocks": [TextBlock.model_construct(text=text)]})
        with pytest.raises(InvalidRequest, match=rf"messages\[1\].*{what}"):
            size_of([fine, bad])

    def test_who_said_what(self) -> None:
        told = [("developer", "a"), ("user", "b"), ("model", "c"), ("function", "d")]
        turns = turns_of([ChatMessage(role=role, content=text) for role, text in told])
        assert [(turn.role, turn.text) for turn in turns] == [
            ("system", "a"),
            ("user", "b"),
            ("assistant", "c"),
            ("tool", "d"),
        ]
