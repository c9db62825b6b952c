"""What rules can see in the text of a conversation: words, sentences, code, and terms from the lists in ``terms``.

Time is linear in the length of the text. The text is split into words once, as UTF-8 bytes, where translating and
splitting cost a fraction of what a regular expression does; one set intersection then finds the known words, and
only where all words of a phrase occur is the phrase itself looked for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import NamedTuple

from router_core.terms import OPENERS, REFERENCES, TERMS, Category, parse

FOLLOW_UP_WORDS = 8
"""A follow-up has at most this many words: by judgement, not measured."""

_ALWAYS_FOLLOW_UP_WORDS = 3
_FOLLOW_UP_CHARACTERS = 160

_MARKS = "\u00a0\u00a1\u00ab\u00bb\u00bf\u2013\u2014\u2018\u201c\u201d\u2026\u2028\u2029\u202f"
"""Punctuation and spaces beyond ASCII that touch words in English and Spanish."""
_WORD_BYTES = bytes(
    ord(" ") if chr(byte).isascii() and not (chr(byte).isalnum() or chr(byte) in "_+#") else byte for byte in range(256)
)
"""ASCII but letters, digits and ``_+#`` ("c++", "c#") becomes a space; bytes of longer UTF-8 sequences stay."""
_IDEOGRAPHIC_LEADS = bytes(range(0xE3, 0xEA))
"""First bytes of U+3000 to U+9FFF in UTF-8: kana and ideographs, which are written without spaces."""

_SENTENCE_END = re.compile(r"[.!?\u2026](?=\s)")
_IDEOGRAPHIC_ENDS = "\u3002\uff01\uff1f"
_ENDS = " \t\r\n.!?\u2026" + _IDEOGRAPHIC_ENDS
_CODE = re.compile(
    r"```|==|!=|=>|</|\(\);|\) ?\{|;\n|\{\n|#include|\n(?:def|class|import|from) |SELECT\s|INSERT INTO|CREATE TABLE"
)
"""Signs that a text contains code, whatever its language. Each alternative begins with a plain and rare character:
only then does ``re`` skip through prose, eight times faster."""


class Features(NamedTuple):
    """What was seen in one text.

    ``words`` counts runs of letters and digits, and two kana or ideographs as one word. ``terms`` maps a category to
    the labels of its terms that occur, sorted, each once. ``code`` says that there are signs of code or terms of the
    category "code".
    """

    words: int
    sentences: int
    questions: int
    code: bool
    terms: Mapping[str, list[str]]

    def count(self, *categories: Category) -> int:
        """How many different terms of these categories occur."""
        total = 0
        for category in categories:
            if category in self.terms:
                total += len(self.terms[category])
        return total


class ConversationScore(NamedTuple):
    """The score of a conversation, and where it comes from.

    ``last`` is the last user turn's own score, ``earlier`` the highest of those before it (0.0 if there are none).
    ``turn`` is the user turn that decided, counted from 1 (0: there is none), ``turns`` how many there are, and
    ``features`` what was seen in the one that decided.
    """

    score: float
    last: float
    earlier: float
    follow_up: bool
    turn: int
    turns: int
    features: Features


def scan(text: str) -> Features:
    """What can be seen in one text. Takes any string, lone surrogates and NUL included."""
    words, ideographs = words_of(text)
    terms = _terms(words)
    return Features(
        words=len(words) + ideographs // 2,
        sentences=_sentences(text),
        questions=text.count("?") + text.count("\uff1f"),
        code="code" in terms or _CODE.search(text) is not None,
        terms=terms,
    )


def is_follow_up(text: str) -> bool:
    """Whether a turn leans on the turns before it ("and in French?", "why?", "¿y en francés?"): it has at most three
    words, or at most ``FOLLOW_UP_WORDS`` and an opener or a word that points back."""
    if len(text) > _FOLLOW_UP_CHARACTERS:
        return False
    words, ideographs = words_of(text)
    length = len(words) + ideographs // 2
    if length > FOLLOW_UP_WORDS:
        return False
    spoken = _spoken(words)
    openers, references = _follow_up_terms()
    return (
        length <= _ALWAYS_FOLLOW_UP_WORDS
        or spoken.startswith(openers)
        or any(reference in spoken for reference in references)
    )


def deciding_turn(texts: Sequence[str]) -> str:
    """The last of the user's turns that is no follow-up, oldest first; empty if there is none at all."""
    if len(texts) > 1:
        for text in reversed(texts):
            if not is_follow_up(text):
                return text
    return texts[-1] if texts else ""


