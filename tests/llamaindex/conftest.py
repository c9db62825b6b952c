"""Where LlamaIndex is there, each test starts with its settings and its event handlers as they were."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from tests.llamaindex.provider import Provider
    from tests.servers.provider import Exchange

NEEDED = (
    "llama_index.core",
    "llama_index.llms.anthropic",
    "llama_index.llms.ollama",
    "llama_index.llms.openai",
    "openinference.instrumentation.llama_index",
)


class SkippedModule(pytest.Module):
    """A test module that cannot even be imported."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip(f"not installed: {', '.join(missing())}; run: uv sync", allow_module_level=True)


def found(package: str) -> bool:
    """Whether it can be imported. The parts of a dotted name are looked for one after the other."""
    parts = package.split(".")
    return all(find_spec(".".join(parts[: n + 1])) is not None for n in range(len(parts)))


def missing() -> list[str]:
    return [package for package in NEEDED if not found(package)]


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Without LlamaIndex's packages these tests are skipped before they import them."""
    return SkippedModule.from_parent(parent, path=module_path) if missing() else None


@pytest.fixture(autouse=True)
def pristine() -> Iterator[None]:
    """LlamaIndex keeps its models, its managers and its handlers in one place for the whole process."""
    import llama_index.core
    from llama_index.core import Settings
    from llama_index.core.instrumentation import root_dispatcher

    settings = dict(vars(Settings))
    tokenizer, handler = llama_index.core.global_tokenizer, llama_index.core.global_handler
    events, spans = list(root_dispatcher.event_handlers), list(root_dispatcher.span_handlers)
    yield
    vars(Settings).clear()
    vars(Settings).update(settings)
    llama_index.core.global_tokenizer, llama_index.core.global_handler = tokenizer, handler
    root_dispatcher.event_handlers[:], root_dispatcher.span_handlers[:] = events, spans


@pytest.fixture(autouse=True)
def databases(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Memories keep their messages in SQLite, and nobody closes it."""
    from llama_index.core.storage.chat_store import sql

    opened: list[Any] = []
    create = sql.create_async_engine

    def recorded(*args: Any, **kwargs: Any) -> Any:
        opened.append(create(*args, **kwargs))
        return opened[-1]

    async def close() -> None:
        for engine in opened:
            await engine.dispose()

    monkeypatch.setattr(sql, "create_async_engine", recorded)
    yield
    if opened:
        asyncio.run(close())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Async tests of the provider share one event loop: integrations keep their HTTP clients, which die with theirs."""
    for item in items:
        ours = item.path.parent == Path(__file__).parent
        if ours and "provider" in getattr(item, "fixturenames", ()) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def provider() -> AsyncIterator[Provider]:
    """Models named for how they behave, "good-a" or "unsure-b", over three wire formats."""
    from tests.llamaindex.provider import Provider

    server = Provider()
    yield server
    await server.close()


@pytest.fixture
def journal(provider: Provider) -> list[Exchange]:
    """What the provider was asked since the test began, oldest first."""
    provider.journal.clear()
    return provider.journal
