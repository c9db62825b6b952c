"""``llm-router memory`` and ``llm-router compare``: what they show, move and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from router_core.learning.strategy import Batch, Contents, Kind, Place, Step, Why, judgement, outcome
from router_core.learning.strategy import Cell as MemoryCell
from router_core.stores import Store, open_store

pytest.importorskip("sqlalchemy", reason="not installed; run: uv sync")

Run = Callable[..., Result]
Refused = Callable[..., str]

PLAN, FAQ = Place("agent/plan", "summary"), Place("faq", "question")
KNOWN = {"small": {"good": 11.4, "bad": 0.0, "as_good": 0.81}, "large": {"good": 11.4, "bad": 0.0, "as_good": 1.0}}


def steps() -> tuple[Step, ...]:
    down = Step(PLAN, 1, 1_700_000_000.0, "large", "small", Why.SUFFICES, "judge: as\x1bgood", KNOWN)
    faq = Step(FAQ, 1, 1_700_000_100.0, "large", "small", Why.SUFFICES, "", KNOWN)
    up = Step(FAQ, 2, 1_700_000_200.0, "small", "large", Why.TURNED_BAD, "auditor: wrong", KNOWN)
    return (down, faq, up)


@pytest.fixture
def store(here: Path) -> Iterator[Store]:
    """The store that commands use in this directory, with a memory of two places."""
    opened = open_store("sqlite:///router.db")
    increments = [i for place in (PLAN, FAQ) for m in ("small", "large") for i in judgement(place, m, 1.0, 100)]
    increments.append(outcome(MemoryCell(PLAN, "small", Kind.VERIFIED), 0.0, 20))
    opened.remember(Batch("me", 1, 1.0, tuple(increments), steps()))
    yield opened
    opened.close()


def table(text: str) -> str:
    return " ".join(text.split())


def test_show_tells_what_is_remembered_and_explains_each_step(store: Store, run: Run) -> None:
    shown = table(run("memory", "show").stdout)
    assert "agent/plan summary" in shown
    assert "small <- now 1.0 0.0 1" in shown
    assert "100%" in shown
    for words in ("2023-11-14 22:13:20", "suffices:", "turned bad:", "auditor: wrong", "large ->"):
        assert words in shown, words
    assert "\x1b" not in shown
    only = table(run("memory", "show", "--call-site", "faq").stdout)
    assert "agent/plan" not in only
    assert "faq" in only


def test_a_part_is_shown_with_the_same_numbers_as_the_whole(store: Store, run: Run) -> None:
    """Places borrow from each other, also where only one of them is shown."""
    other = Place("another", "summary")
    evidence = [judgement(PLAN, "small", 0.0, 100)] * 9 + [judgement(other, "small", 1.0, 100)]
    evidence += [judgement(place, "large", 1.0, 100) for place in (PLAN, other)] * 9
    store.remember(Batch("me", 2, 2.0, tuple(each for group in evidence for each in group), ()))

    def lines(*options: str) -> list[str]:
        shown = run("memory", "show", *options).stdout.splitlines()
        start = next(at for at, line in enumerate(shown) if line.startswith("another"))
        return [" ".join(line.split()) for line in shown[start : start + 2]]

    assert lines() == lines("--call-site", "another")
    assert "%" in lines()[0], "it took no step, and its models are compared all the same"


def test_show_writes_json(store: Store, run: Run) -> None:
    shown = json.loads(run("memory", "show", "--json", "--task", "question").stdout)
    assert [(place["call_site"], sorted(place["models"])) for place in shown["places"]] == [("faq", ["large", "small"])]
    assert [(step["number"], step["why"]) for step in shown["steps"]] == [(1, "suffices"), (2, "turned_bad")]


def test_an_empty_memory_is_said_to_be_one(here: Path, run: Run) -> None:
    open_store("sqlite:///router.db").close()
    assert "starts with the strongest model" in run("memory", "show").stdout


def test_export_and_import_move_all_of_it(store: Store, run: Run, here: Path) -> None:
    assert "2 places, 3 steps" in run("memory", "export", "memory.json").stdout
    before = store.memory()
    result = run("memory", "import", "memory.json", "--store", "sqlite:///other.db")
    assert (result.exit_code, "2 places, 3 steps" in result.stdout) == (0, True)
    other = open_store("sqlite:///other.db")
    assert other.memory() == before
    other.close()
    # Into a file, for a memory without a ledger; and what is there gives way.
    assert run("memory", "import", "memory.json", "--file", "own.json").exit_code == 0
    assert (here / "own.json").read_text() == (here / "memory.json").read_text()
    assert run("memory", "import", "memory.json").exit_code == 0
    assert store.memory() == before


def test_reset_forgets_all_or_a_part(store: Store, run: Run) -> None:
    assert "1 place, 1 steps forgotten" in run("memory", "reset", "--call-site", "agent/plan").stdout
    kept = store.memory()
    assert {cell.place for cell, seen in kept.evidence.items() if seen.weight} == {FAQ}
    last = [step for step in kept.steps if step.place == PLAN][-1]
    assert (last.from_model, last.to_model, last.why, last.number) == ("small", "large", Why.RESET, 2)
    assert "2 places" in run("memory", "reset").stdout
    assert store.memory() == Contents({}, ())


def test_the_memory_is_the_file_that_the_registry_file_names(config: Path, run: Run, here: Path) -> None:
    config.write_text(config.read_text() + "policy: {name: strategy, file: memory.json, margin: 0.1}\n")
    assert "there is no memory.json" in table(run("memory", "show").stderr)
    assert run("memory", "show").exit_code == 2
    run("ask", "What is the capital of France?")
    (here / "in.json").write_text('{"schema": "router-core/memory", "version": 1, "places": [], "steps": []}')
    assert run("memory", "import", "in.json").exit_code == 0
    assert "Nothing is remembered" in run("memory", "show").stdout
    assert (here / "memory.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "--store", "sqlite:///none.db"), "there is no none.db"),
        (("show", "--file", "none.json"), "there is no none.json"),
        (("import", "none.json"), "none.json: cannot be read"),
        (("reset", "--call-site", "who"), "nothing is remembered of that call site"),
    ],
)
def test_what_is_not_there_is_said(store: Store, refused: Refused, arguments: tuple[str, ...], words: str) -> None:
    before = store.memory()
    assert words in table(refused("memory", *arguments))
    assert store.memory() == before


def test_a_broken_file_replaces_nothing(store: Store, refused: Refused, here: Path) -> None:
    (here / "in.json").write_text('{"schema": "router-core/memory", "version": 1, "places": []}')
    before = store.memory()
    assert "'steps' is missing" in refused("memory", "import", "in.json")
    assert store.memory() == before


# ------------------------------------------------------------------------------------------------------------- compare


def test_compare_shows_scripted_models_with_and_without_the_memory(run: Run, here: Path) -> None:
    pytest.importorskip("matplotlib", reason="not installed; run: uv sync")
    result = run("compare", "--rounds", "8", "--share", "0.5", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "scripted:large -> scripted:medium" in table(result.stdout)
    figures: dict[str, Any] = json.loads((here / "out" / "compare.json").read_text())
    without, last = figures["without"], figures["rounds"][-1]
    assert len(figures["rounds"]) == 8
    assert figures["rounds"][0]["models"] == without["models"] == {"scripted:large": without["requests"]}
    assert float(last["cost_usd"]) < float(without["cost_usd"])
    assert last["good"] >= 0.97 * without["good"]
    assert figures["steps"]
    assert (here / "out" / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_compare_asks_real_models_and_leaves_the_kept_memory_alone(
    config: Path, run: Run, here: Path, server: Any
) -> None:
    config.write_text(config.read_text() + "policy: strategy\nledger: {store: 'sqlite:///router.db'}\n")
    judged = '{"better": "tie", "why": "the same"}'
    server.says = {"weak": "It is Paris.", "strong": judged}
    (here / "prompts.jsonl").write_text('{"prompt": "What is the capital of France?", "call_site": "faq"}\n' * 8)
    result = run("compare", "--prompts", "prompts.jsonl", "--rounds", "3", "--share", "1", "--out", "out")
    assert result.exit_code == 0, result.output
    figures = json.loads((here / "out" / "compare.json").read_text())
    assert figures["without"]["models"] == {"strong": 8}
    assert figures["rounds"][-1]["models"] == {"weak": 8}
    assert float(figures["rounds"][0]["audits_usd"]) > 0
    store = open_store("sqlite:///router.db")
    assert store.memory() == Contents({}, ())
    store.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "holds no prompt"),
        ('{"promt": "Hi"}', "prompts.jsonl:1: prompt or messages is missing"),
        ('{"prompt": 1.5}', "prompts.jsonl:1: prompt: 1.5 is no text"),
    ],
)
def test_compare_refuses_a_wrong_file(config: Path, refused: Refused, here: Path, content: str, words: str) -> None:
    (here / "prompts.jsonl").write_text(content)
    assert words in table(refused("compare", "--prompts", "prompts.jsonl"))


def test_compare_needs_models_for_real_prompts(refused: Refused, here: Path) -> None:
    (here / "prompts.jsonl").write_text('{"prompt": "Hi"}')
    assert "--config" in refused("compare", "--prompts", "prompts.jsonl")
