"""A provider on loopback for every test of the LangChain face, and one event loop for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from tests.langchain.provider import Provider
    from tests.servers.provider import Exchange

HERE = Path(__file__).parent
NEEDED = (
    "langchain",
    "langchain_anthropic",
    "langchain_core",
    "langchain_ollama",
    "langchain_openai",
    "langchain_tests",
    "langgraph",
)


class SkippedModule(pytest.Module):
    """A test module that cannot even be imported."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip(f"not installed: {', '.join(missing())}; run: uv sync", allow_module_level=True)


def missing() -> list[str]:
    return [package for package in NEEDED if find_spec(package) is None]


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Without LangChain's packages these tests are skipped before they import them."""
    return SkippedModule.from_parent(parent, path=module_path) if missing() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Async tests share one event loop: integrations keep their HTTP clients, which die with the loop they began on."""
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def provider() -> AsyncIterator[Provider]:
    """Models named for how they behave, "good-a" or "unsure-b", over three wire formats."""
    from tests.langchain.provider import Provider

    server = Provider()
    yield server
    await server.close()


@pytest.fixture
def journal(provider: Provider) -> list[Exchange]:
    """What the provider was asked since the test began, oldest first."""
    provider.journal.clear()
    return provider.journal


@pytest.fixture
def vcr() -> SimpleNamespace:
    """In place of a tape that has answers: the provider, which is asked itself."""
    return SimpleNamespace(responses=["the provider is there"])


@pytest.fixture
def benchmark(benchmark: Any) -> Any:
    """What a standard test wants to time is run once: times are measured by ``benchmarks/``."""
    benchmark.disabled = True
    return benchmark
