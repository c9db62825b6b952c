"""Structured answers of a router: each model makes them in its own way, from a prompt and arguments of its own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.core.types import PydanticProgramMode

from llamaindex_router import RouterLLM, get_router_handler
from router_core import Settings
from router_core.errors import AllAttemptsFailed, AnswersRejected, NoFeasibleModel
from router_core.policies import StaticPolicy
from tests.llamaindex.fake import IDK, FakeLLM, SchemaLLM
from tests.llamaindex.library import Animal

# What LlamaIndex's programs do that is deprecated in pydantic.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning:inspect")

TELL = PromptTemplate("Tell of the {animal}.")
PROMPTS: dict[str, Callable[[], Any]] = {
    "text": lambda: PromptTemplate("Tell of the {animal}."),
    "chat": lambda: ChatPromptTemplate([ChatMessage(role="user", content="Tell of the {animal}.")]),
    "partial": lambda: PromptTemplate("{verb} of the {animal}.").partial_format(verb="Tell"),
}


def knows(_request: Any, reply: Any) -> bool:
    return reply.text != IDK


def router(*models: Any, **options: Any) -> RouterLLM:
    return RouterLLM(models=list(models), **{"policy": StaticPolicy(), "verifiers": [knows], **options})


async def drained(chunks: Any) -> list[Any]:
    return [chunk async for chunk in await chunks]


WAYS: dict[str, Callable[..., Any]] = {
    "sync": lambda llm, prompt, **kw: llm.structured_predict(Animal, prompt, **kw),
    "async": lambda llm, prompt, **kw: asyncio.run(llm.astructured_predict(Animal, prompt, **kw)),
    "stream": lambda llm, prompt, **kw: list(llm.stream_structured_predict(Animal, prompt, **kw))[-1],
    "astream": lambda llm, prompt, **kw: asyncio.run(drained(llm.astream_structured_predict(Animal, prompt, **kw)))[-1],
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def texts(fake: FakeLLM) -> list[tuple[str, str]]:
    """What the last request said."""
    return [(message["role"], message["text"]) for message in fake.log[-1]["messages"]]


class Scribbler(FakeLLM):
    """Writes into the prompt and the arguments that it is given, as programs and integrations do, and then fails."""

    error: Any = ValueError("no such thing")

    def structured_predict(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **given: Any) -> Any:
        prompt.output_parser = PydanticOutputParser(output_cls)
        prompt.kwargs["animal"] = "unicorn"
        prompt.metadata["scribbled"] = True
        llm_kwargs["response_format"] = {"type": "json_object"}
        llm_kwargs.pop("stop", None)
        self.log.append({"prompt": prompt})
        raise self.error

    async def astructured_predict(self, *args: Any, **kwargs: Any) -> Any:
        return self.structured_predict(*args, **kwargs)

    def stream_structured_predict(self, *args: Any, **kwargs: Any) -> Any:
        yield self.structured_predict(*args, **kwargs)

    async def astream_structured_predict(self, *args: Any, **kwargs: Any) -> Any:
        async def lazily() -> Any:
            yield self.structured_predict(*args, **kwargs)

        return lazily()


class TestAttempts:
    @every_way
    @pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
    def test_each_has_a_prompt_and_arguments_of_its_own(
        self, way: Callable[..., Any], prompt: Callable[[], Any]
    ) -> None:
        bare, strong = FakeLLM(), FakeLLM()
        way(bare, prompt(), animal="whale", llm_kwargs={"stop": ["x"]})
        given, kwargs = prompt(), {"stop": ["x"]}
        first, second = (Scribbler(model=name) for name in ("first", "second"))
        before = (deepcopy(given.model_dump(exclude={"function_mappings"})), deepcopy(kwargs))
        animal = way(router(first, second, strong), given, animal="whale", llm_kwargs=kwargs)
        assert isinstance(animal, Animal)
        assert first.log[0]["prompt"] is not second.log[0]["prompt"]
        assert strong.log == bare.log, "the model is asked as it would be without a router"
        assert (given.model_dump(exclude={"function_mappings"}), kwargs) == before

    @every_way
    def test_what_one_way_of_asking_needs_does_not_reach_another_model(self, way: Callable[..., Any]) -> None:
        """A schema for one, a tool for the other."""
        by_schema, by_tool = SchemaLLM(model="schema", says="What?"), FakeLLM()
        assert isinstance(way(router(by_schema, by_tool), TELL, animal="whale"), Animal)
        assert "response_format" in by_schema.log[0]["kwargs"]
        assert "response_format" not in by_tool.log[0]["kwargs"]
        assert "tools" in by_tool.log[0]["kwargs"]

    @every_way
    @pytest.mark.parametrize("value", ["{x}", '{"a": "{animal}"}', "{{", "}", "{0}"])
    def test_braces_in_what_is_filled_in_are_text(self, way: Callable[..., Any], value: str) -> None:
        strong = FakeLLM()
        way(router(FakeLLM(model="weak", says="What?"), strong), TELL, animal=value)
        assert texts(strong) == [("user", f"Tell of the {value}.")]

    @every_way
    def test_the_system_prompt_is_there_once(self, way: Callable[..., Any]) -> None:
        """LlamaIndex's async programs forget it."""
        strong = FakeLLM()
        way(router(FakeLLM(model="weak", says="What?"), strong, system_prompt="Be brief."), TELL, animal="whale")
        assert texts(strong) == [("system", "Be brief."), ("user", "Tell of the whale.")]

    @every_way
    def test_options_of_the_router_may_stand_among_the_arguments(self, way: Callable[..., Any]) -> None:
        weak, strong = FakeLLM(model="weak"), FakeLLM(model="strong")
        kwargs = {"force_model": "fakellm:strong", "top_p": 0.5}
        way(router(weak, strong), TELL, animal="whale", llm_kwargs=kwargs)
        assert (weak.log, strong.log[0]["kwargs"]["top_p"], len(kwargs)) == ([], 0.5, 2)


