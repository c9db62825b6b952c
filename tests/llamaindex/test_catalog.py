"""What may be a model of a router, what is known of it, and that the user's own objects stay as they are."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from copy import copy
from typing import Any

import httpx
import ollama
import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import LLM, CompletionResponse, CustomLLM, LLMMetadata
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI, OpenAIResponses
from pydantic import PrivateAttr

from llamaindex_router import RouterLLM
from llamaindex_router.catalog import catalogue, inner_of
from router_core.errors import ConfigError, NoFeasibleModel
from router_core.policies import StaticPolicy
from router_core.registry import LOCAL, Registry
from router_core.types import Capability, Model, Price
from tests.llamaindex.fake import FakeLLM
from tests.llamaindex.library import tools

ASK = [ChatMessage(role="user", content="hi")]
SEE = [ChatMessage(role="user", blocks=[TextBlock(text="What is it?"), ImageBlock(url="https://a.example/b.png")])]


class Completes(CustomLLM):
    """A model that takes one text and no messages, as users write their own."""

    model: str = "echo"
    _asked: list[str] = PrivateAttr(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(context_window=1000, model_name=self.model)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002
        self._asked.append(prompt)
        return CompletionResponse(text="Said.")

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        yield CompletionResponse(text="Said.", delta="Said.")


class Unsure(FakeLLM):
    """Cannot say anything of itself when it is first asked."""

    _asked: int = PrivateAttr(default=0)

    @property
    def metadata(self) -> LLMMetadata:
        self._asked += 1
        if self._asked == 1:
            raise ValueError("Unknown model 'm'")
        return super().metadata


class ToolLess(FakeLLM):
    """Has LlamaIndex's methods for tools, and says that it cannot use them."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True, is_function_calling_model=False, model_name=self.model)


def router(*models: Any, **options: Any) -> RouterLLM:
    return RouterLLM(models=models, policy=StaticPolicy(), **options)


def served_by(llm: RouterLLM, messages: Sequence[ChatMessage] = ASK, **options: Any) -> str:
    return llm.chat(messages, **options).additional_kwargs["router"]["model"]


def entry(given: Any) -> Model:
    registry, _ = catalogue([given])
    return registry.models[0]


def closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class TestWhatModelsMayBe:
    def test_llms_and_strings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "key-of-the-environment")
        monkeypatch.setenv("ANTHROPIC_API_KEY", "key-of-another-one")
        given = ["ollama:llama3.2", "openai:gpt-4.1-nano", "anthropic:claude-haiku-4-5", FakeLLM(model="own")]
        registry, inners = catalogue(given)
        assert [model.name for model in registry.models] == [*given[:3], "fakellm:own"]
        assert [type(inner.llm) for inner in inners.values()] == [Ollama, OpenAI, Anthropic, FakeLLM]
        assert inners["openai:gpt-4.1-nano"].llm.api_key == "key-of-the-environment"
        for name in given[1:3]:
            assert inners[name].llm.max_retries == 0, "the router retries itself"

    @pytest.mark.parametrize("models", [(FakeLLM(),), [FakeLLM()]])
    def test_any_sequence(self, models: Any) -> None:
        assert served_by(RouterLLM(models=models)) == "fakellm:fake"

    def test_a_price_list_entry_is_found(self) -> None:
        assert (entry(OpenAI("gpt-4.1", api_key="x")).provider, entry(OpenAI("gpt-4.1", api_key="x")).id) == (
            "openai",
            "gpt-4.1",
        )

    @pytest.mark.parametrize(
        ("models", "says"),
        [
            ([], r"models: .*at least one LLM, weakest first"),
            (None, r"models: .*at least one LLM, weakest first"),
            ("openai:gpt-4.1", r"models: 'openai:gpt-4.1' is not a list; give a list of models, weakest first"),
            (OpenAI("gpt-4.1", api_key="sk-quite-secret"), r"models: a OpenAI is not a list; give a list"),
            (7, r"models: 7 is not a list; give a list"),
            ({"weak": FakeLLM()}, r"models: a dict is not a list; give a list"),
            (iter([FakeLLM()]), r"models: a list_iterator is not a list; give a list"),
            ([7], r"models: 7 is neither an LLM of LlamaIndex nor an 'endpoint:model' string"),
            ([None], r"models: None is neither an LLM"),
            ([OpenAI], r"models: a ModelMetaclass is neither an LLM"),
            (["gpt-4.1"], r"models: 'gpt-4.1' is not of the form 'endpoint:model', such as"),
            (
                ["opnai:gpt-4.1"],
                r"models: 'opnai:gpt-4.1' names the unknown endpoint 'opnai' \(did you mean 'openai'\?\)",
            ),
        ],
    )
    def test_what_is_no_model_is_named_with_the_remedy(self, models: Any, says: str) -> None:
        with pytest.raises(ConfigError, match=says) as raised:
            RouterLLM(models=models)
        assert "sk-quite-secret" not in str(raised.value)

    def test_a_router_is_no_model_of_a_router(self) -> None:
        with pytest.raises(ConfigError, match=r"models: a router .* counted twice; give its models"):
            router(router(FakeLLM()), FakeLLM())

    @pytest.mark.parametrize("model", ["openai:gpt-4.1", "anthropic:claude-haiku-4-5", "groq:llama-3.3"])
    def test_a_missing_key_is_named(self, model: str) -> None:
        variable = f"{model.partition(':')[0].upper()}_API_KEY"
        with pytest.raises(ConfigError, match=rf"models: '{model}' cannot be made: .*{variable}.*set it, or leave out"):
            router(model)

    @pytest.mark.parametrize(
        ("model", "package"),
        [
            ("mistral:mistral-small", "llama-index-llms-mistralai"),
            ("google:gemini-2.5-flash", "llama-index-llms-google-genai"),
            ("vllm:qwen3", "llama-index-llms-openai-like"),
            ("deepseek:deepseek-chat", "llama-index-llms-openai-like"),
        ],
    )
    def test_a_missing_package_is_named(self, monkeypatch: pytest.MonkeyPatch, model: str, package: str) -> None:
        for name in ("MISTRAL", "GEMINI", "DEEPSEEK"):
            monkeypatch.setenv(f"{name}_API_KEY", "some-key")
        with pytest.raises(ConfigError, match=rf"models: '{model}' needs the package {package}; run: pip install"):
            router(model)

    def test_a_model_that_cannot_be_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(OpenAI, "__init__", lambda *_, **__: (_ for _ in ()).throw(ValueError("no such region")))
        monkeypatch.setenv("OPENAI_API_KEY", "some-key")
        with pytest.raises(ConfigError, match=r"models: 'openai:gpt-4.1' cannot be made: no such region"):
            router("openai:gpt-4.1")

    def test_two_of_one_name_are_told_apart(self) -> None:
        down, up = FakeLLM(fails=True), FakeLLM()
        llm = router(down, up, FakeLLM())
        assert served_by(llm) == "fakellm:fake#2"
        assert served_by(llm, force_model="fakellm:fake#3") == "fakellm:fake#3"
        assert (len(down.log), len(up.log)) == (1, 1)


class TestRegistry:
    @staticmethod
    def of(*models: Model) -> Registry:
        return Registry(models, endpoints={})

    def test_its_entries_are_of_the_models_in_order(self) -> None:
        free = Model(name="small", id="m", provider="p", endpoint="e", price=Price.free(), tags=frozenset({LOCAL}))
        big = Model(name="big", id="n", provider="p", endpoint="e", context_window=9000)
        llm = router(FakeLLM(model="a"), FakeLLM(model="b"), registry=self.of(free, big))
        assert served_by(llm) == "small"
        assert llm.metadata.context_window == 2048, "the LLM's own where the entry has none"
        assert served_by(llm, deny=["small"]) == "big"

    @pytest.mark.parametrize("count", [1, 3])
    def test_it_has_one_entry_for_each_model(self, count: int) -> None:
        entries = [Model(name=str(n), id="m", provider="p", endpoint="e") for n in range(count)]
        with pytest.raises(ConfigError, match=rf"registry: it has {count} entries for 2 models; give one for each"):
            router(FakeLLM(), FakeLLM(), registry=self.of(*entries))

    def test_abilities_that_an_entry_declares_count(self) -> None:
        blind = Model(name="m", id="m", provider="p", endpoint="e", capabilities=frozenset({Capability.TOOLS}))
        with pytest.raises(NoFeasibleModel, match="image"):
            router(FakeLLM(), registry=self.of(blind)).chat(SEE)


