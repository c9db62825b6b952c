"""Callers of the model's own methods, and the programs that are a thin layer over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram, MultiModalLLMCompletionProgram
from llama_index.core.program.utils import get_program_for_llm
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode

from tests.llamaindex.library import PIXEL, Animal, plainly, tools

CALLERS: dict[str, Any] = {}
PROMPT = "Tell me about an animal named '{name}'."


def caller(function: Any) -> Any:
    CALLERS[function.__name__] = function
    return function


def messages() -> list[ChatMessage]:
    return [
        ChatMessage(role="system", content="You are brief."),
        ChatMessage(role="user", content="What do whales sing?"),
        ChatMessage(role="assistant", content="Songs."),
        ChatMessage(role="user", content="And 'bees'?"),
    ]


def template() -> PromptTemplate:
    return PromptTemplate(PROMPT)


def chat_template() -> ChatPromptTemplate:
    return ChatPromptTemplate(
        [ChatMessage(role="system", content="You know animals."), ChatMessage(role="user", content=PROMPT)]
    )


def told(response: Any) -> dict[str, Any]:
    """A chat response, or the last chunk of one."""
    message = response.message
    return {"role": message.role.value, "text": message.content or "", "usage": usage(response)}


def usage(response: Any) -> dict[str, Any]:
    return {key: value for key, value in response.additional_kwargs.items() if key.endswith("_tokens")}


def streamed(chunks: Iterator[Any]) -> dict[str, Any]:
    """Every delta, and what the last chunk says in all."""
    seen = list(chunks)
    assert "".join(each.delta or "" for each in seen) == (seen[-1].message.content or "")
    return {"deltas": [each.delta for each in seen if each.delta], **told(seen[-1])}


async def collected(chunks: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in chunks]


def calls(llm: Any, response: Any, **kwargs: Any) -> dict[str, Any]:
    """The tool calls of a response beside what it says."""
    return {
        **told(response),
        "calls": [each.model_dump() for each in llm.get_tool_calls_from_response(response, **kwargs)],
    }


# ---------------------------------------------------------------------------------------------- complete, chat, predict
@caller
def complete(llm: Any) -> Any:
    response = llm.complete("Whales sing")
    return {"text": response.text, "usage": usage(response)}


@caller
async def acomplete(llm: Any) -> Any:
    response = await llm.acomplete(prompt="Whales sing", formatted=True)
    return {"text": response.text, "usage": usage(response)}


@caller
def stream_complete(llm: Any) -> Any:
    return [(each.delta, each.text) for each in llm.stream_complete("Whales sing") if each.delta]


@caller
async def astream_complete(llm: Any) -> Any:
    chunks = await collected(await llm.astream_complete("Whales sing"))
    return [(each.delta, each.text) for each in chunks if each.delta]


@caller
def complete_with_options(llm: Any) -> Any:
    return llm.complete("Whales sing", temperature=0.5, stop=["."]).text


@caller
def chat(llm: Any) -> Any:
    return told(llm.chat(messages()))


@caller
async def achat(llm: Any) -> Any:
    return told(await llm.achat(messages=messages()))


@caller
def stream_chat(llm: Any) -> Any:
    return streamed(llm.stream_chat(messages()))


@caller
async def astream_chat(llm: Any) -> Any:
    return streamed(await collected(await llm.astream_chat(messages())))


@caller
def chat_with_options(llm: Any) -> Any:
    given = messages()
    options = {"temperature": 0.5, "extra_headers": {"x-team": "whales"}}
    response = told(llm.chat(given, **options))
    return response, [each.model_dump(mode="json") for each in given], options


@caller
def chat_about_an_image(llm: Any) -> Any:
    image = ImageBlock(image=PIXEL, image_mimetype="image/png")
    return told(llm.chat([ChatMessage(role="user", blocks=[TextBlock(text="What is this?"), image])]))


@caller
def predict(llm: Any) -> Any:
    return llm.predict(template(), name="Moby")


@caller
async def apredict(llm: Any) -> Any:
    return await llm.apredict(chat_template(), name="Moby")


@caller
def predict_with_output_parser(llm: Any) -> Any:
    prompt = PromptTemplate(PROMPT, output_parser=PydanticOutputParser(Animal))
    return prompt.output_parser.parse(llm.predict(prompt, name="Moby")).model_dump()


@caller
def stream(llm: Any) -> Any:
    return list(llm.stream(chat_template(), name="Moby"))


@caller
async def astream(llm: Any) -> Any:
    return await collected(await llm.astream(template(), name="Moby"))


# ---------------------------------------------------------------------------------------------------------------- tools
@caller
def chat_with_tools(llm: Any) -> Any:
    return calls(llm, llm.chat_with_tools(tools(), user_msg="Please add 2 and 3."))


@caller
async def achat_with_tools(llm: Any) -> Any:
    given = messages()
    response = await llm.achat_with_tools(tools(), user_msg="Please shout 'whale'.", chat_history=given)
    return calls(llm, response)


@caller
def stream_chat_with_tools(llm: Any) -> Any:
    chunks = list(llm.stream_chat_with_tools(tools(), user_msg="Please add 2 and 3."))
    return [calls(llm, each, error_on_no_tool_call=False) for each in chunks]


@caller
async def astream_chat_with_tools(llm: Any) -> Any:
    chunks = await collected(await llm.astream_chat_with_tools(tools(), user_msg="Please add 2 and 3."))
    return [calls(llm, each, error_on_no_tool_call=False) for each in chunks]


@caller
def chat_with_parallel_tools(llm: Any) -> Any:
    question = ChatMessage(role="user", content="Please add 2 and 3, and shout 'whale'.")
    return calls(llm, llm.chat_with_tools(tools(), user_msg=question, allow_parallel_tool_calls=True))


@caller
def stream_chat_with_parallel_tools(llm: Any) -> Any:
    question = "Please add 2 and 3, and shout 'whale'."
    *_, last = llm.stream_chat_with_tools(tools(), user_msg=question, allow_parallel_tool_calls=True)
    return calls(llm, last)


@caller
def chat_with_required_tool(llm: Any) -> Any:
    return calls(llm, llm.chat_with_tools(tools(), user_msg="Hello.", tool_required=True))


@caller
def chat_with_chosen_tool(llm: Any) -> Any:
    return calls(llm, llm.chat_with_tools(tools(), user_msg="Hello 'you'.", tool_choice="shout"))


@caller
def chat_with_no_tools(llm: Any) -> Any:
    return calls(llm, llm.chat_with_tools([], chat_history=messages()), error_on_no_tool_call=False)


@caller
def chat_with_tool_results(llm: Any) -> Any:
    history = [ChatMessage(role="user", content="Please add 2 and 3.")]
    first = llm.chat_with_tools(tools(), chat_history=history)
    selection = llm.get_tool_calls_from_response(first)[0]
    beside = {"tool_call_id": selection.tool_id}
    history = [history[0], first.message, ChatMessage(role="tool", content="5", additional_kwargs=beside)]
    return calls(llm, llm.chat_with_tools(tools(), chat_history=history), error_on_no_tool_call=False)


@caller
def predict_and_call(llm: Any) -> Any:
    response = llm.predict_and_call(tools(), user_msg="Please add 2 and 3.")
    return response.response, [plainly(source) for source in response.sources]


@caller
async def apredict_and_call(llm: Any) -> Any:
    question = "Please add 2 and 3, and shout 'whale'."
    response = await llm.apredict_and_call(tools(), chat_history=[], user_msg=question, allow_parallel_tool_calls=True)
    return response.response, [plainly(source) for source in response.sources]


# ----------------------------------------------------------------------------------------------------------- structured
@caller
def structured_predict(llm: Any) -> Any:
    return llm.structured_predict(Animal, template(), name="Moby").model_dump()


@caller
async def astructured_predict(llm: Any) -> Any:
    options = {"temperature": 0.5}
    return (await llm.astructured_predict(Animal, chat_template(), llm_kwargs=options, name="Moby")).model_dump()


@caller
def stream_structured_predict(llm: Any) -> Any:
    return [each.model_dump() for each in llm.stream_structured_predict(Animal, template(), name="Moby")]


@caller
async def astream_structured_predict(llm: Any) -> Any:
    chunks = await collected(await llm.astream_structured_predict(Animal, template(), name="Moby"))
    return [each.model_dump() for each in chunks]


@caller
def structured_predict_by_text(llm: Any) -> Any:
    llm.pydantic_program_mode = PydanticProgramMode.LLM
    return llm.structured_predict(Animal, template(), name="Moby").model_dump()


@caller
async def astructured_predict_by_text(llm: Any) -> Any:
    llm.pydantic_program_mode = PydanticProgramMode.LLM
    return (await llm.astructured_predict(Animal, template(), name="Moby")).model_dump()


@caller
def stream_structured_predict_by_text(llm: Any) -> Any:
    llm.pydantic_program_mode = PydanticProgramMode.LLM
    return [each.model_dump() for each in llm.stream_structured_predict(Animal, template(), name="Moby")]


@caller
def structured_llm_chat(llm: Any) -> Any:
    return llm.as_structured_llm(Animal).chat(messages()).message.content


@caller
async def structured_llm_achat(llm: Any) -> Any:
    return (await llm.as_structured_llm(Animal).achat(messages())).message.content


@caller
def structured_llm_stream_chat(llm: Any) -> Any:
    return [each.message.content for each in llm.as_structured_llm(Animal).stream_chat(messages())]


@caller
async def structured_llm_astream_chat(llm: Any) -> Any:
    chunks = await collected(await llm.as_structured_llm(Animal).astream_chat(messages()))
    return [each.message.content for each in chunks]


@caller
def structured_llm_complete(llm: Any) -> Any:
    return llm.as_structured_llm(Animal).complete("An animal named 'Moby'.").text


@caller
async def structured_llm_acomplete(llm: Any) -> Any:
    return (await llm.as_structured_llm(Animal).acomplete("An animal named 'Moby'.")).text


# ------------------------------------------------------------------------------------------------------------- programs
def function_program(llm: Any, **options: Any) -> FunctionCallingProgram[Animal]:
    return FunctionCallingProgram.from_defaults(Animal, prompt=template(), llm=llm, **options)


def text_program(llm: Any) -> LLMTextCompletionProgram[Animal]:
    return LLMTextCompletionProgram.from_defaults(output_cls=Animal, prompt=chat_template(), llm=llm)


@caller
def function_program_call(llm: Any) -> Any:
    return function_program(llm)(name="Moby").model_dump()


@caller
async def function_program_acall(llm: Any) -> Any:
    return (await function_program(llm).acall(name="Moby", llm_kwargs={"temperature": 0.5})).model_dump()


@caller
def function_program_of_many(llm: Any) -> Any:
    return plainly(function_program(llm, allow_parallel_tool_calls=True)(name="Moby"))


@caller
def function_program_stream_call(llm: Any) -> Any:
    return plainly(list(function_program(llm).stream_call(name="Moby")))


@caller
async def function_program_astream_call(llm: Any) -> Any:
    return plainly(await collected(await function_program(llm).astream_call(name="Moby")))


@caller
def text_program_call(llm: Any) -> Any:
    return text_program(llm)(name="Moby").model_dump()


@caller
async def text_program_acall(llm: Any) -> Any:
    return (await text_program(llm).acall(name="Moby", llm_kwargs={"temperature": 0.5})).model_dump()


@caller
def text_program_stream_call(llm: Any) -> Any:
    return plainly(list(text_program(llm).stream_call(name="Moby")))


@caller
async def text_program_astream_call(llm: Any) -> Any:
    return plainly(await collected(await text_program(llm).astream_call(name="Moby")))


@caller
def program_for_llm(llm: Any) -> Any:
    program = get_program_for_llm(Animal, template(), llm)
    return type(program).__name__, program(name="Moby").model_dump()


def image_program(llm: Any) -> MultiModalLLMCompletionProgram[Animal]:
    return MultiModalLLMCompletionProgram.from_defaults(
        PydanticOutputParser(Animal),
        prompt_template_str="What is it?",
        multi_modal_llm=llm,
        image_documents=[ImageBlock(image=PIXEL, image_mimetype="image/png")],
    )


@caller
def image_program_call(llm: Any) -> Any:
    return image_program(llm)().model_dump()


@caller
async def image_program_acall(llm: Any) -> Any:
    return (await image_program(llm).acall()).model_dump()
