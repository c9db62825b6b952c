"""Ids of tool calls that every provider takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.hosts.portable import PORTABLE_ID, portable_id


@pytest.mark.parametrize("given_id", ["call_1", "toolu_01A-b", "x" * 40])
def test_an_id_that_all_take_is_kept(given_id):
    assert portable_id(given_id) == given_id


@given(st.none() | st.text(st.characters(codec="utf-8")))
def test_every_id_becomes_one_that_all_take(given_id):
    assert PORTABLE_ID.fullmatch(portable_id(given_id))
    # A call and its result are ported one by one, and must still belong together.
    assert portable_id(given_id) == portable_id(given_id)


def test_different_ids_stay_different():
    assert len({portable_id(given_id) for given_id in ("a b", "a c", "x" * 41, "x" * 42)}) == 4
