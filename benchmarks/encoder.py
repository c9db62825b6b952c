"""What a DistilBERT costs as a policy: python benchmarks/encoder.py, where router-core[transformers] is installed.

Makes a DistilBERT of the usual size (66 million parameters) with random weights, and measures, each in a process of its
own: how long it takes to load, the memory of the process, and the time of a decision about prompts of 90 words with one
thread and with two; then how long fine-tuning takes. Weights matter to none of these. See README.md beside this file.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from router_core.learning.bench import bench_of
from router_core.learning.classifier import NONE, library, load
from router_core.learning.encoder import FineTuning, fine_tune
from router_core.learning.examples import STRONG, WEAK, Example, Outcome
from router_core.policies import Candidate, TransformersPolicy
from router_core.types import Model, RequestView, Turn

WORDS = 90
"""A word is one token here, and a fifth more in English."""
DECISIONS = 60
TRAINED = 100
"""Examples of the measured epoch; one over ten times as many takes ten times as long."""
THREADS = (1, 2)
_MB = 1e6


class Cost(NamedTuple):
    """Seconds and megabytes of a process that decides."""

    imported_s: float
    loaded_s: float
    libraries_mb: float
    memory_mb: float
    decision_s: float
    """The median of a decision about 90 words; then the quickest, what a machine at rest needs, and the median of the
    processors' time."""
    quickest_s: float
    processor_s: float
    long_s: float
    """The quickest decision about a text of which 512 tokens are read."""


def vocabulary() -> list[str]:
    """As many made-up words as DistilBERT has tokens."""
    letters = "abcdefghij"
    return [f"{a}{b}{c}{d}{e}" for a in letters for b in letters for c in letters for d in letters for e in "abc"]


def prompt(draw: random.Random, words: int = WORDS) -> str:
    """A text of so many words."""
    return " ".join(draw.choices(vocabulary(), k=words))


def make(folder: Path) -> int:
    """A classifier with random weights; how many parameters it has."""
    transformers = library("transformers")
    transformers.utils.logging.disable_progress_bar()
    labels = (WEAK, STRONG, NONE)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *vocabulary()]
    config = transformers.DistilBertConfig(
        id2label=dict(enumerate(labels)), label2id={label: at for at, label in enumerate(labels)}
    )
    model = transformers.DistilBertForSequenceClassification(config)
    model.save_pretrained(folder)
    vocab = {token: at for at, token in enumerate(tokens)}
    transformers.DistilBertTokenizer(vocab=vocab, model_max_length=512).save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def memory_mb() -> float:
    """The resident memory of this process (Linux)."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024 / _MB


def measured(folder: Path, threads: int) -> Cost:
    """What deciding costs in this process."""
    began = time.perf_counter()
    torch = library("torch")
    library("transformers")
    imported_s, libraries_mb = time.perf_counter() - began, memory_mb()
    torch.set_num_threads(threads)
    policy = TransformersPolicy(folder)
    candidates = [Candidate(Model(name=name, id=name, provider="none", endpoint="none")) for name in ("small", "large")]
    draw = random.Random(0)  # noqa: S311 - reproducible, not secret

    def decide(words: int) -> tuple[float, float]:
        request = RequestView(turns=(Turn("user", prompt(draw, words)),), input_bytes=0)
        began, used = time.perf_counter(), time.process_time()
        policy.decide(request, candidates)
        return time.perf_counter() - began, time.process_time() - used

    loaded_s, _ = decide(WORDS)
    decisions = [decide(WORDS) for _ in range(DECISIONS)]
    long = [decide(1000)[0] for _ in range(DECISIONS // 6)]
    wall, processor = zip(*decisions, strict=True)
    times = (statistics.median(wall), min(wall), statistics.median(processor), min(long))
    return Cost(imported_s, loaded_s, libraries_mb, memory_mb(), *times)


class Epoch(NamedTuple):
    """Seconds that an epoch takes, and seconds of the processors."""

    epoch_s: float
    processor_s: float


def fine_tuned(folder: Path, threads: int) -> Epoch:
    """What an epoch costs in this process."""
    library("torch").set_num_threads(threads)
    draw = random.Random(1)  # noqa: S311 - reproducible, not secret
    examples = [
        Example(text=prompt(draw), outcomes={WEAK: Outcome(quality=at % 2), STRONG: Outcome(quality=1)})
        for at in range(TRAINED + 1)
    ]
    bench = bench_of(examples[:TRAINED], (WEAK, STRONG))
    watched = bench_of(examples[TRAINED - 1 :], (WEAK, STRONG))
    encoder = load(folder)
    began, used = time.perf_counter(), time.process_time()
    fine_tune(encoder, bench, watched, FineTuning(epochs=1), lambda _epoch: None)
    return Epoch(time.perf_counter() - began, time.process_time() - used)


def apart(what: str, folder: Path, threads: int) -> list[float]:
    """What a process of its own measures."""
    command = [sys.executable, __file__, what, str(folder), str(threads)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(number) for number in json.loads(shown)]


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    if arguments:
        what, place, threads = arguments
        print(json.dumps({"decide": measured, "train": fine_tuned}[what](Path(place), int(threads))))
        return
    torch, transformers = library("torch"), library("transformers")
    print(f"python {sys.version.split()[0]}, torch {torch.__version__}, transformers {transformers.__version__}")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "distilbert"
        print(f"{make(folder) / _MB:.0f} million parameters, prompts of {WORDS} words, {DECISIONS} decisions")
        for count in THREADS:
            cost = Cost(*apart("decide", folder, count))
            print(
                f"{count} thread(s): libraries imported in {cost.imported_s:.1f} s, first decision after "
                f"{cost.loaded_s:.1f} s more; memory {cost.memory_mb:.0f} MB (of it the libraries "
                f"{cost.libraries_mb:.0f}); a decision {cost.decision_s * 1000:.0f} ms, the quickest "
                f"{cost.quickest_s * 1000:.0f}, of the processors {cost.processor_s * 1000:.0f}; of 512 tokens the "
                f"quickest {cost.long_s * 1000:.0f}"
            )
        for count in THREADS:
            epoch = Epoch(*apart("train", folder, count))
            print(
                f"{count} thread(s): an epoch of {TRAINED} examples {epoch.epoch_s:.0f} s, of the processors "
                f"{epoch.processor_s:.0f}; of 1,000, extrapolated, {epoch.epoch_s * 1000 / TRAINED:.0f} and "
                f"{epoch.processor_s * 1000 / TRAINED:.0f}"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
