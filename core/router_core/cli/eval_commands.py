"""``llm-router eval``: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from router_core.cli._options import needs_numpy

_Names = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="NAME|FILE",
        help="A policy by name, length (words of the prompt), random, a policy file, or the folder of a classifier; "
        "may be repeated.",
    ),
]
_Verifiers = Annotated[
    list[str] | None,
    typer.Option(
        "--verifier",
        metavar="NAME|FILE",
        help="A verifier by name or by file, measured as a cascade of two models: the weak one answers, the strong one "
        "where the answer is doubted; may be repeated.",
    ),
]
_Prices = Annotated[
    list[str] | None,
    typer.Option(
        "--price",
        metavar="MODEL=IN[,OUT]",
        help="US dollars per million tokens, for outcomes that tell tokens but no cost; may be repeated.",
    ),
]
_Embedding = Annotated[
    str | None,
    typer.Option("--embedding", metavar="MODULE:FUNCTION", help="The embedding that a policy file was trained with."),
]


def add_to(app: typer.Typer) -> None:
    """Declare the command."""
    app.command("eval")(evaluate)


def evaluate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Examples as JSON lines, plain or .gz.")],
    *,
    policy: _Names = None,
    verifier: _Verifiers = None,
    weak: Annotated[str | None, typer.Option("--weak", metavar="MODEL", help="The weak one of two models.")] = None,
    strong: Annotated[str | None, typer.Option("--strong", metavar="MODEL", help="The strong one.")] = None,
    models: Annotated[
        str | None, typer.Option("--models", metavar="A,B,C", help="Any number of models; else all of the file.")
    ] = None,
    price: _Prices = None,
    embedding: _Embedding = None,
    as_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write what was measured as JSON; - shows it instead.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", dir_okay=False, help="Draw quality over cost.")
    ] = None,
    draws: Annotated[
        int, typer.Option("--bootstrap", metavar="N", min=0, help="Draws for the 95 % intervals; 0 for none.")
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same intervals.")] = 0,
) -> None:
    """Measure policies and verifiers on examples whose outcomes are known.

    A line of FILE is {"prompt": "...", "outcomes": {"small": 0, "large": 1}}, an outcome 0..1 or an object of quality,
    cost_usd, answer, finish_reason, input_tokens and output_tokens; for two models also {"prompt": "...", "weak": 0,
    "strong": 1}. Two models are measured by APGR, CPT and AUROC, more by AIQ; both by calibration error and cost. No
    model is called.
    """
    needs_numpy()
    from router_core.cli._evaluation import Asked, show_evaluation  # noqa: PLC0415 - slow to import

    asked = Asked(
        file=file,
        policies=tuple(policy or ()),
        verifiers=tuple(verifier or ()),
        weak=weak,
        strong=strong,
        models=tuple(name.strip() for name in models.split(",")) if models else (),
        prices=tuple(price or ()),
        embedding=embedding,
        draws=draws,
        seed=seed,
    )
    show_evaluation(asked, as_json=as_json, png=png)
