"""The commands about the strategy memory: their options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from router_core.cli._options import ConfigOption, JsonOption, found_config
from router_core.cli._store import StoreOption

_FileOption = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", dir_okay=False, help="The JSON file of a memory that is kept in no ledger."),
]
_SiteOption = Annotated[str | None, typer.Option("--call-site", metavar="NAME", help="Of this call site only.")]
_TaskOption = Annotated[str | None, typer.Option("--task", metavar="TYPE", help="Of this task type only.")]


def add_to(app: typer.Typer) -> None:
    """Declare the commands."""
    memory = typer.Typer(
        help="Show what the strategy memory has learned, or move it.", no_args_is_help=True, rich_markup_mode=None
    )
    memory.command()(show)
    memory.command()(export)
    memory.command("import")(import_)
    memory.command()(reset)
    app.add_typer(memory, name="memory")
    app.command()(compare)


def show(
    *,
    call_site: _SiteOption = None,
    task: _TaskOption = None,
    as_json: JsonOption = False,
    file: _FileOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Show which model suffices where, on what evidence, and every step that led there.

    Judgements are counted with the latest most. "As good" is the probability that the model is as good as the
    strongest, within the margin of the policy.
    """
    from router_core.cli.memory import Only, Where, show_memory  # noqa: PLC0415 - slow to import

    show_memory(Where(file, store, found_config(config)), Only(call_site, task), to_json=as_json)


def export(
    to: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="Where to write.")],
    *,
    file: _FileOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Write the memory as JSON that people can read."""
    from router_core.cli.memory import Where, export_memory  # noqa: PLC0415 - slow to import

    export_memory(Where(file, store, found_config(config)), to)


def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="What `export` wrote.")],
    *,
    file: _FileOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Put an exported memory in place of the one that is there."""
    from router_core.cli.memory import Where, import_memory  # noqa: PLC0415 - slow to import

    import_memory(Where(file, store, found_config(config)), source)


def reset(
    *,
    call_site: _SiteOption = None,
    task: _TaskOption = None,
    file: _FileOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Forget what was learned: all of it, or of one call site or task type, which then start with the strongest."""
    from router_core.cli.memory import Only, Where, reset_memory  # noqa: PLC0415 - slow to import

    reset_memory(Where(file, store, found_config(config)), Only(call_site, task))


def compare(
    *,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts", metavar="FILE", dir_okay=False, help="JSON lines with prompt or messages, call_site."
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="How often the prompts are sent with the memory.")
    ] = None,
    share: Annotated[
        float | None, typer.Option("--share", metavar="0..1", help="The share of answers that is audited.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", file_okay=False, help="Where the files are written.")
    ] = Path("compare-output"),
    config: ConfigOption = None,
) -> None:
    """Send prompts without the memory and with it, and compare tokens, cost, latency and quality.

    Without --prompts scripted models answer: no key and no server is needed.
    """
    from rich.console import Console  # noqa: PLC0415 - slow to import

    from router_core.cli.compare import run_compare  # noqa: PLC0415 - slow to import

    run_compare(prompts, found_config(config), out, Console(), rounds=rounds, share=share)
