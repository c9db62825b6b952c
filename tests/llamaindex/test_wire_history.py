"""A conversation in which the provider changes, as the providers get to see it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from itertools import cycle, product
from typing import Any, NamedTuple

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from llama_index_instrumentation.dispatcher import instrument_tags

from llamaindex_router import RouterLLM
from router_core.policies import Choice
from router_core.records import Reason
from tests.llamaindex.provider import WIRES, Provider
from tests.servers.provider import Exchange

pytestmark = [  # LlamaIndex's own agents
    pytest.mark.filterwarnings("ignore::DeprecationWarning:llama_index.core.agent.workflow.base_agent"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning:inspect"),
]

OPENAI, ANTHROPIC, OLLAMA = MODELS = ("openai:good-a", "anthropic:good-a", "ollama:good-c")
WAYS = ("", "stream_", "a", "astream_")
BY_WIRE = dict(zip(WIRES, MODELS, strict=True))
SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
KEYS = {
    "openai": {"role", "content", "tool_calls", "tool_call_id"},
    "anthropic": {"role", "content"},
    "ollama": {"role", "content", "tool_calls", "thinking"},
}
BLOCKS = {"openai": {"text"}, "anthropic": {"text", "tool_use", "tool_result", "thinking"}, "ollama": set()}
"""What messages and their contents may be made of on each wire."""

ROLES = {
    "openai": {"system", "user", "assistant", "tool"},
    "anthropic": {"user", "assistant"},
    "ollama": {"system", "user", "assistant", "tool"},
}


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"{city}: sunny"


def get_time(city: str) -> str:
    """Tell the time in a city."""
    return f"{city}: noon"


FUNCTIONS = {"get_weather": get_weather, "get_time": get_time}
TOOLS = [FunctionTool.from_defaults(function) for function in FUNCTIONS.values()]
ONE, BOTH = "Use get_weather for '{}'", "Use get_weather and get_time for '{}'"


class Told(NamedTuple):
    """A tool call of the history and its result, as they stand on the wire."""

    name: str
    args: Mapping[str, Any]
    result: str


def told(exchange: Exchange) -> list[Told]:
    """The tool calls that a provider was told of, each with the result that comes next and names it."""
    messages = exchange.body["messages"]
    found: list[Told] = []
    for position, message in enumerate(messages):
        made = calls(exchange.wire, message)
        given = [each for after in messages[position + 1 :] for each in results(exchange.wire, after)][: len(made)]
        assert [call[0] for call in made] == [result[0] for result in given], "results do not answer their calls"
        found += [Told(*call[1:], result[1]) for call, result in zip(made, given, strict=True)]
    return found


def calls(wire: str, message: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    if wire == "anthropic":
        return [(block["id"], block["name"], block["input"]) for block in blocks(message, "tool_use")]
    functions = [(call.get("id"), call["function"]) for call in message.get("tool_calls") or []]
    if wire == "openai":
        return [(key, function["name"], json.loads(function["arguments"])) for key, function in functions]
    # Ollama tells calls apart by their order.
    return [("by_order", function["name"], function["arguments"]) for _, function in functions]


def results(wire: str, message: Mapping[str, Any]) -> list[tuple[str, str]]:
    if wire == "anthropic":
        return [
            (block["tool_use_id"], "".join(part["text"] for part in block["content"]))
            for block in blocks(message, "tool_result")
        ]
    if message["role"] != "tool":
        return []
    return [("by_order" if wire == "ollama" else message["tool_call_id"], message["content"])]


def blocks(message: Mapping[str, Any], kind: str | None = None) -> list[Mapping[str, Any]]:
    content = message.get("content")
    found = content if isinstance(content, list) else []
    return [block for block in found if kind in (None, block["type"])]


def assert_native(exchange: Exchange) -> None:
    """Nothing but what this provider's own protocol knows."""
    for message in exchange.body["messages"]:
        assert message["role"] in ROLES[exchange.wire]
        assert set(message) <= KEYS[exchange.wire]
        assert {block["type"] for block in blocks(message)} <= BLOCKS[exchange.wire]
        made = calls(exchange.wire, message)
        assert all(SAFE_ID.fullmatch(key) and isinstance(args, dict) for key, _, args in made)
        assert exchange.wire == "ollama" or len({key for key, _, _ in made}) == len(made)


