"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from router_core.errors import ConfigError


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of ``path`` when it is done. Until then, and if anything goes wrong on
    the way, what is there stays as it is.

    Raises:
        ConfigError: it cannot be written, or something else than a file is there.
    """
    try:
        # The target of a link is replaced, not the link.
        place = path.resolve()
        if place.exists() and not place.is_file():
            raise ConfigError(f"{path}: is no file and is left as it is; give the name of a file")
        draft = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
        try:
            with draft.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            draft.replace(place)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}; give another place") from None
