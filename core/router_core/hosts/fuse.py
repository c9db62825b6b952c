"""The switch behind ``router_core.testing.forbid_model_calls``."""

from __future__ import annotations

from urllib.parse import urlsplit

from router_core.errors import RouterError

blown = False
"""Whether calls that leave this machine are forbidden."""

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def check(base_url: str) -> None:
    """Refuse to call a server elsewhere while the fuse is blown.

    Raises:
        RouterError: the fuse is blown and the server is not on this machine.
    """
    host = urlsplit(base_url).hostname
    if blown and host not in _LOOPBACK:
        raise RouterError(f"a call to {host} was stopped by forbid_model_calls; use a ScriptedHost in tests")
