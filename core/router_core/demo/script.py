"""The offline cast: the prompts written for the demo, and three models that read their answers from a script.

``prompts.json`` holds a list of prompts. Each has the messages as ``Router.complete`` takes them, a difficulty as a
person judges it, and one answer per scripted model: a ``text`` or a ``tool`` call, or ``fails`` (a kind of failure).
An answer with a ``fault`` is marked as not good, and the fault says why; all others are marked as good.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Any, TypeAlias

from router_core.effects import CallModel
from router_core.hosts.chat import ChatPayload
from router_core.options import CallOptions
from router_core.testing import Broken
from router_core.types import FailureKind, Model, Price, Reply, ToolCall

Messages: TypeAlias = str | Sequence[Mapping[str, Any]]


def _scripted(size: str, window: int, input_price: str, output_price: str) -> Model:
    return Model(
        name=f"scripted:{size}",
        id=size,
        provider="scripted",
        endpoint="scripted",
        price=Price(input=Decimal(input_price), output=Decimal(output_price)),
        context_window=window,
    )


MODELS = (
    _scripted("small", 32_000, "0.10", "0.40"),
    _scripted("medium", 128_000, "0.50", "2.00"),
    _scripted("large", 200_000, "2.50", "10.00"),
)
"""Made-up models, weakest first. Windows and prices lie where those of real models of these sizes do."""


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """What one scripted model says to one prompt: a reply, or a kind of failure. ``fault`` says why it is not good."""

    reply: Reply
    fails: FailureKind | None
    fault: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt of the demo. ``answers`` maps names of scripted models to what they say."""

    id: str
    task: str
    language: str
    difficulty: str
    messages: Messages
    options: CallOptions
    answers: Mapping[str, ScriptedAnswer]

    @property
    def turns(self) -> tuple[tuple[str, str], ...]:
        """Role and text of each message."""
        if isinstance(self.messages, str):
            return (("user", self.messages),)
        return tuple((message["role"], message["content"]) for message in self.messages)


def load_prompts() -> tuple[Prompt, ...]:
    """The shipped prompts, in their order: grouped by task."""
    text = files("router_core.demo").joinpath("prompts.json").read_text(encoding="utf-8")
    return tuple(_prompt(entry) for entry in json.loads(text))


def _prompt(entry: Mapping[str, Any]) -> Prompt:
    options = CallOptions(call_site=f"demo/{entry['id']}")
    if "schema" in entry:
        options["schema"] = entry["schema"]
    if "tools" in entry:
        options["tools"] = entry["tools"]
        options["tool_choice"] = entry["tool_choice"]
    return Prompt(
        id=entry["id"],
        task=entry["task"],
        language=entry["language"],
        difficulty=entry["difficulty"],
        messages=entry["messages"],
        options=options,
        answers={model.name: _answer(entry["answers"][model.id]) for model in MODELS},
    )


def _answer(entry: Mapping[str, Any]) -> ScriptedAnswer:
    tool = entry.get("tool")
    return ScriptedAnswer(
        reply=Reply(
            text=entry.get("text", ""),
            tool_calls=(ToolCall("call_1", tool["name"], tool["arguments"]),) if tool else (),
            finish_reason=entry.get("finish_reason", "tool_calls" if tool else "stop"),
        ),
        fails=FailureKind(entry["fails"]) if "fails" in entry else None,
        fault=entry.get("fault"),
    )


def spoken(reply: Reply) -> str:
    """A reply as text to look at: tool calls as ``name(arguments)``."""
    return "\n".join(filter(None, [reply.text, *(f"{call.name}({call.arguments})" for call in reply.tool_calls)]))


class Script:
    """The script of a ``ScriptedHost``: finds the prompt by its messages and answers as the called model would."""

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        self._by_turns = {prompt.turns: prompt for prompt in prompts}

    def __call__(self, effect: CallModel, payload: ChatPayload) -> Reply | Exception:
        """What the model says; it reports no usage, so that the router counts the text. Raises ``KeyError`` for a
        conversation that is not in the script."""
        turns = tuple((message["role"], message["content"]) for message in payload.messages)
        answer = self._by_turns[turns].answers[effect.model.name]
        if answer.fails is None:
            return answer.reply
        # A provider that is too late has done the work all the same.
        return Broken(answer.fails, may_be_billed=answer.fails is FailureKind.TIMEOUT)
