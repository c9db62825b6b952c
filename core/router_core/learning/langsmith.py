"""Examples out of LangSmith: runs of models that somebody gave feedback on, exported as JSON lines.

A row is one run as LangSmith's API and SDK give it (https://docs.langchain.com/langsmith/run-data-format), such as
``run.model_dump_json()`` of each of ``Client.list_runs``. Of a run of the type "llm" are read:

- the prompt: ``inputs.messages`` in OpenAI's form or as LangChain serialises messages, else ``inputs.prompts``, else
  the only text in ``inputs``;
- the model: ``ls_model_name`` of ``extra.metadata``, else ``inputs.model`` or ``inputs.model_name``, the order in which
  LangSmith itself looks for it, else those of ``extra.invocation_params``;
- the quality: the mean of ``feedback_stats`` (``{key: {"avg": 0.5, "n": 2}}``), else of the scores in ``feedback``
  (``[{"key": ..., "score": ...}]``) of the run. Where it has none, that of the trace's other runs counts, if no other
  model had a part in the trace;
- what is known of ``total_cost``, ``prompt_tokens``, ``completion_tokens`` and the answer.

``call_site`` is the LangGraph node, ``group`` the thread. Runs of several models on one prompt make one example.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from router_core.errors import ConfigError
from router_core.learning.examples import (
    Example,
    Found,
    Outcome,
    content_text,
    conversation,
    last_question,
    quality_of,
)
from router_core.learning.rows import Row, number_of, read_rows
from router_core.types import Turn

_THREAD = ("session_id", "thread_id", "conversation_id")
"""The names under which LangSmith looks for the thread of a run."""
_TYPES = {"human": "user", "ai": "assistant", "chat": "user", "function": "tool"}
"""LangChain's types of messages that OpenAI calls otherwise."""


def read_langsmith(path: Path, feedback: str | None = None) -> Found:
    """The examples that the runs of a file make.

    Args:
        path: the file, plain or compressed with gzip.
        feedback: the key of the feedback that is the quality; may be left out where there is one key only.

    Raises:
        ConfigError: the file cannot be read or has no runs, no run can be learned from, there are several keys of
            feedback and none is chosen, or a score is not within 0..1.
    """
    rows = list(read_rows(path))
    if not any("run_type" in row.fields for row in rows):
        raise ConfigError(f"{path}: holds no runs of LangSmith (run_type is missing); export them with list_runs")
    key = feedback or _only_key(path, rows)
    traces: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        traces[str(row.fields.get("trace_id") or row.fields.get("id") or row.where)].append(row)
    skipped: Counter[str] = Counter()
    collected = _Collected()
    for trace in traces.values():
        runs = [row for row in trace if row.fields.get("run_type") == "llm"]
        # What is said of a whole trace is said of its model, if there is but one.
        shared = next(_qualities(trace, key), None) if len(runs) == 1 else None
        for row in runs:
            try:
                collected.add(_example(row, key, shared))
            except _Unusable as unusable:
                skipped[str(unusable)] += 1
    found = Found(collected.examples(), skipped)
    if not found.examples:
        why = found.told or "none is of the type llm"
        raise ConfigError(f"{path}: no run can be learned from ({why}); export runs of models that have feedback")
    return found


class _Unusable(Exception):
    """Why a run cannot be learned from."""


class _Collected:
    """Examples of one prompt each. Outcomes of several models on it stand together; a second one of the same model is
    an example of its own."""

    def __init__(self) -> None:
        self._examples: dict[tuple[Hashable, ...], Example] = {}
        self._seen: Counter[tuple[Hashable, ...]] = Counter()

    def add(self, example: Example) -> None:
        """Take in the outcome of one model."""
        (model,) = example.outcomes
        prompt = (example.text, example.turns, example.call_site)
        slot = (*prompt, self._seen[*prompt, model])
        self._seen[*prompt, model] += 1
        known = self._examples.get(slot, example)
        self._examples[slot] = replace(known, outcomes={**known.outcomes, **example.outcomes})

    def examples(self) -> list[Example]:
        """All of them, in the order of their first runs."""
        return list(self._examples.values())


def _example(row: Row, key: str, shared: float | None) -> Example:
    turns, model = _turns(row.fields.get("inputs")), _model(row)
    if not last_question(turns).strip():
        raise _Unusable("without a prompt")
    if model is None:
        raise _Unusable("without the name of a model")
    quality = next(_qualities([row], key), shared)
    if quality is None:
        raise _Unusable(f"without feedback {key!r}")
    metadata, reply = _metadata(row), _reply(row.fields.get("outputs"))
    outcome = Outcome(
        quality=quality,
        cost_usd=number_of(row.fields.get("total_cost")),
        answer=_text(reply),
        finish_reason=_finish_reason(reply),
        input_tokens=_count(row, "prompt_tokens"),
        output_tokens=_count(row, "completion_tokens"),
    )
    return Example(
        text=last_question(turns),
        turns=turns if len(turns) > 1 else (),
        outcomes={model: outcome},
        call_site=_word(metadata.get("langgraph_node")),
        group=next((_word(metadata[name]) for name in _THREAD if metadata.get(name)), None),
    )


