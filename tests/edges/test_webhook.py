"""Alerts of budgets reach a server of one's own, whatever it does, and no request waits for it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core import Router
from router_core.budget import Budget
from router_core.errors import ConfigError
from router_core.events import Called
from router_core.ledger import Ledger
from router_core.observers import Webhook
from router_core.observers.webhook import message
from router_core.testing import ScriptedHost, scripted_model
from tests.edges.inbox import LONG_S, SECRET, Inbox, reached


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.close()


@pytest.fixture
def hook(inbox: Inbox) -> Iterator[Callable[..., Webhook]]:
    """Makes webhooks that post to the inbox, without pauses."""
    made: list[Webhook] = []

    def make(url: str = inbox.url, **options: Any) -> Webhook:
        made.append(Webhook(url, **{"pause_s": 0, "timeout_s": LONG_S, **options}))
        return made[-1]

    yield make
    inbox.open.set()
    for each in made:
        each.close(LONG_S)


def test_a_threshold_is_posted_for_people_and_for_machines(inbox: Inbox, hook: Callable[..., Webhook]) -> None:
    webhook = hook()

    webhook(Called("r1", 1, "weak"))
    webhook(reached(key="user:ann"))

    assert webhook.flush(LONG_S)
    (post,) = inbox.posts
    assert post == {
        "text": "the budget 'daily' of 'user:ann' (2026-11-25) has reached 80 %: $4.000000001 of $5 spent",
        "event": "budget_reached",
        "budget": "daily",
        "key": "user:ann",
        "window": "2026-11-25",
        "percent": 80,
        "unit": "usd",
        "limit": "5",
        "spent": "4.000000001",
        "held": "0.25",
        "request_id": "r1",
    }
    assert webhook.delivered == 1


def test_tokens_are_told_as_numbers() -> None:
    told = message(reached(unit="tokens", limit=1_000, spent=800, held=0))

    assert (told["unit"], told["limit"], told["spent"], told["held"]) == ("tokens", 1_000, 800, 0)


@given(st.text(), st.integers(0, 2**63 - 1))
def test_a_message_is_json_of_exact_money_and_calls_nobody(key: str, spent: int) -> None:
    told = json.loads(json.dumps(message(reached(key=key, spent=spent))))

    whole, _, part = told["spent"].partition(".")
    assert int(whole + part.ljust(9, "0")) == spent
    assert not {"<", ">"} & set(told["text"])


def test_a_request_does_not_wait_for_the_server(inbox: Inbox, hook: Callable[..., Webhook]) -> None:
    inbox.open.clear()
    webhook = hook()
    weak = scripted_model("weak", input_usd="1", output_usd="2")
    budget = Budget(name="tiny", limit_usd="0.0001", per="day", thresholds=(1,))
    ledger = Ledger("memory://", budgets=[budget], alert=webhook)
    router = Router([weak], host=ScriptedHost.saying({"weak": "good"}), ledger=ledger, verifiers=[])

    answer = router.complete("What is it?", max_tokens=10)

    # The server has the alert and has not answered yet.
    assert inbox.arrived.acquire(timeout=LONG_S)
    assert answer.text == "good"
    assert webhook.delivered == 0
    inbox.open.set()
    assert webhook.flush(LONG_S)
    assert [post["budget"] for post in inbox.posts] == ["tiny"]
    assert webhook.delivered == 1


def test_it_is_an_observer_too(inbox: Inbox, hook: Callable[..., Webhook]) -> None:
    webhook = hook()
    weak = scripted_model("weak", input_usd="1", output_usd="2")
    ledger = Ledger("memory://", budgets=[Budget(name="tiny", limit_usd="0.0001", per="day", thresholds=(1, 2, 99))])
    host = ScriptedHost.saying({"weak": "good"})
    router = Router([weak], host=host, ledger=ledger, verifiers=[], observers=[webhook])

    router.complete("What is it?", max_tokens=10)

    assert webhook.flush(LONG_S)
    assert [post["percent"] for post in inbox.posts] == [1, 2]


@pytest.mark.parametrize("statuses", [[500], [503, 429]])
def test_what_the_server_does_not_take_is_posted_again(
    inbox: Inbox, hook: Callable[..., Webhook], statuses: list[int]
) -> None:
    inbox.statuses = list(statuses)
    webhook = hook()

    webhook(reached())

    assert webhook.flush(LONG_S)
    assert len(inbox.posts) == len(statuses) + 1
    assert (webhook.delivered, webhook.failed) == (1, 0)


@pytest.mark.parametrize(("status", "posts"), [(500, 3), (404, 1), (400, 1), (302, 1)])
def test_what_it_refuses_is_counted_and_logged(
    inbox: Inbox, hook: Callable[..., Webhook], caplog: pytest.LogCaptureFixture, status: int, posts: int
) -> None:
    inbox.statuses = [status] * 3
    inbox.headers = {"Location": "http://127.0.0.1:9/elsewhere"}
    webhook = hook()

    webhook(reached())

    assert webhook.flush(LONG_S)
    assert len(inbox.posts) == posts
    assert (webhook.delivered, webhook.failed) == (0, 1)
    assert f"'daily' was not delivered: HTTP {status}" in caplog.text


def test_the_server_says_how_long_to_pause(inbox: Inbox, hook: Callable[..., Webhook]) -> None:
    inbox.statuses = [429]
    inbox.headers = {"Retry-After": "0"}
    webhook = hook(pause_s=LONG_S)

    webhook(reached())

    assert webhook.flush(LONG_S)
    assert webhook.delivered == 1


def test_a_server_that_is_not_there_is_tried_again_and_given_up(
    inbox: Inbox, hook: Callable[..., Webhook], caplog: pytest.LogCaptureFixture
) -> None:
    webhook = hook("http://127.0.0.1:9/x")

    webhook(reached())

    assert webhook.flush(LONG_S)
    assert webhook.failed == 1
    assert "ConnectionRefusedError" in caplog.text


def test_a_server_that_hangs_is_left_after_the_time_out(
    inbox: Inbox, hook: Callable[..., Webhook], caplog: pytest.LogCaptureFixture
) -> None:
    inbox.open.clear()
    webhook = hook(timeout_s=0.02, tries=2)

    webhook(reached())

    assert webhook.flush(LONG_S)
    assert [inbox.arrived.acquire(timeout=LONG_S) for _ in range(2)] == [True, True]
    assert webhook.failed == 1
    assert "TimeoutError" in caplog.text


def test_a_queue_that_is_full_drops_what_comes(
    inbox: Inbox, hook: Callable[..., Webhook], caplog: pytest.LogCaptureFixture
) -> None:
    inbox.open.clear()
    webhook = hook(queue=2)
    webhook(reached(1))
    assert inbox.arrived.acquire(timeout=LONG_S)

    for percent in (2, 3, 4, 5):
        webhook(reached(percent))

    assert webhook.dropped == 2
    assert caplog.text.count("dropped an alert of the budget 'daily'") == 2
    inbox.open.set()
    assert webhook.flush(LONG_S)
    assert [post["percent"] for post in inbox.posts] == [1, 2, 3]


def test_closing_waits_no_longer_than_it_is_told_and_says_what_is_lost(
    inbox: Inbox, hook: Callable[..., Webhook], caplog: pytest.LogCaptureFixture
) -> None:
    inbox.open.clear()
    webhook = hook()
    for percent in (1, 2, 3):
        webhook(reached(percent))
    assert inbox.arrived.acquire(timeout=LONG_S)

    assert not webhook.flush(0)
    assert not webhook.close(0)

    assert "3 alerts of budgets are lost" in caplog.text
    assert webhook.failed == 2


def test_closing_ends_a_long_pause(inbox: Inbox, hook: Callable[..., Webhook]) -> None:
    inbox.statuses = [500]
    webhook = hook(pause_s=10 * LONG_S)
    webhook(reached())
    assert inbox.arrived.acquire(timeout=LONG_S)

    assert not webhook.close(0)

    assert webhook.flush(LONG_S)
    assert (webhook.delivered, webhook.failed) == (0, 1)


def test_a_closed_one_starts_again(inbox: Inbox, hook: Callable[..., Webhook]) -> None:
    webhook = hook()
    webhook(reached(1))
    assert webhook.close(LONG_S)

    webhook(reached(2))

    assert webhook.flush(LONG_S)
    assert [post["percent"] for post in inbox.posts] == [1, 2]


def test_the_end_of_the_process_waits_for_what_is_to_be_posted(inbox: Inbox) -> None:
    script = """
