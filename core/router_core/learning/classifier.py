"""Sequence classifiers of Hugging Face's form, such as a fine-tuned DistilBERT, in a folder on this machine.

The folder holds ``config.json``, ``model.safetensors`` and ``tokenizer.json``, as ``save_pretrained`` writes them. Only
safetensors are read, never pickled weights; no code of the folder is run, and nothing is asked of the network. torch
and transformers (extra ``transformers``) are imported when a model is loaded, not before.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from router_core.errors import ConfigError, MissingExtra

EXTRA = "transformers"
"""The extra that brings what a classifier needs."""
NONE = "none"
"""The label of the class of requests that no model answers well."""
LONGEST = 512
"""Tokens that are read unless told otherwise: what encoders such as BERT are trained on."""

_PACKAGES = ("torch", "transformers", "safetensors")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_CHARACTERS = 32
"""Characters of a text that are looked at, on each side, for every token that may be kept: far more than a token has,
and a bound for what a text of megabytes costs."""


class Encoder(NamedTuple):
    """A model and its tokenizer, as transformers loaded them, and the most tokens that it is given."""

    model: Any
    tokenizer: Any
    max_length: int


def library(name: str) -> Any:
    """One of the packages of the extra.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or name, EXTRA) from error


def check_installed() -> None:
    """Look whether the packages of the extra are there, without the seconds that it takes to import them.

    Raises:
        MissingExtra: one is not installed.
    """
    for name in _PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(name, EXTRA)


