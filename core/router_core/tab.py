"""The running account of one request, from its first call to its receipt."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router_core.budget import Budget
from router_core.constraints import Outlook
from router_core.effects import Timed
from router_core.errors import AnswersRejected, BudgetExceeded, NoFeasibleModel
from router_core.records import Attempt, AttemptOutcome, AttemptRole, Charge, Decision, Receipt, ReceiptOutcome
from router_core.tokens import expected_input_tokens, expected_tokens
from router_core.types import (
    CACHE_PRICE,
    PROVIDER_PRICE,
    SCRIPTED_PRICE,
    Cost,
    Failed,
    Model,
    Question,
    Reply,
    RequestView,
    Usage,
    Verdict,
    to_usd,
)

_ERROR_LENGTH = 200
_NOTHING = Reply(text="")

# Seeded by the system, and no secret. To ask the system for each id would let go of the interpreter's lock each time,
# which is slow to get back while the thread of a store is busy.
_ids = random.Random()  # noqa: S311
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.seed)


@dataclass(slots=True)
class Flight:
    """A call of a model under way: ``number`` counts the calls of its request from 1, ``question`` is what is asked
    instead of the request. Its driver writes down when it ``began``, by its clock; ``arrived`` is what came of it."""

    number: int
    model: Model
    role: AttemptRole
    question: Question | None
    began: float | None = None
    arrived: Timed | None = None


@dataclass(slots=True)
class Tab:
    """What is known of a running request. Belongs to one call: the engine writes it, its driver closes it.

    ``flights`` are the calls that are not booked yet: should the request be cut off now, they are booked as cancelled.
    ``observed`` says that events are told. ``charges`` is what ``budgets`` hold for the request since
    ``held_at`` (unix seconds), ``caps`` the tokens that the answer of each model is limited to by them. ``signals`` are
    exceptions of a framework's control flow: a request that one of them ends was given up, and has not failed.
    """

    request: RequestView
    outlook: Outlook
    request_id: str = field(default_factory=lambda: _ids.randbytes(16).hex())
    decision: Decision | None = None
    attempts: list[Attempt] = field(default_factory=list)
    flights: dict[int, Flight] = field(default_factory=dict)
    observed: bool = False
    reply: Reply | None = None
    receipt: Receipt | None = None
    budgets: tuple[Budget, ...] = ()
    charges: tuple[Charge, ...] = ()
    held_at: float = 0.0
    caps: Mapping[str, int] = field(default_factory=dict)
    signals: tuple[type[Exception], ...] = ()

    def depart(self, model: Model, role: AttemptRole = AttemptRole.ANSWER, question: Question | None = None) -> Flight:
        """Note that a model is about to be called."""
        number = len(self.attempts) + len(self.flights) + 1
        flight = self.flights[number] = Flight(number, model, role, question)
        return flight

    def book(self, flight: Flight, timed: Timed, outcome: AttemptOutcome, verdict: Verdict | None = None) -> Attempt:
        """Enter the attempt that a call was."""
        model, result, question = flight.model, timed.result, flight.question
        if isinstance(result, Failed):
            failure, error, heard = result.kind, _short(result.error), timed.partial or _NOTHING
        else:
            failure, error, heard = None, None, result
        usage = heard.usage or self._unreported(timed, question)
        used = usage.input_tokens or usage.output_tokens
        # Nothing used costs nothing, whether or not the price is known.
        nano, price_version = self._cost(model, usage, heard) or (None if used else 0, None)
        # By position, in the order of the fields: by name it takes twice as long.
        attempt = Attempt(
            flight.number,
            model.name,
            model.provider,
            outcome,
            timed.seconds,
            timed.first_token_s,
            usage,
            nano,
            price_version,
            verdict,
            failure,
            error,
            heard.service_tier,
            heard.model_id,
            heard.finish_reason,
            flight.role,
        )
        self.attempts.append(attempt)
        del self.flights[flight.number]
        # What used nothing came out of a cache: it says nothing of the model. A judge's word says nothing of an answer.
        if used and failure is None and question is None and outcome is not AttemptOutcome.CANCELLED:
            self.outlook.observations.add(model.name, timed.seconds, None if usage.estimated else usage.output_tokens)
        return attempt

    def _cost(self, model: Model, usage: Usage, heard: Reply) -> Cost | None:
        """What the call cost; None if nothing was used, or nobody knows."""
        if heard.cached:
            return Cost(0, CACHE_PRICE)
        if heard.scripted:
            return Cost(0, SCRIPTED_PRICE)
        if heard.cost_nano is not None:
            return Cost(heard.cost_nano, PROVIDER_PRICE)
        if not (usage.input_tokens or usage.output_tokens):
            return None
        return self.outlook.prices.cost(model, usage, heard.service_tier)

    def _unreported(self, timed: Timed, question: Question | None) -> Usage:
        """What a call used of which the provider does not say it."""
        result = timed.result
        if isinstance(result, Reply):
            return Usage() if result.cached or result.scripted else self._estimated(result, question)
        if timed.partial is not None or result.may_be_billed:
            return self._estimated(timed.partial, question)
        return Usage()

    def _estimated(self, reply: Reply | None, question: Question | None) -> Usage:
        said = "" if reply is None else reply.text + "".join(call.name + call.arguments for call in reply.tool_calls)
        if question is None:
            sent = expected_input_tokens(self.request)
        else:
            sent = sum(expected_tokens(turn.text) for turn in question.turns)
        return Usage(input_tokens=sent, output_tokens=expected_tokens(said), estimated=True)

    def cut_off(self, now: float, partial: Reply | None) -> None:
        """Book the calls that are under way as cancelled: their input at least was spent. ``partial`` is what was heard
        of the one that streams."""
        for flight in list(self.flights.values()):
            # What was not sent yet has spent nothing.
            if flight.began is None:
                del self.flights[flight.number]
            else:
                timed = flight.arrived or Timed(partial or Reply(text=""), now - flight.began)
                self.book(flight, timed, AttemptOutcome.CANCELLED)

    def close(self, seconds: float, error: BaseException | None) -> Receipt:
        """The receipt. ``error`` is what ended the request, if not an answer."""
        # Who stops reading while an accepted answer is replayed has been answered.
        if error is None or (self.reply is not None and not isinstance(error, Exception)):
            outcome = ReceiptOutcome.ANSWERED
        elif isinstance(error, NoFeasibleModel | BudgetExceeded):
            outcome = ReceiptOutcome.REFUSED
        elif isinstance(error, AnswersRejected):
            outcome = ReceiptOutcome.REJECTED
        elif isinstance(error, Exception) and not isinstance(error, self.signals):
            outcome = ReceiptOutcome.FAILED
        else:
            outcome = ReceiptOutcome.CANCELLED
        if len(self.attempts) > 1:
            self.attempts.sort(key=lambda attempt: attempt.number)
        request = self.request
        self.receipt = Receipt(
            self.request_id,
            outcome,
            self.decision,
            tuple(self.attempts),
            seconds,
            request.session,
            request.call_site,
            request.tags,
        )
        return self.receipt

    def baseline_nano(self, strongest: Model) -> int | None:
        """What the strongest model would have cost for the tokens of the accepted answer; None if that is unknown."""
        last = next((each for each in reversed(self.attempts) if each.role is AttemptRole.ANSWER), None)
        if self.reply is None or last is None or last.usage is None:
            return None
        cost = self.outlook.prices.cost(strongest, last.usage)
        return None if cost is None else cost.nano

    def summary(self, strongest: Model) -> dict[str, Any]:
        """The account that an answer carries; empty while there is no receipt, or if there was no decision.

        Text and whole numbers only: frameworks add up or join what the chunks of a stream carry. Costs are US dollars
        as text; an unknown one is "unknown".
        """
        receipt, decision = self.receipt, self.decision
        if receipt is None or decision is None:
            return {}
        predicted = next((c.cost_nano for c in decision.candidates if c.model.name == decision.start), None)
        last = receipt.last
        accepted = last is not None and last.outcome is AttemptOutcome.ACCEPTED
        return {
            "request_id": receipt.request_id,
            "model": receipt.model or "",
            "policy": decision.policy,
            "reason": decision.reason.value,
            "score": "" if decision.score is None else f"{decision.score:g}",
            "predicted_cost_usd": _money(predicted),
            "cost_usd": _money(receipt.cost_nano),
            "strongest_cost_usd": _money(self.baseline_nano(strongest)),
            "attempts": len(receipt.attempts),
            "escalations": receipt.escalations,
            "fallbacks": receipt.fallbacks,
            "verified": "yes" if accepted else "no",
            "latency_ms": round(receipt.latency_s * 1000),
        }


def _money(nano: int | None) -> str:
    return "unknown" if nano is None else f"{to_usd(nano):f}"


def _short(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}".replace("\n", " ")
    return text if len(text) <= _ERROR_LENGTH else text[: _ERROR_LENGTH - 1] + "…"
