"""JSON that a model wrote, held against the JSON Schema that it was asked to fit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_SHOWN = 200
"""Characters of an error that are shown: jsonschema repeats the whole value in it."""

_KEPT = 256
"""Schemas whose validators are kept."""


def read_json(text: str) -> Any:
    """The value of a JSON text. Stricter than ``json.loads``: NaN and Infinity are not JSON.

    Raises:
        ValueError: the text is not JSON, or nests too deeply to be read.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nests too deeply") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def misfit(schema: Mapping[str, Any], value: Any) -> str | None:
    """How a value does not fit a schema (the first error found); None if it fits.

    A schema that is itself broken tells nothing about the answer: it lets everything pass. Broken is also one that
    refers to a place that does not exist or is not in it (nothing is ever fetched), that never ends, or whose patterns
    Python cannot read. ``format`` is not checked, as JSON Schema leaves it. Without ``$schema`` it is draft 2020-12.
    """
    if not schema:
        return None
    try:
        # By content: frameworks build the same schema anew for each call, and users may change theirs in place.
        validator = _validator(json.dumps(schema, default=dict))
    except (TypeError, ValueError, RecursionError):
        return None
    return None if validator is None else _first_error(validator, value)


@lru_cache(maxsize=_KEPT)
def _validator(schema_json: str) -> Validator | None:
    """The validator of a schema; None if the schema is broken. Validators hold no state, so threads share them."""
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for
    from referencing.jsonschema import EMPTY_REGISTRY  # noqa: PLC0415 (it comes with jsonschema, which is loaded late)

    schema = json.loads(schema_json)
    if not isinstance(schema.get("$schema", ""), str):
        return None
    dialect = validator_for(schema, default=Draft202012Validator)
    try:
        dialect.check_schema(schema)
        # jsonschema's own registry would fetch what a "$ref" names; an empty one knows the schema alone.
        return dialect(schema, registry=EMPTY_REGISTRY)
    except (SchemaError, ValueError, RecursionError):
        return None


def _first_error(validator: Validator, value: Any) -> str | None:
    from referencing.exceptions import Unresolvable  # noqa: PLC0415 (as above)

    try:
        error = next(validator.iter_errors(value), None)
    except (Unresolvable, re.error, RecursionError, ArithmeticError, ValueError):
        return None
    if error is None:
        return None
    message = error.message
    return f"{error.json_path}: {message if len(message) <= _SHOWN else message[:_SHOWN] + '...'}"
