"""How many tokens a request has: an upper bound that needs no tokenizer, an expectation, and a count where it decides.

A byte-level tokenizer makes at most one token of each byte, so the UTF-8 length bounds the count for every model. Only
where that bound does not fit a context window is tiktoken asked, and only with an encoding that already lies on
this machine: it is never allowed to reach for the network.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from router_core.types import RequestView

if TYPE_CHECKING:
    from tiktoken import Encoding

BYTES_PER_TOKEN = 4
"""What English text has on average with the common tokenizers (OpenAI's own rule of thumb)."""

_FOREIGN_MARGIN_PERCENT = 125
"""tiktoken's count is exact for OpenAI's models; tokenizers of others are allowed a quarter more."""

_PIECE = 50_000
"""Characters counted at a time: keeps tiktoken linear on long runs without a space."""

_ENCODINGS = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
"""SHA-256 of the encoding files, as tiktoken itself checks them; the first one found is used."""

_SOURCE = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
"""Where tiktoken would load an encoding from; its cache names the file by the SHA-1 of this address."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An upper bound of the input tokens and how it was found: "bytes", "tiktoken" or "the application's tokenizer"."""

    tokens: int
    method: str
    note: str = ""


def expected_input_tokens(request: RequestView) -> int:
    """The number of input tokens to expect, for predictions and where a provider reports none."""
    return -(-request.input_bytes // BYTES_PER_TOKEN)


def expected_tokens(text: str) -> int:
    """The number of tokens to expect of a text."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def input_bound(request: RequestView, room: int, provider: str) -> Estimate:
    """An upper bound of the input tokens; counted with tiktoken only if the byte bound exceeds ``room`` tokens."""
    if request.input_bytes <= room:
        return Estimate(request.input_bytes, "bytes")
    if request.input_tokens is not None:
        return Estimate(request.input_tokens, "the application's tokenizer")
    counted = _count(request)
    if counted is None:
        return Estimate(
            request.input_bytes,
            "bytes",
            "a bound of one token per byte; install 'router-core[tiktoken]' with its encodings in TIKTOKEN_CACHE_DIR "
            "for an exact count",
        )
    if provider != "openai":
        counted = -(-counted * _FOREIGN_MARGIN_PERCENT // 100)
    return Estimate(min(counted, request.input_bytes), "tiktoken")


def _count(request: RequestView) -> int | None:
    encoding = local_encoding()
    if encoding is None:
        return None
    texts = [turn.text for turn in request.turns]
    counted = sum(
        len(encoding.encode_ordinary(text[start : start + _PIECE]))
        for text in texts
        for start in range(0, len(text), _PIECE)
    )
    # Tools, schemas, images and the wrapping of messages keep their bound.
    return counted + request.input_bytes - sum(len(text.encode()) for text in texts)


@cache
def local_encoding() -> Encoding | None:
    """A tiktoken encoding that lies complete in tiktoken's own cache folder; None without tiktoken or without one."""
    folder = _cache_folder()
    for name, digest in _ENCODINGS.items():
        file = folder / hashlib.sha1(_SOURCE.format(name).encode(), usedforsecurity=False).hexdigest()
        # A damaged file would be deleted and fetched anew by tiktoken: check before it can.
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == digest:
            return _load(name)
    return None


def _load(name: str) -> Encoding | None:
    try:
        import tiktoken
    except ImportError:
        return None
    return tiktoken.get_encoding(name)


def _cache_folder() -> Path:
    named = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    return Path(named) if named else Path(tempfile.gettempdir()) / "data-gym-cache"
