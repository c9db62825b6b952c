"""No key and no header of a model is told: by the router, its events, its receipts, its errors or its logs."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core import Settings as LlamaIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.evaluation import CorrectnessEvaluator
from llama_index.core.extractors import TitleExtractor
from llama_index.core.llms import LLM
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI

from llamaindex_router import RouterCallbackHandler, RouterLLM, get_router_handler
from router_core.errors import RouterError
from router_core.options import Settings
from router_core.policies import StaticPolicy
from tests.llamaindex.fake import FakeLLM
from tests.llamaindex.library import QUESTION, Animal, index, tools
from tests.llamaindex.routed import ASK, DEPRECATED, Events, hearing

pytestmark = [pytest.mark.filterwarnings(each) for each in DEPRECATED]

KEY = "sk-live-0123456789abcdef"
BEARER = "bt-live-0123456789abcdef"
EXTRA = "xt-live-0123456789abcdef"
SECRETS = (KEY, BEARER, EXTRA)
HEADERS = {"Authorization": f"Bearer {BEARER}", "X-Team": EXTRA}
TELL = PromptTemplate("Tell of the whale.")


@pytest.fixture(autouse=True)
def no_event_loop() -> None:
    """Where there is none that is at rest, LlamaIndex runs its own and closes it."""
    asyncio.set_event_loop(None)


class Echo(BaseHTTPRequestHandler):
    """Refuses each request, and repeats who it came from."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = f"refused: {[self.headers.get(name) for name in ('Authorization', 'X-Api-Key', 'X-Team')]}"
        body = json.dumps({"error": {"message": said, "type": "invalid_request_error"}, "message": said}).encode()
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def openai(url: str, **about: Any) -> LLM:
    options = {"api_key": KEY, "default_headers": {"X-Team": EXTRA}, "max_retries": 0, "reuse_client": False}
    return OpenAI("gpt-4.1-nano", api_base=f"{url}/v1", **{**options, **about})


def bearer(url: str) -> LLM:
    return openai(url, default_headers=HEADERS)


def extra_headers(url: str) -> LLM:
    return openai(url, default_headers=None, additional_kwargs={"extra_headers": HEADERS})


def anthropic(url: str, **about: Any) -> LLM:
    options = {"api_key": KEY, "default_headers": HEADERS, "max_retries": 0}
    return Anthropic("claude-haiku-4-5", base_url=url, **{**options, **about})


def ollama(url: str, **about: Any) -> LLM:
    return Ollama("llama3.2", base_url=url, context_window=4096, **{"headers": HEADERS, **about})


MODELS: Mapping[str, Callable[[str], LLM]] = {
    "openai": openai,
    "openai, bearer": bearer,
    "openai, extra headers": extra_headers,
    "anthropic": anthropic,
    "ollama": ollama,
}

every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


class Keyed(FakeLLM):
    """A model that keeps its keys as real ones do. broken: it fails with an error that repeats them; first, with one
    that does not and that comes from such an error."""

    api_key: str = KEY
    default_headers: dict[str, str] = HEADERS
    broken: type[Exception] | None = None
    first: type[Exception] | None = None

    def _serve(self, *asked: Any) -> Any:
        if self.broken is not None:
            self._break(self.broken)
        return super()._serve(*asked)

    def _break(self, kind: type[Exception]) -> None:
        try:
            self._refuse(kind)
        except kind:
            if self.first is not None:
                raise self.first("the model gave no answer")  # noqa: B904 - as integrations do
            raise

    def _refuse(self, kind: type[Exception]) -> None:
        raise kind(f"refused: {self.api_key}, {self.default_headers}")


def router(*models: LLM, **options: Any) -> RouterLLM:
    return RouterLLM(models=list(models), policy=StaticPolicy(), **options)


async def astream_chat(llm: Any) -> None:
    async for _ in await llm.astream_chat(ASK):
        pass


async def agent(llm: Any) -> None:
    await FunctionAgent(tools=tools(), llm=llm).run("add 2 and 3")


