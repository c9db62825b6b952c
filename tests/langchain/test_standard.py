"""LangChain's own suites for chat models, over routers of every kind, each on servers that speak the wire formats.

They run first over a plain ``ChatOpenAI``: what fails there is the fault of the servers, not of the router.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_router import ChatRouter
from tests.langchain.provider import Provider
from tests.servers.provider import Exchange

TWO_RUNS = "the suite wants one run of a chat model in all; the call that failed is a run too, and traces show it"


class Local:
    """Everything that needs no internet is on."""

    provider: Provider

    @pytest.fixture(autouse=True)
    def _provider(self, provider: Provider) -> None:
        self.provider = provider

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def enable_vcr_tests(self) -> bool:
        return True


class Plain(Local):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return self.provider.params("openai:good-a") | {"stream_usage": True}

    @property
    def model_override_value(self) -> str:
        return "good-b"


class Routed(Local):
    """A router. ``names`` are its models, weakest first; the last one answers."""

    names: ClassVar[tuple[str, ...]]

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"models": self.provider.models(*self.names)}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"OPENAI_API_KEY": "none"}, {"models": ["openai:gpt-4.1-nano", "openai:gpt-4.1"]}, {}

    @property
    def model_override_value(self) -> str:
        return self.names[-1].partition(":")[2]


class OneModel(Routed):
    names = ("openai:good-a",)


class DraftAccepted(Routed):
    names = ("openai:good-a", "openai:good-b")


class DraftRejected(Routed):
    """Structured answers apart: the suite demands that they take one run of a chat model."""

    names = ("openai:weak-a", "openai:good-b")


class Mixed(Routed):
    """As above."""

    names = ("ollama:weak-a", "openai:weak-b", "anthropic:good-c")


class FirstDown(Routed):
    names = ("openai:down-a", "openai:good-b")


@pytest.mark.parametrize("kind", [OneModel, DraftAccepted, DraftRejected, Mixed, FirstDown])
def test_each_kind_is_what_it_is_called(kind: type[Routed], provider: Provider, journal: list[Exchange]) -> None:
    answer = ChatRouter(models=provider.models(*kind.names)).invoke("Hello")

    asked = kind.names[:1] if kind is DraftAccepted else kind.names
    assert [f"{exchange.wire}:{exchange.model}" for exchange in journal] == list(asked)
    assert "a good answer" in answer.text


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings", "ignore:Received a Pydantic BaseModel V1")
class TestPlain(Plain, ChatModelIntegrationTests): ...


class TestOneModelUnit(OneModel, ChatModelUnitTests): ...


class TestOneModel(OneModel, ChatModelIntegrationTests): ...


class TestDraftAcceptedUnit(DraftAccepted, ChatModelUnitTests): ...


class TestDraftAccepted(DraftAccepted, ChatModelIntegrationTests): ...


class TestDraftRejectedUnit(DraftRejected, ChatModelUnitTests): ...


class TestDraftRejected(DraftRejected, ChatModelIntegrationTests): ...


class TestMixedUnit(Mixed, ChatModelUnitTests): ...


class TestMixed(Mixed, ChatModelIntegrationTests): ...


class TestFirstDownUnit(FirstDown, ChatModelUnitTests): ...


class TestFirstDown(FirstDown, ChatModelIntegrationTests):
    @pytest.mark.xfail(raises=AssertionError, reason=TWO_RUNS)
    @pytest.mark.parametrize("schema_type", ["pydantic", "typeddict", "json_schema"])
    def test_structured_output(self, model: BaseChatModel, schema_type: Any) -> None:
        super().test_structured_output(model, schema_type)

    @pytest.mark.xfail(raises=AssertionError, reason=TWO_RUNS)
    @pytest.mark.parametrize("schema_type", ["pydantic", "typeddict", "json_schema"])
    async def test_structured_output_async(self, model: BaseChatModel, schema_type: Any) -> None:
        await super().test_structured_output_async(model, schema_type)
