"""The servers that the OpenAI host is tested against, all on loopback.

aimock (npm ``@copilotkit/aimock``) is a server that nobody of this project wrote: it answers in OpenAI's protocol and
keeps a journal of what it was asked. With node and npm it is installed once per machine, into the user's cache, and
started by the tests. Without them its answers are replayed from ``cassettes/``. The environment variable
``ROUTER_CORE_AIMOCK`` decides otherwise: ``replay`` even with node, or ``record`` to write the cassettes anew:

    ROUTER_CORE_AIMOCK=record uv run pytest tests/hosts/test_openai.py

The wire server is our own, for what no tape and not even aimock can do: resets, hangs, odd bodies, watching a client
hang up.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import urllib.request
from collections import deque
from contextlib import suppress
from pathlib import Path

import pytest
import vcr

from router_core.effects import CallModel, Voice
from router_core.hosts.chat import prepare
from router_core.hosts.openai import OpenAIHost
from router_core.registry import Endpoint, Registry
from router_core.types import Constraints, Model

HERE = Path(__file__).parent
AIMOCK = "@copilotkit/aimock@1.43.0"
NOWHERE = "http://127.0.0.1:9"


class Aimock:
    """aimock, running or on tape. ``url`` is its address without ``/v1``."""

    def __init__(self, url, *, live):
        self.url = url
        self.live = live

    def sent(self):
        """The bodies of the chat requests that it was sent, oldest first, as its own journal tells them."""
        with urllib.request.urlopen(f"{self.url}/__aimock/journal?method=POST") as answer:
            return [entry["body"] for entry in json.load(answer)]

    def forget(self):
        """Empty the journal."""
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/__aimock/reset/journal", method="POST")):
            pass


def installed_aimock():
    """The program, installed if need be; None where node or npm is missing or npm cannot reach its registry."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "router-core-tests"
    program = cache / AIMOCK.replace("/", "-") / "node_modules/@copilotkit/aimock/dist/cli.js"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            options = ["--prefix", fresh, "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=20000"]
            try:
                subprocess.run([npm, "install", *options, AIMOCK], capture_output=True, check=True, timeout=120)
            except subprocess.SubprocessError:
                return None
            modules = program.parents[3]
            modules.parent.mkdir(exist_ok=True)
            with suppress(OSError):  # another run was faster
                Path(fresh, "node_modules").rename(modules)
    return [node, str(program)]


@pytest.fixture(scope="session")
def aimock_mode():
    """``live``, ``record`` or ``replay``, and the command that starts the server."""
    wanted = os.environ.get("ROUTER_CORE_AIMOCK", "live")
    command = None if wanted == "replay" else installed_aimock()
    if wanted == "record" and command is None:
        pytest.fail("cassettes can be recorded with node and npm only: install them")
    return (wanted if command else "replay"), command


@pytest.fixture(scope="session")
def aimock_url(aimock_mode):
    mode, command = aimock_mode
    if mode == "replay":
        yield NOWHERE
        return
    arguments = ["-p", "0", "-h", "127.0.0.1", "-f", str(HERE / "aimock"), "--validate-on-load", "--strict"]
    process = subprocess.Popen(
        [*command, *arguments], env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        told = b""
        while not (found := re.search(rb"listening on (http://\S+)", told)):
            line = process.stdout.readline()
            assert line, f"aimock did not start: {told.decode()}"
            told += line
        # Read on, or the server would stand still as soon as the pipe is full.
        reader = threading.Thread(target=deque, args=(process.stdout, 0))
        reader.start()
        yield found[1].decode()
    finally:
        process.terminate()
        process.wait()
        reader.join()
        process.stdout.close()


@pytest.fixture
def aimock(aimock_mode, aimock_url, request):
    """aimock with an empty journal. A cassette serves the sync and the async run of a test."""
    mode, _ = aimock_mode
    server = Aimock(aimock_url, live=mode == "live")
    if mode != "replay":
        server.forget()
    if mode == "live":
        yield server
        return
    words = re.split(r"[^\w]+", request.node.name)
    name = "-".join(word for word in words if word not in {"", "sync", "async"})
    path = HERE / "cassettes" / f"{name}.yaml"
    if mode == "record":
        path.unlink(missing_ok=True)
    with tape().use_cassette(str(path), record_mode="all" if mode == "record" else "none", allow_playback_repeats=True):
        yield server


def tape():
    """A recorder that keeps what is compared and nothing of the machine: no port, no header but the type, of the
    journal only the bodies. Requests match by method, path and body."""

    def request_kept(request):
        request.headers = {k: v for k, v in request.headers.items() if k.lower() == "content-type"}
        request.uri = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9", request.uri)
        return request

    def response_kept(response):
        kept = {"content-type", "retry-after"}
        response["headers"] = {k: v for k, v in response["headers"].items() if k.lower() in kept}
        body = response["body"]["string"]
        if body.startswith(b'[{"id":"req-'):
            bodies = [{"body": entry["body"]} for entry in json.loads(body)]
            response["body"]["string"] = json.dumps(bodies).encode()
        return response

    return vcr.VCR(
        match_on=["method", "path", "body"],
        before_record_request=request_kept,
        before_record_response=response_kept,
        decode_compressed_response=True,
    )


class Connection:
    """One request that the wire server received, and the means to answer it badly."""

    def __init__(self, sock, head, body):
        self.path = head.split()[1]
        self.headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        self.body = json.loads(body) if body else None
        self._socket = sock

    def send(self, data):
        self._socket.sendall(data if isinstance(data, bytes) else data.encode())

    def answer(self, body, *, status=200, content_type="application/json"):
        """A whole answer; the connection stays open."""
        body = body if isinstance(body, str) else json.dumps(body)
        self.send(
            f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}"
        )

    def begin_stream(self, *, chunked=True):
        self._chunked = chunked
        how = "Transfer-Encoding: chunked" if chunked else "Connection: close"
        self.send(f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{how}\r\n\r\n")

    def event(self, data):
        """One server-sent event."""
        text = f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
        self.send(f"{len(text.encode()):x}\r\n{text}\r\n" if self._chunked else text)

    def say(self, *texts, finish="stop", usage=None):
        """A stream of texts, with its end unless ``finish`` is None."""
        for text in texts:
            self.event(spoken(text))
        if finish:
            self.event({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage})
            self.event("[DONE]")
            if self._chunked:
                self.send("0\r\n\r\n")

    def hang_up(self):
        """Close in good order."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def reset(self):
        """Close with a TCP reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self._socket.detach())

    def client_leaves(self):
        """Wait until the client closes the connection."""
        self._socket.settimeout(20)
        while self._socket.recv(1024):
            pass


