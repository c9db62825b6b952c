"""What LangChain and its integrations do behind one's back, and what must hold all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain", reason="langchain is not installed; run: uv sync --group langchain")

import httpx
from langchain.agents import create_agent, middleware
from langchain.agents.structured_output import ProviderStrategy
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.tools import tool
from langchain_core.tracers.context import collect_runs
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from langchain_router import ChatRouter, RouterMiddleware, get_router_callback
from router_core.errors import StreamBroken
from router_core.policies import StaticPolicy
from router_core.registry import Registry
from router_core.types import Constraints, Model, Price
from tests.langchain import saying
from tests.langchain.provider import Provider
from tests.langchain.scripted import GOOD, IDK, Scripted, knows
from tests.servers.provider import Exchange

ASK = "What is the capital of France?"
STATE: Any = {"messages": [HumanMessage(ASK)]}
WIRES = ("openai", "anthropic", "ollama")
pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"It is sunny in {city}."


def scripted(*says: Any) -> list[Scripted]:
    return [Scripted(model_id=f"m{number}", says=said) for number, said in enumerate(says)]


def over(*models: Any, **options: Any) -> ChatRouter:
    """A router over m0, m1 and so on, each at a dollar for a million tokens."""
    names, price = [f"m{number}" for number in range(len(models))], Price(input=Decimal(1), output=Decimal(1))
    entries = tuple(Model(name=name, id=name, provider="fake", endpoint=name, price=price) for name in names)
    return ChatRouter(models=models, registry=Registry(entries, {}), **{"policy": StaticPolicy(), **options})


async def ask(way: str, llm: Any) -> Any:
    """The whole answer."""
    match way:
        case "invoke":
            return llm.invoke(ASK)
        case "ainvoke":
            return await llm.ainvoke(ASK)
        case "stream":
            chunks = list(llm.stream(ASK))
        case "astream":
            chunks = [chunk async for chunk in llm.astream(ASK)]
        case "graph":
            chunks = [chunk for chunk, _ in create_agent(llm).stream(STATE, stream_mode="messages")]
        case "agraph":
            chunks = [chunk async for chunk, _ in create_agent(llm).astream(STATE, stream_mode="messages")]
        case _:
            told = [event async for event in llm.astream_events(ASK, version="v2")]
            chunks = [event["data"]["chunk"] for event in told if event["event"] == "on_chat_model_stream"]
    return chunks[0] + chunks[1:]


PLAIN = ["invoke", "ainvoke", "stream", "astream"]
EVERY = [*PLAIN, "graph", "agraph", "events"]


@pytest.mark.parametrize("way", PLAIN)
async def test_each_attempt_is_one_model_run_right_below_the_one_chain_run(way: str) -> None:
    with collect_runs() as runs:
        await ask(way, over(*scripted(IDK, GOOD)))
    (run,) = runs.traced_runs
    assert run.run_type == "chain"
    assert [(attempt.run_type, attempt.child_runs) for attempt in run.child_runs] == [("llm", [])] * 2


@pytest.mark.parametrize("way", EVERY)
async def test_a_model_with_bound_arguments_is_counted_and_heard_once(way: str) -> None:
    model, other = scripted(GOOD, IDK)
    with get_usage_metadata_callback() as theirs:
        answer = await ask(way, over(model.bind(stop=["Bonn"]), other))

    assert answer.text == GOOD
    assert theirs.usage_metadata["m0"]["input_tokens"] == model.used()["input"]


CASTS = {"alone": ["good-a"], "accepted": ["good-a", "good-b"], "rejected": ["unsure-a", "good-b"]}


@pytest.mark.parametrize("cast", CASTS.values(), ids=CASTS)
@pytest.mark.parametrize("way", EVERY)
async def test_usage_is_reported_where_chat_openai_by_itself_asks_for_none(
    provider: Provider, journal: list[Exchange], way: str, cast: Sequence[str]
) -> None:
    models = provider.models(*(f"openai:{name}" for name in cast))
    assert not any(model.stream_usage for model in models)
    with get_usage_metadata_callback() as theirs, get_router_callback() as ours:
        answer = await ask(way, over(*models))

    used = [(exchange.used.input, exchange.used.output) for exchange in journal]
    assert len(used) == (2 if "unsure-a" in cast else 1)
    assert (answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]) == used[-1]
    assert [(told["input_tokens"], told["output_tokens"]) for told in theirs.usage_metadata.values()] == used
    booked = [attempt.usage for attempt in ours.calls[0].receipt.attempts]
    assert [(usage.input_tokens, usage.output_tokens) for usage in booked] == used
    assert not any(usage.estimated for usage in booked)


@pytest.fixture
def cache() -> Iterator[None]:
    set_llm_cache(InMemoryCache())
    yield
    set_llm_cache(None)


@pytest.mark.parametrize("way", PLAIN)
async def test_a_hit_of_langchain_s_cache_is_no_usage(cache: None, way: str) -> None:
    models = scripted(IDK, GOOD)
    llm = over(*models, verifiers=[knows])
    llm.invoke(ASK)
    unheard = await ask(way, llm)
    with get_router_callback() as routed:
        await ask(way, llm)

    # The last model speaks live, and what is streamed goes past the cache.
    live = way in ("stream", "astream")
    assert [len(model.served) for model in models] == [1, 3 if live else 1]
    assert routed.total.usage.total_tokens == (12 if live else 0)
    assert routed.total.cost_usd == (Decimal("0.000012") if live else 0)
    assert saying.about(unheard)["cost_usd"] == ("0.000012" if live else "0")


RICH = AIMessage(
    [{"type": "text", "text": "Let me look."}],
    tool_calls=[{"name": "get_weather", "args": {"city": "Bonn"}, "id": "c1"}],
    additional_kwargs={"notes": {}},
)


@pytest.mark.parametrize("hearing", [nullcontext, get_router_callback], ids=["unheard", "heard"])
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_what_is_done_to_an_answer_is_not_done_to_the_next(cache: None, way: str, hearing: Any) -> None:
    (model,) = scripted(lambda _: RICH.model_copy(deep=True))

    for _ in range(3):
        with hearing():
            answer = await ask(way, over(model, verifiers=[]))
        assert (answer.content, answer.tool_calls) == (RICH.content, RICH.tool_calls)
        assert answer.additional_kwargs == RICH.additional_kwargs
        assert "mine" not in answer.response_metadata
        answer.content.append({"type": "text", "text": "And more."})
        answer.tool_calls[0]["args"]["city"] = "Rome"
        answer.additional_kwargs["notes"]["mine"] = answer.response_metadata["mine"] = 1
    assert len(model.served) == 1


@pytest.mark.parametrize("draft", ["good-a", "unsure-a"])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("way", EVERY)
async def test_an_answer_holds_no_fractions_and_adds_up(provider: Provider, way: str, wire: str, draft: str) -> None:
    answer = await ask(way, over(*provider.models(f"{wire}:{draft}", f"{wire}:good-b")))

    name = draft.replace("unsure-a", "good-b")
    json.loads(json.dumps([answer.usage_metadata, answer.response_metadata]), parse_float=pytest.fail)
    assert answer.response_metadata["model_name"] == name
    assert f"from {name}" in answer.text
    twice = saying.chunk_of(answer) + saying.chunk_of(answer)
    assert twice.usage_metadata["input_tokens"] == 2 * answer.usage_metadata["input_tokens"]


def test_routers_that_differ_have_different_keys(provider: Provider) -> None:
    one, other = provider.models("openai:good-a", "openai:good-b")
    elsewhere = ChatOpenAI(**{**provider.params("openai:good-a"), "base_url": "http://127.0.0.1:1/v1"})
    warm, bound = provider.model("openai:good-a", temperature=0.5), one.bind(stop=["x"])
    routers = [over(*models) for models in ([one], [other], [one, other], [other, one], [elsewhere], [warm], [bound])]
    routers += [over(one, temperature=0.5), over(one, stop=["x"]), over(one, verifiers=[])]
    routers += [over(one, policy=StaticPolicy("m0")), over(one, constraints=Constraints(max_attempts=1))]

    assert len({llm._get_llm_string() for llm in routers}) == len(routers)
    assert over(one)._get_llm_string() == routers[0]._get_llm_string()


@pytest.mark.parametrize("wire", WIRES)
def test_a_cache_gives_no_answer_of_another_model_router_or_setting(
    provider: Provider, journal: list[Exchange], cache: None, wire: str
) -> None:
    one, draft, other = provider.models(f"{wire}:good-a", f"{wire}:unsure-a", f"{wire}:good-b")
    routers = {"good-a": over(one), "good-b": over(draft, other)}
    for settings in [{}, {"temperature": 0.5}, {"max_tokens": 50}] * 2:
        assert all(f"from {name}" in llm.invoke(ASK, **settings).text for name, llm in routers.items())
    assert len(journal) == 9


class Full(InMemoryCache):
    """Has every answer, and remembers by which keys it was asked."""

    def lookup(self, prompt: str, llm_string: str) -> Any:
        self._cache[prompt, llm_string] = answer = [ChatGeneration(message=AIMessage(GOOD))]
        return answer


def keys() -> str:
    cache = Full()
    models = [ChatOpenAI(model=name, api_key="none", base_url="http://127.0.0.1:1", cache=cache) for name in "abc"]
    llm = over(*models, constraints=Constraints(deny=frozenset({"m1", "m2"})))
    bound = llm.bind_tools([get_weather, Person, {"type": "web_search"}], tool_choice="auto")
    bound.invoke(ASK)
    return f"{list(cache._cache)} {llm._get_llm_string(**bound.kwargs)}"


def test_keys_with_tools_are_the_same_in_every_process() -> None:
    command, root = [sys.executable, "-c", f"from {__name__} import keys; print(keys())"], Path(__file__).parents[2]
    for seed in "12":
        env = {**os.environ, "PYTHONHASHSEED": seed}
        told = subprocess.run(command, capture_output=True, text=True, env=env, cwd=root, check=True).stdout
        assert told.strip() == keys()


def test_tools_are_strict_beside_an_output_format(provider: Provider, journal: list[Exchange]) -> None:
    llm, form = over(provider.model("openai:good-a")), ProviderStrategy(Person)
    create_agent(llm, tools=[get_weather], response_format=form).invoke(STATE)

    assert {each.body["tools"][0]["function"].get("strict") for each in journal if each.body["response_format"]} == {
        True
    }


NAME = {"name": "get_weather"}
NAMED = ["get_weather", {"type": "function", "function": NAME}, {"type": "tool", **NAME}]


@pytest.mark.parametrize("choice", ["any", "required", True, {"type": "any"}, *NAMED], ids=str)
def test_a_tool_is_forced_in_every_provider_s_words(provider: Provider, journal: list[Exchange], choice: Any) -> None:
    for model in provider.models("openai:good-a", "anthropic:good-b"):
        over(model).bind_tools([get_weather], tool_choice=choice).invoke(ASK)

    sent = [each.body["tool_choice"] for each in journal]
    assert sent == (NAMED[1:] if choice in NAMED else ["required", {"type": "any"}])


SETTINGS: Any = {"temperature": 0.5, "top_p": 0.25, "timeout": 30, "seed": 3, "user": "me", "reasoning_effort": "low"}
SETTINGS |= {"logprobs": True, "parallel_tool_calls": False, "extra_headers": {"x-a": "b"}}
SENT = {"openai": ["max_completion_tokens", "seed"], "anthropic": ["max_tokens"], "ollama": ["num_predict", "seed"]}


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("wire", WIRES)
def test_settings_reach_every_provider_that_knows_them(
    provider: Provider, journal: list[Exchange], wire: str, limit: str
) -> None:
    over(provider.model(f"{wire}:good-a")).invoke(ASK, max_attempts=1, **{**SETTINGS, limit: 7})

    (exchange,) = journal
    sent = {**exchange.body, **exchange.body.get("options", {})}
    asked = {**SETTINGS, **dict.fromkeys(("max_tokens", "max_completion_tokens", "num_predict"), 7)}
    assert all(sent[name] == asked[name] for name in ("temperature", "top_p", *SENT[wire]))


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("wire", WIRES)
def test_a_structured_answer_that_is_none_climbs_and_is_paid_for(
    provider: Provider, journal: list[Exchange], wire: str, method: str
) -> None:
    llm = over(*provider.models(f"{wire}:unsure-a", "openai:good-b"), verifiers=[])
    with get_router_callback() as routed:
        answer = llm.with_structured_output(Person, method=method).invoke("Tell me of 'Ada', who is 36.")

    assert answer == Person(name="Ada", age=36)
    draft, _ = routed.calls[0].receipt.attempts
    assert (draft.outcome.value, draft.usage.input_tokens) == ("rejected", journal[0].used.input)


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-5.1", "router:gpt-4.1", "grok-4"])
def test_no_name_makes_an_agent_take_the_router_for_a_model_with_structured_output_of_its_own(name: str) -> None:
    call = AIMessage("", tool_calls=[{"name": "Person", "args": {"name": "Ada", "age": 36}, "id": "c1"}])
    model = saying.Scripted(model_name=name, says=call)
    alone = create_agent(ChatRouter(models=[model], name=name), response_format=Person)
    own, routing = saying.Scripted(model_name=name), RouterMiddleware([model])
    below = create_agent(own, response_format=Person, middleware=[routing])

    for agent in (alone, below):
        assert agent.invoke(STATE, {"recursion_limit": 5})["structured_response"] == Person(name="Ada", age=36)
    assert [asked["bound"] for asked in model.asked] == [["Person"]] * 2
    assert not any("response_format" in asked for asked in model.asked)


class TooLong(ModelInvalidRequestError):
    code = "context_length_exceeded"


KINDS = {"limited": "rate_limited", "down": "overloaded"}
FAULTS: Any = [(f"{wire}:{mood}-a", kind) for wire in WIRES for mood, kind in KINDS.items()]
FAULTS += [(httpx.ConnectError("refused"), "connection"), (TooLong("no"), "context_overflow")]


@pytest.mark.parametrize(("fault", "kind"), FAULTS)
def test_failures_mean_the_same_whoever_s_they_are(provider: Provider, fault: Any, kind: str) -> None:
    models = scripted(fault) if isinstance(fault, Exception) else provider.models(fault)
    with get_router_callback() as routed:
        over(*models, *scripted(GOOD)).invoke(ASK)
    assert routed.total.fallbacks == {kind: 1}


def test_an_interrupt_of_langgraph_is_no_failure() -> None:
    waiting, other = scripted(lambda _: interrupt("Go on?"), GOOD)
    agent, config = create_agent(over(waiting, other), checkpointer=InMemorySaver()), {"configurable": {"thread_id": 1}}

    assert agent.invoke(STATE, config)["__interrupt__"][0].value == "Go on?"
    assert agent.invoke(Command(resume="Yes."), config)["messages"][-1].text == "Yes."
    assert not other.served


@pytest.mark.parametrize("way", EVERY)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_draft_that_breaks_off_is_heard_by_nobody(provider: Provider, way: str, wire: str) -> None:
    answer = await ask(way, over(*provider.models(f"{wire}:broken-a", "openai:good-b")))
    assert answer.text.startswith("Here is a good answer from good-b")


@pytest.mark.parametrize("wire", WIRES)
def test_no_other_model_takes_over_what_broke_off_aloud(provider: Provider, wire: str) -> None:
    llm, heard = over(provider.model(f"{wire}:broken-a"), *scripted(GOOD)), []
    with pytest.raises(StreamBroken) as caught:
        heard.extend(chunk.text for chunk in llm.stream(ASK, stream_mode="commit"))
    assert caught.value.text == "".join(heard) != ""


def choosing(route: str, **models: Any) -> Any:
    """LangChain's own router of agents, whose classifier always chooses this one."""
    if not hasattr(middleware, "ModelRouterMiddleware"):
        pytest.skip("this langchain has no ModelRouterMiddleware, which came with 1.5.0")
    from langchain_core.decisions import BaseDecisionModel, ClassifierResponse

    class Classifier(BaseDecisionModel):
        _provider = "fake"

        def _classify(self, state: Any, questions: Any) -> ClassifierResponse:
            answer = {"type": "choice", "choice": route, "probabilities": {route: 1.0}, "confidence": 1.0}
            return ClassifierResponse(model=self.model, answers=dict.fromkeys(questions, answer))

    choices = {name: middleware.ModelChoice(model=model, criteria=name) for name, model in models.items()}
    return middleware.ModelRouterMiddleware(choices=choices, instructions="Pick.", classifier=Classifier(model="c"))


