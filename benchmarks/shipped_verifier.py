"""Makes the weights that ship with ``LearnedVerifier``.

    python benchmarks/shipped_verifier.py DATA_FOLDER [FILE]

They are trained on GSM8K alone: the answers of RouteLLM's pair under the re-graded labels and those that ZeroEval
collected of other models (both Apache-2.0). The numbers printed, and written into the file, are of answers to
questions that the weights had not seen.
"""

from __future__ import annotations

import sys
from pathlib import Path

from verifying import PENALTY, gsm8k_answers

from router_core.learning.train_verifier import train_verifier
from router_core.learning.verifier_weights import SHIPPED

THRESHOLD = 0.7
"""Of the answers of mixtral-8x7b it rejects those among which fewer than half are right."""


def main() -> None:
    """Train, print the evidence, write the file."""
    trained = train_verifier(gsm8k_answers(Path(sys.argv[1])), start=None, threshold=THRESHOLD, penalty=PENALTY)
    print(trained.evidence)
    trained.write(Path(sys.argv[2]) if len(sys.argv) > 2 else SHIPPED)


if __name__ == "__main__":
    main()
