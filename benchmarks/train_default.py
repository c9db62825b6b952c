"""Train the policy file that ships with the package: python benchmarks/train_default.py DATA_FOLDER [FILE].

Every family of public outcomes is brought to the same question: does a cheap model answer well ("weak"), does an
expensive one ("strong")? Where many models were run, the quality is the mean of some that are alike, which is less
noisy than one of them. Only files whose licence allows it are read. ``routing_default.py`` measures what it is worth.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import outcomes

from router_core.learning.bench import Bench, bench_of
from router_core.learning.examples import STRONG, WEAK, Example, Outcome
from router_core.learning.prompts import Part, Prompts, Recipe
from router_core.learning.train import learn
from router_core.learning.wide import Penalty
from router_core.policies.learned import DEFAULT_FILE

MOST = 1500
"""Examples of one family, so that none drowns the others."""

RECIPE = Recipe(
    "features and words, cautiously",
    (Part(penalty=Penalty(10000.0, 10.0)), Part(words=True, penalty=Penalty(10000.0, 10.0))),
)

_GROUPS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "mmlu_pro": (
        ("Mixtral-8x7B-Instruct-v0.1", "Meta-Llama-3_1-8B-Instruct", "mathstral-7B", "Phi-3-mini-4k-instruct"),
        ("gemini-1.5-pro-002", "Meta-Llama-3_1-70B-Instruct"),
    ),
    "zeroeval": (
        ("Meta-Llama-3.1-8B-Instruct", "gemma-2-9b-it", "Mixtral-8x7B-Instruct-v0.1", "Qwen2-7B-Instruct"),
        ("gpt-4o-2024-05-13", "claude-3-5-sonnet-20240620", "gemini-1.5-pro"),
    ),
    "dcrouter": (
        ("llama-3.1-8b-instruct", "qwen2.5-7b-instruct", "gemma-2-9b-it", "mistral-7b-instruct-v0.3"),
        ("llama-3.1-nemotron-51b-instruct", "llama-3.3-nemotron-super-49b-v1"),
    ),
    "routerarena": (("claude-3-haiku-20240307",), ("gemini-2.0-flash-001",)),
    "routellm": ((outcomes.WEAK,), (outcomes.STRONG,)),
}
"""Cheap and expensive models of each source."""


def families(data: Path) -> dict[str, list[Example]]:
    """The examples of each family as a weak and a strong model, at most ``MOST`` of each, drawn at random."""

    def zeroeval(folder: Path) -> list[Example]:
        return [example for task in ("gsm", "math-l5", "crux") for example in outcomes.zeroeval(folder, task)]

    sources: Mapping[str, tuple[str, Callable[[Path], list[Example]]]] = {
        "mmlu": ("routellm", outcomes.mmlu),
        "gsm8k": ("routellm", outcomes.gsm8k),
        "mmlu_pro": ("mmlu_pro", outcomes.mmlu_pro),
        "zeroeval": ("zeroeval", zeroeval),
        "dcrouter": ("dcrouter", outcomes.dcrouter),
        "routerarena": ("routerarena", outcomes.routerarena),
    }
    random = np.random.default_rng(0)
    found = {}
    for family, (group, load) in sources.items():
        examples = load(data)
        drawn = sorted(random.permutation(len(examples))[:MOST])
        found[family] = [example for row in drawn if (example := _as_pair(examples[row], *_GROUPS[group]))]
    return found


def _as_pair(example: Example, weak: Sequence[str], strong: Sequence[str]) -> Example | None:
    if not example.outcomes.keys() >= {*weak, *strong}:
        return None
    pair = {
        name: Outcome(quality=sum(example.outcomes[model].quality for model in models) / len(models))
        for name, models in ((WEAK, weak), (STRONG, strong))
    }
    return replace(example, outcomes=pair)


def bench_without_sites(examples: Sequence[Example]) -> Bench:
    """The outcomes, without the tasks as call sites: nobody who uses the file makes calls for a benchmark."""
    return bench_of([replace(example, call_site=None) for example in examples], (WEAK, STRONG))


def main() -> None:
    """Train on all families and write the file."""
    place = Path(sys.argv[2]) if len(sys.argv) > 2 else DEFAULT_FILE
    bench = bench_without_sites([example for examples in families(Path(sys.argv[1])).values() for example in examples])
    learned = learn(Prompts.of(bench.examples), bench, recipes=(RECIPE,))
    trained = {"examples": len(bench.examples), "recipe": learned.recipe.name, "script": "benchmarks/train_default.py"}
    place.parent.mkdir(exist_ok=True)
    learned.fitted.heads(bench.models, learned.calibrations, trained).write(place)
    print(f"{place}: {place.stat().st_size / 1000:.0f} kB, {len(bench.examples)} examples")


if __name__ == "__main__":
    main()
