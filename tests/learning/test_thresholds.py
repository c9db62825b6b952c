"""Thresholds that keep to a share or a budget, whatever the traffic."""

import math
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_core.learning.thresholds import SITES, STEP, WINDOW, Thresholds


def strong_share(scores, share, site=None, thresholds=None):
    thresholds = thresholds or Thresholds(share)
    return sum(thresholds.place(site, score).strong for score in scores) / len(scores)


def drawn(count, seed, low=0.0, high=1.0):
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    return [rng.uniform(low, high) for _ in range(count)]


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.lists(st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=300))
def test_the_share_is_kept_for_every_sequence_of_scores(share, scores):
    found = strong_share(scores, share)
    assert abs(found - share) <= (1 / STEP + 1) / len(scores) + 1e-9


def test_the_highest_scores_are_strong():
    thresholds = Thresholds(0.3)
    scores = drawn(2000, 1)
    strong = [score for score in scores if thresholds.place(None, score).strong]
    weak = sorted(set(scores) - set(strong))
    assert sum(strong) / len(strong) > 0.8
    assert weak[len(weak) // 2] < 0.4


def test_each_call_site_has_its_own_threshold():
    thresholds = Thresholds(0.3)
    mixed = [
        (site, score)
        for pair in zip(drawn(300, 2), drawn(300, 3, 100, 200), strict=True)
        for site, score in zip(("short", "long"), pair, strict=True)
    ]
    strong = [site for site, score in mixed if thresholds.place(site, score).strong]
    assert strong.count("short") / 300 == pytest.approx(0.3, abs=0.02)
    assert strong.count("long") / 300 == pytest.approx(0.3, abs=0.02)


def test_traffic_that_changes_is_followed():
    thresholds = Thresholds(0.2)
    strong_share(drawn(3000, 4), 0.2, thresholds=thresholds)
    assert strong_share(drawn(300, 5, 5, 6), 0.2, thresholds=thresholds) == pytest.approx(0.2, abs=0.05)
    assert strong_share(drawn(300, 6), 0.2, thresholds=thresholds) == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("score", [None, math.nan, math.inf])
def test_requests_without_a_score_have_their_share_too(score):
    assert strong_share([score] * 300, 0.4) == pytest.approx(0.4, abs=0.02)


def test_a_budget_per_call_is_kept():
    rng = random.Random(7)  # noqa: S311 - reproducible, not secret
    thresholds, spent = Thresholds(0.004), 0.0
    for _ in range(1000):
        size = rng.uniform(0.5, 1.5)
        weak, strong = 0.001 * size, 0.01 * size
        spent += strong if thresholds.place("site", rng.random(), weak=weak, strong=strong).strong else weak
    assert spent / 1000 == pytest.approx(0.004, rel=0.03)


@pytest.mark.parametrize(("budget", "share"), [(0.0005, 0.0), (0.02, 1.0)])
def test_a_budget_beyond_all_routing_comes_as_near_as_it_can_and_recovers(budget, share):
    thresholds = Thresholds(budget)
    for _ in range(2000):
        placed = thresholds.place(None, 0.5, weak=0.001, strong=0.01)
    assert placed.strong is bool(share)
    # Prices change: it is not held against later calls for long.
    factor = budget / 0.004
    later = [thresholds.place(None, s, weak=0.001 * factor, strong=0.01 * factor).strong for s in drawn(3000, 8)]
    assert sum(later[-500:]) / 500 == pytest.approx(1 / 3, abs=0.03)


def test_a_strong_model_that_costs_no_more_is_always_taken():
    thresholds = Thresholds(0.001)
    assert all(thresholds.place(None, 0.1, weak=0.01, strong=0.01).strong for _ in range(20))


def test_what_is_remembered_is_bounded():
    thresholds = Thresholds(0.5)
    for score in drawn(3 * WINDOW, 9):
        thresholds.place("busy", score)
    for site in range(SITES + 10):
        thresholds.place(str(site), 0.5)
    assert len(thresholds._sites) == SITES
    assert "busy" not in thresholds._sites
    assert thresholds.place("busy", 0.5).calls == 0


def test_a_window_forgets_the_oldest_score():
    thresholds = Thresholds(0.5)
    for score in [0.0] * WINDOW + [1.0] * WINDOW:
        thresholds.place(None, score)
    assert thresholds.place(None, 0.5).rank < 0.01


def test_threads_lose_no_call():
    thresholds = Thresholds(0.3)
    strong = []
    threads = [
        threading.Thread(
            target=lambda seed=seed: strong.extend(thresholds.place(None, score).strong for score in drawn(500, seed))
        )
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(strong) == 2000
    assert sum(strong) / 2000 == pytest.approx(0.3, abs=0.01)
