from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.learning.consensus import LEAST_SEEN, MEMORY, Seen, is_sampled, payoff

COUNTS = st.integers(0, 500)


def test_it_is_on_until_enough_was_seen():
    decided = payoff(Seen(disagreed=LEAST_SEEN - 1, cheap_nano=90, strong_nano=100))
    assert decided.on
    assert "too few to tell" in decided.why


def test_good_cheap_models_pay():
    decided = payoff(Seen(agreed=90, disagreed=10, cheap_nano=7, strong_nano=100))
    assert decided.on
    assert decided.without_nano == 100
    assert decided.with_nano == pytest.approx(7 + (11 / 102) * 100)
    assert "agree on 89% of 100 requests and cost 7% of the strong one: consensus pays" in decided.why


def test_a_pair_that_is_weak_and_dear_is_switched_off():
    decided = payoff(Seen(agreed=41, disagreed=59, cheap_nano=55, strong_nano=100))
    assert not decided.on
    assert "does not pay" in decided.why


def test_a_pair_that_agrees_on_bad_answers_is_switched_off():
    decided = payoff(Seen(agreed=90, disagreed=10, cheap_nano=7, strong_nano=100, good=20, bad=20))
    assert not decided.on
    assert "of the agreed answers 50% were good, 80% are demanded" in decided.why


def test_without_costs_nothing_is_decided():
    assert payoff(Seen(agreed=1, disagreed=99)).on
    assert payoff(Seen(agreed=1, disagreed=99, cheap_nano=5, strong_nano=0)).on


def test_switching_off_takes_more_than_staying_off():
    doubtful = Seen(agreed=48, disagreed=52, cheap_nano=50, strong_nano=100)
    assert payoff(doubtful).on
    assert not payoff(doubtful, is_on=False).on


def test_what_is_off_comes_back_when_the_samples_say_so():
    seen, on, requests, compared = Seen(agreed=10, disagreed=190, cheap_nano=30, strong_nano=100), False, 0, 0
    while not on:
        if is_sampled(requests):
            compared += 1
            seen = seen.faded()
            seen = Seen(agreed=seen.agreed + 1, disagreed=seen.disagreed, cheap_nano=30, strong_nano=100)
        requests += 1
        on = payoff(seen, is_on=False).on
    assert compared < 100
    assert requests == 20 * compared


@given(COUNTS, COUNTS)
def test_counts_fade_to_what_is_remembered_and_keep_their_shares(agreed, disagreed):
    faded = Seen(agreed=agreed, disagreed=disagreed).faded()
    assert faded.compared <= MEMORY + 1e-9
    assert faded.agreed * disagreed == pytest.approx(faded.disagreed * agreed)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 100), st.integers(1, 100))
def test_it_is_never_off_where_it_is_expected_to_save(agreed, disagreed, cheap, strong):
    decided = payoff(Seen(agreed=agreed, disagreed=disagreed, cheap_nano=cheap, strong_nano=strong))
    if decided.with_nano is not None and decided.without_nano is not None and not decided.on:
        assert decided.with_nano > decided.without_nano
