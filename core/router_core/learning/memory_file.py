"""The strategy memory as JSON that people can read, and as a file of one process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from router_core.errors import ConfigError
from router_core.learning.strategy import Batch, Cell, Contents, Evidence, Kind, MemoryBook, Place, Step, Why
from router_core.learning.weights_file import read, write
from router_core.types import Json

KIND = "memory"


def write_memory(path: Path, contents: Contents) -> None:
    """Write what a memory holds. What was there stays until the new file is complete.

    Raises:
        ConfigError: the file cannot be written.
    """
    write(path, KIND, as_json(contents), indent=1)


def read_memory(path: Path) -> Contents:
    """What a file holds.

    Raises:
        ConfigError: it is missing, broken or no memory; the message names the field and the remedy.
    """
    content = read(path, KIND)
    where = f"{path}"
    try:
        return _contents(content)
    except KeyError as error:
        raise ConfigError(f"{where}: {error} is missing; export the memory anew") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: holds what is no memory ({error}); export the memory anew") from None


def as_json(contents: Contents) -> dict[str, Json]:
    """The evidence by place and model, and the steps in the order in which they were taken."""
    places: dict[Place, dict[str, dict[str, Json]]] = {}
    for (place, model, kind), evidence in sorted(contents.evidence.items()):
        places.setdefault(place, {}).setdefault(model, {})[kind.value] = evidence._asdict()
    return {
        "places": [{**place._asdict(), "models": models} for place, models in places.items()],
        "steps": [
            {**step.place._asdict(), **{name: value for name, value in step._asdict().items() if name != "place"}}
            for step in contents.steps
        ],
    }


class MemoryFile:
    """Keeps a memory in a JSON file, which one process at a time may use.

    Raises:
        ConfigError: the file is there and holds no memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._book = MemoryBook(read_memory(path) if path.exists() else Contents())

    def remember(self, batch: Batch, *, anew: bool = False) -> bool:
        """Add a batch, and write the file. Raises ``ConfigError`` if it cannot be written."""
        new = self._book.apply(batch, anew=anew)
        write_memory(self._path, self._book.contents)
        return new

    def learn_feedback(self, length: float, at: float) -> tuple[tuple[Place, str], ...]:  # noqa: ARG002
        """Nothing: no feedback is kept in the file. The process that served the request learns from it."""
        return ()

    def memory(self) -> Contents:
        """All that the memory holds."""
        return self._book.contents


def _contents(content: Mapping[str, Any]) -> Contents:
    evidence: dict[Cell, Evidence] = {}
    for entry in content["places"]:
        place = Place(str(entry["call_site"]), str(entry["task"]))
        for model, kinds in entry["models"].items():
            for kind, numbers in kinds.items():
                evidence[Cell(place, str(model), Kind(kind))] = _evidence(numbers)
    return Contents(evidence, tuple(map(_step, content["steps"])))


def _evidence(numbers: Mapping[str, Any]) -> Evidence:
    found = Evidence(*(float(numbers[name]) for name in Evidence._fields))
    if min(found) < 0:
        raise ValueError(f"evidence {dict(numbers)} is below 0")
    return found


def _step(entry: Mapping[str, Any]) -> Step:
    return Step(
        place=Place(str(entry["call_site"]), str(entry["task"])),
        number=int(entry["number"]),
        at=float(entry["at"]),
        from_model=str(entry["from_model"]),
        to_model=str(entry["to_model"]),
        why=Why(entry["why"]),
        detail=str(entry["detail"]),
        evidence=dict(entry["evidence"]),
    )
