"""Fine-tuning of an encoder: what it learns, what it writes, and when it writes nothing."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from router_core import ConfigError, MissingExtra
from router_core.learning.bench import Bench, bench_of
from router_core.learning.encoder import Epoch, FineTuning, predicted, train_encoder
from router_core.learning.examples import STRONG, WEAK, Example, Outcome
from router_core.policies import Candidate, TransformersPolicy
from router_core.types import Model, Price
from tests.learning.encoders import files_only, needs_torch, tiny

HARD, EASY, REST = ("integral", "prove", "theorem"), ("add", "cat", "dog", "say"), ("and", "of", "the", "two", "big")
QUICK = FineTuning(epochs=6, batch=8, learning_rate=3e-3, max_length=12)


def texts(count: int, seed: int = 0) -> list[tuple[str, bool]]:
    """Prompts, each with whether it is hard."""
    draw = random.Random(seed)  # noqa: S311
    made = []
    for _ in range(count):
        hard = draw.random() < 0.5
        words = [draw.choice(HARD if hard else EASY), *draw.choices(REST, k=draw.randrange(2, 8))]
        draw.shuffle(words)
        made.append((" ".join(words), hard))
    return made


def pair(count: int, seed: int = 0, *, learnable: bool = True, groups: int | None = None) -> Bench:
    """Hard prompts need the strong model, which knows almost all."""
    draw = random.Random(seed)  # noqa: S311
    examples = []
    for at, (text, hard) in enumerate(texts(count, seed)):
        weak = not hard if learnable else draw.random() < 0.5
        outcomes = {WEAK: Outcome(quality=weak), STRONG: Outcome(quality=draw.random() < 0.95)}
        group = f"{text} {at}" if groups is None else str(at % groups)
        examples.append(Example(text=text, outcomes=outcomes, group=group))
    return bench_of(examples, (WEAK, STRONG))


def started(policy: TransformersPolicy, names: tuple[str, ...], seed: int) -> list[tuple[str, bool]]:
    """Where new prompts start, each with whether it is hard."""
    candidates = [Candidate(Model(name=name, id=name, provider="p", endpoint="e")) for name in names]
    return [
        (policy.decide(Example(text=text, outcomes={}).request, candidates).start, hard)
        for text, hard in texts(40, seed)
    ]


@needs_torch
def test_learns_what_a_prompt_needs(tmp_path: Path) -> None:
    tiny(tmp_path / "base", labels=None)
    heard: list[Epoch] = []

    trained = train_encoder(pair(240), tmp_path / "base", tmp_path / "tuned", QUICK, heard.append)

    assert (trained.examples, trained.evidence.examples) == (168, 48)
    assert trained.evidence.low > 0.1
    assert trained.labels == (WEAK, STRONG, "none")
    assert trained.epochs == tuple(heard)
    assert heard[-1].loss < heard[0].loss
    told = started(TransformersPolicy(tmp_path / "tuned"), ("small", "large"), seed=9)
    assert sum((start == "large") is hard for start, hard in told) >= 38
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "tuned"], "nothing else is left behind"
    assert (tmp_path / "tuned" / "model.safetensors").is_file()


@needs_torch
def test_learns_which_of_many_models_suffices(tmp_path: Path) -> None:
    """Of four models one is dearer than a better one: it is left out."""
    tiny(tmp_path / "base")
    costs = {"small": 0.1, "middle": 1.0, "poor": 1.5, "large": 4.0}
    examples = []
    for text, hard in texts(240):
        knows = {"small": "cat" in text or "dog" in text, "middle": not hard, "poor": False, "large": True}
        outcomes = {name: Outcome(quality=knows[name], cost_usd=cost) for name, cost in costs.items()}
        examples.append(Example(text=text, outcomes=outcomes))

    how = replace(QUICK, epochs=12)
    trained = train_encoder(bench_of(examples, list(costs)), tmp_path / "base", tmp_path / "tuned", how)

    assert trained.labels == ("small", "middle", "large", "none")
    policy = TransformersPolicy(tmp_path / "tuned", tiers=("small", "middle", "poor", "large"))
    told = started(policy, ("small", "middle", "poor", "large"), seed=9)
    assert sum((start == "large") is hard for start, hard in told) >= 38
    assert {start for start, _ in told} == {"small", "middle", "large"}


@needs_torch
def test_the_same_seed_gives_the_same_model_and_leaves_others_draws_alone(tmp_path: Path) -> None:
    import torch

    from router_core.learning.classifier import load

    tiny(tmp_path / "base", labels=None)
    torch.manual_seed(5)
    expected = torch.rand(3).tolist()
    torch.manual_seed(5)
    quality = []
    for name in ("one", "two"):
        train_encoder(pair(120), tmp_path / "base", tmp_path / name, QUICK)
        quality.append(predicted(load(tmp_path / name), ["prove the theorem", "add two and two"]).tolist())

    assert quality[0] == quality[1]
    assert torch.rand(3).tolist() == expected


@needs_torch
def test_what_is_no_better_than_single_models_is_not_written(tmp_path: Path) -> None:
    tiny(tmp_path / "base", labels=None)

    with pytest.raises(ConfigError, match=r"tuned: not written, .*APGR 0\.\d+ against 0\.500 .*24 held-out"):
        train_encoder(pair(120, learnable=False), tmp_path / "base", tmp_path / "tuned", FineTuning(epochs=1))

    assert [path.name for path in tmp_path.iterdir()] == ["base"]


@needs_torch
def test_what_cannot_be_learned_is_a_clear_error(tmp_path: Path) -> None:
    tiny(tmp_path / "base", labels=None)

    with pytest.raises(ConfigError, match=r"learning_rate: 1e\+30 is too high"):
        train_encoder(pair(60), tmp_path / "base", tmp_path / "tuned", FineTuning(learning_rate=1e30, epochs=1))
    with pytest.raises(ConfigError, match="max_length: 17 tokens cannot be given to this model; give 4 to 16"):
        train_encoder(pair(60), tmp_path / "base", tmp_path / "tuned", FineTuning(max_length=17))
    with pytest.raises(ConfigError, match="nowhere: there is no such folder"):
        train_encoder(pair(60), tmp_path / "nowhere", tmp_path / "tuned")
    with pytest.raises(ConfigError, match="tuned: cannot be written"):
        train_encoder(pair(60), tmp_path / "base", tmp_path / "no" / "tuned")

    assert [path.name for path in tmp_path.iterdir()] == ["base"]


@needs_torch
def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is there already and is left as it is"):
        train_encoder(pair(60), tmp_path / "base", files_only(tmp_path / "tuned"))

    assert len(list((tmp_path / "tuned").iterdir())) == 3


def test_too_few_groups_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="group: 2 groups of examples cannot be parted in three"):
        train_encoder(pair(60, groups=2), tmp_path / "base", tmp_path / "tuned")


def test_where_one_model_is_best_and_cheapest_there_is_nothing_to_learn(tmp_path: Path) -> None:
    price = {name: Price(input=at, output=at) for at, name in enumerate(("a", "b", "c"))}
    outcome = {
        name: Outcome(quality=1 - at / 2, input_tokens=1, output_tokens=1) for at, name in enumerate(("a", "b", "c"))
    }
    bench = bench_of([Example(text=text, outcomes=outcome) for text, _ in texts(20)], ("a", "b", "c"), price)

    with pytest.raises(ConfigError, match="models: 'a' is the best and the cheapest"):
        train_encoder(bench, tmp_path / "base", tmp_path / "tuned")


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(MissingExtra, match=r"router-core\[transformers\]"):
        train_encoder(pair(60), tmp_path / "base", tmp_path / "tuned")


@pytest.mark.parametrize("setting", ["epochs", "batch", "learning_rate"])
def test_a_recipe_that_does_nothing_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=f"{setting}: 0 is not above 0"):
        FineTuning(**{setting: 0})
