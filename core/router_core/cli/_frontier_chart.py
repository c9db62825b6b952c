"""The chart of ``llm-router eval``: quality over cost of what was measured, of chance and of who knows all outcomes.

matplotlib (extra ``charts``) is drawn without a display. The colours are those of Okabe and Ito
(https://jfly.uni-koeln.de/color/), which people with any kind of colour vision can tell apart; so can the dashes be.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from router_core.cli._contenders import LENGTH, ORACLE, RANDOM
from router_core.errors import MissingExtra
from router_core.learning.bench import Bench
from router_core.learning.evaluation import Result
from router_core.learning.frontier import Frontier
from router_core.learning.metrics import Floats, hull

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (1200, 700)
"""Pixels."""

_DPI = 100
_INK, _SOFT, _PALE = "#1c2430", "#5b6675", "#c3cad3"
_CONTENDERS = (
    ("#0072B2", "-"),
    ("#009E73", (0, (6, 2))),
    ("#D55E00", (0, (3, 1, 1, 1))),
    ("#CC79A7", (0, (1, 1))),
)
"""Colours and dashes of what is measured, in its order."""
_BASELINES = {LENGTH: ("#E69F00", (0, (5, 2, 1, 2))), RANDOM: (_SOFT, (0, (2, 3))), ORACLE: (_INK, "-")}
_WIDE = 20
"""From this ratio of the costs on, their axis is logarithmic."""
_SAMPLES = 400
_REQUESTS = 1000
"""Whose cost is drawn: that of one is too small a number to read."""
_CHAR_WIDTH = 0.0075
"""Of the names' font, as a share of the width of the panel."""
_LONGEST = 34
"""Characters of a label."""


def draw(bench: Bench, results: Sequence[Result], contenders: int) -> bytes:
    """The chart as a PNG. The first ``contenders`` of the results are what is measured, the others baselines.

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
    figure.text(
        0.07, 0.945, _headline(bench, results[:contenders]), fontsize=16, fontweight="bold", color=_INK, va="center"
    )
    figure.text(0.07, 0.895, _subtitle(bench), fontsize=12, color=_SOFT, va="center")
    axes = figure.add_axes((0.07, 0.11, 0.90, 0.73))
    _frame(axes, bench)
    for number, result in enumerate(results):
        colour, dashes = (
            _CONTENDERS[number % len(_CONTENDERS)] if number < contenders else _BASELINES.get(result.name, (_SOFT, "-"))
        )
        width = 3.0 if number < contenders else 1.2 if result.name == ORACLE else 2.0
        cost, quality = _line(bench, result.frontier)
        label = f"{_short(result.name)}  {_main(bench, result)}"
        axes.plot(
            _requests(bench) * cost,
            quality,
            color=colour,
            linestyle=dashes,
            linewidth=width,
            label=label,
            zorder=4 - number / 100,
        )
    _models(axes, bench)
    _scale(axes, bench)
    axes.legend(loc="lower right", frameon=False, fontsize=11.5, labelcolor=_INK, handlelength=3.2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _headline(bench: Bench, measured: Sequence[Result]) -> str:
    """What the cheapest of them costs at 95 % of the quality."""
    costs = [result.measures["cost_at_95"].value for result in measured]
    at = int(np.argmin(np.nan_to_num(costs, nan=np.inf)))
    result, cost = measured[at], costs[at]
    whose = "the strong model" if bench.is_pair else "the best model"
    if np.isnan(cost):
        return f"{_short(result.name)}: 95 % of the quality of {whose} is not reached"
    of = "its cost" if bench.in_dollars else "the calls"
    return f"{_short(result.name)}: 95 % of the quality of {whose} at {100 * cost:.0f} % of {of}"


def _subtitle(bench: Bench) -> str:
    if bench.is_pair:
        return f"{len(bench.examples):,} examples, {_short(bench.models[0])} and {_short(bench.models[1])}"
    return f"{len(bench.examples):,} examples, {len(bench.models)} models; a line mixes settings at random"


def _main(bench: Bench, result: Result) -> str:
    name = "apgr" if bench.is_pair else "aiq"
    return f"{name.upper()} {result.measures[name].value:.3f}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."


def _frame(axes: Axes, bench: Bench) -> None:
    axes.set_xlabel("Cost of 1,000 requests, US dollars" if bench.in_dollars else "Share of strong calls", fontsize=12)
    axes.set_ylabel("Mean quality", fontsize=12)
    axes.tick_params(labelsize=11, labelcolor=_SOFT, length=0, which="both")
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(_INK)
    axes.grid(color=_PALE, linewidth=0.6, alpha=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_PALE)


def _scale(axes: Axes, bench: Bench) -> None:
    """The axis of costs, with room at its right for the names of the models there."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator  # noqa: PLC0415 - an optional extra

    room = _CHAR_WIDTH * max(len(_short(bench.models[column])) for column in _named(bench))
    if not _is_wide(bench):
        low, high = axes.get_xlim()
        axes.set_xlim(low, high + room * (high - low))
        return
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * (high / low) ** room)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _is_wide(bench: Bench) -> bool:
    costs = [point.cost for point in bench.points]
    return not bench.is_pair and min(costs) > 0 and max(costs) / min(costs) > _WIDE


def _named(bench: Bench) -> set[int]:
    """The models that no mixture beats, and the best."""
    return {0, 1} if bench.is_pair else {*bench.mixture.tolist(), bench.best}


def _requests(bench: Bench) -> int:
    """How many requests a cost on the axis is of."""
    return _REQUESTS if bench.in_dollars else 1


def _line(bench: Bench, frontier: Frontier) -> tuple[Floats, Floats]:
    """What is drawn: the curve itself of two models, of more the best mixtures of settings, on to the best model's
    cost. It is sampled, for a mixture is no straight line on a logarithmic axis."""
    if bench.is_pair:
        return frontier.cost, frontier.quality
    corners = hull(frontier.cost, frontier.quality)
    cost, quality = frontier.cost[corners], frontier.quality[corners]
    last = max(float(cost[-1]), bench.points[bench.best].cost)
    at = (np.geomspace if cost[0] > 0 else np.linspace)(cost[0], last, _SAMPLES)
    return at, np.interp(at, cost, quality)


def _models(axes: Axes, bench: Bench) -> None:
    """Each model as a point; those that matter have their names at it."""
    named = _named(bench)
    for column, (name, point) in enumerate(zip(bench.models, bench.points, strict=True)):
        at = (_requests(bench) * point.cost, point.quality)
        colour, size = (_INK, 8) if column in named else (_PALE, 5)
        axes.plot(*at, marker="o", linestyle="none", color=colour, markersize=size, zorder=6)
        if column in named:
            axes.annotate(
                _short(name), at, xytext=(9, -14), textcoords="offset points", fontsize=10.5, color=_INK, zorder=7
            )
