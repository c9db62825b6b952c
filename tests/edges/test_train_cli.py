"""``llm-router train``: what it learns is tested in tests/learning; here, what is asked of it, written and refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from router_core.policies import LearnedPolicy, NearestPolicy
from router_core.records import Attempt, AttemptOutcome, Receipt, ReceiptOutcome
from router_core.stores import LedgerEntry, open_store
from router_core.types import Usage
from router_core.verifiers.learned import LearnedVerifier

pytest.importorskip("numpy", reason="training needs numpy; pip install 'router-core[learn]'")

Run = Callable[..., Result]
Refused = Callable[..., str]


def rows(count: int = 160, *, noise: bool = False) -> list[dict[str, Any]]:
    """Proofs are too hard for the weak model, unless it is all noise."""
    draw = random.Random(0)  # noqa: S311 - reproducible, not secret
    found = []
    for at in range(count):
        hard = at % 2 == 0
        weak = int(draw.random() < (0.5 if noise else 0.1 if hard else 0.9))
        prompt = f"Prove theorem {at} and explain why it holds, step by step." if hard else f"Name city {at}."
        found.append({"prompt": prompt, "weak": weak, "strong": int(draw.random() < 0.9)})
    return found


def written(place: Path, lines: list[dict[str, Any]]) -> str:
    place.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place.name


def test_a_policy_is_written_with_what_speaks_for_it(here: Path, run: Run) -> None:
    shown = run("train", "--from", written(here / "rows.jsonl", rows()), "--to", "policy.json")
    assert shown.exit_code == 0
    assert "Cross-validated" in shown.stdout
    assert "Held out: APGR 0." in shown.stdout
    assert "Wrote policy.json, trained on all 160 examples" in shown.stderr
    assert LearnedPolicy(here / "policy.json").models == ("weak", "strong")
    assert run("eval", "rows.jsonl", "--policy", "policy.json", "--bootstrap", "0").exit_code == 0


def test_examples_that_trained_a_policy_prove_nothing_of_it(here: Path, run: Run, refused: Refused) -> None:
    seen = written(here / "rows.jsonl", rows())
    new = written(here / "new.jsonl", [{**row, "prompt": f"Again: {row['prompt']}"} for row in rows()])
    assert run("train", "--from", seen, "--to", "policy.json").exit_code == 0

    warning = "About 100% of these examples trained policy.json"
    assert warning in run("eval", seen, "--policy", "policy.json", "--bootstrap", "0").stdout
    assert "these examples trained" not in run("eval", new, "--policy", "policy.json", "--bootstrap", "0").stdout
    told = refused("calibrate", seen, "--policy", "policy.json", "--at-least", "0.5", "--to", "certificate.json")
    assert "about 100% of these examples trained policy.json" in " ".join(told.split())
    assert not (here / "certificate.json").exists()
    assert run("calibrate", new, "--policy", "policy.json", "--at-least", "0.5").exit_code == 0


def test_what_is_no_better_than_single_models_is_not_written(here: Path, refused: Refused) -> None:
    (here / "policy.json").write_text("the old one")
    told = refused("train", "--from", written(here / "rows.jsonl", rows(noise=True)), "--to", "policy.json")
    assert "not written" in told
    assert "against 0.500 of single models at equal cost" in told
    assert (here / "policy.json").read_text() == "the old one"


def test_a_verifier_is_written(here: Path, run: Run) -> None:
    draw = random.Random(0)  # noqa: S311 - reproducible, not secret
    lines = []
    for _ in range(120):
        one, two, good = draw.randint(10, 99), draw.randint(10, 99), draw.random() < 0.6
        answer = f"{one} + {two} = {one + two + (0 if good else 10)}\n#### {one + two}"
        outcome = {"quality": int(good), "answer": answer}
        lines.append({"prompt": f"What is {one} plus {two}?", "outcomes": {"small": outcome}})
    source = written(here / "rows.jsonl", lines)
    shown = run("train", "--from", source, "--to", "verifier.json", "--kind", "verifier", "--models", "small")
    assert shown.exit_code == 0
    assert "AUROC" in shown.stdout
    LearnedVerifier(file="verifier.json")


def test_neighbours_are_written_without_texts(here: Path, run: Run, refused: Refused, monkeypatch: Any) -> None:
    (here / "mine.py").write_text("def embed(text):\n    return [float(len(text)), 1.0]\n")
    monkeypatch.syspath_prepend(str(here))
    common = ("train", "--from", written(here / "rows.jsonl", rows()), "--to", "near.json", "--kind", "nearest")
    assert "--embedding is missing" in refused(*common)
    assert run(*common, "--embedding", "mine:embed").exit_code == 0
    assert "theorem" not in (here / "near.json").read_text()
    NearestPolicy("near.json", embedding="mine:embed")


def test_the_ledger_is_learned_from(here: Path, run: Run) -> None:
    store = open_store("sqlite:///router.db")
    for at, row in enumerate(rows()):
        ends = [AttemptOutcome.ACCEPTED if row["weak"] else AttemptOutcome.REJECTED]
        ends += [] if row["weak"] else [AttemptOutcome.ACCEPTED if row["strong"] else AttemptOutcome.SERVED]
        attempts = tuple(
            Attempt(
                number=number,
                model=("small", "large")[number - 1],
                provider="scripted",
                outcome=end,
                latency_s=0.1,
                usage=Usage(input_tokens=10, output_tokens=5),
                cost_nano=10**number,
            )
            for number, end in enumerate(ends, 1)
        )
        receipt = Receipt(f"{at:032x}", ReceiptOutcome.ANSWERED, None, attempts, latency_s=0.2)
        store.settle(receipt.request_id, {}, LedgerEntry(receipt=receipt, at=1000.0 + at, prompt=row["prompt"]))
    store.close()
    shown = run("train", "--from", "ledger", "--to", "policy.json")
    assert shown.exit_code == 0, shown.stderr
    assert LearnedPolicy(here / "policy.json").models == ("small", "large")


def test_options_that_do_not_go_together_are_refused(here: Path, refused: Refused) -> None:
    source = written(here / "rows.jsonl", rows(30))
    told = refused("train", "--from", source, "--to", "x", "--kind", "verifier", "--encoder", ".")
    assert "an encoder is a policy, no verifier" in told
    told = refused("train", "--from", source, "--to", "x", "--kind", "verifier", "--models", "a,b")
    assert "one model" in told
    assert "nothing.jsonl: cannot be read" in refused("train", "--from", "nothing.jsonl", "--to", "x")
    assert "--embedding: 'nowhere' is not of the form" in refused(
        "train", "--from", source, "--to", "x", "--embedding", "nowhere"
    )
