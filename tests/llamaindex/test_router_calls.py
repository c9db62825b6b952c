"""The calls of a router: their options, the rate limit, what reaches the models, and that nothing given is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage, CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.rate_limiter import BaseRateLimiter
from llama_index_instrumentation.dispatcher import instrument_tags
from pydantic import PrivateAttr

from llamaindex_router import RouterLLM
from llamaindex_router.errors import InvalidCall
from router_core import Settings
from router_core.errors import AllAttemptsFailed, NoFeasibleModel, RouterError
from router_core.policies import StaticPolicy
from router_core.registry import Registry
from router_core.types import Model, Price
from tests.llamaindex.fake import IDK, FakeLLM
from tests.llamaindex.library import Animal, tools

ASK = [ChatMessage(role="user", content="hi")]
TELL = PromptTemplate("Tell of the {animal}.")


def knows(_request: Any, reply: Any) -> bool:
    return reply.text != IDK


def router(*models: Any, **options: Any) -> RouterLLM:
    """A weak model and a strong one, unless other ones are given."""
    given = models or (FakeLLM(model="weak"), FakeLLM(model="strong"))
    return RouterLLM(models=list(given), **{"policy": StaticPolicy(), "verifiers": [knows], **options})


def priced(*dollars: int | None) -> RouterLLM:
    """A router of models that cost so many dollars per million tokens: "m0", "m1", ..."""
    prices = [None if each is None else Price(input=Decimal(each), output=Decimal(each)) for each in dollars]
    entries = [Model(name=f"m{n}", id=f"id{n}", provider="p", endpoint="e", price=p) for n, p in enumerate(prices)]
    models = [FakeLLM(model=entry.name, says=IDK if n == 0 else None) for n, entry in enumerate(entries)]
    return router(*models, registry=Registry(tuple(entries), endpoints={}))


def served_by(llm: RouterLLM, **options: Any) -> str:
    return llm.chat(ASK, **options).additional_kwargs["router"]["model"]


async def drained(chunks: Any) -> list[Any]:
    return [chunk async for chunk in await chunks]


WAYS: dict[str, Callable[..., Any]] = {
    "chat": lambda llm, **kw: llm.chat(ASK, **kw),
    "achat": lambda llm, **kw: asyncio.run(llm.achat(ASK, **kw)),
    "stream_chat": lambda llm, **kw: list(llm.stream_chat(ASK, **kw)),
    "astream_chat": lambda llm, **kw: asyncio.run(drained(llm.astream_chat(ASK, **kw))),
    "complete": lambda llm, **kw: llm.complete("hi", **kw),
    "acomplete": lambda llm, **kw: asyncio.run(llm.acomplete("hi", **kw)),
    "stream_complete": lambda llm, **kw: list(llm.stream_complete("hi", **kw)),
    "astream_complete": lambda llm, **kw: asyncio.run(drained(llm.astream_complete("hi", **kw))),
    "chat_with_tools": lambda llm, **kw: llm.chat_with_tools(tools(), "hi", **kw),
    "achat_with_tools": lambda llm, **kw: asyncio.run(llm.achat_with_tools(tools(), "hi", **kw)),
    "stream_chat_with_tools": lambda llm, **kw: list(llm.stream_chat_with_tools(tools(), "hi", **kw)),
    "astream_chat_with_tools": lambda llm, **kw: asyncio.run(drained(llm.astream_chat_with_tools(tools(), "hi", **kw))),
    "structured_predict": lambda llm, **kw: llm.structured_predict(Animal, TELL, llm_kwargs=kw, animal="whale"),
    "astructured_predict": lambda llm, **kw: asyncio.run(
        llm.astructured_predict(Animal, TELL, llm_kwargs=kw, animal="whale")
    ),
    "stream_structured_predict": lambda llm, **kw: list(
        llm.stream_structured_predict(Animal, TELL, llm_kwargs=kw, animal="whale")
    ),
    "astream_structured_predict": lambda llm, **kw: asyncio.run(
        drained(llm.astream_structured_predict(Animal, TELL, llm_kwargs=kw, animal="whale"))
    ),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
# What LlamaIndex's programs do that is deprecated in pydantic.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning:inspect")


class TestOptions:
    @every_way
    def test_force_a_model_and_do_not_reach_it(self, way: Callable[..., Any]) -> None:
        weak, strong = FakeLLM(model="weak"), FakeLLM(model="strong")
        way(router(weak, strong), force_model="fakellm:strong", session="s", tags=["t"], max_attempts=2, top_p=0.5)
        assert (len(weak.log), len(strong.log)) == (0, 1)
        kwargs = strong.log[0]["kwargs"]
        assert kwargs["top_p"] == 0.5
        assert not {"force_model", "session", "tags", "max_attempts"} & set(kwargs)

    @every_way
    def test_of_a_tag_hold_for_all_calls_in_its_block(self, way: Callable[..., Any]) -> None:
        weak, strong = FakeLLM(model="weak"), FakeLLM(model="strong")
        llm = router(weak, strong)
        with instrument_tags({"router": {"force_model": "fakellm:strong"}, "user": "me"}):
            way(llm)
            way(llm, force_model="fakellm:weak")
        way(llm)
        assert (len(weak.log), len(strong.log)) == (2, 1)

    @pytest.mark.parametrize(
        ("options", "model"),
        [
            ({}, "m1"),
            ({"force_model": "m2"}, "m2"),
            ({"force_model": "id2"}, "m2"),
            ({"deny": ["m0", "m1"]}, "m2"),
            ({"allow": ["m0"]}, "m0"),
            ({"max_attempts": 1}, "m0"),
            ({"max_cost_usd": "0.0001"}, "m0"),
            ({"max_cost_usd": 0.1}, "m1"),
            ({"max_cost_usd": Decimal(1)}, "m1"),
        ],
        ids=str,
    )
    def test_bound_where_a_request_goes(self, options: dict[str, Any], model: str) -> None:
        """The first of these models knows nothing; they cost nothing, 10 and 10,000 dollars per million tokens."""
        assert served_by(priced(0, 10, 10_000), **options) == model

    def test_a_price_that_is_unknown_is_not_taken_for_nothing(self) -> None:
        with pytest.raises(NoFeasibleModel, match="no known price; give it a 'price' in the registry"):
            served_by(priced(None), max_cost_usd=100)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"force_model": "fakellm:stron"}, r"force_model: 'fakellm:stron' is no model .*mean 'fakellm:strong'"),
            ({"allow": ["nobody"]}, "allow: 'nobody' is no model"),
            ({"deny": "fakellm:weak"}, "deny: 'fakellm:weak' is no list"),
            ({"allow": []}, "allow: the list is empty"),
            ({"max_cost_usd": -1}, "max_cost_usd: -1 is no amount"),
            ({"max_latency_s": 0}, "max_latency_s: 0 is no duration"),
            ({"min_quality": 3}, "min_quality: 3 is out of range"),
            ({"max_attempts": 0}, "max_attempts: 0 is too small"),
            ({"stream_mode": "loud"}, "stream_mode: 'loud' is none"),
            ({"session": 7}, "session: 7 is no text"),
            ({"tags": "user:ann"}, "tags: 'user:ann' is no list of strings"),
        ],
    )
    def test_wrong_ones_are_named(self, options: dict[str, Any], says: str) -> None:
        with pytest.raises(InvalidCall, match=says):
            router().chat(ASK, **options)
        with instrument_tags({"router": options}), pytest.raises(InvalidCall, match=says):
            router().chat(ASK)

    @pytest.mark.parametrize(
        ("tag", "says"),
        [("strong", "'strong' is no dictionary"), ({"force_modl": "x"}, "'force_modl' is no option.*force_model")],
    )
    def test_a_wrong_tag_is_named(self, tag: Any, says: str) -> None:
        with (
            instrument_tags({"router": tag}),
            pytest.raises(InvalidCall, match=rf"instrument_tags\['router'\]: {says}"),
        ):
            router().chat(ASK)

    @every_way
    @pytest.mark.parametrize("options", [{"force_model": "nobody"}, {"deny": ["fakellm:weak", "fakellm:strong"]}])
    def test_errors_are_none_that_llamaindex_takes_for_something_else(
        self, way: Callable[..., Any], options: dict[str, Any]
    ) -> None:
        """Its synthesizers take a ``ValueError`` for an answer, its loops a ``RuntimeError`` for a nested loop."""
        with pytest.raises(RouterError) as raised:
            way(router(), **options)
        assert not isinstance(raised.value, ValueError | RuntimeError)

    @pytest.mark.parametrize("text", ["a\0b", "a\ud800"])
    def test_a_text_that_cannot_be_sent_is_named(self, text: str) -> None:
        message = ChatMessage(role="user", content="a")
        message.blocks[0].text = text
        with pytest.raises(InvalidCall, match=r"messages\[0\]: character 1"):
            router().chat([message])


class Limit(BaseRateLimiter):
    """Counts who asks, and lets everybody through."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def acquire(self, num_tokens: int = 0) -> None:
        self.asked.append("sync")

    async def async_acquire(self, num_tokens: int = 0) -> None:
        self.asked.append("async")


