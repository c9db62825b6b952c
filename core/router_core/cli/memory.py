"""``llm-router memory``: show, export, import and reset."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer
from rich.console import Console
from rich.text import Text

from router_core.cli._show import harmless, plain_table
from router_core.cli._store import opened
from router_core.errors import ConfigError
from router_core.learning.live_memory import Keeper
from router_core.learning.memory_file import MemoryFile, as_json, read_memory, write_memory
from router_core.learning.strategy import (
    Batch,
    Contents,
    Increment,
    Kind,
    Limits,
    MemoryBook,
    Place,
    Step,
    Why,
    forgetting,
)
from router_core.policies import StrategyMemoryPolicy

if TYPE_CHECKING:
    from rich.table import Table

_SOON = "Routers that run know it within 5 seconds."
_WHY = {
    Why.SUFFICES: "suffices",
    Why.FELL_SHORT: "fell short of the strongest",
    Why.TURNED_BAD: "turned bad",
    Why.REJECTED: "its drafts were rejected too often",
    Why.RESET: "reset by hand",
}


class Where(NamedTuple):
    """Where the memory is that a command is about: a file, the store of a ledger, or what a registry file says."""

    file: Path | None
    store: str | None
    config: Path | None


class Only(NamedTuple):
    """The part of a memory that a command is about; None stands for all."""

    call_site: str | None
    task: str | None

    def has(self, place: Place) -> bool:
        """Whether a place is in it."""
        return self.call_site in {None, place.call_site} and self.task in {None, place.task}


def show_memory(where: Where, only: Only, *, to_json: bool) -> None:
    """Show what is remembered of the places asked for, and their steps.

    Raises:
        ConfigError: there is no memory. StoreError: the store cannot be used.
    """
    with _kept(where) as keeper:
        known = keeper.memory()
    contents = _part(known, only)
    if to_json:
        typer.echo(json.dumps(as_json(contents), indent=2, ensure_ascii=False))
        return
    if not contents.evidence and not contents.steps:
        typer.echo("Nothing is remembered: every request starts with the strongest model.")
        return
    policy, console = _policy(where.config), Console()
    console.print(_models(contents, known, Limits() if policy is None else policy.limits))
    console.print()
    if contents.steps:
        console.print(_steps(contents.steps))
    else:
        console.print("No step was taken yet: every request starts with the strongest model.")


def export_memory(where: Where, to: Path) -> None:
    """Write the memory into a file.

    Raises:
        ConfigError: there is no memory, or the file cannot be written. StoreError: the store cannot be used.
    """
    with _kept(where) as keeper:
        contents = keeper.memory()
    write_memory(to, contents)
    typer.echo(f"{to}: {_counted(contents)}")


def import_memory(where: Where, source: Path) -> None:
    """Put what a file holds in place of the memory. The place is made if there is none.

    Raises:
        ConfigError: the file holds no memory. StoreError: the store cannot be used.
    """
    contents = read_memory(source)
    increments = tuple(Increment(cell, 0.0, evidence) for cell, evidence in contents.evidence.items())
    with _kept(where, create=True) as keeper:
        keeper.remember(_batch(increments, contents.steps), anew=True)
    typer.echo(f"{_counted(contents)} taken from {source}. {_SOON}")


def reset_memory(where: Where, only: Only) -> None:
    """Forget what is known of the places asked for.

    Raises:
        ConfigError: there is no memory, or no such place. StoreError: the store cannot be used.
    """
    with _kept(where) as keeper:
        contents = keeper.memory()
        part = _part(contents, only)
        if only == Only(None, None):
            keeper.remember(_batch(), anew=True)
        elif not part.evidence:
            raise ConfigError("nothing is remembered of that call site and task; see `llm-router memory show`")
        else:
            cells = {(cell.place, cell.model) for cell in part.evidence}
            increments = [increment for place, model in sorted(cells) for increment in forgetting(place, model)]
            keeper.remember(_batch(increments, _steps_back(part.steps)))
    typer.echo(f"{_counted(part)} forgotten. {_SOON}")


@contextmanager
def _kept(where: Where, *, create: bool = False) -> Iterator[Keeper]:
    """The memory that a command is about."""
    policy = _policy(where.config) if where.file is None and where.store is None else None
    file = policy.file if policy is not None else where.file
    if file is None:
        with opened(where.store, where.config, create=create) as store:
            yield store
    elif create or file.exists():
        yield MemoryFile(file)
    else:
        raise ConfigError(f"file: there is no {file}; give the file of a memory with --file, or a ledger with --store")


def _policy(config: Path | None) -> StrategyMemoryPolicy | None:
    """The strategy memory that a registry file describes, if it does."""
    if config is None:
        return None
    from router_core.config import load  # noqa: PLC0415 - slow to import

    policy = load(config).policy
    return policy if isinstance(policy, StrategyMemoryPolicy) else None


def _part(contents: Contents, only: Only) -> Contents:
    evidence = {cell: seen for cell, seen in contents.evidence.items() if only.has(cell.place)}
    return Contents(evidence, tuple(step for step in contents.steps if only.has(step.place)))


def _batch(increments: Iterable[Increment] = (), steps: Iterable[Step] = ()) -> Batch:
    return Batch(secrets.token_hex(8), 1, time.time(), tuple(increments), tuple(steps))


def _steps_back(steps: Sequence[Step]) -> Iterator[Step]:
    """A step back to the strongest model for each place that is elsewhere."""
    book = MemoryBook(Contents(steps=tuple(steps)))
    for place in sorted({step.place for step in steps}):
        last, strongest = book.last_step(place), _strongest(steps, place)
        if last is not None and last.to_model != strongest:
            yield Step(place, last.number + 1, time.time(), last.to_model, strongest, Why.RESET)


def _strongest(steps: Iterable[Step], place: Place) -> str:
    """The model that a place began with; "" if it took no step."""
    return next((step.from_model for step in steps if step.place == place and step.number == 1), "")


# ------------------------------------------------------------------------------------------------------------- showing


def _models(contents: Contents, known: Contents, limits: Limits) -> Table:
    """What is to be shown. ``known`` is all there is: places borrow from each other."""
    numeric = ("Good", "Bad", "In all", "As good", "Rejected")
    table = plain_table("Call site", "Task", "Model", "", *numeric, numeric=numeric)
    book = MemoryBook(known)
    # The strongest model of a router is the same everywhere.
    usual = next((step.from_model for step in known.steps if step.number == 1), "")
    for place, models in _by_place(contents).items():
        last, strongest = book.last_step(place), _strongest(contents.steps, place) or usual
        for at, model in enumerate(models):
            seen, verified = book.of(place, model), book.of(place, model, Kind.VERIFIED)
            is_now = last is not None and last.to_model == model
            chance = f"{book.chance(place, model, strongest, limits.margin):.0%}" if strongest else "-"
            rejected = f"{verified.bad / verified.weight:.0%}" if verified.weight else "-"
            names = ("", "") if at else (harmless(place.call_site) or "-", harmless(place.task))
            cells = (f"{seen.good:.1f}", f"{seen.bad:.1f}", f"{seen.all_good + seen.all_bad:.0f}", chance, rejected)
            table.add_row(
                *map(Text, names), Text(harmless(model), "bold" if is_now else ""), "<- now" if is_now else "", *cells
            )
    return table


def _by_place(contents: Contents) -> dict[Place, list[str]]:
    found: dict[Place, list[str]] = {}
    for cell in sorted(contents.evidence):
        models = found.setdefault(cell.place, [])
        if cell.model not in models:
            models.append(cell.model)
    return found


def _steps(steps: Iterable[Step]) -> Table:
    table = plain_table("When (UTC)", "Call site", "Task", "Step", "Why", "Evidence")
    for step in steps:
        at = f"{datetime.fromtimestamp(step.at, UTC):%Y-%m-%d %H:%M:%S}"
        why = _WHY[step.why] + (f": {step.detail}" if step.detail else "")
        words = (at, step.place.call_site or "-", step.place.task, f"{step.from_model} -> {step.to_model}", why)
        table.add_row(*(Text(harmless(word)) for word in words), Text(harmless(_evidence(step))))
    return table


def _evidence(step: Step) -> str:
    """What was known of the two models of a step: "small 24.5 good, 0.0 bad, 81% as good"."""
    told = []
    for model in (step.from_model, step.to_model):
        seen = step.evidence.get(model)
        if isinstance(seen, dict):
            told.append(
                f"{model} {seen.get('good')} good, {seen.get('bad')} bad, {_percent(seen.get('as_good'))} as good"
            )
    return "; ".join(told)


def _percent(share: object) -> str:
    return f"{share:.0%}" if isinstance(share, float | int) else "-"


def _counted(contents: Contents) -> str:
    places = len({cell.place for cell in contents.evidence} | {step.place for step in contents.steps})
    return f"{places} {'place' if places == 1 else 'places'}, {len(contents.steps)} steps"
