"""``import router_core`` costs every user of every program that has it: what is slow to import is imported late.

How long it takes is measured by ``benchmarks/import_time.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys

LATE = {
    "genai_prices",
    "httpx",
    "httpx2",
    "jinja2",
    "jsonschema",
    "langchain_core",
    "llama_index",
    "matplotlib",
    "openai",
    "opentelemetry",
    "pydantic",
    "rich",
    "sklearn",
    "sqlalchemy",
    "tiktoken",
    "torch",
    "typer",
    "yaml",
}


def test_import_is_lean() -> None:
    script = "import json, sys, router_core; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"

    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

    imported = set(json.loads(run.stdout))
    assert "router_core" in imported
    assert imported & LATE == set()
