"""The wire formats of OpenAI's chat completions and responses, Anthropic's messages and Ollama's chat.

Each reads a request's body into an ``Ask`` and writes a ``Say`` as one body or as the pieces of a stream.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from tests.servers.mind import Ask, Call, Said, Say, Tokens

FAILED = "The model cannot answer."
_NUMBERS = itertools.count(1)


class Wire(Protocol):
    """A provider's protocol."""

    name: str
    path: str
    stream_type: str

    def streams(self, body: Mapping[str, Any]) -> bool: ...
    def read(self, body: Mapping[str, Any]) -> Ask: ...
    def whole(self, ask: Ask, say: Say, used: Tokens) -> dict[str, Any]: ...
    def pieces(self, ask: Ask, say: Say, used: Tokens, body: Mapping[str, Any]) -> Iterator[bytes]: ...
    def failure(self, status: int, why: str = "") -> dict[str, Any]: ...


def _text(content: Any) -> str:
    """The text of a message's content: a string, or a list of blocks of which some are text."""
    if isinstance(content, str):
        return content
    parts = []
    for block in content or []:
        if block.get("type") in {"text", "input_text"}:
            parts.append(block["text"])
        elif block.get("type") == "tool_result":
            parts.append(_text(block.get("content", "")))
    return " ".join(parts)


