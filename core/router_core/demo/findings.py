"""What the figures of a report say, in sentences that follow the figures whichever way they fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router_core.demo.tally import CLIMB, RANDOM, ROUTED, STRONGEST, WEAKEST, Outcome, Report, Row, mixed_share
from router_core.records import AttemptOutcome
from router_core.types import NANO

SCRIPTED_NOTE = (
    "Models, answers, marks and prices are scripted: the figures show how routing works, they are not a promise of "
    "savings. The large model's answers were written to be right; it is the yardstick."
)
LIVE_NOTE = (
    "Live models answered; nobody marked their answers, so nothing is said about quality. The cost of always the "
    "strongest is an estimate: the tokens of the answers that were served, at its price."
)

CHANCE = 0.05
"""A choice counts as better than chance if at most this share of random ones does as well."""


def usd(nano: float | None, places: int = 6) -> str:
    """Nano-dollars as US dollars to read."""
    return "unknown" if nano is None else f"${nano / NANO:,.{places}f}"


def percent(share: float) -> str:
    """A share of 0..1 to read."""
    return f"{100 * share:.0f}%"


def headline(report: Report) -> str:
    """The report in one line: the cost against always the strongest and, where there are marks, the good answers."""
    cost, baseline = report.totals.cost_nano, report.baseline_nano
    about = "about " if report.live else ""
    if cost is None or not baseline:
        line = f"{report.totals.requests} requests routed at a cost of {usd(cost, 4)}"
    elif cost <= baseline:
        line = f"Routed: {about}{percent(1 - cost / baseline)} cheaper than always the strongest"
    else:
        line = f"Routed: {about}{percent(cost / baseline - 1)} dearer than always the strongest"
    strongest = next((row.good for row in report.rows if row.label == STRONGEST), None)
    if report.totals.good is None or strongest is None:
        return line
    return (
        f"{line}, {percent(report.totals.good / report.totals.requests)} good answers instead of {percent(strongest)}"
    )


def findings(report: Report) -> list[str]:
    """Sentences on cost, quality, what the verifiers caught and missed, and whether chance would have done as well."""
    totals = report.totals
    would = "would cost about" if report.live else "costs"
    cost = f"{totals.requests} requests took {totals.calls} calls and cost {usd(totals.cost_nano, 4)}"
    said = [
        f"{cost}; always the strongest model {would} {usd(report.baseline_nano, 4)}.",
        *([] if report.live else [_verified(report.routed)]),
        *_against_chance(report.rows),
    ]
    unanswered = [outcome.error for outcome in report.routed if outcome.error]
    if unanswered:
        said.append(f"{len(unanswered)} requests got no answer. The first error: {unanswered[0]}")
    return said


def _verified(outcomes: Sequence[Outcome]) -> str:
    rejected = [
        outcome.prompt.answers[attempt.model].fault is not None
        for outcome in outcomes
        for attempt in outcome.receipt.attempts
        if attempt.outcome is AttemptOutcome.REJECTED
    ]
    served = sum(outcome.good is False for outcome in outcomes if outcome.text is not None)
    return (
        f"The verifiers rejected {len(rejected)} drafts, of which {sum(rejected)} were bad and {rejected.count(False)} "
        f"good. {served} bad answers were served: fluent and wrong, which no check of the form sees."
    )


def _against_chance(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    by_label = {row.label: row for row in rows}
    routed, chance = by_label[ROUTED], by_label[RANDOM]
    climbed, weakest = by_label[CLIMB], by_label[WEAKEST]
    coin = mixed_share(climbed, by_label[STRONGEST], routed.cost_nano)
    low, high = chance.good_range
    as_good = sum((run.good or 0) / run.requests >= routed.good for run in chance.runs)
    start = (
        f"Is the choice of the start better than chance? The router's own starts, dealt out at random, cost "
        f"{usd(chance.cost_nano, 4)} and give {percent(chance.good)} good answers ({percent(low)} to {percent(high)}); "
        f"{as_good} of {len(chance.runs)} deals were as good as the router with {percent(routed.good)}, or better."
    )
    money = (
        f"For the same money, a coin that starts each request with the cheapest or the strongest model gives "
        f"{percent(coin)}, with the same verifiers."
    )
    if as_good > CHANCE * len(chance.runs):
        dearer = ", and it costs more" if routed.cost_nano > chance.cost_nano else ""
        start += f" So on these prompts it is not clearly better than chance{dearer}."
    if routed.good <= coin:
        money += " So on these prompts the router is no better than that coin."
    climb = (
        f"Checking and climbing alone, with the cheapest model as every start, give {percent(climbed.good)} good "
        f"answers for {usd(climbed.cost_nano, 4)}; the weakest model unchecked gives {percent(weakest.good)}."
    )
    return [climb, start, money]


def why(outcome: Outcome) -> str:
    """The reason of the decision, with its score; the name of the policy, which stands above, is left out."""
    decision = outcome.receipt.decision
    if decision is None:
        return "-"
    reason = decision.reason.value.removeprefix(f"{decision.policy}_").replace("_", " ")
    return reason if decision.score is None else f"{reason} {decision.score:.2f}"


def counts(of: Mapping[str, int]) -> str:
    """Counts to read, the most frequent first: "abstention 3, empty 1"."""
    ordered = sorted(of.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in ordered) or "none"
