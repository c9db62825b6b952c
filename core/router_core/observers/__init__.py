"""Observers for operations: each is given as ``Router(..., observers=[...])``, and none delays a request or fails it.

- ``otel``: traces and metrics through OpenTelemetry, with ``attributes`` and ``metrics``; needs the extra ``otel``.
- ``webhook``: thresholds of budgets, posted as JSON; works as ``Ledger(..., alert=...)`` too.
- ``log``: one line of JSON for each request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router_core.observers.log import ReceiptLog
from router_core.observers.webhook import Webhook

if TYPE_CHECKING:
    from router_core.observers.otel import OpenTelemetryObserver

__all__ = ["OpenTelemetryObserver", "ReceiptLog", "Webhook"]


def __getattr__(name: str) -> Any:
    # The others do without the extra.
    if name == "OpenTelemetryObserver":
        from router_core.observers.otel import OpenTelemetryObserver  # noqa: PLC0415 - an optional extra

        return OpenTelemetryObserver
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
