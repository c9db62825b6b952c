from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.learning.arithmetic import equations, numbers

WHOLE = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("16 - 3 - 4 = 9", 9),
        ("so 9 * $2 = $18 a day", 18),
        ("$<<9*2=18>>18", 18),
        ("150% of $80,000 = $120,000", 120_000),
        ("$80,000 (purchase price) + $50,000 (repairs) = $130,000", 130_000),
        ("3 eggs + 4 eggs = 7 eggs", 7),
        (r"\frac{1}{2} \times 10 = 5", 5),
        (r"2 \* 3 = 6", 6),
        ("10 / 3 = 3.33", 3.33),
        ("36 sq ft * 24 tiles/sq ft = 864", 864),
        ("2 x (3 + 4) = 14", 14),
        ("(2 + 3 = 5)", 5),
        ("2^3 = 8", 8),
        ("flour comes in 2-cup bags, so 12 / 2 = 6", 6),
        ("4 \u00d7 5 \u2212 2 = 18", 18),
    ],
)
def test_right_equations_are_understood(text, stated):
    (equation,) = equations(text)
    assert (equation.stated, equation.holds) == (stated, True)


@pytest.mark.parametrize("text", ["3 + 4 = 8", "10 / 4 = 2", "20% of 50 = 11", "12 - 5 = $6", "10 / 3 = 3.34"])
def test_wrong_equations_are_found(text):
    assert [equation.holds for equation in equations(text)] == [False]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = 5",
        "2x + 3 = 7",
        "x - 3 = 7",
        "f(2 + 3) == 5",
        "a => 2 + 3",
        "1 / 0 = 1",
        "9 ^ 9 ^ 9 ^ 9 = 1",
        "He is 44 of them",
        "= = = 3 + = 4",
        "__import__('os') + 1 = 2",
    ],
)
def test_what_is_no_arithmetic_is_left_alone(text):
    assert [equation for equation in equations(text) if not equation.holds] == []


def test_a_chain_is_one_equation_for_each_sign():
    first, second = equations("2 * 3 + 4 = 6 + 4 = 11")
    assert (first.holds, second.holds, second.stated) == (True, False, 11)


@given(WHOLE, WHOLE, WHOLE)
def test_what_adds_up_holds_and_what_does_not_does_not(left, right, off):
    (equation,) = equations(f"{left} + {right:,} = {left + right + off}")
    assert equation.holds is (off == 0)
    assert equation.operands == (left, right)


@given(st.text(alphabet="0123456789.,+-*/^()%=x $\\{}\n of", max_size=200))
def test_any_text_can_be_read(text):
    for equation in equations(text):
        assert len(equation.operands) > 1
    assert all(map(math.isfinite, numbers(text)))


def test_numbers_are_read_with_separators_and_signs():
    assert numbers("$1,200.50 and -3, not v2 or 5-3") == [1200.5, -3, 5, 3]
