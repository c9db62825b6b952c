# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "cascadeflow", "langchain", "langchain-openai", "litellm==1.106.2", "llama-index-llms-litellm>=0.8",
#     "router-core[langchain,llamaindex,sql]",
# ]
#
# [tool.uv.sources]
# router-core = { path = "..", editable = true }
# ///
"""What ``ChatRouter`` and ``RouterLLM`` cost beside the calls of their models: uv run benchmarks/overhead.py (with
peers) or uv run python benchmarks/overhead.py.

In process the model does nothing, so that what is left is the router's own; over HTTP it is ``ChatOpenAI`` on a server
on loopback. Everything is called in turn in each round, and compared with the model alone of the same round. Nothing
is asserted: a shared machine decides too much of it. See README.md beside this file.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata
from llama_index.core.llms import LLM
from llama_index.core.llms.callbacks import llm_chat_callback
from overhead_ledger import BURST, burst, measure_bursts, measure_in_process, print_share

from langchain_router import ChatRouter
from llamaindex_router import RouterLLM

ROUNDS = 31
CALLS = 40
"""In process: calls of each subject in a round."""
HTTP_ROUNDS = 21
HTTP_CALLS = 40
BURST_CALLS = 512
BURST_ROUNDS = 11
IMPORTS = 11

ADDS_AT_MOST_US = 150
HTTP_AT_MOST = 1.15
THROUGHPUT_AT_LEAST = 0.85
IMPORT_AT_MOST_MS = 50

PROMPT = "Which of these two train tickets is cheaper if I travel twice?"
ANSWER = "The second one is cheaper if you travel twice."

Ask = Callable[[str], object]


class Noop(BaseChatModel):
    """Answers at once."""

    model: str

    @property
    def _llm_type(self) -> str:
        return "noop"

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        """Of OpenAI, so that a model of theirs has its price."""
        return {**super()._get_ls_params(stop, **kwargs), "ls_provider": "openai", "ls_model_name": self.model}

    def _generate(
        self,
        messages: Any,  # noqa: ARG002 - LangChain's signature
        stop: Any = None,  # noqa: ARG002 - the same
        run_manager: Any = None,  # noqa: ARG002 - the same
        **_kwargs: Any,
    ) -> ChatResult:
        message = AIMessage(
            ANSWER,
            usage_metadata={"input_tokens": 13, "output_tokens": 9, "total_tokens": 22},
            response_metadata={"model_name": self.model, "finish_reason": "stop"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


# ------------------------------------------------------------------------------------------------------- in process
def in_process() -> dict[str, Ask]:
    """The model alone comes first: the others are compared with it."""
    child, second = Noop(model="first"), Noop(model="second")
    chosen = RunnableLambda(lambda _prompt: child)
    ours = {
        "model alone": child.invoke,
        "ChatRouter, one model, no verifiers": ChatRouter(models=[child], verifiers=[]).invoke,
        "ChatRouter, one model": ChatRouter(models=[child]).invoke,
        "ChatRouter, two models": ChatRouter(models=[child, second]).invoke,
        "with_fallbacks": child.with_fallbacks([second]).invoke,
        "RunnableLambda to the model": chosen.invoke,
    }
    return ours | peers(child, second)


def peers(child: BaseChatModel, second: BaseChatModel) -> dict[str, Ask]:
    """Other routers that can be imported here."""
    found: dict[str, Ask] = {}
    for load in (_cascadeflow, _litellm):
        try:
            name, ask = load(child, second)
        except ImportError as error:
            print(f"left out, cannot be imported: {load.__name__[1:]} ({error})")
        else:
            found[name] = ask
    return found


def _cascadeflow(child: BaseChatModel, second: BaseChatModel) -> tuple[str, Ask]:
    from cascadeflow.integrations.langchain import CascadeFlow  # noqa: PLC0415

    cascade = CascadeFlow(drafter=child, verifier=second)

    def ask(prompt: str) -> object:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints that it knows no price of the model
            return cascade.invoke(prompt)

    return f"cascadeflow {version('cascadeflow')}", ask


def _litellm(_child: BaseChatModel, _second: BaseChatModel) -> tuple[str, Ask]:
    from litellm import Router  # noqa: PLC0415

    made = {"model": "openai/first", "api_key": "none", "mock_response": ANSWER}
    router = Router(model_list=[{"model_name": "first", "litellm_params": made}])
    return f"litellm {version('litellm')} Router", lambda prompt: router.completion(
        model="first", messages=[{"role": "user", "content": prompt}]
    )


class NoopLLM(LLM):
    """Answers at once, and tells of it as LlamaIndex's integrations do."""

    model: str

    @property
    def metadata(self) -> LLMMetadata:
        """As a chat model of OpenAI."""
        return LLMMetadata(is_chat_model=True, model_name=self.model, context_window=128_000)

    @llm_chat_callback()
    def chat(self, messages: Any, **_kwargs: Any) -> ChatResponse:  # noqa: ARG002 - LlamaIndex's signature
        """The answer."""
        raw = {"usage": {"prompt_tokens": 13, "completion_tokens": 9, "total_tokens": 22}, "model": self.model}
        return ChatResponse(message=ChatMessage(role="assistant", content=ANSWER), raw=raw)

    def complete(self, *_: Any, **__: Any) -> Any:
        """Not asked here, and so the others."""
        raise NotImplementedError

    acomplete = achat = stream_chat = astream_chat = stream_complete = astream_complete = complete


