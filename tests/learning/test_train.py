from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

np = pytest.importorskip("numpy", reason="training needs numpy; pip install 'router-core[learn]'")

from router_core.errors import ConfigError  # noqa: E402
from router_core.learning.bench import Bench, bench_of  # noqa: E402
from router_core.learning.completed import by_cost, completed  # noqa: E402
from router_core.learning.examples import Example, Outcome  # noqa: E402
from router_core.learning.fit import sigmoid  # noqa: E402
from router_core.learning.heads import Heads  # noqa: E402
from router_core.learning.prompts import HAND, JOINT, PRIOR, VECTORS, WORDS, Prompts, fit  # noqa: E402
from router_core.learning.prompts import TOPICS as TOPICS_RECIPE  # noqa: E402
from router_core.learning.train import folds, learn, recipes_for, train_policy, value_of  # noqa: E402
from router_core.policies import Candidate, LearnedPolicy  # noqa: E402
from router_core.types import Model  # noqa: E402

TOPICS = {"integral": (0.1, 0.9), "poem": (0.9, 0.9), "theorem": (0.2, 0.8), "greeting": (0.95, 0.95)}


def examples(count: int, *, seed: int = 0, noise: bool = False, sites: bool = False) -> list[Example]:
    """Prompts whose topic says how well the weak model does."""
    draw = random.Random(seed)  # noqa: S311 - reproducible, not secret
    found = []
    for at in range(count):
        topic = draw.choice(list(TOPICS))
        filler = " ".join(draw.choice(["blue", "green", "red", "old", "new"]) for _ in range(draw.randint(3, 12)))
        chances = (0.5, 0.8) if noise else TOPICS[topic]
        weak, strong = (Outcome(quality=float(draw.random() < chance)) for chance in chances)
        found.append(
            Example(
                text=f"Write the {topic} of the {filler} number {at}",
                outcomes={"small": weak, "large": strong},
                call_site=topic if sites else None,
            )
        )
    return found


def bench(count: int, **how) -> Bench:
    return bench_of(examples(count, **how), ("small", "large"))


def candidates(*names: str) -> list[Candidate]:
    return [
        Candidate(model=Model(name=name, id=name, provider="none", endpoint="none"), cost_nano=10**at)
        for at, name in enumerate(names)
    ]


def test_what_is_told_by_words_is_learned_calibrated_and_written(tmp_path):
    trained = train_policy(bench(600))
    assert trained.recipe is WORDS
    assert trained.evidence.better
    assert trained.evidence.value > 0.65
    trained.write(tmp_path / "policy.json")
    policy = LearnedPolicy(tmp_path / "policy.json")
    hard, easy = (
        policy.decide(
            Example(text=f"Write the {topic} of the old number 5", outcomes={}).request, candidates("small", "large")
        )
        for topic in ("integral", "poem")
    )
    assert hard.start == "large"
    assert easy.start == "small"
    assert hard.quality["small"] < 0.35
    assert easy.quality["small"] > 0.75


@pytest.mark.parametrize("recipe", [VECTORS, TOPICS_RECIPE], ids=lambda recipe: recipe.name)
def test_the_router_predicts_what_training_predicted(tmp_path, recipe):
    table = bench(600, sites=True)
    embedding = [[float(len(one.text)) % 3, 1.0] for one in table.examples]
    prompts = replace(Prompts.of(table.examples), vectors=np.array(embedding))
    learned = learn(prompts, table, recipes=(recipe,))
    learned.fitted.heads(table.models, learned.calibrations, {}).write(tmp_path / "policy.json")
    vectors = {one.text: vector for one, vector in zip(table.examples, embedding, strict=True)}
    policy = LearnedPolicy(tmp_path / "policy.json", embedding=vectors.__getitem__)
    predicted = learned.predict(prompts)
    for row in range(0, 600, 50):
        told = policy.decide(table.examples[row].request, candidates("small", "large")).quality
        assert [told["small"], told["large"]] == pytest.approx(predicted[row].tolist(), abs=0.01)


def test_what_only_two_features_together_tell_is_learned(tmp_path):
    """Long prompts without numbers are hard, and so are short ones with them."""
    draw = random.Random(3)  # noqa: S311 - reproducible, not secret
    rows = []
    for at in range(400):
        long, numbers = at % 2, at // 2 % 2
        words = draw.choices(["blue", "green", "red", "old", "new"], k=60 if long else 8)
        for place in range(0, len(words), 3) if numbers else ():
            words[place] = str(draw.randint(1, 99))
        outcomes = {"small": Outcome(quality=float(long == numbers)), "large": Outcome(quality=1.0)}
        rows.append(Example(text=" ".join(words), outcomes=outcomes))
    table = bench_of(rows, ("small", "large"))
    prompts = Prompts.of(table.examples)
    alone, together = (value_of(table, sigmoid(fit(prompts, table.quality, r).logits(prompts))) for r in (HAND, JOINT))
    assert alone < 0.7
    assert together > 0.74  # who knows all outcomes reaches 0.75
    learned = learn(prompts, table, recipes=(JOINT,))
    learned.fitted.heads(table.models, learned.calibrations, {}).write(tmp_path / "policy.json")
    told = LearnedPolicy(tmp_path / "policy.json").decide(rows[0].request, candidates("small", "large")).quality
    assert told["small"] > 0.8


