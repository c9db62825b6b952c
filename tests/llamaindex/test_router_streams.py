"""Streams of a router: their form, what is shown of a draft, and what becomes of them when a model says nothing, fails
or is left alone."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage, ChatResponse

from llamaindex_router import RouterLLM, get_router_handler
from router_core import Settings
from router_core.errors import AllAttemptsFailed, AnswersRejected, StreamBroken
from router_core.policies import StaticPolicy
from router_core.records import ReceiptOutcome
from router_core.types import Verdict
from tests.llamaindex.fake import IDK, FakeLLM, response
from tests.llamaindex.library import Animal, tools

# What LlamaIndex's programs do that is deprecated in pydantic.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning:inspect")

ASK = [ChatMessage(role="user", content="hi")]
TELL = PromptTemplate("Tell of the {animal}.")
SENTENCE = "Whales sing long songs in the deep sea."


def knows(_request: Any, reply: Any) -> bool:
    return reply.text != IDK


class KnowsSoon:
    """Rejects what begins as one does who does not know."""

    name = "knows_soon"
    judges_prefix = True

    def check(self, request: Any, reply: Any) -> Verdict:
        return Verdict(accepted=not reply.text.startswith("I don't"), code=self.name)


class Scripted(FakeLLM):
    """Says these pieces; then it fails, if it is to break."""

    pieces: tuple[str, ...] = ()
    breaks: bool = False

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        self.log.append({"how": "chat"})
        if self.breaks:
            raise ConnectionError("the line is cut")
        return response("".join(self.pieces), [], None, delta=None)

    async def _achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._chat(messages)

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Iterator[ChatResponse]:
        def lazily() -> Iterator[ChatResponse]:
            self.log.append({"how": "stream_chat"})
            said = ""
            for piece in self.pieces:
                said += piece
                yield response(said, [], None, delta=piece)
            if self.breaks:
                raise ConnectionError("the line is cut")

        return lazily()

    async def _astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncIterator[ChatResponse]:
        async def lazily() -> AsyncIterator[ChatResponse]:
            for chunk in self._stream_chat(messages):
                yield chunk

        return lazily()


def router(*models: Any, **options: Any) -> RouterLLM:
    return RouterLLM(models=list(models), **{"policy": StaticPolicy(), "verifiers": [knows], **options})


def about(chunk: Any) -> Any:
    return chunk.additional_kwargs.get("router")


def said(chunks: Sequence[Any]) -> str:
    return "".join(chunk.delta or "" for chunk in chunks)


async def drained(stream: Any) -> list[Any]:
    return [chunk async for chunk in stream]


MODELS: dict[str, Callable[[], list[FakeLLM]]] = {
    "one model": lambda: [Scripted(model="one", pieces=tuple(SENTENCE))],
    "draft served": lambda: [Scripted(model="one", pieces=tuple(SENTENCE)), FakeLLM(model="two")],
    "draft rejected": lambda: [FakeLLM(model="unsure", says=IDK), Scripted(model="two", pieces=tuple(SENTENCE))],
    "draft failed": lambda: [FakeLLM(model="down", fails=True), Scripted(model="two", pieces=tuple(SENTENCE))],
}
every_case = pytest.mark.parametrize("models", MODELS.values(), ids=MODELS)


class TestForm:
    """LlamaIndex takes a generator for a stream and no other iterator, and of an agent's stream only the last chunk."""

    @pytest.mark.parametrize(
        "stream",
        [
            lambda llm: llm.stream_chat(ASK),
            lambda llm: llm.stream_complete("hi"),
            lambda llm: llm.stream_chat_with_tools(tools(), "hi"),
            lambda llm: llm.stream_structured_predict(Animal, TELL, animal="whale"),
        ],
        ids=["chat", "complete", "tools", "structured"],
    )
    def test_streams_are_generators(self, stream: Callable[[Any], Any]) -> None:
        assert inspect.isgenerator(stream(router(FakeLLM())))

    @pytest.mark.parametrize(
        "stream",
        [
            lambda llm: llm.astream_chat(ASK),
            lambda llm: llm.astream_complete("hi"),
            lambda llm: llm.astream_chat_with_tools(tools(), "hi"),
            lambda llm: llm.astream_structured_predict(Animal, TELL, animal="whale"),
        ],
        ids=["chat", "complete", "tools", "structured"],
    )
    async def test_async_ones_are_awaited_first(self, stream: Callable[[Any], Any]) -> None:
        made = await stream(router(FakeLLM()))
        assert inspect.isasyncgen(made)
        await made.aclose()

    @every_case
    @pytest.mark.parametrize("mode", ["hold", "prefix", "commit"])
    def test_of_a_chat(self, models: Callable[[], list[FakeLLM]], mode: str) -> None:
        chunks = list(router(*models()).stream_chat(ASK, stream_mode=mode))
        text = ""
        for chunk in chunks:
            text += chunk.delta
            assert chunk.message.content == text, "the message of each chunk is what was said so far"
        assert about(chunks[-1])["model"] in {"scripted:one", "scripted:two", "fakellm:unsure"}
        assert [about(chunk) for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert all("router" not in chunk.message.additional_kwargs for chunk in chunks), "it would go into prompts"

    @every_case
    async def test_of_a_completion_and_in_async(self, models: Callable[[], list[FakeLLM]]) -> None:
        llm = router(*models())
        streams = [
            list(llm.stream_complete("hi")),
            await drained(await llm.astream_complete("hi")),
            await drained(await llm.astream_chat(ASK)),
            list(llm.stream_chat(ASK)),
        ]
        for chunks in streams:
            assert said(chunks) == getattr(chunks[-1], "text", None) or chunks[-1].message.content == SENTENCE
            assert [about(chunk) is not None for chunk in chunks] == [*[False] * (len(chunks) - 1), True]

    @pytest.mark.parametrize("mode", ["hold", "prefix", "commit"])
    def test_of_tool_calls(self, mode: str) -> None:
        llm = router(FakeLLM(model="down", fails=True), FakeLLM())
        message = "add 1 and 2, and shout"
        chunks = list(llm.stream_chat_with_tools(tools(), message, allow_parallel_tool_calls=True, stream_mode=mode))
        selections = [llm.get_tool_calls_from_response(chunk, error_on_no_tool_call=False) for chunk in chunks]
        assert [call.tool_name for call in selections[-1]] == ["add", "shout"]
        for earlier in selections:
            assert [call.tool_id for call in earlier] == [call.tool_id for call in selections[-1]][: len(earlier)]
        assert about(chunks[-1])["fallbacks"] == 1

    def test_of_calls_that_a_model_gives_no_ids(self) -> None:
        """Each has one all the same: the same in all chunks, and another in the next response."""

        class NoIds(FakeLLM):
            def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Iterator[ChatResponse]:
                for chunk in super()._stream_chat(messages, **kwargs):
                    chunk.message.additional_kwargs = {}
                    for block in chunk.message.blocks:
                        if isinstance(block, ToolCallBlock):
                            block.tool_call_id = None
                    yield chunk

        llm = router(NoIds())
        seen: set[str] = set()
        for _ in range(2):
            chunks = list(llm.stream_chat_with_tools(tools(), "add and shout", allow_parallel_tool_calls=True))
            ids = [[call.tool_id for call in llm.get_tool_calls_from_response(c, False)] for c in chunks]
            assert all(each == ids[-1][: len(each)] for each in ids)
            assert not seen & set(ids[-1])
            seen |= set(ids[-1])
        assert len(seen) == 4


class TestModes:
    """Of a draft that is rejected when all of it is known, then of one whose beginning tells enough."""

    def test_hold_shows_nothing_of_it_and_calls_it_in_one_piece(self) -> None:
        weak, strong = Scripted(model="weak", pieces=("I don't", " know.")), Scripted(model="strong", pieces=("A", "B"))
        chunks = list(router(weak, strong).stream_chat(ASK))
        assert [chunk.delta for chunk in chunks] == ["A", "B"], "the last model speaks live"
        assert [request["how"] for request in (*weak.log, *strong.log)] == ["chat", "stream_chat"]
        assert about(chunks[-1])["escalations"] == 1

    def test_commit_shows_it_at_once(self) -> None:
        weak, strong = Scripted(model="weak", pieces=("I don't", " know.")), FakeLLM(model="strong")
        chunks = list(router(weak, strong).stream_chat(ASK, stream_mode="commit"))
        assert [chunk.delta for chunk in chunks] == ["I don't", " know."]
        assert (about(chunks[-1])["verified"], strong.log) == ("no", [])

    def test_prefix_shows_what_its_beginning_does_not_speak_against(self) -> None:
        settings = Settings(stream_mode="prefix", prefix_tokens=1)
        weak, strong = Scripted(model="weak", pieces=("I don't", " know.")), Scripted(model="strong", pieces=("A", "B"))
        llm = router(weak, strong, verifiers=[KnowsSoon()], settings=settings)
        assert said(list(llm.stream_chat(ASK))) == "AB"
        assert said(list(llm.stream_chat(ASK, stream_mode="commit"))) == IDK, "a call wins over the settings"
        good = Scripted(model="weak", pieces=("Whales", " sing."))
        llm = router(good, strong, verifiers=[KnowsSoon()], settings=settings)
        assert [chunk.delta for chunk in llm.stream_chat(ASK)] == ["Whales", " sing."]
        assert [request["how"] for request in good.log] == ["stream_chat"]

    async def test_async(self) -> None:
        for mode, shown in (("hold", "AB"), ("prefix", "AB"), ("commit", IDK)):
            weak, strong = Scripted(model="w", pieces=("I don't", " know.")), Scripted(model="s", pieces=("A", "B"))
            llm = router(weak, strong, verifiers=[KnowsSoon()], settings=Settings(prefix_tokens=1))
            assert said(await drained(await llm.astream_chat(ASK, stream_mode=mode))) == shown


class TestNothing:
    """Of models whose streams hold no chunk, or only ones that show nothing."""

    @pytest.mark.parametrize("pieces", [(), ("",), ("", "")], ids=["no chunk", "an empty one", "two"])
    @pytest.mark.parametrize("mode", ["hold", "prefix", "commit"])
    async def test_a_stronger_model_is_asked(self, pieces: tuple[str, ...], mode: Any) -> None:
        llm = router(Scripted(model="mute", pieces=pieces), Scripted(model="two", pieces=("A", "B")), verifiers=None)
        for chunks in (
            list(llm.stream_chat(ASK, stream_mode=mode)),
            await drained(await llm.astream_chat(ASK, stream_mode=mode)),
            list(llm.stream_complete("hi", stream_mode=mode)),
        ):
            assert said(chunks) == "AB"
            assert (about(chunks[-1])["model"], about(chunks[-1])["escalations"]) == ("scripted:two", 1)

    @pytest.mark.parametrize("pieces", [(), ("",)], ids=["no chunk", "an empty one"])
    @pytest.mark.parametrize("verifiers", [None, []], ids=["verified", "not verified"])
    @pytest.mark.parametrize("mode", ["hold", "prefix", "commit"])
    async def test_where_no_model_says_anything_there_is_one_chunk_all_the_same(
        self, pieces: tuple[str, ...], verifiers: Any, mode: str
    ) -> None:
        """LlamaIndex's agents and programs fail on a stream without any."""
        models = [Scripted(model=name, pieces=pieces) for name in ("one", "two")]
        llm = router(*models, verifiers=verifiers)
        for chunks in (
            list(llm.stream_chat(ASK, stream_mode=mode)),
            await drained(await llm.astream_chat(ASK, stream_mode=mode)),
        ):
            (chunk,) = chunks
            assert (chunk.message.role.value, chunk.message.content, chunk.delta) == ("assistant", "", "")
            assert about(chunk)["attempts"] == (2 if verifiers is None else 1)
        assert [chunk.text for chunk in llm.stream_complete("hi", stream_mode=mode)] == [""]

    def test_it_is_an_error_if_answers_must_be_accepted(self) -> None:
        llm = router(Scripted(), verifiers=None, settings=Settings(on_rejected="raise"))
        with pytest.raises(AnswersRejected):
            llm.stream_chat(ASK)


class TestFailures:
    @pytest.mark.parametrize("mode", ["hold", "prefix", "commit"])
    async def test_before_anything_is_shown_another_model_is_asked(self, mode: Any) -> None:
        for first in (FakeLLM(model="down", fails=True), Scripted(model="down", pieces=("",), breaks=True)):
            llm = router(first, Scripted(model="two", pieces=("A", "B")))
            for chunks in (
                list(llm.stream_chat(ASK, stream_mode=mode)),
                await drained(await llm.astream_chat(ASK, stream_mode=mode)),
            ):
                assert said(chunks) == "AB"
                assert about(chunks[-1])["fallbacks"] == 1

    async def test_are_known_when_the_stream_is_asked_for(self) -> None:
        """And not when somebody reads it: a chat engine does so in another thread."""
        llm = router(FakeLLM(model="a", fails=True), FakeLLM(model="b", fails=True))
        with pytest.raises(AllAttemptsFailed):
            llm.stream_chat(ASK)
        with pytest.raises(AllAttemptsFailed):
            await llm.astream_chat(ASK)

    async def test_after_something_is_shown_the_stream_is_broken(self) -> None:
        llm = router(Scripted(model="one", pieces=("Whales", " sing"), breaks=True), FakeLLM(), verifiers=[])
        with get_router_handler() as routed:
            stream, astream = llm.stream_chat(ASK), await llm.astream_chat(ASK)
            shown: list[str] = []
            with pytest.raises(StreamBroken, match="of scripted:one broke off after 11 characters") as raised:
                shown.extend(chunk.delta for chunk in stream)
            with pytest.raises(StreamBroken):
                await drained(astream)
        assert (shown, raised.value.text) == (["Whales", " sing"], "Whales sing")
        assert not isinstance(raised.value, ValueError | RuntimeError)
        assert [call.receipt.outcome for call in routed.calls] == [ReceiptOutcome.FAILED] * 2
        assert routed.total.usage.output_tokens > 0, "what was said is paid for"


class TestLeft:
    @pytest.mark.parametrize(("streams", "read"), [("sync", 0), ("sync", 1), ("sync", 3), ("async", 1), ("async", 3)])
    async def test_a_stream_that_is_left_is_booked(self, streams: str, read: int) -> None:
        llm = router(Scripted(model="one", pieces=tuple(SENTENCE * 9)), verifiers=[])
        with get_router_handler() as routed:
            if streams == "sync":
                stream = llm.stream_chat(ASK)
                for _ in range(read):
                    next(stream)
                stream.close()
            else:
                astream = await llm.astream_chat(ASK)
                for _ in range(read):
                    await anext(astream)
                await astream.aclose()
        (call,) = routed.calls
        (attempt,) = call.receipt.attempts
        assert (call.receipt.outcome.value, attempt.outcome.value) == ("cancelled", "cancelled")
        assert attempt.usage.estimated
        assert attempt.usage.input_tokens > 0
        assert attempt.usage.output_tokens > 0

    def test_and_so_is_the_draft_before_it(self) -> None:
        llm = router(FakeLLM(model="unsure", says=IDK), Scripted(model="two", pieces=tuple(SENTENCE)))
        with get_router_handler() as routed:
            stream = llm.stream_complete("hi")
            next(stream)
            del stream
        assert [a.outcome.value for a in routed.calls[0].receipt.attempts] == ["rejected", "cancelled"]

    def test_the_model_is_not_listened_to_any_longer(self) -> None:
        heard: list[str] = []

        class Watched(Scripted):
            def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Iterator[ChatResponse]:
                try:
                    yield from super()._stream_chat(messages, **kwargs)
                finally:
                    heard.append("closed")

        stream = router(Watched(pieces=tuple(SENTENCE)), verifiers=[]).stream_chat(ASK)
        next(stream)
        stream.close()
        assert heard == ["closed"]
