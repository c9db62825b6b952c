"""A report in words: the facts that the terminal and the page both show, and how their numbers are written.

Money is rounded here, to be read; the machine form of a report has it exact. Names that come out of the ledger stand
here as they are: the terminal and the page make them harmless, each in its own way.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from router_core.purses import PurseStatus
from router_core.report.budgets import BudgetStatus
from router_core.report.counts import Counts, Spread
from router_core.report.figures import OF_CALLS, Figures, Group, Prediction
from router_core.types import Unit, to_usd

UNKNOWN = "unknown"
PERCENTILES = (0.5, 0.9, 0.99)
TAGS_OVERLAP = (
    "A request with several tags counts in each of them, so that the rows can add up to more than the total. Latency "
    "is of answered requests."
)

_CENTS = Decimal("0.01")


class Fact(NamedTuple):
    """One figure: what it is, its value, and what has to be known of it."""

    label: str
    value: str
    note: str = ""


def usd(nano: int | None) -> str:
    """Nano-dollars as US dollars: with cents from a dollar on, with three digits below."""
    amount = to_usd(nano)
    if amount is None:
        return UNKNOWN
    sign, size = "-" if amount < 0 else "", abs(amount)
    if not size:
        return "$0"
    if size >= 1:
        return f"{sign}${size.quantize(_CENTS):,f}"
    digits = f"{round(size, min(2 - size.adjusted(), 9)):f}".rstrip("0")
    return f"{sign}${digits.ljust(len('0.00'), '0')}"


def in_unit(unit: Unit, units: int) -> str:
    """So much of a budget."""
    return usd(units) if unit == "nano" else f"{units:,} tokens"


def percent(share: float | None) -> str:
    """A share of 0..1."""
    return "-" if share is None else f"{100 * share:.1f} %"


def ratio(part: float, whole: float) -> float | None:
    """A part as a share of 0..1; None of nothing."""
    return part / whole if whole else None


def seconds(duration: float | None) -> str:
    """A duration with three digits, in milliseconds below a second."""
    if duration is None:
        return "-"
    return f"{1000 * duration:.3g} ms" if duration < 0.9995 else f"{float(f'{duration:.3g}'):,g} s"  # noqa: PLR2004


def day_and_time(moment: float) -> str:
    """A moment (unix seconds) in UTC; what no calendar has is said to be so."""
    try:
        return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, OSError, ValueError):
        return "beyond all calendars"


def codes(counted: Mapping[str, int]) -> str:
    """Counts by code, the most frequent first: "empty 3, wording 1"."""
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{code} {count:,}" for code, count in ordered)


def span(figures: Figures) -> str:
    """The time of the requests in words."""
    if figures.first_us is None or figures.last_us is None:
        return "no requests"
    return f"{day_and_time(figures.first_us / 1e6)} to {day_and_time(figures.last_us / 1e6)}"


def spent(counts: Counts) -> str:
    """The known cost, with a star if that is not all."""
    return usd(counts.spent_nano) + " *" * (counts.unknown_costs > 0)


def unknown(counts: Counts) -> str:
    """Of how many calls the cost is not known, which ``spent`` marks with a star; nothing if it is of all."""
    if not counts.unknown_costs:
        return ""
    return f"unknown for {counts.unknown_costs:,} of {counts.attempts:,} calls, which are not in it"


def group_name(group: Group, by: str | None) -> str:
    """The name of a line, also of what has none."""
    if group.name is not None:
        return group.name or "(empty)"
    return "(no decision)" if by == "policy" else f"(no {(by or '').replace('_', ' ')})"


def group_note(figures: Figures) -> str:
    """What has to be known to read the breakdown."""
    if figures.by in OF_CALLS:
        said = (
            "Each call counts once, where it was made: a rejected draft is spend of the model that wrote it. Requests "
            "are those in which it was tried, escalated those in which its answer was rejected. Latency is that of its "
            "answers."
        )
    else:
        said = TAGS_OVERLAP if figures.by == "tag" else "The rows add up to the total. Latency is of answered requests."
    if figures.total.unknown_costs:
        said += f" * The cost is {unknown(figures.total)}."
    if figures.rest is not None:
        said += f" Only the first {len(figures.groups):,} are told apart; ask for a shorter time to see the others."
    return said


def facts(figures: Figures) -> list[Fact]:
    """What a report says before its tables. Facts about what never happened are left out."""
    total = figures.total
    found = [
        Fact("Requests", f"{total.requests:,}", codes(figures.outcomes)),
        Fact("Calls of models", f"{total.attempts:,}", _free(total)),
        Fact("Spend", usd(total.spent_nano), unknown(total) or "every cost is known"),
        _saving(figures),
        Fact("Escalated", *_rate(total.escalated, total.called, "answers rejected", total.escalations)),
        Fact("Fell back", *_rate(total.fell_back, total.called, "calls failed", total.fallbacks)),
    ]
    if total.unverified:
        found.append(
            Fact("Unverified", f"{total.unverified.total():,}", f"served all the same: {codes(total.unverified)}")
        )
    found.append(Fact("Latency", _percentiles(total.latency), "p50, p90, p99 of answered requests, within 2 %"))
    if total.first_token.count:
        found.append(Fact("First token", _percentiles(total.first_token), "p50, p90, p99 of calls that were streamed"))
    found += [_tokens(total), _prediction(figures.prediction)]
    if figures.reasons:
        found.append(Fact("Starts", f"{figures.reasons.total():,}", f"decisions, by reason: {codes(figures.reasons)}"))
    return found


def budget_terms(status: BudgetStatus) -> str:
    """What a budget limits, in words."""
    budget = status.budget
    per = "in total" if budget.per == "total" else f"a {budget.per}"
    of = "" if budget.scope == "all" else f" for {budget.scope}"
    return f"{in_unit(budget.unit, budget.limit)} {per}{of}, {budget.on_exceeded} when exceeded"


def budget_resets(status: BudgetStatus) -> str:
    """When the next period begins."""
    if status.resets_at is None:
        return "each call has its own" if status.budget.per == "call" else "never resets"
    return f"resets {status.resets_at:%Y-%m-%d %H:%M} {status.budget.timezone}"


def purse_name(purse: PurseStatus) -> str:
    """Whose purse it is."""
    return purse.key or "all"


def _free(total: Counts) -> str:
    kinds = ((total.cached, "answers out of caches"), (total.scripted, "scripted answers"))
    said = [f"{count:,} {what}, which cost nothing" for count, what in kinds if count]
    refused = total.requests - total.called
    return "; ".join([*said, *([f"{refused:,} requests called no model"] if refused else [])])


def _saving(figures: Figures) -> Fact:
    saving = figures.total.saving
    left_out = f"Left out: {codes(figures.left_out)}." if figures.left_out else ""
    if saving.saved_nano is None:
        return Fact("Saved", UNKNOWN, left_out or "no request to compare")
    names = ", ".join(name or "unnamed" for name in sorted(figures.baselines))
    note = (
        f"an estimate: {saving.requests:,} requests cost {usd(saving.cost_nano)}; always the strongest model ({names}) "
        f"would have cost {usd(saving.baseline_nano)}, if it had used the tokens of the answers that were served. "
        f"Rejected drafts and requests without an answer count as spent. {left_out}"
    )
    share = "" if saving.share is None else f" ({percent(saving.share)})"
    return Fact("Saved", f"{usd(saving.saved_nano)}{share}", note.rstrip())


def _rate(happened: int, of: int, what: str, counted: Mapping[str, int]) -> tuple[str, str]:
    said = f"{happened:,} of {of:,} requests that called a model"
    return percent(ratio(happened, of)), f"{said}; {what}: {codes(counted)}" if counted else said


def _percentiles(spread: Spread) -> str:
    return " / ".join(seconds(spread.quantile(q)) for q in PERCENTILES) if spread.count else "-"


def _tokens(total: Counts) -> Fact:
    parts = (
        ("read from cache", "cache_read_tokens"),
        ("written to cache", "cache_write_tokens"),
        ("reasoning", "reasoning_tokens"),
        ("audio in", "input_audio_tokens"),
        ("audio out", "output_audio_tokens"),
    )
    said = [f"{total.count_of(kind):,} {word}" for word, kind in parts if total.count_of(kind)]
    said += [f"usage estimated for {total.estimated:,} of {total.attempts:,} calls"] if total.estimated else []
    said += [f"usage unknown for {total.without_usage:,} of {total.attempts:,} calls"] if total.without_usage else []
    value = f"{total.count_of('input_tokens'):,} in, {total.count_of('output_tokens'):,} out"
    return Fact("Tokens", value, "; ".join(said))


def _prediction(prediction: Prediction) -> Fact:
    if not prediction.requests:
        return Fact("Predicted cost", UNKNOWN, "no answered request has both a predicted and a known cost")
    times = "" if prediction.ratio is None else f", {prediction.ratio:.3g} times that,"
    return Fact(
        "Predicted cost",
        usd(prediction.predicted_nano),
        f"for the first models alone; in truth {usd(prediction.cost_nano)}{times} over {prediction.requests:,} "
        f"answered requests. {percent(prediction.not_above / prediction.requests)} of them cost no more than that, "
        f"{percent(prediction.near / prediction.requests)} were within a quarter of it",
    )
