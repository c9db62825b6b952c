"""Every way to ask, times everything that may become of a draft: all counters agree with what the models served, and
nobody who listens hears a rejected draft, or a token twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

pytest.importorskip("langgraph", reason="langgraph is not installed; run: uv sync --group langchain")

from langchain_core.callbacks import UsageMetadataCallbackHandler, get_usage_metadata_callback
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph

from langchain_router import ChatRouter
from langchain_router.handler import RouterCallbackHandler, get_router_callback
from router_core.policies import StaticPolicy
from tests.langchain.scripted import GOOD, IDK, Scripted, knows

ASK = "What is the capital of France?"
pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


class Scene(NamedTuple):
    """A router of two models, and what becomes of the first one's draft."""

    weak: Scripted
    strong: Scripted
    llm: ChatRouter

    @property
    def models(self) -> tuple[Scripted, Scripted]:
        return self.weak, self.strong


DRAFTS: dict[str, Any] = {
    "accepted": "Paris, of course.",
    "rejected": IDK,
    "failed": ModelRateLimitError("slow down"),
}
ANSWERS = {"accepted": "Paris, of course.", "rejected": GOOD, "failed": GOOD}


def scene(draft: str, **options: Any) -> Scene:
    weak, strong = Scripted(model_id="weak", says=DRAFTS[draft]), Scripted(model_id="strong", says=GOOD)
    return Scene(weak, strong, ChatRouter(models=[weak, strong], verifiers=[knows], policy=StaticPolicy(), **options))


def stream(llm: Any, config: Any) -> list[str]:
    return ["".join(chunk.text for chunk in llm.stream(ASK, config))]


async def astream(llm: Any, config: Any) -> list[str]:
    return ["".join([chunk.text async for chunk in llm.astream(ASK, config)])]


async def ainvoke(llm: Any, config: Any) -> list[str]:
    return [(await llm.ainvoke(ASK, config)).text]


async def abatch(llm: Any, config: Any) -> list[str]:
    return [answer.text for answer in await llm.abatch([ASK, ASK, ASK], config)]


SYNC: dict[str, Callable[[Any, Any], list[str]]] = {
    "invoke": lambda llm, config: [llm.invoke(ASK, config).text],
    "batch": lambda llm, config: [answer.text for answer in llm.batch([ASK, ASK, ASK], config)],
    "stream": stream,
}
ASYNC: dict[str, Callable[[Any, Any], Awaitable[list[str]]]] = {
    "ainvoke": ainvoke,
    "abatch": abatch,
    "astream": astream,
}


class Counters(NamedTuple):
    """Everybody who counts, attached in both ways."""

    theirs: list[UsageMetadataCallbackHandler]
    ours: list[RouterCallbackHandler]

    def agree_with(self, *models: Scripted) -> None:
        """Each says exactly what the models served."""
        served = {model.model_id: model.used() for model in models if model.served}
        for counter in self.theirs:
            assert {name: _of_metadata(told) for name, told in counter.usage_metadata.items()} == served
        for counter in self.ours:
            assert {
                name.removeprefix("fake:"): _of_usage(tally.usage)
                for name, tally in counter.by_model.items()
                if tally.usage.total_tokens
            } == served


def _of_metadata(told: Any) -> dict[str, int]:
    assert told["total_tokens"] == told["input_tokens"] + told["output_tokens"]
    return {
        "input": told["input_tokens"],
        "cached": told["input_token_details"]["cache_read"],
        "output": told["output_tokens"],
        "reasoning": told["output_token_details"]["reasoning"],
    }


def _of_usage(usage: Any) -> dict[str, int]:
    assert not usage.estimated
    return {
        "input": usage.input_tokens,
        "cached": usage.cache_read_tokens,
        "output": usage.output_tokens,
        "reasoning": usage.reasoning_tokens,
    }


