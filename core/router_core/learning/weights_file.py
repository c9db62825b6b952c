"""The files of what was learned: JSON with its kind and a version, read with care and written whole or not at all.

A file is ``{"schema": "router-core/<kind>", "version": 1, ...}``. It is plain data, never pickle: reading a file that
somebody else wrote runs nothing.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from router_core.errors import ConfigError
from router_core.files import whole_file

SCHEMA = "router-core/"
VERSION = 1
_REMEDY = "make it anew, or give the right file"


def write(path: Path, kind: str, content: Mapping[str, Any], *, indent: int | None = None) -> None:
    """Write ``content`` (JSON values) as a file of this kind. What was there stays until the new file is complete.
    With ``indent`` it is laid out for people to read.

    Raises:
        ConfigError: the file cannot be written.
        ValueError: ``content`` holds a number that is not finite.
    """
    whole = {"schema": SCHEMA + kind, "version": VERSION, **content}
    text = json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=indent)
    with whole_file(path) as file:
        file.write(text.encode() + b"\n")


def read(path: Path, kind: str) -> dict[str, Any]:
    """The content of a file of this kind, without ``schema`` and ``version``.

    Raises:
        ConfigError: the file is missing, broken, of another kind or of a newer version, or holds a number that is not
            finite; the message names the field, the value and the remedy.
    """
    content = _parsed(path)
    schema, version = content.pop("schema", None), content.pop("version", None)
    wanted = SCHEMA + kind
    if schema != wanted:
        raise ConfigError(f"{path}: schema: {schema!r} is not {wanted!r}; give a file of kind {kind!r}")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ConfigError(f"{path}: version: {version!r} is no version; {_REMEDY}")
    if version > VERSION:
        raise ConfigError(
            f"{path}: version: {version} is newer than {VERSION}, which this router reads; update router-core"
        )
    return content


def kind_of(path: Path) -> str | None:
    """The kind that a file says it is of; None if it is no file of this form.

    Raises:
        ConfigError: the file cannot be read or is no JSON object.
    """
    schema = _parsed(path).get("schema")
    return schema.removeprefix(SCHEMA) if isinstance(schema, str) and schema.startswith(SCHEMA) else None


def path_of(given: object, option: str) -> Path:
    """The path of a file that is given as an option.

    Raises:
        ConfigError: it is no path. ``option`` is how the message names the option.
    """
    if isinstance(given, (str, os.PathLike)) and given:
        return Path(given)
    raise ConfigError(f"{option}: {given!r} is no file; give the path of one")


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes(), parse_constant=_refuse, parse_float=_finite)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}; {_REMEDY}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is no valid JSON ({error}); {_REMEDY}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: is a JSON {type(content).__name__}, no object; {_REMEDY}")
    return content


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no finite number")


def _finite(text: str) -> float:
    """A number as Python reads it, but for those that are too large ("1e999")."""
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)
