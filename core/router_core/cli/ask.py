"""``llm-router ask``: an answer on standard output, its account on standard error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from router_core.cli._show import money
from router_core.errors import InvalidRequest
from router_core.router import Router

if TYPE_CHECKING:
    from router_core.options import CallOptions
    from router_core.records import Answer

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def answer(path: Path, messages: Sequence[Mapping[str, Any]], options: CallOptions, *, streamed: bool) -> None:
    """Answer a request and write the answer, streamed or in one piece."""
    router = Router.from_config(path)
    if streamed:
        with router.stream(messages, **options) as stream:
            _write(chunk.text or chunk.refusal for chunk in stream)
            given = stream.answer
    else:
        given = router.complete(messages, **options)
        _write(iter([given.text or given.reply.refusal or ""]))
    typer.echo(_account(given), err=True)


def read_schema(path: Path) -> Mapping[str, Any]:
    """The JSON Schema in a file.

    Raises:
        InvalidRequest: the file cannot be read or holds no JSON object.
    """
    try:
        schema = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidRequest(f"--schema: {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InvalidRequest(f"--schema: {path} is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise InvalidRequest(f"--schema: {path} holds no JSON object; a JSON Schema is one")
    return schema


def _write(texts: Iterator[str]) -> None:
    """Write the pieces of an answer as they come, and end the line."""
    last = ""
    try:
        for text in texts:
            sys.stdout.write(_printable(text))
            sys.stdout.flush()
            last = text or last
    finally:
        if last and not last.endswith("\n"):
            typer.echo()


def _printable(text: str) -> str:
    """The text as standard output can take it. A terminal gets no control characters: they could command it."""
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "replace").decode(encoding)
    return _CONTROL.sub("", text) if sys.stdout.isatty() else text


def _account(given: Answer) -> str:
    receipt = given.receipt
    attempts = ", ".join(
        f"{attempt.model} {attempt.outcome.value}{_why(attempt.verdict.code if attempt.verdict else attempt.failure)}"
        for attempt in receipt.attempts
    )
    count = len(receipt.attempts)
    parts = [
        given.model,
        receipt.decision.reason.value if receipt.decision else "",
        f"{count} attempt{'s' if count > 1 else ''}{f': {attempts}' if count > 1 or not given.verified else ''}",
        f"{given.usage.input_tokens:,} + {given.usage.output_tokens:,} tokens{' (estimated)' * given.usage.estimated}",
        f"cost {money(given.cost_usd)}",
        f"{receipt.latency_s:.2f} s",
    ]
    return f"[{' | '.join(part for part in parts if part)}]"


def _why(code: str | None) -> str:
    return f" ({code})" if code and code != "ok" else ""
