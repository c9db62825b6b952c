"""``llm-router explain``: a decision, shown before any money is spent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from router_core.cli._show import feature, money, number, plain_table
from router_core.router import Router

if TYPE_CHECKING:
    from router_core.options import CallOptions
    from router_core.records import Decision
    from router_core.types import Json


def show_decision(path: Path, messages: Sequence[Mapping[str, Any]], options: CallOptions, *, as_json: bool) -> None:
    """Show the decision for a request as text or as JSON."""
    router = Router.from_config(path)
    decision = router.explain(messages, **options)
    if as_json:
        typer.echo(json.dumps(_as_json(decision), indent=2))
        return
    console = Console()
    console.print(_summary(decision))
    console.print()
    console.print(_table(decision))
    for refusal in decision.refusals:
        console.print(Text(f"Refused: {refusal}", style="yellow"))
    console.print("\nCosts and qualities are predictions. No model was called.", style="dim", highlight=False)


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
