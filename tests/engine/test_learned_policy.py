"""The learned policy and the one of neighbours: what they choose, how they explain it, which files they refuse."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence

import pytest

from router_core.errors import ConfigError
from router_core.learning.examples import Example, Outcome
from router_core.learning.heads import Head, Heads, Words, logit
from router_core.learning.neighbours import Neighbours
from router_core.learning.text import BUCKETS, NAMES, read
from router_core.policies import Candidate, LearnedPolicy, NearestPolicy, make_policy
from router_core.policies.learned import DEFAULT_FILE
from router_core.records import Reason
from router_core.types import Model, RequestView, Turn

HARD = "Prove that the sum of two odd integers is even, and derive the same for products of three."


def candidate(name: str, cost: int | None = 1, quality: float | None = None) -> Candidate:
    return Candidate(Model(name=name, id=name, provider="none", endpoint="none", quality=quality), cost_nano=cost)


def request(*texts: str, call_site: str | None = None) -> RequestView:
    return RequestView(turns=tuple(Turn("user", text) for text in texts), input_bytes=0, call_site=call_site)


def words(text: str, step: int) -> Words:
    steps = array("b", bytes(BUCKETS))
    for bucket in read(text).buckets:
        steps[bucket] = step
    return Words(0.05, steps)


def heads(**sites: tuple[float, float]) -> Heads:
    """The weak model fails where the word "prove" occurs."""
    size = len(NAMES)
    return Heads(
        heads=(
            Head(model="small", ability=logit(0.7), hand=(0.0,) * size, words=words("prove", -100)),
            Head(model="large", ability=logit(0.9), hand=(0.0,) * size, words=words("prove", 0)),
        ),
        mean=(0.0,) * size,
        deviation=(1.0,) * size,
        sites=sites,
    )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "policy.json"
    heads(proofs=(logit(0.1), logit(0.9))).write(path)
    return path


PAIR = [candidate("small", 1), candidate("large", 20)]


def test_it_starts_where_quality_is_worth_its_cost_and_explains_it(file):
    policy = LearnedPolicy(file, quality_weight=4)
    easy, hard = (policy.decide(request(text), PAIR) for text in ("say hello", "prove it"))
    assert (easy.start, hard.start) == ("small", "large")
    assert easy.quality == pytest.approx({"small": 0.7, "large": 0.9}, abs=0.01)
    assert hard.quality["small"] < 0.3
    assert hard.score == pytest.approx(hard.quality["large"] - hard.quality["small"])
    assert hard.confidence == hard.quality["large"]
    assert hard.reason is Reason.LEARNED
    assert hard.features["file"] == "policy.json"


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({"quality_weight": 0}, "small"),
        ({"quality_weight": 100}, "large"),
        ({"target_quality": 0.6}, "small"),
        ({"target_quality": 0.8}, "large"),
        ({"target_quality": 0.99}, "large"),
    ],
)
def test_the_dial_between_cost_and_quality(file, options, start):
    assert LearnedPolicy(file, **options).decide(request("say hello"), PAIR).start == start


def test_unknown_costs_count_as_places_in_the_order_of_tiers(file):
    policy = LearnedPolicy(file, quality_weight=4)
    unknown = [candidate("small", None), candidate("large", 0)]
    assert policy.decide(request("say hello"), unknown).start == "small"


def test_a_known_call_site_tells_more_than_the_ability_of_the_models(file):
    policy = LearnedPolicy(file, quality_weight=4)
    choice = policy.decide(request("say hello", call_site="proofs"), PAIR)
    assert choice.start == "large"
    assert choice.quality["small"] == pytest.approx(0.1, abs=0.01)
    assert choice.features["call_site_known"] is True
    assert policy.decide(request("say hello", call_site="other"), PAIR).start == "small"


def test_a_new_model_needs_only_its_prior(file):
    policy = LearnedPolicy(file)
    three = [candidate("small", 1), candidate("new", 5, quality=0.8), candidate("large", 20)]
    easy, hard = (policy.decide(request(text), three).quality for text in ("say hello", "prove it"))
    assert easy["new"] == pytest.approx(0.8, abs=0.01)
    assert hard["small"] < hard["new"] < hard["large"]


def test_models_without_a_prior_are_as_strong_as_their_place(file):
    choice = LearnedPolicy(file).decide(request("say hello"), [candidate("x"), candidate("y"), candidate("z")])
    assert choice.quality == pytest.approx({"x": 0.7, "y": 0.821, "z": 0.9}, abs=0.01)
    alone = LearnedPolicy(file).decide(request("say hello"), [candidate("x")])
    assert alone.start == "x"


def test_weak_and_strong_stand_for_the_ends_of_the_tiers(tmp_path):
    told = heads()
    named = tuple(
        Head(model=name, ability=head.ability, hand=head.hand, words=head.words)
        for name, head in zip(("weak", "strong"), told.heads, strict=True)
    )
    Heads(heads=named, mean=told.mean, deviation=told.deviation).write(tmp_path / "p.json")
    three = [candidate("a", quality=0.2), candidate("b", quality=0.8), candidate("c", quality=0.3)]
    quality = LearnedPolicy(tmp_path / "p.json").decide(request("say hello"), three).quality
    assert quality == pytest.approx({"a": 0.7, "b": 0.8, "c": 0.9}, abs=0.01)


def test_a_follow_up_is_as_hard_as_what_it_follows(file):
    policy = LearnedPolicy(file)
    hard = "Now please prove it to all of my good friends, in words of one syllable each"
    alone, followed = (policy.decide(request(*texts), PAIR) for texts in ((hard,), (hard, "why?")))
    assert followed.quality == alone.quality
    assert followed.quality["small"] < policy.decide(request("why?"), PAIR).quality["small"]


def test_the_shipped_file_ranks_a_proof_above_a_greeting():
    policy = LearnedPolicy()
    scores = [policy.decide(request(text), [candidate("w"), candidate("s")]).score for text in ("Hi there!", HARD * 3)]
    assert scores[0] < scores[1]
    assert policy.models == ("weak", "strong")
    assert DEFAULT_FILE.stat().st_size < 2_000_000


def test_it_is_made_by_name():
    assert make_policy("learned", {"target_quality": 0.7}).name == "learned"
    with pytest.raises(ConfigError, match=r"nearest\.file is missing"):
        make_policy("nearest", {})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"quality_weight": -1}, "quality_weight: -1"),
        ({"quality_weight": "much"}, "quality_weight: 'much'"),
        ({"quality_weight": float("nan")}, "quality_weight: nan"),
        ({"target_quality": 1.5}, "target_quality: 1.5"),
        ({"embedding": len}, "is not needed"),
    ],
)
def test_wrong_options_are_refused(file, options, told):
    with pytest.raises(ConfigError, match=told):
        LearnedPolicy(file, **options)


@pytest.mark.parametrize("given", [5, "", b"x", ["a"]])
def test_what_is_no_path_is_refused(given):
    with pytest.raises(ConfigError, match=r"learned\.file"):
        LearnedPolicy(given)


BREAKS = {
    "features": lambda c: c.update(features=["words"]),
    "mean": lambda c: c["mean"].pop(),
    "deviation": lambda c: c["deviation"].__setitem__(0, 0),
    "heads": lambda c: c.update(heads=[]),
    "heads[1]": lambda c: c["heads"][1].pop("model"),
    "ability": lambda c: c["heads"][0].update(ability="high"),
    "steps": lambda c: c["heads"][0]["steps"].append(1),
    "heads[0].steps": lambda c: c["heads"][0].update(steps=[500]),
    "buckets": lambda c: c.update(buckets=[BUCKETS]),
    "hand": lambda c: c["heads"][0]["hand"].pop(),
    "products": lambda c: c["heads"][0].update(products=[1.0]),
    "sites": lambda c: c.update(sites={"x": [1.0]}),
    "calibration": lambda c: c["heads"][0].update(calibration=None),
    "names a model twice": lambda c: c["heads"][0].update(model="large"),
}


@pytest.mark.parametrize("field", BREAKS)
def test_a_broken_file_is_refused_with_the_field(file, field):
    content = json.loads(file.read_text())
    BREAKS[field](content)
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError) as error:
        LearnedPolicy(file)
    assert field in str(error.value)
    assert str(file) in str(error.value)


def test_a_file_with_an_embedding_needs_the_very_one(tmp_path):
    path = tmp_path / "p.json"
    Heads(
        heads=(
            Head(model="small", ability=0.0, embedding=(-3.0, 0.0)),
            Head(model="large", ability=1.0, embedding=(0.0, 0.0)),
        )
    ).write(path)
    with pytest.raises(ConfigError, match="embedding is missing"):
        LearnedPolicy(path)
    with pytest.raises(ConfigError, match="it gave 3 numbers"):
        LearnedPolicy(path, embedding=lambda _: [1.0, 2.0, 3.0]).decide(request("hi"), PAIR)
    with pytest.raises(ConfigError, match=r"learned.embedding: 'none.such:thing' cannot be imported"):
        LearnedPolicy(path, embedding="none.such:thing")
    policy = LearnedPolicy(path, embedding=lambda text: [float("hard" in text), 1.0])
    assert policy.decide(request("hard"), PAIR).start == "large"
    assert policy.decide(request("hard"), PAIR).quality["small"] < policy.decide(request("easy"), PAIR).quality["small"]


# ------------------------------------------------------------------------------------------------------ neighbours
def embedding(text: str) -> Sequence[float]:
    return [1.0 if "sum" in text else 0.0, 1.0 if "poem" in text else 0.0, 0.1]


def labelled(count: int = 30) -> list[Example]:
    return [
        Example(
            text=f"{topic} {at}",
            outcomes={
                "small": Outcome(quality=float(topic == "poem")),
                **({"large": Outcome(quality=1.0)} if at % 2 else {}),
            },
        )
        for topic in ("sum", "poem")
        for at in range(count)
    ]


@pytest.fixture
def near(tmp_path):
    path = tmp_path / "near.json"
    Neighbours.of(labelled(), ("small", "large"), embedding).write(path)
    return path


@pytest.mark.parametrize("numpy", [True, False])
def test_neighbours_tell_how_the_models_do(near, monkeypatch, numpy):
    if not numpy:
        monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    policy = NearestPolicy(near, embedding=embedding, k=20, quality_weight=4)
    hard, easy = (policy.decide(request(text), PAIR) for text in ("a sum", "a poem"))
    assert (hard.start, easy.start) == ("large", "small")
    assert hard.quality["small"] == pytest.approx((0 + 10 * 0.5) / 30)
    assert easy.quality["small"] == pytest.approx((20 + 10 * 0.5) / 30)
    assert hard.reason is Reason.NEAREST
    assert hard.features["neighbours"] == 20


def test_the_file_of_neighbours_holds_no_text(near):
    assert "poem" not in near.read_text()
    assert "sum" not in near.read_text()


def test_a_model_that_was_never_measured_has_its_prior(near):
    policy = NearestPolicy(near, embedding=embedding)
    quality = policy.decide(request("a sum"), [candidate("new", quality=0.33), candidate("other")]).quality
    assert quality["new"] == 0.33
    assert 0 < quality["other"] < 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.update(models=[]), "models"),
        (lambda c: c["vectors"][0].pop(), "vectors[1]"),
        (lambda c: c["vectors"].pop(), "quality: 60 rows for 59 vectors"),
        (lambda c: c["quality"][3].__setitem__(0, 2), "quality[3]"),
        (lambda c: c["quality"][3].__setitem__(0, "good"), "quality[3]"),
    ],
)
def test_a_broken_file_of_neighbours_is_refused(near, change, told):
    content = json.loads(near.read_text())
    change(content)
    near.write_text(json.dumps(content))
    with pytest.raises(ConfigError) as error:
        NearestPolicy(near, embedding=embedding)
    assert told in str(error.value)


@pytest.mark.parametrize("k", [0, -1, True, 2.5])
def test_a_wrong_number_of_neighbours_is_refused(near, k):
    with pytest.raises(ConfigError, match=r"nearest\.k"):
        NearestPolicy(near, embedding=embedding, k=k)


def test_another_embedding_is_refused(near):
    with pytest.raises(ConfigError, match="it gave 1 numbers"):
        NearestPolicy(near, embedding=lambda _: [1.0]).decide(request("x"), PAIR)
