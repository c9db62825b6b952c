"""Whether two answers say the same: as numbers, choices, JSON, code or short text, however they are written.

It errs on the side of difference. Where it says that two answers agree, no second look is taken; where it says that
they differ or cannot be compared, a stronger model is asked, which costs money and nothing else.
"""

from __future__ import annotations

import ast
import json
import re
import unicodedata
import warnings
from collections.abc import Callable, Hashable, Mapping
from decimal import Decimal
from typing import Any, Literal, NoReturn, TypeAlias

from router_core.features import scan
from router_core.learning.finals import final_answer
from router_core.learning.quantities import Quantity, compatible, read_quantity
from router_core.reading import empty_handed

Kind: TypeAlias = Literal["auto", "number", "choice", "json", "code", "text"]
Form: TypeAlias = Hashable
"""A normal form: two answers of a kind agree if theirs are equal."""

_LONGEST = 20_000
"""Characters of an answer that is compared."""
_SHORT = 12
"""Words of the longest text that is compared as a text: what is longer is never worded twice alike."""

_MOST_PARTS = 500
"""Objects and lists of JSON that are compared: fewer than can be nested too deeply."""
_END = 200
"""Characters at the end of an explanation in which its result is looked for."""

_FENCE = re.compile(r"```([^\n`]*)\n(.*?)```", re.DOTALL)
_CHOICE = re.compile(r"(?:(?:option|choice|opci[o\u00f3]n)\s+)?(?:\(([A-J])\)|([A-J])(?=[.:)]|$))", re.IGNORECASE)
_LETTER = re.compile(r"\W*(?:(?:option|choice|opci[o\u00f3]n)\s+)?\W*[A-J]\W*", re.IGNORECASE)
_OPTION = re.compile(r"^\s*\(?[A-J][.:)]\s", re.MULTILINE)
_LEAST_OPTIONS = 2
_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|far|long|old|tall|fast)\b|\b(?:calculate|compute|evaluate|find|what is|what's) (?:the )?"
    r"(?:total |final |exact )?(?:value|sum|number|amount|area|cost|price|product|difference|average|percentage)\b"
    r"|\bcu[a\u00e1]nt[oa]s?\b|\bcalcula\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.])(?:-\s?)?(?:[$\u20ac\u00a3]\s?)?-?\d[\d,]*(?:\.\d+)?(?:/\d+)?(?:\s?%)?(?![\w/])")
_TOKEN = re.compile(r"[^\W_]+(?:[+#]+|(?:[.,][^\W_]+)+)?|[<>=+\-*/^%$\u20ac\u00a3&|!~@\\]")
_ARTICLES = frozenset({"a", "an", "the", "el", "la", "los", "las", "un", "una"})
_PYTHON = frozenset({"", "python", "py", "python3"})
_DRESSING = " \t\n*_`\"'$"
_KEYS = ("answer", "final_answer")
"""Keys of a JSON object that hold the answer, beside others that explain it."""


def agree(left: str, right: str, *, kind: Kind = "auto", request: str = "") -> bool | None:
    """Whether two answers say the same; None if they cannot be compared, as long texts and answers that say nothing.

    ``kind`` "auto" finds out from both answers and the text of the request what they are. An answer that explains
    itself is taken by its final answer ("#### 18", "The answer is (C)", a key "answer" of JSON), one to a question for
    a number by its last number. What is of two kinds does not agree.
    """
    if kind != "auto":
        return _equal(normal_form(left, kind), normal_form(right, kind))
    if _says_nothing(left) or _says_nothing(right):
        return None
    if left.strip() == right.strip():
        return True
    readings = [_reading(_point(text, request), request) for text in (left, right)]
    for each in _KINDS:
        one, other = readings[0][each], readings[1][each]
        if one is not None and other is not None:
            return _equal(one, other)
    return False if all(any(form is not None for form in reading.values()) for reading in readings) else None


def _reading(point: str, request: str) -> dict[Kind, Form | None]:
    """What an answer may be, by kind."""
    forms: dict[Kind, Form | None] = {kind: normal_form(point, kind) for kind in _KINDS}
    if _LETTER.fullmatch(point) is None and len(_OPTION.findall(request)) < _LEAST_OPTIONS:
        forms["choice"] = None  # "A: yes" is a choice only where there are choices
    if forms["text"] is not None and scan(request).code:
        forms["text"] = point.strip(_DRESSING)  # what a program prints is right to the letter, or wrong
    return forms


