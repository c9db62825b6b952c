"""Examples out of files: both forms of a row, and an error that leads to the mistake."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.errors import ConfigError
from router_core.learning.examples import Example, Outcome, read_examples
from router_core.types import Turn


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "examples.jsonl"


def write(file: Path, *rows: Any) -> Path:
    file.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def test_a_row_of_any_number_of_models(file: Path) -> None:
    large = {
        "quality": 1,
        "cost_usd": "0.002",
        "answer": "4",
        "finish_reason": "stop",
        "input_tokens": 9,
        "output_tokens": 1,
    }
    row = {
        "prompt": "2+2?",
        "outcomes": {"small": 0.5, "medium": True, "large": large},
        "call_site": "sums",
        "group": 7,
    }
    assert read_examples(write(file, row)) == [
        Example(
            text="2+2?",
            outcomes={
                "small": Outcome(quality=0.5),
                "medium": Outcome(quality=1.0),
                "large": Outcome(
                    quality=1.0, cost_usd=0.002, answer="4", finish_reason="stop", input_tokens=9, output_tokens=1
                ),
            },
            call_site="sums",
            group="7",
        )
    ]


def test_the_short_form_is_of_two_models(file: Path) -> None:
    (example,) = read_examples(write(file, {"prompt": "2+2?", "weak": 0, "strong": 1, "id": "more is left alone"}))
    assert {name: outcome.quality for name, outcome in example.outcomes.items()} == {"weak": 0, "strong": 1}


def test_a_conversation_is_seen_as_the_router_sees_it(file: Path) -> None:
    parts = [{"type": "text", "text": "And"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "3+3?"}]
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": parts},
    ]
    (example,) = read_examples(write(file, {"messages": messages, "weak": 0, "strong": 1, "call_site": "sums"}))
    assert example.text == "And\n3+3?"
    assert example.request.call_site == "sums"
    assert example.request.turns == (
        Turn("system", "Be brief."),
        Turn("user", "2+2?"),
        Turn("assistant", ""),
        Turn("user", "And\n3+3?"),
    )


def test_compressed_files_blank_lines_and_a_mark_at_the_beginning_are_read(file: Path) -> None:
    text = '\ufeff{"prompt": "ñ?", "weak": 0, "strong": 1}\n\n  \n{"prompt": "b", "weak": 1, "strong": 1}'
    file.write_bytes(gzip.compress(text.encode()))
    assert [example.text for example in read_examples(file)] == ["ñ?", "b"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("[1]", "[1] is no JSON object; give one JSON object on each line"),
        ('{"prompt": "a"', "is no JSON"),
        ({"weak": 0, "strong": 1}, 'prompt is missing; a row is {"prompt": "...", "outcomes"'),
        ({"promt": "a", "weak": 0, "strong": 1}, "prompt is missing: 'promt' (did you mean 'prompt'?)"),
        (
            {"prompt": ["a"], "weak": 0, "strong": 1},
            "prompt: ['a'] is no text; give one (for a conversation: messages)",
        ),
        ({"prompt": " ", "weak": 0, "strong": 1}, "prompt: ' ' asks nothing"),
        ({"prompt": "a", "messages": [], "weak": 0, "strong": 1}, "messages: [] stands beside a prompt"),
        ({"messages": [{"role": "robot", "content": "a"}], "weak": 0, "strong": 1}, "is no conversation; give [{"),
        ({"messages": [{"role": "system", "content": "a"}], "weak": 0, "strong": 1}, "asks nothing"),
        ({"prompt": "a"}, "outcomes is missing"),
        ({"prompt": "a", "outcome": {"m": 1}}, "outcomes is missing: 'outcome' (did you mean 'outcomes'?)"),
        ({"prompt": "a", "weak": 1}, "strong is missing; give the quality (0..1) of both models"),
        ({"prompt": "a", "outcomes": {}}, "outcomes: {} names no model"),
        ({"prompt": "a", "outcomes": {"m": "1"}}, "outcomes.m: '1' is no quality; give a number from 0"),
        ({"prompt": "a", "outcomes": {"m": 1.5}}, "outcomes.m: 1.5 is no quality"),
        ('{"prompt": "a", "outcomes": {"m": NaN}}', "outcomes.m: nan is no quality"),
        ({"prompt": "a", "outcomes": {"m": {"cost_usd": 1}}}, "outcomes.m.quality: None is no quality"),
        ({"prompt": "a", "outcomes": {"m": {"quality": 1, "cost": 1}}}, "cost_usd"),
        ({"prompt": "a", "outcomes": {"m": {"quality": 1, "cost_usd": -1}}}, "outcomes.m.cost_usd: -1 is no amount"),
        ({"prompt": "a", "outcomes": {"m": {"quality": 1, "answer": ["4"]}}}, "outcomes.m.answer: ['4'] is no text"),
        ({"prompt": "a", "outcomes": {"m": {"quality": 1, "input_tokens": 1.5}}}, "input_tokens: 1.5 is no number of"),
        ({"prompt": "a", "weak": 0, "strong": 1, "call_site": True}, "call_site: True is no text"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_line(file: Path, row: Any, told: str) -> None:
    write(file, {"prompt": "a", "weak": 0, "strong": 1}, row)
    with pytest.raises(ConfigError) as raised:
        read_examples(file)
    assert str(raised.value).startswith(f"{file}:2: ")
    assert told in str(raised.value)


def test_files_that_are_none_are_refused(file: Path, tmp_path: Path) -> None:
    for made, told in (
        (lambda: None, "cannot be read: No such file or directory; give a file of JSON lines"),
        (lambda: file.write_text("\n"), "there is no example in it"),
        (lambda: file.write_bytes(b'{"prompt": "\xff"}'), ":1: is not text in UTF-8"),
        (lambda: file.write_bytes(gzip.compress(b"{}" * 1000)[:-12]), "is not a whole gzip file"),
    ):
        made()
        with pytest.raises(ConfigError, match=str(file)) as raised:
            read_examples(file)
        assert told in str(raised.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_examples(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["prompt", "messages", "outcomes", "weak", "strong", "call_site", "group"])


@given(st.dictionaries(FIELDS, JSON, max_size=5))
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, row: dict[str, Any]) -> None:
    file = tmp_path_factory.getbasetemp() / "any.jsonl"
    file.write_text(json.dumps(row))
    try:
        (example,) = read_examples(file)
    except ConfigError as error:
        assert str(file) in str(error)  # noqa: PT017 - it may also be read
    else:
        assert example.text.strip()
        assert all(0 <= outcome.quality <= 1 for outcome in example.outcomes.values())
