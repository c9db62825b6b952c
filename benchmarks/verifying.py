"""What looking at answers is worth: the verifier cascade on GSM8K, and consensus of two cheap models.

    python benchmarks/verifying.py DATA_FOLDER

The cascade asks mixtral-8x7b, and gpt-4-1106-preview where the answer is rejected; the weak call is always paid. All
numbers are by five-fold cross-validation over clusters of near-identical questions, with three partitions, on the
labels of RouteLLM's repository and on re-graded ones ("clean"). "As shipped" is what the recipe of the shipped weights
makes of answers to the other questions. The features were chosen while looking at these very questions, and so were the
penalties: expect a little less elsewhere. Products of features added nothing.

Consensus accepts two equal final answers and asks the strong model otherwise; both cheap calls are always paid.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import outcomes

from router_core.errors import ConfigError
from router_core.learning.agreement import agree
from router_core.learning.answers import answer_features
from router_core.learning.examples import Example, Outcome
from router_core.learning.metrics import Point, apgr, auroc, bootstrap, cost_at, dollar_area
from router_core.learning.train_verifier import train_verifier
from router_core.learning.verifier_weights import SHIPPED, VerifierWeights
from router_core.types import Reply
from router_core.verifiers import ShortAnswerVerifier, UncertaintyVerifier

Floats = npt.NDArray[np.float64]
Scorer = Callable[[Sequence[Example], Sequence[Example]], Sequence[float]]
"""Training and test examples to P(right) of the weak model's answers to the latter."""

FOLDS, PARTITIONS = 5, 3
OTHERS = (
    "Meta-Llama-3.1-8B-Instruct",
    "Mixtral-8x7B-Instruct-v0.1",
    "Phi-3.5-mini-instruct",
    "Qwen2-7B-Instruct",
    "claude-3-haiku-20240307",
    "gemma-2-9b-it",
    "gpt-3.5-turbo-0125",
)
"""Models of ZeroEval whose answers to GSM8K are trained on: those that are wrong often enough to learn from."""

PENALTY = 200.0
"""Of what is trained on them: seven answers to a question are not seven times the evidence of one."""

PRICES: Mapping[str, tuple[float, float]] = {
    "Meta-Llama-3.1-8B-Instruct": (0.18, 0.18),
    "Meta-Llama-3_1-8B-Instruct": (0.18, 0.18),
    "Meta-Llama-3_1-70B-Instruct": (0.88, 0.88),
    "Mixtral-8x7B-Instruct-v0.1": (0.6, 0.6),
    "Phi-3-mini-4k-instruct": (0.1, 0.1),
    "Qwen2.5-7B-Instruct": (0.3, 0.3),
    "DeepSeek-Coder-V2": (0.14, 0.28),
    "claude-3-5-sonnet-20240620": (3, 15),
    "claude-3-haiku-20240307": (0.25, 1.25),
    "gemini-1.5-flash": (0.075, 0.3),
    "gemini-1.5-flash-002": (0.075, 0.3),
    "gemini-1.5-pro-002": (1.25, 5),
    "gpt-4o-2024-08-06": (2.5, 10),
    "gpt-4o-mini-2024-07-18": (0.15, 0.6),
}
"""US dollars per million input and output tokens: list prices of 2024."""

CONSENSUS = (
    ("zeroeval_gsm", "gpt-4o-mini-2024-07-18", "gemini-1.5-flash", "claude-3-5-sonnet-20240620"),
    ("zeroeval_gsm", "Meta-Llama-3.1-8B-Instruct", "gemini-1.5-flash", "gpt-4o-2024-08-06"),
    ("zeroeval_gsm", "claude-3-haiku-20240307", "gemini-1.5-flash", "claude-3-5-sonnet-20240620"),
    ("zeroeval_gsm", "Mixtral-8x7B-Instruct-v0.1", "gemini-1.5-flash", "gpt-4o-2024-08-06"),
    ("zeroeval_crux", "gpt-4o-mini-2024-07-18", "gemini-1.5-flash", "gpt-4o-2024-08-06"),
    ("zeroeval_math-l5", "gpt-4o-mini-2024-07-18", "Qwen2.5-7B-Instruct", "claude-3-5-sonnet-20240620"),
    ("mmlu_pro", "gemini-1.5-flash-002", "DeepSeek-Coder-V2", "gemini-1.5-pro-002"),
    ("mmlu_pro", "Meta-Llama-3_1-8B-Instruct", "Phi-3-mini-4k-instruct", "Meta-Llama-3_1-70B-Instruct"),
)
"""File, two cheap models, and the strong one."""


def gsm8k_answers(folder: Path) -> list[Example]:
    """GSM8K with the re-graded answers of RouteLLM's pair and of other models, one example a question and source: what
    the shipped weights are trained on."""
    return [*outcomes.gsm8k(folder, clean=True), *_of_others(folder)]


