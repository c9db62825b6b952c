"""What the fake provider says: the same answer to the same question, whatever the wire format.

The part of a model's name before the first hyphen decides how it behaves:

    good     answers; calls tools and fills schemas with what the prompt offers
    unsure   answers "I don't know." to everything, also where a tool call or JSON was asked for
    weak     answers "I don't know." unless JSON or one certain tool was asked for
    down     fails with status 500
    limited  fails with status 429
    broken   breaks off: the connection is closed in the middle of the answer
    stuck    says half of an answer that is streamed, and of any other nothing, until the client hangs up
    curt     answers; refuses with status 400 to be asked for the usage of a stream
    judge    says what a judge says if it is given the schema of that, else something that cannot be read
    words    says what a judge says; refuses with status 400 to be given a schema
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

IDK = "I don't know."
FAILURES = {"down": 500, "limited": 429}
JUDGES = ("judge", "words")


@dataclass(frozen=True)
class Said:
    """One message of the conversation: who said it, its text, and the names of the tools that it calls."""

    role: str
    text: str
    calls: Sequence[str] = ()


@dataclass(frozen=True)
class Ask:
    """A request, free of its wire format.

    tools: name to JSON schema. choice: "auto", "none", "any" or a tool's name. schema: of the answer; an empty one asks
    for any JSON object.
    """

    model: str
    said: Sequence[Said]
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    choice: str = "auto"
    parallel: bool = True
    schema: Mapping[str, Any] | None = None
    stop: Sequence[str] = ()
    max_tokens: int | None = None

    @property
    def mood(self) -> str:
        return self.model.partition("-")[0]

    @property
    def prompt(self) -> str:
        """What the user said last."""
        return next((said.text for said in reversed(self.said) if said.role == "user"), "")

    @property
    def turn(self) -> Sequence[Said]:
        """What was said since then."""
        last = max((i for i, said in enumerate(self.said) if said.role == "user"), default=-1)
        return self.said[last + 1 :]


@dataclass(frozen=True)
class Call:
    """A tool call. The id is made by the wire: each provider has its own kind."""

    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True)
class Say:
    """An answer. ``ended`` is "stop", "length" or "calls"."""

    text: str
    calls: Sequence[Call] = ()
    ended: str = "stop"

    def words(self) -> list[str]:
        """The text as the pieces of a stream."""
        return re.findall(r"\s*\S+\s*$|\s*\S+", self.text)


@dataclass(frozen=True)
class Tokens:
    """What an answer used. ``cached`` is a part of ``input``, ``reasoning`` of ``output``."""

    input: int
    output: int
    cached: int
    reasoning: int


def count(ask: Ask, say: Say) -> Tokens:
    """A word is a token, a message costs four more and a tool ten. A quarter is cached, or thought."""
    given = sum(len(said.text.split()) + 4 for said in ask.said) + 10 * len(ask.tools)
    made = 1 + len(say.text.split()) + sum(len(json.dumps(call.args).split()) + 4 for call in say.calls)
    return Tokens(given, made, cached=given // 4, reasoning=made // 4)


def think(ask: Ask) -> Say:
    """The answer of a model that works."""
    if ask.mood in JUDGES:
        return _cut(_judgement(ask), ask)
    if ask.mood == "unsure" or (ask.mood == "weak" and ask.schema is None and ask.choice not in ask.tools):
        return Say(IDK)
    calls = _calls(ask)
    if calls:
        return Say("", calls, "calls")
    return _cut(_text(ask), ask)


def _text(ask: Ask) -> str:
    if ask.schema is not None:
        schema = ask.schema or _object(_quoted(ask.prompt) or ["answer"])
        return json.dumps(Inventor(ask.prompt, schema).value(), ensure_ascii=False)
    results = [said.text for said in ask.turn if said.role == "tool"]
    if results:
        return f"The tool says: {'; '.join(results)}"
    return f"Here is a good answer from {ask.model}: the sky is blue, and so are you."


def _judgement(ask: Ask) -> str:
    """A choice of the first model, or a good grade, as the words of the question ask."""
    if ask.mood == "judge" and not ask.schema:
        return "I would take the first one."
    if '"grade"' in ask.said[0].text:
        return json.dumps({"grade": 0.9, "reason": "It is true."})
    first = re.search(r"^- (\S+)", ask.prompt, re.MULTILINE)
    return json.dumps({"task": "facts", "difficulty": 0.3, "model": first and first[1], "confidence": 0.8})


def _cut(text: str, ask: Ask) -> Say:
    for stop in ask.stop:
        text = text.partition(stop)[0]
    pieces = Say(text).words()
    if ask.max_tokens is not None and len(pieces) > ask.max_tokens:
        return Say("".join(pieces[: ask.max_tokens]), ended="length")
    return Say(text)


def _calls(ask: Ask) -> list[Call]:
    """Tools are called unless their results are there; where one must be called, one that was not called yet."""
    if not ask.tools or ask.choice == "none":
        return []
    if ask.choice in ask.tools:
        names = [ask.choice]
    else:
        called = {name for said in ask.turn for name in said.calls}
        if called and ask.choice != "any":
            return []
        fresh = [name for name in ask.tools if name not in called] or list(ask.tools)
        named = [name for name in fresh if re.search(rf"\b{re.escape(name)}\b", ask.prompt)]
        names = named or fresh[:1]
    return [Call(name, Inventor(ask.prompt, ask.tools[name]).value()) for name in names[: None if ask.parallel else 1]]


def _object(names: Sequence[str]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}}


def _quoted(text: str) -> list[str]:
    return [single or double for single, double in re.findall(r"(?<!\w)'([^']+)'(?!\w)|\"([^\"]+)\"", text)]


class Inventor:
    """Values of a JSON schema. Quoted words and numbers of the prompt are used first, in their order."""

    def __init__(self, prompt: str, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._quoted: Iterator[str] = iter(_quoted(prompt))
        self._numbers: Iterator[str] = iter(re.findall(r"-?\d+", prompt))

    def value(self) -> Any:
        return self._invent(self._root, "answer")

    def _invent(self, schema: Mapping[str, Any], name: str) -> Any:
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = kind[0]
        if kind == "object":
            return {key: self._invent(part, key) for key, part in schema.get("properties", {}).items()}
        if kind == "array":
            return [self._invent(schema.get("items", {}), name)]
        return self._scalar(kind, name)

    def _scalar(self, kind: str, name: str) -> Any:
        if kind in ("integer", "number"):
            return int(next(self._numbers, "7"))
        if kind == "string":
            return next(self._quoted, f"some {name}")
        return True if kind == "boolean" else None

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema meant by a reference, or by a choice of schemas: the first."""
        if "$ref" in schema:
            target: Any = self._root
            for step in schema["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            return self._resolve(target)
        for choice in ("anyOf", "oneOf", "allOf"):
            if choice in schema:
                return self._resolve(schema[choice][0])
        return schema
