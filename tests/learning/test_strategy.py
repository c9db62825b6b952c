"""The strategy memory as arithmetic: evidence that fades, the steps that follow, and files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.errors import ConfigError
from router_core.learning.memory_file import MemoryFile, read_memory, write_memory
from router_core.learning.strategy import (
    BORROWED,
    LEAST,
    RECENT_LENGTH,
    VERIFIED_LENGTH,
    Batch,
    Cell,
    Contents,
    Evidence,
    Increment,
    Kind,
    Limits,
    MemoryBook,
    Place,
    Rung,
    Step,
    Why,
    aftermath,
    challengers,
    judgement,
    merged,
    next_step,
    outcome,
)

PLACE = Place("agent/plan", "summary")
LADDER = (Rung("tiny", 0.02), Rung("small", 0.1), Rung("large", 1.0))
LIMITS = Limits()


def judge(book: MemoryBook, times: int, place: Place = PLACE, **qualities: float) -> None:
    for _ in range(times):
        for model, quality in qualities.items():
            for increment in judgement(place, model, quality, LIMITS.length):
                book.add(increment)


def step_of(book: MemoryBook, place: Place = PLACE) -> Step | None:
    step = next_step(book, place, LADDER, LIMITS, at=1.0, detail="because")
    if step is not None:
        for increment in aftermath(book, step):
            book.add(increment)
        book.take(step)
    return step


def until_a_step(book: MemoryBook, learn: Callable[[], None]) -> tuple[Step, int]:
    """The next step, and after how many times."""
    for count in range(1, 500):
        learn()
        if (step := step_of(book)) is not None:
            return step, count
    raise AssertionError("no step was taken")


def settled(good: dict[str, float]) -> MemoryBook:
    """A memory that has known these models for long, and is at "small"."""
    book = MemoryBook()
    book.take(Step(PLACE, 1, 0.0, "large", "small", Why.SUFFICES))
    for model, quality in good.items():
        for kind, length in ((Kind.JUDGED, LIMITS.length), (Kind.RECENT, RECENT_LENGTH)):
            book.add(Increment(Cell(PLACE, model, kind), 0.0, Evidence(length * quality, length * (1 - quality))))
    return book


def test_a_move_down_takes_twelve_good_judgements_and_is_explained() -> None:
    book = MemoryBook()
    step, count = until_a_step(book, lambda: judge(book, 1, small=1, large=1))
    assert count == 12
    assert step == Step(PLACE, 1, 1.0, "large", "small", Why.SUFFICES, "because", step.evidence)
    assert step.evidence["small"] == {"good": 11.36, "bad": 0.0, "as_good": 0.8106, "rejected": 0.0}


def test_the_strongest_need_not_be_right_for_a_cheaper_one_to_be_as_good() -> None:
    book = MemoryBook()
    rng = random.Random(3)  # noqa: S311 - no secret
    for _ in range(200):
        judge(book, 1, small=float(rng.random() < 0.6), large=float(rng.random() < 0.5))
    assert step_of(book).to_model == "small"


def test_a_model_that_is_clearly_worse_is_not_moved_to() -> None:
    book, rng = MemoryBook(), random.Random(3)  # noqa: S311 - no secret
    for _ in range(500):
        judge(book, 1, small=float(rng.random() < 0.7), large=1)
        assert step_of(book) is None


def test_what_other_call_sites_tell_is_a_weak_hint_that_moves_nothing_alone() -> None:
    book = MemoryBook()
    judge(book, 200, Place("elsewhere", "summary"), small=1, large=1)
    judge(book, 200, Place("elsewhere", "code"), tiny=1)
    assert book.quality(PLACE, "small") == pytest.approx((0.5 + BORROWED, 0.5))
    assert book.quality(PLACE, "tiny") == (0.5, 0.5)
    assert step_of(book) is None
    judge(book, int(LEAST) + 1, small=1, large=1)
    assert step_of(book).to_model == "small"


@pytest.mark.parametrize(("quality", "most"), [(1.0, 4), (0.9, 7), (0.6, 13)])
def test_a_model_that_turns_bad_is_left_within_so_many_judgements(quality: float, most: int) -> None:
    book = settled({"small": quality, "large": quality})
    step, count = until_a_step(book, lambda: judge(book, 1, small=0, large=quality))
    assert (step.to_model, count) == ("large", most)


def test_one_that_was_better_than_the_strongest_is_left_by_its_latest_answers() -> None:
    book = settled({"small": 1.0, "large": 0.6})
    step, count = until_a_step(book, lambda: judge(book, 1, small=0, large=0.6))
    assert (step.to_model, step.why, count) == ("large", Why.TURNED_BAD, 21)
    # By all that was known before it would still be good enough: that does not hold any more.
    assert book.chance(PLACE, "small", "large", LIMITS.margin) < 0.1
    assert step_of(book) is None


def test_the_alarm_is_rarely_false() -> None:
    rng = random.Random(5)  # noqa: S311 - no secret
    book, whys = settled({"small": 0.8, "large": 0.8}), []
    for _ in range(1000):
        judge(book, 1, small=float(rng.random() < 0.8), large=float(rng.random() < 0.8))
        if (step := step_of(book)) is not None:
            whys.append(step.why)
    assert whys.count(Why.TURNED_BAD) <= 1


def test_what_was_left_comes_back_when_it_is_good_again() -> None:
    book = settled({"small": 1.0, "large": 1.0})
    judge(book, 8, small=0, large=1)
    assert step_of(book).to_model == "large"
    step, count = until_a_step(book, lambda: judge(book, 1, small=1, large=1))
    assert (step.number, step.to_model) == (3, "small")
    assert 20 < count < 300


def test_one_that_falls_short_gives_way_to_another_that_suffices() -> None:
    book = settled({"small": 0.5, "tiny": 1.0, "large": 1.0})
    assert step_of(book)[2:6] == (1.0, "small", "tiny", Why.FELL_SHORT)


def test_rejected_drafts_make_the_memory_leave() -> None:
    book = settled({"small": 1.0, "large": 1.0})
    cell = Cell(PLACE, "small", Kind.VERIFIED)
    book.add(Increment(cell, 0.0, Evidence(VERIFIED_LENGTH)))
    step, count = until_a_step(book, lambda: book.add(outcome(cell, 0.0, VERIFIED_LENGTH)))
    assert (step.to_model, step.why, count) == ("large", Why.REJECTED, 9)


def test_a_draft_that_costs_almost_as_much_may_hardly_be_rejected() -> None:
    book = settled({"small": 1.0, "large": 1.0})
    book.add(Increment(Cell(PLACE, "small", Kind.VERIFIED), 0.0, Evidence(10, 2)))
    assert next_step(book, PLACE, LADDER, LIMITS, at=1.0) is None
    dear = (Rung("small", 0.9), Rung("large", 1.0))
    assert next_step(book, PLACE, dear, LIMITS, at=1.0).why is Why.REJECTED


def test_the_challenger_is_the_one_that_promises_to_save_most() -> None:
    book = MemoryBook()
    assert max(challengers(book, PLACE, LADDER, LIMITS))[1] == "tiny"
    judge(book, 6, tiny=0, large=1)
    assert max(challengers(book, PLACE, LADDER, LIMITS))[1] == "small"
    book.take(Step(PLACE, 1, 0.0, "large", "tiny", Why.SUFFICES))
    assert list(challengers(book, PLACE, LADDER, LIMITS)) == []


qualities = st.lists(st.floats(0, 1), max_size=30)


@given(qualities, qualities)
def test_increments_add_up_however_they_are_put_together(one: list[float], other: list[float]) -> None:
    cell = Cell(PLACE, "small", Kind.JUDGED)
    single, whole = MemoryBook(), MemoryBook()
    increments = [outcome(cell, quality, 10) for quality in (*one, *other)]
    for increment in increments:
        single.add(increment)
    for batch in (one, other):
        for increment in merged(outcome(cell, quality, 10) for quality in batch):
            whole.add(increment)
    assert whole.of(PLACE, "small") == pytest.approx(single.of(PLACE, "small"))


def test_totals_do_not_depend_on_the_order() -> None:
    cell = Cell(PLACE, "small", Kind.JUDGED)
    batches = [Batch(name, 1, 1.0, (outcome(cell, quality, 10),)) for name, quality in (("a", 1), ("b", 0), ("c", 1))]
    found = set()
    for order in permutations(batches):
        book = MemoryBook()
        assert all(book.apply(batch) for batch in order)
        assert not any(book.apply(batch) for batch in order)
        found.add(book.of(PLACE, "small")[2:])
    assert found == {(2.0, 1.0)}


def sample() -> Contents:
    book = MemoryBook()
    judge(book, 13, small=1, large=0.75)
    step_of(book)
    book.add(outcome(Cell(Place("ñ\n", "code"), "a:b", Kind.VERIFIED), 1, 20))
    return book.contents


def test_a_file_holds_all_of_it_and_can_be_read_by_people(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    write_memory(path, sample())
    assert read_memory(path) == sample()
    assert path.read_text(encoding="utf-8").count("\n") > 30


def test_a_memory_in_a_file_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    cell = Cell(PLACE, "small", Kind.JUDGED)
    first = MemoryFile(path)
    assert first.remember(Batch("me", 1, 1.0, (outcome(cell, 1, 100),)))
    again = MemoryFile(path)
    again.remember(Batch("you", 1, 1.0, (outcome(cell, 0, 100),)))
    assert MemoryFile(path).memory().evidence[cell][2:] == (1, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.pop("places"), "'places' is missing"),
        (lambda content: content["places"][0].pop("task"), "'task' is missing"),
        (lambda content: content["places"][0].update(models=3), "holds what is no memory"),
        (lambda content: content["steps"][0].update(why="boredom"), "'boredom' is not a valid Why"),
        (lambda content: content.update(schema="router-core/policy"), "schema"),
        (lambda content: content.update(version=9), "newer"),
        (
            lambda content: content["places"][0]["models"]["small"]["judged"].update(good=-1),
            "is below 0",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(tmp_path: Path, change: object, words: str) -> None:
    path = tmp_path / "memory.json"
    write_memory(path, sample())
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ConfigError, match=words) as caught:
        read_memory(path)
    assert str(path) in str(caught.value)
