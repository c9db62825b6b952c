"""A chat model that says what it is told to, and keeps the account that every counter must agree with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

IDK = "I don't know."
GOOD = "Paris is the capital of France."

Says = str | Exception | Callable[[Sequence[BaseMessage]], str | AIMessage]


class Scripted(BaseChatModel):
    """Says the same each time, raises the same error each time, or what a function makes of the messages.

    A token is a word. A quarter of the input is cached, and half of the output is reasoning.
    """

    model_id: str
    says: Any
    _served: list[dict[str, int]] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=Lock)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_id": self.model_id}

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return super()._get_ls_params(stop=stop, **kwargs) | {"ls_provider": "fake", "ls_model_name": self.model_id}

    @property
    def served(self) -> list[dict[str, int]]:
        """The tokens of every answer, the oldest first."""
        return self._served

    def used(self) -> dict[str, int]:
        """The tokens of all answers together."""
        kinds = ("input", "cached", "output", "reasoning")
        return {kind: sum(tokens[kind] for tokens in self._served) for kind in kinds}

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        choice = {} if tool_choice is None else {"tool_choice": tool_choice}
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **choice, **kwargs)

    def _answer(self, messages: list[BaseMessage]) -> AIMessage:
        if isinstance(self.says, Exception):
            raise self.says
        said = self.says(messages) if callable(self.says) else self.says
        message = said.model_copy() if isinstance(said, AIMessage) else AIMessage(said)
        given = sum(len(each.text.split()) for each in messages)
        made = len(message.text.split()) + 4 * len(message.tool_calls)
        with self._lock:
            self._served.append({"input": given, "cached": given // 4, "output": made, "reasoning": made // 2})
        message.usage_metadata = {
            "input_tokens": given,
            "output_tokens": made,
            "total_tokens": given + made,
            "input_token_details": {"cache_read": given // 4},
            "output_token_details": {"reasoning": made // 2},
        }
        message.response_metadata = {"model_name": self.model_id, "model_provider": "fake"}
        return message

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Iterator[ChatGenerationChunk]:
        whole = self._answer(messages)
        for word in re.findall(r"\S+\s*", whole.text):
            chunk = ChatGenerationChunk(message=AIMessageChunk(word))
            if run_manager:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                "",
                usage_metadata=whole.usage_metadata,
                response_metadata=whole.response_metadata,
                tool_calls=whole.tool_calls,
                chunk_position="last",
            )
        )


def knows(_request: Any, reply: Any) -> bool:
    """The verifier of these tests."""
    return reply.text != IDK
