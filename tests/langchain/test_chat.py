"""What a ``ChatRouter`` takes, hands on, hands out and refuses, with scripted chat models."""

from __future__ import annotations

import asyncio
import json
import traceback
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed; run: uv sync --group langchain")

from langchain_core.caches import InMemoryCache
from langchain_core.exceptions import ContextOverflowError, ModelAuthenticationError, ModelError
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.tools import tool
from langgraph.errors import GraphBubbleUp
from pydantic import BaseModel, SecretStr

from langchain_router import ChatRouter, get_router_callback
from router_core import AllAttemptsFailed, ConfigError, InvalidRequest, NoFeasibleModel, Settings
from router_core.policies import StaticPolicy
from tests.langchain.saying import UNSURE, Scripted, about, router


class TestAnswers:
    def test_a_good_draft_is_the_answer(self) -> None:
        llm, (_, strong) = router("Paris.", "Paris!")
        answer = llm.invoke("What is the capital of France?")
        assert (answer.text, about(answer)["model"], strong.asked) == ("Paris.", "scripted:weak", [])
        assert answer.response_metadata["model_name"] == "weak"

    def test_a_rejected_draft_climbs(self) -> None:
        llm, _ = router(UNSURE, "Paris!")
        answer = llm.invoke("What is the capital of France?")
        assert answer.text == "Paris!"
        assert (about(answer)["escalations"], about(answer)["attempts"]) == (1, 2)

    def test_a_failure_falls_back(self) -> None:
        llm, _ = router(ConnectionError("down"), "Paris!")
        assert about(llm.invoke("hi"))["fallbacks"] == 1

    def test_the_account_is_text_and_whole_numbers(self) -> None:
        """LangChain adds up what chunks carry; a float there breaks the sum."""
        llm, _ = router(UNSURE, "Paris!")
        assert {type(value) for value in about(llm.invoke("hi")).values()} <= {str, int}
        json.dumps(about(llm.invoke("hi")))

    async def test_four_ways_say_the_same(self) -> None:
        llm, _ = router(UNSURE, "Paris it is.")
        said = [
            llm.invoke("hi").text,
            (await llm.ainvoke("hi")).text,
            "".join(chunk.text for chunk in llm.stream("hi")),
            "".join([chunk.text async for chunk in llm.astream("hi")]),
        ]
        assert [text.strip() for text in said] == ["Paris it is."] * 4

    def test_the_chunks_of_a_stream_add_up_to_the_answer_and_its_account(self) -> None:
        llm, _ = router(UNSURE, "Paris it is.")
        chunks = list(llm.stream("hi"))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole = whole + chunk
        assert whole.text.strip() == "Paris it is."
        assert about(whole)["model"] == "scripted:strong"
        assert whole.usage_metadata == {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        assert chunks[-1].chunk_position == "last"

    def test_in_a_chain(self) -> None:
        llm, _ = router(UNSURE, "Paris!")
        chain = ChatPromptTemplate.from_template("Capital of {country}?") | llm | StrOutputParser()
        assert chain.invoke({"country": "France"}) == "Paris!"
        assert "".join(chain.stream({"country": "France"})).strip() == "Paris!"

    def test_batch_keeps_the_order(self) -> None:
        llm, _ = router(UNSURE, "Paris!")
        assert [answer.text for answer in llm.batch(["a", "b", "c"])] == ["Paris!"] * 3

    def test_generate(self) -> None:
        llm, _ = router("Paris.", "Paris!")
        result = llm.generate([[HumanMessage("a")], [HumanMessage("b")]])
        assert [generations[0].text for generations in result.generations] == ["Paris.", "Paris."]

    def test_on_rejected_raise(self) -> None:
        llm, _ = router(UNSURE, UNSURE, settings=Settings(on_rejected="raise"))
        with pytest.raises(Exception, match="rejected"):
            llm.invoke("hi")


class TestOptions:
    def test_as_arguments_bound_and_configured(self) -> None:
        llm, _ = router("Paris.", "Paris!")
        forced = {"force_model": "scripted:strong"}
        assert llm.invoke("hi", **forced).text == "Paris!"
        assert llm.bind(**forced).invoke("hi").text == "Paris!"
        assert llm.with_config(configurable=forced).invoke("hi").text == "Paris!"
        assert llm.invoke("hi", {"configurable": forced}).text == "Paris!"

    def test_a_call_wins_over_the_config(self) -> None:
        llm, _ = router("Paris.", "Paris!")
        config = {"configurable": {"force_model": "scripted:strong"}}
        assert llm.invoke("hi", config, force_model="scripted:weak").text == "Paris."

    def test_model_pins_one_of_the_routers_models(self) -> None:
        llm, _ = router("Paris.", "Paris!")
        assert llm.invoke("hi", model="scripted:strong").text == "Paris!"

    def test_they_never_reach_a_model(self) -> None:
        llm, (weak, _) = router("Paris.", "Paris!")
        llm.invoke("hi", max_latency_s=5, session="s", call_site="c", max_attempts=2)
        assert set(weak.asked[0]) == {"messages", "temperature", "stop"}

    @pytest.mark.parametrize("options", [{"max_cost_usd": -1}, {"force_model": "nobody"}, {"min_quality": 3}])
    def test_wrong_ones_are_named(self, options: dict[str, Any]) -> None:
        llm, _ = router("Paris.", "Paris!")
        with pytest.raises(InvalidRequest, match=next(iter(options))):
            llm.invoke("hi", **options)

    def test_settings_of_the_router_reach_each_model_in_its_own_field(self) -> None:
        llm, (weak, _) = router("Paris.", "Paris!", temperature=0.3)
        llm.invoke("hi", stop=["x"])
        assert (weak.asked[0]["temperature"], weak.asked[0]["stop"]) == (0.3, ["x"])
        assert weak.temperature is None, "the user's object is not changed"

    def test_the_call_site_is_the_langgraph_node(self) -> None:
        llm, _ = router("Paris.", "Paris!")
        receipts: list[Any] = []

        from langchain_core.callbacks import BaseCallbackHandler

        class Receipts(BaseCallbackHandler):
            def on_router_receipt(self, receipt: Any, **_: Any) -> None:
                receipts.append(receipt)

        config = {"metadata": {"langgraph_node": "plan"}, "configurable": {"thread_id": "t1"}, "tags": ["billing"]}
        llm.invoke("hi", {**config, "callbacks": [Receipts()]})
        (receipt,) = receipts
        assert (receipt.call_site, receipt.session, receipt.tags) == ("plan", "t1", {"billing"})


class TestModels:
    def test_bindings_keep_what_they_were_bound_with(self) -> None:
        model = Scripted(model_name="weak")
        ChatRouter(models=[model.bind(extra=1)]).invoke("hi")
        assert model.asked[0]["extra"] == 1

    def test_the_same_model_twice_has_two_names(self) -> None:
        llm = ChatRouter(models=[Scripted(model_name="m", says=UNSURE), Scripted(model_name="m")])
        assert about(llm.invoke("hi"))["model"] == "scripted:m#2"

    @pytest.mark.parametrize(
        ("models", "says"),
        [
            ([], "at least one"),
            ("openai:gpt-4.1", "list"),
            (["gpt-4.1"], "provider:model"),
            ([StrOutputParser()], "StrOutputParser"),
            (["nobody:m"], "nobody"),
        ],
    )
    def test_what_is_no_model_is_refused(self, models: Any, says: str) -> None:
        with pytest.raises(ConfigError, match=says):
            ChatRouter(models=models)

    @pytest.mark.parametrize(
        ("base_url", "environment", "local"),
        [
            (None, None, True),
            (None, "127.0.0.1:11434", True),
            (None, "gpu.example:11434", False),
            ("http://localhost:11434", "gpu.example", True),
            ("http://gpu.example:11434", None, False),
        ],
    )
    def test_local_only_follows_where_ollama_is(
        self, monkeypatch: pytest.MonkeyPatch, base_url: str | None, environment: str | None, *, local: bool
    ) -> None:
        class Ollama(Scripted):
            base_url: str | None = None

        if environment:
            monkeypatch.setenv("OLLAMA_HOST", environment)
        llm = ChatRouter(models=[Ollama(model_name="m", provider="ollama", base_url=base_url)])
        if local:
            assert llm.invoke("hi", local_only=True).text == "Paris."
        else:
            with pytest.raises(NoFeasibleModel, match="tag_missing"):
                llm.invoke("hi", local_only=True)

    def test_a_router_is_no_model_of_a_router(self) -> None:
        with pytest.raises(ConfigError, match="counted twice"):
            ChatRouter(models=[ChatRouter(models=[Scripted(model_name="m")]), Scripted(model_name="n")])

    def test_a_handler_that_fails_over_a_receipt_loses_no_answer(self) -> None:
        from langchain_core.callbacks import BaseCallbackHandler

        class Faulty(BaseCallbackHandler):
            def on_router_receipt(self, *_: Any, **__: Any) -> None:
                raise ZeroDivisionError

        llm, _ = router("Paris.", "Paris!")
        assert llm.invoke("hi", {"callbacks": [Faulty()]}).text == "Paris."

    def test_a_missing_key_is_a_config_error(self) -> None:
        pytest.importorskip("langchain_openai", reason="langchain-openai is not installed; run: uv sync")
        with pytest.raises(ConfigError, match=r"gpt-4\.1"):
            ChatRouter(models=["openai:gpt-4.1"])

    def test_from_config_reads_the_cores_file(self, tmp_path: Any) -> None:
        pytest.importorskip("langchain_ollama", reason="langchain-ollama is not installed; run: uv sync")
        path = tmp_path / "router.yaml"
        path.write_text(
            "version: 1\n"
            "models:\n"
            "  - {name: 'ollama:llama3.2', quality: 0.6, context_window: 4096}\n"
            "  - {name: 'local:big', endpoint: local, quality: 0.9, tags: [eu]}\n"
            "endpoints:\n"
            "  local: {base_url: 'http://127.0.0.1:1/v1', local: true}\n"
            "aliases: {best: 'local:big'}\n",
            encoding="utf-8",
        )
        llm = ChatRouter.from_config(path)
        with pytest.raises(NoFeasibleModel, match="context_window"):
            llm.invoke("word " * 3_000, force_model="ollama:llama3.2")
        with pytest.raises(AllAttemptsFailed, match="local:big"):
            llm.invoke("hi", force_model="best")

    def test_two_routers_do_not_share_cached_answers(self) -> None:
        cache = InMemoryCache()
        one, _ = router("Paris.", "x", cache=cache)
        two, _ = router("London.", "x", cache=cache, policy=StaticPolicy("scripted:strong"))
        assert (one.invoke("hi").text, two.invoke("hi").text) == ("Paris.", "x")
        assert one._identifying_params != two._identifying_params

    def test_a_rate_limiter_is_asked_once_per_call(self) -> None:
        asked: list[bool] = []

        class Limiter(InMemoryRateLimiter):
            def acquire(self, *, blocking: bool = True) -> bool:
                asked.append(blocking)
                return True

        llm, _ = router(UNSURE, "Paris!", rate_limiter=Limiter())
        llm.invoke("hi")
        assert asked == [True]


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


class Weather(BaseModel):
    """Asks for the weather."""

    city: str


class TestTools:
    CALL = AIMessage(content="", tool_calls=[{"name": "weather", "args": {"city": "Paris"}, "id": "c1"}])

    def test_each_model_binds_the_users_own_tool(self) -> None:
        llm, (weak, strong) = router("Sunny.", self.CALL)
        answer = llm.bind_tools([weather], tool_choice="required").invoke("Weather in Paris?")
        assert answer.tool_calls[0]["args"] == {"city": "Paris"}
        assert weak.asked[0]["bound"] == strong.asked[0]["bound"] == ["weather"]
        assert weak.asked[0]["choice"] == "any"

    def test_arguments_that_do_not_fit_climb(self) -> None:
        bad = AIMessage(content="", tool_calls=[{"name": "weather", "args": {"town": 1}, "id": "c1"}])
        llm, _ = router(bad, self.CALL)
        assert about(llm.bind_tools([weather]).invoke("Weather?"))["model"] == "scripted:strong"

    def test_a_key_of_bound_tools_is_the_same_in_every_process(self) -> None:
        llm, _ = router("Paris.", "x")
        bound: Any = llm.bind_tools([weather])
        assert "0x" not in repr(bound.kwargs["tools"])

    def test_history_of_another_provider_is_made_portable(self) -> None:
        llm, (weak, _) = router("Sunny.", "x")
        long_id = "toolu_" + "x" * 60
        history = [
            HumanMessage("Weather?"),
            AIMessage(
                content=[
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "Let me look."},
                ],
                tool_calls=[{"name": "weather", "args": {"city": "Paris"}, "id": long_id}],
                response_metadata={"model_provider": "anthropic"},
            ),
            ToolMessage("sunny", tool_call_id=long_id),
        ]
        llm.invoke(history)
        _, said, result = weak.asked[0]["messages"]
        assert said.content == "Let me look."
        assert said.tool_calls[0]["id"] == result.tool_call_id
        assert len(result.tool_call_id) <= 40
        assert history[1].content[0]["type"] == "thinking", "the caller's messages are not changed"


