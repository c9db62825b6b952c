"""``llm-router train``: its options and help."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from router_core.cli._options import ConfigOption
from router_core.cli._store import StoreOption


class Kind(StrEnum):
    """What is trained."""

    POLICY = "policy"
    VERIFIER = "verifier"
    NEAREST = "nearest"


def add_to(app: typer.Typer) -> None:
    """Declare the command."""
    app.command("train")(train)


_From = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="ledger|FILE",
        help="The ledger, or a file of examples or of LangSmith's runs (*.langsmith.jsonl).",
    ),
]
_To = Annotated[Path, typer.Option("--to", metavar="FILE", help="What is written; a folder with --encoder.")]
_Kind = Annotated[Kind, typer.Option("--kind", help="What to train.")]
_Encoder = Annotated[
    Path | None,
    typer.Option("--encoder", metavar="FOLDER", file_okay=False, help="Fine-tune this encoder into a policy."),
]
_Models = Annotated[
    str | None, typer.Option("--models", metavar="A,B", help="The models, weakest first; else all that are found.")
]
_Embedding = Annotated[
    str | None, typer.Option("--embedding", metavar="MODULE:NAME", help="A function from a text to its vector.")
]
_Prices = Annotated[
    list[str] | None,
    typer.Option("--price", metavar="MODEL=IN,OUT", help="US dollars per million tokens; may be repeated."),
]
_Feedback = Annotated[
    str | None, typer.Option("--feedback", metavar="KEY", help="LangSmith's feedback that is the quality.")
]
_Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same splits.")]


def train(
    *,
    source: _From,
    to: _To,
    kind: _Kind = Kind.POLICY,
    encoder: _Encoder = None,
    models: _Models = None,
    embedding: _Embedding = None,
    price: _Prices = None,
    feedback: _Feedback = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    seed: _Seed = 0,
) -> None:
    """Train a policy or a verifier on outcomes, and write its file.

    A part of the examples is held out. What is not better there than the best single model at equal cost (a verifier:
    than accepting everything) is not written, and the numbers say why. The form of the examples is told by
    `llm-router eval --help`.
    """
    # Vectors of a few thousand numbers are added up faster by one thread than by several that wait for one another.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from router_core.cli.train import Asked, write_trained  # noqa: PLC0415 - slow to import

    asked = Asked(
        kind=kind.value,
        source=source,
        to=to,
        encoder=encoder,
        models=tuple(name.strip() for name in models.split(",")) if models else (),
        embedding=embedding,
        prices=tuple(price or ()),
        feedback=feedback,
        store=store,
        config=config,
        seed=seed,
    )
    write_trained(asked)