# ------------------------------------------------------------------------------------------------------- feedback
def _only_key(path: Path, rows: Sequence[Row]) -> str:
    keys = sorted({key for row in rows for key, _ in _scores(row)})
    if len(keys) == 1:
        return keys[0]
    if keys:
        raise ConfigError(f"{path}: there is feedback of several kinds: {', '.join(keys)}; say which is the quality")
    raise ConfigError(f"{path}: no run has feedback with a score; give feedback in LangSmith and export the runs anew")


def _scores(row: Row) -> list[tuple[str, object]]:
    """The key and the score of each feedback on a run."""
    stats, listed = row.fields.get("feedback_stats"), row.fields.get("feedback")
    found = [(str(key), _mapping(of).get("avg")) for key, of in _mapping(stats).items()]
    if not found and isinstance(listed, list):
        found = [(str(_mapping(each).get("key")), _mapping(each).get("score")) for each in listed]
    return [(key, score) for key, score in found if score is not None]


def _qualities(rows: Iterable[Row], key: str) -> Iterator[float]:
    """The mean score of each run that has any."""
    for row in rows:
        qualities = []
        for name, score in _scores(row):
            if name == key:
                quality = quality_of(score)
                if quality is None:
                    raise row.wrong(f"feedback {key}", score, "is no quality; scale the scores to 0 (bad) .. 1 (good)")
                qualities.append(quality)
        if qualities:
            yield sum(qualities) / len(qualities)


# --------------------------------------------------------------------------------------------------------- the run
def _metadata(row: Row) -> Mapping[str, Any]:
    return _mapping(_mapping(row.fields.get("extra")).get("metadata"))


def _model(row: Row) -> str | None:
    extra, inputs = _mapping(row.fields.get("extra")), _mapping(row.fields.get("inputs"))
    named = [_metadata(row).get("ls_model_name")]
    named += [
        of.get(name) for of in (inputs, _mapping(extra.get("invocation_params"))) for name in ("model", "model_name")
    ]
    return next((name for name in named if isinstance(name, str) and name), None)


def _turns(inputs: object) -> tuple[Turn, ...]:
    given = _mapping(inputs)
    messages = given.get("messages")
    if isinstance(messages, list):
        return conversation([_message(message) for message in _unbatched(messages)]) or ()
    prompts = given.get("prompts")
    texts = prompts if isinstance(prompts, list) else [value for value in given.values() if isinstance(value, str)]
    return (Turn("user", texts[0]),) if len(texts) == 1 and isinstance(texts[0], str) else ()


def _unbatched(messages: list[Any]) -> list[Any]:
    """LangChain logs a batch, which has one conversation. A message may be a list too: a pair that begins with a
    word."""
    batched = len(messages) == 1 and isinstance(messages[0], list)
    return messages[0] if batched and not any(isinstance(each, str) for each in messages[0]) else messages


def _message(message: object) -> Mapping[str, Any]:
    """A message in OpenAI's form, of any form that LangSmith keeps: OpenAI's own, LangChain's, or a pair of type and
    text."""
    if isinstance(message, list) and len(message) == len(("type", "text")):
        message = {"type": message[0], "content": message[1]}
    fields = _mapping(message)
    inner = _mapping(fields.get("kwargs") or fields.get("data"))
    path = fields.get("id")
    kind = inner.get("type") or (path[-1] if isinstance(path, list) and path else fields.get("type"))
    role = fields.get("role") or inner.get("role") or _role(str(kind))
    return {"role": role, "content": (inner or fields).get("content")}


def _role(kind: str) -> str:
    """OpenAI's word: "human" and "HumanMessageChunk" alike are the user."""
    name = kind.removesuffix("Chunk").removesuffix("Message").lower()
    return _TYPES.get(name, name)


def _reply(outputs: object) -> Mapping[str, Any]:
    """The answer: LangChain's generation, OpenAI's choice, or a message."""
    found = _mapping(outputs)
    for name in ("generations", "choices", "messages"):
        while isinstance(found.get(name), list) and found[name]:
            first = found[name][-1 if name == "messages" else 0]
            found = {name: first} if isinstance(first, list) else _mapping(first)
    return found


def _text(reply: Mapping[str, Any]) -> str | None:
    if isinstance(reply.get("text"), str) and reply["text"]:
        return str(reply["text"])
    message = _message(reply.get("message") or reply)
    if message["content"] is not None:
        return content_text(message["content"])
    texts = [value for value in reply.values() if isinstance(value, str)]
    return texts[0] if len(texts) == 1 else None


def _finish_reason(reply: Mapping[str, Any]) -> str | None:
    info = _mapping(reply.get("generation_info"))
    return _word(reply.get("finish_reason") or info.get("finish_reason"))


def _count(row: Row, field: str) -> int | None:
    value = row.fields.get(field)
    return value if isinstance(value, int) and value >= 0 else None


def _word(value: object) -> str | None:
    return None if value is None else str(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
