"""``llm-router eval``: what it measures is tested in tests/learning; here, what is asked of it and what it says."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from router_core.learning.heads import Head, Heads

Run = Callable[..., Result]
Refused = Callable[..., str]

EASY = "What is the capital of France?"
HARD = (
    "Compare step by step how the two algorithms scale, prove each bound, and then design a better architecture. " * 3
)


def row(prompt: str, small: object, large: object) -> dict[str, Any]:
    return {"prompt": prompt, "outcomes": {"small": small, "large": large}}


def outcome(quality: float, cost: float | None = None, **more: object) -> dict[str, object]:
    return {"quality": quality, **({} if cost is None else {"cost_usd": cost}), **more}


# The strong model is needed for the hard prompts, and for one of the easy ones.
ROWS = [
    *(row(EASY, outcome(1, 0.001, answer="Paris."), outcome(1, 0.01, answer="Paris.")) for _ in range(6)),
    row(EASY, outcome(0, 0.001, answer="I am not sure, I don't know."), outcome(1, 0.01, answer="Paris.")),
    *(row(HARD, outcome(0, 0.001, answer=""), outcome(1, 0.01, answer="Both are linear.")) for _ in range(3)),
]


@pytest.fixture
def file(here: Path) -> Path:
    return write(here / "examples.jsonl", ROWS)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    return path


def measured(run: Run, *args: str) -> dict[str, Any]:
    result = run("eval", *args, "--json", "-")
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def values(told: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (each for each in told["results"] if each["name"] == name)
    return {measure: of["value"] for measure, of in found["measures"].items()}


def test_a_policy_is_shown_beside_length_chance_and_who_knows_all(file: Path, run: Run) -> None:
    result = run("eval", str(file), "--policy", "difficulty", "--bootstrap", "50")
    assert (result.exit_code, result.stderr) == (0, "")
    for told in ("10 examples, 2 models", "difficulty", "length", "random", "oracle", "APGR", "50 bootstrap draws"):
        assert told in result.stdout
    # 0.6 and 1.0 at $0.001 and $0.01.
    assert "small    0.600              $1" in result.stdout
    assert "large    1.000             $10" in result.stdout


def test_json_tells_everything(file: Path, run: Run) -> None:
    told = measured(run, str(file), "--policy", "difficulty", "--bootstrap", "50", "--seed", "3")
    assert told["examples"], told["left_out"] == (10, 0)
    assert told["cost_unit"] == "usd"
    assert [model["name"] for model in told["models"]] == ["small", "large"]
    assert told["bootstrap"] == {"draws": 50, "seed": 3, "confidence": 0.95}
    assert [(each["name"], each["kind"]) for each in told["results"]] == [
        ("difficulty", "policy"),
        ("length", "baseline"),
        ("random", "baseline"),
        ("oracle", "baseline"),
    ]
    # The hard ones go first: three of four gains with three of ten calls, then six wait for the last.
    assert values(told, "difficulty")["cpt50"] == pytest.approx(0.2)
    assert values(told, "random")["apgr"] == pytest.approx(0.5)
    assert values(told, "difficulty")["ece"] is None
    frontier = told["results"][0]["frontier"]
    assert frontier[0] == {"cost": pytest.approx(0.001), "quality": pytest.approx(0.6)}
    assert told["definitions"].keys() == told["results"][0]["measures"].keys()


def test_a_policy_file_is_measured_by_what_it_predicts(here: Path, run: Run, refused: Refused) -> None:
    heads = (Head(model="small", ability=0.0), Head(model="large", ability=2.0))
    Heads(heads=heads, sites={"sums": (3.0, 3.0), "proofs": (-3.0, 3.0)}).write(here / "policy.json")
    sites = ({**row(EASY, 1, 1), "call_site": "sums"}, {**row(EASY, 0, 1), "call_site": "proofs"})
    write(here / "sites.jsonl", [*sites * 3])
    told = measured(run, "sites.jsonl", "--policy", "policy.json", "--bootstrap", "0")
    assert values(told, "policy.json")["apgr"] == pytest.approx(0.75)
    # Each prediction is 1 / (1 + e^3) beside the truth.
    assert values(told, "policy.json")["ece"] == pytest.approx(1 / (1 + math.exp(3)))
    assert [each["examples"] for each in told["results"][0]["reliability"]] == [3, 9]
    wrong = refused("eval", "sites.jsonl", "--verifier", "policy.json", "--weak", "small")
    assert "answer: 6 of 6 outcomes" in wrong
    answered = {**row(EASY, outcome(0, answer="a"), outcome(1, answer="b")), "call_site": "sums"}
    write(here / "answers.jsonl", [answered])
    assert "schema: 'router-core/policy' is not" in refused("eval", "answers.jsonl", "--verifier", "policy.json")
    assert "embedding" in refused("eval", "sites.jsonl", "--policy", "policy.json", "--embedding", "math:sqrt")


def test_files_are_written(file: Path, here: Path, run: Run) -> None:
    args = ("--policy", "difficulty", "--policy", "length", "--bootstrap", "0")
    result = run("eval", str(file), *args, "--json", "out.json", "--png", "out.png")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == ["Wrote out.json", "Wrote out.png"]
    assert "[" not in result.stdout
    assert [each["name"] for each in json.loads((here / "out.json").read_text())["results"]] == [
        "difficulty",
        "length",
        "random",
        "oracle",
    ]
    assert (here / "out.png").read_bytes().startswith(b"\x89PNG")


def test_a_verifier_is_measured_as_a_cascade(file: Path, run: Run) -> None:
    told = measured(run, str(file), "--verifier", "empty", "--bootstrap", "0")
    assert told["results"][0]["kind"] == "verifier"
    # It finds three of four wrong answers: all but 0.1 of the quality for $0.001 and three of ten strong calls.
    point = {"cost": pytest.approx(0.004), "quality": pytest.approx(0.9)}
    assert point in told["results"][0]["frontier"]


def test_a_verifier_file_is_measured_by_what_it_believes(file: Path, run: Run) -> None:
    told = measured(run, str(file), "--verifier", "learned", "--bootstrap", "0")
    assert values(told, "learned (cascade)")["ece"] is not None
    assert sum(each["examples"] for each in told["results"][0]["reliability"]) == 10


def test_costs_are_counted_from_tokens_and_prices(here: Path, run: Run) -> None:
    tokens = {"input_tokens": 1000, "output_tokens": 100}
    rows = [row(text, outcome(low, **tokens), outcome(1, **tokens)) for text, low in ((EASY, 1), (HARD, 0))]
    file = str(write(here / "tokens.jsonl", rows))
    prices = ("--price", "small=1", "--price", "large=10,100")
    told = measured(run, file, "--policy", "difficulty", *prices, "--bootstrap", "0")
    assert [model["cost"] for model in told["models"]] == pytest.approx([0.0011, 0.02])
    told = measured(run, file, "--policy", "difficulty", "--bootstrap", "0")
    assert told["cost_unit"] == "strong_calls"


def test_many_models_are_measured_by_aiq(here: Path, run: Run) -> None:
    names = [f"model-{number:02}" for number in range(29)]
    rows = [
        {
            "prompt": f"{EASY} {number}",
            "outcomes": {
                name: outcome((number * 7 + at) % 29 < at + 3, 0.001 * (at + 1)) for at, name in enumerate(names)
            },
        }
        for number in range(40)
    ]
    file = str(write(here / "many.jsonl", rows))
    told = measured(run, file, "--policy", "difficulty", "--bootstrap", "20")
    assert {"aiq", "top_quality", "cost_at_95"} <= values(told, "difficulty").keys()
    assert values(told, "random")["gain"] == pytest.approx(0)
    assert values(told, "oracle")["aiq"] > values(told, "difficulty")["aiq"]
    result = run("eval", file, "--policy", "difficulty", "--bootstrap", "0", "--png", "many.png")
    assert "AIQ" in result.stdout
    assert (here / "many.png").exists()
    assert len(measured(run, file, "--policy", "length", "--models", "model-03,model-20")["models"]) == 2


def test_what_was_left_out_is_said(here: Path, run: Run) -> None:
    file = write(here / "gaps.jsonl", [*ROWS, {"prompt": EASY, "outcomes": {"small": 1}}])
    result = run("eval", str(file), "--policy", "length", "--bootstrap", "0")
    assert "10 examples (1 more lack an outcome and are left out)" in result.stdout


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "nothing is to be measured; give a policy (such as difficulty) or a --verifier"),
        (("--policy", "dificulty"), "'dificulty' is neither a policy nor a file (did you mean 'difficulty'?)"),
        (("--policy", "static"), "static says the same of every request"),
        (("--policy", "callable"), "callable.function is missing"),
        (("--policy", "none.json"), "none.json"),
        (("--verifier", "none.json"), "none.json"),
        (("--verifier", "empti"), "'empti' is neither a verifier nor a file (did you mean 'empty'?)"),
        (("--policy", "length", "--weak", "smal"), "weak: 'smal' has no outcomes (did you mean 'small'?)"),
        (("--policy", "length", "--weak", "large"), "strong: 'small' is not better than 'large'"),
        (("--policy", "length", "--models", "small"), "two at least, not 'small'"),
        (("--policy", "length", "--price", "small"), "--price: 'small' is no price; give MODEL=IN,OUT"),
        (("--policy", "length", "--price", "small=1,x"), "--price: 'small=1,x' is no price"),
        (("--policy", "length", "--price", "small=-1"), "--price: 'small=-1' is no price"),
        (("--policy", "length", "--price", "smal=1,2"), "--price: 'smal' has no outcomes in the file (did you mean"),
    ],
)
def test_what_is_wrong_is_said(file: Path, refused: Refused, args: tuple[str, ...], told: str) -> None:
    assert told in refused("eval", str(file), *args, "--bootstrap", "0")


def test_a_verifier_needs_answers_and_two_models(here: Path, refused: Refused) -> None:
    file = str(write(here / "short.jsonl", [{"prompt": EASY, "weak": 0, "strong": 1}]))
    assert "answer: 1 of 1 outcomes of 'weak' have none" in refused("eval", file, "--verifier", "empty")
    priced = {name: outcome(at, 1, answer="a") for at, name in enumerate("ab")}
    file = str(write(here / "three.jsonl", [{"prompt": EASY, "outcomes": {**priced, "c": outcome(1, 2)}}]))
    assert "a cascade is of two models; give them with --weak and" in refused("eval", file, "--verifier", "empty")


def test_a_file_that_is_no_file_of_examples(here: Path, refused: Refused) -> None:
    (here / "page.html").write_text("<html>")
    assert "page.html:1: is no JSON" in refused("eval", "page.html", "--policy", "length")
    assert "nowhere.jsonl: cannot be read: No such file" in refused("eval", "nowhere.jsonl", "--policy", "length")


def test_a_chart_that_cannot_be_written_loses_nothing(file: Path, here: Path, refused: Refused) -> None:
    (here / "taken").mkdir()
    told = refused("eval", str(file), "--policy", "length", "--bootstrap", "0", "--json", "taken")
    assert "taken: is no file and is left as it is" in told


def test_without_numpy_the_error_says_what_to_install(
    file: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("router_core.cli._options.find_spec", lambda name: None if name == "numpy" else found(name))
    assert "pip install 'router-core[learn]'" in refused("eval", str(file), "--policy", "length")
