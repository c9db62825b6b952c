from __future__ import annotations

import pytest

np = pytest.importorskip("numpy", reason="training needs numpy; pip install 'router-core[learn]'")

from router_core.learning.fit import fit_logistic, fit_ridge, log_loss, sigmoid  # noqa: E402
from router_core.learning.wide import NO_WORDS, Bags, Penalty, Vocabulary, Wide, fit_wide  # noqa: E402


def drawn(count: int = 400):
    random = np.random.default_rng(0)
    x = random.normal(size=(count, 3))
    return x, (random.random(count) < sigmoid(x @ [1.5, -1.0, 0.0] + 0.4)).astype(float)


def test_logistic_regression_is_at_the_minimum_of_what_it_says():
    x, y = drawn()
    weight = np.linspace(0.5, 2, len(y))
    w, b = fit_logistic(x, y, 3.0, weight=weight)
    rest = weight * (sigmoid(x @ w + b) - y)
    assert np.allclose(x.T @ rest + 3.0 * w, 0, atol=1e-3)
    assert abs(rest.sum()) < 1e-3


def test_a_weight_of_two_is_the_same_as_an_example_given_twice():
    x, y = drawn(50)
    weight = np.where(np.arange(50) < 10, 2.0, 1.0)
    once = fit_logistic(x, y, 1.0, weight=weight)
    twice = fit_logistic(np.r_[x, x[:10]], np.r_[y, y[:10]], 1.0)
    assert np.allclose(once[0], twice[0], atol=1e-6)
    assert once[1] == pytest.approx(twice[1], abs=1e-6)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_that_are_all_alike_give_a_finite_answer(label):
    w, b = fit_logistic(np.eye(4), np.full(4, label), 1.0)
    assert not w.any()
    assert abs(sigmoid(b) - label) == pytest.approx(0.1)


def test_what_can_be_told_apart_perfectly_stays_finite():
    x = np.linspace(-1, 1, 20)[:, None]
    w, b = fit_logistic(x, (x[:, 0] > 0).astype(float), 0.01)
    assert np.isfinite(w).all()
    assert np.isfinite(b)


def test_ridge_finds_a_plane_for_several_targets_at_once():
    x, _ = drawn()
    targets = np.c_[x @ [1.0, 2.0, 3.0] + 5, x[:, 0]]
    w, b = fit_ridge(x, targets, 1e-9)
    assert np.allclose(w, [[1, 1], [2, 0], [3, 0]], atol=1e-6)
    assert np.allclose(b, [5, 0], atol=1e-6)


def test_log_loss_and_sigmoid_do_not_overflow():
    assert log_loss([1e4, -1e4], [1, 0]).tolist() == [0, 0]
    assert sigmoid([1e4, -1e4]).tolist() == [1, 0]


def test_wide_without_words_is_logistic_regression():
    x, y = drawn()
    dense = fit_wide(x, Wide(Bags.of([[]] * len(y)), NO_WORDS), y, Penalty(3.0, 1.0), offset=np.zeros(len(y)))
    w, b = fit_logistic(x, y, 3.0)
    assert np.allclose(dense.dense, w, atol=2e-2)
    assert dense.intercept == pytest.approx(b, abs=2e-2)


def test_bags_multiply_as_the_matrix_that_they_stand_for():
    bags = Bags.of([[3, 5], [], [5], [3, 5, 9]])
    vocabulary = Vocabulary.of(bags)
    assert vocabulary.buckets.tolist() == [3, 5], "9 occurs once, and is left out"
    wide = Wide(bags, vocabulary)
    rows = np.array([[1, 1], [0, 0], [0, 1], [1, 1]]) / np.sqrt([2, 1, 1, 3])[:, None] * vocabulary.weights
    assert np.allclose(wide.times(np.array([2.0, -1.0])), rows @ [2.0, -1.0])
    assert np.allclose(wide.transposed_times(np.arange(4.0)), rows.T @ np.arange(4.0))
    taken = bags.take(np.array([3, 0]))
    assert taken.buckets.tolist() == [3, 5, 9, 3, 5]


def test_words_that_were_never_seen_count_nothing():
    vocabulary = Vocabulary.of(Bags.of([[1, 2], [1, 2]]))
    assert Wide(Bags.of([[7], [0]]), vocabulary).times(np.ones(2)).tolist() == [0, 0]
