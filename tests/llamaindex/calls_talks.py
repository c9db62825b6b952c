"""Callers that hold a conversation: chat engines, agents and their workflows, and memories."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from llama_index.core import SummaryIndex
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentStreamStructuredOutput,
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
    ToolCall,
    ToolCallResult,
)
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    CondenseQuestionChatEngine,
    ContextChatEngine,
    MultiModalCondensePlusContextChatEngine,
    MultiModalContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatSummaryMemoryBuffer, FactExtractionMemoryBlock, Memory
from llama_index.core.tools import FunctionTool, QueryEngineTool

from tests.llamaindex.library import Animal, add, index, long_nodes, shout, tools

CALLERS: dict[str, Any] = {}


def caller(function: Any) -> Any:
    CALLERS[function.__name__] = function
    return function


def said(messages: list[ChatMessage]) -> list[tuple[str, str]]:
    return [(message.role.value, message.content or "") for message in messages]


# --------------------------------------------------------------------------------------------------------- chat engines
def simple(llm: Any) -> Any:
    return SimpleChatEngine.from_defaults(llm=llm, system_prompt="You are brief.")


def context(llm: Any) -> Any:
    return ContextChatEngine.from_defaults(index().as_retriever(), llm=llm, system_prompt="You are brief.")


def context_of_much(llm: Any) -> Any:
    """The texts do not fit into one prompt."""
    return ContextChatEngine.from_defaults(SummaryIndex(long_nodes()).as_retriever(), llm=llm)


def condense_question(llm: Any) -> Any:
    return CondenseQuestionChatEngine.from_defaults(index().as_query_engine(llm=llm), llm=llm)


def condense_question_streamed(llm: Any) -> Any:
    return CondenseQuestionChatEngine.from_defaults(index().as_query_engine(llm=llm, streaming=True), llm=llm)


def condense_plus_context(llm: Any) -> Any:
    return CondensePlusContextChatEngine.from_defaults(index().as_retriever(), llm=llm)


def images_and_context(llm: Any) -> Any:
    return MultiModalContextChatEngine.from_defaults(index().as_retriever(), multi_modal_llm=llm)


def images_and_condensed_context(llm: Any) -> Any:
    return MultiModalCondensePlusContextChatEngine.from_defaults(index().as_retriever(), multi_modal_llm=llm)


FIRST, SECOND = "What do whales sing?", "And why is the sky blue?"


def chatting(name: str, made: Any, streamed: Any) -> None:
    """Adds an engine's four ways, with two turns each."""

    def chat(llm: Any) -> Any:
        engine = made(llm)
        return [engine.chat(text).response for text in (FIRST, SECOND)], said(engine.chat_history)

    async def achat(llm: Any) -> Any:
        engine = made(llm)
        return [(await engine.achat(text)).response for text in (FIRST, SECOND)], said(engine.chat_history)

    def stream_chat(llm: Any) -> Any:
        engine = streamed(llm)
        return [list(engine.stream_chat(text).response_gen) for text in (FIRST, SECOND)], said(engine.chat_history)

    async def astream_chat(llm: Any) -> Any:
        engine, heard = streamed(llm), []
        for text in (FIRST, SECOND):
            response = await engine.astream_chat(text)
            heard.append([each async for each in response.async_response_gen()])
        return heard, said(engine.chat_history)

    CALLERS.update({f"{way.__name__}_{name}": way for way in (chat, achat, stream_chat, astream_chat)})


for engine in (
    simple,
    context,
    context_of_much,
    condense_plus_context,
    images_and_context,
    images_and_condensed_context,
):
    chatting(engine.__name__, engine, engine)
chatting("condense_question", condense_question, condense_question_streamed)


@caller
def chat_of_index(llm: Any) -> Any:
    return index().as_chat_engine(chat_mode="best", llm=llm).chat(FIRST).response


# --------------------------------------------------------------------------------------------------------------- agents
async def ran(agent: Any, text: str, **options: Any) -> Any:
    """What an agent did, event by event. Ids that agents draw themselves are left out."""
    handler = agent.run(user_msg=text, **options)
    events = [told(event) async for event in handler.stream_events()]
    result = await handler
    return {
        "events": [event for event in events if event],
        "answer": (result.response.role.value, result.response.content),
        "structured": result.structured_response,
        "calls": [(call.tool_name, call.tool_kwargs) for call in result.tool_calls],
    }


def told(event: Any) -> Any:
    match event:
        case AgentStream():
            return (
                "heard",
                event.delta,
                event.response,
                [(call.tool_name, call.tool_kwargs) for call in event.tool_calls],
            )
        case AgentOutput():
            return "said", event.current_agent_name, event.response.content
        case ToolCallResult():
            return "got", event.tool_name, event.tool_output.content
        case ToolCall():
            return "called", event.tool_name, event.tool_kwargs
        case AgentStreamStructuredOutput():
            return "made", event.output
    return None


WORK = "Please add 2 and 3, then shout 'whale'."


def function_agent(llm: Any, **options: Any) -> FunctionAgent:
    return FunctionAgent(tools=tools(), llm=llm, system_prompt="You use tools.", **options)


@caller
async def agent(llm: Any) -> Any:
    return await ran(function_agent(llm), WORK)


@caller
async def agent_not_streaming(llm: Any) -> Any:
    return await ran(function_agent(llm, streaming=False), WORK)


@caller
async def agent_with_one_call_at_a_time(llm: Any) -> Any:
    return await ran(function_agent(llm, allow_parallel_tool_calls=False), WORK)


@caller
async def agent_with_chosen_tool(llm: Any) -> Any:
    return await ran(function_agent(llm, initial_tool_choice="shout"), "Hello 'you'.")


