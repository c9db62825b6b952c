"""The demo on the terminal: a row per prompt, the comparison, and what the figures say.

The text is plain ASCII: a file that the output is sent to may have an encoding that knows no arrows.
"""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from router_core.demo.findings import LIVE_NOTE, SCRIPTED_NOTE, counts, findings, percent, usd, why
from router_core.demo.tally import ROUTED, Outcome, Report, code
from router_core.records import AttemptOutcome

_WIDE = 100
"""From so many columns on there is room for the longest reason."""
_NARROW_WHY = 12

_MARKS = {True: Text("yes", "green"), False: Text("no", "red"), None: Text("-", "dim")}


def show(report: Report, console: Console) -> None:
    """Print the report. Texts that come from prompts and models are never read as markup."""
    console.print(_prompts(report, console.width))
    console.print()
    if report.rows:
        console.print(_comparison(report))
        console.print()
    console.print(_models(report))
    console.print()
    said = Table.grid(padding=(0, 1))
    for sentence in findings(report):
        said.add_row("-", Text(sentence))
    console.print(said)
    console.print(Text(LIVE_NOTE if report.live else SCRIPTED_NOTE, "dim"))


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _prompts(report: Report, width: int) -> Table:
    kind = "live models" if report.live else "scripted models, no network"
    table = _table(f"{report.totals.requests} prompts through the router: policy {report.policy}, {kind}")
    table.add_column("prompt", no_wrap=True, min_width=16)
    table.add_column("answered by")
    table.add_column("why", max_width=_NARROW_WHY if width < _WIDE else None)
    table.add_column("tokens", justify="right", no_wrap=True, min_width=6)
    table.add_column("cost", justify="right", no_wrap=True, min_width=9)
    if not report.live:
        table.add_column("good", no_wrap=True, min_width=4)
    for outcome in report.routed:
        receipt = outcome.receipt
        cells = [
            Text(outcome.prompt.id),
            _answered_by(outcome),
            Text(why(outcome)),
            Text(f"{receipt.usage.total_tokens:,}"),
            Text(usd(receipt.cost_nano)),
        ]
        table.add_row(*cells, *([] if report.live else [_MARKS[outcome.good]]))
    return table


def _short(model: str) -> str:
    return model.partition(":")[2] or model


def _answered_by(outcome: Outcome) -> Text:
    """The model, and from where the request came to it: the attempts before with the code of each, the last first."""
    *before, last = outcome.receipt.attempts
    text = Text(_short(last.model) if outcome.receipt.model else "no answer")
    if last.outcome is not AttemptOutcome.ACCEPTED:
        text.append(f" ({code(last)})", "yellow")
    for attempt in reversed(before):
        style = "red" if attempt.outcome is AttemptOutcome.FAILED else "yellow"
        text.append(f" <- {_short(attempt.model)}: {code(attempt)}", style)
    return text


def _comparison(report: Report) -> Table:
    table = _table("All prompts, routed in other ways")
    table.add_column("way", no_wrap=True)
    for header in ("cost", "of strongest", "good answers", "calls"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in report.rows:
        share = row.cost_nano / report.baseline_nano if report.baseline_nano else None
        table.add_row(
            row.label,
            usd(row.cost_nano, 4),
            "-" if share is None else percent(share),
            percent(row.good),
            f"{row.calls:.0f}",
            style="bold" if row.label == ROUTED else "",
        )
    return table


def _models(report: Report) -> Table:
    table = _table("Answers by model")
    table.add_column("model", no_wrap=True)
    table.add_column("answered", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("how the requests came to it")
    for model in report.models:
        ways = report.totals.ways.get(model.name, {})
        count = sum(ways.values())
        table.add_row(
            Text(model.name),
            str(count),
            percent(count / report.totals.requests),
            Text(counts(ways)),
        )
    table.add_section()
    for label, of in (("escalations", report.totals.escalations), ("fallbacks", report.totals.fallbacks)):
        table.add_row(label, str(sum(of.values())), "", Text(counts(of)))
    return table
