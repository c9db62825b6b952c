"""A router as an object: what it says of itself, its copies, and how it is stored and sent."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

import pytest
from llama_index.core import PromptTemplate, Settings
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.extractors import KeywordExtractor
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import TextNode
from llama_index.llms.openai import OpenAI
from pydantic import ValidationError

from llamaindex_router import RouterLLM
from router_core import Settings as Behaviour
from router_core.errors import ConfigError, NoFeasibleModel
from router_core.policies import StaticPolicy
from router_core.registry import Registry
from router_core.types import Constraints, Model
from router_core.verifiers import RegexVerifier, default_verifiers
from tests.llamaindex.fake import IDK, FakeLLM

ASK = [ChatMessage(role="user", content="hi")]


def knows(_request: Any, reply: Any) -> bool:
    return reply.text != IDK


def router(*models: Any, **options: Any) -> RouterLLM:
    """A weak model and a strong one, unless other ones are given."""
    given = models or (FakeLLM(model="weak"), FakeLLM(model="strong"))
    return RouterLLM(models=list(given), **{"policy": StaticPolicy(), **options})


def served_by(llm: RouterLLM, **options: Any) -> str:
    return llm.chat(ASK, **options).additional_kwargs["router"]["model"]


@pytest.fixture
def loop() -> Iterator[None]:
    """An event loop at hand, which LlamaIndex would else make and not close."""
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        yield
        asyncio.set_event_loop(None)


class TestMetadata:
    @pytest.mark.parametrize(
        ("windows", "window", "says"),
        [
            ([500], None, 500),
            ([500, 2000], None, 500),
            ([3000, 500, 1000], None, 1000),
            ([3000, 3000], None, 3000),
            ([3000, 500, 1000], "min", 500),
            ([3000, 500, 1000], "max", 3000),
            ([3000, 500, 1000], 700, 700),
        ],
    )
    def test_the_window_is_one_that_two_models_can_hold(self, windows: list[int], window: Any, says: int) -> None:
        models = [FakeLLM(model=str(n), window=size) for n, size in enumerate(windows)]
        assert router(*models, window=window).metadata.context_window == says

    @pytest.mark.parametrize("window", [0, -5, "huge", ""])
    def test_a_wrong_window_is_named(self, window: Any) -> None:
        with pytest.raises(ConfigError, match=rf"window: {window!r} is no window; give a number of tokens, 'min' or"):
            router(window=window)

    def test_a_prompt_that_is_packed_to_the_window_finds_a_model_and_another_to_fall_back_to(self) -> None:
        down, big = FakeLLM(model="down", window=900, fails=True), FakeLLM(model="big", window=900)
        llm = router(FakeLLM(model="small", window=300), down, big)
        helper = PromptHelper.from_llm_metadata(llm.metadata)
        (packed,) = helper.truncate(PromptTemplate("{context_str}"), ["word " * 5000], llm=llm)
        assert len(packed.split()) > 600
        assert llm.complete(packed).additional_kwargs["router"]["model"] == "fakellm:big"

    def test_what_fits_no_model_is_refused(self) -> None:
        with pytest.raises(NoFeasibleModel, match="context_window"):
            router(FakeLLM(window=300)).complete("word " * 5000)

    @pytest.mark.parametrize(
        ("windows", "options", "room"),
        [
            ([2048], {}, 256),
            ([2048, 2048], {}, 256),
            ([400, 400], {}, 100),
            ([2048], {"window": 200}, 50),
            ([2048, 2048], {"num_output": 1000}, 1000),
        ],
    )
    def test_the_room_for_an_answer_leaves_room_for_a_prompt(self, windows: list[int], options: Any, room: int) -> None:
        llm = router(*(FakeLLM(model=str(n), window=size) for n, size in enumerate(windows)), **options)
        assert llm.metadata.num_output == room
        PromptHelper.from_llm_metadata(llm.metadata).truncate(PromptTemplate("{context_str}"), ["word " * 100], llm=llm)

    @pytest.mark.parametrize("num_output", [0, -1, 2048, 5000])
    def test_a_wrong_room_is_named(self, num_output: int) -> None:
        with pytest.raises(ConfigError, match=rf"num_output: {num_output} is not between 0 and the window of 2048"):
            router(num_output=num_output)

    def test_it_never_changes(self) -> None:
        """LlamaIndex keeps copies of it: what changes later is half believed."""
        fake = FakeLLM()
        llm = router(fake)
        before = llm.metadata
        fake.window = 7
        llm.callback_manager = CallbackManager([])
        llm.chat(ASK)
        assert llm.metadata is before

    def test_it_is_what_llamaindex_plans_with(self) -> None:
        told = router().metadata
        assert (told.is_chat_model, told.is_function_calling_model, told.model_name) == (True, True, "router")
        assert router().to_payload()["class_name"] == RouterLLM.class_name() == "RouterLLM"


def pickled(llm: RouterLLM) -> RouterLLM:
    return pickle.loads(pickle.dumps(llm))  # noqa: S301 - its own


COPIES: dict[str, Callable[[RouterLLM], RouterLLM]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": RouterLLM.model_copy,
    "model_copy, deep": lambda llm: llm.model_copy(deep=True),
    "pickle": pickled,
}
every_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


class TestCopies:
    @every_copy
    def test_routes_and_verifies_as_the_first(self, copied: Callable[[RouterLLM], RouterLLM]) -> None:
        free = [Model(name=name, id=name, provider="p", endpoint=name) for name in ("one", "two", "three")]
        llm = router(
            FakeLLM(model="a", says=IDK),
            FakeLLM(model="b"),
            FakeLLM(model="c", window=9000),
            registry=Registry(tuple(free), endpoints={}),
            verifiers=[knows],
            constraints=Constraints(deny=frozenset({"two"})),
            settings=Behaviour(stream_mode="commit"),
            window="max",
            num_output=99,
            system_prompt="Be brief.",
        )
        twin = copied(llm)
        assert served_by(llm) == served_by(twin) == "three"
        assert twin.to_dict() == llm.to_dict()
        assert (twin.metadata, twin.system_prompt) == (llm.metadata, "Be brief.")

    @every_copy
    def test_has_a_callback_manager_of_its_own(self, copied: Callable[[RouterLLM], RouterLLM]) -> None:
        llm = router()
        twin = copied(llm)
        counters = [TokenCountingHandler(tokenizer=str.split) for _ in range(2)]
        llm.callback_manager, twin.callback_manager = (CallbackManager([counter]) for counter in counters)
        llm.chat(ASK)
        assert [len(counter.llm_token_counts) for counter in counters] == [1, 0]
        twin.chat(ASK)
        twin.chat(ASK)
        assert [len(counter.llm_token_counts) for counter in counters] == [1, 2]

    @pytest.mark.parametrize(
        ("update", "seen"),
        [
            ({"window": 700}, lambda llm: llm.metadata.context_window == 700),
            ({"models": [FakeLLM(model="other")]}, lambda llm: served_by(llm) == "fakellm:other"),
            ({"verifiers": [lambda *_: False]}, lambda llm: served_by(llm) == "fakellm:strong"),
            ({"constraints": Constraints(deny=frozenset({"fakellm:weak"}))}, lambda llm: "strong" in served_by(llm)),
        ],
        ids=["window", "models", "verifiers", "constraints"],
    )
    def test_an_update_counts(self, update: dict[str, Any], seen: Callable[[RouterLLM], bool]) -> None:
        llm = router()
        assert seen(llm.model_copy(update=update))
        assert not seen(llm)

    def test_an_updated_callback_manager_reaches_the_models(self) -> None:
        counter = TokenCountingHandler(tokenizer=str.split)
        router().model_copy(update={"callback_manager": CallbackManager([counter])}).chat(ASK)
        assert len(counter.llm_token_counts) == 1


class TestPickle:
    def test_what_cannot_be_sent_is_an_error(self) -> None:
        """A router that lost a verifier on the way would be another router."""
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            pickle.dumps(router(verifiers=[lambda *_: True]))

    def test_handlers_stay_here(self) -> None:
        class Locked(TokenCountingHandler):
            def __init__(self) -> None:
                super().__init__(tokenizer=str.split)
                self.lock = Lock()

        llm = router(callback_manager=CallbackManager([Locked()]))
        assert pickled(llm).callback_manager.handlers == []

    def test_an_extractor_takes_its_router_along(self) -> None:
        sent = pickle.loads(pickle.dumps(KeywordExtractor(llm=router())))  # noqa: S301 - its own
        assert isinstance(sent.llm, RouterLLM)
        assert served_by(sent.llm) == "fakellm:weak"

    def test_in_other_processes(self) -> None:
        """An ingestion pipeline pickles its extractors, and reads them where nothing else is loaded yet."""
        llm = router(FakeLLM(model="down", fails=True), FakeLLM(model="strong"))
        pipeline = IngestionPipeline(transformations=[KeywordExtractor(llm=llm, num_workers=1)], disable_cache=True)
        texts = ["Whales sing long songs.", "Bees dance in the hive."]
        nodes = pipeline.run(nodes=[TextNode(text=text) for text in texts], num_workers=2)
        assert sorted(node.text for node in nodes) == sorted(texts)
        assert all(node.metadata["excerpt_keywords"] for node in nodes)


VARIANTS: dict[str, dict[str, Any]] = {
    "one model": {"models": [FakeLLM(model="a")]},
    "another": {"models": [FakeLLM(model="b")]},
    "two": {"models": [FakeLLM(model="a"), FakeLLM(model="b")]},
    "two, the other way round": {"models": [FakeLLM(model="b"), FakeLLM(model="a")]},
    "a policy": {"models": [FakeLLM(model="a")], "policy": StaticPolicy()},
    "no verifier": {"models": [FakeLLM(model="a")], "verifiers": []},
    "a verifier": {"models": [FakeLLM(model="a")], "verifiers": [RegexVerifier("x")]},
    "a verifier set otherwise": {"models": [FakeLLM(model="a")], "verifiers": [RegexVerifier("y")]},
    "a constraint": {"models": [FakeLLM(model="a")], "constraints": Constraints(max_attempts=1)},
    "settings": {"models": [FakeLLM(model="a")], "settings": Behaviour(on_rejected="raise")},
    "a setting of a model": {"models": [OpenAI("gpt-4.1", api_key="x", temperature=0)]},
    "another one": {"models": [OpenAI("gpt-4.1", api_key="x", temperature=1)]},
    "a limit": {"models": [OpenAI("gpt-4.1", api_key="x", temperature=0, max_tokens=9)]},
    "another server": {"models": [OpenAI("gpt-4.1", api_key="x", temperature=0, api_base="http://gpu.example/v1")]},
    "a system prompt": {"models": [FakeLLM(model="a")], "system_prompt": "Be brief."},
}

DUMP = """
import json
from llama_index.core.llms import MockLLM
from llamaindex_router import RouterLLM
from router_core.types import Constraints

