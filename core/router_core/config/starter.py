"""A first ``router.yaml`` from what this machine has: the models of an Ollama server, and keys in the environment."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from router_core.errors import ConfigError
from router_core.registry import KNOWN_ENDPOINTS

SUGGESTED: Mapping[str, tuple[str, str]] = {
    "openai": ("gpt-4.1-nano", "gpt-4.1"),
    "anthropic": ("claude-haiku-4-5", "claude-sonnet-4-5"),
    "google": ("gemini-2.5-flash-lite", "gemini-2.5-pro"),
    "mistral": ("mistral-small-latest", "mistral-large-latest"),
    "deepseek": ("deepseek-v4-flash", "deepseek-v4-pro"),
    "groq": ("openai/gpt-oss-20b", "openai/gpt-oss-120b"),
    "together": ("Qwen/Qwen3.5-9B", "openai/gpt-oss-120b"),
    "fireworks": ("accounts/fireworks/models/gpt-oss-20b", "accounts/fireworks/models/gpt-oss-120b"),
    "xai": ("grok-4-1-fast-non-reasoning", "grok-4.3"),
    "openrouter": ("openai/gpt-oss-20b", "openai/gpt-4.1"),
}
"""A weak and a strong model for each endpoint with a key. Chosen by their published prices in genai-prices."""

_OLLAMA = KNOWN_ENDPOINTS["ollama"].base_url.removesuffix("/v1")
_MOST_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """What this machine has: chat models of Ollama, smallest first, where it answers, and endpoints with a key."""

    ollama_url: str
    ollama_models: tuple[str, ...] = ()
    keyed: tuple[str, ...] = ()

    @property
    def anything(self) -> bool:
        """Whether there is any model to route to."""
        return bool(self.ollama_models or self.keyed)


def look_around(environ: Mapping[str, str], *, timeout_s: float = 1.0) -> Found:
    """What can be used here and now. Asks the Ollama server of ``OLLAMA_HOST`` (or of loopback) for its models, and the
    environment for the names of key variables; no value of a variable is kept."""
    url = _ollama_url(environ)
    keyed = tuple(name for name in SUGGESTED if environ.get(KNOWN_ENDPOINTS[name].api_key_env or "", "").strip())
    return Found(url, _ollama_models(url, timeout_s), keyed)


def _ollama_url(environ: Mapping[str, str]) -> str:
    """The server's URL by Ollama's own rules for ``OLLAMA_HOST``: scheme and port may be missing, and an address that
    a server listens on everywhere (0.0.0.0) is reached on loopback."""
    given = environ.get("OLLAMA_HOST", "").strip()
    try:
        url = urlsplit(given if "://" in given else f"http://{given}")
        host, port = url.hostname or "127.0.0.1", url.port
    except ValueError:
        return _OLLAMA
    if url.scheme not in {"http", "https"}:
        return _OLLAMA
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    if port is None:
        port = {"http": 80, "https": 443}[url.scheme] if "://" in given else 11434
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _ollama_models(url: str, timeout_s: float) -> tuple[str, ...]:
    """Names of the chat models at ``GET /api/tags``, by size on disk; none if nobody answers as Ollama does."""
    opener = build_opener(ProxyHandler({}))  # a proxy has no business between this machine and itself
    try:
        with opener.open(f"{url}/api/tags", timeout=timeout_s) as response:
            listed = json.loads(response.read(_MOST_BYTES))["models"]
            models = [item for item in listed if _is_local_chat(item)]
            return tuple(item["name"] for item in sorted(models, key=lambda item: (item.get("size", 0), item["name"])))
    except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return ()


def _is_local_chat(item: Mapping[str, Any]) -> bool:
    name = item["name"]
    family = (item.get("details") or {}).get("family") or ""
    # Models of Ollama's cloud have such tags and leave the machine; the others named here only make embeddings.
    remote, embeds = name.endswith("cloud"), "embed" in name or "bert" in family
    return bool(re.fullmatch(r"[A-Za-z0-9][\w./-]*(:[\w.-]+)?", name)) and not remote and not embeds


def starter_text(found: Found) -> str:
    """A commented registry file with what was found, or with an example where nothing was."""
    return _TEMPLATE.format(
        found="\n".join(f"# {line}" for line in _findings(found)),
        models="\n".join(f"  {line}" for line in _model_lines(found)),
        endpoints=_endpoint_text(found),
    )


def _findings(found: Found) -> Iterator[str]:
    if not found.anything:
        yield "Nothing was found on this machine, so this is an example. To make it work, either"
        yield "  set OPENAI_API_KEY in the environment, or"
        yield "  install Ollama (https://ollama.com), run `ollama pull llama3.2`, then run `config init --force`."
        return
    if found.ollama_models:
        yield f"Found: Ollama at {found.ollama_url} with {len(found.ollama_models)} chat models."
    if found.keyed:
        yield f"Found: {', '.join(str(KNOWN_ENDPOINTS[name].api_key_env) for name in found.keyed)} in the environment."


def _model_lines(found: Found) -> Iterator[str]:
    names = [f"ollama:{name}" for name in found.ollama_models]
    for i, name in enumerate(names):
        between = 0 < i < len(names) - 1
        yield f"# - {name}" if between else f"- {name}"
    keyed = found.keyed if found.anything else ("openai",)
    for strength in (0, 1):
        for endpoint in keyed:
            yield f"- {endpoint}:{SUGGESTED[endpoint][strength]}"


def _endpoint_text(found: Found) -> str:
    if not found.ollama_models or found.ollama_url == _OLLAMA:
        return ""
    return f"endpoints:\n  ollama: {{base_url: {json.dumps(f'{found.ollama_url}/v1')}}}\n\n"


def write_new(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a file as a whole or not at all.

    Raises:
        ConfigError: the file exists and may not be overwritten, or cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(text, encoding="utf-8")
        if not overwrite:
            path.open("x").close()  # takes the name, or fails if somebody else has it
        draft.replace(path)
    except FileExistsError:
        raise ConfigError(f"{path}: exists and is left as it is; use --force to overwrite it, or --out") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; give another place with --out") from None
    finally:
        draft.unlink(missing_ok=True)


_TEMPLATE = """\
# Models and rules of llm-router. Check this file with: llm-router config check
# Keys do not stand here: they stay in the environment, and endpoints name the variable.
{found}
version: 1

