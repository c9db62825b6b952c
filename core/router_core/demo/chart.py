"""The chart of the demo: what each way to route costs, how many answers are good, and which model answers why.

matplotlib (extra ``charts``) is imported here only, and drawn without a display. The colours are those of Okabe and
Ito (https://jfly.uni-koeln.de/color/), which people with any kind of colour vision can tell apart.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from router_core.demo.findings import headline, percent, usd
from router_core.demo.tally import ESCALATED, FALLBACK, ROUTED, Report
from router_core.errors import MissingExtra
from router_core.records import Reason

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (1200, 700)
"""Pixels."""

_DPI = 100
_CHAR_WIDTH = 0.007
"""Of the labels' font, as a share of the width of the chart."""
_LONGEST = 45
"""Characters of a label."""
_INK, _SOFT, _PALE = "#1c2430", "#5b6675", "#c3cad3"
_BLUE, _SKY, _GREEN, _AMBER, _VERMILION = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00"
_WAYS = (_SKY, _BLUE, "#00466e", _GREEN, "#CC79A7")
"""Colours of the reasons of decisions, in the order of ``Reason``: from easy to hard."""


def draw(report: Report) -> bytes:
    """The chart as a PNG.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an optional extra
        from matplotlib.figure import Figure  # noqa: PLC0415 - the same
    except ImportError:
        raise MissingExtra("matplotlib", "charts") from None
    figure = Figure(figsize=(SIZE[0] / _DPI, SIZE[1] / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    _title(figure, report)
    left = _left(report)
    _costs(figure.add_axes((left, 0.47, 0.58 - left, 0.33)), report)
    if report.rows:
        _quality(figure.add_axes((0.68, 0.47, 0.27, 0.33)), report)
    _models(figure.add_axes((left, 0.10, 0.95 - left, 0.24)), report)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def bars(report: Report) -> list[tuple[str, float | None]]:
    """Label and cost (nano-dollars) of each way to route, in the order in which they are shown."""
    if report.rows:
        return [(row.label, row.cost_nano) for row in report.rows]
    return [(ROUTED, report.totals.cost_nano), ("always the strongest (estimated)", report.baseline_nano)]


def _left(report: Report) -> float:
    """Where the panels begin, as a share of the width: beside the longest label, which is cut where it would fill
    more than a third."""
    longest = max(len(label) for label in (*(label for label, _ in bars(report)), *_names(report)))
    return 0.02 + _CHAR_WIDTH * longest


def _names(report: Report) -> list[str]:
    names = [model.name for model in report.models]
    return [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..." for name in names]


def _title(figure: Figure, report: Report) -> None:
    figure.text(0.02, 0.94, headline(report), fontsize=16, fontweight="bold", color=_INK, va="center")
    kind = "live" if report.live else "scripted"
    figure.text(
        0.02,
        0.89,
        f"{report.totals.requests} prompts, {len(report.models)} {kind} models, policy “{report.policy}”, "
        f"{len(report.verifiers)} verifiers" + ("" if report.live else ". Shows the mechanism, not a promise."),
        fontsize=12,
        color=_SOFT,
        va="center",
    )


def _panel(axes: Axes, title: str, labels: list[str], *, show: bool = True) -> None:
    axes.set_title(title, loc="left", fontsize=12.5, fontweight="bold", color=_INK, pad=10)
    axes.set_yticks(range(len(labels)), labels if show else [""] * len(labels), fontsize=11.5, color=_INK)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.set_xticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == ROUTED else "normal")


def _costs(axes: Axes, report: Report) -> None:
    shown = bars(report)
    _panel(axes, "Cost of all prompts", [label for label, _ in shown])
    most = max((cost or 0 for _, cost in shown), default=0) or 1
    for y, (label, cost) in enumerate(shown):
        axes.barh(y, cost or 0, height=0.62, color=_BLUE if label == ROUTED else _PALE)
        end = (cost or 0) + most * 0.015
        axes.text(end, y, usd(cost, 4), va="center", fontsize=11.5, color=_INK, fontweight=_weight(label))
    axes.set_xlim(0, most * 1.2)


def _quality(axes: Axes, report: Report) -> None:
    _panel(axes, "Good answers", [row.label for row in report.rows], show=False)
    for y, row in enumerate(report.rows):
        colour = _BLUE if row.label == ROUTED else _SOFT
        axes.plot([0, 1], [y, y], color=_PALE, linewidth=1, zorder=1)
        low, high = row.good_range
        axes.plot([low, high], [y, y], color=colour, linewidth=4, alpha=0.45, solid_capstyle="round", zorder=2)
        axes.plot([row.good], [y], marker="o", markersize=10, color=colour, zorder=3)
        axes.text(1.05, y, percent(row.good), va="center", fontsize=11.5, color=_INK, fontweight=_weight(row.label))
    axes.set_xlim(-0.03, 1.2)
    axes.set_xticks([0, 0.5, 1], [percent(0), percent(0.5), percent(1)], fontsize=10, color=_SOFT)


def _models(axes: Axes, report: Report) -> None:
    names = [model.name for model in report.models]
    _panel(axes, "Which model answered, and how the request came to it", _names(report))
    colours = way_colours(report)
    left = dict.fromkeys(names, 0)
    for way, colour in colours.items():
        for y, name in enumerate(names):
            count = report.totals.ways.get(name, {}).get(way, 0)
            if not count:
                continue
            axes.barh(y, count, left=left[name], height=0.66, color=colour, edgecolor="white", linewidth=1.5)
            axes.text(left[name] + count / 2, y, str(count), ha="center", va="center", fontsize=11, color=_on(colour))
            left[name] += count
    axes.set_xlim(0, max(*left.values(), 1) * 1.02)
    handles = [axes.barh(0, 0, color=colour, label=way.replace("_", " ")) for way, colour in colours.items()]
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(-0.006, -0.04),
        ncols=len(handles),
        frameon=False,
        borderpad=0,
        fontsize=11,
        labelcolor=_INK,
        handlelength=1,
        handleheight=1,
        columnspacing=1.6,
    )


def way_colours(report: Report) -> dict[str, str]:
    """The colour of each way in which a request came to its last model: decisions first, then climbs and failures."""
    met = {way for ways in report.totals.ways.values() for way in ways}
    reasons = [reason.value for reason in Reason if reason.value in met]
    colours = {way: _WAYS[i % len(_WAYS)] for i, way in enumerate(reasons)}
    return colours | {way: colour for way, colour in ((ESCALATED, _AMBER), (FALLBACK, _VERMILION)) if way in met}


def _on(colour: str) -> str:
    return _INK if colour in {_SKY, _AMBER} else "white"


def _weight(label: str) -> str:
    return "bold" if label == ROUTED else "normal"
