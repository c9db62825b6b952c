"""Certificates: what they promise holds as often as they say, and their files are read with care."""

import json
import math

import numpy as np
import pytest

from router_core.errors import ConfigError
from router_core.learning.certificate import Certificate, NeedsMore
from router_core.learning.certify import Names, Sample, certify


def drawn(count, seed, *, skill=0.5, graded=False):
    """Examples of a weak model that is right in 70 of 100, a strong one in 80, and a score that tells a little."""
    rng = np.random.default_rng(seed)
    hard = rng.random(count)
    weak = (rng.random(count) < 0.95 - 0.5 * hard).astype(float)
    strong = (rng.random(count) < 0.9 - 0.2 * hard).astype(float)
    quality = np.column_stack([weak, strong])
    if graded:
        quality = np.clip(0.2 + 0.6 * quality + rng.normal(0, 0.1, quality.shape), 0, 1)
    return Sample(skill * hard + (1 - skill) * rng.random(count), quality)


def routed(certificate, sample):
    strong = sample.scores >= certificate.threshold
    return np.where(strong, sample.quality[:, 1], sample.quality[:, 0]).mean()


@pytest.mark.parametrize("graded", [False, True])
def test_the_promise_is_broken_in_at_most_one_of_ten_splits(graded):
    world = drawn(10_000, 0, graded=graded)
    broken = certified = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        one, rest = np.split(rng.permutation(len(world.scores)), [300])
        found = certify(Sample(world.scores[one], world.quality[one]), at_least=0.93, confidence=0.9)
        if isinstance(found, Certificate):
            certified += 1
            rest = Sample(world.scores[rest], world.quality[rest])
            broken += routed(found, rest) < 0.93 * rest.quality[:, 1].mean()
    assert certified > 75
    assert broken <= 10


def test_more_examples_leave_more_to_the_weak_model():
    shares = [certify(drawn(count, 1), at_least=0.93).strong_share for count in (200, 1000, 5000)]
    assert shares[0] > shares[1] > shares[2]


def test_a_certificate_says_what_was_measured():
    sample = drawn(2000, 3)
    cost = np.tile([0.001, 0.01], (2000, 1))
    found = certify(sample._replace(cost=cost), at_least=0.93, names=Names("length", "mini", "big"))
    strong = sample.scores >= found.threshold
    assert (found.policy, found.weak, found.strong, found.examples) == ("length", "mini", "big", 2000)
    assert found.strong_share == pytest.approx(strong.mean())
    assert found.quality == pytest.approx(routed(found, sample))
    assert found.cost_usd == pytest.approx(0.001 + 0.009 * strong.mean())
    assert found.strong_cost_usd == pytest.approx(0.01)
    assert "With 90% confidence the answers are at least 93% as good as those of 'big'" in str(found)


def test_requests_of_one_score_stay_together():
    # All of one score: either all may go to the weak model, or none.
    sample = drawn(1000, 4)
    alike = sample._replace(scores=np.zeros(1000))
    assert isinstance(certify(alike, at_least=0.95), NeedsMore)
    found = certify(alike, at_least=0.5)
    assert found.strong_share == 0
    assert found.threshold > 0


def test_too_few_examples_are_told_how_many_more_do():
    found = certify(drawn(40, 5), at_least=0.95)
    assert isinstance(found, NeedsMore)
    assert found.have == 40
    needed = found.have + found.examples
    assert 60 <= needed <= 1000
    succeeded = sum(isinstance(certify(drawn(needed, seed), at_least=0.95), Certificate) for seed in range(20))
    assert succeeded >= 12
    assert f"{found.examples} more examples" in str(found)


def test_a_weak_model_that_is_always_wrong_cannot_be_helped_by_examples():
    sample = drawn(500, 6)
    found = certify(sample._replace(quality=sample.quality * [0, 1]), at_least=0.97)
    assert found == NeedsMore(500, None)
    assert "would not help" in str(found)


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"at_least": 1.0}, "at_least"), ({"at_least": math.nan}, "at_least"), ({"confidence": 0}, "confidence")],
)
def test_a_promise_out_of_range_is_refused(settings, told):
    with pytest.raises(ConfigError, match=f"{told}.*above 0 and below 1"):
        certify(drawn(100, 0), **settings)


def test_a_score_that_is_no_number_is_refused():
    sample = drawn(100, 0)
    sample.scores[3] = math.nan
    for wrong in (sample, Sample(np.empty(0), np.empty((0, 2)))):
        with pytest.raises(ConfigError, match="scores"):
            certify(wrong)


def test_a_certificate_comes_back_from_its_file(tmp_path):
    found = certify(drawn(1000, 7), at_least=0.9)
    found.write(tmp_path / "certificate.json")
    assert Certificate.read(tmp_path / "certificate.json") == found


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("threshold", None, "no number"),
        ("threshold", "0.3", "no number"),
        ("at_least", 1, "above 0 and below 1"),
        ("confidence", 0, "above 0 and below 1"),
        ("strong_share", 1.2, "within 0..1"),
        ("examples", 1.5, "number of examples"),
        ("weak", "", "no name"),
    ],
)
def test_a_certificate_that_was_changed_is_refused(tmp_path, field, value, told):
    path = tmp_path / "certificate.json"
    certify(drawn(1000, 7), at_least=0.9).write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(ConfigError, match=f"{field}.*{told}.*llm-router calibrate"):
        Certificate.read(path)


def test_another_file_is_no_certificate(tmp_path):
    (tmp_path / "policy.json").write_text('{"schema": "router-core/policy", "version": 1}')
    with pytest.raises(ConfigError, match="certificate"):
        Certificate.read(tmp_path / "policy.json")