class TestFamilies:
    def test_who_speaks_the_same_protocol(self) -> None:
        class Mine(OpenAI):
            """As users derive their own."""

        given = {
            "openai": [OpenAI("gpt-4.1", api_key="x"), Mine("gpt-4.1", api_key="x")],
            "responses": [OpenAIResponses("gpt-4.1", api_key="x")],
            "anthropic": [Anthropic("claude-haiku-4-5", api_key="x")],
            "ollama": [Ollama("m", context_window=1000)],
            "custom": [Completes()],
            "fakellm": [FakeLLM()],
        }
        for family, llms in given.items():
            assert {inner_of(llm).family for llm in llms} == {family}

    def test_a_model_that_hides_its_name_has_that_of_its_class(self) -> None:
        assert entry(Completes(model="unknown")).name == "custom:Completes"


class TestMetadata:
    def test_of_a_model_that_raises(self) -> None:
        llm = router(Unsure(model="m"), FakeLLM())
        assert (llm.metadata.context_window, llm.metadata.is_function_calling_model) == (2048, True)
        assert entry(Unsure(model="m")).context_window is None
        assert router(Unsure()).metadata.context_window > 0

    def test_a_name_that_the_integration_does_not_know(self) -> None:
        """OpenAI's raises for it, also in each call."""
        llm = router(OpenAI("gpt-99", api_key="x", max_retries=0), FakeLLM())
        assert served_by(llm) == "fakellm:fake"

    @pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
    def test_of_ollama_while_its_server_is_down(self) -> None:
        down = Ollama("m", base_url=f"http://127.0.0.1:{closed_port()}")
        llm = router(down, FakeLLM())
        assert llm.metadata.context_window == 2048
        response = llm.chat(ASK)
        assert response.additional_kwargs["router"]["fallbacks"] == 1
        with pytest.raises(ConfigError, match="window"):
            router(down, window="huge")

    def test_ollamas_server_is_asked_once_and_the_users_object_is_not_filled_in(self) -> None:
        asked: list[str] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request.url.path)
            if request.url.path == "/api/show":
                return httpx.Response(200, json={"model_info": {"llama.context_length": 12345}})
            said = {"role": "assistant", "content": "Paris."}
            return httpx.Response(200, json={"model": "m", "message": said, "done": True, "done_reason": "stop"})

        client = ollama.Client("http://127.0.0.1:1", transport=httpx.MockTransport(answer))
        mine = Ollama("m", client=client)
        llm = router(mine)
        assert llm.chat(ASK).message.content == llm.chat(ASK).message.content == "Paris."
        assert asked == ["/api/show", "/api/chat", "/api/chat"]
        assert (llm.metadata.context_window, mine.context_window) == (12345, -1)

    def test_windows_that_are_none(self) -> None:
        assert entry(FakeLLM(window=-1)).context_window is None
        assert router(FakeLLM(window=0), FakeLLM(window=500)).metadata.context_window == 500


class TestLocal:
    @pytest.mark.parametrize(
        ("given", "local"),
        [
            ("ollama:llama3.2", True),
            ("ollama:gpt-oss:120b-cloud", False),
            (Ollama("m", context_window=1), True),
            (Ollama("m", context_window=1, base_url="http://[::1]:11434"), True),
            (Ollama("m", context_window=1, base_url="127.0.0.1:11434"), True),
            (Ollama("m", context_window=1, base_url="http://gpu.example:11434"), False),
            (Ollama("gpt-oss:120b-cloud", context_window=1), False),
            (OpenAI("gpt-4.1", api_key="x"), False),
            (FakeLLM(), False),
        ],
        ids=str,
    )
    def test_what_stays_on_this_machine_is_tagged_and_free(self, given: Any, *, local: bool) -> None:
        made = entry(given)
        assert (made.tags, made.price) == ((frozenset({LOCAL}), Price.free()) if local else (frozenset(), None))

    def test_local_only(self) -> None:
        with pytest.raises(NoFeasibleModel, match="local"):
            router(FakeLLM()).chat(ASK, local_only=True)


