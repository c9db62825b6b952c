"""``run_demo``: play, show, write the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from router_core.demo.chart import draw
from router_core.demo.findings import LIVE_NOTE, SCRIPTED_NOTE, findings
from router_core.demo.live import ask_how_many, find_router, play_live
from router_core.demo.offline import offline_steps, play_offline
from router_core.demo.output import make_folder, save
from router_core.demo.page import render
from router_core.demo.screen import show
from router_core.demo.script import load_prompts
from router_core.demo.tally import Report, Totals
from router_core.errors import MissingExtra, RouterError
from router_core.types import Json, to_usd

USAGE_ERROR = 2
"""Exit code where the user has to change something: the folder, the configuration, the environment."""


def run_demo(*, live: bool, out: Path, config: Path | None, console: Console) -> int:
    """Run the demo and write ``demo.html``, ``demo.png`` and ``demo.json`` into the folder ``out``.

    Args:
        live: use live models, those of ``config`` or what this machine has; otherwise scripted ones, offline.
        out: the folder, made if it does not exist.
        config: a registry file for ``live``.
        console: where to print.

    Returns:
        The exit code: 0; 1 if no request got an answer; 2 where the user has to change something (the message says
        what).
    """
    try:
        if config is not None and not live:
            console.print(Text(f"{config} is not read: the models are scripted; add --live to use it", "yellow"))
        make_folder(out)
        report = _play(live=live, out=out, config=config, console=console)
        show(report, console)
        _write(report, out, console)
    except RouterError as error:
        console.print(Text(f"error: {error}", "bold red"), soft_wrap=True)
        return USAGE_ERROR
    return 0 if report.totals.answered else 1


def _play(*, live: bool, out: Path, config: Path | None, console: Console) -> Report:
    prompts = load_prompts()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    if live:
        router = find_router(out, config, console)
        chosen = ask_how_many(prompts, router, console)
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("prompts to live models", total=len(chosen))
            return play_live(router, chosen, lambda: progress.advance(task))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("prompts to scripted models", total=offline_steps(prompts))
        return play_offline(prompts, lambda: progress.advance(task))


def _write(report: Report, out: Path, console: Console) -> None:
    chart = None
    try:
        chart = draw(report)
    except MissingExtra as missing:
        console.print(Text(f"no chart: {missing}", "yellow"))
    written = [save(out / "demo.html", render(report, chart).encode())]
    if chart is not None:
        written.append(save(out / "demo.png", chart))
    written.append(save(out / "demo.json", (json.dumps(figures(report), indent=1) + "\n").encode()))
    console.print()
    for path in written:
        console.print(Text(f"wrote {path.resolve()}"), soft_wrap=True)


def figures(report: Report) -> dict[str, Json]:
    """The report as JSON: totals, the comparison, and the summary of each receipt. Costs are US dollars as strings."""
    return {
        "note": LIVE_NOTE if report.live else SCRIPTED_NOTE,
        "findings": findings(report),
        "policy": report.policy,
        "verifiers": list(report.verifiers),
        "totals": _totals(report.totals),
        "always_the_strongest_usd": _usd(report.baseline_nano),
        "comparison": [
            {"label": row.label, "note": row.note, "runs": [_totals(run) for run in row.runs]} for row in report.rows
        ],
        "prompts": [
            {"id": outcome.prompt.id, "good": outcome.good, "receipt": outcome.receipt.summary()}
            for outcome in report.routed
        ],
    }


def _totals(totals: Totals) -> Mapping[str, Json]:
    sums = {name: value for name, value in asdict(totals).items() if name not in {"cost_nano", "usage"}}
    return sums | {
        "cost_usd": _usd(totals.cost_nano),
        "input_tokens": totals.usage.input_tokens,
        "output_tokens": totals.usage.output_tokens,
    }


def _usd(nano: int | None) -> str | None:
    usd = to_usd(nano)
    return None if usd is None else f"{usd:f}"
