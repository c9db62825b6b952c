"""A server on loopback, a registry file that names it, and the command line to be run with it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from router_core.cli.app import app


class Server:
    """A server on loopback that answers as OpenAI's chat endpoint and as Ollama's list of models do.

    ``says`` maps model ids to answers; a model that is not in it answers 500. ``asked`` holds the requests' bodies.
    """

    def __init__(self) -> None:
        self.says: dict[str, str] = {"weak": "I don't know.", "strong": "Paris."}
        self.asked: list[dict[str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listed = [{"name": name, "size": i} for i, name in enumerate(server.says)]
                self.reply(200, "application/json", json.dumps({"models": listed}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append(body)
                if body["model"] not in server.says:
                    self.reply(500, "application/json", '{"error": {"message": "down"}}')
                elif body.get("stream"):
                    self.reply(200, "text/event-stream", events(body["model"], server.says[body["model"]]))
                else:
                    message = {"role": "assistant", "content": server.says[body["model"]]}
                    self.reply(200, "application/json", json.dumps(completion(body["model"], message=message)))

            def reply(self, status: int, content_type: str, text: str) -> None:
                content = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}


def completion(model: str, **choice: Any) -> dict[str, Any]:
    kind = "chat.completion.chunk" if "delta" in choice else "chat.completion"
    choices = [{"index": 0, "finish_reason": "stop", **choice}]
    return {"id": "c", "object": kind, "created": 0, "model": model, "choices": choices, "usage": USAGE}


def events(model: str, text: str) -> str:
    chunks = [completion(model, delta={"content": char}, finish_reason=None) | {"usage": None} for char in text]
    chunks.append(completion(model, delta={}))
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory of one's own to work in, and a screen of 100 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLM_ROUTER_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture
def config(here: Path, server: Server) -> Path:
    path = here / "router.yaml"
    path.write_text(f"""
models:
  - {{name: weak, endpoint: box, quality: 0.6, price: {{input: 1, output: 2}}}}
  - {{name: strong, endpoint: box, price: {{input: 100, output: 200}}}}
aliases: {{best: strong}}
endpoints: {{box: {{base_url: "http://{server.host}/v1"}}}}
""")
    return path


@pytest.fixture
def run(here: Path) -> Callable[..., Result]:
    """Runs a command of ``llm-router`` in this directory."""

    def invoke(*args: str, stdin: str | None = None, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(app, args, input=stdin, env=env)

    return invoke


@pytest.fixture
def refused(run: Callable[..., Result]) -> Callable[..., str]:
    """What a command writes to standard error that ends with this code and writes nothing else."""

    def invoke(*args: str, code: int = 2, env: dict[str, str] | None = None) -> str:
        result = run(*args, env=env)
        assert (result.exit_code, result.stdout) == (code, "")
        assert "Traceback" not in result.stderr
        return str(result.stderr)

    return invoke
