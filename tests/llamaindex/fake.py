"""A model made as LlamaIndex's own integration of OpenAI is, without the provider behind it.

Each call gives one event, tool calls stand in blocks and beside them, streams add up, and the last chunk has the usage.
"""

# ruff: noqa: FBT001, FBT002 - the signatures are LlamaIndex's

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from copy import deepcopy
from threading import Lock
from typing import Any

from llama_index.core.base.llms.generic_utils import (
    achat_to_completion_decorator,
    astream_chat_to_completion_decorator,
    chat_to_completion_decorator,
    stream_chat_to_completion_decorator,
)
from llama_index.core.base.llms.types import TextBlock, ToolCallBlock
from llama_index.core.llms import ChatMessage, ChatResponse, LLMMetadata
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json
from llama_index.core.program.streaming_utils import process_streaming_content_incremental
from llama_index.core.types import PydanticProgramMode
from llama_index.llms.openai.utils import resolve_tool_choice, update_tool_calls
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall
from openai.types.chat.chat_completion_message_function_tool_call import ChatCompletionMessageFunctionToolCall
from pydantic import PrivateAttr

from tests.llamaindex.answers import Answer, answer

IDK = "I don't know."


class Desk:
    """What a model was asked and what it used: the same for the model and for all of its copies."""

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self.served: list[tuple[int, int]] = []
        self.lock = Lock()

    def __copy__(self) -> Desk:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Desk:
        return self


