"""Arithmetic that a text writes down: its equations are found, computed anew by a parser of its own, and compared.

Understood are decimal numbers with thousands separators, ``+ - * / ^``, their typographic and LaTeX forms, brackets,
"20% of 50", "3 x 4", currency signs, and words between numbers and operators ("3 eggs + 4 eggs = 7"). What has a
variable, a function or anything else in it is left alone. Nothing is ever evaluated as code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

_REACH = 120
"""Characters on each side of an equals sign that are read: an expression of some 20 numbers."""
_MAX_EQUATIONS = 60
"""Equations of one text that are read; a longer text repeats itself."""
_LARGEST = 1e15
"""Numbers beyond it are not exact in floating point, and no ordinary question has them."""
_BEYOND = 1e18
"""Larger numbers, which may be too large for a float, are read as this."""

_NUMBER = re.compile(r"(?<![\w.])([-\u2212]?)[$\u20ac\u00a3]?(\d[\d,]*(?:\.\d+)?|\.\d+)")
_EQUALS = re.compile(r"(?<![=!<>:])[=\u2248](?![=>])")
_LATEX = re.compile(
    r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}|\\(?:text|mathrm|textbf|mathbf)\s*\{[^{}]*\}|\\([a-zA-Z]+)|\\(.)"
)
_COMMANDS = {"times": "*", "cdot": "*", "div": "/", "approx": "="}
_TIMES = re.compile(r"(?<=[\d)%\s])[xX](?=[\s\d($])|(?<=[\d%)]) of (?=[$\d(.])")
"""Words that multiply: 3 x 4, 20% of 50."""
_ASIDE = re.compile(r"\([^()\d]*\)|<<|\*\*|[$\u20ac\u00a3]|(?:/|(?<=\d)-)(?=[^\W\d_])")
"""What is passed over: brackets without a number, the marks of GSM8K, bold type, currency, "$2/egg", "2-cup"."""
_TOKEN = re.compile(r"\d[\d,]*(?:\.\d+)?|\.\d+|(?:[^\W\d_]+\s+){4,}[^\W\d_]+|[^\W\d_]+|[^\s'\"~]|\n")
"""A number, five words or more (which part expressions), a word, any other sign."""
_SIGNS = dict(zip("+-*/^()%\u2212\u00d7\u00b7\u2217\u00f7[{]}", "+-*/^()%-***/(())", strict=True))
_OPERAND = r"\(*(?:-\(*)?n%*(?:\)%*)*"
_EXPRESSION = rf"{_OPERAND}(?:[-+*/^]{_OPERAND})*"
_LEADING, _TRAILING = re.compile(_EXPRESSION), re.compile(rf"(?:{_EXPRESSION})\Z")
_DECIMALS = re.compile(r"\d[\d,]*\.(\d+)|\d")


class Equation(NamedTuple):
    """An expression of two numbers or more, and what the text says that it comes to.

    ``value`` is what it does come to, ``holds`` whether that is what is ``stated``, as far as it is written out.
    """

    operands: tuple[float, ...]
    operators: str
    value: float
    stated: float
    holds: bool


class _Tokens(NamedTuple):
    """The tokens of one side of an equals sign: their kinds ("n" a number, a sign for itself, "." what ends an
    expression), and the numbers in their order."""

    kinds: str
    numbers: list[float]


class _Side(NamedTuple):
    """What stands between two equals signs: the tokens of its beginning and of its end, and how it begins."""

    text: str
    beginning: _Tokens
    end: _Tokens


def numbers(text: str) -> list[float]:
    """The decimal numbers of a text in its order; a minus sign counts where no word or number stands before it."""
    return [-_read(digits) if sign else _read(digits) for sign, digits in _NUMBER.findall(text)]


def equations(text: str) -> list[Equation]:
    """The equations of a text in its order. ``2 * 3 = 3 + 3 = 6`` is two."""
    if "\\" in text:
        text = _LATEX.sub(_plain, text)
    found: list[Equation] = []
    for left, right in pairwise(map(_side, _EQUALS.split(text))):
        expression = _cut(_TRAILING, left.end)
        if len(expression.numbers) > 1:
            value, stated = _compute(expression), _compute(_cut(_LEADING, right.beginning))
            if value is not None and stated is not None:
                operators = expression.kinds.translate(_NO_OPERATORS)
                holds = _same(value, stated, right.text)
                found.append(Equation(tuple(expression.numbers), operators, value, stated, holds))
                if len(found) == _MAX_EQUATIONS:
                    break
    return found


_NO_OPERATORS = str.maketrans("", "", "n()%")


def _plain(match: re.Match[str]) -> str:
    above, below, command, character = match.groups()
    if above is not None:
        return f"(({above})/({below}))"
    if command is not None:
        return _COMMANDS.get(command, " ")
    return character if character in _SIGNS else " "


def _side(text: str) -> _Side:
    beginning = _tokens(text[:_REACH])
    return _Side(text[:_REACH], beginning, beginning if len(text) <= _REACH else _tokens(text[-_REACH:]))


def _same(value: float, stated: float, written: str) -> bool:
    """Whether a result is right as far as it is written out: 10 / 3 = 3.33 is. A share may be told in percent."""
    shown = _DECIMALS.search(written)
    decimals = len(shown[1] or "") if shown else 0
    slack = 0.51 * 10.0**-decimals if decimals else 1e-6 * max(1.0, abs(value))
    return abs(value - stated) <= slack or ("%" in written[:20] and abs(value - 100 * stated) <= max(slack, 0.51))


def _tokens(text: str) -> _Tokens:
    kinds: list[str] = []
    found: list[float] = []
    for token in _TOKEN.findall(_ASIDE.sub(" ", _TIMES.sub(" * ", text))):
        first = token[0]
        if first in _SIGNS:
            kinds.append(_SIGNS[first])
        elif first.isdecimal() or (first == "." and len(token) > 1):
            kinds.append("n")
            found.append(_read(token))
        elif len(token) == 1 or " " in token:
            kinds.append(".")  # a letter is a variable
    return _Tokens("".join(kinds), found)


def _read(digits: str) -> float:
    return min(float(digits.replace(",", "")), _BEYOND)


def _cut(pattern: re.Pattern[str], tokens: _Tokens) -> _Tokens:
    """The longest expression at the end, or at the beginning, without brackets that are open on the other side."""
    match = pattern.search(tokens.kinds) if pattern is _TRAILING else pattern.match(tokens.kinds)
    if match is None:
        return _Tokens("", [])
    kinds = match[0]
    before = tokens.kinds.count("n", 0, match.start())
    own = tokens.numbers[before : before + kinds.count("n")]
    spare = kinds.count("(") - kinds.count(")")
    while spare > 0 and kinds[0] == "(":
        kinds, spare = kinds[1:], spare - 1
    while spare < 0 and kinds[-1] == ")":
        kinds, spare = kinds[:-1], spare + 1
    return _Tokens(kinds, own)


def _compute(expression: _Tokens) -> float | None:
    """The value of an expression; None if it has none."""
    if expression.kinds == "n":
        return expression.numbers[0]
    parser = _Parser(expression)
    try:
        value = parser.whole()
    except (ArithmeticError, ValueError):
        return None
    return value if math.isfinite(value) and abs(value) <= _LARGEST else None


class _Parser:
    """Recursive descent: sum, product, power, operand.

    Raises:
        ValueError: this is no expression, or a root of a negative number.
        ArithmeticError: a division by zero, a power that is too large.
    """

    def __init__(self, expression: _Tokens) -> None:
        self._kinds = f"{expression.kinds}."
        self._numbers: Sequence[float] = expression.numbers
        self._at = self._used = 0

    def whole(self) -> float:
        value = self._sum()
        self._take(".")
        return value

    def _take(self, kinds: str) -> str:
        """The next token if it is one of these kinds, else nothing; a lone kind must be there."""
        kind = self._kinds[self._at]
        if kind in kinds:
            self._at += 1
            return kind
        if len(kinds) == 1:
            raise ValueError(kind)
        return ""

    def _sum(self) -> float:
        value = self._product()
        while sign := self._take("+-"):
            other = self._product()
            value = value + other if sign == "+" else value - other
        return value

    def _product(self) -> float:
        value = self._power()
        while sign := self._take("*/"):
            other = self._power()
            value = value * other if sign == "*" else value / other
        return value

    def _power(self) -> float:
        base = self._operand()
        return math.pow(base, self._power()) if self._take("^^") else base

    def _operand(self) -> float:
        kind = self._take("-(n")
        if kind == "-":
            return -self._operand()
        if kind == "(":
            value = self._sum()
            self._take(")")
        elif kind == "n":
            value = self._numbers[self._used]
            self._used += 1
        else:
            raise ValueError(self._kinds)
        while self._take("%%"):
            value /= 100
        return value
