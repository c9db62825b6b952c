"""What holds for every test: no key of the developer's, no proxy, and properties searched without a clock."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# Timings are never asserted. In CI the same examples are tried each time, so that a failure is the change's own.
settings.register_profile("house", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees the keys and servers that it sets itself."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_PROXY", "_proxy")) or name.startswith(("OPENAI_", "OLLAMA_")):
            monkeypatch.delenv(name)