async def ask(llm: RouterLLM, way: str, history: list[ChatMessage], model: str, **kwargs: Any) -> ChatMessage:
    """The answer as agents keep it: of a stream, the message of the last chunk."""
    made = getattr(llm, f"{way}chat_with_tools")(TOOLS, chat_history=history, force_model=model, **kwargs)
    if way.startswith("a"):
        made = await made
    if "stream" not in way:
        return made.message
    return [chunk async for chunk in made][-1].message if way.startswith("a") else list(made)[-1].message


def answers_to(llm: RouterLLM, call: ChatMessage) -> list[ChatMessage]:
    """The results of the tools, as agents write them down."""
    chosen = llm.get_tool_calls_from_response(_Response(call))
    return [
        ChatMessage(
            role="tool",
            content=FUNCTIONS[each.tool_name](**each.tool_kwargs),
            additional_kwargs={"tool_call_id": each.tool_id},
        )
        for each in chosen
    ]


class _Response(NamedTuple):
    message: ChatMessage


def said_of(wire: str, *results_: str) -> str:
    """What the provider makes of results. Anthropic is told of all of them in one message."""
    return f"The tool says: {(' ' if wire == 'anthropic' else '; ').join(results_)}"


@pytest.mark.parametrize("prompt", [ONE, BOTH], ids=["one call", "parallel calls"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("first", "second"), [*product(WIRES, WIRES)])
async def test_results_go_to_another_provider(
    provider: Provider, journal: list[Exchange], first: str, second: str, way: str, prompt: str
) -> None:
    llm = RouterLLM(models=provider.models(*MODELS))
    one, other = (provider.name(BY_WIRE[wire]) for wire in (first, second))
    names = [name for name in FUNCTIONS if name in prompt]
    history = [ChatMessage(role="system", content="You help."), ChatMessage(prompt.format("Bonn"))]

    async def turn(model: str) -> None:
        before = copy.deepcopy(history)
        answer = await ask(llm, way, history, model, allow_parallel_tool_calls=len(names) > 1)
        assert history == before
        history.append(answer)

    await turn(one)
    history += answers_to(llm, history[-1])
    await turn(other)
    assert history[-1].content == said_of(second, *(FUNCTIONS[name]("Bonn") for name in names))
    history.append(ChatMessage(prompt.format("Rome")))
    await turn(one)
    history += answers_to(llm, history[-1])
    await turn(other)

    assert [exchange.wire for exchange in journal] == [first, second] * 2
    done = [(name, {"city": city}, FUNCTIONS[name](city)) for city in ("Bonn", "Rome") for name in names]
    for exchange, known in zip(journal, (0, len(names), len(names), 2 * len(names)), strict=True):
        assert_native(exchange)
        assert told(exchange) == done[:known]
        assert exchange.body.get("stream", False) is ("stream" in way)


class InTurn:
    """One model after the other."""

    name = "in_turn"

    def __init__(self, names: Sequence[str]) -> None:
        self._names = cycle(names)

    def decide(self, _request: object, _candidates: object) -> Choice:
        return Choice(start=next(self._names), reason=Reason.CUSTOM)


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 1, 0, 0, 2, 2)], ids=str)
async def test_agent_whose_provider_changes_at_every_turn(
    provider: Provider, journal: list[Exchange], order: Sequence[int], *, streaming: bool
) -> None:
    policy = InTurn([provider.name(MODELS[at]) for at in order])
    llm = RouterLLM(models=provider.models(*MODELS), policy=policy)
    agent = FunctionAgent(llm=llm, tools=[get_weather, get_time], streaming=streaming, system_prompt="You help.")
    memory = ChatMemoryBuffer.from_defaults(llm=llm)

    cities = ("Bonn", "Rome", "Oslo")
    for city in cities:
        said = await agent.run(BOTH.format(city), memory=memory)
        assert str(said) == said_of(journal[-1].wire, f"{city}: sunny", f"{city}: noon")
        assert [(call.tool_name, str(call.tool_output)) for call in said.tool_calls] == [
            ("get_weather", f"{city}: sunny"),
            ("get_time", f"{city}: noon"),
        ]

    assert [exchange.wire for exchange in journal] == [WIRES[order[turn % len(order)]] for turn in range(6)]
    done = [(name, {"city": city}, function(city)) for city in cities for name, function in FUNCTIONS.items()]
    for position, exchange in enumerate(journal):
        assert_native(exchange)
        assert told(exchange) == done[: 2 * ((position + 1) // 2)]


@pytest.mark.parametrize("model", MODELS)
async def test_agent_runs_on_the_model_that_a_tag_names(
    provider: Provider, journal: list[Exchange], model: str
) -> None:
    llm = RouterLLM(models=provider.models(*MODELS))
    agent = FunctionAgent(llm=llm, tools=[get_weather, get_time])

    with instrument_tags({"router": {"force_model": provider.name(model)}}):
        said = await agent.run(BOTH.format("Bonn"))

    assert str(said) == said_of(journal[-1].wire, "Bonn: sunny", "Bonn: noon")
    assert [exchange.wire for exchange in journal] == [model.partition(":")[0]] * 2


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "whole"])
async def test_agent_on_ollama_alone(provider: Provider, journal: list[Exchange], *, streaming: bool) -> None:
    """It gives its calls no ids; what runs them must tell them apart all the same, also from those of another turn."""
    llm = RouterLLM(models=[provider.model(OLLAMA)])
    agent = FunctionAgent(llm=llm, tools=[get_weather, get_time], streaming=streaming)
    memory = ChatMemoryBuffer.from_defaults(llm=llm)

    turns = [await agent.run(BOTH.format(city), memory=memory) for city in ("Bonn", "Rome")]

    keys = [call.tool_id for said in turns for call in said.tool_calls]
    assert len(set(keys)) == 4
    assert all(SAFE_ID.fullmatch(key) for key in keys)
    done = [(name, {"city": city}, function(city)) for city in ("Bonn", "Rome") for name, function in FUNCTIONS.items()]
    assert told(journal[-1]) == done
    for exchange in journal:
        assert_native(exchange)


