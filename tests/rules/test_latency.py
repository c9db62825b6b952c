"""What was observed of a model: a mean that follows, quantiles within 2 %, and forgetting."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.latency import Observations, QuantileSketch

SECONDS = st.floats(min_value=1e-4, max_value=1e4)


@given(st.lists(SECONDS, min_size=1, max_size=300), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_a_quantile_is_within_two_percent(values: list[float], q: float) -> None:
    sketch = QuantileSketch()
    for value in values:
        sketch.add(value)
    exact = sorted(values)[int(q * (len(values) - 1))]
    assert sketch.quantile(q) == pytest.approx(exact, rel=0.02)


def test_an_empty_sketch_knows_nothing() -> None:
    assert QuantileSketch().quantile(0.5) is None


def test_a_model_never_called_is_unknown() -> None:
    assert Observations().of("m") == (None, None)


def test_old_observations_fade() -> None:
    observations = Observations()
    for _ in range(900):
        observations.add("m", 10.0, None)
    for _ in range(3_000):
        observations.add("m", 0.1, None)
    seconds, _ = observations.of("m")
    assert seconds == pytest.approx(0.1, rel=0.05)


def test_the_slow_tail_counts_more_than_the_mean() -> None:
    observations = Observations()
    for index in range(100):
        observations.add("m", 5.0 if index % 5 == 0 else 0.1, None)
    seconds, _ = observations.of("m")
    assert seconds is not None
    assert seconds > 4


def test_estimated_lengths_do_not_count() -> None:
    observations = Observations()
    observations.add("m", 1.0, None)
    assert observations.of("m")[1] is None
    observations.add("m", 1.0, 40)
    assert observations.of("m")[1] == 40


def test_threads_lose_nothing() -> None:
    observations = Observations()

    def work() -> None:
        for _ in range(100):
            observations.add("m", 1.0, 7)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert observations.of("m") == (pytest.approx(1.0, rel=0.02), 7)
