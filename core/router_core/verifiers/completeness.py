"""Verifiers of whether an answer is there, and all of it."""

from __future__ import annotations

import re

from router_core.types import ACCEPT, Reply, RequestView, Verdict
from router_core.verifiers.validation import read_json

_VISIBLE = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]"
)
"""Any character that shows: neither white space nor a control, format or filler character of Unicode."""

_FENCE = re.compile(r"^[ \t]*(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)$", re.MULTILINE)


class EmptyVerifier:
    """Rejects an answer without visible text, tool call or refusal. A refusal is for the verifier ``refusal``."""

    name = "empty"
    judges_prefix = False

    def check(self, request: RequestView, reply: Reply) -> Verdict:  # noqa: ARG002
        """Look for the first character that shows."""
        if reply.tool_calls or reply.refusal or _VISIBLE.search(reply.text):
            return ACCEPT
        why = f" (finish reason {reply.finish_reason!r})" if reply.finish_reason else ""
        return Verdict(accepted=False, code=self.name, detail=f"the answer holds no text and no tool call{why}")


class TruncationVerifier:
    """Rejects an answer that was cut off: its finish reason is "length".

    Where the server tells no finish reason, an answer that ends inside a fenced code block counts as cut off. Nothing
    else is read into its last words.
    """

    name = "truncation"
    judges_prefix = False

    def check(self, request: RequestView, reply: Reply) -> Verdict:
        """Judge the finish reason, or for want of one the code fences."""
        if reply.finish_reason == "length":
            limit = "" if request.max_tokens is None else f", which the request set to {request.max_tokens} tokens"
            return self._reject(f"the answer was cut off at its token limit{limit}")
        if reply.finish_reason is None and _ends_in_code(reply.text):
            return self._reject("the answer ends inside a fenced code block")
        return ACCEPT

    def _reject(self, detail: str) -> Verdict:
        return Verdict(accepted=False, code=self.name, detail=detail)


def _ends_in_code(text: str) -> bool:
    """Whether a fenced code block of Markdown is open at the end.

    As in CommonMark a block is closed by a fence of the same sign that is as long and has nothing behind it, but fences
    may be indented as deeply as lists need. An opening fence with nothing after it closes some other block: models
    write blocks inside blocks with fences of one length. A block that holds complete JSON only lacks its fence.
    """
    if "```" not in text and "~~~" not in text:
        return False
    opened: re.Match[str] | None = None
    for line in _FENCE.finditer(text):
        if opened is None:
            if line["fence"][0] == "~" or "`" not in line["info"]:
                opened = line
        elif line["fence"].startswith(opened["fence"]) and not line["info"].strip():
            opened = None
    code = text[opened.end() :].strip() if opened else ""
    return bool(code) and not _is_json(code)


def _is_json(text: str) -> bool:
    try:
        read_json(text)
    except ValueError:
        return False
    return True