class TestRateLimit:
    @every_way
    def test_it_is_asked_once_for_each_request(self, way: Callable[..., Any], request: Any) -> None:
        """However many models are called for it."""
        limit = Limit()
        way(router(FakeLLM(model="down", fails=True), FakeLLM(model="up"), rate_limiter=limit))
        assert limit.asked == ["async" if request.node.callspec.id.startswith("a") else "sync"]

    def test_of_a_model_is_asked_for_each_of_its_calls(self) -> None:
        limits = [Limit(), Limit()]
        down, up = (FakeLLM(fails=not n, rate_limiter=limit) for n, limit in enumerate(limits))
        router(down, up).chat(ASK)
        assert [limit.asked for limit in limits] == [["sync"], ["sync"]]

    def test_one_that_refuses_is_heard(self) -> None:
        class Full(Limit):
            def acquire(self, num_tokens: int = 0) -> None:
                raise PermissionError("the day's requests are used up")

        with pytest.raises(PermissionError, match="used up"):
            router(rate_limiter=Full()).chat(ASK)


class Vandal(FakeLLM):
    """Writes into all that it is given, and fails."""

    def _serve(self, how: str, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> Any:
        for message in messages:
            message.role = "assistant"
            message.additional_kwargs["cache_control"] = "mine"
            message.blocks.clear()
        messages.clear()
        kwargs.clear()
        raise ConnectionError("the model cannot be reached")


class TestInputs:
    HISTORY = (
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="hi", additional_kwargs={"name": "me"}),
    )

    @pytest.mark.parametrize("streaming", [True, False])
    @pytest.mark.parametrize("stronger", [FakeLLM, lambda: Vandal(model="other")], ids=["served", "failed"])
    def test_messages_tools_and_arguments_stay_as_they_are(
        self, stronger: Callable[[], FakeLLM], *, streaming: bool
    ) -> None:
        last = stronger()
        llm = router(Vandal(model="vandal"), last)
        history, given_tools, kwargs = [*deepcopy(self.HISTORY)], tools(), {"stop": ["x"], "user": "me"}
        message = ChatMessage(role="user", content="add 1 and 2")
        before = deepcopy((history, [tool.metadata.name for tool in given_tools], kwargs, message))
        ask = llm.stream_chat_with_tools if streaming else llm.chat_with_tools
        try:
            _ = list(ask(given_tools, message, history, **kwargs))
        except AllAttemptsFailed:
            assert isinstance(last, Vandal)
        else:
            assert [each["role"] for each in last.log[0]["messages"]] == ["system", "user", "user"]
            assert (last.log[0]["kwargs"]["stop"], len(last.log[0]["kwargs"]["tools"])) == (["x"], 2)
        assert (history, [tool.metadata.name for tool in given_tools], kwargs, message) == before

    @pytest.mark.parametrize("message", ["add 1 and 2", ChatMessage(role="user", content="add 1 and 2"), None])
    def test_what_is_said_last_is_said_once(self, message: Any) -> None:
        fake = FakeLLM()
        history = [*self.HISTORY, *([] if message else [ChatMessage(role="user", content="add 1 and 2")])]
        router(FakeLLM(model="down", fails=True), fake).chat_with_tools(tools(), message, history)
        assert [each["text"] for each in fake.log[0]["messages"]] == ["Be brief.", "hi", "add 1 and 2"]

    def test_the_flags_of_a_tool_call_reach_the_model(self) -> None:
        fake = FakeLLM()
        router(fake).chat_with_tools(tools(), "hi", allow_parallel_tool_calls=True, tool_required=True)
        kwargs = fake.log[0]["kwargs"]
        assert (kwargs["parallel_tool_calls"], kwargs["tool_choice"]) == (True, "required")


