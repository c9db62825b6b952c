"""The commands about prices and bills: their options and help."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from router_core.cli._options import ConfigOption, JsonOption, found_config
from router_core.cli._store import StoreOption, moment

prices_app = typer.Typer(help="Look at the prices of the models.", no_args_is_help=True, rich_markup_mode=None)

_SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="From when on: so long ago (90m, 24h, 30d, 2w) or a date (UTC)."),
]
_UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Until when, as --since.")]


def add_to(app: typer.Typer) -> None:
    """Declare the commands."""
    app.add_typer(prices_app, name="prices")
    app.command()(reprice)
    app.command()(reconcile)


@prices_app.callback()
def _prices() -> None:
    """Look at the prices of the models."""


@prices_app.command("doctor")
def prices_doctor(*, config: ConfigOption = None, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Say which models have no price or a doubtful one, and how old the published prices are.

    Prices of your own are compared with the published ones. Ends with code 1 if something is wrong that costs money: a
    budget in dollars and a model that has no price, or that costs nothing though its provider asks for money.
    """
    from router_core.cli.prices import doctor  # noqa: PLC0415 - slow to import

    doctor(store, found_config(config), as_json=as_json)


def reprice(
    *,
    since: _SinceOption = None,
    until: _UntilOption = None,
    as_of: Annotated[
        str,
        typer.Option(
            "--as-of",
            metavar="TIME",
            help="Whose prices: request (those of the time of each request), now, or those of a date.",
        ),
    ] = "request",
    snapshot: Annotated[
        Path | None,
        typer.Option(
            "--snapshot",
            metavar="FILE",
            dir_okay=False,
            help="Prices of a file: a list of genai-prices (data.json) or a registry file.",
        ),
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Keep the new costs in the ledger, beside the old ones.")
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Compute what past calls cost by the prices that are known today, or by those of a file.

    What was booked stays as it is, in receipts and in budgets. Costs that a provider reported, and answers that cost
    nothing, are kept.
    """
    from router_core.cli.reprice import Asked, recompute  # noqa: PLC0415 - slow to import

    now = datetime.now(UTC)
    asked = Asked(
        since=_moment(since, now, "--since"),
        until=_moment(until, now, "--until"),
        now=now,
        snapshot=snapshot,
        as_of=None if as_of == "request" else now.timestamp() if as_of == "now" else moment(as_of, now, "--as-of"),
    )
    recompute(store, found_config(config), asked, save=save, as_json=as_json)


def reconcile(
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="The provider's CSV of usage or costs.")],
    *,
    since: _SinceOption = None,
    until: _UntilOption = None,
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider",
            metavar="NAME",
            help="Compare with calls of this provider, named as in the ledger; else the file's if it is known.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="ROLE=COLUMN,...",
            help="Where the file has what, if that is not found: day=Day,model=Model,input=A+B,output=Out,cost=Cost; "
            "also requests, cache_read, cache_write and reasoning.",
        ),
    ] = None,
    tolerance: Annotated[
        str, typer.Option("--tolerance", metavar="USD", help="How much the cost of a model and day may differ.")
    ] = "0.01",
    tolerance_tokens: Annotated[
        int, typer.Option("--tolerance-tokens", metavar="N", min=0, help="The same for each kind of tokens.")
    ] = 0,
    as_json: JsonOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Compare a provider's usage with the ledger, by model and day, in tokens and dollars.

    Reads the exports of OpenAI (usage and costs), of the Claude Console (tokens and costs) and of OpenRouter
    (activity), and with --columns any other CSV. Days are whole days in UTC; without --since and --until they are those
    of the file. Ends with code 1 if something differs by more than the tolerance.

    Exports that round each row to cents need a larger tolerance.
    """
    from router_core.cli.reconcile import Asked, tolerance_of  # noqa: PLC0415 - slow to import
    from router_core.cli.reconcile import reconcile as run  # noqa: PLC0415 - the same

    now = datetime.now(UTC)
    asked = Asked(_moment(since, now, "--since"), _moment(until, now, "--until"), provider, columns)
    allowed = tolerance_of(tolerance_tokens, tolerance)
    run(file, store, found_config(config), asked, allowed, as_json=as_json)


def _moment(text: str | None, now: datetime, option: str) -> float | None:
    return None if text is None else moment(text, now, option)
