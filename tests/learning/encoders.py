"""Tiny encoders that tests make themselves: a DistilBERT of two layers with random weights, and its tokenizer."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None,
    reason="torch and transformers are not installed; run: pip install 'router-core[transformers]'",
)
WORDS = ("add", "and", "big", "cat", "dog", "integral", "name", "of", "prove", "say", "small", "the", "theorem", "two")
LENGTH = 16
"""Tokens that the tokenizer says the model is given."""


def files_only(folder: Path, labels: Sequence[str] = ("weak", "strong"), **settings: Any) -> Path:
    """A folder that looks like a classifier's until its weights are loaded. Settings of None are left out."""
    config = {"model_type": "distilbert", "id2label": {str(at): name for at, name in enumerate(labels)}, **settings}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({name: v for name, v in config.items() if v is not None}), "utf-8")
    (folder / "tokenizer.json").write_text("{}", "utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def tiny(folder: Path, labels: Sequence[str] | None = ("weak", "strong"), seed: int = 0) -> Path:
    """A classifier with these labels, or an encoder without a head."""
    import torch
    from transformers import DistilBertConfig, DistilBertForSequenceClassification, DistilBertModel, DistilBertTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(1)  # for models as small as these more of them only wait for each other
    vocabulary = {word: at for at, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS))}
    named = {"id2label": dict(enumerate(labels))} if labels else {}
    config = DistilBertConfig(
        vocab_size=len(vocabulary), dim=32, hidden_dim=64, n_layers=2, n_heads=2, max_position_embeddings=32, **named
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = (DistilBertModel if labels is None else DistilBertForSequenceClassification)(config)
    if labels is not None:
        with torch.no_grad():
            model.classifier.weight *= 50  # random weights alone tell hardly one text from another
    model.save_pretrained(folder)
    DistilBertTokenizer(vocab=vocabulary, model_max_length=LENGTH).save_pretrained(folder)
    return folder
