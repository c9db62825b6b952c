from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from router_core.errors import ConfigError
from router_core.learning.answers import FEATURES
from router_core.learning.verifier_weights import SHIPPED, Logistic, VerifierWeights
from router_core.types import OutputSchema, Reply, RequestView, ToolCall, Turn
from router_core.verifiers import make_verifier
from router_core.verifiers.learned import LearnedVerifier

QUESTION = (
    "Ann's hens lay 16 eggs a day. She eats 3 for breakfast and bakes with 4. She sells the rest for $2 each. How much "
    "does she earn a day?"
)
GOOD = "She has 16 - 3 - 4 = 9 eggs left.\nShe earns 9 * $2 = $18 a day.\n#### 18"
BAD = "Since she has 16 - 3 = 12 eggs left, she earns 12 * $2 = $26 because she sells all of them.\n#### 25.5"


def ask(text: str = QUESTION, **fields) -> RequestView:
    return RequestView(turns=(Turn("user", text),), input_bytes=100, **fields)


def weights(**coefficients: float) -> VerifierWeights:
    return VerifierWeights(
        mean=(0.0,) * len(FEATURES),
        scale=(1.0,) * len(FEATURES),
        general=Logistic(coefficients=tuple(coefficients.get(name, 0.0) for name in FEATURES), intercept=0.0),
    )


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "verifier.json"
    weights(final_marked=3.0, wrong_equation=-3.0).write(path)
    return path


def test_the_shipped_weights_tell_a_good_answer_from_a_bad_one():
    verifier = LearnedVerifier()
    assert verifier.probability(ask(), Reply(text=GOOD)) > 0.8
    assert verifier.probability(ask(), Reply(text=BAD)) < 0.3
    assert verifier.check(ask(), Reply(text=GOOD)).accepted


def test_a_rejection_says_how_likely_and_why():
    verdict = LearnedVerifier().check(ask(), Reply(text=BAD))
    assert (verdict.accepted, verdict.code) == (False, "learned")
    assert verdict.detail.startswith("P(right) is 0.")
    assert "below 0.7; most against it: " in verdict.detail
    assert "wrong_equation 1" in verdict.detail


def test_the_threshold_decides(file):
    answer = Reply(text="#### 18")
    assert LearnedVerifier(file).threshold == 0.5
    assert LearnedVerifier(file, threshold=0.9).check(ask(), answer).accepted
    assert not LearnedVerifier(str(file), threshold=0.99).check(ask(), answer).accepted


def test_a_call_site_has_its_own_model(file, tmp_path):
    own = VerifierWeights.read(file)
    contrary = Logistic(coefficients=tuple(-value for value in own.general.coefficients), intercept=0.0)
    path = tmp_path / "sites.json"
    VerifierWeights(mean=own.mean, scale=own.scale, general=own.general, sites={"draft": contrary}).write(path)
    verifier, answer = LearnedVerifier(path), Reply(text="#### 18")
    assert verifier.check(ask(), answer).accepted
    assert verifier.check(ask(call_site="other"), answer).accepted
    assert not verifier.check(ask(call_site="draft"), answer).accepted


def test_tool_calls_and_structured_output_pass():
    verifier = LearnedVerifier(threshold=1.0)
    call = ToolCall("1", "search", "{}")
    assert verifier.check(ask(), Reply(text="", tool_calls=(call,))).accepted
    assert verifier.check(ask(output_schema=OutputSchema("out", {})), Reply(text="{}")).accepted
    assert not verifier.check(ask(), Reply(text=GOOD)).accepted


def test_log_probabilities_of_the_provider_count(tmp_path):
    path = tmp_path / "verifier.json"
    weights(logprob_mean=2.0).write(path)
    native = SimpleNamespace(choices=[SimpleNamespace(logprobs=SimpleNamespace(content=[{"logprob": -3.0}]))])
    verifier = LearnedVerifier(path)
    assert verifier.probability(ask(), Reply(text="18", native=native)) < 0.01
    assert verifier.probability(ask(), Reply(text="18")) == 0.5


def test_any_request_and_reply_can_be_judged():
    verifier = LearnedVerifier()
    nobody = RequestView(turns=(), input_bytes=0)
    for text in ("", "\x00\ud800", "= " * 3000, "1" * 5000, "(" * 9000 + "= 2", "=((((" * 3000):
        assert 0 <= verifier.probability(nobody, Reply(text=text)) <= 1


def test_it_can_be_named_in_a_registry_file(file):
    made = make_verifier("learned", {"file": str(file), "threshold": 0.25})
    assert isinstance(made, LearnedVerifier)
    assert made.threshold == 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "verifiers.learned.threshold: 1.5 is not a number from 0 to 1"),
        ({"threshold": True}, "verifiers.learned.threshold: True is not a number"),
        ({"file": 3}, "verifiers.learned.file: 3 is no path"),
        ({"file": "missing.json"}, "missing.json: cannot be read"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        make_verifier("learned", options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "router-core/policy"}, "schema: 'router-core/policy' is not 'router-core/verifier'"),
        ({"features": ["words"]}, "features: these are not the features of this version; train the file anew"),
        ({"mean": [1.0]}, r"mean: \[1.0\] is no list of \d+ numbers"),
        ({"scale": [0.0] * len(FEATURES)}, "scale: 0.0 is not above 0"),
        ({"threshold": 2}, "threshold: 2 is not within 0..1"),
        ({"general": None}, "general: None is no model"),
        ({"general": {"coefficients": [0.0] * len(FEATURES), "intercept": "x"}}, "general.intercept: 'x' is no number"),
        ({"sites": []}, r"sites: \[\] is no mapping"),
        ({"sites": {"a": {}}}, "sites.a.intercept: None is no number"),
    ],
)
def test_a_broken_file_is_refused_with_the_field(file, change, message):
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | change))
    with pytest.raises(ConfigError, match=message):
        LearnedVerifier(file)


def test_the_shipped_file_is_small_and_says_what_it_was_trained_on():
    assert SHIPPED.stat().st_size < 20_000
    about = VerifierWeights.read(SHIPPED).about
    assert about["general"]["auroc_low"] > 0.75
