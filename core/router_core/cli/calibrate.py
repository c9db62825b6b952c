"""``llm-router calibrate``: a threshold with a certificate, in words, as a table and as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from router_core.cli import _contenders
from router_core.cli._contenders import LENGTH, RANDOM
from router_core.cli._show import UNKNOWN, harmless, plain_table
from router_core.errors import ConfigError
from router_core.learning.bench import bench_of, chosen_models
from router_core.learning.certificate import Certificate, NeedsMore
from router_core.learning.certify import Names, Sample, certify
from router_core.learning.examples import read_examples
from router_core.learning.sketch import TELLING


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be promised of which policy and which two models, from which examples."""

    file: Path
    policy: str
    at_least: float
    confidence: float
    weak: str | None
    strong: str | None


def show_certificate(asked: Asked, *, to: Path | None) -> int:
    """Show the certificate and write its file, or say what is missing. Returns the exit code: 1 if there is none.

    Raises:
        ConfigError: the examples, the policy or a number is wrong, or the file cannot be written.
    """
    found = found_certificate(asked)
    if isinstance(found, NeedsMore):
        typer.echo(f"No certificate: {found}.")
        return 1
    if to is not None:
        found.write(to)
    console = Console()
    console.print(Text(harmless(str(found)), style="bold"))
    console.print()
    _show(found, console)
    note = (
        f"From {found.examples:,} examples. It holds for requests like them, until the router's monitor says it broke."
    )
    console.print(note, style="dim", highlight=False)
    if to is not None:
        typer.echo(f"Wrote {to}", err=True)
    return 0


def found_certificate(asked: Asked) -> Certificate | NeedsMore:
    """Read the examples, score them, and test.

    Raises:
        ConfigError: see ``show_certificate``.
    """
    if asked.policy in {LENGTH, RANDOM}:
        raise ConfigError(f"--policy: {asked.policy!r} only compares, and cannot route; give the policy that does")
    examples = read_examples(asked.file)
    bench = bench_of(examples, chosen_models(examples, weak=asked.weak, strong=asked.strong))
    if not bench.is_pair:
        raise ConfigError("--weak: a certificate is for two models, and there are more; name them: --weak and --strong")
    contender = _contenders.policy(asked.policy, bench)
    if contender.seen >= TELLING:
        raise ConfigError(
            f"FILE: about {contender.seen:.0%} of these examples trained {contender.name}; a promise is proved "
            "with others only"
        )
    sample = Sample(contender.ranking, bench.quality, bench.cost if bench.in_dollars else None)
    names = Names(contender.name, *bench.models)
    return certify(sample, at_least=asked.at_least, confidence=asked.confidence, names=names)


def _show(found: Certificate, console: Console) -> None:
    numeric = {"Quality", "Of the strong", "Strong calls", "Cost of 1,000"}
    table = plain_table(
        "Measured on the examples", "Quality", "Of the strong", "Strong calls", "Cost of 1,000", numeric=numeric
    )
    for name, quality, share, cost in (
        (f"{found.weak} alone", found.weak_quality, 0.0, found.weak_cost_usd),
        (f"{found.policy}, score >= {found.threshold:.4g}", found.quality, found.strong_share, found.cost_usd),
        (f"{found.strong} alone", found.strong_quality, 1.0, found.strong_cost_usd),
    ):
        dollars = UNKNOWN if cost is None else f"${1000 * cost:.3g}"
        table.add_row(
            Text(harmless(name)), f"{quality:.3f}", f"{quality / found.strong_quality:.1%}", f"{share:.0%}", dollars
        )
    console.print(table)
