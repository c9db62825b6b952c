"""The strategy memory as rows, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from router_core.learning.strategy import Batch, Cell, Contents, Evidence, Increment, Kind, Place, Step, Why
from router_core.stores.base import Row
from router_core.stores.rows import MAX_KEY_LENGTH, microseconds, storable


class BatchRows(NamedTuple):
    """What a batch adds: its writer, and rows by the order of their ids, in which they are locked. Each row of evidence
    has "keep" beside its columns."""

    writer: Row
    evidence: Sequence[Row]
    steps: Sequence[Row]


def batch_rows(batch: Batch) -> BatchRows:
    """The rows of a batch.

    Raises:
        ValueError: a name is too long for an index, or a number is none.
    """
    at_us = microseconds(batch.at, "at")
    evidence = [_evidence_row(increment, at_us) for increment in batch.increments]
    return BatchRows(
        {"writer": batch.writer, "number": batch.number, "at_us": at_us},
        sorted(evidence, key=lambda row: str(row["id"])),
        sorted(map(_step_row, batch.steps), key=lambda row: (str(row["id"]), row["number"])),
    )


def read_memory(evidence: Iterable[Row], steps: Iterable[Row]) -> Contents:
    """What the rows of the two tables say."""
    return Contents(
        {_cell(row["id"]): Evidence(*map(row.__getitem__, Evidence._fields)) for row in evidence},
        tuple(map(_step, steps)),
    )


def _evidence_row(increment: Increment, at_us: int) -> Row:
    place, model, kind = increment.cell
    numbers = increment.added._asdict()
    if not all(map(math.isfinite, (increment.keep, *numbers.values()))):
        raise ValueError(f"memory: the evidence of {model!r} at {place} is not made of numbers: {increment}")
    return {
        "id": _id(*place, model, kind.value),
        "call_site": storable(place.call_site),
        "task": storable(place.task),
        "model": storable(model),
        "kind": kind.value,
        "keep": increment.keep,
        **numbers,
        "at_us": at_us,
    }


def _step_row(step: Step) -> Row:
    return {
        "id": _id(*step.place),
        "number": step.number,
        "call_site": storable(step.place.call_site),
        "task": storable(step.place.task),
        "at_us": microseconds(step.at, "at"),
        "from_model": storable(step.from_model),
        "to_model": storable(step.to_model),
        "why": step.why.value,
        "detail": storable(step.detail),
        "evidence": json.dumps(step.evidence, allow_nan=False),
    }


def _id(*parts: str) -> str:
    text = json.dumps(parts)
    if len(text) > MAX_KEY_LENGTH:
        raise ValueError(f"memory: the names {parts} are longer than {MAX_KEY_LENGTH} together")
    return text


def _cell(text: str) -> Cell:
    call_site, task, model, kind = json.loads(text)
    return Cell(Place(call_site, task), model, Kind(kind))


def _step(row: Row) -> Step:
    return Step(
        place=Place(*json.loads(row["id"])),
        number=row["number"],
        at=row["at_us"] / 1_000_000,
        from_model=row["from_model"],
        to_model=row["to_model"],
        why=Why(row["why"]),
        detail=row["detail"],
        evidence=json.loads(row["evidence"]),
    )