WAYS: Mapping[str, Callable[[Any], Any]] = {
    "chat": lambda llm: llm.chat(ASK),
    "achat": lambda llm: asyncio.run(llm.achat(ASK)),
    "stream_chat": lambda llm: list(llm.stream_chat(ASK)),
    "astream_chat": lambda llm: asyncio.run(astream_chat(llm)),
    "complete": lambda llm: llm.complete(QUESTION),
    "chat_with_tools": lambda llm: llm.chat_with_tools(tools(), QUESTION),
    "structured_predict": lambda llm: llm.structured_predict(Animal, TELL),
    "stream_structured_predict": lambda llm: list(llm.stream_structured_predict(Animal, TELL)),
    "query engine": lambda llm: index().as_query_engine(llm=llm).query(QUESTION),
    "agent": lambda llm: asyncio.run(agent(llm)),
}

every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def untold(text: str) -> None:
    """No secret stands in the text, nor a half of one."""
    for secret in SECRETS:
        assert secret not in text
        assert secret[-12:] not in text


# ------------------------------------------------------------------------------------------------ what a router is
@every_model
def test_what_a_router_tells_of_itself_holds_no_secret(url: str, model: Callable[[str], LLM]) -> None:
    llm = router(model(url), Keyed())

    shown: list[Any] = [llm, copy.copy(llm), copy.deepcopy(llm), llm.metadata, llm.identity, llm.model_json_schema()]
    shown += [llm.to_dict(), llm.to_json(), llm.dict(), llm.json(), llm.model_dump(), llm.model_dump_json()]
    for each in shown:
        untold(f"{each} {each!r}")


@every_model
def test_what_is_made_of_a_router_tells_no_secret(url: str, model: Callable[[str], LLM]) -> None:
    llm = router(model(url), Keyed())

    untold(json.dumps(TitleExtractor(llm=llm).to_dict(), default=str))
    untold(repr(TitleExtractor(llm=llm)))
    untold(repr(CorrectnessEvaluator(llm=llm)))
    untold(repr(llm.as_structured_llm(Animal)) + json.dumps(llm.as_structured_llm(Animal).to_dict(), default=str))
    untold(repr(FunctionAgent(tools=tools(), llm=llm)))


@every_model
@pytest.mark.parametrize("field", ["models", "registry", "verifiers", "constraints", "settings", "window"])
def test_a_model_in_a_wrong_place_is_an_error_that_shows_no_secret(
    url: str, model: Callable[[str], LLM], field: str
) -> None:
    with pytest.raises(ValueError, match=field) as raised:
        RouterLLM(**{"models": [Keyed()], field: model(url)})

    untold("".join(traceback.format_exception(raised.value)))