def check_folder(folder: Path) -> Mapping[str, Any]:
    """What ``config.json`` of a folder says, if the folder has all that a model is loaded from.

    Raises:
        ConfigError: a file is missing, the weights are pickled, or the configuration is not JSON.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder; give one that save_pretrained has written")
    for name, remedy in (
        ("config.json", "give a folder that save_pretrained has written"),
        ("tokenizer.json", "save the tokenizer there too: AutoTokenizer.from_pretrained(...).save_pretrained(folder)"),
    ):
        if not (folder / name).is_file():
            raise ConfigError(f"{folder}: {name} is missing; {remedy}")
    if not any((folder / name).is_file() for name in _WEIGHTS):
        pickled = next((path.name for pattern in _PICKLED for path in sorted(folder.glob(pattern))), None)
        found = "is missing" if pickled is None else f"is missing and {pickled}, which may run code, is not read"
        raise ConfigError(
            f"{folder}: {_WEIGHTS[0]} {found}; load the model where you trust it and save it anew: "
            "model.save_pretrained(folder)"
        )
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder}: config.json cannot be read ({error}); save the model anew") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{folder}: config.json: {config!r} is not an object; save the model anew")
    if "auto_map" in config:
        raise ConfigError(
            f"{folder}: config.json: auto_map: {config['auto_map']!r} names code of the folder's own, which is never "
            "run; take a model that transformers knows itself"
        )
    return config


def labels_of(folder: Path) -> tuple[str, ...]:
    """The names of the classes of a classifier, in the order of its outputs.

    Raises:
        ConfigError: as ``check_folder``; or the classes have no names, or are not such that exactly one is true.
    """
    config = check_folder(folder)
    kind = config.get("problem_type")
    if kind not in {None, "single_label_classification"}:
        raise ConfigError(
            f"{folder}: config.json: problem_type: {kind!r} has no probabilities of classes; train a model of "
            "'single_label_classification'"
        )
    given = config.get("id2label")
    classes = [given.get(str(place)) for place in range(len(given))] if isinstance(given, dict) else []
    labels = tuple(dict.fromkeys(label for label in classes if isinstance(label, str) and label))
    if len(labels) < 2 or len(labels) < len(classes):  # noqa: PLR2004 - one class decides nothing
        raise ConfigError(
            f"{folder}: config.json: id2label: {given!r} does not name the classes; give two or more different names "
            'by number, such as {"0": "weak", "1": "strong"}'
        )
    return labels


def load(folder: Path, max_length: int | None = None, labels: Sequence[str] | None = None) -> Encoder:
    """Load a model and its tokenizer.

    Args:
        folder: where they are.
        max_length: the most tokens that the model is given; as many as it was trained on, at most ``LONGEST``, if None.
        labels: names of classes for which the model gets a new, untrained head; if None, the head must be there.

    Raises:
        ConfigError: the folder is broken, holds no classifier, or the model cannot read ``max_length`` tokens.
        MissingExtra: a package is not installed.
    """
    check_folder(folder)
    for name in _PACKAGES:
        library(name)
    transformers = library("transformers")
    where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    head: dict[str, Any] = {}
    if labels is not None:
        head = {
            "id2label": dict(enumerate(labels)),
            "label2id": {label: place for place, label in enumerate(labels)},
            "problem_type": "single_label_classification",
            "ignore_mismatched_sizes": True,
        }
    with _quiet(transformers, report=labels is None), _broken(folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), **where)
        model, found = transformers.AutoModelForSequenceClassification.from_pretrained(
            str(folder), use_safetensors=True, output_loading_info=True, **where, **head
        )
    lost = sorted({*found["missing_keys"], *(name for name, *_shapes in found["mismatched_keys"])})
    if labels is not None:
        # A new head is what is wanted; some encoders are saved without the pooler that belongs to it.
        lost = [name for name in lost if name.startswith(f"{model.base_model_prefix}.") and "pooler" not in name]
    if lost:
        remedy = "fine-tune it: llm-router train --encoder" if labels is None else "save the encoder anew"
        raise ConfigError(
            f"{folder}: {len(lost)} of the weights are missing or of another shape, such as {lost[-1]}; {remedy}"
        )
    model.float().eval()
    return Encoder(model, tokenizer, _length(folder, model, tokenizer, max_length))


def encoded(encoder: Encoder, texts: Sequence[str]) -> Mapping[str, Any]:
    """The model's input for some texts: tensors of shape (texts, tokens of the longest).

    Of a text that is too long both ends are kept, where prompts tell what is wanted. Not thread-safe: the tokenizer
    keeps settings of its last call.
    """
    tokenizer = encoder.tokenizer
    room = encoder.max_length - tokenizer.num_special_tokens_to_add()
    inputs: Mapping[str, Any] = tokenizer(
        [_ends(tokenizer, text, room) for text in texts],
        padding=True,
        truncation=True,
        max_length=encoder.max_length,
        return_token_type_ids=False,
        return_tensors="pt",
    )
    return inputs


def shares_of(encoder: Encoder, inputs: Mapping[str, Any]) -> list[list[float]]:
    """The probabilities of the classes for each text of an input: each row adds up to 1."""
    with library("torch").inference_mode():
        rows: list[list[float]] = encoder.model(**inputs).logits.double().softmax(-1).tolist()
    return rows


class Classifier:
    """The probabilities of the classes of a text, from a model that is loaded when it is first asked. Thread-safe.

    Args:
        folder: where the model is.
        max_length: see ``load``.

    Raises:
        ConfigError: see ``labels_of``.
    """

    def __init__(self, folder: Path, max_length: int | None = None) -> None:
        self.labels = labels_of(folder)
        self._folder = folder
        self._max_length = max_length
        self._encoder: Encoder | None = None
        self._loading, self._tokenizing = Lock(), Lock()

    def probabilities(self, texts: Sequence[str]) -> list[list[float]]:
        """For each text the probability of each label; each row adds up to 1.

        Raises:
            ConfigError, MissingExtra: see ``load``; or the weights give no numbers.
        """
        encoder = self._loaded()
        with self._tokenizing:
            inputs = encoded(encoder, texts)
        rows = shares_of(encoder, inputs)
        if not all(math.isfinite(share) for row in rows for share in row):
            raise ConfigError(f"{self._folder}: the weights give no numbers (nan); train the model anew")
        return rows

    def _loaded(self) -> Encoder:
        if self._encoder is None:
            with self._loading:
                if self._encoder is None:
                    self._encoder = load(self._folder, self._max_length)
        return self._encoder


def _length(folder: Path, model: Any, tokenizer: Any, wanted: int | None) -> int:
    embedded = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > embedded:
        raise ConfigError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens and the model {embedded}; save the tokenizer there "
            "that the model was trained with"
        )
    most: int = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None) or LONGEST)
    if wanted is None:
        return min(most, LONGEST)
    least = tokenizer.num_special_tokens_to_add() + 2
    if not least <= wanted <= most:
        raise ConfigError(
            f"{folder}: max_length: {wanted} tokens cannot be given to this model; give {least} to {most}"
        )
    return wanted


def _ends(tokenizer: Any, text: str, room: int) -> str:
    bound = room * _CHARACTERS
    if len(text) > 2 * bound:
        text = f"{text[:bound]} {text[-bound:]}"
    places: list[tuple[int, int]] = tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )["offset_mapping"]
    if len(places) <= room:
        return text
    head = room // 2
    return f"{text[: places[head - 1][1]]} {text[places[head - room][0] :]}"


@contextmanager
def _quiet(transformers: Any, *, report: bool) -> Iterator[None]:
    """No bar of progress on the application's terminal, and unless wanted no ``report`` of missing weights."""
    logging = transformers.utils.logging
    bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    if not report:
        logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


@contextmanager
def _broken(folder: Path) -> Iterator[None]:
    """What the libraries raise of a folder that they cannot read. They check fields of a configuration as they come
    upon them, so it may be anything that a wrong value leads to."""
    unreadable = library("safetensors").SafetensorError
    invalid = library("huggingface_hub").errors.StrictDataclassError
    wrong = (ArithmeticError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError)
    try:
        yield
    except (unreadable, invalid, *wrong) as error:
        raise ConfigError(
            f"{folder}: the model cannot be loaded ({type(error).__name__}: {error}); save it anew with save_pretrained"
        ) from error
