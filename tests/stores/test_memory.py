"""The strategy memory in a store: increments of everybody are counted, each once."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from router_core.learning.strategy import Batch, Cell, Contents, Evidence, Increment, Kind, Place, Step, Why, outcome
from router_core.stores import Store, open_store
from tests.stores import remembering

PLACE = Place("agent/plan", "summary")
CELL = Cell(PLACE, "small", Kind.JUDGED)
STEP = Step(PLACE, 1, 10.5, "large", "small", Why.SUFFICES, "said so", {"small": {"good": 9, "as_good": 0.93}})


def test_what_is_added_is_read_back_as_it_was(store: Store) -> None:
    odd = Cell(Place("a\0b \ud800 ñ", "chat"), "small", Kind.VERIFIED)
    added = Batch("me", 1, 3.0, (outcome(CELL, 0.75, 100), outcome(odd, 1.0, 20)), (STEP,))
    assert store.remember(added)
    assert store.memory() == Contents(
        {CELL: Evidence(0.75, 0.25, 0.75, 0.25), odd: Evidence(1, 0, 1, 0)},
        (STEP,),
    )


def test_evidence_fades_by_what_is_added_and_totals_do_not(store: Store) -> None:
    store.remember(Batch("me", 1, 1.0, (Increment(CELL, 0.5, Evidence(8, 2, 8, 2)),)))
    store.remember(Batch("you", 1, 2.0, (Increment(CELL, 0.5, Evidence(0, 1, 0, 1)),)))
    assert store.memory().evidence == {CELL: Evidence(4, 2, 8, 3)}


def test_a_batch_that_comes_again_is_not_counted_twice(store: Store) -> None:
    batch = Batch("me", 1, 1.0, (outcome(CELL, 1.0, 100),), (STEP,))
    assert [store.remember(batch), store.remember(batch), store.remember(batch._replace(writer="you"))] == [
        True,
        False,
        True,
    ]
    assert store.memory().evidence[CELL].all_good == 2
    assert store.memory().steps == (STEP,)


def test_of_two_steps_with_one_number_the_first_stays(store: Store) -> None:
    store.remember(Batch("me", 1, 1.0, steps=(STEP,)))
    store.remember(Batch("you", 1, 1.0, steps=(STEP._replace(to_model="tiny"), STEP._replace(number=2))))
    assert [step.to_model for step in store.memory().steps] == ["small", "small"]


def test_anew_takes_the_place_of_all_that_was_known(store: Store) -> None:
    other = Cell(Place("other", "code"), "small", Kind.JUDGED)
    store.remember(Batch("me", 1, 1.0, (outcome(CELL, 1.0, 100),), (STEP,)))
    store.remember(Batch("you", 1, 1.0, (outcome(other, 1.0, 100),)), anew=True)
    assert store.memory() == Contents({other: Evidence(1, 0, 1, 0)}, ())
    store.remember(Batch("you", 2, 1.0), anew=True)
    assert store.memory() == Contents({}, ())


@pytest.mark.parametrize(
    "batch",
    [
        Batch("me", 1, 1.0, (outcome(CELL, 1.0, 100), outcome(CELL._replace(model="m" * 2000), 1.0, 100))),
        Batch("me", 1, 1.0, (outcome(CELL, 1.0, 100), Increment(CELL, float("nan"), Evidence()))),
    ],
)
def test_what_cannot_be_kept_is_refused_whole(store: Store, batch: Batch) -> None:
    with pytest.raises(ValueError, match="memory: "):
        store.remember(batch)
    assert store.memory().evidence == {}


def test_writers_of_long_ago_are_pruned(url: str) -> None:
    store = open_store(url)
    batch = Batch("me", 1, 1.0, (outcome(CELL, 1.0, 100),))
    store.remember(batch)
    store.prune(2.0)
    assert store.memory().evidence[CELL].all_good == 1
    store.close()


def test_threads_and_processes_lose_nothing(url: str) -> None:
    # Spawned: the threads of this process are not forked.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        others = [pool.submit(remembering.add, url, f"process {n}", 40) for n in range(2)]
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda n: remembering.add(url, f"thread {n}", 40), range(4)))
        for other in others:
            other.result()
    store = open_store(url)
    cells = store.memory().evidence
    assert {cell.model: (seen.all_good, seen.all_bad) for cell, seen in cells.items()} == {
        "small": (240.0, 0.0),
        "tiny": (0.0, 240.0),
    }
    # All the same outcome, so that the order does not matter: 240 times "keep 0.9, add 1".
    assert next(seen.good for cell, seen in cells.items() if cell.model == "small") == pytest.approx(10.0)
    assert len(store.memory().steps) == 40
    store.close()
