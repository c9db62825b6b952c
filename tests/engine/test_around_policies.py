"""Policies around a policy: a certified threshold that is guarded, and a share of strong calls."""

import random

import pytest

from router_core.effects import Consult
from router_core.errors import ConfigError
from router_core.learning.certificate import Certificate
from router_core.policies import Candidate, Choice, GuardedPolicy, SharePolicy, make_policy
from router_core.records import Feedback, Reason
from router_core.types import Model, RequestView, Turn

TIERS = ("mini", "mid", "big")


def candidates(*names, costs=()):
    models = [Model(name=name, id=name, provider="p", endpoint="e", quality=0.5) for name in names or TIERS]
    return [Candidate(model, cost) for model, cost in zip(models, costs or [None] * len(models), strict=True)]


def request(text="hello", site=None):
    return RequestView(turns=(Turn("user", text),), input_bytes=len(text), call_site=site)


def choice(score, **more):
    return Choice(start="mid", reason=Reason.CUSTOM, score=score, features={"why": "test"}, **more)


class Scores:
    """A policy that gives the scores that it is handed, one after the other."""

    name = "scores"

    def __init__(self, *scores):
        self._scores = iter(scores)

    def decide(self, request, candidates):
        return choice(next(self._scores))


def certificate(**changes):
    given = {
        "policy": "scores", "weak": "mini", "strong": "big", "threshold": 0.5, "at_least": 0.95, "confidence": 0.9,
        "examples": 1000, "quality": 0.79, "weak_quality": 0.7, "strong_quality": 0.81, "strong_share": 0.4,
    }  # fmt: skip
    return Certificate(**(given | changes))


# ------------------------------------------------------------------------------------------------------------ guarded
@pytest.mark.parametrize(("score", "start"), [(0.49, "mini"), (0.5, "big"), (0.9, "big"), (None, "big")])
def test_below_the_certified_threshold_the_weak_model_answers(score, start):
    made = GuardedPolicy(Scores(score), certificate()).decide(request(), candidates())
    assert (made.start, made.reason, made.score) == (start, Reason.CERTIFIED, score)
    assert made.features["inner_policy"] == "scores"
    assert made.features["why"] == "test"
    assert made.features["threshold"] == 0.5


def test_a_broken_promise_sends_everything_to_the_strongest_until_it_is_reset():
    policy = GuardedPolicy(Scores(*[0.1] * 3), certificate(strong="mid"))
    assert policy.decide(request(), candidates()).start == "mini"
    while not policy.monitor.broken:
        policy.monitor.observe(1.0)
    made = policy.decide(request(), candidates())
    assert (made.start, made.reason) == ("big", Reason.GUARDED)
    assert made.features["promise_broken"] is True
    assert made.features["answers_observed"] == policy.monitor.observed
    policy.monitor.reset()
    assert policy.decide(request(), candidates()).start == "mini"


@pytest.mark.parametrize(
    ("names", "score", "start"),
    [(("mid", "big"), 0.1, "big"), (("mini", "mid"), 0.9, "mid"), (("mini", "mid"), 0.1, "mini")],
)
def test_a_model_that_constraints_rule_out_is_replaced_by_no_weaker_one(names, score, start):
    assert GuardedPolicy(Scores(score), certificate()).decide(request(), candidates(*names)).start == start


def test_a_certificate_of_unnamed_models_is_for_the_weakest_and_the_strongest():
    policy = GuardedPolicy(Scores(0.1, 0.9), certificate(weak="weak", strong="strong"), tiers=TIERS)
    assert [policy.decide(request(), candidates()).start for _ in range(2)] == ["mini", "big"]


def test_predicted_qualities_are_compared_for_the_certified_pair():
    class Predicts:
        name = "predicts"

        def decide(self, request, candidates):
            return choice(9.0, quality={"mini": 0.5, "mid": 0.9, "big": 0.8})

    made = GuardedPolicy(Predicts(), certificate(policy="predicts", threshold=0.35)).decide(request(), candidates())
    assert (made.start, made.score) == ("mini", pytest.approx(0.3))


def test_a_guarded_policy_is_made_from_options(tmp_path):
    path = tmp_path / "certificate.json"
    certificate(policy="difficulty", threshold=0.3).write(path)
    policy = make_policy(
        "guarded", {"policy": {"name": "difficulty", "carry": 0.5}, "certificate": str(path), "level": 0.1}, TIERS
    )
    assert policy.certificate.threshold == 0.3
    assert policy.decide(request("hi"), candidates()).start == "mini"
    assert policy.decide(request("Prove the theorem, then optimise the algorithm. " * 20), candidates()).start == "big"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"policy": "dificulty"}, "'dificulty' is no policy.*did you mean 'difficulty'"),
        ({"policy": {"medium": 0.2}}, "guarded.policy: None is no name"),
        ({"policy": {"name": "difficulty", "hrad": 1}}, "hrad.*did you mean 'hard'"),
        ({"policy": 3}, "guarded.policy: 3 is no policy"),
        ({"level": 2}, "level: 2"),
        ({"certificate": "nowhere.json"}, "nowhere.json: cannot be read"),
        ({"policy": "complexity"}, "'complexity' is not 'difficulty', which the certificate is for"),
    ],
)
def test_wrong_options_are_told(tmp_path, options, told):
    path = tmp_path / "certificate.json"
    certificate(policy="difficulty").write(path)
    with pytest.raises(ConfigError, match=told):
        make_policy("guarded", {"policy": "difficulty", "certificate": str(path)} | options, TIERS)


