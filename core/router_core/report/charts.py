"""The geometry of the page's charts, in units of their SVG view boxes; the template draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple

from router_core.report.counts import Spread
from router_core.report.figures import Figures
from router_core.report.words import PERCENTILES, UNKNOWN, seconds, usd

HEIGHT, WIDE, NARROW = 240, 1120, 520
"""Of a chart with axes: its height, and its width in the whole and in half of the page."""

LEFT, TOP, BOTTOM = 64, 12, 26
"""Margins: for the amounts, above, and for the dates."""

COLOURS = 7
"""Models that get a colour of their own; the rest share one."""

_PLOT_H = HEIGHT - TOP - BOTTOM
_MAX_BARS = 60
_MAX_YEARS = 400
_BINS = 32
_GAP = 0.2
_DATE_W, _TIME_W = 80, 52
_TICKS = 4
_NICE = (1, 2, 5, 10)


class Box(NamedTuple):
    """A rectangle: its place and size, the number of its colour, and what it stands for."""

    x: float
    y: float
    width: float
    height: float
    colour: int
    title: str


class Mark(NamedTuple):
    """A place on an axis and its label."""

    at: float
    label: str


class Chart(NamedTuple):
    """Boxes between two axes. ``marks`` are places of interest on the horizontal one, which may have a ``unit``."""

    width: int
    boxes: list[Box]
    across: list[Mark]
    up: list[Mark]
    marks: list[Mark]
    unit: str = ""


class Strip(NamedTuple):
    """A bar in full width that shows shares: of each its percentage, where it begins, its colour and words."""

    label: str
    parts: list[Box]


def colours(figures: Figures) -> dict[str, int]:
    """The colour of each model, the dearest first; those beyond the palette share the last."""
    return {model: min(number, COLOURS) for number, model in enumerate(figures.models)}


def spend(figures: Figures) -> Chart | None:
    """Known cost by day, week, month or year, stacked by model; None where nothing was spent."""
    unit, periods = _periods(figures)
    most = max((sum(of.values()) for _, of in periods), default=0)
    if not most:
        return None
    palette, rung = colours(figures), _step(most)
    rungs = -(-most // rung)
    scale, step = rung * rungs, (WIDE - LEFT) / len(periods)
    boxes, across = [], []
    for number, (label, of) in enumerate(periods):
        x, top = LEFT + number * step, float(TOP + _PLOT_H)
        for model in palette:
            if nano := of.get(model, 0):
                height = _PLOT_H * nano / scale
                top -= height
                words = f"{label}, {model}: {usd(nano)}"
                boxes.append(Box(x + step * _GAP / 2, top, step * (1 - _GAP), height, palette[model], words))
        across.append(Mark(x + step / 2, label))
    up = [Mark(TOP + _PLOT_H * (1 - i / rungs), usd(rung * i)) for i in range(rungs + 1)]
    return Chart(WIDE, boxes, _thinned(across, WIDE, _DATE_W), up, [], unit)


def latency(spread: Spread) -> Chart | None:
    """How many requests took how long, on a logarithmic axis, with the percentiles; None of nothing."""
    if not spread.count:
        return None
    buckets = spread.buckets
    low, high = math.log10(buckets[0][0]), math.log10(buckets[-1][0])
    low, high = (low - 0.1, high + 0.1) if high - low < 0.2 else (low, high)  # noqa: PLR2004 - one duration has width too
    counts = [0] * _BINS
    for value, count in buckets:
        counts[min(int((math.log10(value) - low) / (high - low) * _BINS), _BINS - 1)] += count
    most, plot = max(counts), NARROW - LEFT
    step = plot / _BINS
    boxes = []
    for number, count in enumerate(counts):
        if count:
            height = _PLOT_H * count / most
            edges = [seconds(10 ** (low + (high - low) * (number + side) / _BINS)) for side in (0, 1)]
            words = f"{edges[0]} to {edges[1]}: {count:,} requests"
            boxes.append(Box(LEFT + number * step + 1, TOP + _PLOT_H - height, step - 2, height, 0, words))

    def place(value: float) -> float:
        return LEFT + plot * min(max((math.log10(value) - low) / (high - low), 0), 1)

    across = [
        Mark(place(value), seconds(value))
        for decade in range(math.floor(low), math.ceil(high) + 1)
        for value in (factor * 10.0**decade for factor in _NICE[:-1])
        if low <= math.log10(value) <= high
    ]
    marks = [Mark(place(max(spread.quantile(q) or 0, 1e-6)), f"p{q * 100:.0f}") for q in PERCENTILES]
    up = [Mark(TOP, f"{most:,}"), Mark(TOP + _PLOT_H, "0")]
    return Chart(NARROW, boxes, _thinned(across, NARROW, _TIME_W), up, marks)


def shares(figures: Figures, counted: Mapping[str, Mapping[str, int]]) -> list[Strip]:
    """Who had which part of what was counted: by label the amounts by model. Parts of nothing are left out."""
    palette = colours(figures)
    strips = []
    for label, of in counted.items():
        total = sum(of.values())
        parts, x = [], 0.0
        for model, colour in palette.items():
            if amount := of.get(model, 0):
                width = 100 * amount / total
                said = usd(amount) if label == "spend" else f"{amount:,}"
                parts.append(Box(x, 0, width, 1, colour, f"{model}: {said} ({width:.1f} %)"))
                x += width
        if parts:
            strips.append(Strip(label, parts))
    return strips


def _periods(figures: Figures) -> tuple[str, list[tuple[str, dict[str, int]]]]:
    """The unit of time that gives the most bars that can be told apart, and each period's label and cost by model; also
    those in which nothing was spent."""
    days = figures.days
    if not days:
        return UNKNOWN, []
    first, last = next(iter(days)), next(reversed(days))
    unit = next((unit for unit in _UNITS if _many(unit, first, last) <= _MAX_BARS), "year")
    periods: dict[str, dict[str, int]] = {}
    if (last - first).days <= _MAX_YEARS * 366:  # else only those that had requests: a clock was wrong
        day = first
        while day <= last:
            periods.setdefault(_label(unit, day), {})
            if day == date.max:
                break
            day += timedelta(days=1)
    for day, of in days.items():
        spent = periods.setdefault(_label(unit, day), {})
        for model, nano in of.spent.items():
            spent[model] = spent.get(model, 0) + nano
    return unit, list(periods.items())


_UNITS = {"day": 1, "week": 7, "month": 30, "year": 365}


def _many(unit: str, first: date, last: date) -> int:
    return (last - first).days // _UNITS[unit] + 1


def _label(unit: str, day: date) -> str:
    if unit == "week":
        return date.fromordinal(max(day.toordinal() - day.weekday(), 1)).isoformat()
    return day.isoformat()[: {"day": 10, "month": 7, "year": 4}[unit]]


def _step(most: int) -> int:
    """The least of 1, 2 and 5 times a power of ten that takes so few steps to an amount."""
    least = -(-most // _TICKS)
    power = int("1".ljust(len(str(least)), "0"))
    return next(factor * power for factor in _NICE if factor * power >= least)


def _thinned(marks: list[Mark], width: int, room: int) -> list[Mark]:
    """So few labels that they touch neither one another nor the edge."""
    every = max(-(-len(marks) * room // (width - LEFT)), 1)
    return [mark for mark in marks[::every] if mark.at <= width - room / 2]
