"""Labelled examples: prompts with how well each of some models answered them, and how they are read from a file.

A file has one JSON object on each line (JSON lines), and may be compressed with gzip. A row of any number of models::

    {"prompt": "What is 2+2?", "outcomes": {"small": 1, "large": {"quality": 1, "cost_usd": 0.002, "answer": "4"}}}

``prompt`` is a text; ``messages`` in its place is a conversation in OpenAI's message dictionaries. ``outcomes`` maps
the name of a model to its quality (0..1, true or false), or to an object of ``quality`` and, where they are known,
``cost_usd``, ``answer``, ``finish_reason``, ``input_tokens``, ``output_tokens`` and ``logprobs``. ``call_site`` is the
place in the application that makes the call, ``group`` keeps examples together that must not be parted by a split. The
short form is for two models, which are then called "weak" and "strong"::

    {"prompt": "What is 2+2?", "weak": 1, "strong": 1}

Other fields of a row are left alone; null is as good as missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from router_core.errors import ConfigError
from router_core.learning.rows import Row, missing, number_of, read_rows
from router_core.registry import did_you_mean
from router_core.types import RequestView, Role, Turn

WEAK, STRONG = "weak", "strong"
"""The names of the two models in the short form."""

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_ROW_FIELDS = ("prompt", "messages", "outcomes", WEAK, STRONG)
_OUTCOME_FIELDS = ("quality", "cost_usd", "answer", "finish_reason", "input_tokens", "output_tokens", "logprobs")
_FORM = '{"prompt": "...", "outcomes": {"model": 0..1, ...}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one model answered one prompt.

    ``quality`` is 0..1 (wrong, right or in between), ``cost_usd`` US dollars; ``finish_reason`` is in OpenAI's words
    ("stop", "length"). None is unknown. ``logprobs`` are the natural logarithms of the probabilities of the answer's
    tokens, none where the provider did not tell them.
    """

    quality: float
    cost_usd: float | None = None
    answer: str | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One prompt and its outcomes by the name of the model.

    ``text`` is the user's last turn, ``turns`` the whole conversation (empty: ``text`` is all of it). ``group`` names
    what must stay on one side of a split: near-duplicates, a user, a task.
    """

    text: str
    outcomes: Mapping[str, Outcome]
    call_site: str | None = None
    group: str | None = None
    turns: tuple[Turn, ...] = ()

    @property
    def request(self) -> RequestView:
        """The request as policies and verifiers see it. Its size in bytes is that of the texts alone."""
        turns = self.turns or (Turn("user", self.text),)
        size = sum(len(turn.text.encode("utf-8", "surrogatepass")) for turn in turns)
        return RequestView(turns=turns, input_bytes=size, call_site=self.call_site)


class Found(NamedTuple):
    """The examples that were made of something else, and how many of its rows were left out, by why."""

    examples: list[Example]
    skipped: Mapping[str, int]

    @property
    def told(self) -> str:
        """What was left out, in words; empty if nothing was."""
        return ", ".join(f"{count} {why}" for why, count in self.skipped.items())


def read_examples(path: Path) -> list[Example]:
    """The examples of a file, in its order.

    Raises:
        ConfigError: the file cannot be read, a row is wrong (it names file, line, field, value and remedy), or there is
            none.
    """
    examples = [_example(row) for row in read_rows(path)]
    if not examples:
        raise ConfigError(f"{path}: there is no example in it; give rows such as {_FORM}")
    return examples


def conversation(messages: object) -> tuple[Turn, ...] | None:
    """The turns of a conversation in OpenAI's message dictionaries; None if it is none.

    Of a content in parts the texts count; a message without any, such as one that only calls tools, is an empty turn.
    """
    if not isinstance(messages, list) or not messages:
        return None
    turns: list[Turn] = []
    for message in messages:
        role = message.get("role") if isinstance(message, Mapping) else None
        text = content_text(message.get("content")) if isinstance(message, Mapping) else None
        if not isinstance(role, str) or role not in _ROLES or text is None:
            return None
        turns.append(Turn(_ROLES[role], text))
    return tuple(turns)


def content_text(content: object) -> str | None:
    """The text of a message's content, which is a text, a list of parts or null; None if it is none of these."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return None
    parts = (part.get("text") if isinstance(part, Mapping) else part for part in content)
    return "\n".join(part for part in parts if isinstance(part, str))


def last_question(turns: Sequence[Turn]) -> str:
    """The text of the user's last turn; empty if the user said nothing."""
    return next((turn.text for turn in reversed(turns) if turn.role == "user"), "")


