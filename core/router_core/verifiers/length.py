"""Verifiers of length. Both are off by default: short answers are more often right than long ones."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from types import UnionType

from router_core.errors import ConfigError
from router_core.types import ACCEPT, Reply, RequestView, Verdict

_WINDOW = 2000
"""Characters at the beginning and at the end of the user's last turn in which a length is looked for."""

_BEFORE = 100
"""Characters before a number that tell what it is for."""

_NUMBERS: Mapping[str, int] = {
    **{word: n for n, word in enumerate(["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], 2)},
    **{
        word: n
        for n, word in enumerate(["dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez"], 2)
    },
    "twelve": 12,
    "doce": 12,
    "fifteen": 15,
    "quince": 15,
    "twenty": 20,
    "veinte": 20,
}
_UNITS: Mapping[str, str] = {
    "words": "words?|palabras?",
    "sentences": "sentences?|oraci(?:ón|ones)|frases?",
    "paragraphs": "paragraphs?|párrafos?|parrafos?",
    "items": "items?|bullets?|bullet points?|points|examples?|ideas?|tips?|reasons?|ways|steps?|names?|questions?"
    "|suggestions?|facts|titles?|elementos?|puntos|ejemplos?|consejos?|razones|maneras|formas|pasos?|nombres?|preguntas?"
    "|sugerencias?|datos|títulos?",
}
_NUMBER = r"\d{1,5}|" + "|".join(_NUMBERS)
_LENGTH = re.compile(
    rf"\b(?P<number>{_NUMBER})(?:\s?(?:-|\u2013|to|or|a|o)\s?(?:{_NUMBER}))?[\s-](?:[^\W\d]+\s)?(?:"
    + "|".join(f"(?P<{unit}>{words})" for unit, words in _UNITS.items())
    + r")\b",
    re.IGNORECASE,
)
"""A number, or the lower of two, at most one word ("short", "creative"), and a unit."""

_LIST = re.compile(rf"\b(?:list of|lista de|lista con|(?:the )?top)\s(?P<number>{_NUMBER})\b", re.IGNORECASE)
_DEMAND = re.compile(
    r"\b(?:write|compose|draft|generate|give|list|name|create|produce|provide|suggest|propose|tell|describe|explain"
    r"|summari[sz]e|need|want|make|prepare|answer|reply|brainstorm|escrib\w+|escríb\w+|redact\w+|d[aeé]me|da|enumer\w+"
    r"|nombra|gener\w+|crea|propón|sugier\w+|haz|hazme|lista|expli\w+|describe|cuéntame|resum\w+|necesito|quiero|prepara"
    r"|responde|elabor\w+)\b",
    re.IGNORECASE,
)
_AT_LEAST = re.compile(
    r"\b(?:at least|(?:no|not) (?:less|fewer) than|minimum(?: of)?|more than|al menos|por lo menos|como mínimo"
    r"|mínimo(?: de)?|no menos de|más de) $",
    re.IGNORECASE,
)
_AT_MOST = re.compile(
    r"\b(?:at most|up to|(?:no|not) (?:more|longer) than|under|(?:less|fewer|shorter) than|below|within|max(?:imum)?"
    r"(?: of)?|como máximo|máximo(?: de)?|hasta|no más de|menos de|a lo sumo) $",
    re.IGNORECASE,
)
_AT_MOST_AFTER = re.compile(
    r",? (?:\(?max|or (?:less|fewer|under)|at most|o menos|como máximo|máximo)\b", re.IGNORECASE
)
_GIVEN = re.compile(
    r"\b(?:the|these|those|this|my|your|following|first|last|previous|of an?|las|los|estas|estos|esas|esos|mis|tus"
    r"|siguientes|primer[oa]s|últim[oa]s|anteriores|del|de una?) $",
    re.IGNORECASE,
)
"""What stands before the length of a text that is there already."""

_SENTENCE_END = re.compile(r"[.!?\u2026](?=\s|$)")


class TooShortVerifier:
    """Rejects an answer that falls far short of the length asked for in the user's last turn.

    It understands numbers of words, sentences, paragraphs and items in English and Spanish ("write 500 words", "at
    least 3 paragraphs", "una lista de 10"), and leaves upper limits alone. ``share`` (0..1) of what was asked is
    enough; the counts are generous: every line may be a paragraph, every line or comma an item. Off by default.
    """

    name = "too_short"
    judges_prefix = False

    def __init__(self, share: float = 0.5) -> None:
        if not (_is_a(share, int | float) and 0 < share <= 1):
            raise ConfigError(f"verifiers.too_short.share: {share!r} is not a number above 0 and up to 1")
        self._share = share

    def check(self, request: RequestView, reply: Reply) -> Verdict:
        """Compare the answer with the length asked for; answers with tool calls pass."""
        asked = None if reply.tool_calls else _asked(request)
        if asked is None:
            return ACCEPT
        number, unit = asked
        count = _COUNT[unit](reply.text)
        if count >= math.ceil(number * self._share):
            return ACCEPT
        return Verdict(accepted=False, code=self.name, detail=f"{number} {unit} were asked for, the answer has {count}")


class ShortAnswerVerifier:
    """Rejects an answer of fewer than ``min_words`` words, whatever was asked.

    The rule of older routers, off by default: on GSM8K, together with the rule of uncertainty, it found wrong answers
    worse than chance (AUROC 0.45).
    """

    name = "short_answer"
    judges_prefix = False

    def __init__(self, min_words: int = 10) -> None:
        if not (_is_a(min_words, int) and min_words >= 1):
            raise ConfigError(f"verifiers.short_answer.min_words: {min_words!r} is not a whole number of at least 1")
        self._min_words = min_words

    def check(self, request: RequestView, reply: Reply) -> Verdict:  # noqa: ARG002
        """Count the words; answers with tool calls pass."""
        # Only so many words are split off as must be there.
        count = len(reply.text.split(maxsplit=self._min_words)[: self._min_words])
        if reply.tool_calls or count == self._min_words:
            return ACCEPT
        return Verdict(accepted=False, code=self.name, detail=f"{count} words, at least {self._min_words} are demanded")


def _is_a(value: object, number: type | UnionType) -> bool:
    """Whether a value is a number of this kind; Python's True and False are not meant as numbers."""
    return isinstance(value, number) and not isinstance(value, bool)


def _asked(request: RequestView) -> tuple[int, str] | None:
    """The least number and the unit that the user's last turn asks for."""
    text = (request.user_texts or ("",))[-1]
    if len(text) > 2 * _WINDOW:
        text = f"{text[:_WINDOW]}\n{text[-_WINDOW:]}"
    for match in _LENGTH.finditer(text):
        if _is_demand(text, match):
            return _number(match), match.lastgroup or ""
    found = _LIST.search(text)
    return (_number(found), "items") if found and _is_demand(text, found) else None


def _number(match: re.Match[str]) -> int:
    number = match["number"].lower()
    return _NUMBERS[number] if number in _NUMBERS else int(number)


def _is_demand(text: str, match: re.Match[str]) -> bool:
    before = re.split(r"[.!?;:\n]", text[max(0, match.start() - _BEFORE) : match.start()])[-1]
    if _AT_MOST.search(before) or _AT_MOST_AFTER.match(text, match.end()) or _GIVEN.search(before):
        return False
    return bool(_AT_LEAST.search(before) or _DEMAND.search(before + match[0]))


def _lines(text: str) -> int:
    return sum(not line.isspace() for line in text.splitlines() if line)


_COUNT: Mapping[str, Callable[[str], int]] = {
    "words": lambda text: len(text.split()),
    "sentences": lambda text: max(len(_SENTENCE_END.findall(text)), _lines(text)),
    "paragraphs": _lines,
    "items": lambda text: max(_lines(text), text.count(",") + text.count(";") + 1),
}
