"""A chat model that says what it is told to, and a router over some of them."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from langchain_router import ChatRouter
from langchain_router.deferred import chunk_of
from router_core.policies import StaticPolicy

UNSURE = "I don't know."


class Scripted(BaseChatModel):
    """Says ``says`` (or raises it), and remembers what it was asked with."""

    model_name: str
    says: Any = "Paris."
    temperature: float | None = None
    provider: str = "scripted"
    asked: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": self.provider, "ls_model_name": self.model_name, "ls_model_type": "chat"}

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        return self.bind(bound=[t.name for t in tools], choice=tool_choice, **kwargs)

    def _message(self, messages: Any, kwargs: dict[str, Any]) -> AIMessage:
        self.asked.append({"messages": messages, "temperature": self.temperature, **kwargs})
        if isinstance(self.says, Exception):
            raise self.says
        said = self.says if isinstance(self.says, AIMessage) else AIMessage(content=self.says)
        return said.model_copy(
            update={
                "usage_metadata": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
                "response_metadata": {"model_name": self.model_name, "finish_reason": "stop"},
            }
        )

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._message(messages, {**kwargs, "stop": stop}))])

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        message = self._message(messages, {**kwargs, "stop": stop})
        for word in str(message.content).split(" "):
            chunk = ChatGenerationChunk(message=chunk_of(AIMessage(content=word + " ")))
            chunk.message.chunk_position = None
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk
        yield ChatGenerationChunk(message=chunk_of(message.model_copy(update={"content": ""})))


def router(*says: Any, **options: Any) -> tuple[ChatRouter, list[Scripted]]:
    names = ["weak", "strong"] if len(says) == 2 else [f"m{n}" for n in range(len(says))]
    models = [Scripted(model_name=name, says=said) for name, said in zip(names, says, strict=True)]
    options = {"policy": StaticPolicy(), **options}
    return ChatRouter(models=models, **options), models


def about(message: Any) -> dict[str, Any]:
    return message.response_metadata["router"]
