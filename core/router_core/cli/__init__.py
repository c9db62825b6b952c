"""The command line, ``llm-router``."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code: 0 done, 1 a call failed or a ledger does not add up, 2 a wrong file,
    option or request."""
    from router_core.cli.app import app  # noqa: PLC0415 - typer, only where a command is run

    app()
