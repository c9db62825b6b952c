"""``llm-router calibrate``: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Declare the command."""
    app.command()(calibrate)


def calibrate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Examples as JSON lines, plain or .gz.")],
    *,
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME|FILE", help="The policy that scores, by name or by its file.")
    ],
    at_least: Annotated[
        float, typer.Option("--at-least", metavar="0..1", help="The promised share of the strong model's quality.")
    ] = 0.95,
    confidence: Annotated[
        float, typer.Option("--confidence", metavar="0..1", help="The probability that the promise holds.")
    ] = 0.9,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", dir_okay=False, help="Write the certificate here.")
    ] = None,
    weak: Annotated[str | None, typer.Option("--weak", metavar="MODEL", help="The weak one of two models.")] = None,
    strong: Annotated[str | None, typer.Option("--strong", metavar="MODEL", help="The strong one.")] = None,
) -> None:
    """Find the threshold of a policy that comes with a promise, or how many more examples it needs.

    "At most 5 % below the strong model with probability 90 %": --at-least 0.95 --confidence 0.9. The examples (their
    form is told by `llm-router eval --help`) must be like the requests to come and must not have trained the policy.
    Use the certificate with the policy "guarded" in router.yaml. Exits with 1 if there is none.
    """
    from router_core.cli.calibrate import Asked, show_certificate  # noqa: PLC0415 - slow to import

    asked = Asked(file=file, policy=policy, at_least=at_least, confidence=confidence, weak=weak, strong=strong)
    raise typer.Exit(show_certificate(asked, to=to))
