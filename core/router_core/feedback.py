"""What an application says of answers: kept in the ledger, and told to whatever learns from it."""

from __future__ import annotations

import inspect
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from router_core.errors import InvalidRequest
from router_core.records import Feedback

if TYPE_CHECKING:
    from router_core.events import Observer
    from router_core.ledger import Ledger

_KEPT = 10_000


class Known:
    """The latest requests by the names that a framework has for them; the router's own ids are always among them.

    A name may be of several requests: the run of a LangChain chain that asked twice.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: OrderedDict[str, list[str]] = OrderedDict()

    def add(self, request_id: str, *names: str) -> None:
        """Note a request."""
        with self._lock:
            for name in (request_id, *names):
                self._requests.setdefault(name, []).append(request_id)
            while len(self._requests) > _KEPT:
                self._requests.popitem(last=False)

    def of(self, name: str) -> tuple[str, ...]:
        """The requests of this name; none if none is remembered."""
        with self._lock:
            return tuple(self._requests.get(name, ()))


def give_feedback(
    name: str,
    score: float,
    comment: str | None,
    *,
    known: Callable[[str], Sequence[str]],
    ledger: Ledger | None,
    observers: Sequence[Observer],
) -> None:
    """Keep what is said of the answer to the request of this name, and tell the observers. ``known`` tells the latest
    requests of a name.

    Raises:
        InvalidRequest: the score is not between 0 and 1, the comment is no text, or the request is not known.
        StoreError: the ledger cannot keep it.
    """
    if isinstance(score, bool):
        score = float(score)
    if not isinstance(score, int | float) or not 0 <= score <= 1:  # type: ignore[redundant-expr]
        raise InvalidRequest(f"score: {score!r} is not between 0 (useless) and 1 (as good as can be)")
    if comment is not None and not isinstance(comment, str):
        raise InvalidRequest(f"comment: {type(comment).__name__} is not text")
    given = [Feedback(each, float(score), comment, time.time()) for each in known(name) or (name,)]
    if ledger is not None:
        kept = [feedback for feedback in given if ledger.store.save_feedback(feedback)]
    else:
        kept = [feedback for feedback in given if known(feedback.request_id)]
    if not kept:
        where = "the ledger" if ledger is not None else "the latest requests of this router, which has no ledger"
        raise InvalidRequest(f"request_id: {name!r} is not among {where}; give the id that a receipt tells")
    for feedback in kept:
        for observer in observers:
            told = observer(feedback)
            if inspect.iscoroutine(told):
                told.close()
