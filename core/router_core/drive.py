"""The four drivers: they run the cascade's generator and do what it asks for, sync or async, streaming or not.

They know nothing of routing. Each sends the generator the result of the effect that it yielded, until it returns; the
account is settled exactly once, however a driver is left: with an answer, an error, a cancellation or an early close.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing
from typing import Any, TypeVar, assert_never

from router_core.account import Account
from router_core.effects import AskForMore, Await, CallMany, CallModel, Flow, Limits, Reserve, Resume, Tell, Voice
from router_core.tab import Tab
from router_core.types import Reply
from router_core.world import World

__all__ = ["World", "arun", "astream", "run", "stream"]

P = TypeVar("P")
C = TypeVar("C")
R = TypeVar("R")


def run(flow: Flow[R], tab: Tab, world: World[P, C]) -> R:
    """Answer in one piece."""
    with Account(flow, tab, world) as account:
        result: Any = None
        while True:
            try:
                effect = flow.send(result)
            except StopIteration as done:
                answer: R = done.value
                return answer
            match effect:
                case CallModel():
                    result = account.call(effect)
                case CallMany():
                    result = account.call_many(effect)
                case Limits() | Reserve() | AskForMore():
                    result = account.hold(effect)
                case Tell() | Await():
                    result = account.perform(effect)
                case Resume():
                    raise RuntimeError("Resume outside a stream")
                case _:
                    assert_never(effect)


async def arun(flow: Flow[R], tab: Tab, world: World[P, C]) -> R:
    """Answer in one piece, without blocking the event loop."""
    async with Account(flow, tab, world) as account:
        result: Any = None
        while True:
            try:
                effect = flow.send(result)
            except StopIteration as done:
                answer: R = done.value
                return answer
            match effect:
                case CallModel():
                    result = await account.acall(effect)
                case CallMany():
                    result = await account.acall_many(effect)
                case Limits() | Reserve() | AskForMore():
                    result = await account.ahold(effect)
                case Tell() | Await():
                    result = await account.aperform(effect)
                case Resume():
                    raise RuntimeError("Resume outside a stream")
                case _:
                    assert_never(effect)


def stream(flow: Flow[Reply], tab: Tab, world: World[P, C]) -> Generator[C]:
    """Answer in chunks. What a verifier may still reject is held, and shown once it is accepted."""
    with Account(flow, tab, world) as account:
        result: Any = None
        while True:
            try:
                effect = flow.send(result)
            except StopIteration as done:
                yield from account.unsaid(done.value)
                return
            match effect:
                case CallModel(voice=Voice.HELD):
                    result = account.call(effect)
                case CallMany():
                    result = account.call_many(effect)
                case CallModel() | Resume():
                    yield from account.speak(effect)
                    result = account.timed
                case Limits() | Reserve() | AskForMore():
                    result = account.hold(effect)
                case Tell() | Await():
                    result = account.perform(effect)
                case _:
                    assert_never(effect)


async def astream(flow: Flow[Reply], tab: Tab, world: World[P, C]) -> AsyncGenerator[C]:
    """Answer in chunks, without blocking the event loop."""
    async with Account(flow, tab, world) as account:
        result: Any = None
        while True:
            try:
                effect = flow.send(result)
            except StopIteration as done:
                for chunk in account.unsaid(done.value):
                    yield chunk
                return
            match effect:
                case CallModel(voice=Voice.HELD):
                    result = await account.acall(effect)
                case CallMany():
                    result = await account.acall_many(effect)
                case CallModel() | Resume():
                    async with aclosing(account.aspeak(effect)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                    result = account.timed
                case Limits() | Reserve() | AskForMore():
                    result = await account.ahold(effect)
                case Tell() | Await():
                    result = await account.aperform(effect)
                case _:
                    assert_never(effect)