def test_a_call_of_ollama_has_one_id_on_every_chunk(provider: Provider) -> None:
    llm = RouterLLM(models=[provider.model(OLLAMA)])

    chunks = list(llm.stream_chat_with_tools(TOOLS, BOTH.format("Bonn"), allow_parallel_tool_calls=True))

    told_ = [
        [call.tool_id for call in llm.get_tool_calls_from_response(chunk, error_on_no_tool_call=False)]
        for chunk in chunks
    ]
    seen = [keys for keys in told_ if keys]
    assert len(seen) > 1
    assert all(keys == seen[0] for keys in seen)


SIGNED = ThinkingBlock(content="Hm, Bonn.", additional_information={"signature": "c2ln"})
UNSIGNED = ThinkingBlock(content="Hm, Bonn.")


def thinking(block: ThinkingBlock) -> list[ChatMessage]:
    """A history in which a model thought before it called a tool."""
    call = ToolCallBlock(tool_call_id="toolu_1", tool_name="get_weather", tool_kwargs={"city": "Bonn"})
    return [
        ChatMessage("And?"),
        ChatMessage(role="assistant", blocks=[block, TextBlock(text="I look."), call]),
        ChatMessage(role="tool", content="Bonn: sunny", additional_kwargs={"tool_call_id": "toolu_1"}),
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("target", WIRES)
@pytest.mark.parametrize("thought", [SIGNED, UNSIGNED], ids=["signed", "unsigned"])
async def test_thoughts_go_only_to_who_can_read_them(
    provider: Provider, journal: list[Exchange], thought: ThinkingBlock, target: str, way: str
) -> None:
    llm = RouterLLM(models=provider.models(*MODELS))

    await ask(llm, way, thinking(thought), provider.name(BY_WIRE[target]))

    (exchange,) = journal
    assert_native(exchange)
    assert told(exchange) == [("get_weather", {"city": "Bonn"}, "Bonn: sunny")]
    said = exchange.body["messages"][1]
    assert "I look." in json.dumps(said)
    if thought is SIGNED and target == "anthropic":
        own = {"type": "thinking", "thinking": "Hm, Bonn.", "signature": "c2ln"}
        assert blocks(said)[0] == own
    elif thought is UNSIGNED and target == "ollama":
        assert said["thinking"] == "Hm, Bonn."
    else:
        assert "Hm, Bonn." not in json.dumps(exchange.body)


@pytest.mark.parametrize("target", WIRES)
async def test_a_history_that_a_bare_ollama_left_can_be_read(
    provider: Provider, journal: list[Exchange], target: str
) -> None:
    """As it stands in a chat store: no ids, results that name the tool, the same tool called twice at once."""
    cities = ("Bonn", "Rome")
    made = [ToolCallBlock(tool_name="get_weather", tool_kwargs={"city": city}) for city in cities]
    results_ = [
        ChatMessage(role="tool", content=get_weather(city), additional_kwargs={"tool_call_id": "get_weather"})
        for city in cities
    ]
    history = [ChatMessage("And?"), ChatMessage(role="assistant", blocks=made), *results_]

    answer = await ask(RouterLLM(models=provider.models(*MODELS)), "a", history, provider.name(BY_WIRE[target]))

    assert answer.content == said_of(target, "Bonn: sunny", "Rome: sunny")
    (exchange,) = journal
    assert_native(exchange)
    assert told(exchange) == [("get_weather", {"city": city}, f"{city}: sunny") for city in cities]


@pytest.mark.parametrize("target", WIRES)
@pytest.mark.parametrize("key", ["functions.get_weather:0", "call_" + 64 * "x"], ids=["odd letters", "too long"])
async def test_ids_of_others_are_made_readable(
    provider: Provider, journal: list[Exchange], key: str, target: str
) -> None:
    call = ToolCallBlock(tool_call_id=key, tool_name="get_weather", tool_kwargs='{"city": "Bonn"}')
    result = ChatMessage(role="tool", content="Bonn: sunny", additional_kwargs={"tool_call_id": key})
    history = [ChatMessage("And?"), ChatMessage(role="assistant", blocks=[call]), result]

    await ask(RouterLLM(models=provider.models(*MODELS)), "a", history, provider.name(BY_WIRE[target]))

    (exchange,) = journal
    assert_native(exchange)
    assert told(exchange) == [("get_weather", {"city": "Bonn"}, "Bonn: sunny")]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("target", WIRES)
async def test_a_history_of_an_older_llama_index_can_be_read(
    provider: Provider, journal: list[Exchange], target: str, way: str
) -> None:
    """As it stands in a chat store: OpenAI's calls beside the text, not in blocks."""
    function = {"name": "get_weather", "arguments": '{"city": "Bonn"}'}
    beside = {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
    result = ChatMessage(role="tool", content="Bonn: sunny", additional_kwargs={"tool_call_id": "call_1"})
    history = [ChatMessage("And?"), ChatMessage(role="assistant", content="", additional_kwargs=beside), result]

    await ask(RouterLLM(models=provider.models(*MODELS)), way, history, provider.name(BY_WIRE[target]))

    (exchange,) = journal
    assert_native(exchange)
    assert told(exchange) == [("get_weather", {"city": "Bonn"}, "Bonn: sunny")]
