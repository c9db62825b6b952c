"""Budgets: what they limit, and what a request must hold of them before it may call a model.

A budget is *reserve → settle*: before a call its worst case is held, after it the hold becomes what was spent. Amounts
are whole: nano-dollars or tokens. The worst case of a call is the bound of its input, all of it written to the cache of
the provider, and the longest answer that the model may give.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Self, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from router_core.errors import ConfigError
from router_core.prices import PriceBook
from router_core.records import Attempt, Charge, Scope
from router_core.tokens import expected_input_tokens
from router_core.types import NANO, Capability, Json, Model, RequestView, Unit, Usage

Period: TypeAlias = Literal["call", "day", "week", "month", "total"]
OnExceeded: TypeAlias = Literal["stop", "degrade", "ask"]

_PERIODS = ("call", "day", "week", "month", "total")
_MODES = ("stop", "degrade", "ask")
_LATEST_START = 28
"""The last day that every month has."""

UNBOUNDED_OUTPUT = 4_096
"""Tokens taken for the longest answer of a model that states no limit, where the request states none either. They are
then the limit of the call: a hold must be a bound."""


class TopUp(NamedTuple):
    """So much more, in nano-dollars or tokens, for one purse of a budget: the key of its scope and its period. A budget
    whose unit was changed does not have it any more."""

    key: str
    window: str
    units: int
    unit: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A spending limit. Several may apply to a request; all must hold.

    name: unique. limit_usd or limit_tokens: one of them. per: "call", "day", "week" (from Monday), "month" or "total".
    scope: whose spending is counted together. "all"; "session", each session its own; "tag:user", each tag that is
    "user" or begins with "user:" its own; "model:NAME" or "provider:NAME", the calls of these only.
    on_exceeded: "stop" raises ``BudgetExceeded``, "degrade" goes on with the cheapest model that fits, "ask" asks the
    ledger's ``ask`` function.
    timezone: IANA name in which periods begin. month_start: day of the month, 1 to 28.
    thresholds: percentages of the limit that are told when they are reached (``events.BudgetReached``).
    top_ups: what single purses have beside the limit.

    Raises:
        ConfigError: a field is wrong; names it, the value and the remedy.
    """

    name: str
    limit_usd: Decimal | float | str | None = None
    limit_tokens: int | None = None
    per: Period = "total"
    scope: str = "all"
    on_exceeded: OnExceeded = "stop"
    timezone: str = "UTC"
    month_start: int = 1
    thresholds: Sequence[int] = (50, 80, 100)
    top_ups: tuple[TopUp, ...] = ()
    limit: int = field(init=False, repr=False, compare=False)
    """The limit in whole units: nano-dollars or tokens."""

    def __post_init__(self) -> None:
        where = f"budgets.{self.name}"
        if not self.name:
            raise ConfigError("budgets: a budget has no name; give it one")
        if (self.limit_usd is None) == (self.limit_tokens is None):
            raise ConfigError(f"{where}: give either limit_usd or limit_tokens")
        object.__setattr__(self, "limit", self._limit())
        if self.limit < 0:
            raise ConfigError(f"{where}: the limit is below 0; give 0 or more")
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        if any(type(percent) is not int or percent <= 0 for percent in self.thresholds):
            raise ConfigError(f"{where}.thresholds: {self.thresholds} are not percentages; give whole numbers above 0")
        if self.per not in _PERIODS:
            raise ConfigError(f"{where}.per: {self.per!r} is no period; use {', '.join(_PERIODS)}")
        if self.on_exceeded not in _MODES:
            raise ConfigError(f"{where}.on_exceeded: {self.on_exceeded!r} is unknown; use {', '.join(_MODES)}")
        kind, _, of = self.scope.partition(":")
        if (self.scope not in {"all", "session"}) and not (kind in {"tag", "model", "provider"} and of):
            raise ConfigError(
                f"{where}.scope: {self.scope!r} is no scope; use all, session, tag:NAME, model:NAME or provider:NAME"
            )
        if not 1 <= self.month_start <= _LATEST_START:
            raise ConfigError(f"{where}.month_start: {self.month_start} is not from 1 to {_LATEST_START}")
        self._zone()

    @property
    def unit(self) -> Unit:
        """What is counted."""
        return "tokens" if self.limit_usd is None else "nano"

    def limit_of(self, key: str, window: str) -> int:
        """The limit of one purse, with what it was topped up by."""
        purse = (key, window, self.unit)
        return self.limit + sum(extra.units for extra in self.top_ups if (extra.key, extra.window, extra.unit) == purse)

    def topped_up(self, key: str, window: str, units: int) -> Budget:
        """The same budget with so much more for one purse.

        Raises:
            ConfigError: that is not more.
        """
        if units <= 0:
            raise ConfigError(f"budgets.{self.name}: {units} is no top-up; give an amount above 0")
        return replace(self, top_ups=(*self.top_ups, TopUp(key, window, units, self.unit)))

    def definition(self) -> dict[str, Json]:
        """What stores keep of the budget: JSON values, all but its name and what is as usual."""
        given: dict[str, Any] = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.init and each.name != "name" and getattr(self, each.name) != each.default
        }
        if self.limit_usd is not None:
            given["limit_usd"] = f"{Decimal(str(self.limit_usd)):f}"
        if self.top_ups:
            given["top_ups"] = [list(extra) for extra in self.top_ups]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}

    @classmethod
    def from_definition(cls, name: str, definition: Mapping[str, Any]) -> Self:
        """The budget that ``definition`` made.

        Raises:
            ConfigError: it is none, or a newer router-core has made it.
        """
        given = dict(definition)
        unknown = given.keys() - {each.name for each in fields(cls) if each.init}
        if unknown:
            raise ConfigError(f"budgets.{name}: {sorted(unknown)} are unknown here; set the budget anew")
        try:
            given["top_ups"] = tuple(_top_up(*extra) for extra in given.get("top_ups", ()))
            return cls(**{**given, "name": name})
        except (AttributeError, TypeError) as error:
            raise ConfigError(f"budgets.{name}: its definition is none ({error}); set the budget anew") from None

    def _limit(self) -> int:
        if self.limit_tokens is not None:
            if type(self.limit_tokens) is not int:
                raise ConfigError(f"budgets.{self.name}.limit_tokens: {self.limit_tokens!r} is no whole number")
            return self.limit_tokens
        try:
            # By way of its text, so that 0.1 is a tenth and not the binary fraction next to it.
            return int(Decimal(str(self.limit_usd)) * NANO)
        except (ArithmeticError, ValueError):
            raise ConfigError(f"budgets.{self.name}.limit_usd: {self.limit_usd!r} is no amount of US dollars") from None

    def keys(self, request: RequestView) -> tuple[str, ...]:
        """Whose purses the request is paid from; none if the budget is not about it."""
        kind, _, of = self.scope.partition(":")
        if kind == "session":
            return () if request.session is None else (request.session,)
        if kind == "tag":
            return tuple(sorted(tag for tag in request.tags if tag == of or tag.startswith(f"{of}:")))
        return ("",)

    def counts(self, model: str, provider: str) -> bool:
        """Whether calls of this model are counted."""
        kind, _, of = self.scope.partition(":")
        return kind not in {"model", "provider"} or of == (model if kind == "model" else provider)

    def window(self, now: float, request_id: str) -> str:
        """The label of the period that a moment (unix seconds) is in."""
        if self.per in {"total", "call"}:
            return request_id if self.per == "call" else "total"
        return self._start(now).isoformat()

    def resets_at(self, now: float) -> datetime | None:
        """When the next period begins; None if none does."""
        if self.per in {"total", "call"}:
            return None
        start = self._start(now)
        if self.per == "month":
            following = (start.replace(day=1) + timedelta(days=32)).replace(day=start.day)
        else:
            following = start + timedelta(days=1 if self.per == "day" else 7)
        return datetime.combine(following, datetime.min.time(), self._zone())

    def _start(self, now: float) -> date:
        """The first day of the period."""
        today = datetime.fromtimestamp(now, UTC).astimezone(self._zone()).date()
        if self.per == "week":
            return today - timedelta(days=today.weekday())
        if self.per == "month":
            month = today if today.day >= self.month_start else today.replace(day=1) - timedelta(days=1)
            return month.replace(day=self.month_start)
        return today

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigError(
                f"budgets.{self.name}.timezone: {self.timezone!r} is unknown here; use an IANA name such as "
                "'Europe/Madrid' (where the system has no time zones: pip install tzdata)"
            ) from None


