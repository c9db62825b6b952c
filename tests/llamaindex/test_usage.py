"""What the responses of each integration tell of tokens, ends and refusals: whole and in chunks, as the integrations
themselves make them of what the providers' servers send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import anthropic
import httpx
import ollama
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata, TextBlock
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI, OpenAIResponses

from llamaindex_router import RouterLLM, get_router_handler
from llamaindex_router.usage import finish_reason_of, model_id_of, refusal_of, sum_of_usage, usage_of
from router_core.policies import StaticPolicy
from router_core.types import Usage
from tests.llamaindex.library import Animal

ASK = [ChatMessage(role="user", content="hi")]


class Told(NamedTuple):
    """What is to be read of a response."""

    usage: Usage | None
    finish_reason: str | None
    model_id: str | None


def told(response: ChatResponse) -> Told:
    return Told(usage_of(response), finish_reason_of(response), model_id_of(response))


def client(body: Any) -> httpx.Client:
    """One that is sent this body, whatever it asks: a dictionary as JSON, a text as the events of a stream."""
    answer = (
        {"json": body} if isinstance(body, dict) else {"text": body, "headers": {"content-type": "text/event-stream"}}
    )
    return httpx.Client(transport=httpx.MockTransport(lambda _request: httpx.Response(200, **answer)))


def events(pieces: Iterable[dict[str, Any]]) -> str:
    """The pieces of a stream as server-sent events."""
    return "".join(f"event: {piece.get('type', 'message')}\ndata: {json.dumps(piece)}\n\n" for piece in pieces)


# ---------------------------------------- OpenAI's chat completions
OPENAI_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0},
}
OPENAI_READ = Usage(input_tokens=20, output_tokens=9, cache_read_tokens=8, reasoning_tokens=4)


def openai(body: Any) -> OpenAI:
    return OpenAI("gpt-4.1-nano", api_key="none", max_retries=0, http_client=client(body))


def completion(usage: Any = None, reason: str = "stop", **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "Hello", **message}
    choice = {"index": 0, "finish_reason": reason, "message": said}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-x", "choices": [choice], "usage": usage}


def pieces(usage: Any = None, reason: str = "stop") -> Iterable[dict[str, Any]]:
    about = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x"}
    yield {**about, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello"}}]}
    yield {**about, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    if usage is not None:
        yield {**about, "choices": [], "usage": usage}


class TestOpenAI:
    def test_whole(self) -> None:
        response = openai(completion(OPENAI_USAGE)).chat(ASK)
        assert told(response) == Told(OPENAI_READ, "stop", "gpt-x")

    def test_stream_tells_the_usage_last_and_the_end_before(self) -> None:
        chunks = list(openai(events(pieces(OPENAI_USAGE, "length"))).stream_chat(ASK))
        assert [usage_of(chunk) for chunk in chunks] == [None, None, OPENAI_READ]
        assert [finish_reason_of(chunk) for chunk in chunks] == [None, "length", None]

    def test_stream_that_was_not_asked_for_usage(self) -> None:
        chunks = list(openai(events(pieces())).stream_chat(ASK))
        assert [usage_of(chunk) for chunk in chunks] == [None, None]

    def test_server_that_reports_none(self) -> None:
        """Or zeros, which is the same: no request has no tokens."""
        zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        assert usage_of(openai(completion()).chat(ASK)) is None
        assert usage_of(openai(completion(zeros)).chat(ASK)) is None

    def test_a_completion(self) -> None:
        assert usage_of(openai(completion(OPENAI_USAGE)).complete("hi")) == OPENAI_READ

    def test_a_refusal(self) -> None:
        assert refusal_of(openai(completion(content=None, refusal="I cannot.")).chat(ASK)) == "I cannot."
        assert refusal_of(openai(completion()).chat(ASK)) is None

    @pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter"])
    def test_ends(self, reason: str) -> None:
        assert finish_reason_of(openai(completion(reason=reason)).chat(ASK)) == reason


# ---------------------------------------- OpenAI's Responses API
def answered(**about: Any) -> dict[str, Any]:
    said = {"type": "output_text", "text": "Hello", "annotations": []}
    message = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [said]}
    usage = {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 29,
    }
    parts = {"object": "response", "created_at": 1, "tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
    return {"id": "r", "model": "gpt-x", "status": "completed", "output": [message], "usage": usage, **parts, **about}


class TestResponses:
    @staticmethod
    def llm(body: Any) -> OpenAIResponses:
        return OpenAIResponses("gpt-4.1-nano", api_key="none", max_retries=0, http_client=client(body))

    def test_whole(self) -> None:
        assert told(self.llm(answered()).chat(ASK)) == Told(OPENAI_READ, None, "gpt-x")

    def test_stream(self) -> None:
        delta = {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0}
        sent = [{**delta, "delta": "Hello", "logprobs": []}, {"type": "response.completed", "response": answered()}]
        numbered = [{**event, "sequence_number": n} for n, event in enumerate(sent)]
        chunks = list(self.llm(events(numbered)).stream_chat(ASK))
        assert usage_of(chunks[-1]) == OPENAI_READ

    def test_an_answer_that_was_cut_off(self) -> None:
        cut = answered(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
        assert finish_reason_of(self.llm(cut).chat(ASK)) == "length"

    def test_a_refusal(self) -> None:
        response = answered()
        response["output"][0]["content"] = [{"type": "refusal", "refusal": "I cannot."}]
        assert refusal_of(self.llm(response).chat(ASK)) == "I cannot."


# ---------------------------------------- Anthropic
ANTHROPIC_USAGE = {
    "input_tokens": 11,
    "output_tokens": 7,
    "cache_read_input_tokens": 5,
    "cache_creation_input_tokens": 3,
}
ANTHROPIC_READ = Usage(input_tokens=19, output_tokens=7, cache_read_tokens=5, cache_write_tokens=3)


class TestAnthropic:
    @staticmethod
    def llm(body: Any) -> Anthropic:
        llm = Anthropic("claude-haiku-4-5", api_key="none", max_retries=0)
        llm._client = anthropic.Anthropic(api_key="none", max_retries=0, http_client=client(body))
        return llm

    @staticmethod
    def message(**about: Any) -> dict[str, Any]:
        said = {"type": "text", "text": "Hello"}
        fixed = {"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "stop_sequence": None}
        return {**fixed, "content": [said], "stop_reason": "end_turn", "usage": ANTHROPIC_USAGE, **about}

    def test_whole_counts_cached_input_in(self) -> None:
        assert told(self.llm(self.message()).chat(ASK)) == Told(ANTHROPIC_READ, "stop", "claude-x")

    @pytest.mark.parametrize(
        ("reason", "read"),
        [
            ("max_tokens", "length"),
            ("tool_use", "tool_calls"),
            ("stop_sequence", "stop"),
            ("refusal", "content_filter"),
        ],
    )
    def test_ends(self, reason: str, read: str) -> None:
        assert finish_reason_of(self.llm(self.message(stop_reason=reason)).chat(ASK)) == read

    def test_stream_counts_up_and_only_its_end_is_believed(self) -> None:
        """Each chunk has the counts so far. Those of the beginning say nothing of the answer, a sum would be wrong."""
        begun = self.message(content=[], stop_reason=None, usage={"input_tokens": 11, "output_tokens": 1})
        text = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        deltas = [{"type": "text_delta", "text": word} for word in ("Hello", " there")]
        end = {"stop_reason": "max_tokens", "stop_sequence": None}
        sent = [
            {"type": "message_start", "message": begun},
            text,
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": {"output_tokens": 7}},
            {"type": "message_stop"},
        ]
        chunks = list(self.llm(events(sent)).stream_chat(ASK))
        assert len(chunks) > 2
        assert {usage_of(chunk) for chunk in chunks[:-1]} == {None}
        assert usage_of(chunks[-1]) == Usage(input_tokens=11, output_tokens=7)
        assert finish_reason_of(chunks[-1]) == "length"


# ---------------------------------------- Ollama
class TestOllama:
    @staticmethod
    def llm(*lines: dict[str, Any]) -> Ollama:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        transport = httpx.MockTransport(lambda _request: httpx.Response(200, text=text))
        return Ollama(
            "m", client=ollama.Client("http://127.0.0.1:1", transport=transport), context_window=4096, request_timeout=1
        )

    @staticmethod
    def line(content: str, **about: Any) -> dict[str, Any]:
        return {"model": "m:1b", "message": {"role": "assistant", "content": content}, "done": bool(about), **about}

    def test_whole(self) -> None:
        line = self.line("Hello", done_reason="length", prompt_eval_count=12, eval_count=3)
        assert told(self.llm(line).chat(ASK)) == Told(Usage(input_tokens=12, output_tokens=3), "length", "m:1b")

    def test_stream(self) -> None:
        end = self.line("", done_reason="stop", prompt_eval_count=12, eval_count=3)
        chunks = list(self.llm(self.line("Hel"), self.line("lo"), end).stream_chat(ASK))
        read = Usage(input_tokens=12, output_tokens=3)
        assert [told(chunk) for chunk in chunks] == [
            Told(None, None, "m:1b"),
            Told(None, None, "m:1b"),
            Told(read, "stop", "m:1b"),
        ]

    def test_a_prompt_that_was_not_counted(self) -> None:
        """Ollama leaves the count out where it kept the prompt from before."""
        assert usage_of(self.llm(self.line("Hello", done_reason="stop", eval_count=3)).chat(ASK)) is None


# ---------------------------------------- integrations that are not installed here
def response(raw: Any = None, beside: dict[str, Any] | None = None, **message: Any) -> ChatResponse:
    said = ChatMessage(role="assistant", blocks=[TextBlock(text="Hello")], additional_kwargs=message)
    return ChatResponse(message=said, raw=raw, additional_kwargs=beside or {})


GEMINI = {
    "prompt_token_count": 12,
    "candidates_token_count": 5,
    "thoughts_token_count": 7,
    "cached_content_token_count": 4,
    "total_token_count": 24,
}
COUNTS = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}


class TestOthers:
    def test_gemini_thinks_beside_its_answer(self) -> None:
        beside = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 24}
        raw = {"content": {}, "finish_reason": "MAX_TOKENS", "usage_metadata": GEMINI}
        usage = Usage(input_tokens=12, output_tokens=12, cache_read_tokens=4, reasoning_tokens=7)
        assert told(response(raw, beside)) == Told(usage, "length", None)

    def test_gemini_that_only_thought(self) -> None:
        raw = {"usage_metadata": {**GEMINI, "candidates_token_count": None, "cached_content_token_count": None}}
        assert usage_of(response(raw)) == Usage(input_tokens=12, output_tokens=7, reasoning_tokens=7)

    @pytest.mark.parametrize(
        ("raw", "beside"),
        [({"usage": COUNTS}, {}), (None, COUNTS), (object(), COUNTS), ({"usage": None}, COUNTS)],
        ids=["dictionary", "beside only", "beside an object", "beside none"],
    )
    def test_openai_like(self, raw: Any, beside: dict[str, Any]) -> None:
        assert usage_of(response(raw, beside)) == Usage(input_tokens=12, output_tokens=5)

    @pytest.mark.parametrize(
        ("raw", "beside"),
        [
            (None, {}),
            ("a text", {}),
            ([], {}),
            ({"usage": {}}, {}),
            ({"usage": {"input_tokens": 0, "output_tokens": 0}}, {}),
            ({"usage_metadata": None}, {"prompt_tokens": None, "completion_tokens": None}),
            ({"usage_metadata": dict.fromkeys(GEMINI)}, {}),
            (None, {"thinking_delta": "Hm."}),
            (None, {"usage": None}),
        ],
    )
    def test_what_is_not_told_is_unknown_and_not_nothing(self, raw: Any, beside: dict[str, Any]) -> None:
        assert told(response(raw, beside)) == Told(None, None, None)
        assert usage_of(CompletionResponse(text="Hello", raw=raw, additional_kwargs=beside)) is None

    @given(
        st.dictionaries(st.sampled_from(["usage", *ANTHROPIC_USAGE, *COUNTS, *GEMINI]), st.none() | st.integers(-2, 9))
    )
    def test_whatever_is_told_no_count_is_negative_and_none_is_made_up(self, about: dict[str, Any]) -> None:
        usage = usage_of(response({"usage": about}))
        assert usage is None or (usage.total_tokens > 0 and min(usage.input_tokens, usage.output_tokens) >= 0)


COUNTED = {"prompt_tokens": 10, "completion_tokens": 5}
TELL = PromptTemplate("Tell of the {animal}.")


class Completes(CustomLLM):
    """A model as users write their own: its other methods are LlamaIndex's, and each calls the next."""

    chats: bool = False
    beside: bool = False

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="m", is_chat_model=self.chats)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002
        return self.said()

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        return (each for each in [self.said()])

    def said(self) -> CompletionResponse:
        about = {"additional_kwargs": COUNTED} if self.beside else {"raw": {"usage": COUNTED}}
        text = '{"name": "whale", "size": 30}'
        return CompletionResponse(text=text, delta=text, **about)