def spoken(text):
    return {"model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


class Wire:
    """A server that does to each request what ``script`` says. ``requests`` lists them, ``connections`` counts."""

    def __init__(self):
        self.script = None
        self.requests = []
        self.connections = 0
        wire = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                wire.connections += 1
                stream = self.request.makefile("rb")
                with stream:
                    while request := read_request(self.request, stream):
                        wire.requests.append(request)
                        try:
                            wire.script(request)
                        except OSError:  # the client has gone
                            return

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def read_request(sock, stream):
    head = b""
    try:
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return None
            head += line
        length = re.search(rb"(?i)content-length: (\d+)", head)
        return Connection(sock, head.decode(), stream.read(int(length[1])) if length else b"")
    except (OSError, ValueError):
        return None


@pytest.fixture
def wire():
    server = Wire()
    yield server
    server.close()


second_wire = wire


class Caller:
    """One host with one endpoint, asked sync or async by the same test body."""

    def __init__(self, kind, url, **endpoint):
        self.kind = kind
        fields = {"name": "here", "base_url": f"{url}/v1", "provider": "here", "timeout_s": 10.0} | endpoint
        self.endpoint = Endpoint(**fields)
        self.host = OpenAIHost({"here": self.endpoint})
        self.model = Model(name="here:small", id="small", provider=fields["provider"], endpoint="here")
        self.registry = Registry((self.model,), {"here": self.endpoint})
        self.heard = []

    def payload(self, messages, **options):
        return prepare(messages, options, defaults=Constraints(), registry=self.registry)[1]

    async def call(self, messages, *, note=None, **options):
        effect = CallModel(self.model, Voice.HELD, note)
        payload = self.payload(messages, **options)
        if self.kind == "sync":
            return self.host.call(effect, payload)
        return await self.host.acall(effect, payload)

    async def stream(self, messages, **options):
        """The joined reply; ``heard`` holds the chunks, also after an error."""
        self.heard = []
        async with self.open(messages, **options) as chunks:
            async for chunk in chunks:
                self.heard.append(chunk)
        return self.host.join(self.heard)

    def open(self, messages, **options):
        payload = self.payload(messages, **options)
        effect = CallModel(self.model, Voice.LIVE)
        if self.kind == "sync":
            return Opened(self.host.open_stream(effect, payload), None)
        return Opened(None, self.host.aopen_stream(effect, payload))

    async def failure(self, how, messages, **options):
        """What the host makes of the exception that a call or a stream raises."""
        with pytest.raises(Exception) as caught:  # noqa: PT011 - its meaning is what is tested
            await getattr(self, how)(messages, **options)
        return self.host.failed(caught.value)

    async def aclose(self):
        self.host.close()
        await self.host.aclose()


class Opened:
    """An open stream, sync or async, as an async one."""

    def __init__(self, chunks, achunks):
        self._chunks = chunks
        self._achunks = achunks

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        if self._chunks is not None:
            self._chunks.close()
        else:
            await self._achunks.aclose()

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self._achunks is not None:
            return await anext(self._achunks)
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


@pytest.fixture(params=["sync", "async"])
async def calling(request):
    """Makes callers of a server, sync and async, and closes them."""
    made = []

    def make(url, **endpoint):
        made.append(Caller(request.param, url, **endpoint))
        return made[-1]

    yield make
    for caller in made:
        await caller.aclose()
