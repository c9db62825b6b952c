"""A verifier that has learned from labelled answers which are right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from router_core.errors import ConfigError
from router_core.types import ACCEPT, Reply, RequestView, Verdict

if TYPE_CHECKING:
    from router_core.learning.verifier_weights import Judgement


class LearnedVerifier:
    """Rejects an answer whose P(right) is below a threshold, by a logistic model of features of question and answer.

    The weights that ship with the package are of one kind of work: word problems answered step by step with arithmetic
    (GSM8K). There a right answer is held more likely than a wrong one in 80 % of pairs (AUROC). Elsewhere they are
    worth less: 0.6 to 0.7 on competition mathematics, 0.6 on multiple choice with reasons (MMLU-Pro), and nothing at
    all on predicting the output of programs. For other work train a file of your own, from 25 labelled answers on
    (``llm-router train``); a file may hold models of single call sites. A decision takes some 0.3 ms.

    Answers with tool calls and structured output pass: schemas are for those.

    Args:
        file: the weights, as written by ``llm-router train``; None for those that ship.
        threshold: the least P(right), 0..1, of an answer that is accepted; None for what the file says.

    Raises:
        ConfigError: the file cannot be read or is of another kind or version, or the threshold is out of range.
    """

    name = "learned"
    judges_prefix = False

    def __init__(self, file: str | Path | None = None, *, threshold: float | None = None) -> None:
        if not (file is None or isinstance(file, str | Path)):
            raise ConfigError(f"verifiers.learned.file: {file!r} is no path; give one, or leave it out")
        if threshold is not None and not (_is_number(threshold) and 0 <= threshold <= 1):
            raise ConfigError(f"verifiers.learned.threshold: {threshold!r} is not a number from 0 to 1")
        from router_core.learning.verifier_weights import SHIPPED, VerifierWeights

        self._weights = VerifierWeights.read(SHIPPED if file is None else Path(file))
        self._threshold = self._weights.threshold if threshold is None else float(threshold)

    @property
    def threshold(self) -> float:
        """The least P(right) of an answer that is accepted."""
        return self._threshold

    def probability(self, request: RequestView, reply: Reply) -> float:
        """P(the answer is right), 0..1."""
        return self._judge(request, reply).probability

    def check(self, request: RequestView, reply: Reply) -> Verdict:
        """Compare P(right) with the threshold; a rejection names what speaks most against the answer."""
        if reply.tool_calls or request.output_schema is not None:
            return ACCEPT
        judged = self._judge(request, reply)
        if judged.probability >= self._threshold:
            return ACCEPT
        against = ", ".join(f"{name} {value:.3g}" for name, value in judged.against.items()) or "nothing in particular"
        detail = f"P(right) is {judged.probability:.2f}, below {self._threshold:g}; most against it: {against}"
        return Verdict(accepted=False, code=self.name, detail=detail)

    def _judge(self, request: RequestView, reply: Reply) -> Judgement:
        from router_core.learning.answers import answer_features, token_logprobs

        features = answer_features(
            (request.user_texts or ("",))[-1],
            reply.text,
            finish_reason=reply.finish_reason,
            logprobs=token_logprobs(reply.native),
        )
        return self._weights.judge(features, request.call_site)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
