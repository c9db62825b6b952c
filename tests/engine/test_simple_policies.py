"""Static, cheapest and random choices, the user's own, and policies made by name: what is chosen, what is refused."""

from __future__ import annotations

import asyncio
import functools
import sys
import types
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from router_core.errors import ConfigError
from router_core.policies import (
    POLICIES,
    CallablePolicy,
    Candidate,
    CheapestPolicy,
    Choice,
    Policy,
    RandomPolicy,
    StaticPolicy,
    make_policy,
)
from router_core.records import Reason
from router_core.types import Model, RequestView, Turn

NAMES = ["nano", "mini", "mid", "big", "huge", "giant"]
REQUEST = RequestView(turns=(Turn("user", "What is the capital of France?"),), input_bytes=0)


def candidates(count: int = 3, costs: Sequence[int | None] = ()) -> list[Candidate]:
    """Weakest first, with priors 0.5, 0.6, ..."""
    return [
        Candidate(
            model=Model(name=name, id=name, provider="test", endpoint="test", quality=0.5 + tier / 10),
            cost_nano=costs[tier] if tier < len(costs) else None,
        )
        for tier, name in enumerate(NAMES[:count])
    ]


def decided(policy: Policy, count: int = 3) -> Choice:
    choice = policy.decide(REQUEST, candidates(count))
    assert isinstance(choice, Choice)
    return choice


# -------------------------------------------------------------------------------------- static, cheapest, random
def test_static_takes_its_model() -> None:
    assert decided(StaticPolicy()).start == "nano"
    assert decided(StaticPolicy("mini")).start == "mini"
    assert decided(StaticPolicy("mini")).reason is Reason.STATIC


def test_static_climbs_where_its_model_is_ruled_out() -> None:
    tiers = ("tiny", *NAMES)
    without = [candidate for candidate in candidates(6) if candidate.model.name not in {"mini", "giant"}]
    assert StaticPolicy("tiny", tiers).decide(REQUEST, without).start == "nano"
    assert StaticPolicy("mini", tiers).decide(REQUEST, without).start == "mid"
    assert StaticPolicy("giant", tiers).decide(REQUEST, without).start == "huge"
    choice = StaticPolicy("mini").decide(REQUEST, without)
    assert choice.start == "huge"
    assert choice.features == {"wanted": "mini", "feasible": False}


@pytest.mark.parametrize(
    ("costs", "start"),
    [
        ((30, 20, 10), "mid"),
        ((10, 20, 30), "nano"),
        ((20, 10, 10), "mini"),
        ((None, 20, None), "mini"),
        ((None, None, 5), "mid"),
        ((0, None, 0), "nano"),
        ((None, 0, 7), "mini"),
        ((None, None, None), "nano"),
    ],
)
def test_cheapest_takes_the_lowest_known_cost_and_of_equals_the_weaker(
    costs: tuple[int | None, ...], start: str
) -> None:
    choice = CheapestPolicy().decide(REQUEST, candidates(3, costs))
    assert (choice.start, choice.reason) == (start, Reason.CHEAPEST)


def test_random_draws_all_candidates_and_repeats_itself_by_seed() -> None:
    def draws(seed: int) -> list[str]:
        policy = RandomPolicy(seed)
        return [decided(policy).start for _ in range(300)]

    assert draws(1) == draws(1) != draws(2)
    assert all(70 <= times <= 130 for times in Counter(draws(1)).values())


def test_random_gives_threads_the_same_draws_as_one_caller() -> None:
    alone, shared = RandomPolicy(7), RandomPolicy(7)
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(lambda _: decided(shared).start, range(400)))
    assert Counter(drawn) == Counter(decided(alone).start for _ in range(400))


@pytest.mark.parametrize("count", range(1, 7))
@pytest.mark.parametrize("policy", [StaticPolicy(), StaticPolicy("big"), CheapestPolicy(), RandomPolicy()])
def test_one_candidate_or_many(policy: Policy, count: int) -> None:
    choice = decided(policy, count=count)
    assert choice.start in NAMES[:count]
    assert choice.quality == pytest.approx({c.model.name: c.model.quality for c in candidates(count)})


# ------------------------------------------------------------------------------------------------ the user's own
def by_name(request: RequestView, candidates: Sequence[Candidate]) -> str:
    return candidates[-1].model.name


async def by_name_later(request: RequestView, candidates: Sequence[Candidate]) -> str:
    return candidates[-1].model.name


class Whole:
    """A policy of the user's own as an object."""

    name = "whole"

    def decide(self, request: RequestView, candidates: Sequence[Candidate]) -> Choice:
        return Choice(start="mini", reason=Reason.CUSTOM, order=("mid",), features={"why": "because"})


class Called:
    """An object that is async only by its ``__call__``."""

    async def __call__(self, request: RequestView, candidates: Sequence[Candidate]) -> str:
        return candidates[-1].model.name


class NeedsArguments:
    """A class of policies that cannot be made by name."""

    def __init__(self, table: object) -> None: ...


def test_a_function_names_a_candidate() -> None:
    choice = decided(CallablePolicy(by_name))
    assert (choice.start, choice.reason) == ("mid", Reason.CUSTOM)
    assert choice.features == {"function": f"{__name__}:by_name"}


@pytest.mark.parametrize("given_as", [Whole(), Whole, Whole().decide])
def test_an_object_or_a_class_makes_a_whole_choice(given_as: Any) -> None:
    choice = decided(CallablePolicy(given_as))
    assert choice == Whole().decide(REQUEST, [])