@contextmanager
def counting() -> Iterator[tuple[Counters, dict[str, Any]]]:
    """The counters, and the config that attaches those that need one."""
    theirs, ours = UsageMetadataCallbackHandler(), RouterCallbackHandler()
    with get_usage_metadata_callback() as theirs_around, get_router_callback() as ours_around:
        yield Counters([theirs, theirs_around], [ours, ours_around]), {"callbacks": [theirs, ours]}


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("way", SYNC)
def test_counters_agree(way: str, draft: str) -> None:
    routed = scene(draft)

    with counting() as (counters, config):
        answers = SYNC[way](routed.llm, config)

    assert set(answers) == {ANSWERS[draft]}
    counters.agree_with(*routed.models)


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("way", ASYNC)
async def test_counters_agree_async(way: str, draft: str) -> None:
    routed = scene(draft)

    with counting() as (counters, config):
        answers = await ASYNC[way](routed.llm, config)

    assert set(answers) == {ANSWERS[draft]}
    counters.agree_with(*routed.models)


@pytest.mark.parametrize("mode", ["hold", "prefix", "commit"])
@pytest.mark.parametrize("draft", DRAFTS)
async def test_counters_agree_however_a_stream_may_speak(draft: str, mode: str) -> None:
    routed = scene(draft)

    with counting() as (counters, config):
        list(routed.llm.stream(ASK, config, stream_mode=mode))
        _ = [chunk async for chunk in routed.llm.astream(ASK, config, stream_mode=mode)]

    counters.agree_with(*routed.models)


@pytest.mark.parametrize("draft", DRAFTS)
async def test_counters_agree_in_a_chain(draft: str) -> None:
    routed = scene(draft)
    chain = ChatPromptTemplate.from_template("What is the capital of {country}?") | routed.llm | StrOutputParser()

    with counting() as (counters, config):
        answers = [
            chain.invoke({"country": "France"}, config),
            await chain.ainvoke({"country": "France"}, config),
            "".join(chain.stream({"country": "France"}, config)),
            "".join([text async for text in chain.astream({"country": "France"}, config)]),
        ]

    assert answers == [ANSWERS[draft]] * 4
    counters.agree_with(*routed.models)
    assert len(counters.ours[0].by_root_run) == 4


async def test_counters_agree_when_every_model_fails() -> None:
    down = Scripted(model_id="weak", says=ModelRateLimitError("slow down"))
    llm = ChatRouter(models=[down], verifiers=[])

    with counting() as (counters, config):
        with pytest.raises(ModelRateLimitError.__mro__[1]):
            llm.invoke(ASK, config)
        with pytest.raises(ModelRateLimitError.__mro__[1]):
            await llm.ainvoke(ASK, config)

    counters.agree_with(down)
    assert counters.ours[0].by_model["fake:weak"].fallbacks == {"rate_limited": 4}
    assert counters.ours[0].total.answered == 0


# ---- who listens


def graph(routed: Scene, *, streaming: bool = False) -> Any:
    """One node that asks the router, sync and async."""

    def ask(state: MessagesState) -> dict[str, Any]:
        if not streaming:
            return {"messages": [routed.llm.invoke(state["messages"])]}
        chunks = list(routed.llm.stream(state["messages"]))
        return {"messages": [chunks[0] + chunks[1:]]}

    async def aask(state: MessagesState) -> dict[str, Any]:
        if not streaming:
            return {"messages": [await routed.llm.ainvoke(state["messages"])]}
        chunks = [chunk async for chunk in routed.llm.astream(state["messages"])]
        return {"messages": [chunks[0] + chunks[1:]]}

    built = StateGraph(MessagesState).add_node("ask", RunnableLambda(ask, aask))
    return built.add_edge(START, "ask").add_edge("ask", END).compile()


STATE: Any = {"messages": [HumanMessage(ASK)]}


@pytest.mark.parametrize("streaming", [False, True], ids=["node-invokes", "node-streams"])
@pytest.mark.parametrize("draft", DRAFTS)
async def test_langgraph_messages_show_the_answer_once(draft: str, *, streaming: bool) -> None:
    routed = scene(draft)
    app = graph(routed, streaming=streaming)

    with counting() as (counters, config):
        shown = "".join(chunk.text for chunk, _ in app.stream(STATE, config, stream_mode="messages"))
        ashown = "".join([chunk.text async for chunk, _ in app.astream(STATE, config, stream_mode="messages")])

    assert [shown, ashown] == [ANSWERS[draft]] * 2
    counters.agree_with(*routed.models)


