"""A line of JSON for each request, through ``logging``."""

from __future__ import annotations

import json
import logging

from router_core.events import Event, Settled


class ReceiptLog:
    """Logs the account of each request that is over, as one line of JSON: ``Receipt.summary()``, which holds no text of
    the request or of the answers.

    Args:
        logger: where it is logged; the logger "router_core.receipts" unless given.
        level: at which level.
    """

    def __init__(self, logger: logging.Logger | None = None, *, level: int = logging.INFO) -> None:
        self._logger = logger or logging.getLogger("router_core.receipts")
        self._level = level

    def __call__(self, event: Event, /) -> None:
        """Hear one event."""
        if isinstance(event, Settled) and self._logger.isEnabledFor(self._level):
            self._logger.log(self._level, "%s", json.dumps(event.receipt.summary(), ensure_ascii=False))
