"""What ``LearnedPolicy`` is worth on public outcomes.

    python benchmarks/routing.py DATA_FOLDER [ROW ...] [--embedding CACHE_FOLDER]

By cross-validation over groups of near-identical prompts, beside the length of the prompt and the heuristics. In each
fold the recipe and the penalties are chosen inside the training part by another cross-validation, as ``llm-router
train`` does. All rows are measured if none is named. The vectors of ``--embedding`` are those that ``minilm.py`` has
written; with them ``NearestPolicy`` is measured, too. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import minilm
import numpy as np
import outcomes

from router_core.features import scan
from router_core.learning.bench import Bench, bench_of
from router_core.learning.evaluation import Contender, Measure, measure
from router_core.learning.examples import Example
from router_core.learning.fit import Floats
from router_core.learning.neighbours import Neighbours
from router_core.learning.prompts import PRIOR, Prompts, Recipe, Rows
from router_core.learning.train import folds, learn, rows_of
from router_core.policies import Candidate, ComplexityPolicy, DifficultyPolicy, NearestPolicy
from router_core.policies.score import ScorePolicy
from router_core.types import Model

PAIR = (outcomes.WEAK, outcomes.STRONG)
SHOWN = ("apgr", "cpt50", "cpt80", "auroc", "aiq", "top_quality", "cost_at_95", "gain", "ece")
DRAWS = 300


class Row(NamedTuple):
    """What is measured: examples and models, by so many folds. With ``only_p1`` the labels of P1 are fitted to and all
    other examples scored. ``task`` says that the call site may be seen."""

    examples: Callable[[Path], list[Example]]
    models: Sequence[str] = PAIR
    folds: int = 5
    task: bool = False
    only_p1: bool = False
    recipes: Sequence[Recipe] | None = None


ROWS: Mapping[str, Row] = {
    "p1": Row(outcomes.mmlu, only_p1=True),
    "p1_cv": Row(lambda data: outcomes.mmlu(data, only_p1=True)),
    "mmlu": Row(outcomes.mmlu),
    "gsm8k": Row(outcomes.gsm8k, folds=10),
    "gsm8k_clean": Row(lambda data: outcomes.gsm8k(data, clean=True), folds=10),
    "mmlu_pro": Row(outcomes.mmlu_pro, tuple(outcomes.MMLU_PRO_PRICES), task=True),
    "mmlu_pro_table": Row(outcomes.mmlu_pro, tuple(outcomes.MMLU_PRO_PRICES), task=True, recipes=(PRIOR,)),
    "mmlu_pro_text": Row(outcomes.mmlu_pro, tuple(outcomes.MMLU_PRO_PRICES)),
    "dcrouter": Row(outcomes.dcrouter, tuple(outcomes.DCROUTER_PRICES), task=True),
    "dcrouter_table": Row(outcomes.dcrouter, tuple(outcomes.DCROUTER_PRICES), task=True, recipes=(PRIOR,)),
    "dcrouter_text": Row(outcomes.dcrouter, tuple(outcomes.DCROUTER_PRICES)),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], default=[])
    parser.add_argument("--embedding", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for name in asked.rows or ROWS:
        measured(name, ROWS[name], asked.data, asked.embedding, asked.seed)


def measured(name: str, row: Row, data: Path, cache: Path | None, seed: int) -> None:
    """Measure one row and print a line for each contender."""
    examples = row.examples(data)
    if not row.task:
        examples = [replace(example, call_site=None) for example in examples]
    bench = bench_of(examples, row.models)
    prompts = Prompts.of(bench.examples)
    if cache is not None and len(row.models) == len(PAIR):
        prompts = replace(prompts, vectors=np.float64(minilm.cached(cache, [one.text for one in bench.examples])))
    began = time.perf_counter()
    p1 = outcomes.mmlu(data, only_p1=True) if row.only_p1 else ()
    predicted, chosen = held_out(row, bench, prompts, p1, seed)
    took = time.perf_counter() - began
    scored = np.flatnonzero(np.isfinite(predicted[:, 0]))
    part = rows_of(bench, scored)
    print(
        f"\n{name}: {len(scored)} of {len(bench.examples)} examples scored, {took:.0f} s; chosen: {', '.join(chosen)}"
    )
    length, *others = heuristics(part)
    contenders = [Contender("learned", predicted=predicted[scored]), length, *others]
    if prompts.vectors.size:
        near = by_neighbours(bench, prompts, split_of(row, bench, prompts, p1, seed))
        contenders.insert(1, Contender("nearest", predicted=near[scored]))
    for contender in contenders:
        measures = measure(part, contender, length, draws=DRAWS).measures
        shown = (f"{key} {told(measures[key])}" for key in SHOWN if key in measures)
        print(f"  {contender.name:12}" + "  ".join(shown))


def told(value: Measure) -> str:
    """A measure, with its 95 % interval where it has one."""
    return f"{value.value:.3f}" + (f" [{value.low:.3f}, {value.high:.3f}]" if np.isfinite(value.low) else "")


def held_out(row: Row, bench: Bench, prompts: Prompts, p1: Sequence[Example], seed: int) -> tuple[Floats, list[str]]:
    """Predictions for each example by what was learned without its group (nan where there are none), and what was
    chosen in each fold."""
    predicted = np.full(bench.quality.shape, np.nan)
    chosen = []
    for inside, outside in split_of(row, bench, prompts, p1, seed):
        learned = learn(prompts.take(inside), rows_of(bench, inside), recipes=row.recipes, seed=seed)
        predicted[outside] = learned.predict(prompts.take(outside))
        chosen.append(learned.recipe.name)
    return predicted, chosen


def split_of(row: Row, bench: Bench, prompts: Prompts, p1: Sequence[Example], seed: int) -> list[tuple[Rows, Rows]]:
    """What is learned from and what is scored, of each fold."""
    fold = _p1(bench, p1) if row.only_p1 else folds(prompts.groups, row.folds, seed)
    tested = [1] if row.only_p1 else range(row.folds)
    return [(np.flatnonzero((fold != one) & (fold >= 0)), np.flatnonzero(fold == one)) for one in tested]


def by_neighbours(bench: Bench, prompts: Prompts, split: Sequence[tuple[Rows, Rows]]) -> Floats:
    """What ``NearestPolicy`` predicts for each example by the embedding, as ``held_out`` does."""
    vectors = dict(zip([example.text for example in bench.examples], prompts.vectors.tolist(), strict=True))
    asked = [Candidate(Model(name=name, id=name, provider="", endpoint="")) for name in bench.models]
    predicted = np.full(bench.quality.shape, np.nan)
    with TemporaryDirectory() as folder:
        for inside, outside in split:
            file = Path(folder) / "nearest.json"
            known = [bench.examples[row] for row in inside]
            Neighbours.of(known, bench.models, vectors.__getitem__).write(file)
            policy = NearestPolicy(file, embedding=vectors.__getitem__)
            for row in outside:
                quality = policy.decide(bench.examples[row].request, asked).quality
                predicted[row] = [quality[name] for name in bench.models]
    return predicted


def _p1(bench: Bench, p1: Sequence[Example]) -> Floats:
    """0 for the labels of P1, 1 for all others but those that are near-identical to one of P1 (-1)."""
    texts, groups = {example.text for example in p1}, {example.group for example in p1}
    return np.array([0 if one.text in texts else -1 if one.group in groups else 1 for one in bench.examples])


def heuristics(bench: Bench) -> list[Contender]:
    """The length of the prompt in words, and the policies that read the text by rules."""
    seen = [scan(example.text) for example in bench.examples]

    def by(policy: ScorePolicy) -> Contender:
        return Contender(policy.name, score=np.array([policy.score(features) for features in seen]))

    length = Contender("length", score=np.array([float(features.words) for features in seen]))
    return [length, by(DifficultyPolicy()), by(ComplexityPolicy())]


if __name__ == "__main__":
    main()
