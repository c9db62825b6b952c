"""A provider of models on loopback, speaking three wire formats, that keeps a journal of what it was asked."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers.mind import FAILURES, Ask, Say, Tokens, count, think
from tests.servers.wires import WIRES, Wire

NOTHING = Tokens(0, 0, 0, 0)
WRONG_KEY = "a-wrong-key"
"""Refused with status 401, whichever wire it comes by. Any other key will do, and none."""

WINDOW = 8192
"""The context window of every model, for those who ask as Ollama is asked."""


@dataclass(frozen=True)
class Exchange:
    """One request: the wire it came by ("openai", "anthropic", "ollama"), the model, what was sent, what came of it."""

    wire: str
    model: str
    body: Mapping[str, Any]
    status: int
    used: Tokens


class ProviderServer:
    """The server. Each face has its own models of it.

    Args:
        names: what models are called that behave as another one does, for integrations that know only certain names.

    ``stuck`` can be acquired once for each call that got stuck: it is booked then with what it has said.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self.journal: list[Exchange] = []
        self.stuck = threading.Semaphore(0)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.journal = self.journal
        self._server.names = names or {}
        self._server.stuck = self.stuck
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def connections(self) -> int:
        """How many were opened so far."""
        return self._server.connections

    def shut_down(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    journal: list[Exchange]
    names: Mapping[str, str]
    stuck: threading.Semaphore
    connections = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is none."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wire = next((wire for wire in WIRES if wire.path == self.path.partition("?")[0]), None)
        if self.path == "/api/show":
            self._whole(200, {"model_info": {"general.architecture": "llama", "llama.context_length": WINDOW}})
        elif wire is None:
            self._whole(404, {"error": f"no {self.path} here"})
        else:
            self._answer(wire, body)

    def _answer(self, wire: Wire, body: Mapping[str, Any]) -> None:
        ask = wire.read({**body, "model": self.server.names.get(body["model"], body["model"])})
        status = 401 if self._has_wrong_key() else FAILURES.get(ask.mood, 200)
        refused = _refused(ask, body)
        if status == 200 and refused:
            status = 400
        if status != 200:
            self._book(wire, body, status, NOTHING)
            self._whole(status, wire.failure(status, refused))
            return
        say = think(ask)
        if ask.mood == "stuck":
            self._get_stuck(wire, body, ask, say)
            return
        used = count(ask, say)
        self._book(wire, body, status, used)
        if wire.streams(body):
            pieces = list(wire.pieces(ask, say, used, body))
            self._stream(wire, pieces[: len(pieces) // 2] if ask.mood == "broken" else [*pieces, b""])
        elif ask.mood == "broken":
            self.close_connection = True
        else:
            self._whole(status, wire.whole(ask, say, used))

    def _get_stuck(self, wire: Wire, body: Mapping[str, Any], ask: Ask, say: Say) -> None:
        words = say.words()
        said = len(words) // 2 if wire.streams(body) else 0
        used = replace(count(ask, say), output=said, reasoning=0)
        self._book(wire, body, 200, used)
        if said:
            unsaid = json.dumps(words[said], ensure_ascii=False).encode()
            pieces = itertools.takewhile(lambda piece: unsaid not in piece, wire.pieces(ask, say, used, body))
            self._stream(wire, list(pieces))
        self.server.stuck.release()
        with suppress(OSError):
            self.connection.recv(1)
        self.close_connection = True

    def _has_wrong_key(self) -> bool:
        return WRONG_KEY in (self.headers["Authorization"] or self.headers["x-api-key"] or "")

    def _book(self, wire: Wire, body: Mapping[str, Any], status: int, used: Tokens) -> None:
        self.server.journal.append(Exchange(wire.name, body["model"], body, status, used))

    def _whole(self, status: int, data: Any) -> None:
        content = json.dumps(data, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def _stream(self, wire: Wire, pieces: Sequence[bytes]) -> None:
        """Send the pieces as chunks. The empty one ends the stream; without it the connection is closed."""
        self.send_response(200)
        self.send_header("Content-Type", wire.stream_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()
        self.close_connection = bool(pieces[-1])

    def log_message(self, *args: object) -> None:
        pass


def _refused(ask: Ask, body: Mapping[str, Any]) -> str:
    """What of a request the model will not have, in the words of a server; empty if it takes it all."""
    if ask.mood == "curt" and "stream_options" in body:
        return "Unknown parameter: 'stream_options'."
    if ask.mood == "words" and ask.schema is not None:
        return "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
    return ""