class Completes(CustomLLM):
    """A model that takes one text, in a template of its own."""

    says: str = "Whales sing."
    _asked: list[str] = PrivateAttr(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="completes")

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002
        self._asked.append(prompt if formatted else self.completion_to_prompt(prompt))
        return CompletionResponse(text=self.says)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        self._asked.append(prompt if formatted else self.completion_to_prompt(prompt))
        return (CompletionResponse(text=self.says[: n + 1], delta=letter) for n, letter in enumerate(self.says))


def template(messages: Sequence[ChatMessage]) -> str:
    return "".join(f"<{message.role.value}>{message.content}" for message in messages) + "<assistant>"


class TestCompletions:
    """Of a model that takes one text."""

    @staticmethod
    def made(**options: Any) -> Completes:
        return Completes(messages_to_prompt=template, completion_to_prompt=lambda text: f"<s>{text}", **options)

    @pytest.mark.parametrize("name", [name for name in WAYS if "tools" not in name and "structured" not in name])
    def test_it_is_asked_once_in_its_own_template_and_makes_one_event(self, name: str) -> None:
        model = self.made()
        counter = TokenCountingHandler(tokenizer=str.split)
        WAYS[name](router(model, callback_manager=CallbackManager([counter])))
        assert model._asked == ["<s>hi" if "complete" in name else "<user>hi<assistant>"]
        # The sync method that its own async one calls is another event of the model itself.
        assert len(counter.llm_token_counts) == 1 + (name[0] == "a")

    @pytest.mark.parametrize("name", ["complete", "stream_complete"])
    def test_a_prompt_that_is_formatted_already_is_left_alone(self, name: str) -> None:
        model = self.made()
        WAYS[name](router(model), formatted=True)
        assert model._asked == ["hi"]

    def test_a_prompt_is_put_to_it_as_to_a_model_that_chats(self) -> None:
        model = self.made()
        assert router(model, system_prompt="Be brief.").predict(TELL, animal="whale") == "Whales sing."
        assert model._asked == ["<system>Be brief.<user>Tell of the whale.<assistant>"]

    def test_its_chunks_are_those_of_a_chat(self) -> None:
        chunks = list(router(self.made()).stream_chat(ASK))
        assert "".join(chunk.delta or "" for chunk in chunks) == chunks[-1].message.content == "Whales sing."
        assert chunks[-1].message.role.value == "assistant"

    def test_what_it_does_not_know_climbs_to_a_model_that_chats(self) -> None:
        strong = FakeLLM()
        assert served_by(router(self.made(says=IDK), strong)) == "fakellm:fake"
        assert len(strong.log) == 1


def test_the_stronger_model_is_told_why_if_it_is_wanted() -> None:
    strong = FakeLLM(model="strong")
    router(FakeLLM(model="weak", says=IDK), strong, settings=Settings(tell_why=True)).chat(ASK)
    assert [message["role"] for message in strong.log[0]["messages"]] == ["system", "user"]
    assert "rejected as knows" in strong.log[0]["messages"][0]["text"]
