"""Whether certificates, monitors and shares keep what they promise, on public outcomes.

    python benchmarks/certificates.py DATA_FOLDER [SPLITS]

The pairs are RouteLLM's, mixtral-8x7b and gpt-4-1106-preview, on MMLU and on GSM8K (the repository's labels). Scores
are the words of the prompt, and P(strong right) - P(weak right) by logistic regression on hand-made features, each
prompt scored by a model that has seen nothing of its cluster (five folds).

1. Certificates for 95 % of the strong model's quality at 90 % confidence, from n examples: in how many of the random
   splits the rest breaks the promise, and the share of strong calls beside that of an oracle, which knows the lowest
   share that keeps the promise on all data.
2. The monitor of a certificate from 1,000 examples of MMLU: how often it is wrong within 5,000 answers while nothing
   changes, and how many answers it takes (median) when the weak model turns bad after 500. "Audited" outcomes know what
   the strong model would have done.
3. A threshold for 30 % strong calls that was set on MMLU, and ``Thresholds``, on 300 requests of each.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import outcomes

from router_core.learning.certificate import Certificate
from router_core.learning.certify import Sample, certify
from router_core.learning.examples import Example
from router_core.learning.fit import fit_logistic, sigmoid
from router_core.learning.monitor import PromiseMonitor
from router_core.learning.text import read
from router_core.learning.thresholds import Thresholds

Floats = npt.NDArray[np.float64]

AT_LEAST, CONFIDENCE, SPLITS, FOLDS = 0.95, 0.9, 200, 5
SIZES = {"MMLU": (200, 500, 1000, 3000), "GSM8K": (200, 342)}
PENALTY = 10.0
STREAMS, QUIET, SPOILT_AFTER, LONGEST = 100, 5000, 500, 10_000
SHARE, REQUESTS = 0.3, 300


class Data(NamedTuple):
    """One set of outcomes: the quality of both models, shape (examples, 2), and scores by name."""

    quality: Floats
    scores: dict[str, Floats]


def main(folder: Path, splits: int) -> None:
    """Measure, and print tables."""
    found = {"MMLU": _data(outcomes.mmlu(folder)), "GSM8K": _data(outcomes.gsm8k(folder))}
    print("| data | score | n | broken on the rest | strong calls | oracle | no certificate |")
    print("|---|---|---|---|---|---|---|")
    for name, data in found.items():
        for line in _certified(name, data, splits):
            print(line, flush=True)
    print("\n| weak model | outcomes | called broken | answers until then (median) |")
    print("|---|---|---|---|")
    for line in _monitored(found["MMLU"]):
        print(line, flush=True)
    print("\n| data | fixed threshold | running threshold: mean | least | most |")
    print("|---|---|---|---|---|")
    for line in _shares(found):
        print(line)


def _data(examples: list[Example]) -> Data:
    quality = np.array([[e.outcomes[m].quality for m in (outcomes.WEAK, outcomes.STRONG)] for e in examples])
    words = np.array([len(example.text.split()) for example in examples], dtype=np.float64)
    hand = np.array([read(example.text).hand for example in examples])
    hand = (hand - hand.mean(axis=0)) / (hand.std(axis=0) + 1e-9)
    clusters = np.unique([example.group for example in examples], return_inverse=True)[1]
    fold = np.random.default_rng(0).integers(0, FOLDS, clusters.max() + 1)[clusters]
    learned = np.empty(len(examples))
    for each in range(FOLDS):
        inside = fold != each
        chances = []
        for column in (0, 1):
            slopes, offset = fit_logistic(hand[inside], quality[inside, column], PENALTY)
            chances.append(sigmoid(hand[~inside] @ slopes + offset))
        learned[~inside] = chances[1] - chances[0]
    return Data(quality, {"length": words, "learned": learned})


def _certified(name: str, data: Data, splits: int) -> Iterator[str]:
    for label, score in data.scores.items():
        for size in SIZES[name]:
            broken, shares = 0, []
            for seed in range(splits):
                one, rest = np.split(np.random.default_rng(seed).permutation(len(score)), [size])
                found = certify(Sample(score[one], data.quality[one]), at_least=AT_LEAST, confidence=CONFIDENCE)
                if isinstance(found, Certificate):
                    served, strong = _served(data, score, found.threshold)
                    broken += bool(served[rest].mean() < AT_LEAST * data.quality[rest, 1].mean())
                    shares.append(strong[rest].mean())
            without = splits - len(shares)
            mean = f"{np.mean(shares):.1%}" if shares else "all"
            yield (
                f"| {name} | {label} | {size:,} | {broken / splits:.1%} | {mean} | {_oracle(data, score):.1%} | "
                f"{without / splits:.0%} |"
            )


def _served(data: Data, score: Floats, threshold: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    strong = score >= threshold
    return np.where(strong, data.quality[:, 1], data.quality[:, 0]), strong


def _oracle(data: Data, score: Floats) -> float:
    """The lowest share of strong calls of any threshold that keeps the promise on all data."""
    shares = [1.0]
    for threshold in np.append(np.unique(score), np.inf):
        served, strong = _served(data, score, threshold)
        if served.mean() >= AT_LEAST * data.quality[:, 1].mean():
            shares.append(float(strong.mean()))
    return min(shares)


def _monitored(data: Data) -> Iterator[str]:
    score = data.scores["learned"]
    one = np.random.default_rng(0).permutation(len(score))[:1000]
    certificate = certify(Sample(score[one], data.quality[one]), at_least=AT_LEAST, confidence=CONFIDENCE)
    if not isinstance(certificate, Certificate):
        raise TypeError(f"no certificate to watch: {certificate}")
    _, strong = _served(data, score, certificate.threshold)
    for spoilt in (0.0, 0.25, 0.5, 1.0):
        for audited in (False, True):
            times = [_until_broken(data, strong, certificate, spoilt, seed, audited=audited) for seed in range(STREAMS)]
            found = [time for time in times if time is not None]
            what = f"{spoilt:.0%} of its good answers turn bad" if spoilt else "as it was"
            after = f"{np.median(found) - SPOILT_AFTER:.0f}" if spoilt and len(found) > STREAMS / 2 else "-"
            yield f"| {what} | {'audited' if audited else 'graded alone'} | {len(found) / STREAMS:.0%} | {after} |"


def _until_broken(
    data: Data, strong: npt.NDArray[np.bool_], certificate: Certificate, spoilt: float, seed: int, *, audited: bool
) -> int | None:
    rng = np.random.default_rng(seed)
    monitor = PromiseMonitor(certificate)
    for count in range(LONGEST if spoilt else QUIET):
        i = rng.integers(len(strong))
        quality = data.quality[i, int(strong[i])]
        if not strong[i] and count >= SPOILT_AFTER and rng.random() < spoilt:
            quality = 0.0
        monitor.observe(1 - quality, strong_loss=1 - data.quality[i, 1] if audited else None)
        if monitor.broken:
            return count + 1
    return None


def _shares(found: dict[str, Data]) -> Iterator[str]:
    threshold = np.quantile(found["MMLU"].scores["length"], 1 - SHARE)
    for name, data in found.items():
        score = data.scores["length"]
        shares = []
        for seed in range(SPLITS):
            thresholds = Thresholds(SHARE)
            drawn = np.random.default_rng(seed).choice(score, REQUESTS)
            shares.append(np.mean([thresholds.place(name, float(each)).strong for each in drawn]))
        fixed = np.mean(score >= threshold)
        yield f"| {name} | {fixed:.1%} | {np.mean(shares):.1%} | {min(shares):.1%} | {max(shares):.1%} |"


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else SPLITS)
