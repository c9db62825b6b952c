"""``llm-router eval``: policies and verifiers measured on examples, as a table, as JSON and as a chart."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from router_core.cli import _contenders
from router_core.cli._contenders import LENGTH, ORACLE, RANDOM
from router_core.cli._show import UNKNOWN, harmless, plain_table
from router_core.errors import ConfigError
from router_core.files import whole_file
from router_core.learning.bench import Bench, bench_of, chosen_models
from router_core.learning.evaluation import MEASURES, Contender, Measure, Result, measure
from router_core.learning.examples import Example, read_examples
from router_core.learning.metrics import reliability
from router_core.learning.rows import number_of
from router_core.learning.sketch import TELLING
from router_core.registry import did_you_mean
from router_core.types import Json, Price

_LABELS = {
    "apgr": "APGR",
    "cpt20": "CPT 20 %",
    "cpt50": "CPT 50 %",
    "cpt80": "CPT 80 %",
    "auroc": "AUROC",
    "ece": "Calibration error",
    "dollar_area": "Area over cost",
    "aiq": "AIQ",
    "top_quality": "Top quality",
    "cost_at_95": "Cost of 95 % quality",
    "gain": "Gain",
}
_SHARES = frozenset({"cpt20", "cpt50", "cpt80", "cost_at_95"})
_REQUESTS = 1000
"""Whose cost is shown: that of one is too small a number to read."""
_POINTS = 200
"""Operating points of a frontier in the JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be measured, on which examples, and how often to draw."""

    file: Path
    policies: tuple[str, ...]
    verifiers: tuple[str, ...]
    weak: str | None
    strong: str | None
    models: tuple[str, ...]
    prices: tuple[str, ...]
    embedding: str | None
    draws: int
    seed: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured. ``results`` are of the contenders, then of the baselines that they are compared with."""

    asked: Asked
    bench: Bench
    left_out: int
    contenders: tuple[Contender, ...]
    results: tuple[Result, ...]


def show_evaluation(asked: Asked, *, as_json: str | None, png: Path | None) -> None:
    """Measure, show it as a table (or as JSON, if that is "-"), and write the files.

    Raises:
        ConfigError: the examples, a name, a price or a file is wrong. MissingExtra: a chart without matplotlib.
    """
    report = evaluated(asked)
    if png is not None:
        from router_core.cli._frontier_chart import draw  # noqa: PLC0415 - matplotlib is an optional extra

        chart = draw(report.bench, report.results, len(report.contenders))
        with whole_file(png) as file:
            file.write(chart)
    text = json.dumps(_as_json(report), indent=2, allow_nan=False)
    if as_json == "-":
        typer.echo(text)
        return
    if as_json is not None:
        with whole_file(Path(as_json)) as file:
            file.write(f"{text}\n".encode())
    _show(report)
    for written in filter(None, (as_json, png)):
        typer.echo(f"Wrote {written}", err=True)


def evaluated(asked: Asked) -> Report:
    """Read the examples and measure everything on them.

    Raises:
        ConfigError: see ``show_evaluation``.
    """
    if not asked.policies and not asked.verifiers:
        raise ConfigError(
            "--policy: nothing is to be measured; give a policy (such as difficulty) or a --verifier file"
        )
    examples = read_examples(asked.file)
    models = chosen_models(examples, weak=asked.weak, strong=asked.strong, models=asked.models)
    bench = bench_of(examples, models, prices_of(asked.prices, examples))
    contenders = (
        *(_contenders.policy(name, bench, asked.embedding) for name in dict.fromkeys(asked.policies)),
        *(_contenders.verifier(name, bench) for name in dict.fromkeys(asked.verifiers)),
    )
    length = _contenders.baseline(LENGTH, bench)
    others = [name for name in (LENGTH, RANDOM, ORACLE) if name not in asked.policies]
    results = (
        *(measure(bench, contender, length, asked.draws, asked.seed) for contender in contenders),
        *(measure(bench, _contenders.baseline(name, bench), length, draws=0) for name in others),
    )
    return Report(asked, bench, len(examples) - len(bench.examples), contenders, results)


def prices_of(given: Sequence[str], examples: Sequence[Example]) -> dict[str, Price]:
    """The prices that --price names.

    Raises:
        ConfigError: one is no price, or names a model without outcomes.
    """
    known = {name for example in examples for name in example.outcomes}
    prices: dict[str, Price] = {}
    for text in given:
        name, _, numbers = text.rpartition("=")
        amounts = [number for number in map(number_of, numbers.split(",")) if number is not None and number >= 0]
        if not name or len(amounts) not in {1, 2} or len(amounts) <= numbers.count(","):
            raise ConfigError(f"--price: {text!r} is no price; give MODEL=IN,OUT in US dollars per million tokens")
        if name not in known:
            raise ConfigError(f"--price: {name!r} has no outcomes in the file{did_you_mean(name, known)}")
        prices[name] = Price(input=Decimal(str(amounts[0])), output=Decimal(str(amounts[-1])))
    return prices


