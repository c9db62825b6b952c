"""Which prices a command computes with: those that are installed, or those of a file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from genai_prices import data_snapshot, types
from pydantic import ValidationError

from router_core.config import load
from router_core.errors import ConfigError
from router_core.registry import Registry
from router_core.types import REGISTRY_PRICE, Cost

_CHECKED = re.compile(r"\b(?:checked|verified|as of)(?: on|:)? (20\d\d-\d\d-\d\d)\b", re.IGNORECASE)


class PriceList(NamedTuple):
    """The prices that a command computes with.

    ``published`` is the version of the published list, ``own`` that of the user's own prices, as attempts are marked
    with them; ``registry`` has the latter.
    """

    published: str
    own: str
    registry: Registry | None

    def version_of(self, cost: Cost | None) -> str:
        """The version that a cost was computed with; that of the published list for one that nobody knows."""
        return self.own if cost is not None and cost.price_version == REGISTRY_PRICE else self.published


def installed_version() -> str:
    """The version of the published list that is installed."""
    return f"genai-prices {version('genai-prices')}"


@contextmanager
def prices_of(snapshot: Path | None, registry: Registry | None) -> Iterator[PriceList]:
    """The installed prices and those of the registry file; with ``snapshot`` those of a file instead.

    It is a list as genai-prices publishes it (JSON), or a registry file: its prices then take the place of the
    registry's, and what it has no price for is looked up in the installed list. While the block runs, the whole
    process looks prices up there.

    Raises:
        ConfigError: the file cannot be read, or is none of both.
    """
    if snapshot is None:
        yield PriceList(installed_version(), REGISTRY_PRICE, registry)
        return
    try:
        content = snapshot.read_bytes()
    except OSError as error:
        raise ConfigError(f"--snapshot: {snapshot} cannot be read: {error.strerror or error}") from None
    name = f"{snapshot.name} {hashlib.sha256(content).hexdigest()[:12]}"
    providers = _json_list(content)
    if providers is None:
        yield PriceList(installed_version(), name, load(snapshot).registry)
        return
    before = data_snapshot.get_snapshot()
    data_snapshot.set_custom_snapshot(_snapshot(snapshot, providers))
    try:
        yield PriceList(name, REGISTRY_PRICE, registry)
    finally:
        data_snapshot.set_custom_snapshot(before)


def newest_check(today: date) -> date | None:
    """The newest day, up to today, on which somebody checked a price of the published list: it is at least as new.

    The list does not say when it was made, but its comments say when prices were checked. Other days in it may have
    been still to come.
    """
    texts: list[str | None] = []
    for provider in data_snapshot.get_snapshot().providers:
        texts += [provider.price_comments, *(model.price_comments for model in provider.models)]
    days = (_day(text) for each in texts for text in _CHECKED.findall(each or ""))
    return max((day for day in days if day is not None and day <= today), default=None)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _json_list(content: bytes) -> list[Any] | None:
    """The file as a list of JSON, or None if it is something else."""
    try:
        read = json.loads(content, parse_float=Decimal)
    except ValueError:
        return None
    return read if isinstance(read, list) else None


def _snapshot(path: Path, providers: list[Any]) -> Any:
    try:
        # What ``UpdatePrices.fetch`` reads the list with that it downloads; nothing public does it for a file.
        read = types._providers_from_raw(providers)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    except (ValidationError, AssertionError, AttributeError) as error:
        fault = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ConfigError(
            f"--snapshot: {path} is no list of genai-prices: {fault}; give the data.json of its repository or a "
            "registry file"
        ) from None
    if not read:
        raise ConfigError(f"--snapshot: {path} names no provider; give the data.json of genai-prices")
    return data_snapshot.DataSnapshot(providers=read, from_auto_update=False)
