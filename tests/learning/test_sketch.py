"""Sketches of texts: who was trained on what is told from them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.learning.sketch import KEPT, share_seen, sketch


@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=8), max_size=40), st.lists(st.text(max_size=8)))
def test_a_sketch_of_few_texts_tells_of_each(texts: list[str], others: list[str]) -> None:
    kept = json.loads(json.dumps(sketch(texts)))

    assert share_seen(kept, texts) == bool(texts)
    known = {text.encode("utf-8", "replace") for text in texts}
    expected = sum(text.encode("utf-8", "replace") in known for text in others) / max(1, len(others))
    assert share_seen(kept, others) == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 1.0])
def test_a_sketch_of_many_texts_tells_the_share(share: float) -> None:
    kept = sketch(f"text {number}" for number in range(5_000))
    seen = round(2_000 * share)
    others = [f"text {number}" for number in range(seen)] + [f"new {number}" for number in range(2_000 - seen)]

    assert len(kept) == KEPT
    assert share_seen(kept, others) == pytest.approx(share, abs=0.11)
    assert share_seen(kept, [f"new {number}" for number in range(2_000)]) == 0.0


@pytest.mark.parametrize("kept", [None, [], "abc", [1.5], [True], {"a": 1}])
def test_what_is_no_sketch_tells_nothing(kept: object) -> None:
    assert share_seen(kept, ["a"]) == 0.0