# ----------------------------------------------------------------------------------------------------------- table
def _show(report: Report) -> None:
    console = Console()
    bench, points = report.bench, report.bench.points
    left_out = f" ({report.left_out} more lack an outcome and are left out)" if report.left_out else ""
    console.print(Text(f"{len(bench.examples):,} examples{left_out}, {len(bench.models)} models", style="bold"))
    models = plain_table("Model", "Quality", "1,000 requests", numeric={"Quality", "1,000 requests"})
    shown = range(len(points)) if bench.is_pair else sorted({*bench.mixture.tolist(), bench.best})
    for column in shown:
        models.add_row(Text(harmless(bench.models[column])), f"{points[column].quality:.3f}", _cost(report, column))
    console.print(models)
    if len(shown) < len(points):
        hidden = len(points) - len(shown)
        console.print(f"{hidden} more models are beaten by mixtures of these.", style="dim", highlight=False)
    console.print()
    names = [result.name for result in report.results]
    measures = [name for name in report.results[0].measures if name != "ece" or any(map(_predicts, report.contenders))]
    table = plain_table("", *map(harmless, names), numeric=set(names))
    for name in measures:
        table.add_row(_LABELS[name], *(_cell(name, result.measures[name]) for result in report.results))
    console.print(table)
    console.print()
    for contender in report.contenders:
        if contender.seen >= TELLING:
            warning = f"About {contender.seen:.0%} of these examples trained {contender.name}: its figures flatter it."
            console.print(Text(harmless(warning), style="bold yellow"))
    for line in _notes(report):
        console.print(line, style="dim", highlight=False, markup=False)


def _predicts(contender: Contender) -> bool:
    return contender.predicted is not None


def _cost(report: Report, column: int) -> str:
    cost = report.bench.points[column].cost
    return f"${_REQUESTS * cost:.3g}" if report.bench.in_dollars else UNKNOWN


def _cell(name: str, found: Measure) -> str:
    if math.isnan(found.value):
        return "–"  # noqa: RUF001 - a dash

    def told(value: float) -> str:
        if name in _SHARES:
            return f"{100 * value:.1f}"
        return f"{value:+.3f}" if name == "gain" else f"{value:.3f}"

    unit = " %" if name in _SHARES else ""
    ends = "" if math.isnan(found.low) else f" [{told(found.low)},{told(found.high)}]"  # no space: it stays on one line
    return told(found.value) + unit + ends


def _notes(report: Report) -> list[str]:
    is_pair = report.bench.is_pair
    cost = "the strong model's" if is_pair else "the best model's"
    unit = "" if report.bench.in_dollars else "; without costs in the file it is a share of strong calls"
    against = "APGR less that of prompt length" if is_pair else "AIQ less that of mixing single models at random"
    random = "draws a model for each request" if is_pair else "mixes single models as well as can be"
    intervals = f"[] are 95 % intervals of {report.asked.draws:,} bootstrap draws. " if report.asked.draws else ""
    return [
        f"{intervals}length ranks by the words of the prompt, random {random}, oracle knows all outcomes.",
        f"Cost is a share of {cost}{unit}. Gain is {against}, on the same draws.",
    ]


# ------------------------------------------------------------------------------------------------------------ JSON
def _as_json(report: Report) -> dict[str, Json]:
    bench = report.bench
    return {
        "file": str(report.asked.file),
        "examples": len(bench.examples),
        "left_out": report.left_out,
        "cost_unit": "usd" if bench.in_dollars else "strong_calls",
        "models": [
            {"name": name, "quality": point.quality, "cost": point.cost}
            for name, point in zip(bench.models, bench.points, strict=True)
        ],
        "bootstrap": {"draws": report.asked.draws, "seed": report.asked.seed, "confidence": 0.95},
        "results": [_result(bench, *each) for each in zip_longest(report.results, report.contenders)],
        "definitions": {name: MEASURES[name] for name in report.results[0].measures},
    }


def _result(bench: Bench, result: Result, contender: Contender | None) -> dict[str, Json]:
    step = -(-len(result.frontier.cost) // _POINTS)
    points = list(zip(result.frontier.cost.tolist(), result.frontier.quality.tolist(), strict=True))
    told: dict[str, Json] = {
        "name": result.name,
        "kind": "baseline" if contender is None else "verifier" if contender.cascade else "policy",
        "measures": {
            name: {part: None if math.isnan(value) else value for part, value in found._asdict().items()}
            for name, found in result.measures.items()
        },
        "frontier": [{"cost": cost, "quality": quality} for cost, quality in [*points[::step], points[-1]]],
    }
    if contender is not None:
        told["seen_in_training"] = contender.seen
    if contender is not None and contender.predicted is not None:
        outcomes = bench.quality[:, : contender.predicted.shape[1]]
        told["reliability"] = [each._asdict() for each in reliability(contender.predicted.ravel(), outcomes.ravel())]
    return told
