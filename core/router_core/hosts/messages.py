"""Reading the messages of a request: checked, measured, and told apart into what the rules see and what is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from router_core.errors import InvalidRequest
from router_core.hosts.checks import json_size, shown, text_size, type_of
from router_core.registry import did_you_mean
from router_core.types import Capability, Role, Turn

WRAPPING = 16
"""Bytes added for each message. Chat templates wrap a message in its role and two or three marker tokens (ChatML and
Llama 3: five tokens in all), and prime the answer with as many once; OpenAI's count is 3 + the role, and 3 once."""

IMAGE_ALLOWANCE = 5_000
"""Bytes (that is, at most as many tokens) taken for an image, whose pixels are not looked at. Anthropic's largest is
4,784 tokens, OpenAI's 1,445 (tiles) and 3,779 (1,536 patches x 2.46); gpt-4o-mini, at up to 48,169, goes beyond it."""

AUDIO_ALLOWANCE = 20_000
"""Bytes taken for a recording: ten minutes at Gemini's 32 tokens a second, half an hour at OpenAI's 10."""

PDF_ALLOWANCE = 50_000
"""Bytes taken for a PDF: ten pages at Anthropic's 1,600 tokens for the picture and 3,000 for the text of a page."""

ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
"""Roles that may be given. "developer" is sent as "system": all servers know it, and OpenAI takes both as the same."""

_MEASURED = frozenset({"role", "content", "tool_calls", "tool_call_id", "name"})


class Said(NamedTuple):
    """The messages, read: for the rules, for the wire, and the bound on their size in bytes."""

    turns: tuple[Turn, ...]
    wire: tuple[Mapping[str, Any], ...]
    size: int
    modalities: frozenset[Capability] = frozenset()


def read_prompt(prompt: str) -> Said:
    """A prompt as the one message of a user.

    Raises:
        InvalidRequest: it is blank, or not valid text.
    """
    if not prompt or prompt.isspace():
        raise InvalidRequest("messages: the prompt is empty; give a text or a list of messages")
    size = text_size(prompt, "messages") + WRAPPING
    return Said((Turn("user", prompt),), ({"role": "user", "content": prompt},), size)


def read_messages(messages: object) -> Said:
    """A conversation in OpenAI's message dictionaries.

    Raises:
        InvalidRequest: it is not one; the message names the place and the remedy.
    """
    if isinstance(messages, Mapping) or not isinstance(messages, Sequence) or isinstance(messages, (bytes, bytearray)):
        raise InvalidRequest(f"messages: {shown(messages)} is neither a text nor a list of message dictionaries")
    if not messages:
        raise InvalidRequest("messages: the list is empty; give at least one message")
    turns: list[Turn] = []
    wire: list[Mapping[str, Any]] = []
    kinds: set[Capability] = set()
    size = WRAPPING * len(messages)
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        role = _role(message, where)
        content = _content(message, role, where)
        turns.append(Turn(role, content.text))
        wire.append(message if type(message) is dict and message["role"] == role else {**message, "role": role})
        kinds.update(content.kinds)
        size += content.size + _other_fields(message, role, where)
    if not kinds and not any(turn.text and not turn.text.isspace() for turn in turns):
        raise InvalidRequest("messages: no message says anything; give one of them a text")
    return Said(tuple(turns), tuple(wire), size, frozenset(kinds))


class _Content(NamedTuple):
    text: str
    size: int
    kinds: tuple[Capability, ...] = ()


def _role(message: object, where: str) -> Role:
    if not isinstance(message, Mapping):
        remedy = "; give {'role': ..., 'content': ...} (an SDK's message object: its model_dump())"
        raise InvalidRequest(f"{where}: {type_of(message)} is no message dictionary{remedy}")
    role = message.get("role")
    if isinstance(role, str) and role in ROLES:
        return ROLES[role]
    hint = did_you_mean(role, ROLES) if isinstance(role, str) and len(role) <= max(map(len, ROLES)) * 2 else ""
    raise InvalidRequest(f"{where}.role: {shown(role)} is no role{hint}; use one of {', '.join(ROLES)}")


def _content(message: Mapping[str, Any], role: Role, where: str) -> _Content:
    content = message.get("content")
    if isinstance(content, str):
        return _Content(content, text_size(content, f"{where}.content"))
    if content is None and role == "assistant" and (message.get("tool_calls") or message.get("refusal")):
        return _Content("", 0)
    if not isinstance(content, list) or not content:
        raise InvalidRequest(f"{where}.content: {shown(content)} is neither a text nor a non-empty list of parts")
    texts: list[str] = []
    kinds: list[Capability] = []
    size = 0
    for position, part in enumerate(content):
        read = _part(part, f"{where}.content[{position}]")
        size += read.size
        kinds += read.kinds
        if not read.kinds:
            texts.append(read.text)
    return _Content("\n".join(texts), size, tuple(kinds))