def _of_others(folder: Path) -> list[Example]:
    """ZeroEval's answers; the group is the cluster of the question, as in RouteLLM's rows of the same questions."""
    answers = {row["id"]: row["answers"] for row in outcomes.rows(folder, "answers_zeroeval_gsm")}
    clusters = {row["prompt"]: str(row["cluster"]) for row in outcomes.rows(folder, "routellm_gsm8k")}
    return [
        Example(
            text=row["prompt"],
            outcomes={
                model: Outcome(quality=row["correct"][model], answer=answers[row["id"]][model].replace("\\n", "\n"))
                for model in OTHERS
                if answers[row["id"]].get(model)
            },
            group=clusters[row["prompt"]],
        )
        for row in outcomes.rows(folder, "zeroeval_gsm")
    ]


# ------------------------------------------------------------------------------------------------ verifier cascade
class Cascade(NamedTuple):
    """What a cascade is worth: APGR over calls, area over dollars, the cost at 95 % of the strong model's quality as a
    share of the strong model's cost, and the AUROC of "the weak answer is right"."""

    apgr: float
    area: float
    cost_95: float
    auroc: float


def cascade(examples: Sequence[Example], right: Floats) -> Cascade:
    """Escalate the answers that are least likely right, one after the other."""
    weak, strong = (
        np.array([example.outcomes[name].quality for example in examples]) for name in (outcomes.WEAK, outcomes.STRONG)
    )
    weak_cost, strong_cost = (
        np.array([example.outcomes[name].cost_usd for example in examples]) for name in (outcomes.WEAK, outcomes.STRONG)
    )
    order = np.argsort(right, kind="stable")
    cost = weak_cost.mean() + np.append(0, np.cumsum(strong_cost[order])) / len(order)
    quality = weak.mean() + np.append(0, np.cumsum((strong - weak)[order])) / len(order)
    ends = Point(weak_cost.mean(), weak.mean()), Point(strong_cost.mean(), strong.mean())
    return Cascade(
        apgr(-right, weak, strong),
        dollar_area(cost, quality, *ends),
        cost_at(cost, quality, 0.95 * strong.mean()) / strong_cost.mean(),
        auroc(right, weak > 0.5),
    )


def by_verifier(model: str | None, start: VerifierWeights | None) -> Scorer:
    """A verifier trained on the answers of a model, from the weights given."""

    def score(train: Sequence[Example], test: Sequence[Example]) -> Sequence[float]:
        return judged(train_verifier(train, model=model, start=start).weights, test)

    return score


def judged(weights: VerifierWeights, test: Sequence[Example]) -> list[float]:
    """P(right) of the weak model's answers."""
    return [weights.judge(answer_features(each.text, answer_of(each))).probability for each in test]


def answer_of(example: Example) -> str:
    """The weak model's answer."""
    return example.outcomes[outcomes.WEAK].answer or ""


def by_rule(_: Sequence[Example], test: Sequence[Example]) -> list[float]:
    """The rule of older routers: a short or a hedging answer is taken for a wrong one."""
    rules = ShortAnswerVerifier(), UncertaintyVerifier()
    replies = [Reply(text=answer_of(each)) for each in test]
    return [
        sum(rule.check(each.request, reply).accepted for rule in rules)
        for each, reply in zip(test, replies, strict=True)
    ]


def at_random(_: Sequence[Example], test: Sequence[Example]) -> list[float]:
    """Any order."""
    return np.random.default_rng(len(test)).random(len(test)).tolist()


def folds(examples: Sequence[Example], partition: int) -> npt.NDArray[np.int64]:
    """The fold of each example; a group is in one fold."""
    groups = sorted({str(each.group) for each in examples})
    shuffled = np.random.default_rng(partition).permutation(len(groups))
    fold = {group: int(place) % FOLDS for group, place in zip(groups, shuffled, strict=True)}
    return np.array([fold[str(each.group)] for each in examples])


class Split(NamedTuple):
    """One fold held out: training and test places, and what was learned from answers to the training questions: as the
    shipped weights are, and of other models' answers alone."""

    train: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]
    shipped: VerifierWeights
    others: VerifierWeights


def splits(folder: Path, partition: int) -> Iterator[Split]:
    """The splits of one partition."""
    examples, sources = outcomes.gsm8k(folder), (gsm8k_answers(folder), _of_others(folder))
    fold = folds(examples, partition)
    for k in range(FOLDS):
        out = {examples[at].group for at in np.flatnonzero(fold == k)}
        shipped, others = (
            train_verifier([each for each in source if each.group not in out], start=None, penalty=PENALTY).weights
            for source in sources
        )
        yield Split(np.flatnonzero(fold != k), np.flatnonzero(fold == k), shipped, others)


