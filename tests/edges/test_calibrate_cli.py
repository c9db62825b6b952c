"""``llm-router calibrate``: what it promises is tested in tests/learning; here, how it is asked and what it says."""

import json
import random
from pathlib import Path

import pytest

from router_core import Router
from router_core.learning.certificate import Certificate
from router_core.records import Reason
from router_core.testing import ScriptedHost

EASY = "What is the capital of country {0}?"
HARD = "Prove step by step that algorithm {0} scales, then design a better architecture and compare the two. " * 3


@pytest.fixture
def examples(tmp_path):
    """Two models that differ where the question is hard."""
    rng = random.Random(0)  # noqa: S311 - reproducible, not secret
    rows = []
    for number in range(600):
        hard = number % 3 == 0
        small = {"quality": int(rng.random() < (0.3 if hard else 0.97)), "cost_usd": 0.001}
        large = {"quality": int(rng.random() < 0.95), "cost_usd": 0.01}
        rows.append({"prompt": (HARD if hard else EASY).format(number), "outcomes": {"mini": small, "big": large}})
    path = tmp_path / "examples.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_a_certificate_is_told_and_written(run, examples, tmp_path):
    path = tmp_path / "certificate.json"
    result = run("calibrate", examples, "--policy", "difficulty", "--at-least", "0.9", "--to", str(path))
    assert result.exit_code == 0, result.output
    told = " ".join(result.output.split())
    assert "With 90% confidence the answers are at least 90% as good as those of 'big'" in told
    assert "From 600 examples" in told
    assert "$1" in told
    found = Certificate.read(path)
    assert (found.policy, found.weak, found.strong, found.examples) == ("difficulty", "mini", "big", 600)
    assert found.strong_share == pytest.approx(1 / 3, abs=0.01)
    assert found.cost_usd == pytest.approx(0.004, abs=0.0002)


def test_the_certificate_routes_until_feedback_breaks_its_promise(run, examples, tmp_path):
    path = tmp_path / "certificate.json"
    run("calibrate", examples, "--policy", "difficulty", "--at-least", "0.9", "--to", str(path))
    config = tmp_path / "router.yaml"
    config.write_text(
        "models: [{name: mini, endpoint: ollama, id: a}, {name: big, endpoint: ollama, id: b}]\n"
        f"policy: {{name: guarded, policy: difficulty, certificate: {path}}}\n"
    )
    router = Router.from_config(config, host=ScriptedHost.saying({"mini": "Paris.", "big": "Paris."}))
    decisions = [router.explain(text.format("X")) for text in (EASY, HARD)]
    assert [decision.start for decision in decisions] == ["mini", "big"]
    assert {decision.reason for decision in decisions} == {Reason.CERTIFIED}
    for _ in range(100):
        router.feedback(router.complete(EASY.format("X")).receipt.request_id, 0.0)
    broken = router.explain(EASY.format("X"))
    assert (broken.start, broken.reason) == ("big", Reason.GUARDED)
    assert broken.features["promise_broken"] is True


def test_too_few_examples_write_nothing_and_end_with_1(run, examples, tmp_path):
    few, path = tmp_path / "few.jsonl", tmp_path / "certificate.json"
    few.write_text("\n".join(Path(examples).read_text().splitlines()[:30]))
    result = run("calibrate", str(few), "--policy", "difficulty", "--to", str(path))
    assert result.exit_code == 1
    assert "No certificate: needs about" in result.output
    assert "more examples like the 30 given" in result.output
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--policy", "length"), "only compares"),
        (("--policy", "random"), "only compares"),
        (("--policy", "dificulty"), "did you mean 'difficulty'"),
        (("--policy", "difficulty", "--at-least", "95"), "at_least: 95.0 is not above 0 and below 1"),
        (("--policy", "difficulty", "--confidence", "1"), "confidence: 1.0 is not above 0 and below 1"),
        (("--policy", "difficulty", "--weak", "maxi"), "'maxi' has no outcomes"),
    ],
)
def test_what_is_wrong_is_told(refused, examples, options, told):
    assert told in refused("calibrate", examples, *options)
