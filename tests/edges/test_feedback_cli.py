"""``llm-router feedback``: kept with the receipt, and refused where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from router_core.stores import open_store
from tests.stores.samples import entry

Run = Callable[..., Result]
Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def ledger(here: Path) -> None:
    store = open_store("sqlite:///router.db")
    store.record(entry("r1", 5))
    store.close()


def kept() -> dict[str, object]:
    store = open_store("sqlite:///router.db")
    [row] = store.entries()
    store.close()
    return dict(row["feedback"] or {})


def test_what_is_said_is_kept(run: Run) -> None:
    assert run("feedback", "r1", "0.5", "--comment", "half of it").stdout == "r1: 0.5\n"
    assert (kept()["score"], kept()["comment"]) == (0.5, "half of it")

    told = json.loads(run("feedback", "r1", "1", "--json").stdout)
    assert (told, kept()["score"], kept()["comment"]) == ({"request_id": "r1", "score": 1.0}, 1.0, None)


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [(("r1", "7"), "SCORE: 7 is not between 0"), (("r2", "1"), "the ledger has no receipt of 'r2'")],
)
def test_what_cannot_be_kept_is_refused(refused: Refused, arguments: tuple[str, ...], wrong: str) -> None:
    assert wrong in " ".join(refused("feedback", *arguments).split())
    assert kept() == {}
