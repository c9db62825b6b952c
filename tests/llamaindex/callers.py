"""All that calls a model in LlamaIndex. Each takes one, makes the rest from what is at hand and gives plain data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.llamaindex import calls_answers, calls_graphs, calls_llm, calls_talks, calls_tasks

Caller = Callable[[Any], Any]

CALLERS: dict[str, Caller] = {
    name: caller
    for module in (calls_llm, calls_answers, calls_talks, calls_tasks, calls_graphs)
    for name, caller in module.CALLERS.items()
}

WITH_OBJECTS = (
    *("structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict"),
    *("structured_llm_chat", "structured_llm_achat", "structured_llm_stream_chat", "structured_llm_astream_chat"),
    *("structured_llm_complete", "structured_llm_acomplete", "synthesize_with_structured_llm"),
    *("structured_predict_by_text", "astructured_predict_by_text", "stream_structured_predict_by_text"),
    *("synthesize_structured", "asynthesize_structured", "query_structured"),
    *("agent_with_structured_output", "workflow_with_structured_output"),
    *("rerank_StructuredLLMRerank", "arerank_StructuredLLMRerank"),
    *("schema_paths", "cypher_template", "acypher_template"),
)
"""Those that ask the model for an object of a class, which it then makes in its own way."""
