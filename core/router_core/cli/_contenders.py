"""What ``llm-router eval`` measures: policies and verifiers as the scores that they give to examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from router_core.errors import ConfigError
from router_core.learning.bench import Bench
from router_core.learning.evaluation import Contender
from router_core.learning.examples import Example
from router_core.policies import POLICIES, Candidate, Choice, Policy, make_policy
from router_core.policies.learned import LearnedPolicy
from router_core.policies.score import ScorePolicy
from router_core.registry import did_you_mean
from router_core.types import Model, Reply, RequestView, Verdict
from router_core.verifiers import VERIFIERS, Verifier, make_verifier
from router_core.verifiers.learned import LearnedVerifier

LENGTH, RANDOM, ORACLE = "length", "random", "oracle"


def policy(given: str, bench: Bench, embedding: str | None = None) -> Contender:
    """What a policy says of the examples, given by name, by its file, or by the folder of a classifier.

    ``embedding`` is that of a policy file that was trained with one: "package.module:function".

    Raises:
        ConfigError: there is no such policy or file, it is broken, or it does not rank requests by their text.
        MissingExtra: it needs a package that is not installed.
    """
    name = Path(given).name
    if given in {LENGTH, RANDOM}:
        return baseline(given, bench)
    if given in POLICIES:
        return _told(given, make_policy(given, {}, bench.models), bench)
    if Path(given).is_dir():
        return _told(name, make_policy("transformers", {"folder": given}, bench.models), bench)
    if _is_file(given):
        learned = LearnedPolicy(given, embedding=embedding)
        seen = learned.share_seen(example.text for example in bench.examples)
        return replace(_told(name, learned, bench), seen=seen)
    raise _unknown("--policy", "a policy", given, (LENGTH, *POLICIES))


def baseline(name: str, bench: Bench) -> Contender:
    """What every policy is compared with: the length of the prompt in words, chance, and who knows all outcomes."""
    if name == LENGTH:
        words = [len(example.text.split()) for example in bench.examples]
        return Contender(name, score=np.array(words, dtype=np.float64))
    if name == RANDOM:
        return Contender(name, score=np.zeros(len(bench.examples)))
    if bench.is_pair:
        return Contender(name, score=bench.quality[:, 1] - bench.quality[:, 0])
    return Contender(name, predicted=bench.quality)


def verifier(given: str, bench: Bench) -> Contender:
    """What a verifier, given by name or by file, says of the weak model's answers.

    One that does not tell how sure it is has one setting: what it rejects goes to the strong model.

    Raises:
        ConfigError: there is no such verifier or file, it is broken, there are more than two models, or answers are
            missing.
    """
    if not bench.is_pair:
        raise ConfigError("--verifier: a cascade is of two models; give them with --weak and --strong")
    weak = bench.models[0]
    outcomes = [example.outcomes[weak] for example in bench.examples]
    lacking = sum(outcome.answer is None for outcome in outcomes)
    if lacking:
        raise ConfigError(
            f"answer: {lacking} of {len(outcomes)} outcomes of {weak!r} have none, and a verifier looks at answers; "
            'give them as {"quality": ..., "answer": "..."}'
        )
    judge = _verifier(given)
    answers = [
        (example.request, Reply(text=outcome.answer or "", finish_reason=outcome.finish_reason))
        for example, outcome in zip(bench.examples, outcomes, strict=True)
    ]
    name = f"{Path(given).name} (cascade)"
    if isinstance(judge, LearnedVerifier):
        right = np.array([[judge.probability(*answer)] for answer in answers])
        return Contender(name, predicted=right, cascade=True)
    return Contender(name, score=np.array([float(_rejects(judge, *answer)) for answer in answers]), cascade=True)


def _verifier(given: str) -> Verifier:
    if given in VERIFIERS:
        return make_verifier(given, {})
    if _is_file(given):
        return LearnedVerifier(file=given)
    raise _unknown("--verifier", "a verifier", given, VERIFIERS)


def _rejects(judge: Verifier, request: RequestView, reply: Reply) -> bool:
    verdict = judge.check(request, reply)
    if not isinstance(verdict, Verdict):
        raise ConfigError(f"--verifier: {judge.name} asks a model, and none is called here; give another")
    return not verdict.accepted


def _is_file(given: str) -> bool:
    return Path(given).suffix == ".json" or Path(given).exists()


def _unknown(option: str, what: str, given: str, known: Iterable[str]) -> ConfigError:
    return ConfigError(
        f"{option}: {given!r} is neither {what} nor a file{did_you_mean(given, known)}; give the name of a file or one "
        f"of {', '.join(known)}"
    )


def _told(name: str, told: Policy, bench: Bench) -> Contender:
    # Its owner would give a model the prior that it shows here.
    candidates = [
        Candidate(Model(name=model, id=model, provider="", endpoint="", quality=point.quality))
        for model, point in zip(bench.models, bench.points, strict=True)
    ]
    choices = [_choice(name, told, example, candidates) for example in bench.examples]
    scores = [choice.score for choice in choices if choice.score is not None]
    if isinstance(told, ScorePolicy):
        return Contender(name, score=np.array(scores))
    if all(choice.quality.keys() >= set(bench.models) for choice in choices):
        predicted = np.array([[choice.quality[model] for model in bench.models] for choice in choices])
        if len(np.unique(predicted, axis=0)) > 1 or len(choices) == 1:
            return Contender(name, predicted=predicted)
    raise ConfigError(
        f"--policy: {name} says the same of every request, so that there is nothing to measure; give a policy that "
        "reads the text"
    )


def _choice(name: str, told: Policy, example: Example, candidates: Sequence[Candidate]) -> Choice:
    choice = told.decide(example.request, candidates)
    if not isinstance(choice, Choice):
        raise ConfigError(f"--policy: {name} asks a model, and none is called here; give a policy that reads the text")
    return choice
