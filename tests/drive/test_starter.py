"""The first router.yaml: what is found on this machine, and the file that is written of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from router_core.config import load
from router_core.config.starter import SUGGESTED, Found, look_around, starter_text, write_new
from router_core.errors import ConfigError
from router_core.prices import PriceBook
from router_core.registry import Registry, model_from_string
from router_core.types import Price

KEY = "sk-proj-4f9aKQ0dY7mN2vXw8LrT"

Serve = Callable[[bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server on loopback that says the same to every GET; gives its ``OLLAMA_HOST``."""
    servers: list[ThreadingHTTPServer] = []

    def start(body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/api/tags" else 404)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def tags(*models: tuple[str, int, str]) -> bytes:
    listed = [{"name": name, "size": size, "details": {"family": family}} for name, size, family in models]
    return json.dumps({"models": listed}).encode()


def test_chat_models_of_ollama_are_found_smallest_first(serve: Serve) -> None:
    body = tags(
        ("qwen3:8b", 5_200_000_000, "qwen3"),
        ("llama3.2:1b", 1_300_000_000, "llama"),
        ("nomic-embed-text:latest", 270_000_000, "nomic-bert"),
        ("all-minilm:latest", 46_000_000, "bert"),
        ("gpt-oss:120b-cloud", 380, "gptoss"),
        ("bad\nname: {x", 1, "llama"),
        ("hf.co/bartowski/Llama-3.2-3B-GGUF:Q4_K_M", 2_000_000_000, "llama"),
    )
    found = look_around({"OLLAMA_HOST": serve(body)})
    assert found.ollama_models == ("llama3.2:1b", "hf.co/bartowski/Llama-3.2-3B-GGUF:Q4_K_M", "qwen3:8b")


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"models": null}', b'{"models": [1]}', b'{"models": [{"name": 1}]}']
)
def test_a_server_that_is_not_ollama_has_no_models(serve: Serve, body: bytes) -> None:
    assert look_around({"OLLAMA_HOST": serve(body)}).ollama_models == ()


@pytest.mark.parametrize(
    ("given_host", "url"),
    [
        ("127.0.0.1:9", "http://127.0.0.1:9"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0:9", "http://127.0.0.1:9"),
        (":9", "http://127.0.0.1:9"),
        ("[::1]:9", "http://[::1]:9"),
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("", "http://127.0.0.1:11434"),
        ("127.0.0.1:nine", "http://127.0.0.1:11434"),
        ("file:///etc", "http://127.0.0.1:11434"),
    ],
)
def test_ollama_is_asked_where_its_own_variable_says(given_host: str, url: str) -> None:
    assert look_around({"OLLAMA_HOST": given_host}).ollama_url == url


def test_only_the_names_of_keys_are_kept() -> None:
    environ = {"OLLAMA_HOST": "127.0.0.1:9", "OPENAI_API_KEY": KEY, "GROQ_API_KEY": "  ", "HOME": "x"}
    found = look_around(environ)
    assert found.keyed == ("openai",)
    assert KEY not in repr(found) + starter_text(found)


def registry_of(tmp_path: Path, text: str) -> Registry:
    path = tmp_path / "router.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path).registry


FOUND = [
    Found("http://127.0.0.1:11434"),
    Found("http://127.0.0.1:11434", ("llama3.2:1b",)),
    Found("http://127.0.0.1:4242", ("llama3.2:1b", "qwen3:8b", "qwen3:32b")),
    Found("http://127.0.0.1:11434", ("llama3.2:1b", "qwen3:8b"), ("openai", "groq")),
    Found("http://127.0.0.1:11434", (), tuple(SUGGESTED)),
]


@pytest.mark.parametrize("found", FOUND)
def test_a_started_file_is_right_and_has_the_models_weakest_first(tmp_path: Path, found: Found) -> None:
    registry = registry_of(tmp_path, starter_text(found))
    expected = [f"ollama:{name}" for name in found.ollama_models]
    if len(expected) > 2:
        expected = [expected[0], expected[-1]]
    for strength in (0, 1):
        expected += [f"{name}:{SUGGESTED[name][strength]}" for name in found.keyed]
    assert [model.name for model in registry.models] == (expected or ["openai:gpt-4.1-nano", "openai:gpt-4.1"])
    assert registry.endpoints["ollama"].base_url == f"{found.ollama_url}/v1"


def test_the_examples_in_the_comments_are_right_too(tmp_path: Path) -> None:
    lines = starter_text(Found("http://127.0.0.1:11434")).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("models:"))
    keep = ("  # ", "# aliases", "# endpoints", "#   my-vllm", "# verifiers", "# constraints", "# settings")
    examples = [line.replace("# ", "", 1) for line in lines[start:] if line.startswith(keep)]
    registry = registry_of(tmp_path, "\n".join(["models:", *(line for line in examples if "All that can" not in line)]))
    assert registry.find("fast").price == Price(input=Decimal("0.40"), output=Decimal("1.60"))


@pytest.mark.parametrize(("endpoint_name", "pair"), SUGGESTED.items())
def test_suggested_models_have_a_published_price_and_the_weak_one_is_cheaper(
    endpoint_name: str, pair: tuple[str, str]
) -> None:
    book = PriceBook(lambda: datetime(2026, 11, 21, tzinfo=UTC))
    weak, strong = (book.quote(model_from_string(f"{endpoint_name}:{name}")) for name in pair)
    assert weak is not None
    assert strong is not None
    assert weak.output < strong.output


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    write_new(path, "first", overwrite=False)
    with pytest.raises(ConfigError, match="exists and is left as it is; use --force"):
        write_new(path, "second", overwrite=False)
    assert path.read_text() == "first"
    write_new(path, "third", overwrite=True)
    assert path.read_text() == "third"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_new(tmp_path / "no" / "router.yaml", "x", overwrite=False)