class TestBooked:
    @pytest.mark.parametrize("chats", [True, False])
    @pytest.mark.parametrize("beside", [True, False])
    def test_each_answer_once_however_many_methods_of_a_model_tell_of_it(self, *, chats: bool, beside: bool) -> None:
        async def drained(stream: Any) -> list[Any]:
            return [chunk async for chunk in await stream]

        llm = RouterLLM(models=[Completes(chats=chats, beside=beside)], policy=StaticPolicy())
        for call in (
            lambda: llm.chat(ASK),
            lambda: asyncio.run(llm.achat(ASK)),
            lambda: list(llm.stream_chat(ASK)),
            lambda: llm.complete("hi"),
            lambda: llm.structured_predict(Animal, TELL, animal="whale"),
            lambda: asyncio.run(llm.astructured_predict(Animal, TELL, animal="whale")),
            lambda: list(llm.stream_structured_predict(Animal, TELL, animal="whale")),
            lambda: asyncio.run(drained(llm.astream_structured_predict(Animal, TELL, animal="whale"))),
        ):
            with get_router_handler() as routed:
                call()
            assert routed.total.usage == Usage(input_tokens=10, output_tokens=5)


class TestSum:
    @staticmethod
    def of(*counts: int | None) -> Sequence[ChatResponse | None]:
        return [response(beside={"prompt_tokens": n, "completion_tokens": 5} if n else {}) for n in counts]

    def test_of_several_responses(self) -> None:
        assert sum_of_usage(self.of(3, 4)) == Usage(input_tokens=7, output_tokens=10)

    @pytest.mark.parametrize("counts", [[], [None], [3, None], [None, 3]])
    def test_is_unknown_as_soon_as_a_part_is(self, counts: list[int | None]) -> None:
        assert sum_of_usage(self.of(*counts)) is None

    def test_a_call_that_gave_no_response(self) -> None:
        assert sum_of_usage([*self.of(3), None]) is None
