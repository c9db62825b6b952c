"""The demo with live models: those of a registry file, or what this machine has (Ollama, keys in the environment)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.prompt import IntPrompt
from rich.text import Text

from router_core.demo.output import save
from router_core.demo.play import play
from router_core.demo.script import Prompt
from router_core.demo.tally import Outcome, Report, Totals
from router_core.errors import ConfigError
from router_core.router import Router
from router_core.types import add_nano

FEW = 10
"""Prompts sent unless the user says otherwise: enough to look at, cheap enough to try."""


def find_router(out: Path, config: Path | None, console: Console) -> Router:
    """The router of ``config``, or of a registry file written into ``out`` from what is found.

    Raises:
        ConfigError: nothing was found, or the file is wrong. MissingExtra: the SDK is not installed.
    """
    if config is None:
        from router_core.config.starter import look_around, starter_text  # noqa: PLC0415 - pydantic, yaml

        found = look_around(os.environ)
        if not found.anything:
            raise ConfigError(
                f"live: no Ollama server answers at {found.ollama_url} and the environment holds no key; start Ollama, "
                "set a variable such as OPENAI_API_KEY, or give a registry file with --config"
            )
        config = save(out / "demo-router.yaml", starter_text(found).encode())
        console.print(Text(f"What was found stands in {config}"))
    return Router.from_config(config)


def ask_how_many(prompts: Sequence[Prompt], router: Router, console: Console) -> list[Prompt]:
    """As many prompts as the user wants to pay for, spread over all tasks."""
    names = ", ".join(model.name for model in router.registry.models)
    console.print(Text(f"The prompts will be sent to live models, which may cost money: {names}"))
    question = f"How many of the {len(prompts)} prompts?"
    try:
        wanted = IntPrompt.ask(question, default=FEW, console=console)
    except EOFError:  # nobody is there to ask
        wanted = FEW
    wanted = max(1, min(wanted, len(prompts)))
    return [prompts[i * len(prompts) // wanted] for i in range(wanted)]


def play_live(router: Router, prompts: Sequence[Prompt], advance: Callable[[], None]) -> Report:
    """Run the prompts with the router as it is configured."""
    routed = play(router, prompts, advance)
    return Report(
        live=True,
        models=router.registry.models,
        policy=router.policy.name,
        verifiers=tuple(verifier.name for verifier in router.verifiers),
        routed=routed,
        totals=Totals.of(routed),
        rows=(),
        baseline_nano=_strongest_instead(router, routed),
        seconds=median(outcome.receipt.latency_s for outcome in routed),
    )


def _strongest_instead(router: Router, outcomes: Sequence[Outcome]) -> int | None:
    """What the served answers would have cost with as many tokens of the strongest model; None if it has no price."""
    total: int | None = 0
    for outcome in outcomes:
        usage = outcome.receipt.last.usage if outcome.receipt.model and outcome.receipt.last else None
        if usage is not None:
            cost = router.prices.cost(router.registry.strongest, usage)
            total = add_nano(total, cost.nano if cost else None)
    return total