print(RouterLLM(models=[MockLLM()], constraints=Constraints(require_tags=frozenset("abcdefgh"))).to_json())
"""


class TestDictionary:
    """It is a part of the key of LlamaIndex's ingestion cache."""

    def test_tells_apart_what_answers_differently(self) -> None:
        told = [json.dumps(RouterLLM(**options).to_dict()) for options in VARIANTS.values()]
        assert len(set(told)) == len(VARIANTS)
        assert [json.dumps(RouterLLM(**options).to_dict()) for options in VARIANTS.values()] == told

    def test_is_the_same_with_another_key(self) -> None:
        first, second = (OpenAI("gpt-4.1", api_key=key, default_headers={"x-id": key}) for key in ("one", "two"))
        assert router(first).to_dict() == router(second).to_dict()

    def test_is_the_same_in_every_process(self) -> None:
        told = {
            subprocess.run(
                [sys.executable, "-c", DUMP], check=True, capture_output=True, env={"PYTHONHASHSEED": seed}
            ).stdout
            for seed in ("1", "2")
        }
        assert len(told) == 1

    def test_names_no_secret(self) -> None:
        keys = ["sk-of-the-model", "sk-of-its-gateway"]
        address = f"https://user:{keys[1]}@gpu.example/v1"
        model = OpenAI("gpt-4.1", api_key=keys[0], default_headers={"Authorization": keys[1]}, api_base=address)
        llm = router(model, FakeLLM())
        for text in (llm.to_json(), repr(llm), str(llm), str(llm.to_payload()), str(llm.model_dump())):
            assert not any(key in text for key in keys)

    def test_no_router_can_be_made_of_it(self) -> None:
        with pytest.raises(ConfigError, match=r"from_dict\) holds none.*make the router anew"):
            RouterLLM.from_dict(router().to_dict())

    @pytest.mark.usefixtures("loop")
    def test_a_pipeline_knows_a_router_again_and_no_other(self) -> None:
        cache = IngestionCache()
        fakes = [FakeLLM(model=name) for name in "aab"]
        for fake in fakes:
            extractor = KeywordExtractor(llm=router(fake), num_workers=1)
            IngestionPipeline(transformations=[extractor], cache=cache).run(nodes=[TextNode(text="Bees.", id_="1")])
        assert [len(fake.log) for fake in fakes] == [1, 0, 1]


