"""Calibration: what it does to predictions, and what its files may hold."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.errors import ConfigError
from router_core.learning.calibration import Calibration, calibrate

probabilities = st.floats(0, 1)
examples = st.lists(st.tuples(probabilities, st.sampled_from([0.0, 1.0])), max_size=40)


def drawn(count, truth, seed=0):
    """Predictions, and labels drawn with the probability that ``truth`` gives them."""
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    scores = [rng.random() for _ in range(count)]
    return scores, [float(rng.random() < truth(score)) for score in scores]


def step(p):
    return 0.1 if p < 0.3 else 0.8


def shifted(p, offset, slope=1.0):
    return 1 / (1 + math.exp(-(slope * math.log(p / (1 - p)) + offset)))


@pytest.mark.parametrize(
    ("labels", "method"),
    [(0, "offset"), (199, "offset"), (200, "platt"), (499, "platt"), (500, "isotonic")],
)
def test_the_method_follows_from_the_number_of_labels(labels, method):
    assert calibrate(*drawn(labels, step)).method == method


def test_where_two_parameters_do_there_are_no_steps():
    """Steps tie predictions that a threshold should tell apart."""
    found = calibrate(*drawn(2000, lambda p: shifted(p, 0.7)))
    assert found.method == "platt"
    assert found.apply(0.001) < found.apply(0.002)


def test_without_labels_predictions_stay_as_they_are():
    found = calibrate([], [])
    assert [found.apply(p) for p in (0.1, 0.5, 0.9)] == pytest.approx([0.1, 0.5, 0.9])


@pytest.mark.parametrize(
    ("labels", "truth"),
    [
        (190, lambda p: shifted(p, -1.5)),
        (400, lambda p: shifted(p, 1.0, 0.4)),
        (5000, lambda p: 0.2 + 0.5 * p * p),
    ],
)
def test_what_is_off_is_set_right(labels, truth):
    found = calibrate(*drawn(labels, truth))
    grid = [0.05 + 0.1 * i for i in range(10)]

    def error(of):
        return sum(abs(of(p) - truth(p)) for p in grid) / len(grid)

    assert error(found.apply) < 0.06
    assert error(found.apply) < error(lambda p: p) / 2


def test_two_labels_that_agree_make_nothing_certain():
    found = calibrate([0.6, 0.7], [1, 1])
    assert 0.6 < found.apply(0.6) < 0.8


@pytest.mark.parametrize("count", [250, 600])
def test_predictions_that_tell_the_opposite_become_the_observed_share(count):
    scores, labels = drawn(count, lambda p: 1 - p)
    found = calibrate(scores, labels)
    assert [found.apply(p) for p in (0.1, 0.9)] == pytest.approx([sum(labels) / count] * 2, abs=0.02)


def test_isotonic_pools_adjacent_violators():
    # Worked by hand: 0.3 and 0.4 are out of order and pooled at (0.35, 0.7); each score stands for 200 labels.
    scores = [s for s in (0.1, 0.3, 0.4, 0.9) for _ in range(200)]
    labels = [float(i < ones) for ones in (10, 150, 130, 150) for i in range(200)]
    found = calibrate(scores, labels)
    assert [value for knot in found.knots for value in knot] == pytest.approx([0.1, 0.05, 0.35, 0.7, 0.9, 0.75])
    assert found.apply(0.225) == pytest.approx(0.375)
    assert (found.apply(0.0), found.apply(1.0)) == pytest.approx((0.05, 0.75))


@given(examples, probabilities, probabilities, st.sampled_from([1, 20, 100]))
def test_order_and_range_are_kept(pairs, one, other, times):
    scores, labels = [s for s, _ in pairs] * times, [y for _, y in pairs] * times
    found = calibrate(scores, labels)
    low, high = (found.apply(p) for p in sorted((one, other)))
    assert 0 <= low <= high <= 1
    read = Calibration.from_json(json.loads(json.dumps(found.to_json())))
    assert read == found


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "has no method"),
        ({"method": "magic"}, "offset, platt, isotonic"),
        ({"method": "platt", "slope": -1, "offset": 0}, "slope"),
        ({"method": "platt", "slope": math.nan, "offset": 0}, "finite"),
        ({"method": "offset", "slope": 1}, "offset: None"),
        ({"method": "isotonic", "knots": []}, "knots"),
        ({"method": "isotonic", "knots": [[0.1, 0.2, 0.3]]}, r"knots\[0\]"),
        ({"method": "isotonic", "knots": [[0.1, 2]]}, "0..1"),
        ({"method": "isotonic", "knots": [[0.1, 0.5], [0.2, 0.4]]}, r"knots\[1\].*rise"),
        ({"method": "isotonic", "knots": [["0.1", 0.5]]}, "finite"),
    ],
)
def test_what_is_no_calibration_is_refused(content, told):
    with pytest.raises(ConfigError, match=told):
        Calibration.from_json(content, "policy.json: calibration")