def _halves(args: Mapping[str, Any]) -> tuple[str, str]:
    """The arguments as JSON, in the two pieces in which they are streamed."""
    text = json.dumps(args, ensure_ascii=False)
    return text[: len(text) // 2], text[len(text) // 2 :]


def _line(event: str, data: Any) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


class OpenAI:
    """``POST /v1/chat/completions``."""

    name = "openai"
    path = "/v1/chat/completions"
    stream_type = "text/event-stream"

    def streams(self, body: Mapping[str, Any]) -> bool:
        return bool(body.get("stream"))

    def read(self, body: Mapping[str, Any]) -> Ask:
        wanted = body.get("response_format") or {}
        schemas = {"json_schema": wanted.get("json_schema", {}).get("schema"), "json_object": {}}
        choice = body.get("tool_choice") or "auto"
        return Ask(
            body["model"],
            [
                Said(
                    message["role"],
                    _text(message.get("content")),
                    [call["function"]["name"] for call in message.get("tool_calls") or []],
                )
                for message in body["messages"]
            ],
            {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in body.get("tools") or []},
            choice["function"]["name"] if isinstance(choice, dict) else choice.replace("required", "any"),
            body.get("parallel_tool_calls", True),
            schemas.get(wanted.get("type", "")),
            _listed(body.get("stop")),
            body.get("max_completion_tokens") or body.get("max_tokens"),
        )

    def whole(self, ask: Ask, say: Say, used: Tokens) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": say.text or None, "refusal": None}
        if say.calls:
            message["tool_calls"] = [
                self._call(call.name, json.dumps(call.args, ensure_ascii=False)) for call in say.calls
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._ended(say)}
        return {**self._head(ask, "chat.completion"), "choices": [choice], "usage": self._usage(used)}

    def pieces(self, ask: Ask, say: Say, used: Tokens, body: Mapping[str, Any]) -> Iterator[bytes]:
        head = self._head(ask, "chat.completion.chunk")
        reports = bool((body.get("stream_options") or {}).get("include_usage"))

        def chunk(delta: Mapping[str, Any], ended: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": ended}
            return self._data({**head, "choices": [choice], **({"usage": None} if reports else {})})

        yield chunk({"role": "assistant", "content": "" if say.text else None, "refusal": None})
        for word in say.words():
            yield chunk({"content": word})
        for index, call in enumerate(say.calls):
            first, second = _halves(call.args)
            yield chunk({"tool_calls": [{"index": index, **self._call(call.name, first)}]})
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": second}}]})
        yield chunk({}, self._ended(say))
        if reports:
            yield self._data({**head, "choices": [], "usage": self._usage(used)})
        yield b"data: [DONE]\n\n"

    def failure(self, status: int, why: str = "") -> dict[str, Any]:
        code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(status, "server_error")
        return {"error": {"message": why or FAILED, "type": code, "param": None, "code": code}}

    def _head(self, ask: Ask, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{next(_NUMBERS)}", "object": kind, "created": 1, "model": ask.model}

    def _call(self, name: str, arguments: str) -> dict[str, Any]:
        function = {"name": name, "arguments": arguments}
        return {"id": f"call_{next(_NUMBERS):024d}", "type": "function", "function": function}

    def _ended(self, say: Say) -> str:
        return {"calls": "tool_calls"}.get(say.ended, say.ended)

    def _usage(self, used: Tokens) -> dict[str, Any]:
        return {
            "prompt_tokens": used.input,
            "completion_tokens": used.output,
            "total_tokens": used.input + used.output,
            "prompt_tokens_details": {"cached_tokens": used.cached},
            "completion_tokens_details": {"reasoning_tokens": used.reasoning},
        }

    def _data(self, data: Any) -> bytes:
        return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


class Responses:
    """``POST /v1/responses``, in one piece and without tools."""

    name = "responses"
    path = "/v1/responses"
    stream_type = "text/event-stream"

    def streams(self, body: Mapping[str, Any]) -> bool:
        assert not body.get("stream"), "this wire does not stream"
        return False

    def read(self, body: Mapping[str, Any]) -> Ask:
        given = body["input"]
        messages = [{"role": "user", "content": given}] if isinstance(given, str) else given
        return Ask(
            body["model"],
            [Said(message["role"], _text(message["content"])) for message in messages],
            schema=(body.get("text") or {}).get("format", {}).get("schema"),
            max_tokens=body.get("max_output_tokens"),
        )

    def whole(self, ask: Ask, say: Say, used: Tokens) -> dict[str, Any]:
        text = {"type": "output_text", "text": say.text, "annotations": []}
        number = next(_NUMBERS)
        return {
            "id": f"resp_{number}",
            "object": "response",
            "created_at": 1,
            "model": ask.model,
            "status": "incomplete" if say.ended == "length" else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if say.ended == "length" else None,
            "output": [
                {
                    "type": "message",
                    "id": f"msg_{number}",
                    "role": "assistant",
                    "status": "completed",
                    "content": [text],
                }
            ],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": used.input,
                "output_tokens": used.output,
                "total_tokens": used.input + used.output,
                "input_tokens_details": {"cached_tokens": used.cached},
                "output_tokens_details": {"reasoning_tokens": used.reasoning},
            },
        }

    def pieces(self, ask: Ask, say: Say, used: Tokens, body: Mapping[str, Any]) -> Iterator[bytes]:
        raise NotImplementedError

    def failure(self, status: int, why: str = "") -> dict[str, Any]:
        return OpenAI().failure(status, why)


class Anthropic:
    """``POST /v1/messages``. Cached tokens are not part of ``input_tokens`` here."""

    name = "anthropic"
    path = "/v1/messages"
    stream_type = "text/event-stream"

    def streams(self, body: Mapping[str, Any]) -> bool:
        return bool(body.get("stream"))

    def read(self, body: Mapping[str, Any]) -> Ask:
        choice = body.get("tool_choice") or {"type": "auto"}
        wanted = (body.get("output_config") or {}).get("format") or body.get("output_format")
        system = [Said("system", _text(body["system"]))] if body.get("system") else []
        return Ask(
            body["model"],
            [*system, *(self._said(message) for message in body["messages"])],
            {tool["name"]: tool.get("input_schema", {}) for tool in body.get("tools") or []},
            choice.get("name") or choice["type"],
            not choice.get("disable_parallel_tool_use"),
            wanted and wanted["schema"],
            body.get("stop_sequences") or (),
            body["max_tokens"],
        )

    def _said(self, message: Mapping[str, Any]) -> Said:
        content = message["content"]
        blocks = [] if isinstance(content, str) else content
        results = any(block["type"] == "tool_result" for block in blocks)
        calls = [block["name"] for block in blocks if block["type"] == "tool_use"]
        return Said("tool" if results else message["role"], _text(content), calls)

    def whole(self, ask: Ask, say: Say, used: Tokens) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": say.text}] if say.text else []
        content += [{**self._call(call), "input": call.args} for call in say.calls]
        return self._message(ask, content, self._ended(say), self._usage(used, used.output))

    def pieces(self, ask: Ask, say: Say, used: Tokens, body: Mapping[str, Any]) -> Iterator[bytes]:
        yield self._event("message_start", message=self._message(ask, [], None, self._usage(used, 1)))
        blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        if say.text:
            words = [{"type": "text_delta", "text": word} for word in say.words()]
            blocks.append(({"type": "text", "text": ""}, words))
        for call in say.calls:
            halves = [{"type": "input_json_delta", "partial_json": half} for half in _halves(call.args)]
            blocks.append((self._call(call), halves))
        for index, (block, deltas) in enumerate(blocks):
            yield self._event("content_block_start", index=index, content_block=block)
            for delta in deltas:
                yield self._event("content_block_delta", index=index, delta=delta)
            yield self._event("content_block_stop", index=index)
        ended = {"stop_reason": self._ended(say), "stop_sequence": None}
        yield self._event("message_delta", delta=ended, usage=self._usage(used, used.output))
        yield self._event("message_stop")

    def failure(self, status: int, why: str = "") -> dict[str, Any]:
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": why or FAILED}}

    def _message(self, ask: Ask, content: list[Any], ended: str | None, usage: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": f"msg_{next(_NUMBERS):024d}",
            "type": "message",
            "role": "assistant",
            "model": ask.model,
            "content": content,
            "stop_reason": ended,
            "stop_sequence": None,
            "usage": usage,
        }

    def _call(self, call: Call) -> dict[str, Any]:
        return {"type": "tool_use", "id": f"toolu_{next(_NUMBERS):024d}", "name": call.name, "input": {}}

    def _ended(self, say: Say) -> str:
        return {"calls": "tool_use", "length": "max_tokens", "stop": "end_turn"}[say.ended]

    def _usage(self, used: Tokens, output: int) -> dict[str, Any]:
        return {
            "input_tokens": used.input - used.cached,
            "cache_read_input_tokens": used.cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": output,
        }

    def _event(self, event: str, **data: Any) -> bytes:
        return _line(event, {"type": event, **data})


class Ollama:
    """``POST /api/chat``: lines of JSON. It knows no tool choice, and tells nothing of cached or reasoning tokens."""

    name = "ollama"
    path = "/api/chat"
    stream_type = "application/x-ndjson"

    def streams(self, body: Mapping[str, Any]) -> bool:
        return bool(body.get("stream", True))

    def read(self, body: Mapping[str, Any]) -> Ask:
        options = body.get("options") or {}
        wanted = body.get("format") or None
        return Ask(
            body["model"],
            [
                Said(
                    message["role"],
                    message.get("content") or "",
                    [call["function"]["name"] for call in message.get("tool_calls") or []],
                )
                for message in body["messages"]
            ],
            {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in body.get("tools") or []},
            schema={} if wanted == "json" else wanted,
            stop=_listed(options.get("stop")),
            max_tokens=options.get("num_predict"),
        )

    def whole(self, ask: Ask, say: Say, used: Tokens) -> dict[str, Any]:
        return self._end(ask, say, used, text=say.text, calls=say.calls)

    def pieces(self, ask: Ask, say: Say, used: Tokens, body: Mapping[str, Any]) -> Iterator[bytes]:
        for word in say.words():
            yield self._line(self._part(ask, word))
        if say.calls:
            yield self._line(self._part(ask, "", say.calls))
        yield self._line(self._end(ask, say, used))

    def failure(self, status: int, why: str = "") -> dict[str, Any]:
        return {"error": why or FAILED}

    def _part(self, ask: Ask, text: str, calls: Sequence[Call] = ()) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if calls:
            message["tool_calls"] = [{"function": {"name": call.name, "arguments": call.args}} for call in calls]
        return {"model": ask.model, "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False}

    def _end(self, ask: Ask, say: Say, used: Tokens, *, text: str = "", calls: Sequence[Call] = ()) -> dict[str, Any]:
        return {
            **self._part(ask, text, calls),
            "done": True,
            "done_reason": "length" if say.ended == "length" else "stop",
            "total_duration": 1,
            "load_duration": 1,
            "prompt_eval_count": used.input,
            "prompt_eval_duration": 1,
            "eval_count": used.output,
            "eval_duration": 1,
        }

    def _line(self, data: Any) -> bytes:
        return json.dumps(data, ensure_ascii=False).encode() + b"\n"


def _listed(stop: str | Sequence[str] | None) -> Sequence[str]:
    return [stop] if isinstance(stop, str) else stop or ()


WIRES: Sequence[Wire] = (OpenAI(), Responses(), Anthropic(), Ollama())