class TestSystemPrompt:
    ASK = PromptTemplate("Why is the {thing} blue?")

    def systems(self, fake: FakeLLM) -> list[str]:
        return [message["text"] for message in fake.log[-1]["messages"] if message["role"] == "system"]

    def test_of_all_models_is_the_routers(self) -> None:
        fakes = [FakeLLM(model=name, system_prompt="Be brief.") for name in "ab"]
        llm = router(*fakes)
        assert llm.system_prompt == "Be brief."
        llm.predict(self.ASK, thing="sky")
        assert self.systems(fakes[0]) == ["Be brief."]

    def test_of_the_router_is_the_only_one(self) -> None:
        fake = FakeLLM(system_prompt="Be brief.")
        router(fake, system_prompt="Be kind.").predict(self.ASK, thing="sky")
        assert self.systems(fake) == ["Be kind."]
        assert fake.system_prompt == "Be brief."

    @pytest.mark.parametrize("other", ["Be kind.", None])
    def test_a_conflict_is_an_error(self, other: str | None) -> None:
        with pytest.raises(ConfigError, match=r"system_prompt: the models have different ones.*system_prompt=\.\.\."):
            router(FakeLLM(model="a", system_prompt="Be brief."), FakeLLM(model="b", system_prompt=other))

    def test_chat_adds_none_as_no_llm_does(self) -> None:
        fake = FakeLLM(system_prompt="Be brief.")
        router(fake).chat(ASK)
        assert self.systems(fake) == []


