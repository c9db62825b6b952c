"""Files of JSON lines, plain or compressed with gzip: read row by row, and refused with the line that is wrong."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from router_core.errors import ConfigError
from router_core.registry import did_you_mean

_GZIP = b"\x1f\x8b"
_LONGEST = 60
"""Characters of a value in a message."""


class Row(NamedTuple):
    """One JSON object, and where it stands: "file:line"."""

    where: str
    fields: Mapping[str, Any]

    def wrong(self, field: str, value: object, why: str) -> ConfigError:
        """The error that says what is wrong with a field, and what to do about it."""
        return ConfigError(f"{self.where}: {field}: {shown(value)} {why}")

    def text(self, field: str) -> str | None:
        """A field that is a text; None if it is missing or null, a whole number as its digits.

        Raises:
            ConfigError: it is something else.
        """
        value = self.fields.get(field)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is None or isinstance(value, str):
            return value
        raise self.wrong(field, value, "is no text; give one, or leave it out")


def read_rows(path: Path) -> Iterator[Row]:
    """The objects of a file of JSON lines; blank lines are passed over.

    Raises:
        ConfigError: the file cannot be read, or a line is no JSON object.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(len(_GZIP)) == _GZIP
        with gzip.open(path) if compressed else path.open("rb") as lines:
            yield from _rows(path, lines)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: is not a whole gzip file ({error}); compress it anew") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}; give a file of JSON lines") from None


def _rows(path: Path, lines: Iterable[bytes]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            fields = json.loads(text) if text else {}
        except UnicodeDecodeError:
            raise ConfigError(f"{where}: is not text in UTF-8; convert the file first") from None
        except (json.JSONDecodeError, RecursionError) as error:
            raise ConfigError(f"{where}: is no JSON ({error}); give one JSON object on each line") from None
        if not isinstance(fields, dict):
            raise ConfigError(f"{where}: {shown(fields)} is no JSON object; give one JSON object on each line")
        if text:
            yield Row(where, fields)


def shown(value: object) -> str:
    """A value for a message: short, and on one line."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def number_of(value: object) -> float | None:
    """A finite number, also one that is written as text, as amounts of money are; None for anything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def missing(row: Row, wanted: str, known: Collection[str], remedy: str) -> ConfigError:
    """The error for a row that lacks a field: it names the one that may be meant."""
    hints = ((field, did_you_mean(field, known)) for field in row.fields if field not in known)
    hint = next((f": {field!r}{hint}" for field, hint in hints if hint), "")
    return ConfigError(f"{row.where}: {wanted} is missing{hint}; {remedy}")
