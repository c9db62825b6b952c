"""Thresholds of budgets, posted to a URL."""

from __future__ import annotations

import atexit
import codecs
import html
import http.client
import json
import logging
import os
import threading
import urllib.error
import urllib.request
from collections import deque
from ipaddress import ip_address
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from router_core.errors import ConfigError
from router_core.events import BudgetReached, Event
from router_core.types import Json, to_usd

_TIMEOUT_S = 5.0
_TRIES = 3
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_QUEUE = 100
_EXIT_S = 5.0
"""How long the end of the process waits for what is still to be posted."""

log = logging.getLogger(__name__)


class Webhook:
    """Posts what budgets have reached to a URL, from a thread of its own: however slow the server is, no request waits.

    ::

        ledger = Ledger(..., alert=Webhook.from_env("BUDGET_WEBHOOK_URL"))

    It may be a ledger's ``alert`` or one of a router's ``observers`` (not both: each would post); of other events it
    takes no notice. Posted is a JSON object with ``text``, which incoming webhooks of Slack and Mattermost show (a
    workflow of Microsoft Teams shows cards only: let it make one of ``text``), and for machines ``event``
    ("budget_reached"), ``budget``, ``key``, ``window``, ``percent``, ``unit`` ("usd" or "tokens"), ``limit``,
    ``spent``, ``held`` (US dollars as text, tokens as numbers) and ``request_id``.

    What the server does not take (no connection, 429, 5xx) is posted again, after pauses that double or as long as the
    server asks for; what it took without saying so in time comes twice. What it refuses, or never takes, is counted and
    logged. The URL is a secret: it is never shown, and redirects are not followed. One object serves all threads and
    event loops, and the processes forked later.

    Args:
        url: https, or http to this machine.
        timeout_s: how long to wait for the server each time.
        tries: how often an alert is posted at most.
        pause_s: seconds before the second try.
        queue: how many alerts may wait; what comes then is dropped.

    Raises:
        ConfigError: the URL is of another kind, or a number is out of range.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = _TIMEOUT_S,
        tries: int = _TRIES,
        pause_s: float = _PAUSE_S,
        queue: int = _QUEUE,
    ) -> None:
        for name, number, least in (("tries", tries, 1), ("queue", queue, 1), ("pause_s", pause_s, 0)):
            if not number >= least:
                raise ConfigError(f"webhook: {name} is {number!r}; give {least} or more")
        if not 0 < timeout_s <= threading.TIMEOUT_MAX:
            raise ConfigError(f"webhook: timeout_s is {timeout_s!r}; give seconds above 0")
        self._sender = _Sender(url, timeout_s, tries, pause_s)
        self._queue = queue
        self._outboxes: dict[int, _Outbox] = {}

    @classmethod
    def from_env(cls, name: str, **options: Any) -> Self:
        """The webhook whose URL stands in an environment variable; ``options`` are those of the class.

        Raises:
            ConfigError: the variable is not set, or what it holds is no URL to post to.
        """
        url = os.environ.get(name, "").strip()
        if not url:
            raise ConfigError(f"webhook: the environment variable {name} is not set; put the URL into it")
        try:
            return cls(url, **options)
        except ConfigError as error:
            raise ConfigError(f"{error} (it comes from the environment variable {name})") from None

    def __repr__(self) -> str:
        return f"Webhook(delivered={self.delivered}, failed={self.failed}, dropped={self.dropped})"

    def __call__(self, event: Event, /) -> None:
        """Hear one event; it is posted later."""
        if isinstance(event, BudgetReached):
            self._mine().put(event)

    @property
    def delivered(self) -> int:
        """How many alerts the server took."""
        return self._mine().delivered

    @property
    def failed(self) -> int:
        """How many alerts the server refused or never took."""
        return self._mine().failed

    @property
    def dropped(self) -> int:
        """How many alerts found no room."""
        return self._mine().dropped

    def flush(self, timeout_s: float = _EXIT_S) -> bool:
        """Wait until nothing waits to be posted; False if that takes longer than ``timeout_s``."""
        return self._mine().flush(timeout_s)

    def close(self, timeout_s: float = _EXIT_S) -> bool:
        """Flush and end the thread; False if something is lost thereby, which is logged. A later event starts it again.
        The end of the process does so by itself."""
        return self._mine().close(timeout_s)

    def _mine(self) -> _Outbox:
        """The outbox of this process: what waited when it was forked is its parent's to post."""
        pid = os.getpid()
        return self._outboxes.get(pid) or self._outboxes.setdefault(pid, _Outbox(self._sender, self._queue))


def message(event: BudgetReached) -> dict[str, Json]:
    """What is posted of a threshold."""

    def amount(units: int) -> Json:
        return units if event.unit == "tokens" else f"{to_usd(units):f}"

    return {
        # Chats read <!channel> and <@user> as calls to people, and the key is the application's user's.
        "text": html.escape(str(event), quote=False),
        "event": "budget_reached",
        "budget": event.budget,
        "key": event.key,
        "window": event.window,
        "percent": event.percent,
        "unit": "tokens" if event.unit == "tokens" else "usd",
        "limit": amount(event.limit),
        "spent": amount(event.spent),
        "held": amount(event.held),
        "request_id": event.request_id,
    }