def normal_form(text: str, kind: Kind) -> Form | None:
    """What an answer of a kind says, however it is written; None if it is not of this kind.

    ``number``: the exact number, its unit and what follows it. ``choice``: a letter A-J. ``json``: an object or a list,
    its keys in any order and 1.0 as 1. ``code``: Python's parse tree without docstrings, or a literal of Python.
    ``text``: the words of a short text without case, accents, articles and punctuation.
    """
    reader = _READERS.get(kind)
    if reader is None:
        raise ValueError(f"kind: {kind!r} has no normal form; give one of {', '.join(_READERS)}")
    try:
        return reader(text) if len(text) <= _LONGEST else None
    except RecursionError:  # nested more deeply than anybody means
        return None


def _equal(one: Form | None, other: Form | None) -> bool | None:
    if one is None or other is None:
        return None if one is other else False
    return one.is_same(other) if isinstance(one, Quantity) and isinstance(other, Quantity) else one == other


def _says_nothing(text: str) -> bool:
    return not text.strip() or any(empty_handed(text, kind, finished=True) for kind in _EMPTY)


_EMPTY: tuple[Literal["abstention", "refusal"], ...] = ("abstention", "refusal")


def _point(text: str, request: str) -> str:
    """What an answer comes to; all of it if it does not say."""
    value = _json_value(text)
    if isinstance(value, dict):
        told = next((value[key] for key in _KEYS if key in value), None)
        if told is None:
            return text
        return str(told) if isinstance(told, str | Decimal) else json.dumps(told, default=str)
    if "```" in text:
        return text
    found = final_answer(text)
    if _ASKS_NUMBER.search(request):
        stated = _NUMBER.findall((found or text[-_END:]).replace("**", ""))
        return stated[-1] if stated else found or text
    if found is not None and "=" in found:
        return found.rpartition("=")[2]
    return found or text


def _number_form(text: str) -> Form | None:
    return read_quantity(text)


def _choice_form(text: str) -> Form | None:
    found = _CHOICE.match(text.strip(_DRESSING))
    return (found[1] or found[2]).upper() if found else None


def _json_form(text: str) -> Form | None:
    value = _json_value(text)
    return None if value is None else _frozen(value)


def _json_value(text: str) -> Any:
    """The object or list that an answer is, also in a fence; None if it is none."""
    fence = _FENCE.fullmatch(text.strip())
    inner = fence[2] if fence and fence[1].strip().lower() in {"", "json"} else text
    if inner.strip()[:1] not in ("{", "[") or inner.count("{") + inner.count("[") > _MOST_PARTS:
        return None
    try:
        return json.loads(inner, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, ArithmeticError):
        return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _frozen(value: Any) -> Form:
    if isinstance(value, dict):
        return ("object", frozenset((key, _frozen(part)) for key, part in value.items()))
    if isinstance(value, list):
        return ("list", tuple(map(_frozen, value)))
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return ("number", value)
    return (type(value).__name__, compatible(value).strip() if isinstance(value, str) else value)


def _code_form(text: str) -> Form | None:
    """The parse tree of the fenced blocks of Python, or of a text that is a literal of Python and nothing else."""
    blocks = [code for language, code in _FENCE.findall(text) if language.strip().lower() in _PYTHON]
    tree = _parsed("\n".join(blocks), "exec") if blocks else _parsed(text.strip(" \t\n*`$"), "eval")
    if isinstance(tree, ast.Expression):
        return ast.dump(tree) if _is_literal(tree.body) else None
    return None if tree is None else ast.dump(_undocumented(tree))


_LITERALS = (ast.List, ast.Tuple, ast.Dict, ast.Set)
_IN_LITERALS = (*_LITERALS, ast.Constant, ast.UnaryOp, ast.unaryop, ast.expr_context)


def _is_literal(tree: ast.expr) -> bool:
    """Whether this is a list, tuple, dictionary or set of constants, or a string: what is no number and no word."""
    if isinstance(tree, ast.Constant):
        return isinstance(tree.value, str | bytes)
    return isinstance(tree, _LITERALS) and all(isinstance(node, _IN_LITERALS) for node in ast.walk(tree))


def _parsed(code: str, mode: Literal["exec", "eval"]) -> ast.AST | None:
    try:
        with warnings.catch_warnings(action="ignore"):  # of escape sequences in the answer's strings
            return ast.parse(code, mode=mode)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _undocumented(tree: ast.AST) -> ast.AST:
    """The tree without docstrings, which are comments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            del node.body[0]
    return tree


def _text_form(text: str) -> Form | None:
    bare = unicodedata.normalize("NFD", compatible(text).casefold())
    bare = "".join(character for character in bare if not unicodedata.combining(character))
    words = tuple(word for word in _TOKEN.findall(bare) if word not in _ARTICLES)
    return words if 0 < len(words) <= _SHORT else None


_READERS: Mapping[Kind, Callable[[str], Form | None]] = {
    "json": _json_form,
    "choice": _choice_form,
    "number": _number_form,
    "code": _code_form,
    "text": _text_form,
}
_KINDS = tuple(_READERS)
"""In the order in which both answers are tried."""
