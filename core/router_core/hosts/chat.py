"""The native host's payload and chunk, in the shapes of OpenAI's chat protocol, and how a request becomes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from router_core.hosts.limits import read_constraints, read_labels, read_sampling, refuse_unknown
from router_core.hosts.messages import read_messages, read_prompt
from router_core.hosts.tools import read_schema, read_tool_choice, read_tools
from router_core.types import Constraints, Question, Reply, RequestView, ToolCall, Usage

if TYPE_CHECKING:
    from router_core.options import CallOptions
    from router_core.registry import Registry


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call. ``index`` says which call of the answer it continues; ``arguments`` is a piece of JSON
    text."""

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One piece of a streamed answer. ``native`` is the SDK's own object; ``cost_nano`` and ``service_tier`` are those
    of ``Reply``."""

    text: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    refusal: str = ""
    model_id: str | None = None
    cost_nano: int | None = None
    service_tier: str | None = None
    native: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPayload:
    """What is sent, but for the model: OpenAI's wire shapes.

    ``sampling`` may hold max_tokens, temperature, top_p, stop, seed and extra (fields for the provider, unchanged).
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    response_format: Mapping[str, Any] | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)


def shows(chunk: Chunk) -> int:
    """How many characters a chunk shows: text, refusal and pieces of tool calls."""
    calls = sum(len(delta.name or "") + len(delta.arguments) + 1 for delta in chunk.tool_calls)
    return len(chunk.text) + len(chunk.refusal) + calls


def replay_reply(reply: Reply) -> Iterator[Chunk]:
    """Chunks that say a whole reply; ``join_chunks`` makes the same reply of them."""
    if reply.text or reply.refusal:
        yield Chunk(text=reply.text, refusal=reply.refusal or "", model_id=reply.model_id)
    if reply.tool_calls:
        deltas = (ToolCallDelta(i, call.id, call.name, call.arguments) for i, call in enumerate(reply.tool_calls))
        yield Chunk(tool_calls=tuple(deltas), model_id=reply.model_id)
    yield Chunk(
        finish_reason=reply.finish_reason,
        usage=reply.usage,
        model_id=reply.model_id,
        cost_nano=reply.cost_nano,
        service_tier=reply.service_tier,
        native=reply.native,
    )


class ChunkHost:
    """The part of a host that its chunks decide, whoever calls the models."""

    def pose(self, question: Question) -> ChatPayload:
        """The payload that asks a question instead of the request."""
        return ChatPayload(messages=tuple({"role": turn.role, "content": turn.text} for turn in question.turns))

    def join(self, chunks: Sequence[Chunk]) -> Reply:
        """The reply that these chunks make."""
        return join_chunks(chunks)

    def replay(self, reply: Reply) -> Iterator[Chunk]:
        """Chunks that say a reply that was not streamed."""
        return replay_reply(reply)

    def shows(self, chunk: Chunk) -> int:
        """How many characters a chunk shows."""
        return shows(chunk)


def join_chunks(chunks: Sequence[Chunk]) -> Reply:
    """The reply that any beginning of a stream makes. Of usage, finish reason and native object the last one told
    counts, because servers that tell usage with every chunk tell a running total. Never raises."""
    finish_reason = usage = model_id = cost_nano = service_tier = native = None
    for chunk in chunks:
        finish_reason = chunk.finish_reason or finish_reason
        usage = chunk.usage or usage
        model_id = chunk.model_id or model_id
        cost_nano = cost_nano if chunk.cost_nano is None else chunk.cost_nano
        service_tier = chunk.service_tier or service_tier
        native = native if chunk.native is None else chunk.native
    return Reply(
        text="".join([chunk.text for chunk in chunks]),
        tool_calls=_join_tool_calls([delta for chunk in chunks for delta in chunk.tool_calls]),
        finish_reason=finish_reason,
        usage=usage,
        refusal="".join([chunk.refusal for chunk in chunks]) or None,
        model_id=model_id,
        cost_nano=cost_nano,
        service_tier=service_tier,
        native=native,
    )


class _OpenCall:
    """A tool call while its pieces come in."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self, delta: ToolCallDelta) -> None:
        self.id = delta.id or ""
        self.name = delta.name or ""
        self.arguments = [delta.arguments]

    def continued_by(self, delta: ToolCallDelta) -> bool:
        """False where a server numbers all its calls 0 and tells them apart by id and name only."""
        return not (delta.name and delta.id and self.id and delta.id != self.id)

    def add(self, delta: ToolCallDelta) -> None:
        self.id = self.id or delta.id or ""
        self.name = self.name or delta.name or ""
        self.arguments.append(delta.arguments)


def _join_tool_calls(deltas: Sequence[ToolCallDelta]) -> tuple[ToolCall, ...]:
    calls: list[_OpenCall] = []
    by_index: dict[int, _OpenCall] = {}
    for delta in deltas:
        call = by_index.get(delta.index)
        if call is not None and call.continued_by(delta):
            call.add(delta)
        else:
            by_index[delta.index] = call = _OpenCall(delta)
            calls.append(call)
    return tuple(ToolCall(call.id, call.name, "".join(call.arguments)) for call in calls)


def prepare(
    messages: str | Sequence[Mapping[str, Any]],
    options: CallOptions,
    *,
    defaults: Constraints,
    registry: Registry,
) -> tuple[RequestView, ChatPayload]:
    """Check and normalise what the application gave: the view for the rules, the payload for the host.

    A string is one user message. Options that are None count as not given; constraints that are given replace those of
    ``defaults`` field by field.

    Raises:
        InvalidRequest: anything is wrong with it; the message names the field, the value and the remedy.
    """
    said = read_prompt(messages) if isinstance(messages, str) else read_messages(messages)
    if not options:
        return (
            RequestView(turns=said.turns, input_bytes=said.size, modalities=said.modalities, constraints=defaults),
            ChatPayload(messages=said.wire),
        )
    refuse_unknown(options)
    tools = read_tools(options.get("tools"))
    choice = read_tool_choice(options.get("tool_choice"), tools)
    schema = read_schema(options.get("schema"))
    tags, session, call_site = read_labels(options)
    sampling = read_sampling(options)
    view = RequestView(
        turns=said.turns,
        input_bytes=said.size + tools.size + schema.size,
        modalities=said.modalities,
        tools=tools.specs,
        tool_choice=choice.name,
        output_schema=schema.schema,
        max_tokens=sampling.get("max_tokens"),
        constraints=read_constraints(options, defaults, registry),
        tags=tags,
        session=session,
        call_site=call_site,
    )
    payload = ChatPayload(
        messages=said.wire,
        tools=tools.wire,
        tool_choice=choice.wire,
        response_format=schema.wire,
        sampling=sampling,
    )
    return view, payload
