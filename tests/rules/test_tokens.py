"""Token bounds: sound without a tokenizer, exact where an encoding lies on the machine, never from the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core import tokens
from router_core.types import RequestView, Turn


@pytest.fixture(autouse=True)
def fresh_cache() -> Any:
    cached = tokens.local_encoding
    cached.cache_clear()
    yield
    cached.cache_clear()


def view(text: str) -> RequestView:
    return RequestView(turns=(Turn("user", text),), input_bytes=len(text.encode()) + 16)


class TwoCharacters:
    """An encoding that makes a token of two characters."""

    def encode_ordinary(self, text: str) -> list[int]:
        return [0] * -(-len(text) // 2)


def test_the_byte_bound_is_enough_when_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        raise AssertionError("counted although the bound decides")

    monkeypatch.setattr(tokens, "local_encoding", never)
    assert tokens.input_bound(view("abc"), room=100, provider="openai") == tokens.Estimate(19, "bytes")


def test_tiktoken_counts_where_the_bound_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "local_encoding", TwoCharacters)
    request = view("a" * 1_000)
    assert tokens.input_bound(request, room=600, provider="openai").tokens == 516
    foreign = tokens.input_bound(request, room=600, provider="ollama")
    assert (foreign.tokens, foreign.method) == (645, "tiktoken")


def test_the_application_own_count_decides_where_it_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "local_encoding", TwoCharacters)
    request = replace(view("a" * 1_000), input_tokens=250)
    assert tokens.input_bound(request, room=600, provider="ollama") == tokens.Estimate(
        250, "the application's tokenizer"
    )


def test_a_long_text_is_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Counting(TwoCharacters):
        def encode_ordinary(self, text: str) -> list[int]:
            seen.append(len(text))
            return super().encode_ordinary(text)

    monkeypatch.setattr(tokens, "local_encoding", Counting)
    tokens.input_bound(view("a" * 120_000), room=1, provider="openai")
    assert seen == [50_000, 50_000, 20_000]


def test_offline_without_an_encoding_the_bound_decides_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    estimate = tokens.input_bound(view("a" * 1_000), room=600, provider="openai")
    assert (estimate.tokens, estimate.method) == (1_016, "bytes")
    assert "TIKTOKEN_CACHE_DIR" in estimate.note


def test_a_damaged_encoding_is_not_handed_to_tiktoken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """tiktoken would delete the file and fetch it anew."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tokens, "_load", lambda name: pytest.fail(f"loaded {name}"))
    damaged = tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790"
    damaged.write_bytes(b"not an encoding")
    assert tokens.local_encoding() is None
    assert damaged.exists()


@given(st.text(max_size=400).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)))
def test_bytes_bound_the_count_of_a_byte_level_tokenizer(text: str) -> None:
    """A byte-level tokenizer merges bytes and never splits one, so the worst case is a token a byte."""
    assert tokens.input_bound(view(text), room=10**9, provider="x").tokens >= len(text.encode())
    assert tokens.expected_tokens(text) <= len(text.encode())