class TestOptions:
    def test_one_that_is_mistyped_is_named(self) -> None:
        with pytest.raises(ValidationError, match="verifers"):
            RouterLLM(models=[FakeLLM()], verifers=[knows])

    @pytest.mark.parametrize("name", ["models", "verifiers", "policy", "constraints", "settings", "window"])
    def test_none_can_be_set_later_to_no_effect(self, name: str) -> None:
        llm = router()
        with pytest.raises(ValidationError, match=rf"{name}\n *Field is frozen"):
            setattr(llm, name, [])

    def test_what_llamaindex_sets_on_any_llm_can_be_set(self) -> None:
        fake = FakeLLM()
        llm = router(fake)
        llm.system_prompt = "Be brief."
        llm.predict(TestSystemPrompt.ASK, thing="sky")
        assert fake.log[0]["messages"][0] == {"role": "system", "text": "Be brief."}

    def test_a_wrong_constraint_is_named(self) -> None:
        with pytest.raises(ConfigError, match="'nobody' is no model of this router"):
            router(constraints=Constraints(deny=frozenset({"nobody"})))

    def test_settings_llm_may_be_a_router(self) -> None:
        counter = TokenCountingHandler(tokenizer=str.split)
        Settings.llm = router()
        Settings.callback_manager = CallbackManager([counter])
        Settings.llm.predict(TestSystemPrompt.ASK, thing="sky")
        assert len(counter.llm_token_counts) == 1

    def test_default_verifiers_are_on(self) -> None:
        assert [each.split()[0] for each in router().identity["verifiers"]] == [
            each.name for each in default_verifiers()
        ]