import sys
from router_core.events import BudgetReached
from router_core.observers import Webhook
webhook = Webhook(sys.argv[1])
for percent in range(5):
    webhook(BudgetReached("r", "daily", "", "w", percent, "nano", 1, 1, 0))
"""

    subprocess.run([sys.executable, "-c", script, inbox.url], check=True, timeout=LONG_S)

    assert [post["percent"] for post in inbox.posts] == [0, 1, 2, 3, 4]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_posts_its_own_alerts_and_no_others(inbox: Inbox) -> None:
    script = """
import os, sys
from router_core.events import BudgetReached
from router_core.observers import Webhook
webhook, own = Webhook(sys.argv[1]), Webhook(sys.argv[2])
def say(to, percent):
    to(BudgetReached("r", "daily", "", "w", percent, "nano", 1, 1, 0))
say(webhook, 1)
say(webhook, 2)
child = os.fork()
if not child:
    say(own, 3)
    assert own.flush(30)
    sys.exit()
print(os.waitpid(child, 0)[1], flush=True)
"""
    free = Inbox()
    inbox.open.clear()
    command = [sys.executable, "-W", "ignore", "-c", script, inbox.url, free.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        # The child ends while what its parent was told waits: that is not the child's to wait for.
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        inbox.open.set()
        _, errors = process.communicate(timeout=LONG_S)
    free.close()

    told = [[post["percent"] for post in each.posts] for each in (inbox, free)]
    assert (told, errors) == ([[1, 2], [3]], "")


def test_the_url_is_never_shown(
    inbox: Inbox, hook: Callable[..., Webhook], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    inbox.statuses = [500, 500, 500, 404]
    refused = hook(f"http://127.0.0.1:9/{SECRET}")
    webhook = hook()

    for each in (webhook, webhook, webhook, refused):
        each(reached())
        assert each.flush(LONG_S)

    shown = [repr(webhook), str(refused), caplog.text]
    for url in (f"ftp://x/{SECRET}", f"http://example.org/{SECRET}", f"https://a:{SECRET}@b/", f"https://[{SECRET}/"):
        monkeypatch.setenv("HOOK", url)
        with pytest.raises(ConfigError) as raised:
            Webhook.from_env("HOOK")
        shown.append(str(raised.value))
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__
    assert inbox.paths[0].endswith(SECRET)
    assert [text for text in shown if SECRET in text or "8cZ2" in text] == []


def test_a_proxy_is_not_asked_for_this_machine(
    inbox: Inbox, hook: Callable[..., Webhook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    webhook = hook()

    webhook(reached())

    assert webhook.flush(LONG_S)
    assert webhook.delivered == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/x",
        "http://127.0.0.1.example.org/x",
        "file:///etc/hosts",
        "hooks.example.org/x",
        "https://",
        "https:///x",
        "https://host:99999/x",
        "https://host/a b",
        "https://host/\n",
        "https://höst/x",
        "https://user:word@host/x",
    ],
)
def test_urls_that_are_not_safe_to_post_to_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="webhook: "):
        Webhook(url)


@pytest.mark.parametrize(
    "url", ["https://hooks.example.org/x", "http://localhost:8065/x", "http://[::1]:1/x", "HTTPS://HOST/x"]
)
def test_urls_that_are_safe_to_post_to_are_taken(url: str) -> None:
    assert "x" not in repr(Webhook(url))


@pytest.mark.parametrize(
    ("options", "field"),
    [({"tries": 0}, "tries is 0"), ({"queue": 0}, "queue is 0"), ({"timeout_s": 0}, "timeout_s is 0"),
     ({"timeout_s": float("nan")}, "timeout_s is nan"), ({"pause_s": -1}, "pause_s is -1")],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        Webhook("https://hooks.example.org/x", **options)


def test_the_url_comes_from_the_environment(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUDGET_HOOK", inbox.url + "\n")
    webhook = Webhook.from_env("BUDGET_HOOK", tries=1)
    webhook(reached())
    assert webhook.close(LONG_S)
    assert len(inbox.posts) == 1

    monkeypatch.delenv("BUDGET_HOOK")
    with pytest.raises(ConfigError, match="variable BUDGET_HOOK is not set"):
        Webhook.from_env("BUDGET_HOOK")