class Delegating(NoopLLM):
    """Hands each call on: the least that an LLM over another one can do."""

    inner: LLM

    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        """The inner one's answer."""
        return self.inner.chat(messages, **kwargs)


def in_llamaindex() -> dict[str, Ask]:
    """The model alone comes first: the others are compared with it."""
    first, second = NoopLLM(model="first"), NoopLLM(model="second")
    subjects: dict[str, LLM] = {
        "LLM alone": first,
        "RouterLLM, one model, no verifiers": RouterLLM(models=[first], verifiers=[]),
        "RouterLLM, one model": RouterLLM(models=[first]),
        "RouterLLM, two models": RouterLLM(models=[first, second]),
        "an LLM that delegates": Delegating(model="outer", inner=first),
    }
    try:
        from llama_index.llms.litellm import LiteLLM  # noqa: PLC0415
    except ImportError as error:
        print(f"left out, cannot be imported: llama-index-llms-litellm ({error})")
    else:
        name = f"llama-index-llms-litellm {version('llama-index-llms-litellm')}"
        mocked = {"mock_response": ANSWER}
        subjects[name] = LiteLLM(model="openai/first", api_key="none", additional_kwargs=mocked, max_retries=0)
    return {name: _asked(llm) for name, llm in subjects.items()}


def _asked(llm: LLM) -> Ask:
    return lambda prompt: llm.chat([ChatMessage(role="user", content=prompt)])


def sync_rounds(subjects: Mapping[str, Ask], rounds: int, calls: int) -> dict[str, list[float]]:
    """Microseconds per call, the median of each round."""
    for ask in subjects.values():
        for _ in range(calls):
            ask(PROMPT)
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, ask in subjects.items():
            times[name].append(statistics.median(_times_us(ask, calls)))
    return times


def _times_us(ask: Ask, calls: int) -> Iterator[float]:
    for _ in range(calls):
        began = time.perf_counter()
        ask(PROMPT)
        yield (time.perf_counter() - began) * 1e6


# -------------------------------------------------------------------------------------------------------- over HTTP
@contextlib.contextmanager
def provider() -> Iterator[str]:
    """The base URL of a server of OpenAI's protocol, in a process of its own."""
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip() if server.stdout else ""
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