@pytest.mark.parametrize(
    "function",
    [
        by_name_later,
        Called(),
        functools.partial(by_name_later),
        lambda request, candidates: by_name_later(request, candidates),  # noqa: PLW0108 - a coroutine from a function
    ],
)
async def test_an_async_function_is_awaited(function: Any) -> None:
    choice = await CallablePolicy(function).decide(REQUEST, candidates())
    assert (choice.start, choice.reason) == ("mid", Reason.CUSTOM)


async def test_a_future_is_awaited() -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    future.set_result("nano")
    assert (await CallablePolicy(lambda *_: future).decide(REQUEST, candidates())).start == "nano"


def test_an_async_function_leaves_nothing_behind_when_it_is_not_awaited() -> None:
    for function in (by_name_later, Called()):
        CallablePolicy(function).decide(REQUEST, candidates()).close()  # a warning would be an error here


@pytest.mark.parametrize("returned", ["min", Choice(start="min", reason=Reason.CUSTOM)])
def test_a_name_that_is_no_candidate_is_refused_with_those_that_are(returned: object) -> None:
    with pytest.raises(ConfigError, match=r"'min', which is no candidate \(did you mean 'mini'\?\).*\['nano', 'mini'"):
        decided(CallablePolicy(lambda *_: returned))


def test_an_order_of_other_names_is_refused() -> None:
    with pytest.raises(ConfigError, match="returned 'gpt', which is no candidate"):
        decided(CallablePolicy(lambda *_: Choice(start="nano", reason=Reason.CUSTOM, order=("mini", "gpt"))))


@pytest.mark.parametrize("returned", [None, 1, candidates()[0]])
def test_anything_but_a_name_or_a_choice_is_refused(returned: object) -> None:
    with pytest.raises(ConfigError, match="return a Choice or the name of a candidate"):
        decided(CallablePolicy(lambda *_: returned))


async def test_what_an_async_function_returns_is_checked_too() -> None:
    async def wrong(*_: object) -> str:
        return "gpt"

    with pytest.raises(ConfigError, match="'gpt', which is no candidate"):
        await CallablePolicy(wrong).decide(REQUEST, candidates())


def test_an_import_path_finds_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("routing_rules")
    vars(module).update(by_name=by_name, Whole=Whole)
    monkeypatch.setitem(sys.modules, "routing_rules", module)
    assert decided(make_policy("callable", {"function": "routing_rules:by_name"})).start == "mid"
    assert decided(make_policy("callable", {"function": "routing_rules:Whole"})).start == "mini"
    with pytest.raises(ConfigError, match=r"routing_rules has no 'by_nam' \(did you mean 'by_name'\?\)"):
        make_policy("callable", {"function": "routing_rules:by_nam"})


# ------------------------------------------------------------------------------------------------------- by name
def test_policies_are_made_by_name() -> None:
    options = {
        "static": {"model": "mini"},
        "callable": {"function": by_name},
        "share": {"policy": "random", "share": 0.5},
    }
    for name in POLICIES.keys() - {
        "transformers",
        "guarded",
        "nearest",
        "judge",
    }:  # they need files, and a model to ask
        policy = make_policy(name, options.get(name, {}), NAMES)
        assert policy.name == name
        assert decided(policy).start in NAMES


def test_options_reach_the_policy() -> None:
    assert decided(make_policy("difficulty", {"medium": 0.01, "hard": 0.02, "carry": 0.5})).reason is Reason.HARD
    assert decided(make_policy("complexity", {"medium": 0, "complex": 1})).reason is Reason.MODERATE
    assert decided(make_policy("random", {"seed": 3})).features == {"seed": 3}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "dificulty",
            {},
            r"'dificulty' is no policy \(did you mean 'difficulty'\?\); there are difficulty, complexity",
        ),
        ("difficulty", {"mediun": 0.1}, r"difficulty.mediun: 0.1 .*did you mean 'medium'\?.* medium, hard, carry"),
        ("cheapest", {"seed": 1}, r"cheapest.seed: 1 .* the options are: none"),
        ("static", {"tiers": ["a"]}, r"static.tiers: \['a'\] .* the options are: model"),
        ("difficulty", {"medium": "low"}, r"difficulty.medium: 'low' is not a number"),
        ("difficulty", {"hard": True}, r"difficulty.hard: True is not a number"),
        ("difficulty", {"hard": float("nan")}, r"difficulty.hard: nan is not a number"),
        ("difficulty", {"medium": 0.6}, r"difficulty.medium: 0.6 and hard: 0.45 .* give 0 <= medium <= hard <= 1"),
        ("difficulty", {"medium": -0.1}, r"difficulty.medium: -0.1"),
        ("complexity", {"complex": 14}, r"complex: 14 .* give 0 <= medium <= complex <= 13"),
        ("complexity", {"carry": 1.5}, r"complexity.carry: 1.5 is not between 0 and 1"),
        ("complexity", {"carry": None}, r"complexity.carry: None is not a number"),
        ("static", {"model": 4}, r"static.model: 4 is not the name of a model"),
        ("static", {"model": ""}, r"static.model: '' is not the name of a model"),
        ("static", {"model": "minni"}, r"static.model: 'minni' is no model \(did you mean 'mini'\?\)"),
        ("random", {"seed": "x"}, r"random.seed: 'x' is not a whole number"),
        ("random", {"seed": True}, r"random.seed: True is not a whole number"),
        ("callable", {}, r"callable.function is missing"),
        ("callable", {"function": "rules"}, r"callable.function: 'rules' is not of the form 'package.module:name'"),
        ("callable", {"function": "no_such_module:f"}, r"'no_such_module:f' cannot be imported .* PYTHONPATH"),
        ("callable", {"function": 5}, r"callable.function: 5 is neither a function"),
        ("callable", {"function": NeedsArguments}, r":NeedsArguments cannot be made without arguments"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^policy: .*{message}"):
        make_policy(name, options, NAMES)
