"""What a prediction can see in a prompt: hand-made features, and hashed words and word pairs.

Pure Python, and the same code in training and in the router. ``read`` takes about a hundred microseconds for a prompt
of 90 words and is linear in its length.
"""

from __future__ import annotations

import re
from itertools import pairwise
from math import log1p, sqrt
from typing import NamedTuple
from zlib import crc32

from router_core.features import scan, words_of

BUCKETS = 1 << 16
"""Into how many buckets words and word pairs are hashed. Several may share one: no text can be read back."""

_MASK = BUCKETS - 1
_MOST_WORDS = 2000
"""Words of a text that are hashed: long documents stay quick, and a task is told at the beginning or at the end."""

_LONG = 8
"""Letters of a word that is not yet long."""

_NUMBER = re.compile(rb"\d+(?:[.,]\d+)*")
_OPTION = re.compile(r"^[ \t]*\(?([A-P])[.):][ \t]+(.*)$", re.MULTILINE)
_ITEM = re.compile(r"^[ \t]*(?:[-*\u2022]|\d+[.)])[ \t]", re.MULTILINE)

_DIGITS = b"0123456789"
_CAPITALS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SIGNS = b"+*/=^<>"
_NEGATIONS = frozenset((b"not", b"no", b"never", b"except", b"least", b"false", b"incorrect", b"without", b"cannot"))
_QUANTITIES = frozenset(
    b"one two three four five six seven eight nine ten twice half third quarter double triple dozen each every per "
    b"total more less than times percent many much".split()
)
_COMMANDS = frozenset(
    b"find calculate compute solve determine evaluate prove derive write implement explain describe list summarize "
    b"translate simplify estimate classify".split()
)
_LOGIC = frozenset(
    b"if then all some only must unless either neither both any because therefore suppose assume".split()
)
_ASKING = (b"what", b"which", b"who", b"when", b"where", b"why", b"how")
_PERSONS = frozenset(b"he she his her him they their i my me you your we our".split())

NAMES = (
    "words",
    "characters",
    "word_length",
    "long_words",
    "longest_word",
    "distinct_words",
    "sentences",
    "sentence_length",
    "questions",
    "lines",
    "items",
    "commas",
    "brackets",
    "quotes",
    "digits",
    "numbers",
    "decimals",
    "largest_number",
    "percent",
    "money",
    "signs",
    "latex",
    "blank",
    "capitals",
    "foreign",
    "code",
    "options",
    "option_length",
    "option_share",
    "options_numeric",
    "negations",
    "quantities",
    "commands",
    "logic",
    "persons",
    *(f"asks_{word.decode()}" for word in _ASKING),
    "reasoning",
    "technical",
    "system_design",
    "difficulty",
    "multi_step",
)
"""The hand-made features, in the order of ``Reading.hand``: counts as logarithms, and shares."""


class Reading(NamedTuple):
    """What was read in one text: the values of ``NAMES``, and the buckets of its words and word pairs, each once."""

    hand: tuple[float, ...]
    buckets: list[int]


def read(text: str) -> Reading:
    """Read a text. Takes any string."""
    words, _ = words_of(text)
    return Reading(_hand(text, words), _buckets(words))


def scale(reading: Reading) -> float:
    """The value of each bucket that occurs: their vector has length 1."""
    return 1 / sqrt(len(reading.buckets) or 1)


def _buckets(words: list[bytes]) -> list[int]:
    if len(words) > _MOST_WORDS:
        words = words[: _MOST_WORDS // 2] + words[-_MOST_WORDS // 2 :]
    hashes = list(map(crc32, words))
    # A pair is mixed of the hashes of its words, which costs less than to join and hash them.
    pairs = [(first * 31 + second) >> 7 & _MASK for first, second in pairwise(hashes)]
    return list({one & _MASK for one in hashes}.union(pairs))


def _hand(text: str, words: list[bytes]) -> tuple[float, ...]:
    seen = scan(text)
    raw = text.encode("utf-8", "surrogatepass")
    size = len(raw) or 1
    distinct = set(words)
    return (
        log1p(seen.words),
        log1p(size),
        *_lengths(words, distinct, seen.sentences),
        log1p(seen.questions),
        log1p(raw.count(b"\n")),
        log1p(len(_ITEM.findall(text))),
        log1p(raw.count(b",")),
        log1p(raw.count(b"(") + raw.count(b"[") + raw.count(b"{")),
        log1p(raw.count(b'"') + text.count("\u201c")),
        *_numbers(raw, size),
        log1p(raw.count(b"%")),
        log1p(raw.count(b"$") + text.count("\u20ac")),
        log1p(size - len(raw.translate(None, _SIGNS))),
        log1p(raw.count(b"\\")),
        log1p(raw.count(b"__")),
        (size - len(raw.translate(None, _CAPITALS))) / size,
        (len(raw) - len(text)) / size,
        float(seen.code),
        *_options(text, size),
        log1p(len(_NEGATIONS & distinct)),
        log1p(len(_QUANTITIES & distinct)),
        log1p(len(_COMMANDS & distinct)),
        log1p(len(_LOGIC & distinct)),
        log1p(len(_PERSONS & distinct)),
        *(float(word in distinct) + float(words[:1] == [word]) for word in _ASKING),
        log1p(seen.count("reasoning")),
        log1p(seen.count("technical")),
        log1p(seen.count("system_design")),
        log1p(seen.count("difficulty")),
        log1p(seen.count("multi_step")),
    )


def _lengths(words: list[bytes], distinct: set[bytes], sentences: int) -> tuple[float, ...]:
    count = len(words) or 1
    lengths = list(map(len, words)) or [0]
    return (
        sum(lengths) / count,
        sum(length > _LONG for length in lengths) / count,
        log1p(max(lengths)),
        len(distinct) / count,
        log1p(sentences),
        log1p(count / (sentences or 1)),
    )


def _numbers(raw: bytes, size: int) -> tuple[float, ...]:
    numbers = _NUMBER.findall(raw)
    digits = size - len(raw.translate(None, _DIGITS)) if numbers else 0
    return (
        digits / size,
        log1p(len(numbers)),
        log1p(sum(b"." in number for number in numbers)),
        log1p(max(map(len, numbers), default=0)),
    )


def _options(text: str, size: int) -> tuple[float, ...]:
    options = [option for _, option in _OPTION.findall(text)]
    length, count = sum(map(len, options)), len(options) or 1
    return log1p(len(options)), log1p(length / count), length / size, sum(map(_is_numeric, options)) / count


def _is_numeric(option: str) -> bool:
    return option[:1].isdigit() or option[:1] in "$-+("
