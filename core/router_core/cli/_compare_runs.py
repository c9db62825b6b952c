"""The runs that ``llm-router compare`` compares: prompts without the memory, and round after round with it."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from router_core.auditor import Auditor, JudgementUnreadable, as_good
from router_core.demo.script import MODELS, Script, load_prompts
from router_core.errors import ConfigError, RouterError
from router_core.events import Event, Settled
from router_core.learning.rows import missing, read_rows
from router_core.learning.strategy import Step
from router_core.options import CallOptions
from router_core.policies import CallablePolicy, Policy, StaticPolicy, StrategyMemoryPolicy
from router_core.router import Router
from router_core.testing import ScriptedHost
from router_core.types import add_nano

if TYPE_CHECKING:
    from router_core.config import Config
    from router_core.demo.script import Messages, Prompt
    from router_core.records import Receipt

_PARTS = tuple(re.compile(rf"<answer_{n}>\n(.*)\n</answer_{n}>", re.DOTALL) for n in (1, 2))
_FIELDS = ("prompt", "messages", "call_site")


class Asked(NamedTuple):
    """A prompt, and the place in the application that it stands for."""

    messages: Messages
    call_site: str | None
    marks: Mapping[str, bool] = {}


class Sent(NamedTuple):
    """What became of a prompt: the receipt, and the text of the answer if there is one."""

    receipt: Receipt
    text: str | None


Mark: TypeAlias = Callable[[Asked, Sent, Sent], bool | None]
"""Whether an answer to a prompt is good, given what the strongest model said; None if nobody can tell."""
Make: TypeAlias = Callable[[StrategyMemoryPolicy | None], Router]
"""Makes the router of a run: with this memory, or without one."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one pass over all prompts came to. ``good`` counts good answers (None: unmarked), ``cost_nano`` and
    ``audits_nano`` are nano-dollars (None: a price is unknown), ``seconds`` the latency of all requests together."""

    requests: int
    answered: int
    tokens: int
    cost_nano: int | None
    seconds: float
    good: int | None
    models: Mapping[str, int]
    audits_nano: int | None = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """Both runs. ``rounds`` are those with the memory, the first of which knows nothing."""

    live: bool
    without: Round
    rounds: tuple[Round, ...]
    steps: tuple[Step, ...]


@dataclass(slots=True)
class _Spent:
    """An observer that adds up costs."""

    nano: int | None = field(default=0)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Settled):
            self.nano = add_nano(self.nano, event.receipt.cost_nano)


def compare_scripted(rounds: int, share: float, advance: Callable[[], None]) -> Compared:
    """The prompts of the demo that are answered with a text, by its scripted models. Who judges knows the marks."""
    shipped = list(filter(_is_plain, load_prompts()))
    asked = [
        Asked(p.messages, p.task, {name: answer.fault is None for name, answer in p.answers.items()}) for p in shipped
    ]
    host = ScriptedHost(Script(shipped))
    good = {answer.reply.text.strip(): answer.fault is None for p in shipped for answer in p.answers.values()}

    def make(memory: StrategyMemoryPolicy | None) -> Router:
        if memory is None:
            return Router(MODELS, policy=StaticPolicy(MODELS[-1].name), host=host)
        return Router(MODELS, policy=memory, host=host, observers=[auditor])

    def judge(prompt: str) -> str:
        marks = [good.get(text, False) for text in _answers(prompt)]
        better = "tie" if marks[0] == marks[1] else "1" if marks[0] else "2"
        return f'{{"better": "{better}", "why": "by the marks of the script"}}'

    def mark(of: Asked, sent: Sent, _best: Sent) -> bool:
        return sent.receipt.model is not None and of.marks[sent.receipt.model]

    spent = _Spent()
    memory = StrategyMemoryPolicy(tiers=[model.name for model in MODELS])
    with_models = Router(MODELS, verifiers=[], host=host, observers=[spent])
    auditor = Auditor(memory, judge, share=share, answer_with=with_models, seed=0)
    return _Comparison(make, memory, auditor, spent, mark, advance).run(asked, rounds, live=False)


def compare_live(
    config: Config, asked: Sequence[Asked], rounds: int, share: float, advance: Callable[[], None]
) -> Compared:
    """These prompts, by the models of a registry file; the strongest judges, blind, whether answers are as good as its
    own. The memory begins empty, and the one that is kept is left alone."""
    tiers = [model.name for model in config.registry.models]

    def router(policy: Policy, **more: Any) -> Router:
        given: dict[str, Any] = {"verifiers": config.verifiers, "constraints": config.constraints, **more}
        return Router(config.registry, policy=policy, settings=config.settings, ledger=config.ledger, **given)

    def make(memory: StrategyMemoryPolicy | None) -> Router:
        if memory is None:
            return router(StaticPolicy(tiers[-1]))
        # Called through a function, the memory is not kept in the ledger of the file.
        return router(CallablePolicy(memory.decide), observers=[memory.observe, auditor])

    spent = _Spent()
    judge = router(StaticPolicy(tiers[-1]), verifiers=[], observers=[spent])
    referee = router(StaticPolicy(tiers[-1]), verifiers=[])
    coin = random.Random(0)  # noqa: S311 - an order, no secret

    def mark(of: Asked, sent: Sent, best: Sent) -> bool | None:
        if sent.text is None or best.text is None or sent.text == best.text:
            return sent.text is not None
        try:
            swapped = coin.random() < 0.5  # noqa: PLR2004 - a coin
            return bool(as_good(referee, str(of.messages), sent.text, best.text, swapped=swapped)[0])
        except (JudgementUnreadable, RouterError):
            return None

    memory = StrategyMemoryPolicy(tiers=tiers)
    auditor = Auditor(memory, judge, share=share, answer_with=judge, seed=0)
    return _Comparison(make, memory, auditor, spent, mark, advance).run(asked, rounds, live=True)


def read_prompts(path: Path) -> list[Asked]:
    """The prompts of a file of JSON lines.

    Raises:
        ConfigError: the file cannot be read, or a line has neither prompt nor messages.
    """
    asked = []
    for row in read_rows(path):
        messages = row.text("prompt") or row.fields.get("messages")
        if not messages or not isinstance(messages, str | list):
            raise missing(row, "prompt or messages", _FIELDS, "give one of them")
        asked.append(Asked(messages, row.text("call_site")))
    if not asked:
        raise ConfigError(f"{path}: holds no prompt; give one JSON object with a prompt on each line")
    return asked


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What both runs are made with."""

    make: Make
    memory: StrategyMemoryPolicy
    auditor: Auditor
    spent: _Spent
    mark: Mark
    advance: Callable[[], None]

    def run(self, asked: Sequence[Asked], rounds: int, *, live: bool) -> Compared:
        """Send all prompts without the memory once, and with it round after round."""
        best = self._send(self.make(None), asked, wait=False)
        without = self._round(asked, best, best)
        router, with_memory = self.make(self.memory), []
        for _ in range(rounds):
            self.spent.nano = 0
            # Scripted models take no time: audits that are waited for make every run the same.
            sent = self._send(router, asked, wait=not live)
            self.auditor.drain()
            with_memory.append(replace(self._round(asked, sent, best), audits_nano=self.spent.nano))
        self.auditor.close()
        return Compared(live, without, tuple(with_memory), tuple(self.memory.contents.steps))

    def _send(self, router: Router, asked: Iterable[Asked], *, wait: bool) -> list[Sent]:
        sent = []
        for each in asked:
            options = CallOptions() if each.call_site is None else CallOptions(call_site=each.call_site)
            try:
                answer = router.complete(each.messages, **options)
            except RouterError as error:
                if error.receipt is None:
                    raise
                sent.append(Sent(error.receipt, None))
            else:
                sent.append(Sent(answer.receipt, answer.text))
            if wait:
                self.auditor.drain()
            self.advance()
        return sent

    def _round(self, asked: Sequence[Asked], sent: Sequence[Sent], best: Sequence[Sent]) -> Round:
        marks = [self.mark(*each) for each in zip(asked, sent, best, strict=True)]
        cost: int | None = 0
        for each in sent:
            cost = add_nano(cost, each.receipt.cost_nano)
        return Round(
            requests=len(sent),
            answered=sum(each.text is not None for each in sent),
            tokens=sum(each.receipt.usage.total_tokens for each in sent),
            cost_nano=cost,
            seconds=sum(each.receipt.latency_s for each in sent),
            good=None if None in marks else sum(mark is True for mark in marks),
            models=dict(Counter(each.receipt.model or "none" for each in sent)),
        )


def _is_plain(prompt: Prompt) -> bool:
    """Whether a prompt of the demo is one text that all its models answer with a text."""
    shaped = prompt.options.keys() & {"schema", "tools"}
    plain = all(answer.fails is None and not answer.reply.tool_calls for answer in prompt.answers.values())
    return isinstance(prompt.messages, str) and not shaped and plain


def _answers(comparison: str) -> list[str]:
    return [found.group(1).strip() if found else "" for found in (part.search(comparison) for part in _PARTS)]
