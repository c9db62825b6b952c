"""What the router's handlers count, and how they show it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from llama_index.core import PromptTemplate, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.callbacks import CallbackManager
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.instrumentation import root_dispatcher
from llama_index.core.response_synthesizers import ResponseMode

from llamaindex_router import RouterCallbackHandler, RouterLLM, get_router_handler
from router_core.errors import AllAttemptsFailed, NoFeasibleModel
from router_core.policies import StaticPolicy
from tests.llamaindex.fake import FakeLLM
from tests.llamaindex.library import QUESTION, Animal, Words, index, long_nodes, tools
from tests.llamaindex.routed import ASK, DEPRECATED, down, router, unsure

pytestmark = [pytest.mark.filterwarnings(each) for each in DEPRECATED]


@pytest.fixture(autouse=True)
def no_event_loop() -> None:
    """Where there is none that is at rest, LlamaIndex runs its own and closes it."""
    asyncio.set_event_loop(None)


Watch = Callable[[RouterLLM], Any]


@pytest.fixture(params=["dispatcher", "callback manager"])
def watch(request: pytest.FixtureRequest) -> Iterator[Watch]:
    """Puts a handler where it hears a router. Of each kind there is one."""
    if request.param == "dispatcher":
        with get_router_handler() as handler:
            yield lambda _: handler
        return
    counter = RouterCallbackHandler()

    def on(llm: RouterLLM) -> RouterCallbackHandler:
        llm.callback_manager = CallbackManager([counter])
        return counter

    yield on


# --------------------------------------------------------------------------------------------- what was spent on whom
def test_an_escalation_is_booked_on_both_models(watch: Watch) -> None:
    llm = router(unsure(), FakeLLM())
    handler = watch(llm)

    llm.chat(ASK)

    weak, strong, total = handler.by_model["fake:weak"], handler.by_model["fake:strong"], handler.total
    assert (weak.requests, weak.attempts, weak.answered) == (1, 1, 0)
    assert (strong.requests, strong.attempts, strong.answered) == (1, 1, 1)
    assert (weak.usage.input_tokens, weak.usage.output_tokens) == (8, 4)
    assert (strong.usage.input_tokens, strong.usage.output_tokens) == (8, 10)
    assert (weak.escalations, strong.escalations, total.escalations) == ({"knows": 1}, {}, {"knows": 1})
    assert (weak.cost_usd, strong.cost_usd) == (Decimal("0.000012"), Decimal("0.000180"))
    assert (total.cost_usd, total.baseline_usd) == (Decimal("0.000192"), Decimal("0.000180"))


def test_a_fallback_is_booked_with_its_kind(watch: Watch) -> None:
    llm = router(down(), FakeLLM())
    handler = watch(llm)

    llm.chat(ASK)

    assert handler.by_model["fake:weak"].fallbacks == {"connection": 1}
    assert handler.by_model["fake:strong"].fallbacks == {}
    total = handler.total
    assert (total.requests, total.attempts, total.answered, total.fallbacks) == (1, 2, 1, {"connection": 1})


def test_a_saving_is_what_the_strongest_would_have_cost(watch: Watch) -> None:
    llm = router()
    handler = watch(llm)

    llm.chat(ASK)

    assert (handler.total.cost_usd, handler.total.baseline_usd) == (Decimal("0.000018"), Decimal("0.000180"))


def test_an_unknown_price_stays_unknown(watch: Watch) -> None:
    llm = router(unsure(), FakeLLM(), prices=(1, None))
    handler = watch(llm)

    llm.chat(ASK)

    assert handler.by_model["fake:weak"].cost_usd == Decimal("0.000012")
    assert (handler.by_model["fake:strong"].cost_usd, handler.total.cost_usd) == (None, None)
    assert handler.as_dict()["total"]["cost_usd"] is None
    assert str(handler).count("unknown") == 2


def test_it_shows_a_table_and_json(watch: Watch) -> None:
    llm = router(unsure(), FakeLLM())
    handler = watch(llm)
    llm.chat(ASK)

    lines = str(handler).splitlines()
    assert [line.split()[0] for line in lines] == ["model", "-" * 19, "fake:weak", "fake:strong", "total", "The"]
    assert "knows 1" in lines[2]
    assert "0.000192" in lines[4]
    told = json.loads(json.dumps(handler.as_dict()))
    assert told["total"]["cost_usd"] == "0.000192"
    assert told["models"]["fake:weak"]["escalations"] == {"knows": 1}
    assert [attempt["code"] for attempt in told["calls"][0]["attempts"]] == ["knows", "ok"]
    assert list(told["roots"]) == [told["calls"][0]["root_id"]]


def test_the_answer_and_its_receipt_have_one_id(watch: Watch) -> None:
    llm = router()
    handler = watch(llm)

    answers = [llm.chat(ASK), llm.complete(QUESTION), list(llm.stream_chat(ASK))[-1]]

    ids = [answer.additional_kwargs["router"]["request_id"] for answer in answers]
    assert [call.receipt.request_id for call in handler.calls] == ids


def test_what_is_forgotten_is_not_counted(watch: Watch) -> None:
    llm = router()
    handler = watch(llm)
    llm.chat(ASK)

    handler.reset()
    llm.chat(ASK)

    assert (handler.total.requests, len(handler.calls)) == (1, 1)


# -------------------------------------------------------------------------------------- a receipt is booked, and once
def test_handlers_of_both_kinds_count_the_same_and_each_receipt_once() -> None:
    llm = router(unsure(), FakeLLM())
    by_manager = RouterCallbackHandler()
    llm.callback_manager = CallbackManager([by_manager, by_manager])

    with get_router_handler() as by_event:
        root_dispatcher.add_event_handler(by_event)
        llm.chat(ASK)
        list(llm.stream_chat(ASK))
        llm.structured_predict(Animal, PromptTemplate("Tell of the whale."))
        root_dispatcher.event_handlers.remove(by_event)

    assert by_manager.total.requests == 3
    assert by_event.as_dict() == by_manager.as_dict()


def test_a_receipt_is_booked_when_all_calls_failed(watch: Watch) -> None:
    llm = router(down(), FakeLLM(fails=True))
    handler = watch(llm)

    with pytest.raises(AllAttemptsFailed) as failed:
        llm.chat(ASK)

    assert failed.value.receipt is handler.calls[0].receipt
    assert handler.calls[0].receipt.outcome.value == "failed"
    assert (handler.total.answered, handler.total.fallbacks) == (0, {"connection": 3})


async def test_a_receipt_is_booked_when_a_stream_failed(watch: Watch) -> None:
    llm = router(FakeLLM(fails=True))
    handler = watch(llm)

    with pytest.raises(AllAttemptsFailed):
        llm.stream_chat(ASK)
    with pytest.raises(AllAttemptsFailed):
        await llm.astream_chat(ASK)

    assert [call.receipt.outcome.value for call in handler.calls] == ["failed", "failed"]


def test_a_refused_request_costs_nothing(watch: Watch) -> None:
    llm = router()
    handler = watch(llm)

    with pytest.raises(NoFeasibleModel):
        llm.chat(ASK, max_cost_usd="0.000000001")

    assert (handler.total.requests, handler.total.attempts, handler.total.cost_usd) == (1, 0, Decimal(0))


async def test_a_stream_that_is_left_is_booked_with_what_it_said(watch: Watch) -> None:
    llm = router(FakeLLM())
    handler = watch(llm)

    chunks = llm.stream_chat(ASK)
    next(chunks)
    chunks.close()
    achunks = await llm.astream_chat(ASK)
    await anext(achunks)
    await achunks.aclose()

    for call in handler.calls:
        assert call.receipt.outcome.value == "cancelled"
        assert call.receipt.usage.estimated
        assert call.receipt.usage.output_tokens > 0
    assert handler.total.requests == 2
    assert handler.total.cost_usd > 0


def test_a_stream_that_is_never_read_is_booked(watch: Watch) -> None:
    llm = router(FakeLLM())
    handler = watch(llm)

    llm.stream_chat(ASK).close()

    assert handler.calls[0].receipt.outcome.value == "cancelled"
    assert handler.total.usage.output_tokens > 0


def test_an_async_stream_that_is_never_read_is_booked(watch: Watch) -> None:
    llm = router(FakeLLM())
    handler = watch(llm)

    async def leave() -> None:
        await (await llm.astream_chat(ASK)).aclose()

    asyncio.run(leave())

    assert handler.calls[0].receipt.outcome.value == "cancelled"


def test_a_draft_that_was_rejected_is_booked_as_reported_although_the_stream_was_left(watch: Watch) -> None:
    llm = router(unsure(), FakeLLM())
    handler = watch(llm)

    chunks = llm.stream_chat(ASK)
    next(chunks)
    chunks.close()

    weak = handler.by_model["fake:weak"]
    assert (weak.usage.output_tokens, weak.usage.estimated, weak.escalations) == (4, False, {"knows": 1})


# ------------------------------------------------------------------------------------------------------------ queries
def engine(llm: RouterLLM, **options: Any) -> Any:
    """One whose texts take two calls for each question."""
    return VectorStoreIndex(long_nodes(), embed_model=Words()).as_query_engine(llm=llm, similarity_top_k=6, **options)


def parts(handler: Any) -> list[int]:
    """How many requests each outer unit of work made."""
    return [tally.requests for tally in handler.by_query.values()]


@pytest.mark.parametrize("mode", [ResponseMode.COMPACT, ResponseMode.REFINE])
async def test_each_query_of_an_engine_is_an_entry_of_its_own(mode: ResponseMode) -> None:
    asking = engine(router(), response_mode=mode)

    with get_router_handler() as handler:
        asking.query(QUESTION)
        once = handler.total.requests
        asking.query("Why is the sky blue?")
        await asking.aquery(QUESTION)

    assert once > 1
    assert parts(handler) == [once] * 3
    assert all(root.startswith("RetrieverQueryEngine.") for root in handler.by_query)


async def test_each_run_of_an_agent_is_an_entry_of_its_own() -> None:
    llm = router()
    agents = [
        FunctionAgent(name="one", description="An agent.", tools=tools(), llm=llm),
        ReActAgent(name="two", description="An agent.", tools=tools(), llm=llm),
        AgentWorkflow.from_tools_or_functions(tools(), llm=llm),
    ]

    with get_router_handler() as handler:
        for agent in agents:
            await agent.run("add 2 and 3")

    assert parts(handler) == [2, 2, 2]


def test_each_call_that_nothing_is_around_is_an_entry_of_its_own() -> None:
    llm = router()
    tell = PromptTemplate("Tell of the whale.")
    calls: list[Callable[[], Any]] = [
        lambda: llm.chat(ASK),
        lambda: llm.complete(QUESTION),
        lambda: list(llm.stream_chat(ASK)),
        lambda: llm.predict(tell),
        lambda: llm.structured_predict(Animal, tell),
        lambda: llm.chat_with_tools(tools(), QUESTION),
        lambda: list(llm.stream_chat_with_tools(tools(), QUESTION)),
        lambda: asyncio.run(llm.achat_with_tools(tools(), QUESTION)),
    ]

    with get_router_handler() as handler:
        for call in calls * 2:
            call()

    assert parts(handler) == [1] * len(calls) * 2
    assert len({call.call_id for call in handler.calls}) == len(calls) * 2


def test_each_turn_of_a_chat_is_an_entry_of_its_own() -> None:
    talk = SimpleChatEngine.from_defaults(llm=router())

    with get_router_handler() as handler:
        talk.chat("Hello.")
        list(talk.stream_chat("And now?").response_gen)

    assert [root.partition("-")[0] for root in handler.by_query] == [
        "SimpleChatEngine.chat",
        "SimpleChatEngine.stream_chat",
    ]


async def test_a_receipt_names_the_component_that_made_the_call() -> None:
    class Mine(RouterLLM):
        """A router by another name is no component either."""

    llm = Mine(models=[FakeLLM()], policy=StaticPolicy())

    with get_router_handler() as handler:
        index().as_query_engine(llm=llm).query(QUESTION)
        await index().as_query_engine(llm=llm, response_mode=ResponseMode.TREE_SUMMARIZE).aquery(QUESTION)
        SimpleChatEngine.from_defaults(llm=llm).chat("Hello.")
        await FunctionAgent(tools=tools(), llm=llm).run("add 2 and 3")
        llm.chat(ASK)
        index().as_query_engine(llm=llm).query(QUESTION)

    sites = [call.receipt.call_site for call in handler.calls]
    assert sites == [
        "CompactAndRefine.get_response",
        "TreeSummarize.aget_response",
        "SimpleChatEngine.chat",
        "BaseWorkflowAgent.run_agent_step",
        "BaseWorkflowAgent.run_agent_step",
        None,
        "CompactAndRefine.get_response",
    ]


# ------------------------------------------------------------------------------------------------ blocks of a handler
def test_a_block_hears_what_is_routed_while_it_is_open_and_nothing_else() -> None:
    llm = router()

    with get_router_handler() as outer:
        llm.chat(ASK)
        with get_router_handler() as inner:
            llm.chat(ASK)
        llm.chat(ASK)
    llm.chat(ASK)

    assert (outer.total.requests, inner.total.requests) == (3, 1)


def test_a_block_is_over_also_after_an_error() -> None:
    llm = router()
    before = list(root_dispatcher.event_handlers)

    with pytest.raises(AllAttemptsFailed), get_router_handler() as handler:
        router(FakeLLM(fails=True)).chat(ASK)

    assert list(root_dispatcher.event_handlers) == before
    llm.chat(ASK)
    assert handler.total.requests == 1


def test_blocks_may_end_in_any_order() -> None:
    llm = router()
    first, second = get_router_handler(), get_router_handler()
    one, two = first.__enter__(), second.__enter__()
    llm.chat(ASK)

    first.__exit__(None, None, None)
    llm.chat(ASK)
    second.__exit__(None, None, None)

    assert (one.total.requests, two.total.requests) == (1, 2)


def test_a_handler_that_fails_over_a_receipt_loses_no_answer() -> None:
    class Failing(RouterCallbackHandler):
        def on_router_receipt(self, call: Any) -> None:
            raise RuntimeError("full")

    counted = RouterCallbackHandler()
    router = RouterLLM(models=[FakeLLM()], callback_manager=CallbackManager([Failing(), counted]))

    assert router.complete("How are you?").text
    assert counted.total.requests == 1