@pytest.mark.parametrize("streaming", [False, True], ids=["node-invokes", "node-streams"])
@pytest.mark.parametrize("draft", DRAFTS)
async def test_langgraph_ends_with_one_message(draft: str, *, streaming: bool) -> None:
    routed = scene(draft)
    app = graph(routed, streaming=streaming)

    async for state in app.astream(STATE, stream_mode="values"):
        last = state

    assert [message.text for message in last["messages"]] == [ASK, ANSWERS[draft]]


async def spoken(events: AsyncIterator[Any]) -> str:
    """What the chat models of a run are heard to say."""
    return "".join([event["data"]["chunk"].text async for event in events if event["event"] == "on_chat_model_stream"])


@pytest.mark.parametrize("draft", DRAFTS)
async def test_events_v2_show_the_answer_once(draft: str) -> None:
    routed = scene(draft)
    chain = ChatPromptTemplate.from_template("{ask}") | routed.llm | StrOutputParser()

    with counting() as (counters, config):
        heard = [
            await spoken(routed.llm.astream_events(ASK, config, version="v2")),
            await spoken(chain.astream_events({"ask": ASK}, config, version="v2")),
            await spoken(graph(routed).astream_events(STATE, config, version="v2")),
            await spoken(graph(routed, streaming=True).astream_events(STATE, config, version="v2")),
        ]

    assert heard == [ANSWERS[draft]] * 4
    counters.agree_with(*routed.models)


@pytest.mark.parametrize("draft", DRAFTS)
async def test_events_v2_tell_of_one_answering_model(draft: str) -> None:
    events = [event async for event in scene(draft).llm.astream_events(ASK, version="v2")]

    ended = [event["data"]["output"].text for event in events if event["event"] == "on_chat_model_end"]
    told = [event["name"] for event in events if event["event"] == "on_custom_event"]
    assert ended == [ANSWERS[draft]]
    climbs = {"accepted": [], "rejected": ["router.escalate"], "failed": ["router.fallback"]}
    assert told == ["router.decision", *climbs[draft], "router.accept"]


@pytest.mark.parametrize("draft", DRAFTS)
async def test_events_v3_of_the_router_show_the_answer_once(draft: str) -> None:
    routed = scene(draft)

    with counting() as (counters, config):
        stream_ = routed.llm.stream_events(ASK, config, version="v3")
        shown, output = "".join(stream_.text), stream_.output
        # Here the router is a single run, so others see the answer's tokens only; the receipt has all.
        answered = routed.weak if draft == "accepted" else routed.strong
        Counters(counters.theirs, []).agree_with(answered)
        Counters([], counters.ours).agree_with(*routed.models)
        astream_ = await routed.llm.astream_events(ASK, config, version="v3")
        ashown, aoutput = "".join([text async for text in astream_.text]), await astream_.output

    assert [shown, ashown, output.text, aoutput.text] == [ANSWERS[draft]] * 4
    Counters([], counters.ours).agree_with(*routed.models)


@pytest.mark.parametrize("draft", DRAFTS)
async def test_events_v3_of_a_graph_show_the_answer_once(draft: str) -> None:
    routed = scene(draft)
    app = graph(routed)

    with counting() as (counters, config):
        run = app.stream_events(STATE, config, version="v3")
        shown = ["".join(message.text) for message in run.messages]
        arun = await app.astream_events(STATE, config, version="v3")
        ashown = ["".join([text async for text in message.text]) async for message in arun.messages]

    assert [shown, ashown] == [[ANSWERS[draft]]] * 2
    counters.agree_with(*routed.models)


@pytest.mark.parametrize("draft", DRAFTS)
def test_events_v3_of_a_graph_whose_node_streams_show_no_rejected_draft(draft: str) -> None:
    routed = scene(draft)

    run = graph(routed, streaming=True).stream_events(STATE, version="v3")
    shown = ["".join(message.text) for message in run.messages]

    # LangGraph shows nothing of what a node streams from any chat model here, unless it is held and then told.
    assert shown in ([], [ANSWERS[draft]])
    assert run.output["messages"][-1].text == ANSWERS[draft]