def score_conversation(texts: Sequence[str], score: Callable[[Features], float], carry: float) -> ConversationScore:
    """Score the user's turns, oldest first, so that the whole conversation counts.

    A follow-up keeps the highest score of the turns before it. Any other last turn has its own score, but at least
    ``carry`` (0..1) times that highest: it may be a new question or go on with a hard one. Each turn is scanned once.
    """
    if not texts:
        nothing = scan("")
        return ConversationScore(score(nothing), 0.0, 0.0, follow_up=False, turn=0, turns=0, features=nothing)
    features = scan(texts[-1])
    last = score(features)
    turn = len(texts)
    earlier, hardest, hardest_turn = 0.0, features, turn
    for number, text in enumerate(texts[:-1], start=1):
        seen = scan(text)
        its_score = score(seen)
        if its_score > earlier:
            earlier, hardest, hardest_turn = its_score, seen, number
    follow_up = len(texts) > 1 and is_follow_up(texts[-1])
    kept = earlier if follow_up else carry * earlier
    if kept > last:
        return ConversationScore(kept, last, earlier, follow_up, hardest_turn, turn, hardest)
    return ConversationScore(last, last, earlier, follow_up, turn, turn, features)


def words_of(text: str) -> tuple[list[bytes], int]:
    """Words in small letters, as UTF-8, without punctuation and apostrophes; and the number of ideographs."""
    folded = text.casefold()
    if folded.isascii():
        return folded.encode().translate(_WORD_BYTES, b"'").split(), 0
    folded = folded.replace("\u2019", "")
    for mark in _MARKS:
        folded = folded.replace(mark, " ")
    encoded = folded.encode("utf-8", "surrogatepass")
    ideographs = len(encoded) - len(encoded.translate(None, _IDEOGRAPHIC_LEADS))
    return encoded.translate(_WORD_BYTES, b"'").split(), ideographs


def _spoken(words: Sequence[bytes]) -> bytes:
    """Words with one space before and after each: what phrases are looked for in."""
    return b" %b " % b" ".join(words)


def _sentences(text: str) -> int:
    stripped = text.rstrip(_ENDS)
    if not stripped:
        return 0
    return 1 + len(_SENTENCE_END.findall(stripped)) + sum(map(stripped.count, _IDEOGRAPHIC_ENDS))


_Meaning = tuple[Category, str]
"""The category and the label of a term."""


class _Phrase(NamedTuple):
    """Parts that follow one another, each with a space before and after; ``words`` are those of all parts."""

    words: frozenset[bytes]
    parts: tuple[bytes, ...]
    meaning: _Meaning


class _Index(NamedTuple):
    """The lists of ``terms`` as the scan needs them. A phrase stands under its longest word, mostly its rarest;
    ``known`` are the words of all terms."""

    words: Mapping[bytes, Mapping[Category, str]]
    phrases: Mapping[bytes, list[_Phrase]]
    known: frozenset[bytes]


@cache
def _index() -> _Index:
    words: dict[bytes, dict[Category, str]] = {}
    phrases: dict[bytes, list[_Phrase]] = {}
    known: set[bytes] = set()
    for category, listings in TERMS.items():
        for label, variants in chain.from_iterable(map(parse, listings.values())):
            for spelling in chain.from_iterable(map(_spellings, variants)):
                parts = [words_of(part)[0] for part in spelling.split("…")]
                all_words = frozenset(chain.from_iterable(parts))
                known |= all_words
                if len(parts) == len(parts[0]) == 1:
                    # "compare" is English and Spanish: one word is one term of a category.
                    words.setdefault(parts[0][0], {}).setdefault(category, label)
                else:
                    phrase = _Phrase(all_words, tuple(map(_spoken, parts)), (category, label))
                    phrases.setdefault(max(sorted(all_words), key=len), []).append(phrase)
    return _Index(words, phrases, frozenset(known))


@cache
def _follow_up_terms() -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Openers and references as phrases."""
    openers, references = (
        tuple(
            _spoken(words_of(spelling)[0])
            for listing in listings.values()
            for _, variants in parse(listing)
            for variant in variants
            for spelling in _spellings(variant)
        )
        for listings in (OPENERS, REFERENCES)
    )
    return openers, references


def _spellings(variant: str) -> set[str]:
    """As written, with its accents as separate characters (as some systems send them), and without accents."""
    decomposed = unicodedata.normalize("NFD", variant)
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    return {variant, decomposed, bare}


def _terms(words: Sequence[bytes]) -> dict[str, list[str]]:
    index = _index()
    found: dict[str, set[str]] = {}
    spoken = b""
    known = index.known.intersection(words)
    for word in known:
        for category, label in index.words.get(word, {}).items():
            found.setdefault(category, set()).add(label)
        for phrase in index.phrases.get(word, ()):
            if phrase.words <= known:
                spoken = spoken or _spoken(words)
                if _occur(phrase.parts, spoken):
                    category, label = phrase.meaning
                    found.setdefault(category, set()).add(label)
    return {category: sorted(found[category]) for category in TERMS if category in found}


def _occur(parts: Sequence[bytes], spoken: bytes) -> bool:
    position = 0
    for part in parts:
        position = spoken.find(part, position)
        if position < 0:
            return False
        position += len(part) - 1
    return True
