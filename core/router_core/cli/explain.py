"""``llm-router explain``: a decision and what budgets would say to it, shown before any money is spent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from router_core.budget import overlaid
from router_core.cli._preview import Preview, previewed
from router_core.cli._show import feature, harmless, money, number, plain_table
from router_core.cli._store import ledger_of, opened_if_there
from router_core.errors import MissingExtra, StoreError
from router_core.router import Router
from router_core.types import in_words, to_usd

if TYPE_CHECKING:
    from router_core.options import CallOptions
    from router_core.records import Decision
    from router_core.types import Json, Unit


def show_decision(path: Path, messages: Sequence[Mapping[str, Any]], options: CallOptions, *, as_json: bool) -> None:
    """Show the decision for a request as text or as JSON."""
    router = Router.from_config(path)
    decision = router.explain(messages, **options)
    preview: Preview | str | None
    try:
        preview = _preview(path, router, messages, options, decision)
    except (StoreError, MissingExtra) as error:
        preview = str(error)
    if as_json:
        typer.echo(json.dumps({**_as_json(decision), "budgets": _budgets_as_json(preview)}, indent=2))
        return
    console = Console()
    console.print(_summary(decision))
    console.print()
    console.print(_table(decision))
    for refusal in decision.refusals:
        console.print(Text(f"Refused: {refusal}", style="yellow"))
    if isinstance(preview, str):
        console.print(Text(f"\nBudgets: unknown, {preview}", style="yellow"))
    elif preview is not None:
        _show_budgets(console, preview)
    console.print("\nCosts and qualities are predictions. No model was called.", style="dim", highlight=False)


def _preview(
    path: Path, router: Router, messages: Sequence[Mapping[str, Any]], options: CallOptions, decision: Decision
) -> Preview | None:
    """What budgets would say; None where nothing limits the router."""
    ledger = ledger_of(path)
    if ledger is None:
        return None
    with opened_if_there(None, path) as store:
        budgets = overlaid(ledger.given, {} if store is None else store.budgets())
        # Each call is a period of its own: those that were before are nothing to this one.
        standings = [
            standing
            for budget in budgets
            if store is not None and budget.per != "call"
            for standing in store.standings(budget.name)
        ]
    if not budgets:
        return None
    return previewed(router, messages, options, decision, budgets=budgets, standings=standings)


def _summary(decision: Decision) -> Table:
    numbers = "".join(
        f", {name} {value:.3g}"
        for name, value in (("score", decision.score), ("confidence", decision.confidence))
        if value is not None
    )
    table = Table.grid(padding=(0, 2))
    table.add_row(Text("Start", style="bold"), Text(decision.start, style="bold green"))
    table.add_row(Text("Reason", style="bold"), Text(f"{decision.reason.value} (policy {decision.policy}{numbers})"))
    for name, value in decision.features.items():
        table.add_row(Text(name.capitalize().replace("_", " "), style="bold"), Text(feature(value)))
    return table


def _table(decision: Decision) -> Table:
    table = plain_table("Model", "Role", "Quality", "Cost", "Latency", numeric={"Quality", "Cost", "Latency"})
    for prediction in decision.predictions:
        table.add_row(
            Text(prediction.model),
            Text(_role(decision, prediction.model)),
            number(prediction.quality),
            money(prediction.cost_usd),
            number(prediction.latency_s, " s"),
            style="bold green" if prediction.model == decision.start else None,
        )
    return table


def _role(decision: Decision, model: str) -> str:
    if model == decision.start:
        return "start"
    if model in decision.ladder:
        return f"escalation {decision.ladder.index(model)}"
    if model in decision.fallbacks:
        return f"fallback {decision.fallbacks.index(model) + 1}"
    return "not used"


def _show_budgets(console: Console, preview: Preview) -> None:
    numeric = {"Limit", "Spent", "Held", "At worst"}
    table = plain_table("Budget", "Purse", "Limit", "Spent", "Held", "At worst", "Fits", numeric=numeric)
    for each in preview.needed:
        charge = each.charge
        amounts = (charge.limit, each.spent, each.held, charge.amount)
        fits = Text("yes") if charge.amount <= each.left or not charge.amount else Text("no", style="bold red")
        name, key = Text(harmless(charge.budget)), Text(harmless(charge.key) or "all")
        table.add_row(name, key, *(in_words(charge.unit, units) for units in amounts), fits)
    console.print()
    if preview.needed:
        console.print(table)
    console.print(Text(f"Budgets: {_outcome(preview)}"))


def _outcome(preview: Preview) -> str:
    limits = ", ".join(f"{name} at {most} tokens" for name, most in preview.max_tokens.items())
    limited = f"answers would end at what is left: {limits}" if limits else ""
    match preview.verdict:
        case "fits":
            return "the worst case fits now." if preview.needed else "none is about this request."
        case "limited":
            return f"{limited}."
        case "degraded":
            return f"only {', '.join(preview.ladder)} would be asked{f'; {limited}' if limited else ''}."
        case "asks":
            return f"somebody would be asked: {preview.why}"
        case "refused":
            return f"it would be refused: {preview.why}"


def _budgets_as_json(preview: Preview | str | None) -> Json:
    """Null without budgets, and a text where the store cannot tell. Amounts are whole tokens, or US dollars as text."""
    if preview is None or isinstance(preview, str):
        return preview

    def amount(unit: Unit, units: int) -> Json:
        return units if unit == "tokens" else f"{to_usd(units):f}"

    return {
        "verdict": preview.verdict,
        "why": preview.why or None,
        "ladder": list(preview.ladder) or None,
        "max_tokens": dict(preview.max_tokens),
        "purses": [
            {
                "budget": each.charge.budget,
                "key": each.charge.key,
                "window": each.charge.window,
                "unit": "tokens" if each.charge.unit == "tokens" else "usd",
                "limit": amount(each.charge.unit, each.charge.limit),
                "spent": amount(each.charge.unit, each.spent),
                "held": amount(each.charge.unit, each.held),
                "needed": amount(each.charge.unit, each.charge.amount),
                "fits": not each.charge.amount or each.charge.amount <= each.left,
            }
            for each in preview.needed
        ],
    }


def _as_json(decision: Decision) -> dict[str, Json]:
    return {
        "start": decision.start,
        "policy": decision.policy,
        "reason": decision.reason.value,
        "score": decision.score,
        "confidence": decision.confidence,
        "features": dict(decision.features),
        "ladder": decision.ladder,
        "fallbacks": decision.fallbacks,
        "predictions": [
            {
                "model": prediction.model,
                "quality": prediction.quality,
                "cost_usd": None if prediction.cost_usd is None else f"{prediction.cost_usd:f}",
                "latency_s": prediction.latency_s,
            }
            for prediction in decision.predictions
        ],
        "refusals": [
            {"model": refusal.model, "code": refusal.code.value, "detail": refusal.detail}
            for refusal in decision.refusals
        ],
    }