def test_a_certificate_of_another_model_is_refused():
    with pytest.raises(ConfigError, match="it is for 'big', which is no model"):
        GuardedPolicy(Scores(), certificate(), tiers=("mini", "bigger"))


# -------------------------------------------------------------------------------------------------------------- share
def test_a_share_of_the_requests_goes_to_the_strongest_at_each_call_site():
    rng = random.Random(0)  # noqa: S311 - reproducible, not secret
    scores = [rng.random() * (1 + 9 * (i % 2)) for i in range(600)]
    policy = SharePolicy(Scores(*scores), share=0.3)
    starts = [policy.decide(request(site=("easy", "hard")[i % 2]), candidates()).start for i in range(600)]
    assert set(starts) == {"mini", "big"}
    for site in (0, 1):
        assert starts[site::2].count("big") / 300 == pytest.approx(0.3, abs=0.03)


def test_the_choice_of_a_share_is_explained():
    made = SharePolicy(Scores(0.7), share=0.3).decide(request(), candidates())
    assert (made.reason, made.score) == (Reason.SHARE, 0.7)
    assert made.features == {
        "why": "test", "inner_policy": "scores", "inner_reason": "custom", "rank": 0.5, "threshold": 0.7,
        "calls_before": 0,
    }  # fmt: skip


def test_a_budget_per_call_is_kept_by_predicted_cost():
    rng = random.Random(1)  # noqa: S311 - reproducible, not secret
    policy = SharePolicy(Scores(*(rng.random() for _ in range(500))), budget_usd=0.002)
    priced = candidates(costs=(1_000_000, 2_000_000, 6_000_000))
    costs = {"mini": 0.001, "big": 0.006}
    spent = sum(costs[policy.decide(request(), priced).start] for _ in range(500))
    assert spent / 500 == pytest.approx(0.002, rel=0.05)


def test_a_budget_needs_prices():
    with pytest.raises(ConfigError, match="price of 'mini' is not known"):
        SharePolicy(Scores(0.5), budget_usd=0.002).decide(request(), candidates())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "either share"),
        ({"share": 0.3, "budget_usd": 0.1}, "either share"),
        ({"share": 1.5}, "share.share: 1.5 is not a share"),
        ({"share": True}, "share.share: True"),
        ({"budget_usd": -1}, "share.budget_usd: -1 is not an amount"),
    ],
)
def test_a_share_out_of_range_is_refused(options, told):
    with pytest.raises(ConfigError, match=told):
        make_policy("share", {"policy": "difficulty"} | options)


# ---------------------------------------------------------------------------------------------------------- learning
def test_feedback_reaches_the_monitor_and_goes_on_to_a_policy_that_learns():
    class Learns(Scores):
        heard, kept = (), None

        def observe(self, event):
            self.heard += (event,)

        def keep_in(self, ledger):
            self.kept = ledger

    inner = Learns(0.1)
    policy = GuardedPolicy(inner, certificate())
    bad = Feedback("id", 0.0, None, 0.0)
    while not policy.monitor.broken:
        policy.observe(bad)
    assert policy.monitor.observed == len(inner.heard)
    assert policy.decide(request(), candidates()).reason is Reason.GUARDED
    share = SharePolicy(policy, share=0.5)
    share.observe(bad)
    share.keep_in("ledger")
    assert inner.heard[-1] is bad
    assert inner.kept == "ledger"
    assert SharePolicy(Scores(), share=0.5).observe is None


# ----------------------------------------------------------------------------------------------- however it is decided
async def test_a_policy_that_must_be_awaited_is():
    class Later:
        name = "later"

        async def decide(self, request, candidates):
            return choice(0.1)

    made = await GuardedPolicy(Later(), certificate(policy="later")).decide(request(), candidates())
    assert made.start == "mini"


def test_a_policy_that_asks_models_asks_them_within_its_bounds():
    class Asks:
        name = "asks"

        def consult_bounds(self, request, candidates):
            return ["bound"]

        def decide(self, request, candidates):
            answer = yield Consult("mini", "how hard?")
            return choice(answer)

    policy = GuardedPolicy(Asks(), certificate(policy="asks"))
    consultation = policy.decide(request(), candidates())
    assert next(consultation) == Consult("mini", "how hard?")
    with pytest.raises(StopIteration) as done:
        consultation.send(0.2)
    assert done.value.value.start == "mini"
    assert policy.consult_bounds(request(), TIERS) == ["bound"]
    assert SharePolicy(Scores(), share=0.5).consult_bounds(request(), TIERS) == ()
