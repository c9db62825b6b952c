"""What the tests of the strategy memory run in other processes."""

from __future__ import annotations

from router_core.learning.strategy import Batch, Cell, Kind, Place, Step, Why, outcome
from router_core.stores import open_store

PLACE = Place("agent/plan", "summary")


def add(url: str, writer: str, batches: int) -> None:
    """That many batches, each with a good outcome of one model, a bad one of another, and a step."""
    store = open_store(url)
    for number in range(1, batches + 1):
        increments = [outcome(Cell(PLACE, model, Kind.JUDGED), good, 10) for model, good in (("tiny", 0), ("small", 1))]
        step = Step(PLACE, number, float(number), "large", "small", Why.SUFFICES)
        assert store.remember(Batch(writer, number, float(number), tuple(increments), (step,)))
    store.close()


def learn(url: str) -> int:
    """Learn from the feedback that is there; how much that was."""
    store = open_store(url)
    learned = store.learn_feedback(100.0, 10.0)
    store.close()
    return len(learned)
