from __future__ import annotations

import random

import pytest

from router_core.errors import ConfigError
from router_core.learning.answers import answer_features
from router_core.learning.examples import Example, Outcome
from router_core.learning.train_verifier import LEAST_LABELS, train_verifier
from router_core.learning.verifier_weights import VerifierWeights

pytest.importorskip("numpy", reason="training needs numpy; pip install 'router-core[learn]'")


def sums(count: int, *, seed: int = 0, call_site: str | None = None, contrary: bool = False) -> list[Example]:
    """Sums, of which about two in five are wrong; wrong ones mostly show it by an equation that does not hold."""
    draw = random.Random(seed)  # noqa: S311 - reproducible, not secret
    found = []
    for _ in range(count):
        left, right, good = draw.randint(10, 99), draw.randint(10, 99), draw.random() < 0.6
        shows = good if draw.random() < 0.9 else not good
        total = left + right + (0 if shows is not contrary else 10)
        answer = f"{left} + {right} = {total}\n#### {total}"
        outcome = Outcome(quality=float(good), answer=answer)
        found.append(Example(text=f"What is {left} plus {right}?", outcomes={"small": outcome}, call_site=call_site))
    return found


def noise(count: int) -> list[Example]:
    draw = random.Random(1)  # noqa: S311 - reproducible, not secret
    return [
        Example(text=f"Q{at}", outcomes={"small": Outcome(quality=draw.randint(0, 1), answer=f"A{draw.random()}")})
        for at in range(count)
    ]


def probability(weights: VerifierWeights, answer: str, call_site: str | None = None) -> float:
    return weights.judge(answer_features("What is 20 plus 30?", answer), call_site).probability


@pytest.mark.parametrize("count", [LEAST_LABELS, 120, 600])
def test_it_learns_from_few_labels_and_from_many(count):
    trained = train_verifier(sums(count), model="small")
    assert trained.evidence.labels == count
    assert trained.evidence.auroc_low > 0.5
    assert trained.evidence.brier < trained.evidence.brier_accepting
    good, bad = (probability(trained.weights, text) for text in ("20 + 30 = 50\n#### 50", "20 + 30 = 60\n#### 60"))
    assert good > bad


def test_many_labels_make_it_calibrated():
    trained = train_verifier(sums(600))
    assert probability(trained.weights, "20 + 30 = 50\n#### 50") == pytest.approx(0.93, abs=0.06)
    assert probability(trained.weights, "20 + 30 = 60\n#### 60") == pytest.approx(0.14, abs=0.08)


def test_labels_can_overrule_the_weights_it_starts_from():
    trained = train_verifier(sums(300, contrary=True))
    assert probability(trained.weights, "20 + 30 = 60\n#### 60") > probability(trained.weights, "20 + 30 = 50\n#### 50")


def test_a_call_site_with_labels_enough_gets_a_model_of_its_own():
    examples = [*sums(400), *sums(60, seed=1, call_site="odd", contrary=True), *sums(10, seed=2, call_site="few")]
    trained = train_verifier(examples)
    assert set(trained.weights.sites) == {"odd"} == set(trained.sites)
    wrong = "20 + 30 = 60\n#### 60"
    assert probability(trained.weights, wrong, "odd") > 0.5 > probability(trained.weights, wrong, "few")


def test_the_file_says_the_same_as_the_weights(tmp_path):
    trained = train_verifier(sums(60), threshold=0.3)
    trained.write(tmp_path / "verifier.json")
    read = VerifierWeights.read(tmp_path / "verifier.json")
    assert read.threshold == 0.3
    assert read.about["general"]["labels"] == 60
    answer = "20 + 30 = 60\n#### 60"
    assert probability(read, answer) == pytest.approx(probability(trained.weights, answer), abs=1e-4)


def test_it_learns_from_log_probabilities():
    examples = [
        Example(
            text=f"Q{at}", outcomes={"small": Outcome(quality=at % 2, answer="A", logprobs=(-0.1 if at % 2 else -2.0,))}
        )
        for at in range(60)
    ]
    weights = train_verifier(examples).weights
    sure, unsure = (weights.judge(answer_features("Q", "A", logprobs=(each,))).probability for each in (-0.1, -2.0))
    assert sure > 0.8
    assert unsure < 0.2


def test_qualities_in_between_are_learned_from_too(tmp_path):
    halves = [
        Example(
            text=each.text,
            outcomes={"small": Outcome(quality=0.2 + 0.6 * outcome.quality, answer=outcome.answer)},
            call_site="site" if at < 40 else None,
        )
        for at, each in enumerate(sums(120))
        for outcome in each.outcomes.values()
    ]
    trained = train_verifier(halves)
    trained.write(tmp_path / "verifier.json")
    assert trained.evidence.right == pytest.approx(0.56, abs=0.1)


def test_training_twice_gives_the_same():
    assert train_verifier(sums(80)) == train_verifier(sums(80))


@pytest.mark.parametrize(
    ("examples", "model", "message"),
    [
        (sums(24), None, "24 labelled answers are too few for a verifier; give 25 or more"),
        (sums(30), "smal", r"model: 'smal' has no outcomes \(did you mean 'small'\?\); there are small"),
        (
            [each for each in sums(200) if each.outcomes["small"].quality],
            None,
            "labelled answers are right: nothing can be learned; label more",
        ),
        (noise(200), None, r"no better than chance.*200 labelled answers, .*AUROC 0\.[45]"),
        ([Example(text="Q", outcomes={"small": Outcome(quality=1)})] * 30, "small", "0 labelled answers are too few"),
    ],
)
def test_what_cannot_be_learned_is_refused_with_the_numbers(examples, model, message):
    with pytest.raises(ConfigError, match=message):
        train_verifier(examples, model=model)