def held_out(examples: Sequence[Example], partition: Sequence[Split], scorer: Callable[[Split], Scorer]) -> Floats:
    """P(right) of each weak answer, by what was learned without its fold."""
    right = np.zeros(len(examples))
    for split in partition:
        train, test = ([examples[at] for at in places] for places in (split.train, split.test))
        right[split.test] = scorer(split)(train, test)
    return right


def print_cascade(folder: Path) -> None:
    """The table of cascades, and the learning curve."""
    partitions = [list(splits(folder, partition)) for partition in range(PARTITIONS)]
    scorers: Mapping[str, Callable[[Split], Scorer]] = {
        "random": lambda _: at_random,
        "rule: short or hedging": lambda _: by_rule,
        "verifier, own labels": lambda _: by_verifier(outcomes.WEAK, None),
        "verifier, others' answers": lambda split: lambda _, test: judged(split.others, test),
        "verifier, others', then own": lambda split: by_verifier(outcomes.WEAK, split.others),
        "verifier, as shipped": lambda split: lambda _, test: judged(split.shipped, test),
        "verifier, as shipped, then own": lambda split: by_verifier(outcomes.WEAK, split.shipped),
    }
    for labels in ("repository", "clean"):
        examples = outcomes.gsm8k(folder, clean=labels == "clean")
        print(f"\nGSM8K cascade, {labels} labels, {len(examples)} questions")
        print(f"{'decides':30} {'APGR':>6} {'area $':>7} {'95 % at':>8} {'AUROC':>6}   95 % intervals of area and cost")
        for name, scorer in scorers.items():
            scores = [held_out(examples, partition, scorer) for partition in partitions]
            mean = Cascade(*np.mean([cascade(examples, right) for right in scores], axis=0))
            (low, high), (least, most) = intervals(examples, scores[0])
            row = f"{mean.apgr:6.3f} {mean.area:7.3f} {mean.cost_95:8.1%} {mean.auroc:6.3f}"
            print(f"{name:30} {row}   {low:.3f} to {high:.3f}, {least:.0%} to {most:.0%}")
    print_learning_curve(outcomes.gsm8k(folder), partitions[0])


def intervals(examples: Sequence[Example], right: Floats) -> Floats:
    """Bootstrap intervals over questions of the area over dollars and of the cost at 95 %, shape (2, 2)."""

    def worth(drawn: npt.NDArray[np.intp]) -> tuple[float, float]:
        found = cascade([examples[at] for at in drawn], right[drawn])
        return found.area, found.cost_95

    return bootstrap(worth, len(examples), draws=200)


def print_learning_curve(examples: Sequence[Example], partition: Sequence[Split]) -> None:
    """APGR by the number of labelled answers; a verifier that may not be written leaves what there was before."""
    print("\nlabels, repository's         APGR from nothing   from others' answers   (refused)")
    for labels in (25, 50, 100, 200):
        refused = 0

        def few(start: VerifierWeights | None, instead: VerifierWeights | None, n: int = labels) -> Scorer:
            def score(train: Sequence[Example], test: Sequence[Example]) -> Sequence[float]:
                nonlocal refused
                drawn = np.random.default_rng(n).permutation(len(train))[:n]
                try:
                    return by_verifier(outcomes.WEAK, start)([train[at] for at in drawn], test)
                except ConfigError:
                    refused += 1
                    return [1.0] * len(test) if instead is None else judged(instead, test)

            return score

        alone = cascade(examples, held_out(examples, partition, lambda _, few=few: few(None, None)))
        after = cascade(examples, held_out(examples, partition, lambda each, few=few: few(each.others, each.others)))
        print(f"{labels:6} {alone.apgr:32.3f} {after.apgr:22.3f}   {refused} of {2 * FOLDS}")


def print_transfer(folder: Path) -> None:
    """What the shipped weights are worth on other tasks than word problems: AUROC of "this answer is right"."""
    weights = VerifierWeights.read(SHIPPED)
    print("\nshipped weights on tasks that they were not trained on, AUROC by model")
    for task in ("zeroeval_math-l5", "zeroeval_crux", "mmlu_pro"):
        answers = {row["id"]: row["answers"] for row in outcomes.rows(folder, f"answers_{task}")}
        judgements: dict[str, list[tuple[float, float]]] = {}
        for row in outcomes.rows(folder, task):
            for model, answer in answers.get(row["id"], {}).items():
                right = _right(row, model)
                if answer and right is not None:
                    seen = answer_features(row["prompt"], answer.replace("\\n", "\n"))
                    judgements.setdefault(model, []).append((weights.judge(seen).probability, right))
        found = sorted(auroc(*zip(*judged_as, strict=True)) for judged_as in judgements.values())
        print(f"{task:18} {found[0]:.2f} to {found[-1]:.2f} for {len(found)} models")


