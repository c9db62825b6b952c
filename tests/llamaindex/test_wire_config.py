"""Routers of a registry file and of strings: through which integration each model is reached."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI

from llamaindex_router import RouterLLM, get_router_handler
from router_core.errors import ConfigError
from tests.llamaindex.provider import KEY, Provider
from tests.servers.provider import WINDOW, WRONG_KEY, Exchange

FILE = """\
endpoints:
  ollama:
    base_url: {url}/v1
models:
  - name: local
    endpoint: ollama
    id: unsure-b
  - name: openai:{openai}
    quality: 0.8
  - name: anthropic:{anthropic}
    price: {{input: 3, output: 15}}
policy: static
constraints:
  max_attempts: 2
"""


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, provider: Provider) -> None:
    """The keys are there, and the integrations are told where their providers are, as their users do."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_BASE", f"{provider.url}/v1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.url)


@pytest.fixture
def closing() -> Iterator[list[RouterLLM]]:
    """Routers whose models have clients of their own."""
    routers: list[RouterLLM] = []
    yield routers
    for router in routers:
        for inner in router._inners.values():
            client = getattr(inner.llm, "_client", None)
            if client is not None:
                client.close()


def inners(router: RouterLLM) -> dict[str, Any]:
    return {name: inner.llm for name, inner in router._inners.items()}


def written(provider: Provider, path: Path, text: str = FILE) -> Path:
    names = {wire: provider.name(f"{wire}:good-a").partition(":")[2] for wire in ("openai", "anthropic")}
    path.write_text(text.format(url=provider.url, **names))
    return path


@pytest.mark.usefixtures("keys")
def test_a_file_makes_the_integrations(
    provider: Provider, journal: list[Exchange], tmp_path: Path, closing: list[RouterLLM]
) -> None:
    router = RouterLLM.from_config(written(provider, tmp_path / "router.yaml"))
    closing.append(router)

    models = inners(router)
    assert [type(llm) for llm in models.values()] == [Ollama, OpenAI, Anthropic]
    assert [llm.max_retries for llm in list(models.values())[1:]] == [0, 0]
    # The smaller of the two largest windows; Ollama's was asked for.
    assert router.metadata.context_window > WINDOW

    with get_router_handler() as routed:
        assert "good answer" in router.complete("What is the capital of France?").text
        for name in list(models)[1:]:
            assert "good answer" in router.complete("Hello", force_model=name).text

    assert [exchange.wire for exchange in journal] == ["ollama", "openai", "openai", "anthropic"]
    assert routed.by_model["local"].escalations == {"abstention": 1}
    assert routed.by_model["local"].cost_nano == 0
    last = journal[-1].used
    priced = routed.by_model[list(models)[-1]].cost_usd
    # A cached token costs as much as another unless the file says less.
    assert priced * 1_000_000 == 3 * last.input + 15 * last.output


@pytest.mark.usefixtures("keys")
def test_strings_make_the_integrations(provider: Provider, journal: list[Exchange], closing: list[RouterLLM]) -> None:
    names = [provider.name("openai:good-a"), provider.name("anthropic:good-a")]
    router = RouterLLM(models=[*names, "ollama:llama3.2"])
    closing.append(router)

    assert list(inners(router)) == [*names, "ollama:llama3.2"]
    assert [type(llm) for llm in inners(router).values()] == [OpenAI, Anthropic, Ollama]
    assert inners(router)["ollama:llama3.2"].base_url == "http://127.0.0.1:11434"
    for name in names:
        assert "good answer" in router.complete("Hello", force_model=name).text
    assert [exchange.wire for exchange in journal] == ["openai", "anthropic"]


@pytest.mark.usefixtures("keys")
def test_one_key_of_a_file_is_tried_once(
    provider: Provider,
    journal: list[Exchange],
    tmp_path: Path,
    closing: list[RouterLLM],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", WRONG_KEY)
    text = "models: [{{name: openai:{openai}}}, {{name: openai:gpt-4.1}}, {{name: anthropic:{anthropic}}}]\n"
    router = RouterLLM.from_config(written(provider, tmp_path / "router.yaml", text))
    closing.append(router)

    assert "good answer" in router.complete("Hello").text
    assert [(exchange.wire, exchange.status) for exchange in journal] == [("openai", 401), ("anthropic", 200)]


@pytest.mark.parametrize(
    ("name", "variable"), [("openai:gpt-4.1", "OPENAI_API_KEY"), ("anthropic:claude-haiku-4-5", "ANTHROPIC_API_KEY")]
)
def test_a_missing_key_is_named(provider: Provider, tmp_path: Path, name: str, variable: str) -> None:
    path = tmp_path / "router.yaml"
    path.write_text(f"models: [{{name: '{name}'}}]\n")

    for make in (lambda: RouterLLM(models=[name]), lambda: RouterLLM.from_config(path)):
        with pytest.raises(ConfigError, match=f"{name}.*{variable}") as missing:
            make()
        assert "set it" in str(missing.value)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("openai:gpt-4.1", "llama_index.llms.openai", "llama-index-llms-openai"),
        ("anthropic:claude-haiku-4-5", "llama_index.llms.anthropic", "llama-index-llms-anthropic"),
        ("ollama:llama3.2", "llama_index.llms.ollama", "llama-index-llms-ollama"),
        ("vllm:qwen3", "llama_index.llms.openai_like", "llama-index-llms-openai-like"),
    ],
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, name: str, module: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ConfigError, match=f"{name}.* needs the package {package}; run: pip install {package}$"):
        RouterLLM(models=[name])


def test_other_servers_are_reached_by_the_protocol_of_openai(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []

    def openai_like(**options: Any) -> Any:
        made.append(options)
        return provider.model("openai:good-a")

    monkeypatch.setitem(sys.modules, "llama_index.llms.openai_like", SimpleNamespace(OpenAILike=openai_like))
    text = "endpoints: {{mine: {{base_url: '{url}/v1', timeout_s: 9}}}}\nmodels: [{{name: mine:qwen3}}]\n"

    RouterLLM.from_config(written(provider, tmp_path / "router.yaml", text))

    (options,) = made
    assert (options["model"], options["api_base"], options["timeout"]) == ("qwen3", f"{provider.url}/v1", 9)
    # Left to itself it takes a model for one of plain texts that knows no tools.
    assert options["is_chat_model"]
    assert options["is_function_calling_model"]
    assert options["max_retries"] == 0


def test_the_window_of_ollama_is_asked_for_once_and_not_written_into_the_users_model(provider: Provider) -> None:
    model = provider.model("ollama:good-a", context_window=-1)

    router = RouterLLM(models=[model])

    assert router.metadata.context_window == WINDOW
    assert model.context_window == -1
    assert inners(router)["ollama:good-a"].context_window == WINDOW
