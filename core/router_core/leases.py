"""Leases: what running requests hold is renewed, what those of dead processes held is reclaimed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from router_core.errors import StoreError

if TYPE_CHECKING:
    from router_core.stores.base import Store

_RENEWALS = 3
"""How often a lease is renewed in the time that it lasts."""

log = logging.getLogger(__name__)


class Leases:
    """Keeps leases from a thread of its own. ``store`` gives the store, or None when nobody needs it any more."""

    def __init__(self, store: Callable[[], Store | None], lease_s: float) -> None:
        self._store = store
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="router-leases", daemon=True).start()

    def add(self, request_id: str) -> None:
        """Renew what this request holds from now on."""
        with self._lock:
            self._running.add(request_id)

    def remove(self, request_id: str) -> None:
        """The request is over."""
        with self._lock:
            self._running.discard(request_id)

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._lease_s / _RENEWALS):
            with self._lock:
                running = list(self._running)
            try:
                store = self._store()
                if store is None:
                    return
                now = time.time()
                if running:
                    store.renew(running, expires=now + self._lease_s)
                store.reclaim(now)
            except StoreError as error:
                log.warning("could not renew what is held for %d requests: %s", len(running), error)
