"""Task types by words and shape, in English and Spanish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.demo.script import load_prompts
from router_core.learning.tasks import HEAD, TAIL, Task, task_of, task_of_text
from router_core.types import OutputSchema, RequestView, Turn
from tests.learning.task_samples import ENGLISH, SPANISH

DEMO = {"general question": "question"}
"""The demo's word for a task where it is another."""


def request(*turns: tuple[str, str], schema: bool = False) -> RequestView:
    return RequestView(
        turns=tuple(Turn(role, text) for role, text in turns),
        input_bytes=1,
        output_schema=OutputSchema("out", {}) if schema else None,
    )


def test_the_samples_are_balanced() -> None:
    for samples in (ENGLISH, SPANISH):
        assert {task: len(texts) for task, texts in samples.items()} == dict.fromkeys(map(str, Task), 6)


@pytest.mark.parametrize("samples", [ENGLISH, SPANISH], ids=["english", "spanish"])
def test_requests_that_were_written_for_it(samples: Mapping[str, tuple[str, ...]]) -> None:
    wrong = {
        text: task_of_text(text) for task, texts in samples.items() for text in texts if task_of_text(text) != task
    }
    assert not wrong


def test_prompts_of_the_demo_which_say_less_what_they_ask_for() -> None:
    found: Counter[bool] = Counter()
    for prompt in load_prompts():
        view = request(*prompt.turns, schema="schema" in prompt.options)
        found[task_of(view) == DEMO.get(prompt.task, prompt.task)] += 1
    assert found[True] / found.total() >= 0.88


def test_what_the_application_tells_the_model_counts() -> None:
    told = "You are a translator. Translate what the user writes into Spanish."
    assert task_of(request(("system", told), ("user", "The lift is out of order."))) is Task.TRANSLATION


def test_a_follow_up_goes_on_with_the_turn_before() -> None:
    turns = (("user", "Summarise this report: sales fell."), ("assistant", "Sales fell."), ("user", "And in French?"))
    assert task_of(request(*turns)) is Task.SUMMARY
    turns = (*turns[:-1], ("user", "Write a Python function that adds two numbers, please."))
    assert task_of(request(*turns)) is Task.CODE


def test_a_given_shape_and_no_other_sign_is_an_extraction() -> None:
    text = "Fire drill, 14 June 2025, 10:30, in the yard behind building two."
    assert task_of(request(("user", text))) is Task.OTHER
    assert task_of(request(("user", text), schema=True)) is Task.EXTRACTION
    assert task_of(request(("user", "Translate this."), schema=True)) is Task.TRANSLATION


def test_only_the_ends_of_a_long_text_are_read() -> None:
    filler = "lorem ipsum dolor " * 1000
    assert task_of_text(f"{filler} Translate this into German. {filler}") is Task.OTHER
    assert task_of_text(f"{filler} Translate this into German.") is Task.TRANSLATION
    assert len(filler) > HEAD + TAIL


@pytest.mark.parametrize("turns", [(), (("assistant", "Hello"),), (("user", ""),), (("user", "\ud800\0 ¿"),)])
def test_there_is_always_an_answer(turns: tuple[tuple[str, str], ...]) -> None:
    assert task_of(request(*turns)) in Task


@given(st.text())
def test_any_text_has_a_task(text: str) -> None:
    assert task_of_text(text) in Task
    assert task_of_text(text, text) in Task
