"""The chart of ``llm-router compare``: cost, quality and the models that answered, round by round.

matplotlib (extra ``charts``) is drawn without a display. The colours are those of Okabe and Ito
(https://jfly.uni-koeln.de/color/), which people with any kind of colour vision can tell apart.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from router_core.errors import MissingExtra
from router_core.types import NANO

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from router_core.cli._compare_runs import Compared

_SIZE, _DPI = (12.0, 4.6), 100
_TICKS = 16
_INK, _SOFT = "#1c2430", "#5b6675"
_BLUE, _AMBER = "#0072B2", "#E69F00"
_MODELS = ("#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2")


def draw(compared: Compared) -> bytes:
    """The chart as a PNG.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an optional extra
        from matplotlib.figure import Figure  # noqa: PLC0415 - the same
    except ImportError:
        raise MissingExtra("matplotlib", "charts") from None
    figure = Figure(figsize=_SIZE, dpi=_DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    cost, quality, models = figure.subplots(1, 3)
    _cost(cost, compared)
    _quality(quality, compared)
    _models(models, compared)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _panel(axes: Axes, title: str, compared: Compared) -> list[int]:
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=_INK)
    axes.set_xlabel("round", color=_SOFT)
    axes.tick_params(colors=_SOFT)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    rounds = list(range(1, len(compared.rounds) + 1))
    axes.set_xticks(rounds[:: 1 + len(rounds) // _TICKS])
    return rounds


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(-0.02, -0.14), fontsize=9)


def _cost(axes: Axes, compared: Compared) -> None:
    rounds = _panel(axes, "Cost of a round, US dollars", compared)
    answers = [(each.cost_nano or 0) / NANO for each in compared.rounds]
    audits = [(each.audits_nano or 0) / NANO for each in compared.rounds]
    axes.bar(rounds, answers, color=_BLUE, label="with the memory")
    axes.bar(rounds, audits, bottom=answers, color=_AMBER, label="its audits")
    without = (compared.without.cost_nano or 0) / NANO
    axes.axhline(without, color=_INK, linestyle="--", label="without")
    _legend(axes)


def _quality(axes: Axes, compared: Compared) -> None:
    rounds = _panel(axes, "Good answers, %", compared)
    axes.set_ylim(0, 105)
    marked = [(at, each) for at, each in zip(rounds, compared.rounds, strict=True) if each.good is not None]
    shares = [100 * (each.good or 0) / each.requests for _, each in marked]
    axes.plot([at for at, _ in marked], shares, marker="o", color=_BLUE, label="with the memory")
    if compared.without.good is not None:
        without = 100 * compared.without.good / compared.without.requests
        axes.axhline(without, color=_INK, linestyle="--", label="without")
    _legend(axes)


def _models(axes: Axes, compared: Compared) -> None:
    rounds = _panel(axes, "Answers by model", compared)
    names = sorted({name for each in compared.rounds for name in each.models})
    bottom = [0] * len(rounds)
    for at, name in enumerate(names):
        counts = [each.models.get(name, 0) for each in compared.rounds]
        axes.bar(rounds, counts, bottom=bottom, color=_MODELS[at % len(_MODELS)], label=name)
        bottom = [low + count for low, count in zip(bottom, counts, strict=True)]
    _legend(axes)
