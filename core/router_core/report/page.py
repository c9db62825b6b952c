"""A report as one self-contained HTML page: no script, no outside resource, readable in light and dark mode."""

from __future__ import annotations

from importlib.resources import files

from router_core.report import charts, words
from router_core.report.budgets import BudgetStatus, used
from router_core.report.figures import Figures

_MAX_ROWS = 100
"""Lines of a table; what is beyond is summed up in one."""


def render(figures: Figures, budgets: tuple[BudgetStatus, ...], *, now: float) -> str:
    """The page, made at ``now`` (unix seconds)."""
    from jinja2 import Environment, StrictUndefined

    # Models, tags and sessions are anybody's text: everything is escaped, whatever the name of the template ends with.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"usd": words.usd, "percent": words.percent, "seconds": words.seconds}
    source = files("router_core.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    groups, days = figures.groups, figures.days
    if figures.by == "day":
        groups.reverse()  # the newest first, as in the table of days
    counted = {"spend": figures.models, "calls": figures.calls, "answers": figures.answers}
    return environment.from_string(source).render(
        figures=figures,
        total=figures.total,
        saving=figures.total.saving,
        budgets=budgets,
        used=used,
        words=words,
        charts=charts,
        span=words.span(figures),
        made=words.day_and_time(now),
        facts=words.facts(figures),
        spend=charts.spend(figures),
        latency=charts.latency(figures.total.latency),
        shares=charts.shares(figures, counted),
        palette=charts.colours(figures),
        by=(figures.by or "").replace("_", " "),
        groups=groups[:_MAX_ROWS],
        more_groups=groups[_MAX_ROWS:],
        days=list(days.items())[-_MAX_ROWS:],
        hidden_days=max(len(days) - _MAX_ROWS, 0),
    )