def _right(row: Mapping[str, Any], model: str) -> float | None:
    if isinstance(row["correct"], str):
        return float(row["correct"][outcomes.MMLU_PRO_MODELS.index(model)] == "1")
    right = row["correct"].get(model)
    return None if right is None else float(right)


# ------------------------------------------------------------------------------------------------------- consensus
class Row(NamedTuple):
    """The question; and the final answer, rightness and cost of each of the two cheap models and the strong one."""

    question: str
    final: tuple[str | None, ...]
    right: tuple[float, ...]
    cost: tuple[float, ...]


def consensus_rows(folder: Path, file: str, models: Sequence[str]) -> list[Row]:
    """The questions that all three models were run on."""
    rows = outcomes.rows(folder, file)
    if file == "mmlu_pro":
        places = [outcomes.MMLU_PRO_MODELS.index(model) for model in models]
        return [_of_string(row, models, places) for row in rows if all(row["correct"][at] != "?" for at in places)]
    return [_of_mapping(row, models) for row in rows if all(model in row["correct"] for model in models)]


def _of_string(row: Mapping[str, Any], models: Sequence[str], places: Sequence[int]) -> Row:
    letters = [row["preds"][at] for at in places]
    return Row(
        row["prompt"],
        tuple(letter if letter.isalpha() else None for letter in letters),
        tuple(float(row["correct"][at] == "1") for at in places),
        tuple(dollars(row["in_tok"], row["out_tok"][at], model) for at, model in zip(places, models, strict=True)),
    )


def _of_mapping(row: Mapping[str, Any], models: Sequence[str]) -> Row:
    finals = [row["final"].get(model) for model in models]
    return Row(
        row["prompt"],
        tuple(None if final is None else str(final) for final in finals),
        tuple(float(row["correct"][model]) for model in models),
        tuple(dollars(row["in_tok"], row["out_tok"].get(model), model) for model in models),
    )


def dollars(read: int, written: int | None, model: str) -> float:
    """The cost of one call."""
    return (read * PRICES[model][0] + (written or 0) * PRICES[model][1]) / 1e6


def said_the_same(row: Row) -> bool:
    """Whether both cheap models gave an answer, and the same."""
    one, other, _ = row.final
    return one is not None and other is not None and agree(one, other, request=row.question) is True


def said_equal_strings(row: Row) -> bool:
    """The same, of the strings as they are, small letters and blanks apart: what our agreement is compared with."""
    one, other, _ = (None if final is None else final.strip().lower() for final in row.final)
    return one is not None and one == other


def paid_for(rows: Sequence[Row], agreed: npt.NDArray[np.bool_]) -> Floats:
    """Quality of what is answered and of the strong model, cost and cost of the strong model: shape (rows, 4)."""
    right, cost = (np.array([getattr(row, name) for row in rows]) for name in ("right", "cost"))
    quality = np.where(agreed, right[:, 0], right[:, 2])
    return np.c_[quality, right[:, 2], cost[:, 0] + cost[:, 1] + np.where(agreed, 0, cost[:, 2]), cost[:, 2]]


def shares(paid: Floats) -> Floats:
    """Quality and cost as shares of the strong model's."""
    mean = paid.mean(axis=0)
    return np.array([mean[0] / mean[1], mean[2] / mean[3]])


def print_consensus(folder: Path) -> None:
    """The table of pairs."""
    print("\nconsensus: quality and cost as shares of the strong model's, with 95 % intervals")
    for file, *models in CONSENSUS:
        rows = consensus_rows(folder, file, models)
        agreed, equal = (np.array([said(row) for row in rows]) for said in (said_the_same, said_equal_strings))
        right = np.array([row.right[0] for row in rows])
        ours = paid_for(rows, agreed)
        (q_low, q_high), (c_low, c_high) = bootstrap(lambda drawn, of=ours: shares(of[drawn]), len(rows), draws=500)
        q, c = shares(ours)
        plain_q, plain_c = shares(paid_for(rows, equal))
        print(f"{file.removeprefix('zeroeval_'):8} {' + '.join(models[:2])} -> {models[2]}")
        print(
            f"         accepted {agreed.mean():.0%}, right when agreed {right[agreed].mean():.1%}, quality {q:.1%} "
            f"({q_low:.1%} to {q_high:.1%}), cost {c:.0%} ({c_low:.0%} to {c_high:.0%}); "
            f"by equal strings {plain_q:.1%}, {plain_c:.0%}"
        )


def main() -> None:
    """Print all of it."""
    folder = Path(sys.argv[1])
    print_consensus(folder)
    print_cascade(folder)
    print_transfer(folder)


if __name__ == "__main__":
    main()
