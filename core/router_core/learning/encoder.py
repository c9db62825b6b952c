"""Fine-tunes an encoder such as DistilBERT to tell which model a prompt needs. Needs the extra ``transformers``.

A class is the weakest model that answers well, or "none": what ``TransformersPolicy`` reads. The target of an example
is a distribution over them: the quality (0..1) of an answer counts as P(it is good), and a stronger model is taken to
answer well whatever a weaker one does. Where outcomes are right or wrong, all of it is in one class.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from router_core.errors import ConfigError
from router_core.learning.bench import Bench
from router_core.learning.classifier import NONE, Encoder, check_installed, encoded, library, load, shares_of
from router_core.learning.metrics import Floats, Indices
from router_core.learning.train import Evidence, evidence_of, folds, rows_of

_DECAY = 0.01
"""Weight decay. This, the warm-up, the learning rate and the batch are as BERT's authors have them
(https://arxiv.org/abs/1810.04805)."""
_WARM_UP = 0.1
"""The share of the steps in which the learning rate rises."""
_LARGEST_GRADIENT = 1.0
_PATIENCE = 2
"""Epochs that are not better than the best one on the watched part, after which training stops."""
_AT_ONCE = 32
"""Texts that are predicted at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """How to fine-tune: ``epochs`` at most, each over all examples in batches of ``batch``; of prompts of more than
    ``max_length`` tokens (None: see ``classifier.load``) both ends are kept. The same ``seed`` gives the same model."""

    epochs: int = 4
    batch: int = 16
    learning_rate: float = 5e-5
    max_length: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: {getattr(self, name)!r} is not above 0; leave it out or give more")


class Epoch(NamedTuple):
    """A pass over the examples, counted from 1, and the mean cross-entropy (nats) of the watched ones after it."""

    number: int
    loss: float


class TrainedEncoder(NamedTuple):
    """The labels of the classes, how many examples were learned from, each epoch, and what speaks for the result."""

    labels: tuple[str, ...]
    examples: int
    epochs: tuple[Epoch, ...]
    evidence: Evidence


def train_encoder(
    bench: Bench,
    encoder: Path,
    to: Path,
    how: FineTuning = FineTuning(),
    tell: Callable[[Epoch], object] = lambda _epoch: None,
) -> TrainedEncoder:
    """Fine-tune an encoder and write it to a folder for ``TransformersPolicy``.

    A fifth of the groups is held out: on it the encoder must be better than single models. A tenth tells when to stop.
    Models that cost more than a mixture of others as good are left out.

    Args:
        bench: the outcomes to learn from.
        encoder: a folder with the encoder to start from, as ``save_pretrained`` writes it.
        to: the folder to write, which must not be there.
        how: the settings.
        tell: is told of each epoch.

    Raises:
        ConfigError: a folder or a setting is wrong, there are too few examples, or the encoder is not better than
            single models at equal cost; the message has the numbers. Nothing is written then.
        MissingExtra: torch or transformers is not installed.
    """
    part, watched, held_out = _parts(bench, how.seed)
    kept = part.mixture
    if len(kept) == 1:
        raise ConfigError(f"models: {part.models[kept[0]]!r} is the best and the cheapest: there is nothing to learn")
    part, watched, held_out = (_columns(each, kept) for each in (part, watched, held_out))
    labels = (*part.models, NONE)
    check_installed()
    with _new_folder(to) as folder, library("torch").random.fork_rng(devices=()):
        library("torch").manual_seed(how.seed)
        tuned = load(encoder, how.max_length, labels)
        epochs = fine_tune(tuned, part, watched, how, tell)
        texts = [example.text for example in held_out.examples]
        evidence = evidence_of(held_out, predicted(tuned, texts), how.seed)
        if not evidence.better:
            raise ConfigError(
                f"{to}: not written, for this encoder would be no better than the best single model: {evidence}; give "
                "more examples, or rely on verifiers, which look at answers"
            )
        tuned.tokenizer.model_max_length = tuned.max_length
        tuned.tokenizer.save_pretrained(folder)
        tuned.model.save_pretrained(folder)
    return TrainedEncoder(labels, len(part.examples), epochs, evidence)


def _parts(bench: Bench, seed: int) -> tuple[Bench, Bench, Bench]:
    """What is learned from, what tells when to stop, and what is held out: 70, 10 and 20 % of the groups."""
    names = [example.text if example.group is None else example.group for example in bench.examples]
    fold = folds(np.unique(names, return_inverse=True)[1], 10, seed)
    parts = tuple(
        rows_of(bench, np.flatnonzero(which))
        for which in (fold > 2, fold == 2, fold < 2)  # noqa: PLR2004 - of ten folds
    )
    if not all(each.examples for each in parts):
        raise ConfigError(f"group: {len(set(names))} groups of examples cannot be parted in three; give ten or more")
    return parts[0], parts[1], parts[2]


def _columns(bench: Bench, which: Indices) -> Bench:
    models = tuple(bench.models[at] for at in which)
    return replace(bench, models=models, quality=bench.quality[:, which], cost=bench.cost[:, which])


class _Part(NamedTuple):
    """Texts and P(each class) of each, shape (texts, models + 1): the models, weakest first, then "none"."""

    texts: list[str]
    targets: Floats


def _part(bench: Bench) -> _Part:
    best = np.maximum.accumulate(bench.quality, axis=1)
    none, all_of_it = np.zeros((len(best), 1)), np.ones((len(best), 1))
    return _Part([example.text for example in bench.examples], np.diff(np.hstack([none, best, all_of_it]), axis=1))


def predicted(encoder: Encoder, texts: Sequence[str]) -> Floats:
    """P(each model answers well) for each text, shape (texts, models)."""
    shares = [
        row
        for start in range(0, len(texts), _AT_ONCE)
        for row in shares_of(encoder, encoded(encoder, texts[start : start + _AT_ONCE]))
    ]
    return np.cumsum(np.array(shares), axis=1)[:, :-1]


def fine_tune(
    encoder: Encoder, bench: Bench, watched: Bench, how: FineTuning, tell: Callable[[Epoch], object]
) -> tuple[Epoch, ...]:
    """Fine-tune a model in place. In the end it is as it was after the epoch that was best on the watched examples.

    Args:
        encoder: a classifier with a class for each model of the bench, in its order, and one for none.
        bench: what is learned from.
        watched: other examples, of the same models.
        how: the settings.
        tell: is told of each epoch.

    Returns:
        The epochs; their number is where training stopped.

    Raises:
        ConfigError: the loss grew beyond all numbers.
    """
    torch = library("torch")
    part, other = _part(bench), _part(watched)
    parameters = list(encoder.model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=how.learning_rate, weight_decay=_DECAY)
    steps = how.epochs * math.ceil(len(part.texts) / how.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _pace(step, steps))
    epochs: list[Epoch] = []
    best, kept = Epoch(0, math.inf), {}
    for number in range(1, how.epochs + 1):
        encoder.model.train()
        for rows in torch.randperm(len(part.texts)).split(how.batch):
            _loss(encoder, part, rows.tolist()).backward()
            torch.nn.utils.clip_grad_norm_(parameters, _LARGEST_GRADIENT)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        encoder.model.eval()
        epochs.append(Epoch(number, _mean_loss(encoder, other)))
        tell(epochs[-1])
        if epochs[-1].loss < best.loss:
            best, kept = epochs[-1], {name: value.clone() for name, value in encoder.model.state_dict().items()}
        elif number - best.number >= _PATIENCE:
            break
    if not kept:
        raise ConfigError(f"learning_rate: {how.learning_rate:g} is too high: the loss is no number; lower it")
    encoder.model.load_state_dict(kept)
    return tuple(epochs)


def _loss(encoder: Encoder, part: _Part, rows: Sequence[int]) -> Any:
    """The mean cross-entropy of some examples, as a tensor."""
    torch = library("torch")
    logits = encoder.model(**encoded(encoder, [part.texts[row] for row in rows])).logits
    return torch.nn.functional.cross_entropy(logits, torch.tensor(part.targets[rows], dtype=logits.dtype))


def _mean_loss(encoder: Encoder, part: _Part) -> float:
    rows = range(len(part.texts))
    some = [rows[start : start + _AT_ONCE] for start in rows[::_AT_ONCE]]
    with library("torch").inference_mode():
        return sum(len(each) * float(_loss(encoder, part, each)) for each in some) / len(rows)


def _pace(step: int, steps: int) -> float:
    """The share of the learning rate: it rises to all of it, and falls to none at the end."""
    rising = max(1, round(_WARM_UP * steps))
    return (step + 1) / rising if step < rising else (steps - step) / (steps - rising + 1)


@contextmanager
def _new_folder(to: Path) -> Iterator[Path]:
    """A folder to write to, which is at ``to`` when all is done, and nowhere if anything goes wrong on the way."""
    if to.exists():
        raise ConfigError(f"{to}: is there already and is left as it is; give the name of a new folder")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{to.name}.", dir=to.parent) as draft:
            made = Path(draft) / to.name
            yield made
            made.rename(to)
    except (OSError, library("safetensors").SafetensorError) as error:
        raise ConfigError(f"{to}: cannot be written: {error}; give another place") from error
