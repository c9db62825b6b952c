"""What ``NearestPolicy`` knows: the vectors of labelled prompts and how well each model answered them, and no texts.

Pure Python; numpy is used where it is installed. Kept in a file of kind "nearest".
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from router_core.errors import ConfigError
from router_core.features import deciding_turn
from router_core.learning import weights_file
from router_core.learning.examples import Example
from router_core.learning.rows import number_of, shown
from router_core.types import Json

KIND = "nearest"
_REMEDY = "make the file anew"


@dataclass(frozen=True)
class Neighbours:
    """Labelled prompts.

    ``vectors`` have length 1 each, so that their inner product is the cosine. ``quality`` has for each prompt the
    quality (0..1) of each of ``models``, None where it was not measured.
    """

    models: tuple[str, ...]
    vectors: tuple[array[float], ...]
    quality: tuple[tuple[float | None, ...], ...]
    trained: Mapping[str, Json] = field(default_factory=dict)

    @classmethod
    def of(
        cls, examples: Sequence[Example], models: Sequence[str], embedding: Callable[[str], Sequence[float]]
    ) -> Neighbours:
        """Of labelled examples.

        Raises:
            ConfigError: there is no example, or the embedding gives vectors of several lengths.
        """
        vectors = tuple(unit(embedding(deciding_turn(example.request.user_texts))) for example in examples)
        if len({len(vector) for vector in vectors}) != 1:
            raise ConfigError(
                "embedding: gives vectors of several lengths, or there is no example; give a fixed length"
            )
        outcomes = [example.outcomes for example in examples]
        quality = tuple(tuple(found[m].quality if m in found else None for m in models) for found in outcomes)
        return cls(tuple(models), vectors, quality, {"examples": len(examples)})

    @property
    def size(self) -> int:
        """Numbers of a vector."""
        return len(self.vectors[0])

    @cached_property
    def means(self) -> tuple[float, ...]:
        """The mean quality of each model."""
        return tuple(_mean([row[at] for row in self.quality]) for at in range(len(self.models)))

    def nearest(self, vector: Sequence[float], count: int) -> list[tuple[float, int]]:
        """Cosine and place of the ``count`` nearest prompts, the nearest first."""
        asked = unit(vector)
        if self._matrix is not None:
            cosines = (self._matrix @ asked).tolist()
        else:
            cosines = [_dot(own, asked) for own in self.vectors]
        return heapq.nlargest(count, zip(cosines, range(len(cosines)), strict=True))

    @cached_property
    def _matrix(self) -> Any:
        try:
            import numpy as np  # noqa: PLC0415 - an extra, and slow to import
        except ImportError:
            return None
        return np.array(self.vectors)

    def write(self, path: Path) -> None:
        """Write them to a file, whole or not at all.

        Raises:
            ConfigError: the file cannot be written.
        """
        content: dict[str, Any] = {
            "trained": dict(self.trained),
            "models": list(self.models),
            "vectors": [[round(value, 5) for value in vector] for vector in self.vectors],
            "quality": [list(row) for row in self.quality],
        }
        weights_file.write(path, KIND, content)

    @classmethod
    def read(cls, path: Path) -> Neighbours:
        """Read them from a file.

        Raises:
            ConfigError: the file cannot be read, or is none of this kind; names the field, the value and the remedy.
        """
        content = weights_file.read(path, KIND)
        models, vectors, quality = (_list(path, content, name) for name in ("models", "vectors", "quality"))
        if not models or not all(isinstance(model, str) for model in models):
            raise ConfigError(f"{path}: models: {shown(models)} are no names; {_REMEDY}")
        if not vectors or len(vectors) != len(quality):
            raise ConfigError(f"{path}: quality: {len(quality)} rows for {len(vectors)} vectors; {_REMEDY}")
        size = len(vectors[0]) if isinstance(vectors[0], list) else 0
        rows = tuple(_row(path, f"vectors[{at}]", row, size) for at, row in enumerate(vectors))
        outcomes = tuple(_outcomes(path, f"quality[{at}]", row, len(models)) for at, row in enumerate(quality))
        trained = content.get("trained")
        return cls(tuple(models), rows, outcomes, trained if isinstance(trained, dict) else {})


def unit(vector: Sequence[float]) -> array[float]:
    """The vector with length 1; one of zeros stays so."""
    values = array("d", vector)
    length = math.sqrt(sum(value * value for value in values))
    return array("d", [value / length for value in values]) if length else values


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(one * other for one, other in zip(left, right, strict=True))


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 0.5


def _list(path: Path, content: Mapping[str, Any], name: str) -> list[Any]:
    value = content.get(name)
    if not isinstance(value, list):
        raise ConfigError(f"{path}: {name}: {shown(value)} is no list; {_REMEDY}")
    return value


def _row(path: Path, where: str, row: object, size: int) -> array[float]:
    numbers = [_number(value) for value in row] if isinstance(row, list) else []
    known = [number for number in numbers if number is not None]
    if not size or len(known) != size or len(numbers) != size:
        raise ConfigError(f"{path}: {where}: {shown(row)} is not {size or 'some'} numbers; {_REMEDY}")
    return unit(known)


def _outcomes(path: Path, where: str, row: object, size: int) -> tuple[float | None, ...]:
    if isinstance(row, list) and len(row) == size:
        numbers = tuple(_number(value) for value in row)
        whole = all(value is None for value, number in zip(row, numbers, strict=True) if number is None)
        if whole and all(number is None or 0 <= number <= 1 for number in numbers):
            return numbers
    raise ConfigError(f"{path}: {where}: {shown(row)} is not {size} qualities (0..1 or null); {_REMEDY}")


def _number(value: object) -> float | None:
    return None if isinstance(value, str) else number_of(value)
