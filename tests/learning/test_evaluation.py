"""What a routing is measured to be worth: small cases worked out by hand, and routings whose worth is known."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest

from router_core.errors import ConfigError
from router_core.learning.bench import Bench, bench_of, chosen_models
from router_core.learning.evaluation import MEASURES, Contender, Result, measure
from router_core.learning.examples import Example, Outcome
from router_core.learning.frontier import by_quality, by_score, outcomes_of
from router_core.types import Price


def example(**outcomes: float | Outcome) -> Example:
    made = {name: of if isinstance(of, Outcome) else Outcome(quality=of) for name, of in outcomes.items()}
    return Example(text="2+2?", outcomes=made)


def pair(*qualities: tuple[float, float], cost: tuple[float, float] | None = None) -> Bench:
    weak, strong = cost or (None, None)
    rows = [
        example(weak=Outcome(quality=low, cost_usd=weak), strong=Outcome(quality=high, cost_usd=strong))
        for low, high in qualities
    ]
    return bench_of(rows, ("weak", "strong"))


FOUR = ((0, 1), (1, 1), (0, 1), (1, 1))
SCORE = np.array([4.0, 3.0, 2.0, 1.0])
"""The gain in the order of this score is 1, 0, 1, 0: see test_metrics."""


def measured(bench: Bench, contender: Contender, draws: int = 0) -> Result:
    return measure(bench, contender, Contender("length", score=np.arange(len(bench.examples))), draws)


# ----------------------------------------------------------------------------------------------------- two models


def test_a_router_of_two_models_in_calls() -> None:
    found = measured(pair(*FOUR), Contender("policy", score=SCORE))
    values = {name: of.value for name, of in found.measures.items()}
    assert values["apgr"] == pytest.approx(0.625)
    assert values["cpt50"] == pytest.approx(0.25)
    assert values["auroc"] == pytest.approx(0.75)
    assert math.isnan(values["ece"])
    # A share of calls is the cost where none is known.
    assert values["dollar_area"] == pytest.approx(0.625)
    assert values["cost_at_95"] == pytest.approx(0.5 + 0.25 * 0.8)
    # The baseline ranks them the other way round: 0, 1, 0, 1.
    assert values["gain"] == pytest.approx(0.625 - 0.375)
    assert found.frontier.quality.tolist() == [0.5, 0.75, 0.75, 1, 1]
    assert values.keys() <= MEASURES.keys()


def test_a_cascade_pays_the_weak_model_in_any_case() -> None:
    bench = pair(*FOUR, cost=(1, 10))
    right = np.array([[0.1], [0.8], [0.2], [0.9]])
    found = measured(bench, Contender("verifier", predicted=right, cascade=True))
    assert found.frontier.cost.tolist() == [1, 3.5, 6, 8.5, 11]
    assert found.frontier.quality.tolist() == [0.5, 0.75, 1, 1, 1]
    values = {name: of.value for name, of in found.measures.items()}
    # From $1 to $6 the line rises to all of the gap, then there is nothing left to gain, up to $10.
    assert values["dollar_area"] == pytest.approx((5 * 0.5 + 4) / 9)
    assert values["cost_at_95"] == pytest.approx((3.5 + 2.5 * 0.8) / 10)
    assert values["ece"] == pytest.approx((0.1 + 0.2 + 0.2 + 0.1) / 4)
    router = measured(bench, Contender("policy", score=-right[:, 0]))
    assert router.frontier.cost.tolist() == [1, 3.25, 5.5, 7.75, 10]


def test_free_models_have_no_share_of_a_cost() -> None:
    found = measured(pair(*FOUR, cost=(0, 0)), Contender("policy", score=SCORE), draws=20)
    assert math.isnan(found.measures["cost_at_95"].value)
    assert math.isnan(found.measures["dollar_area"].value)
    assert found.measures["apgr"].value == pytest.approx(0.625)


def test_two_predictions_rank_by_their_difference() -> None:
    predicted = np.array([[0.9, 0.95], [0.1, 0.2], [0.4, 0.9], [0.5, 0.4]])
    assert Contender("policy", predicted=predicted).ranking == pytest.approx([0.05, 0.1, 0.5, -0.1])


def test_intervals_cover_the_value_and_are_paired() -> None:
    random = np.random.default_rng(0)
    qualities = [(float(low), float(high)) for low, high in random.random((300, 2)) < (0.5, 0.8)]
    bench = pair(*qualities)
    gain = bench.quality[:, 1] - bench.quality[:, 0]
    informed = Contender("informed", score=gain + random.normal(size=300))
    found = measure(bench, informed, Contender("same", score=informed.ranking), 200, 1)
    for name in ("apgr", "cpt20", "cpt50", "auroc", "dollar_area", "cost_at_95"):
        value, low, high = found.measures[name]
        assert low < value < high
    assert found.measures["gain"] == (0, 0, 0)
    assert measure(bench, informed, informed, 200, 1).measures["apgr"] == found.measures["apgr"]


def test_chance_and_who_knows_all() -> None:
    bench = pair((0, 1), (1, 1), (0, 0), (1, 0), (0, 1))
    assert measured(bench, Contender("random", score=np.zeros(5))).measures["apgr"].value == pytest.approx(0.5)
    best = measured(bench, Contender("oracle", score=bench.quality[:, 1] - bench.quality[:, 0]))
    # Two of five gain, one loses: the gap of 1/5 is recovered twice over.
    assert best.frontier.quality.max() == pytest.approx(0.8)
    assert best.measures["apgr"].value > 1


# ---------------------------------------------------------------------------------------------------- many models


def three(*qualities: tuple[float, float, float]) -> Bench:
    costs = (1, 3, 5)
    rows = [
        example(**{name: Outcome(quality=of, cost_usd=cost) for name, of, cost in zip("abc", each, costs, strict=True)})
        for each in qualities
    ]
    return bench_of(rows, ("c", "a", "b"))


def test_many_models_stand_in_the_order_of_their_costs() -> None:
    bench = three((0, 1, 1), (0, 0, 1))
    assert bench.models == ("a", "b", "c")
    assert [point.quality for point in bench.points] == [0, 0.5, 1]
    assert bench.best == 2
    # b lies on the line between a and c.
    assert bench.mixture.tolist() == [0, 2]


def test_aiq_of_a_router_of_three_models() -> None:
    bench = three((1, 1, 1), (0, 1, 1), (0, 0, 1), (0, 0, 0))
    found = measured(bench, Contender("oracle", predicted=bench.quality))
    # Each request at the cheapest model that answers it: $1, $3, $5 and $1 for three of four.
    assert found.frontier.quality.max() == 0.75
    assert found.frontier.cost[found.frontier.quality == 0.75].min() == pytest.approx(2.5)
    # 0.25 at $1, 0.5 at $1.5, 0.75 at $2.5, then level to $5; single models make 0.25, 0.5, 0.75 at $1, $3, $5.
    area = 0.5 * 0.375 + 1 * 0.625 + 2.5 * 0.75
    assert found.measures["aiq"].value == pytest.approx(area / 4)
    assert found.measures["gain"].value == pytest.approx(area / 4 - 0.5)
    assert found.measures["top_quality"].value == 0.75
    assert found.measures["cost_at_95"].value == pytest.approx((1.5 + (0.7125 - 0.5) / 0.25) / 5)
    assert found.measures["ece"].value == 0


def test_a_constant_score_mixes_single_models() -> None:
    bench = three((0, 1, 1), (0, 1, 1), (0, 0, 1), (0, 1, 0))
    found = measured(bench, Contender("random", score=np.zeros(4)))
    assert found.measures["gain"].value == pytest.approx(0)
    assert by_score(bench, np.zeros(4)).tolist() == [[0] * 4, [1] * 4]


def test_settings_go_from_quality_alone_to_cost_alone() -> None:
    bench = three((0, 1, 1), (1, 0, 1))
    picks = by_quality(bench, np.array([[0.1, 0.5, 0.9], [0.5, 0.4, 0.6]]))
    assert picks[0].tolist() == [2, 2]
    assert picks[-1].tolist() == [0, 0]
    assert outcomes_of(bench, picks).cost[0].tolist() == [5, 5]


def test_intervals_of_many_models() -> None:
    random = np.random.default_rng(0)
    qualities = [tuple(map(float, each)) for each in random.random((400, 3)) < (0.3, 0.5, 0.7)]
    bench = three(*qualities)
    informed = Contender("informed", predicted=np.clip(0.4 * bench.quality + 0.6 * random.random((400, 3)), 0, 1))
    found = measured(bench, informed, draws=200)
    for name in ("aiq", "top_quality", "cost_at_95", "gain"):
        value, low, high = found.measures[name]
        assert low < value < high
    assert found.measures["gain"].low > 0


# ------------------------------------------------------------------------------------------------- what is measured


def test_which_of_two_models_is_the_weak_one() -> None:
    rows = [example(good=1, bad=0), example(good=1, bad=1)]
    assert chosen_models(rows) == ("bad", "good")
    assert chosen_models(rows, weak="good") == ("good", "bad")
    assert chosen_models([example(strong=0, weak=1)]) == ("weak", "strong")
    more = [example(a=1, b=0, c=1)]
    assert chosen_models(more) == ("a", "b", "c")
    assert chosen_models(more, models=("c", "b")) == ("b", "c")
    assert chosen_models(more, weak="a", strong="c") == ("a", "c")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"weak": "smal"}, r"weak: 'smal' has no outcomes \(did you mean 'small'\?\); there are 'small', 'large', 'x'"),
        ({"models": ("small", "big")}, "models: 'big' has no outcomes"),
        ({"weak": "small"}, "strong: which of 'large', 'x' it is is not said"),
        ({"weak": "small", "strong": "small"}, "models: routing is between different models"),
        ({"models": ("small",)}, "models: routing is between different models, two at least, not 'small'"),
        ({"models": ("small", "x"), "weak": "x"}, "models: are given beside weak or strong"),
    ],
)
def test_names_that_are_wrong(given: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        chosen_models([example(small=0, large=1, x=1)], **given)


def test_only_examples_that_have_all_models_are_measured() -> None:
    rows = [example(small=0, large=1), example(small=1), example(small=0, large=1)]
    assert len(bench_of(rows, ("small", "large")).examples) == 2
    with pytest.raises(ConfigError, match="no example has an outcome of all of 'small', 'x'; 'x' has 0 of 3: leave"):
        bench_of(rows, ("small", "x"))


def test_without_a_better_model_there_is_nothing_to_route_for() -> None:
    with pytest.raises(ConfigError, match=r"strong: 'b' is not better than 'a' here \(1.000 and 1.000 on 1 examples\)"):
        bench_of([example(a=1, b=1)], ("a", "b"))


def test_costs_come_of_outcomes_or_of_tokens_and_prices() -> None:
    told = Outcome(quality=1, cost_usd=0.5, input_tokens=1, output_tokens=1)
    counted = Outcome(quality=0, input_tokens=1000, output_tokens=500)
    prices = {"a": Price(input=Decimal(2), output=Decimal(4))}
    bench = bench_of([example(a=counted, b=told)], ("a", "b"), prices)
    assert bench.in_dollars
    assert bench.cost.tolist() == [[0.004, 0.5]]
    for rows, models in (
        ([example(a=counted, b=told)], ("a", "b")),
        ([example(a=0, b=told)], ("a", "b")),
        ([example(a=0, b=1, c=1)], ("a", "b", "c")),
    ):
        with pytest.raises(ConfigError, match="cost_usd: 1 of 1 outcomes of 'a' have no cost; give each outcome its"):
            bench_of(rows, models)
    assert not bench_of([example(a=0, b=1)], ("a", "b")).in_dollars