def _part(part: object, where: str) -> _Content:
    kind = part.get("type") if isinstance(part, dict) else None
    reader = _PARTS.get(kind) if isinstance(kind, str) else None
    if reader is None or not isinstance(part, dict):
        given = type_of(part) if kind is None else f"type {shown(kind)}"
        raise InvalidRequest(f"{where}: {given} is no known part; use a part of type {', '.join(_PARTS)}")
    read = reader(part, where)
    if len(part) <= 2:  # noqa: PLR2004 - its type and its content
        return read
    rest = {key: value for key, value in part.items() if key not in {"type", kind}}
    return read._replace(size=read.size + json_size(rest, where))


def _text(part: Mapping[str, Any], where: str) -> _Content:
    field = part["type"]
    return _Content(part.get(field, ""), _required(part, where, field))


def _image(part: Mapping[str, Any], where: str) -> _Content:
    _inner(part, where, "url")
    return _Content("", IMAGE_ALLOWANCE, (Capability.IMAGE,))


def _audio(part: Mapping[str, Any], where: str) -> _Content:
    _inner(part, where, "data", "format")
    return _Content("", AUDIO_ALLOWANCE, (Capability.AUDIO,))


def _file(part: Mapping[str, Any], where: str) -> _Content:
    inner = part.get("file")
    _inner(part, where, "file_id" if isinstance(inner, dict) and "file_id" in inner else "file_data")
    return _Content("", PDF_ALLOWANCE, (Capability.PDF,))


_PARTS: Mapping[str, Callable[[Mapping[str, Any], str], _Content]] = {
    "text": _text,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
    "refusal": _text,
}
"""The parts of OpenAI's chat protocol and their readers. A file is taken for a PDF, the only kind that it knows."""


def _inner(part: Mapping[str, Any], where: str, *required: str) -> None:
    """See that what a part carries is complete and can be sent."""
    field = part["type"]
    inner = part.get(field)
    if not isinstance(inner, dict):
        raise InvalidRequest(f"{where}.{field}: {type_of(inner)} is no dictionary; give one with {', '.join(required)}")
    _required(inner, f"{where}.{field}", *required)
    rest = {key: value for key, value in inner.items() if key not in required}
    if rest:
        json_size(rest, f"{where}.{field}")


def _required(fields: Mapping[str, Any], where: str, *names: str) -> int:
    """The size of texts that must be there."""
    size = 0
    for name in names:
        value = fields.get(name)
        if not isinstance(value, str):
            raise InvalidRequest(f"{where}.{name}: {shown(value)} is no text; it is required")
        size += text_size(value, f"{where}.{name}")
    return size


def _other_fields(message: Mapping[str, Any], role: Role, where: str) -> int:
    """The size of all but the content: names, ids, tool calls, and fields that only some servers know."""
    if role == "tool" and message.get("tool_call_id") is None:
        raise InvalidRequest(f"{where}.tool_call_id: it is missing; name the tool call that this message answers")
    if len(message) <= 2:  # noqa: PLR2004 - its role and its content
        return 0
    texts = [name for name in ("name", "tool_call_id") if message.get(name) is not None]
    rest = {key: value for key, value in message.items() if key not in _MEASURED}
    return (
        _required(message, where, *texts)
        + _tool_calls(message.get("tool_calls"), role, where)
        + (json_size(rest, where) if rest else 0)
    )


def _tool_calls(calls: object, role: Role, where: str) -> int:
    if calls is None:
        return 0
    if role != "assistant":
        raise InvalidRequest(f"{where}.tool_calls: only an assistant's message may hold tool calls, not the {role}'s")
    if not isinstance(calls, list):
        raise InvalidRequest(f"{where}.tool_calls: {shown(calls)} is no list of tool calls")
    for position, call in enumerate(calls):
        place = f"{where}.tool_calls[{position}]"
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise InvalidRequest(f"{place}: {shown(call)} is no tool call; give id, type and function")
        _required(call, place, "id")
        _required(function, f"{place}.function", "name", "arguments")
    return json_size(calls, f"{where}.tool_calls")


def with_question(turns: Sequence[Turn], question: str | None) -> tuple[Turn, ...]:
    """The turns with the user's ``question`` as a turn of the user's own, and what an application has packed around it
    (instructions, retrieved documents) as the application's.

    Rules that judge what is asked are not to judge the documents. The question is looked for in the turns of the user,
    the last one first; where none holds it, nothing is changed.
    """
    told = list(turns)
    for place in range(len(told) - 1, -1, -1) if question else ():
        before, found, after = told[place].text.rpartition(question or "")
        if found and told[place].role == "user":
            rest = [Turn("system", text) for text in (before, after) if text and not text.isspace()]
            told[place : place + 1] = [*rest, Turn("user", found)]
            break
    return tuple(told)
