"""Classes by the names that ``router.yaml`` has for them, each imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Named(Mapping[str, Callable[..., T]], Generic[T]):
    """A mapping of names to classes. What is given as "package.module:Class" is imported late: few routers need all,
    and ``import router_core`` is to be fast."""

    def __init__(self, classes: Mapping[str, Callable[..., T] | str]) -> None:
        self._classes = dict(classes)

    def __getitem__(self, name: str) -> Callable[..., T]:
        found = self._classes[name]
        if isinstance(found, str):
            module, _, attribute = found.partition(":")
            found = self._classes[name] = getattr(import_module(module), attribute)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def attribute(self, module: str, attribute: str) -> Any:
        """The ``__getattr__`` of a module that exports these classes by their own names.

        Raises:
            AttributeError: none is called so.
        """
        for name, found in self._classes.items():
            if (found.rpartition(":")[2] if isinstance(found, str) else found.__name__) == attribute:
                return self[name]
        raise AttributeError(f"module {module!r} has no attribute {attribute!r}")
