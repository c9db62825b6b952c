"""The strategy memory as rows, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from router_core.learning.strategy import (
    Batch,
    Cell,
    Contents,
    Evidence,
    Increment,
    Kind,
    MemoryBook,
    Place,
    Step,
    Why,
    judged_again,
    merged,
)
from router_core.policies.strategy import place_in
from router_core.stores.base import Row, Taught
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


class Said(NamedTuple):
    """What was said of the answer to a request, and what teaches: the place and the model, None where it teaches
    nothing. ``earlier`` is what was learned of it before: the score, and which of the model's judgements that was."""

    request_id: str
    score: float
    comment: str | None
    cell: Cell | None
    earlier: tuple[float, float] | None


class Lessons(NamedTuple):
    """What is learned of what was said: increments, rows of what is noted as learned, and the places with comments."""

    increments: tuple[Increment, ...]
    noted: Sequence[Row]
    places: Taught


def said(row: Row) -> Said:
    """What was said, from columns of feedback, request and decision."""
    place = None if row["reason"] is None else place_in(row["reason"], json.loads(row["features"]))
    cell = None if place is None or row["model"] is None else Cell(place, row["model"], Kind.JUDGED)
    number = row["learned_number"]
    earlier = None if number is None else (row["learned_score"], number)
    # What has no room in an index can teach nothing.
    kept = cell is not None and all(len(_named(cell._replace(kind=kind))) <= MAX_KEY_LENGTH for kind in Kind)
    return Said(row["request_id"], row["score"], row["comment"], cell if kept else None, earlier)


def cell_ids(heard: Iterable[Said]) -> list[str]:
    """The ids of the cells that are looked at, in the order in which they are locked."""
    cells = {each.cell._replace(kind=kind) for each in heard if each.cell for kind in (Kind.JUDGED, Kind.RECENT)}
    return sorted(map(_named, cells))


def lessons(heard: Sequence[Said], known: Contents, length: float) -> Lessons:
    """What is to be learned, one after the other. ``known`` is what the memory holds of the cells."""
    book, increments = MemoryBook(known), list[Increment]()
    noted, places = list[Row](), list[tuple[Place, str]]()
    for each in heard:
        number = None
        if each.cell is not None:
            place, model, _ = each.cell
            judged, number = judged_again(book, place, model, each.score, length, each.earlier)
            for increment in judged:
                book.add(increment)
            increments += judged
            places.append((place, each.comment or ""))
        noted.append({"of_request": each.request_id, "learned_score": each.score, "learned_number": number})
    return Lessons(merged(increments), noted, tuple(places))


def read_evidence(rows: Iterable[Sequence[Any]]) -> Contents:
    """What rows of id and the four numbers say."""
    return Contents({_cell(name): Evidence(*numbers) for name, *numbers in rows})


def _named(cell: Cell) -> str:
    return json.dumps((*cell.place, cell.model, cell.kind.value))


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
