"""The demo as one self-contained HTML page: no script, no outside resource, readable in light and dark mode."""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from itertools import groupby

from router_core.demo.chart import bars, way_colours
from router_core.demo.findings import LIVE_NOTE, SCRIPTED_NOTE, counts, findings, headline, percent, usd, why
from router_core.demo.script import Prompt, spoken
from router_core.demo.tally import ROUTED, Outcome, Report, code
from router_core.records import Attempt, AttemptOutcome

_EXCERPT = 120
"""Characters: more than fits a line, the page cuts the rest."""


def render(report: Report, chart: bytes | None) -> str:
    """The page. ``chart`` is a PNG; without one the costs are drawn as bars of HTML."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - slow to import

    # Prompts and answers are anybody's text: everything is escaped, whatever the name of the template ends with.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"usd": usd, "percent": percent, "counts": counts, "code": code, "why": why, "share": _share}
    template = environment.from_string(files("router_core.demo").joinpath("page.html.j2").read_text(encoding="utf-8"))
    costs = bars(report)
    return template.render(
        report=report,
        headline=headline(report),
        findings=findings(report),
        note=LIVE_NOTE if report.live else SCRIPTED_NOTE,
        chart=base64.b64encode(chart).decode() if chart else None,
        bars=costs,
        most=max((cost or 0 for _, cost in costs), default=0) or 1,
        colours=way_colours(report),
        routed=ROUTED,
        tasks=[(task, list(outcomes)) for task, outcomes in groupby(report.routed, key=lambda o: o.prompt.task)],
        shapes=_shapes,
        draft=_draft,
        marks=_marks,
        features=_features,
        excerpt=_excerpt,
        accepted=AttemptOutcome.ACCEPTED,
    )


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}" if whole else "0"


def _excerpt(prompt: Prompt) -> str:
    """The beginning of the last message, on one line."""
    return " ".join(prompt.turns[-1][1][:_EXCERPT].split())


def _shapes(prompt: Prompt) -> str:
    """The tools or the schema that go with a prompt, as JSON to look at."""
    shape = prompt.options.get("schema") or prompt.options.get("tools")
    return "" if shape is None else json.dumps(shape, indent=1, ensure_ascii=False)


def _draft(outcome: Outcome, attempt: Attempt) -> str | None:
    """What an attempt said, where that is known: answers of live models that were rejected are not kept."""
    if attempt is outcome.receipt.last:
        return outcome.text
    answer = outcome.prompt.answers.get(attempt.model)
    return None if answer is None or answer.fails else spoken(answer.reply)


def _marks(prompt: Prompt, report: Report) -> list[tuple[str, bool, str]]:
    """For each scripted model of the report: its name, whether its answer is marked as good, and why not."""
    answers = [(model.name, prompt.answers.get(model.name)) for model in report.models]
    return [(name, answer.fault is None, answer.fault or "") for name, answer in answers if answer is not None]


def _features(outcome: Outcome) -> str:
    decision = outcome.receipt.decision
    return "" if decision is None else json.dumps(dict(decision.features), ensure_ascii=False)
