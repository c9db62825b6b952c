"""The provider of the budget storm: it answers OpenAI's chat completions at random and counts what it serves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

FATES = {"served": 0.86, "slow": 0.05, "fails": 0.04, "overloaded": 0.02, "hangs up": 0.02, "breaks off": 0.01}
SLOW_S = 1.0
UNSURE = 0.08
"""The share of answers that are rejected, so that the stronger model is asked too."""

NANO_PER_TOKEN = {"weak": (150, 75, 600), "strong": (2_500, 1_250, 10_000)}
"""Input, cached input and output, as the provider bills them."""


class Served(NamedTuple):
    """One call as the provider has it in its books; it is billed if the whole answer was sent."""

    model: str
    fate: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    nano: int

    @property
    def billed(self) -> bool:
        """Whether the whole answer was sent."""
        return self.fate in {"served", "slow"}


class Provider:
    """Answers OpenAI's chat completions at random, and keeps books by the first word of the prompt."""

    def __init__(self) -> None:
        self._books: defaultdict[str, list[Served]] = defaultdict(list)
        self._random = random.Random(1)  # noqa: S311 - no secret

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    writer.write(_response(200, self._books))
                    break
                lines = head.lower().split(b"\r\n")
                length = next(line for line in lines if line.startswith(b"content-length:"))
                await self._answer(json.loads(await reader.readexactly(int(length.split(b":")[1]))), writer)
                await writer.drain()
        writer.close()

    async def _answer(self, asked: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        chance = self._random
        words = [word for message in asked["messages"] for word in message["content"].split()]
        (fate,) = chance.choices(list(FATES), list(FATES.values()))
        cached = chance.choice((0, 0, len(words) // 2))
        made = chance.randint(1, asked["max_tokens"])
        of_input, of_cached, of_output = NANO_PER_TOKEN[asked["model"]]
        nano = (len(words) - cached) * of_input + cached * of_cached + made * of_output
        if fate == "slow":
            await asyncio.sleep(chance.uniform(0, SLOW_S))
        # The books are written first: what the caller has got is in them.
        self._books[words[0]].append(Served(asked["model"], fate, len(words), cached, made, nano))
        usage = {
            "prompt_tokens": len(words),
            "completion_tokens": made,
            "total_tokens": len(words) + made,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        text = "unsure" if chance.random() < UNSURE else "certain"
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        about = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"]}
        if fate in {"fails", "overloaded"}:
            writer.write(_response(500 if fate == "fails" else 429, {"error": {"message": fate}}))
        elif fate in {"hangs up", "breaks off"}:
            writer.write(b"" if fate == "hangs up" else _response(200, {**about, "choices": [choice]})[:-9])
            writer.close()
        else:
            writer.write(_response(200, {**about, "choices": [choice], "usage": usage}))


def _response(status: int, content: object) -> bytes:
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def serve(told: Any) -> None:
    """The provider's process; ``told`` is a pipe that gets the port."""

    async def forever() -> None:
        server = await asyncio.start_server(Provider().talk, "127.0.0.1", 0, backlog=4096)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


def provider_books(base_url: str) -> dict[str, list[Served]]:
    """What the provider counted, by the marker of the request."""
    with urllib.request.urlopen(f"{base_url}/books", timeout=60) as answer:  # noqa: S310 - on loopback
        books = json.load(answer)
    return {marker: [Served(*call) for call in calls] for marker, calls in books.items()}
