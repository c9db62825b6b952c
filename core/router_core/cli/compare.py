"""``llm-router compare``: the same prompts without the strategy memory and with it."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from router_core.cli._compare_chart import draw
from router_core.cli._compare_runs import Compared, Round, compare_live, compare_scripted, read_prompts
from router_core.cli._show import harmless, money, number, plain_table
from router_core.demo.output import make_folder, save
from router_core.errors import ConfigError, MissingExtra
from router_core.learning.memory_file import as_json
from router_core.learning.strategy import Contents
from router_core.types import Json, to_usd

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

SCRIPTED = (
    "Models, answers, marks and prices are scripted, and the judge, which costs nothing, knows the marks: this shows "
    "how the memory works, it is no promise of savings."
)
LIVE = (
    "Good is what the strongest model, asked blind, finds as good as its own answer; what that cost is not counted. "
    "The memory began empty, and what your routers have learned was left alone."
)
_ROUNDS, _SHARE = 12, 0.3
"""Scripted: there are few prompts, so that much of them is audited."""
_LIVE_ROUNDS, _LIVE_SHARE = 3, 0.2


def run_compare(
    prompts: Path | None, config: Path | None, out: Path, console: Console, *, rounds: int | None, share: float | None
) -> None:
    """Run both, print the table, and write ``compare.json`` and ``compare.png`` into the folder ``out``.

    Raises:
        ConfigError: a file is wrong, or the folder cannot be written to.
    """
    compare = _comparison(prompts, config, rounds, share)
    make_folder(out)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("prompts", total=None)
        compared = compare(lambda: progress.advance(task))
    console.print(_table(compared))
    console.print()
    console.print(_steps(compared))
    console.print(Text(LIVE if compared.live else SCRIPTED, "dim"))
    try:
        written = [save(out / "compare.png", draw(compared))]
    except MissingExtra as lacking:
        console.print(Text(f"no chart: {lacking}", "yellow"))
        written = []
    written.append(save(out / "compare.json", (json.dumps(_figures(compared), indent=1) + "\n").encode()))
    for path in written:
        console.print(Text(f"wrote {path.resolve()}"), soft_wrap=True)


def _comparison(
    prompts: Path | None, config: Path | None, rounds: int | None, share: float | None
) -> Callable[[Callable[[], None]], Compared]:
    """What is to be compared, read and checked: to be called with what is told of each prompt that was answered."""
    if prompts is None:
        return partial(compare_scripted, rounds or _ROUNDS, _SHARE if share is None else share)
    if config is None:
        raise ConfigError("--prompts: real prompts need models; give a registry file with --config")
    from router_core.config import load  # noqa: PLC0415 - slow to import

    share = _LIVE_SHARE if share is None else share
    return partial(compare_live, load(config), read_prompts(prompts), rounds or _LIVE_ROUNDS, share)


def _table(compared: Compared) -> Table:
    numeric = ("Good", "Tokens", "Cost", "Audits", "Latency", "Of the cost")
    table = plain_table("Run", *numeric, numeric=numeric)
    rows = [("without", compared.without)]
    rows += [(f"with it, {at}.", each) for at, each in enumerate(compared.rounds, start=1)]
    for label, each in rows:
        good = "-" if each.good is None else f"{each.good} of {each.requests}"
        cost, audits = money(to_usd(each.cost_nano)), money(to_usd(each.audits_nano))
        latency = f"{1000 * each.seconds / each.requests:,.1f} ms"
        table.add_row(label, good, number(each.tokens), cost, audits, latency, _share(each, compared.without))
    return table


def _share(each: Round, without: Round) -> str:
    """What a round cost with its audits, as a share of what it costs without the memory."""
    if each.cost_nano is None or each.audits_nano is None or not without.cost_nano:
        return "-"
    return f"{(each.cost_nano + each.audits_nano) / without.cost_nano:.0%}"


def _steps(compared: Compared) -> Table:
    table = plain_table("Call site", "Task", "Step", "Why")
    for step in compared.steps:
        words = (step.place.call_site or "-", step.place.task, f"{step.from_model} -> {step.to_model}", step.why.value)
        table.add_row(*(Text(harmless(word)) for word in words))
    return table


def _figures(compared: Compared) -> dict[str, Json]:
    return {
        "note": LIVE if compared.live else SCRIPTED,
        "without": _round(compared.without),
        "rounds": [_round(each) for each in compared.rounds],
        "steps": as_json(Contents(steps=compared.steps))["steps"],
    }


def _round(each: Round) -> dict[str, Json]:
    costs = {"cost_nano": "cost_usd", "audits_nano": "audits_usd"}
    told = {name: value for name, value in asdict(each).items() if name not in costs}
    return told | {name: _usd(getattr(each, field)) for field, name in costs.items()}


def _usd(nano: int | None) -> str | None:
    usd = to_usd(nano)
    return None if usd is None else f"{usd:f}"
