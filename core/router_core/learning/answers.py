"""What can be seen in an answer, as numbers: features for P(the answer is right), in pure Python.

Most of them are about arithmetic, which can be checked: is an equation wrong, is the final number the last one that was
computed, are the question's numbers used, is a result left unused. The rest is form (length, a final-answer line,
repetition), wording (hedges, refusals), the question, how the call ended, and how sure the model was of its tokens.

Which way each counts is learned, not assumed: on GSM8K short answers are more often right, and hedges say nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from router_core.learning.arithmetic import Equation, equations, numbers
from router_core.learning.finals import final_answer
from router_core.reading import empty_handed, hedges

_LONGEST = 20_000
"""Characters of a question or an answer that are looked at."""

_SPELLED: Mapping[str, float] = {
    word: number
    for number, words in {
        0.5: "half mitad",
        1: "one once uno una",
        2: "two twice double pair couple dos doble par",
        3: "three thrice triple third thirds tres tercio",
        4: "four quarter quarters fourth cuatro cuarto",
        5: "five cinco",
        6: "six seis",
        7: "seven week siete semana",
        8: "eight ocho",
        9: "nine nueve",
        10: "ten diez",
        11: "eleven",
        12: "twelve dozen doce docena",
        15: "fifteen quince",
        20: "twenty veinte",
        30: "thirty treinta",
        40: "forty cuarenta",
        50: "fifty cincuenta",
        60: "sixty sesenta",
        100: "hundred cien",
    }.items()
    for word in words.split()
}
_EVERYDAY = frozenset({0.5, 1.0, 2.0, 3.0, 4.0, 7.0, 10.0, 12.0, 24.0, 30.0, 52.0, 60.0, 100.0, 365.0, 1000.0})
"""Numbers that a computation may bring in by itself: parts and units of time, percent, kilo."""

_WORD = re.compile(r"[^\W\d_]+")
_CORRECTS = frozenset(
    {"however", "wait", "mistake", "but", "incorrect", "actually", "embargo", "espera", "error", "pero"}
)
_REASONS = frozenset({"since", "because", "porque"})
_COMPARES = frozenset({"more", "less", "fewer", "than", "más", "menos"})
_MULTIPLES = frozenset(
    {"times", "twice", "half", "thrice", "double", "triple", "third", "quarter", "veces", "doble", "mitad"}
)
_CONDITIONS = frozenset({"if", "si"})
_LIST_ITEM = re.compile(r"^\s*(?:[-*\u2022]|\d{1,2}[.)])\s", re.MULTILINE)
_OPEN_END = re.compile(r"[\w,;:+*/=<(-]\Z")

FEATURES = (
    "words",
    "lines",
    "list_items",
    "code",
    "repetition",
    "length_ratio",
    "question_overlap",
    "final_marked",
    "final_missing",
    "final_whole",
    "final_negative",
    "final_size",
    "final_over_largest",
    "final_words",
    "hedges",
    "refuses",
    "corrections",
    "reasons",
    "cut_off",
    "open_end",
    "no_equation",
    "wrong_equation",
    "last_equation_wrong",
    "final_is_last_result",
    "final_is_a_result",
    "steps",
    "steps_per_number",
    "steps_off",
    "numbers_used",
    "numbers_unused",
    "numbers_from_nowhere",
    "results_unused",
    "results_fractional",
    "results_negative",
    "last_step_adds",
    "question_words",
    "question_numbers",
    "question_largest",
    "question_percent",
    "question_decimals",
    "question_compares",
    "question_multiples",
    "question_conditions",
    "logprob_known",
    "logprob_mean",
    "logprob_least",
)
"""The names of the features. Counts and sizes are log(1 + n), but for ``steps_off``, shares 0..1, the rest 0 or 1."""


def answer_features(
    question: str, answer: str, *, finish_reason: str | None = None, logprobs: Sequence[float] = ()
) -> dict[str, float]:
    """The features of an answer by name, in the order of ``FEATURES``.

    ``question`` is the user's last turn; ``logprobs`` are the natural logarithms of the probabilities that the model
    gave the tokens of its answer. Linear in the length of the texts.
    """
    question, answer = question[:_LONGEST], answer[:_LONGEST]
    asked, said = _words(question), _words(answer)
    given = numbers(question)
    known = {*given, *(_SPELLED[word] for word in asked if word in _SPELLED)}
    steps = equations(answer)
    marked = final_answer(answer)
    final = _final_number(marked, answer)
    found = {
        **_form(answer, asked, said),
        **_final(final, marked, given),
        **_wording(answer, said, finish_reason),
        **_sums(steps, final),
        **_operands(steps, known, given, numbers(answer)),
        **_question(question, asked, given, len(known)),
        **_probabilities(logprobs),
    }
    return {name: float(found[name]) for name in FEATURES}


def token_logprobs(native: Any) -> tuple[float, ...]:
    """The log-probabilities of the answer's tokens in a provider's own answer; empty where it told none.

    Known are the OpenAI SDK's completion (``choices[0].logprobs.content``) and LangChain's message
    (``response_metadata["logprobs"]["content"]``), as objects or as plain dictionaries.
    """
    meta = _field(native, "response_metadata")
    choices = _field(native, "choices")
    holder = meta or (choices[0] if isinstance(choices, list) and choices else None)
    tokens = _field(_field(holder, "logprobs"), "content")
    told = (_field(token, "logprob") for token in tokens) if isinstance(tokens, list) else ()
    return tuple(float(value) for value in told if isinstance(value, (int, float)) and math.isfinite(value))


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _close(left: float, right: float) -> bool:
    return abs(left - right) <= 1e-6 * max(1.0, abs(left))


def _final_number(marked: str | None, answer: str) -> float | None:
    """The number that the answer comes to: the first of its final answer, of an equation there what it comes to, or
    for want of a final answer the last number of all."""
    if marked is not None:
        found = numbers(marked.rpartition("=")[2])
        if found:
            return found[0]
    found = numbers(answer)
    return found[-1] if found else None


def _form(answer: str, asked: Sequence[str], said: Sequence[str]) -> dict[str, float]:
    lines = [line for line in answer.splitlines() if line.strip()]
    length = len(answer.split())
    return {
        "words": math.log1p(length),
        "lines": math.log1p(len(lines)),
        "list_items": math.log1p(len(_LIST_ITEM.findall(answer))),
        "code": "```" in answer,
        "repetition": 1 - len(set(lines)) / len(lines) if lines else 0,
        "length_ratio": math.log1p(length) - math.log1p(len(asked)),
        "question_overlap": len(set(asked).intersection(said)) / max(1, len(set(asked))),
        "open_end": _OPEN_END.search(answer.rstrip()) is not None,
    }


def _final(final: float | None, marked: str | None, given: Sequence[float]) -> dict[str, float]:
    largest = max(map(abs, given), default=0.0)
    size = 0.0 if final is None else abs(final)
    return {
        "final_marked": marked is not None,
        "final_missing": final is None,
        "final_whole": final is not None and final.is_integer(),
        "final_negative": final is not None and final < 0,
        "final_size": math.log1p(size),
        "final_over_largest": math.log1p(size / largest) if largest else 0,
        "final_words": math.log1p(len((marked or "").split())),
    }


def _wording(answer: str, said: Sequence[str], finish_reason: str | None) -> dict[str, float]:
    finished = finish_reason != "length"
    empty = any(empty_handed(answer, kind, finished=finished) for kind in ("abstention", "refusal"))
    return {
        "hedges": math.log1p(sum(1 for _ in hedges(answer))),
        "refuses": empty or finish_reason == "content_filter",
        "corrections": not _CORRECTS.isdisjoint(said),
        "reasons": not _REASONS.isdisjoint(said),
        "cut_off": finish_reason == "length",
    }


def _sums(steps: Sequence[Equation], final: float | None) -> dict[str, float]:
    last = steps[-1] if steps else None
    results = [step.stated for step in steps]
    return {
        "no_equation": not steps,
        "wrong_equation": not all(step.holds for step in steps),
        "last_equation_wrong": last is not None and not last.holds,
        "final_is_last_result": last is not None and final is not None and _close(last.stated, final),
        "final_is_a_result": final is not None and any(_close(result, final) for result in results),
        "results_unused": _unused(steps, final),
        "results_fractional": any(not result.is_integer() for result in results),
        "results_negative": any(result < 0 for result in results),
        "last_step_adds": last is not None and "+" in last.operators,
    }


def _unused(steps: Sequence[Equation], final: float | None) -> float:
    """The share of results that no later step takes up, and that are not the final number."""
    later: set[float] = set() if final is None else {round(final, 4)}
    unused = 0
    for step in reversed(steps):
        unused += round(step.stated, 4) not in later
        later.update(round(operand, 4) for operand in step.operands)
    return unused / len(steps) if steps else 0.0


def _operands(
    steps: Sequence[Equation], known: set[float], given: Sequence[float], written: Sequence[float]
) -> dict[str, float]:
    distinct = {(tuple(sorted(step.operands)), round(step.stated, 4)) for step in steps}
    taken = Counter(operand for operands, _ in distinct for operand in operands)
    asked = set(given)
    present = asked.intersection([*written, *taken])
    return {
        "steps": math.log1p(len(distinct)),
        "steps_per_number": len(distinct) / max(1, len(known)),
        # A question of n numbers mostly takes n - 1 steps.
        "steps_off": abs(len(distinct) - (len(known) - 1)),
        "numbers_used": len(present) / len(asked) if asked else 1.0,
        "numbers_unused": math.log1p(len(asked) - len(present)),
        "numbers_from_nowhere": sum(1 for _ in _alien(steps, known)) / max(1, taken.total()),
    }


def _alien(steps: Sequence[Equation], known: set[float]) -> Iterator[float]:
    """Operands that neither the question gave, also as percent, nor a step before, nor everyday life."""
    sources = {round(number, 6) for number in known | _EVERYDAY | {number / 100 for number in known}}
    for step in steps:
        yield from (operand for operand in step.operands if round(operand, 6) not in sources)
        sources |= {round(step.stated, 6), round(step.value, 6)}


def _question(question: str, asked: Sequence[str], given: Sequence[float], known: int) -> dict[str, float]:
    return {
        "question_words": math.log1p(len(asked)),
        "question_numbers": math.log1p(known),
        "question_largest": math.log1p(max(map(abs, given), default=0.0)),
        "question_percent": "%" in question or "percent" in question,
        "question_decimals": any(not number.is_integer() for number in given),
        "question_compares": not _COMPARES.isdisjoint(asked),
        "question_multiples": not _MULTIPLES.isdisjoint(asked),
        "question_conditions": not _CONDITIONS.isdisjoint(asked),
    }


def _probabilities(logprobs: Sequence[float]) -> dict[str, float]:
    """Mean and least; an answer without them counts as one of which nothing is known, not as a sure one."""
    return {
        "logprob_known": bool(logprobs),
        "logprob_mean": max(-10.0, sum(logprobs) / len(logprobs)) if logprobs else 0.0,
        "logprob_least": max(-20.0, min(logprobs, default=0.0)),
    }
