"""``llm-router models``: what stands in the registry, and what is known of it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.text import Text

from router_core.cli._show import number, plain_table, price
from router_core.config import load
from router_core.prices import PriceBook

if TYPE_CHECKING:
    from rich.table import Table

    from router_core.registry import Registry
    from router_core.types import Json, Model


def show_models(path: Path, *, as_json: bool) -> None:
    """Show the models of a registry file as a table or as JSON."""
    registry = load(path).registry
    if as_json:
        typer.echo(json.dumps([_entry(registry, tier) for tier in range(len(registry.models))], indent=2))
        return
    console = Console()
    console.print(models_table(registry))
    console.print("Weakest first. Prices are US dollars per million tokens.", style="dim", highlight=False)
    for alias, name in registry.aliases.items():
        console.print(Text(f"{alias} is an alias of {name}"))


def models_table(registry: Registry) -> Table:
    """The registry as a table, one model a row."""
    numeric = ("Input", "Output", "Window", "Max out", "Quality")
    prices = _price_book()
    table = plain_table("Tier", "Model", *numeric, "Key", numeric=numeric)
    for tier, model in enumerate(registry.models, 1):
        quote = prices.quote(model)
        table.add_row(
            str(tier),
            _described(model),
            price(quote.input if quote else None),
            price(quote.output if quote else None),
            number(prices.context_window(model)),
            number(model.max_output_tokens),
            number(model.quality),
            _key_state(registry, model),
        )
    return table


def _described(model: Model) -> Text:
    """The name, and below it what the model can do, where it is reached and its tags."""
    abilities = ", ".join(sorted(model.capabilities)) or "text only"
    tags = f"; tags: {', '.join(sorted(model.tags))}" if model.tags else ""
    return Text.assemble((model.name, "bold"), (f"\n{abilities}\nendpoint: {model.endpoint}{tags}", "dim"))


def _key_state(registry: Registry, model: Model) -> str:
    """Whether the key of a model's endpoint is in the environment; a dash where none is needed."""
    present = _has_key(registry, model)
    return "-" if present is None else "yes" if present else "no"


def _has_key(registry: Registry, model: Model) -> bool | None:
    variable = registry.endpoints[model.endpoint].api_key_env
    return None if variable is None else bool(os.environ.get(variable, "").strip())


def _price_book() -> PriceBook:
    return PriceBook(lambda: datetime.now(UTC))


def _entry(registry: Registry, tier: int) -> dict[str, Json]:
    model = registry.models[tier]
    endpoint = registry.endpoints[model.endpoint]
    prices = _price_book()
    quote = prices.quote(model)
    return {
        "tier": tier + 1,
        "name": model.name,
        "aliases": [alias for alias, name in registry.aliases.items() if name == model.name],
        "id": model.id,
        "provider": model.provider,
        "endpoint": model.endpoint,
        "base_url": endpoint.base_url,
        "api_key_env": endpoint.api_key_env,
        "key_present": _has_key(registry, model),
        "input_usd_per_million": f"{quote.input:f}" if quote else None,
        "output_usd_per_million": f"{quote.output:f}" if quote else None,
        "price_version": quote.version if quote else None,
        "context_window": prices.context_window(model),
        "max_output_tokens": model.max_output_tokens,
        "quality": model.quality,
        "latency_s": model.latency_s,
        "capabilities": sorted(model.capabilities),
        "tags": sorted(model.tags),
    }