class TestAbilities:
    def test_a_model_that_would_drop_an_image_is_not_shown_it(self) -> None:
        plain = Completes()
        assert served_by(router(plain, FakeLLM()), SEE) == "fakellm:fake"
        assert served_by(router(plain, FakeLLM())) == "custom:echo"
        with pytest.raises(NoFeasibleModel, match=r"custom:echo.*cannot do image"):
            router(plain).chat(SEE)

    @pytest.mark.parametrize("weak", [Completes(), ToolLess(model="t")], ids=["no methods", "says that it cannot"])
    def test_a_model_that_cannot_call_tools_is_not_asked_with_any(self, weak: LLM) -> None:
        strong = FakeLLM()
        llm = router(weak, strong)
        assert llm.metadata.is_function_calling_model
        response = llm.chat_with_tools(tools(), "add 1 and 2")
        assert [call.tool_name for call in llm.get_tool_calls_from_response(response)] == ["add"]
        assert len(strong.log) == 1

    def test_without_any_that_can_the_error_says_so(self) -> None:
        llm = router(ToolLess())
        assert not llm.metadata.is_function_calling_model, "agents then choose another way"
        with pytest.raises(NoFeasibleModel, match="cannot do tools"):
            llm.chat_with_tools(tools(), "add 1 and 2")

    def test_a_model_that_says_nothing_of_itself_is_tried(self) -> None:
        response = router(Unsure()).chat_with_tools(tools(), "add 1 and 2")
        assert response.additional_kwargs["router"]["attempts"] == 1


class TestUsersObjects:
    @pytest.mark.parametrize(
        "llm",
        [
            FakeLLM(system_prompt="Be brief."),
            Completes(),
            OpenAI("gpt-4.1", api_key="x", additional_kwargs={"user": "me"}),
            Anthropic("claude-haiku-4-5", api_key="x"),
            Ollama("m", context_window=1000),
        ],
        ids=lambda llm: type(llm).__name__,
    )
    def test_are_never_changed(self, llm: LLM) -> None:
        manager = llm.callback_manager
        fields, own = copy(vars(llm)), copy(llm.__pydantic_private__)
        made = router(llm, FakeLLM(), system_prompt="Be kind.")
        made.callback_manager = CallbackManager([TokenCountingHandler()])
        made.chat(ASK, force_model="fakellm:fake")
        assert (vars(llm), llm.__pydantic_private__) == (fields, own)
        assert llm.callback_manager is manager
        assert manager.handlers == []

    def test_may_be_used_beside_the_router_with_handlers_of_their_own(self) -> None:
        mine, routers = TokenCountingHandler(tokenizer=str.split), TokenCountingHandler(tokenizer=str.split)
        llm = FakeLLM(callback_manager=CallbackManager([mine]))
        made = router(llm, callback_manager=CallbackManager([routers]))
        made.chat(ASK)
        assert (len(mine.llm_token_counts), len(routers.llm_token_counts)) == (1, 1)
        llm.chat(ASK)
        assert (len(mine.llm_token_counts), len(routers.llm_token_counts)) == (2, 1)

    def test_are_shared_by_routers_that_tell_different_handlers(self) -> None:
        llm = FakeLLM()
        counters = [TokenCountingHandler(tokenizer=str.split) for _ in range(2)]
        first, second = (router(llm, callback_manager=CallbackManager([counter])) for counter in counters)
        first.chat(ASK)
        assert [len(counter.llm_token_counts) for counter in counters] == [1, 0]
        second.chat(ASK)
        second.callback_manager = CallbackManager([])
        second.chat(ASK)
        assert [len(counter.llm_token_counts) for counter in counters] == [1, 1]
