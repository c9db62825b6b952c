"""One router, many callers: each gets its own decision and receipt, and the totals add up."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from router_core import Answer, Router, Verdict
from router_core.effects import CallModel
from router_core.hosts.chat import ChatPayload
from router_core.policies import StaticPolicy
from router_core.testing import EventLog, ScriptedHost, scripted_model
from router_core.types import Reply, RequestView, Usage

CALLERS = 200


def echo(effect: CallModel, payload: ChatPayload) -> Reply:
    """Says which caller asked and which model answers; bills as many tokens as the caller's number."""
    number = int(payload.messages[-1]["content"].split()[-1])
    return Reply(text=f"{effect.model.name} answers caller {number}", usage=Usage(input_tokens=number, output_tokens=1))


def odd_callers_are_never_satisfied_by_the_weak_model(request: RequestView, reply: Reply) -> Verdict:
    odd = int(request.turns[-1].text.split()[-1]) % 2
    return Verdict(not (odd and reply.text.startswith("weak")), "odd")


def router(log: EventLog) -> Router:
    models = [scripted_model("weak", input_usd="1"), scripted_model("strong", input_usd="10")]
    verifiers = [odd_callers_are_never_satisfied_by_the_weak_model]
    return Router(models, policy=StaticPolicy(), verifiers=verifiers, host=ScriptedHost(echo), observers=[log])


def check(answers: list[Answer], log: EventLog) -> None:
    for number, answer in enumerate(answers):
        model = "strong" if number % 2 else "weak"
        assert answer.text == f"{model} answers caller {number}"
        assert answer.model == model
        assert answer.receipt.usage.input_tokens == number * (2 if number % 2 else 1)
    assert len({answer.receipt.request_id for answer in answers}) == CALLERS
    assert {receipt.request_id for receipt in log.receipts} == {answer.receipt.request_id for answer in answers}
    odd = sum(range(1, CALLERS, 2))
    even = sum(range(0, CALLERS, 2))
    assert sum(receipt.usage.input_tokens for receipt in log.receipts) == even + 2 * odd
    assert sum(receipt.cost_nano or 0 for receipt in log.receipts) == (even + odd) * 1_000 + odd * 10_000
    assert Counter(answer.model for answer in answers) == {"weak": CALLERS // 2, "strong": CALLERS // 2}


def test_from_threads() -> None:
    log = EventLog()
    one = router(log)
    together = threading.Barrier(20)

    def ask(number: int) -> Answer:
        together.wait()
        return one.complete(f"caller {number}")

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(CALLERS)))
    check(answers, log)


async def test_from_one_event_loop() -> None:
    log = EventLog()
    one = router(log)
    answers = await asyncio.gather(*(one.acomplete(f"caller {number}") for number in range(CALLERS)))
    check(list(answers), log)


async def test_streams_from_one_event_loop() -> None:
    log = EventLog()
    one = router(log)

    async def ask(number: int) -> tuple[str, Answer]:
        stream = one.astream(f"caller {number}")
        text = "".join([chunk.text async for chunk in stream])
        return text, stream.answer

    told = await asyncio.gather(*(ask(number) for number in range(CALLERS)))
    assert all(text == answer.text for text, answer in told)
    check([answer for _, answer in told], log)
