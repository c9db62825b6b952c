"""Test doubles for users of the router and for its own tests: nothing here calls a model or waits.

::

    host = ScriptedHost.saying({"weak": "I don't know", "strong": "Paris."})
    router = Router([scripted_model("weak"), scripted_model("strong")], host=host)
    assert router.complete("What is the capital of France?").model == "strong"
    assert [call.model for call in host.calls] == ["weak", "strong"]
"""

from __future__ import annotations

from router_core.testing.clock import FakeClock
from router_core.testing.events import EventLog
from router_core.testing.hosts import Broken, ScriptedCall, ScriptedHost, scripted_model
from router_core.testing.mode import forbid_model_calls

__all__ = [
    "Broken",
    "EventLog",
    "FakeClock",
    "ScriptedCall",
    "ScriptedHost",
    "forbid_model_calls",
    "scripted_model",
]
