"""Verifiers of what an answer says: that it does not know, that it declines, that it doubts."""

from __future__ import annotations

import re

from router_core.reading import Kind, empty_handed, hedges
from router_core.types import ACCEPT, Reply, RequestView, Verdict

_SHOWN = 120
"""Characters of a sentence that a verdict quotes."""

_SHORT_TURN = 200
"""Characters of a turn that is taken to be about a sentence that it holds."""

_PARTS = re.compile(r"[.!?:\n\"\u2026\u201c\u201d\u00ab\u00bb]")
"""What parts the sentences and quotations of a turn."""


class AbstentionVerifier:
    """Rejects an answer that *is* "I don't know", in English or Spanish; one that holds a hedge somewhere passes.

    A beginning is rejected once its first sentence has ended and is nothing but an abstention. Answers with tool calls
    pass, and so do those that begin with a quotation mark.
    """

    name = "abstention"
    judges_prefix = True

    def check(self, request: RequestView, reply: Reply) -> Verdict:
        """Judge the sentences of the answer."""
        sentence = _empty_handed(request, reply, "abstention")
        if sentence is None:
            return ACCEPT
        return Verdict(accepted=False, code=self.name, detail=f"the answer says that it does not know: {sentence}")


class RefusalVerifier:
    """Rejects an answer that the provider marks as refused or filtered, or that *is* a refusal, in English or Spanish.

    "I'm sorry to hear that ..." and a story that quotes a refusal pass; beginnings are judged as abstentions are.
    """

    name = "refusal"
    judges_prefix = True

    def check(self, request: RequestView, reply: Reply) -> Verdict:
        """Judge the marks of the provider, then the sentences of the answer."""
        if reply.refusal:
            return self._reject(f"the provider marks the answer as refused: {_quote(reply.refusal)}")
        if reply.finish_reason == "content_filter":
            return self._reject("the provider's content filter stopped the answer")
        sentence = _empty_handed(request, reply, "refusal")
        return ACCEPT if sentence is None else self._reject(f"the answer declines: {sentence}")

    def _reject(self, detail: str) -> Verdict:
        return Verdict(accepted=False, code=self.name, detail=detail)


class UncertaintyVerifier:
    """Rejects an answer that holds a word of doubt anywhere ("maybe", "I think", "quizás").

    The rule of older routers, off by default: good answers hedge too. On GSM8K, together with the rule of short
    answers, it found wrong answers worse than chance (AUROC 0.45).
    """

    name = "uncertainty"
    judges_prefix = False

    def check(self, request: RequestView, reply: Reply) -> Verdict:  # noqa: ARG002
        """Look for each phrase in the whole text."""
        phrase = next(hedges(reply.text), None)
        if phrase is None:
            return ACCEPT
        return Verdict(accepted=False, code=self.name, detail=f"the answer is in doubt: {phrase!r}")


def _empty_handed(request: RequestView, reply: Reply, kind: Kind) -> str | None:
    if reply.tool_calls:
        return None
    if reply.finish_reason is None and request.tools and request.tool_choice != "none":
        return None  # "I don't know. Let me look it up": a tool call may still come
    finished = reply.finish_reason not in {None, "length"}
    sentence = empty_handed(reply.text, kind, finished=finished)
    return None if sentence is None or _is_asked_for(request, kind) else _quote(sentence)


def _is_asked_for(request: RequestView, kind: Kind) -> bool:
    """Whether the user's last turn holds such a sentence itself, as in "Translate: I don't know".

    Only of a short turn: a long one may well carry instructions for the case that nothing is known.
    """
    turn = (request.user_texts or ("",))[-1]
    return len(turn) <= _SHORT_TURN and any(
        empty_handed(f"{part.strip()}.", kind, finished=False) for part in _PARTS.split(turn)
    )


def _quote(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
