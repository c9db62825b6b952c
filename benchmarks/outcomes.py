"""Public outcomes of real models on real prompts, as examples: what the other benchmarks read.

The folder is the one with the ``*.jsonl.gz`` files of outcomes. ``Example.group`` is the cluster of near-identical
prompts, which a split must not part; ``Example.call_site`` is the task or subject, as an application that makes calls
for several tasks would name them. Costs come from token counts and list prices of 2024.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from router_core.learning.examples import Example, Outcome

WEAK, STRONG = "mixtral-8x7b", "gpt-4-1106-preview"
"""The pair of RouteLLM."""

GSM8K_PRICES = {WEAK: (0.6, 0.6), STRONG: (10.0, 30.0)}
"""US dollars per million input and output tokens, as in the tables of measurements."""

MMLU_PRO_MODELS = (
    "DeepSeek-Coder-V2",
    "Llama-2-13b-hf",
    "Llama-2-70b-hf",
    "Llama-2-7b-hf",
    "Meta-Llama-3-70B",
    "Meta-Llama-3-8B",
    "Meta-Llama-3_1-70B-Instruct",
    "Meta-Llama-3_1-70B",
    "Meta-Llama-3_1-8B-Instruct",
    "Meta-Llama-3_1-8B",
    "Mistral-7B-Instruct-v0.1",
    "Mistral-7B-Instruct-v0.2",
    "Mistral-7B-v0.1",
    "Mistral-7B-v0.2-hf",
    "Mixtral-8x7B-Instruct-v0.1",
    "Mixtral-8x7B-v0.1",
    "Phi-3-mini-4k-instruct",
    "Qwen1.5-110B",
    "Qwen1.5-72B-Chat",
    "Qwen1.5-7B-Chat",
    "Yi-34B",
    "Yi-6B",
    "Yi-6b-Chat",
    "c4ai-command-r-v01",
    "gemini-1.5-flash-002",
    "gemini-1.5-pro-002",
    "gemma-7b",
    "jamba-1.5-large",
    "mathstral-7B",
)
"""The order of the characters of ``correct`` in mmlu_pro."""

MMLU_PRO_PRICES: Mapping[str, tuple[float, float]] = {
    "Meta-Llama-3_1-70B-Instruct": (0.88, 0.88),
    "Meta-Llama-3_1-8B-Instruct": (0.18, 0.18),
    "Mistral-7B-Instruct-v0.1": (0.2, 0.2),
    "Mistral-7B-Instruct-v0.2": (0.2, 0.2),
    "Mixtral-8x7B-Instruct-v0.1": (0.6, 0.6),
    "Phi-3-mini-4k-instruct": (0.1, 0.1),
    "Qwen1.5-72B-Chat": (0.9, 0.9),
    "Qwen1.5-7B-Chat": (0.2, 0.2),
    "Yi-6b-Chat": (0.2, 0.2),
    "c4ai-command-r-v01": (0.5, 1.5),
    "gemini-1.5-flash-002": (0.075, 0.3),
    "gemini-1.5-pro-002": (1.25, 5.0),
    "jamba-1.5-large": (2.0, 8.0),
    "mathstral-7B": (0.2, 0.2),
}
"""The 14 models of mmlu_pro that follow instructions and were run on every prompt (but for a few refused ones, which
count as wrong), with US dollars per million input and output tokens."""

DCROUTER_PRICES: Mapping[str, float] = {
    "qwen2.5-7b-instruct": 0.3,
    "llama3-chatqa-1.5-8b": 0.2,
    "llama-3.1-nemotron-51b-instruct": 0.9,
    "llama3-chatqa-1.5-70b": 0.88,
    "gemma-2-9b-it": 0.3,
    "mistral-7b-instruct-v0.3": 0.2,
    "llama-3.1-8b-instruct": 0.18,
    "codegemma-7b": 0.2,
    "llama-3.3-nemotron-super-49b-v1": 0.9,
}
"""US dollars per million tokens. No token counts are known: each call is charged as a thousand tokens."""


def rows(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """The rows of one file, as they are."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def mmlu(folder: Path, *, only_p1: bool = False, without_p1: bool = False) -> list[Example]:
    """RouteLLM's pair on MMLU; ``only_p1`` keeps the 1,500 labels of protocol P1, ``without_p1`` all others.

    The questions that RouteLLM calls contaminated are left out.
    """
    return [
        _pair(row, {WEAK: Outcome(quality=float(row["weak"])), STRONG: Outcome(quality=float(row["strong"]))})
        for row in rows(folder, "routellm_mmlu")
        if not row["contaminated"] and not (only_p1 and not row.get("p1")) and not (without_p1 and row.get("p1"))
    ]


