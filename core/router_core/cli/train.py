"""``llm-router train``: from outcomes to the file of a policy or a verifier, or the numbers that speak against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from router_core.cli._evaluation import prices_of
from router_core.cli._options import found_config, needs_numpy
from router_core.cli._store import opened
from router_core.errors import ConfigError
from router_core.learning.bench import Bench, bench_of, chosen_models
from router_core.learning.completed import by_cost, completed
from router_core.learning.examples import Example, Found, read_examples
from router_core.learning.langsmith import read_langsmith
from router_core.learning.neighbours import Neighbours
from router_core.learning.receipts import from_ledger
from router_core.learning.train import TrainedPolicy, train_policy
from router_core.learning.train_verifier import train_verifier
from router_core.policies.embedding import Embedding
from router_core.policies.simple import imported

LEDGER = "ledger"
_LANGSMITH = (".langsmith.jsonl", ".langsmith.jsonl.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to train ("policy", "verifier" or "nearest"), from what, and how: see the options of the command."""

    kind: str
    source: str
    to: Path
    encoder: Path | None
    models: tuple[str, ...]
    embedding: str | None
    prices: tuple[str, ...]
    feedback: str | None
    store: str | None
    config: Path | None
    seed: int


def write_trained(asked: Asked) -> None:
    """Train, write the file and say what it is worth.

    Raises:
        ConfigError: the examples or an option is wrong, or what was learned is not good enough to be written.
        MissingExtra: numpy, or what an encoder needs, is not installed.
    """
    needs_numpy()
    if asked.encoder is not None and asked.kind != "policy":
        raise ConfigError(f"--encoder: an encoder is a policy, no {asked.kind}; leave --kind out")
    _TRAINERS[asked.kind](asked, _examples(asked))


def _policy(asked: Asked, examples: list[Example]) -> None:
    bench = _bench(asked, examples)
    if asked.encoder is not None:
        _encoder(asked, asked.encoder, bench)
        return
    trained = train_policy(bench, embedding=_embedding(asked), seed=asked.seed)
    trained.write(asked.to)
    _tell_compared(trained)
    typer.echo(f"Chosen: {trained.recipe.name}.\nHeld out: {trained.evidence}.")
    typer.echo(f"Wrote {asked.to}, trained on all {len(bench.examples):,} examples", err=True)


def _verifier(asked: Asked, examples: list[Example]) -> None:
    if len(asked.models) > 1:
        raise ConfigError("--models: a verifier is for the answers of one model, or of all; name one or none")
    trained = train_verifier(examples, model=asked.models[0] if asked.models else None)
    trained.write(asked.to)
    typer.echo(f"{trained.evidence}.")
    for site, evidence in trained.sites.items():
        typer.echo(f"{site}: {evidence}.")
    typer.echo(f"Wrote {asked.to}", err=True)


def _nearest(asked: Asked, examples: list[Example]) -> None:
    embedding = _embedding(asked)
    if embedding is None:
        raise ConfigError("--embedding is missing: neighbours are found by one; give a function as MODULE:NAME")
    neighbours = Neighbours.of(examples, asked.models or by_cost(examples), embedding)
    neighbours.write(asked.to)
    typer.echo(
        f"Wrote {asked.to}: {len(neighbours.vectors):,} prompts of {neighbours.size} numbers, no texts", err=True
    )


def _encoder(asked: Asked, encoder: Path, bench: Bench) -> None:
    from router_core.learning.encoder import FineTuning, train_encoder  # noqa: PLC0415 - its extra is gigabytes

    trained = train_encoder(
        bench,
        encoder,
        asked.to,
        FineTuning(seed=asked.seed),
        lambda epoch: typer.echo(f"Epoch {epoch.number}: cross-entropy {epoch.loss:.4f}", err=True),
    )
    typer.echo(f"Held out: {trained.evidence}.")
    typer.echo(f"Wrote {asked.to}, trained on {trained.examples:,} examples", err=True)


_TRAINERS: Mapping[str, Callable[[Asked, list[Example]], None]] = {
    "policy": _policy,
    "verifier": _verifier,
    "nearest": _nearest,
}


def _examples(asked: Asked) -> list[Example]:
    if asked.source == LEDGER:
        with opened(asked.store, found_config(asked.config)) as store:
            found = from_ledger(store.entries())
    elif asked.source.endswith(_LANGSMITH):
        found = read_langsmith(Path(asked.source), asked.feedback)
    else:
        found = Found(read_examples(Path(asked.source)), {})
    if found.told:
        typer.echo(f"Left out: {found.told}", err=True)
    return found.examples


def _bench(asked: Asked, examples: list[Example]) -> Bench:
    if asked.source == LEDGER:
        models = asked.models or by_cost(examples)
        examples = completed(examples, models)
    else:
        models = chosen_models(examples, models=asked.models)
    return bench_of(examples, models, prices_of(asked.prices, examples))


def _embedding(asked: Asked) -> Embedding | None:
    if asked.embedding is None:
        return None
    found: Embedding = imported(asked.embedding, "--embedding")
    return found


def _tell_compared(trained: TrainedPolicy) -> None:
    typer.echo("Cross-validated, by what a policy reads:")
    for recipe, value in trained.compared:
        typer.echo(f"  {recipe.name}: {trained.evidence.measure.upper()} {value:.3f}")
