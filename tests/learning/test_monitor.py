"""The monitor of a promise: it keeps quiet while the promise holds, and speaks when it does not."""

import json
import math
import random
import threading

import pytest

from router_core.errors import ConfigError, InvalidRequest
from router_core.learning.certificate import Certificate
from router_core.learning.monitor import PromiseMonitor

CERTIFICATE = Certificate(
    policy="length",
    weak="mini",
    strong="big",
    threshold=0.5,
    at_least=0.95,
    confidence=0.9,
    examples=1000,
    quality=0.79,
    weak_quality=0.7,
    strong_quality=0.81,
    strong_share=0.5,
)
# The strong model is right in 80 of 100, so that answers of 76 in 100 just keep the promise.
STRONG, JUST_KEPT = 0.8, 0.76


def run(quality, answers, seed, *, paired=False, monitor=None):
    """Answers of this quality, one after the other, until the monitor speaks; how many, or None."""
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    monitor = monitor or PromiseMonitor(CERTIFICATE, level=0.1)
    for number in range(1, answers + 1):
        # Both are right together as far as they can be, as two models are on easy requests.
        luck = rng.random()
        monitor.observe(float(luck >= quality), strong_loss=float(luck >= STRONG) if paired else None)
        if monitor.broken:
            return number
    return None


@pytest.mark.parametrize("paired", [False, True])
def test_false_alarms_are_rarer_than_the_level(paired):
    alarms = sum(run(JUST_KEPT, 2000, seed, paired=paired) is not None for seed in range(60))
    assert alarms <= 6


@pytest.mark.parametrize(("paired", "most"), [(False, 400), (True, 400)])
def test_a_promise_that_breaks_later_is_found(paired, most):
    found = []
    for seed in range(21):
        monitor = PromiseMonitor(CERTIFICATE, level=0.1)
        assert run(0.79, 1000, seed, paired=paired, monitor=monitor) is None
        found.append(run(0.6, 2000, 1000 + seed, paired=paired, monitor=monitor))
    assert None not in found
    assert sorted(found)[10] < most


def test_an_audit_does_not_blame_routing_for_hard_requests():
    monitor, audited = PromiseMonitor(CERTIFICATE), PromiseMonitor(CERTIFICATE)
    rng = random.Random(0)  # noqa: S311 - reproducible, not secret
    for _ in range(1000):
        loss = float(rng.random() < 0.6)
        monitor.observe(loss)
        audited.observe(loss, strong_loss=loss)
    assert monitor.broken
    assert not audited.broken


def test_once_broken_it_stays_so_until_it_is_reset():
    monitor = PromiseMonitor(CERTIFICATE)
    assert (monitor.broken, monitor.evidence, monitor.observed) == (False, 1.0, 0)
    while not monitor.broken:
        monitor.observe(1.0)
    assert monitor.evidence >= 2 / 0.05
    seen = monitor.observed
    for _ in range(100):
        monitor.observe(0.0)
    assert (monitor.broken, monitor.observed) == (True, seen)
    monitor.reset()
    assert (monitor.broken, monitor.evidence, monitor.observed) == (False, 1.0, 0)


def test_it_goes_on_from_its_state():
    one, other = PromiseMonitor(CERTIFICATE), PromiseMonitor(CERTIFICATE)
    for i in range(50):
        one.observe(float(i % 3 == 0))
    other.restore(json.loads(json.dumps(one.to_json())))
    for monitor in (one, other):
        monitor.observe(0.7)
    assert other.to_json() == one.to_json()
    assert other.evidence == pytest.approx(one.evidence)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (None, "observed"),
        ({"observed": -1, "capital": [], "broken": False}, "observed"),
        ({"observed": 3, "capital": [1, 2], "broken": False}, "capital"),
        ({"observed": 3, "capital": [1, 2, 3, 4, math.inf], "broken": False}, "capital"),
        ({"observed": 3, "capital": [0, 0, 0, 0, 0], "broken": "no"}, "broken"),
    ],
)
def test_a_state_that_is_none_is_refused_and_changes_nothing(state, told):
    monitor = PromiseMonitor(CERTIFICATE)
    monitor.observe(1.0)
    before = monitor.to_json()
    with pytest.raises(ConfigError, match=f"monitor: {told}"):
        monitor.restore(state)
    assert monitor.to_json() == before


@pytest.mark.parametrize("loss", [-0.1, 1.5, math.nan])
def test_a_loss_out_of_range_is_refused(loss):
    monitor = PromiseMonitor(CERTIFICATE)
    with pytest.raises(InvalidRequest, match=r"^loss"):
        monitor.observe(loss)
    with pytest.raises(InvalidRequest, match="strong_loss"):
        monitor.observe(0.0, strong_loss=loss)
    assert monitor.observed == 0


@pytest.mark.parametrize("level", [0, 1, "often"])
def test_a_level_out_of_range_is_refused(level):
    with pytest.raises(ConfigError, match="level"):
        PromiseMonitor(CERTIFICATE, level=level)


def test_threads_lose_no_answer():
    monitor = PromiseMonitor(CERTIFICATE)
    threads = [threading.Thread(target=lambda: [monitor.observe(0.1) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert monitor.observed == 2000
