"""Examples out of the ledger: what the verifiers, and the users' feedback, said of the answers that were given."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from router_core.errors import ConfigError
from router_core.learning.examples import Example, Found, Outcome
from router_core.records import AttemptOutcome, AttemptRole
from router_core.types import NANO

_HASH = re.compile(r"[0-9a-f]{64}")
_QUALITY: Mapping[str, float] = {
    AttemptOutcome.ACCEPTED: 1.0,
    AttemptOutcome.REJECTED: 0.0,
    AttemptOutcome.SERVED: 0.0,
}
"""What the end of an attempt says of the model. A call that failed or was cancelled says nothing of its answers."""


def from_ledger(rows: Iterable[Mapping[str, Any]]) -> Found:
    """The examples that receipts make: rows as ``Store.entries`` yields them.

    An accepted answer is 1, one that a verifier rejected 0, also if it was served for want of a better one. The score
    of the feedback stands above the verifiers: it is the quality of the model that was served. Calls that were not made
    for an answer (a judge's, one for comparison) are left out. ``group`` is the session.

    Raises:
        ConfigError: no row has a text and an outcome; the message says why, and how to keep texts.
    """
    examples: list[Example] = []
    skipped: Counter[str] = Counter()
    for row in rows:
        prompt, outcomes = row["prompt"], _outcomes(row)
        if prompt is None or _HASH.fullmatch(prompt):
            skipped["without the text of the prompt"] += 1
        elif not prompt.strip():
            skipped["with an empty prompt"] += 1
        elif not outcomes:
            skipped["without a judged answer"] += 1
        else:
            examples.append(Example(text=prompt, outcomes=outcomes, call_site=row["call_site"], group=row["session"]))
    found = Found(examples, skipped)
    if not examples:
        raise ConfigError(
            f"ledger: no receipt can be learned from ({found.told or 'there is none'}); let the ledger keep texts "
            "(store_text: full) and requests run for a while"
        )
    return found


def _outcomes(row: Mapping[str, Any]) -> dict[str, Outcome]:
    """By model; of several attempts of one model the last counts."""
    judged = [
        attempt
        for attempt in row["attempts"]
        if attempt["role"] == AttemptRole.ANSWER and attempt["outcome"] in _QUALITY
    ]
    outcomes = {attempt["model"]: _outcome(attempt, _QUALITY[attempt["outcome"]]) for attempt in judged}
    served = outcomes.get(row["model"])
    if served is not None:
        feedback = row["feedback"]
        quality = served.quality if feedback is None else feedback["score"]
        outcomes[row["model"]] = replace(served, quality=quality, answer=_text(row["answer"]))
    return outcomes


def _outcome(attempt: Mapping[str, Any], quality: float) -> Outcome:
    cost = attempt["cost_nano"]
    return Outcome(
        quality=quality,
        cost_usd=None if cost is None else cost / NANO,
        finish_reason=attempt["finish_reason"],
        input_tokens=attempt["input_tokens"],
        output_tokens=attempt["output_tokens"],
    )


def _text(kept: str | None) -> str | None:
    return None if kept is None or _HASH.fullmatch(kept) else kept
