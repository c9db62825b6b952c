"""Reading an answer sentence by sentence: does it say nothing but "I don't know" or "I can't help with that"?

The first sentence decides alone where it is sure ("I don't know."), however the answer goes on; so such a beginning may
be rejected before the rest is there. A sentence that an answer often follows ("I don't know the exact date.") counts
only in a finished answer that says nothing else. "I don't know the date, but it was before 1066" says more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Literal, TypeAlias

from router_core.phrases import (
    ABSTAINS,
    ASIDES,
    CLOSERS,
    CONTRACTIONS,
    CONTRASTS,
    COURTESIES,
    HEDGES,
    JOINTS,
    OPENERS,
    REASONS,
    REFUSES,
    SAME,
    SETTINGS,
    Lines,
    phrases,
)

Kind: TypeAlias = Literal["abstention", "refusal"]
Strength: TypeAlias = Literal["none", "weak", "sure"]

_LONGEST = 1500
"""Characters of the longest answer that may still be an abstention or a refusal and nothing else; more says more."""

_BEFORE_WORDS = 200
"""Characters in which the first word must begin."""

_APOSTROPHES = "\u2019\u02bc`\u00b4"
"""The right quotation mark, the modifier letter, the grave and the acute accent: all stand for an apostrophe."""

_WORD = rf"[^\W_]+(?:['{_APOSTROPHES}][^\W_]+)?"
_FIRST_WORDS = re.compile(rf"([\W_]*)({_WORD})(?:[\W_]*({_WORD}))?")
_QUOTES = frozenset("\"'`>\u201c\u201d\u00ab\u00bb\u2018\u2019")
_SENTENCE = re.compile(r"([^.!?\u2026]+)([.!?\u2026]?)")
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)?|[,;:\u2014\u2013]|(?<=\s)-(?=\s)")
_MARKS = frozenset(";:\u2014\u2013-")
"""Marks, long dashes among them, after which a sentence says something else."""

_SAME = tuple((f" {left} ", f" {right} ") for left, right in SAME.items())
_SAME_SIGNS = frozenset(max(left.split(), key=len) for left in SAME)
"""A word of each left side: without one of them there is nothing to rewrite."""


def straight(text: str) -> str:
    """The text in small letters with typewriter apostrophes."""
    text = text.lower()
    for apostrophe in _APOSTROPHES:
        text = text.replace(apostrophe, "'")
    return text


def _plain(text: str) -> list[str]:
    """The words of a sentence and the marks between its parts, in the one form in which phrases are compared."""
    asides = _asides()
    words = [word for word in _TOKEN.findall(straight(text)) if word not in asides]
    said = " ".join([CONTRACTIONS.get(word, word) for word in words])
    if not _SAME_SIGNS.isdisjoint(words):
        said = f" {said} "
        for left, right in _SAME:
            said = said.replace(left, right)
    return said.split()


@cache
def _asides() -> frozenset[str]:
    return frozenset(phrases(ASIDES))


class _Phrases:
    """Phrases as words, found by their first word."""

    def __init__(self, lines: Lines) -> None:
        self.all = frozenset(tuple(_plain(phrase)) for phrase in phrases(lines))
        self.longest: dict[str, int] = {}
        for words in self.all:
            self.longest[words[0]] = max(len(words), self.longest.get(words[0], 0))

    def begin(self, words: Sequence[str], at: int = 0) -> int:
        """How many words from ``at`` on are one of the phrases, the longest that fits; 0 if none does."""
        most = self.longest.get(words[at], 0) if at < len(words) else 0
        for n in range(most, 0, -1):
            if tuple(words[at : at + n]) in self.all:
                return n
        return 0

    def end(self, words: Sequence[str]) -> int:
        """How many of the last words are one of the phrases; 0 if none."""
        for n in range(max(self.longest.values()), 0, -1):
            if tuple(words[-n:]) in self.all:
                return n
        return 0


class _Lexicon:
    """All phrases, ready to be compared, and what they say of a sentence."""

    def __init__(self) -> None:
        self._openers = _Phrases(OPENERS)
        self._settings = _Phrases(SETTINGS)
        self._joints = _Phrases(JOINTS)
        self._closers = _Phrases(CLOSERS)
        self._contrasts = _Phrases(CONTRASTS)
        self._reasons = _Phrases(REASONS)
        self._courtesies = _Phrases(COURTESIES)
        kinds: Mapping[Kind, Mapping[str, Lines]] = {"abstention": ABSTAINS, "refusal": REFUSES}
        self._kinds: Mapping[Kind, Mapping[str, _Phrases]] = {
            kind: {part: _Phrases(lines[part]) for part in lines} for kind, lines in kinds.items()
        }
        self._starts = self._first_words()

    def _first_words(self) -> frozenset[tuple[str, ...]]:
        """The first two words of all that an empty-handed answer may begin with; one where the second may be any."""
        kinds = [phrases for parts in self._kinds.values() for phrases in parts.values()]
        known = [words for group in (self._openers, self._settings, *kinds) for words in group.all]
        known += [tuple(left.split()) for left in SAME]
        pairs = {words[:2] if len(words) > 1 and words[1].isalnum() else words[:1] for words in known}
        return frozenset(pairs.union((aside,) for aside in _asides()))

    def may_start(self, text: str) -> bool:
        """A quick look at the first words, which clears most answers; what begins with a quotation mark quotes."""
        first = _FIRST_WORDS.match(text, 0, _BEFORE_WORDS)
        if first is None or not _QUOTES.isdisjoint(first[1]):
            return False
        words = [CONTRACTIONS.get(word, word) for word in (straight(first[2]), straight(first[3] or ""))]
        pair = tuple(" ".join(words).split()[:2])
        return pair in self._starts or pair[:1] in self._starts or words[1] in _asides()

    def claim(self, sentence: str) -> list[str]:
        """What a sentence says, without what it is wrapped in; empty if it is only courtesy."""
        words = _plain(sentence)
        opened = False
        while words:
            wrapping = int(words[0] in _MARKS or words[0] == ",") or (self._joints.begin(words) if opened else 0)
            if not wrapping:
                wrapping = self._openers.begin(words) or self._setting(words)
                opened = True
            if not wrapping:
                break
            del words[:wrapping]
        while words and (words[-1] == "," or self._closers.end(words)):
            del words[-(self._closers.end(words) or 1) :]
        return words

    def _setting(self, words: Sequence[str]) -> int:
        told = self._settings.begin(words)
        if told:
            for at in range(told, len(words)):
                if words[at] in {",", "i", "no"}:
                    return at
        return 0

    def strength(self, claim: Sequence[str], kind: Kind) -> Strength:
        """How surely a sentence is an abstention or a refusal."""
        known = self._kinds[kind]
        if tuple(word for word in claim if word != ",") in known["whole"].all:
            return "sure"
        told = known["opening"].begin(claim)
        if told and not self._says_more(claim, told):
            # "U." and "v2." may be a part of a name, which the dot does not end.
            return "sure" if claim[-1].isalpha() and len(claim[-1]) > 1 else "weak"
        told = known["weak"].begin(claim)
        return "weak" if told and not self._says_more(claim, told) else "none"

    def adds_nothing(self, claim: Sequence[str]) -> bool:
        """Whether a sentence beside an abstention or a refusal answers nothing either."""
        return bool(self._courtesies.begin(claim)) or any(self.strength(claim, kind) != "none" for kind in self._kinds)

    def _says_more(self, words: Sequence[str], start: int) -> bool:
        """Whether a sentence goes on, after its first ``start`` words, to something else."""
        return any(
            words[at] in _MARKS
            or self._contrasts.begin(words, at)
            or (words[at] == "," and not self._reasons.begin(words, at + 1))
            for at in range(start, len(words))
        )


@cache
def _lexicon() -> _Lexicon:
    return _Lexicon()


def empty_handed(text: str, kind: Kind, *, finished: bool) -> str | None:
    """The sentence by which an answer is an abstention or a refusal and nothing else; None if it is no such answer.

    ``finished`` says that the text is all there will be. Without it only a sure first sentence decides: what is found
    in a beginning is found however the answer goes on.
    """
    lexicon = _lexicon()
    if not lexicon.may_start(text):
        return None
    whole = finished and len(text) <= _LONGEST
    found: str | None = None
    for sentence in _sentences(text[:_LONGEST], finished=whole):
        claim = lexicon.claim(sentence)
        if not claim:
            continue
        if found is None:
            strength = lexicon.strength(claim, kind)
            if strength == "none" or (strength == "weak" and not whole):
                return None
            found = sentence.strip()
            if strength == "sure":
                return found
        elif not lexicon.adds_nothing(claim):
            return None
    return found


def _sentences(text: str, *, finished: bool) -> Iterator[str]:
    """The sentences that have come to their end: a dot ends one whatever follows it, for that may not be there yet."""
    for match in _SENTENCE.finditer(text.replace("\n\n", ". ")):
        if match[2] or finished:
            yield match[1]


def hedges(text: str) -> Iterator[str]:
    """The phrases of doubt ("maybe", "I think", "quizás") that stand in a text as whole words."""
    text = straight(text)
    return (phrase for phrase in _hedges() if phrase in text and _stands_in(text, phrase))


@cache
def _hedges() -> tuple[str, ...]:
    return tuple(phrases(HEDGES))


def _stands_in(text: str, phrase: str) -> bool:
    """Whether a phrase stands in a text as whole words."""
    at = text.find(phrase)
    while at >= 0:
        end = at + len(phrase)
        if not text[at - 1 : at].isalnum() and not text[end : end + 1].isalnum():
            return True
        at = text.find(phrase, end)
    return False
