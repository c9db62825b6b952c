"""The verifier of structured output, and the one way in which the text of an answer becomes a value."""

from __future__ import annotations

from typing import Any

from router_core.types import ACCEPT, OutputSchema, Reply, RequestView, Verdict
from router_core.verifiers.validation import misfit, read_json

_SHOWN = 300
"""Characters of an error that a verdict shows: pydantic repeats the values in it."""


def parse_output(schema: OutputSchema, text: str) -> Any:
    """The value that the text of an answer stands for: its JSON, or the user's own type if the schema builds one.

    The text must be JSON and nothing else: a fence around it is not stripped, so that whoever reads the text itself can
    rely on it. ``null``, and a ``build`` that returns None, are no value. A broken schema is not held against the text.

    Raises:
        ValueError: the text is not JSON, does not fit the schema, or ``build`` does not take it.
    """
    try:
        value = read_json(text)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if value is None:
        raise ValueError("null is no value")
    fault = misfit(schema.json_schema, value)
    if fault is not None:
        raise ValueError(fault)
    if schema.build is None:
        return value
    built = schema.build(value)
    if built is None:
        raise ValueError("its build function returned None")
    return built


class SchemaVerifier:
    """Rejects an answer whose text is not the JSON that the request's output schema demands (see ``parse_output``).

    An answer with tool calls passes: its value is still to come.
    """

    name = "schema"
    judges_prefix = False

    def check(self, request: RequestView, reply: Reply) -> Verdict:
        """Parse, validate and build."""
        if request.output_schema is None or reply.tool_calls:
            return ACCEPT
        try:
            parse_output(request.output_schema, reply.text)
        except ValueError as error:
            fault = str(error)
            shown = fault if len(fault) <= _SHOWN else fault[:_SHOWN] + "..."
            detail = f"the answer does not fit the schema {request.output_schema.name!r}: {shown}"
            return Verdict(accepted=False, code=self.name, detail=detail)
        return ACCEPT
