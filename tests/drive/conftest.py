"""The four ways to drive a router, behind one face: what a test asserts, it asserts of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from router_core import Model, Router, Verdict
from router_core.errors import RouterError
from router_core.policies import StaticPolicy
from router_core.records import Answer, Receipt
from router_core.testing import EventLog, ScriptedHost, scripted_model
from router_core.types import Reply, RequestView


@dataclass
class Told:
    """What the application saw: the text, in the pieces in which it came, and the answer or the error."""

    pieces: list[str]
    answer: Answer | None
    error: Exception | None
    receipt: Receipt

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True)
class Driver:
    """One of the four drivers; ``log`` observes the routers that it asks."""

    name: str
    log: EventLog

    @property
    def streams(self) -> bool:
        return "stream" in self.name

    @property
    def is_async(self) -> bool:
        return self.name.startswith("a")

    async def ask(self, router: Router, messages: Any = "What is it?", **options: Any) -> Told:
        pieces: list[str] = []
        answer: Answer | None = None
        error: Exception | None = None
        seen = len(self.log.receipts)
        try:
            if self.streams:
                answer = await self._stream(router, pieces, messages, options)
            else:
                call = getattr(router, self.name)(messages, **options)
                answer = await call if self.is_async else call
                pieces.append(answer.text)
        except RouterError as raised:
            error = raised
        (receipt,) = self.log.receipts[seen:]
        return Told(pieces, answer, error, receipt)

    async def _stream(self, router: Router, pieces: list[str], messages: Any, options: dict[str, Any]) -> Answer:
        if self.is_async:
            async with router.astream(messages, **options) as stream:
                async for chunk in stream:
                    pieces.append(chunk.text)  # noqa: PERF401 - what came before an error counts too
                return stream.answer
        with router.stream(messages, **options) as stream:
            for chunk in stream:
                pieces.append(chunk.text)  # noqa: PERF401 - as above
            return stream.answer


WEAK = scripted_model("weak", input_usd="1", output_usd="2")
MIDDLE = scripted_model("middle", input_usd="10", output_usd="20")
STRONG = scripted_model("strong", input_usd="100", output_usd="200")


def says_bad(_request: RequestView, reply: Reply) -> Verdict:
    return Verdict(accepted="bad" not in reply.text, code="bad", detail="it says bad")


@pytest.fixture
def log() -> EventLog:
    return EventLog()


@pytest.fixture(params=["complete", "acomplete", "stream", "astream"])
def driver(request: pytest.FixtureRequest, log: EventLog) -> Driver:
    return Driver(request.param, log)


@pytest.fixture
def router_of(log: EventLog) -> Callable[..., Router]:
    """Makes a router that starts at the weak model and rejects what says "bad"."""

    def make(host: ScriptedHost, models: Sequence[Model] = (WEAK, STRONG), **options: Any) -> Router:
        given: dict[str, Any] = {"policy": StaticPolicy(), "verifiers": [says_bad], **options}
        return Router(models, host=host, observers=[log], **given)

    return make
