"""What the readers of a request share: showing a wrong value without telling the request, and measuring text."""

from __future__ import annotations

import json

from router_core.errors import InvalidRequest

SHOWN = 40
"""Characters of a wrong value that an error shows."""


def shown(value: object) -> str:
    """A wrong value for an error message: short strings and numbers as they are, the type of anything else."""
    if isinstance(value, str):
        return repr(value) if len(value) <= SHOWN else f"{value[:SHOWN]!r}... ({len(value)} characters)"
    if isinstance(value, int) and value.bit_length() > 4 * SHOWN:
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    return type_of(value)


def type_of(value: object) -> str:
    """The type of a value that may hold a part of the request, which no error may tell."""
    return f"a {type(value).__name__}"


def text_size(text: str, where: str) -> int:
    """The UTF-8 length of a text that is to be sent, in bytes.

    Raises:
        InvalidRequest: it holds a lone surrogate, which UTF-8 cannot express, or a NUL, at which servers cut texts.
    """
    if (nul := text.find("\0")) >= 0:
        raise InvalidRequest(f"{where}: character {nul} is a NUL; remove it")
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"{where}: character {error.start} is a lone surrogate (U+{ord(text[error.start]):04X}); "
            "decode the text with the right encoding, or with errors='replace'"
        ) from None


def json_size(value: object, where: str) -> int:
    """The UTF-8 length of a value as JSON, in bytes.

    Raises:
        InvalidRequest: it cannot be written as JSON.
    """
    try:
        return len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
    except UnicodeEncodeError:
        raise InvalidRequest(f"{where}: a string in it holds a lone surrogate; remove it") from None
    except RecursionError:
        raise InvalidRequest(f"{where}: it is nested too deeply to be written as JSON; flatten it") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRequest(
            f"{where}: it cannot be written as JSON ({shown(str(error))}); give plain values"
        ) from None