# Weakest first: a request may climb to the models below the one where it starts; the last is the strongest.
# 'endpoint:model' is enough. Prices are the published ones; models of this machine are free.
models:
{models}
  # All that can be said of a model:
  # - name: openai:gpt-4.1-mini
  #   quality: 0.8                          # share of ordinary requests that it answers well; measure your own
  #   price: {{input: 0.40, output: 1.60}}    # US dollars per million tokens, instead of the published price
  #   context_window: 1047576
  #   max_output_tokens: 32768
  #   latency_s: 1.5                        # seconds an answer usually takes
  #   capabilities: [tools, tool_choice, structured_output, image]
  #   tags: [cloud]

# Further names of models:
# aliases: {{fast: openai:gpt-4.1-mini}}

# Servers that speak OpenAI's chat protocol, beside the ones that the router knows:
# endpoints:
#   my-vllm: {{base_url: "http://127.0.0.1:8000/v1", api_key_env: MY_VLLM_KEY}}
{endpoints}
# What decides where a request starts: difficulty, complexity, cheapest, static, random.
policy: difficulty

# With 'policy: strategy', a model that looks at a sample of the answers, on a budget of its own:
# auditor: {{model: openai:gpt-4.1-nano, share: 0.05, limit_usd: 1, per: day}}

# What looks at an answer before it is served. Left out: the default verifiers. []: none.
# verifiers: [empty, refusal]

# What is demanded of every request that does not say otherwise:
# constraints: {{max_cost_usd: 0.05, max_latency_s: 30, local_only: true}}

# How the router behaves:
# settings: {{stream_mode: hold, retries: 1, on_rejected: serve}}
"""
