from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from router_core.features import deciding_turn
from router_core.learning.text import BUCKETS, NAMES, read, scale


def told(text: str) -> dict[str, float]:
    return dict(zip(NAMES, read(text).hand, strict=True))


@given(st.text())
def test_any_text_is_read_as_finite_numbers_and_distinct_buckets(text):
    reading = read(text)
    assert len(reading.hand) == len(NAMES)
    assert all(map(math.isfinite, reading.hand))
    assert len(set(reading.buckets)) == len(reading.buckets)
    assert all(0 <= bucket < BUCKETS for bucket in reading.buckets)
    assert scale(reading) ** 2 * max(1, len(reading.buckets)) == 1 or math.isclose(
        scale(reading) ** 2 * max(1, len(reading.buckets)), 1
    )


def test_lone_surrogates_are_read():
    assert read("\ud800 how many?").buckets


def test_buckets_are_the_same_in_every_process():
    assert sorted(read("Hello, world").buckets) == sorted(read("hello WORLD!").buckets) == [4419, 42630, 63094]


def test_pairs_of_words_tell_their_order():
    assert set(read("dog bites man").buckets) != set(read("man bites dog").buckets)


def test_what_a_multiple_choice_question_shows():
    seen = told("Which number is not prime?\nA. 2\nB. 3\nC. 4\nD. 5\nAnswer:")
    assert seen["options"] == math.log1p(4)
    assert seen["options_numeric"] == 1
    assert seen["negations"] == math.log1p(1)
    assert seen["asks_which"] == 2, "it occurs, and it is the first word"


def test_what_a_word_problem_shows():
    seen = told("Ann buys 3 apples at $1.50 each. How much does she pay?")
    assert seen["numbers"] == math.log1p(2)
    assert seen["decimals"] == math.log1p(1)
    assert seen["money"] == math.log1p(1)
    assert seen["persons"] > 0
    assert seen["options"] == 0


def test_a_long_text_is_known_by_its_beginning_and_its_end():
    long = " ".join(f"word{at}" for at in range(5000))
    assert len(read(long).buckets) < 4100
    assert set(read("word4999").buckets) <= set(read(long).buckets)


def test_a_follow_up_is_read_as_the_turn_that_it_follows():
    hard = "Prove that there are infinitely many primes of the form 4k + 3, step by step."
    assert deciding_turn([hard, "and in French?"]) == hard
    assert deciding_turn([hard, "Now write a short poem about the sea and two ships that meet in the fog."]) != hard
    assert deciding_turn(["why?", "and now?"]) == "and now?"
    assert deciding_turn([]) == ""
