"""Options that several commands have, and the registry file that they mean."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from router_core.errors import MissingExtra

DEFAULT_CONFIG = Path("router.yaml")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", envvar="LLM_ROUTER_CONFIG", help="The registry file; else ./router.yaml."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON.")]


def found_config(given: Path | None) -> Path | None:
    """The registry file for a command that can do without one: the one given, else ./router.yaml if it is there."""
    return given or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)


def needs_numpy() -> None:
    """Say what to install where a command trains or measures without numpy.

    Raises:
        MissingExtra: it is not installed.
    """
    if find_spec("numpy") is None:
        raise MissingExtra("numpy", "learn")