def overlaid(given: Iterable[Budget], saved: Mapping[str, Mapping[str, Any]]) -> tuple[Budget, ...]:
    """The budgets that hold: those that an application gives, with what a store's definitions of the same name say
    instead; and those that only the store has. What the store keeps of a budget that is gone changes nothing.

    Raises:
        ConfigError: a definition is wrong.
    """
    known = {budget.name: budget.definition() for budget in given}
    for name, definition in saved.items():
        before = known.get(name, {})
        if _LIMITS.intersection(definition):
            before = {field: value for field, value in before.items() if field not in _LIMITS}
        if _LIMITS.intersection((*before, *definition)):
            known[name] = {**before, **definition}
    return tuple(Budget.from_definition(name, definition) for name, definition in known.items())


_LIMITS = frozenset({"limit_usd", "limit_tokens"})


def _top_up(key: Any, window: Any, units: Any, unit: Any) -> TopUp:
    """One that a store tells of; ``TypeError`` if it is none."""
    if not (type(key) is type(window) is str and type(units) is int and units > 0 and unit in get_args(Unit)):
        raise TypeError(f"{[key, window, units, unit]} is no top-up")
    return TopUp(key, window, units, unit)


class PlannedCall(NamedTuple):
    """One call that a request may make, at its worst. Nano-dollars are None where the price is unknown.

    ``max_tokens`` is the limit that the call must be given for its worst case to be a bound; None where the request or
    the model sets one already.
    """

    model: Model
    nano: int | None
    floor_nano: int | None
    tokens: int
    floor_tokens: int
    output: int
    max_tokens: int | None


