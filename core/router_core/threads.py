"""Blocking work beside an event loop. Loaded by the first async request that has a ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

_THREADS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="router-ledger")
"""Where async drivers wait for a store. Many, for waiting is all they do: the store writes for all of them at once."""


async def in_a_thread(work: Callable[..., T], *args: Any) -> T:
    """Do blocking work in a thread and wait until it is done, whoever cancels meanwhile: what was spent is booked."""
    doing = asyncio.get_running_loop().run_in_executor(_THREADS, partial(copy_context().run, work, *args))
    cancelled: asyncio.CancelledError | None = None
    while not doing.done():
        try:
            await asyncio.shield(doing)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return doing.result()
