"""Price lists as genai-prices publishes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def provider(name: str, models: list[tuple[Any, ...]], **fields: Any) -> dict[str, Any]:
    """A provider of models: each an id, its prices, and further fields."""
    return {
        "id": name,
        "name": name,
        "api_pattern": f"https://api\\.{name}\\.test",
        "models": [
            {"id": each, "match": {"equals": each}, "prices": prices, **(more[0] if more else {})}
            for each, prices, *more in models
        ],
        **fields,
    }


def snapshot(path: Path, *providers: dict[str, Any]) -> Path:
    """A file of these providers."""
    path.write_text(json.dumps(providers), encoding="utf-8")
    return path
