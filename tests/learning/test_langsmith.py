"""Examples out of LangSmith's runs, in the forms that its API gives them in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router_core.errors import ConfigError
from router_core.learning.examples import Example, Found, Outcome
from router_core.learning.langsmith import read_langsmith
from router_core.types import Turn


def serialised(kind: str, text: str) -> dict[str, Any]:
    """A message as LangChain serialises it."""
    path = ["langchain", "schema", "messages", f"{kind.capitalize()}Message"]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": {"content": text, "type": kind.lower()}}


def run(name: str, **fields: Any) -> dict[str, Any]:
    asked = {"messages": [[serialised("System", "Be brief."), serialised("Human", "2+2?")]]}
    answered = {"generations": [[{"text": "4", "generation_info": {"finish_reason": "stop"}}]]}
    base = {"id": name, "trace_id": name, "run_type": "llm", "inputs": asked, "outputs": answered}
    return {**base, "extra": {"metadata": {"ls_model_name": "small"}}, **fields}


def said(score: object, key: str = "right") -> dict[str, Any]:
    return {"feedback_stats": {key: {"n": 1, "avg": score, "values": {}}}}


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def reader(*rows: dict[str, Any], feedback: str | None = None) -> Found:
        file = tmp_path / "runs.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)))
        return read_langsmith(file, feedback)

    return reader


def test_a_run_of_a_chat_model(read: Any) -> None:
    metadata = {"ls_model_name": "small", "langgraph_node": "plan", "thread_id": "t1"}
    figures = {"total_cost": "0.0012", "prompt_tokens": 12, "completion_tokens": 1}
    found = read(run("a", extra={"metadata": metadata}, **figures, **said(0.5)))
    outcome = Outcome(quality=0.5, cost_usd=0.0012, answer="4", finish_reason="stop", input_tokens=12, output_tokens=1)
    turns = (Turn("system", "Be brief."), Turn("user", "2+2?"))
    assert found.examples == [
        Example(text="2+2?", outcomes={"small": outcome}, call_site="plan", group="t1", turns=turns)
    ]
    assert found.told == ""


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "2+2?"}]}]},
            {"choices": [{"message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}]},
        ),
        ({"prompts": ["2+2?"]}, {"generations": [[{"text": "4"}]]}),
        ({"messages": [["human", "2+2?"]]}, {"message": {"role": "assistant", "content": "4"}}),
        (
            {"messages": [{"type": "human", "data": {"content": "2+2?"}}]},
            {"messages": [{"type": "ai", "content": "4"}]},
        ),
        ({"question": "2+2?", "temperature": 0}, {"output": "4"}),
        (
            {"messages": [[serialised("Human", "2+2?")]]},
            {"generations": [[{"text": "", "message": serialised("AI", "4")}]]},
        ),
    ],
)
def test_the_forms_of_prompts_and_answers(read: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    (example,) = read(run("a", inputs=inputs, outputs=outputs, **said(1))).examples
    assert example.text == "2+2?"
    assert example.outcomes["small"].answer == "4"


def test_models_on_one_prompt_make_one_example(read: Any) -> None:
    large = {"inputs": {**run("b")["inputs"], "model": "large"}, "extra": {}}
    found = read(run("a", **said(0)), run("b", **large, **said(1)), run("c", **said(1)))
    qualities = [{name: of.quality for name, of in example.outcomes.items()} for example in found.examples]
    assert qualities == [{"small": 0, "large": 1}, {"small": 1}]


def test_feedback_on_a_trace_is_about_its_only_model(read: Any) -> None:
    chain = {"run_type": "chain", "inputs": {}, "extra": {}, **said(0)}
    alone = (run("a", trace_id="t"), run("root", trace_id="t", **chain))
    (example,) = read(*alone).examples
    assert example.outcomes["small"].quality == 0
    with pytest.raises(ConfigError, match=r"no run can be learned from \(2 without feedback 'right'\)"):
        read(*alone, run("b", trace_id="t"))


def test_listed_feedback_is_averaged_where_there_are_no_statistics(read: Any) -> None:
    (example,) = read(run("a", feedback=[{"key": "right", "score": True}, {"key": "right", "score": 0}])).examples
    assert example.outcomes["small"].quality == 0.5


def test_of_several_kinds_of_feedback_one_is_chosen(read: Any) -> None:
    rows = (run("a", **said(1)), run("b", **said(0, "polite")))
    with pytest.raises(ConfigError, match="several kinds: polite, right; say which is the quality"):
        read(*rows)
    found = read(*rows, feedback="polite")
    assert [example.outcomes["small"].quality for example in found.examples] == [0]
    assert found.told == "1 without feedback 'polite'"


def test_what_cannot_be_learned_from_is_counted(read: Any) -> None:
    found = read(
        run("a", **said(1)),
        run("b", inputs={}, **said(1)),
        run("c", extra={}, **said(1)),
        run("d", run_type="tool", **said(1)),
    )
    assert found.told == "1 without a prompt, 1 without the name of a model"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "a", "weak": 1}, "holds no runs of LangSmith"),
        (run("a"), "no run has feedback with a score"),
        (run("a", **said(4)), ":1: feedback right: 4 is no quality; scale the scores"),
        (run("a", run_type="chain", **said(1)), "none is of the type llm"),
    ],
)
def test_files_that_teach_nothing_are_refused(read: Any, row: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(row)
    assert told in str(raised.value)
