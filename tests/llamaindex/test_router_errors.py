"""What a router raises comes out of all that LlamaIndex builds on an LLM. It is swallowed nowhere, and nowhere taken
for an answer that cannot be parsed or for a nested event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from llama_index.core import PromptTemplate, Settings, get_response_synthesizer
from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent, FunctionAgent, ReActAgent
from llama_index.core.async_utils import asyncio_run
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine, SimpleChatEngine
from llama_index.core.extractors import KeywordExtractor
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.schema import TextNode
from llama_index.core.selectors import LLMSingleSelector, PydanticSingleSelector
from llama_index_instrumentation.dispatcher import instrument_tags

from llamaindex_router import RouterLLM
from llamaindex_router.errors import InvalidCall, sort_error
from router_core.errors import AllAttemptsFailed, NoFeasibleModel, RouterError, StreamBroken
from router_core.policies import StaticPolicy
from router_core.types import FailureKind
from tests.llamaindex.fake import FakeLLM, response
from tests.llamaindex.library import QUESTION, Animal, Words, add, index, scored, tools

# What LlamaIndex's agents and programs do that is deprecated, in pydantic and in themselves. Its chat engines read
# streams in a thread, and raise what went wrong both there and to the reader.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
    *(
        pytest.mark.filterwarnings(f"ignore::{category}:{module}")
        for category, module in (
            ("pydantic.warnings.PydanticDeprecationWarning", "inspect"),
            ("DeprecationWarning", "llama_index.core.agent.workflow.base_agent"),
            ("DeprecationWarning", "llama_index.core.agent.workflow.multi_agent_workflow"),
            ("DeprecationWarning", "llama_index.core.agent.workflow.react_agent"),
        )
    ),
]

ASK = [ChatMessage(role="user", content="hi")]


def router(*models: Any, **options: Any) -> RouterLLM:
    return RouterLLM(models=list(models), **{"policy": StaticPolicy(), **options})


def synthesize(mode: ResponseMode, **options: Any) -> Callable[[Any], Any]:
    def call(llm: Any) -> Any:
        answer = get_response_synthesizer(llm=llm, response_mode=mode, **options).synthesize(QUESTION, scored())
        return list(getattr(answer, "response_gen", None) or [answer])

    return call


def asynthesize(mode: ResponseMode, **options: Any) -> Callable[[Any], Any]:
    async def call(llm: Any) -> Any:
        answer = await get_response_synthesizer(llm=llm, response_mode=mode, **options).asynthesize(QUESTION, scored())
        chunks = getattr(answer, "response_gen", None)
        return answer if chunks is None else [chunk async for chunk in chunks]

    return call


async def astream_chat(llm: Any) -> None:
    answer = await SimpleChatEngine.from_defaults(llm=llm).astream_chat(QUESTION)
    async for _ in answer.async_response_gen():
        pass


async def run(agent: Any) -> Any:
    return await agent.run(QUESTION)


def context(llm: Any) -> ContextChatEngine:
    return ContextChatEngine.from_defaults(index().as_retriever(), llm=llm)


def condensed(llm: Any) -> CondensePlusContextChatEngine:
    return CondensePlusContextChatEngine.from_defaults(index().as_retriever(), llm=llm)


def program(kind: Any, llm: Any) -> Any:
    return kind.from_defaults(output_cls=Animal, prompt_template_str="Tell of the whale.", llm=llm)


CHOICES = ["about whales", "about the sky"]
CALLERS: dict[str, Callable[[Any], Any]] = {
    "refine": synthesize(ResponseMode.REFINE),
    "refine, filtered": synthesize(ResponseMode.REFINE, structured_answer_filtering=True),
    "compact": synthesize(ResponseMode.COMPACT),
    "compact, filtered": synthesize(ResponseMode.COMPACT, structured_answer_filtering=True),
    "compact, streaming": synthesize(ResponseMode.COMPACT, streaming=True),
    "compact, structured": synthesize(ResponseMode.COMPACT, output_cls=Animal),
    "tree summarize": synthesize(ResponseMode.TREE_SUMMARIZE),
    "tree summarize, structured": synthesize(ResponseMode.TREE_SUMMARIZE, output_cls=Animal),
    "tree summarize, async inside": synthesize(ResponseMode.TREE_SUMMARIZE, use_async=True),
    "accumulate, async inside": synthesize(ResponseMode.ACCUMULATE, use_async=True),
    "simple": synthesize(ResponseMode.SIMPLE_SUMMARIZE),
    "arefine, filtered": asynthesize(ResponseMode.REFINE, structured_answer_filtering=True),
    "acompact": asynthesize(ResponseMode.COMPACT),
    "acompact, streaming": asynthesize(ResponseMode.COMPACT, streaming=True),
    "atree summarize": asynthesize(ResponseMode.TREE_SUMMARIZE),
    "query engine": lambda llm: index().as_query_engine(llm=llm).query(QUESTION),
    "query engine, async": lambda llm: index().as_query_engine(llm=llm).aquery(QUESTION),
    "chat engine": lambda llm: SimpleChatEngine.from_defaults(llm=llm).chat(QUESTION),
    "chat engine, stream": lambda llm: list(SimpleChatEngine.from_defaults(llm=llm).stream_chat(QUESTION).response_gen),
    "chat engine, astream": astream_chat,
    "context chat": lambda llm: context(llm).chat(QUESTION),
    "context chat, stream": lambda llm: list(context(llm).stream_chat(QUESTION).response_gen),
    "condense plus context": lambda llm: condensed(llm).chat(QUESTION),
    "condense plus context, stream": lambda llm: list(condensed(llm).stream_chat(QUESTION).response_gen),
    "function agent": lambda llm: run(FunctionAgent(llm=llm, tools=tools())),
    "function agent, whole": lambda llm: run(FunctionAgent(llm=llm, tools=tools(), streaming=False)),
    "react agent": lambda llm: run(ReActAgent(llm=llm, tools=tools())),
    "code agent": lambda llm: run(CodeActAgent(code_execute_fn=lambda code: code, llm=llm, tools=[add])),
    "workflow": lambda llm: run(AgentWorkflow.from_tools_or_functions(tools(), llm=llm)),
    "asyncio_run": lambda llm: asyncio_run(llm.achat(ASK)),
    "extractor": lambda llm: KeywordExtractor(llm=llm, num_workers=1, show_progress=False).extract(
        [TextNode(text="a")]
    ),
    "selector": lambda llm: LLMSingleSelector.from_defaults(llm=llm).select(CHOICES, QUESTION),
    "pydantic selector": lambda llm: PydanticSingleSelector.from_defaults(llm=llm).select(CHOICES, QUESTION),
    "function program": lambda llm: program(FunctionCallingProgram, llm)(),
    "text program": lambda llm: program(LLMTextCompletionProgram, llm)(),
    "predict_and_call": lambda llm: llm.predict_and_call(tools(), "add 1 and 2"),
    "structured llm": lambda llm: llm.as_structured_llm(Animal).complete("Tell of the whale."),
    "predict": lambda llm: llm.predict(PromptTemplate("hi")),
    "stream": lambda llm: list(llm.stream(PromptTemplate("hi"))),
}
every_caller = pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)


def call(caller: Callable[[Any], Any], llm: Any) -> Any:
    Settings.llm, Settings.embed_model = llm, Words()
    with asyncio.Runner() as runner:
        # Those that block find an event loop too, which LlamaIndex would else make and not close.
        asyncio.set_event_loop(runner.get_loop())
        try:
            result = caller(llm)
            return runner.run(result) if asyncio.iscoroutine(result) else result
        finally:
            asyncio.set_event_loop(None)


class TestSurface:
    @every_caller
    def test_of_models_that_all_fail(self, caller: Callable[[Any], Any]) -> None:
        llm = router(FakeLLM(model="a", fails=True), FakeLLM(model="b", fails=True))
        with pytest.raises(AllAttemptsFailed, match="fakellm:a: connection") as raised:
            call(caller, llm)
        assert isinstance(raised.value.__cause__, ConnectionError)
        assert raised.value.receipt is not None

    @every_caller
    def test_of_constraints_that_leave_no_model(self, caller: Callable[[Any], Any]) -> None:
        fake = FakeLLM()
        with instrument_tags({"router": {"local_only": True}}), pytest.raises(NoFeasibleModel, match="local"):
            call(caller, router(fake))
        assert fake.log == []

    @every_caller
    def test_of_options_that_are_wrong(self, caller: Callable[[Any], Any]) -> None:
        fake = FakeLLM()
        with instrument_tags({"router": {"max_cost_usd": -1}}), pytest.raises(InvalidCall, match="max_cost_usd: -1"):
            call(caller, router(fake))
        assert fake.log == []


class Cut(FakeLLM):
    """Its line is cut after the first word."""

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Iterator[ChatResponse]:
        def lazily() -> Iterator[ChatResponse]:
            yield response("Whales", [], None, delta="Whales")
            raise ConnectionError("the line is cut")

        return lazily()

    async def _astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        async def lazily() -> Any:
            for chunk in self._stream_chat(messages):
                yield chunk

        return lazily()


class TestStreams:
    @pytest.mark.parametrize(
        "name",
        [
            "chat engine, stream",
            "chat engine, astream",
            "context chat, stream",
            "compact, streaming",
            "acompact, streaming",
            "function agent",
            "workflow",
            "react agent",
            "stream",
        ],
    )
    def test_that_break_off_say_so(self, name: str) -> None:
        with pytest.raises(StreamBroken, match="of cut:fake broke off after 6 characters"):
            call(CALLERS[name], router(Cut()))


class TestKinds:
    def test_no_error_is_one_that_llamaindex_takes_for_something_else(self) -> None:
        for error in (AllAttemptsFailed([]), NoFeasibleModel([]), InvalidCall("x"), StreamBroken("m", "t", "w")):
            assert isinstance(error, RouterError)
            assert not isinstance(error, ValueError | RuntimeError | TypeError)

    def test_a_router_prepares_no_tools_for_a_model_that_it_does_not_know_yet(self) -> None:
        with pytest.raises(RouterError, match="call chat_with_tools"):
            router(FakeLLM())._prepare_chat_with_tools(tools())

    def test_it_is_a_function_calling_llm(self) -> None:
        """Programs and agents ask for the class."""
        assert isinstance(router(FakeLLM()), FunctionCallingLLM)

    @pytest.mark.parametrize(
        ("error", "kind", "billed"),
        [
            (ConnectionError("down"), FailureKind.CONNECTION, True),
            (TimeoutError("slow"), FailureKind.TIMEOUT, True),
            (ValueError("Unsupported content block type: VideoBlock"), FailureKind.BAD_REQUEST, False),
            (TypeError("got an unexpected keyword argument 'user'"), FailureKind.BAD_REQUEST, False),
            (NotImplementedError("no stream"), FailureKind.BAD_REQUEST, False),
            (RuntimeError("Event loop is closed"), FailureKind.CONNECTION, False),
            (RuntimeError("Response was terminated early: SAFETY"), FailureKind.UNKNOWN, False),
        ],
        ids=str,
    )
    def test_what_an_exception_of_a_model_means(self, error: Exception, kind: FailureKind, *, billed: bool) -> None:
        failed = sort_error(error)
        assert failed is not None
        assert (failed.kind, failed.may_be_billed, failed.error) == (kind, billed, error)

    @pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
    def test_or_the_status_that_it_tells(self, status: int) -> None:
        class StatusError(Exception):
            status_code = status

        kinds = {
            401: FailureKind.AUTH,
            404: FailureKind.NOT_FOUND,
            429: FailureKind.RATE_LIMITED,
            500: FailureKind.OVERLOADED,
            503: FailureKind.OVERLOADED,
        }
        failed = sort_error(StatusError("no"))
        assert failed is not None
        assert failed.kind is kinds[status]

    def test_the_routers_own_are_no_failures_of_a_model(self) -> None:
        assert sort_error(InvalidCall("x")) is None

    def test_a_key_is_kept_out_of_an_error(self) -> None:
        class Blabs(FakeLLM):
            api_key: str = "sk-quite-secret"

            def _serve(self, *_: Any) -> Any:
                raise ConnectionError(f"401 for {self.api_key}")

        with pytest.raises(AllAttemptsFailed, match=r"401 for \[key\]") as raised:
            router(Blabs()).chat(ASK)
        assert "sk-quite-secret" not in f"{raised.value} {raised.value.__cause__!r}"
