"""``llm-router feedback``: what a person says of an answer, from the command line."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from router_core.cli._options import ConfigOption, JsonOption, found_config
from router_core.cli._store import StoreOption, opened
from router_core.errors import ConfigError


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("feedback")(feedback)


def feedback(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="The id that `tail --json` tells.")],
    score: Annotated[float, typer.Argument(metavar="SCORE", help="From 0 (useless) to 1 (as good as can be).")],
    *,
    comment: Annotated[str | None, typer.Option("--comment", metavar="TEXT", help="What there is to say.")] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how good an answer was. `train` and the strategy memory learn from it; what is said last of an answer holds.

    A router with the policy `strategy` that runs on this ledger learns it within 5 seconds; else the next one does.
    """
    from router_core.records import Feedback  # noqa: PLC0415 - loaded by the command only

    if not 0 <= score <= 1:
        raise ConfigError(f"SCORE: {score:g} is not between 0 (useless) and 1 (as good as can be)")
    with opened(store, found_config(config)) as ledger:
        if not ledger.save_feedback(Feedback(request_id, score, comment, time.time())):
            raise ConfigError(f"REQUEST_ID: the ledger has no receipt of {request_id!r}; see `llm-router tail --json`")
    typer.echo(json.dumps({"request_id": request_id, "score": score}) if as_json else f"{request_id}: {score:g}")
