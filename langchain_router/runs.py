"""The router's own run: a chain run, so that a model's run is seen below it for each attempt and for nothing else.

Does what ``Runnable._call_with_config`` does, but for looking at the signature of the function that it calls, which
costs more than the rest of the run together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import (
    get_async_callback_manager_for_config,
    get_callback_manager_for_config,
    set_config_context,
)

Work = Callable[[Any, RunnableConfig], Any]
"""What happens within the run, given its manager and the request's config."""


def run_chain(name: str, given: Any, config: RunnableConfig, work: Work) -> Any:
    """Do ``work`` as a chain run and return its answer; it sees the run as its parent, whatever it calls.

    Where nobody listens there is nothing to see, and the run is spared.
    """
    manager = get_callback_manager_for_config(config)
    run = manager.on_chain_start(None, given, name=config.get("run_name") or name, run_id=config.pop("run_id", None))
    if not run.handlers:
        return work(run, config)
    with _Ended(run) as ended:
        with set_config_context(_within(run, config)) as context:
            answer = context.run(work, run, config)
        ended.answer = answer
    return answer


async def arun_chain(
    name: str, given: Any, config: RunnableConfig, work: Callable[[Any, RunnableConfig], Coroutine[Any, Any, Any]]
) -> Any:
    """Like ``run_chain``, for work that is awaited."""
    manager = get_async_callback_manager_for_config(config)
    run = await manager.on_chain_start(
        None, given, name=config.get("run_name") or name, run_id=config.pop("run_id", None)
    )
    if not run.handlers:
        return await work(run, config)
    async with _Ended(run) as ended:
        with set_config_context(_within(run, config)) as context:
            answer = await asyncio.create_task(work(run, config), context=context)
        ended.answer = answer
    return answer


def _within(run: Any, config: RunnableConfig) -> RunnableConfig:
    """The config of what is called within the run. The request's has all its keys: no ``patch_config`` need look."""
    inner: RunnableConfig = {**config, "callbacks": run.get_child()}
    inner.pop("run_name", None)  # is the run's own
    return inner


class _Ended:
    """Tells the run's handlers how it ended."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self.answer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        if error is None:
            self._run.on_chain_end(self.answer)
        else:
            self._run.on_chain_error(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        if error is None:
            await self._run.on_chain_end(self.answer)
        else:
            await self._run.on_chain_error(error)