class TestWeakAnswers:
    @every_way
    @pytest.mark.parametrize("model", [FakeLLM, SchemaLLM])
    @pytest.mark.parametrize("says", ["What?", "", '{"name": "whale"}', '{"name": "whale", "size": "big"}'])
    @pytest.mark.parametrize("verifiers", [None, []], ids=["verified", "not verified"])
    def test_what_does_not_fit_the_class_climbs(
        self, way: Callable[..., Any], model: type[FakeLLM], says: str, verifiers: Any
    ) -> None:
        with get_router_handler() as routed:
            llm = router(model(model="weak", says=says), FakeLLM(model="strong"), verifiers=verifiers)
            assert isinstance(way(llm, TELL, animal="whale"), Animal)
        first, second = routed.calls[0].receipt.attempts
        assert (first.outcome.value, first.verdict.code, second.outcome.value) == ("rejected", "schema", "accepted")
        assert not first.usage.estimated, "a draft is paid for as the model tells"

    @every_way
    @pytest.mark.parametrize("error", [TypeError("unhashable"), ValueError("No tool call")])
    def test_so_does_whatever_making_it_raises(self, way: Callable[..., Any], error: Exception) -> None:
        assert isinstance(way(router(Scribbler(error=error), FakeLLM()), TELL, animal="whale"), Animal)

    @every_way
    def test_the_users_verifiers_judge_the_object_as_json(self, way: Callable[..., Any]) -> None:
        seen: list[str] = []

        def sized(_request: Any, reply: Any) -> bool:
            seen.append(Animal.model_validate_json(reply.text).name)
            return len(seen) > 1

        way(router(FakeLLM(model="weak"), FakeLLM(model="strong"), verifiers=[sized]), TELL, animal="whale")
        assert len(seen) == 2

    @pytest.mark.parametrize("name", ["sync", "async"])
    @pytest.mark.parametrize("model", [FakeLLM, SchemaLLM])
    def test_the_last_models_is_the_error_of_the_model_itself(self, name: str, model: type[FakeLLM]) -> None:
        with pytest.raises(ValueError) as alone:  # noqa: PT011 - whatever it is
            WAYS[name](model(says="What?"), TELL, animal="whale")
        with pytest.raises(ValueError) as routed:  # noqa: PT011
            WAYS[name](router(FakeLLM(model="weak", says="What?"), model(says="What?")), TELL, animal="whale")
        assert type(routed.value) is type(alone.value)
        assert str(routed.value) == str(alone.value)

    @pytest.mark.parametrize("model", [FakeLLM, SchemaLLM])
    @pytest.mark.parametrize("says", ["What?", '{"name": "whale"'])
    def test_the_last_models_stream_is_that_of_the_model_itself(self, model: type[FakeLLM], says: str) -> None:
        """Which says nothing of what it could not make."""
        alone = list(model(says=says).stream_structured_predict(Animal, TELL, animal="whale"))
        llm = router(FakeLLM(model="weak", says="What?"), model(says=says))
        routed = list(llm.stream_structured_predict(Animal, TELL, animal="whale"))
        assert [each.model_dump() for each in routed] == [each.model_dump() for each in alone]

    @every_way
    def test_or_a_rejection_if_answers_must_be_accepted(self, way: Callable[..., Any]) -> None:
        llm = router(FakeLLM(says="What?"), settings=Settings(on_rejected="raise"))
        with pytest.raises(AnswersRejected, match="schema"):
            way(llm, TELL, animal="whale")