def gsm8k(folder: Path, *, clean: bool = False) -> list[Example]:
    """RouteLLM's pair on GSM8K with answers, tokens and costs; ``clean`` takes the re-graded labels.

    The questions that RouteLLM calls contaminated are left out.
    """
    suffix = "_clean" if clean else ""
    return [
        _pair(
            row, {name: _gsm8k_outcome(row, side, suffix, name) for side, name in (("weak", WEAK), ("strong", STRONG))}
        )
        for row in rows(folder, "routellm_gsm8k")
        if not row["contaminated"]
    ]


def mmlu_pro(folder: Path, models: Sequence[str] = tuple(MMLU_PRO_PRICES)) -> list[Example]:
    """MMLU-Pro: the task is the discipline; costs are known for the models of ``MMLU_PRO_PRICES``."""
    places = {name: MMLU_PRO_MODELS.index(name) for name in models}
    return [
        Example(
            text=row["prompt"],
            outcomes={name: _mmlu_pro_outcome(row, name, place) for name, place in places.items()},
            call_site=row["group"],
            group=str(row["cluster"]),
        )
        for row in rows(folder, "mmlu_pro")
    ]


def dcrouter(folder: Path) -> list[Example]:
    """Nine models on 14 tasks."""
    return [
        _many(row, {name: cost / 1000 for name, cost in DCROUTER_PRICES.items()}) for row in rows(folder, "dcrouter")
    ]


def routerarena(folder: Path) -> list[Example]:
    """Two cheap models on many small tasks, with their costs."""
    return [_many(row, row["cost"]) for row in rows(folder, "routerarena")]


def zeroeval(folder: Path, task: str) -> list[Example]:
    """All models that ZeroEval ran on a task: "gsm", "math-l5" or "crux". No costs."""
    return [_many(row, {}) for row in rows(folder, f"zeroeval_{task}")]


def bfcl(folder: Path) -> list[Example]:
    """Function calling, to measure with and not to train on. No costs."""
    return [_many(row, {}) for row in rows(folder, "bfcl")]


def _pair(row: Mapping[str, Any], outcomes: Mapping[str, Outcome]) -> Example:
    return Example(text=row["prompt"], outcomes=outcomes, call_site=row["group"], group=str(row["cluster"]))


def _gsm8k_outcome(row: Mapping[str, Any], side: str, suffix: str, name: str) -> Outcome:
    tokens = row["in_tok"], row[f"{side}_out_tok"]
    return Outcome(
        quality=float(row[f"{side}{suffix}"]),
        cost_usd=_dollars(tokens, GSM8K_PRICES[name]),
        answer=row[f"{side}_answer"],
        input_tokens=tokens[0],
        output_tokens=tokens[1],
    )


def _mmlu_pro_outcome(row: Mapping[str, Any], name: str, place: int) -> Outcome:
    tokens = row["in_tok"], row["out_tok"][place] or 0
    price = MMLU_PRO_PRICES.get(name)
    return Outcome(
        quality=float(row["correct"][place] == "1"),
        cost_usd=None if price is None else _dollars(tokens, price),
        input_tokens=tokens[0],
        output_tokens=tokens[1],
    )


def _many(row: Mapping[str, Any], costs: Mapping[str, float]) -> Example:
    outcomes = {name: Outcome(quality=quality, cost_usd=costs.get(name)) for name, quality in row["correct"].items()}
    return Example(text=row["prompt"], outcomes=outcomes, call_site=row["group"], group=str(row["cluster"]))


def _dollars(tokens: tuple[int, int], price: tuple[float, float]) -> float:
    return (tokens[0] * price[0] + tokens[1] * price[1]) / 1e6