class _Outbox:
    """Alerts that wait in one process, and the thread that posts them."""

    def __init__(self, sender: _Sender, most: int) -> None:
        self.delivered = self.failed = self.dropped = 0
        self._pid = os.getpid()
        self._sender = sender
        self._most = most
        self._changed = threading.Condition()
        self._waiting: deque[BudgetReached] = deque()
        self._posting = 0
        self._given_up: threading.Event | None = None  # of the thread, while there is one

    def put(self, event: BudgetReached) -> None:
        """Take in an alert, or drop it."""
        with self._changed:
            dropped = len(self._waiting) >= self._most
            if dropped:
                self.dropped += 1
            else:
                self._waiting.append(event)
                self._start()
                self._changed.notify_all()
        if dropped:
            log.warning("dropped an alert of the budget %r: %d wait already", event.budget, self._most)

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing waits any more."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._posting), timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Flush, and end the thread."""
        atexit.unregister(self._at_exit)
        done = self.flush(timeout_s)
        with self._changed:
            lost = len(self._waiting)
            self.failed += lost
            self._waiting.clear()
            if self._given_up is not None:
                self._given_up.set()
                self._given_up = None
            self._changed.notify_all()
        if not done:
            log.warning(
                "%d alerts of budgets are lost: they were not delivered in %g s", lost + self._posting, timeout_s
            )
        return done

    def _start(self) -> None:
        if self._given_up is None:
            self._given_up = given_up = threading.Event()
            threading.Thread(target=self._work, args=(given_up,), name="router-webhook", daemon=True).start()
            atexit.register(self._at_exit)

    def _at_exit(self) -> None:
        # A forked process inherits the call, not the thread.
        if self._pid == os.getpid():
            self.close(_EXIT_S)

    def _work(self, given_up: threading.Event) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or given_up.is_set())
                if given_up.is_set():
                    return
                event = self._waiting.popleft()
                self._posting += 1
            taken = False
            try:
                taken = self._sender.deliver(event, given_up)
            finally:
                with self._changed:
                    self._posting -= 1
                    self.delivered += taken
                    self.failed += not taken
                    self._changed.notify_all()


class _Answer(NamedTuple):
    """How a post ended: why it was not taken, in words that hold no part of the URL; whether to post again, and after
    how many seconds if the server says so."""

    taken: bool
    why: str = ""
    again: bool = False
    pause_s: float | None = None


class _Sender:
    """Posts to one URL."""

    def __init__(self, url: str, timeout_s: float, tries: int, pause_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._tries = tries
        self._pause_s = pause_s
        # Loaded now: a process forked while its parent's thread loads it for a first post could never post.
        codecs.lookup("idna")
        # A proxy is not asked for what is on this machine: it would be shown the URL.
        proxies = urllib.request.ProxyHandler({} if _is_here(url) else None)
        # Redirects are not among what it handles: a redirected post would lead anywhere, and without its content.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            proxies,
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def deliver(self, event: BudgetReached, given_up: threading.Event) -> bool:
        """Post an alert until it is taken, refused, tried often enough, or given up."""
        content = json.dumps(message(event)).encode()
        pause_s = self._pause_s
        for left in reversed(range(self._tries)):
            answer = self._post(content)
            if answer.taken:
                return True
            wanted_s = pause_s if answer.pause_s is None else answer.pause_s
            if not (left and answer.again) or given_up.wait(min(wanted_s, _LONGEST_PAUSE_S)):
                log.warning("an alert of the budget %r was not delivered: %s", event.budget, answer.why)
                return False
            pause_s *= 2
        return False

    def _post(self, content: bytes) -> _Answer:
        headers = {"Content-Type": "application/json", "User-Agent": "router-core"}
        request = urllib.request.Request(self._url, content, headers, method="POST")  # noqa: S310 - checked below
        try:
            with self._opener.open(request, timeout=self._timeout_s):
                return _Answer(taken=True)
        except urllib.error.HTTPError as error:
            with error:
                again = (
                    error.code == http.HTTPStatus.TOO_MANY_REQUESTS
                    or error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR
                )
                return _Answer(taken=False, why=f"HTTP {error.code}", again=again, pause_s=_wanted_pause(error))
        except (OSError, ValueError, http.client.HTTPException) as error:
            # Its text may quote the host or more: only its class is told.
            reason = getattr(error, "reason", None)
            return _Answer(
                taken=False, why=type(reason if isinstance(reason, Exception) else error).__name__, again=True
            )


def _wanted_pause(error: urllib.error.HTTPError) -> float | None:
    wanted = error.headers.get("Retry-After", "")
    return float(wanted) if wanted.isdecimal() else None


def _is_here(url: str) -> bool:
    """Whether a URL leads to this machine, without a way over the network.

    Raises:
        ConfigError: it is none to post to.
    """
    # The URL is not shown: it holds a key.
    if not (url.isascii() and url.isprintable() and " " not in url):
        raise ConfigError("webhook: the URL holds blanks or characters beyond ASCII; write them as %XX")
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError("webhook: the URL cannot be read; write https://HOST/PATH") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigError("webhook: a URL with a user or a password cannot be posted to; write https://HOST/PATH")
    here = host == "localhost" or _is_loopback(host)
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and here)):
        raise ConfigError("webhook: the URL is neither https://HOST/PATH nor http:// to this machine")
    return here


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
