"""A report for machines: JSON values. Money is US dollars as decimal strings, exact to the nano-dollar; null is
unknown.

``as_json`` has these keys:

- ``made_at``, ``since``, ``until``, ``first_at``, ``last_at``: moments (ISO 8601, UTC); null where there is none.
- ``total``: counts, see below.
- ``outcomes``, ``reasons``: requests by how they ended, decisions by why they start where they start.
- ``savings``: ``requests`` that could be compared, their ``cost_usd``, ``baseline_usd`` (the estimate), ``saved_usd``
  and ``saved_share``; the ``assumption`` in words; ``baselines``, the same by baseline model; ``left_out``, requests by
  why they are not in it.
- ``prediction``: ``requests``, ``predicted_usd``, ``cost_usd``, their ``ratio``, ``not_above_share`` and
  ``within_quarter_share``.
- ``by``, ``groups``: the breakdown; each group has its ``name`` (null: it has none) and counts. ``groups_overlap`` says
  that they need not add up to the total, ``rest`` has the counts beyond the groups that are told apart, or null.
- ``days``: for each day (UTC) on which a request ended ``day``, ``requests``, ``cost_usd``, and ``models``, the cost of
  each.
- ``budgets``: ``name``, ``unit`` ("nano" is dollars), ``limit``, ``per``, ``scope``, ``on_exceeded``, ``resets_at``,
  and ``purses`` with ``key``, ``window``, ``limit``, ``spent``, ``held``, ``left``. Amounts are dollars or tokens.

Counts have ``requests``, ``called`` (requests that called a model), ``answered``, ``calls``, ``cost_usd`` (the known
costs; null if none is known), ``unknown_costs`` (calls without a known cost), the kinds of tokens, ``usage_estimated``
and ``usage_unknown`` (calls), ``cached`` and ``scripted`` (answers that cost nothing), ``escalated`` and ``fell_back``
(requests) with their ``escalation_rate`` and ``fallback_rate`` of those called, ``escalations``, ``fallbacks`` and
``unverified`` (calls by code), and ``latency`` and ``first_token``: ``count``, ``mean_s``, ``p50_s``, ``p90_s``,
``p99_s``. Latency is that of answered requests, in groups of models and providers that of calls that gave an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from router_core.report.budgets import BudgetStatus
from router_core.report.counts import KINDS, Counts, Saving, Spread
from router_core.report.figures import Figures, Prediction
from router_core.report.words import PERCENTILES, ratio
from router_core.types import Json, Unit, to_usd

ASSUMPTION = (
    "an estimate: what the strongest model would have cost for the tokens of the answers that were served; requests "
    "without an answer count as spent"
)


def as_json(
    figures: Figures,
    budgets: tuple[BudgetStatus, ...],
    *,
    now: float,
    since: float | None = None,
    until: float | None = None,
) -> dict[str, Json]:
    """The report; times are unix seconds."""
    return {
        "made_at": moment(now),
        "since": moment(since),
        "until": moment(until),
        "first_at": moment(None if figures.first_us is None else figures.first_us / 1e6),
        "last_at": moment(None if figures.last_us is None else figures.last_us / 1e6),
        "total": counts(figures.total),
        "outcomes": dict(figures.outcomes),
        "reasons": dict(figures.reasons),
        "savings": {
            **_saving(figures.total.saving),
            "assumption": ASSUMPTION,
            "baselines": {name: _saving(saving) for name, saving in sorted(figures.baselines.items())},
            "left_out": dict(figures.left_out),
        },
        "prediction": _prediction(figures.prediction),
        "by": figures.by,
        "groups": [{"name": group.name, **counts(group.counts)} for group in figures.groups],
        "rest": None if figures.rest is None else counts(figures.rest),
        "groups_overlap": figures.by == "tag",
        "days": [
            {
                "day": day.isoformat(),
                "requests": of.requests,
                "cost_usd": dollars(sum(of.spent.values())),
                "models": {model: dollars(nano) for model, nano in of.spent.items()},
            }
            for day, of in figures.days.items()
        ],
        "budgets": [_budget(status) for status in budgets],
    }


def counts(of: Counts) -> dict[str, Json]:
    """Counts of requests or calls."""
    return {
        "requests": of.requests,
        "called": of.called,
        "answered": of.answered,
        "calls": of.attempts,
        "cost_usd": dollars(of.spent_nano),
        "unknown_costs": of.unknown_costs,
        **dict(zip(KINDS, of.tokens, strict=True)),
        "usage_estimated": of.estimated,
        "usage_unknown": of.without_usage,
        "cached": of.cached,
        "scripted": of.scripted,
        "escalated": of.escalated,
        "escalation_rate": ratio(of.escalated, of.called),
        "fell_back": of.fell_back,
        "fallback_rate": ratio(of.fell_back, of.called),
        "escalations": dict(of.escalations),
        "fallbacks": dict(of.fallbacks),
        "unverified": dict(of.unverified),
        "latency": _spread(of.latency),
        "first_token": _spread(of.first_token),
    }


def dollars(nano: int | None) -> str | None:
    """Nano-dollars as exact US dollars."""
    amount = to_usd(nano)
    return None if amount is None else f"{amount:f}"


def moment(of: float | None) -> str | None:
    """A moment (unix seconds) as ISO 8601 in UTC; None for none, and for what no calendar has."""
    if of is None:
        return None
    try:
        return datetime.fromtimestamp(of, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return None


def _spread(of: Spread) -> dict[str, Json]:
    named = {f"p{q * 100:.0f}_s": of.quantile(q) for q in PERCENTILES}
    return {"count": of.count, "mean_s": of.mean_s, **named}


def _saving(of: Saving) -> dict[str, Json]:
    return {
        "requests": of.requests,
        "cost_usd": dollars(of.cost_nano),
        "baseline_usd": dollars(of.baseline_nano),
        "saved_usd": dollars(of.saved_nano),
        "saved_share": of.share,
    }


def _prediction(of: Prediction) -> dict[str, Json]:
    return {
        "requests": of.requests,
        "predicted_usd": dollars(of.predicted_nano),
        "cost_usd": dollars(of.cost_nano),
        "ratio": of.ratio,
        "not_above_share": ratio(of.not_above, of.requests),
        "within_quarter_share": ratio(of.near, of.requests),
    }


def _budget(status: BudgetStatus) -> Mapping[str, Json]:
    budget = status.budget
    return {
        "name": budget.name,
        "unit": budget.unit,
        "limit": _amount(budget.unit, budget.limit),
        "per": budget.per,
        "scope": budget.scope,
        "on_exceeded": budget.on_exceeded,
        "resets_at": None if status.resets_at is None else status.resets_at.isoformat(),
        "purses": [
            {
                "key": purse.key,
                "window": purse.window,
                **{name: _amount(budget.unit, getattr(purse, name)) for name in ("limit", "spent", "held", "left")},
            }
            for purse in status.purses
        ],
    }


def _amount(unit: Unit, units: int) -> Json:
    return dollars(units) if unit == "nano" else units