def test_noise_is_not_written_and_the_numbers_say_why(tmp_path):
    trained = train_policy(bench(300, noise=True))
    with pytest.raises(ConfigError, match=r"no better than the best single model: APGR .* against 0\.500 .* interval"):
        trained.write(tmp_path / "policy.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("count", "recipes"),
    [
        (99, {"no text"}),
        (100, {"no text", "length", HAND.name}),
        (500, {"no text", "length", WORDS.name}),
        (1000, {"no text", "length", WORDS.name, JOINT.name}),
    ],
)
def test_how_much_is_learned_depends_on_how_many_examples_there_are(count, recipes):
    assert {recipe.name for recipe in recipes_for(count, pair=True, vectors=False)} == recipes


def test_few_examples_with_call_sites_are_enough_to_tell_the_sites_apart(tmp_path):
    trained = train_policy(bench(95, sites=True))
    assert trained.recipe is PRIOR
    assert trained.evidence.better
    trained.write(tmp_path / "policy.json")
    policy = LearnedPolicy(tmp_path / "policy.json", quality_weight=4)
    at = {
        site: policy.decide(Example(text="?", outcomes={}, call_site=site).request, candidates("small", "large"))
        for site in ("integral", "poem", None)
    }
    assert at["integral"].start == "large"
    assert at["poem"].start == "small"
    assert at["integral"].quality["small"] < at[None].quality["small"] < at["poem"].quality["small"]
    assert at["poem"].features["call_site_known"] is True


def test_many_models_are_measured_by_aiq(tmp_path):
    rows = [
        replace(
            one,
            outcomes={
                "a": replace(one.outcomes["small"], cost_usd=1.0),
                "b": Outcome(quality=1 - one.outcomes["small"].quality, cost_usd=2.0),
                "c": replace(one.outcomes["large"], cost_usd=20.0),
            },
        )
        for one in examples(300, sites=True)
    ]
    trained = train_policy(bench_of(rows, ("a", "b", "c")))
    assert trained.evidence.measure == "aiq"
    assert trained.evidence.better
    trained.write(tmp_path / "policy.json")
    told = json.loads((tmp_path / "policy.json").read_text())
    assert sorted(head["model"] for head in told["heads"]) == ["a", "b", "c"]


def test_groups_are_never_parted():
    groups = np.array([0, 0, 1, 2, 2, 2, 3])
    fold = folds(groups, 2)
    assert all(len(set(fold[groups == group])) == 1 for group in range(4))


def test_too_few_examples_and_a_single_group_are_refused():
    with pytest.raises(ConfigError, match="give 20 at least"):
        train_policy(bench(19))
    rows = [replace(one, group="one") for one in examples(60)]
    with pytest.raises(ConfigError, match="group: all examples are of one group"):
        train_policy(bench_of(rows, ("small", "large")))


def test_an_embedding_of_several_lengths_is_refused():
    with pytest.raises(ConfigError, match="several lengths"):
        train_policy(bench(60), embedding=lambda text: [1.0] * (len(text) % 3 + 1))


def test_a_model_that_always_answers_well_does_not_break_the_fit():
    rows = [replace(one, outcomes={**one.outcomes, "large": Outcome(quality=1.0)}) for one in examples(120)]
    table = bench_of(rows, ("small", "large"))
    fitted = fit(Prompts.of(table.examples), table.quality, HAND)
    chances = sigmoid(fitted.logits(Prompts.of(table.examples)))
    assert (chances[:, 1] > 0.95).all()
    assert np.isfinite(value_of(table, chances))


def test_heads_are_read_as_they_were_written(tmp_path):
    table = bench(120)
    learned = learn(Prompts.of(table.examples), table, recipes=(JOINT,))
    heads = learned.fitted.heads(table.models, learned.calibrations, {"examples": 120})
    heads.write(tmp_path / "one.json")
    Heads.read(tmp_path / "one.json").write(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_what_a_cascade_did_not_ask_is_taken_from_weaker_models_only():
    rows = [
        Example(text="easy", outcomes={"small": Outcome(quality=1.0, cost_usd=1.0)}),
        Example(
            text="hard",
            outcomes={"small": Outcome(quality=0.0, cost_usd=1.0), "large": Outcome(quality=1.0, cost_usd=9.0)},
        ),
        Example(text="forced", outcomes={"large": Outcome(quality=0.0, cost_usd=7.0)}),
    ]
    assert by_cost(rows) == ("small", "large")
    easy, hard, forced = completed(rows, ("small", "large"))
    assert easy.outcomes["large"] == Outcome(quality=1.0, cost_usd=8.0)
    assert hard == rows[1]
    assert set(forced.outcomes) == {"large"}


def test_a_bad_answer_that_was_served_says_nothing_against_a_stronger_model():
    bad = Example(text="bad", outcomes={"small": Outcome(quality=0.0)})
    asked = [
        Example(text=f"{at}", outcomes={"large": Outcome(quality=quality)}) for at, quality in enumerate((1.0, 0.8))
    ]

    assert completed([bad, *asked], ("small", "large"))[0].outcomes["large"].quality == pytest.approx(0.9)
    assert set(completed([bad], ("small", "large"))[0].outcomes) == {"small"}
