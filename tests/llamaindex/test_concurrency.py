"""One router serves many at once, in threads and in event loops: each caller has its own answer and its own receipt."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import root_dispatcher
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.core.response_synthesizers import ResponseMode
from llama_index_instrumentation.dispatcher import instrument_tags
from pydantic import PrivateAttr

from llamaindex_router import RouterLLM, get_router_handler
from router_core.policies import StaticPolicy
from tests.llamaindex.fake import IDK, FakeLLM
from tests.llamaindex.library import Animal, index
from tests.llamaindex.routed import DEPRECATED, router

pytestmark = [pytest.mark.filterwarnings(each) for each in DEPRECATED]


@pytest.fixture(autouse=True)
def no_event_loop() -> None:
    """Where there is none that is at rest, LlamaIndex runs its own and closes it."""
    asyncio.set_event_loop(None)


MANY = 10
WAIT_S = 30
"""So long a test waits for what comes at once, before it fails."""

QUESTIONS = [f"What do {'very ' * n}large whales of {n} metres sing?" for n in range(MANY)]
"""Each has a length of its own."""

ASKED = [[ChatMessage(role="user", content=question)] for question in QUESTIONS]


class Meeting:
    """Lets nobody go on before all are there."""

    def __init__(self) -> None:
        self._threads = threading.Barrier(MANY, timeout=WAIT_S)
        self._tasks = asyncio.Barrier(MANY)
        self.in_threads = True

    def wait(self) -> None:
        self._threads.wait()

    async def await_all(self) -> None:
        if self.in_threads:
            self._threads.wait()
        else:
            await asyncio.wait_for(self._tasks.wait(), WAIT_S)


class Meeter(FakeLLM):
    """Answers when as many as there are calls at once have asked it."""

    _meeting: Meeting = PrivateAttr(default_factory=Meeting)

    def _chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        self._meeting.wait()
        return super()._chat(messages, **kwargs)

    async def _achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        await self._meeting.await_all()
        return await super()._achat(messages, **kwargs)

    def _stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Iterator[ChatResponse]:
        def lazily() -> Iterator[ChatResponse]:
            self._meeting.wait()
            yield from FakeLLM._stream_chat(self, messages, **kwargs)

        return lazily()

    async def _astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncIterator[ChatResponse]:
        async def lazily() -> AsyncIterator[ChatResponse]:
            await self._meeting.await_all()
            async for chunk in await FakeLLM._astream_chat(self, messages, **kwargs):
                yield chunk

        return lazily()


def meeters(*, in_threads: bool) -> tuple[Meeter, Meeter]:
    """A model that never knows, and one that does."""
    weak, strong = Meeter(model="weak", says=IDK), Meeter(model="strong")
    weak._meeting.in_threads = strong._meeting.in_threads = in_threads
    return weak, strong


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """What this many threads make of it, in their order."""
    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(work, range(MANY)))


def truly(work: Callable[[Any, int], Any]) -> list[Any]:
    """What a model alone makes of it, one after the other."""
    return [work(FakeLLM(model="strong"), n) for n in range(MANY)]


def tagged(n: int) -> dict[str, Any]:
    return {"router": {"session": f"caller {n}"}}


def check(handler: Any, models: Sequence[FakeLLM], *, calls: int = 1) -> None:
    """Each caller has receipts of its own, of both models, with the tokens that were truly used for it."""
    assert Counter(call.receipt.session for call in handler.calls) == {f"caller {n}": calls for n in range(MANY)}
    assert [[each.model for each in call.receipt.attempts] for call in handler.calls] == [
        ["fake:weak", "fake:strong"]
    ] * (MANY * calls)
    booked = Counter(
        (each.usage.input_tokens, each.usage.output_tokens) for call in handler.calls for each in call.receipt.attempts
    )
    assert booked == Counter(used for model in models for used in model._desk.served)
    assert [tally.requests for tally in handler.by_query.values()] == [calls] * MANY
    assert sum(handler.total.escalations.values()) == MANY * calls


# ------------------------------------------------------------------------------------------------------------ threads
def chat(llm: Any, n: int) -> str:
    return str(llm.chat(ASKED[n]))


def complete(llm: Any, n: int) -> str:
    return str(llm.complete(QUESTIONS[n]))


def structured(llm: Any, n: int) -> str:
    return str(llm.structured_predict(Animal, PromptTemplate(QUESTIONS[n])))


def query(llm: Any, n: int) -> str:
    return str(index().as_query_engine(llm=llm).query(QUESTIONS[n]))


@pytest.mark.parametrize("work", [chat, complete, structured])
def test_calls_in_threads_have_their_own_answers_and_receipts(work: Callable[[Any, int], Any]) -> None:
    models = meeters(in_threads=True)
    llm = router(*models)
    counter = TokenCountingHandler(tokenizer=str.split)
    llm.callback_manager = CallbackManager([counter])

    def one(n: int) -> str:
        with instrument_tags(tagged(n)):
            return work(llm, n)

    with get_router_handler() as handler:
        answers = at_once(one)

    assert counter.total_llm_token_count == sum(sum(model.served) for model in models)
    check(handler, models)
    assert answers == truly(work)
    assert len(set(answers)) == MANY


def test_each_answer_carries_the_account_of_its_own_call() -> None:
    models = meeters(in_threads=True)
    llm = router(*models)

    with get_router_handler() as handler:
        answers = at_once(lambda n: llm.chat(ASKED[n]))

    receipts = {call.receipt.request_id: call.receipt for call in handler.calls}
    for n, answer in enumerate(answers):
        receipt = receipts.pop(answer.additional_kwargs["router"]["request_id"])
        assert receipt.usage.input_tokens == 2 * (len(QUESTIONS[n].split()) + 4)
    assert receipts == {}


@pytest.mark.parametrize("loops", [False, True], ids=["threads", "event loops in threads"])
def test_one_engine_answers_queries_from_threads(*, loops: bool) -> None:
    models = meeters(in_threads=True)
    engine = index().as_query_engine(llm=router(*models))

    def one(n: int) -> str:
        with instrument_tags(tagged(n)):
            return str(asyncio.run(engine.aquery(QUESTIONS[n])) if loops else engine.query(QUESTIONS[n]))

    with get_router_handler() as handler:
        answers = at_once(one)

    assert answers == truly(query)
    assert len(set(answers)) == MANY
    check(handler, models)


# ----------------------------------------------------------------------------------------------------- one event loop
async def test_one_engine_answers_queries_in_one_event_loop() -> None:
    models = meeters(in_threads=False)
    llm = router(*models)
    engine = index().as_query_engine(llm=llm)

    async def one(n: int) -> str:
        with instrument_tags(tagged(n)):
            return str(await engine.aquery(QUESTIONS[n]))

    with get_router_handler() as handler:
        answers = await asyncio.gather(*map(one, range(MANY)))

    assert answers == truly(query)
    assert len(set(answers)) == MANY
    check(handler, models)


class Stuck(FakeLLM):
    """Never answers those whose number is odd."""

    async def _achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        if messages in ASKED[1::2]:
            await asyncio.Event().wait()
        return await super()._achat(messages, **kwargs)


async def test_calls_that_are_cancelled_leave_the_others_alone() -> None:
    llm = router(Stuck())

    with get_router_handler() as handler:
        tasks = [asyncio.create_task(llm.achat(each)) for each in ASKED]
        await asyncio.gather(*tasks[::2])
        for task in tasks[1::2]:
            task.cancel()
        await asyncio.gather(*tasks[1::2], return_exceptions=True)

    assert all(task.cancelled() for task in tasks[1::2])
    assert Counter(call.receipt.outcome.value for call in handler.calls) == {"answered": 5, "cancelled": 5}
    left = [call.receipt.usage for call in handler.calls if call.receipt.outcome.value == "cancelled"]
    assert all(usage.estimated and usage.input_tokens > 0 for usage in left)


# ----------------------------------------------------------------------------------------------- event loops in loops
def nested(llm: Any, n: int) -> str:
    """A query that is sync outside and async inside."""
    engine = index().as_query_engine(llm=llm, response_mode=ResponseMode.ACCUMULATE, use_async=True, similarity_top_k=2)
    return str(engine.query(QUESTIONS[n]))


def in_a_loop(work: Callable[[], Any]) -> Any:
    async def main() -> Any:
        return work()

    return asyncio.run(main())


def test_sync_queries_inside_running_event_loops_have_their_own_answers_and_receipts() -> None:
    models = meeters(in_threads=True)
    llm = router(*models)

    def one(n: int) -> str:
        with instrument_tags(tagged(n)):
            return in_a_loop(lambda: nested(llm, n))

    with get_router_handler() as handler:
        answers = at_once(one)

    assert answers == in_a_loop(lambda: truly(nested))
    assert len(set(answers)) == MANY
    check(handler, models, calls=2)


# ------------------------------------------------------------------------------------------------------------ streams
def streamed(llm: Any, n: int) -> list[str]:
    return [chunk.delta for chunk in llm.stream_chat(ASKED[n])]


def check_streams(handler: Any, texts: Sequence[list[str]]) -> None:
    """The even ones were read to their end, the odd ones left after their first chunk."""
    assert texts[::2] == truly(streamed)[::2]
    assert [text[0] for text in texts[1::2]] == [text[0] for text in truly(streamed)[1::2]]
    receipts = {call.receipt.session: call.receipt for call in handler.calls}
    assert len(handler.calls) == len(receipts) == MANY
    for n, question in enumerate(QUESTIONS):
        receipt = receipts[f"caller {n}"]
        assert receipt.outcome.value == ("cancelled" if n % 2 else "answered")
        assert receipt.usage.estimated == bool(n % 2)
        assert receipt.usage.output_tokens > 0
        if n % 2 == 0:
            assert receipt.usage.input_tokens == len(question.split()) + 4


def test_of_streams_in_threads_those_that_are_left_disturb_no_other() -> None:
    llm, begun = router(Meeter(model="strong")), Meeting()

    def one(n: int) -> list[str]:
        with instrument_tags(tagged(n)):
            chunks = llm.stream_chat(ASKED[n])
        heard = [next(chunks).delta]
        begun.wait()
        if n % 2:
            chunks.close()
        return heard + [chunk.delta for chunk in chunks]

    with get_router_handler() as handler:
        texts = at_once(one)

    check_streams(handler, texts)


async def test_of_streams_in_one_event_loop_those_that_are_left_disturb_no_other() -> None:
    model = Meeter(model="strong")
    llm, begun = router(model), Meeting()
    model._meeting.in_threads = begun.in_threads = False

    async def one(n: int) -> list[str]:
        with instrument_tags(tagged(n)):
            chunks = await llm.astream_chat(ASKED[n])
        heard = [(await anext(chunks)).delta]
        await begun.await_all()
        if n % 2:
            await chunks.aclose()
        return heard + [chunk.delta async for chunk in chunks]

    with get_router_handler() as handler:
        texts = await asyncio.gather(*map(one, range(MANY)))

    check_streams(handler, texts)


def test_streams_that_are_read_in_turns_stay_apart() -> None:
    llm = router(FakeLLM(model="strong"))
    open_streams = [llm.stream_chat(each) for each in ASKED]
    texts: list[list[str]] = [[] for _ in QUESTIONS]

    for chunks in zip(*open_streams, strict=True):
        for text, chunk in zip(texts, chunks, strict=True):
            text.append(chunk.delta)

    assert texts == truly(streamed)


def test_a_stream_may_be_read_in_another_thread_than_it_was_opened_in() -> None:
    llm = router(FakeLLM(model="weak", says=IDK), FakeLLM(model="strong"))

    with get_router_handler() as handler:
        open_streams = [llm.stream_chat(each) for each in ASKED]
        texts = at_once(lambda n: [chunk.delta for chunk in open_streams[n]])

    assert texts == truly(streamed)
    assert (handler.total.answered, len(handler.by_query)) == (MANY, MANY)


# ----------------------------------------------------------------------------------------------------- what all share
@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_blocks_of_handlers_in_threads_each_hear_their_own_and_leave_nothing(restless: None) -> None:
    llm, before = router(FakeLLM()), list(root_dispatcher.event_handlers)

    def one(n: int) -> list[int]:
        heard = []
        for _ in range(20):
            with get_router_handler() as handler, instrument_tags(tagged(n)):
                llm.chat(ASKED[n])
            heard.append(sum(call.receipt.session == f"caller {n}" for call in handler.calls))
        return heard

    assert at_once(one) == [[1] * 20] * MANY
    assert list(root_dispatcher.event_handlers) == before


def test_routers_that_are_made_at_once_count_a_structured_answer_once(restless: None) -> None:
    root_dispatcher.event_handlers[:] = root_dispatcher.span_handlers[:] = []
    meeting = Meeting()

    def one(n: int) -> tuple[str | None, int]:
        fake = FakeLLM()
        meeting.wait()
        llm = RouterLLM(models=[fake], policy=StaticPolicy())
        meeting.wait()
        with instrument_tags(tagged(n)):
            structured(llm, n)
        return f"caller {n}", sum(fake.served)

    with get_router_handler() as handler:
        used = dict(at_once(one))

    assert {call.receipt.session: call.receipt.usage.total_tokens for call in handler.calls} == used