class Plan(NamedTuple):
    """All that a request may come to call.

    ``calls`` are the models that may be asked for an answer, each once, the first of them first; one of them may be
    asked ``repeats`` times more, and all together make ``most`` calls at most. ``asides`` are calls for something else,
    all of which may be made.
    """

    calls: tuple[PlannedCall, ...]
    repeats: int = 0
    most: int | None = None
    asides: tuple[PlannedCall, ...] = ()


def plan_call(model: Model, request: RequestView, prices: PriceBook, most: int | None = None) -> PlannedCall:
    """A call at its worst; ``most`` bounds the tokens of its answer further."""
    known = [limit for limit in (request.max_tokens, model.max_output_tokens) if limit is not None]
    natural = min(known, default=UNBOUNDED_OUTPUT)
    output = natural if most is None else min(natural, most)
    given = request.input_bytes  # a tokenizer's count is no bound for another's
    least = expected_input_tokens(request)
    audio = Capability.AUDIO in request.modalities
    nano = prices.worst_cost(model, Usage(input_tokens=given, output_tokens=output), audio=audio)
    floor = prices.text_cost(model, least, 0)
    clamped = output if output < natural or not known else None
    return PlannedCall(model, nano, floor, given + output, least, output, clamped)


def charges_of(
    budgets: Iterable[Budget], request: RequestView, plan: Plan, now: float, request_id: str
) -> tuple[Charge, ...]:
    """What a plan must hold of each purse that the request is paid from.

    Raises:
        ValueError: a budget in dollars meets a model without a price; its text names both.
    """
    charges = []
    for budget in budgets:
        calls, asides = (_counted(budget, planned) for planned in (plan.calls, plan.asides))
        if not (calls or asides):
            continue
        worst = sorted((*calls, *[max(calls, default=0)] * plan.repeats), reverse=True)[: plan.most]
        amount = sum(worst) + sum(asides)
        floor = _floor(budget, plan.calls)
        window = budget.window(now, request_id)
        charges += [
            Charge(budget.name, key, window, budget.unit, budget.limit_of(key, window), amount, min(floor, amount))
            for key in budget.keys(request)
        ]
    return tuple(charges)


def _counted(budget: Budget, calls: Iterable[PlannedCall]) -> list[int]:
    """The worst case of each call that a budget counts, in its unit."""
    amounts = []
    for call in calls:
        if not budget.counts(call.model.name, call.model.provider):
            continue
        amount = call.tokens if budget.unit == "tokens" else call.nano
        if amount is None:
            raise ValueError(
                f"the budget {budget.name!r} is in US dollars and {call.model.name!r} has no known price; give it a "
                "'price' in the registry"
            )
        amounts.append(amount)
    return amounts


def _floor(budget: Budget, calls: Iterable[PlannedCall]) -> int:
    """The input of the first call that a budget counts: a request that has begun was sent at least that."""
    for call in calls:
        if budget.counts(call.model.name, call.model.provider):
            return call.floor_tokens if budget.unit == "tokens" else call.floor_nano or 0
    return 0


def spent_of(budgets: Mapping[str, Budget], charges: Iterable[Charge], attempts: Sequence[Attempt]) -> dict[Scope, int]:
    """What each purse has to pay for the attempts that were made. An unknown cost counts as all that was held."""
    spent: dict[Scope, int] = {}
    for charge in charges:
        budget = budgets[charge.budget]
        total = 0
        for attempt in attempts:
            if not budget.counts(attempt.model, attempt.provider):
                continue
            if budget.unit == "tokens":
                total += attempt.usage.total_tokens if attempt.usage is not None else 0
            elif attempt.cost_nano is None:
                total = max(total, charge.amount)
            else:
                total += attempt.cost_nano
        spent[charge.scope] = total
    return spent
