"""The commands of ``llm-router``: their options and help. What they do is loaded when they run."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup

from router_core.cli import (
    calibrate_commands,
    eval_commands,
    feedback_commands,
    learning_commands,
    ledger_commands,
    memory_commands,
    price_commands,
    report_commands,
)
from router_core.cli._options import DEFAULT_CONFIG, ConfigOption, JsonOption, found_config
from router_core.errors import (
    AllAttemptsFailed,
    AnswersRejected,
    ConfigError,
    InvalidRequest,
    RouterError,
    StreamBroken,
)

if TYPE_CHECKING:
    from router_core.options import CallOptions


class _Group(TyperGroup):
    """Shows what the router raises on purpose as a message, not as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RouterError as error:
            if ctx.params.get("debug"):
                raise
            # As https://no-color.org says; a pipe gets no colours anyway.
            plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
            typer.secho("error: ", fg="red", bold=True, nl=False, err=True, color=False if plain else None)
            typer.echo(str(error), err=True)
            failed = isinstance(error, (AllAttemptsFailed, AnswersRejected, StreamBroken))
            raise typer.Exit(1 if failed else 2) from None


app = typer.Typer(
    name="llm-router",
    cls=_Group,
    help="Routes each request to the cheapest model that can answer it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
config_app = typer.Typer(help="Check, describe or start a registry file.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(config_app, name="config")
ledger_commands.add_to(app)

PromptArgument = Annotated[str, typer.Argument(metavar="PROMPT", help="The prompt; - reads it from standard input.")]
SystemOption = Annotated[str | None, typer.Option("--system", metavar="TEXT", help="What the model is told first.")]
MaxCost = Annotated[
    str | None, typer.Option("--max-cost", metavar="USD", help="The most that the request may be predicted to cost.")
]
MaxLatency = Annotated[
    float | None, typer.Option("--max-latency", metavar="SECONDS", help="The most that an answer may take.")
]
MinQuality = Annotated[float | None, typer.Option("--min-quality", metavar="0..1", help="The least predicted quality.")]
ForceModel = Annotated[str | None, typer.Option("--force-model", metavar="MODEL", help="Use this model only.")]
LocalOnly = Annotated[bool, typer.Option("--local-only", help="Use only models that stay on this machine.")]
Allow = Annotated[
    list[str] | None, typer.Option("--allow", metavar="MODEL", help="Use this model; may be given several times.")
]
Deny = Annotated[
    list[str] | None, typer.Option("--deny", metavar="MODEL", help="Do not use this model; may be repeated.")
]


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"llm-router {version('router-core')}")
        raise typer.Exit


@app.callback()
def root(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show errors with their traceback.")] = False,
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=lambda value: _version(wanted=value), is_eager=True, help="The version."),
    ] = False,
) -> None:
    """Routes each request to the cheapest model that can answer it."""


@app.command()
def demo(
    *,
    live: Annotated[bool, typer.Option("--live", help="Call the models that are found here, at their cost.")] = False,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where chart and page are written.")] = Path(
        "demo-output"
    ),
    config: ConfigOption = None,
) -> None:
    """Route a shipped set of prompts and show what it saves.

    Without --live scripted models answer: no key and no server is needed.
    """
    from rich.console import Console  # noqa: PLC0415 - see the module

    from router_core.demo import run_demo  # noqa: PLC0415 - see the module

    raise typer.Exit(run_demo(live=live, out=out, config=config, console=Console()))


@app.command()
def ask(
    prompt: PromptArgument,
    *,
    config: ConfigOption = None,
    system: SystemOption = None,
    schema: Annotated[
        Path | None, typer.Option("--schema", metavar="FILE", help="A JSON Schema that the answer must fit.")
    ] = None,
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="Write the answer while it comes.")] = True,
    max_cost: MaxCost = None,
    max_latency: MaxLatency = None,
    min_quality: MinQuality = None,
    force_model: ForceModel = None,
    local_only: LocalOnly = False,
    allow: Allow = None,
    deny: Deny = None,
) -> None:
    """Answer a prompt.

    The answer goes to standard output, a line of account to standard error.
    """
    from router_core.cli.ask import answer, read_schema  # noqa: PLC0415 - see the module

    options = _demands(
        max_cost_usd=max_cost,
        max_latency_s=max_latency,
        min_quality=min_quality,
        force_model=force_model,
        local_only=local_only,
        allow=allow or None,
        deny=deny or None,
    )
    if schema is not None:
        options["schema"] = read_schema(schema)
    answer(_config(config), _messages(prompt, system), options, streamed=stream)


@app.command()
def explain(
    prompt: PromptArgument,
    *,
    config: ConfigOption = None,
    system: SystemOption = None,
    as_json: JsonOption = False,
    max_cost: MaxCost = None,
    max_latency: MaxLatency = None,
    min_quality: MinQuality = None,
    force_model: ForceModel = None,
    local_only: LocalOnly = False,
    allow: Allow = None,
    deny: Deny = None,
) -> None:
    """Show which model a prompt would go to, and why.

    No model is called.
    """
    from router_core.cli.explain import show_decision  # noqa: PLC0415 - see the module

    options = _demands(
        max_cost_usd=max_cost,
        max_latency_s=max_latency,
        min_quality=min_quality,
        force_model=force_model,
        local_only=local_only,
        allow=allow or None,
        deny=deny or None,
    )
    show_decision(_config(config), _messages(prompt, system), options, as_json=as_json)


@app.command()
def models(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the models with prices, windows and abilities."""
    from router_core.cli.models import show_models  # noqa: PLC0415 - see the module

    show_models(_config(config), as_json=as_json)


@config_app.command("check")
def config_check(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", envvar="LLM_ROUTER_CONFIG", help="Else ./router.yaml.")
    ] = None,
) -> None:
    """Say whether a registry file is right, or what is not."""
    from router_core.cli.config import check  # noqa: PLC0415 - see the module

    check(_config(file))


@config_app.command("schema")
def config_schema() -> None:
    """Write the JSON Schema of the registry file."""
    from router_core.cli.config import schema  # noqa: PLC0415 - see the module

    schema()


@config_app.command("init")
def config_init(
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", dir_okay=False, help="Where to write.")
    ] = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
) -> None:
    """Write a first registry file with what is found here.

    It lists the models of Ollama, and models of the providers whose keys are in the environment. Keys are not written.
    """
    from router_core.cli.config import init  # noqa: PLC0415 - see the module

    init(out, force=force)


report_commands.add_to(app)
price_commands.add_to(app)
memory_commands.add_to(app)
eval_commands.add_to(app)
learning_commands.add_to(app)
feedback_commands.add_to(app)
calibrate_commands.add_to(app)


def _config(given: Path | None) -> Path:
    found = found_config(given)
    if found is not None:
        return found
    raise ConfigError(
        "no registry file: there is no ./router.yaml, and neither --config nor LLM_ROUTER_CONFIG names one.\n"
        "Write one with `llm-router config init`, or see the router at work with `llm-router demo`."
    )


def _messages(prompt: str, system: str | None) -> list[dict[str, Any]]:
    if prompt == "-":
        try:
            prompt = sys.stdin.read()
        except UnicodeDecodeError:
            raise InvalidRequest("prompt: standard input is not text in UTF-8; convert it first") from None
    told = [{"role": "system", "content": system}] if system else []
    return [*told, {"role": "user", "content": prompt}]


def _demands(**given: object) -> CallOptions:
    """The constraints that were given on the command line."""
    return cast(
        "CallOptions", {name: value for name, value in given.items() if value is not None and value is not False}
    )
