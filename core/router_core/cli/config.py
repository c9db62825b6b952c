"""``llm-router config``: check, schema and init."""

from __future__ import annotations

import json
import os
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from router_core.cli.models import models_table
from router_core.config import Config, json_schema, load
from router_core.config.starter import Found, look_around, starter_text, write_new
from router_core.registry import KNOWN_ENDPOINTS


def check(path: Path) -> None:
    """Show what a registry file says. Raises ``ConfigError`` with all that is wrong with it."""
    config = load(path)
    console = Console()
    console.print(Text(f"{path} is right.", style="green"))
    console.print(models_table(config.registry))
    console.print(Text(f"Policy: {config.policy.name}"))
    console.print(Text(f"Verifiers: {', '.join(verifier.name for verifier in config.verifiers) or 'none'}"))
    if config.audits is not None:
        audits = config.audits
        how = "compares answers" if audits.compare else "gives its opinion"
        console.print(Text(f"Auditor: {audits.model.name}, of {audits.share:g} of the requests, {how}"))
    for warning in _warnings(config):
        console.print(Text(f"Note: {warning}", style="yellow"))


def _warnings(config: Config) -> list[str]:
    used = [config.registry.endpoints[model.endpoint] for model in config.registry.models]
    unset = {
        endpoint.api_key_env: endpoint.name
        for endpoint in used
        if endpoint.api_key_env and not os.environ.get(endpoint.api_key_env, "").strip()
    }
    told = [f"{variable} is not set; calls of {name} will fail until it is" for variable, name in unset.items()]
    if config.webhook_env is not None and not os.environ.get(config.webhook_env, "").strip():
        told.append(f"{config.webhook_env} is not set; thresholds of budgets will not be posted until it is")
    return told


def schema() -> None:
    """Write the JSON Schema of the registry file."""
    typer.echo(json.dumps(json_schema(), indent=2))


def init(path: Path, *, force: bool) -> None:
    """Write a first registry file and say what was found."""
    found = look_around(os.environ)
    write_new(path, starter_text(found), overwrite=force)
    for line in _found(found):
        typer.echo(line)
    typer.echo(f"Wrote {path}. Next: llm-router explain -c {path} 'What is the capital of France?'")


def _found(found: Found) -> list[str]:
    variables = [str(KNOWN_ENDPOINTS[name].api_key_env) for name in found.keyed]
    lines = [f"Ollama at {found.ollama_url}: {', '.join(found.ollama_models) or 'no chat model found'}"]
    lines.append(f"Keys in the environment: {', '.join(variables) or 'none found'}")
    if not found.anything:
        lines.append("Nothing was found, so the file is an example; its first lines say what to set.")
    return lines
