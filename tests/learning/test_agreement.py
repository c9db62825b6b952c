from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.learning.agreement import agree, normal_form
from router_core.learning.quantities import read_quantity

KINDS = st.sampled_from(["auto", "number", "choice", "json", "code", "text"])
TEXTS = st.text(max_size=60) | st.text(alphabet="0123456789.,/$%-+ ABCab(){}[]'\":\n", max_size=40)
NUMBERS = st.decimals(min_value=-(10**9), max_value=10**9, places=2, allow_nan=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5), parts, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("18", "$18"),
        ("18", "18.00"),
        ("1,000.50", "1000.5"),
        ("1.000,50", "1000.5"),
        ("50%", "50 percent"),
        ("3/4", "0.75"),
        ("1 1/2", "1.5"),
        ("2\u00bd", "2.5"),
        (r"\boxed{\frac{3}{4}}", "0.75"),
        ("1e3", "1000"),
        ("1.5 million", "1,500,000"),
        ("\u22125", "-5"),
        ("2 hours", "2 h"),
        ("**18** eggs per day", "18 eggs"),
        ("#### 18", "So 9 * 2 = 18.\n#### 18.00"),
        ("The answer is (C).", "C"),
        ("Option C", "(c)"),
        ("**B**", "The correct answer is B."),
        ('{"a": 1, "b": [1.0, 2]}', '```json\n{"b": [1, 2.00], "a": 1}\n```'),
        ('{"reasoning": "one way", "answer": "18"}', '{"answer": 18, "reasoning": "another"}'),
        ('{"reasoning": "one way", "answer": "18"}', "The answer is 18."),
        ("```python\nx=1 # set\n```", "Here:\n```py\nx = 1\n```"),
        ('```python\ndef f():\n    "Docs."\n    return 1\n```', "```python\ndef f(): return 1\n```"),
        ("[(4, 1), 'a']", '[(4,1),"a"]'),
        ("The Eiffel Tower.", "eiffel tower"),
        ("Caf\u00e9", "Cafe\u0301"),
        ("M\u00e9xico", "Mexico"),
    ],
)
def test_the_same_said_otherwise_agrees(left, right):
    assert agree(left, right) is True
    assert agree(right, left) is True


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("18", "81"),
        ("3.5", "35"),
        ("-5", "5"),
        ("18k", "18"),
        ("5m", "5"),
        ("2**3", "23"),
        ("2\u00b3", "23"),
        ("2\u00bd", "10.5"),
        ('{"a": "2\u00b3"}', '{"a": "23"}'),
        ("1,5", "15"),
        ("3 km", "3 miles"),
        ("$3", "\u20ac3"),
        ("3 blind mice", "3 musketeers"),
        ("18", "eighteen"),
        ("(A)", "(B)"),
        ('{"a": 1}', '{"a": true}'),
        ('{"a": [1, 2]}', '{"a": [2, 1]}'),
        ("[1, 2]", "(1, 2)"),
        ("```python\nx = 1\n```", "```python\nx = 2\n```"),
        ("C", "C++"),
        ("x < 5", "x > 5"),
        ("yes", "no"),
        ("A: yes", "A: no"),
    ],
)
def test_what_differs_does_not_agree(left, right):
    assert agree(left, right) is False
    assert agree(right, left) is False


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("", ""),
        ("  ", "18"),
        ("I don't know.", "I don't know."),
        ("I can't help with that.", "18"),
        ("one long explanation of many words " * 5, "another that nobody could compare with it " * 5),
    ],
)
def test_what_cannot_be_compared_is_neither(left, right):
    assert agree(left, right) is None


def test_the_request_tells_what_an_answer_comes_to():
    left, right = "She sells 9 eggs at $2 each, which is $18 a day.", "That makes 18 dollars in total."
    assert agree(left, right) is not True
    assert agree(left, right, request="How much does she earn?") is True


def test_a_letter_before_a_text_is_a_choice_where_there_are_choices():
    request = "Which is blue?\nA. The sea\nB. The sun"
    assert agree("A. The sea", "(A)", request=request) is True
    assert agree("A. The sea", "(A)") is False


def test_programs_are_not_compared_by_their_last_number():
    request = "Calculate the sum of a list in Python."
    left, right = "```python\nprint(sum(x) + 0)\n```", "```python\nprint(max(x) * 0)\n```"
    assert agree(left, right, request=request) is False


def test_the_output_of_a_program_is_compared_to_the_letter():
    assert agree("'mJk'", "mJK", request="What does ```print(f('mjk'))``` print?") is False
    assert agree("'mJk'", "mJk", request="What does ```print(f('mjk'))``` print?") is True


@given(TEXTS, KINDS)
def test_nothing_disagrees_with_itself(text, kind):
    assert agree(text, text, kind=kind) is not False


@given(TEXTS, TEXTS, KINDS)
def test_agreement_is_symmetric(left, right, kind):
    assert agree(left, right, kind=kind) is agree(right, left, kind=kind)


@given(NUMBERS, NUMBERS)
def test_numbers_agree_if_they_are_equal_however_they_are_written(left, right):
    for written in (
        f"{right:,}",
        f"The answer is {right}.",
        f"#### {right:,}",
        f"**{right}**",
        f'{{"answer": {right}}}',
    ):
        assert agree(f"${left}", written) is (left == right)


@given(VALUES)
def test_json_agrees_whatever_its_layout(value):
    content = {"z": value, "a": 1}
    left, right = json.dumps(content), json.dumps(dict(reversed(content.items())), indent=2)
    assert agree(left, right) is True


@given(st.fractions(min_value=-1000, max_value=1000, max_denominator=100))
def test_fractions_are_read_exactly(number):
    read = read_quantity(f"{number.numerator}/{number.denominator}")
    assert read is not None
    assert read.number == Fraction(number)


def test_a_kind_that_has_no_form_is_named():
    with pytest.raises(ValueError, match="'auto' has no normal form; give one of json, choice"):
        normal_form("18", "auto")
    assert normal_form("a dog", "choice") is None


def test_numbers_that_would_fill_the_memory_are_no_numbers():
    assert read_quantity("1e9999") is None
    assert agree("1e999", "2e999", kind="number") is None
    assert agree('{"a": 1e999999999}', '{"a": 2e999999999}') is False
    assert agree('{"a": 1e99999999999999999999}', '{"a": 1}') is not True


@pytest.mark.parametrize("opened", ["[", '{"a":', "(", "-", "1+", "not "])
def test_what_nests_too_deeply_stops_nobody(opened):
    for text in (opened * 5000, f"```python\n{opened * 900}1\n```"):
        agree(f"{text}1", f"{text} 2")
        assert agree(text, text, kind="code") is not False
        assert agree(text, text, kind="json") is not False
