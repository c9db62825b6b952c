"""A server on loopback to which alerts are posted."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from router_core.events import BudgetReached

SECRET = "T024BE7LD-8cZ2mGkQ"
LONG_S = 30.0
"""How long a test waits for what is sure to come: no test lasts so long."""


def reached(percent: int = 80, **about: Any) -> BudgetReached:
    told: dict[str, Any] = {
        "request_id": "r1",
        "budget": "daily",
        "key": "",
        "window": "2026-11-25",
        "percent": percent,
        "unit": "nano",
        "limit": 5_000_000_000,
        "spent": 4_000_000_001,
        "held": 250_000_000,
    }
    return BudgetReached(**{**told, **about})


class Inbox:
    """A server on loopback. It answers with the ``statuses`` in turn, then 200; while ``open`` is not set it takes
    requests in and answers none."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.posts: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.arrived = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.paths.append(self.path)
                assert self.headers["Content-Type"] == "application/json"
                inbox.posts.append(json.loads(content))
                inbox.arrived.release()
                inbox.open.wait(LONG_S)
                self.send_response(inbox.statuses.pop(0) if inbox.statuses else 200)
                for name, value in inbox.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *args: object) -> None:
                pass

            def finish(self) -> None:
                with suppress(OSError):  # the client has gone
                    super().finish()

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/services/{SECRET}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.open.set()
        self._http.shutdown()
        self._http.server_close()
