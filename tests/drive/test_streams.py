"""What only a stream can do, and what a request that is cut off still owes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from router_core import Router, RouterError, Settings, StreamBroken, Verdict
from router_core.effects import CallModel
from router_core.hosts.chat import ChatPayload, Chunk
from router_core.records import AttemptOutcome, ReceiptOutcome
from router_core.testing import Broken, EventLog, ScriptedHost, scripted_model
from router_core.types import FailureKind, Reply, RequestView

BAD = "bad draft that must not be seen"
GOOD = "A good answer of several words."
WEAK = scripted_model("weak", input_usd="1", output_usd="2")
Make = Callable[..., Router]


@pytest.mark.parametrize("driver", ["stream", "astream"], indirect=True)
class TestStreams:
    """What only a stream can do."""

    async def test_what_nothing_can_reject_is_shown_as_it_comes(self, driver: Any, router_of: Make) -> None:
        told = await driver.ask(router_of(ScriptedHost.saying({"weak": GOOD}), models=[WEAK]))
        assert len([piece for piece in told.pieces if piece]) == len(GOOD.split())
        assert told.receipt.attempts[0].first_token_s is not None

    async def test_an_error_before_the_first_chunk_is_a_fallback(self, driver: Any, router_of: Make) -> None:
        host = ScriptedHost.saying({"weak": Broken(), "strong": GOOD})
        told = await driver.ask(router_of(host, verifiers=[]))
        assert told.text == GOOD
        assert told.receipt.fallbacks == 1

    async def test_an_error_after_the_first_chunk_is_raised_with_the_text(self, driver: Any, router_of: Make) -> None:
        broken = Broken(FailureKind.CONNECTION, text="Half an answer")
        told = await driver.ask(router_of(ScriptedHost.saying({"weak": broken, "strong": GOOD}), verifiers=[]))
        assert told.text == "Half an answer"
        assert isinstance(told.error, StreamBroken)
        assert told.error.text == "Half an answer"
        assert told.receipt.usage.output_tokens > 0
        assert told.receipt.usage.estimated

    async def test_a_held_stream_that_breaks_is_a_fallback(self, driver: Any, router_of: Make) -> None:
        broken = Broken(FailureKind.CONNECTION, text="Half an answer")
        host = ScriptedHost.saying({"weak": broken, "strong": GOOD})
        told = await driver.ask(router_of(host, settings=Settings(stream_mode="prefix")))
        assert told.text == GOOD
        assert told.receipt.attempts[0].usage is not None
        assert told.receipt.attempts[0].usage.output_tokens > 0

    async def test_commit_speaks_at_once_and_nothing_is_rejected(self, driver: Any, router_of: Make) -> None:
        host = ScriptedHost.saying({"weak": BAD, "strong": GOOD})
        told = await driver.ask(router_of(host), stream_mode="commit")
        assert told.text == BAD
        assert told.receipt.attempts[0].outcome is AttemptOutcome.SERVED

    async def test_commit_climbs_from_an_answer_that_shows_nothing(self, driver: Any, router_of: Make) -> None:
        def empty(_request: RequestView, reply: Reply) -> Verdict:
            return Verdict(bool(reply.text), "empty")

        host = ScriptedHost.saying({"weak": "", "strong": GOOD})
        told = await driver.ask(router_of(host, verifiers=[empty]), stream_mode="commit")
        assert told.text == GOOD

    async def test_prefix_rejects_a_bad_beginning_unseen(self, driver: Any, router_of: Make) -> None:
        long = BAD + " and so on" * 50
        router = router_of(
            ScriptedHost.saying({"weak": long, "strong": GOOD}),
            verifiers=[PrefixBad()],
            settings=Settings(stream_mode="prefix", prefix_tokens=8),
        )
        told = await driver.ask(router)
        assert told.text == GOOD
        first = told.receipt.attempts[0]
        assert first.outcome is AttemptOutcome.REJECTED
        assert first.usage is not None
        assert 8 <= first.usage.output_tokens < 20, "only what was heard before the stream was closed"

    async def test_prefix_speaks_live_after_a_good_beginning(self, driver: Any, router_of: Make) -> None:
        long = "fine words " * 40 + "bad at the end"
        router = router_of(
            ScriptedHost.saying({"weak": long, "strong": GOOD}),
            verifiers=[PrefixBad()],
            settings=Settings(stream_mode="prefix", prefix_tokens=8),
        )
        told = await driver.ask(router)
        assert told.text == long
        assert told.receipt.attempts[0].outcome is AttemptOutcome.SERVED

    async def test_prefix_judges_a_short_answer_whole(self, driver: Any, router_of: Make) -> None:
        router = router_of(
            ScriptedHost.saying({"weak": "bad", "strong": GOOD}), settings=Settings(stream_mode="prefix")
        )
        assert (await driver.ask(router)).text == GOOD

    async def test_closing_early_books_what_was_said(self, driver: Any, router_of: Make, log: EventLog) -> None:
        router = router_of(ScriptedHost.saying({"weak": GOOD * 20}), models=[WEAK])
        if driver.is_async:
            async with router.astream("What is it?") as stream:
                await anext(stream)
                await anext(stream)
        else:
            with router.stream("What is it?") as stream:
                next(stream)
                next(stream)
        (receipt,) = log.receipts
        assert receipt.outcome is ReceiptOutcome.CANCELLED
        (attempt,) = receipt.attempts
        assert attempt.outcome is AttemptOutcome.CANCELLED
        assert attempt.usage is not None
        assert attempt.usage.estimated
        assert attempt.usage.input_tokens > 0
        assert 0 < attempt.usage.output_tokens < 10
        assert attempt.cost_nano

    async def test_closing_early_closes_the_hosts_stream(self, driver: Any, router_of: Make) -> None:
        host = ClosingHost()
        router = router_of(host, models=[WEAK])
        if driver.is_async:
            async with router.astream("What is it?") as stream:
                await anext(stream)
        else:
            with router.stream("What is it?") as stream:
                next(stream)
        assert host.closed == 1

    async def test_the_answer_is_not_there_before_the_end(self, driver: Any, router_of: Make) -> None:
        router = router_of(ScriptedHost.saying({"weak": GOOD}), models=[WEAK])
        stream = router.astream("What is it?") if driver.is_async else router.stream("What is it?")
        with pytest.raises(RouterError, match="no answer yet"):
            _ = stream.answer


async def test_cancelling_a_task_books_the_input(router_of: Make, log: EventLog) -> None:
    begun = asyncio.Event()

    async def hang(_effect: CallModel, _payload: ChatPayload) -> str:
        begun.set()
        await asyncio.Event().wait()
        return "never"

    router = router_of(ScriptedHost(hang))
    task = asyncio.create_task(router.acomplete("What is it?"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (receipt,) = log.receipts
    assert receipt.outcome is ReceiptOutcome.CANCELLED
    assert receipt.usage.input_tokens > 0
    assert receipt.cost_nano


async def test_cancelling_a_task_that_reads_a_stream_books_what_was_said(router_of: Make, log: EventLog) -> None:
    class Stalling(ScriptedHost):
        async def aopen_stream(self, effect: CallModel, payload: ChatPayload) -> Any:
            yield Chunk(text=GOOD)
            begun.set()
            await asyncio.Event().wait()

    begun = asyncio.Event()
    shown: list[str] = []

    async def read() -> None:
        async for chunk in router_of(Stalling.saying({}), models=[WEAK]).astream("What is it?"):
            shown.append(chunk.text)  # noqa: PERF401 - what came before the cancellation counts

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (receipt,) = log.receipts
    assert shown == [GOOD]
    assert receipt.outcome is ReceiptOutcome.CANCELLED
    assert receipt.usage.output_tokens > 0


@pytest.mark.parametrize("driver", ["stream", "astream"], indirect=True)
async def test_stopping_while_an_accepted_answer_is_replayed_is_no_cancellation(
    driver: Any, router_of: Make, log: EventLog
) -> None:
    router = router_of(ScriptedHost.saying({"weak": GOOD}))
    if driver.is_async:
        async with router.astream("What is it?") as stream:
            await anext(stream)
    else:
        with router.stream("What is it?") as stream:
            next(stream)
    (receipt,) = log.receipts
    assert receipt.outcome is ReceiptOutcome.ANSWERED
    assert receipt.model == "weak"


def test_interrupting_a_sync_call_books_the_input(router_of: Make, log: EventLog) -> None:
    class Interrupted(ScriptedHost):
        def call(self, effect: CallModel, payload: ChatPayload) -> Reply:
            raise KeyboardInterrupt

    router = router_of(Interrupted.saying({}))
    with pytest.raises(KeyboardInterrupt):
        router.complete("What is it?")
    (receipt,) = log.receipts
    assert receipt.outcome is ReceiptOutcome.CANCELLED
    assert receipt.usage.input_tokens > 0


class PrefixBad:
    """Rejects a beginning that says bad."""

    name = "prefix_bad"
    judges_prefix = True

    def check(self, request: RequestView, reply: Reply) -> Verdict:
        return Verdict("bad" not in reply.text, "bad")


class ClosingHost(ScriptedHost):
    """Counts the streams that were closed before their end."""

    def __init__(self) -> None:
        super().__init__(lambda _effect, _payload: GOOD)
        self.closed = 0

    def open_stream(self, effect: CallModel, payload: ChatPayload) -> Any:
        try:
            yield from super().open_stream(effect, payload)
        except GeneratorExit:
            self.closed += 1
            raise

    async def aopen_stream(self, effect: CallModel, payload: ChatPayload) -> Any:
        try:
            async for chunk in super().aopen_stream(effect, payload):
                yield chunk
        except GeneratorExit:
            self.closed += 1
            raise
