"""What the fake model answers: it follows from the messages and the tools alone.

Tools are called with invented arguments, JSON schemas are filled, and the formats that LlamaIndex's own prompts ask for
are kept. All else is answered with a sentence that differs for each request.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.servers.mind import Inventor


@dataclass(frozen=True)
class Call:
    """A tool call."""

    id: str
    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """A text, tool calls, or both."""

    text: str
    calls: Sequence[Call] = ()

    def words(self) -> list[str]:
        """The text as the pieces of a stream."""
        return re.findall(r"\s*\S+\s*$|\s*\S+", self.text)


def answer(messages: Sequence[Mapping[str, Any]], kwargs: Mapping[str, Any]) -> Answer:
    """The answer to these messages, with the tools and options that were sent along."""
    mark = hashlib.sha256(json.dumps([messages, kwargs], sort_keys=True, default=str).encode()).hexdigest()[:6]
    prompt = "\n".join(message["text"] for message in messages)
    if kwargs.get("tools"):
        names = called(messages, kwargs)
        if names:
            return Answer("", [call(name, prompt, kwargs["tools"], f"{mark}{n}") for n, name in enumerate(names)])
    if form := kwargs.get("response_format"):
        return Answer(json.dumps(Inventor(prompt, form["json_schema"]["schema"]).value()))
    return Answer(written(prompt, mark))


def called(messages: Sequence[Mapping[str, Any]], kwargs: Mapping[str, Any]) -> list[str]:
    """The tools to call: the one that was chosen, or else each that the user names, and at least one, once."""
    offered = [tool["function"]["name"] for tool in kwargs["tools"]]
    choice = kwargs.get("tool_choice") or "auto"
    if isinstance(choice, Mapping):
        return [choice["function"]["name"]]
    if choice == "none":
        return []
    asked = max((n for n, message in enumerate(messages) if message["role"] == "user"), default=-1)
    done = {each["name"] for message in messages[asked + 1 :] for each in message.get("tool_calls", [])}
    wanted = messages[asked]["text"]
    named = [name for name in offered if name not in done and re.search(rf"\b{re.escape(name)}\b", wanted)]
    if not named and (choice == "required" or not done):
        named = [name for name in offered if name not in done][:1] or offered[:1]
    return named if kwargs.get("parallel_tool_calls") else named[:1]


def call(name: str, prompt: str, tools: Sequence[Mapping[str, Any]], mark: str) -> Call:
    schema = next(tool["function"]["parameters"] for tool in tools if tool["function"]["name"] == name)
    return Call(f"call_{mark}", name, Inventor(prompt, schema).value())


def written(prompt: str, mark: str) -> str:
    """The text for a prompt: in the format that the first rule that knows it keeps."""
    for sign, write in RULES:
        if re.search(sign, prompt):
            return write(prompt, mark)
    return f"Answer {mark}: the sky is blue, and whales sing."


def after(sign: str, prompt: str) -> str:
    """What stands behind the last of these signs."""
    return prompt.rpartition(sign)[2]


def long_words(text: str, count: int) -> list[str]:
    words = sorted(set(re.findall(r"[a-z]{4,}", text.lower())), key=lambda word: (-len(word), word))
    return (words or ["nothing"])[:count]


# ----------------------------------------------------------------------------------------------------- kinds of prompts
def reason(prompt: str, mark: str) -> str:
    """A step of a ReAct agent: a tool first, then the answer."""
    if "Observation: " in after("## Current Conversation", prompt):
        return f"Thought: I can answer without using any more tools.\nAnswer: Answer {mark}."
    tool = re.search(r"> Tool Name: (.+)\n[\s\S]*?Tool Args: (\{.*\})", prompt)
    if tool is None:
        return f"Thought: I need no tool.\nAnswer: Answer {mark}."
    args = Inventor(after("## Current Conversation", prompt), json.loads(tool[2])).value()
    return f"Thought: I need a tool.\nAction: {tool[1]}\nAction Input: {json.dumps(args)}"


def execute(prompt: str, mark: str) -> str:
    """A step of an agent that writes code."""
    if "Result of executing the code" in prompt:
        return f"Answer {mark}."
    return "I compute it.\n<execute>\nprint(add(2, 3))\n</execute>"


def fill(prompt: str, mark: str) -> str:
    """JSON after a schema that was given in the text."""
    given = after("Here's a JSON schema to follow:", prompt).strip()
    if given.startswith("{{"):  # LlamaIndex doubles braces, and not all of its callers halve them again
        given = given.replace("{{", "{").replace("}}", "}")
    schema, _ = json.JSONDecoder().raw_decode(given)
    return json.dumps(Inventor(f"'{mark}'", schema).value())


def questions_for_tools(prompt: str, mark: str) -> str:
    listed = re.findall(r"<Tools>\n```json\n([\s\S]*?)\n```", prompt)[-1]
    items = [{"sub_question": f"What does {name} say?", "tool_name": name} for name in json.loads(listed)]
    return f"```json\n{json.dumps({'items': items})}\n```"


def next_question(prompt: str, mark: str) -> str:
    return "What colour is the sky?" if after("Previous reasoning:", prompt).startswith(" None") else "None"


def look_ahead(prompt: str, mark: str) -> str:
    if after("Existing Answer:", prompt).strip() == "Answer:":
        return "The sky is [Search(What colour is the sky?)]."
    return "done"


def triplets(prompt: str, mark: str) -> str:
    one, two, three = (*re.findall(r"\w{4,}", after("Text:", prompt)), "Sky", "Sea", "Air")[:3]
    return f"({one}, is near, {two})\n({two}, is above, {three})"


def typed_triplets(prompt: str, mark: str) -> str:
    one, two = (*long_words(after("Text:", prompt), 2), "sky")[:2]
    return json.dumps([{"head": one, "head_type": "THING", "relation": "NEAR", "tail": two, "tail_type": "PLACE"}])


def keywords(prompt: str, mark: str) -> str:
    return "KEYWORDS: " + ", ".join(word.title() for word in long_words(prompt.split("---------------------")[1], 3))


def always(text: str) -> Callable[[str, str], str]:
    """This text, with the mark of the request where it has one."""
    return lambda _prompt, mark: text.replace("MARK", mark)


RULES: Sequence[tuple[str, Callable[[str, str], str]]] = [
    (r"## Output Format[\s\S]*Action Input:", reason),
    (r"wrapped in <execute>", execute),
    (r"Here's a JSON schema to follow:", fill),
    (r"<User Question>", questions_for_tools),
    (r"choice: 1,\s+reason:", always('[{"choice": 1, "reason": "MARK fits"}]')),
    (r"'ANSWER: <numbers?>'|number corresponding to the summary that should", always("ANSWER: 1, for it is MARK.")),
    (r"Doc: 9, Relevance: 7", always("Doc: 2, Relevance: 9\nDoc: 1, Relevance: 5")),
    (r"\[1\] > \[2\]", always("[2] > [1]")),
    (r"'KEYWORDS: <keywords>'", keywords),
    (r"'SYNONYMS: <keywords>'", always("SYNONYMS: Whales, Bees")),
    (r"keyword1\^keyword2", always("whales^bees^air")),
    (r"in the form of \(subject, predicate, object\)", triplets),
    (r"'head_type': ''", typed_triplets),
    (r"either YES or NO|Either YES/ NO", always("YES")),
    (r"single score that represents a holistic", always("4.5\nMARK says it all.")),
    (r"'\[\[A\]\]' if assistant A is better", always("MARK is better: [[A]]")),
    (r"'\[RESULT\] followed by", always("It fits MARK.\n[RESULT] 2")),
    (r"Existing Answer:", look_ahead),
    (r"Lookahead Template:", always("The sky is blue, says MARK.")),
    (r"Previous reasoning: None\n", next_question),
    (r"SQLQuery: $", always("SELECT name, size FROM animals ORDER BY size DESC")),
    (r"'JSONPath: <JSONPath>'", always("JSONPath: $.whale.size")),
    (r"field1: <value>", always("name: whale\nsize: 30")),
    (r"<< Structured Request Schema >>", always('```json\n{"query": "whales MARK", "filters": [], "top_k": 1}\n```')),
    (r"(?i)cypher", always("MATCH (n) RETURN n")),
    (r"Format each fact as a separate|<fact>Specific fact 1</fact>", always("<facts><fact>Fact MARK</fact></facts>")),
    (r"Output Mapping:", always('Hello [NAME1]. Output Mapping:\n{"NAME1": "MARK"}')),
    (r"search queries, one on each line", always("What do whales sing?\nHow blue is the sky?")),
    (r"generate only questions", always("1. What do whales sing?\n2. How blue is the sky MARK?")),
]
"""Signs of a prompt, as regular expressions, and what is written for it. The first that is found counts."""
