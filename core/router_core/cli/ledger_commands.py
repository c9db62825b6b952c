"""The commands of ``llm-router ledger`` and ``llm-router budget``: their options and help."""

from __future__ import annotations

from typing import Annotated

import typer

from router_core.cli._options import ConfigOption, JsonOption, found_config
from router_core.cli._store import StoreOption

ledger_app = typer.Typer(
    help="Verify, prune or export what the ledger keeps.", no_args_is_help=True, rich_markup_mode=None
)
budget_app = typer.Typer(help="Show, set or top up budgets.", no_args_is_help=True, rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of the budget.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(ledger_app, name="ledger")
    app.add_typer(budget_app, name="budget")


@ledger_app.command("verify")
def ledger_verify(*, store: StoreOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Recompute every sum from its rows, and say what disagrees.

    Receipts are compared with their attempts, budgets with what requests hold and have spent of them. Ends with code 1
    if anything disagrees.
    """
    from router_core.cli.ledger import verify  # noqa: PLC0415 - loaded by the command only

    verify(store, found_config(config), as_json=as_json)


@ledger_app.command("prune")
def ledger_prune(
    *,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="How long ago (90m, 24h, 90d, 12w), or a date in UTC.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many there are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Remove the receipts of requests that ended before a moment.

    What they spent stays spent: no budget gets anything back. The file of an SQLite store keeps its size; what is
    written next uses the room.
    """
    from router_core.cli.ledger import prune  # noqa: PLC0415 - loaded by the command only

    prune(store, found_config(config), older_than, dry_run=dry_run, yes=yes)


@ledger_app.command("export")
def ledger_export(
    out: Annotated[str, typer.Argument(metavar="OUT", help="The file to write; - is standard output.")],
    *,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="csv, jsonl or parquet; else what the file's name says."),
    ] = None,
    what: Annotated[
        str, typer.Option("--what", metavar="WHAT", help="One record for each of the requests, or of the attempts.")
    ] = "requests",
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Only requests that ended then or later: 30d, a date.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help="Only requests that ended before: 1d, a date.")
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Write receipts to a file, as a whole or not at all; one that is there is replaced.

    Costs stand in it twice, as whole nano-dollars (*_nano) and as US dollars (*_usd); what is unknown is empty, never
    0. Times are UTC. Prompts and answers are in it only if the ledger stores them (store_text: full); with
    store_text: hash, as is usual, their SHA-256 is.

    In CSV, texts that a spreadsheet would take for a formula, and those that begin with an apostrophe, have one more
    apostrophe before them. Parquet needs the extra router-core[parquet].
    """
    from router_core.cli.ledger import write_export  # noqa: PLC0415 - loaded by the command only

    write_export(store, found_config(config), out, form=form, what=what, since=since, until=until)


@budget_app.command("show")
def budget_show(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this budget.")] = None,
    *,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the budgets of the registry file and of the store, and what is left of them in this period.

    Budgets that an application makes in Python are known to it alone.
    """
    from router_core.cli.budget import show  # noqa: PLC0415 - loaded by the command only

    show(name, store, found_config(config), as_json=as_json)


@budget_app.command("set")
def budget_set(
    name: NameArgument,
    *,
    limit_usd: Annotated[str | None, typer.Option(metavar="USD", help="The limit in US dollars.")] = None,
    limit_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="The limit in tokens, of input and output together.")
    ] = None,
    per: Annotated[str | None, typer.Option(metavar="PERIOD", help="call, day, week, month or total.")] = None,
    scope: Annotated[
        str | None,
        # Named, for typer 0.27 takes a metavar that spells the name for the name itself.
        typer.Option("--scope", metavar="SCOPE", help="all, session, tag:NAME, model:NAME or provider:NAME."),
    ] = None,
    on_exceeded: Annotated[str | None, typer.Option(metavar="WHAT", help="stop, degrade or ask.")] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Where periods begin, such as Europe/Madrid.")
    ] = None,
    month_start: Annotated[int | None, typer.Option(metavar="DAY", help="The day when months begin, 1 to 28.")] = None,
    threshold: Annotated[
        list[int] | None,
        typer.Option(metavar="PERCENT", help="Tell when so much is spent; may be given several times."),
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Set a budget in the store, for every router that uses it.

    What is not given stays as it was, in the store or else in the registry file. A new budget needs a limit; it then
    is for all requests, in all, and refuses what does not fit.
    """
    from router_core.cli.budget import set_budget  # noqa: PLC0415 - loaded by the command only

    fields = {
        "limit_usd": limit_usd,
        "limit_tokens": limit_tokens,
        "per": per,
        "scope": scope,
        "on_exceeded": on_exceeded,
        "timezone": timezone,
        "month_start": month_start,
        "thresholds": threshold or None,
    }
    given = {field: value for field, value in fields.items() if value is not None}
    set_budget(name, store, found_config(config), given)


@budget_app.command("unset")
def budget_unset(name: NameArgument, *, store: StoreOption = None, config: ConfigOption = None) -> None:
    """Remove from the store what `set` and `top-up` put there. What was spent stays spent."""
    from router_core.cli.budget import unset  # noqa: PLC0415 - loaded by the command only

    unset(name, store, found_config(config))


@budget_app.command("top-up")
def budget_top_up(
    name: NameArgument,
    *,
    usd: Annotated[str | None, typer.Option("--usd", metavar="USD", help="So many US dollars more.")] = None,
    tokens: Annotated[int | None, typer.Option("--tokens", metavar="N", help="So many tokens more.")] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="KEY", help="Whose purse: the session, or the tag as requests have it (user:ada)."
        ),
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Add to a budget until its period ends; the next one has the usual limit again."""
    from router_core.cli.budget import top_up  # noqa: PLC0415 - loaded by the command only

    top_up(name, store, found_config(config), usd=usd, tokens=tokens, key=key)
