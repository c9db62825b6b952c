"""Writing the demo's files: whole or not at all, with an error that says what to do."""

from __future__ import annotations

import os
from pathlib import Path

from router_core.errors import ConfigError


def make_folder(out: Path) -> None:
    """Make the folder and see that it takes files, before anything is run.

    Raises:
        ConfigError: it cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from None
    save(out / ".probe", b"")
    (out / ".probe").unlink(missing_ok=True)


def save(path: Path, data: bytes) -> Path:
    """Write a file beside its place and move it there, so that no half-written one is ever seen.

    Raises:
        ConfigError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        _forget(draft)
    return path


def _forget(draft: Path) -> None:
    try:
        draft.unlink(missing_ok=True)
    except OSError:
        return  # the folder itself is out of reach, and the error before this one says so


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"out: {path} cannot be written: {error.strerror}; give another folder with --out")