def quality_of(value: object) -> float | None:
    """A quality: true, false or a number 0..1; None for anything else."""
    if isinstance(value, bool):
        return float(value)
    quality = None if isinstance(value, str) else number_of(value)
    return quality if quality is not None and 0 <= quality <= 1 else None


def _example(row: Row) -> Example:
    turns = _turns(row)
    return Example(
        text=last_question(turns),
        outcomes=_outcomes(row),
        call_site=row.text("call_site"),
        group=row.text("group"),
        turns=turns if len(turns) > 1 else (),
    )


def _turns(row: Row) -> tuple[Turn, ...]:
    prompt, messages = row.fields.get("prompt"), row.fields.get("messages")
    if prompt is None and messages is None:
        raise missing(row, "prompt", _ROW_FIELDS, f"a row is {_FORM}")
    if prompt is not None and messages is not None:
        raise row.wrong("messages", messages, "stands beside a prompt; give one of the two")
    if prompt is None:
        turns = conversation(messages)
        if turns is None:
            remedy = 'is no conversation; give [{"role": "user", "content": "..."}, ...]'
            raise row.wrong("messages", messages, remedy)
        field = "messages"
    elif isinstance(prompt, str):
        turns, field = (Turn("user", prompt),), "prompt"
    else:
        raise row.wrong("prompt", prompt, "is no text; give one (for a conversation: messages)")
    if not last_question(turns).strip():
        raise row.wrong(field, row.fields[field], "asks nothing; give the user's question or leave the row out")
    return turns


def _outcomes(row: Row) -> dict[str, Outcome]:
    given = row.fields.get("outcomes")
    if given is None:
        short = {name: row.fields[name] for name in (WEAK, STRONG) if row.fields.get(name) is not None}
        if len(short) == 1:
            lacking = STRONG if WEAK in short else WEAK
            raise missing(row, lacking, (), "give the quality (0..1) of both models, or the long form with outcomes")
        if not short:
            raise missing(row, "outcomes", _ROW_FIELDS, f"a row is {_FORM}")
        return {name: Outcome(quality=_quality(row, name, value)) for name, value in short.items()}
    if not isinstance(given, Mapping) or not given:
        raise row.wrong("outcomes", given, 'names no model; give {"model": 0..1, ...}')
    return {name: _outcome(row, f"outcomes.{name}", value) for name, value in given.items()}


def _outcome(row: Row, field: str, value: Any) -> Outcome:
    if not isinstance(value, Mapping):
        return Outcome(quality=_quality(row, field, value))
    for name, part in value.items():
        if name not in _OUTCOME_FIELDS:
            hint = did_you_mean(name, _OUTCOME_FIELDS)
            known = ", ".join(_OUTCOME_FIELDS)
            raise row.wrong(f"{field}.{name}", part, f"is given to a field that there is not{hint}; there are {known}")
    parts = Row(row.where, {f"{field}.{name}": part for name, part in value.items()})
    cost = value.get("cost_usd")
    dollars = None if cost is None else number_of(cost)
    if cost is not None and (dollars is None or dollars < 0):
        raise row.wrong(f"{field}.cost_usd", cost, "is no amount of US dollars; give 0 or more, or leave it out")
    return Outcome(
        quality=_quality(row, f"{field}.quality", value.get("quality")),
        cost_usd=dollars,
        answer=parts.text(f"{field}.answer"),
        finish_reason=parts.text(f"{field}.finish_reason"),
        input_tokens=_tokens(parts, f"{field}.input_tokens"),
        output_tokens=_tokens(parts, f"{field}.output_tokens"),
        logprobs=_logprobs(parts, f"{field}.logprobs"),
    )


def _quality(row: Row, field: str, value: object) -> float:
    quality = quality_of(value)
    if quality is None:
        raise row.wrong(field, value, "is no quality; give a number from 0 (wrong) to 1 (right)")
    return quality


def _tokens(row: Row, field: str) -> int | None:
    value = row.fields.get(field)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise row.wrong(field, value, "is no number of tokens; give a whole number of 0 or more, or leave it out")


def _logprobs(row: Row, field: str) -> tuple[float, ...]:
    values = row.fields.get(field)
    if values is None:
        return ()
    found = [number_of(value) for value in values] if isinstance(values, list) else [None]
    numbers = tuple(number for number in found if number is not None and number <= 0)
    if len(numbers) < len(found):
        raise row.wrong(field, values, "is no list of log-probabilities; give numbers up to 0, or leave it out")
    return numbers
