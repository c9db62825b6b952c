"""What the shipped policy is worth on work that it has not seen: python benchmarks/routing_default.py DATA_FOLDER.

Each family of public outcomes in turn is left out of the training, with every prompt elsewhere that is near-identical
to one of it or belongs to a task of its name, and scored; then prompts of families that are known, by cross-validation.
Beside it the length of the prompt and the heuristics.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from routing import heuristics, told
from train_default import RECIPE, bench_without_sites, families

from router_core.learning.bench import Bench
from router_core.learning.evaluation import Contender, measure
from router_core.learning.fit import Floats
from router_core.learning.prompts import Prompts
from router_core.learning.train import folds, learn, rows_of

KIN: Mapping[str, Sequence[str]] = {
    "mmlu": ("mmlu", "mmlu_pro"),
    "gsm8k": ("gsm8k", "gsm", "agentverse-mgsm"),
    "mmlu_pro": ("mmlu_pro", "mmlu"),
    "zeroeval": ("gsm", "math-l5", "crux", "gsm8k", "math", "agentverse-mgsm"),
    "dcrouter": ("mmlu", "gsm8k", "gsm"),
    "routerarena": ("mmlu", "mmlu_pro"),
}
"""Families and tasks that a family shares its prompts' source with."""
FOLDS, DRAWS = 5, 500


def main() -> None:
    """Leave each family out, then prompts of known families, and print what is measured on them."""
    found = families(Path(sys.argv[1]))
    for family, scored in found.items():
        near = {one.group for one in scored}
        kin = {family, *KIN[family]}
        others = (one for name, some in found.items() if name not in kin for one in some)
        rest = [one for one in others if one.group not in near and one.call_site not in kin]
        bench, test = bench_without_sites(rest), bench_without_sites(scored)
        learned = learn(Prompts.of(bench.examples), bench, recipes=(RECIPE,))
        print(f"\n{family}: trained on {len(rest)} others, scored {len(scored)}")
        show(test, learned.predict(Prompts.of(test.examples)))
    everything = bench_without_sites([one for some in found.values() for one in some])
    predicted = cross_validated(everything)
    ends = np.cumsum([0, *map(len, found.values())])
    for family, start, end in zip(found, ends, ends[1:], strict=False):
        print(f"\n{family}: known, but not these prompts")
        rows = np.arange(start, end)
        show(rows_of(everything, rows), predicted[rows])


def cross_validated(bench: Bench) -> Floats:
    """Predictions for each example by what was learned without its group: shape (examples, 2)."""
    prompts = Prompts.of(bench.examples)
    fold = folds(prompts.groups, FOLDS)
    predicted = np.zeros(bench.quality.shape)
    for one in range(FOLDS):
        inside, outside = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        learned = learn(prompts.take(inside), rows_of(bench, inside), recipes=(RECIPE,))
        predicted[outside] = learned.predict(prompts.take(outside))
    return predicted


def show(bench: Bench, predicted: Floats) -> None:
    """Print a line for each contender."""
    contenders = [Contender("learned", predicted=predicted), *heuristics(bench)]
    for contender in contenders:
        measures = measure(bench, contender, contenders[1], draws=DRAWS).measures
        print(f"  {contender.name:12}apgr {told(measures['apgr'])}  gain over length {told(measures['gain'])}")


if __name__ == "__main__":
    main()
