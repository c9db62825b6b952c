"""``llm-router demo``: a shipped set of prompts through the real router, with the bill and the pictures.

Offline by default: three scripted models answer, so that it runs with no key, no server and no cost. ``live`` takes the
models that it finds. The page, the chart and the figures come from receipts alone.
"""

from __future__ import annotations

from router_core.demo.run import run_demo

__all__ = ["run_demo"]