async def said_by(agent: Any) -> list[str]:
    heard = [chunk.text async for chunk, _ in agent.astream(STATE, stream_mode="messages")]
    return [agent.invoke(STATE)["messages"][-1].text, "".join(heard)]


async def test_a_router_is_one_of_the_models_that_langchain_s_router_chooses_from() -> None:
    draft, strong, own = scripted(IDK, GOOD, "Me?")
    agent = create_agent(own, middleware=[choosing("routed", own=own, routed=over(draft, strong, verifiers=[knows]))])

    with get_router_callback() as routed:
        assert await said_by(agent) == [GOOD, GOOD]
    assert (routed.total.requests, routed.total.attempts) == (2, 4)
    assert routed.total.usage.input_tokens == draft.used()["input"] + strong.used()["input"]


@pytest.mark.parametrize("inside", [True, False], ids=["routing inside", "routing outside"])
async def test_what_langchain_s_router_chose_is_the_strongest_inside_and_alone_outside(*, inside: bool) -> None:
    cheap, own, chosen = scripted(IDK, "Me?", GOOD)
    pair = [choosing("chosen", own=own, chosen=chosen), RouterMiddleware([cheap], policy=StaticPolicy())]
    agent = create_agent(own, middleware=pair if inside else pair[::-1])

    assert await said_by(agent) == [GOOD, GOOD]
    assert [len(model.served) for model in (cheap, own, chosen)] == [2 if inside else 0, 0, 2]