class TestStructure:
    def test_a_good_structured_draft_is_accepted_at_once(self) -> None:
        """By a tool call: the schema's own tool is no unknown one."""

        class Binding(Scripted):
            def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
                return self.bind(tool_choice=tool_choice)

        call = AIMessage(content="", tool_calls=[{"name": "Weather", "args": {"city": "Paris"}, "id": "c1"}])
        bad = AIMessage(content="", tool_calls=[{"name": "Weather", "args": {"town": 1}, "id": "c1"}])
        for draft, attempts in ((call, 1), (bad, 2)):
            models = [Binding(model_name="weak", says=draft), Binding(model_name="strong", says=call)]
            llm = ChatRouter(models=models, policy=StaticPolicy())
            result = llm.with_structured_output(Weather, include_raw=True).invoke("Weather in Paris?")
            assert result["parsed"] == Weather(city="Paris")
            assert about(result["raw"])["attempts"] == attempts


class TestErrors:
    def test_all_failed_is_a_model_error_with_every_attempt(self) -> None:
        llm, _ = router(TimeoutError("slow"), ConnectionError("down"))
        with pytest.raises(ModelError) as caught:
            llm.invoke("hi")
        assert isinstance(caught.value, AllAttemptsFailed)
        assert caught.value.is_retryable
        assert "scripted:weak: timeout" in str(caught.value)
        assert caught.value.receipt is not None

    def test_too_long_for_every_window_is_a_context_overflow(self) -> None:
        models = [Scripted(model_name=name, profile={"max_input_tokens": 1_000}) for name in ("a", "b")]
        llm = ChatRouter(models=models)
        with pytest.raises(ContextOverflowError) as caught:
            llm.invoke("word " * 10_000)
        assert isinstance(caught.value, NoFeasibleModel)

    def test_a_key_that_a_server_repeats_is_told_to_nobody(self) -> None:
        class Keyed(Scripted):
            key: SecretStr = SecretStr("sk-made-up-key")

        failing = Keyed(model_name="k", says=ConnectionError("no such key: sk-made-up-key"))
        with pytest.raises(AllAttemptsFailed) as caught:
            ChatRouter(models=[failing], settings=Settings(retries=0)).invoke("hi")
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.receipt)
        assert "sk-made-up-key" not in told
        assert "no such key: [key]" in told

    def test_a_refused_key_says_nothing_of_another_model_of_the_provider(self) -> None:
        llm, (_, strong) = router(ModelAuthenticationError("refused"), "Paris!")
        assert llm.invoke("hi").text == "Paris!"
        assert len(strong.asked) == 1

    def test_langgraphs_control_flow_passes_through(self) -> None:
        llm, (_, strong) = router(GraphBubbleUp(), "Paris!")
        with get_router_callback() as routed, pytest.raises(GraphBubbleUp):
            llm.invoke("hi")
        assert strong.asked == []
        assert routed.calls[0].receipt.outcome == "cancelled"


async def test_a_cancelled_call_is_booked() -> None:
    from langchain_core.callbacks import BaseCallbackHandler

    receipts: list[Any] = []
    begun = asyncio.Event()

    class Receipts(BaseCallbackHandler):
        def on_router_receipt(self, receipt: Any, **_: Any) -> None:
            receipts.append(receipt)

    class Hanging(Scripted):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

    llm = ChatRouter(models=[Hanging(model_name="h")])
    task = asyncio.create_task(llm.ainvoke("hi", {"callbacks": [Receipts()]}))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (receipt,) = receipts
    assert receipt.outcome.value == "cancelled"
    assert receipt.usage.input_tokens > 0