@caller
async def agent_without_tools(llm: Any) -> Any:
    return await ran(FunctionAgent(llm=llm, tools=[]), "Hello.")


@caller
async def agent_with_structured_output(llm: Any) -> Any:
    return await ran(function_agent(llm, output_cls=Animal), WORK)


@caller
async def agent_with_history(llm: Any) -> Any:
    history = [ChatMessage(role="user", content="Hello."), ChatMessage(role="assistant", content="Hello to you.")]
    return await ran(function_agent(llm), WORK, chat_history=history)


@caller
async def agent_stopped_early(llm: Any) -> Any:
    made = function_agent(llm, allow_parallel_tool_calls=False, early_stopping_method="generate")
    return await ran(made, WORK, max_iterations=1)


@caller
async def agent_whose_tool_ends_the_run(llm: Any) -> Any:
    return await ran(FunctionAgent(tools=[FunctionTool.from_defaults(add, return_direct=True)], llm=llm), WORK)


@caller
async def agent_with_query_engine(llm: Any) -> Any:
    tool = QueryEngineTool.from_defaults(index().as_query_engine(llm=llm), name="animals", description="Knows animals.")
    return await ran(FunctionAgent(tools=[tool], llm=llm), "Ask animals about 'whales'.")


@caller
async def agent_with_memory(llm: Any) -> Any:
    memory, made = Memory.from_defaults(session_id="one", token_limit=2000), function_agent(llm)
    turns = [await ran(made, text, memory=memory) for text in (WORK, "Please add 4 and 5.")]
    return turns, said(await memory.aget_all())


@caller
async def react_agent(llm: Any) -> Any:
    return await ran(ReActAgent(tools=tools(), llm=llm), "Please add 2 and 3.")


@caller
async def react_agent_not_streaming(llm: Any) -> Any:
    return await ran(ReActAgent(tools=tools(), llm=llm, streaming=False), "Please add 2 and 3.")


@caller
async def react_agent_stopped_early(llm: Any) -> Any:
    made = ReActAgent(tools=tools(), llm=llm, early_stopping_method="generate")
    return await ran(made, "Please add 2 and 3.", max_iterations=1)


async def execute(code: str) -> str:
    """Runs code and gives what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {"add": add})  # noqa: S102 - the code is the fake model's
    return printed.getvalue()


@caller
async def code_agent(llm: Any) -> Any:
    return await ran(CodeActAgent(code_execute_fn=execute, tools=[FunctionTool.from_defaults(add)], llm=llm), WORK)


@caller
async def code_agent_not_streaming(llm: Any) -> Any:
    return await ran(
        CodeActAgent(code_execute_fn=execute, tools=[FunctionTool.from_defaults(add)], llm=llm, streaming=False), WORK
    )


@caller
async def workflow(llm: Any) -> Any:
    return await ran(AgentWorkflow.from_tools_or_functions(tools(), llm=llm), WORK)


@caller
async def workflow_with_structured_output(llm: Any) -> Any:
    return await ran(AgentWorkflow.from_tools_or_functions([add], llm=llm, output_cls=Animal), WORK)


def team(llm: Any, **options: Any) -> AgentWorkflow:
    return AgentWorkflow(
        agents=[
            FunctionAgent(
                name="adder", description="Adds.", tools=[add], llm=llm, can_handoff_to=["shouter"], **options
            ),
            FunctionAgent(name="shouter", description="Shouts.", tools=[shout], llm=llm, **options),
        ],
        root_agent="adder",
        initial_state={"done": 0},
    )


HANDOFF = "Please add 2 and 3, then handoff to 'shouter', who must shout."


@caller
async def workflow_of_a_team(llm: Any) -> Any:
    return await ran(team(llm, allow_parallel_tool_calls=False), HANDOFF)


@caller
async def workflow_of_a_team_not_streaming(llm: Any) -> Any:
    return await ran(team(llm, allow_parallel_tool_calls=False, streaming=False), HANDOFF)


@caller
async def workflow_of_react_and_function_agents(llm: Any) -> Any:
    made = AgentWorkflow(
        agents=[
            ReActAgent(name="adder", description="Adds.", tools=[add], llm=llm, can_handoff_to=["shouter"]),
            FunctionAgent(name="shouter", description="Shouts.", tools=[shout], llm=llm),
        ],
        root_agent="adder",
    )
    return await ran(made, "Please add 2 and 3.")


# --------------------------------------------------------------------------------------------------------------- memory
def talk() -> list[ChatMessage]:
    return [
        ChatMessage(role=role, content=f"{word} number {n}. " * 10)
        for n in range(3)
        for role, word in (("user", "Question"), ("assistant", "Answer"))
    ]


@caller
def summary_memory(llm: Any) -> Any:
    memory = ChatSummaryMemoryBuffer.from_defaults(chat_history=talk(), llm=llm, token_limit=100)
    return said(memory.get())


@caller
def chat_with_summary_memory(llm: Any) -> Any:
    memory = ChatSummaryMemoryBuffer.from_defaults(chat_history=talk(), llm=llm, token_limit=100)
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory)
    return engine.chat(FIRST).response, said(engine.chat_history)


@caller
async def memory_of_facts(llm: Any) -> Any:
    facts = FactExtractionMemoryBlock(llm=llm, max_facts=1)
    memory = Memory.from_defaults(
        session_id="one", token_limit=200, token_flush_size=50, chat_history_token_ratio=0.3, memory_blocks=[facts]
    )
    await memory.aput_messages(talk())
    return said(await memory.aget()), facts.facts
