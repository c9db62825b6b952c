"""The schema of a question, for models whose API takes one.

Nothing hangs on it, for the words of a question ask for the same JSON. A server that refuses the schema is asked once
more in words, within the same attempt: what was refused has cost nothing. If the model answers then, it was the schema
that stood in the way, and the model is asked in words from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from types import TracebackType
from typing import Any, Self

from router_core.effects import CallModel
from router_core.types import Capability, Failed, FailureKind


def format_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema as OpenAI's ``response_format``, strict. A copy: SDKs and integrations may write into theirs."""
    named = {"name": schema.get("title", "answer"), "schema": deepcopy(dict(schema)), "strict": True}
    return {"type": "json_schema", "json_schema": named}


class Asking:
    """One call of a model, and a second one in words if the schema of its question is refused.

    ::

        asking = Asking(effect, host.failed, learned)
        while True:
            with asking:
                return call(effect, payload, asking.schema)

    ``schema`` is what to ask for now: None if the call asks no question, its question has none, the registry says that
    the model has no structured output, or ``learned`` has it that it was refused. Models are written down in
    ``learned``, which outlives the call; threads may share it. Errors that are no refusal go through, and so does that
    of the second call.
    """

    __slots__ = ("_effect", "_failed", "_learned", "_refused", "schema")

    def __init__(self, effect: CallModel, failed: Callable[[Exception], Failed | None], learned: set[str]) -> None:
        self._effect = effect
        self._failed = failed
        self._learned = learned
        self._refused = False
        self.schema = None if effect.question is None or not self._able() else effect.question.response_schema

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> bool:
        if error is None and self._refused:
            self._learned.add(self._quirk)
        if self.schema is None or not isinstance(error, Exception):
            return False
        failed = self._failed(error)
        # By the kind alone: every server has words of its own for what it does not know.
        if failed is None or failed.kind is not FailureKind.BAD_REQUEST or failed.may_be_billed:
            return False
        self.schema, self._refused = None, True
        return True

    def _able(self) -> bool:
        return Capability.STRUCTURED_OUTPUT in self._effect.model.capabilities and self._quirk not in self._learned

    @property
    def _quirk(self) -> str:
        return f"no schema: {self._effect.model.name}"