class FakeLLM(FunctionCallingLLM):
    """Its answer follows from what it is asked. A token is a word.

    fails: it cannot be reached. says: all that it ever says, also where a tool call or JSON was asked for.
    """

    model: str = "fake"
    fails: bool = False
    says: str | None = None
    window: int = 2048
    _desk: Desk = PrivateAttr(default_factory=Desk)

    @classmethod
    def class_name(cls) -> str:
        return "FakeLLM"

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            context_window=self.window, is_chat_model=True, is_function_calling_model=True, model_name=self.model
        )

    @property
    def log(self) -> list[dict[str, Any]]:
        """The requests that reached it, the oldest first."""
        return self._desk.log

    @property
    def served(self) -> tuple[int, int]:
        """The tokens that all answers together took in and gave out."""
        return sum(given for given, _ in self._desk.served), sum(made for _, made in self._desk.served)

    # --------------------------------------------------------------------------------------------------- what is public
    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._chat(messages, **kwargs)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Iterator[ChatResponse]:
        return self._stream_chat(messages, **kwargs)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return chat_to_completion_decorator(self._chat)(prompt, **kwargs)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return stream_chat_to_completion_decorator(self._stream_chat)(prompt, **kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return await self._achat(messages, **kwargs)

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncIterator[ChatResponse]:
        return await self._astream_chat(messages, **kwargs)

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return await achat_to_completion_decorator(self._achat)(prompt, **kwargs)

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return await astream_chat_to_completion_decorator(self._astream_chat)(prompt, **kwargs)

    # ---------------------------------------------------------------------------------------------- the four ways to it
    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return whole(*self._serve("chat", messages, kwargs))

    async def _achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return whole(*self._serve("achat", messages, kwargs))

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Iterator[ChatResponse]:
        def lazily() -> Iterator[ChatResponse]:
            yield from pieces(*self._serve("stream_chat", messages, kwargs))

        return lazily()

    async def _astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncIterator[ChatResponse]:
        async def lazily() -> AsyncIterator[ChatResponse]:
            for chunk in pieces(*self._serve("astream_chat", messages, kwargs)):
                yield chunk

        return lazily()

    def _serve(
        self, how: str, messages: Sequence[ChatMessage], kwargs: dict[str, Any]
    ) -> tuple[Answer, tuple[int, int]]:
        asked = [plain(message) for message in messages]
        with self._desk.lock:
            self._desk.log.append({"how": how, "messages": asked, "kwargs": deepcopy(kwargs)})
        if self.fails:
            raise ConnectionError("the model cannot be reached")
        said = answer(asked, kwargs) if self.says is None else Answer(self.says)
        used = count(asked, kwargs, said)
        with self._desk.lock:
            self._desk.served.append(used)
        return said, used

    # -------------------------------------------------------------------------------------------------------- its tools
    def _prepare_chat_with_tools(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = chat_history or []
        if user_msg:  # as integrations do, to the caller's own list
            messages.append(ChatMessage(role="user", content=user_msg) if isinstance(user_msg, str) else user_msg)
        specs = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        if not specs:
            return {"messages": messages, **kwargs}
        return {
            "messages": messages,
            "tools": specs,
            "tool_choice": resolve_tool_choice(tool_choice, tool_required),
            "parallel_tool_calls": allow_parallel_tool_calls,
            **kwargs,
        }

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        calls = plain(response.message).get("tool_calls", [])
        if not calls and error_on_no_tool_call:
            raise ValueError("Expected at least one tool call, but got 0 tool calls.")
        return [ToolSelection(tool_id=each["id"], tool_name=each["name"], tool_kwargs=each["args"]) for each in calls]


class SchemaLLM(FakeLLM):
    """A model that is given the schema of an answer, as OpenAI's newer ones are, and not a tool to call."""

    @property
    def _by_schema(self) -> bool:
        return self.pydantic_program_mode == PydanticProgramMode.DEFAULT

    def structured_predict(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **given: Any) -> Any:
        if not self._by_schema:
            return super().structured_predict(output_cls, prompt, llm_kwargs, **given)
        response = self.chat(self._asked(prompt, given), **form(output_cls, llm_kwargs))
        return output_cls.model_validate_json(response.message.content)

    async def astructured_predict(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **given: Any) -> Any:
        if not self._by_schema:
            return await super().astructured_predict(output_cls, prompt, llm_kwargs, **given)
        response = await self.achat(self._asked(prompt, given), **form(output_cls, llm_kwargs))
        return output_cls.model_validate_json(response.message.content)

    def _structured_stream_call(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **given: Any) -> Any:
        if not self._by_schema:
            return super()._structured_stream_call(output_cls, prompt, llm_kwargs, **given)

        def lazily() -> Iterator[Any]:
            made = None
            for chunk in self.stream_chat(self._asked(prompt, given), **form(output_cls, llm_kwargs)):
                made = process_streaming_content_incremental(chunk, output_cls, made)
                yield made

        return lazily()

    async def _structured_astream_call(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **given: Any) -> Any:
        if not self._by_schema:
            return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **given)

        async def lazily() -> AsyncIterator[Any]:
            made = None
            async for chunk in await self.astream_chat(self._asked(prompt, given), **form(output_cls, llm_kwargs)):
                made = process_streaming_content_incremental(chunk, output_cls, made)
                yield made

        return lazily()

    def _asked(self, prompt: Any, given: dict[str, Any]) -> list[ChatMessage]:
        return self._extend_messages(prompt.format_messages(**given))


def form(output_cls: Any, kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """The options of a call that asks for such an object: the caller's own, as integrations do."""
    kwargs = {} if kwargs is None else kwargs
    kwargs["response_format"] = {"type": "json_schema", "json_schema": {"schema": output_cls.model_json_schema()}}
    kwargs.pop("tool_choice", None)
    return kwargs


def plain(message: ChatMessage) -> dict[str, Any]:
    """The message as it would go over the wire: tool calls from its blocks, or else from beside them."""
    texts = [block.text for block in message.blocks if isinstance(block, TextBlock)]
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    others = [
        block.model_dump(mode="json") for block in message.blocks if block not in calls and not hasattr(block, "text")
    ]
    beside = dict(message.additional_kwargs)
    legacy = beside.pop("tool_calls", None) or []
    found = [(each.tool_call_id, each.tool_name, each.tool_kwargs) for each in calls] or [
        (each.id, each.function.name, each.function.arguments) for each in legacy
    ]
    said = {"role": message.role.value, "text": "".join(texts), "blocks": others, **beside}
    if found:
        said["tool_calls"] = [{"id": key, "name": name, "args": arguments(args)} for key, name, args in found]
    return {key: value for key, value in said.items() if value != []}


def arguments(given: str | dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call, also where the text of them is not complete yet."""
    if isinstance(given, dict):
        return given
    try:
        return parse_partial_json(given)
    except (ValueError, TypeError):
        return {}


def count(asked: list[dict[str, Any]], kwargs: dict[str, Any], said: Answer) -> tuple[int, int]:
    """The tokens taken in and given out: a message costs four more than its words."""
    given = sum(len(message["text"].split()) + 4 for message in asked) + 10 * len(kwargs.get("tools") or [])
    made = 1 + len(said.text.split()) + sum(len(json.dumps(call.args).split()) + 4 for call in said.calls)
    return given, made


def usage(used: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": used[0], "completion_tokens": used[1], "total_tokens": sum(used)}


def whole(said: Answer, used: tuple[int, int]) -> ChatResponse:
    """The answer in one piece."""
    calls = [
        ChatCompletionMessageFunctionToolCall.model_validate(
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.args)}}
        )
        for call in said.calls
    ]
    return response(said.text, calls, used, delta=None, blank=False)


def pieces(said: Answer, used: tuple[int, int]) -> Iterator[ChatResponse]:
    """The answer word by word and call by call, the arguments of each in two halves; then the usage."""
    text, calls = "", []
    for word in said.words():
        text += word
        yield response(text, calls, None, delta=word)
    for index, call in enumerate(said.calls):
        args = json.dumps(call.args)
        half = len(args) // 2
        for part in (
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": args[:half]}},
            {"function": {"arguments": args[half:]}},
        ):
            calls = update_tool_calls(calls, [ChoiceDeltaToolCall.model_validate({"index": index, **part})])
            yield response(text, calls, None)
    yield response(text, calls, used)


def response(
    text: str, calls: list[Any], used: tuple[int, int] | None, *, delta: str | None = "", blank: bool = True
) -> ChatResponse:
    """As OpenAI's integration makes it. blank: a text block is there also without a text."""
    blocks: list[Any] = [TextBlock(text=text)] if text or blank else []
    blocks += [
        ToolCallBlock(tool_call_id=call.id, tool_name=call.function.name, tool_kwargs=call.function.arguments or {})
        for call in calls
    ]
    beside = {"tool_calls": calls} if calls else {}
    counts = usage(used) if used else {}
    return ChatResponse(
        message=ChatMessage(role="assistant", blocks=blocks, additional_kwargs=beside),
        delta=delta,
        raw={"usage": counts or None},
        additional_kwargs=dict(counts),
    )
