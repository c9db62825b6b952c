"""An embedding that the user gives to a policy: a function from a text to its vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

from router_core.errors import ConfigError
from router_core.policies.simple import imported

Embedding: TypeAlias = Callable[[str], Sequence[float]]


class Embedder:
    """Calls the user's embedding and sees that it is the one that the file was made with.

    Args:
        policy: the name of the policy, for messages.
        file: the name of its file.
        size: how many numbers the vectors in the file have; 0 if it was made without an embedding.
        given: the function, or "package.module:function".

    Raises:
        ConfigError: one is needed and not given, or given and not needed, or it is no function.
    """

    def __init__(self, policy: str, file: str, size: int, given: Embedding | str | None) -> None:
        self._where = f"policy: {policy}.embedding"
        self._file = file
        self._size = size
        if given is None and size:
            raise ConfigError(
                f"{self._where} is missing: {file} was made with an embedding of {size} numbers; give the same one"
            )
        if given is not None and not size:
            raise ConfigError(f"{self._where}: {given!r} is not needed: {file} was made without one; leave it out")
        found = imported(given, self._where) if isinstance(given, str) else given
        if found is not None and not callable(found):
            raise ConfigError(f"{self._where}: {given!r} is no function of a text; give one")
        self._function = cast("Embedding | None", found)

    def vector(self, text: str) -> Sequence[float]:
        """The vector of a text; empty without an embedding.

        Raises:
            ConfigError: it has not the length that it must have.
        """
        if self._function is None:
            return ()
        vector = self._function(text)
        if len(vector) != self._size:
            raise ConfigError(
                f"{self._where}: it gave {len(vector)} numbers, and {self._file} was made with {self._size}; give the "
                "embedding that it was made with"
            )
        return vector
