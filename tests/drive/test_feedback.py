"""Feedback: kept in the ledger, told to whatever learns, and refused where it is of nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router_core import Router
from router_core.errors import InvalidRequest
from router_core.events import Event
from router_core.feedback import Known
from router_core.ledger import Ledger
from router_core.policies import StaticPolicy
from router_core.records import Feedback
from router_core.stores import open_store
from router_core.testing import EventLog, ScriptedHost

Make = Callable[..., Router]
HOST = ScriptedHost.saying({"weak": "Paris."})


class Learner(StaticPolicy):
    """A policy that wants to know how it went."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Event] = []

    def observe(self, event: Event) -> None:
        self.heard.append(event)


def test_it_is_kept_and_told_to_observers_and_to_the_policy(router_of: Make, log: EventLog) -> None:
    store, policy = open_store("memory://"), Learner()
    router = router_of(HOST, policy=policy, ledger=Ledger(store))
    receipt = router.complete("Capital?").receipt

    router.feedback(receipt.request_id, 0.75, "no source")
    router.feedback(receipt.request_id, score=False)

    [row] = store.entries()
    assert (row["feedback"]["score"], row["feedback"]["comment"]) == (0.0, None)
    told = [event for event in log.events if isinstance(event, Feedback)]
    assert [(event.request_id, event.score, event.comment) for event in told] == [
        (receipt.request_id, 0.75, "no source"),
        (receipt.request_id, 0.0, None),
    ]
    assert policy.heard == log.events


def test_what_was_asked_and_answered_is_told_to_who_learns_and_shown_to_nobody(router_of: Make) -> None:
    policy = Learner()
    router_of(HOST, policy=policy).complete("My secret question?")

    settled: Any = policy.heard[-1]
    assert (settled.request.user_texts, settled.reply.text) == (("My secret question?",), "Paris.")
    assert "secret" not in repr(settled)


def test_without_a_ledger_the_latest_requests_are_known(router_of: Make, log: EventLog) -> None:
    router = router_of(HOST)
    router.feedback(router.complete("Capital?").request_id, 1)
    assert isinstance(log.events[-1], Feedback)


@pytest.mark.parametrize("ledger", ["with", "without"])
@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("nobody", 1), "request_id: 'nobody' is not among"),
        (("r", 1.5), "score: 1.5 is not between 0"),
        (("r", float("nan")), "score: nan is not between 0"),
        (("r", "good"), "score: 'good' is not between 0"),
        (("r", 1, 5), "comment: int is not text"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    router_of: Make, log: EventLog, ledger: str, arguments: Any, wrong: str
) -> None:
    router = router_of(HOST, ledger=Ledger(open_store("memory://")) if ledger == "with" else None)
    name, *rest = arguments
    request_id = router.complete("Capital?").receipt.request_id if name == "r" else name

    with pytest.raises(InvalidRequest, match=wrong):
        router.feedback(request_id, *rest)
    assert not [event for event in log.events if isinstance(event, Feedback)]


def test_names_are_forgotten_oldest_first() -> None:
    known = Known()
    for number in range(11_000):
        known.add(str(number), "run")
    assert known.of("0") == ()
    assert known.of("10999") == ("10999",)