# ---------------------------------------------------------------------------------------------- what a call tells
class Payloads(BaseCallbackHandler):
    """Keeps all that a callback manager tells."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.told: list[Any] = []

    def on_event_start(self, *told: Any, **about: Any) -> str:
        self.told.append((told, about))
        return ""

    def on_event_end(self, *told: Any, **about: Any) -> None:
        self.told.append((told, about))

    def start_trace(self, *told: Any, **about: Any) -> None:
        self.told.append((told, about))

    def end_trace(self, *told: Any, **about: Any) -> None:
        self.told.append((told, about))


@every_way
def test_a_call_tells_no_secret(way: Callable[[Any], Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    payloads, counter = Payloads(), RouterCallbackHandler()
    LlamaIndex.callback_manager = CallbackManager([payloads, counter])
    llm = router(Keyed(model="weak", says=""), Keyed())

    with hearing(Events()) as heard, get_router_handler() as handler:
        answer = way(llm)

    assert heard.told
    assert payloads.told
    untold("\n".join(f"{event!r} {vars(event)}" for event in heard.told))
    untold("\n".join(map(repr, payloads.told)))
    untold(f"{handler} {handler.as_dict()} {handler.calls} {counter.as_dict()} {counter.calls}")
    untold(f"{answer} {answer!r}")
    untold(caplog.text)


# -------------------------------------------------------------------------------------------- what a failure tells
def everything(way: Callable[[Any], Any], llm: RouterLLM) -> tuple[Exception, str]:
    """The error of a call that fails, and all that the router tells of it."""
    counter = RouterCallbackHandler()
    llm.callback_manager = CallbackManager([counter])
    with hearing(Events()) as heard, get_router_handler() as handler, pytest.raises(Exception) as raised:  # noqa: PT011
        way(llm)
    error = raised.value
    # What a model's own methods tell of their failure is LlamaIndex's affair.
    ours = [event for event in heard.told if str(event.span_id).startswith("RouterLLM.")]
    assert ours
    parts = [repr(error), str(error), "".join(traceback.format_exception(error)), repr(vars(error))]
    parts += [repr(event) + repr(vars(event)) for event in ours]
    parts += [str(handler), repr(handler.as_dict()), repr(handler.calls), repr(counter.as_dict()), repr(counter.calls)]
    return error, "\n".join(parts)


@every_model
@pytest.mark.parametrize("way", ["chat", "achat", "stream_chat", "astream_chat", "complete", "structured_predict"])
def test_what_a_server_repeats_is_not_told(
    url: str, model: Callable[[str], LLM], way: str, caplog: pytest.LogCaptureFixture
) -> None:
    error, told = everything(WAYS[way], router(model(url)))

    assert isinstance(error, RouterError)
    assert "[key]" in str(error)
    untold(told)
    ours = [each for each in caplog.records if each.name.startswith(("llamaindex_router", "router_core"))]
    untold("\n".join(each.getMessage() for each in ours))


@every_way
@pytest.mark.parametrize("kind", [ConnectionError, PermissionError, RuntimeError, ValueError, TypeError, KeyError])
def test_what_an_error_of_a_model_repeats_is_not_told(way: Callable[[Any], Any], kind: type[Exception]) -> None:
    _, told = everything(way, router(Keyed(broken=kind)))

    assert "[key]" in told
    untold(told)


@every_way
@pytest.mark.parametrize("first", [RuntimeError, ConnectionError, ValueError])
def test_what_led_to_an_error_of_a_model_is_not_told(way: Callable[[Any], Any], first: type[Exception]) -> None:
    _, told = everything(way, router(Keyed(broken=KeyError, first=first)))

    assert "the model gave no answer" in told
    untold(told)


def test_what_a_structured_answer_is_rejected_for_is_not_told() -> None:
    llm = router(Keyed(broken=ValueError), Keyed(broken=TypeError), settings=Settings(on_rejected="raise"))

    error, told = everything(WAYS["structured_predict"], llm)

    assert isinstance(error, RouterError)
    untold(told)


LINE_BREAK: Mapping[str, Callable[[str], LLM]] = {
    "openai, key": lambda url: openai(url, api_key=f"{KEY}\n"),
    "openai, header": lambda url: openai(url, default_headers={"X-Team": f"{EXTRA}\n"}),
    "openai, extra header": lambda url: openai(url, additional_kwargs={"extra_headers": {"X-Team": f"{EXTRA}\n"}}),
    "anthropic, key": lambda url: anthropic(url, api_key=f"{KEY}\n"),
    "anthropic, header": lambda url: anthropic(url, default_headers={"X-Team": f"{EXTRA}\n"}),
    "ollama, header": lambda url: ollama(url, headers={"Authorization": f"Bearer {BEARER}\n"}),
}


@pytest.mark.parametrize("model", LINE_BREAK.values(), ids=LINE_BREAK)
def test_a_key_that_was_read_with_its_line_break_is_not_told(url: str, model: Callable[[str], LLM]) -> None:
    """HTTP clients refuse it, and show it."""
    error, told = everything(WAYS["chat"], router(model(url)))

    assert "Illegal header value" in str(error)
    untold(told)
