r"""Where an answer comes to its point: what stands behind "####", "The answer is", ``\boxed`` or a key of JSON."""

from __future__ import annotations

import re

_LONGEST = 200
"""Characters of a final answer: what is longer is an explanation."""

_MARKER = re.compile(
    r"####|\\(?:boxed|fbox)\s*(?=\{)|\"(?:final_?)?answer\"\s*:"
    r"|\b(?:answer|respuesta|soluci[oó]n|solution)(?:\s+(?:final|correcta|correct))?"
    r"(?:\s*\**:\**|(?:\s+to\s+[^.:\n]{1,80})?\s+(?:is|es|would be)\b:?)",
    re.IGNORECASE,
)
_ENCLOSED = {
    "\\": re.compile(r"\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"),
    '"': re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,}\n]*))'),
}
"""What belongs to a marker that begins so: braces two deep, a string or another scalar of JSON."""
_LINE = re.compile(r"[ \t*_]*([^\n]*)")
_DRESSING = " \t*_`\"'$:"
"""What final answers are dressed in: Markdown, quotation marks, TeX."""


def final_answer(text: str) -> str | None:
    """What an answer says is its answer, without what it is dressed in; None if it does not say so.

    The last such place counts, and of it what stands on the same line, in the braces or in the quotation marks.
    """
    marker = None
    for marker in _MARKER.finditer(text):  # noqa: B007 (the last is wanted)
        pass
    if marker is None:
        return None
    rest = text[marker.end() : marker.end() + _LONGEST]
    enclosed = (_ENCLOSED.get(marker[0][0]) or _LINE).match(rest) or _LINE.match(rest)
    found = enclosed[enclosed.lastindex or 0].strip(_DRESSING) if enclosed else ""
    return found.removesuffix(".").rstrip(_DRESSING) or None