async def serve() -> None:
    """Answer every request alike, without looking at it."""
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "first",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 13, "completion_tokens": 9, "total_tokens": 22},
    }
    body = json.dumps(completion).encode()
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                writer.write(answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def openai_model(name: str, base_url: str) -> BaseChatModel:
    """LangChain's own client of that server."""
    from langchain_openai import ChatOpenAI  # noqa: PLC0415

    return ChatOpenAI(model=name, base_url=base_url, api_key="none", max_retries=0)


def over_http(base_url: str) -> dict[str, Any]:
    """The model alone comes first."""

    def model(name: str) -> BaseChatModel:
        return openai_model(name, base_url)

    return {
        "ChatOpenAI alone": model("first"),
        "ChatOpenAI, a second one (noise)": model("first"),
        "ChatRouter, one model": ChatRouter(models=[model("first")]),
        "ChatRouter, two models": ChatRouter(models=[model("first"), model("second")]),
        "with_fallbacks": model("first").with_fallbacks([model("second")]),
    }


# ----------------------------------------------------------------------------------------------------------- import
def import_ms() -> float:
    """What ``import langchain_router`` adds to the import of LangChain's chat models, in milliseconds."""
    base = "import langchain_core.language_models.chat_models"
    times: dict[str, list[float]] = {base: [], f"{base}, langchain_router": []}
    with tempfile.TemporaryDirectory() as compiled:
        settings = os.environ | {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        for number in range(IMPORTS + 1):
            for statement, measured in times.items():
                began = time.perf_counter()
                subprocess.run([sys.executable, "-c", statement], check=True, env=settings)
                if number:  # the first round compiles, as an installer does
                    measured.append((time.perf_counter() - began) * 1000)
    without, with_router = times.values()
    return statistics.median(more - less for less, more in zip(without, with_router, strict=True))


# ----------------------------------------------------------------------------------------------------------- tables
def print_times(title: str, times: Mapping[str, list[float]]) -> None:
    """Medians over the rounds: of the times, and of what each adds to the first and is of it in the same round."""
    base = next(iter(times.values()))
    print(f"\n{title:40}{'us':>10}{'adds us':>10}{'x':>8}")
    for name, measured in times.items():
        added = statistics.median(time - first for time, first in zip(measured, base, strict=True))
        ratio = statistics.median(time / first for time, first in zip(measured, base, strict=True))
        print(f"{name:40}{statistics.median(measured):>10,.0f}{added:>+10,.0f}{ratio:>8.2f}")


async def measure_async(models: Mapping[str, Any], base_url: str) -> None:
    """Print what gets through where many ask at once. In one event loop: LangChain's clients are bound to theirs."""
    asked = {name: model.ainvoke for name, model in models.items()}
    print_share(f"{BURST} callers at once, async", await burst(asked, BURST_CALLS, BURST_ROUNDS))
    print(f"target: at least {THROUGHPUT_AT_LEAST:.0%} of ChatOpenAI's throughput")
    await measure_bursts(lambda name: openai_model(name, base_url), base_url)


def main() -> None:
    """Measure and print."""
    # Otherwise litellm, which cascadeflow imports too, fetches its price list from the network.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    named = ("langchain-core", "langchain-openai", "llama-index-core", "openai")
    packages = ", ".join(f"{name} {version(name)}" for name in named)
    print(f"python {sys.version.split()[0]}, {packages}")
    print_times("in process, a model that does nothing", sync_rounds(in_process(), ROUNDS, CALLS))
    print(f"target: ChatRouter adds at most {ADDS_AT_MOST_US} us")
    print_times("in process, an LLM that does nothing", sync_rounds(in_llamaindex(), ROUNDS, CALLS))
    print(f"target: RouterLLM adds at most {ADDS_AT_MOST_US} us")
    measure_in_process(lambda name: Noop(model=name))
    with provider() as base_url:
        models = over_http(base_url)
        sync = {name: model.invoke for name, model in models.items()}
        print_times("over loopback HTTP", sync_rounds(sync, HTTP_ROUNDS, HTTP_CALLS))
        print(f"target: at most {HTTP_AT_MOST} x ChatOpenAI")
        asyncio.run(measure_async(models, base_url))
    print(f"\nimport langchain_router, above LangChain's chat models: {import_ms():.0f} ms")
    print(f"target: at most {IMPORT_AT_MOST_MS} ms")


if __name__ == "__main__":
    asyncio.run(serve()) if "--serve" in sys.argv else main()