class TestFailures:
    @every_way
    def test_a_failed_call_falls_back(self, way: Callable[..., Any]) -> None:
        assert isinstance(way(router(FakeLLM(model="down", fails=True), FakeLLM()), TELL, animal="whale"), Animal)

    @every_way
    def test_where_all_fail_the_error_is_no_parse_error(self, way: Callable[..., Any]) -> None:
        with pytest.raises(AllAttemptsFailed):
            way(router(FakeLLM(fails=True)), TELL, animal="whale")

    @every_way
    def test_a_prompt_that_fits_no_model_is_refused(self, way: Callable[..., Any]) -> None:
        fake = FakeLLM(window=300)
        with pytest.raises(NoFeasibleModel, match="context_window"):
            way(router(fake), TELL, animal="whale " * 1000)
        assert fake.log == []


class TestStreams:
    def test_objects_grow_and_the_last_is_whole(self) -> None:
        objects = list(
            router(FakeLLM(model="down", fails=True), FakeLLM()).stream_structured_predict(Animal, TELL, animal="whale")
        )
        assert len(objects) > 1
        assert isinstance(objects[-1], Animal)

    def test_nothing_of_a_rejected_draft_is_shown(self) -> None:
        weak = FakeLLM(model="weak", says='{"name": "unicorn"')
        strong = FakeLLM(model="strong")
        objects = list(router(weak, strong).stream_structured_predict(Animal, TELL, animal="whale"))
        assert all(getattr(each, "name", None) != "unicorn" for each in objects)
        assert isinstance(objects[-1], Animal)


class TestPrograms:
    def test_the_mode_of_the_router_counts(self) -> None:
        """Then it asks for text, which is routed as any other."""
        weak, strong = FakeLLM(model="weak", says=IDK), FakeLLM(model="strong")
        llm = router(weak, strong, pydantic_program_mode=PydanticProgramMode.LLM)
        for way in WAYS.values():
            assert isinstance(way(llm, PromptTemplate("Tell of the {animal}."), animal="whale"), Animal)
        assert not any("tools" in request["kwargs"] for request in (*weak.log, *strong.log))
        assert len(strong.log) == len(WAYS)

    def test_the_mode_of_a_model_counts_for_it(self) -> None:
        weak = FakeLLM(model="weak", pydantic_program_mode=PydanticProgramMode.LLM)
        assert isinstance(router(weak, FakeLLM()).structured_predict(Animal, TELL, animal="whale"), Animal)
        assert "tools" not in weak.log[0]["kwargs"]

    @pytest.mark.parametrize("kind", [FunctionCallingProgram, LLMTextCompletionProgram])
    def test_a_program_made_for_a_router(self, kind: Any) -> None:
        llm = router(FakeLLM(model="unsure", says=IDK), FakeLLM())
        program = kind.from_defaults(output_cls=Animal, prompt_template_str="Tell of the {animal}.", llm=llm)
        assert isinstance(program(animal="whale"), Animal)
        assert isinstance(asyncio.run(program.acall(animal="whale")), Animal)

    def test_a_structured_llm_of_a_router(self) -> None:
        llm = router(FakeLLM(model="weak", says="What?"), FakeLLM()).as_structured_llm(Animal)
        assert isinstance(llm.complete("Tell of the whale.").raw, Animal)
        assert inspect.isgenerator(llm.stream_chat([ChatMessage(role="user", content="Tell of the whale.")]))


class Talker(FakeLLM):
    """Says something before it finds that it is no object: it ends, or breaks off its stream, or asks once more with an
    argument that is refused."""

    breaks_off: bool = False

    def structured_predict(self, *_: Any, **__: Any) -> Any:
        self.chat([ChatMessage("Tell of a whale.")])
        return self._refused([ChatMessage("Tell of a whale.")])

    def stream_structured_predict(self, *_: Any, **__: Any) -> Any:
        chunks = self.stream_chat([ChatMessage("Tell of a whale.")])
        for _chunk in chunks:
            if self.breaks_off:
                raise ValueError("this is no JSON")
        yield self._refused([ChatMessage("Tell of a whale.")])

    @llm_chat_callback()
    def _refused(self, messages: Any, **_: Any) -> Any:
        raise TypeError("got an unexpected keyword argument")


@pytest.mark.parametrize(("way", "breaks_off"), [("sync", False), ("stream", False), ("stream", True)])
def test_what_a_model_has_said_is_an_answer_whatever_is_raised_then(way: str, breaks_off: Any) -> None:
    """It is paid for: only where nothing was said has the call failed."""
    talker = Talker(model="weak", breaks_off=breaks_off)
    llm = router(talker, FakeLLM(model="strong"), settings=Settings(stream_mode="commit"))

    with get_router_handler() as routed:
        assert isinstance(WAYS[way](llm, TELL, animal="whale"), Animal)

    weak, _ = routed.by_model.values()
    assert (weak.escalations, weak.fallbacks) == ({"schema": 1}, {})
    assert weak.usage.output_tokens > 0 or weak.usage.estimated
