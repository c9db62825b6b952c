"""Sending the prompts through a router, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from router_core.demo.script import Prompt, spoken
from router_core.demo.tally import Outcome
from router_core.errors import RouterError
from router_core.router import Router


def play(
    router: Router, prompts: Sequence[Prompt], advance: Callable[[], None], *, force_model: str | None = None
) -> tuple[Outcome, ...]:
    """Send every prompt through the router. ``advance`` is called after each."""
    outcomes = []
    for prompt in prompts:
        outcomes.append(_ask(router, prompt, force_model))
        advance()
    return tuple(outcomes)


def _ask(router: Router, prompt: Prompt, force_model: str | None) -> Outcome:
    options = prompt.options.copy()
    if force_model is not None:
        options["force_model"] = force_model
    try:
        answer = router.complete(prompt.messages, **options)
    except RouterError as error:
        if error.receipt is None:
            raise
        return Outcome(prompt=prompt, receipt=error.receipt, text=None, error=str(error))
    return Outcome(prompt=prompt, receipt=answer.receipt, text=spoken(answer.reply))
